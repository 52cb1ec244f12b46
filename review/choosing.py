"""Between whom the next verdict tells most, of what has been judged so far. Knows no table and no pair.

The design that learns the strengths fastest asks where p(1 - p) · Var(θᵢ - θⱼ) is largest: where the outcome is open and the
difference unknown (the gain in Fisher information of one more Bradley–Terry comparison; Chiang et al. 2024, arXiv 2403.04132,
choose by the same variance). Strengths are fitted with a normal prior, so that they exist from the first verdict on.
"""

from collections.abc import Mapping

import numpy as np

from review.logistic import Array

Meeting = tuple[int, int]  # two contenders, the lower number first
_PRIOR_PRECISION = 0.5  # of a strength, in log odds: a contender may be far better, but is not known to be
_STEPS = 25
_SETTLED = 1e-8


def expected_gains(tallies: Mapping[Meeting, tuple[float, int]]) -> dict[Meeting, float]:
    """Return what one more verdict tells about each meeting; ``tallies`` holds (score of the first, verdicts)."""
    names = sorted({name for meeting in tallies for name in meeting})
    place = {name: number for number, name in enumerate(names)}
    design = np.zeros((len(tallies), len(names)))
    for row, (first, second) in enumerate(tallies):
        design[row, place[first]], design[row, place[second]] = 1.0, -1.0
    scores = np.array([score for score, _ in tallies.values()])
    counts = np.array([float(count) for _, count in tallies.values()])
    strengths: Array = np.zeros(len(names))
    covariance: Array = np.eye(len(names)) / _PRIOR_PRECISION
    for _ in range(_STEPS):
        chances: Array = 1 / (1 + np.exp(-design @ strengths))
        gradient = design.T @ (scores - counts * chances) - _PRIOR_PRECISION * strengths
        curvature = (design * (counts * chances * (1 - chances))[:, None]).T @ design + _PRIOR_PRECISION * np.eye(len(names))
        covariance = np.asarray(np.linalg.inv(curvature), dtype=np.float64)
        step = covariance @ gradient
        strengths = strengths + step
        if np.abs(step).max() < _SETTLED:
            break
    chances = 1 / (1 + np.exp(-design @ strengths))
    variances = ((design @ covariance) * design).sum(axis=1)
    return dict(zip(tallies, (chances * (1 - chances) * variances).tolist(), strict=True))
