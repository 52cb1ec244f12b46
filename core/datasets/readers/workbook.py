"""Excel workbooks (.xlsx) become raw rows; formulas by the values that were last computed.

openpyxl is loaded only here.
"""

import warnings
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from typing import Any

from core.datasets.readers import raw
from core.datasets.readers.archive import check_archive
from core.datasets.readers.raw import Content
from core.datasets.readers.source import Source
from core.datasets.readers.tables import table_content
from core.errors import DataError
from core.text import shortened


def read_workbook(source: Source) -> Content:
    """Return the rows of the first sheet that has any. Raises DataError for a damaged one."""
    import openpyxl

    file = source.seekable()
    try:
        with zipfile.ZipFile(file) as archive:
            check_archive(archive, source.name)
            if "xl/workbook.xml" not in archive.namelist():
                raise DataError(f"{source.name} is no Excel workbook: save it as .xlsx or CSV.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which are not read
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            try:
                return _first_sheet(book, source.name)
            finally:
                book.close()
    except DataError:
        raise
    except Exception as error:  # whatever a damaged archive or its XML makes the library stumble on
        raise DataError(f"{source.name} is a damaged Excel workbook: save it again.") from error


def _first_sheet(book: Any, name: str) -> Content:
    names = [sheet.title for sheet in book.worksheets]
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what the file says of its size is not believed
        records = _records(sheet.iter_rows(values_only=True), name)
        first = next(records, None)
        if first is None:
            continue
        content = table_content("xlsx", _chained(first, records), name)
        if len(names) == 1:
            return content
        others = ", ".join(shortened(other, 40) for other in names if other != sheet.title)
        note = f"the sheet '{shortened(sheet.title, 40)}' was read, and not {others}"
        return Content(content.kind, content.rows, (note, *content.notes))
    raise DataError(f"{name} has no sheet with rows: choose another file.")


def _chained(first: list[str], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rest


def _records(rows: Iterable[tuple[Any, ...]], name: str) -> Iterator[list[str]]:
    """Yield rows that say something as texts, all as wide as the first."""
    width, cells_left = 0, raw.MAX_VALUES
    for row in rows:
        cells_left -= len(row) + 1
        raw.check_cells(cells_left, name)
        cells = [_text(cell) for cell in row]
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if not any(cells):
            continue
        width = width or len(cells)
        yield cells + [""] * (width - len(cells))


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell)
