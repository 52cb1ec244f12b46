"""Rows of ids become padded tensors with shifted targets. Knows no model and no text.

Shapes: B rows of a batch, T positions (longest row of the batch less one).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.prompts.encoder import EncodedRow

IGNORED = -100  # the target value that cross-entropy skips
# batches sorted by length together: long enough for little padding, short enough to stay random
_BUCKET_BATCHES = 16


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass needs."""

    inputs: torch.Tensor  # (B, T) int64 ids, padded on the right
    targets: torch.Tensor  # (B, T) int64: inputs shifted by one; IGNORED where nothing is learnt
    lengths: torch.Tensor  # (B,) int64: inputs of each row before padding

    @property
    def real_tokens(self) -> int:
        """How many ids the rows hold before padding."""
        return int(self.lengths.sum()) + len(self.lengths)

    @property
    def trained_tokens(self) -> int:
        """How many targets the loss sees."""
        return int((self.targets != IGNORED).sum())


def collate(rows: Sequence[EncodedRow], pad_id: int, *, mask_prompt: bool) -> Batch:
    """Pad rows to the longest and shift targets by one.

    Targets are IGNORED on padding (the row's own end token, which precedes it, is learnt) and, with
    ``mask_prompt``, on every token the style does not mark as trained.
    """
    length = max(len(row.ids) for row in rows) - 1
    inputs = torch.full((len(rows), length), pad_id, dtype=torch.int64)  # (B, T)
    targets = torch.full((len(rows), length), IGNORED, dtype=torch.int64)  # (B, T)
    for index, row in enumerate(rows):
        ids = torch.tensor(np.frombuffer(row.ids, dtype=np.int32), dtype=torch.int64)
        inputs[index, : len(ids) - 1] = ids[:-1]
        trained = torch.tensor(np.frombuffer(row.trained, dtype=np.bool_)[1:])
        seen = trained if mask_prompt else torch.ones_like(trained)
        targets[index, : len(ids) - 1] = torch.where(seen, ids[1:], IGNORED)
    lengths = torch.tensor([len(row.ids) - 1 for row in rows])
    return Batch(inputs, targets, lengths)


def plan_epoch(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the epoch's batches as lists of row indices: shuffled, with rows of like length
    together.

    A pure function of its arguments, so a resumed run finds its place again. Every index occurs
    exactly once; only the last batch of the shuffled order may be smaller.
    """
    rng = random.Random(f"{seed}:{epoch}")
    order = rng.sample(range(len(lengths)), len(lengths))
    window = batch_size * _BUCKET_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(order), window):
        near = sorted(order[start : start + window], key=lambda index: lengths[index])
        batches += [near[i : i + batch_size] for i in range(0, len(near), batch_size)]
    rng.shuffle(batches)
    return batches


def plan_evaluation(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return batches that cover every row once, longest first."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
