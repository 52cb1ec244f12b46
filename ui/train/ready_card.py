"""The card above Start: what a run would do, need and cost. Knows no component."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from markupsafe import Markup

from core.storage import DEFAULT_FOLDER
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
from core.training.settings import TrainingSettings, default_settings
from ui.markup import fill_template
from ui.train.run_table import duration

_BUSY = 3  # times as long, where others want the same cores


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
