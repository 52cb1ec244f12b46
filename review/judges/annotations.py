"""Annotations as AlpacaEval writes them (`annotations.json`) brought in: graded verdicts of a judge, with
the responses that they were given for.

`preference` is 1 for the first output, 2 for the second, between them otherwise, 0 for a draw in older
files, null where the judge said nothing (Dubois et al., arXiv 2305.14387); the win rate is the second's
mean preference.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.datasets.prompt_lists import load_prompt_list
from core.errors import DataError, ReviewError
from core.evaluation.layouts.folder import read_json, read_json_lines
from core.generation.model_cache import ModelCache
from core.storage.workspace import Workspace, check_new_name, now
from core.text import has_half_character, shortened
from review.judges.protocols import find_protocol
from review.judges.score_pairs import SCORE_PAIR_FIELDS, read_score_pairs
from review.judges.store import JudgeStore, SideChoice
from review.setup.from_responses import create_from_responses
from review.setup.generate_responses import answer_review
from review.statistics.alpaca_length_control import length_controlled_win_rate, read_difficulties
from review.statistics.length_control import control_length
from review.store.reviews import ReviewStore

_TEXTS = ("instruction", "output_1", "output_2")
_NEEDED = (*_TEXTS, "preference")
_ALIKE = ("annotator", "generator_1", "generator_2")  # in all rows of a file
_SCORE_PAIRS = ".jsonl"  # how FastChat's files end
_COPY = "-copy-"  # between a model's name and what makes it new
_UNFIT = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedResult:
    """What graded verdicts say of the second of two models."""

    number: int  # of the judge
    contender: str
    against: str
    judge: str
    judged: int
    errors: int  # whose words could not be read
    win_rate: float  # mean preference, 0 to 1
    standard_error: float | None
    length_controlled_win_rate: float | None  # None where lengths cannot be told from quality
    length_controlled_by: str  # whose formula that is, and with which file; '' where there is none


def holds_annotations(path: Path) -> bool:
    """Return whether a file is a list of AlpacaEval's annotations, or of FastChat's reviews in pairs of
    scores. Raises DataError.
    """
    looks: dict[str, tuple[Callable[[Path], Any], set[str]]] = {
        ".json": (read_json, {"preference", "output_1", "output_2"}),
        _SCORE_PAIRS: (read_json_lines, set(SCORE_PAIR_FIELDS)),
    }
    if path.suffix.lower() not in looks:
        return False
    read, fields = looks[path.suffix.lower()]
    try:
        document = read(path)
    except DataError:  # whoever reads it next says what is wrong with it
        return False
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and fields <= set(first)


def holds_pairs_of(reviews: ReviewStore, name: str, path: Path) -> bool:
    """Return whether a file's first row is about a pair of a review.

    Raises DataError for a file that is broken, ReviewError for a review that there is not.
    """
    row = next(one for one in _read(path) if not _is_same(one))
    asked = {_plain(row["output_1"]), _plain(row["output_2"])}
    return any(
        _plain(pair["prompt"]) == _plain(row["instruction"])
        and {_plain(pair["first_text"]), _plain(pair["second_text"])} == asked
        for pair in JudgeStore(reviews).pairs(reviews.find(name)["id"])
    )


def import_annotations(
    workspace: Workspace, name: str, path: Path, difficulties: Path | None = None
) -> GradedResult:
    """Add a file's graded verdicts to a review, and make the review where there is none.

    Outputs that are the same have no pair and count as ties. With AlpacaEval's file of
    ``difficulties`` its own length-controlled win rate is kept, else ours is reckoned. Raises
    DataError for a file that is broken, ReviewError where it does not fit the review; nothing of it
    is kept then.
    """
    rows = _read(path)
    controlled = _length_controlled(rows, difficulties)
    reviews = ReviewStore(workspace)
    generators = (_named(rows[0], 1), _named(rows[0], 2))
    if name not in {row["name"] for row in reviews.all()}:
        _make_review(workspace, name, rows, generators)
    review = reviews.find(name)
    store = JudgeStore(reviews)
    sides = _contenders(reviews, review["id"], generators, path)
    found = _matched(store.pairs(review["id"]), rows, sides, path, name)
    protocol = replace(find_protocol("alpaca"), template="\0".join(("from a file", *sides)))
    same = sum(_is_same(row) and row["preference"] is not None for row in rows)
    facts = {
        "file": path.name, "orders": 1, "contender": sides[1], "against": sides[0], "same": same,
        **({"has_score_pairs": True} if "said" in rows[0] else {}),
    }  # fmt: skip
    judge = store.add(review["id"], str(rows[0].get("annotator") or "annotator"), protocol, facts)
    store.begin_anew(judge["id"], {**facts, **controlled})
    store.add_comparisons(
        [
            {
                "judge_id": judge["id"], "pair_id": pair, "is_turned": 0,
                "choice": _choice(preference), "preference": preference, "said": said,
                "judged_at": now(),
            }
            for pair, preference, said in found
        ]
    )  # fmt: skip
    [result] = [one for one in graded_results(reviews, name) if one.number == judge["id"]]
    return result


def _choice(preference: float | None) -> SideChoice:
    if preference is None:
        return "error"
    return "tie" if preference == 0.5 else "second" if preference > 0.5 else "first"


def _length_controlled(rows: Sequence[Mapping[str, Any]], path: Path | None) -> dict[str, Any]:
    """Return the facts of AlpacaEval's own length-controlled win rate. Raises DataError."""
    if path is None:
        return {}
    rate = length_controlled_win_rate(
        [None if row["preference"] is None else _share(row) for row in rows],
        [(len(row["output_1"]), len(row["output_2"])) for row in rows],
        read_difficulties(path),
    )
    return {"length_controlled_win_rate": rate, "difficulties": path.name}


