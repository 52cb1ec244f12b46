"""Bytes on disk become raw rows: JSON, JSONL, CSV and TSV, also gzipped.

Knows nothing of what a row means. Nothing that a file says is believed before it is bounded: what
is unzipped, a line, the rows, and the values of a document that has to be in memory whole. Tables
and lines are read row by row.
"""

import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from core.errors import DataError
from core.text import holds_half_character, shortened

MAX_FILE_MIB = 1024  # on disk, and unzipped
MAX_DOCUMENT_MIB = 256  # of one JSON document
MAX_ROWS = 1_000_000
_MIB = 2**20
_MAX_LINE_MIB = 64
# cells of a table, or commas of a document: each takes 8 bytes of memory and more
_MAX_VALUES = 20_000_000
_MAX_CONTAINERS = 4_000_000  # brackets and braces of a document: each takes 56 bytes and more
# times, beyond the first MiBs: text shrinks to a third or a tenth, what is made to harm to a
# thousandth
_EXPANDS_AT_MOST = 100
_UNSUSPICIOUS_MIB = 64
FILE_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")  # each also with .gz
_DELIMITERS = ",;\t|"
_GZIP = b"\x1f\x8b"
_HALF_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
HALF_CHARACTER = "has half a character (a lone UTF-16 surrogate)"
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or an office document",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "an SQLite database",
}


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as read; exactly one of ``value`` and ``problem`` is set."""

    number: int  # counted from 1
    value: object = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file's rows before anything is known of their meaning."""

    kind: str  # "json", "jsonl", "csv" or "tsv"
    content_hash: str  # SHA-256 of the bytes on disk, hexadecimal
    rows: list[RawRow]


def read_file(path: Path) -> RawFile:
    """Read every row of ``path``.

    Raises DataError when the file is missing, too large, empty, no text or no table; a broken row
    is not an error.
    """
    suffix = _data_suffix(path)
    with _reading(path) as (content_hash, source):
        kind, rows = _parse(source, suffix, path.name)
    return RawFile(kind, content_hash, rows)


def read_lines(path: Path) -> RawFile:
    """Read a text file whose every line that is not empty is a prompt.

    Raises DataError as ``read_file`` does.
    """
    with _reading(path) as (content_hash, source):
        texts = (line.strip() for line in _text_lines(source, path.name))
        rows = [
            RawRow(number, {"prompt": text})
            for number, text in enumerate(filter(None, texts), start=1)
        ]
    if not rows:
        raise DataError(f"{path.name} is empty: write a prompt on each line.")
    return RawFile("txt", content_hash, _bounded(rows, path.name))


