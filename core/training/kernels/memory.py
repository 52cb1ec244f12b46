"""How much memory this process has used at most, and what becomes of what it no longer needs."""

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch


def peak_memory_mib() -> float:
    """Return the peak in MiB: of the GPU where one is used, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    # Linux's resource usage begins with that of the process which started this one
    with suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return float(next(line for line in status if line.startswith("VmHWM:")).split()[1]) / 2**10
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def keep_freed_memory() -> None:
    """Let this process keep what it frees for its next step, where its C library is glibc;
    elsewhere nothing changes.

    By default a tensor's memory goes back to the system with the tensor, and the next one's comes
    page by page, each cleared: 5 to 12 % of a step's time (benchmarks/LOG.md, 2026-11-24). The peak
    stays the same, so this is for a process that trains and ends, not for one that people leave
    open. The numbers are those of malloc.h.

    A glibc before 2.35 takes no mapping threshold above 32 MiB, and one that takes none is left
    alone: any of the other two would end its own adapting of that threshold, which is worse than
    nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    # it answers 0 to what it does not take
    if any(mallopt(mmap_threshold, size) for size in (2**30, 2**25)):
        mallopt(trim_threshold, 2**30)
        mallopt(top_pad, 2**26)
