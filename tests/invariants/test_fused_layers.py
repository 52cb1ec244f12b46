"""Layers computed in fewer passes are the same functions, and all that is not known for certain is
left as it was.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from core.models.load import load_model
from core.models.lora import AdapterShape, add_lora
from core.models.resolve import find_model
from core.training.kernels.fused_layers import _fuse_norms, _FusedLora, fuse_layers
from core.training.kernels.memory import keep_freed_memory

IDS = torch.tensor([[5, 6, 7, 8, 9], [11, 12, 13, 14, 15]])


def adapted(folder: Path, **shape: Any) -> Any:
    """A model with an adapter whose second matrices are not zero, as a fresh one's are."""
    given = {"rank": 4, "alpha": 8.0, "dropout": 0.0, **shape}
    model = add_lora(
        load_model(find_model(str(folder), None)),
        AdapterShape(**given),
        seed=1,
        base_model=str(folder),
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return model.eval()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every layer that was computed in our way."""
    seen: list[int] = []
    usual = _FusedLora.apply
    monkeypatch.setattr(_FusedLora, "apply", lambda *values: (seen.append(1), usual(*values))[1])
    return seen


@pytest.mark.parametrize("layout", ["gpt2", "llama", "qwen3"])
def test_an_adapter_computes_and_learns_what_pefts_does(
    tiny_models: dict[str, Path], layout: str, calls: list[int]
) -> None:
    ours, theirs = adapted(tiny_models[layout]), adapted(tiny_models[layout])
    fuse_layers(ours)
    fuse_layers(ours)  # once is enough
    # what is compared here are the adapters: a small gradient hangs on the last bit of a norm
    _fuse_norms(theirs)
    mine, expected = ours(IDS).logits, theirs(IDS).logits
    assert len(calls) == sum(hasattr(module, "lora_A") for module in ours.modules())
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)
    for logits in (mine, expected):
        logits.square().mean().backward()
    pairs = [
        (one, other)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True)
        if other.requires_grad
    ]
    assert pairs
    for one, other in pairs:
        assert float((one.grad - other.grad).norm()) <= 1e-5 * float(other.grad.norm())
    # an adapter that is added to the weights, or put aside, is nothing to compute
    with torch.no_grad():
        calls.clear()
        with ours.disable_adapter(), theirs.disable_adapter():
            # activations round otherwise
            torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=1e-5, atol=1e-6)
        assert not calls
        torch.testing.assert_close(
            ours.merge_and_unload()(IDS).logits, expected, rtol=1e-3, atol=1e-4
        )


def in_training(model: Any) -> None:
    model.train()


def in_bfloat16(model: Any) -> None:
    for name, parameter in model.named_parameters():
        if "lora" in name:
            parameter.data = parameter.data.bfloat16()


def with_thawed_weights(model: Any) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(requires_grad=True)


@pytest.mark.parametrize(
    ("shape", "change"),
    [
        ({"kind": "dora"}, None),
        ({"dropout": 0.5}, in_training),
        ({}, in_bfloat16),
        ({}, with_thawed_weights),
    ],
    ids=["DoRA", "dropout", "another type", "weights that learn"],
)
def test_what_is_not_one_product_added_to_frozen_weights_stays_pefts(
    tiny_models: dict[str, Path],
    shape: dict[str, Any],
    change: Callable[[Any], None] | None,
    calls: list[int],
) -> None:
    ours, theirs = adapted(tiny_models["llama"], **shape), adapted(tiny_models["llama"], **shape)
    fuse_layers(ours)
    for model in (ours, theirs):
        if change:
            change(model)
    found = []
    for model in (ours, theirs):
        torch.manual_seed(3)
        found.append(model(IDS).logits)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)  # the norms round otherwise
    assert not calls


def test_gelu_written_out_becomes_one_kernel_of_the_same_function(
    tiny_models: dict[str, Path],
) -> None:
    ours, theirs = (load_model(find_model(str(tiny_models["gpt2"]), None)) for _ in range(2))
    fuse_layers(ours)
    kinds = {type(module) for module in ours.modules()}
    assert torch.nn.GELU in kinds and not any("GELUActivation" in kind.__name__ for kind in kinds)
    one, other = (model(IDS).logits for model in (ours, theirs))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 7, 32), (1, 5, 4, 32), (6, 32)])
@pytest.mark.parametrize("learns", ["both", "weight", "input"])
def test_a_norm_in_fewer_passes_is_the_same_function_with_the_same_gradients(
    shape: tuple[int, ...], learns: str
) -> None:
    from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

    torch.manual_seed(1)
    theirs = Qwen3RMSNorm(32, eps=1e-6)
    theirs.weight.data.normal_()
    ours = deepcopy(theirs)
    model = torch.nn.Sequential(ours)
    _fuse_norms(model)
    _fuse_norms(model)  # once is enough
    assert isinstance(ours.forward, partial) and not isinstance(ours.forward.args[1], partial)
    # a view, as attention hands its heads over
    given = torch.randn(*shape[:-1], shape[-1] + 8)[..., 4:-4]
    pushed, found = torch.randn(shape), []
    for norm in (theirs, ours):
        norm.weight.requires_grad_(learns != "input")
        x = given.clone().requires_grad_(learns != "weight")
        out = norm(x)
        out.backward(pushed)
        found.append([out.detach(), *(t.grad for t in (x, norm.weight) if t.grad is not None)])
    assert len(found[0]) == len(found[1]) == (3 if learns == "both" else 2)
    for mine, expected in zip(*found, strict=True):
        assert float((mine - expected).norm()) <= 1e-6 * float(expected.norm())


def test_norms_that_are_something_else_are_left_alone() -> None:
    from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
    from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

    class ShiftedRMSNorm(Qwen3RMSNorm):  # type: ignore[misc]
        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden_states) + 1.0

    class GatedRMSNorm(Qwen3RMSNorm):  # type: ignore[misc]
        def forward(
            self, hidden_states: torch.Tensor, gate: torch.Tensor | None = None
        ) -> torch.Tensor:
            return super().forward(hidden_states) * (1.0 if gate is None else gate)

    class WantingRMSNorm(Qwen3RMSNorm):  # type: ignore[misc]
        def forward(self, hidden_states: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden_states) * gate

    gated = GatedRMSNorm(8)
    _fuse_norms(torch.nn.Sequential(gated))
    assert torch.equal(gated(torch.ones(2, 8), gate=torch.zeros(2, 8)), torch.zeros(2, 8))
    half = Qwen3RMSNorm(8).bfloat16()
    model = torch.nn.ModuleList(
        [GemmaRMSNorm(8), ShiftedRMSNorm(8), WantingRMSNorm(8), half, torch.nn.RMSNorm(8)]
    )
    model[0].weight.data.fill_(0.5)
    _fuse_norms(model)
    assert not any(isinstance(module.forward, partial) for module in model)
    usual = Qwen3RMSNorm(8)
    _fuse_norms(torch.nn.Sequential(usual))
    # what its own code makes of other numbers
    assert usual(torch.ones(2, 8, dtype=torch.bfloat16)).dtype is torch.float32


def test_an_adapted_layer_takes_one_token_without_a_batch(
    tiny_models: dict[str, Path], calls: list[int]
) -> None:
    ours, theirs = adapted(tiny_models["llama"]), adapted(tiny_models["llama"])
    fuse_layers(ours)
    mine, their = (
        next(module for module in model.modules() if hasattr(module, "lora_A"))
        for model in (ours, theirs)
    )
    x = torch.randn(mine.in_features)
    assert torch.equal(mine(x), their(x)) and not calls


@pytest.mark.parametrize(
    ("largest", "set_to"),
    [
        (2**30, [(-3, 2**30), (-1, 2**30), (-2, 2**26)]),
        (2**25, [(-3, 2**30), (-3, 2**25), (-1, 2**30), (-2, 2**26)]),
        (0, [(-3, 2**30), (-3, 2**25)]),
    ],
    ids=["glibc 2.35", "before", "none that is known"],
)
def test_memory_is_kept_only_where_the_c_library_takes_a_threshold(
    monkeypatch: pytest.MonkeyPatch, largest: int, set_to: list[tuple[int, int]]
) -> None:
    asked: list[tuple[int, int]] = []

    class Library:
        def __init__(self, _name: None) -> None: ...

        def mallopt(self, option: int, size: int) -> int:
            asked.append((option, size))
            return int(option != -3 or size <= largest)

    monkeypatch.setattr("core.training.kernels.memory.sys.platform", "linux")
    monkeypatch.setattr("core.training.kernels.memory.ctypes.CDLL", Library)
    keep_freed_memory()
    assert asked == set_to
