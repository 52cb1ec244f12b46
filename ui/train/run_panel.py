"""The run panel's server side: what it asks for and what its buttons do. Knows no component."""

from collections.abc import Callable
from typing import Any, cast

from core.errors import WorkspaceError
from core.export.choices import EXPORT_FORMS, QUANTISATIONS, Quantisation
from core.export.export_model import ExportOptions
from core.training.runs.lifecycle import check_resumable, delete_run, extend_run, rename_run
from core.training.runs.rows import RunRow
from core.training.runs.runner import mark_interrupted
from core.training.runs.states import ACTIVE, RunState
from ui.error_messages import answers_errors
from ui.services import Services
from ui.train.loss_charts import (
    draw_curves,
    draw_small_multiples,
    read_chart_options,
    training_warning,
)
from ui.train.metrics_cache import Histories
from ui.train.run_report import write_report
from ui.train.run_table import answer_groups, differences, run_summary, run_view, size_words

Question = dict[str, Any]
_MOST_OVERLAYS = 6
# they would change, or take away, what is being exported
_NOT_WHILE_EXPORTING = {"resume", "extend", "rename", "discard"}


def run_panel_functions(services: Services) -> list[Callable[[Question], Any]]:
    """Return the functions that run_panel.js calls by name."""
    histories = Histories(services.runs)

    @answers_errors
    def watch_runs(question: Question) -> dict[str, Any]:
        # a run of the command line may have died meanwhile
        mark_interrupted(services.workspace, [RunState.RUNNING])
        rows = services.runs.all()
        summaries = [run_summary(row) for row in rows]
        chosen = _chosen(rows, question.get("run"))
        if chosen is None:
            return {"runs": summaries, "run": None}
        others = _others(rows, chosen, question.get("compare"))
        run, look, laid_over = (
            histories.read(chosen),
            read_chart_options(question),
            [histories.read(row) for row in others],
        )
        view = run_view(chosen, run.train, services.queue.waiting(), services.workspace) | {
            "warning": training_warning(run, goes_on=chosen["state"] in ACTIVE),
            "export": services.exports.status_message(chosen["name"]),
            "is_exporting": services.exports.is_going_on(chosen["name"]),
            "exported": [
                {"file": made.path.name, "path": str(made.path), "size": size_words(made.size)}
                for made in services.exports.made(chosen["name"])
            ],
            "answers": answer_groups(services.runs.answers(chosen["name"])),
            "figure": draw_curves(run, look, laid_over),
            "compared_points": [len(one.validation) for one in (run, *laid_over)]
            + [len(one.train) for one in laid_over],
            "details": draw_small_multiples(run, look) if question.get("details") is True else None,
            "compared": [row["name"] for row in others],
            "differences": differences([chosen, *others]),
        }
        return {"runs": summaries, "run": view}

    @answers_errors
    def change_run(question: Question) -> dict[str, Any]:
        name, action = str(question.get("run")), str(question.get("action"))
        _act(services, name, action, question)
        return {"done": action}

    @answers_errors
    def report_run(question: Question) -> dict[str, Any]:
        row = services.runs.find(str(question.get("run")))
        history, look = histories.read(row), read_chart_options(question)
        figures = draw_curves(history, look), draw_small_multiples(history, look)
        return {"html": write_report(row, figures, services.runs.answers(row["name"]))}

    return [watch_runs, change_run, report_run]


def _act(services: Services, name: str, action: str, question: Question) -> None:
    """Do what a button of the panel says. Raises WorkspaceError for what no button says."""
    value = question.get("value", "")
    actions: dict[str, Callable[[], object]] = {
        "stop": lambda: services.queue.stop(name),
        "pause": lambda: services.queue.pause(name, wanted=True),
        "go_on": lambda: services.queue.pause(name, wanted=False),
        "sooner": lambda: services.queue.move_up(name),
        "resume": lambda: _resume(services, name),
        "note": lambda: services.runs.set_note(name, str(question.get("note", ""))),
        "extend": lambda: _extend(services, name, value),
        "rename": lambda: _rename(services, name, str(value).strip()),
        "export": lambda: _export(services, name, value),
        "stop_export": lambda: services.exports.stop(name),
        "discard": lambda: delete_run(services.workspace, name),
    }
    if action not in actions:
        raise WorkspaceError(f"There is no action {action!r}.")
    if action in _NOT_WHILE_EXPORTING:
        services.exports.check_idle(name)
    actions[action]()
    if action in {"rename", "discard"}:
        services.exports.forget(name)


def _export(services: Services, name: str, value: object) -> None:
    """Begin an export of ``form``, or ``form:numbers``."""
    form, _, numbers = str(value).partition(":")
    if form not in EXPORT_FORMS or numbers not in {"", *QUANTISATIONS}:
        raise WorkspaceError("Choose what the model is to be taken away as.")
    kind = cast("Quantisation", numbers) if numbers else "q8_0"
    services.exports.start(name, ExportOptions(form, kind))


def _extend(services: Services, name: str, epochs: object) -> None:
    if not isinstance(epochs, int | str) or not str(epochs).strip().isdigit():
        raise WorkspaceError("Give the number of epochs that the run is to have in all.")
    extend_run(services.workspace, name, int(epochs))
    services.queue.submit(name)


def _rename(services: Services, name: str, wanted: str) -> None:
    if review := services.reviews.waiting_for(name):
        raise WorkspaceError(
            f"The review '{review}' still wants answers of '{name}' and finds it by that name: "
            "continue it first."
        )
    rename_run(services.workspace, name, wanted)


def _resume(services: Services, name: str) -> None:
    check_resumable(services.workspace, name)
    services.queue.submit(name)


def _chosen(rows: list[RunRow], wanted: object) -> RunRow | None:
    """Return the run to draw: the one asked for, else the one going on, else the latest."""
    asked_for = (row for row in rows if row["name"] == wanted)
    going_on = (row for row in rows if row["state"] == RunState.RUNNING)
    return next(asked_for, None) or next(going_on, None) or next(iter(rows), None)


def _others(rows: list[RunRow], chosen: RunRow, wanted: object) -> list[RunRow]:
    """Return the runs to lay over the chosen one."""
    names = wanted if isinstance(wanted, list) else []
    return [row for row in rows if row["name"] in names and row is not chosen][:_MOST_OVERLAYS]
