"""What the running app answers to requests made by hand, good and bad."""

import http.cookiejar
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from core.storage.workspace import Workspace
from tests.conftest import ROOT, write_small_file
from tests.reviews import write_review
from tests.serving import Server, free_port

pytestmark = pytest.mark.slow


def prepare(folder: Path, file: Path) -> None:
    """Write a review that is ready to be judged before the app starts."""
    workspace = Workspace(folder)
    write_review(workspace, file, {"a": "a", "b": "b"}, 4)
    workspace.close()


def test_the_page_waits_for_no_library_that_only_work_needs(tmp_path: Path) -> None:
    """Each takes a second or more, and all come in the background once the page is served."""
    program = """if True:
        import sys
        from pathlib import Path
        from app import build_app
        from ui.services import build_services
        services = build_services(Path(sys.argv[1]))
        build_app(services)
        heavy = "torch transformers peft datasets lm_eval sklearn scipy.stats"
        print([name for name in heavy.split() if name in sys.modules])
        services.close()
    """
    words = [sys.executable, "-c", program, str(tmp_path / "workspace")]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert built.stdout.strip() == "[]"


class Visitor:
    """Somebody with a cookie jar."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, str, Any]:
        content = (
            body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        )
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(self.server.url + path, content, headers)
        try:
            with self.opener.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers
        except (urllib.error.URLError, ConnectionError):  # it hung up while we were still sending
            return 413, "", {}

    def sign_in(self, name: str, password: str) -> int:
        form = urllib.parse.urlencode({"username": name, "password": password}).encode()
        return self.ask("/login", form, **{"Content-Type": "application/x-www-form-urlencoded"})[0]

    def call(
        self, function: str, question: object, at: str = "", **headers: str
    ) -> tuple[int, Any]:
        """Call a server function of the pair component, as the page at an address does."""
        body = {
            "component_id": self.component("pair", at),
            "fn_name": function,
            "session_hash": "test",
            "data": question,
        }
        status, text, _ = self.ask(f"{at}/gradio_api/component_server/", body, **headers)
        return status, json.loads(text) if status == 200 else text

    def run(self, name: str, *values: object, at: str = "") -> tuple[int, str]:
        """Call an event by its name, as anybody can who knows the address."""
        return self.ask(
            f"{at}/gradio_api/run/{name}", {"data": list(values), "session_hash": "test"}
        )[:2]

    def component(self, elem_id: str, at: str = "") -> int:
        config = json.loads(self.ask(f"{at}/config")[1])
        return next(
            block["id"]
            for block in config["components"]
            if block["props"].get("elem_id") == elem_id
        )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """An app of its own, for a test that ends it."""
    yield from serve(tmp_path)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """The same with accounts, for a test that counts what people have done."""
    yield from serve(tmp_path, with_accounts=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One app for all tests that leave it as it was."""
    yield from serve(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def shared_guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with accounts."""
    yield from serve(tmp_path_factory.mktemp("guarded"), with_accounts=True)


def serve(folder: Path, *, with_accounts: bool = False) -> Iterator[Server]:
    prepare(folder / "workspace", write_small_file(folder / "small.json"))
    (folder / "accounts").write_text("owner amina:secret\njuma:other\nneema:third\n")
    options = ["--auth", str(folder / "accounts")] if with_accounts else []
    server = Server(folder / "workspace", free_port(), options)
    server.start()
    yield server
    server.stop()


def test_other_pages_and_other_names_are_refused_and_ours_is_served(shared: Server) -> None:
    visitor = Visitor(shared)
    question = {"review": "r", "reviewer": "eve", "pair": 1, "verdict": "a"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "http://evil.example", "Content-Type": "text/plain"},
        {"Host": "evil.example"},
    ):
        assert (
            visitor.ask(
                "/gradio_api/component_server/",
                {"fn_name": "save_verdict", "data": question},
                **headers,
            )[0]
            == 403
        )
        assert visitor.ask("/", **headers)[0] == 403
    status, page, headers = visitor.ask("/")
    assert status == 200
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page)
    assert visitor.call("save_verdict", question, Origin=shared.url)[1]["saved"] == 1
    verdicts = list(Database(shared.workspace / "fuata.db")["verdicts"].rows)
    assert [row["reviewer"] for row in verdicts] == ["eve"]
    assert visitor.call("undo_verdict", {"review": "r", "reviewer": "eve"})[0] == 200


def test_a_second_app_on_the_same_workspace_is_refused_in_a_sentence(shared: Server) -> None:
    words = [
        "app.py",
        "--no-browser",
        "--port",
        str(free_port()),
        "--workspace",
        str(shared.workspace),
    ]
    second = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 2
    assert second.stderr.strip().endswith(
        "is open in another Fuata: use that one, or give another with --workspace."
    )
    assert "Traceback" not in second.stderr


def test_plotlys_script_is_served_from_here(shared: Server) -> None:
    status, script, _ = Visitor(shared).ask("/plotlyjs/plotly.min.js")
    assert status == 200 and script.startswith("/**\n* plotly.js v4")


def test_files_outside_the_exports_are_not_served(shared: Server) -> None:
    visitor = Visitor(shared)
    for path in (
        "/etc/passwd",
        str(shared.workspace / "fuata.db"),
        str(shared.workspace / "exports" / ".." / "fuata.db"),
    ):
        assert visitor.ask(f"/gradio_api/file={path}")[0] in {403, 404}
    assert visitor.ask("/plotlyjs/../__init__.py")[0] == 404


def test_who_is_not_signed_in_can_read_and_write_nothing(shared_guarded: Server) -> None:
    stranger, amina = Visitor(shared_guarded), Visitor(shared_guarded)
    assert stranger.sign_in("amina", "wrong") == 401
    assert amina.sign_in("amina", "secret") == 200
    component = amina.component("pair")
    data = {"review": "r", "reviewer": "amina"}
    body = {"component_id": component, "fn_name": "fetch_pairs", "session_hash": "x", "data": data}
    for at in ("", "/judge"):
        assert stranger.ask(f"{at}/gradio_api/component_server/", body)[0] == 401
        assert stranger.ask(f"{at}/config")[0] == 401
        assert stranger.ask(f"{at}/gradio_api/upload", b"x")[0] == 401
    status, page, _ = stranger.ask("/", Accept="text/html")
    assert status == 200 and "Sign in" in page and "gradio_config" not in page


def test_a_signed_in_reviewer_judges_under_their_own_name_only(guarded: Server) -> None:
    juma = Visitor(guarded)
    assert juma.sign_in("juma", "other") == 200
    status, answer = juma.call(
        "save_verdict", {"review": "r", "reviewer": "amina", "pair": 2, "verdict": "tie"}, "/judge"
    )
    assert (status, answer["pair"]) == (200, 2)
    assert [
        row["reviewer"] for row in Database(guarded.workspace / "fuata.db")["verdicts"].rows
    ] == ["juma"]


def test_a_reviewer_reads_and_changes_nothing_that_is_not_theirs_before_or_after_voting(
    guarded: Server, tmp_path: Path
) -> None:
    """By the raw requests: no file, key, name, verdict or page of somebody else's."""
    (tmp_path / "secret.json").write_text(
        json.dumps([{"instruction": "password?", "output": "hunter2"}])
    )
    named = {"path": str(tmp_path / "secret.json"), "meta": {"_type": "gradio.FileData"}}
    juma, neema, amina = Visitor(guarded), Visitor(guarded), Visitor(guarded)
    for person, word in ((juma, "juma:other"), (neema, "neema:third"), (amina, "amina:secret")):
        assert person.sign_in(*word.split(":")) == 200
    # led to the one page that is theirs
    assert juma.ask("/", Accept="text/html")[1].count("Judge responses side by side")
    before = dump(guarded)
    for _ in range(2):
        for path in ("/config", "/gradio_api/info", f"/gradio_api/file={tmp_path}/secret.json"):
            assert juma.ask(path)[0] == 403, path
        for name in (
            "take_upload",
            "show_rows",
            "export",
            "show_result",
            "make_review",
            "begin",
            "import_ratings",
            "share_result",
        ):
            assert juma.run(name, named, "r", "", "", "", "")[0] == 403, name
            # there is no such event there
            assert juma.run(name, named, "r", "", "", "", "", at="/judge")[0] in {404, 500}, name
        for path in (
            "upload",
            f"file={tmp_path}/secret.json",
            f"file={guarded.workspace}/fuata.db",
            "stream/x",
            "proxy=http://x",
        ):
            assert (
                juma.ask(f"/judge/gradio_api/{path}", b"x" if path == "upload" else None)[0] == 403
            ), path
        assert juma.ask("/judge/../config")[0] in {403, 404}
        config = json.loads(juma.ask("/judge/config")[1])
        said = json.dumps(config)
        assert "hunter2" not in said and str(guarded.workspace) not in said
        status, shared = juma.run("show_shared", "r", at="/judge")
        assert status == 200 and "does not share" in shared
        status, seen = juma.call("list_verdicts", {"review": "r", "reviewer": "neema"}, "/judge")
        assert status == 200 and all(one["pair"] == 4 for one in seen["verdicts"])
        status, opened = juma.call(
            "open_verdict", {"review": "r", "reviewer": "neema", "pair": 1}, "/judge"
        )
        assert "not judged pair 1" in opened["error"]
        assert set(
            juma.call("fetch_pairs", {"review": "r", "count": 4}, "/judge")[1]["pairs"][0]
        ) == {
            "id",
            "response_mode",
            "prompt",
            "expected",
            "a",
            "b",
            "named",
            "rendered",
        }
        # now they vote, and neema does: all of it holds afterwards, too
        if dump(guarded) == before:
            assert (
                neema.call(
                    "save_verdict",
                    {"review": "r", "pair": 1, "verdict": "a", "comment": "mine"},
                    "/judge",
                )[0]
                == 200
            )
            assert (
                juma.call("save_verdict", {"review": "r", "pair": 4, "verdict": "b"}, "/judge")[0]
                == 200
            )
    told = juma.call("undo_verdict", {"review": "r", "reviewer": "neema"}, "/judge")[1]
    assert told["pair"]["id"] == 4  # their own, whoever they say they are
    rows = list(Database(guarded.workspace / "fuata.db")["verdicts"].rows)
    assert [(row["reviewer"], row["pair_id"], row["comment"]) for row in rows] == [
        ("neema", 1, "mine")
    ]
    # the page offers the review before it can be chosen
    assert amina.run("refresh_results")[0] == 200
    assert amina.run("share_result", "r", True)[0] == 200
    assert "preferred in" in juma.run("show_shared", "r", at="/judge")[1]


def dump(server: Server) -> list[str]:
    return list(Database(server.workspace / "fuata.db").conn.iterdump())


def test_an_owner_may_name_no_file_of_the_server_as_an_upload(
    shared: Server, tmp_path: Path
) -> None:
    """Gradio looks where a named file lies only where it launched the page itself."""
    (tmp_path / "secret.json").write_text(
        json.dumps([{"instruction": "password?", "output": "hunter2"}])
    )
    visitor = Visitor(shared)
    there, absent = tmp_path / "secret.json", tmp_path / "absent.json"
    told = []
    for path in (there, absent):
        named = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        for name, values in (
            ("take_upload", [[named]]),
            ("take_prompts", [named]),
            ("take_responses", [named, []]),
            ("import_ratings", ["r", named]),
        ):
            status, text = visitor.run(name, *values)
            assert "hunter2" not in text and status != 200, (name, text)
            told.append(text.replace(str(path), "PATH"))
    assert set(told[:4]) == set(told[4:])  # whether the file is there is not told either
    assert "secret" not in json.dumps(
        list(Database(shared.workspace / "fuata.db")["datasets"].rows)
    )
    assert list((shared.workspace / "uploads").iterdir()) == []


def test_a_request_that_another_page_caused_is_refused_without_an_origin_too(
    shared: Server,
) -> None:
    visitor = Visitor(shared)
    question = {"fn_name": "save_verdict", "data": {}}
    for site in ("cross-site", "same-site"):
        assert (
            visitor.ask("/gradio_api/component_server/", question, **{"Sec-Fetch-Site": site})[0]
            == 403
        )
    link = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert visitor.ask("/", **link)[0] == 200
    assert visitor.ask("/gradio_api/component_server/", question, **link)[0] == 403


def test_a_body_that_is_too_large_is_refused_before_it_is_read(shared_guarded: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared_guarded.port), timeout=20) as wire:
        head = f"POST /gradio_api/run/take HTTP/1.1\r\nHost: 127.0.0.1:{shared_guarded.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire.sendall(head.encode())
        piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        with suppress(ConnectionError):
            for _ in range(40):
                wire.sendall(piece)
        with suppress(ConnectionError):
            answer = wire.recv(4096)
            assert not answer or answer.split()[1] in {b"401", b"413"}
    stranger = Visitor(shared_guarded)
    assert stranger.ask("/gradio_api/run/take", b" " * 9_000_000)[0] in {401, 413}
    amina = Visitor(shared_guarded)
    amina.sign_in("amina", "secret")
    assert amina.ask("/gradio_api/run/take", b" " * 9_000_000)[0] == 413


