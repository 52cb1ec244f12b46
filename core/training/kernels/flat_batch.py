"""A batch as one flat row of tokens: no padding is computed, and what rows begin with in common
only once.

Shapes: B rows of a group, T positions of its longest, P places of all groups (B · T of each, one
group after the other), N tokens of the flat row, R of them where something is learnt, K trained
tokens (two rows may learn different ones at the same place), H heads, D numbers a head.

Everything but attention works on each token by itself, so a transformers model computes a flat row
as it is; attention, registered under a name of our own, puts the rows together again and hands them
to PyTorch's causal kernel, padded in groups of like length, or to FlashAttention's, one after the
other (varlen_attention.py). Computing a common beginning once is exact because attention is causal, and
autograd sums the gradients of all rows through it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import torch

from core.prompts.collate import IGNORED
from core.training.kernels.batch import Batch
from core.training.kernels.varlen_attention import Heads, attend_packed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAME = "fuata_flat_rows"
Layout = Literal["grouped", "padded", "packed"]  # how rows come to attention: see flatten
# what another call of a CPU's attention kernel costs, in places that it goes over: measured, see
# benchmarks/LOG.md
_SET_UP = 100**2


@dataclass(frozen=True, slots=True)
class FlatBatch:
    """A batch without padding and repetition: the nodes of the tree that its rows are the branches
    of.
    """

    ids: torch.Tensor  # (1, N)
    positions: torch.Tensor  # (1, N): each token's place in its rows
    loss_positions: torch.Tensor  # (K,): where in the flat row something is learnt
    targets: torch.Tensor  # (K,)
    counts: torch.Tensor  # (K,): how many rows learn it
    unique_positions: torch.Tensor  # (R,): the places in ``kept``, in order, each once
    # (P,): the flat token at each place of the padded groups; padding takes the first
    gather_index: torch.Tensor
    gather_back: torch.Tensor  # (N,): a place of each flat token in the padded groups
    groups: tuple[tuple[int, int], ...]  # B and T of each
    # (B + 1,): of packed rows, the place where each begins, and P
    bounds: torch.Tensor | None = None


def flatten(batch: Batch, device: torch.device, *, shares: bool, layout: Layout) -> FlatBatch:
    """Return a batch's tokens in one row; with ``shares`` a token that follows the same beginning
    in several rows is one.

    Attention takes them ``grouped``, rows of like length padded together, as suits a CPU;
    ``padded``, all rows together; or ``packed``, one after the other without padding.
    """
    lengths = batch.lengths.tolist()
    found, starts = (
        _packed(lengths)
        if layout == "packed"
        else _grouped(lengths, _SET_UP if layout == "grouped" else math.inf)
    )
    nodes: dict[tuple[int, int], int] = {}  # (node before it, id) to node
    label_counts: dict[tuple[int, int], int] = {}  # (node, target) to the number of rows
    gather_index = [0] * sum(count * length for count, length in found)
    ids: list[int] = []
    positions: list[int] = []
    gather_back: list[int] = []
    for row, (inputs, targets) in enumerate(
        zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)
    ):
        node = -1 if shares else -1 - row  # a root of its own keeps a row's tokens to itself
        for position in range(lengths[row]):
            node = nodes.setdefault((node, inputs[position]), len(nodes))
            if node == len(gather_back):
                ids.append(inputs[position])
                positions.append(position)
                gather_back.append(starts[row] + position)
            gather_index[starts[row] + position] = node
            if targets[position] != IGNORED:
                label_counts[node, targets[position]] = (
                    label_counts.get((node, targets[position]), 0) + 1
                )
    pairs = torch.tensor(list(label_counts)).reshape(-1, 2)
    return FlatBatch(
        ids=moved(torch.tensor([ids]), device),
        positions=moved(torch.tensor([positions]), device),
        loss_positions=moved(pairs[:, 0], device),
        targets=moved(pairs[:, 1], device),
        counts=moved(torch.tensor(list(label_counts.values()), dtype=torch.float32), device),
        unique_positions=moved(
            torch.tensor(sorted({node for node, _ in label_counts}), dtype=torch.int64), device
        ),
        gather_index=moved(torch.tensor(gather_index), device),
        gather_back=moved(torch.tensor(gather_back), device),
        groups=found,
        bounds=moved(torch.tensor([*starts, len(gather_index)], dtype=torch.int32), device)
        if layout == "packed"
        else None,
    )


def _packed(lengths: Sequence[int]) -> tuple[tuple[tuple[int, int], ...], list[int]]:
    """Return each row as a group of its own, (1, T), and where it begins."""
    return tuple((1, length) for length in lengths), [0, *accumulate(lengths[:-1])]


def _grouped(
    lengths: Sequence[int], set_up: float
) -> tuple[tuple[tuple[int, int], ...], list[int]]:
    """Return the groups of like length that attention takes least time for, (B, T) of each, and
    where each row begins in them.

    The time is counted in places, B · T² a group, and what setting the kernel up for another group
    costs.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    # of the rows from here on: their time, and the next group
    best: list[tuple[float, int]] = [(0.0, 0)] * (len(order) + 1)
    for at in reversed(range(len(order))):
        longest = lengths[order[at]]
        best[at] = min(
            ((end - at) * longest**2 + set_up + best[end][0], -end)
            for end in range(at + 1, len(order) + 1)
        )
    groups, starts, at, slots = [], [0] * len(lengths), 0, 0
    while at < len(order):
        end, longest = -best[at][1], lengths[order[at]]
        for row in order[at:end]:
            starts[row] = slots
            slots += longest
        groups.append((end - at, longest))
        at = end
    return tuple(groups), starts


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of ours on a device, without waiting for what a GPU is still at."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.contiguous().pin_memory().to(device, non_blocking=True)


