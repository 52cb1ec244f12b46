"""CSV and TSV become raw rows: separator, header and quotation marks. Knows no encoding."""

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import chain

from core.datasets.readers import raw
from core.datasets.readers.raw import Content, RawRow, bounded
from core.datasets.readers.text import Text
from core.errors import DataError
from core.text import shortened

_DELIMITERS = ",;\t|"
_SAID_DELIMITER = re.compile(r"^\ufeff?\"?sep=(.)\"?\s*$", re.IGNORECASE)  # Excel's own line
_LONG_FOR_A_NAME = 60  # characters
_MOST_REREAD = 2_000_000  # lines that are read again after a quotation mark without its fellow


def read_table(text: Text, delimiter: str | None) -> Content:
    """Return the rows of a table; ``delimiter`` is given for TSV, and else told by the first line.

    Raises DataError for a table that names a column twice, and for one without rows.
    """
    csv.field_size_limit(raw.MAX_FILE_MIB * raw.MIB)
    lines: Iterator[str] = iter(text.stream())
    first = next((line for line in lines if not line.isspace()), "")
    skipped = 1
    if said := _SAID_DELIMITER.match(first):
        delimiter = said[1]
        first = next((line for line in lines if not line.isspace()), "")
        skipped += 1
    if not first:
        raise DataError(f"{text.name} is empty: choose a file with at least one row.")
    delimiter = delimiter or max(_DELIMITERS, key=first.count)
    records = _Records(chain([first], lines), delimiter, text.name, skipped)
    return _read_rows(records, "tsv" if delimiter == "\t" else "csv", text.name)


def table_content(kind: str, records: Iterator[list[str]], name: str) -> Content:
    """Return rows of cells, the first of them perhaps a header, as raw rows: a spreadsheet's too."""
    return _read_rows(records, kind, name)


class _Records:
    """A table's lines as lists of cells; one whose quotation marks are broken is told by None."""

    def __init__(self, lines: Iterator[str], delimiter: str, name: str, first_line: int) -> None:
        self._lines, self._delimiter, self._name = lines, delimiter, name
        self._line = first_line - 1  # that was read last
        self._waiting: deque[str] = deque()  # to be read again
        self._record: list[str] = []  # the lines of the record that is read now
        self._left = _MOST_REREAD
        self.broken: dict[int, str] = {}  # what is wrong, by the number of the record
        self._count = 0
        self._reader = self._new_reader()

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self._record = []
        self._count += 1
        try:
            return next(self._reader)
        except csv.Error as error:
            return self._step_over(error)

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self._delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        while True:
            line = self._waiting.popleft() if self._waiting else next(self._lines, None)
            if line is None:
                return
            self._line += 1
            self._record.append(line)
            yield line

    def _step_over(self, error: csv.Error) -> list[str]:
        """Leave out the record's first line, and read on with what it swallowed."""
        begun = self._line - len(self._record) + 1
        first, swallowed = self._record[0], self._record[1:]
        self._left -= len(swallowed)
        if self._left < 0 or (self._count == 1 and self._delimiter != "\t"):
            raise DataError(
                f"{self._name} is not a readable table near line {begun}: {error}; check its "
                "quotation marks."
            ) from error
        self._waiting.extendleft(reversed(swallowed))
        self._line -= len(swallowed)
        self._reader = self._new_reader()
        if self._delimiter == "\t":  # many programs write tabs and no quotation marks around cells
            return first.rstrip("\r\n").split("\t")
        self.broken[self._count] = f"its quotation marks are broken (line {begun}): {error}"
        return []


def _read_rows(records: Iterator[list[str]], kind: str, name: str) -> Content:
    broken: dict[int, str] = getattr(records, "broken", {})
    first = next(records)
    header = [cell.strip() for cell in first]
    notes: tuple[str, ...] = ()
    if is_headless := _is_headless(header):
        header = [f"column {number}" for number in range(1, len(first) + 1)]
        notes = ("it has no line with the names of its columns: they are numbered",)
    elif repeated := sorted(cell for cell, count in Counter(header).items() if cell and count > 1):
        raise DataError(
            f"{name} has the column {shortened(repeated[0])!r} twice: rename one of them."
        )
    below = chain([first], records) if is_headless else records
    # counted as the records are, so that what is broken is found by its number
    rows = _rows_below(header, enumerate(below, start=1 if is_headless else 2), broken, name)
    if not rows:
        raise DataError(f"{name} has a header and no rows below it.")
    return Content(kind, rows, notes)


def _rows_below(
    header: Sequence[str],
    records: Iterator[tuple[int, list[str]]],
    broken: dict[int, str],
    name: str,
) -> list[RawRow]:
    rows: list[RawRow] = []
    cells_left = raw.MAX_VALUES
    for record, cells in records:
        if not cells and record not in broken:
            continue
        cells_left -= len(cells)
        raw.check_cells(cells_left, name)
        rows.append(
            RawRow(len(rows) + 1, problem=broken[record])
            if record in broken
            else _row(len(rows) + 1, header, cells)
        )
        bounded(rows, name)
    return rows


def _row(number: int, header: Sequence[str], cells: list[str]) -> RawRow:
    if len(cells) != len(header):
        return RawRow(number, problem=f"{len(cells)} cells where the header has {len(header)}")
    return RawRow(number, dict(zip(header, cells, strict=True)))


def _is_headless(cells: Sequence[str]) -> bool:
    """Return whether a table's first line is a row rather than names: texts are longer than names,
    end as sentences do, or are numbers; and no cell is a name that is known.
    """
    from core.datasets.columns import is_known_column

    if len(cells) < 2 or any(is_known_column(cell) for cell in cells):
        return False
    return any(
        len(cell) > _LONG_FOR_A_NAME or cell.rstrip().endswith((".", "?", "!", "。", "？"))
        for cell in cells
    )
