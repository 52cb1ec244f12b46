"""Starts commands of our own command lines beside us and knows how they are and how they ended.

Each has lower priority and is first to go when memory runs out; its output goes to a log, which can
never block it, and what it reports to a file of messages. Knows no command in particular.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from core.processes.messages import (
    VARIABLE,
    Failure,
    Progress,
    last_progress,
    read_messages,
)

_ROOT = Path(__file__).parents[2]
_NICENESS = 10
# Windows' alone
_FLAG_NAMES = ("BELOW_NORMAL_PRIORITY_CLASS", "CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")
_FLAGS = sum(getattr(subprocess, name, 0) for name in _FLAG_NAMES)
_FIRST_TO_GO = "500"  # added to its badness when Linux looks for something to kill; the page has 0
_MIB = 2**20


class ChildProcess:
    """One command that was started. Ctrl-C in our terminal does not reach it."""

    def __init__(self, arguments: Sequence[str], log: Path, program: str = "core") -> None:
        """Start `python -m PROGRAM` with arguments; ``log`` is written anew, its messages beside it."""
        self.log = log
        self.messages = log.with_suffix(".messages")
        log.parent.mkdir(parents=True, exist_ok=True)
        self.messages.unlink(missing_ok=True)
        self._process = _start([program, *arguments], log, self.messages)

    @property
    def pid(self) -> int:
        """The number by which the system knows it."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Its exit status, a signal's number if negative; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end and return its exit status."""
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it at once, and wait for that."""
        self._process.kill()
        self._process.wait()

    def progress(self) -> Progress | None:
        """Return what it reported last of what it is doing."""
        return last_progress(self.messages)

    def memory_mib(self) -> float | None:
        """Return how much memory it holds; None when it has ended."""
        with suppress(psutil.Error):
            return float(psutil.Process(self.pid).memory_info().rss / _MIB)
        return None

    @property
    def was_killed(self) -> bool:
        """Whether it was ended at once, as the system does when memory runs out."""
        return self.status == -getattr(signal, "SIGKILL", 9)

    def failure(self) -> str:
        """Return why it gave up: the sentence that it reported, or '' for none."""
        found = [one.text for one in read_messages(self.messages) if isinstance(one, Failure)]
        return found[-1] if found else ""

    def describe_exit(self) -> str:
        """Return how it ended by itself, the last line of its log among it, where there is one."""
        status = self.status or 0
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        said = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        lines = [line for line in said.splitlines() if line.strip()]
        last = f" {lines[-1].strip()}" if lines and status > 0 else ""
        return f"ended by itself ({how}).{last} Its output is in {self.log}."


def _start(arguments: Sequence[str], log: Path, messages: Path) -> "subprocess.Popen[bytes]":
    search = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    # the folder we were started in is not ours
    ours = {"PYTHONPATH": search, "PYTHONSAFEPATH": "1", VARIABLE: str(messages)}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ours},
            start_new_session=True,
            creationflags=_FLAGS,
        )
    if sys.platform == "win32":
        # it was started with lower priority, and there is nothing to say about who goes first
        return process
    with suppress(OSError):  # a courtesy; not every system grants it
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(_FIRST_TO_GO)
    return process
