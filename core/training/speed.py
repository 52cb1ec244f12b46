"""How fast this machine computes, tried once. Knows no run."""

import math
import sys
import time
from functools import cache

_SIZE = 768  # of the matrices: a few milliseconds on a core
_TRIES = 5
_USEFUL = 0.8  # of the rate of a large product, what training reaches (benchmarks/LOG.md)


def operations_per_s() -> float | None:
    """Return about how many multiplications and additions training will do in a second; None before torch is loaded."""
    return _measured() * _USEFUL if "torch" in sys.modules else None


@cache
def _measured() -> float:
    import torch

    from core.models.loading import best_device, computing_type
    from core.training.preparation import training_threads

    device = best_device()
    one = torch.randn(_SIZE, _SIZE, device=device, dtype=computing_type("auto") or torch.float32)
    best = math.inf
    for _ in range(_TRIES):
        started = time.perf_counter()
        (one @ one).sum().item()  # a GPU answers only when it is done
        best = min(best, time.perf_counter() - started)
    threads = training_threads() / torch.get_num_threads() if device.type == "cpu" else 1.0
    return 2 * _SIZE**3 / best * threads
