"""The monitor's server side: what it asks for and what its buttons do. Knows no component."""

from collections.abc import Callable
from typing import Any

from core.errors import WorkspaceError
from core.training.run import check_resumable, delete_run, mark_interrupted
from ui.errors import answers_errors
from ui.services import Services
from ui.train.views import run_summary, run_view

Question = dict[str, Any]


def monitor_functions(services: Services) -> list[Callable[[Question], Any]]:
    """Return the functions that monitor.js calls by name."""

    @answers_errors
    def watch_runs(question: Question) -> dict[str, Any]:
        mark_interrupted(services.workspace, ["running"])  # a run of the command line may have died meanwhile
        rows = services.runs.all()
        summaries = [run_summary(row) for row in rows]
        chosen = _chosen(rows, question.get("run"))
        if chosen is None:
            return {"runs": summaries, "run": None}
        name = chosen["name"]
        train, validation = services.runs.metrics(name, "train"), services.runs.metrics(name, "validation")
        view = run_view(chosen, train, validation, services.runs.answers(name), services.queue.waiting())
        return {"runs": summaries, "run": view}

    @answers_errors
    def change_run(question: Question) -> dict[str, Any]:
        name, action = str(question.get("run")), question.get("action")
        actions: dict[Any, Callable[[], object]] = {
            "stop": lambda: services.queue.stop(name),
            "pause": lambda: services.queue.pause(name, wanted=True),
            "go_on": lambda: services.queue.pause(name, wanted=False),
            "sooner": lambda: services.queue.move_up(name),
            "resume": lambda: _resume(services, name),
            "discard": lambda: delete_run(services.workspace, name),
        }
        if action not in actions:
            raise WorkspaceError(f"There is no action {action!r}.")
        actions[action]()
        return {"done": action}

    return [watch_runs, change_run]


def _resume(services: Services, name: str) -> None:
    check_resumable(services.workspace, name)
    services.queue.submit(name)


def _chosen(rows: list[dict[str, Any]], wanted: object) -> dict[str, Any] | None:
    """Return the run to draw: the one asked for, else the one going on, else the latest."""
    asked_for = (row for row in rows if row["name"] == wanted)
    going_on = (row for row in rows if row["state"] == "running")
    return next(asked_for, None) or next(going_on, None) or next(iter(rows), None)
