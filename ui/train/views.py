"""What the Train screen shows, as plain values and safe markup. Knows no component."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from core.storage import DEFAULT_FOLDER
from core.storage.workspace import Workspace
from core.training.planning.cautions import cautions
from core.training.planning.cost_model import (
    free_gpu_memory_mib,
    free_memory_mib,
    gpu_memory_mib,
    memory_bound_s,
    memory_mib,
    operations,
)
from core.training.planning.plan import RunPlan
from core.training.planning.throughput import flops_per_s
from core.training.runs.states import ACTIVE, RunState
from core.training.settings import TrainingSettings, default_settings, read_settings
from ui.markup import fill_template

Row = dict[str, Any]
_RESUMABLE = {RunState.INTERRUPTED, RunState.STOPPED, RunState.FAILED}
_BUSY = 3  # times as long, where others want the same cores
_STATE_WORDS = {
    RunState.QUEUED: "waiting",
    RunState.RUNNING: "training",
    RunState.FINISHED: "finished",
    RunState.STOPPED: "stopped",
    RunState.FAILED: "failed",
    RunState.INTERRUPTED: "interrupted",
}


def ready_markup(plan: RunPlan, command: str, tokens_per_s: float | None) -> Markup:
    """Return the card above Start: what the run will do, and what to mind."""
    return fill_template("ready", lines=_plan_lines(plan, tokens_per_s), command=command)


def not_ready_markup(reasons: Sequence[str]) -> Markup:
    """Return the card when Start would be refused."""
    return fill_template("not_ready", reasons=reasons)


def command_line(settings: TrainingSettings, file_name: str, workspace: Path) -> str:
    """Return the command that trains the same run; what stands at its default is left out."""
    defaults = asdict(default_settings(settings.model, settings.method))
    words = [
        "python",
        "-m",
        "core",
        "train",
        file_name,
        "--model",
        settings.model,
        "--style",
        settings.style,
    ]
    words += ["--method", settings.method]
    for name, value in asdict(settings).items():
        if name in {"model", "style", "method", "mask_prompt", "day"} or value == defaults[name]:
            continue
        words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    words += [] if settings.mask_prompt else ["--train-on-prompt"]
    return shlex.join(
        words + ([] if workspace == DEFAULT_FOLDER else ["--workspace", str(workspace)])
    )


def run_summary(row: Row) -> Row:
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


def run_view(row: Row, train: Sequence[Row], waiting: Sequence[str], workspace: Workspace) -> Row:
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
        "can_merge": _has_adapter_apart(row, workspace),
        "epochs": read_settings(row["settings"]).epochs,
    }


def outcome_words(row: Row) -> str:
    """Say what a run that has ended brought; '' for one that has not, or was not validated."""
    if row["state"] not in {RunState.FINISHED, RunState.STOPPED} or row["best_loss"] is None:
        return ""
    best = f"{row['best_loss']:.2f} (best at step {row['best_step']:,})"
    if row["base_loss"] is None:
        return f"Validation loss {best}."
    if row["best_loss"] >= row["base_loss"]:
        return f"Validation loss {row['base_loss']:.2f} → {best}: it learnt nothing that helps on rows it has not seen."
    return f"Validation loss {row['base_loss']:.2f} → {best}."


def _has_adapter_apart(row: Row, workspace: Workspace) -> bool:
    """Return whether a run's best model is an adapter that is not merged into its base yet."""
    is_adapter = (workspace.model_folder(row["name"]) / "adapter_config.json").is_file()
    return is_adapter and not workspace.merged_folder(row["name"]).exists()


def differences(rows: Sequence[Row]) -> list[Row]:
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


def progress_words(row: Row, train: Sequence[Row], waiting: Sequence[str], *, paused: bool) -> str:
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
    speed = sum(point["tokens_per_s"] for point in train[-20:]) / len(train[-20:])
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


def _plan_lines(plan: RunPlan, tokens_per_s: float | None) -> list[str]:
    settings = plan.settings
    tokens = sum(len(row.ids) for row in plan.train)
    trained = sum(row.targets(mask_prompt=settings.mask_prompt) for row in plan.train)
    lines = [
        (
            f"{len(plan.train):,} rows to train on, {len(plan.validation):,} to validate, "
            f"{len(plan.splits.test):,} kept for Review"
        ),
        f"{plan.total_steps:,} steps of {settings.step_rows} rows",
        f"{trained / tokens:.0%} of the {tokens:,} tokens of an epoch are trained",
    ]
    if tokens_per_s:
        lines.append(
            f"about {duration(tokens * settings.epochs / tokens_per_s)}, at the speed of the "
            "last such run"
        )
    elif (work := operations(plan)) and (rate := flops_per_s(plan.settings.matmul_backend)):
        besides = memory_bound_s(plan) if free_gpu_memory_mib() is None else 0.0
        least = work / rate + besides
        lines.append(
            f"roughly {duration(least)}, up to {duration(_BUSY * least)} on a busy machine, by "
            "the number of its operations; "
            "measured as soon as the run has begun"
        )
    return [*lines, *_memory_lines(plan), *cautions(plan)]


def _memory_lines(plan: RunPlan) -> list[str]:
    free, where, told = free_gpu_memory_mib(), "of the GPU's memory at most", gpu_memory_mib
    if free is None:
        free, where, told = free_memory_mib(), "of memory", memory_mib
    needed = told(plan)
    if needed is None:
        return []
    if needed > free:
        advice = "lower the batch size or the longest row, or use LoRA"
        return [
            f"about {_gib(needed)} {where}, more than the {_gib(free)} that are free here: {advice}"
        ]
    return [f"about {_gib(needed)} {where}; {_gib(free)} are free"]


def _gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB"


def answer_groups(answers: Sequence[Row]) -> list[Row]:
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
