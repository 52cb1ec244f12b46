"""Rows of a hub dataset become one file: all of some files, or the first rows of them.

Knows no request; files are fetched by core/hub.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from core.datasets.readers import raw
from core.datasets.readers.archive import pack
from core.datasets.readers.read_file import FILE_ENDINGS, read_file
from core.datasets.splits_named import split_named, split_of_file
from core.errors import DataError
from core.hub.dataset_files import (
    HubDataset,
    HubFile,
    check_total,
    choose_files,
    fetch_file,
    find_hub_dataset,
)
from core.text import shortened

Step = tuple[str, float]  # what was done, and how much of all of it: 0 to 1


def split_of_path(path: str) -> str:
    """Return the split that a file's name or its folder's says, '' for none."""
    *folders, name = path.split("/")
    return split_of_file(name) or next(
        (found for one in reversed(folders) if (found := split_of_file(one))), ""
    )


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

    With ``most_rows`` files are fetched only until there are as many.
    """
    with TemporaryDirectory(dir=path.parent, prefix="fetching-") as name:
        folder = Path(name)
        try:
            if most_rows:
                yield from _first_rows(dataset, files, folder, path, most_rows)
            else:
                for step, _ in _fetched(dataset, files, folder):
                    yield step
                pack(sorted(one for one in folder.iterdir() if one.name != ".cache"), path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    yield "fetched", 1.0


def _fetched(
    dataset: HubDataset, files: Sequence[HubFile], folder: Path
) -> Iterator[tuple[Step, Path | None]]:
    """Yield a step before each file, with the file that the step before it brought."""
    total, done = sum(one.size for one in files) or 1, 0
    path = None
    for file in files:
        yield (f"{file.path} ({file.size / raw.MIB:.1f} MiB)", done / total), path
        path = fetch_file(dataset, file, folder)
        done += file.size
    yield ("reading", 0.99), path


def _first_rows(
    dataset: HubDataset, files: Sequence[HubFile], folder: Path, path: Path, most: int
) -> Iterator[Step]:
    left = most
    with path.open("w", encoding="utf-8") as out:
        for step, fetched in _fetched(dataset, files, folder):
            if fetched is not None:
                split = split_of_path(str(fetched.relative_to(folder)))
                rows = read_file(fetched).rows[:left]
                out.writelines(_line(row.value, split) for row in rows)
                left -= len(rows)
                fetched.unlink()
            if left <= 0:
                return
            yield step


def _line(value: object, split: str) -> str:
    if isinstance(value, dict) and split and "split" not in value:
        value = {**value, "split": split}
    return json.dumps(value, ensure_ascii=False, default=str) + "\n"
