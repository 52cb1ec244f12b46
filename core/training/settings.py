"""Every setting of a run, its default and its limits. Imports no torch."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from core.datasets.choices import LONG_ROWS, LongRows
from core.datasets.splits import SplitSettings
from core.errors import SettingsError

Method = Literal["full", "lora", "qlora"]
LoraKind = Literal["lora", "rslora", "dora"]
Kept = Literal["best", "last", "every"]
Precision = Literal["auto", "float32", "bfloat16"]
SavedType = Literal["float32", "base"]
MatmulBackend = Literal["default", "onednn"]
METHODS: tuple[Method, ...] = get_args(Method)
LORA_KINDS: tuple[LoraKind, ...] = get_args(LoraKind)
KEPT: tuple[Kept, ...] = get_args(Kept)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SAVED_TYPES: tuple[SavedType, ...] = get_args(SavedType)
MATMUL_BACKENDS: tuple[MatmulBackend, ...] = get_args(MatmulBackend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is to be known of one setting besides its name, type and default.

    Its command-line option, its field on the page, its check and its line in the documents are made
    of this.
    """

    help: str  # completes its name in a sentence
    label: str = ""  # on the page; "" for what has no field of its own there
    info: str = ""  # below the field; by default ``help``
    low: float | None = None  # the least and greatest value, both allowed
    high: float | None = None
    choices: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()  # of the choices on the page, where their names are not plain
    group: str = ""  # the line of fields on the page; "" stands above all
    has_option: bool = True  # of its own, by the setting's name
    costs_time: bool = True  # whether a token takes longer or shorter by it


def _setting(default: Any, text: str, **facts: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(help=text, **facts)})


