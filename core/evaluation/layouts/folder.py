"""A folder of benchmark data: its files found by their names, and read row by row.

Knows no benchmark.
"""

import csv
import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from core.errors import DataError
from core.text import shortened

T = TypeVar("T")
Row = dict[str, Any]
Splits = Mapping[str, Callable[[], list[Row]]]  # each read when it is asked for

_MOST_FILES = 200_000
_MOST_BYTES = 2**31
_POINTER = "version https://git-lfs"


class DataFolder:
    """All files under a folder, by their paths within it."""

    def __init__(self, folder: Path) -> None:
        """Look through a folder. Raises DataError where there is none, or too much in it."""
        self.folder = folder.expanduser()
        if not self.folder.is_dir():
            raise DataError(f"There is no folder {folder}: give the one with the benchmarks' data.")
        self._paths: dict[str, Path] = {}
        for place, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(place, name)
                self._paths[path.relative_to(self.folder).as_posix()] = path
            if len(self._paths) > _MOST_FILES:
                raise DataError(
                    f"{folder} holds more than {_MOST_FILES:,} files: give the folder of the "
                    "benchmarks' data itself."
                )

    def find(self, pattern: str) -> Path | None:
        """Return the first file whose path ends as a regular expression says, whatever its
        capitals; None where there is none.

        The pattern begins at the beginning of a folder's or a file's name.
        """
        return next(iter(self.find_all(pattern).values()), None)

    def find_all(self, pattern: str) -> dict[str, Path]:
        """Return all such files by the text of the pattern's first group, or by their paths."""
        compiled = re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE)
        found: dict[str, Path] = {}
        for name, path in self._paths.items():
            if match := compiled.fullmatch(name):
                found.setdefault(match.group(1) if compiled.groups else name, path)
        return found


def read_text(path: Path) -> str:
    """Return the text of a file, which may be gzipped. Raises DataError."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(_MOST_BYTES)
        if path.suffix == ".gz":
            with gzip.open(path) as packed:
                raw = packed.read(_MOST_BYTES)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is no UTF-8 text (byte {error.start + 1:,}): fetch it anew."
        ) from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}): fetch it anew.") from error
    if text.startswith(_POINTER):
        raise DataError(
            f"{path} is a Git LFS pointer and not the data: fetch it with `git lfs pull`."
        )
    return text


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises DataError."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise DataError(
            f"{path}, line {line}: the JSON is broken or cut off; fetch it anew."
        ) from error


def read_json_lines(path: Path, needed: Sequence[str] = ()) -> list[Row]:
    """Return the objects of a JSON lines file. Raises DataError where one is broken or lacks a
    field that is ``needed``.
    """
    rows: list[Row] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: the JSON is broken or cut off; fetch it anew."
            ) from error
        check_fields(row, needed, path, number)
        rows.append(row)
    return _not_empty(rows, path)


def read_table(path: Path, delimiter: str, *, quoted: bool = True) -> list[list[str]]:
    """Return the lines of a CSV or TSV file, as fields. Raises DataError."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    # not splitlines(): a field may hold characters that end a line for Python alone
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    try:
        rows = list(
            csv.reader(iter([f"{line}\n" for line in lines]), delimiter=delimiter, quoting=quoting)
        )
    except csv.Error as error:
        raise DataError(f"{path}: the table is broken ({error}); fetch it anew.") from error
    return _not_empty([row for row in rows if row], path)


def read_named_table(
    path: Path, delimiter: str, needed: Sequence[str], *, skips_broken: bool = False
) -> Iterator[tuple[int, Row]]:
    """Yield a table's rows below its line of names, each with its number in the file.

    Raises DataError where a name that is ``needed`` is missing or a row has too few fields, unless it
    ``skips_broken`` ones.
    """
    names, *rows = read_table(path, delimiter, quoted=delimiter == ",")
    if missing := [name for name in needed if name not in names]:
        raise DataError(
            f"{path}, line 1: there is no column '{missing[0]}', only "
            f"{shortened(', '.join(names), 120)}; fetch it anew."
        )
    for number, row in enumerate(rows, start=2):
        if len(row) < len(names) and skips_broken:
            continue
        if len(row) < len(names):
            raise DataError(
                f"{path}, line {number}: {len(row)} fields instead of {len(names)}; fetch it anew."
            )
        yield number, dict(zip(names, row, strict=False))


def check_fields(row: object, needed: Sequence[str], path: Path, number: int) -> None:
    """Raise DataError for a row that is no object, or lacks a field."""
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {number}: no JSON object; fetch it anew.")
    if missing := [name for name in needed if name not in row]:
        raise DataError(f"{path}, line {number}: '{missing[0]}' is missing; fetch it anew.")


def as_class(word: object, names: Sequence[str], path: Path, number: int) -> int:
    """Return the number of a class that a file names by a word or a number. Raises DataError."""
    text = str(word).strip()
    if text in names:
        return names.index(text)
    if text.isdecimal() and len(text) < 4 and int(text) < len(names):
        return int(text)
    raise DataError(
        f"{path}, line {number}: '{shortened(text, 40)}' is no label; there are {', '.join(names)}."
    )


def _not_empty(rows: list[T], path: Path) -> list[T]:
    if not rows:
        raise DataError(f"{path} is empty: fetch it anew.")
    return rows
