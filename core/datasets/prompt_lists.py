"""A list of prompts without answers, to be put before models: MT-bench's shape, fields of a prompt,
or lines of text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.datasets.columns import recognise_columns
from core.datasets.conversation import Example, RefusedRow, RowRefusedError, Turn
from core.datasets.dataset import Dataset, read_dataset
from core.datasets.formats import read_category, read_prompt, refused_row
from core.datasets.readers.raw import RawRow
from core.datasets.readers.read_file import read_file, read_lines
from core.errors import DataError

PROMPT_LIST = "prompts"


def load_prompt_list(path: Path) -> Dataset:
    """Read a file of prompts; rows with answers keep them as the expected ones.

    A line of a ``.txt`` file is a prompt. Raises DataError when nothing in the file can be asked.
    """
    raw = read_lines(path) if path.suffix.lower() == ".txt" else read_file(path)
    if any(_is_answered(row.value) for row in raw.rows):
        return read_dataset(raw, path)
    examples: list[Example] = []
    refused: list[RefusedRow] = []
    for row in raw.rows:
        try:
            examples.append(_read_row(row))
        except RowRefusedError as refusal:
            refused.append(refused_row(row.number, refusal))
    if not examples:
        raise DataError(
            f"{path.name} has no prompt that can be asked: row {refused[0].row} "
            f"{refused[0].reason}."
        )
    return Dataset(
        path.name,
        path,
        raw.content_hash,
        raw.kind,
        PROMPT_LIST,
        len(raw.rows),
        tuple(examples),
        tuple(refused),
        source_hash=raw.content_hash,
    )


def _is_answered(row: object) -> bool:
    if not isinstance(row, Mapping):
        return False
    fields = recognise_columns(map(str, row))
    return bool(fields.name("output") or fields.name("chosen")) or _has_reply(row)


def _has_reply(row: Mapping[str, object]) -> bool:
    spoken = row.get("messages") or row.get("conversations")
    last = spoken[-1] if isinstance(spoken, Sequence) and spoken else None
    return isinstance(last, Mapping) and (last.get("role") or last.get("from")) in {
        "assistant",
        "gpt",
        "model",
        "bot",
    }


def _read_row(row: RawRow) -> Example:
    if row.problem:
        raise RowRefusedError(row.problem)
    turns = read_prompt(row.value)
    category = read_category(row.value) if isinstance(row.value, Mapping) else ""
    return Example(row.number, (*turns, Turn("assistant", _reference(row.value))), None, category)


def _reference(row: object) -> str:
    """Return what is expected, of several questions one after the other: MT-bench's ``reference``."""
    found = row.get("reference") if isinstance(row, Mapping) else None
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, Sequence) or not all(isinstance(one, str) for one in texts):
        return ""
    said = [one.strip() for one in texts]
    return (
        said[0] if len(said) == 1 else "\n\n".join(f"{n}. {one}" for n, one in enumerate(said, 1))
    )
