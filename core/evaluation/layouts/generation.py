"""SQuAD, TriviaQA, BIG-bench, BIG-bench Hard, HumanEval, GSM8K and IFEval as their authors' JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.evaluation.layouts.folder import (
    DataFolder,
    Row,
    Splits,
    read_json,
    read_json_lines,
)


def find_squad(folder: DataFolder, config: str) -> Splits:
    """`{train,dev}-v1.1.json` or `-v2.0.json` (Rajpurkar et al., arXiv 1606.05250, 1806.03822)."""
    version = "v1.1" if config == "v1" else "v2.0"
    names = {"train": "train", "validation": "dev"}
    found = {split: folder.find(rf"{name}-{version}[^/]*\.json") for split, name in names.items()}
    return {split: _reading(_read_squad, path) for split, path in found.items() if path}


def _reading(read: Callable[[Path], list[Row]], path: Path) -> Callable[[], list[Row]]:
    def rows() -> list[Row]:
        try:
            return read(path)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise DataError(
                f"{path}: {error} is missing or no such thing; fetch it anew."
            ) from error

    return rows


def _read_squad(path: Path) -> list[Row]:
    return [
        {
            "id": question["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": question["question"],
            "answers": {
                "text": [answer["text"] for answer in question["answers"]],
                "answer_start": [answer["answer_start"] for answer in question["answers"]],
            },
        }
        for article in read_json(path)["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


def find_trivia_qa(folder: DataFolder, _config: str) -> Splits:
    """`{web,wikipedia,unfiltered-web}-{train,dev}.json` (Joshi et al., arXiv 1705.03551)."""
    found: dict[str, list[Path]] = {}
    for split, name in (("train", "train"), ("validation", "dev")):
        # the reading comprehension set is of both; the unfiltered one stands for itself
        paths = [folder.find(rf"{kind}-{name}\.json") for kind in ("web", "wikipedia")]
        found[split] = [path for path in paths if path]
    if not found["validation"]:
        found["validation"] = list(folder.find_all(r"trivia_?qa[^/]*\.json").values())[:1]
    return {split: _all_of(paths) for split, paths in found.items() if paths}


def _all_of(paths: list[Path]) -> Callable[[], list[Row]]:
    readers = [_reading(_read_trivia_qa, path) for path in paths]
    return lambda: [row for read in readers for row in read()]


def _read_trivia_qa(path: Path) -> list[Row]:
    return [
        {
            "question": question["Question"],
            "question_id": question["QuestionId"],
            "question_source": question.get("QuestionSource", ""),
            "answer": {
                "aliases": question["Answer"]["Aliases"],
                "normalized_aliases": question["Answer"]["NormalizedAliases"],
                "value": question["Answer"]["Value"],
            },
        }
        for question in read_json(path)["Data"]
    ]


def find_big_bench(folder: DataFolder, config: str) -> Splits:
    """`TASK/task.json` or `TASK.json` (Srivastava et al., arXiv 2206.04615)."""
    name = config.removesuffix("_zero_shot")
    path = folder.find(rf"{name}/task\.json") or folder.find(rf"big-?_?bench[^/]*/{name}\.json")
    return {"default": _reading(_read_big_bench, path)} if path else {}


def _read_big_bench(path: Path) -> list[Row]:
    """Return the examples as their authors' `json_task` asks them without examples."""
    task = read_json(path)
    before = task.get("example_input_prefix", "\nQ: ")
    after = task.get("example_output_prefix", "\nA: ")
    of_choice = task.get("choice_prefix", "\n  choice: ")
    rows = []
    for number, example in enumerate(task["examples"]):
        scores: dict[str, float] = example.get("target_scores") or {}
        targets = example.get("target")
        if targets is None:
            best = max(scores.values())
            targets = [text for text, score in scores.items() if score == best]
        shown = task.get("append_choices_to_input", True)
        choices = "".join(f"{of_choice}{text}" for text in scores) if shown else ""
        text = f"{task.get('task_prefix', '')}{before}{example['input']}{choices}{after}"
        rows.append(
            {
                "idx": number,
                "inputs": text.strip(),
                "targets": targets if isinstance(targets, list) else [targets],
                "multiple_choice_targets": list(scores),
                "multiple_choice_scores": [int(score) for score in scores.values()],
            }
        )
    return rows


def find_big_bench_hard(folder: DataFolder, config: str) -> Splits:
    """`bbh/TASK.json` or `big-bench-hard/TASK.json` (Suzgun et al., arXiv 2210.09261)."""
    path = folder.find(rf"(?:[^/]*bbh[^/]*|big-?bench-?hard)/(?:[^/]+/)?{config}\.json")
    return {"test": _reading(_read_big_bench_hard, path)} if path else {}


def _read_big_bench_hard(path: Path) -> list[Row]:
    return [
        {"input": example["input"], "target": example["target"]}
        for example in read_json(path)["examples"]
    ]


def find_lines(names: dict[str, str], needed: list[str]) -> Callable[[DataFolder, str], Splits]:
    """Return what finds splits in JSON lines whose fields are the hub's columns already."""

    def found(folder: DataFolder, _config: str) -> Splits:
        paths = {split: folder.find(pattern) for split, pattern in names.items()}
        return {split: _reading(read, path) for split, path in paths.items() if path}

    def read(path: Path) -> list[Row]:
        return [_kept(row, needed) for row in read_json_lines(path, needed)]

    return found


def _kept(row: Row, needed: list[str]) -> dict[str, Any]:
    return {name: row[name] for name in needed}
