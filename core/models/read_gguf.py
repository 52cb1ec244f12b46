"""The weights, tokenizer and template of a GGUF file as a folder in transformers' own layout.

What ``python -m core import`` does. Quantised numbers become bfloat16, others stay as they are.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from core.errors import ModelError
from core.libraries import import_libraries
from core.processes.messages import Progress
from core.storage.atomic_write import written_aside
from core.text import shortened

if TYPE_CHECKING:
    from gguf import GGUFReader

_STEPS = ("Looking into the file", "Reading the tokenizer", "Reading the weights", "Writing")
_GIB = 2**30
_MOST_TENSORS = 100_000
_BYTES_IN_MEMORY = 6  # of a number while it is unpacked and written: float32 and two bytes more
# context length and size of a head, which transformers takes from some layouts and not from others
_CONTEXTS = ("n_positions", "max_position_embeddings")

Tell = Callable[[Progress], object]


def import_gguf(path: Path, folder: Path, tell: Tell = lambda _: None) -> None:
    """Read a GGUF file into ``folder``, whole or not at all. Raises ModelError."""
    facts = _look_into(path, tell)
    try:
        with written_aside(folder) as aside:
            _convert(path, aside, facts, tell)
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # transformers tells what it does not know in many classes
        reason = shortened(str(error) or type(error).__name__, 200)
        raise ModelError(
            f"{path.name} has a layout ('{facts['architecture']}') that cannot be read: {reason}"
        ) from error


def _step(number: int) -> Progress:
    return Progress(stage=_STEPS[number], done=number, total=len(_STEPS), unit="step")


def _look_into(path: Path, tell: Tell) -> dict[str, Any]:
    """Return the header's facts. Raises ModelError for a damaged file, or one too large for here."""
    from gguf import GGMLQuantizationType, GGUFReader

    tell(_step(0))
    try:
        reader = GGUFReader(path)
        facts = {
            "architecture": _value(reader, "general.architecture"),
            "tensors": len(reader.tensors),
        }
        name = facts["architecture"]
        for key in ("context_length", "attention.key_length"):
            facts[key] = _value(reader, f"{name}.{key}")
        kinds = {tensor.tensor_type for tensor in reader.tensors}
        numbers = sum(math.prod(map(int, tensor.shape)) for tensor in reader.tensors)
    except Exception as error:  # a damaged header fails wherever it is read
        raise ModelError(
            f"{path.name} is damaged: its header cannot be read; fetch it again."
        ) from error
    if not isinstance(name, str) or not 0 < facts["tensors"] < _MOST_TENSORS:
        raise ModelError(f"{path.name} names no model: fetch it again.")
    needs, free = numbers * _BYTES_IN_MEMORY, psutil.virtual_memory().available
    if needs > free:
        raise ModelError(
            f"{path.name} needs {needs / _GIB:.1f} GiB of memory to be read, and {free / _GIB:.1f} "
            "are free: close other programs, or take a smaller model."
        )
    plain = {GGMLQuantizationType.F32, GGMLQuantizationType.F16}
    halves = GGMLQuantizationType.F16 in kinds
    facts["dtype"] = "bfloat16" if kinds - plain else "float16" if halves else "float32"
    return facts


def _value(reader: "GGUFReader", key: str) -> Any:
    field = reader.get_field(key)
    return field.contents() if field is not None else None


def _convert(path: Path, folder: Path, facts: dict[str, Any], tell: Tell) -> None:
    import_libraries()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    from core.models.load import silence_libraries

    silence_libraries()
    where: dict[str, Any] = {"gguf_file": path.name}
    tell(_step(1))
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **where)
    config = AutoConfig.from_pretrained(path.parent, **where)
    _complete(config, facts)
    tell(_step(2))
    model, loading = AutoModelForCausalLM.from_pretrained(
        path.parent,
        **where,
        config=config,
        dtype=getattr(torch, facts["dtype"]),
        quantization_config=GgufConfig(path.name, dequantize=True),
        output_loading_info=True,
    )
    if missing := sorted(loading["missing_keys"]):
        raise ModelError(
            f"{path.name} has a layout ('{facts['architecture']}') that is not read whole: "
            f"{len(missing)} of its tensors are missing, {missing[0]} among them."
        )
    tell(_step(3))
    model.config.__dict__.pop("quantization_config", None)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _complete(config: Any, facts: dict[str, Any]) -> None:
    """Put right what transformers takes from the header of some layouts only."""
    context, head = facts["context_length"], facts["attention.key_length"]
    for name in _CONTEXTS:
        if isinstance(context, int) and hasattr(config, name):
            setattr(config, name, context)
    if isinstance(head, int) and hasattr(config, "head_dim"):
        config.head_dim = head
