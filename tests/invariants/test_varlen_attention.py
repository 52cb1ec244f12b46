"""Rows without padding: the same loss and gradients, wherever a kernel for them is found, and
padded rows where none is.

The kernel itself is for GPUs; what stands for it here attends row by row with PyTorch's usual one.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from core.datasets.dataset import load_dataset
from core.models.load import enable_gradient_checkpointing
from core.prompts.encoder import load_encoder
from core.training.kernels import varlen_attention
from core.training.kernels.batch import Batch, collate
from core.training.kernels.batch_loss import BatchLoss
from core.training.kernels.flat_batch import flatten
from tests.tuning import LAYOUTS, gradients, load

pytestmark = pytest.mark.slow
Kernel = Callable[..., torch.Tensor]


def grad_rows(
    *, causal: bool = True, gradient: float = 1.0, only: tuple[torch.dtype, ...] = ()
) -> Kernel:
    """A kernel for rows of unequal length; one with faults, where they are asked for."""

    def kernel(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bounds: torch.Tensor,
        longest: int,
        scale: float | None,
    ) -> torch.Tensor:
        if only and not {query.dtype, key.dtype, value.dtype} <= set(only):
            raise RuntimeError("FlashAttention only supports 16-bit numbers")
        lengths = bounds.diff().tolist()
        assert (
            bounds.dtype == torch.int32 and sum(lengths) == len(query) and max(lengths) == longest
        )
        found = []
        for rows in zip(*(torch.split(part, lengths) for part in (query, key, value)), strict=True):
            q, k, v = (row.transpose(0, 1)[None] for row in rows)
            shares = query.shape[1] != key.shape[1]
            row = functional.scaled_dot_product_attention(
                q, k, v, is_causal=causal, scale=scale, enable_gqa=shares
            )
            found.append(row[0].transpose(0, 1))
        whole = torch.cat(found)
        return whole * gradient - whole.detach() * (gradient - 1)

    return kernel


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Kernel], list[int]]]:
    """Put a kernel in place and return a list that gets an entry with each call of it by a model."""

    def put(kernel: Kernel) -> list[int]:
        varlen_attention.has_kernel.cache_clear()
        calls: list[int] = []
        usual = varlen_attention.attend_packed

        def counted(*values: Any) -> torch.Tensor:
            calls.append(1)
            return usual(*values)

        monkeypatch.setattr(varlen_attention, "_kernel", kernel)
        monkeypatch.setattr("core.training.kernels.flat_batch.attend_packed", counted)
        return calls

    yield put
    varlen_attention.has_kernel.cache_clear()


@pytest.fixture
def batch(tiny_models: dict[str, Path], small_file: Path) -> Batch:
    encoder = load_encoder(tiny_models["llama"], "alpaca")
    rows = [encoder.encode_example(example) for example in load_dataset(small_file).examples[:7]]
    return collate([*rows, rows[2], rows[0].cut(9)], 0, mask_prompt=True)


def learnt(
    model: Any, batch: Batch, precision: torch.dtype | None = None
) -> tuple[float, torch.Tensor]:
    batch_loss = BatchLoss(model, precision)
    assert batch_loss.unsupported_reason == ""
    return batch_loss.backward(batch, 7).item(), gradients(model)


def assert_alike(
    found: tuple[float, torch.Tensor], expected: tuple[float, torch.Tensor], within: float = 1e-5
) -> None:
    assert found[0] == pytest.approx(expected[0], rel=within)
    assert float((found[1] - expected[1]).norm() / expected[1].norm()) < within


@pytest.mark.parametrize(
    ("layout", "checkpointing"),
    [*((layout, False) for layout in LAYOUTS), ("llama", True), ("qwen3", True)],
)
def test_packed_rows_change_nothing(
    tiny_models: dict[str, Path],
    batch: Batch,
    install: Callable[[Kernel], list[int]],
    layout: str,
    checkpointing: bool,
) -> None:
    expected = learnt(load(tiny_models[layout]), batch)
    calls = install(grad_rows())
    model = load(tiny_models[layout])
    if checkpointing:
        model.activation_checkpointing_enable()
        model.train()
    found = learnt(model, batch)
    # the forward pass, and the one before the backward
    assert len(calls) == 2 * (2 if checkpointing else 1)
    assert_alike(found, expected)


def test_packed_rows_hold_no_padding(batch: Batch) -> None:
    rows = flatten(batch, torch.device("cpu"), shares=True, layout="packed")
    lengths = batch.lengths.tolist()
    assert rows.bounds is not None
    assert rows.bounds.diff().tolist() == lengths and len(rows.gather_index) == sum(lengths)
    for row, (inputs, length) in enumerate(zip(batch.inputs, lengths, strict=True)):
        own = rows.gather_index[rows.bounds[row] : rows.bounds[row + 1]]
        assert torch.equal(rows.ids[0, own], inputs[:length])


def test_a_kernel_for_16_bits_serves_products_in_16_bits_alone(
    tiny_models: dict[str, Path], batch: Batch, install: Callable[[Kernel], list[int]]
) -> None:
    padded = learnt(load(tiny_models["llama"]), batch, torch.bfloat16)
    calls = install(grad_rows(only=(torch.bfloat16, torch.float16)))
    learnt(load(tiny_models["llama"]), batch)
    assert not calls
    # under autocast some of them come in float32
    packed = learnt(load(tiny_models["llama"]), batch, torch.bfloat16)
    assert calls
    assert_alike(packed, padded, within=0.02)


@pytest.mark.parametrize(
    "fault", [{"causal": False}, {"gradient": 1.5}, {"only": (torch.float16,)}], ids=str
)
def test_a_kernel_that_computes_something_else_is_left_alone(
    tiny_models: dict[str, Path],
    batch: Batch,
    install: Callable[[Kernel], list[int]],
    fault: dict[str, Any],
) -> None:
    expected = learnt(load(tiny_models["qwen3"]), batch)
    calls = install(grad_rows(**fault))
    found = learnt(load(tiny_models["qwen3"]), batch)
    assert not calls
    assert found[0] == expected[0] and torch.equal(found[1], expected[1])


def test_what_drops_out_is_padded_while_it_learns(
    tiny_models: dict[str, Path], batch: Batch, install: Callable[[Kernel], list[int]]
) -> None:
    """The kernel knows no dropout."""
    calls = install(grad_rows())
    model = load(tiny_models["llama"])
    for block in model.model.layers:
        block.self_attn.attention_dropout = 0.5
    batch_loss = BatchLoss(model.train())
    calls.clear()
    batch_loss.backward(batch, 7)
    assert not calls
    model.eval()
    batch_loss.summed(batch)
    assert calls


@pytest.mark.parametrize("refused", [4, 3])
def test_one_layer_whose_heads_have_no_kernel_leaves_all_padded(
    tiny_models: dict[str, Path], batch: Batch, install: Callable[[Kernel], list[int]], refused: int
) -> None:
    """What heads a model's layers have is seen, whatever its config says."""
    model = load(tiny_models["llama"])
    attention = model.model.layers[1].self_attn  # of two heads of 16 numbers become four of 8
    attention.head_dim, attention.num_key_value_groups = 8, 2
    model.model.rotary_emb = Rotary(model.model.rotary_emb)
    usual = grad_rows()

    def kernel(query: torch.Tensor, *values: Any) -> torch.Tensor:
        if query.shape[1] == refused:
            raise RuntimeError("no kernel for so many heads")
        return usual(query, *values)

    expected = learnt(model, batch)
    model.zero_grad()
    calls = install(kernel)
    found = learnt(model, batch)
    assert bool(calls) == (refused == 3)
    assert_alike(found, expected)


