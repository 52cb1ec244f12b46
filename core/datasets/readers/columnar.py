"""Parquet and Arrow become raw rows, a batch at a time. pyarrow is loaded only here."""

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from core.datasets.readers import raw
from core.datasets.readers.raw import Content, RawRow, checked_row
from core.datasets.readers.source import Source
from core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 128
_FILE_MARK = b"ARROW1"  # Arrow's file format begins so; its stream format does not


def read_parquet(source: Source) -> Content:
    """Return the rows of a Parquet file. Raises DataError for a damaged or too large one."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        texts = [
            field.name
            for field in parquet.read_schema(source.seekable())
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        ]
        # a text that is written once and named a million times is kept so until it is weighed
        file = parquet.ParquetFile(source.seekable(), pre_buffer=False, read_dictionary=texts)
        facts = file.metadata
        size = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
        _check(facts.num_rows, size, source.name)
        return Content("parquet", _rows(file.iter_batches(_BATCH_ROWS), source.name))
    except _damages() as error:
        raise DataError(f"{source.name} is a damaged Parquet file: write it again.") from error


def read_arrow(source: Source) -> Content:
    """Return the rows of an Arrow file or stream, as ``datasets`` keeps its tables.

    Raises DataError for a damaged one.
    """
    from pyarrow import ipc

    try:
        file = source.seekable()
        is_file = file.read(6) == _FILE_MARK
        file.seek(0)
        if is_file:
            reader = ipc.open_file(file)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            batches = iter(ipc.open_stream(file))
        return Content("arrow", _rows(_in_pieces(batches), source.name))
    except _damages() as error:
        raise DataError(f"{source.name} is a damaged Arrow file: write it again.") from error


def _damages() -> tuple[type[Exception], ...]:
    """Return what the library raises for bytes that are no table, or ask for more memory than is."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, SystemError)


def _in_pieces(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            yield batch.slice(start, _BATCH_ROWS)


def _check(rows: int, size: int, name: str) -> None:
    raw.check_rows(rows, name)
    if size > raw.MAX_FILE_MIB * raw.MIB:
        raise DataError(
            f"{name} holds more than {raw.MAX_FILE_MIB} MiB: split it into smaller files."
        )


def _rows(batches: "Iterator[pa.RecordBatch]", name: str) -> list[RawRow]:
    rows: list[RawRow] = []
    values, size = raw.MAX_VALUES, 0
    for batch in batches:
        # the offsets that a damaged file gives are not believed: they lead out of its bytes
        batch.validate(full=True)
        size += sum(map(_bytes_of, batch.columns))
        values -= batch.num_rows * batch.num_columns
        _check(len(rows) + batch.num_rows, size, name)
        raw.check_cells(values, name)
        for value in batch.to_pylist():
            plain = {key: _plain(cell) for key, cell in value.items()}
            rows.append(checked_row(len(rows) + 1, plain, looked_into=False))
    if not rows:
        raise DataError(f"{name} is empty: choose a file with at least one row.")
    return rows


def _bytes_of(column: "pa.Array") -> int:
    """Return what a column takes once each of its rows has a text of its own."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    if not any(is_kind(column.type.value_type) for is_kind in kinds):
        return int(column.nbytes)
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    return int(pc.sum(lengths).as_py() or 0)


def _plain(value: Any) -> object:
    """Return a cell as JSON would hold it; what is not there, as numbers go, is None."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, str | int | None):
        return value
    return _plain_number(value)


def _plain_number(value: Any) -> object:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, bytes):
        return {"bytes": len(value)}  # a picture or a sound, which no text is
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)
