"""Settings and a dataset become a plan a person can read before Start, and then a job. Knows no thread and no sink."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.dataset import Dataset
from core.data.examples import Example, RefusedRow
from core.data.splits import Splits, split_examples
from core.errors import SettingsError, StyleError
from core.models.catalogue import (
    ModelSource,
    block_count,
    find_model,
    max_context,
    read_adapter,
    read_facts,
    tokenizer_identity,
    weights_identity,
)
from core.models.consistency import check_causal, check_ids, check_method
from core.prompts.encoded import encode_dataset, unwritable_row
from core.prompts.encoding import EncodedRow, PromptEncoder, load_encoder
from core.prompts.rendering import joins_system
from core.storage.workspace import Workspace
from core.training.group import Group
from core.training.settings import LoraKind, TrainingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from core.training.checkpoints import Progress
    from core.training.job import TrainingJob, Watched

_WATCHED_TOKENS = 48


@dataclass(frozen=True)
class RunPlan:
    """What a run will do, known before any weight is loaded."""

    settings: TrainingSettings
    source: ModelSource
    encoder: PromptEncoder
    splits: Splits
    train: tuple[EncodedRow, ...]
    validation: tuple[EncodedRow, ...]
    max_tokens: int
    cut_rows: tuple[int, ...]  # training or validation rows over max_tokens, which lose their end
    dropped_rows: tuple[int, ...]  # rows whose whole answer would be cut away
    unwritable: tuple[RefusedRow, ...]  # rows that the style or the tokenizer cannot write, left out
    refused: int  # rows of the file that are no examples
    content_hash: str  # of the file
    lacks_end_token: bool  # the style ends answers with no token that generation could stop at
    joins_system: bool  # the style has no place for a system prompt, which goes in front of the first question

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return -(-len(self.train) // self.settings.step_rows) * self.settings.epochs

    @property
    def identity(self) -> dict[str, str]:
        """What tells the base model's weights and tokenizer from others of the same name."""
        weights = [weights_identity(folder) for folder in filter(None, (self.source.base_folder, self.source.folder))]
        return {"weights": "+".join(weights), "tokenizer": tokenizer_identity(self.encoder.tokenizer.folder)}


def plan_run(dataset: Dataset, settings: TrainingSettings, workspace: Workspace) -> RunPlan:
    """Split, render, tokenise and cut.

    Raises SettingsError when nothing would be learnt, and whatever the model, style or split has wrong.
    """
    if settings.method == "qlora" and find_spec("bitsandbytes") is None:
        raise SettingsError({"method": "qlora needs bitsandbytes: python -m pip install bitsandbytes, or use lora"})
    source = find_model(settings.model, workspace.find_run_model)
    settings = _as_the_adapter_is(settings, source)
    _check_model(source, settings)
    encoder = load_encoder(source.folder, settings.style, base_folder=source.base_folder, day=settings.day)
    context = max_context(source.weights_folder)
    max_tokens = min(settings.max_tokens or context, context)
    splits = split_examples(dataset.examples, settings.splits)
    rows = encode_dataset(dataset, encoder)
    train = _fit(splits.train, rows, max_tokens, mask_prompt=settings.mask_prompt)
    validation = _fit(splits.validation, rows, max_tokens, mask_prompt=settings.mask_prompt)
    if not train.kept and train.unwritable:
        raise StyleError(f"Row {train.unwritable[0].row}: {train.unwritable[0].reason}.")
    if not train.kept:
        raise SettingsError({"max_tokens": f"all answers lie beyond {max_tokens} tokens, so nothing would be learnt"})
    check_ids(source, max(max(row.ids) for row in (*train.kept, *validation.kept)))
    return RunPlan(
        settings=settings,
        source=source,
        encoder=encoder,
        splits=splits,
        train=tuple(train.kept),
        validation=tuple(validation.kept),
        max_tokens=max_tokens,
        cut_rows=(*train.cut, *validation.cut),
        dropped_rows=(*train.dropped, *validation.dropped),
        unwritable=(*train.unwritable, *validation.unwritable),
        refused=len(dataset.refused),
        content_hash=dataset.content_hash,
        lacks_end_token=encoder.end_id is None,
        joins_system=any(
            example.turns[0].role == "system" and joins_system(encoder.style, example.turns)
            for example in (*splits.train, *splits.validation)
        ),
    )


