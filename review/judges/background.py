"""Judges that were let go from the page: one at a time, each in a process of its own, the others
waiting. They end with the app, and what they said is kept.

Knows no screen.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from core.errors import ReviewError, UserError
from core.processes.messages import Progress
from core.processes.supervisor import ChildProcess
from core.processes.work_queue import WorkQueue
from core.progress import TimeLeft
from core.storage.atomic_write import write_file
from core.storage.workspace import Workspace
from review.judges.protocols import Protocol, find_protocol

_ENDS_WITHIN_S = 20.0
_STOPPED = "Stopped; what it said is kept."


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingTask:
    """A review to be judged."""

    review: str
    model: str
    protocol: Protocol
    most: int = 0  # only the first so many pairs or responses; 0 for all

    @property
    def name(self) -> str:
        """What it is called, and told from others by."""
        usual = find_protocol(self.protocol.name).digest == self.protocol.digest
        words = "" if usual else f" ({self.protocol.digest[:6]})"
        return f"{self.model}, {self.protocol.name}{words}, of {self.review}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingState:
    """How a task is."""

    name: str
    is_going_on: bool  # or waiting
    words: str
    progress: Progress | None = None
    seconds_left: float | None = None


class JudgingJobs(WorkQueue):
    """The judges of one workspace."""

    kind, error = "judge", ReviewError

    def __init__(self, workspace: Workspace) -> None:
        """Start the thread that waits for work."""
        super().__init__()
        self._workspace = workspace
        self._tasks: dict[str, JudgingTask] = {}
        self._ends: dict[str, str] = {}  # what is to be said of one that came to an end
        self._left: dict[str, TimeLeft] = {}
        self._process: ChildProcess | None = None
        self._numbers = count(1)
        self.begin()

    def start(self, task: JudgingTask) -> None:
        """Let a model judge a review. Raises ReviewError where it does so already."""
        with self._changed:
            self.check_idle(task.name)
            self._tasks[task.name] = task
            self._left[task.name] = TimeLeft()
        self.submit(task.name)

    def check_idle(self, name: str) -> None:
        """Raise ReviewError while a judge waits or is asked."""
        with self._changed:
            if name in self._waiting or self.goes_on(name):
                raise ReviewError(f"The judge '{name}' is going on: wait for it, or stop it.")

    def states(self, review: str) -> list[JudgingState]:
        """Return how every task of a review is that was begun since the app was."""
        with self._changed:
            names = [name for name, task in self._tasks.items() if task.review == review]
            return [self._state(name) for name in names]

    def forget(self, name: str) -> None:
        """Say no more of a task that has come to an end."""
        with self._changed:
            if name in self._ends:
                self._ends[name] = ""

    def close(self, timeout_s: float = _ENDS_WITHIN_S) -> None:
        """End what is going on, keeping what is said, and end the thread."""
        super().close(timeout_s)

    def _state(self, name: str) -> JudgingState:
        if name in self._ends:
            return JudgingState(name=name, is_going_on=False, words=self._ends[name])
        process = self._process
        progress = process.progress() if process and name == self._current else None
        if name in self._waiting:
            return JudgingState(name=name, is_going_on=True, words="waits for its turn")
        left = None
        if progress:
            left = self._left[name].seconds(progress.stage, progress.done, progress.total)
        return JudgingState(
            name=name, is_going_on=True, progress=progress, seconds_left=left,
            words=str(progress) if progress else "Its process starts",
        )  # fmt: skip

    def goes_on(self, name: str) -> bool:
        """Return whether a judge is asked now."""
        return name == self._current and name not in self._ends

    def note_queued(self, name: str) -> None:
        """Note that a judge waits."""
        self._ends.pop(name, None)

    def note_removed(self, name: str) -> None:
        """Note that a judge was taken out of the queue."""
        self._ends[name] = "Taken out of the queue."

    def request_stop(self, name: str) -> None:
        """End a judge at once: all that it said is written down already."""
        self._ends[name] = _STOPPED
        if self._process is not None and self._process.is_running:
            self._process.kill()

    def run(self, name: str) -> None:
        """Let a judge judge, in a process of its own."""
        folder = self._workspace.judges
        with suppress(OSError):  # whoever writes there next says what is wrong
            folder.mkdir(exist_ok=True)
        with self._changed:
            if name in self._ends:  # it was stopped before it began
                return
            log = folder / f"{next(self._numbers)}.log"
            try:
                process = ChildProcess(self._words(self._tasks[name]), log, "review")
            except (OSError, UserError) as error:
                self._ends[name] = f"Its process could not be started: {error}"
                return
            self._process = process
        process.wait()
        with self._changed:
            self._process = None
            if name not in self._ends and name not in self._waiting:
                self._ends[name] = _end_of(process)

    def _words(self, task: JudgingTask) -> Sequence[str]:
        protocol = task.protocol
        option = "--choices" if protocol.choices else "--criteria"
        words_file = self._workspace.judges.resolve() / f"{protocol.digest}.txt"
        write_file(words_file, protocol.template.encode())
        return [
            "judge", f"--name={task.review}", f"--judge={task.model}", "--protocol", protocol.name,
            "--most", str(task.most), "--prompt-file", str(words_file),
            "--workspace", str(self._workspace.folder.resolve()),
            *([option, *protocol.criteria] if protocol.criteria else []),
        ]  # fmt: skip


def _end_of(process: ChildProcess) -> str:
    """Return why a judge came to no end of its questions; '' where it did."""
    if not process.status:
        return ""
    if process.was_killed:
        return (
            "It was killed, as the system does when memory runs out: close other programs and let it "
            "go on. What it said is kept."
        )
    return process.failure() or f"The judge {process.describe_exit()}"
