"""A file as a user sees it: usable examples, refused rows, and a content hash. Knows no tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.datasets.conversation import Example, RefusedRow
from core.datasets.formats import (
    FORMATS,
    RowFormat,
    RowRefusedError,
    detect_format,
    read_example,
    refused_row,
    unused_fields,
)
from core.datasets.readers import RawFile, RawRow, read_file
from core.errors import DataError
from core.text import shortened, whole_characters


@dataclass(frozen=True, slots=True)
class Dataset:
    """The rows of one file, good and bad, and what identifies that very version of it."""

    name: str  # the file's name
    path: Path
    content_hash: str  # SHA-256 of the file, hexadecimal
    kind: str  # "json", "jsonl", "csv" or "tsv"
    row_format: str  # "alpaca", "dolly", …
    row_count: int
    examples: tuple[Example, ...]
    refused: tuple[RefusedRow, ...]
    unused_fields: tuple[
        tuple[str, int], ...
    ] = ()  # what no row is read by, and how many rows say something in it

    @property
    def format(self) -> str:
        """Row format and kind of file, as shown to a user."""
        return f"{self.row_format} {self.kind}"

    def example(self, row: int) -> Example:
        """Return the usable example of a row. Raises DataError where there is none."""
        for example in self.examples:
            if example.row == row:
                return example
        for refusal in self.refused:
            if refusal.row == row:
                raise DataError(f"Row {row} of {self.name} is refused: {refusal.reason}.")
        raise DataError(f"{self.name} has rows 1 to {self.row_count}, not {row}.")


def load_dataset(path: Path) -> Dataset:
    """Read a file of instructions. Raises DataError when nothing in it can be used."""
    raw = read_file(path)
    row_format = _recognise(raw, path.name)
    examples, refused = _read_rows(raw.rows, row_format)
    if not examples:
        raise DataError(f"{path.name} has no usable row: row {refused[0].row} {refused[0].reason}.")
    return Dataset(
        whole_characters(path.name),
        path,
        raw.content_hash,
        raw.kind,
        row_format.name,
        len(raw.rows),
        tuple(examples),
        tuple(refused),
        unused_fields([row.value for row in raw.rows], row_format),
    )


def _recognise(raw: RawFile, name: str) -> RowFormat:
    values = [row.value for row in raw.rows if not row.problem]
    if not values:
        raise DataError(f"{name} has no usable row: row 1 {raw.rows[0].problem}.")
    row_format = detect_format(values)
    if row_format is None:
        raise DataError(f"{name} has {_fields(values)}; rows need the fields {_wanted()}.")
    return row_format


def _fields(values: Sequence[object]) -> str:
    names = list(values[0]) if isinstance(values[0], dict) else []
    return (
        "the fields " + ", ".join(f"'{shortened(str(name), 40)}'" for name in names[:8])
        if names
        else "rows without fields"
    )


def _wanted() -> str:
    return ", or ".join(
        " and ".join(f"'{name}'" for name in row_format.required) for row_format in FORMATS
    )


def _read_rows(
    rows: Sequence[RawRow], row_format: RowFormat
) -> tuple[list[Example], list[RefusedRow]]:
    examples: list[Example] = []
    refused: list[RefusedRow] = []
    for row in rows:
        try:
            if row.problem:
                raise RowRefusedError(row.problem)
            examples.append(read_example(row.number, row.value, row_format))
        except RowRefusedError as refusal:
            refused.append(refused_row(row.number, refusal))
    return examples, refused
