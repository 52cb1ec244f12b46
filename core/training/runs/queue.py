"""The runs of the app: one at a time, each in a process of its own, the others waiting.

Knows no screen.
"""

import logging
import threading
import time

from core.errors import WorkspaceError
from core.storage.workspace import Workspace
from core.training.runs.process import record_exit, start_training_process
from core.training.runs.runner import is_alive, living_runs
from core.training.runs.states import ACTIVE, RunState
from core.training.runs.store import RunStore

log = logging.getLogger(__name__)
_POLL_S = 0.5  # how often a run that waits looks whether another process has done with its own


class TrainingQueue:
    """Trains queued runs one after another. A run belongs to the workspace, never to a page.

    A run that some other process trains already, one that outlived an earlier app among them, is
    waited for.
    """

    def __init__(self, workspace: Workspace, processes: int = 0) -> None:
        """Start the thread that waits for work; ``processes`` train each run, 0 stands for one on
        each GPU.
        """
        self._workspace = workspace
        self._processes = processes
        self._runs = RunStore(workspace)
        self._waiting: list[str] = []
        self._changed = threading.Condition()
        self._closed = False
        self._current: str | None = None
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self._thread.start()

    def submit(self, name: str) -> None:
        """Queue a run that is written down already."""
        with self._changed:
            if name in self._waiting or self._goes_on(name):
                raise WorkspaceError(f"The run '{name}' is going on already.")
            self._runs.set_state(name, RunState.QUEUED)
            self._waiting.append(name)
            self._changed.notify()

    def stop(self, name: str) -> None:
        """Ask a run to stop and keep its best model; one that still waits leaves the queue."""
        with self._changed:
            if name in self._waiting:
                self._waiting.remove(name)
                self._runs.set_state(name, RunState.STOPPED, "Taken out of the queue.")
            elif self._goes_on(name):
                self._runs.request_action(name, "stop")
            else:
                raise WorkspaceError(f"The run '{name}' is not going on.")

    def pause(self, name: str, *, wanted: bool) -> None:
        """Pause a run or let it go on. Raises WorkspaceError for a run that is not trained now."""
        with self._changed:
            if not self._goes_on(name):
                raise WorkspaceError(f"The run '{name}' is not trained now.")
            if self._runs.find(name)["requested_action"] == "stop":
                raise WorkspaceError(f"The run '{name}' is stopping already.")
            self._runs.request_action(name, "pause" if wanted else "")

    def move_up(self, name: str) -> None:
        """Let a waiting run change places with the one before it.

        Raises WorkspaceError when it does not wait.
        """
        with self._changed:
            if name not in self._waiting:
                raise WorkspaceError(f"The run '{name}' does not wait.")
            at = self._waiting.index(name)
            before = max(at - 1, 0)
            self._waiting[before], self._waiting[at] = name, self._waiting[before]

    def waiting(self) -> list[str]:
        """Return the runs that wait, the next one first."""
        with self._changed:
            return list(self._waiting)

    def close(self, timeout_s: float = 60) -> None:
        """Ask the current run to stop and keep its state, wait for it, and end the thread."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            if self._current:
                self._runs.request_action(self._current, "stop")
            self._changed.notify()
        self._thread.join(timeout_s)

    def _goes_on(self, name: str) -> bool:
        """Return whether a run is trained; one that has reached a state of rest is not, though its
        process may be ending.
        """
        has_process = name == self._current or is_alive(self._workspace, name)
        return has_process and self._runs.find(name)["state"] in ACTIVE

    def _work(self) -> None:
        while not self._closed:
            try:
                if (name := self._next()) is not None:
                    self._train(name)
            except Exception:  # a database that cannot be read or written: the thread outlives it
                log.exception("The queue was disturbed")
                time.sleep(_POLL_S)
            finally:
                with self._changed:
                    self._current = None

    def _train(self, name: str) -> None:
        try:
            process = start_training_process(self._workspace, name, self._processes)
        except OSError as error:
            self._runs.set_state(
                name, RunState.FAILED, f"Its process could not be started: {error}"
            )
            return
        process.wait()
        with self._changed:
            # a run that is resumed already says for itself how it stands
            if name not in self._waiting:
                record_exit(self._workspace, name, process)

    def _must_wait(self, name: str) -> bool:
        return is_alive(self._workspace, name) or bool(living_runs(self._workspace))

    def _next(self) -> str | None:
        with self._changed:
            while not self._closed and (not self._waiting or self._must_wait(self._waiting[0])):
                self._changed.wait(_POLL_S if self._waiting else None)
            if self._closed:
                return None
            self._current = self._waiting.pop(0)
            return self._current
