"""Cross-entropy through a model's output layer, a few positions at a time, its gradients written
down at once.

Shapes: K trained positions, D numbers a position, V vocabulary.

Autograd would keep the logits of all positions, their logarithms and their gradients, each (K, V),
and would add the output layer's gradient, (V, D), to a second one of that size for the input layer
where both share their weights. Here a chunk of positions is turned into loss and gradients in
place, and the layer's gradient is added where it belongs. The gradient of cross-entropy by the
logits is softmax less one at the target (Bishop 2006, "Pattern Recognition and Machine Learning",
4.109).
"""

import torch
from torch.nn import functional

_CHUNK_NUMBERS = 2**23  # logits at a time, 32 MiB in float32
_LEAST_ROWS = 32
_CACHED_NUMBERS = 2**18  # logits that a core keeps at hand while they are gone over several times


def chunked_cross_entropy(
    head: torch.nn.Linear,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    *,
    learns: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the cross-entropies' sum, (K,) weighted by ``weights``, and its gradient by
    ``hidden``, (K, D).

    With ``learns`` the gradient by the layer's parameters is added to theirs, where they are
    trained; without, no gradient is computed at all.
    """
    rows = max(_CHUNK_NUMBERS // head.out_features, _LEAST_ROWS)
    total = torch.zeros((), device=hidden.device)
    gradient = torch.empty_like(hidden) if learns else None
    with torch.no_grad():
        weight = head.weight.to(hidden.dtype)
        bias = None if head.bias is None else head.bias.to(hidden.dtype)
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            logits = functional.linear(hidden[part], weight, bias).float()  # (rows, V)
            total += _loss_in_place(logits, targets[part], weights[part], learns=learns)
            if gradient is not None:
                grad_logits = logits.to(hidden.dtype)
                gradient[part] = grad_logits @ weight
                _accumulate_head_grads(head, grad_logits, hidden[part])
    return total, gradient


def _loss_in_place(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, *, learns: bool
) -> torch.Tensor:
    """Return the sum of the weighted cross-entropies of logits, (rows, V), a scalar, and with
    ``learns`` their gradients in them.

    Without, what is in them afterwards is nothing. On a CPU so few rows at a time that they stay in
    its cache, which halves the time; a GPU would wait for orders instead.
    """
    rows = (
        max(_CACHED_NUMBERS // logits.shape[1], 1) if logits.device.type == "cpu" else len(logits)
    )
    losses = []
    for some, at, weight in zip(
        *(torch.split(one, rows) for one in (logits, targets[:, None], weights[:, None])),
        strict=True,
    ):
        at_target, top = some.gather(1, at), some.amax(1, keepdim=True)
        spread = some.sub_(top).exp_().sum(1, keepdim=True)  # of what softmax divides by it
        losses.append((spread.log() + top - at_target).mul_(weight).sum())
        if learns:
            some.mul_(weight / spread).scatter_add_(1, at, -weight)
    return torch.stack(losses).sum()


def _accumulate_head_grads(
    head: torch.nn.Linear, grad_logits: torch.Tensor, hidden: torch.Tensor
) -> None:
    if head.weight.requires_grad:
        if head.weight.grad is None:
            head.weight.grad = (grad_logits.T @ hidden).to(head.weight.dtype)
        elif head.weight.dtype == hidden.dtype:
            head.weight.grad.addmm_(grad_logits.T, hidden)
        else:
            head.weight.grad += grad_logits.T @ hidden
    if head.bias is not None and head.bias.requires_grad:
        grad_bias = grad_logits.sum(dim=0).to(head.bias.dtype)
        head.bias.grad = grad_bias if head.bias.grad is None else head.bias.grad.add_(grad_bias)
