"""A transformers model as llama.cpp names and orders it: its header and its tensors.

Knows no file and no tokenizer. Shapes: R rows of a weight (outputs), C columns (inputs).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from core.errors import ModelError

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedModel

# transformers' model types, and what llama.cpp calls them
ARCHITECTURES = {
    "gpt2": "gpt2",
    "llama": "llama",
    "mistral": "llama",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}


def architecture_of(kind: str) -> str:
    """Return llama.cpp's name of a layout, given as transformers' type of model. Raises ModelError
    where it has none that is written here.
    """
    if kind not in ARCHITECTURES:
        raise ModelError(
            f"Models of the layout '{kind}' cannot be written as GGUF here; those of "
            f"{', '.join(sorted(ARCHITECTURES))} can. Export it as merged, and convert it with "
            "llama.cpp's own converter."
        )
    return ARCHITECTURES[kind]


def write_header(writer: "GGUFWriter", model: "PreTrainedModel", context: int) -> None:
    """Write what llama.cpp must know of a layout: sizes, norms, rotations. ``context`` is the
    longest text in tokens.
    """
    config: Any = model.config
    architecture = architecture_of(model.config.model_type)
    window = _window(config)
    if window and architecture == "phi3":
        writer.add_sliding_window(window)
    elif window:  # which llama.cpp does not have for this layout: longer texts would differ
        context = min(context, window)
    heads = config.num_attention_heads
    writer.add_context_length(context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads)
    writer.add_vocab_size(config.vocab_size)
    if architecture == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    rotated = config.rope_parameters.get("partial_rotary_factor") or 1.0
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(int(head_size * rotated))
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))


def _window(config: Any) -> int | None:
    """Return how many positions some layer attends to, None where all attend to all."""
    kinds = set(getattr(config, "layer_types", None) or ("sliding_attention",))
    window = getattr(config, "sliding_window", None)
    slides = getattr(config, "use_sliding_window", True) and "sliding_attention" in kinds
    return window if slides and isinstance(window, int) else None


def tensors(model: "PreTrainedModel") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a model's tensors under llama.cpp's names, (R, C) or (R,), in float32. Raises ModelError
    for one that has no name there.
    """
    from gguf import MODEL_ARCH, get_tensor_name_map

    config: Any = model.config
    architecture = architecture_of(model.config.model_type)
    names = get_tensor_name_map(MODEL_ARCH[architecture.upper()], config.num_hidden_layers)
    factors = _rotation_factors(model)
    if factors is not None:
        yield "rope_freqs.weight", factors
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ModelError(f"Its tensor '{name}' has no place in GGUF's layout '{architecture}'.")
        yield found, _as_llama_cpp(found, weight.detach().float().cpu(), config, architecture)


def _as_llama_cpp(name: str, weight: torch.Tensor, config: Any, architecture: str) -> torch.Tensor:
    """Return a tensor in llama.cpp's order: GPT-2's are transposed, and of Llama's queries and keys
    the two numbers that are rotated together stand side by side.
    """
    if architecture == "gpt2" and weight.dim() == 2 and name.startswith("blk."):
        return weight.T.contiguous()
    if architecture == "llama" and (".attn_q." in name or ".attn_k." in name):
        heads = config.num_attention_heads if ".attn_q." in name else config.num_key_value_heads
        halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
        return halves.transpose(1, 2).reshape(weight.shape).contiguous()
    return weight


def _rotation_factors(model: "PreTrainedModel") -> torch.Tensor | None:
    """Return what each frequency of rotation is divided by, (D / 2,); None where by nothing.

    Raises ModelError for rotations that no such numbers give.
    """
    config: Any = model.config
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    rotary: Any = getattr(model.get_decoder(), "rotary_emb", None)
    if (
        kind not in {"linear", "llama3"}
        or architecture_of(model.config.model_type) != "llama"
        or rotary is None
    ):
        raise ModelError(
            f"Its positions are stretched ('{kind}') in a way that cannot be written as GGUF here: "
            "export it as merged, and convert it with llama.cpp's own converter."
        )
    size = 2 * len(rotary.inv_freq)
    exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
    plain: torch.Tensor = 1.0 / (float(rope["rope_theta"]) ** exponents)
    factors: torch.Tensor = plain / rotary.inv_freq.float().cpu()
    return factors
