"""Muon in float32: momentum whose update is made orthogonal (Jordan et al. 2024, "Muon",
kellerjordan.github.io/posts/muon).

torch.optim.Muon works in bfloat16, which CPUs emulate slowly; this one stacks matrices of one shape
and, where several processes train together, shares the orthogonalisation out among them. Knows
matrices only: no embeddings, no vectors.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed

from core.training.distributed import all_reduce_sum

_QUINTIC = (3.4445, -4.7750, 2.0315)  # the five-step coefficients of the post
_STEPS = 5


def orthogonalise(stack: Tensor) -> Tensor:
    """Return the stack (N, R, C) with every matrix's singular values near 1, by Newton-Schulz
    iteration.
    """
    a, b, c = _QUINTIC
    tall = stack.shape[1] > stack.shape[2]
    x = stack.transpose(1, 2) if tall else stack
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    turned: Tensor = x.transpose(1, 2) if tall else x
    return turned


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay; every parameter is a matrix
    (R, C).
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # never given  # noqa: ARG002 - never given
        """Update every matrix by its gradient."""
        for group in self.param_groups:
            matrices = group["params"]
            updates = self._shared(
                [self._direction(matrix, group["momentum"]) for matrix in matrices]
            )
            for matrix, update in zip(matrices, updates, strict=True):
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(
                    update, alpha=-group["lr"] * scale
                )

    def _direction(self, matrix: Tensor, momentum: float) -> Tensor:
        if matrix.grad is None:
            raise ValueError("Muon needs a gradient for every matrix it was given")
        state = self.state[matrix]
        mean = state.setdefault("mean", torch.zeros_like(matrix))
        mean.lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(mean, momentum)

    def _shared(self, directions: list[Tensor]) -> list[Tensor]:
        """Orthogonalise this process's share, stacked by shape, and add up everybody's."""
        world, rank = (
            (distributed.get_world_size(), distributed.get_rank())
            if distributed.is_initialized()
            else (1, 0)
        )
        updates = [torch.zeros_like(direction) for direction in directions]
        by_shape: dict[torch.Size, list[int]] = {}
        for at in range(len(directions)):
            by_shape.setdefault(directions[at].shape, []).append(at)
        for places in by_shape.values():
            mine = places[rank::world]
            if mine:
                for at, update in zip(
                    mine, orthogonalise(torch.stack([directions[at] for at in mine])), strict=True
                ):
                    updates[at].copy_(update)
        if world > 1:
            all_reduce_sum(updates)
        return updates
