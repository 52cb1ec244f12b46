"""What several texts begin with, read once. Knows no task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import DynamicCache

from core.models.load import takes_logits_to_keep

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Beginning:
    """What several texts begin with: computed once, grown where others begin with more."""

    def __init__(self, model: "PreTrainedModel") -> None:
        """Nothing is computed yet."""
        self.model = model
        self.ids: tuple[int, ...] = ()
        self.cache: DynamicCache | None = None

    @torch.inference_mode()
    def computed(self, ids: Sequence[int]) -> DynamicCache | None:
        """Return the keys and values of ``ids``, which are not to be changed; None for no ids."""
        if not ids:
            return None
        known = shared_length(self.ids, tuple(ids))
        self.cache = _cut(self.cache, known) if self.cache is not None else DynamicCache()
        if known < len(ids):
            _read_on(self.model, self.cache, ids[known:], known)
        self.ids = tuple(ids)
        return self.cache


def _cut(cache: DynamicCache, length: int) -> DynamicCache:
    """Return the first tokens of a cache."""
    cut = DynamicCache()
    for number, layer in enumerate(cache.layers if length else ()):
        cut.update(layer.keys[:, :, :length], layer.values[:, :, :length], number)
    return cut


def _read_on(model: "PreTrainedModel", cache: DynamicCache, ids: Sequence[int], start: int) -> None:
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
