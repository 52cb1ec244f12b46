"""Where the parts of a transformers model are, whatever its layout and with an adapter or without."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def base_of(model: Any) -> "PreTrainedModel":
    """Return the transformers model under an adapter, or the model itself where it has none."""
    return cast(
        "PreTrainedModel", model.get_base_model() if hasattr(model, "get_base_model") else model
    )


def blocks_of(model: "PreTrainedModel") -> Sequence[torch.nn.Module]:
    """Return the decoder's blocks, first to last; none where they do not stand in one row."""
    lists = [
        child
        for child in base_of(model).get_decoder().children()
        if isinstance(child, torch.nn.ModuleList)
    ]
    return list(max(lists, key=len, default=()))
