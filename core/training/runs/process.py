"""A run's own process: the command line's `core train --resume`, at lower priority and first to go
when memory runs out.

It writes what happens into the database by itself, so neither the page's end nor its own takes the
other along; its output goes to a file and can never block it. What people ask of it, it reads from
the database.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.storage.workspace import Workspace
from core.training.runs.runner import KILLED_MESSAGE, is_alive
from core.training.runs.store import RunStore

LOG_FILE = "worker.log"
_ROOT = Path(__file__).parents[3]
_NICENESS = 10
# Windows' alone
_FLAG_NAMES = ("BELOW_NORMAL_PRIORITY_CLASS", "CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")
_FLAGS = sum(getattr(subprocess, name, 0) for name in _FLAG_NAMES)
_FIRST_TO_GO = "500"  # added to its badness when Linux looks for something to kill; the page has 0


def start_training_process(
    workspace: Workspace, name: str, processes: int = 0
) -> "subprocess.Popen[bytes]":
    """Start the process that trains a run which is written down; Ctrl-C in our terminal does not
    reach it.

    With more than one, ``processes`` train it together; 0 stands for one on each CUDA device.
    """
    arguments = [
        "train",
        "--resume",
        "--name",
        name,
        "--workspace",
        str(workspace.folder.resolve()),
    ]
    arguments += ["--processes", str(count)] if (count := processes or _cuda_devices()) > 1 else []
    return start_process(arguments, workspace.run_folder(name) / LOG_FILE)


def start_process(arguments: Sequence[str], log_file: Path) -> "subprocess.Popen[bytes]":
    """Start a command of `python -m core` at lower priority, with what it says in a file, which can
    never block it.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    search = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
            [sys.executable, "-m", "core", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONPATH": search,
                "PYTHONSAFEPATH": "1",
            },  # the folder we were started in is not ours
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


def _cuda_devices() -> int:
    import torch

    from core.training.distributed import can_share_gpus

    return torch.cuda.device_count() if can_share_gpus() else min(torch.cuda.device_count(), 1)


def record_exit(workspace: Workspace, name: str, status: int) -> None:
    """Write down why a run's process ended where it could not do so itself; a negative status is a
    signal's number.
    """
    runs = RunStore(workspace)
    state = runs.find(name)["state"]
    if is_alive(workspace, name):  # another process trains it, and ours was turned away
        return
    # the page may have seen it dead before us
    if state in {"queued", "running"} or (state == "interrupted" and status < 0):
        runs.set_state(name, "failed", _reason(workspace, name, status))


def _reason(workspace: Workspace, name: str, status: int) -> str:
    if was_killed(status):
        return f"The training process {KILLED_MESSAGE}"
    log = workspace.run_folder(name) / LOG_FILE
    last = next(reversed(read_log_lines(log)), "")
    return f"The training process ended by itself ({describe_exit(status)}). {last} Its output is in {log}.".replace(
        "  ", " "
    )


def read_log_lines(log: Path) -> list[str]:
    """Return the lines that a process wrote, those with nothing on them left out."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return [line for line in lines if line.strip()]


def was_killed(status: int) -> bool:
    """Return whether a process was ended at once, as the system does when memory runs out."""
    return status == -getattr(signal, "SIGKILL", 9)


def describe_exit(status: int) -> str:
    """Return how a process ended, in words."""
    return f"signal {-status}" if status < 0 else f"exit status {status}"
