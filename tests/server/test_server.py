"""What the running app answers to requests made by hand, good and bad."""

import http.cookiejar
import json
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from core.storage.workspace import Workspace
from tests.conftest import ROOT
from tests.reviews import write_review
from tests.serving import Server, free_port

pytestmark = pytest.mark.slow


def prepare(folder: Path, file: Path) -> None:
    """Write a review that is ready to be judged before the app starts."""
    workspace = Workspace(folder)
    write_review(workspace, file, {"a": "a", "b": "b"}, 4)
    workspace.close()


class Visitor:
    """Somebody with a cookie jar."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, str, Any]:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(self.server.url + path, content, headers)
        try:
            with self.opener.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def sign_in(self, name: str, password: str) -> int:
        form = urllib.parse.urlencode({"username": name, "password": password}).encode()
        return self.ask("/login", form, **{"Content-Type": "application/x-www-form-urlencoded"})[0]

    def call(self, function: str, question: object, **headers: str) -> tuple[int, Any]:
        """Call a server function of the pair component, as the page does."""
        body = {"component_id": self.pair_component(), "fn_name": function, "session_hash": "test", "data": question}
        status, text, _ = self.ask("/gradio_api/component_server/", body, **headers)
        return status, json.loads(text) if status == 200 else text

    def pair_component(self) -> int:
        config = json.loads(self.ask("/config")[1])
        return next(block["id"] for block in config["components"] if block["props"].get("elem_id") == "pair")


@pytest.fixture
def served(tmp_path: Path, small_file: Path) -> Iterator[Server]:
    prepare(tmp_path / "workspace", small_file)
    server = Server(tmp_path / "workspace", free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def guarded(tmp_path: Path, small_file: Path) -> Iterator[Server]:
    prepare(tmp_path / "workspace", small_file)
    (tmp_path / "accounts").write_text("amina:secret\njuma:other\n")
    server = Server(tmp_path / "workspace", free_port(), ["--auth", str(tmp_path / "accounts")])
    server.start()
    yield server
    server.stop()


def test_other_pages_and_other_names_are_refused_and_ours_is_served(served: Server) -> None:
    visitor = Visitor(served)
    question = {"review": "r", "reviewer": "eve", "pair": 1, "verdict": "a"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "http://evil.example", "Content-Type": "text/plain"},
        {"Host": "evil.example"},
    ):
        assert visitor.ask("/gradio_api/component_server/", {"fn_name": "save_verdict", "data": question}, **headers)[0] == 403
        assert visitor.ask("/", **headers)[0] == 403
    status, page, headers = visitor.ask("/")
    assert status == 200
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page)
    assert visitor.call("save_verdict", question, Origin=served.url)[1]["saved"] == 1
    assert [row["reviewer"] for row in Database(served.workspace / "fuata.db")["verdicts"].rows] == ["eve"]


def test_a_second_app_on_the_same_workspace_is_refused_in_a_sentence(served: Server) -> None:
    words = ["app.py", "--no-browser", "--port", str(free_port()), "--workspace", str(served.workspace)]
    second = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert second.stderr.strip().endswith("is open in another Fuata: use that one, or give another with --workspace.")
    assert "Traceback" not in second.stderr


def test_plotlys_script_is_served_from_here(served: Server) -> None:
    status, script, _ = Visitor(served).ask("/plotlyjs/plotly.min.js")
    assert status == 200 and script.startswith("/**\n* plotly.js v4")


def test_files_outside_the_exports_are_not_served(served: Server) -> None:
    visitor = Visitor(served)
    for path in ("/etc/passwd", str(served.workspace / "fuata.db"), str(served.workspace / "exports" / ".." / "fuata.db")):
        assert visitor.ask(f"/gradio_api/file={path}")[0] in {403, 404}
    assert visitor.ask("/plotlyjs/../__init__.py")[0] == 404


def test_who_is_not_signed_in_can_read_and_write_nothing(guarded: Server) -> None:
    stranger, amina = Visitor(guarded), Visitor(guarded)
    assert stranger.sign_in("amina", "wrong") == 400
    assert amina.sign_in("amina", "secret") == 200
    component = amina.pair_component()
    body = {
        "component_id": component,
        "fn_name": "fetch_pairs",
        "session_hash": "x",
        "data": {"review": "r", "reviewer": "amina"},
    }
    assert stranger.ask("/gradio_api/component_server/", body)[0] == 401


def test_a_signed_in_reviewer_judges_under_their_own_name_only(guarded: Server) -> None:
    juma = Visitor(guarded)
    assert juma.sign_in("juma", "other") == 200
    status, answer = juma.call("save_verdict", {"review": "r", "reviewer": "amina", "pair": 2, "verdict": "tie"})
    assert (status, answer["pair"]) == (200, 2)
    assert [row["reviewer"] for row in Database(guarded.workspace / "fuata.db")["verdicts"].rows] == ["juma"]


def test_kill_9_loses_no_acknowledged_verdict(served: Server) -> None:
    visitor = Visitor(served)
    who = {"review": "r", "reviewer": "amina"}
    kept = []
    for pair in (1, 2, 3):
        assert "saved" in visitor.call("save_verdict", {**who, "pair": pair, "verdict": "b"})[1]
        kept.append(pair)
        served.kill()
        served.start()
        visitor = Visitor(served)
        assert [row["pair_id"] for row in Database(served.workspace / "fuata.db")["verdicts"].rows] == kept
    assert visitor.call("fetch_pairs", {**who, "count": 9})[1]["done"] == 3