@contextmanager
def _reading(path: Path) -> Iterator[tuple[str, io.BufferedReader]]:
    """Give a file's hash and its unzipped text.

    What goes wrong while it is read becomes a DataError, too.
    """
    try:
        if not path.is_file():
            raise DataError(f"There is no file {shortened(str(path), 200)}: check the path.")
        if path.stat().st_size > MAX_FILE_MIB * _MIB:
            raise DataError(
                f"{path.name} is larger than {MAX_FILE_MIB} MiB: split it into smaller files."
            )
        with path.open("rb") as file:
            content_hash = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            yield content_hash, _unzipped(file, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # a NUL in the path
        raise DataError(f"{shortened(str(path), 200)!r} is no path: check it.") from error


def _data_suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    for suffix in FILE_ENDINGS:
        if name.endswith(suffix):
            return suffix
    raise DataError(
        f"{shortened(path.name)} has an unknown ending: use {', '.join(FILE_ENDINGS)}, each also "
        "with .gz."
    )


class _Bounded(io.RawIOBase):
    """A stream of bytes that ends in a DataError where it is damaged or longer than it may be."""

    def __init__(self, stream: BinaryIO, most: int, refusal: str, name: str) -> None:
        self._stream, self._left, self._refusal, self._name = stream, most, refusal, name

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Read some bytes into ``buffer`` and return how many."""
        try:
            chunk = self._stream.read(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{self._name} is a damaged gzip file: make it again.") from error
        self._left -= len(chunk)
        if self._left < 0:
            raise DataError(self._refusal)
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _unzipped(file: BinaryIO, path: Path) -> io.BufferedReader:
    """Return the text of a file, gzipped or not, as bytes that are bounded.

    Raises DataError for what is no text.
    """
    name, limit = path.name, MAX_FILE_MIB * _MIB
    refusal = (
        f"{name} holds more than {MAX_FILE_MIB} MiB when unzipped: split it into smaller files."
    )
    stream = file
    if file.read(2) == _GZIP:
        allowed = max(_UNSUSPICIOUS_MIB * _MIB, _EXPANDS_AT_MOST * path.stat().st_size)
        if allowed < limit:
            limit = allowed
            refusal = (
                f"{name} grows to more than {_EXPANDS_AT_MOST} times its size when unzipped, "
                "as no text does: unzip it first."
            )
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=file))
    file.seek(0)
    source: io.BufferedReader = io.BufferedReader(
        cast("Any", _Bounded(stream, limit, refusal, name)), _MIB
    )
    _check_is_text(source.peek(4096)[:4096], name)
    return source


def _check_is_text(start: bytes, name: str) -> None:
    if start.startswith(_GZIP):
        raise DataError(f"{name} is gzipped twice: unzip it once.")
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise DataError(f"{name} is {what}, not text: choose a JSON, JSONL or CSV file.")
    if b"\0" in start:
        raise DataError(f"{name} is not text: choose a JSON, JSONL or CSV file.")


def _parse(source: io.BufferedReader, suffix: str, name: str) -> tuple[str, list[RawRow]]:
    if suffix in {".csv", ".tsv"}:
        return suffix[1:], _csv_rows(source, name, "\t" if suffix == ".tsv" else None)
    if suffix == ".json" and not _looks_like_jsonl(source):
        return "json", _json_rows(_document(source, name), name)
    return "jsonl", _jsonl_rows(source, name)


def _looks_like_jsonl(source: io.BufferedReader) -> bool:
    """Return whether a .json file holds one object per line, a common mix-up."""
    lines = [
        line
        for line in source.peek(_MIB).removeprefix(b"\xef\xbb\xbf").splitlines()[:3]
        if line.strip()
    ]
    try:
        return len(lines) > 1 and all(isinstance(json.loads(line), dict) for line in lines[:2])
    except (ValueError, RecursionError):
        return False


def _text_lines(source: io.BufferedReader, name: str) -> Iterator[str]:
    """Yield the lines, each without its end.

    Raises DataError, naming the line, for what is no UTF-8.
    """
    number, first = 0, True
    while line := source.readline(_MAX_LINE_MIB * _MIB + 1):
        number += 1
        if len(line) > _MAX_LINE_MIB * _MIB:
            raise DataError(
                f"{name} has a line of more than {_MAX_LINE_MIB} MiB (line {number}): write one "
                "row on each line."
            )
        line, first = (line.removeprefix(b"\xef\xbb\xbf") if first else line), False
        try:
            yield line.decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} is not UTF-8 text (line {number}): save it as UTF-8."
            ) from error


def _document(source: io.BufferedReader, name: str) -> str:
    """Return a JSON document as text. Raises DataError where it would take too much memory."""
    content = source.read(MAX_DOCUMENT_MIB * _MIB + 1)
    if len(content) > MAX_DOCUMENT_MIB * _MIB:
        raise DataError(
            f"{name} is one JSON document of more than {MAX_DOCUMENT_MIB} MiB: save it as JSON "
            "lines (.jsonl)."
        )
    if not content or content.isspace():
        raise DataError(f"{name} is empty: choose a file with at least one row.")
    if (
        content.count(b"[") + content.count(b"{") > _MAX_CONTAINERS
        or content.count(b",") > _MAX_VALUES
    ):
        raise DataError(
            f"{name} holds more than {_MAX_CONTAINERS:,} lists and objects: split it into "
            "smaller files."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name} is not UTF-8 text (line {line}): save it as UTF-8.") from error


def _json_rows(text: str, name: str) -> list[RawRow]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} is not valid JSON: {error.msg} in line {error.lineno}, column "
            f"{error.colno}; mend that line."
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(
            f"{name} cannot be read as JSON: it is nested too deeply or holds a number of "
            "thousands of digits."
        ) from error
    looked_into = _HALF_ESCAPE.search(text) is not None
    values = _row_list(document, name)
    return _bounded(
        [
            _row(number, value, looked_into=looked_into)
            for number, value in enumerate(values, start=1)
        ],
        name,
    )


def _row(number: int, value: object, *, looked_into: bool) -> RawRow:
    if looked_into and holds_half_character(value):
        return RawRow(number, problem=HALF_CHARACTER)
    return RawRow(number, value)


def _bounded(rows: list[RawRow], name: str) -> list[RawRow]:
    if len(rows) > MAX_ROWS:
        raise DataError(f"{name} has more than {MAX_ROWS:,} rows: split it into smaller files.")
    return rows


def _row_list(document: object, name: str) -> list[object]:
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        document = lists[0] if len(lists) == 1 else document
    if not isinstance(document, list):
        raise DataError(
            f'{name} holds no list of rows: write [{{"instruction": …, "output": …}}, …].'
        )
    if not document:
        raise DataError(f"{name} is an empty list: choose a file with at least one row.")
    return document


def _jsonl_rows(source: io.BufferedReader, name: str) -> list[RawRow]:
    rows: list[RawRow] = []
    containers, values = 2 * _MAX_CONTAINERS, 2 * _MAX_VALUES
    for line_number, line in enumerate(_text_lines(source, name), start=1):
        if line and not line.isspace():
            containers -= line.count("[") + line.count("{")
            values -= line.count(",")
            if min(containers, values) < 0:
                raise DataError(
                    f"{name} holds more lists, objects or values than fit into memory: split it "
                    "into smaller files."
                )
            rows.append(_jsonl_row(len(rows) + 1, line_number, line))
            _bounded(rows, name)
    if not rows:
        raise DataError(f"{name} is empty: choose a file with at least one row.")
    if all(row.problem for row in rows):
        raise DataError(f"{name} has no line that is valid JSON: {rows[0].problem}.")
    return rows


def _jsonl_row(number: int, line_number: int, line: str) -> RawRow:
    if line.count("[") + line.count("{") > _MAX_CONTAINERS // 10:
        return RawRow(
            number,
            problem=f"line {line_number} holds more than {_MAX_CONTAINERS // 10:,} lists and "
            "objects",
        )
    try:
        return _row(number, json.loads(line), looked_into=_HALF_ESCAPE.search(line) is not None)
    except json.JSONDecodeError as error:
        return RawRow(
            number,
            problem=f"broken JSON in line {line_number}: {error.msg} at column {error.colno}",
        )
    except (RecursionError, ValueError):
        return RawRow(
            number,
            problem=f"line {line_number} is nested too deeply or holds a number of thousands of "
            "digits",
        )


def _csv_rows(source: io.BufferedReader, name: str, delimiter: str | None) -> list[RawRow]:
    text = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
    csv.field_size_limit(MAX_FILE_MIB * _MIB)
    reader = None
    try:
        first = next((line for line in text if not line.isspace()), "")
        if not first:
            raise DataError(f"{name} is empty: choose a file with at least one row.")
        reader = csv.reader(
            chain([first], text),
            delimiter=delimiter or max(_DELIMITERS, key=first.count),
            strict=True,
        )
        return _table_rows(reader, name)
    except csv.Error as error:
        line = reader.line_num if reader else 1
        raise DataError(
            f"{name} is not a readable table near line {line}: {error}; check its quotation marks."
        ) from error
    except UnicodeDecodeError as error:
        line = (reader.line_num if reader else 0) + 1
        raise DataError(
            f"{name} is not UTF-8 text (about line {line}): save it as UTF-8."
        ) from error


def _table_rows(lines: Iterator[list[str]], name: str) -> list[RawRow]:
    """Return the rows under a header.

    Raises DataError for a header that names no columns, and for too many cells.
    """
    header = [cell.strip() for cell in next(lines)]
    repeated = sorted(cell for cell, count in Counter(header).items() if cell and count > 1)
    if repeated:
        raise DataError(
            f"{name} has the column {shortened(repeated[0])!r} twice: rename one of them."
        )
    rows: list[RawRow] = []
    cells_left = _MAX_VALUES
    for cells in lines:
        if not cells:
            continue
        cells_left -= len(cells)
        if cells_left < 0:
            raise DataError(
                f"{name} has more than {_MAX_VALUES:,} cells: split it into smaller files."
            )
        rows.append(_csv_row(len(rows) + 1, header, cells))
        _bounded(rows, name)
    if not rows:
        raise DataError(f"{name} has a header and no rows below it.")
    return rows


def _csv_row(number: int, header: list[str], cells: list[str]) -> RawRow:
    if len(cells) != len(header):
        return RawRow(number, problem=f"{len(cells)} cells where the header has {len(header)}")
    return RawRow(number, dict(zip(header, cells, strict=True)))
