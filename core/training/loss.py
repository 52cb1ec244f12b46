"""The loss of a batch through an unchanged transformers model. Knows no optimiser and no schedule.

Shapes: B rows, T positions, P positions of the shared prefix, K positions at which any row is trained, V vocabulary.

Three things are done otherwise than a plain call would, and change nothing but the time it takes: no attention mask is
given (right padding under a causal mask is never attended by a real token); logits are computed only where some row has a
target; and a prefix that all rows share is computed once, its keys and values serving every row. The last is exact because
attention is causal and autograd sums the gradients through the shared keys and values; it is left out where a model has
dropout, which must differ from row to row.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from core.models.loading import can_choose_positions
from core.prompts.batches import IGNORED, Batch

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel

_SHORTEST_PREFIX = 16  # tokens; below, a second call costs more than it saves


def summed_loss(model: "PreTrainedModel", batch: Batch) -> torch.Tensor:
    """Return the cross-entropy summed over the batch's trained tokens, in nats: a scalar with a graph."""
    device = next(model.parameters()).device
    inputs, targets = batch.inputs.to(device), batch.targets.to(device)  # (B, T)
    columns = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)  # (K,)
    logits = _logits(model, inputs, columns, batch.shared_prefix)  # (B, K, V)
    seen = targets[:, columns] != IGNORED  # (B, K)
    return functional.cross_entropy(logits[seen].float(), targets[:, columns][seen], reduction="sum")


def can_share_prefix(model: "PreTrainedModel") -> bool:
    """Tell whether keys and values of a prefix may serve all rows: full attention throughout and no dropout at work."""
    config = model.config
    layers = getattr(config, "layer_types", None) or []
    if any(kind != "full_attention" for kind in layers) or getattr(config, "sliding_window", None):
        return False
    if model.training and getattr(config, "attention_dropout", 0.0):
        return False
    return not any(isinstance(m, torch.nn.Dropout) and m.training and m.p > 0 for m in model.modules())


def _logits(model: "PreTrainedModel", inputs: torch.Tensor, columns: torch.Tensor, shared: int) -> torch.Tensor:
    """Return logits at the wanted columns: (B, T), (K,) → (B, K, V)."""
    chooses = can_choose_positions(model)
    cache = None
    if chooses and inputs.shape[0] > 1 and shared >= _SHORTEST_PREFIX and can_share_prefix(model):
        cache = _prefix_cache(model, inputs[:1, :shared], inputs.shape[0])
    if cache is None:
        wanted: dict[str, Any] = {"logits_to_keep": columns} if chooses else {}
        logits: torch.Tensor = model(input_ids=inputs, use_cache=False, **wanted).logits
        return logits if chooses else logits[:, columns]
    rest: torch.Tensor = model(
        input_ids=inputs[:, shared:], past_key_values=cache, use_cache=True, logits_to_keep=columns - shared
    ).logits
    return rest


def _prefix_cache(model: "PreTrainedModel", prefix: torch.Tensor, rows: int) -> "DynamicCache | None":
    """Return the keys and values of a prefix, (1, P), for ``rows`` rows; None for a model that keeps another kind of state."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    once = model(input_ids=prefix, use_cache=True, logits_to_keep=1).past_key_values
    if type(once) is not DynamicCache or any(type(layer) is not DynamicLayer for layer in once.layers):
        return None
    cache = DynamicCache()
    for index, layer in enumerate(once.layers):
        cache.update(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1), index)
    return cache