def _share(row: Mapping[str, Any]) -> float:
    """Return a preference for the second output, 0 to 1."""
    value = float(row["preference"])
    return value - 1 if value else 0.5


def _is_same(row: Mapping[str, Any]) -> bool:
    return _plain(row["output_1"]) == _plain(row["output_2"])


def _matched(
    pairs: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    sides: tuple[str, str],
    path: Path,
    name: str,
) -> list[tuple[int, float | None, str]]:
    """Return each row's pair with the preference for that pair's second response and what was said;
    rows whose outputs are the same have none, nor those of which nothing was said. Raises ReviewError
    for a row that fits no pair.
    """
    known: dict[tuple[str, str, str], tuple[int, bool]] = {}
    for pair in pairs:
        texts = {
            pair["first_contender"]: pair["first_text"],
            pair["second_contender"]: pair["second_text"],
        }
        if set(texts) == set(sides):
            key = (_plain(pair["prompt"]), _plain(texts[sides[0]]), _plain(texts[sides[1]]))
            known[key] = (pair["pair_id"], pair["second_contender"] == sides[1])
    found = []
    for number, row in enumerate(rows, start=1):
        key = (_plain(row["instruction"]), _plain(row["output_1"]), _plain(row["output_2"]))
        said = str(row.get("said", ""))
        if _is_same(row) or (row["preference"] is None and not said):
            continue
        if key not in known:
            raise ReviewError(
                f"{path.name}, row {number}: the review '{name}' has no such pair of answers."
            )
        pair_id, is_same_order = known[key]
        preference = None if row["preference"] is None else _share(row)
        if preference is not None and not is_same_order:
            preference = 1 - preference
        found.append((pair_id, preference, said))
    return found


