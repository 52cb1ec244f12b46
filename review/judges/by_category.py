"""What a judge says by categories of prompts, as MT-bench reports it. Pure."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from review.judges.store import ScoreRow
from review.statistics.intervals import clustered_mean, wilson_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryScore:
    """A contender's mean score in one category."""

    contender: str
    category: str  # '' for all together
    answers: int
    mean: float  # of the protocol's scale
    low: float | None  # 95 % interval; None where too few prompts tell
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryShare:
    """A contender's win rate against another in one category."""

    category: str
    pairs: int
    win_rate: float
    low: float  # 95 % interval
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceShare:
    """How often a judge chose one description of a contender's answers."""

    contender: str
    choice: str
    answers: int
    share: float
    low: float  # 95 % interval
    high: float


def choice_shares(
    rows: Sequence[ScoreRow], responses: Sequence[Mapping[str, Any]], choices: Sequence[str]
) -> tuple[ChoiceShare, ...]:
    """Return for each contender how often each of the ``choices`` of a classification was made."""
    places = {row["response_id"]: json.loads(row["levels"]) for row in rows}
    made: dict[str, list[int]] = defaultdict(list)
    for one in responses:
        known = places.get(one["response_id"])
        if known and known[0] is not None:
            made[one["contender"]].append(int(known[0]))
    found = []
    for contender, chosen in sorted(made.items()):
        for place, choice in enumerate(choices):
            count = chosen.count(place)
            low, high = wilson_interval(float(count), float(len(chosen)))
            found.append(
                ChoiceShare(
                    contender=contender, choice=choice, answers=count, share=count / len(chosen),
                    low=low, high=high,
                )
            )  # fmt: skip
    return tuple(found)


def scores_by_category(
    rows: Sequence[ScoreRow], responses: Sequence[Mapping[str, Any]], scale: Sequence[float]
) -> tuple[CategoryScore, ...]:
    """Return each contender's mean, over all and then by category where there are several.

    The intervals are those of ``clustered_mean`` on the protocol's ``scale``, lowest value first.
    """
    known = {row["response_id"]: row["score"] for row in rows if row["score"] is not None}
    values: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for one in responses:
        if (score := known.get(one["response_id"])) is not None:
            for category in dict.fromkeys(("", one["category"])):
                values[category, one["contender"]].append((one["prompt_id"], score))
    categories = {category for category, _ in values if category}
    kept = sorted(key for key in values if not key[0] or len(categories) > 1)
    found = []
    for category, contender in kept:
        scores = values[category, contender]
        mean, interval = clustered_mean(scores, scale)
        low, high = interval or (None, None)
        found.append(
            CategoryScore(
                contender=contender, category=category, answers=len(scores), mean=mean,
                low=None if low is None else max(low, scale[0]),
                high=None if high is None else min(high, scale[-1]),
            )
        )  # fmt: skip
    return tuple(found)


def shares_by_category(
    scores: Mapping[int, float], members: Sequence[int], pairs: Mapping[int, Mapping[str, Any]]
) -> tuple[CategoryShare, ...]:
    """Return the first contender's win rate by category of the ``members``; none for fewer than two
    categories.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for pair in members:
        if pairs[pair]["category"]:
            values[pairs[pair]["category"]].append(scores[pair])
    if len(values) < 2:
        return ()
    found = []
    for category, known in sorted(values.items()):
        low, high = wilson_interval(sum(known), float(len(known)))
        found.append(
            CategoryShare(
                category=category, pairs=len(known), win_rate=sum(known) / len(known), low=low,
                high=high,
            )
        )  # fmt: skip
    return tuple(found)
