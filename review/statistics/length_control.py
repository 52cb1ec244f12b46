"""The win rate that would be left if both answers were equally long.

Pure functions; knows no table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from review.statistics.logistic_regression import fit_logistic

_LEAST = 20  # verdicts; fewer do not tell length and quality apart
# of verdicts on which either answer is the longer: with fewer, equal lengths lie beyond nearly all
# that was seen
_LEAST_SHARE = 0.1
_MOST_APART = 0.5  # of the mean of the features, which lie between -1 and 1
# Of the constant nothing is known. A longer answer is mostly preferred a little (about 1 in log
# odds where models were compared
# in numbers), and seldom so much that length alone decides.
_PRIOR_MEAN = np.array([0.0, 0.5])
_PRIOR_PRECISION = np.array([0.0, 1.0])


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """What length does to the verdicts."""

    rate: float  # win rate at equal lengths
    low: float  # 95 % interval
    high: float
    effect: (
        float  # of a longer answer, in log odds at tanh = 1; above 0: the longer one is preferred
    )
    effect_is_sure: bool  # its 95 % interval leaves 0 out


def control_length(
    scores: Sequence[float], lengths: Sequence[tuple[int, int]], prompts: Sequence[int]
) -> LengthControlled | None:
    """Return the length-controlled win rate of the first of two contenders; None where the verdicts
    do not tell.

    ``scores`` are 1, 0 or one half from the first one's side, ``lengths`` those of both answers in
    characters, ``prompts`` what belongs together. A logistic regression of the score on a constant
    and tanh of the difference of lengths over its standard deviation, with a weak normal prior on
    the effect of length, asked for a difference of 0 (Dubois et al. 2024, "Length-Controlled
    AlpacaEval", arXiv 2404.04475, without their terms for the instruction's difficulty: figures are
    not those of their leaderboard).
    """
    differences = np.array([first - second for first, second in lengths], dtype=np.float64)
    if len(scores) < _LEAST or differences.std() == 0:
        return None
    lengthened = np.tanh(differences / differences.std())
    each_way = min((differences > 0).mean(), (differences < 0).mean())
    if each_way < _LEAST_SHARE and abs(lengthened.mean()) > _MOST_APART:
        return None
    features = np.stack([np.ones(len(scores)), lengthened], axis=1)
    fitted = fit_logistic(
        features,
        np.array(scores, dtype=np.float64),
        prompts,
        prior_mean=_PRIOR_MEAN,
        prior_precision=_PRIOR_PRECISION,
    )
    if fitted is None or fitted.clustered is None:
        return None
    constant, effect = fitted.coefficients
    variances = np.diag(fitted.posterior)
    if len(set(prompts)) < len(prompts):
        variances = np.maximum(variances, np.diag(fitted.clustered))
    quantile = float(stdtrit(len(set(prompts)) - 1, 0.975))
    half = quantile * math.sqrt(variances[0])
    rate, low, high = (_chance(value) for value in (constant, constant - half, constant + half))
    is_sure = abs(effect) > quantile * math.sqrt(variances[1])
    return LengthControlled(rate, low, high, float(effect), bool(is_sure))


def _chance(log_odds: float) -> float:
    """Return the chance that log odds stand for, however large they are."""
    return (1 + math.tanh(log_odds / 2)) / 2
