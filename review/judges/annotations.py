"""Annotations as AlpacaEval writes them (`annotations.json`) brought in: graded verdicts of a judge, with
the responses that they were given for.

`preference` is 1 for the first output, 2 for the second, between them otherwise (Dubois et al., arXiv
2305.14387); the win rate is the second's mean preference.
"""

import json
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.datasets.prompt_lists import load_prompt_list
from core.datasets.store import DatasetStore
from core.errors import DataError, ReviewError
from core.evaluation.layouts.folder import read_json
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.storage.atomic_write import write_file
from core.storage.workspace import Workspace, now
from core.text import shortened
from review.judges.protocols import find_protocol
from review.judges.store import JudgeStore
from review.setup.generate_responses import RowChoice, answer_review, create_review, plan_review
from review.statistics.length_control import control_length
from review.store.reviews import ReviewStore

_NEEDED = ("instruction", "output_1", "output_2", "preference")
_UNFIT = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedResult:
    """What graded verdicts say of the second of two models."""

    contender: str
    against: str
    judge: str
    judged: int
    win_rate: float  # mean preference, 0 to 1
    standard_error: float | None
    length_controlled_win_rate: float | None  # None where lengths cannot be told from quality


def holds_annotations(path: Path) -> bool:
    """Return whether a file is a list of AlpacaEval's annotations. Raises DataError."""
    if path.suffix.lower() != ".json":
        return False
    document = read_json(path)
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and {"preference", "output_1", "output_2"} <= set(first)


def import_annotations(workspace: Workspace, name: str, path: Path) -> GradedResult:
    """Add a file's graded verdicts to a review, and make the review where there is none.

    Raises DataError for a file that is broken, ReviewError where it does not fit the review.
    """
    rows = _read(path)
    reviews = ReviewStore(workspace)
    generators = tuple(_named(rows[0], number) for number in (1, 2))
    known = [row["name"] for row in reviews.all()]
    if name not in known:
        _make_review(workspace, name, rows, generators)
    review = reviews.find(name)
    store = JudgeStore(reviews)
    pairs = _pairs(store, review["id"], generators, path)
    judge = store.add(
        review["id"], str(rows[0].get("annotator") or "annotator"), find_protocol("alpaca"),
        {"file": path.name, "orders": 1, "contender": generators[1], "against": generators[0]},
    )  # fmt: skip
    for number, row in enumerate(rows, start=1):
        pair = pairs.get((row["instruction"].strip(), row["output_1"], row["output_2"]))
        if pair is None:
            raise ReviewError(
                f"{path.name}, row {number}: the review '{name}' has no such pair of answers."
            )
        second = float(row["preference"]) - 1
        is_turned = pair["first_contender"] != generators[0]
        preference = 1 - second if is_turned else second
        store.add_comparison(
            {
                "judge_id": judge["id"], "pair_id": pair["pair_id"], "is_turned": int(is_turned),
                "choice": "tie" if preference == 0.5 else "second" if preference > 0.5 else "first",
                "preference": preference, "said": "", "judged_at": now(),
            }
        )  # fmt: skip
    [found] = [one for one in graded_results(reviews, name) if one.judge == judge["model"]]
    return found


def graded_results(reviews: ReviewStore, name: str) -> list[GradedResult]:
    """Return what each file of annotations says of a review."""
    review = reviews.find(name)
    store = JudgeStore(reviews)
    pairs = {row["pair_id"]: row for row in store.pairs(review["id"])}
    found = []
    for judge in store.of_review(review["id"]):
        facts = json.loads(judge["facts"])
        if facts.get("orders") != 1:
            continue
        scores, lengths, prompts = [], [], []
        for row in store.comparisons(judge["id"]):
            pair = pairs[row["pair_id"]]
            is_first = pair["first_contender"] == facts["contender"]
            preference = row["preference"] or 0.0
            scores.append(1 - preference if is_first else preference)
            sides = (len(pair["first_text"]), len(pair["second_text"]))
            lengths.append(sides if is_first else sides[::-1])
            prompts.append(pair["prompt_id"])
        controlled = control_length(scores, lengths, prompts)
        found.append(
            GradedResult(
                contender=facts["contender"], against=facts["against"], judge=judge["model"],
                judged=len(scores), win_rate=sum(scores) / len(scores),
                standard_error=_standard_error(scores),
                length_controlled_win_rate=controlled.rate if controlled else None,
            )
        )  # fmt: skip
    return found


