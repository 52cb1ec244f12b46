"""LoRA on any causal language model, by PEFT. Knows no data."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def add_lora(
    model: "PreTrainedModel", *, rank: int, alpha: float, dropout: float, seed: int, base_model: str
) -> "PreTrainedModel":
    """Put a fresh LoRA adapter on every linear layer but the head (Hu et al., arXiv 2106.09685) and freeze the rest.

    The adapter's first weights depend on ``seed`` alone. ``base_model`` is written into the adapter's config.
    """
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers.pytorch_utils import Conv1D

    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=rank,
        lora_alpha=int(alpha),
        lora_dropout=dropout,
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 keeps its weights transposed
        base_model_name_or_path=base_model,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """Return how many parameters are trained and how many there are."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trained, sum(p.numel() for p in model.parameters())
