"""One token more of every text by a model of GPT-2's layout (Radford et al. 2019): the same numbers as
transformers' modules, with less on the way between the products.

Shapes: A texts, E numbers of a position, H heads, D numbers of a head, V vocabulary.
"""

from typing import Any

import torch
from torch.nn import functional

from core.generation.slot_cache import SlotCache
from core.models.weights import UnknownLayoutError, weights_of

_GELU = {"gelu_new", "gelu_pytorch_tanh"}  # one function by two names


class GPT2Step:
    """The weights of a model."""

    def __init__(self, model: Any) -> None:
        """Read a model's weights. Raises UnknownLayoutError where a layer is none that is known."""
        decoder, head, config = model.get_decoder(), model.get_output_embeddings(), model.config
        is_odd = config.scale_attn_by_inverse_layer_idx or config.add_cross_attention
        is_odd |= config.activation_function not in _GELU or not config.scale_attn_weights
        if (
            is_odd
            or type(decoder.wte) is not torch.nn.Embedding
            or type(head) is not torch.nn.Linear
        ):
            raise UnknownLayoutError
        self.tokens, self.places = decoder.wte, decoder.wpe
        self.norm, self.head = decoder.ln_f, head
        self.blocks = [_Block(block, config.n_head) for block in decoder.h]

    def __call__(
        self, ids: torch.Tensor, cache: SlotCache, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Read a token of each text, (A,), and return the logits after it, (A, V)."""
        states = self.tokens(ids) + self.places(cache.positions)  # (A, E)
        for block, layer in zip(self.blocks, cache.layers, strict=True):
            states = block(states, layer, mask)
        logits: torch.Tensor = self.head(self.norm(states))
        return logits


class _Block:
    """Attention and the inner layer of one block."""

    def __init__(self, block: Any, heads: int) -> None:
        self.heads = heads
        self.before, self.between = block.ln_1, block.ln_2
        self.into_heads, self.out_of_heads = map(_product, (block.attn.c_attn, block.attn.c_proj))
        self.into_inner, self.out_of_inner = map(_product, (block.mlp.c_fc, block.mlp.c_proj))

    def __call__(self, states: torch.Tensor, layer: Any, mask: torch.Tensor | None) -> torch.Tensor:
        """Let the texts' numbers, (A, E), pass through the block."""
        weight, bias = self.into_heads
        heads = torch.addmm(bias, self.before(states), weight)
        heads = heads.view(len(heads), 3, self.heads, -1)
        queries, keys, values = heads[:, :, :, None].unbind(1)  # (A, H, 1, D) each
        known, said = layer.update(keys, values)
        mixed = functional.scaled_dot_product_attention(queries, known, said, attn_mask=mask)
        states = states + torch.addmm(self.out_of_heads[1], mixed.flatten(1), self.out_of_heads[0])
        weight, bias = self.into_inner
        inner = functional.gelu(torch.addmm(bias, self.between(states), weight), approximate="tanh")
        return states + torch.addmm(self.out_of_inner[1], inner, self.out_of_inner[0])


def _product(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a layer's weights, (inputs, outputs), and its bias."""
    weight, bias = weights_of(layer)
    if bias is None:
        raise UnknownLayoutError
    return weight, bias
