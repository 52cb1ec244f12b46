"""What the Benchmarks screen shows of an evaluation, as plain values. Knows no component."""

import json
from collections.abc import Mapping
from typing import Any

from core.evaluation.report import Cell, EvaluationReport, title_of
from core.evaluation.rows import EvaluationRow, EvaluationState, SampleRow
from core.processes.messages import Progress
from core.progress import about_time
from ui.benchmarks.charts import draw_differences, draw_radar, draw_scores

Shown = dict[str, Any]  # what a page is told, as JSON
GOING_ON = frozenset({EvaluationState.QUEUED, EvaluationState.RUNNING})
_STATE_WORDS = {
    EvaluationState.QUEUED: "waiting for the one before it",
    EvaluationState.RUNNING: "running",
    EvaluationState.FINISHED: "finished",
    EvaluationState.STOPPED: "stopped",
    EvaluationState.FAILED: "failed",
    EvaluationState.INTERRUPTED: "interrupted",
}
_LONGEST_SHOWN = 4000  # characters of a prompt or an answer
_PERCENT_METRICS = ("acc", "exact", "em", "f1", "pass", "mean", "prompt_level", "inst_level")


def evaluation_choice(row: EvaluationRow) -> tuple[str, str]:
    """Return an evaluation as a choice of a menu."""
    models = ", ".join(json.loads(row["models"]))
    tasks = ", ".join(title_of(task) for task in json.loads(row["tasks"])[:3])
    state = "going on" if row["state"] in GOING_ON else _STATE_WORDS[row["state"]]
    return f"{row['name']} · {models} · {tasks} · {state}", row["name"]


def evaluation_view(
    report: EvaluationReport, progress: Progress | None, seconds_left: float | None
) -> Shown:
    """Return all that the board shows of an evaluation."""
    row = report.evaluation
    return {
        "name": row["name"],
        "state": row["state"],
        "state_words": _STATE_WORDS[row["state"]],
        "going_on": row["state"] in GOING_ON,
        "stopping": row["requested_action"] == "stop",
        "message": row["message"],
        "progress": _progress(progress, seconds_left),
        "models": list(report.models),
        "baseline": report.baseline,
        "lines": [
            {
                "task": line.task,
                "title": line.title,
                "group": line.is_group,
                "cells": [None if cell is None else cell_view(cell) for cell in line.cells],
            }
            for line in report.lines
        ],
        "sentences": list(report.sentences),
        "shown": sum(one.is_shown for one in report.comparisons),
        "facts": _facts(row),
        "scores": draw_scores(report),
        "radar": draw_radar(report),
        "differences": draw_differences(report),
    }


def _progress(progress: Progress | None, seconds_left: float | None) -> Shown | None:
    if progress is None:
        return None
    left = "" if seconds_left is None else f"{about_time(seconds_left)} left for this task"
    return {
        "text": str(progress), "left": left,
        "share": progress.done / progress.total if progress.total else None,
    }  # fmt: skip


def cell_view(cell: Cell) -> Shown:
    """Return a score as a table shows it: in percent where it is a share, with its interval."""
    is_share = cell.metric.startswith(_PERCENT_METRICS)
    factor = 100 if is_share else 1
    text = "" if cell.value is None else f"{cell.value * factor:.1f}{' %' if is_share else ''}"
    if not is_share and cell.value is not None:
        text = f"{cell.value:.3f}"
    interval = ""
    if cell.low is not None and cell.high is not None:
        digits = 1 if is_share else 3
        low, high = cell.low, cell.high
        if is_share:
            low, high = max(low, 0.0), min(high, 1.0)
        interval = f"{low * factor:.{digits}f} to {high * factor:.{digits}f}"
    return {
        "text": text, "interval": interval, "metric": cell.metric,
        "questions": f"{cell.questions:,}", "note": "; ".join(cell.notes), "message": cell.message,
    }  # fmt: skip


def _facts(row: EvaluationRow) -> str:
    """Return how every task was asked, in a sentence."""
    settings, versions = json.loads(row["settings"]), json.loads(row["versions"])
    shots = settings.get("few_shot")
    parts = [
        "each task's own number of examples" if shots is None else f"{shots} examples",
        f"the first {settings['limit']:,} questions" if settings.get("limit") else "all questions",
        _how_written(json.loads(row["tasks"]), in_template=bool(settings.get("chat_template"))),
    ]
    if settings.get("system"):
        apart = "the first model once more with a system prompt"
        parts.append(apart if settings.get("prompt_apart") else "with a system prompt")
    if versions:
        parts.append(f"lm-eval {versions.get('lm_eval', '')}")
    return ", ".join(parts)


def _how_written(tasks: list[str], *, in_template: bool) -> str:
    """Return how prompts are written: some are in each model's own style whatever is asked for."""
    own = [
        task.startswith(("own:", "evals:", "pocket_")) or task == "openai_evals" for task in tasks
    ]
    if in_template or all(own):
        return "in each model's own style"
    return "as plain text, but for those in each model's own style" if any(own) else "as plain text"


def question_view(samples: Mapping[str, SampleRow]) -> Shown:
    """Return one question with what each model answered."""
    first = next(iter(samples.values()))
    return {
        "number": first["question"] + 1,
        "prompt": _cut(first["prompt"]),
        "gold": _cut(first["gold"]),
        "answers": [
            {
                "model": model, "answer": _cut(one["answer"]),
                "score": "" if one["score"] is None else f"{one['score']:g}",
                "right": one["score"] == 1,
            }
            for model, one in samples.items()
        ],
    }  # fmt: skip


def _cut(text: str) -> str:
    """Return the end of a long text, where a question stands after its examples."""
    return text if len(text) <= _LONGEST_SHOWN else f"… {text[-_LONGEST_SHOWN:]}"
