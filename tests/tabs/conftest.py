"""Every tab opened alone, without server or browser: events are found by name and called."""

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from ui.services import Services, build_services


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    built = build_services(tmp_path / "workspace")
    yield built
    built.close()


class Opened:
    """A page whose events can be triggered by name."""

    def __init__(self, page: gr.Blocks) -> None:
        self.page = page

    def trigger(self, name: str, *values: Any) -> Any:
        [event] = [event for event in self.page.fns.values() if event.api_name == name]
        assert event.fn is not None
        return event.fn(*values)

    def component(self, elem_id: str) -> Any:
        [found] = [
            block
            for block in self.page.blocks.values()
            if getattr(block, "elem_id", None) == elem_id
        ]
        return found

    def server_function(self, elem_id: str, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self.component(elem_id), name)
        return function


@pytest.fixture
def open_tab(services: Services) -> Callable[..., Opened]:
    def open_it(build: Callable[[Services], None]) -> Opened:
        with gr.Blocks() as page:
            build(services)
        return Opened(page)

    return open_it


def upload(services: Services, path: Path | str) -> str:
    """Put a copy of a file where a browser's upload lies, and return its path."""
    folder = services.workspace.uploads / secrets.token_hex(4)
    folder.mkdir()
    return str(shutil.copy(path, folder))


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}${7*7}"


Open = Callable[..., Opened]


def train_values(page: Opened) -> list[Any]:
    [event] = [event for event in page.page.fns.values() if event.api_name == "show_ready"]
    return [block.value for block in event.inputs[1:]]


def without_scripts(report: str) -> str:
    """Return a report, which is small and holds no script."""
    assert "<script" not in report and len(report) < 100_000
    return report


def wait_until(ask: Callable[[], Any], enough: Callable[[Any], bool], timeout_s: float = 60) -> Any:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        answer = ask()
        if enough(answer):
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s: {answer}")
