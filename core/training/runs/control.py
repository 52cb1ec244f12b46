"""Control signals: what users request of a run while it trains, a column of its row that the
training process polls.
"""

import time

from core.training.runs.store import RunStore

_POLL_S = 0.2


class ControlSignals:
    """Reads a run's requested action, at most every fifth of a second, so that asking after every
    step costs nothing.
    """

    def __init__(self, runs: RunStore, name: str) -> None:
        """Nothing is read before somebody asks."""
        self._runs, self._name = runs, name
        self._read_at_s = -_POLL_S
        self._action = ""

    def stop(self) -> bool:
        """Return whether the run is to stop and keep its best model."""
        return self._requested() == "stop"

    def pause(self) -> bool:
        """Return whether the run is to wait."""
        return self._requested() == "pause"

    def _requested(self) -> str:
        if time.monotonic() - self._read_at_s >= _POLL_S:
            self._read_at_s = time.monotonic()
            self._action = self._runs.find(self._name)["requested_action"]
        return self._action
