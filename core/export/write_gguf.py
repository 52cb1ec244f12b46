"""A model in memory becomes one GGUF file, tensor by tensor, and is read again before it counts."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.errors import ModelError
from core.export.choices import Quantisation
from core.export.gguf_layout import architecture_of, tensors, write_header
from core.export.gguf_tokenizer import write_tokenizer
from core.processes.messages import Progress
from core.prompts.encoder import PromptEncoder

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter
    from transformers import PreTrainedConfig, PreTrainedModel

QUANTISER = "llama-quantize"  # llama.cpp's own, for the kinds that the package gguf does not write
_OF_MORE_BITS = ("token_embd.weight", "output.weight")  # where four would cost the most
_PHI3 = re.compile(r"phi-?3", re.IGNORECASE)
_KEPT_WHOLE = ("position_embd.weight", "rope_freqs.weight")
_LEAST_LIKENESS: dict[Quantisation, float] = {
    "f32": 0.9999,
    "f16": 0.999,
    "q8_0": 0.99,
    "q4_0": 0.8,
    "q4_k_m": 0.8,
}

Tell = Callable[[Progress], object]


def write_gguf(  # noqa: PLR0913 - what is written, where, how, and whom to tell
    model: "PreTrainedModel",
    encoder: PromptEncoder,
    path: Path,
    quantisation: Quantisation,
    *,
    name: str,
    context: int,
    tell: Tell = lambda _: None,
) -> None:
    """Write a whole model, its tokenizer, template and end token to ``path``.

    ``context`` is the longest text in tokens. Raises ModelError for a layout, tokenizer or kind of
    number that cannot be written, OSError where the disk gives way.
    """
    if quantisation == "q4_k_m":
        _by_llama_cpp(model, encoder, path, name=name, context=context, tell=tell)
        return
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture_of(model.config.model_type))
    try:
        _write_facts(writer, encoder, name, quantisation)
        write_header(writer, model, context)
        write_tokenizer(writer, encoder.tokenizer, model.config.get_text_config().vocab_size)
        _write_tensors(writer, model, quantisation, tell)
    finally:
        writer.close()


def check_gguf(
    path: Path, config: "PreTrainedConfig", expected: torch.Tensor, quantisation: Quantisation
) -> None:
    """Read a file with transformers and ask it: raise ModelError where its logits are not those of
    the model that was written, ``expected`` (B, T, V), but for the rounding of its numbers.

    How alike they are is the cosine of both, each less its mean.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import GgufConfig

    from core.training.kernels.equivalence import probe_logits

    read = AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        config=_as_read(config),
        dtype=torch.float32,
        quantization_config=GgufConfig(path.name, dequantize=True),
    ).eval()
    found = probe_logits(read)
    likeness = torch.nn.functional.cosine_similarity(
        (found - found.mean()).flatten(), (expected - expected.mean()).flatten(), dim=0
    )
    if not expected.isfinite().all():
        return  # of damaged weights, which the loss has told of
    if likeness < _LEAST_LIKENESS[quantisation]:
        raise ModelError(
            "What was written answers otherwise than the model in memory, so nothing of it was "
            f"kept: its logits agree by {likeness:.3f} of 1."
        )


def _as_read(config: "PreTrainedConfig") -> "PreTrainedConfig":
    """Return a config under the type that transformers reads a file as: Mistral's layout is Llama's."""
    if config.model_type != "mistral":
        return config
    from transformers import LlamaConfig

    facts = config.to_dict()
    facts.pop("model_type")
    return LlamaConfig(**facts)


def _write_facts(
    writer: "GGUFWriter", encoder: PromptEncoder, name: str, quantisation: Quantisation
) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    kind = "ALL_F32" if quantisation == "f32" else f"MOSTLY_{quantisation.upper()}"
    # llama.cpp takes a model of that name for one with Phi-3's own tokens, and dies without them
    writer.add_name(_PHI3.sub("phi 3", name))
    writer.add_file_type(LlamaFileType[kind])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    tokenizer = encoder.tokenizer
    ends = (
        encoder.end_id if encoder.end_id is not None else tokenizer.special_ids.get(tokenizer.eos)
    )
    if ends is not None:
        writer.add_eos_token_id(ends)
    if tokenizer.bos in tokenizer.special_ids:
        writer.add_bos_token_id(tokenizer.special_ids[tokenizer.bos])
    writer.add_pad_token_id(tokenizer.pad_id)
    writer.add_chat_template(encoder.style.template)


def _write_tensors(
    writer: "GGUFWriter", model: "PreTrainedModel", quantisation: Quantisation, tell: Tell
) -> None:
    """Write one tensor after the other, so that no second model is held."""
    from gguf import quants

    kinds: dict[str, GGMLQuantizationType] = {}
    for name, weight in tensors(model):
        kind = kinds[name] = _kind(name, weight, quantisation)
        size = _bytes(weight.shape, kind)
        writer.add_tensor_info(
            name, tuple(weight.shape), np.dtype(np.float32), size, raw_dtype=kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, (name, weight) in enumerate(tensors(model), start=1):
        writer.write_tensor_data(quants.quantize(weight.numpy(), kinds[name]))
        tell(Progress(stage="Writing the model", done=number, total=len(kinds), unit="tensor"))


def _kind(name: str, weight: torch.Tensor, quantisation: Quantisation) -> "GGMLQuantizationType":
    """Return how a tensor's numbers are written: vectors whole, what has no blocks of 32 in 16 bits."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if weight.dim() < 2 or name in _KEPT_WHOLE:
        return GGMLQuantizationType.F32
    wanted = "q8_0" if quantisation == "q4_0" and name in _OF_MORE_BITS else quantisation
    kind = GGMLQuantizationType[wanted.upper()]
    return kind if weight.shape[-1] % GGML_QUANT_SIZES[kind][0] == 0 else GGMLQuantizationType.F16


def _bytes(shape: torch.Size, kind: "GGMLQuantizationType") -> int:
    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[kind]
    return shape.numel() // block * size


def _by_llama_cpp(
    model: "PreTrainedModel", encoder: PromptEncoder, path: Path, **named: Any
) -> None:
    """Write 16 bits a number, and let llama.cpp make four of them."""
    program = find_quantiser()
    halves = path.with_name(f".{path.name}.f16")
    tell: Tell = named["tell"]
    try:
        write_gguf(model, encoder, halves, "f16", **named)
        tell(Progress(stage=f"{QUANTISER} at work"))
        done = subprocess.run(  # noqa: S603 - the program that was found on the path
            [program, str(halves), str(path), "Q4_K_M"], capture_output=True, text=True, check=False
        )
    finally:
        halves.unlink(missing_ok=True)
    if done.returncode or not path.is_file():
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise ModelError(f"{QUANTISER} failed: {' '.join(last) or done.returncode}")


def find_quantiser() -> str:
    """Return llama.cpp's program for smaller numbers. Raises ModelError, saying how to get it."""
    if (found := shutil.which(QUANTISER)) is None:
        raise ModelError(
            f"q4_k_m is made by llama.cpp's {QUANTISER}, which is not on the path: install "
            "llama.cpp, or take q8_0 or q4_0."
        )
    return found
