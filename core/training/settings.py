"""Every setting of a run, its default and its limits. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from core.datasets.splits import SplitSettings
from core.errors import SettingsError

Method = Literal["full", "lora", "qlora"]
LoraKind = Literal["lora", "rslora", "dora"]
Kept = Literal["best", "last", "every"]
Precision = Literal["auto", "float32", "bfloat16"]
SavedType = Literal["float32", "base"]
METHODS: tuple[Method, ...] = get_args(Method)
LORA_KINDS: tuple[LoraKind, ...] = get_args(LoraKind)
KEPT: tuple[Kept, ...] = get_args(Kept)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SAVED_TYPES: tuple[SavedType, ...] = get_args(SavedType)


_COST_NOTHING = (
    "epochs",
    "learning_rate",
    "warmup_share",
    "weight_decay",
    "max_gradient_norm",
    "patience",
    "lora_alpha",
    "seed",
    "day",
    "saved_type",
)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """All that decides a run's outcome besides the data."""

    model: str = "pocket"  # pocket, a folder, a run's name or a hub id
    style: str = "alpaca"
    method: Method = "full"
    epochs: int = 3
    batch_size: int = 16  # rows in one forward pass
    gradient_accumulation: int = 1  # forward passes per step
    learning_rate: float = 3e-4  # at the peak
    warmup_share: float = 0.05  # of all steps, rising linearly from 0
    weight_decay: float = 0.0
    max_gradient_norm: float = 1.0  # 0 leaves gradients as they are
    mask_prompt: bool = True  # the loss sees answers only
    max_tokens: int = 0  # rows are cut to this length; 0 stands for the model's context
    evaluations_per_epoch: int = 2
    patience: int = 0  # stop after so many evaluations without a better validation loss; 0 never
    watched_prompts: int = 3  # validation prompts answered at each evaluation
    checkpoint_every_s: float = (
        20.0  # at least so long between two saved states; more where saving is slow
    )
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_dropout: float = 0.0  # above 0 it keeps rows from sharing what they begin with in common
    lora_kind: LoraKind = (
        "lora"  # rslora scales by the rank's square root, dora learns magnitude and direction apart
    )
    lora_targets: str = "all-linear"  # or the names of layers with commas between: q_proj, v_proj
    last_blocks: int = 0  # full tuning of so many of the last blocks only; 0 trains all weights
    keep: Kept = (
        "best"  # which models stay on disk: the best, the last too, or that of every evaluation
    )
    precision: Precision = (
        "auto"  # of products; what learns stays in float32. auto: bfloat16 on a GPU that has it
    )
    gradient_checkpointing: bool = (
        False  # keep the blocks' inputs only and compute the rest again: less memory, more time
    )
    compiled: bool = False  # by torch.compile: slow to begin, then faster on a GPU
    seed: int = 42
    test_share: float = 0.10
    validation_share: float = 0.05
    split_seed: int = 42
    # the date (ISO) that chat templates are told, one for a whole run; '' before it is written down
    day: str = ""
    # of the whole model's numbers on disk: float32, as trained, or the type of its base
    saved_type: SavedType = "float32"

    @property
    def splits(self) -> SplitSettings:
        """The part that decides which rows are trained on."""
        return SplitSettings(self.test_share, self.validation_share, self.split_seed)

    @property
    def step_rows(self) -> int:
        """Rows per optimiser step."""
        return self.batch_size * self.gradient_accumulation

    @property
    def target_names(self) -> list[str]:
        """The names in ``lora_targets``."""
        return [name.strip() for name in self.lora_targets.split(",") if name.strip()]

    def costs_like(self, other: "TrainingSettings") -> bool:
        """Return whether a token takes about as long under other settings."""
        return replace(self, **{name: getattr(other, name) for name in _COST_NOTHING}) == other

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
    known = {field.name for field in fields(TrainingSettings)}
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
    for name, (low, high) in _WHOLE_RANGES.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            problems[name] = f"must be a whole number from {low} to {high}"
    for name, (lowest, highest) in _REAL_RANGES.items():
        value = getattr(settings, name)
        if not isinstance(value, int | float) or not lowest <= value <= highest:
            problems[name] = f"must lie between {lowest:g} and {highest:g}"
    for name, known in _CHOICES.items():
        if getattr(settings, name) not in known:
            problems[name] = f"must be one of {', '.join(known)}"
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


_WHOLE_RANGES = {
    "epochs": (1, 1000),
    "batch_size": (1, 1024),
    "gradient_accumulation": (1, 1024),
    "max_tokens": (0, 1_000_000),
    "evaluations_per_epoch": (1, 100),
    "patience": (0, 1000),
    "watched_prompts": (0, 20),
    "lora_rank": (1, 1024),
    "last_blocks": (0, 1000),
    "seed": (0, 2**31 - 1),
    "split_seed": (0, 2**31 - 1),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "lora_kind": LORA_KINDS,
    "keep": KEPT,
    "precision": PRECISIONS,
    "saved_type": SAVED_TYPES,
}
_REAL_RANGES = {
    "learning_rate": (1e-9, 1.0),
    "warmup_share": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "max_gradient_norm": (0.0, 1000.0),
    "checkpoint_every_s": (0.0, 86_400.0),
    "lora_alpha": (1.0, 4096.0),
    "lora_dropout": (0.0, 0.9),
}
