"""The runs of the app: one at a time in a background thread, the others waiting. Knows no screen."""

import logging
import threading
from collections import deque

from core.errors import WorkspaceError
from core.storage.runs import RunStore
from core.storage.workspace import Workspace
from core.training.run import execute

log = logging.getLogger(__name__)


class TrainingQueue:
    """Trains queued runs one after another. A run belongs to the process, never to a page."""

    def __init__(self, workspace: Workspace) -> None:
        """Start the thread, which waits for work."""
        self._workspace = workspace
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._closed = False
        self.current: str | None = None
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self._thread.start()

    def submit(self, name: str) -> None:
        """Queue a run that is written down already."""
        with self._changed:
            if name == self.current or name in self._waiting:
                raise WorkspaceError(f"The run '{name}' is going on already.")
            RunStore(self._workspace).set_state(name, "queued")
            self._waiting.append(name)
            self._changed.notify()

    def stop(self, name: str) -> None:
        """Ask a run to stop and keep its best model; one that still waits leaves the queue."""
        with self._changed:
            if name == self.current:
                self._stop.set()
            elif name in self._waiting:
                self._waiting.remove(name)
                RunStore(self._workspace).set_state(name, "stopped", "Taken out of the queue.")
            else:
                raise WorkspaceError(f"The run '{name}' is not going on.")

    def pause(self, name: str, *, wanted: bool) -> None:
        """Pause the current run or let it go on. Raises WorkspaceError for a run that this app does not train now."""
        with self._changed:
            if name != self.current:
                raise WorkspaceError(f"The run '{name}' is not trained by this app now.")
            if wanted:
                self._pause.set()
            else:
                self._pause.clear()

    @property
    def is_paused(self) -> bool:
        """Whether the current run waits to go on."""
        return self._pause.is_set()

    def close(self, timeout_s: float = 60) -> None:
        """Stop the current run, keep its state, and end the thread."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._stop.set()
            self._changed.notify()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (name := self._next()) is not None:
            try:
                execute(self._workspace, name, self._stop.is_set, self._pause.is_set, sinks=())
            except Exception:  # the thread outlives any run; the run's own row says what happened
                log.exception("The run %s ended with a fault", name)
            finally:
                with self._changed:
                    self.current = None

    def _next(self) -> str | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            self._stop.clear()
            self._pause.clear()
            self.current = self._waiting.popleft()
            return self.current
