"""Frozen matrices held in 16 bits give, to the last bit, what matrices give that autocast rounds
each time.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.datasets.dataset import load_dataset
from core.models.half_precision import cast_frozen_weights
from core.models.load import load_model
from core.models.resolve import find_model
from core.prompts.encoder import load_encoder
from core.storage.workspace import Workspace
from core.training.events import EvalDone, SampleAnswered, StepDone
from core.training.kernels.batch import collate
from core.training.kernels.batch_loss import BatchLoss
from core.training.kernels.fused_layers import fuse_layers
from core.training.loop import load_job
from core.training.runs.runner import add_run, execute
from core.training.settings import TrainingSettings
from tests.invariants.test_fused_layers import IDS, adapted, calls
from tests.tuning import LAYOUTS

__all__ = ["calls"]  # a fixture
pytestmark = pytest.mark.slow


def in_16_bits(model: Any) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits: torch.Tensor = model(IDS).logits
    return logits


def held(model: Any) -> list[str]:
    return [
        name for name, parameter in model.named_parameters() if parameter.dtype == torch.bfloat16
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_products_and_gradients_are_those_of_matrices_rounded_each_time(
    tiny_models: dict[str, Path], layout: str
) -> None:
    ours, theirs = adapted(tiny_models[layout]), adapted(tiny_models[layout])
    cast_frozen_weights(ours, torch.bfloat16)
    mine, expected = in_16_bits(ours), in_16_bits(theirs)
    assert torch.equal(mine, expected)
    for logits in (mine, expected):
        logits.float().square().mean().backward()  # type: ignore[no-untyped-call]
    pairs = [
        (one, other)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True)
        if other.requires_grad
    ]
    assert pairs and all(torch.equal(one.grad, other.grad) for one, other in pairs)


@pytest.mark.parametrize(
    ("layout", "has_head"), [("gpt2", False), ("llama", True), ("qwen3", False)]
)
def test_every_matrix_is_held_but_one_that_is_looked_rows_up_in(
    tiny_models: dict[str, Path], layout: str, *, has_head: bool
) -> None:
    model = adapted(tiny_models[layout])
    bases = sum(hasattr(module, "lora_A") for module in model.modules())
    before = {name: parameter.dtype for name, parameter in model.named_parameters()}
    cast_frozen_weights(model, torch.bfloat16)
    assert len(held(model)) == bases + has_head
    assert any("lm_head" in name for name in held(model)) == has_head
    assert before.keys() == dict(model.named_parameters()).keys()
    assert all(
        parameter.dtype == torch.float32
        for parameter in model.parameters()
        if parameter.requires_grad
    )
    assert model.get_input_embeddings().weight.dtype == torch.float32


def test_without_autocast_a_held_matrix_is_multiplied_by_in_float32(
    tiny_models: dict[str, Path],
) -> None:
    for layout in LAYOUTS:
        ours, theirs = adapted(tiny_models[layout]), adapted(tiny_models[layout])
        cast_frozen_weights(ours, torch.bfloat16)
        names = held(ours)
        with torch.no_grad():
            for name, parameter in theirs.named_parameters():
                if name in names:
                    parameter.copy_(parameter.bfloat16())
        torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=1e-5, atol=1e-6)


def test_what_dora_measures_stays_as_it_is(tiny_models: dict[str, Path]) -> None:
    model = adapted(tiny_models["llama"], kind="dora")
    cast_frozen_weights(model, torch.bfloat16)
    assert [name.rpartition(".")[0].rpartition(".")[2] for name in held(model)] == ["lm_head"]


def test_weights_that_learn_stay_in_float32(tiny_models: dict[str, Path]) -> None:
    model = load_model(find_model(str(tiny_models["llama"]), None))
    cast_frozen_weights(model, torch.bfloat16)
    assert not held(model)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_adapters_in_fewer_passes_are_as_near_to_the_truth_as_pefts(
    tiny_models: dict[str, Path], layout: str
) -> None:
    found = {}
    for way in ("exact", "usual", "quick"):
        model = adapted(tiny_models[layout])
        if way == "quick":
            cast_frozen_weights(model, torch.bfloat16)
            fuse_layers(model)
        logits = model(IDS).logits if way == "exact" else in_16_bits(model)
        logits.float().square().mean().backward()
        gradients = [
            parameter.grad.flatten()
            for parameter in model.parameters()
            if parameter.grad is not None
        ]
        assert all(gradient.dtype == torch.float32 for gradient in gradients)
        found[way] = logits.detach().float().flatten(), torch.cat(gradients)
    for exact, usual, quick in zip(*found.values(), strict=True):
        assert 0 < float((quick - exact).norm()) < 2 * float((usual - exact).norm())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_learn_through_held_matrices_in_our_way(
    tiny_models: dict[str, Path], small_file: Path, layout: str, calls: list[int]
) -> None:
    encoder = load_encoder(tiny_models[layout], "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples[:6]]
    model = adapted(tiny_models[layout])
    exact = float(
        BatchLoss(adapted(tiny_models[layout])).summed(collate(rows, 0, mask_prompt=True))
    )
    cast_frozen_weights(model, torch.bfloat16)
    batch_loss = BatchLoss(model, torch.bfloat16)
    assert batch_loss.unsupported_reason == ""  # it was tried in float32
    calls.clear()
    loss = batch_loss.backward(collate(rows, 0, mask_prompt=True), 1.0)
    assert len(calls) == sum(hasattr(module, "lora_A") for module in model.modules())
    assert float(loss) == pytest.approx(exact, rel=0.01)


def test_a_run_learns_and_answers_the_same_in_half_the_memory(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = TrainingSettings(
        model=str(tiny_models["llama"]),
        method="lora",
        precision="bfloat16",
        epochs=1,
        batch_size=4,
        watched_prompts=1,
    )
    told, holds = [], []

    def noting(model: Any, precision: torch.dtype) -> None:
        cast_frozen_weights(model, precision)
        holds.append(len(held(model)))

    for way in (noting, lambda *_: None):
        monkeypatch.setattr(load_job, "cast_frozen_weights", way)
        events: list[Any] = []
        name = add_run(workspace, load_dataset(small_file), chosen)
        execute(workspace, name, lambda: False, [events.append])
        steps = [
            (event.loss, event.gradient_norm) for event in events if isinstance(event, StepDone)
        ]
        evaluations = [event.loss for event in events if isinstance(event, EvalDone)]
        told.append(
            (
                steps,
                evaluations,
                [event.answer for event in events if isinstance(event, SampleAnswered)],
            )
        )
    assert holds == [2 * 7 + 1]
    assert all(told[0]) and told[0] == told[1]
