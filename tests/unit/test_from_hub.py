"""Datasets of a hub that stands in on this machine: listed, fetched, cut short, refused."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import pytest

from core.datasets.dataset import load_dataset
from core.datasets.splits_named import split_of_path
from tests.unit.test_readers import parquet_bytes

ROOT = Path(__file__).parents[2]
COMMIT = "c" * 40
FILES = {
    "README.md": b"---\nlicense: cc-by-4.0\n---\n",
    "main/train-00000-of-00001.parquet": parquet_bytes(
        [{"question": f"Q{n}", "answer": f"A{n}"} for n in range(30)]
    ),
    "main/test-00000-of-00001.parquet": parquet_bytes([{"question": "T", "answer": "t"}]),
    "other/train.jsonl": b'{"question": "X", "answer": "x"}\n',
    "big/lines/train.jsonl": b"".join(
        b'{"question": "%d", "answer": "%s"}\n' % (n, b"x" * 1000) for n in range(8000)
    ),
    "big/table/train.csv": b"question,answer\n"
    + b"".join(b'"Q\n%d","%s"\n' % (n, b"y" * 1000) for n in range(8000)),
    "big/parquet/train.parquet": parquet_bytes(
        [
            {"question": f"Q{n}", "answer": hashlib.sha256(b"%d" % n).hexdigest() * 20}
            for n in range(20_000)
        ],
        row_group_size=500,
    ),
    "evil.bin": b"\x80\x04",
}


def tree(folder: str) -> Iterator[dict[str, object]]:
    """List a folder as the hub does."""
    inside = f"{folder}/" if folder else ""
    for name in {path[len(inside) :].split("/")[0] for path in FILES if path.startswith(inside)}:
        content = FILES.get(inside + name)
        kind = "directory" if content is None else "file"
        yield {"type": kind, "oid": "0" * 40, "size": len(content or b""), "path": inside + name}


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does, as far as its library asks."""

    asked: ClassVar[list[str]] = []
    sent: ClassVar[list[int]] = []  # bytes of files

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.asked.append(self.path)
        path = unquote(self.path.split("?")[0])
        if path.startswith(f"/api/datasets/amina/rows/tree/{COMMIT}"):
            folder = path.removeprefix(f"/api/datasets/amina/rows/tree/{COMMIT}").strip("/")
            self._send(200, json.dumps(list(tree(folder))).encode(), body=body)
        elif path.startswith("/api/datasets/amina/rows"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in FILES.items()]
            told = {"id": "amina/rows", "sha": COMMIT, "siblings": siblings, "tags": [],
                    "cardData": {"license": "cc-by-4.0"}, "downloads": 0, "private": False}  # fmt: skip
            self._send(200, json.dumps(told).encode(), body=body)
        elif path.startswith(f"/datasets/amina/rows/resolve/{COMMIT}/"):
            content = FILES[path.split(f"{COMMIT}/")[1]]
            wanted = self.headers.get("Range", "")
            if wanted and body:
                first, last = (int(n or len(content)) for n in wanted[6:].split("-"))
                self.sent.append(len(content[first : last + 1]))
                self._send(206, content[first : last + 1], body=True)
                return
            self.sent.append(len(content) * body)
            self._send(200, content, body=body)
        else:
            self._send(404, b"{}", body=body)

    def _send(self, status: int, content: bytes, *, body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.asked, Hub.sent = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(hub: str, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "hf"),
                   "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    command = [sys.executable, "-m", "core", "fetch", *words, "--out", str(tmp_path / "out")]
    return subprocess.run(
        [*command, "--workspace", str(tmp_path / "w"), "--json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_whole_configuration_is_fetched_with_its_splits_and_licence(
    hub: str, tmp_path: Path
) -> None:
    done = fetch(hub, tmp_path, "amina/rows", "--config", "main")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["licence"], told["revision"]) == ("cc-by-4.0", COMMIT)
    dataset = load_dataset(Path(told["out"]))
    splits = [example.split for example in dataset.examples]
    assert splits.count("train") == 30 and splits.count("test") == 1
    assert not any("evil" in path or "other" in path for path in Hub.asked)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["amina-rows.zip"]


def test_only_the_first_rows_are_kept_and_no_file_more_than_that_takes(
    hub: str, tmp_path: Path
) -> None:
    done = fetch(hub, tmp_path, "amina/rows", "--split", "train", "--rows", "5")
    assert done.returncode == 0, done.stderr
    dataset = load_dataset(Path(json.loads(done.stdout)["out"]))
    assert [example.answer for example in dataset.examples] == ["A0", "A1", "A2", "A3", "A4"]
    assert {example.split for example in dataset.examples} == {"train"}
    assert not any("other/train" in path for path in Hub.asked)


@pytest.mark.parametrize(
    ("config", "first"),
    [("lines", "x" * 1000), ("table", "y" * 1000),
     ("parquet", hashlib.sha256(b"0").hexdigest() * 20)],
)  # fmt: skip
def test_of_a_large_file_only_the_beginning_is_fetched(
    hub: str, tmp_path: Path, config: str, first: str
) -> None:
    done = fetch(hub, tmp_path, "amina/rows", "--config", config, "--rows", "20")
    assert done.returncode == 0, done.stderr
    dataset = load_dataset(Path(json.loads(done.stdout)["out"]))
    assert len(dataset.examples) == 20 and dataset.examples[0].answer == first
    whole = next(len(data) for name, data in FILES.items() if name.startswith(f"big/{config}/"))
    assert 0 < sum(Hub.sent) < whole / 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["amina/nothing"], "could not be fetched from the hub"),
        (["no such name!"], "could not be fetched from the hub"),
        (
            ["amina/rows", "--config", "missing"],
            "its folders are big/lines, big/parquet, big/table, main, other",
        ),
        (["amina/rows", "--split", "holdout"], "There is no split 'holdout'"),
        (["amina/rows", "--rows", "-1"], "must be 0 (all) or more"),
    ],
)
def test_what_is_not_there_gets_one_sentence_and_leaves_nothing(
    hub: str, tmp_path: Path, words: list[str], sentence: str
) -> None:
    done = fetch(hub, tmp_path, *words)
    assert done.returncode == 2 and sentence in done.stderr and done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"),
        ("validation/0000.parquet", "validation"),
        ("trainable.csv", ""),
        ("train_test.csv", ""),
        ("test/part/rows.csv", "test"),
    ],
)
def test_a_path_names_its_split(path: str, split: str) -> None:
    assert (split_of_path(path) or "") == split
