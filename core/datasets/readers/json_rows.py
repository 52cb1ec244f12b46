"""JSON and JSON lines become raw rows; what is mended is mended where there is one way to read it.

Knows no encoding and nothing of what a row means.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.datasets.messages import parsed
from core.datasets.readers import raw
from core.datasets.readers.raw import (
    Content,
    RawRow,
    bounded,
    checked_row,
    may_hold_half_characters,
)
from core.datasets.readers.text import Text
from core.datasets.splits_named import split_named
from core.errors import DataError
from core.progress import counted
from core.text import shortened

LINES_STEP = "lines"  # of reading a file
_EMPTY = "is empty: choose a file with at least one row"
_WHITE = re.compile(r"[\s\ufeff]*")
# a text is passed over whole, so that nothing inside one is taken for a bracket
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])', re.DOTALL)
_UNREADABLE = "is nested too deeply or holds a number of thousands of digits"
_Rows = list[tuple[object, str]]  # each with the split that it stands below


def read_json(text: Text) -> Content:
    """Return the rows of a JSON document, or of JSON lines that are called one.

    Raises DataError where it is neither, saying the line.
    """
    if _begins_with_lines(text):
        return replace(read_json_lines(text), notes=("it holds JSON lines and was read so",))
    document = text.document()
    values, notes = _parsed(document, text.name)
    return _content("json", values, document, text.name, notes)


def read_json_lines(text: Text) -> Content:
    """Return the rows of a file with an object on each line, or of a document that is called so.

    A broken line is a row that is refused. Raises DataError where no line is JSON.
    """
    first = next(iter(text.start()), "")
    if _begins_document(first):
        try:
            document = text.document()
            values, notes = _parsed(document, text.name)
            note = "it is one JSON document and was read so"
            return _content("json", values, document, text.name, (note, *notes))
        except DataError:
            if first.lstrip("\ufeff").lstrip().startswith("["):
                raise
    return Content("jsonl", _line_rows(text))


def _begins_document(line: str) -> bool:
    """Return whether a first line is no object of its own, but the beginning of a document."""
    try:
        return isinstance(_load(line.lstrip("\ufeff")), list)
    except json.JSONDecodeError as error:
        is_open = error.pos >= len(error.doc.rstrip())  # it goes on in the next line
        return line.lstrip("\ufeff").lstrip().startswith("[") or is_open
    except (ValueError, RecursionError):
        return line.lstrip().startswith("[")


def _begins_with_lines(text: Text) -> bool:
    """Return whether a .json file holds one object per line, a common mix-up."""
    lines = text.start()[:2]
    try:
        return len(lines) == 2 and all(
            isinstance(_load(line.lstrip("\ufeff")), dict) for line in lines
        )
    except (ValueError, RecursionError):
        return False


def _load(text: str) -> Any:
    return json.loads(text)


def _parsed(document: str, name: str) -> tuple[_Rows, tuple[str, ...]]:
    """Return a document's rows, and what had to be mended.

    Raises DataError for what is no JSON, and for JSON without rows.
    """
    try:
        found, notes = _values(document.lstrip("\ufeff"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} is not valid JSON: {error.msg} in line {error.lineno}, column "
            f"{error.colno}; mend that line."
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{name} cannot be read as JSON: it {_UNREADABLE}.") from error
    if len(found) == 1:
        return _row_list(found[0], name), notes
    rows = [row for value in found for row in (_row_list(value, name) if isinstance(value, list)
                                               else [(value, "")])]  # fmt: skip
    return rows, (f"it holds {len(found):,} JSON values one after the other", *notes)


def _values(document: str) -> tuple[list[object], tuple[str, ...]]:
    """Return the JSON values of a text: one, or several one after the other."""
    try:
        return [_load(document)], ()
    except json.JSONDecodeError as first:
        try:
            return _concatenated(document), ()
        except json.JSONDecodeError:
            mended, count = _without_trailing_commas(document)
            if not count:
                raise first from None
            try:
                values = _concatenated(mended)
            except json.JSONDecodeError:
                raise first from None
            what = "a comma" if count == 1 else f"{count:,} commas"
            return values, (f"{what} before a closing bracket was left out",)


def _concatenated(document: str) -> list[object]:
    decoder, values, at = json.JSONDecoder(), [], _skip(document, 0)
    while at < len(document):
        value, at = decoder.raw_decode(document, at)
        values.append(value)
        at = _skip(document, at)
        if at < len(document) and document[at] == ",":  # rows without the list around them
            at = _skip(document, at + 1)
    return values


def _skip(document: str, at: int) -> int:
    found = _WHITE.match(document, at)
    return found.end() if found else at


def _without_trailing_commas(document: str) -> tuple[str, int]:
    count = 0

    def kept(found: re.Match[str]) -> str:
        nonlocal count
        count += found[1] is None
        return found[1] or ""

    return _TRAILING_COMMA.sub(kept, document), count


def _row_list(document: object, name: str) -> _Rows:
    """Return the rows in a document, whichever way they are laid out in it.

    Raises DataError where it holds no rows.
    """
    rows = _rows_in(document)
    if rows is None:
        raise DataError(
            f"{name} holds no list of rows{_lists_in(document)}: write "
            '[{"instruction": …, "output": …}, …].'
        )
    if not rows:
        raise DataError(f"{name} is an empty list: choose a file with at least one row.")
    return rows


def _rows_in(document: object) -> _Rows | None:
    if isinstance(document, list):
        return [(value, "") for value in document]
    if not isinstance(document, dict) or not document:
        return None
    for find in (_parts, _viewer, _split_orient, _columns, _one_list, _wrapped, _by_id, _one_row):
        rows = find(document)
        if rows is not None:
            return rows
    return None


def _parts(document: Mapping[str, object]) -> _Rows | None:
    """Read ``{"train": …, "test": …}``, each part in any layout."""
    if not all(split_named(name) and isinstance(part, list | dict)
               for name, part in document.items()):  # fmt: skip
        return None
    parts = [(name, _rows_in(part)) for name, part in document.items()]
    return [(value, split_named(name) or "") for name, rows in parts for value, _ in rows or []]


def _viewer(document: Mapping[str, object]) -> _Rows | None:
    """Read what the hub's viewer answers: ``{"features": …, "rows": [{"row_idx": 0, "row": {…}}]}``."""
    rows = document.get("rows")
    if not isinstance(rows, list) or not rows:
        return None
    if not all(isinstance(one, dict) and isinstance(one.get("row"), dict) for one in rows):
        return None
    return [(one["row"], "") for one in rows]


