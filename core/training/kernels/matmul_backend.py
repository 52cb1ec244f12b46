"""By which library a process multiplies float32 matrices on a CPU. Knows no model and no run.

PyTorch's default product is MKL's, which leaves part of some processors unused that its maker did
not make; oneDNN, inside the same PyTorch, may be faster there. It changes the last bits of a sum and
replaces kernels of the whole process, so it is a choice, not a default: on most machines it brings
nothing (benchmarks/LOG.md, 2026-11-27).
"""

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from core.training.settings import MATMUL_BACKENDS, MatmulBackend

DEFAULT: MatmulBackend = "default"
ONEDNN: MatmulBackend = "onednn"
# rows, numbers in, numbers out: a layer's product in training, some milliseconds on a core
_SHAPE = (600, 768, 768)
_ROUNDS = 12
_LEAST_S = 1e-6  # told of a product, for a clock that stands still


# By a thread's own time a neighbour's turns are not counted; but Windows tells it in steps of 16
# ms, whatever it says of them.
_tells_finely = sys.platform != "win32" and time.get_clock_info("thread_time").resolution < 1e-5
_clock = time.thread_time if _tells_finely else time.perf_counter


def flops_per_s(library: MatmulBackend) -> float:
    """Return how many multiplications and additions a second a product by this library makes, the
    best of some; 0 without it.
    """
    return _measure()[library]


@cache
def _measure() -> dict[MatmulBackend, float]:
    """Let the libraries multiply in turns, so that both meet the same neighbours.

    Nothing is exchanged for it: a page whose threads multiply may ask, too.
    """
    rows, inner, outer = _SHAPE
    one, other = torch.randn(rows, inner), torch.randn(inner, outer)
    candidates: dict[MatmulBackend, Callable[[], torch.Tensor]] = {DEFAULT: lambda: one @ other}
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        candidates[ONEDNN] = lambda: _onednn_matmul(one, other, None)
    best: dict[MatmulBackend, float] = dict.fromkeys(MATMUL_BACKENDS, math.inf)
    for _ in range(_ROUNDS):
        for library, multiply in candidates.items():
            started = _clock()
            multiply()
            best[library] = min(best[library], max(_clock() - started, _LEAST_S))
    return {library: 2 * rows * inner * outer / took for library, took in best.items()}


@contextmanager
def using_backend(library: str) -> Iterator[None]:
    """Let the products of two float32 matrices on the CPU, of this whole process, be made by a
    library for a while.

    Meant for a process that trains and does nothing else: autograd's products are among them, those
    of compiled code and those that are added into what is there are not. What oneDNN does not take
    goes the usual way.
    """
    if library != ONEDNN:
        yield
        return
    overrides: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        # torch tells that its own kernels are exchanged, once
        warnings.simplefilter("ignore", UserWarning)
        overrides.impl("mm", _mm, "CPU")
        overrides.impl("addmm", _addmm, "CPU")
    try:
        yield
    finally:
        overrides._destroy()  # noqa: SLF001 - it has no public name


def _mm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return a b, (N, O), of (N, I) and (I, O)."""
    if not _fit(a, b):
        return _default_kernel(torch.ops.aten.mm.out, a, b, a, b)
    return _onednn_matmul(a, b, None)


def _addmm(
    bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: complex = 1, alpha: complex = 1
) -> torch.Tensor:
    """Return beta bias + alpha a b; only a layer's own sum, of a bias of (O,) without factors, is
    oneDNN's.
    """
    if (
        beta != 1
        or alpha != 1
        or bias.shape != b.shape[1:]
        or bias.dtype != a.dtype
        or not _fit(a, b)
    ):
        return _default_kernel(torch.ops.aten.addmm.out, a, b, bias, a, b, beta=beta, alpha=alpha)
    return _onednn_matmul(a, b, bias)


def _fit(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        a.dtype == b.dtype == torch.float32
        and a.shape[1:] == b.shape[:1]
        and 0 not in {*a.shape, *b.shape}
    )


def _onednn_matmul(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias, "none", [], "")  # noqa: SLF001 - it has no public name
    return made


def _default_kernel(
    into: Callable[..., torch.Tensor],
    a: torch.Tensor,
    b: torch.Tensor,
    *values: torch.Tensor,
    **named: complex,
) -> torch.Tensor:
    """Let PyTorch's own kernel, which is not exchanged where it is given room to write to, make the
    product.
    """
    return into(*values, **named, out=a.new_empty(a.shape[0], b.shape[1]))
