"""A batch as tensors. Knows no model.

Shapes: B rows of a batch, T positions (longest row of the batch less one).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core.prompts.collate import IGNORED, pad_rows
from core.prompts.encoder import EncodedRow


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
    """Return rows as tensors, padded and masked as ``pad_rows`` says."""
    padded = pad_rows(rows, pad_id, mask_prompt=mask_prompt)
    arrays = (padded.inputs, padded.targets, padded.lengths)
    return Batch(*(torch.from_numpy(array) for array in arrays))
