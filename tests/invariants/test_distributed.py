"""Several processes that train one run: the same outcome as one, whatever ends them."""

import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from core.datasets.dataset import load_dataset
from core.storage.workspace import Workspace
from core.training.distributed import Group
from core.training.runs.process import record_exit, start_training_process
from core.training.runs.runner import add_run, execute, is_alive
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings
from tests.conftest import processes_of_run

# relative; sums of two processes are added in another order, and Adam carries that on
_ROUNDING = 1e-4


@given(rows=st.integers(1, 60), batch_size=st.integers(1, 9), size=st.integers(1, 5))
def test_every_row_is_computed_once_and_nobody_waits_for_nobody(
    rows: int, batch_size: int, size: int
) -> None:
    step = list(range(rows))
    shares = [Group(rank, size).passes(step, batch_size) for rank in range(size)]
    counted = [row for share in shares for part, counts in share if counts for row in part]
    assert sorted(counted) == step
    assert len({len(share) for share in shares}) == 1
    assert all(1 <= len(part) <= batch_size for part, _ in chain(*shares))


def test_one_process_cuts_a_step_as_it_stands() -> None:
    assert Group().passes([5, 3, 4, 1, 2], 2) == [([5, 3], True), ([4, 1], True), ([2], True)]


Train = Callable[..., dict[str, list[float]]]


@pytest.fixture
def train(workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]) -> Train:
    """Train tiny runs of 34 rows, 7 a step, so that the last step of an epoch has fewer rows than
    there are to share.
    """

    def train_it(name: str, processes: int, **changes: object) -> dict[str, list[float]]:
        usual = TrainingSettings(
            model=str(tiny_models["qwen3"]),
            batch_size=7,
            learning_rate=3e-3,
            epochs=2,
            validation_share=0.12,
        )
        add_run(workspace, load_dataset(small_file), replace(usual, **changes), name)
        if processes == 1:
            execute(workspace, name, lambda: False, [])
        else:
            process = start_training_process(workspace, name, processes)
            process.wait()
            record_exit(workspace, name, process)
        return losses_of(workspace, name)

    return train_it


def losses_of(workspace: Workspace, name: str) -> dict[str, list[float]]:
    row = RunStore(workspace).find(name)
    assert row["state"] == "finished", row["message"]
    return {
        kind: [metric["loss"] for metric in RunStore(workspace).metrics(name, kind)]
        for kind in ("train", "validation")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "full", "keep": "last"},
        {"method": "lora", "learning_rate": 1e-2, "gradient_checkpointing": True},
    ],
    ids=["full", "lora"],
)
def test_two_processes_learn_what_one_learns(
    train: Train, workspace: Workspace, changes: dict[str, object]
) -> None:
    alone, together = train("alone", 1, **changes), train("together", 2, **changes)
    assert together["train"] == pytest.approx(alone["train"], rel=_ROUNDING)
    assert together["validation"] == pytest.approx(alone["validation"], rel=_ROUNDING)
    assert min(alone["validation"]) < alone["validation"][0]
    file = "adapter_model.safetensors" if changes["method"] == "lora" else "model.safetensors"
    one, other = (load_file(workspace.model_folder(name) / file) for name in ("alone", "together"))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert (other[name] - weight).norm() <= 10 * _ROUNDING * weight.norm() + 1e-6, name


@pytest.mark.slow
def test_a_run_of_two_that_is_killed_goes_on_with_one(
    train: Train, workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    undisturbed = train("undisturbed", 1, epochs=20)
    add_run(
        workspace,
        load_dataset(small_file),
        replace(RunStore(workspace).settings("undisturbed"), checkpoint_every_s=0),
        "cut-off",
    )
    process = start_training_process(workspace, "cut-off", 2)
    wait_for_step(workspace, "cut-off", 30)
    for trainer in processes_of_run("cut-off", workspace.folder):
        if trainer != process.pid:  # torchrun sees its children die
            os.kill(trainer, signal.SIGKILL)
            break
    process.wait()
    record_exit(workspace, "cut-off", process)
    row = RunStore(workspace).find("cut-off")
    assert row["state"] == "failed", row
    assert "Resume goes on from the last saved state" in row["message"]
    assert not is_alive(workspace, "cut-off")
    execute(workspace, "cut-off", lambda: False, [])
    found = losses_of(workspace, "cut-off")
    assert len(found["train"]) == len(undisturbed["train"])
    assert all(
        math.isclose(a, b, rel_tol=0.02)
        for a, b in zip(found["train"], undisturbed["train"], strict=True)
    )


def wait_for_step(workspace: Workspace, name: str, step: int) -> None:
    until = time.monotonic() + 120
    while RunStore(workspace).find(name)["step"] < step:
        assert time.monotonic() < until, RunStore(workspace).find(name)
        time.sleep(0.05)