class Rotary(torch.nn.Module):
    """Gives every layer as many positions' numbers as its heads need: none are turned."""

    def __init__(self, usual: torch.nn.Module) -> None:
        super().__init__()
        self.usual = usual

    def forward(
        self, hidden: torch.Tensor, position_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = self.usual(hidden, position_ids)
        return torch.ones_like(cos[..., :1]), torch.zeros_like(sin[..., :1])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_values_narrower_than_keys_are_padded(
    batch: Batch, install: Callable[[Kernel], list[int]], *, checkpointing: bool
) -> None:
    """As multi-head latent attention has them, whose config names the width of neither."""
    from transformers import AutoModelForCausalLM, DeepseekV3Config

    config = DeepseekV3Config(
        vocab_size=8192,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        first_k_dense_replace=3,
        q_lora_rank=8,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=0,
    )
    torch.manual_seed(3)
    model: Any = AutoModelForCausalLM.from_config(config).eval()
    expected = learnt(model, batch)
    model.zero_grad()
    calls = install(grad_rows())
    if checkpointing:
        enable_gradient_checkpointing(model)
        model.train()
    found = learnt(model, batch)
    assert not calls
    assert_alike(found, expected)


def test_pytorchs_own_kernel_is_not_for_a_cpu() -> None:
    varlen_attention.has_kernel.cache_clear()
    assert not varlen_attention.has_kernel(
        torch.device("cpu"), torch.bfloat16, varlen_attention.Heads(2, 2, 8, 8)
    )