def _wrapped(document: Mapping[str, object]) -> _Rows | None:
    """Read rows below a single name: ``{"data": {"train": …}}``."""
    [*values] = document.values()
    if len(values) != 1 or not isinstance(values[0], dict):
        return None
    inner = values[0]
    return (
        _rows_in(inner) if all(isinstance(part, list | dict) for part in inner.values()) else None
    )


def _split_orient(document: Mapping[str, object]) -> _Rows | None:
    """Read what pandas writes with ``orient="split"``: names, and rows without them."""
    names, data = document.get("columns"), document.get("data")
    if not (isinstance(names, list) and isinstance(data, list)):
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return None
    return [(dict(zip(map(str, names), row, strict=True)), "") for row in data]


def _columns(document: Mapping[str, object]) -> _Rows | None:
    """Read columns as lists of one length, or as pandas writes them: ``{"name": {"0": …}}``."""
    columns = list(document.values())
    if len(columns) > 1 and all(isinstance(column, list) for column in columns):
        lists: list[list[object]] = columns  # type: ignore[assignment]
        is_table = not any(isinstance(column[0], dict) for column in lists if column)
        if not is_table and not _has_messages(document):
            return None
        if len({len(column) for column in lists}) > 1:
            return None
        return [(dict(zip(document, row, strict=True)), "") for row in zip(*lists, strict=True)]
    if all(isinstance(column, dict) and column and all(key.isdigit() for key in column)
           for column in columns) and not all(name.isdigit() for name in document):  # fmt: skip
        keys = list(dict.fromkeys(key for column in columns for key in column))  # type: ignore[attr-defined]
        return [({name: column.get(key) for name, column in document.items()}, "")  # type: ignore[attr-defined]
                for key in keys]  # fmt: skip
    return None


def _has_messages(document: Mapping[str, object]) -> bool:
    """Return whether a column holds conversations: lists of lists of objects."""
    return any(
        isinstance(column, list) and column and isinstance(column[0], list)
        for column in document.values()
    )


