"""What the tables of training hold, row by row; a test compares them with the tables."""

from typing import TypedDict

from core.training.runs.states import RunState


class RunRow(TypedDict):
    """One run, with its dataset's name."""

    id: int
    name: str
    state: RunState
    content_hash: str  # of the dataset's version
    settings: str  # JSON
    versions: str  # JSON: libraries
    created_at: str
    started_at: str | None
    finished_at: str | None
    step: int
    total_steps: int | None
    steps_per_epoch: int | None
    trained_parameters: int | None
    all_parameters: int | None
    base_loss: float | None  # validation loss before step 1, nats per trained token
    best_loss: float | None
    best_step: int | None
    elapsed_s: float
    message: str  # why it ended
    requested_action: str  # "", "pause" or "stop"
    note: str
    identity: str  # JSON: what tells its base and its rows from others
    dataset: str  # name, by a join


class MetricRow(TypedDict):
    """One step of training, or one evaluation."""

    run_id: int
    kind: str  # "train" or "validation"
    step: int
    epoch: float
    loss: float  # nats per trained token
    learning_rate: float | None
    gradient_norm: float | None
    seen_tokens: int | None  # real ones since step 0
    tokens_per_s: float | None
    peak_memory_mib: float | None
    elapsed_s: float


class AnswerRow(TypedDict):
    """What a watched prompt was answered at one evaluation."""

    run_id: int
    step: int
    data_row: int  # of the dataset, from 1
    prompt: str
    expected: str
    answer: str
