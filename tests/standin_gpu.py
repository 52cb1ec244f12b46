"""A stand-in for a GPU: tensors that say they lie on one, while the CPU computes, so that two
faults can be seen without any.

What waits for a GPU, by asking for a number that it may not have computed yet, is counted; and so
is what puts a tensor of the CPU's beside one of the GPU's, which a real one refuses. What it cannot
show is whether a GPU has a kernel, how it rounds, and what is computed again in a backward, where
tensors forget what they said.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

GPU = torch.device("cuda", 0)
_CPU = torch.device("cpu")
_ASKING = {
    "item",
    "tolist",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
    "nonzero",
    "cpu",
    "numpy",
    "equal",
    "allclose",
}
# whose results are of a size that hangs on the numbers
_ASKING |= {"unique", "masked_select", "argwhere"}
_OF_OBJECTS = {"__get__", "__set__"}  # an attribute, as a gradient: no computing


class Far(torch.Tensor):
    """A tensor that says it lies on a GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it says it lies."""
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        """What follows from that."""
        return True


class StandInGpu(TorchFunctionMode):
    """Notes what a GPU would be waited for, and what it would refuse, while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.strangers: list[str] = []

    def __torch_function__(
        self, function: Any, _types: Any, values: Any = (), named: Any = None
    ) -> Any:
        """Compute on the CPU what a GPU is asked for."""
        named, name = named or {}, getattr(function, "__name__", "")
        if function is torch.device:
            return function(*values, **named)
        if name == "pin_memory":
            return values[0]
        leaves = tree_leaves((values, named))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        wanted = next((found for leaf in leaves if (found := _as_device(leaf))), None)
        far = any(isinstance(tensor, Far) for tensor in tensors)
        if far:
            self._note(name, tensors, wanted)
        with torch._C.DisableTorchFunctionSubclass():
            out = function(*tree_map(_nearer, values), **tree_map(_nearer, named))
        lands_far = wanted.type == "cuda" if wanted else far and name != "cpu"
        return tree_map_only(torch.Tensor, _far if lands_far else _near, out)

    def _note(self, name: str, tensors: list[torch.Tensor], wanted: torch.device | None) -> None:
        by_mask = name == "__getitem__" and any(
            tensor.dtype == torch.bool for tensor in tensors[1:]
        )
        if name in _ASKING or by_mask or (name == "to" and wanted == _CPU):
            self.waits.append(f"{name} at {_place()}")
        if name not in _OF_OBJECTS and any(
            not isinstance(tensor, Far) and tensor.dim() for tensor in tensors
        ):
            self.strangers.append(f"{name} at {_place()}")


def put_on_gpu(model: torch.nn.Module) -> None:
    """Let a model's weights say that they lie on a GPU; those that two modules share stay one."""
    weights = list(model.parameters())
    moved = {
        id(one): torch.nn.Parameter(one.data.as_subclass(Far), requires_grad=one.requires_grad)
        for one in weights
    }
    for module in model.modules():
        for name, weight in module._parameters.items():
            module._parameters[name] = None if weight is None else moved[id(weight)]
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.as_subclass(Far)


@contextmanager
def standing_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInGpu]:
    """Turn a stand-in on for a while, with all of torch that takes a GPU by its name."""
    autocast, is_enabled, numbers = (
        torch.autocast,
        torch.is_autocast_enabled,
        torch.get_autocast_dtype,
    )
    group: Callable[..., Any] = Optimizer._group_tensors_by_device_and_dtype
    monkeypatch.setattr(torch, "autocast", lambda _kind, *values: autocast("cpu", *values))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _kind="cpu": is_enabled("cpu"))
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda _kind: numbers("cpu"))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _device: None)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda _state, _device: None)
    monkeypatch.setattr(  # it looks behind what tensors say
        Optimizer,
        "_group_tensors_by_device_and_dtype",
        staticmethod(
            lambda *values: {(GPU, kind): found for (_, kind), found in group(*values).items()}
        ),
    )
    with StandInGpu() as gpu:
        yield gpu


def _as_device(leaf: Any) -> torch.device | None:
    names_one = isinstance(leaf, torch.device | str) and str(leaf).partition(":")[0] in {
        "cpu",
        "cuda",
    }
    return torch.device(leaf) if names_one else None


def _nearer(leaf: Any) -> Any:
    return _CPU if _as_device(leaf) else leaf


def _far(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if isinstance(tensor, Far) else tensor.as_subclass(Far)


def _near(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_subclass(torch.Tensor) if isinstance(tensor, Far) else tensor


def _place() -> str:
    """Return where the call came from, from the outside in."""
    frames = [frame for frame in traceback.extract_stack() if "standin_gpu" not in frame.filename]
    return " > ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames[-6:]
    )
