"""What a model's attention is told of which positions it may look at. Knows no task."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def sliding_window(model: "PreTrainedModel") -> int | None:
    """Return how many positions every layer of a model attends to, None for all."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if not isinstance(window, int) or getattr(config, "use_sliding_window", True) is False:
        return None
    return window if not kinds or kinds == {"sliding_attention"} else None


def as_attention_takes(mask: torch.Tensor, model: "PreTrainedModel") -> torch.Tensor:
    """Return a mask of what is seen as the model's attention takes it: true or false, or what is
    added to the scores.
    """
    if getattr(model.config.get_text_config(), "_attn_implementation", "") == "sdpa":
        return mask
    lowest = torch.finfo(model.dtype).min
    return torch.zeros(mask.shape, dtype=model.dtype, device=mask.device).masked_fill(~mask, lowest)


def why_no_own_mask(model: "PreTrainedModel") -> str:
    """Return why a model's config rules out a mask that is the same for all its layers, '' where it
    does not.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention"}:
        return f"its layers are of kinds that keep no keys and values ({', '.join(sorted(kinds))})"
    if "local" in (getattr(config, "attention_layers", None) or ()):  # GPT-Neo's
        return "some of its layers see a window and others all"
    if isinstance(getattr(config, "window_size", None), int):
        return "its layers see a window of their own kind"
    window = getattr(config, "sliding_window", None)
    context = getattr(config, "max_position_embeddings", None) or 0
    if len(kinds) > 1 and isinstance(window, int) and window < context:
        return "some of its layers see a window and others all"
    return ""
