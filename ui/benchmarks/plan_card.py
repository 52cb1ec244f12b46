"""The card before Start: what an evaluation will ask, and how long that takes here."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from core.errors import EvaluationError
from core.evaluation.report import title_of
from core.evaluation.settings import EvaluationSettings
from core.processes.supervisor import ChildProcess
from core.progress import about_time
from core.storage.workspace import Workspace
from ui.markup import fill_template

_MOST_S = 600.0


def ask_plan(
    workspace: Workspace, models: Sequence[str], tasks: Sequence[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """Let a process of its own look and try. Raises EvaluationError with what it gave up for."""
    words = ["evaluate", "--plan", "--json", "--model", *models, "--tasks", ",".join(tasks)]
    words += ["--workspace", str(workspace.folder.resolve())]
    if settings.data:
        words += ["--data", settings.data]
    for option, value in (("--few-shot", settings.few_shot), ("--limit", settings.limit)):
        words += [option, str(value)] if value is not None else []
    if settings.judge:
        words += ["--judge", settings.judge]
    if settings.system:
        words += [f"--system={settings.system}"]
    for option, is_on in (
        ("--chat-template", settings.chat_template),
        ("--few-shot-as-turns", settings.few_shot_as_turns),
        ("--prompt-apart", settings.prompt_apart),
        ("--helm", settings.helm),
        ("--run-code", settings.run_code),
    ):
        words += [option] if is_on else []
    process = ChildProcess(words, workspace.folder / "evaluations" / "plan.log")
    try:
        status = process.wait(_MOST_S)
    finally:
        if process.is_running:
            process.kill()
    if status:
        raise EvaluationError(process.failure() or f"The check {process.describe_exit()}")
    return _last_object(process.log)


def _last_object(log: Path) -> dict[str, Any]:
    for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            return found
    raise EvaluationError(f"The check said nothing; its output is in {log}.")


def plan_markup(plan: dict[str, Any]) -> Markup:
    """Return the card of a plan."""
    tasks = plan["tasks"]
    asked = [one for one in tasks if not one["message"]]
    times = [one["seconds"] for one in asked if one["seconds"] is not None]
    tried = len(times) == len(asked)
    return fill_template(
        "evaluation_plan",
        lines=[
            {**one, "title": title_of(one["task"]), "time": _time(one["seconds"])} for one in asked
        ],
        refused=_refused([one for one in tasks if one["message"]]),
        questions=sum(one["questions"] for one in asked),
        requests=sum(one["requests"] for one in asked),
        tokens=sum(one["tokens"] for one in asked),
        time=f"{'' if tried else 'over '}{_time(sum(times))}",
        memory=plan["memory_mib"],
    )


def _refused(tasks: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return each task that cannot be asked once, whatever the number of models."""
    return list({one["task"]: (title_of(one["task"]), one["message"]) for one in tasks}.values())


def _time(seconds: float | None) -> str:
    return "not tried" if seconds is None else about_time(seconds)
