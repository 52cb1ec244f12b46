"""Runs' metrics kept in memory as they come in, so that a poll reads what is new and not the whole
run. Knows no figure.
"""

import threading
from dataclasses import dataclass, field

from cachetools import LRUCache

from core.training.runs.rows import MetricRow, RunRow
from core.training.runs.store import RunStore

_MOST_RUNS = 12  # whose metrics are kept


@dataclass
class History:
    """What is known of one run's metrics."""

    name: str
    base_loss: float | None = None
    total_steps: int = 0
    train: list[MetricRow] = field(default_factory=list)
    validation: list[MetricRow] = field(default_factory=list)


class Histories:
    """The metrics of the runs that are looked at."""

    def __init__(self, runs: RunStore) -> None:
        """Start with none."""
        self._runs = runs
        self._known: LRUCache[tuple[int, str], History] = LRUCache(_MOST_RUNS)
        self._lock = threading.Lock()

    def read(self, run: RunRow) -> History:
        """Return a run's metrics up to now; ``run`` is its row."""
        with self._lock:
            key = run["id"], run["created_at"]  # a deleted run's id is given out again
            known = self._known.setdefault(key, History(run["name"]))
            # it went on from an earlier step
            if known.train and known.train[-1]["step"] > run["step"]:
                known.train, known.validation = [], []
            known.name, known.base_loss, known.total_steps = (
                run["name"],
                run["base_loss"],
                run["total_steps"] or 0,
            )
            for kind, rows in (("train", known.train), ("validation", known.validation)):
                rows.extend(
                    self._runs.metrics(run["name"], kind, after=rows[-1]["step"] if rows else -1)
                )
            return History(
                known.name,
                known.base_loss,
                known.total_steps,
                list(known.train),
                list(known.validation),
            )
