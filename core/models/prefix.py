"""What several texts begin with, read once. Knows no task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import DynamicCache

from core.models.load import takes_logits_to_keep

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def read_on(model: "PreTrainedModel", cache: DynamicCache, ids: Sequence[int], start: int) -> None:
    """Let a model read ``ids``, which stand from position ``start`` on, into a cache of one row."""
    positions = torch.arange(start, start + len(ids), device=model.device)[None]
    last_only = {"logits_to_keep": 1} if takes_logits_to_keep(model) else {}
    model(
        input_ids=torch.tensor([list(ids)], device=model.device),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **last_only,
    )


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    low, high = 0, most  # the first difference lies in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle)
    return low
