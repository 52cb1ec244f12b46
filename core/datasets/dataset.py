"""A file as a user sees it: usable examples, refused rows, and a content hash. Knows no tokens."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.datasets.columns import ColumnMapping, column_names, make_mapping
from core.datasets.conversation import Example, RefusedRow, RowRefusedError
from core.datasets.formats import (
    FileFormat,
    detect_format,
    fields_used,
    read_example,
    refused_row,
    unused_fields,
)
from core.datasets.messages import Notes
from core.datasets.readers.json_rows import LINES_STEP
from core.datasets.readers.raw import RawFile, RawRow
from core.datasets.readers.read_file import read_file
from core.datasets.splits_named import split_named
from core.errors import DataError
from core.progress import counted, watched
from core.text import shortened, whole_characters

ROWS_STEP = "rows"  # of reading a file
_READ_STEPS = {LINES_STEP: 0.4, ROWS_STEP: 0.6}  # with their shares of the time, as measured


@dataclass(frozen=True, slots=True)
class Dataset:
    """The rows of one file, good and bad, and what identifies that very version of it."""

    name: str  # the file's name
    path: Path
    content_hash: str  # of the version: the file's, or of it and what was done to its rows
    kind: str  # "json", "csv", "parquet" …
    row_format: str  # "alpaca", "dolly", …
    row_count: int
    examples: tuple[Example, ...]
    refused: tuple[RefusedRow, ...]
    unused_fields: tuple[
        tuple[str, int], ...
    ] = ()  # what no row is read by, and how many rows say something in it
    because: str = ""  # which column was read as what
    notes: tuple[str, ...] = ()  # what was guessed, mended or read otherwise than it stands
    source_hash: str = ""  # SHA-256 of the file, hexadecimal
    columns: tuple[str, ...] = ()  # of the file, as they are called there
    recipe: str = "{}"  # JSON: what was done to the rows (recipe.py)

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


def load_dataset(path: Path, mapping: Mapping[str, str] | None = None) -> Dataset:
    """Read a file of instructions, its columns as ``mapping`` says where it says something.

    Raises DataError when nothing in it can be used, and SettingsError for a mapping that does not
    fit it.
    """
    with watched(f"Reading {shortened(path.name, 40)}", _READ_STEPS):
        return read_dataset(read_file(path), path, mapping)


def read_dataset(raw: RawFile, path: Path, mapping: Mapping[str, str] | None = None) -> Dataset:
    """Return the dataset that raw rows make; as ``load_dataset``."""
    columns = column_names([row.value for row in raw.rows])
    mapped = make_mapping(mapping, columns) if mapping else None
    rows = [_mapped(row, mapped) for row in raw.rows] if mapped else raw.rows
    file_format = _recognise(rows, raw, path.name)
    notes: Notes = Counter()
    examples, refused = _read_rows(rows, file_format, notes)
    if not examples:
        answer = file_format.main.fields.name("output")
        told = DataError if not answer or answer in columns or mapped else UnknownColumnsError
        raise told(f"{path.name} has no usable row: row {refused[0].row} {refused[0].reason}.")
    return Dataset(
        whole_characters(path.name),
        path,
        raw.content_hash,
        raw.kind,
        "mapped" if mapped else file_format.main.name,
        len(raw.rows),
        tuple(examples),
        tuple(refused),
        _unused(raw, mapped, file_format),
        _because(mapped) if mapped else file_format.main.because,
        (*raw.notes, *file_format.notes, *_counted(notes)),
        raw.content_hash,
        tuple(columns),
    )


class UnknownColumnsError(DataError):
    """A file's rows have fields, but none that says what is asked and answered."""


def _mapped(row: RawRow, mapping: ColumnMapping) -> RawRow:
    if row.problem or not isinstance(row.value, Mapping):
        return row
    return replace(row, value=mapping.apply(row.value))


def _because(mapping: ColumnMapping) -> str:
    return "as you said: " + ", ".join(f"{meaning} is '{name}'" for meaning, name in mapping.pairs)


def _unused(
    raw: RawFile, mapping: ColumnMapping | None, file_format: FileFormat
) -> tuple[tuple[str, int], ...]:
    values = [row.value for row in raw.rows]
    if mapping is None:
        return unused_fields(values, lambda row: fields_used(row, file_format))
    known = mapping.columns()
    return unused_fields(values, lambda _: known)


def _counted(notes: Notes) -> list[str]:
    return [
        f"{count:,} {'row' if count == 1 else 'rows'}: {what}"
        for what, count in notes.most_common()
    ]


def _recognise(rows: Sequence[RawRow], raw: RawFile, name: str) -> FileFormat:
    values = [row.value for row in rows if not row.problem]
    if not values:
        raise DataError(f"{name} has no usable row: row 1 {raw.rows[0].problem}.")
    file_format = detect_format(values)
    if file_format is None:
        raise UnknownColumnsError(
            f"{name} has {_fields(values)}, and no names that say what is asked and what is "
            "answered: say which columns hold them, as --map instruction=COLUMN output=COLUMN "
            "does, or above the table on the Data screen."
        )
    return file_format


def _fields(values: Sequence[object]) -> str:
    names = column_names(values[:100])
    return (
        "the fields " + ", ".join(f"'{shortened(name, 40)}'" for name in names[:8])
        if names
        else "rows without fields"
    )


def _read_rows(
    rows: Sequence[RawRow], file_format: FileFormat, notes: Notes
) -> tuple[list[Example], list[RefusedRow]]:
    examples: list[Example] = []
    refused: list[RefusedRow] = []
    for row in counted(rows, ROWS_STEP):
        try:
            if row.problem:
                raise RowRefusedError(row.problem)
            example = read_example(row.number, row.value, file_format, notes)
            if example.split is None and row.split:
                example = replace(example, split=split_named(row.split))
            examples.append(example)
        except RowRefusedError as refusal:
            reason = f"{refusal} ({row.origin})" if row.origin else str(refusal)
            refused.append(refused_row(row.number, RowRefusedError(reason)))
    return examples, refused
