"""The input layer's gradient, added to its weights' without one of the vocabulary's size between.

Shapes: N tokens, D numbers a token, V vocabulary.
"""

import torch


def is_plain(embedding: torch.nn.Module) -> bool:
    """Return whether an input layer looks rows up and does no more."""
    return (
        type(embedding) is torch.nn.Embedding
        and embedding.max_norm is None
        and not embedding.scale_grad_by_freq
    )


def accumulate_embedding_grad(
    embedding: torch.nn.Embedding, ids: torch.Tensor, gradient: torch.Tensor | None
) -> None:
    """Add the gradient of rows looked up by ``ids``, (N,), which is (1, N, D), to that of the
    weights, (V, D).

    The padding's row learns nothing, as torch has it.
    """
    if gradient is None:
        return
    rows = gradient[0]
    if embedding.padding_idx is not None:
        rows = rows.masked_fill((ids == embedding.padding_idx)[:, None], 0.0)
    if embedding.weight.grad is None:
        embedding.weight.grad = torch.zeros_like(embedding.weight)
    embedding.weight.grad.index_add_(0, ids, rows.to(embedding.weight.dtype))
