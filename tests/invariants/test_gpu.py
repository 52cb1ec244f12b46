"""What must hold of training on a GPU, seen on a stand-in: nothing waits for it between two steps,
and nothing of the CPU's is
put beside what lies there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.datasets.dataset import load_dataset
from core.models.half_precision import cast_frozen_weights
from core.models.load import load_model
from core.models.lora import AdapterShape, add_lora
from core.models.resolve import find_model
from core.prompts.encoder import load_encoder
from core.training.events import Event, RunStarted, StepDone
from core.training.kernels.batch_loss import BatchLoss
from core.training.loop.job import TrainingJob
from core.training.loop.trainer import train
from core.training.settings import TrainingSettings, change_settings
from tests.invariants.test_varlen_attention import Kernel, grad_rows, install
from tests.standin_gpu import Far, StandInGpu, put_on_gpu, standing_in

__all__ = ["install"]  # a fixture
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),
]
STEPS = 6


def job(folder: Path, small_file: Path, tmp_path: Path, **changes: Any) -> TrainingJob:
    given = {
        "epochs": 1,
        "batch_size": 4,
        "checkpoint_every_s": 3600.0,
        "watched_prompts": 0,
        "evaluations_per_epoch": 1,
    }
    settings = change_settings(TrainingSettings(model=str(folder)), given | changes)
    model = load_model(find_model(str(folder), None))
    if settings.method == "lora":
        model = add_lora(model, AdapterShape(4, 8, settings.lora_dropout), seed=1, base_model="x")
        if settings.precision == "bfloat16":
            cast_frozen_weights(model, torch.bfloat16)
    encoder = load_encoder(folder, "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples]
    return TrainingJob(
        run="gpu",
        model=model,
        settings=settings,
        train=rows[: 4 * STEPS],
        validation=rows[4 * STEPS :],
        watched=(),
        pad_id=0,
        checkpoint=tmp_path / "checkpoint",
        best=tmp_path / "model",
        kept_at=Path,
        save=lambda *_: None,
        answer=lambda *_: [],
    )


def trained(work: TrainingJob, gpu: StandInGpu) -> tuple[list[Event], list[list[str]]]:
    """Train, and return what happened and what was waited for before each event."""
    put_on_gpu(work.model)
    events, waits = [], []
    for event in train(work):
        events.append(event)
        waits.append(gpu.waits[:])
        gpu.waits.clear()
    return events, waits


WAYS = [
    ("gpt2", {}), ("llama", {}), ("qwen3", {}), ("qwen3", {"precision": "bfloat16"}),
    ("gpt2", {"method": "lora"}), ("llama", {"method": "lora", "precision": "bfloat16"}),
    ("qwen3", {"method": "lora", "lora_dropout": 0.1, "gradient_accumulation": 2, "batch_size": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "changes"), WAYS)
def test_a_step_is_given_to_a_gpu_without_waiting_for_it(
    tiny_models: dict[str, Path],
    small_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    changes: dict[str, Any],
) -> None:
    """One number is read for each step, when the next is given; the last ones before an evaluation."""
    work = job(tiny_models[layout], small_file, tmp_path, **changes)
    with standing_in(monkeypatch) as gpu:
        events, waits = trained(work, gpu)
    assert (
        isinstance(events[0], RunStarted)
        and events[0].notice == ""
        and events[0].device == "cuda:0"
    )
    of_steps = [
        found for event, found in zip(events, waits, strict=True) if isinstance(event, StepDone)
    ]
    assert len(of_steps) == STEPS
    for found in of_steps:
        assert len(found) == 1 and found[0].startswith("tolist") and "trainer.py" in found[0], found
    assert not gpu.strangers


def test_it_learns_what_the_cpu_learns(
    tiny_models: dict[str, Path], small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = [
        event
        for event in train(job(tiny_models["llama"], small_file, tmp_path / "here"))
        if isinstance(event, StepDone)
    ]
    work = job(tiny_models["llama"], small_file, tmp_path / "there")
    with standing_in(monkeypatch) as gpu:
        events, _ = trained(work, gpu)
    there = [event for event in events if isinstance(event, StepDone)]
    assert [event.loss for event in there] == pytest.approx(
        [event.loss for event in here], rel=1e-4
    )


def test_rows_without_padding_put_nothing_of_the_cpus_beside_theirs(
    tiny_models: dict[str, Path],
    small_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    install: Callable[[Kernel], list[int]],
) -> None:
    work = job(tiny_models["qwen3"], small_file, tmp_path)
    with standing_in(monkeypatch) as gpu:
        calls = install(grad_rows())  # which waits for its bounds, as the real one does not
        trained(work, gpu)
    assert len(calls) > STEPS
    assert not gpu.strangers


def test_the_stand_in_sees_what_waits_and_what_does_not_fit(
    tiny_models: dict[str, Path], small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = job(tiny_models["llama"], small_file, tmp_path)
    usual = BatchLoss.backward

    def careless(self: BatchLoss, *values: Any) -> torch.Tensor:
        loss = usual(self, *values)
        return loss if loss > 0 else loss + torch.zeros(1)

    monkeypatch.setattr(BatchLoss, "backward", careless)
    with standing_in(monkeypatch) as gpu:
        events, waits = trained(work, gpu)
        one = torch.ones(3, device="cuda")
        assert isinstance(one, Far) and not gpu.strangers
        one + torch.ones(3)
        assert len(gpu.strangers) == 1
        one + torch.tensor(1.0)  # which a GPU takes as a number
        one[one > 0]
        one.cpu() + torch.ones(3)
    assert len(gpu.strangers) == 1 and [wait.partition(" ")[0] for wait in gpu.waits] == [
        "__getitem__",
        "cpu",
    ]
    asked = [
        wait
        for event, found in zip(events, waits, strict=True)
        if isinstance(event, StepDone)
        for wait in found
    ]
    assert sum(wait.startswith("__bool__") for wait in asked) == STEPS
