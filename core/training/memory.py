"""How much memory this process has used at most."""

import resource
import sys

import torch


def peak_memory_mib() -> float:
    """Return the peak in MiB: of the GPU where one is used, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
