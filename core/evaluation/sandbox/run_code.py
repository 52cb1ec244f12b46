"""Programs of a model, each in a process of its own that can do nothing but compute.

What it is protected by stands in ``guest``; this side gives it no environment, an empty folder to
stand in, and so many seconds.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_GUEST = Path(__file__).with_name("guest.py")
_AT_ONCE = 2
_MOST_REPORTED = 4096  # bytes


@dataclass(frozen=True, slots=True)
class CodeResult:
    """How a program went."""

    passed: bool  # it ran to its end
    reason: str  # why it did not, '' where it did
    layers: tuple[str, ...]  # of protection that it had: limits, files, calls


def run_programs(programs: Sequence[str], seconds: int = 5, mebibytes: int = 1024) -> list[bool]:
    """Return of each Python program whether it runs to its end without an error."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = pool.map(lambda program: run_program(program, seconds, mebibytes), programs)
        return [one.passed for one in results]


def run_program(program: str, seconds: int = 5, mebibytes: int = 1024) -> CodeResult:
    """Run one Python program for so many seconds at most, in so much memory."""
    nonce = secrets.token_hex(16)
    words = [sys.executable, "-I", "-S", "-B", str(_GUEST), str(seconds), str(mebibytes), nonce]
    with tempfile.TemporaryDirectory(prefix="fuata-sandbox-") as folder:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own guest
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            cwd=folder,
            start_new_session=True,
        )
        took_too_long = threading.Event()
        timer = threading.Timer(seconds, _give_up, [process, took_too_long])
        timer.start()
        try:
            said = _exchange(process, program.encode("utf-8", "surrogatepass"))
        finally:
            timer.cancel()
            _end(process)
    if took_too_long.is_set():
        return CodeResult(False, f"it took longer than {seconds} s", ())
    return _read(said, nonce, process.returncode)


def _exchange(process: "subprocess.Popen[bytes]", program: bytes) -> bytes:
    """Hand a program over and return what its guest says, no more than a report has."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):  # it may have ended before it read all
        process.stdin.write(program)
        process.stdin.close()
    # whoever writes without end waits till it is killed
    return process.stdout.read(_MOST_REPORTED)


def _give_up(process: "subprocess.Popen[bytes]", took_too_long: threading.Event) -> None:
    took_too_long.set()
    _end(process, wait=False)


def protection() -> tuple[str, ...]:
    """Return the layers of protection that a program has on this system."""
    return run_program("pass").layers


def protection_text(layers: Sequence[str]) -> str:
    """Return what a program cannot do here, as a sentence for a user."""
    cannot = {
        "limits": "use up time, memory or the disk",
        "files": "read files other than Python's own",
        "calls": "reach the network, start programs or change files",
    }
    kept = [cannot[name] for name in cannot if name in layers]
    open_to = [cannot[name] for name in cannot if name not in layers]
    text = f"Programs run apart and cannot {'; '.join(kept)}." if kept else ""
    if open_to:
        text += f" This system does not keep them from this: {'; '.join(open_to)}."
    return text.strip()


def _environment() -> dict[str, str]:
    """Return what a process needs to start, and nothing of ours."""
    needed = {"SYSTEMROOT"} if sys.platform == "win32" else set()
    return {name: os.environ[name] for name in needed if name in os.environ}


def _end(process: "subprocess.Popen[bytes]", *, wait: bool = True) -> None:
    """Kill a process and all that it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    if wait:
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()
        process.wait()


def _read(said: bytes, nonce: str, status: int) -> CodeResult:
    """Return what a guest said of its program; one that ended before that has not passed."""
    try:
        found = json.loads(said)
        is_its_own = found["nonce"] == nonce
    except (ValueError, KeyError, TypeError):
        is_its_own = False
    if not is_its_own:
        return CodeResult(False, f"it ended by itself (status {status})", ())
    reason = str(found["reason"])
    return CodeResult(not reason, reason, tuple(found["layers"]))
