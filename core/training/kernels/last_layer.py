"""The last layer computed only where its output is read: where something is learnt.

Shapes: N tokens of a flat row, R of them read, D numbers a token.

What a prompt's tokens are for in the last layer are the keys and values that an answer attends to.
Their own queries, and all that comes after attention, reach no logit that is asked for, and their
gradients are zero. The output layer is left out there in any case (batch_loss.py); here the same is done
for the modules before it that work on each token by itself: they get the rows that are read, and
what they make is put back among zeros, so that the model's own code finds the shape that it
expects.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from core.models.layout import blocks_of
from core.training.kernels.flat_batch import KEYWORD, FlatBatch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# as transformers calls them in its Llama-like layouts and in GPT-2's
_NAMES = ("mlp", "q_proj", "o_proj", "c_proj")


class _ReadPositions:
    """What the last layer is computing at present."""

    def __init__(self) -> None:
        # (R,): the tokens that are read, or None where all are
        self.rows: torch.Tensor | None = None

    def begin(self, _layer: torch.nn.Module, _values: Any, named: dict[str, Any]) -> None:
        rows: FlatBatch | None = named.get(KEYWORD)
        compiles = torch.compiler.is_compiling()
        self.rows = (
            rows.unique_positions
            if rows and not compiles and len(rows.unique_positions) < rows.ids.shape[1]
            else None
        )

    def end(self, *_values: Any) -> None:
        self.rows = None


def skip_unread_positions(model: "PreTrainedModel") -> Callable[[], None]:
    """Compute a model's last layer on flat rows only where it is read; return how to undo it.

    Whether a model bears it must be tried. Left as it is where gradient checkpointing calls that
    layer a second time in the backward, without the hooks that tell what is read.
    """
    read_positions = _ReadPositions()
    blocks = blocks_of(model)
    if not blocks or getattr(
        blocks[-1], "gradient_checkpointing", model.is_activation_checkpointing
    ):
        return lambda: None
    layer, modules = blocks[-1], read_modules(blocks[-1])
    before = [(module, module.__dict__.get("forward")) for module in modules]
    for module in modules:
        module.forward = partial(_at_read_positions, read_positions, module.forward)
    hooks = [
        layer.register_forward_pre_hook(read_positions.begin, with_kwargs=True),
        layer.register_forward_hook(read_positions.end, always_call=True),
    ]

    def undo() -> None:
        for hook in hooks:
            hook.remove()
        for module, forward in before:
            if forward is None:
                del module.__dict__["forward"]
            else:
                module.forward = forward

    return undo


def read_modules(layer: torch.nn.Module) -> list[torch.nn.Module]:
    """Return those of a layer's modules that need not work on a token which nothing reads, none
    inside another.
    """
    found: dict[str, torch.nn.Module] = {}
    for name, module in layer.named_modules():  # a module comes before what is in it
        if name.rpartition(".")[2] in _NAMES and not any(
            name.startswith(f"{outer}.") for outer in found
        ):
            found[name] = module
    return list(found.values())


def _at_read_positions(
    read_positions: _ReadPositions,
    original_forward: Callable[..., Any],
    x: torch.Tensor,
    *values: Any,
    **named: Any,
) -> Any:
    """Return what a module makes of (1, N, D), zeros where nothing reads it."""
    if read_positions.rows is None:
        return original_forward(x, *values, **named)
    part = original_forward(x.index_select(1, read_positions.rows), *values, **named)
    return part.new_zeros(1, x.shape[1], part.shape[-1]).index_copy(1, read_positions.rows, part)
