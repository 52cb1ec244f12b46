"""Products by another library are the same products, for as long as it is asked for, and a run
keeps to the one it began with.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.datasets.dataset import load_dataset
from core.storage.workspace import Workspace
from core.training.events import RunStarted, StepDone
from core.training.kernels import matmul_backend
from core.training.kernels.matmul_backend import (
    DEFAULT,
    ONEDNN,
    flops_per_s,
    using_backend,
)
from core.training.loop.checkpoint import Progress, _read_progress
from core.training.loop.trainer import _Loop
from core.training.planning import throughput
from core.training.planning.cautions import cautions
from core.training.planning.plan import plan_run
from core.training.runs.runner import execute
from core.training.settings import TrainingSettings
from tests.tuning import run, same, settings, weights

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="needs a PyTorch with oneDNN"
)


def a(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_a_clock_that_stands_still_tells_a_speed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matmul_backend._measure.cache_clear()
    monkeypatch.setattr(matmul_backend, "_clock", lambda: 1.0)
    assert 0 < flops_per_s(DEFAULT) < float("inf")
    matmul_backend._measure.cache_clear()


MATRICES: dict[str, tuple[torch.Tensor, torch.Tensor]] = {
    "plain": (a(37, 64), a(64, 96)),
    "both transposed": (a(64, 37).T, a(96, 64).T),
    "a view with gaps": (a(37, 200)[:, 10:74], a(64, 96)),
    "every other row": (a(74, 64)[::2], a(64, 96)),
    "one number spread out": (torch.ones(1, 1).expand(37, 64), a(64, 96)),
    "one row": (a(1, 64), a(64, 96)),
    "one column": (a(37, 64), a(64, 1)),
    "one number": (a(1, 1), a(1, 1)),
    "no row": (a(0, 64), a(64, 96)),
    "nothing to add up": (a(37, 0), a(0, 96)),
}
WAYS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mm": torch.mm,
    "with a bias": lambda one, other: torch.addmm(a(other.shape[1]), one, other),
    "with a matrix and factors": lambda one, other: torch.addmm(
        a(len(one), other.shape[1]), one, other, beta=0.5, alpha=2.0
    ),
    "with one number": lambda one, other: torch.addmm(a(1), one, other),
}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every product that the other library made."""
    seen: list[int] = []
    product = matmul_backend._onednn_matmul
    monkeypatch.setattr(
        matmul_backend, "_onednn_matmul", lambda *values: (seen.append(1), product(*values))[1]
    )
    return seen


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", MATRICES)
def test_a_product_is_the_same_whatever_the_matrices(kind: str, way: str) -> None:
    one, other = MATRICES[kind]
    usual = WAYS[way](one, other)
    with using_backend(ONEDNN):
        found = WAYS[way](one, other)
    torch.testing.assert_close(found, usual, rtol=1e-5, atol=1e-5)
    assert torch.equal(WAYS[way](one, other), usual)  # and afterwards all is as it was


def test_products_of_other_kinds_go_the_usual_way_and_mistakes_are_told_as_ever(
    sent: list[int],
) -> None:
    expected = a(5, 4).double() @ a(4, 3).double()
    with using_backend(ONEDNN):
        assert torch.equal(a(5, 4).double() @ a(4, 3).double(), expected)
        assert (a(5, 4).bfloat16() @ a(4, 3).bfloat16()).dtype is torch.bfloat16
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            torch.mm(a(2, 3), a(4, 2))
        with pytest.raises(RuntimeError):
            torch.mm(a(2, 3), a(3, 2).double())
        assert not sent
        a(2, 3) @ a(3, 2)
        assert len(sent) == 1
    a(2, 3) @ a(3, 2)
    assert len(sent) == 1


def test_gradients_are_made_by_it_too(sent: list[int]) -> None:
    layer, given = torch.nn.Linear(64, 32), a(9, 64).requires_grad_()
    layer(given).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in (given, layer.weight, layer.bias)]
    for parameter in (given, layer.weight, layer.bias):
        parameter.grad = None
    with using_backend(ONEDNN):
        layer(given).square().sum().backward()
    assert len(sent) == 3
    for parameter, wanted in zip((given, layer.weight, layer.bias), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-5, atol=1e-5)


def test_it_is_advised_where_it_is_clearly_faster_and_taken_where_it_is_chosen(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert flops_per_s(DEFAULT) > 1e8 and flops_per_s(ONEDNN) > 1e8
    plan = plan_run(load_dataset(small_file), settings(tiny_models["llama"]), workspace)
    for factor, advised in ((0.5, False), (1.2, False), (2.0, True)):
        rates = {DEFAULT: 1e9, ONEDNN: 1e9 * factor}
        monkeypatch.setattr(throughput, "_measured", lambda rates=rates: rates)
        told = [line for line in cautions(plan) if "by oneDNN" in line]
        assert bool(told) is advised
    assert "2.0 times as fast by oneDNN" in told[0]
    for changed in ({"matmul_backend": "onednn"}, {"compiled": True}, {"precision": "bfloat16"}):
        another = replace(plan, settings=replace(plan.settings, **changed))
        assert not [line for line in cautions(another) if "by oneDNN" in line]


def test_a_pytorch_without_it_multiplies_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    rates = matmul_backend._measure.__wrapped__()
    assert rates[ONEDNN] == 0.0 < rates[DEFAULT]


def loop_of(chosen: TrainingSettings, begun_with: str = "") -> Any:
    job = SimpleNamespace(settings=chosen, model=torch.nn.Linear(2, 2))
    return SimpleNamespace(job=job, progress=Progress(matmul_backend=begun_with))


def test_a_run_keeps_the_library_it_began_with() -> None:
    chosen = TrainingSettings(matmul_backend="onednn")
    assert _Loop._matmul_backend(loop_of(chosen)) == ONEDNN
    assert _Loop._matmul_backend(loop_of(chosen, DEFAULT)) == DEFAULT
    assert _Loop._matmul_backend(loop_of(TrainingSettings(), ONEDNN)) == ONEDNN
    for changed in ({"compiled": True}, {"precision": "bfloat16"}):
        assert _Loop._matmul_backend(loop_of(replace(chosen, **changed))) == DEFAULT


def test_a_checkpoint_of_an_earlier_version_goes_on_with_its_library() -> None:
    for written, expected in (("usual", DEFAULT), ("oneDNN", ONEDNN), ("", "")):
        progress = _read_progress(json.dumps({"step": 3, "products": written}))
        assert progress == Progress(step=3, matmul_backend=expected)


def test_a_run_by_it_ends_as_one_by_default_and_is_resumed_exactly(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch,
    sent: list[int],
) -> None:  # fmt: skip
    monkeypatch.setattr("core.models.load.best_device", lambda: torch.device("cpu"))
    usual = settings(tiny_models["llama"])
    chosen = replace(usual, matmul_backend="onednn")
    _, events = run(workspace, small_file, usual)
    assert not sent
    whole, by_other = run(workspace, small_file, chosen)
    assert sent and isinstance(by_other[0], RunStarted)
    assert by_other[0].device == "cpu, products by onednn"
    losses = [
        [event.loss for event in told if isinstance(event, StepDone)] for told in (events, by_other)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    broken, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: sum(isinstance(event, StepDone) for event in events) >= 4,
    )
    sent.clear()
    execute(workspace, broken, lambda: False, [])
    assert sent and same(weights(workspace, whole), weights(workspace, broken))
    sent.clear()
    # the run has left nothing behind in this process
    assert torch.mm(a(2, 2), a(2, 2)).shape == (2, 2) and not sent
