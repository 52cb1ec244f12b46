"""Layers of a transformers or PEFT model whose function is computed in fewer passes over memory.

Knows no batch and no loss. Shapes: N tokens, I numbers that go into a layer, O that come out, R
rank of an adapter, D numbers that are normed together.

Nothing is changed about a model's classes, weights or config: modules are exchanged, or called
otherwise, in this one model, and what is saved does not know of it.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from core.models.fsdp import is_sharded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Forward = Callable[..., torch.Tensor]


def fuse_layers(model: "PreTrainedModel") -> None:
    """Compute a model's activations, norms and adapters in the quicker way, where it has such as
    are known.
    """
    _fuse_activations(model)
    _fuse_norms(model)
    if hasattr(model, "peft_config"):
        _fuse_adapters(model)


def _fuse_activations(model: "PreTrainedModel") -> None:
    """Exchange GELU's approximation by tanh written out step by step, each step kept, for PyTorch's
    one kernel of it.

    Both of transformers' spellings are that function (Hendrycks and Gimpel 2016, arXiv 1606.08415,
    section 2).
    """
    from transformers.activations import FastGELUActivation, NewGELUActivation

    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) in {FastGELUActivation, NewGELUActivation}:
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def _fuse_norms(model: "PreTrainedModel") -> None:
    """Exchange norms by the root of the mean square, where a trial shows that a module computes
    that and nothing else.
    """
    for module in model.modules():
        if (
            type(module).__name__.endswith("RMSNorm")
            and not isinstance(module.forward, partial)
            and _is_plain_norm(module)
        ):
            module.forward = partial(_fused_rms_norm, module, module.forward)


@torch.no_grad()
def _is_plain_norm(module: Any) -> bool:
    weight, epsilon = getattr(module, "weight", None), _epsilon(module)
    if (
        not isinstance(weight, torch.Tensor)
        or weight.dim() != 1
        or weight.dtype != torch.float32
        or is_sharded(weight)
    ):
        return False
    if epsilon is None:
        return False
    probe = torch.linspace(-2.0, 3.0, 5 * len(weight), device=weight.device).view(5, -1)
    expected = probe * torch.rsqrt(probe.square().mean(-1, keepdim=True) + epsilon) * weight
    try:
        found: torch.Tensor = module(probe)
        return torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    except Exception:  # one that wants more than a tensor, as a gate, or makes another shape of it
        return False


def _epsilon(module: Any) -> float | None:
    return next(
        (
            value
            for name in ("variance_epsilon", "eps")
            if isinstance(value := getattr(module, name, None), float)
        ),
        None,
    )


def _fused_rms_norm(
    module: Any, original_forward: Forward, x: torch.Tensor, *values: Any, **named: Any
) -> torch.Tensor:
    """Return (…, D) numbers divided by the root of their mean square, and weighted."""
    computes_otherwise = x.dtype != module.weight.dtype or torch.compiler.is_compiling()
    if values or named or x.device.type != "cpu" or computes_otherwise:
        return original_forward(x, *values, **named)
    out: torch.Tensor = _FusedRMSNorm.apply(x, module.weight, _epsilon(module))  # type: ignore[no-untyped-call]
    return out


class _FusedRMSNorm(torch.autograd.Function):
    """y = w x / r with r² = mean(x²) + ε, and its gradients by x and w (Zhang and Sennrich 2019,
    arXiv 1910.07467, section 4).

    Only x, which the residual stream keeps in any case, and 1 / r are kept for the backward.
    """

    @staticmethod
    def forward(
        context: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (N, D)
        norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()  # (N, 1)
        context.save_for_backward(rows, weight, scale)
        out: torch.Tensor = (rows * scale).mul_(weight)
        return out.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(context: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight, scale = context.saved_tensors
        grad_rows = grad_output.reshape(rows.shape)
        products = grad_rows * rows  # (N, D)
        grad_weight = (scale.T @ products)[0] if context.needs_input_grad[1] else None
        if not context.needs_input_grad[0]:
            return None, grad_weight, None
        # (N, 1): what changes r
        along = (products @ weight)[:, None] * scale.pow(3) / -rows.shape[1]
        grad_input = torch.mul(grad_rows, weight, out=products).mul_(scale).addcmul_(rows, along)
        return grad_input.view(grad_output.shape), grad_weight, None


def _fuse_adapters(model: "PreTrainedModel") -> None:
    from peft.tuners.lora.layer import Linear

    for module in model.modules():
        if type(module) is Linear and not isinstance(module.forward, partial):
            module.forward = partial(_fused_lora, module, module.forward)


def _fused_lora(
    layer: Any, original_forward: Forward, x: torch.Tensor, *values: Any, **named: Any
) -> torch.Tensor:
    """Return an adapted layer's output for (…, I) inputs: (…, O)."""
    kind = x.device.type
    rounds = torch.is_autocast_enabled(kind)
    precision = torch.get_autocast_dtype(kind) if rounds else x.dtype
    if (
        values
        or named
        or not _is_plain(layer, x, {precision, torch.float32} if rounds else {precision})
    ):
        return original_forward(x, *values, **named)
    name, base = layer.active_adapters[0], layer.get_base_layer()
    # (I, O), as GPT-2's Conv1D keeps it
    weight = base.weight.T if isinstance(base, torch.nn.Linear) else base.weight
    given = (
        x.flatten(0, -2),
        weight,
        base.bias,
        layer.lora_A[name].weight,
        layer.lora_B[name].weight,
    )
    parts = (None if part is None else part.to(precision) for part in given)  # as autocast would
    out: torch.Tensor = _FusedLora.apply(*parts, layer.scaling[name])  # type: ignore[no-untyped-call]
    return out.view(*x.shape[:-1], out.shape[-1])


