"""A review leaves the workspace: people's ratings, or, never in one file with them, what models as
judges said.
"""

import json
from collections.abc import Iterator
from typing import Any

from core.errors import ReviewError
from review.exchange.export import export_review
from review.exchange.formats import EXPORT_FORMATS
from review.judges.agreement import together
from review.judges.protocols import COMPARING
from review.judges.score_pairs import read_score_pair
from review.judges.store import JudgeRow, JudgeStore
from review.store.reviews import ReviewStore


def export_any(reviews: ReviewStore, name: str, form: str, of: str = "") -> str:
    """Return a review as the text of a file; ``of`` is the judge or the contender whose it shall be, ''
    for all of them, or for the last judge where a file holds but one.

    Raises ReviewError for an unknown review, format, judge or contender, and where there is nothing.
    """
    found = EXPORT_FORMATS.get(form)
    if found is None or found.is_of_people:
        return export_review(reviews, name, form)
    writers = {"judgements": _judgements, "annotations": _annotations, "outputs": _outputs}
    rows = list(writers[form](reviews, name, of))
    if not rows:
        raise ReviewError(f"There is nothing of that kind in the review '{name}' yet.")
    if found.ending == "jsonl":
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def _judges(reviews: ReviewStore, name: str, of: str) -> list[JudgeRow]:
    judges = JudgeStore(reviews).of_review(reviews.find(name)["id"])
    if of and not any(one["model"] == of for one in judges):
        raise ReviewError(f"The review '{name}' has no judge '{of}'.")
    return [one for one in judges if not of or one["model"] == of]


def _judgements(reviews: ReviewStore, name: str, of: str) -> Iterator[dict[str, Any]]:
    """Yield each judgement by itself."""
    store = JudgeStore(reviews)
    review_id = reviews.find(name)["id"]
    pairs = {row["pair_id"]: row for row in store.pairs(review_id)}
    responses = {row["response_id"]: row for row in store.responses(review_id)}
    for judge in _judges(reviews, name, of):
        whose = {"review": name, "judge": judge["model"], "protocol": judge["protocol"]}
        is_of_pairs = json.loads(judge["facts"]).get("has_score_pairs", False)
        for row in store.comparisons(judge["id"]):
            pair = pairs[row["pair_id"]]
            scores = {"scores": read_score_pair(row["said"])} if is_of_pairs else {}
            yield whose | scores | {
                "row": pair["data_row"], "first": pair["first_contender"],
                "second": pair["second_contender"], "exchanged": bool(row["is_turned"]),
                "choice": row["choice"], "preference_for_second": row["preference"],
                "said": row["said"], "judged_at": row["judged_at"],
            }  # fmt: skip
        for score in store.scores(judge["id"]):
            one = responses[score["response_id"]]
            yield whose | {
                "row": one["data_row"], "contender": one["contender"], "score": score["score"],
                "levels": json.loads(score["levels"]), "said": score["said"],
                "judged_at": score["judged_at"],
            }  # fmt: skip


def _annotations(reviews: ReviewStore, name: str, of: str) -> Iterator[dict[str, Any]]:
    """Yield AlpacaEval's annotations of the last judge that compares, both orders as one preference."""
    store = JudgeStore(reviews)
    comparing = [one for one in _judges(reviews, name, of) if one["protocol"] in COMPARING]
    for judge in comparing[-1:]:
        said = together(judge, store.comparisons(judge["id"]))
        turned = json.loads(judge["facts"]).get("contender")
        for pair in store.pairs(judge["review_id"]):
            if pair["pair_id"] not in said:
                continue
            for_second = 1 - said[pair["pair_id"]]
            sides = ("first", "second")
            if turned == pair["first_contender"]:
                sides, for_second = ("second", "first"), 1 - for_second
            yield {
                "instruction": pair["prompt"], "output_1": pair[f"{sides[0]}_text"],
                "generator_1": pair[f"{sides[0]}_contender"],
                "output_2": pair[f"{sides[1]}_text"],
                "generator_2": pair[f"{sides[1]}_contender"], "annotator": judge["model"],
                "preference": 1 + for_second,
            }  # fmt: skip


def _outputs(reviews: ReviewStore, name: str, of: str) -> Iterator[dict[str, Any]]:
    """Yield a contender's responses as AlpacaEval's model outputs, or those of all."""
    rows = JudgeStore(reviews).responses(reviews.find(name)["id"])
    if of and not any(row["contender"] == of for row in rows):
        raise ReviewError(f"The review '{name}' has no contender '{of}'.")
    for row in rows:
        if not of or row["contender"] == of:
            yield {
                "instruction": row["prompt"], "output": row["text"], "generator": row["contender"],
                "dataset": name,
            }  # fmt: skip
