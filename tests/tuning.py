"""Small runs on tiny checkpoints, and what they learnt, for the tests that train."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from core.datasets.dataset import load_dataset
from core.models.load import load_model
from core.models.resolve import find_model
from core.prompts.collate import IGNORED
from core.storage.workspace import Workspace
from core.training.events import (
    Event,
)
from core.training.kernels.batch import Batch
from core.training.runs.runner import add_run, execute
from core.training.settings import TrainingSettings
from tests.conftest import ROOT

LAYOUTS = ["gpt2", "llama", "qwen3"]


def settings(model: Path, **changes: object) -> TrainingSettings:
    base = TrainingSettings(
        model=str(model), epochs=2, batch_size=4, learning_rate=3e-3, watched_prompts=1, lora_rank=4
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def run(
    workspace: Workspace,
    file: Path,
    chosen: TrainingSettings,
    name: str = "",
    stop: Callable[[list[Event]], bool] = lambda _: False,
) -> tuple[str, list[Event]]:
    events: list[Event] = []
    name = add_run(workspace, load_dataset(file), chosen, name)
    execute(workspace, name, lambda: stop(events), [events.append])
    return name, events


def weights(workspace: Workspace, name: str) -> dict[str, torch.Tensor]:
    file = next(workspace.model_folder(name).glob("*.safetensors"))
    return load_file(file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def load(folder: Path) -> Any:
    return load_model(find_model(str(folder), None))


def gradients(model: Any) -> torch.Tensor:
    return torch.cat(
        [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    )


def plain_loss(model: Any, batch: Batch) -> torch.Tensor:
    """What transformers itself makes of a padded batch with its mask."""
    mask = (torch.arange(batch.inputs.shape[1]) < batch.lengths[:, None]).long()
    logits = model(input_ids=batch.inputs, attention_mask=mask).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def command(workspace: Workspace, words: Sequence[str]) -> "subprocess.Popen[str]":
    line = [
        sys.executable,
        "-m",
        "core",
        "train",
        *words,
        "--workspace",
        str(workspace.folder),
        "--json",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        line,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
