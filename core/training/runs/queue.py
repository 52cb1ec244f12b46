"""The runs of the app: one at a time, each in a process of its own, the others waiting.

Knows no screen.
"""

from core.errors import WorkspaceError
from core.processes.work_queue import WorkQueue
from core.storage.workspace import Workspace
from core.training.runs.process import record_exit, start_training_process
from core.training.runs.runner import is_alive, living_runs
from core.training.runs.states import ACTIVE, RunState
from core.training.runs.store import RunStore


class TrainingQueue(WorkQueue):
    """Trains queued runs one after another. A run belongs to the workspace, never to a page.

    A run that some other process trains already, one that outlived an earlier app among them, is
    waited for.
    """

    kind, error = "run", WorkspaceError

    def __init__(self, workspace: Workspace, processes: int = 0) -> None:
        """Start the thread that waits for work; ``processes`` train each run, 0 stands for one on
        each GPU.
        """
        super().__init__()
        self._workspace = workspace
        self._processes = processes
        self._runs = RunStore(workspace)
        self.begin()

    def pause(self, name: str, *, wanted: bool) -> None:
        """Pause a run or let it go on. Raises WorkspaceError for a run that is not trained now."""
        with self._changed:
            if not self.goes_on(name):
                raise WorkspaceError(f"The run '{name}' is not trained now.")
            if self._runs.find(name)["requested_action"] == "stop":
                raise WorkspaceError(f"The run '{name}' is stopping already.")
            self._runs.request_action(name, "pause" if wanted else "")

    def goes_on(self, name: str) -> bool:
        """Return whether a run is trained; one that has reached a state of rest is not, though its
        process may be ending.
        """
        has_process = name == self._current or is_alive(self._workspace, name)
        return has_process and self._runs.find(name)["state"] in ACTIVE

    def note_queued(self, name: str) -> None:
        """Write down that a run waits."""
        self._runs.set_state(name, RunState.QUEUED)

    def note_removed(self, name: str) -> None:
        """Write down that a run was taken out of the queue."""
        self._runs.set_state(name, RunState.STOPPED, "Taken out of the queue.")

    def request_stop(self, name: str) -> None:
        """Ask a run to stop and keep its best model."""
        self._runs.request_action(name, "stop")

    def may_begin(self, name: str) -> bool:
        """Return whether no process trains: this run, or another one."""
        return not is_alive(self._workspace, name) and not living_runs(self._workspace)

    def run(self, name: str) -> None:
        """Train a run, in a process of its own."""
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
