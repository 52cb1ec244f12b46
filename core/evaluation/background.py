"""Evaluations that were begun from the page: one at a time, each in a process of its own, the others
waiting. They end with the app, and go on where they were.

Knows no screen.
"""

from core.errors import EvaluationError
from core.evaluation.own_benchmarks import PREFIX, OwnBenchmarks
from core.evaluation.rows import EvaluationState
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import EvaluationStore, lock_file
from core.processes.messages import Progress
from core.processes.supervisor import ChildProcess
from core.processes.work_queue import WorkQueue
from core.storage.process_lock import is_held
from core.storage.workspace import Workspace, free_name
from core.training.runs.states import RunState
from core.training.runs.store import RunStore
from core.training.settings import read_settings

_ENDS_WITHIN_S = 20.0
_GOING_ON = frozenset({EvaluationState.QUEUED, EvaluationState.RUNNING})


class EvaluationJobs(WorkQueue):
    """The evaluations of one workspace."""

    kind, error = "evaluation", EvaluationError
    idle_s = 2.0  # how often it is looked whether a run has finished

    def __init__(self, workspace: Workspace) -> None:
        """Mark what an earlier process left half done, and start the thread that waits for work."""
        super().__init__()
        self._workspace = workspace
        self._store = EvaluationStore(workspace)
        self._process: ChildProcess | None = None
        for row in self._store.all():
            if row["state"] in _GOING_ON and not is_held(lock_file(workspace, row["id"])):
                self._store.set_state(
                    row["name"], EvaluationState.INTERRUPTED, "Fuata ended meanwhile. Continue it."
                )
        self._own, self._runs = OwnBenchmarks(workspace), RunStore(workspace)
        self._finished = {run["name"] for run in self._runs.in_states({RunState.FINISHED})}
        self.begin()

    def progress(self, name: str) -> Progress | None:
        """Return what an evaluation is doing; None where it waits or rests."""
        process = self._process
        return process.progress() if process and self._current == name else None

    def close(self, timeout_s: float = _ENDS_WITHIN_S) -> None:
        """Stop what is going on, keeping what is answered, and end the thread."""
        super().close(timeout_s)
        if self._process is not None and self._process.is_running:
            self._process.kill()

    def goes_on(self, name: str) -> bool:
        """Return whether some process runs an evaluation, or is about to."""
        row = self._store.find(name)
        has_process = name == self._current or is_held(lock_file(self._workspace, row["id"]))
        return has_process and row["state"] in _GOING_ON

    def note_queued(self, name: str) -> None:
        """Write down that an evaluation waits."""
        self._store.set_state(name, EvaluationState.QUEUED)

    def note_removed(self, name: str) -> None:
        """Write down that an evaluation was taken out of the queue."""
        self._store.set_state(name, EvaluationState.STOPPED, "Taken out of the queue.")

    def request_stop(self, name: str) -> None:
        """Ask an evaluation to end; what is answered stays."""
        self._store.request_stop(name)

    def find_more(self) -> list[str]:
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

    def run(self, name: str) -> None:
        """Run an evaluation, in a process of its own."""
        folder = self._workspace.folder.resolve()
        words = ["evaluate", "--resume", "--name", name, "--workspace", str(folder)]
        log_file = folder / "evaluations" / f"{self._store.find(name)['id']}.log"
        process = self._process = ChildProcess(words, log_file)
        process.wait()
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