def _check_model(source: ModelSource, settings: TrainingSettings) -> None:
    """Raise where a model's config tells that it cannot be tuned so."""
    check_causal(source)
    check_method(source, settings.method)
    blocks = block_count(source.weights_folder)
    if blocks is not None and settings.last_blocks > blocks:
        raise SettingsError({"last_blocks": f"must be at most {blocks}, the blocks that the model has"})


def _as_the_adapter_is(settings: TrainingSettings, source: ModelSource) -> TrainingSettings:
    """Return settings whose adapter is the one that is tuned further: what is written down is what is done."""
    if not source.is_adapter or settings.method == "full":
        return settings
    known = read_adapter(source.folder)
    kind: LoraKind = "dora" if known.get("use_dora") else "rslora" if known.get("use_rslora") else "lora"
    return replace(
        settings,
        lora_rank=_number(known.get("r"), settings.lora_rank),
        lora_alpha=float(_number(known.get("lora_alpha"), settings.lora_alpha)),
        lora_dropout=float(_number(known.get("lora_dropout"), settings.lora_dropout)),
        lora_kind=kind,
    )


def _number(value: object, otherwise: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def make_job(plan: RunPlan, run: str, workspace: Workspace, group: Group) -> "TrainingJob":
    """Load the model, or this process's part of it, and return everything the loop works on."""
    import torch

    from core.models.loading import compile_decoder, type_on_disk
    from core.models.saving import save_model
    from core.models.sharding import whole_weights
    from core.training.job import TrainingJob

    torch.set_num_threads(training_threads(group.size))
    stands_on = plan.settings.method != "full"  # an adapter answers only beside the weights that it was tuned on
    base_weights = {"base_weights": weights_identity(plan.source.weights_folder)} if stands_on else {}
    by_choice = plan.settings.saved_type if plan.settings.method == "full" else "float32"  # adapters are small
    saved_type = type_on_disk(plan.source, by_choice)
    model = _load_for_training(plan, group)
    if plan.settings.compiled:
        compile_decoder(model)

    def save(model: "PreTrainedModel", progress: "Progress", folder: Path) -> None:
        facts: dict[str, Any] = {
            "base_model": _base_name(plan), "run": run, "step": progress.step, "validation_loss": progress.last_loss,
            "day": plan.encoder.style.day, **base_weights,
        }  # fmt: skip
        weights = whole_weights(model, keeps=group.is_first)
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
        checkpoint=workspace.state_folder(run),
        best=workspace.model_folder(run),
        kept_at=lambda step: workspace.kept_folder(run, step),
        save=save,
        answer=lambda model, prompts: _answer(model, prompts, plan),
        group=group,
    )


