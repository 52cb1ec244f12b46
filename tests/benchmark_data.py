"""Small benchmark data of our own, in the shapes of the public ones."""

import csv
import json
from pathlib import Path

SUBJECTS = ("anatomy", "astronomy")
_WORDS = [
    "red",
    "blue",
    "green",
    "one",
    "two",
    "three",
    "dog",
    "cat",
    "bird",
    "sun",
    "moon",
    "star",
    "house",
    "tree",
    "river",
    "stone",
]


def write_mmlu(folder: Path, questions: int = 6) -> None:
    """Write questions about nothing of two subjects of MMLU, with five examples each."""
    for subject in SUBJECTS:
        for split, count in (("dev", 5), ("test", questions)):
            path = folder / split / f"{subject}_{split}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                for number in range(count):
                    words = [_WORDS[(number * 3 + place) % len(_WORDS)] for place in range(4)]
                    question = f"Which of these is {words[number % 4]}, in {subject} {number}?"
                    rows.writerow([question, *words, "ABCD"[number % 4]])


def write_super_glue(folder: Path) -> None:
    """Write a few questions of MultiRC, ReCoRD and CB."""
    put(folder, "CB/val.jsonl", [
        {"premise": f"The {word} is old.", "hypothesis": f"the {word} is new", "label": label, "idx": n}
        for n, (word, label) in enumerate(
            [("house", "contradiction"), ("tree", "neutral"), ("dog", "entailment")]
        )
    ])  # fmt: skip
    put(folder, "MultiRC/val.jsonl", [
        {"idx": n, "passage": {"text": f"Rollo saw a {word}.", "questions": [
            {"question": "What did he see?", "idx": 0, "answers": [
                {"text": f"a {word}", "idx": 0, "label": 1}, {"text": "nothing", "idx": 1, "label": 0},
            ]},
        ]}}
        for n, word in enumerate(("dog", "house"))
    ])  # fmt: skip
    text = "Rollo met Emma by the river."
    put(folder, "ReCoRD/val.jsonl", [
        {"idx": 0, "passage": {"text": text, "entities": [{"start": 0, "end": 4}, {"start": 10, "end": 13}]},
         "qas": [{"query": "@placeholder met her", "idx": 0, "answers": [{"text": "Rollo"}]}]},
    ])  # fmt: skip


def write_squad(folder: Path) -> None:
    """Write two questions of SQuAD 2.0, one of them without an answer."""
    questions = [
        {"id": "1", "question": "Who came?", "answers": [{"text": "Rollo", "answer_start": 0}]},
        {"id": "2", "question": "Who left?", "answers": []},
    ]
    paragraphs = [{"context": "Rollo came to the river.", "qas": questions}]
    document = {"data": [{"title": "Rollo", "paragraphs": paragraphs}]}
    (folder / "dev-v2.0.json").write_text(json.dumps(document), encoding="utf-8")


def put(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    """Write JSON lines."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
