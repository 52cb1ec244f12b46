"""A plan becomes a job: the model is loaded and what is trained of it prepared.

Knows no thread and no sink.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.datasets.conversation import Example
from core.generation.decode import generate_ids
from core.generation.rows import Limits
from core.generation.sampling import Sampling
from core.models.fsdp import full_state_dict, shard
from core.models.half_precision import cast_frozen_weights
from core.models.load import (
    autocast,
    best_device,
    compile_decoder,
    compute_dtype,
    enable_gradient_checkpointing,
    load_model,
    saved_dtype,
)
from core.models.lora import AdapterShape, add_lora, train_last_blocks
from core.models.resolve import read_facts, weights_identity
from core.models.save import save_model
from core.storage.workspace import Workspace
from core.training.distributed import Group
from core.training.loop.checkpoint import Progress
from core.training.loop.job import TrainingJob, Watched
from core.training.planning.cost_model import most_tokens_in_a_pass
from core.training.planning.plan import RunPlan
from core.training.planning.throughput import thread_choices

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WATCHED_TOKENS = 48


def make_job(plan: RunPlan, run: str, workspace: Workspace, group: Group) -> TrainingJob:
    """Load the model, or this process's part of it, and return everything the loop works on."""
    torch.set_num_threads(thread_choices(group.size)[0])
    # an adapter answers only beside the weights that it was tuned on
    stands_on = plan.settings.method != "full"
    base_weights = (
        {"base_weights": weights_identity(plan.source.weights_folder)} if stands_on else {}
    )
    # adapters are small
    by_choice = plan.settings.saved_type if plan.settings.method == "full" else "float32"
    saved_type = saved_dtype(plan.source, by_choice)
    model = _load_for_training(plan, group)
    if plan.settings.compiled:
        compile_decoder(model)

    def save(model: "PreTrainedModel", progress: Progress, folder: Path) -> None:
        facts: dict[str, Any] = {
            "base_model": _base_name(plan),
            "run": run,
            "step": progress.step,
            "validation_loss": progress.last_loss,
            "day": plan.encoder.style.day,
            **base_weights,
        }
        weights = full_state_dict(model, keeps=group.is_first)
        if group.is_first:
            save_model(model, plan.encoder, folder, facts, weights, kept_as=saved_type)

    return TrainingJob(
        run=run,
        model=model,
        settings=plan.settings,
        train=plan.train,
        validation=plan.validation,
        watched=_watch(plan),
        pad_id=plan.encoder.tokenizer.pad_id,
        most_tokens=most_tokens_in_a_pass(plan) if best_device().type == "cpu" else None,
        checkpoint=workspace.state_folder(run),
        best=workspace.model_folder(run),
        kept_at=lambda step: workspace.kept_folder(run, step),
        save=save,
        answer=lambda model, prompts: _answer(model, prompts, plan),
        group=group,
    )


def _load_for_training(plan: RunPlan, group: Group) -> "PreTrainedModel":
    """Return the model with what is trained of it; several processes share all weights out, but
    each has adapters whole.
    """
    if plan.settings.method == "full":
        return _load_for_full_tuning(plan, group)
    return _load_with_adapters(plan)


def _load_for_full_tuning(plan: RunPlan, group: Group) -> "PreTrainedModel":
    is_sharded = group.size > 1
    # until it is sharded it may be too large for the device
    model = load_model(plan.source, on_cpu=is_sharded)
    if plan.settings.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    if plan.settings.last_blocks:
        train_last_blocks(model, plan.settings.last_blocks)
    if is_sharded:
        shard(model, best_device(), group.size)
    return model


def _load_with_adapters(plan: RunPlan) -> "PreTrainedModel":
    settings, precision = plan.settings, compute_dtype(plan.settings.precision)
    is_halved = settings.method == "lora" and precision is not None
    four_bits = settings.precision if settings.method == "qlora" else ""
    # until it is in half its bytes it may be too large for the device
    model = load_model(
        plan.source, trainable_adapter=plan.source.is_adapter, on_cpu=is_halved, four_bits=four_bits
    )
    if settings.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    if not plan.source.is_adapter:
        shape = AdapterShape(
            settings.lora_rank,
            settings.lora_alpha,
            settings.lora_dropout,
            settings.lora_kind,
            settings.target_names,
        )
        model = add_lora(model, shape, seed=settings.seed, base_model=_base_name(plan))
    if precision:
        cast_frozen_weights(model, precision)
    return model.to(best_device()) if is_halved else model


def _base_name(plan: RunPlan) -> str:
    """Return what an adapter's base is called: a name that lasts, or the folder's full path."""
    if plan.source.is_adapter:  # tuned further: it stands on what the first adapter stands on
        return str(read_facts(plan.source.folder).get("base_model") or plan.source.base_folder)
    return (
        plan.settings.model
        if plan.source.kind in {"bundled", "hub", "run"}
        else str(plan.source.folder)
    )


def _watch(plan: RunPlan) -> list[Watched]:
    writable = {row.row for row in plan.validation}
    fitting = (
        example
        for example in plan.splits.validation
        if example.row in writable and not example.is_text and _is_short(example, plan)
    )
    chosen = list(islice(fitting, plan.settings.watched_prompts))
    return [
        Watched(
            example.row,
            example.prompt_text,
            example.answer,
            plan.encoder.encode_prompt(example.prompt),
        )
        for example in chosen
    ]


def _is_short(example: Example, plan: RunPlan) -> bool:
    return len(plan.encoder.encode_prompt(example.prompt)) + _WATCHED_TOKENS <= plan.max_tokens


def _answer(model: "PreTrainedModel", prompts: Sequence[list[int]], plan: RunPlan) -> list[str]:
    if not prompts:
        return []
    tokenizer = plan.encoder.tokenizer
    end_ids = [] if plan.encoder.end_id is None else [plan.encoder.end_id]
    limits = Limits(end_ids, plan.max_tokens, tokenizer.pad_id)
    with autocast(compute_dtype(plan.settings.precision), model.device):
        answers = generate_ids(model, prompts, Sampling(max_new_tokens=_WATCHED_TOKENS), limits)
    return [tokenizer.decode(answer.ids) for answer in answers]