def _one_list(document: Mapping[str, object]) -> _Rows | None:
    """Read the only list in a document, unless it is the conversation of one row."""
    lists = [value for value in document.values() if isinstance(value, list)]
    if len(lists) != 1 or _is_conversation(lists[0]):
        return None
    return [(value, "") for value in lists[0]]


def _is_conversation(value: list[object]) -> bool:
    return bool(value) and all(
        isinstance(turn, dict) and any(name in turn for name in ("role", "from", "speaker"))
        for turn in value
    )


def _by_id(document: Mapping[str, object]) -> _Rows | None:
    """Read rows that stand below their ids: ``{"0": {…}, "1": {…}}``."""
    if all(isinstance(row, dict) for row in document.values()):
        return [(row, "") for row in document.values()]
    return None


def _one_row(document: Mapping[str, object]) -> _Rows | None:
    """Read a document that is one row itself."""
    has_text = any(isinstance(value, str) and value.strip() for value in document.values())
    conversation = any(
        isinstance(value, list) and _is_conversation(value) for value in document.values()
    )
    return [(document, "")] if (has_text and len(document) > 1) or conversation else None


def _lists_in(document: object) -> str:
    if not isinstance(document, dict):
        return ""
    lists = [name for name, value in document.items() if isinstance(value, list)]
    if len(lists) < 2:
        return ""
    names = ", ".join(f"'{shortened(str(name), 40)}'" for name in lists[:6])
    return f" but several lists of different lengths or kinds ({names})"


def _content(kind: str, values: _Rows, document: str, name: str, notes: Sequence[str]) -> Content:
    looked_into = may_hold_half_characters(document)
    rows = [
        checked_row(number, value, looked_into=looked_into, split=split)
        for number, (value, split) in enumerate(values, start=1)
    ]
    return Content(kind, bounded(rows, name), tuple(notes))


def _line_rows(text: Text) -> list[RawRow]:
    rows: list[RawRow] = []
    containers, values = 2 * raw.MAX_CONTAINERS, 2 * raw.MAX_VALUES
    for line_number, line in enumerate(counted(text.lines(), LINES_STEP), start=1):
        for piece in _pieces(line):
            containers -= piece.count("[") + piece.count("{")
            values -= piece.count(",")
            if min(containers, values) < 0:
                raise DataError(
                    f"{text.name} holds more lists, objects or values than fit into memory: "
                    "split it into smaller files."
                )
            rows.append(_line_row(len(rows) + 1, line_number, piece))
            bounded(rows, text.name)
    if not rows:
        raise DataError(f"{text.name} {_EMPTY}.")
    if all(row.problem for row in rows):
        raise DataError(f"{text.name} has no line that is valid JSON: {rows[0].problem}.")
    return rows


def _pieces(line: str) -> Iterator[str]:
    """Yield a line's JSON: all of it, or several values that somebody wrote on one line."""
    line = line.strip("\ufeff")
    if not line or line.isspace():
        return
    if "}" not in line or _is_one(line):
        yield line
        return
    try:
        values = _concatenated(line)
    except (ValueError, RecursionError):
        yield line
        return
    yield from (json.dumps(value, ensure_ascii=False) for value in values)


def _is_one(line: str) -> bool:
    """Return whether a line is not several objects, as far as their seam is seen."""
    return re.search(r"\}\s*\{", line) is None


def _line_row(number: int, line_number: int, line: str) -> RawRow:
    if line.count("[") + line.count("{") > raw.MAX_CONTAINERS // 10:
        return RawRow(
            number,
            problem=f"line {line_number} holds more than {raw.MAX_CONTAINERS // 10:,} lists and "
            "objects",
        )
    try:
        return checked_row(number, _load(line), looked_into=may_hold_half_characters(line))
    except json.JSONDecodeError as error:
        if line.lstrip().startswith("{'") and isinstance(value := parsed(line), dict):
            return checked_row(number, value, looked_into=True)  # as Python writes it
        return RawRow(
            number,
            problem=f"broken JSON in line {line_number}: {error.msg} at column {error.colno}",
        )
    except (RecursionError, ValueError):
        return RawRow(number, problem=f"line {line_number} {_UNREADABLE}")
