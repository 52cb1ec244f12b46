"""A hub that stands in on this machine for models: whole, slow, cut off, for people with leave alone."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import pytest

from tests.conftest import POCKET

COMMIT = "d" * 40
_CHUNK = 2**18
_NAMES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
POCKET_FILES = {name: (POCKET / name).read_bytes() for name in (*_NAMES, "model.safetensors")}
MODELS: dict[str, dict[str, bytes]] = {
    "amina/pocket": {
        **POCKET_FILES,
        "README.md": b"hello",
        "original/consolidated.safetensors": b"x",
    },
    "amina/slow": POCKET_FILES,
    "amina/broken": POCKET_FILES,
    "amina/pickle": {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04"},
}


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does, as far as its library asks."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []  # every request, with the range that it wants
    pause_s: ClassVar[float] = 0.0  # between chunks of amina/slow
    breaks: ClassVar[int] = 0  # how often amina/broken is still cut off

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, *, has_body: bool) -> None:
        path = unquote(self.path.split("?")[0])
        Hub.asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if path.startswith("/api/models/"):
            self._tell("/".join(path.split("/")[3:5]), has_body=has_body)
            return
        _, owner, name, _, _, file = (path + 5 * "/").split("/", 5)
        content = MODELS.get(f"{owner}/{name}", {}).get(file.rstrip("/"))
        if content is None:
            self._refuse(404, "EntryNotFound")
            return
        self._send(content, name, has_body=has_body)

    def _tell(self, name: str, *, has_body: bool) -> None:
        if name == "amina/gated":
            self._refuse(403, "GatedRepo")
        elif name not in MODELS:
            self._refuse(401, "RepoNotFound")
        else:
            siblings = [{"rfilename": one, "size": len(data)} for one, data in MODELS[name].items()]
            told = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0,
                    "cardData": {"license": "apache-2.0"}, "private": False}  # fmt: skip
            self._send(json.dumps(told).encode(), "api", has_body=has_body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, name: str, *, has_body: bool) -> None:
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        part = content[first:] if has_body else content
        self.send_response(206 if first and has_body else 200)
        self.send_header("Content-Length", str(len(part)))
        if first and has_body:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not has_body:
            return
        for start in range(0, len(part), _CHUNK):
            if name == "broken" and Hub.breaks and start:
                Hub.breaks -= 1
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(part[start : start + _CHUNK])
            time.sleep(Hub.pause_s if name == "slow" else 0.0)


@contextmanager
def standin_hub() -> Iterator[str]:
    """Give the address of a fresh one."""
    Hub.asked, Hub.pause_s, Hub.breaks = [], 0.0, 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub for this process, with an empty cache."""
    from huggingface_hub import constants

    with standin_hub() as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield address
