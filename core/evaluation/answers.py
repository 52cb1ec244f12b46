"""What models answered to requests of benchmarks, kept so that nothing is asked twice."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from core.storage.database import Database

_AT_ONCE = 500  # keys of one query
_EVERY_S = 1.0  # that answers are written to the disk
_MOST_WAITING = 256


def request_key(kind: str, *parts: object) -> bytes:
    """Return what tells a request from all others."""
    digest = hashlib.sha256()
    for part in (kind, *parts):
        raw = str(part).encode("utf-8", errors="surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.digest()[:16]


class AnswerStore:
    """The answers of one model."""

    def __init__(self, database: Database, fingerprint: str) -> None:
        """Keep answers of the model of a fingerprint."""
        self._database = database
        self._model = fingerprint

    def find(self, keys: Sequence[bytes]) -> dict[bytes, list[Any]]:
        """Return what is known of requests, by their keys."""
        found: dict[bytes, list[Any]] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(part))
            sql = f"SELECT request, answer FROM benchmark_answers WHERE model = ? AND request IN ({marks})"  # noqa: S608
            rows = self._database.query(sql, [self._model, *part])
            found |= {row["request"]: json.loads(row["answer"]) for row in rows}
        return found

    @contextmanager
    def writing(self) -> Iterator[Callable[[bytes, list[Any]], None]]:
        """Give a function that keeps an answer: on the disk within a second or so, and at the end of
        the block at the latest, however that ends.
        """
        waiting: list[tuple[str, bytes, str]] = []
        written = time.monotonic()

        def flush() -> None:
            nonlocal written
            written = time.monotonic()
            if waiting:
                with self._database.transaction() as tables:
                    tables.conn.executemany(
                        "INSERT OR REPLACE INTO benchmark_answers (model, request, answer) "
                        "VALUES (?, ?, ?)",
                        waiting,
                    )
                waiting.clear()

        def write(key: bytes, value: list[Any]) -> None:
            waiting.append((self._model, key, json.dumps(value, ensure_ascii=False)))
            if len(waiting) >= _MOST_WAITING or time.monotonic() - written > _EVERY_S:
                flush()

        try:
            yield write
        finally:
            flush()
