"""What one run works on, and what follows from it by arithmetic. Knows no loop and no database."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.prompts.encoder import EncodedRow
from core.training.distributed import SINGLE_PROCESS, Group
from core.training.loop.checkpoint import Progress
from core.training.settings import TrainingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Watched:
    """A validation prompt answered at each evaluation."""

    row: int
    prompt: str
    expected: str
    ids: list[int]  # the prompt as the model is asked with it


@dataclass(frozen=True)
class TrainingJob:
    """All that one run works on."""

    run: str
    model: "PreTrainedModel"
    settings: TrainingSettings
    train: Sequence[EncodedRow]
    validation: Sequence[EncodedRow]
    watched: Sequence[Watched]
    pad_id: int
    checkpoint: Path  # folder of the state to resume from
    best: Path  # folder of the best model
    kept_at: Callable[[int], Path]  # folder of the model that is kept of a step besides
    save: Callable[["PreTrainedModel", Progress, Path], None]
    answer: Callable[["PreTrainedModel", Sequence[list[int]]], list[str]]
    group: Group = SINGLE_PROCESS
    # of the rows that are computed in one pass; None for any number
    most_tokens: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the training rows."""
        return self.settings.steps_per_epoch(len(self.train))

    @property
    def total_steps(self) -> int:
        """Optimiser steps in the whole run."""
        return self.steps_per_epoch * self.settings.epochs

    @property
    def steps_per_evaluation(self) -> int:
        """Steps from one evaluation to the next."""
        return math.ceil(self.steps_per_epoch / self.settings.evaluations_per_epoch)
