"""Rows of a hub dataset become one file: all of some files, or the first rows of them.

Knows no request; files are fetched by core/hub.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from core.datasets.readers import raw
from core.datasets.readers.archive import pack
from core.datasets.readers.read_file import FILE_ENDINGS, read_file
from core.datasets.readers.text import MAX_LINE_MIB
from core.datasets.splits_named import split_named, split_of_path
from core.errors import DataError
from core.hub.dataset_files import (
    HubDataset,
    HubFile,
    check_total,
    choose_files,
    fetch_file,
    find_hub_dataset,
    opened_file,
)
from core.text import shortened

Step = tuple[str, float]  # what was done, and how much of all of it: 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRequest:
    """What a user asks for of the hub."""

    name: str  # owner/name
    config: str = ""  # a folder of it, '' for any
    split: str = ""
    revision: str = ""  # '' for the newest
    most_rows: int = 0  # 0 for all


def find_files(request: HubRequest) -> tuple[HubDataset, tuple[HubFile, ...]]:
    """Return the dataset that a request names, and which of its files are to be fetched.

    Raises DataError where something is not there, or too large.
    """
    split = split_named(request.split) if request.split else ""
    if split is None:
        raise DataError(
            f"There is no split '{shortened(request.split, 40)}': say train, validation or test."
        )
    if request.most_rows < 0:
        raise DataError("The number of rows must be 0 (all) or more.")
    dataset = find_hub_dataset(request.name, request.revision, FILE_ENDINGS)
    files = choose_files(dataset, request.config, split, split_of_path)
    if not request.most_rows:
        check_total(files, raw.MAX_FILE_MIB)
    return dataset, files


def file_name(dataset: HubDataset, request: HubRequest) -> str:
    """Return what the fetched file is called."""
    ending = ".jsonl" if request.most_rows else ".zip"
    return f"{dataset.name.replace('/', '-')}{ending}"


def fetch_rows(
    dataset: HubDataset, files: Sequence[HubFile], path: Path, most_rows: int
) -> Iterator[Step]:
    """Fetch files into one at ``path``, a step at a time; leave it to stop, and nothing is left.

    With ``most_rows`` files are fetched only until there are as many, and of those that can be read
    in part (JSON lines, CSV, Parquet) no more than that takes.
    """
    with TemporaryDirectory(dir=path.parent, prefix="fetching-") as name:
        folder = Path(name)
        try:
            if most_rows:
                yield from _first_rows(dataset, files, folder, path, most_rows)
            else:
                yield from _fetched(dataset, files, folder)
                pack(sorted(one for one in folder.iterdir() if one.name != ".cache"), path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    yield "fetched", 1.0


def _fetched(dataset: HubDataset, files: Sequence[HubFile], folder: Path) -> Iterator[Step]:
    """Fetch files whole, with a step before each."""
    total, done = sum(one.size for one in files) or 1, 0
    for file in files:
        yield f"{file.path} ({file.size / raw.MIB:.1f} MiB)", done / total
        fetch_file(dataset, file, folder)
        done += file.size
    yield "reading", 0.99


def _first_rows(
    dataset: HubDataset, files: Sequence[HubFile], folder: Path, path: Path, most: int
) -> Iterator[Step]:
    left = most
    with path.open("w", encoding="utf-8") as out:
        for file in files:
            if left <= 0:
                return
            yield f"{file.path}: the first {left:,} rows", (most - left) / most
            fetched = _beginning(dataset, file, folder, left)
            rows = read_file(fetched).rows[:left]
            split = split_of_path(file.path)
            out.writelines(_line(row.value, split) for row in rows)
            left -= len(rows)
            fetched.unlink()


def _beginning(dataset: HubDataset, file: HubFile, folder: Path, rows: int) -> Path:
    """Return a file with at least so many rows of another's beginning, where there are as many."""
    copied = _COPIED.get(PurePosixPath(file.path.lower()).suffix)
    if copied is None:  # read in part it would be no file of its kind
        check_total([file], raw.MAX_FILE_MIB)
        return fetch_file(dataset, file, folder)
    target = folder / PurePosixPath(file.path).name
    with opened_file(dataset, file) as content, target.open("wb") as out:
        copied(content, out, rows)
    return target


def _copy_lines(content: IO[bytes], out: IO[bytes], rows: int) -> None:
    """Copy lines; a row of JSON has one, and a blank one is none."""
    for line in _bounded_lines(content):
        out.write(line)
        rows -= bool(line.strip())
        if rows <= 0:
            return


def _bounded_lines(content: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, as long and as many as are read of a file. Raises DataError beyond."""
    longest, left = MAX_LINE_MIB * raw.MIB, raw.MAX_FILE_MIB * raw.MIB
    buffered = io.BufferedReader(content)  # type: ignore[type-var]  # a file of fsspec reads whole lines alone
    while line := buffered.readline(longest + 1):
        left -= len(line)
        if len(line) > longest or left < 0:
            raise DataError(
                f"A line of more than {MAX_LINE_MIB} MiB, or more than {raw.MAX_FILE_MIB:,} MiB in "
                "all: ask for fewer rows."
            )
        yield line


def _copy_records(content: IO[bytes], out: IO[bytes], rows: int) -> None:
    """Copy the header and records, which may go over several lines inside quotation marks."""

    def copied() -> Iterator[str]:
        for line in _bounded_lines(content):
            out.write(line)
            yield line.decode("latin-1")  # of which every byte is a character

    for number, _ in enumerate(csv.reader(copied())):
        if number >= rows:
            return


def _copy_row_groups(content: IO[bytes], out: IO[bytes], rows: int) -> None:
    """Copy the first rows of a Parquet file, whose other groups are not read."""
    from pyarrow import parquet

    file = parquet.ParquetFile(content, pre_buffer=False)
    groups: list[int] = []
    held, size = 0, 0  # rows, bytes unpacked
    for group in range(file.num_row_groups):
        if held >= rows:
            break
        groups.append(group)
        held += file.metadata.row_group(group).num_rows
        size += file.metadata.row_group(group).total_byte_size
    if size > raw.MAX_FILE_MIB * raw.MIB:
        raise DataError(
            f"These rows take {size / raw.MIB:,.0f} MiB, more than {raw.MAX_FILE_MIB:,}: ask for "
            "fewer rows."
        )
    parquet.write_table(file.read_row_groups(groups).slice(0, rows), out)


_COPIED = {
    ".jsonl": _copy_lines,
    ".ndjson": _copy_lines,
    ".csv": _copy_records,
    ".tsv": _copy_records,
    ".parquet": _copy_row_groups,
}


def _line(value: object, split: str | None) -> str:
    if isinstance(value, dict) and split and "split" not in value:
        value = {**value, "split": split}
    return json.dumps(value, ensure_ascii=False, default=str) + "\n"
