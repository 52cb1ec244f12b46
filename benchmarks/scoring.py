"""Multiple choice in MMLU's shape: our scorer against lm-eval's own model class, on the same requests,
taking turns.

Run: python benchmarks/scoring.py MODEL_FOLDER [--shots 5] [--subjects 3] [--questions 20] [--json]
Needs lm_eval==0.4.13, which Fuata itself does not, and the questions of ../shared/data/evaluation.
"""

import argparse
import csv
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.scoring.score import Request, score_all

_MMLU = Path(__file__).parents[2] / "shared" / "data" / "evaluation" / "mmlu"
_ROUNDS = 2
_LETTERS = "ABCD"


def main() -> None:
    """Print both times, their ratio, the largest difference and whether all choices agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8, help="of lm-eval's class")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    tokenizer = AutoTokenizer.from_pretrained(chosen.model)
    model = AutoModelForCausalLM.from_pretrained(chosen.model, dtype=torch.float32).eval()
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=chosen.batch)
    pairs = list(_requests(chosen.subjects, chosen.questions, chosen.shots))
    asked = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0) for pair in pairs
    ]
    encoded = [Request(*map(tuple, theirs._encode_pair(*pair))) for pair in pairs]  # noqa: SLF001
    ours_s, theirs_s, ratios = [], [], []
    own: list[Any] = []
    other: list[Any] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        scores = dict(score_all(model, encoded, theirs.max_length))
        own = [scores[number].log_probability for number in range(len(pairs))]
        middle = time.perf_counter()
        other = [value for value, _ in theirs.loglikelihood(asked, disable_tqdm=True)]
        ended = time.perf_counter()
        ours_s.append(middle - began)
        theirs_s.append(ended - middle)
        ratios.append((ended - middle) / (middle - began))
    found = {
        "requests": len(pairs),
        "shots": chosen.shots,
        "ours_s": round(statistics.median(ours_s), 2),
        "lm_eval_s": round(statistics.median(theirs_s), 2),
        "ratio": round(statistics.median(ratios), 2),
        "largest_difference": max(abs(a - b) for a, b in zip(own, other, strict=True)),
        "same_choices": _choices(own) == _choices(other),
    }
    print(json.dumps(found) if chosen.json else found)


def _choices(values: list[float]) -> list[int]:
    """Return the likeliest of every four."""
    fours = [values[start : start + 4] for start in range(0, len(values), 4)]
    return [four.index(max(four)) for four in fours]


def _requests(subjects: int, questions: int, shots: int) -> Iterator[tuple[str, str]]:
    for path in sorted((_MMLU / "test").glob("*_test.csv"))[:subjects]:
        subject = path.name.removesuffix("_test.csv")
        examples = _rows(_MMLU / "dev" / f"{subject}_dev.csv")[:shots]
        begin = (
            "The following are multiple choice questions (with answers) about "
            f"{subject.replace('_', ' ')}.\n\n"
        )
        begin += "".join(f"{_asked(row)} {row[5]}\n\n" for row in examples)
        for row in _rows(path)[:questions]:
            yield from ((begin + _asked(row), f" {letter}") for letter in _LETTERS)


def _asked(row: list[str]) -> str:
    choices = "".join(
        f"{letter}. {text}\n" for letter, text in zip(_LETTERS, row[1:5], strict=True)
    )
    return f"{row[0].strip()}\n{choices}Answer:"


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return rows[1:] if rows[0][0] == "question" else rows


if __name__ == "__main__":
    main()