def training_threads(processes: int = 1) -> int:
    """Return how many threads a process computes with: all share one less than there are cores, or OMP_NUM_THREADS each.

    The page stays quick; and where a neighbour wants a core, waiting for its turn at every operation costs more than that
    core brings (benchmarks/LOG.md, 2026-11-22). A fixed rule, because the last bit of a sum depends on the threads.
    """
    set_for_all = os.environ.get("OMP_NUM_THREADS", "")
    return int(set_for_all) if set_for_all.isdigit() else max(((os.cpu_count() or 1) - 1) // processes, 1)


@dataclass(slots=True)
class _Fitted:
    """The rows of one part that are learnt from or validated on, and what became of the others."""

    kept: list[EncodedRow] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    unwritable: list[RefusedRow] = field(default_factory=list)


def _fit(
    examples: Sequence[Example], rows: Mapping[int, EncodedRow | StyleError], max_tokens: int, *, mask_prompt: bool
) -> _Fitted:
    """Cut rows to a length, and leave out those that cannot be written or have nothing left to learn."""
    found = _Fitted()
    for example in examples:
        whole = rows[example.row]
        if isinstance(whole, StyleError):
            found.unwritable.append(unwritable_row(example.row, whole))
            continue
        row = whole.cut(max_tokens)
        if row.targets(mask_prompt=mask_prompt) < 1:
            found.dropped.append(row.row)
            continue
        found.kept.append(row)
        if len(row.ids) < len(whole.ids):
            found.cut.append(row.row)
    return found


def _load_for_training(plan: RunPlan, group: Group) -> "PreTrainedModel":
    """Return the model with what is trained of it; several processes share all weights out, but each has adapters whole."""
    from core.models.adapters import AdapterShape, add_lora, train_last_blocks
    from core.models.frozen import hold_frozen
    from core.models.loading import best_device, computing_type, keep_little_for_the_backward, load_model
    from core.models.sharding import shard

    settings, precision = plan.settings, computing_type(plan.settings.precision)
    sharded = settings.method == "full" and group.size > 1
    halved = settings.method == "lora" and precision is not None
    four_bits = settings.precision if settings.method == "qlora" else ""
    # until it lies in parts, or in half its bytes, a model may be too large for the device
    model = load_model(plan.source, trainable_adapter=plan.source.is_adapter, on_cpu=sharded or halved, four_bits=four_bits)
    if settings.gradient_checkpointing:
        keep_little_for_the_backward(model)
    if settings.method == "full":
        if settings.last_blocks:
            train_last_blocks(model, settings.last_blocks)
        if sharded:
            shard(model, best_device(), group.size)
        return model
    if not plan.source.is_adapter:
        shape = AdapterShape(
            settings.lora_rank, settings.lora_alpha, settings.lora_dropout, settings.lora_kind, settings.target_names
        )
        model = add_lora(model, shape, seed=settings.seed, base_model=_base_name(plan))
    if precision:
        hold_frozen(model, precision)
    return model.to(best_device()) if halved else model


def _base_name(plan: RunPlan) -> str:
    """Return what an adapter's base is called: a name that lasts, or the folder's full path."""
    if plan.source.is_adapter:  # tuned further: it stands on what the first adapter stands on
        return str(read_facts(plan.source.folder).get("base_model") or plan.source.base_folder)
    return plan.settings.model if plan.source.kind in {"bundled", "hub", "run"} else str(plan.source.folder)


def _watch(plan: RunPlan) -> list["Watched"]:
    from core.training.job import Watched

    writable = {row.row for row in plan.validation}
    fitting = (example for example in plan.splits.validation if example.row in writable and _is_short(example, plan))
    chosen = list(islice(fitting, plan.settings.watched_prompts))
    return [
        Watched(example.row, example.prompt_text, example.answer, plan.encoder.encode_prompt(example.prompt))
        for example in chosen
    ]


def _is_short(example: Example, plan: RunPlan) -> bool:
    return len(plan.encoder.encode_prompt(example.prompt)) + _WATCHED_TOKENS <= plan.max_tokens


def _answer(model: "PreTrainedModel", prompts: Sequence[list[int]], plan: RunPlan) -> list[str]:
    from core.generation.decoding import Limits, generate_ids
    from core.generation.sampling import Sampling
    from core.models.loading import computing_in, computing_type

    if not prompts:
        return []
    tokenizer = plan.encoder.tokenizer
    end_ids = [] if plan.encoder.end_id is None else [plan.encoder.end_id]
    limits = Limits(end_ids, plan.max_tokens, tokenizer.pad_id)
    with computing_in(computing_type(plan.settings.precision), model.device):
        answers = generate_ids(model, prompts, Sampling(max_new_tokens=_WATCHED_TOKENS), limits, lambda: False)
    return [tokenizer.decode(answer.ids) for answer in answers]
