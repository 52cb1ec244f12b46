"""What a judge says by categories of prompts, as MT-bench reports it. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from review.judges.store import ScoreRow
from review.statistics.intervals import wilson_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryScore:
    """A contender's mean score in one category."""

    contender: str
    category: str  # '' for all together
    answers: int
    mean: float  # of the protocol's scale
    low: float | None  # 95 % interval; None below two answers
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryShare:
    """A contender's win rate against another in one category."""

    category: str
    pairs: int
    win_rate: float
    low: float  # 95 % interval
    high: float


def scores_by_category(
    rows: Sequence[ScoreRow], responses: Sequence[Mapping[str, Any]]
) -> tuple[CategoryScore, ...]:
    """Return each contender's mean, over all and then by category where there are several."""
    known = {row["response_id"]: row["score"] for row in rows if row["score"] is not None}
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in responses:
        if (score := known.get(one["response_id"])) is not None:
            for category in dict.fromkeys(("", one["category"])):
                values[category, one["contender"]].append(score)
    categories = {category for category, _ in values if category}
    kept = sorted(key for key in values if not key[0] or len(categories) > 1)
    return tuple(
        _score(contender, category, values[category, contender]) for category, contender in kept
    )


def _score(contender: str, category: str, scores: Sequence[float]) -> CategoryScore:
    mean, count = float(np.mean(scores)), len(scores)
    half = None
    if count > 1:
        half = float(stdtrit(count - 1, 0.975) * np.std(scores, ddof=1) / np.sqrt(count))
    return CategoryScore(
        contender=contender, category=category, answers=count, mean=mean,
        low=None if half is None else mean - half, high=None if half is None else mean + half,
    )  # fmt: skip


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
