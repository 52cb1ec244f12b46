"""The processes that train one run together, started by us or by torchrun; one alone is the usual
case. Knows no model.

All go through the same plan and each takes its share of a step's rows, so settings decide the
outcome (but for which numbers dropout drops) and the number of processes only how soon it is there.
What one must decide for all (to stop, to save) the first one does.
"""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from core.errors import SettingsError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
# the others wait where the first one does, and a run may be paused for long
_TIMEOUT = timedelta(days=30)
_SHUTDOWN_TIMEOUT_S = 20.0  # for the others to end by themselves
_RENDEZVOUS = "FUATA_RENDEZVOUS"
_INTERFACE = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)  # Windows' are not chosen by name
_LOOPBACK = (
    {f"{library}_SOCKET_IFNAME": _INTERFACE for library in ("GLOO", "NCCL")} if _INTERFACE else {}
)
# exit status of a process that leaves because something is wrong which the first one tells
EXIT_PEER_FAILED = 2


@dataclass(frozen=True, slots=True)
class Group:
    """One process's place among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Return whether this process is the one that decides and writes."""
        return self.rank == 0

    def passes(self, rows: Sequence[T], batch_size: int) -> list[tuple[list[T], bool]]:
        """Return this process's forward passes over a step's rows, and whether each counts.

        Every process has as many, for they wait for each other in each; one that has no row left
        goes through the step's first one once more, for nothing.
        """
        mine = list(rows[self.rank :: self.size])
        count = math.ceil(math.ceil(len(rows) / self.size) / batch_size)
        parts = [
            mine[start : start + batch_size] for start in range(0, count * batch_size, batch_size)
        ]
        return [(part, True) if part else ([rows[0]], False) for part in parts]

    def broadcast_from_rank0(self, make: Callable[[], T]) -> T:
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
                sys.exit(EXIT_PEER_FAILED)
            return received[0][0]
        made: list[T] | None = None
        try:
            made = [make()]
        finally:
            distributed.broadcast_object_list([made], src=0)
        return made[0]

    def all_reduce_sum(self, tensors: "Sequence[torch.Tensor]") -> None:
        """Replace every tensor by its sum over all processes; all are of one type and on one
        device.
        """
        if self.size > 1 and tensors:
            all_reduce_sum(tensors)


SINGLE_PROCESS = Group()


def all_reduce_sum(tensors: "Sequence[torch.Tensor]") -> None:
    """Replace every tensor by its sum over the processes that have met, in one message."""
    import torch

    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    for tensor, total in zip(
        tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True
    ):
        tensor.copy_(total.view_as(tensor))


@contextmanager
def init_process_group(environment: Mapping[str, str] = os.environ) -> Iterator[Group]:
    """Meet the other processes that were started beside this one, as the environment says; else
    there is nobody to meet.

    Raises SettingsError where they could not talk to each other.
    """
    if int(environment.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    check_can_communicate()
    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(environment["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    rendezvous = environment.get(_RENDEZVOUS)
    rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    # where the variables of torchrun are read
    init_method = f"file://{rendezvous}" if rendezvous else "env://"
    distributed.init_process_group(
        backend, init_method, timeout=_TIMEOUT, rank=rank, world_size=size
    )
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


@contextmanager
def spawn_workers(group: Group, processes: int, words: Sequence[str]) -> Iterator[Group]:
    """Start further processes beside one that is alone, each with ``words`` for our command line,
    and meet them.

    They meet in a file and, but on Windows, talk on the loopback interface: torchrun would open a
    port to the whole network.
    """
    if group.size > 1 or processes < 2:
        yield group
        return
    with TemporaryDirectory() as folder:
        shared = {
            "WORLD_SIZE": str(processes),
            _RENDEZVOUS: str(Path(folder) / "meeting"),
            **_LOOPBACK,
            **os.environ,
        }
        command = [sys.executable, "-m", "core", *words]
        started = [
            subprocess.Popen(command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})  # noqa: S603 - our own command line
            for rank in range(1, processes)
        ]
        os.environ.update(_LOOPBACK)  # where gloo and NCCL themselves look
        try:
            with init_process_group({**shared, "RANK": "0", "LOCAL_RANK": "0"}) as larger:
                yield larger
        finally:
            for process in started:
                _end(process)


def can_share_gpus() -> bool:
    """Return whether processes on several GPUs can talk to each other: PyTorch is built without
    NCCL for Windows.
    """
    from torch import distributed

    return distributed.is_available() and distributed.is_nccl_available()


def check_can_communicate() -> None:
    """Raise SettingsError where several processes could not talk to each other."""
    import torch

    if torch.cuda.is_available() and not can_share_gpus():
        raise SettingsError(
            {
                "processes": "must be 1: this PyTorch has no NCCL, by which processes on GPUs "
                "talk to each other"
            }
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_SHUTDOWN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
