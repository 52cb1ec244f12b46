"""A real server and a real browser. Skipped, with the reason, where there is no Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.serving import Server, free_port

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]


expect.set_options(timeout=45_000)  # a busy machine is slow, not wrong


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Run an app on a workspace in a folder."""
    made = Server(folder / "workspace", free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def calm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One app for all tests that leave it as they found it."""
    with running(tmp_path_factory.mktemp("calm")) as made:
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian's package `chromium`)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A window on an app of its own."""
    with _watched_window(browser, server) as window:
        yield window


@pytest.fixture
def calm_page(browser: Browser, calm_server: Server) -> Iterator[Page]:
    """A window on the app that tests share."""
    with _watched_window(browser, calm_server) as window:
        yield window


@contextmanager
def _watched_window(browser: Browser, server: Server) -> Iterator[Page]:
    """Open a window that may ask nobody but the app, and in which no script may fail."""
    window = browser.new_page(viewport={"width": 1280, "height": 900})
    window.set_default_timeout(90_000)
    foreign: list[str] = []
    failures: list[str] = []
    window.on(
        "request",
        lambda request: foreign.append(request.url) if _is_foreign(request.url, server) else None,
    )
    window.on("pageerror", lambda error: failures.append(str(error)))
    yield window
    window.close()
    assert foreign == []
    assert failures == []


def _is_foreign(url: str, server: Server) -> bool:
    return not url.startswith((server.url, "data:", "blob:", "file:"))
