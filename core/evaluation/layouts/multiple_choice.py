"""MMLU (Hendrycks et al., arXiv 2009.03300) as its authors' CSV files, ARC, HellaSwag, PIQA,
WinoGrande and TruthfulQA as their JSON lines.
"""

from collections.abc import Callable
from pathlib import Path

from core.errors import DataError
from core.evaluation.layouts.folder import (
    DataFolder,
    Row,
    Splits,
    as_class,
    check_fields,
    read_json,
    read_json_lines,
    read_table,
    read_text,
)

_LETTERS = "ABCD"


def find_mmlu(folder: DataFolder, config: str) -> Splits:
    """`{dev,val,test}/SUBJECT_{dev,val,test}.csv`, with a line of names or, as published, without."""
    names = {"dev": "dev", "validation": "val", "test": "test"}
    found = {split: folder.find(rf"{config}_{name}\.csv") for split, name in names.items()}
    return {split: _reader(_read_mmlu, path, config) for split, path in found.items() if path}


def _reader(
    read: Callable[[Path, str], list[Row]], path: Path, config: str
) -> Callable[[], list[Row]]:
    return lambda: read(path, config)


def _read_mmlu(path: Path, subject: str) -> list[Row]:
    rows = []
    for number, fields in enumerate(read_table(path, ","), start=1):
        if number == 1 and fields[0].strip().lower() == "question" and fields[-1] == "answer":
            continue
        if len(fields) != 6:
            raise DataError(
                f"{path}, line {number}: {len(fields)} fields, separated by commas, instead of a "
                "question, four choices and an answer; fetch it anew."
            )
        question, *choices, answer = fields
        if answer.strip() in set(_LETTERS):
            right = _LETTERS.index(answer.strip())
        elif answer.strip() in set("0123"):
            right = int(answer)
        else:
            raise DataError(
                f"{path}, line {number}: the answer '{answer.strip()[:40]}' is none of A, B, C and D; "
                "are the columns exchanged?"
            )
        rows.append({"question": question, "subject": subject, "choices": choices, "answer": right})
    return rows


def find_arc(folder: DataFolder, config: str) -> Splits:
    """`ARC-Easy/ARC-Easy-{Train,Dev,Test}.jsonl` (Clark et al., arXiv 1803.05457)."""
    names = {"train": "Train", "validation": "Dev", "test": "Test"}
    found = {split: folder.find(rf"{config}-{name}\.jsonl") for split, name in names.items()}
    return {split: _reader(_read_arc, path, config) for split, path in found.items() if path}


def _read_arc(path: Path, _config: str) -> list[Row]:
    rows = []
    for number, row in enumerate(read_json_lines(path, ["question", "answerKey"]), start=1):
        check_fields(row["question"], ["stem", "choices"], path, number)
        choices = row["question"]["choices"]
        labels = [choice.get("label") for choice in choices]
        if row["answerKey"] not in labels:
            raise DataError(
                f"{path}, line {number}: the answer '{row['answerKey']}' is none of the choices."
            )
        rows.append(
            {
                "id": row.get("id", str(number)),
                "question": row["question"]["stem"],
                "choices": {"text": [choice["text"] for choice in choices], "label": labels},
                "answerKey": row["answerKey"],
            }
        )
    return rows


def find_hellaswag(folder: DataFolder, _config: str) -> Splits:
    """`hellaswag_{train,val,test}.jsonl` (Zellers et al., arXiv 1905.07830)."""
    names = {"train": "train", "validation": "val"}
    needed = ["ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings", "label"]
    found = {split: folder.find(rf"hellaswag_{name}\.jsonl") for split, name in names.items()}
    return {
        split: _reader(
            lambda path, _: [_hellaswag(row) for row in read_json_lines(path, needed)],
            path,
            "",
        )
        for split, path in found.items()
        if path
    }


def _hellaswag(row: Row) -> Row:
    """Return a row as the hub has it, whose order of fields tells its rows from others."""
    order = ("ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings", "source_id", "split",
             "split_type")  # fmt: skip
    return {name: row.get(name, "") for name in order} | {"label": str(row["label"])}


def find_piqa(folder: DataFolder, _config: str) -> Splits:
    """`{train,valid}.jsonl` with `{train,valid}-labels.lst` beside it (Bisk et al., arXiv 1911.11641)."""
    names = {"train": "train", "validation": "valid"}
    found = {split: folder.find(rf"{name}-labels\.lst") for split, name in names.items()}
    return {split: _reader(_read_piqa, path, "") for split, path in found.items() if path}


def _read_piqa(labels: Path, _config: str) -> list[Row]:
    path = labels.with_name(labels.name.replace("-labels.lst", ".jsonl"))
    rows = read_json_lines(path, ["goal", "sol1", "sol2"])
    words = read_text(labels).split()
    if len(words) != len(rows):
        raise DataError(
            f"{labels} has {len(words)} labels for {len(rows)} questions: fetch both anew."
        )
    return [
        {"goal": row["goal"], "sol1": row["sol1"], "sol2": row["sol2"],
         "label": as_class(word, ["0", "1"], labels, number)}
        for number, (row, word) in enumerate(zip(rows, words, strict=True), start=1)
    ]  # fmt: skip


def find_winogrande(folder: DataFolder, config: str) -> Splits:
    """`train_SIZE.jsonl` and `dev.jsonl` (Sakaguchi et al., arXiv 1907.10641)."""
    size = config.removeprefix("winogrande_")
    needed = ["sentence", "option1", "option2", "answer"]
    names = {
        "train": rf"winogrande[^/]*/train_{size}\.jsonl",
        "validation": r"winogrande[^/]*/dev\.jsonl",
    }
    found = {split: folder.find(pattern) for split, pattern in names.items()}
    return {
        split: _reader(
            lambda path, _: [
                {name: row[name] for name in needed} for row in read_json_lines(path, needed)
            ],
            path,
            "",
        )
        for split, path in found.items()
        if path
    }


def find_truthful_qa(folder: DataFolder, _config: str) -> Splits:
    """`mc_task.json` (Lin et al., arXiv 2109.07958)."""
    path = folder.find(r"mc_task\.json")
    return {"validation": _reader(_read_truthful_qa, path, "")} if path else {}


def _read_truthful_qa(path: Path, _config: str) -> list[Row]:
    rows = []
    for number, row in enumerate(read_json(path), start=1):
        check_fields(row, ["question", "mc1_targets", "mc2_targets"], path, number)
        targets = {
            name: {"choices": list(row[name]), "labels": list(row[name].values())}
            for name in ("mc1_targets", "mc2_targets")
        }
        rows.append({"question": row["question"], **targets})
    return rows
