"""The table of runs and what the panel says of one, as plain values. Knows no component."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from core.storage.workspace import Workspace
from core.training.runs.rows import AnswerRow, MetricRow, RunRow
from core.training.runs.states import ACTIVE, RunState
from core.training.settings import read_settings

_RESUMABLE = {RunState.INTERRUPTED, RunState.STOPPED, RunState.FAILED}
Shown = dict[str, Any]  # what a page is told, as JSON
_STATE_WORDS = {
    RunState.QUEUED: "waiting",
    RunState.RUNNING: "training",
    RunState.FINISHED: "finished",
    RunState.STOPPED: "stopped",
    RunState.FAILED: "failed",
    RunState.INTERRUPTED: "interrupted",
}


def run_summary(row: RunRow) -> Shown:
    """Return one line of the table of runs."""
    settings = read_settings(row["settings"])
    return {
        "name": row["name"],
        "state": _STATE_WORDS[row["state"]],
        "paused": row["state"] == RunState.RUNNING and row["requested_action"] == "pause",
        "model": settings.model,
        "dataset": row["dataset"],
        "method": settings.method,
        "style": settings.style,
        "learning_rate": f"{settings.learning_rate:g}",
        "steps": f"{row['step']:,} / {row['total_steps']:,}" if row["total_steps"] else "–",
        "base_loss": _number(row["base_loss"]),
        "best_loss": _number(row["best_loss"]),
        "time": duration(row["elapsed_s"]),
        "note": row["note"],
        "can_resume": row["state"] in _RESUMABLE,
        "can_stop": row["state"] in ACTIVE,
    }


def run_view(
    row: RunRow, train: Sequence[MetricRow], waiting: Sequence[str], workspace: Workspace
) -> Shown:
    """Return what the monitor says of one run; ``waiting`` names those in the queue, the next one
    first.
    """
    summary = run_summary(row)
    return {
        **summary,
        "message": row["message"],
        "step": row["step"],
        "total": row["total_steps"] or 0,
        "place": waiting.index(row["name"]) + 1 if row["name"] in waiting else 0,
        "progress": progress_words(row, train, waiting, paused=summary["paused"]),
        "points": len(train),
        "at_rest": row["state"] not in ACTIVE,
        "has_model": workspace.model_folder(row["name"]).is_dir(),
        "outcome": outcome_words(row),
        "can_extend": row["state"] not in ACTIVE and workspace.state_folder(row["name"]).is_dir(),
        "has_adapter": _has_adapter(row, workspace),
        "epochs": read_settings(row["settings"]).epochs,
    }


def outcome_words(row: RunRow) -> str:
    """Say what a run that has ended brought; '' for one that has not, or was not validated."""
    if row["state"] not in {RunState.FINISHED, RunState.STOPPED} or row["best_loss"] is None:
        return ""
    best = f"{row['best_loss']:.2f} (best at step {row['best_step']:,})"
    if row["base_loss"] is None:
        return f"Validation loss {best}."
    if row["best_loss"] >= row["base_loss"]:
        return f"Validation loss {row['base_loss']:.2f} → {best}: it learnt nothing that helps on rows it has not seen."
    return f"Validation loss {row['base_loss']:.2f} → {best}."


def _has_adapter(row: RunRow, workspace: Workspace) -> bool:
    """Return whether a run's best model is an adapter."""
    return (workspace.model_folder(row["name"]) / "adapter_config.json").is_file()


def differences(rows: Sequence[RunRow]) -> list[Shown]:
    """Return the settings in which runs differ, each with the value of every run; none for a single
    run.
    """
    settings = [asdict(read_settings(row["settings"])) for row in rows]
    found = []
    if len({row["content_hash"] for row in rows}) > 1:
        found.append({"setting": "dataset", "values": [row["dataset"] for row in rows]})
    for name in settings[0]:
        values = [one[name] for one in settings]
        if any(value != values[0] for value in values):
            found.append(
                {"setting": name.replace("_", " "), "values": [str(value) for value in values]}
            )
    return found


def progress_words(
    row: RunRow, train: Sequence[MetricRow], waiting: Sequence[str], *, paused: bool
) -> str:
    """Say where a run stands and how long it will still take."""
    if row["state"] == RunState.QUEUED and row["name"] in waiting:
        return f"Waiting: number {waiting.index(row['name']) + 1} in the queue"
    if row["state"] == RunState.QUEUED:
        return "Starting its process and loading the model …"
    if not row["total_steps"]:
        return ""
    words = f"Step {row['step']:,} of {row['total_steps']:,}"
    if row["state"] != RunState.RUNNING or not train:
        return f"{words} · {duration(row['elapsed_s'])}"
    left_s = row["elapsed_s"] / max(row["step"], 1) * (row["total_steps"] - row["step"])
    speed = sum(point["tokens_per_s"] or 0.0 for point in train[-20:]) / len(train[-20:])
    if row["requested_action"] == "stop":
        return f"{words} · stopping after this step"
    return f"{words} · {'paused' if paused else f'about {duration(left_s)} left'} · {speed:,.0f} tokens/s"


def duration(seconds: float) -> str:
    """Return a time as a user says it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size_words(size: int) -> str:
    """Return a file's size, given in bytes, as a user says it."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{max(size / 2**20, 0.1):,.1f} MiB"


def answer_groups(answers: Sequence[AnswerRow]) -> list[Shown]:
    """Return each watched prompt with its answers in the order of the steps."""
    groups = []
    for _, found in groupby(answers, key=lambda answer: answer["data_row"]):
        rows = list(found)
        steps = [{"step": row["step"], "answer": row["answer"]} for row in rows]
        groups.append(
            {
                "row": rows[0]["data_row"],
                "prompt": rows[0]["prompt"],
                "expected": rows[0]["expected"],
                "answers": steps,
            }
        )
    return groups


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
