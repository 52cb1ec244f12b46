"""Bytes on disk become raw rows: JSON, JSONL, CSV and TSV, also gzipped. Knows nothing of what a row means."""

import csv
import gzip
import hashlib
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError

MAX_FILE_MIB = 1024
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_DELIMITERS = ",;\t|"
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

    Raises DataError when the file is missing, too large, empty, no text or no table; a broken row is not an error.
    """
    content = _read_bytes(path)
    suffix = _data_suffix(path)
    text = _decode(_unzip(content, path), path)
    if not text.strip():
        raise DataError(f"{path.name} is empty: choose a file with at least one row.")
    kind, rows = _parse(text, suffix, path.name)
    return RawFile(kind, hashlib.sha256(content).hexdigest(), rows)


def read_lines(path: Path) -> RawFile:
    """Read a text file whose every line that is not empty is a prompt. Raises DataError as ``read_file`` does."""
    content = _read_bytes(path)
    lines = [line.strip() for line in _decode(content, path).split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{path.name} is empty: write a prompt on each line.")
    rows = [RawRow(number, {"prompt": line}) for number, line in enumerate(lines, start=1)]
    return RawFile("txt", hashlib.sha256(content).hexdigest(), rows)


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DataError(f"There is no file {path}: check the path.")
        if path.stat().st_size > MAX_FILE_MIB * 2**20:
            raise DataError(f"{path.name} is larger than {MAX_FILE_MIB} MiB: split it into smaller files.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _data_suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise DataError(f"{path.name} has an unknown ending: use {', '.join(_SUFFIXES)}, each also with .gz.")


def _unzip(content: bytes, path: Path) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    limit = MAX_FILE_MIB * 2**20
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            unzipped = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is a damaged gzip file: make it again.") from error
    if len(unzipped) > limit:
        raise DataError(f"{path.name} holds more than {MAX_FILE_MIB} MiB when unzipped: split it into smaller files.")
    return unzipped


def _decode(content: bytes, path: Path) -> str:
    for magic, name in _MAGIC.items():
        if content.startswith(magic):
            raise DataError(f"{path.name} is {name}, not text: choose a JSON, JSONL or CSV file.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path.name} is not UTF-8 text (line {line}): save it as UTF-8.") from error
    if "\0" in text[:4096]:
        raise DataError(f"{path.name} is not text: choose a JSON, JSONL or CSV file.")
    return text


def _parse(text: str, suffix: str, name: str) -> tuple[str, list[RawRow]]:
    if suffix in {".csv", ".tsv"}:
        return suffix[1:], _csv_rows(text, name, "\t" if suffix == ".tsv" else None)
    if suffix == ".json" and not _looks_like_jsonl(text):
        return "json", _json_rows(text, name)
    return "jsonl", _jsonl_rows(text, name)


def _looks_like_jsonl(text: str) -> bool:
    """Tell whether a .json file holds one object per line, a common mix-up."""
    lines = [line for line in text.splitlines()[:3] if line.strip()]
    try:
        return len(lines) > 1 and all(isinstance(json.loads(line), dict) for line in lines[:2])
    except (ValueError, RecursionError):
        return False


def _json_rows(text: str, name: str) -> list[RawRow]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}; mend that line."
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(
            f"{name} cannot be read as JSON: it is nested too deeply or holds a number of thousands of digits."
        ) from error
    return [RawRow(number, value) for number, value in enumerate(_row_list(document, name), start=1)]


def _row_list(document: object, name: str) -> list[object]:
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        document = lists[0] if len(lists) == 1 else document
    if not isinstance(document, list):
        raise DataError(f'{name} holds no list of rows: write [{{"instruction": …, "output": …}}, …].')
    if not document:
        raise DataError(f"{name} is an empty list: choose a file with at least one row.")
    return document


def _jsonl_rows(text: str, name: str) -> list[RawRow]:
    rows: list[RawRow] = []
    for line_number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(_jsonl_row(len(rows) + 1, line_number, line))
    if all(row.problem for row in rows):
        raise DataError(f"{name} has no line that is valid JSON: {rows[0].problem}.")
    return rows


def _jsonl_row(number: int, line_number: int, line: str) -> RawRow:
    try:
        return RawRow(number, json.loads(line))
    except json.JSONDecodeError as error:
        return RawRow(number, problem=f"broken JSON in line {line_number}: {error.msg} at column {error.colno}")
    except (RecursionError, ValueError):
        return RawRow(number, problem=f"line {line_number} is nested too deeply or holds a number of thousands of digits")


def _csv_rows(text: str, name: str, delimiter: str | None) -> list[RawRow]:
    header_line = text.split("\n", 1)[0]
    delimiter = delimiter or max(_DELIMITERS, key=header_line.count)
    csv.field_size_limit(MAX_FILE_MIB * 2**20)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{name} is not a readable table: {error}; check its quotation marks.") from error
    header = [cell.strip() for cell in table[0]]
    repeated = sorted({cell for cell in header if cell and header.count(cell) > 1})
    if repeated:
        raise DataError(f"{name} has the column {repeated[0]!r} twice: rename one of them.")
    body = [cells for cells in table[1:] if cells]
    if not body:
        raise DataError(f"{name} has a header and no rows below it.")
    return [_csv_row(number, header, cells) for number, cells in enumerate(body, start=1)]


def _csv_row(number: int, header: list[str], cells: list[str]) -> RawRow:
    if len(cells) != len(header):
        return RawRow(number, problem=f"{len(cells)} cells where the header has {len(header)}")
    return RawRow(number, dict(zip(header, cells, strict=True)))
