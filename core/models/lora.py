"""Which weights are trained: adapters of the LoRA family by PEFT, or a model's last blocks.

Knows no data.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from core.errors import ModelError, SettingsError
from core.models.layout import base_of, blocks_of
from core.text import shortened

if TYPE_CHECKING:
    from transformers import PreTrainedModel


EVERY_LAYER = ("all-linear",)
_REFUSED = re.compile(r"Module '(\w+)' is incompatible")


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """What an adapter is like.

    ``kind`` is lora (Hu et al., arXiv 2106.09685), rslora, scaled by the square root of the rank (Kalajdzievski, arXiv
    2312.03732), or dora, magnitude and direction apart (Liu et al., arXiv 2402.09353).
    """

    rank: int
    alpha: float
    dropout: float
    kind: str = "lora"
    # names of layers; by default every linear layer but the head
    targets: Sequence[str] = EVERY_LAYER


def add_lora(
    model: "PreTrainedModel", shape: AdapterShape, *, seed: int, base_model: str
) -> "PreTrainedModel":
    """Put fresh adapters on a model and freeze its own weights.

    Their first weights depend on ``seed`` alone. ``base_model`` is written into the adapter's
    config. Raises SettingsError when no layer has a target's name.
    """
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers.pytorch_utils import Conv1D

    _check_targets(model, shape.targets)
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=shape.rank,
        lora_alpha=shape.alpha,  # PEFT divides it by the rank: any number will do
        lora_dropout=shape.dropout,
        use_rslora=shape.kind == "rslora",
        use_dora=shape.kind == "dora",
        target_modules="all-linear" if tuple(shape.targets) == EVERY_LAYER else list(shape.targets),
        fan_in_fan_out=any(
            isinstance(module, Conv1D) for module in model.modules()
        ),  # GPT-2 keeps its weights transposed
    )
    model.name_or_path = base_model  # what PEFT writes down, whatever its config says
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return get_peft_model(model, config)
        except ValueError as error:  # PEFT names layers of state-space models that no adapter fits
            refused = _REFUSED.findall(str(error))
            if not refused or tuple(shape.targets) != EVERY_LAYER:
                raise SettingsError(
                    {"lora_targets": f"no adapter fits there: {shortened(str(error), 200)}"}
                ) from error
            config.exclude_modules = refused
            return get_peft_model(model, config)
        except (
            AttributeError
        ) as error:  # a config that says its weights are quantised, and weights that are not
            raise ModelError(
                "No adapter can be put on this model: its weights are not as its config says "
                f"({error})."
            ) from error


def _check_targets(model: "PreTrainedModel", targets: Sequence[str]) -> None:
    from transformers.pytorch_utils import Conv1D

    if tuple(targets) == EVERY_LAYER:
        return
    # where they are tied no adapter can be merged
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    inner = [(name, module) for name, module in model.named_modules() if module not in ends]
    layers = {
        name.split(".")[-1]
        for name, module in inner
        if isinstance(module, torch.nn.Linear | Conv1D)
    }
    unknown = [name for name in targets if name not in layers]
    if unknown:
        raise SettingsError(
            {
                "lora_targets": f"{', '.join(unknown)} fit no layer; there are "
                f"{', '.join(sorted(layers))}"
            }
        )


def train_last_blocks(model: "PreTrainedModel", count: int) -> None:
    """Freeze all but the last ``count`` blocks and the decoder's own norms.

    Raises SettingsError where blocks cannot be told. Gradients are computed no further down than
    that; the output layer stays as it is, for where it is tied to the input layer it would train
    what stands before the frozen blocks.
    """
    blocks = blocks_of(model)
    if len(blocks) < count:
        raise SettingsError(
            {"last_blocks": "must be 0: this model's blocks do not stand in one row"}
        )
    model.requires_grad_(requires_grad=False)
    trained = list(blocks[-count:])
    trained += [
        module
        for module in model.get_decoder().children()
        if "norm" in type(module).__name__.lower()
    ]
    for module in trained:
        module.requires_grad_(requires_grad=True)


def merge_adapter(
    model: Any, tell: Callable[[int, int], object] = lambda _done, _layers: None
) -> "PreTrainedModel":
    """Return the base of a PEFT model with the adapter added to its weights; ``tell`` is given the
    layers done, and all.

    Raises ModelError for an adapter that is nothing to add, as a learnt prompt.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    if not layers:
        raise ModelError(
            "This adapter cannot be merged: it adds nothing to the weights of its base."
        )
    _untie(model)
    for done, layer in enumerate(layers, start=1):
        layer.merge()
        tell(done, len(layers))
    with warnings.catch_warnings():
        # that was the work of the loop
        warnings.filterwarnings("ignore", "All adapters are already merged")
        merged: PreTrainedModel = model.merge_and_unload()
    return merged


def _untie(model: Any) -> None:
    """Part an output layer from the input layer it shares its weights with, where an adapter lies
    on either of them.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    base = base_of(model)
    head, embedding = base.get_output_embeddings(), base.get_input_embeddings()
    if not any(isinstance(layer, BaseTunerLayer) for layer in (head, embedding)):
        return
    inner = head.get_base_layer() if isinstance(head, BaseTunerLayer) else head
    if inner is not None:
        inner.weight = torch.nn.Parameter(inner.weight.detach().clone(), requires_grad=False)
    base.config.get_text_config().tie_word_embeddings = False
    base.config.tie_word_embeddings = False


def has_frozen_experts(model: torch.nn.Module) -> bool:
    """Return whether a model with adapters has experts, fused matrices of (experts, in, out), that
    no adapter lies on.
    """
    if not hasattr(model, "peft_config"):
        return False
    names = [
        name
        for name, weight in model.named_parameters()
        if "experts." in name and weight.dim() == 3
    ]
    return any("base_layer." not in name for name in names)


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """Return how many parameters are trained and how many there are, those that lie packed in 4
    bits too.
    """
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    packed = [getattr(p, "quant_state", None) for p in model.parameters()]
    sizes = [
        p.numel() if state is None else state.shape.numel()
        for p, state in zip(model.parameters(), packed, strict=True)
    ]
    return trained, sum(sizes)
