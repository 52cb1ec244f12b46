"""The app in a process of its own, as a person starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from tests.conftest import ROOT


@dataclass
class Server:
    """One workspace served on one port."""

    workspace: Path
    port: int
    options: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start and return the seconds until the first page was answered."""
        command = [
            sys.executable,
            "app.py",
            "--no-browser",
            "--port",
            str(self.port),
            "--workspace",
            str(self.workspace),
            *self.options,
        ]
        started = time.monotonic()
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        while time.monotonic() - started < 60:
            try:
                with urlopen(self.url, timeout=5) as answer:
                    assert answer.status == 200
                return time.monotonic() - started
            except OSError:
                assert self.process.poll() is None, "the app ended before it answered"
                time.sleep(0.1)
        raise AssertionError("the app did not answer within a minute")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