_MOST_SEED = 2**31 - 1
_SPLITS = SplitSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """All that decides a run's outcome besides the data: the one declaration of every setting."""

    model: str = _setting("pocket", "pocket, a folder, a run's name or a hub id", has_option=False)
    style: str = _setting("alpaca", "the prompt style", has_option=False)
    method: Method = _setting(
        "full", "full, lora (adapters on frozen weights), qlora (these in 4 bits)",
        choices=METHODS, has_option=False,
    )  # fmt: skip
    epochs: int = _setting(
        3, "passes over the training rows", label="Epochs", info="passes over the rows",
        low=1, high=1000, costs_time=False,
    )  # fmt: skip
    learning_rate: float = _setting(
        3e-4, "at its peak", label="Learning rate", low=1e-9, high=1.0, costs_time=False
    )
    batch_size: int = _setting(
        16, "rows in one forward pass", label="Batch size", info="rows in one pass",
        low=1, high=1024,
    )  # fmt: skip
    gradient_accumulation: int = _setting(
        1, "forward passes per step", label="Gradient accumulation", info="passes per step",
        low=1, high=1024, group="steps",
    )  # fmt: skip
    warmup_share: float = _setting(
        0.05, "of all steps, in which the learning rate rises from 0", label="Warm-up",
        info="share of all steps", low=0.0, high=1.0, group="optimiser", costs_time=False,
    )  # fmt: skip
    weight_decay: float = _setting(
        0.0, "AdamW's", label="Weight decay", info="of AdamW", low=0.0, high=1.0,
        group="optimiser", costs_time=False,
    )  # fmt: skip
    max_gradient_norm: float = _setting(
        1.0, "0 does not clip", label="Clip gradients at", info="0: never", low=0.0, high=1000.0,
        group="optimiser", costs_time=False,
    )  # fmt: skip
    mask_prompt: bool = _setting(
        True, "learn answers only (-100 on the prompt)", label="Mask the prompt",
        info="Learn answers only (-100 on the prompt)", has_option=False, group="prompt",
    )  # fmt: skip
    max_tokens: int = _setting(
        0, "cut rows to this length; 0: the model's context", label="Longest row",
        info="tokens; 0: the model's context", low=0, high=1_000_000, group="steps",
    )  # fmt: skip
    long_rows: LongRows = _setting(
        "end", "what is cut of rows beyond the longest", label="Cut of rows too long",
        info="whose end is cut do not learn to stop", choices=LONG_ROWS,
        titles=("their end", "the prompt's start", "leave them out"), group="steps",
        costs_time=False,
    )  # fmt: skip
    evaluations_per_epoch: int = _setting(
        2, "on the whole validation split", label="Evaluations per epoch",
        info="whole validation split", low=1, high=100, group="steps",
    )  # fmt: skip
    patience: int = _setting(
        0, "stop after N evaluations without gain; 0 never", label="Early stopping",
        info="evaluations without gain; 0: never", low=0, high=1000, group="steps",
        costs_time=False,
    )  # fmt: skip
    watched_prompts: int = _setting(
        3, "validation prompts answered at each evaluation", label="Watched prompts",
        info="answered at each evaluation", low=0, high=20, group="optimiser",
    )  # fmt: skip
    checkpoint_every_s: float = _setting(
        20.0, "least seconds between two saved states; more where saving is slow",
        low=0.0, high=86_400.0,
    )  # fmt: skip
    lora_rank: int = _setting(
        16, "rank of the adapters", label="LoRA rank", info="size of the adapters",
        low=1, high=1024, group="adapters",
    )  # fmt: skip
    lora_alpha: float = _setting(
        32.0, "scale of the adapters", label="LoRA alpha", info="their scale",
        low=1.0, high=4096.0, group="adapters", costs_time=False,
    )  # fmt: skip
    # above 0 it keeps rows from sharing what they begin with in common
    lora_dropout: float = _setting(
        0.0, "0 to 0.9", label="LoRA dropout", low=0.0, high=0.9, group="adapters"
    )
    lora_kind: LoraKind = _setting(
        "lora", "how adapters are scaled and learnt", label="LoRA kind",
        info="rslora: scaled by √rank; dora: magnitude apart", choices=LORA_KINDS,
        group="adapters",
    )  # fmt: skip
    lora_targets: str = _setting(
        "all-linear", "all-linear, or names of layers with commas between", label="LoRA layers",
        info="all-linear, or names: q_proj, v_proj", group="weights",
    )  # fmt: skip
    last_blocks: int = _setting(
        0, "full tuning of only so many blocks; 0: all weights", label="Last blocks only",
        info="of full tuning; 0: all weights", low=0, high=1000, group="weights",
    )  # fmt: skip
    keep: Kept = _setting(
        "best", "which models stay on disk beside the best",
        label="Models kept", info="besides the best one", choices=KEPT,
        titles=("best only", "the last too", "every evaluation's"), group="weights",
    )  # fmt: skip
    precision: Precision = _setting(
        "auto", "of products; auto is bfloat16 on a GPU that has it", label="Precision",
        info="of products; auto: bfloat16 on a GPU that has it", choices=PRECISIONS,
        group="device",
    )  # fmt: skip
    gradient_checkpointing: bool = _setting(
        False, "less memory, more time: compute blocks twice", label="Gradient checkpointing",
        info="Less memory, more time: blocks are computed twice", group="device",
    )  # fmt: skip
    compiled: bool = _setting(
        False, "by torch.compile: slow to begin, then faster on a GPU", label="Compile",
        info="By torch.compile: slow to begin, then faster on a GPU", group="device",
    )  # fmt: skip
    matmul_backend: MatmulBackend = _setting(
        "default", "the library of float32 products on a CPU", label="Products by",
        info="float32 on a CPU; onednn is faster on some", choices=MATMUL_BACKENDS, group="device",
    )  # fmt: skip
    seed: int = _setting(
        42, "of batches and dropout", label="Seed", low=0, high=_MOST_SEED, group="weights",
        costs_time=False,
    )  # fmt: skip
    test_share: float = _setting(_SPLITS.test_share, "of all rows, kept for Review")
    validation_share: float = _setting(_SPLITS.validation_share, "of all rows")
    split_seed: int = _setting(_SPLITS.seed, "of the split", low=0, high=_MOST_SEED)
    # '' before the run is written down
    day: str = _setting(
        "", "the date (ISO) that chat templates are told", has_option=False, costs_time=False
    )
    saved_type: SavedType = _setting(
        "float32", "of a fully tuned model's numbers on disk: as trained, or its base's",
        label="Saved type", info="of the whole model: as trained, or its base's",
        choices=SAVED_TYPES, group="device", costs_time=False,
    )  # fmt: skip

    @property
    def splits(self) -> SplitSettings:
        """The part that decides which rows are trained on."""
        return SplitSettings(self.test_share, self.validation_share, self.split_seed)

    @property
    def step_rows(self) -> int:
        """Rows per optimiser step."""
        return self.batch_size * self.gradient_accumulation

    def steps_per_epoch(self, rows: int) -> int:
        """Return how many optimiser steps so many training rows take."""
        return math.ceil(rows / self.step_rows)

    @property
    def target_names(self) -> list[str]:
        """The names in ``lora_targets``."""
        return [name.strip() for name in self.lora_targets.split(",") if name.strip()]

    def costs_like(self, other: "TrainingSettings") -> bool:
        """Return whether a token takes about as long under other settings."""
        return replace(self, **{name: getattr(other, name) for name in _free_settings()}) == other

    def to_json(self) -> str:
        """Return the settings as a JSON object."""
        return json.dumps(asdict(self))


