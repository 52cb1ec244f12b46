"""How fast this machine computes, tried once. Knows no run."""

import math
import sys
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_SIZE = 768  # of the matrices
_TRIES = 8
_USEFUL = 0.85  # of the rate of a large product, what those of training reach (benchmarks/LOG.md)


def operations_per_s() -> float | None:
    """Return about how many multiplications and additions training will do in a second; None before torch is loaded."""
    return _measured() * _USEFUL if torch_is_loaded() else None


def torch_is_loaded() -> bool:
    """Tell whether torch can be used at once; while another thread imports it, it cannot."""
    torch = sys.modules.get("torch")
    return torch is not None and not getattr(torch.__spec__, "_initializing", False)


@cache
def _measured() -> float:
    import torch

    from core.models.loading import best_device
    from core.training.preparation import training_threads
    from core.training.products import operations_per_s, quickest

    device, usual = best_device(), torch.get_num_threads()
    if device.type != "cpu":
        return _measured_on(device)
    torch.set_num_threads(training_threads())  # as a run computes; more would wait for each other where others compute too
    try:
        return operations_per_s(quickest())
    finally:
        torch.set_num_threads(usual)


def _measured_on(device: "torch.device") -> float:
    import torch

    from core.models.loading import computing_type

    one = torch.randn(_SIZE, _SIZE, device=device, dtype=computing_type("auto") or torch.float32)
    best = math.inf
    for _ in range(_TRIES):
        started = time.perf_counter()
        (one @ one).sum().item()  # a GPU answers only when it is done
        best = min(best, time.perf_counter() - started)
    return 2 * _SIZE**3 / best
