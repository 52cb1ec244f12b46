"""What the tables of evaluations hold, row by row; a test compares them with the tables."""

from enum import StrEnum
from typing import TypedDict


class EvaluationState(StrEnum):
    """How far an evaluation is."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class EvaluationRow(TypedDict):
    """One evaluation."""

    id: int
    name: str
    state: EvaluationState
    models: str  # JSON: names
    tasks: str  # JSON: names of tasks, groups and suites
    settings: str  # JSON
    versions: str  # JSON: libraries
    created_at: str
    finished_at: str | None
    elapsed_s: float
    message: str  # why it ended
    requested_action: str  # "" or "stop"


class ResultRow(TypedDict):
    """What came of one task, or of a group of them, with one model."""

    evaluation_id: int
    model: str
    task: str
    is_group: int
    metric: str  # the one that stands for the task; "" where it failed
    value: float | None
    stderr: float | None
    questions: int
    metrics: str  # JSON: all metrics
    facts: str  # JSON
    fingerprint: str  # of the model's weights and tokenizer
    message: str  # why there is no result


class SampleRow(TypedDict):
    """One question, as it was asked and answered."""

    evaluation_id: int
    model: str
    task: str
    question: int  # its place in the task's data, from 0
    filter: str  # lm-eval's, by which an answer was read
    score: float | None  # by the metric that stands for the task
    seen: int  # whether it stands in the rows that the model was trained on
    cluster: str  # what it shares with other questions, as a passage
    prompt: str
    answer: str
    gold: str
    sample: str  # JSON
