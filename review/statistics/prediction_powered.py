"""Few human verdicts and many judgements together: an estimate that people's verdicts keep honest.

Prediction-powered inference with power tuning (Angelopoulos et al., Science 382 (2023), arXiv
2301.09633; PPI++: arXiv 2311.01453). Pure functions; knows no table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

_FEWEST = 20  # human verdicts
_LEVEL = 0.975
_WIDEST = 1.05  # times the interval of people alone


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredMean:
    """A mean by people and judge together."""

    value: float
    low: float  # 95 % interval
    high: float
    weight: float  # of the judge: 0 where it tells nothing, 1 where it is as good as people
    people_low: float  # of people alone, made in the same way
    people_high: float
    saved: float  # share of the human verdicts that the judge stood in for


def powered_mean(
    human: Sequence[float], judged: Sequence[float], judged_only: Sequence[float]
) -> PoweredMean | None:
    """Return the mean of human scores between 0 and 1 over all items; None for fewer than twenty.

    ``human`` and ``judged`` are scores of the same n items, ``judged_only`` the judge's of N others;
    the n must be drawn at random from all. The estimate is lam * mean(f of N) + mean(Y - lam * f),
    its variance var(Y - lam * f) / n + lam^2 * var(f) / N, and lam = cov(Y, f) / ((1 + n/N) var(f)),
    held between 0 and 1. Two items that people call right and two that they call wrong, of each of
    which the judge is right about one, are added, and Student's t taken: the plain interval covers
    too seldom at 20 to 30 verdicts.
    """
    if len(human) < _FEWEST:
        return None
    y = np.array([*human, 1.0, 1.0, 0.0, 0.0])
    f = np.array([*judged, 1.0, 0.0, 0.0, 1.0])
    people = _alone(y)
    if len(judged_only) == 0:
        return PoweredMean(
            value=people[0], low=people[1], high=people[2], weight=0.0, people_low=people[1],
            people_high=people[2], saved=0.0,
        )  # fmt: skip
    others = np.array(judged_only, dtype=np.float64)
    n, count = len(y), len(others)
    spread = float(np.var([*f, *others], ddof=1))
    covariance = float(((y - y.mean()) * (f - f.mean())).mean())
    weight = min(max(covariance / ((1 + n / count) * spread), 0.0), 1.0) if spread else 0.0
    rest = y - weight * f
    value = weight * float(others.mean()) + float(rest.mean())
    # each part's own variance: people's items, and the judge's
    of_rest = float(rest.var(ddof=1)) / n
    of_judge = weight**2 * float(others.var(ddof=1)) / count if count > 1 else 0.0
    half = float(stdtrit(n - 1, _LEVEL)) * math.sqrt(of_rest + of_judge)
    alone = float(y.var(ddof=1)) / n
    if of_rest + of_judge > _WIDEST**2 * alone:  # by chance, of a judge who tells little
        return powered_mean(human, judged, ())
    saved = max(0.0, 1 - (of_rest + of_judge) / alone) if alone else 0.0
    return PoweredMean(
        value=min(max(value, 0.0), 1.0), low=max(value - half, 0.0), high=min(value + half, 1.0),
        weight=weight, people_low=people[1], people_high=people[2], saved=saved,
    )  # fmt: skip


def _alone(y: "np.ndarray") -> tuple[float, float, float]:
    mean = float(y.mean())
    half = float(stdtrit(len(y) - 1, _LEVEL)) * math.sqrt(float(y.var(ddof=1)) / len(y))
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)
