"""GLUE (Wang et al., arXiv 1804.07461) as its TSV files: `TASK/{train,dev}.tsv`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError
from core.evaluation.layouts.folder import (
    DataFolder,
    Row,
    Splits,
    as_class,
    read_named_table,
    read_table,
)

_ENTAILED = ("entailment", "not_entailment")
_NO_YES = ("0", "1")


@dataclass(frozen=True, slots=True)
class _Layout:
    folder: str  # a regular expression
    columns: tuple[tuple[str, str], ...]  # of the hub's dataset, and of the file
    label: str = "label"
    classes: tuple[str, ...] = ()  # none for a number
    names: tuple[tuple[str, str], ...] = (("train", "train"), ("validation", "dev"))


_PAIR = (("sentence1", "sentence1"), ("sentence2", "sentence2"))
_LAYOUTS = {
    "sst2": _Layout("SST-?2", (("sentence", "sentence"),), classes=_NO_YES),
    "mrpc": _Layout(
        "MRPC", (("sentence1", "#1 String"), ("sentence2", "#2 String")), "Quality", _NO_YES
    ),
    "qqp": _Layout(
        "QQP", (("question1", "question1"), ("question2", "question2")), "is_duplicate", _NO_YES
    ),
    "stsb": _Layout("STS-?B", _PAIR, "score"),
    "mnli": _Layout(
        "MNLI", (("premise", "sentence1"), ("hypothesis", "sentence2")), "gold_label",
        ("entailment", "neutral", "contradiction"),
        (("train", "train"), ("validation_matched", "dev_matched"),
         ("validation_mismatched", "dev_mismatched")),
    ),
    "qnli": _Layout(
        "QNLI", (("question", "question"), ("sentence", "sentence")), classes=_ENTAILED
    ),
    "rte": _Layout("RTE", _PAIR, classes=_ENTAILED),
    "wnli": _Layout("WNLI", _PAIR, classes=("0", "1")),
}  # fmt: skip


def find_glue(folder: DataFolder, config: str) -> Splits:
    """Return the splits of one of the nine tasks that lie in a folder."""
    if config == "cola":
        found = {
            split: folder.find(rf"CoLA/{name}\.tsv")
            for split, name in (("train", "train"), ("validation", "dev"))
        }
        return {split: _reading_cola(path) for split, path in found.items() if path}
    if (layout := _LAYOUTS.get(config)) is None:
        return {}
    splits: dict[str, Callable[[], list[Row]]] = {}
    for split, name in layout.names:
        if path := folder.find(rf"{layout.folder}/{name}\.tsv"):
            splits[split] = _reading(path, layout)
        elif path := folder.find(rf"{config}_{name}\.csv"):
            splits[split] = _reading_csv(path, layout)
    return splits


def _reading_cola(path: Path) -> Callable[[], list[Row]]:
    return lambda: [
        {
            "sentence": fields[3],
            "label": as_class(fields[1], _NO_YES, path, number),
            "idx": number - 1,
        }
        for number, fields in enumerate(_four_fields(path), start=1)
    ]


def _four_fields(path: Path) -> list[list[str]]:
    rows = read_table(path, "\t", quoted=False)
    for number, fields in enumerate(rows, start=1):
        if len(fields) != 4:
            raise DataError(
                f"{path}, line {number}: {len(fields)} fields, separated by tabs, instead of source, "
                "label, mark and sentence; fetch it anew."
            )
    return rows


def _reading(path: Path, layout: _Layout) -> Callable[[], list[Row]]:
    needed = [*(column for _, column in layout.columns), layout.label]
    return lambda: [
        {
            **{name: row[column] for name, column in layout.columns},
            "label": _label(row[layout.label], layout, path, number),
            "idx": number - 2,
        }
        # the official file of QQP has some broken rows, which the hub leaves out, too
        for number, row in read_named_table(path, "\t", needed, skips_broken=layout.folder == "QQP")
    ]


def _reading_csv(path: Path, layout: _Layout) -> Callable[[], list[Row]]:
    """Read a CSV file with the hub's names; labels may be words."""
    names = [name for name, _ in layout.columns]
    words = {"not_equivalent": "0", "equivalent": "1", "not_duplicate": "0", "duplicate": "1"}
    return lambda: [
        {
            **{name: row[name] for name in names},
            "label": _label(words.get(row["label"]) or row["label"], layout, path, number),
            "idx": number - 2,
        }
        for number, row in read_named_table(path, ",", [*names, "label"])
    ]


def _label(word: str, layout: _Layout, path: Path, number: int) -> int | float:
    if layout.classes:
        return as_class(word, layout.classes, path, number)
    try:
        return float(word)
    except ValueError:
        raise DataError(f"{path}, line {number}: the score '{word[:40]}' is no number.") from None
