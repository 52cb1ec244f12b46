"""Between whom the next verdict tells most, of what has been judged so far.

Knows no table and no pair. The design that learns the strengths fastest asks where p(1 - p) ·
Var(θᵢ - θⱼ) is largest: where the outcome is open and the difference unknown (the gain in Fisher
information of one more Bradley–Terry comparison; Chiang et al. 2024, arXiv 2403.04132, choose by
the same variance). Strengths are fitted with a normal prior, so that they exist from the first
verdict on.
"""

from collections.abc import Mapping

import numpy as np

from review.statistics.logistic_regression import Array, fit_logistic

Meeting = tuple[int, int]  # two contenders, the lower number first
# of a strength in log odds: two thirds of contenders within odds of seven to one of the mean
_PRIOR_PRECISION = 0.25


def expected_gains(tallies: Mapping[Meeting, tuple[float, int]]) -> dict[Meeting, float]:
    """Return what one more verdict tells about each meeting; ``tallies`` holds (score of the first,
    verdicts).
    """
    names = sorted({name for meeting in tallies for name in meeting})
    place = {name: number for number, name in enumerate(names)}
    design = np.zeros((len(tallies), len(names)))
    for row, (first, second) in enumerate(tallies):
        design[row, place[first]], design[row, place[second]] = 1.0, -1.0
    counts = np.array([float(count) for _, count in tallies.values()])
    shares = np.array([score / count if count else 0.5 for score, count in tallies.values()])
    fit = fit_logistic(
        design, shares, weights=counts, prior_precision=np.full(len(names), _PRIOR_PRECISION)
    )
    assert fit is not None  # with a prior there is always one
    chances: Array = 1 / (1 + np.exp(-design @ fit.coefficients))
    variances = ((design @ fit.posterior) * design).sum(axis=1)
    return dict(zip(tallies, (chances * (1 - chances) * variances).tolist(), strict=True))