def default_settings(model: str = "pocket", method: Method | None = None) -> TrainingSettings:
    """Return settings that work for a model: measured ones for pocket, the field's usual ones for
    others.
    """
    method = method or ("full" if model == "pocket" else "lora")
    settings = TrainingSettings(model=model, method=method)
    if model == "pocket":
        return settings if method == "full" else replace(settings, learning_rate=3e-3)
    settings = replace(settings, batch_size=8, gradient_accumulation=2)
    return replace(settings, learning_rate=2e-5 if method == "full" else 2e-4)


def read_settings(text: str) -> TrainingSettings:
    """Return the settings that ``to_json`` wrote; fields unknown to this version are passed over."""
    known = {one.name for one in fields(TrainingSettings)}
    return TrainingSettings(
        **{name: value for name, value in json.loads(text).items() if name in known}
    )


def change_settings(settings: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    """Return settings with the given fields replaced and checked; None leaves a field as it is.

    Raises SettingsError naming every wrong field.
    """
    changed = replace(
        settings, **{name: value for name, value in changes.items() if value is not None}
    )
    problems = settings_problems(changed)
    if problems:
        raise SettingsError(problems)
    return changed


def settings_problems(settings: TrainingSettings) -> dict[str, str]:
    """Return every wrong field with its reason."""
    problems = settings.splits.problems()
    for name, setting in SETTINGS.items():
        if reason := _problem(getattr(settings, name), type(_DEFAULTS[name]), setting):
            problems[name] = reason
    return problems | _contradictions(settings)


def _contradictions(settings: TrainingSettings) -> dict[str, str]:
    problems = {}
    if not settings.target_names:
        problems["lora_targets"] = "must be all-linear, or names of layers with commas between"
    if settings.last_blocks and settings.method != "full":
        problems["last_blocks"] = (
            "goes with full tuning; lora and qlora have adapters in every block"
        )
    return problems


def as_method(word: str) -> Method:
    """Return a method's name as its type. Raises SettingsError."""
    for method in METHODS:
        if method == word:
            return method
    raise SettingsError({"method": f"must be one of {', '.join(METHODS)}"})


def _problem(value: object, kind: type, setting: Setting) -> str:
    """Return what is wrong with a value, '' for nothing."""
    if setting.choices:
        return "" if value in setting.choices else f"must be one of {', '.join(setting.choices)}"
    if setting.low is None or setting.high is None:
        return ""
    is_between = isinstance(value, int | float) and setting.low <= value <= setting.high
    if kind is int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return (
            ""
            if is_whole and is_between
            else f"must be a whole number from {setting.low} to {setting.high}"
        )
    return "" if is_between else f"must lie between {setting.low:g} and {setting.high:g}"


def _free_settings() -> list[str]:
    """Return the settings by which a token takes neither longer nor shorter."""
    return [name for name, setting in SETTINGS.items() if not setting.costs_time]


SETTINGS: dict[str, Setting] = {
    one.name: one.metadata["setting"] for one in fields(TrainingSettings)
}
_DEFAULTS = asdict(TrainingSettings())
