"""The usual names of splits: in a row, above a list of rows, and of files. Knows no rows."""

import re

from core.datasets.conversation import SPLIT_NAMES, SplitName

_NAMES: dict[str, SplitName] = {
    **{name: name for name in SPLIT_NAMES},
    **dict.fromkeys(
        ("val", "valid", "dev", "eval", "evaluation", "development", "validation_sft", "eval_sft"),
        "validation",
    ),
    **dict.fromkeys(("training", "train_sft", "train_gen"), "train"),
    **dict.fromkeys(("testing", "test_sft", "test_gen"), "test"),
}


def split_named(word: str) -> SplitName | None:
    """Return the split that a word names, None for none."""
    return _NAMES.get(word.strip().lower())


def split_of_file(name: str) -> SplitName | None:
    """Return the split that a file's or folder's name says: ``train.jsonl``, ``my-data_test.csv``,
    ``train-00000-of-00001.parquet``; None where it says none, or two.
    """
    stem = name.lower().rsplit("/", maxsplit=1)[-1].split(".", maxsplit=1)[0]
    found = {split for word in re.split(r"[^a-z]+", stem) if (split := _NAMES.get(word))}
    return found.pop() if len(found) == 1 else None


def split_of_path(path: str) -> SplitName | None:
    """Return the split that a file's name says, or else the nearest folder's above it that says
    one; folders are parted by "/".
    """
    return next(
        (split for name in reversed(path.split("/")) if (split := split_of_file(name))), None
    )