def _standard_error(scores: Sequence[float]) -> float | None:
    if len(scores) < 2:
        return None
    mean = sum(scores) / len(scores)
    variance = sum((one - mean) ** 2 for one in scores) / (len(scores) - 1)
    return float((variance / len(scores)) ** 0.5)


def _read(path: Path) -> list[dict[str, Any]]:
    document = read_json(path)
    if not isinstance(document, list) or not document:
        raise DataError(f"{path.name} holds no list of annotations.")
    for number, row in enumerate(document, start=1):
        missing = [one for one in _NEEDED if not isinstance(row, dict) or row.get(one) is None]
        if missing:
            raise DataError(f"{path.name}, row {number}: '{missing[0]}' is missing.")
        value = row["preference"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 2:
            raise DataError(
                f"{path.name}, row {number}: the preference {shortened(str(value), 20)} does not "
                "lie between 1 and 2."
            )
        if not all(isinstance(row[one], str) for one in _NEEDED[:3]):
            raise DataError(f"{path.name}, row {number}: instruction and outputs must be texts.")
    return document


def _named(row: Mapping[str, Any], number: int) -> str:
    return _UNFIT.sub("-", str(row.get(f"generator_{number}") or f"model-{number}"))[:60]


def _make_review(
    workspace: Workspace, name: str, rows: Sequence[Mapping[str, Any]], generators: Sequence[str]
) -> None:
    """Make a review of the instructions and of both models' outputs."""
    if generators[0] == generators[1]:
        raise ReviewError("Both outputs are of one model: there is nothing to compare.")
    folder = workspace.uploads / secrets.token_hex(8)
    folder.mkdir()
    prompts = folder / f"{_UNFIT.sub('-', name)[:60]}.jsonl"
    _write(prompts, [{"prompt": row["instruction"]} for row in rows])
    words = []
    for number, generator in enumerate(generators, start=1):
        file = workspace.responses / f"{generator}.jsonl"
        if file.exists():
            file = workspace.responses / f"{generator}-{secrets.token_hex(3)}.jsonl"
        outputs = [
            {"row": at, "response": row[f"output_{number}"]} for at, row in enumerate(rows, start=1)
        ]
        _write(file, outputs)
        words.append(f"file:{file}")
    dataset = load_prompt_list(prompts)
    DatasetStore(workspace).keep(dataset)
    shutil.rmtree(folder, ignore_errors=True)
    plan = plan_review(workspace, dataset, name, words, RowChoice(None), Sampling())
    create_review(workspace, dataset, plan)
    answer_review(workspace, name, ModelCache(workspace), lambda: False, lambda _done, _total: None)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_file(path, lines.encode())


def _pairs(
    store: JudgeStore, review_id: int, generators: Sequence[str], path: Path
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return a review's pairs by instruction and both outputs, in the file's order."""
    found = {}
    for row in store.pairs(review_id):
        texts = {
            row["first_contender"]: row["first_text"],
            row["second_contender"]: row["second_text"],
        }
        named = [
            next((one for one in texts if one.startswith(generator)), None)
            for generator in generators
        ]
        if None in named or named[0] == named[1]:
            continue
        found[row["prompt"].strip(), texts[named[0] or ""], texts[named[1] or ""]] = row
    if not found:
        raise ReviewError(
            f"{path.name} compares {generators[0]} and {generators[1]}, who do not meet in this review."
        )
    return found
