"""Rows of ids become padded arrays with shifted targets. Knows no tensor, no model and no text.

Shapes: B rows of a batch, T positions (longest row of the batch less one).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.prompts.encoder import EncodedRow

Ids = NDArray[np.int64]
IGNORED = -100  # the target value that cross-entropy skips
# batches sorted by length together: long enough for little padding, short enough to stay random
_BUCKET_BATCHES = 16


@dataclass(frozen=True, slots=True)
class PaddedRows:
    """What one forward pass needs, as arrays."""

    inputs: Ids  # (B, T) ids, padded on the right
    targets: Ids  # (B, T): inputs shifted by one; IGNORED where nothing is learnt
    lengths: Ids  # (B,): inputs of each row before padding


def pad_rows(rows: Sequence[EncodedRow], pad_id: int, *, mask_prompt: bool) -> PaddedRows:
    """Pad rows to the longest and shift targets by one.

    Targets are IGNORED on padding (the row's own end token, which precedes it, is learnt) and, with
    ``mask_prompt``, on every token the style does not mark as trained.
    """
    length = max(len(row.ids) for row in rows) - 1
    inputs = np.full((len(rows), length), pad_id, dtype=np.int64)  # (B, T)
    targets = np.full((len(rows), length), IGNORED, dtype=np.int64)  # (B, T)
    for index, row in enumerate(rows):
        ids = np.frombuffer(row.ids, dtype=np.int32)
        inputs[index, : len(ids) - 1] = ids[:-1]
        trained = np.frombuffer(row.trained, dtype=np.bool_)[1:]
        is_seen = trained if mask_prompt else np.ones_like(trained)
        targets[index, : len(ids) - 1] = np.where(is_seen, ids[1:], IGNORED)
    return PaddedRows(inputs, targets, np.array([len(row.ids) - 1 for row in rows], dtype=np.int64))


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
