"""A real server and a real browser. Skipped, with the reason, where there is no Chromium."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import ROOT

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@dataclass
class Server:
    """The app in a process of its own, as a person starts it."""

    workspace: Path
    port: int
    options: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start and return the seconds until the first page was answered."""
        command = [sys.executable, "app.py", "--no-browser", "--port", str(self.port), "--workspace", str(self.workspace), *self.options]
        started = time.monotonic()
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"})
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "workspace", free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if _CHROMIUM is None:
        pytest.skip("needs Chromium (Debian's package `chromium`)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A window that may ask nobody but the app, and in which no script may fail."""
    window = browser.new_page(viewport={"width": 1280, "height": 900})
    foreign: list[str] = []
    failures: list[str] = []
    window.on("request", lambda request: foreign.append(request.url) if _is_foreign(request.url, server) else None)
    window.on("pageerror", lambda error: failures.append(str(error)))
    yield window
    window.close()
    assert foreign == []
    assert failures == []


def _is_foreign(url: str, server: Server) -> bool:
    return not url.startswith((server.url, "data:", "blob:"))
