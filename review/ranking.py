"""Verdicts between several contenders become strengths and ranks. Pure functions; knows no table.

Bradley and Terry (Biometrika 39, 1952): the chance that one beats another is the logistic function of the difference of their
strengths. Ties and both bad count half for each, as the Chatbot Arena has it (Chiang et al. 2024, arXiv 2403.04132).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from review.logistic import LEAST_CLUSTERS, fit_logistic
from review.statistics import Z95

_SCALE = 400 / math.log(10)  # of Elo: 400 points are odds of ten to one
_MEAN = 1000.0


@dataclass(frozen=True, slots=True)
class Bout:
    """One verdict on two contenders."""

    first: str
    second: str
    score: float  # 1 for the first, 0 for the second, one half for neither
    prompt: int  # verdicts on one prompt belong together


@dataclass(frozen=True, slots=True)
class Standing:
    """One contender among the others."""

    name: str
    rating: float  # on Elo's scale; all have 1,000 in the mean
    low: float  # 95 % interval
    high: float
    best_rank: int  # 1 and as many as are surely better
    worst_rank: int  # all but those who are surely worse
    bouts: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """All contenders, the strongest first, or why they cannot be ranked yet."""

    standings: tuple[Standing, ...]
    obstacle: str = ""


def rank(names: Sequence[str], bouts: Sequence[Bout]) -> Ranking:
    """Return the contenders' strengths with intervals that count each prompt, not each verdict, as independent."""
    if obstacle := _obstacle(names, bouts):
        return Ranking((), obstacle)
    if len({bout.prompt for bout in bouts}) < LEAST_CLUSTERS:
        return Ranking((), f"A ranking needs verdicts on {LEAST_CLUSTERS} prompts or more.")
    place = {name: number for number, name in enumerate(names)}
    features = np.zeros((len(bouts), len(names)))
    for row, bout in enumerate(bouts):
        features[row, place[bout.first]], features[row, place[bout.second]] = 1.0, -1.0
    fitted = fit_logistic(features, np.array([bout.score for bout in bouts]), [bout.prompt for bout in bouts])
    if fitted is None:
        return Ranking((), "The verdicts are too one-sided to rank the contenders yet.")
    strengths, covariance = fitted
    ratings = _MEAN + _SCALE * strengths
    halves = Z95 * _SCALE * np.sqrt(np.maximum(np.diag(covariance), 0.0))  # rounding can go below
    standings = [
        Standing(
            name,
            float(ratings[at]),
            float(ratings[at] - halves[at]),
            float(ratings[at] + halves[at]),
            1 + sum(_surely_better(strengths, covariance, other, at) for other in range(len(names))),
            len(names) - sum(_surely_better(strengths, covariance, at, other) for other in range(len(names))),
            sum(name in {bout.first, bout.second} for bout in bouts),
        )
        for name, at in place.items()
    ]
    return Ranking(tuple(sorted(standings, key=lambda standing: -standing.rating)))


def _surely_better(strengths: "np.ndarray", covariance: "np.ndarray", one: int, other: int) -> bool:
    """Tell whether the interval of the difference of two strengths lies above 0: sharper than two intervals apart."""
    variance = covariance[one, one] + covariance[other, other] - 2 * covariance[one, other]
    return bool(strengths[one] - strengths[other] > Z95 * math.sqrt(max(variance, 0.0))) and one != other


def _obstacle(names: Sequence[str], bouts: Sequence[Bout]) -> str:
    """Return why no strengths exist: each must be linked to each by wins or ties (Ford, Amer. Math. Monthly 64, 1957)."""
    beats: dict[str, set[str]] = {name: set() for name in names}
    for bout in bouts:
        if bout.score > 0:
            beats[bout.first].add(bout.second)
        if bout.score < 1:
            beats[bout.second].add(bout.first)
    for name in names:
        reached, waiting = {name}, [name]
        while waiting:
            new = beats[waiting.pop()] - reached
            reached |= new
            waiting += new
        if beyond := [other for other in names if other not in reached]:
            behind = [other for other in names if other in reached]
            return (
                f"{_listed(behind)} never won against or tied with {_listed(beyond)} so far: "
                "all can be ranked only when verdicts link each with each."
            )
    return ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
