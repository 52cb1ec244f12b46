"""The processes that train one run together, as torchrun starts them; one alone is the usual case. Knows no model.

All go through the same plan and each takes its share of a step's rows, so settings decide the outcome and the number of
processes only how soon it is there. What one must decide for all (to stop, to save) the first one does.
"""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
_PATIENCE = timedelta(days=30)  # the others wait where the first one does, and a run may be paused for long
LEFT = 2  # exit status of a process that leaves because something is wrong which the first one tells


@dataclass(frozen=True, slots=True)
class Group:
    """One process's place among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Tell whether this process is the one that decides and writes."""
        return self.rank == 0

    def passes(self, rows: Sequence[T], batch_size: int) -> list[tuple[list[T], bool]]:
        """Return this process's forward passes over a step's rows, and whether each counts.

        Every process has as many, for they wait for each other in each; one that has no row left goes through the step's
        first one once more, for nothing.
        """
        mine = list(rows[self.rank :: self.size])
        count = math.ceil(math.ceil(len(rows) / self.size) / batch_size)
        parts = [mine[start : start + batch_size] for start in range(0, count * batch_size, batch_size)]
        return [(part, True) if part else ([rows[0]], False) for part in parts]

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what ``make`` returns in the first process, in all of them.

        What it raises there is raised there; the others leave, for the first has told it.
        """
        if self.size == 1:
            return make()
        from torch import distributed

        if not self.is_first:
            received: list[list[T] | None] = [None]
            distributed.broadcast_object_list(received, src=0)
            if received[0] is None:
                sys.exit(LEFT)
            return received[0][0]
        made: list[T] | None = None
        try:
            made = [make()]
        finally:
            distributed.broadcast_object_list([made], src=0)
        return made[0]

    def add_up(self, tensors: "Sequence[torch.Tensor]") -> None:
        """Replace every tensor by its sum over all processes; all are of one type and on one device."""
        if self.size > 1 and tensors:
            add_up(tensors)


ALONE = Group()


def add_up(tensors: "Sequence[torch.Tensor]") -> None:
    """Replace every tensor by its sum over the processes that have met, in one message."""
    import torch

    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    for tensor, total in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))


@contextmanager
def joined_group() -> Iterator[Group]:
    """Meet the other processes that torchrun started beside this one; without torchrun there is nobody to meet."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
