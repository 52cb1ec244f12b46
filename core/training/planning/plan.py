"""Settings and a dataset become a plan that a user can read before Start.

Loads no weights; knows no thread and no sink.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from core.datasets.conversation import Example, RefusedRow
from core.datasets.dataset import Dataset
from core.datasets.splits import Splits, split_examples
from core.errors import SettingsError, StyleError
from core.models.consistency import check_causal, check_ids, check_method
from core.models.encoder import encoder_of
from core.models.resolve import (
    ModelSource,
    block_count,
    find_model,
    max_context,
    read_adapter,
    tokenizer_identity,
    weights_identity,
)
from core.prompts.encoded_dataset import encode_dataset, unwritable_row
from core.prompts.encoder import EncodedRow, PromptEncoder
from core.prompts.render import joins_system
from core.storage.workspace import Workspace
from core.training.settings import LoraKind, TrainingSettings

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
    # rows that the style or the tokenizer cannot write, left out
    unwritable: tuple[RefusedRow, ...]
    refused: int  # rows of the file that are no examples
    content_hash: str  # of the file
    lacks_end_token: bool  # the style ends answers with no token that generation could stop at
    # the style has no place for a system prompt, which goes in front of the first question
    joins_system: bool

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.settings.steps_per_epoch(len(self.train)) * self.settings.epochs

    @property
    def identity(self) -> dict[str, str]:
        """What tells the base model's weights and tokenizer from others of the same name, and the
        rows as they are read and written now from those that another version made of the same file.
        """
        weights = [
            weights_identity(folder)
            for folder in filter(None, (self.source.base_folder, self.source.folder))
        ]
        return {
            "weights": "+".join(weights),
            "tokenizer": tokenizer_identity(self.encoder.tokenizer.folder),
            "rows": self._rows_identity(),
        }

    def _rows_identity(self) -> str:
        digest = hashlib.sha256(f"{len(self.train)}".encode())
        for row in (*self.train, *self.validation):
            digest.update(row.row.to_bytes(8, "little"))
            digest.update(row.ids.tobytes())
            digest.update(row.trained)
        return digest.hexdigest()


def plan_run(dataset: Dataset, settings: TrainingSettings, workspace: Workspace) -> RunPlan:
    """Split, render, tokenise and cut.

    Raises SettingsError when nothing would be learnt, and whatever the model, style or split has
    wrong.
    """
    if settings.method == "qlora" and find_spec("bitsandbytes") is None:
        raise SettingsError(
            {"method": "qlora needs bitsandbytes: python -m pip install bitsandbytes, or use lora"}
        )
    source = find_model(settings.model, workspace)
    settings = _as_the_adapter_is(settings, source)
    _check_model(source, settings)
    encoder = encoder_of(source, settings.style, day=settings.day)
    context = max_context(source.weights_folder)
    max_tokens = min(settings.max_tokens or context, context)
    splits = split_examples(dataset.examples, settings.splits)
    rows = encode_dataset(dataset, encoder)
    train = _fit(splits.train, rows, max_tokens, settings)
    validation = _fit(splits.validation, rows, max_tokens, settings)
    if not train.kept and train.unwritable:
        raise StyleError(f"Row {train.unwritable[0].row}: {train.unwritable[0].reason}.")
    if not train.kept:
        raise SettingsError(
            {
                "max_tokens": f"all answers lie beyond {max_tokens} tokens, so nothing would be "
                "learnt"
            }
        )
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
        raise SettingsError(
            {"last_blocks": f"must be at most {blocks}, the blocks that the model has"}
        )


def _as_the_adapter_is(settings: TrainingSettings, source: ModelSource) -> TrainingSettings:
    """Return settings whose adapter is the one that is tuned further: what is written down is what
    is done.
    """
    if not source.is_adapter or settings.method == "full":
        return settings
    known = read_adapter(source.folder)
    kind: LoraKind = (
        "dora" if known.get("use_dora") else "rslora" if known.get("use_rslora") else "lora"
    )
    return replace(
        settings,
        lora_rank=_number(known.get("r"), settings.lora_rank),
        lora_alpha=float(_number(known.get("lora_alpha"), settings.lora_alpha)),
        lora_dropout=float(_number(known.get("lora_dropout"), settings.lora_dropout)),
        lora_kind=kind,
    )


def _number(value: object, otherwise: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


@dataclass(slots=True)
class _Fitted:
    """The rows of one part that are learnt from or validated on, and what became of the others."""

    kept: list[EncodedRow] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    unwritable: list[RefusedRow] = field(default_factory=list)


def _fit(
    examples: Sequence[Example],
    rows: Mapping[int, EncodedRow | StyleError],
    max_tokens: int,
    settings: TrainingSettings,
) -> _Fitted:
    """Cut rows to a length or leave them out, as the settings say, and leave out those that cannot
    be written or have nothing left to learn.
    """
    mask_prompt = settings.mask_prompt
    found = _Fitted()
    for example in examples:
        whole = rows[example.row]
        if isinstance(whole, StyleError):
            found.unwritable.append(unwritable_row(example.row, whole))
            continue
        fitted = whole.fitted(max_tokens, settings.long_rows)
        learnt = [row for row in fitted if row.targets(mask_prompt=mask_prompt)]
        found.kept += learnt
        if not learnt:
            found.dropped.append(whole.row)
        elif not whole.is_text and len(whole.ids) > max_tokens:
            found.cut.append(whole.row)
    return found