def register_flat_attention(model: "PreTrainedModel") -> None:
    """Make a model's attention one that knows flat rows; calls without any go on as before."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(_NAME, _flat_attention)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation(_NAME)


@contextmanager
def flat_call(rows: FlatBatch) -> Iterator[dict[str, Any]]:
    """Give a block the arguments, besides the tokens, with which a model is called on flat rows.

    The mask is there for its four dimensions: transformers hands such a one on as it is, and our
    attention looks at none. Without it would look for packed rows among the positions at every
    call, and let us wait for the GPU.
    """
    token = _current.set(rows)
    mask = torch.zeros(1, 1, 1, 1, device=rows.ids.device)
    try:
        yield {
            "position_ids": rows.positions,
            "attention_mask": mask,
            "use_cache": False,
            KEYWORD: rows,
        }
    finally:
        _current.reset(token)


@contextmanager
def recording_heads() -> Iterator[set[Heads]]:
    """Give a block the set of the heads that layers attend to flat rows with in it."""
    seen: set[Heads] = set()
    token = _heads_seen.set(seen)
    try:
        yield seen
    finally:
        _heads_seen.reset(token)


# handed through the model to attention, so that gradient checkpointing finds it again in the
# backward
KEYWORD = "flat_rows"
_current: ContextVar[FlatBatch | None] = ContextVar("flat_rows", default=None)
_heads_seen: ContextVar[set[Heads] | None] = ContextVar("heads_seen", default=None)


def _flat_attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # (1, H, N, D), as transformers lays it out
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **named: Any,
) -> tuple[torch.Tensor, Any]:
    """Attend within each row and return (1, N, H, D)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows: FlatBatch | None = named.pop(KEYWORD, None)
    if rows is None:
        if _current.get() is not None:
            raise NotImplementedError("the model does not hand its keyword arguments to attention")
        attended_usually: tuple[torch.Tensor, Any] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **named
        )
        return attended_usually
    if not torch.compiler.is_compiling() and (seen := _heads_seen.get()) is not None:
        seen.add(Heads(query.shape[1], key.shape[1], key.shape[3], value.shape[3]))
    # queries, keys and values, each of shape P, H, D
    together = [
        part.squeeze(0).transpose(0, 1).index_select(0, rows.gather_index)
        for part in (query, key, value)
    ]
    if rows.bounds is not None:
        longest = max(length for _, length in rows.groups)
        packed = attend_packed(
            together[0], together[1], together[2], rows.bounds, longest, named.get("scaling")
        )
        return packed.index_select(0, rows.gather_back)[None], None
    attended = [
        # (B · T, H, D)
        sdpa_attention_forward(module, *padded, None, is_causal=True, **named)[0].flatten(0, 1)
        for padded in zip(*(_padded(part, rows.groups) for part in together), strict=True)
    ]
    slots = attended[0] if len(attended) == 1 else torch.cat(attended)
    return slots.index_select(0, rows.gather_back)[None], None


def _padded(together: torch.Tensor, groups: Sequence[tuple[int, int]]) -> list[torch.Tensor]:
    """Return all places, (P, H, D), as the padded rows of each group, (B, H, T, D)."""
    parts = torch.split(together, [count * length for count, length in groups])
    return [
        part.view(*group, *part.shape[1:]).transpose(1, 2)
        for part, group in zip(parts, groups, strict=True)
    ]
