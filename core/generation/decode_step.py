"""One token more of every text: from the weights themselves where the layout is known, else from
transformers' modules, in which a small model spends most of its time on the way between products.

Shapes: A texts, V vocabulary, L positions of the longest.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import psutil
import torch

from core.generation.gpt2_step import GPT2Step
from core.generation.llama_step import LlamaStep
from core.generation.slot_cache import SlotCache
from core.models.layout import base_of
from core.models.masks import as_attention_takes
from core.models.weights import UnknownLayoutError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SHARE_OF_FREE_MEMORY = 0.25  # that weights put side by side may take
_LAYOUTS: dict[str, Callable[[Any], "DecodeStep"]] = {
    "gpt2": GPT2Step, "llama": LlamaStep, "mistral": LlamaStep, "qwen2": LlamaStep,
    "qwen3": LlamaStep,
}  # fmt: skip


class DecodeStep(Protocol):
    """How a token of every text is read."""

    def __call__(
        self, ids: torch.Tensor, cache: SlotCache, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Read a token of each text, (A,), at its next position; return the logits after it, (A, V).

        ``mask`` says which positions each attends to, (A, 1, 1, L); None is all.
        """


# of models that nobody trains; None for one whose layers are not as its layout has them
_steps: "WeakKeyDictionary[PreTrainedModel, DecodeStep | None]" = WeakKeyDictionary()


def find_decode_step(model: "PreTrainedModel") -> DecodeStep:
    """Return the quickest way to read one token of many texts with the weights as they are now.

    It is kept for a model that takes no gradients; another's weights may change at any time.
    """
    if not _is_plain(model):
        return _ModulesStep(model)
    if any(weights.requires_grad for weights in model.parameters()):
        return _read_weights(model) or _ModulesStep(model)
    if model not in _steps:
        _steps[model] = _read_weights(model)
    return _steps[model] or _ModulesStep(model)


def _read_weights(model: "PreTrainedModel") -> DecodeStep | None:
    layout = _LAYOUTS.get(str(base_of(model).config.model_type))
    size = sum(weights.numel() * weights.element_size() for weights in model.parameters())
    if layout is None or size > _SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available:
        return None
    try:
        return layout(base_of(model))
    except UnknownLayoutError:
        return None


def _is_plain(model: "PreTrainedModel") -> bool:
    """Return whether a model computes in float32 on the CPU, where its modules' own time counts."""
    is_other = model.training or torch.is_autocast_enabled("cpu")
    return model.device.type == "cpu" and model.dtype == torch.float32 and not is_other


class _ModulesStep:
    """A step through transformers' modules."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self.model = model

    def __call__(
        self, ids: torch.Tensor, cache: SlotCache, mask: torch.Tensor | None
    ) -> torch.Tensor:
        given: dict[str, Any] = {}
        if mask is not None:
            given["attention_mask"] = as_attention_takes(mask, self.model)
        output = self.model(
            input_ids=ids[:, None],
            position_ids=cache.positions[:, None],
            past_key_values=cache,
            use_cache=True,
            **given,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits
