"""What people ask of a run while it goes on: a word in its row, which the process that trains it reads now and then."""

import time

from core.training.runs.store import RunStore

_POLL_S = 0.2


class Wishes:
    """Reads a run's wish, at most every fifth of a second, so that asking after every step costs nothing."""

    def __init__(self, runs: RunStore, name: str) -> None:
        """Nothing is read before somebody asks."""
        self._runs, self._name = runs, name
        self._read_at_s = -_POLL_S
        self._wish = ""

    def stop(self) -> bool:
        """Tell whether the run is to stop and keep its best model."""
        return self._current() == "stop"

    def pause(self) -> bool:
        """Tell whether the run is to wait."""
        return self._current() == "pause"

    def _current(self) -> str:
        if time.monotonic() - self._read_at_s >= _POLL_S:
            self._read_at_s = time.monotonic()
            self._wish = self._runs.find(self._name)["wish"]
        return self._wish
