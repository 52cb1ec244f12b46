"""The page's scripts, as a browser asks for them."""

import re
from pathlib import Path

import pytest

from tests.server.test_server import Visitor, shared, shared_guarded
from tests.serving import Server

__all__ = ["shared", "shared_guarded"]  # fixtures
pytestmark = pytest.mark.slow


def addresses(visitor: Visitor, at: str = "") -> list[str]:
    """Return where a page's scripts lie: the one it begins with, and its components'."""
    page = visitor.ask(f"{at}/", Accept="text/html")[1]
    config = visitor.ask(f"{at}/config")[1]
    found = re.findall(r'src="(fuata/[^"]+)"', page) + re.findall(r'URL\(\\"(fuata/.+?)\\"', config)
    return [f"{at}/{path}" for path in found]


def test_scripts_are_modules_that_a_browser_may_keep_for_ever(shared: Server) -> None:
    visitor = Visitor(shared)
    found = addresses(visitor)
    assert [Path(path).name for path in found] == [
        "page.js",
        "bar.js",
        "report.js",
        "statistics.js",
        "bar.js",
        "run_panel.js",
        "judge.js",
        "charts.js",
        "judging.js",
        "board.js",
        "arena.js",
    ]
    for path in found:
        status, script, headers = visitor.ask(path)
        assert status == 200 and script.startswith("// @ts-check")
        assert headers["content-type"] == "text/javascript; charset=utf-8"
        assert "immutable" in headers["cache-control"]
    assert visitor.ask(f"{Path(found[0]).parent.parent}/static/lib/dom.js")[0] == 200


def test_no_other_file_and_no_other_version_is_served(shared: Server) -> None:
    visitor = Visitor(shared)
    root = Path(addresses(visitor)[0]).parents[1]
    for path in (
        f"{root}/scripts.py",
        f"{root}/../../app.py",
        f"{root}/%2e%2e/app.py",
        f"{root}/static/page.css",
        "/fuata/0000000000000000/static/page.js",
    ):
        assert visitor.ask(path)[0] == 404, path


def test_a_reviewer_gets_the_scripts_below_their_own_page_alone(shared_guarded: Server) -> None:
    stranger, juma = Visitor(shared_guarded), Visitor(shared_guarded)
    assert juma.sign_in("juma", "other") == 200
    found = addresses(juma, "/judge")
    assert [Path(path).name for path in found] == ["page.js", "judge.js", "arena.js"]
    for path in found:
        assert juma.ask(path)[0] == 200
        assert stranger.ask(path)[0] == 401
        assert juma.ask(path.removeprefix("/judge"))[0] == 403
