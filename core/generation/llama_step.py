"""One token more of every text by a model of Llama's layout (Touvron et al., arXiv 2302.13971), also
Mistral's and Qwen's: the same numbers as transformers' modules, with fewer and larger products.

Shapes: A texts, E numbers of a position, H heads of queries, K of keys and values, D numbers of a
head, F inner numbers of a block, V vocabulary.
"""

from typing import Any

import torch
from torch.nn import functional

from core.generation.slot_cache import SlotCache
from core.models.weights import UnknownLayoutError, Weights, as_product


class LlamaStep:
    """The weights of a model, put side by side where one product serves."""

    def __init__(self, model: Any) -> None:
        """Read a model's weights. Raises UnknownLayoutError where a layer is none that is known."""
        decoder, head = model.get_decoder(), model.get_output_embeddings()
        self.embedding = decoder.embed_tokens
        if type(self.embedding) is not torch.nn.Embedding or type(head) is not torch.nn.Linear:
            raise UnknownLayoutError
        self.rotary, self.norm, self.head = decoder.rotary_emb, _norm(decoder.norm), head
        self.blocks = [_Block(block) for block in decoder.layers]

    def __call__(
        self, ids: torch.Tensor, cache: SlotCache, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Read a token of each text, (A,), and return the logits after it, (A, V)."""
        states = self.embedding(ids)  # (A, E)
        cosines, sines = self.rotary(states, cache.positions[:, None])  # (A, 1, D) each
        half = sines.shape[-1] // 2
        signed = torch.cat((-sines[..., :half], sines[..., half:]), dim=-1)
        for block, layer in zip(self.blocks, cache.layers, strict=True):
            states = block(states, (cosines, signed), layer, mask)
        logits: torch.Tensor = self.head(self.norm(states))
        return logits


class _Norm:
    """Root-mean-square normalisation (Zhang and Sennrich, arXiv 1910.07467).

    By the length of each vector, which takes a third of the calls of torch's own on a CPU.
    """

    def __init__(self, weight: torch.Tensor, epsilon: float) -> None:
        self.weight, self.epsilon = weight.detach(), torch.tensor(epsilon)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        lengths = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
        squares = torch.addcmul(self.epsilon, lengths, lengths, value=1 / states.shape[-1])
        return states * squares.rsqrt_() * self.weight


class _Block:
    """Attention and the inner layer of one block."""

    def __init__(self, block: Any) -> None:
        attention, inner = block.self_attn, block.mlp
        self.before, self.between = (
            _norm(block.input_layernorm), _norm(block.post_attention_layernorm),
        )  # fmt: skip
        self.into_heads = as_product(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out_of_heads = as_product(attention.o_proj)
        self.into_inner = as_product(inner.gate_proj, inner.up_proj)
        self.out_of_inner = as_product(inner.down_proj)
        self.size, self.scaling = attention.head_dim, attention.scaling  # D
        rows = self.into_heads[0].shape[1] // self.size  # H + 2 K
        self.queries = self.out_of_heads[0].shape[0] // self.size  # H
        self.keys = (rows - self.queries) // 2  # K
        self.head_norm = _head_norm(attention, self.queries, self.keys)
        self.activation = inner.act_fn

    def __call__(
        self,
        states: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        layer: Any,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Let the texts' numbers, (A, E), pass through the block."""
        heads = _product(self.before(states), self.into_heads)
        heads = heads.view(len(heads), -1, self.size)  # (A, H + 2 K, D)
        turning, values = heads[:, : self.queries + self.keys], heads[:, self.queries + self.keys :]
        if self.head_norm is not None:
            turning = self.head_norm(turning)
        turned = _turn(turning, *rotation)
        known, said = layer.update(turned[:, self.queries :, None], values[:, :, None])
        mixed = functional.scaled_dot_product_attention(
            turned[:, : self.queries, None],
            known,
            said,
            attn_mask=mask,
            scale=self.scaling,
            enable_gqa=self.keys != self.queries,
        )  # (A, H, 1, D)
        states = _added(states, mixed.flatten(1), self.out_of_heads)
        gate, up = _product(self.between(states), self.into_inner).chunk(2, dim=-1)
        return _added(states, self.activation(gate) * up, self.out_of_inner)  # (A, F) → (A, E)


def _norm(norm: Any) -> _Norm:
    return _Norm(norm.weight, norm.variance_epsilon)


def _head_norm(attention: Any, queries: int, keys: int) -> _Norm | None:
    """Return what normalises each head's queries and keys in Qwen 3, by (H + K, D) weights."""
    if not hasattr(attention, "q_norm"):
        return None
    of_queries, of_keys = attention.q_norm, attention.k_norm
    weights = [of_queries.weight.expand(queries, -1), of_keys.weight.expand(keys, -1)]
    return _Norm(torch.cat(weights), of_queries.variance_epsilon)


def _turn(heads: torch.Tensor, cosines: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """Turn heads, (A, H, D), by their position (Su et al., arXiv 2104.09864); halves are pairs."""
    texts, count, size = heads.shape
    swapped = heads.view(texts, count, 2, size // 2).flip(2).view(heads.shape)
    return torch.addcmul(heads * cosines, swapped, signed)


def _product(read: torch.Tensor, layer: Weights) -> torch.Tensor:
    weight, bias = layer
    return read @ weight if bias is None else torch.addmm(bias, read, weight)


def _added(states: torch.Tensor, read: torch.Tensor, layer: Weights) -> torch.Tensor:
    """Return ``states`` and what a layer makes of ``read``."""
    weight, bias = layer
    made = torch.addmm(states, read, weight)
    return made if bias is None else made + bias
