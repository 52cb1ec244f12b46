"""Rows as read, before anything is known of their meaning, and how much of them is allowed.

Nothing that a file says is believed before it is bounded.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.errors import DataError
from core.text import holds_half_character

MAX_FILE_MIB = 1024  # on disk, and unzipped
MAX_DOCUMENT_MIB = 256  # of one JSON document
MAX_ROWS = 1_000_000
MIB = 2**20
# cells of a table, or commas of a document: each takes 8 bytes of memory and more
MAX_VALUES = 20_000_000
MAX_CONTAINERS = 4_000_000  # brackets and braces of a document: each takes 56 bytes and more
# times, beyond the first MiBs: text shrinks to a third or a tenth, what is made to harm to a
# thousandth
EXPANDS_AT_MOST = 100
UNSUSPICIOUS_MIB = 64
HALF_CHARACTER = "has half a character (a lone UTF-16 surrogate)"
_HALF_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as read; exactly one of ``value`` and ``problem`` is set."""

    number: int  # counted from 1 through all files of a dataset
    value: object = None
    problem: str = ""
    split: str = ""  # that the file's own structure names: its name, or a key above the row
    origin: str = ""  # where a user finds it, if it is one of several files


@dataclass(frozen=True, slots=True)
class Content:
    """What one file, or one member of an archive, holds."""

    kind: str  # "json", "jsonl", "csv", "parquet" …
    rows: list[RawRow]
    notes: tuple[str, ...] = ()  # what was guessed, mended or left out, as sentences


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file's rows before anything is known of their meaning."""

    kind: str  # "json", "jsonl", "csv", "tsv", "parquet" …
    content_hash: str  # SHA-256 of the bytes on disk, hexadecimal
    rows: list[RawRow]
    notes: tuple[str, ...] = ()


def may_hold_half_characters(text: str) -> bool:
    """Return whether a JSON text has an escape that may be half a character."""
    return _HALF_ESCAPE.search(text) is not None


def checked_row(number: int, value: object, *, looked_into: bool, split: str = "") -> RawRow:
    """Return a row, or its refusal where a text in it has half a character."""
    if looked_into and holds_half_character(value):
        return RawRow(number, problem=HALF_CHARACTER, split=split)
    return RawRow(number, value, split=split)


def check_rows(count: int, name: str) -> None:
    """Raise DataError for more rows than may be read."""
    if count > MAX_ROWS:
        raise DataError(f"{name} has more than {MAX_ROWS:,} rows: split it into smaller files.")


def check_cells(left: int, name: str) -> None:
    """Raise DataError once a table has used up the cells that may be read."""
    if left < 0:
        raise DataError(f"{name} has more than {MAX_VALUES:,} cells: split it into smaller files.")


def bounded(rows: list[RawRow], name: str) -> list[RawRow]:
    """Return the rows. Raises DataError where they are too many."""
    check_rows(len(rows), name)
    return rows


def joined(contents: Iterable[tuple[str, str, Content]], name: str) -> Content:
    """Return the rows of several files as one, numbered through.

    Each comes with its name and the split that this names. A note is told of its file.
    """
    rows: list[RawRow] = []
    notes: list[str] = []
    kinds: dict[str, None] = {}
    for member, split, content in contents:
        kinds[content.kind] = None
        notes += [f"{member}: {note}" for note in content.notes]
        for row in content.rows:
            numbered = replace(
                row,
                number=len(rows) + 1,
                split=row.split or split,
                origin=f"{member}, row {row.number}",
            )
            rows.append(numbered)
        bounded(rows, name)
    return Content(" + ".join(kinds), rows, tuple(notes))
