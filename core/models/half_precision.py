"""Matrices that nothing trains, held in the numbers that products are computed in.

Knows no training. Autocast rounds a float32 matrix whenever it multiplies by it. One that never
changes can be held rounded, in half the memory, and gives the same products. Where no autocast is
on, it is multiplied by in the numbers of what it meets.
"""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel


def cast_frozen_weights(model: "PreTrainedModel", precision: torch.dtype) -> None:
    """Hold the linear layers' matrices that are not trained in ``precision``, where only products
    read them.

    Left as they are: what two modules share, as an output layer that is the input layer too, and
    what an adapter reads otherwise, as DoRA reads the length of its columns.
    """
    from transformers.pytorch_utils import Conv1D

    owners = Counter(
        id(weight) for module in model.modules() for weight in module.parameters(recurse=False)
    )
    adapted: list[Any] = [
        module for module in model.modules() if getattr(module, "lora_variant", None)
    ]
    read_otherwise = {layer.get_base_layer() for layer in adapted}
    for module in model.modules():
        if type(module) not in {torch.nn.Linear, Conv1D} or module in read_otherwise:
            continue
        weight: Any = module.weight
        if not weight.requires_grad and owners[id(weight)] == 1:
            module.weight = torch.nn.Parameter(weight.to(precision), requires_grad=False)
            module.forward = partial(_matmul_in_input_dtype, module, module.forward)


def _matmul_in_input_dtype(
    layer: Any, original_forward: "Callable[[torch.Tensor], torch.Tensor]", x: torch.Tensor
) -> torch.Tensor:
    """Return a layer's output for (…, I) inputs: (…, O)."""
    if torch.is_autocast_enabled(x.device.type) or x.dtype == layer.weight.dtype:
        return original_forward(x)
    matrix = layer.weight.to(x.dtype)
    return functional.linear(
        x, matrix if isinstance(layer, torch.nn.Linear) else matrix.T, layer.bias
    )
