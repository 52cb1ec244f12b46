"""How much memory and how many operations a run will need, told before any weight is loaded.

Waits for no import of torch.
Shapes: N tokens of the largest batch's flat row, D hidden size, I inner size of the MLP.

Not counted: what a model needs besides whose rows must be padded (flat_batch.py), and that several
GPUs share one run out.
"""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core.models.resolve import block_count, read_adapter, read_config
from core.prompts.encoder import EncodedRow
from core.training.planning.plan import RunPlan
from core.training.planning.throughput import torch_is_loaded

_MIB = 2**20
# Python, torch and transformers, before any model (benchmarks/LOG.md, 2026-11-23)
LIBRARIES_MIB = 430
PEFT_MIB = 100
_CONTEXT_MIB = 500  # what CUDA itself takes in a process that uses a GPU
_BYTES = 4  # of a number in float32
_BYTES_OF_A_COPY = 2  # in bfloat16
_LOGITS = 2**23  # numbers at a time (chunked_cross_entropy.py)
# numbers a token and block keeps for the backward, in units of D: norms, queries, keys, values,
# sums
_STREAM_COPIES = 14
_INNER_COPIES = 4  # in units of I: gate, up, activation, product
_UNGATED_COPIES = 2  # before and after the activation
# activations of the layouts without a gate, like GPT-2's
_UNGATED = {"gelu", "gelu_new", "gelu_fast", "relu"}
_PASS_BYTES = 2**30  # that a pass on a CPU keeps, one of a single row apart
_LEAST_TOKENS = 512
_ADAPTED = 1.5  # adapters keep a second set of most of it
_FOUR_BITS = 0.53  # bytes of a number in 4 bits, its block's scale included
_SAMPLED_BATCHES = 8
# Seconds, measured on one thread (benchmarks/LOG.md, 2026-11-25):
# a token, block and hidden number, forward and backward: norms, positions, activations, attention
_PASSES_S = 1.4e-7
_FORWARD_SHARE = 3  # of which the forward alone takes one part
_UPDATE_S = 1.2e-9  # a trained parameter and step: its gradient's norm, and AdamW


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDimensions:
    """The sizes of a model that its costs follow from, out of its config and its files' headers.

    0 where the config does not say. Numbers, not bytes.
    """

    hidden: int  # D
    inner: int  # I
    blocks: int
    layer: int  # of the input's embedding: vocabulary × D
    weights: int  # all that its files hold, the output layer's own ones included
    head: int  # of an output layer of its own; 0 where it is the embedding
    is_gated: bool  # whether its MLP multiplies by a gate
    has_dropout: bool

    @classmethod
    def of(cls, folder: Path) -> "ModelDimensions":
        """Read a model's folder; no weight is loaded."""
        config, weights = read_config(folder), parameter_count(folder)
        hidden = _first(config, "hidden_size", "n_embd")
        layer = _first(config, "vocab_size") * hidden
        return cls(
            hidden=hidden,
            inner=_first(config, "intermediate_size", "n_inner") or 4 * hidden,
            blocks=block_count(folder) or 0,
            layer=layer,
            weights=weights,
            head=layer if config.get("tie_word_embeddings") is False else 0,
            is_gated=_is_gated(config),
            has_dropout=_has_dropout(config),
        )

    @property
    def in_blocks(self) -> int:
        """How many weights are in neither the embedding nor an output layer of its own."""
        return self.weights - self.layer - self.head

    @property
    def kept_per_token(self) -> int:
        """How many numbers a block keeps of a token for the backward."""
        copies = _INNER_COPIES if self.is_gated else _UNGATED_COPIES
        return _STREAM_COPIES * self.hidden + copies * self.inner


def memory_mib(plan: RunPlan) -> float | None:
    """Return the expected peak of a run on the CPU in MiB; None for a model whose config does not
    say enough.
    """
    model = ModelDimensions.of(plan.source.weights_folder)
    held = _held_bytes(plan, model, halves=plan.settings.precision == "bfloat16")
    kept = _training_bytes(plan, model, _largest_pass)
    if held is None or kept is None:
        return None
    files = plan.source.weights_folder.glob("*.safetensors")
    loading = _BYTES * model.weights + sum(path.stat().st_size for path in files)
    libraries = LIBRARIES_MIB + (PEFT_MIB if plan.settings.method != "full" else 0)
    return libraries + max(held + kept, loading) / _MIB