def _plain(text: str) -> str:
    """Return a text as responses are kept: without other systems' line ends, and blanks around it."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def graded_results(reviews: ReviewStore, name: str) -> list[GradedResult]:
    """Return what each file of annotations says of a review."""
    review = reviews.find(name)
    store = JudgeStore(reviews)
    pairs = {row["pair_id"]: row for row in store.pairs(review["id"])}
    found = []
    for judge in store.of_review(review["id"]):
        facts = json.loads(judge["facts"])
        rows = store.comparisons(judge["id"]) if facts.get("orders") == 1 else []
        if not rows:
            continue
        same = int(facts.get("same", 0))
        scores, lengths, prompts = [0.5] * same, [(0, 0)] * same, [-n for n in range(1, same + 1)]
        read = [row for row in rows if row["choice"] != "error"]
        for row in read:
            pair = pairs[row["pair_id"]]
            is_first = pair["first_contender"] == facts["contender"]
            preference = row["preference"] or 0.0
            scores.append(1 - preference if is_first else preference)
            sides = (len(pair["first_text"]), len(pair["second_text"]))
            lengths.append(sides if is_first else sides[::-1])
            prompts.append(pair["prompt_id"])
        rate, by = facts.get("length_controlled_win_rate"), "AlpacaEval's formula"
        if rate is None:
            ours = control_length(scores, lengths, prompts)
            rate, by = ours.rate if ours else None, "a prior on the effect of length"
        found.append(
            GradedResult(
                number=judge["id"], contender=facts["contender"], against=facts["against"],
                judge=judge["model"], judged=len(scores),
                errors=len(rows) - len(read), win_rate=sum(scores) / len(scores),
                standard_error=_standard_error(scores),
                length_controlled_win_rate=rate,
                length_controlled_by="" if rate is None else by,
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
    is_of_pairs = path.suffix.lower() == _SCORE_PAIRS
    document = read_score_pairs(path) if is_of_pairs else read_json(path)
    if not isinstance(document, list) or not document:
        raise DataError(f"{path.name} holds no list of annotations.")
    for number, row in enumerate(document, start=1):
        fault = _fault_of(row) or _difference(row, document[0])
        if fault:
            raise DataError(f"{path.name}, row {number}: {fault}")
    if all(row["preference"] is None or _is_same(row) for row in document):
        raise DataError(f"{path.name} holds no preference between two outputs that differ.")
    return document


def _fault_of(row: object) -> str | None:
    """Return what is wrong with one annotation, or None."""
    if not isinstance(row, dict):
        return "it is no object."
    missing = [one for one in _NEEDED if one not in row or (row[one] is None and one in _TEXTS)]
    if missing:
        return f"'{missing[0]}' is missing."
    value = row["preference"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and (value == 0 or 1 <= value <= 2)):
        return f"the preference {shortened(str(value), 20)} does not lie between 1 and 2."
    texts = [row[one] for one in _TEXTS]
    if not all(isinstance(one, str) and not has_half_character(one) for one in texts):
        return "instruction and outputs must be texts."
    return None if texts[0].strip() else "the instruction is empty."


def _difference(row: Mapping[str, Any], first: Mapping[str, Any]) -> str | None:
    """Return in what an annotation is of another judge or pair of models than the first, or None."""
    for one in _ALIKE:
        if row.get(one) != first.get(one):
            return (
                f"'{one}' is another than in row 1; bring each judge and each pair of models as a "
                "file of its own."
            )
    return None


def _named(row: Mapping[str, Any], number: int) -> str:
    return _UNFIT.sub("-", str(row.get(f"generator_{number}") or f"model-{number}"))[:60]


def _make_review(
    workspace: Workspace, name: str, rows: Sequence[Mapping[str, Any]], generators: tuple[str, str]
) -> None:
    """Make a review of the instructions and of both models' outputs; nothing is left where that
    fails.
    """
    if generators[0] == generators[1]:
        raise ReviewError("Both outputs are of one model: there is nothing to compare.")
    check_new_name(name)
    responses = {
        _free_file(workspace, generator): [str(row[f"output_{number}"]) for row in rows]
        for number, generator in enumerate(generators, start=1)
    }
    stem = _UNFIT.sub("-", name)[:60]
    prompts = [{"prompt": row["instruction"]} for row in rows]
    create_from_responses(workspace, name, stem, prompts, responses, load_prompt_list)
    answer_review(workspace, name, ModelCache(workspace), lambda: False, lambda _done, _total: None)


def _free_file(workspace: Workspace, generator: str) -> Path:
    """Return where a model's outputs are written, whose name is the contender's."""
    file = workspace.responses / f"{generator}.jsonl"
    return (
        file if not file.exists() else file.with_stem(f"{generator}{_COPY}{secrets.token_hex(3)}")
    )


def _contenders(
    reviews: ReviewStore, review_id: int, generators: tuple[str, str], path: Path
) -> tuple[str, str]:
    """Return the review's contenders of a file's two models. Raises ReviewError."""
    names = [one.name for one in reviews.contenders(review_id)]
    found = []
    for generator in generators:
        copies = [
            one
            for one in names
            if re.fullmatch(rf"{re.escape(generator)}{_COPY}[0-9a-f]{{6}}", one)
        ]
        found += [generator] if generator in names else copies[:1]
    if len(set(found)) < 2:
        raise ReviewError(
            f"{path.name} compares {generators[0]} and {generators[1]}, who do not meet in this review."
        )
    return found[0], found[1]
