"""Attention over rows that stand one after the other, without padding: FlashAttention's kernel for
rows of unequal length.

Shapes: P tokens of all rows, B rows, H heads of queries, G heads of keys and values, D numbers a
head.

PyTorch has it for some GPUs and 16-bit numbers. Whether it is there for certain heads, forward and
backward, is not looked up but tried, beside PyTorch's usual attention.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch.nn import functional

_PROBE_LENGTHS = [5, 1, 9]
# of the numbers' size; rounding to bfloat16 makes a quarter of it, another attention far more
_TOLERANCE = 0.02


class Heads(NamedTuple):
    """What a layer attends with."""

    queries: int
    keys: int  # and values
    width: int  # numbers a query or key has
    value_width: int


def attend_packed(
    query: torch.Tensor,  # (P, H, D)
    key: torch.Tensor,  # (P, G, D)
    value: torch.Tensor,  # (P, G, D)
    bounds: torch.Tensor,  # (B + 1,), int32: where each row begins, and P
    longest: int,
    scale: float | None,
) -> torch.Tensor:
    """Attend causally within each row, by heads that there is a kernel for, and return (P, H, D)."""
    kind = query.device.type
    if torch.is_autocast_enabled(kind):  # which knows PyTorch's attention, but not this kernel
        query, key, value = (
            part.to(torch.get_autocast_dtype(kind)) for part in (query, key, value)
        )
    return _kernel(query, key, value, bounds, longest, scale)


@cache
def has_kernel(device: torch.device, precision: torch.dtype, heads: Heads) -> bool:
    """Return whether the kernel gives for such heads what PyTorch's usual attention gives, and its
    gradients.
    """
    # as multi-head latent attention has it: the kernel wants one width
    if heads.width != heads.value_width:
        return False
    places = sum(_PROBE_LENGTHS)
    rng = torch.Generator().manual_seed(1)
    shapes = [(places, count, heads.width) for count in (heads.queries, heads.keys, heads.keys)]
    inputs = [torch.randn(shape, generator=rng).to(device, precision) for shape in shapes]
    bounds = (
        torch.tensor([0, *_PROBE_LENGTHS], dtype=torch.int32)
        .cumsum(0, dtype=torch.int32)
        .to(device)
    )
    try:
        found = _with_gradients(
            inputs, lambda q, k, v: _kernel(q, k, v, bounds, max(_PROBE_LENGTHS), None)
        )
    except Exception:  # whatever a device objects to: padded rows serve every one
        return False
    return all(map(_agree, found, _with_gradients(inputs, _row_by_row)))


def _kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    scale: float | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    shares_heads = query.shape[1] != key.shape[1]
    causal = (-1, 0)  # as far back as there is, and not ahead
    attended = varlen_attn(
        query,
        key,
        value,
        bounds,
        bounds,
        longest,
        longest,
        scale=scale,
        window_size=causal,
        enable_gqa=shares_heads,
    )
    # it is a pair only where its normalisers are asked for
    assert isinstance(attended, torch.Tensor)
    return attended


@torch.enable_grad()
def _with_gradients(
    inputs: Sequence[torch.Tensor], attend: Callable[..., torch.Tensor]
) -> list[torch.Tensor]:
    """Return what comes of queries, keys and values, and the gradients by them of a weighted sum of
    it.
    """
    leaves = [part.detach().requires_grad_() for part in inputs]
    attended = attend(*leaves)
    weights = torch.linspace(
        -1.0, 1.0, attended.numel(), device=attended.device, dtype=attended.dtype
    ).view_as(attended)
    return [attended.detach(), *torch.autograd.grad(attended, leaves, weights)]


def _row_by_row(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attend by PyTorch's usual kernel, a row at a time."""
    shares_heads = query.shape[1] != key.shape[1]
    attended = []
    for rows in zip(
        *(torch.split(part, _PROBE_LENGTHS) for part in (query, key, value)), strict=True
    ):
        q, k, v = (row.transpose(0, 1)[None] for row in rows)  # (1, H, T, D)
        found = functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=shares_heads
        )
        attended.append(found[0].transpose(0, 1))
    return torch.cat(attended)


def _agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return whether numbers are the same but for rounding."""
    return bool((found.float() - expected.float()).norm() <= _TOLERANCE * expected.float().norm())