def gpu_memory_mib(plan: RunPlan) -> float | None:
    """Return the most that a run can be expected to take of one GPU's memory in MiB; None as for
    the CPU.

    By arithmetic alone, with activations as large as in float32 and a copy of the trained weights
    in the products' own type: less is likely, and no GPU was at hand to tell how much.
    """
    from core.models.load import compute_dtype

    model = ModelDimensions.of(plan.source.weights_folder)
    halves = compute_dtype(plan.settings.precision) is not None
    held = _held_bytes(plan, model, halves=halves)
    kept = _training_bytes(plan, model, _largest_batch)
    if held is None or kept is None:
        return None
    copies = (_BYTES_OF_A_COPY if halves else 0) * _trained_parameters(plan, model)
    return _CONTEXT_MIB + (held + kept + copies) / _MIB


def _held_bytes(plan: RunPlan, model: ModelDimensions, *, halves: bool) -> float | None:
    """Return what the weights take; None where they cannot be counted.

    With adapters the blocks are held in 4 bits, or with ``halves`` in the products' own type, as is
    an output layer of its own.
    """
    settings = plan.settings
    if settings.method == "full":
        return _BYTES * model.weights or None
    of_products = _BYTES_OF_A_COPY if halves else _BYTES
    of_blocks = _BYTES if _is_dora(plan) else of_products  # whose columns are measured in float32
    per_weight = _FOUR_BITS if settings.method == "qlora" else of_blocks
    # a damaged file may hold fewer than its config says
    layer = min(model.layer, model.weights)
    head = min(model.head, model.weights - layer)
    blocks = per_weight * (model.weights - layer - head)
    return (_BYTES * layer + of_products * head + blocks) or None


def _is_dora(plan: RunPlan) -> bool:
    """Return whether a plan's adapter is or will be a weight-decomposed one; one that is tuned
    further stays what it is.
    """
    return (
        bool(read_adapter(plan.source.folder).get("use_dora"))
        if plan.source.is_adapter
        else plan.settings.lora_kind == "dora"
    )


def _trained_share(plan: RunPlan, model: ModelDimensions) -> float:
    """Return the share of the blocks that full tuning trains."""
    return plan.settings.last_blocks / max(model.blocks, 1) if plan.settings.last_blocks else 1.0


def _training_bytes(
    plan: RunPlan, model: ModelDimensions, largest: Callable[[RunPlan, ModelDimensions], int]
) -> float | None:
    """Return what comes on top of the weights: gradients, moments, and what is kept for the
    backward.
    """
    if not (model.hidden and model.blocks):
        return None
    # gradients and two moments for what is trained
    updated = _BYTES * (3 * _trained_parameters(plan, model) + _LOGITS)
    return updated + _kept_bytes(plan, model, largest(plan, model))


def most_tokens_in_a_pass(plan: RunPlan) -> int | None:
    """Return how many tokens a pass on a CPU computes at once, so that what is kept of them for the
    backward stays within a bound; None where a model's config does not say enough.

    Passes of a thousand tokens are as quick there as larger ones (benchmarks/LOG.md, 2026-11-27).
    """
    model = ModelDimensions.of(plan.source.weights_folder)
    if not (model.hidden and model.blocks):
        return None
    return max(int(_PASS_BYTES / _kept_bytes(plan, model, 1)), _LEAST_TOKENS)


def _largest_pass(plan: RunPlan, model: ModelDimensions) -> int:
    """Return how many tokens the largest pass on a CPU holds: a row is never parted."""
    longest = max(len(row.ids) for row in plan.train)
    bound = max(most_tokens_in_a_pass(plan) or longest, longest)
    return min(_largest_batch(plan, model), bound)


def _kept_bytes(plan: RunPlan, model: ModelDimensions, tokens: int) -> float:
    """Return what is kept of so many tokens for the backward."""
    of_a_block = tokens * model.kept_per_token * _BYTES
    share = _trained_share(plan, model) if plan.settings.method == "full" else _ADAPTED
    kept = model.blocks * of_a_block * share
    if plan.settings.gradient_checkpointing:
        kept = min(kept, of_a_block + model.blocks * tokens * model.hidden * _BYTES)
    return kept


def _trained_parameters(plan: RunPlan, model: ModelDimensions) -> float:
    if plan.settings.method == "full":
        return model.weights * _trained_share(plan, model)
    # the seven layers of a block: their inputs' and outputs' widths together
    return plan.settings.lora_rank * max(model.blocks, 1) * (11 * model.hidden + 3 * model.inner)


