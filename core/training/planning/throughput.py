"""How fast this machine computes, tried once. Knows no run."""

import math
import os
import sys
import time
from functools import cache
from typing import TYPE_CHECKING

from core.training.settings import MATMUL_BACKENDS

if TYPE_CHECKING:
    import torch

_SIZE = 768  # of the matrices
_TRIES = 8
_USEFUL = 0.85  # of the rate of a large product, what those of training reach (benchmarks/LOG.md)


def flops_per_s(matmul_backend: str = "default") -> float | None:
    """Return about how many multiplications and additions training will do in a second, on a CPU by
    a library's products; None before torch is loaded.
    """
    return _measured()[matmul_backend] * _USEFUL if torch_is_loaded() else None


def onednn_speedup() -> float | None:
    """Return how many times as fast as by default this CPU multiplies by oneDNN; None before torch
    is loaded.
    """
    if not torch_is_loaded():
        return None
    rates = _measured()
    return rates["onednn"] / rates["default"]


def thread_choices(processes: int = 1) -> tuple[int, ...]:
    """Return how many threads a process may compute with: one less than there are cores, or all of
    them; several processes share what is one less, and OMP_NUM_THREADS leaves no choice.

    Where a neighbour wants a core, or a model's products are small, waiting for its turn at every
    operation costs more than the last core brings (benchmarks/LOG.md, 2026-11-22); elsewhere it
    brings its share. So a run tries both on its own rows before its first step.
    """
    set_for_all = os.environ.get("OMP_NUM_THREADS", "")
    if set_for_all.isdigit():
        return (max(int(set_for_all), 1),)
    cores = os.cpu_count() or 1
    fewer = max((cores - 1) // processes, 1)
    return (fewer, cores) if processes == 1 and cores > fewer else (fewer,)


def torch_is_loaded() -> bool:
    """Return whether torch can be used at once; while another thread imports it, it cannot."""
    torch = sys.modules.get("torch")
    return torch is not None and not getattr(torch.__spec__, "_initializing", False)


@cache
def _measured() -> dict[str, float]:
    import torch

    from core.models.load import best_device
    from core.training.kernels.matmul_backend import flops_per_s as kernel_flops_per_s

    device, usual = best_device(), torch.get_num_threads()
    if device.type != "cpu":
        return dict.fromkeys(MATMUL_BACKENDS, _measured_on(device))
    rates: dict[str, float] = dict.fromkeys(MATMUL_BACKENDS, 0.0)
    try:
        for threads in thread_choices():  # a run takes the quicker
            torch.set_num_threads(threads)
            for library in MATMUL_BACKENDS:
                rates[library] = max(rates[library], kernel_flops_per_s(library))
    finally:
        torch.set_num_threads(usual)
    return rates


def _measured_on(device: "torch.device") -> float:
    import torch

    from core.models.load import compute_dtype

    one = torch.randn(_SIZE, _SIZE, device=device, dtype=compute_dtype("auto") or torch.float32)
    best = math.inf
    for _ in range(_TRIES):
        started = time.perf_counter()
        (one @ one).sum().item()  # a GPU answers only when it is done
        best = min(best, time.perf_counter() - started)
    return 2 * _SIZE**3 / best
