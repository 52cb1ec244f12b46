"""Evaluations that were begun from the page: one at a time, each in a process of its own, the others
waiting. They end with the app, and go on where they were.

Knows no screen.
"""

import logging
import threading
import time

from core.errors import EvaluationError
from core.evaluation.own_benchmarks import PREFIX, OwnBenchmarks
from core.evaluation.rows import EvaluationRow, EvaluationState
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import EvaluationStore, lock_file
from core.processes.messages import Progress
from core.processes.supervisor import ChildProcess
from core.storage.process_lock import is_held
from core.storage.workspace import Workspace, free_name
from core.training.runs.states import RunState
from core.training.runs.store import RunStore
from core.training.settings import read_settings

log = logging.getLogger(__name__)
_ENDS_WITHIN_S = 20.0
_LOOK_S = 0.3
_GOING_ON = frozenset({EvaluationState.QUEUED, EvaluationState.RUNNING})
_RUNS_S = 2.0  # how often it is looked whether a run has finished


class EvaluationJobs:
    """The evaluations of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Mark what an earlier process left half done, and start the thread that waits for work."""
        self._workspace = workspace
        self._store = EvaluationStore(workspace)
        self._waiting: list[str] = []
        self._changed = threading.Condition()
        self._closed = False
        self._taken = ""  # the one that is run now
        self._current: tuple[str, ChildProcess] | None = None
        for row in self._store.all():
            if row["state"] in _GOING_ON and not is_held(lock_file(workspace, row["id"])):
                self._store.set_state(
                    row["name"], EvaluationState.INTERRUPTED, "Fuata ended meanwhile. Continue it."
                )
        self._own, self._runs = OwnBenchmarks(workspace), RunStore(workspace)
        self._finished = {run["name"] for run in self._runs.in_states({RunState.FINISHED})}
        self._thread = threading.Thread(target=self._work, name="evaluation", daemon=True)
        self._thread.start()

    def submit(self, name: str) -> None:
        """Queue an evaluation that is written down already. Raises EvaluationError for one that is
        going on.
        """
        with self._changed:
            row = self._store.find(name)
            # one that has come to rest may have a process that is ending: it is waited for
            if name in self._waiting or self._goes_on(row):
                raise EvaluationError(f"The evaluation '{name}' is going on already.")
            self._store.set_state(name, EvaluationState.QUEUED)
            self._waiting.append(name)
            self._changed.notify()

    def stop(self, name: str) -> None:
        """Stop an evaluation; what is answered stays. Raises EvaluationError for one that rests."""
        with self._changed:
            if name in self._waiting:
                self._waiting.remove(name)
                self._store.set_state(name, EvaluationState.STOPPED, "Taken out of the queue.")
                return
        if not self._goes_on(self._store.find(name)):
            raise EvaluationError(f"The evaluation '{name}' is not going on.")
        self._store.request_stop(name)

    def progress(self, name: str) -> Progress | None:
        """Return what an evaluation is doing; None where it waits or rests."""
        current = self._current
        return current[1].progress() if current and current[0] == name else None

    def close(self) -> None:
        """Stop what is going on, keeping what is answered, and end the thread."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            if self._current is not None:
                self._store.request_stop(self._current[0])
            self._changed.notify()
        self._thread.join(_ENDS_WITHIN_S)
        if (current := self._current) is not None:
            current[1].kill()

    def _goes_on(self, row: EvaluationRow) -> bool:
        """Return whether some process runs an evaluation, or is about to."""
        has_process = row["name"] == self._taken or is_held(lock_file(self._workspace, row["id"]))
        return has_process and row["state"] in _GOING_ON

    def _work(self) -> None:
        while not self._closed:
            try:
                if (name := self._next()) is not None:
                    self._run(name)
            except Exception:  # a database that cannot be read or written: the thread outlives it
                log.exception("Evaluations were disturbed")
                time.sleep(_LOOK_S)
            finally:
                self._current, self._taken = None, ""

    def _next(self) -> str | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait(_RUNS_S)
                self._waiting += self._after_runs()
            self._taken = "" if self._closed else self._waiting.pop(0)
            return self._taken or None

    def _after_runs(self) -> list[str]:
        """Write down evaluations of runs that have finished since we began, on the benchmarks that
        are to be asked then, and return them.
        """
        wanted = [f"{PREFIX}{one.name}" for one in self._own.all() if one.after_runs]
        if not wanted:
            return []
        made = []
        for run in self._runs.in_states({RunState.FINISHED}):
            if run["name"] in self._finished or not run["finished_at"]:
                continue
            self._finished.add(run["name"])
            base = read_settings(run["settings"]).model
            name = free_name(f"{run['name']}-after", (row["name"] for row in self._store.all()))
            made.append(self._store.create(name, [base, run["name"]], wanted, EvaluationSettings()))
        return made

    def _run(self, name: str) -> None:
        folder = self._workspace.folder.resolve()
        words = ["evaluate", "--resume", "--name", name, "--workspace", str(folder)]
        log_file = folder / "evaluations" / f"{self._store.find(name)['id']}.log"
        process = ChildProcess(words, log_file)
        self._current = (name, process)
        while process.is_running:
            with self._changed:
                self._changed.wait(_LOOK_S)
        with self._changed:
            if name in self._waiting:  # it had come to rest, and is to go on
                return
        state = self._store.find(name)["state"]
        if state in _GOING_ON or (state == EvaluationState.FAILED and not process.failure()):
            why = process.failure() or f"The evaluation {process.describe_exit()}"
            if process.was_killed:
                why = (
                    "The evaluation was killed, as the system does when memory runs out: close "
                    "other programs and continue it."
                )
            self._store.set_state(name, EvaluationState.FAILED, why)
