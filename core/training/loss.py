"""The loss of a batch through an unchanged transformers model. Knows no optimiser and no schedule.

Shapes: B rows, T positions, K positions at which any row is trained, V vocabulary.

Two things that transformers would do are left out because they change nothing: the attention mask (right padding under a
causal mask is never attended by a real token) and logits at positions where no row has a target.
"""

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from core.models.loading import can_choose_positions
from core.prompts.batches import IGNORED, Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def summed_loss(model: "PreTrainedModel", batch: Batch) -> torch.Tensor:
    """Return the cross-entropy summed over the batch's trained tokens, in nats: a scalar with a graph."""
    device = next(model.parameters()).device
    inputs, targets = batch.inputs.to(device), batch.targets.to(device)  # (B, T)
    columns = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)  # (K,)
    if can_choose_positions(model):
        logits = model(input_ids=inputs, use_cache=False, logits_to_keep=columns).logits  # (B, K, V)
    else:
        logits = model(input_ids=inputs, use_cache=False).logits[:, columns]
    seen = targets[:, columns] != IGNORED  # (B, K)
    return functional.cross_entropy(logits[seen].float(), targets[:, columns][seen], reduction="sum")
