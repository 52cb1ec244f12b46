"""The pairs on which a judge and people name different winners, with what each of them said."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from review.judges.agreement import report_judges
from review.judges.protocols import COMPARING
from review.judges.store import ComparisonRow, JudgeRow, JudgeStore, ScoreRow, stored_protocol
from review.results.drilldown import Drilldown, chosen_pairs
from review.store.reviews import ReviewStore

_LONGEST_WORDS = 600  # characters of what a judge wrote


def judged_otherwise(
    reviews: ReviewStore, name: str, judge_id: int, asked_by: str = ""
) -> Drilldown:
    """Return those pairs; to ``asked_by``, where that is somebody who judges the review, only what they
    have judged. Raises ReviewError when there is no such review or judge.
    """
    store = JudgeStore(reviews)
    judge = store.find(reviews.find(name)["id"], judge_id)
    report = next(one for one in report_judges(reviews, name) if one.id == judge_id)
    found = chosen_pairs(reviews, name, report.disagreements, asked_by)
    sides = {row["pair_id"]: row for row in store.pairs(judge["review_id"])}
    said = _Said(store, judge)
    pairs = [
        replace(pair, said=(*pair.said, *said.of_pair(sides[pair.number]))) for pair in found.pairs
    ]
    return replace(found, pairs=pairs)


class _Said:
    """What one judge said, by the pairs that it is about."""

    def __init__(self, store: JudgeStore, judge: JudgeRow) -> None:
        self._name = f"{judge['model']}, {judge['protocol']}"
        compares = judge["protocol"] in COMPARING
        self._comparisons: Sequence[ComparisonRow] = (
            store.comparisons(judge["id"]) if compares else ()
        )
        scores: Sequence[ScoreRow] = () if compares else store.scores(judge["id"])
        self._scores = {row["response_id"]: row for row in scores}
        self._choices = [title for title, _ in stored_protocol(judge).choices]

    def of_pair(self, sides: dict[str, Any]) -> list[tuple[str, str, str]]:
        """Return lines of who, what and in which words."""
        lines = []
        for row in self._comparisons:
            if row["pair_id"] == sides["pair_id"]:
                order = ", answers exchanged" if row["is_turned"] else ""
                lines.append((f"{self._name}{order}", _outcome(row, sides), _words(row["said"])))
        for side in ("first", "second"):
            if (score := self._scores.get(sides[f"{side}_response_id"])) is not None:
                outcome = f"{sides[f'{side}_contender']} {_points(score, self._choices)}"
                lines.append((self._name, outcome, _words(score["said"])))
        return lines


def _outcome(row: ComparisonRow, sides: dict[str, Any]) -> str:
    if row["choice"] in {"first", "second"}:
        return f"{sides[row['choice'] + '_contender']} better"
    return "could not be read" if row["choice"] == "error" else "tie"


def _points(row: ScoreRow, choices: Sequence[str]) -> str:
    """Return a score in words, with the level of each criterion or the description that was chosen."""
    if row["score"] is None:
        return "could not be read"
    levels = json.loads(row["levels"])
    if choices and levels:
        return f"{row['score']:.2f} ({choices[int(levels[0])]})"
    told = ", ".join(f"{level:.1f}" for level in levels)
    return f"{row['score']:.1f} ({told})" if told else f"{row['score']:g}"


def _words(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONGEST_WORDS else f"{plain[:_LONGEST_WORDS]} …"
