"""A folder becomes a model in memory: safetensors only, no remote code.

Knows no training and no text.
"""

import inspect
import logging
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.errors import ModelError, SettingsError
from core.models.consistency import check_causal
from core.models.layout import base_of, blocks_of
from core.models.resolve import ModelSource, stored_type
from core.text import shortened

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE_TOKENS = 6


def load_model(
    source: ModelSource,
    *,
    trainable_adapter: bool = False,
    on_cpu: bool = False,
    four_bits: str = "",
) -> "PreTrainedModel":
    """Load weights in float32 onto the best device, or the CPU, in evaluation mode.

    With ``four_bits``, a precision of products, the linear layers' weights are held in 4 bits each
    by bitsandbytes.

    For an adapter the base model is loaded with the adapter on top. Raises ModelError when the
    folder does not hold a causal language model that transformers knows.
    """
    silence_libraries()
    check_causal(source)
    device = torch.device("cpu") if on_cpu else best_device()
    packing = _four_bits(compute_dtype(four_bits) or torch.float32, device) if four_bits else {}
    model = _load_weights(source.weights_folder, packing)
    if four_bits:
        _keep_packed_as_trained(model)
    _check_sees_no_future(model, source)
    if source.is_adapter:
        model = _put_adapter_on(model, source, trainable=trainable_adapter)
    return (
        model if four_bits else model.to(device)
    ).eval()  # packed weights were put in their place while loading


def best_device() -> torch.device:
    """Return CUDA where there is one, then Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def compute_dtype(precision: str) -> torch.dtype | None:
    """Return the type that products are computed in where it is not the weights' own."""
    takes = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and takes) else None


def saved_dtype(source: ModelSource, choice: str) -> torch.dtype | None:
    """Return the type that a model's numbers are written in where it is not float32: by choice that
    of its base.
    """
    named = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    return named.get(stored_type(source.weights_folder)) if choice == "base" else None


def autocast(precision: torch.dtype | None, device: torch.device) -> AbstractContextManager[None]:
    """Let products on a device be computed in ``precision`` for a while; None is the weights' own."""
    return torch.autocast(device.type, precision) if precision else nullcontext()


def enable_gradient_checkpointing(model: "PreTrainedModel") -> None:
    """Let a model's blocks compute again in the backward what they would have kept (Chen et al.
    2016, arXiv 1604.06174).

    Not the last one, where blocks can be asked one by one: the backward begins with it, so all that
    it keeps is needed at once. Raises SettingsError for a model that cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise SettingsError(
            {"gradient_checkpointing": "is not for this model: its blocks cannot be computed again"}
        )
    model.activation_checkpointing_enable({"use_reentrant": False})
    for block in blocks_of(model)[-1:]:
        if hasattr(block, "gradient_checkpointing"):
            block.gradient_checkpointing = False  # type: ignore[assignment]


def compile_decoder(model: "PreTrainedModel", backend: str = "inductor") -> None:
    """Let torch compile a model's decoder at its first call, once for rows of any length."""
    base_of(model).get_decoder().compile(dynamic=True, backend=backend)


def takes_logits_to_keep(model: "PreTrainedModel") -> bool:
    """Return whether the model can be told at which positions to compute logits, as nearly all can."""
    return "logits_to_keep" in inspect.signature(type(base_of(model)).forward).parameters


def silence_libraries() -> None:
    """Keep what libraries say to their developers, and their progress bars, off our terminal: our
    own events tell of progress.
    """
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging as of_transformers

    disable_progress_bars()
    of_transformers.disable_progress_bar()
    of_transformers.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="peft")
    warnings.filterwarnings("ignore", module="bitsandbytes")
    # PEFT asks by the old name
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def _four_bits(computed_in: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Return how weights are packed: in 4-bit normal floats, their scales quantised again (Dettmers
    et al., arXiv 2305.14314).
    """
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed_in,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _keep_packed_as_trained(model: "PreTrainedModel") -> None:
    """Keep bitsandbytes from packing weights anew when a model is first evaluated on a CPU that
    computes in bfloat16.

    That layout is for weights of certain shapes only and ends in an error on others, and its
    products are of another precision than those that training computes.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _load_weights(folder: Path, packing: Mapping[str, Any]) -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM

    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            **packing,
        )
    except (
        Exception
    ) as error:  # transformers and safetensors raise many classes for a damaged or unknown model
        first_line = (
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        )
        raise ModelError(
            f"{folder} cannot be loaded as a causal language model: "
            f"{shortened(first_line, 300).removesuffix('.')}. "
            "Copy the model again, or choose another one."
        ) from error
    if report.get("missing_keys"):
        missing = sorted(report["missing_keys"])
        raise ModelError(
            f"{folder} lacks {len(missing)} of its weights ({missing[0]} …): copy the whole "
            "model again."
        )
    return model


@torch.no_grad()
def _check_sees_no_future(model: "PreTrainedModel", source: ModelSource) -> None:
    """Raise ModelError for a model whose earlier positions see later tokens: it cannot learn to go
    on with a text.
    """
    size = int(getattr(model.config.get_text_config(), "vocab_size", 0) or 0)
    if size < _PROBE_TOKENS + 2:
        return
    device = next(model.parameters()).device
    ids = torch.arange(1, _PROBE_TOKENS + 1, device=device)[None]  # (1, T)
    other = ids.clone()
    other[0, -1] = _PROBE_TOKENS + 1
    model.eval()
    try:
        before, after = (
            model(input_ids=one, use_cache=False).logits[0, :-1].float() for one in (ids, other)
        )
    except Exception as error:  # a layout that wants more than ids, or cannot be called at all
        raise ModelError(
            f"'{source.name}' cannot be asked as a causal language model: "
            f"{shortened(str(error), 200)}"
        ) from error
    if before.isfinite().all() and not torch.allclose(before, after, rtol=1e-3, atol=1e-3):
        raise ModelError(
            f"'{source.name}' is no causal language model: its tokens see what comes after them, "
            "so choose another one."
        )


def _put_adapter_on(
    model: "PreTrainedModel", source: ModelSource, *, trainable: bool
) -> "PreTrainedModel":
    from peft import PeftModel

    _make_room(model, source)
    try:
        # what else draws numbers in this process must not notice
        with torch.random.fork_rng(devices=[]):
            return PeftModel.from_pretrained(model, source.folder, is_trainable=trainable)
    except (
        Exception
    ) as error:  # peft raises ValueError, RuntimeError or KeyError for an adapter that does not fit
        said = shortened(str(error), 200)
        raise ModelError(
            f"The adapter in {source.folder} does not fit its base model ({said}): give the base "
            "it was tuned on."
        ) from error


def _make_room(model: "PreTrainedModel", source: ModelSource) -> None:
    """Give a base rows for the tokens that an adapter was tuned with, where it brings its whole
    embedding.
    """
    from safetensors import SafetensorError, safe_open

    wanted = 0
    try:
        with safe_open(source.folder / "adapter_model.safetensors", framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                if name.endswith(
                    (
                        "embed_tokens.weight",
                        "lm_head.weight",
                        "wte.weight",
                        "modules_to_save.weight",
                    )
                ):
                    wanted = max(wanted, tensors.get_slice(name).get_shape()[0])
    except (OSError, SafetensorError):
        return  # PEFT says what is wrong with it
    rows = model.get_input_embeddings().weight.shape[0]
    if wanted > rows:
        model.resize_token_embeddings(wanted, mean_resizing=False)
