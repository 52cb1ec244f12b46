"""A model whose weights, gradients and optimiser state lie in parts on several devices (torch's
FSDP2). Knows no training.

Zhao et al. 2023, "PyTorch FSDP", arXiv 2304.11277; here the second version, ``fully_shard``, whose
parts are DTensors.
"""

from typing import TYPE_CHECKING

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def shard(model: "PreTrainedModel", device: torch.device, size: int) -> None:
    """Leave one part of every weight of a model in each of ``size`` processes that have met, block
    by block.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (size,))
    for blocks in model.get_decoder().children():
        if isinstance(blocks, torch.nn.ModuleList):
            for block in blocks:
                fully_shard(block, mesh=mesh)
    # else evaluations would leave whole weights behind
    fully_shard(model, mesh=mesh, reshard_after_forward=True)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Return whether a tensor lies in parts."""
    return isinstance(tensor, DTensor)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in one piece; every process must ask for it."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def distribute_like(like: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor in the parts, and on the device, of another one; every process must ask
    for it.
    """
    tensor = tensor.to(like.device)
    return (
        distribute_tensor(tensor, like.device_mesh, like.placements)
        if isinstance(like, DTensor)
        else tensor
    )


def full_state_dict(model: "PreTrainedModel", *, keeps: bool) -> dict[str, torch.Tensor] | None:
    """Return a sharded model's weights in one piece on the CPU, those it has twice as one; None for
    any other model.

    Every process must ask for them; those that do not keep them get none.
    """
    state = model.state_dict(keep_vars=True)
    if not any(is_sharded(weight) for weight in state.values()):
        return None
    pieces = {id(weight): weight for weight in state.values()}
    wholes = {}
    for key, weight in pieces.items():
        in_one = whole(weight)
        if keeps:
            wholes[key] = in_one.cpu()
    return {name: wholes[id(weight)] for name, weight in state.items() if keeps}
