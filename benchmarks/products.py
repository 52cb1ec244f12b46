"""How fast this machine multiplies float32 matrices, by PyTorch's usual product and by oneDNN's, in
the shapes of training.

Run: python benchmarks/products.py [--threads N]
"""

import argparse
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from core.training.kernels.matmul_backend import DEFAULT, ONEDNN, using_backend

# rows, numbers in, numbers out
_SHAPES = ((600, 768, 2304), (600, 3072, 768), (600, 256, 704), (166, 768, 50257))
_ROUNDS = 15


def main() -> None:
    """Print GFLOP/s, the best of some rounds, for an output and for both gradients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    print(
        f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads; usual / "
        "oneDNN, GFLOP/s, difference"
    )
    for rows, inner, outer in _SHAPES:
        x, weight, grad_output = (
            torch.randn(rows, inner),
            torch.randn(outer, inner),
            torch.randn(rows, outer),
        )
        pairs = {
            "output": (x, weight.T),
            "by input": (grad_output, weight),
            "by weight": (grad_output.T, x),
        }
        found = [
            f"{name} {_compare(a, b, 2e-9 * rows * inner * outer)}"
            for name, (a, b) in pairs.items()
        ]
        print(f"{rows} × {inner} × {outer}:", *found, sep="  ")


def _compare(a: torch.Tensor, b: torch.Tensor, giga_operations: float) -> str:
    made: dict[str, torch.Tensor] = {}
    best = dict.fromkeys((DEFAULT, ONEDNN), math.inf)
    for _ in range(_ROUNDS):
        for library in best:  # in turns: both meet the same neighbours
            with using_backend(library):
                started = time.perf_counter()
                made[library] = a @ b
                best[library] = min(best[library], time.perf_counter() - started)
    difference = float((made[ONEDNN] - made[DEFAULT]).norm() / made[DEFAULT].norm())
    return f"{giga_operations / best[DEFAULT]:.0f} / {giga_operations / best[ONEDNN]:.0f} ({difference:.0e})"


if __name__ == "__main__":
    main()
