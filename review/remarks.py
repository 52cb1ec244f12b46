"""What reviewers said of single responses, counted by contender: stars and tags. Knows no table and no screen."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from review.logistic import LEAST_CLUSTERS
from review.rating import MOST_STARS, Remarks
from review.statistics import Z95
from review.votes import Vote


@dataclass(frozen=True, slots=True)
class Stars:
    """The stars of one contender's responses."""

    count: int
    mean: float
    interval: tuple[float, float] | None  # 95 %; None where too few prompts tell


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of one contender."""

    contender: str
    stars: Stars | None  # None where nobody gave any
    tags: dict[str, int]  # the most frequent first


def count_remarks(votes: Sequence[Vote], contenders: Sequence[str], *, single: bool = False) -> tuple[Said, ...]:
    """Return what the verdicts say of each contender; with ``single`` only A is there."""
    tags: dict[str, Counter[str]] = {name: Counter() for name in contenders}
    stars: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for vote in votes:
        for contender, remarks in _sides(vote)[: 1 if single else 2]:
            tags[contender].update(remarks.tags)
            if remarks.stars is not None:
                stars[contender].append((vote.prompt, remarks.stars))
    return tuple(Said(name, mean_stars(stars[name]), dict(tags[name].most_common())) for name in contenders)


def mean_stars(given: Sequence[tuple[int, int]]) -> Stars | None:
    """Return the mean of (prompt, stars) and its interval, None for none.

    Stars on one prompt resemble each other, so the variance is that of the prompts' summed deviations, with the factor
    C / (C - 1) for C prompts (Miller, "Adding Error Bars to Evals", arXiv 2411.00640, 2024, section 2.2). It is at least that of
    the mean after C verdicts and one more, shared evenly among the numbers of stars, as prior (a Dirichlet distribution's: Gelman
    et al., "Bayesian Data Analysis", 3rd edition, 2013, section 3.4): ten times five stars do not prove that there is nothing
    else.
    """
    if not given:
        return None
    mean = sum(stars for _, stars in given) / len(given)
    deviations: dict[int, float] = defaultdict(float)
    for prompt, stars in given:
        deviations[prompt] += stars - mean
    if len(deviations) < LEAST_CLUSTERS:
        return Stars(len(given), mean, None)
    factor = len(deviations) / (len(deviations) - 1)
    variance = factor * sum(deviation**2 for deviation in deviations.values()) / len(given) ** 2
    half = Z95 * math.sqrt(max(variance, _least_variance(Counter(stars for _, stars in given), len(deviations))))
    return Stars(len(given), mean, (max(mean - half, 1.0), min(mean + half, float(MOST_STARS))))


def _least_variance(given: "Counter[int]", prompts: int) -> float:
    """Return the variance of the mean under a Dirichlet posterior of as many verdicts as there are prompts."""
    weight = prompts / given.total()
    counts = {stars: given[stars] * weight + 1 / MOST_STARS for stars in range(1, MOST_STARS + 1)}
    total = sum(counts.values())
    mean = sum(stars * count for stars, count in counts.items()) / total
    square = sum(stars**2 * count for stars, count in counts.items()) / total
    return (square - mean**2) / (total + 1)


def _sides(vote: Vote) -> tuple[tuple[str, Remarks], ...]:
    a, b = vote.remarks
    return (vote.a, a), (vote.b, b)
