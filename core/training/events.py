"""What happens in a run, as plain facts in the past tense.

A sink is any callable that takes one.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The model is loaded and the first step is next."""

    run: str
    step: int  # 0, or where an interrupted run goes on
    total_steps: int
    steps_per_epoch: int
    train_rows: int
    validation_rows: int
    trained_parameters: int
    all_parameters: int
    device: str
    notice: str = ""  # what a user should know of how the run is computed


@dataclass(frozen=True, slots=True)
class StepDone:
    """One optimiser step was taken."""

    step: int  # counted from 1
    epoch: float  # epochs completed, with fraction
    loss: float  # mean over the step's trained tokens, in nats
    learning_rate: float
    gradient_norm: float  # before clipping
    seen_tokens: int  # real tokens since step 0
    tokens_per_s: float  # real tokens per second in this step
    peak_memory_mib: float
    elapsed_s: float  # spent training, pauses left out


@dataclass(frozen=True, slots=True)
class EvalDone:
    """The whole validation split was evaluated."""

    step: int
    epoch: float
    loss: float  # mean over the split's trained tokens, in nats
    is_best: bool
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class SampleAnswered:
    """A watched validation prompt was answered."""

    step: int
    row: int
    prompt: str
    expected: str
    answer: str


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """Weights are on disk, whole."""

    step: int
    path: str
    kind: Literal["best", "kept", "last"]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run ended as it should: completed, stopped by a user, or stopped early."""

    step: int
    reason: Literal["completed", "stopped", "early_stopped"]
    best_step: int
    best_loss: float | None  # None without validation rows
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The run cannot go on; ``message`` says why and what to do."""

    step: int
    message: str


Event = (
    RunStarted | StepDone | EvalDone | SampleAnswered | CheckpointSaved | RunFinished | RunFailed
)
Sink = Callable[[Event], None]


def event_object(event: Event) -> dict[str, Any]:
    """Return an event as an object for JSON, its kind under ``event``."""
    return {"event": type(event).__name__, **asdict(event)}