def operations(plan: RunPlan) -> float | None:
    """Return the multiplications and additions that a run cannot do without, attention's left out;
    None as for memory.

    Two a weight and token forward and four backward, two of these only where the weight is trained;
    the output layer only where something is learnt; a beginning that a batch's rows have in common
    once.
    """
    settings, model = plan.settings, ModelDimensions.of(plan.source.weights_folder)
    if not (model.blocks and model.weights and model.layer):
        return None
    backward = (4.0 if settings.method == "full" else 2.0) * _trained_share(plan, model)
    # the last block keeps what it computes
    again = 2 * (model.blocks - 1) / model.blocks if settings.gradient_checkpointing else 0.0
    trains_head = settings.method == "full" and not settings.last_blocks
    trained = sum(row.targets(mask_prompt=settings.mask_prompt) for row in plan.train)
    learning = (
        model.in_blocks * (2 + backward + again) * _computed_tokens(plan, model)
        + model.layer * (6 if trains_head else 4) * trained
    )
    validation = 2 * (model.in_blocks + model.layer) * sum(len(row.ids) for row in plan.validation)
    return settings.epochs * (learning + settings.evaluations_per_epoch * validation)


def memory_bound_s(plan: RunPlan) -> float:
    """Return about how many seconds a run on a CPU spends on all but products: passes over what it
    keeps, and over its weights.

    The smaller a model's layers, the larger the share of a step: a third of GPT-2's, half of the
    pocket model's.
    """
    settings, model = plan.settings, ModelDimensions.of(plan.source.weights_folder)
    of_a_token = model.hidden * model.blocks * _PASSES_S
    validated = (
        settings.evaluations_per_epoch
        * sum(len(row.ids) for row in plan.validation)
        / _FORWARD_SHARE
    )
    tokens = settings.epochs * (_computed_tokens(plan, model) + validated)
    return tokens * of_a_token + plan.total_steps * _trained_parameters(plan, model) * _UPDATE_S


def free_memory_mib() -> float:
    """Return how much memory programs can still take without the system writing others' to the
    disk, in MiB.
    """
    return float(psutil.virtual_memory().available / _MIB)


def free_gpu_memory_mib() -> float | None:
    """Return how much of the GPU that a run would take is free, in MiB; None without one, or before
    torch is loaded.
    """
    if not torch_is_loaded():
        return None
    import torch

    with suppress(RuntimeError):  # one that is full to the brim, or another process's alone
        return torch.cuda.mem_get_info()[0] / _MIB if torch.cuda.is_available() else None
    return None


def parameter_count(folder: Path) -> int:
    """Return how many numbers a model's safetensors files hold, read from their headers alone; 0
    when they are damaged.
    """
    total = 0
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        except (OSError, ValueError, MemoryError, OverflowError):
            return 0
        total += sum(
            math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"
        )
    return total


def _is_gated(config: dict[str, Any]) -> bool:
    """Return whether a layout's MLP multiplies its activation by a gate; Gemma's does under an
    activation's plain name, too.
    """
    kind = str(config.get("activation_function") or config.get("hidden_act") or "")
    return kind not in _UNGATED or str(config.get("model_type")).startswith("gemma")


def _has_dropout(config: dict[str, Any]) -> bool:
    """Return whether a config asks for dropout anywhere but in heads for other tasks."""
    of_other_heads = ("summary_", "classifier_")
    names = [name for name in config if "drop" in name and not name.startswith(of_other_heads)]
    return any(isinstance(config[name], float) and config[name] > 0 for name in names)


def _largest_batch(plan: RunPlan, model: ModelDimensions) -> int:
    """Return how many tokens the flat row of the longest rows holds."""
    return _flat_tokens(
        sorted(plan.train, key=lambda row: -len(row.ids))[: plan.settings.batch_size], plan, model
    )


def _computed_tokens(plan: RunPlan, model: ModelDimensions) -> float:
    """Return about how many tokens of an epoch are computed, from some batches of rows of like
    length.
    """
    rows, size = sorted(plan.train, key=lambda row: len(row.ids)), plan.settings.batch_size
    starts = range(0, len(rows), max(-(-len(rows) // _SAMPLED_BATCHES), size))
    sampled = [rows[start : start + size] for start in starts]
    computed = sum(_flat_tokens(batch, plan, model) for batch in sampled)
    return (
        computed
        / sum(len(row.ids) for batch in sampled for row in batch)
        * sum(len(row.ids) for row in rows)
    )


def _flat_tokens(rows: Sequence[EncodedRow], plan: RunPlan, model: ModelDimensions) -> int:
    """Return how many tokens the flat row of a batch holds; with dropout its rows share none of
    them.
    """
    if model.has_dropout or (plan.settings.method != "full" and plan.settings.lora_dropout > 0):
        return sum(len(row.ids) - 1 for row in rows)
    nodes: dict[tuple[int, int], int] = {}
    for row in rows:
        node = -1
        for token in row.ids[:-1]:
            node = nodes.setdefault((node, token), len(nodes))
    return len(nodes)


def _first(config: dict[str, Any], *names: str) -> int:
    return next((value for name in names if isinstance(value := config.get(name), int)), 0)
