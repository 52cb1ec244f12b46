"""The win rate that would be left if both answers were equally long. Pure functions; knows no table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from review.logistic import fit_logistic
from review.statistics import Z95

_LEAST = 20  # verdicts; fewer do not tell length and quality apart
_LEAST_EACH_WAY = 5  # verdicts where either is no longer than the other: else equal lengths lie beyond all that was seen


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """What length does to the verdicts."""

    rate: float  # win rate at equal lengths
    low: float  # 95 % interval
    high: float
    effect: float  # of a longer answer, in log odds at tanh = 1; above 0: the longer one is preferred
    effect_is_sure: bool  # its 95 % interval leaves 0 out


def control_length(
    scores: Sequence[float], lengths: Sequence[tuple[int, int]], prompts: Sequence[int]
) -> LengthControlled | None:
    """Return the length-controlled win rate of the first of two contenders; None where the verdicts do not tell.

    ``scores`` are 1, 0 or one half from the first one's side, ``lengths`` those of both answers in characters, ``prompts`` what
    belongs together. A logistic regression of the score on a constant and tanh of the difference of lengths over its standard
    deviation, asked for a difference of 0 (Dubois et al. 2024, "Length-Controlled AlpacaEval", arXiv 2404.04475, without their
    terms for the instruction's difficulty: figures are not those of their leaderboard).
    """
    differences = np.array([first - second for first, second in lengths], dtype=np.float64)
    each_way = min((differences >= 0).sum(), (differences <= 0).sum())
    if len(scores) < _LEAST or differences.std() == 0 or each_way < _LEAST_EACH_WAY:
        return None
    features = np.stack([np.ones(len(scores)), np.tanh(differences / differences.std())], axis=1)
    fitted = fit_logistic(features, np.array(scores, dtype=np.float64), prompts)
    if fitted is None:
        return None
    (constant, effect), covariance = fitted
    half = Z95 * math.sqrt(max(covariance[0, 0], 0.0))
    rate, low, high = (_chance(value) for value in (constant, constant - half, constant + half))
    is_sure = abs(effect) > Z95 * math.sqrt(max(covariance[1, 1], 0.0))
    return LengthControlled(rate, low, high, float(effect), bool(is_sure))


def _chance(log_odds: float) -> float:
    """Return the chance that log odds stand for, however large they are."""
    return (1 + math.tanh(log_odds / 2)) / 2
