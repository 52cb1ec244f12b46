"""Bytes on disk become raw rows, whatever kind of file they come in.

Knows nothing of what a row means.
"""

import hashlib
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.datasets.readers.archive import DAMAGES, check_archive, data_members, open_members
from core.datasets.readers.json_rows import read_json, read_json_lines
from core.datasets.readers.raw import (
    Content,
    RawFile,
    RawRow,
    bounded,
    joined,
)
from core.datasets.readers.source import PARQUET, ZIP, Source, check_is_text, check_size
from core.datasets.readers.tables import read_table
from core.datasets.readers.text import Text, read_text
from core.errors import DataError
from core.text import shortened

_TEXT_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".md")
_TABLE_ENDINGS = (".parquet", ".arrow", ".xlsx")
FILE_ENDINGS = (*_TEXT_ENDINGS, *_TABLE_ENDINGS)  # each also with .gz
ALL_ENDINGS = (*FILE_ENDINGS, ".zip", ".gz")
_DOCUMENT_END = re.compile(r"<\|endoftext\|>|\f")


def read_file(path: Path) -> RawFile:
    """Read every row of ``path``.

    Raises DataError when the file is missing, too large, empty, or holds no rows; a broken row is
    not an error.
    """
    suffix = _data_suffix(path.name)
    with _opened(path) as (content_hash, file):
        if suffix == ".zip":
            content = _read_archive(file, path.name)
        else:
            content = _read(Source(file, path.name, path.stat().st_size), suffix)
    return RawFile(content.kind, content_hash, content.rows, content.notes)


def read_lines(path: Path) -> RawFile:
    """Read a text file whose every line that is not empty is a prompt.

    Raises DataError as ``read_file`` does.
    """
    with _opened(path) as (content_hash, file):
        content = read_text(Source(file, path.name, path.stat().st_size), _prompt_lines)
    return RawFile("txt", content_hash, content.rows, content.notes)


def is_archive(path: Path) -> bool:
    """Return whether a path is a file of several files."""
    return path.name.lower().endswith(".zip")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Give a file's hash and the file.

    What goes wrong while it is read becomes a DataError, too.
    """
    try:
        if not path.is_file():
            raise DataError(f"There is no file {shortened(str(path), 200)}: check the path.")
        check_size(path)
        with path.open("rb") as file:
            content_hash = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            yield content_hash, file
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # a NUL in the path
        raise DataError(f"{shortened(str(path), 200)!r} is no path: check it.") from error


def _data_suffix(name: str) -> str:
    plain = name.lower().removesuffix(".gz")
    for suffix in (*FILE_ENDINGS, ".zip"):
        if plain.endswith(suffix):
            return suffix
    raise DataError(
        f"{shortened(name)} has an unknown ending: use {', '.join(FILE_ENDINGS)}, each also with "
        ".gz, or .zip."
    )


def _read(source: Source, suffix: str) -> Content:
    """Read one file by what it begins with, else by its ending: endings are often wrong."""
    start = source.start()
    if suffix == ".xlsx" and start.startswith(ZIP):
        from core.datasets.readers.workbook import read_workbook

        return read_workbook(source)
    if start.startswith(PARQUET):
        from core.datasets.readers.columnar import read_parquet

        return read_parquet(source)
    if suffix == ".arrow":
        from core.datasets.readers.columnar import read_arrow

        return read_arrow(source)
    if suffix in {".parquet", ".xlsx"}:
        check_is_text(start, source.name)
        what = "Parquet file" if suffix == ".parquet" else "Excel workbook"
        raise DataError(f"{source.name} is no {what}, or a damaged one: write it again.")
    return read_text(source, lambda text: _parse(text, suffix))


def _parse(text: Text, suffix: str) -> Content:
    if suffix in {".csv", ".tsv"}:
        return read_table(text, "\t" if suffix == ".tsv" else None)
    if suffix in {".txt", ".md"}:
        return _documents(text)
    return read_json(text) if suffix == ".json" else read_json_lines(text)


def _read_archive(file: BinaryIO, name: str) -> Content:
    try:
        with zipfile.ZipFile(file) as archive:
            check_archive(archive, name)
            members = data_members(archive.namelist(), FILE_ENDINGS)
            if not members:
                raise DataError(
                    f"{name} holds no file that can be read: pack {', '.join(FILE_ENDINGS)}."
                )
            return joined(_contents(archive, members), name)
    except DAMAGES as error:
        raise DataError(f"{name} is a damaged zip archive: pack it again.") from error


def _contents(
    archive: zipfile.ZipFile, members: list[tuple[str, str]]
) -> Iterator[tuple[str, str, Content]]:
    """Yield what each member holds.

    One that cannot be read is told of and left out, as long as another can.
    """
    split_of, read = dict(members), 0
    failures: list[tuple[str, DataError]] = []
    for name, content in open_members(archive, split_of):
        try:
            source = Source(content, shortened(name), archive.getinfo(name).file_size)
            found = _read(source, _data_suffix(name))
        except DataError as error:
            failures.append((name, error))
            continue
        read += 1
        yield shortened(name, 60), split_of[name], found
    if failures and not read:
        raise failures[0][1]
    for name, failure in failures:
        note = f"it was left out: {str(failure).removesuffix('.')}"
        yield shortened(name, 60), "", Content("", [], (note,))


def _documents(text: Text) -> Content:
    """Read plain text: documents apart where a file says so, else one."""
    whole = text.document()
    parts = [part.strip("\r\n") for part in _DOCUMENT_END.split(whole)]
    rows = [
        RawRow(number, {"text": part})
        for number, part in enumerate((part for part in parts if part.strip()), start=1)
    ]
    if not rows:
        raise DataError(f"{text.name} is empty: choose a file with at least one row.")
    return Content("txt", bounded(rows, text.name))


def _prompt_lines(text: Text) -> Content:
    lines = (line.strip() for line in text.lines())
    rows = [
        RawRow(number, {"prompt": line}) for number, line in enumerate(filter(None, lines), start=1)
    ]
    if not rows:
        raise DataError(f"{text.name} is empty: write a prompt on each line.")
    return Content("txt", bounded(rows, text.name))