def test_half_a_request_is_not_waited_for_for_ever(shared: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=60) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1")
        assert wire.recv(10) == b""  # closed by the server, within HEAD_S


def test_passwords_are_not_tried_without_end(guarded: Server) -> None:
    stranger = Visitor(guarded)
    ends = [stranger.sign_in("amina", f"wrong{number}") for number in range(8)]
    assert ends[:5] == [401] * 5 and 429 in ends[5:]
    assert "argon2" in (guarded.workspace.parent / "accounts").read_text()


def test_what_is_malformed_gets_a_sentence_and_no_server_error(shared: Server) -> None:
    visitor = Visitor(shared)
    who = {"review": "r", "reviewer": "amina"}
    questions: list[tuple[str, object]] = [
        ("save_verdict", [1, 2]),
        ("save_verdict", "x"),
        ("save_verdict", None),
        ("save_verdict", {**who, "pair": 2**70, "verdict": "a"}),
        ("save_verdict", {**who, "pair": True, "verdict": "a"}),
        ("save_verdict", {**who, "pair": 1, "verdict": ["a"]}),
        ("save_verdict", {**who, "pair": 1, "verdict": "a", "comment": "\ud800"}),
        ("fetch_pairs", {**who, "count": "many"}),
        ("fetch_pairs", {**who, "reviewer": "x\ud800"}),
        ("fetch_pairs", {**who, "review": {"a": 1}}),
        ("list_verdicts", {**who, "before": 2**63}),
        ("open_verdict", {**who, "pair": [1]}),
        ("list_people", {"review": ["r"]}),
    ]
    for name, question in questions:
        status, answer = visitor.call(name, question)
        assert (
            status == 200
            and set(answer) == {"error"}
            and "Something went wrong" not in answer["error"]
        ), (
            name,
            question,
            answer,
        )


def test_sigterm_always_ends_the_app(served: Server) -> None:
    """Also while a template that loops is filled, and nobody else waits for that."""
    looping = served.workspace / "evil.jinja"
    looping.write_text(
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    )
    visitor = Visitor(served)
    key = visitor.run("refresh_data")[1]
    chosen = json.loads(key)["data"][0]["value"]
    threads = [
        threading.Thread(
            target=visitor.run,
            args=("show_left", chosen, "pocket", 1, str(looping), True, "end"),
            daemon=True,
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    other = Visitor(served)
    assert other.run("show_left", chosen, "pocket", 1, "alpaca", True, "end")[0] == 200
    served.process.send_signal(signal.SIGTERM)
    # uvicorn ends by the signal that it was told to end by
    assert served.process.wait(60) in {0, -signal.SIGTERM}


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
        assert [
            row["pair_id"] for row in Database(served.workspace / "fuata.db")["verdicts"].rows
        ] == kept
    assert visitor.call("fetch_pairs", {**who, "count": 9})[1]["done"] == 3
