"""Work that waits for its turn: one piece at a time, each done by a thread until it ends.

Knows no work in particular.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod

from core.errors import UserError

log = logging.getLogger(__name__)


class WorkQueue(ABC):
    """Pieces of work, known by their names. Who derives from it says what a name stands for."""

    kind = "piece of work"  # what one is called to a user
    error: type[UserError] = UserError
    look_s = 0.5  # how often it is looked whether the next may begin
    idle_s: float | None = None  # how often there may be more that nobody submitted; None: never

    def __init__(self) -> None:
        """Wait for ``begin``: who derives from it may have something to do before."""
        self._waiting: list[str] = []
        self._changed = threading.Condition()
        self._closed = False
        self._current = ""
        self._thread = threading.Thread(target=self._work, name=self.kind, daemon=True)

    def begin(self) -> None:
        """Start the thread that waits for work."""
        self._thread.start()

    def submit(self, name: str) -> None:
        """Queue what is written down already. Raises ``error`` for what is going on."""
        with self._changed:
            # what has come to rest may have a process that is ending: it is waited for
            if name in self._waiting or self.goes_on(name):
                raise self.error(f"The {self.kind} '{name}' is going on already.")
            self.note_queued(name)
            self._waiting.append(name)
            self._changed.notify()

    def stop(self, name: str) -> None:
        """Ask what is going on to end, keeping what it has; what waits leaves the queue.

        Raises ``error`` for what rests.
        """
        with self._changed:
            if name in self._waiting:
                self._waiting.remove(name)
                self.note_removed(name)
            elif self.goes_on(name):
                self.request_stop(name)
            else:
                raise self.error(f"The {self.kind} '{name}' is not going on.")

    def move_up(self, name: str) -> None:
        """Let what waits change places with what stands before it.

        Raises ``error`` when it does not wait.
        """
        with self._changed:
            if name not in self._waiting:
                raise self.error(f"The {self.kind} '{name}' does not wait.")
            at = self._waiting.index(name)
            before = max(at - 1, 0)
            self._waiting[before], self._waiting[at] = name, self._waiting[before]

    def waiting(self) -> list[str]:
        """Return what waits, the next first."""
        with self._changed:
            return list(self._waiting)

    def close(self, timeout_s: float = 60) -> None:
        """Ask what is going on to end and keep its state, wait for it, and end the thread."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            if self._current:
                self.request_stop(self._current)
            self._changed.notify()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while not self._closed:
            try:
                if (name := self._next()) is not None:
                    self.run(name)
            except Exception:  # a database that cannot be read or written: the thread outlives it
                log.exception("The queue of every %s was disturbed", self.kind)
                time.sleep(self.look_s)
            finally:
                with self._changed:
                    self._current = ""

    def _next(self) -> str | None:
        with self._changed:
            while not self._closed and not (self._waiting and self.may_begin(self._waiting[0])):
                self._changed.wait(self.look_s if self._waiting else self.idle_s)
                self._waiting += self.find_more()
            if self._closed:
                return None
            self._current = self._waiting.pop(0)
            return self._current

    @abstractmethod
    def run(self, name: str) -> None:
        """Do a piece of work, and write down how it ended unless it waits once more."""

    @abstractmethod
    def goes_on(self, name: str) -> bool:
        """Return whether it is being done, by us or by another process."""

    @abstractmethod
    def note_queued(self, name: str) -> None:
        """Write down that it waits. Raises a UserError where there is no such work."""

    @abstractmethod
    def note_removed(self, name: str) -> None:
        """Write down that it was taken out of the queue."""

    @abstractmethod
    def request_stop(self, name: str) -> None:
        """Ask it to end."""

    def may_begin(self, name: str) -> bool:  # noqa: ARG002 - by what is derived
        """Return whether the next may begin now."""
        return True

    def find_more(self) -> list[str]:
        """Return work that nobody submitted and that is to be done, written down already."""
        return []
