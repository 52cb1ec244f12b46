"""Data laid out as on the Hugging Face hub: Parquet or JSON lines, one file or several per split,
the configuration a folder or the beginning of the name.
"""

import re
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.evaluation.layouts.folder import DataFolder, Row, Splits, read_json_lines

_SPLITS = "train|validation|test|dev|validation_matched|validation_mismatched|default"


def find_snapshot(folder: DataFolder, dataset: str, config: str) -> Splits:
    """Return the splits of a hub dataset's configuration that lie in a folder; empty for none."""
    name = re.escape(dataset.rsplit("/", maxsplit=1)[-1])
    owner = re.escape(dataset.replace("/", "--"))
    home = rf"(?:datasets--{owner}|{name})(?:/snapshots/[^/]+)?"
    part = rf"(?:/{re.escape(config)}|/data|/data/{re.escape(config)})" if config else "(?:/[^/]+)?"
    pattern = rf"{home}(?:{part})?/((?:{_SPLITS})(?:-\d+-of-\d+)?)\.(?:parquet|jsonl)"
    if config and config not in {"default", "main"}:
        pattern = rf"{home}{part}/((?:{_SPLITS})(?:-\d+-of-\d+)?)\.(?:parquet|jsonl)"
    parts: dict[str, list[Path]] = {}
    for stem, path in sorted(folder.find_all(pattern).items()):
        parts.setdefault(re.sub(r"-\d+-of-\d+$", "", stem), []).append(path)
    return {split: _reading(paths) for split, paths in parts.items()}


def _reading(paths: list[Path]) -> Any:
    return lambda: [row for path in paths for row in _read(path)]


def _read(path: Path) -> list[Row]:
    if path.suffix == ".jsonl":
        return read_json_lines(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[Row] = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged or no Parquet file: fetch it anew.") from error
    return rows
