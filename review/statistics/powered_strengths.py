"""Strengths of several contenders by few human verdicts and many judgements together.

Prediction-powered inference for an M-estimate (Angelopoulos et al., arXiv 2301.09633; PPI++ with
power tuning, arXiv 2311.01453, sections 3 and 6) on the loss of Bradley and Terry. Pure functions;
knows no table. Shapes: K contenders, n human verdicts, N judgements of other pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from review.statistics.bradley_terry import ELO_MEAN, ELO_SCALE, Bout, bout_features
from review.statistics.logistic_regression import (
    Array,
    Fit,
    cluster_sums,
    fit_logistic,
    sigmoid,
    spread_of_sums,
)

FEWEST_PROMPTS = 20  # that people judged; the intervals would be too narrow below
_LEVEL = 0.975
_PRIOR_PRECISION = 0.25  # of a strength in log odds: so weak that the verdicts decide
_HIGHEST_WEIGHT = 0.95  # of the judge: people's verdicts never count for nothing
_LEAST_WEIGHT = 0.05
_MOST_LEVERAGE = 0.5  # of a verdict; more is not taken out of its residual
_WIDEST = 1.05  # times the interval of people alone


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredStrength:
    """One contender by people and judge together."""

    name: str
    rating: float  # on Elo's scale; all have 1,000 in the mean
    low: float  # 95 % interval
    high: float
    people_rating: float  # of people alone, made in the same way
    people_low: float
    people_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredStrengths:
    """All contenders, the strongest first."""

    strengths: tuple[PoweredStrength, ...]
    weight: float  # of the judge
    saved: float  # share of the human verdicts that the judge stood in for


def powered_strengths(
    names: Sequence[str], human: Sequence[Bout], judged: Sequence[Bout], others: Sequence[Bout]
) -> PoweredStrengths | None:
    """Return strengths of which people's verdicts take out what a judge gets wrong; None where people
    judged pairs of fewer than twenty prompts.

    ``judged`` are the judge's scores of the same n pairs as ``human``, in the same order, ``others``
    its scores of N further ones; the n must be drawn at random from all. With the loss l of
    Bradley and Terry the estimate makes mean_n l(y) + lam * (mean_N l(f) - mean_n l(f)) least, a
    weak normal prior besides. Its covariance is H^-1 (V_n + V_N + P) H^-1: H the curvature, V those
    of the gradients' sums, a prompt's added up and each divided by one less its leverage (as the
    jackknife does: MacKinnon and White, J. Econometrics 29, 1985), P the prior's precision, which
    allows for what it pulls. lam makes the sum of the diagonal least where the covariances are
    those at the strengths of people alone, lies between 0 and 0.95, and is halved till no interval
    is wider than people's own by more than a twentieth. Student's t with a degree of freedom less
    than there are prompts that people judged.
    """
    prompts = len({bout.prompt for bout in human})
    if prompts < FEWEST_PROMPTS:
        return None
    data = _Data(names, human, judged, others)
    alone = data.estimated(0.0)
    weight, found = data.best_weight(alone), alone
    while weight:
        found = data.estimated(weight)
        if all(found.error(at) <= _WIDEST * alone.error(at) for at in range(len(names))):
            break
        # by chance a judge tells little of some contender: it counts for less
        weight, found = (weight / 2 if weight > _LEAST_WEIGHT else 0.0), alone
    quantile = float(stdtrit(prompts - 1, _LEVEL))
    strengths = [
        PoweredStrength(
            name=name, rating=found.rating(at), low=found.rating(at) - quantile * found.error(at),
            high=found.rating(at) + quantile * found.error(at), people_rating=alone.rating(at),
            people_low=alone.rating(at) - quantile * alone.error(at),
            people_high=alone.rating(at) + quantile * alone.error(at),
        )
        for at, name in enumerate(names)
    ]  # fmt: skip
    return PoweredStrengths(
        strengths=tuple(sorted(strengths, key=lambda one: -one.rating)), weight=weight,
        saved=max(0.0, 1 - found.spread / alone.spread) if alone.spread else 0.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Estimate:
    """Strengths, of which only differences are known, and their covariance."""

    fit: Fit
    around: Array  # (K, K): from gradients to strengths less their mean
    covariance: Array  # (K, K)

    @property
    def spread(self) -> float:
        return float(np.trace(self.covariance))

    def rating(self, at: int) -> float:
        values = self.fit.coefficients
        return float(ELO_MEAN + ELO_SCALE * (values[at] - values.mean()))

    def error(self, at: int) -> float:
        return float(ELO_SCALE * math.sqrt(max(self.covariance[at, at], 0.0)))


class _Data:
    """Verdicts and judgements as numbers."""

    def __init__(
        self,
        names: Sequence[str],
        human: Sequence[Bout],
        judged: Sequence[Bout],
        others: Sequence[Bout],
    ) -> None:
        self.mine, self.theirs = bout_features(names, human), bout_features(names, others)
        self.said = np.array([bout.score for bout in human])
        self.judged = np.array([bout.score for bout in judged])
        self.others = np.array([bout.score for bout in others])
        self.prompts = [bout.prompt for bout in human]
        self.other_prompts = [bout.prompt for bout in others]
        self.precision = np.full(len(names), _PRIOR_PRECISION)

    def estimated(self, weight: float) -> _Estimate:
        fit = self._fit(weight)
        ours = _gradients(self.mine, (self.said - weight * self.judged), 1 - weight, fit)
        covariance = _summed(ours, self.prompts) + np.diag(self.precision)
        if weight:
            share = weight * len(self.said) / len(self.others)
            theirs = _gradients(self.theirs, share * self.others, share, fit)
            covariance = covariance + _summed(theirs, self.other_prompts)
        centre = np.eye(len(fit.coefficients)) - 1 / len(fit.coefficients)
        around = centre @ fit.posterior
        return _Estimate(fit, around, around @ covariance @ around.T)

    def best_weight(self, alone: _Estimate) -> float:
        if not len(self.others):
            return 0.0
        fit, around = alone.fit, alone.around
        people = _gradients(self.mine, self.said, 1.0, fit)
        judge = _gradients(self.mine, self.judged, 1.0, fit)
        elsewhere = _gradients(self.theirs, self.others, 1.0, fit)
        both = np.vstack([judge, elsewhere])
        spread = (both - both.mean(axis=0)).T @ (both - both.mean(axis=0)) / len(both)
        shared = (people - people.mean(axis=0)).T @ (judge - judge.mean(axis=0)) / len(people)
        least = (1 + len(people) / len(elsewhere)) * float(np.trace(around @ spread @ around.T))
        found = float(np.trace(around @ shared @ around.T)) / least if least > 0 else 0.0
        return min(max(found, 0.0), _HIGHEST_WEIGHT)

    def _fit(self, weight: float) -> Fit:
        """Return the strengths of the least loss: both parts of it as verdicts with a weight, those
        of people by what the judge leaves of them.
        """
        features, outcomes = self.mine, (self.said - weight * self.judged) / (1 - weight)
        weights = np.full(len(self.said), 1 - weight)
        if weight:
            features = np.vstack([features, self.theirs])
            outcomes = np.concatenate([outcomes, self.others])
            share = weight * len(self.said) / len(self.others)
            weights = np.concatenate([weights, np.full(len(self.others), share)])
        fit = fit_logistic(features, outcomes, weights=weights, prior_precision=self.precision)
        assert fit is not None  # with a prior there is always one
        return fit


def _gradients(features: Array, said: Array, weight: float, fit: Fit) -> Array:
    """Return what each verdict pulls at the strengths, (n, K): ``said`` less what they expect."""
    expected = sigmoid(features @ fit.coefficients)
    slopes = expected * (1 - expected)
    leverages = slopes * np.einsum("ij,jk,ik->i", features, fit.posterior, features)
    apart = (said - weight * expected) / (1 - np.minimum(leverages, _MOST_LEVERAGE))
    pulls: Array = features * apart[:, None]
    return pulls


def _summed(gradients: Array, prompts: Sequence[int]) -> Array:
    """Return the covariance of a sum of gradients, those of one prompt as one."""
    return spread_of_sums(cluster_sums(gradients - gradients.mean(axis=0), prompts))