def _is_plain(layer: Any, x: torch.Tensor, kinds: set[torch.dtype]) -> bool:
    """Return whether a layer is one low-rank product added to one frozen matrix, all of them of
    ``kinds``, and no more.
    """
    from transformers.pytorch_utils import Conv1D

    names, base = layer.active_adapters, layer.get_base_layer()
    if layer.disable_adapters or layer.merged or len(names) != 1 or names[0] not in layer.lora_A:
        return False
    down, up = layer.lora_A[names[0]], layer.lora_B[names[0]]
    dropout = layer.lora_dropout[names[0]]
    return (
        x.dim() > 1
        and type(base) in {torch.nn.Linear, Conv1D}
        and not any(parameter.requires_grad for parameter in base.parameters())
        and names[0] not in layer.lora_variant  # DoRA and others compute something else
        and down.bias is None
        and up.bias is None
        and (isinstance(dropout, torch.nn.Identity) or not layer.training)
        and {x.dtype, base.weight.dtype, down.weight.dtype, up.weight.dtype} <= kinds
        and not torch.compiler.is_compiling()
    )


class _FusedLora(torch.autograd.Function):
    """y = x W + b + s (x Aᵀ) Bᵀ, and its gradients by x, A and B (Hu et al. 2021, arXiv 2106.09685,
    equation 3).

    Every term is added into what is there; a chain of modules makes a copy as large as the output
    for each of them.
    """

    @staticmethod
    def forward(  # noqa: PLR0913 - autograd follows what is handed over one by one
        context: Any,
        x: torch.Tensor,  # (N, I)
        weight: torch.Tensor,  # (I, O)
        bias: torch.Tensor | None,  # (O,)
        down: torch.Tensor,  # (R, I)
        up: torch.Tensor,  # (O, R)
        scale: float,
    ) -> torch.Tensor:
        out = x @ weight if bias is None else torch.addmm(bias, x, weight)
        narrow = x @ down.T  # (N, R)
        context.save_for_backward(x, weight, down, up, narrow)
        context.scale = scale
        return out.addmm_(narrow, up.T, alpha=scale)

    @staticmethod
    @once_differentiable
    def backward(context: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, down, up, narrow = context.saved_tensors
        grad_narrow = (grad_output @ up).mul_(context.scale)  # (N, R)
        grad_input = (
            (grad_output @ weight.T).addmm_(grad_narrow, down)
            if context.needs_input_grad[0]
            else None
        )
        grad_up = (grad_output.T @ narrow).mul_(context.scale)
        return grad_input, None, None, grad_narrow.T @ x, grad_up, None
