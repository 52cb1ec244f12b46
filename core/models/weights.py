"""The weights that a layer multiplies with, an adapter's share added. Knows no model."""

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

Weights = tuple[torch.Tensor, torch.Tensor | None]  # and the bias


class UnknownLayoutError(Exception):
    """A layer computes something else than a product with its weights."""


def weights_of(layer: Any) -> Weights:
    """Return a layer's weights as they lie, and its bias.

    Raises UnknownLayoutError for one that is neither a linear layer nor one with a plain LoRA
    adapter (Hu et al., arXiv 2106.09685).
    """
    base = layer
    if type(layer) not in {torch.nn.Linear, Conv1D}:
        base = _under_adapter(layer)
    weight, bias = base.weight.detach(), base.bias
    if base is not layer and not layer.merged and not layer.disable_adapters:
        for name in layer.active_adapters:
            if name in layer.lora_A:
                weight = weight + layer.get_delta_weight(name).detach()
    return weight, None if bias is None else bias.detach()


def _under_adapter(layer: Any) -> Any:
    base = getattr(layer, "base_layer", None)
    variants = getattr(layer, "lora_variant", True)  # of LoRA, which compute something else besides
    biases = getattr(layer, "lora_bias", {})
    if type(base) not in {torch.nn.Linear, Conv1D} or variants or any(biases.values()):
        raise UnknownLayoutError
    return base


def as_product(*layers: Any) -> Weights:
    """Return the weights of linear layers that read the same so that one product makes what all of
    them make: (inputs, sum of outputs), in the order in which a product of few rows is quickest.

    Raises UnknownLayoutError.
    """
    parts = [weights_of(layer) for layer in layers]
    biases = [bias for _, bias in parts if bias is not None]
    if len(biases) not in {0, len(parts)}:
        raise UnknownLayoutError
    together = torch.cat([weight for weight, _ in parts]).t().contiguous()
    return together, torch.cat(biases) if biases else None
