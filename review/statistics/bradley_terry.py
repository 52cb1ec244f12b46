"""Verdicts between several contenders become strengths and ranks. Pure functions; knows no table.

Bradley and Terry (Biometrika 39, 1952): the chance that one beats another is the logistic function
of the difference of their strengths. Ties and both bad count half for each, as the Chatbot Arena
has it (Chiang et al. 2024, arXiv 2403.04132).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from review.statistics.intervals import Z95
from review.statistics.logistic_regression import LEAST_CLUSTERS, Array, Fit, fit_logistic

ELO_SCALE = 400 / math.log(10)  # of Elo: 400 points are odds of ten to one
ELO_MEAN = 1000.0
# How far contenders may be spread, as the standard deviation of a strength in log odds; each is as
# likely beforehand
_SPREADS = np.linspace(0.25, 3.25, 25)
_DRAWS, _DRAWN_WITH = 4000, 20261126  # of the largest difference, always the same ones


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
class Effect:
    """What something beside the contenders does to verdicts, in log odds."""

    value: float
    low: float  # 95 % interval
    high: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """All contenders, the strongest first, or why they cannot be ranked yet."""

    standings: tuple[Standing, ...]
    obstacle: str = ""
    note: str = ""  # what the verdicts say nothing of
    effects: tuple[Effect, ...] = ()  # of each covariate


def rank(names: Sequence[str], bouts: Sequence[Bout], covariates: Array | None = None) -> Ranking:
    """Return the contenders' strengths with intervals that count each prompt, not each verdict, as
    independent.

    Strengths have a normal prior, so that they exist whoever won or lost all, and are not spread
    outward where pairs were chosen by earlier verdicts; how wide it is, the verdicts say. Where
    they repeat a prompt the wider of the posterior's and the clustered errors counts. Ranks hold
    for all pairs of contenders together (the maximum of the standardised differences, as Tukey's
    range), for one look.

    ``covariates``, (N, C) differences of something between the two of each bout, take what they
    explain out of the strengths; their effects have a normal prior of standard deviation 1. The
    errors are then the sandwich's where it is the wider, whatever repeats.
    """
    if len({bout.prompt for bout in bouts}) < LEAST_CLUSTERS:
        return Ranking((), f"A ranking needs verdicts on {LEAST_CLUSTERS} prompts or more.")
    features = bout_features(names, bouts)
    prompts, scores = [bout.prompt for bout in bouts], np.array([bout.score for bout in bouts])
    size, has_covariates = len(names), covariates is not None
    if covariates is not None:
        features = np.hstack([features, covariates])
    fit = _fit_strengths(features, scores, prompts, size)
    strengths = fit.coefficients[:size]
    ratings = ELO_MEAN + ELO_SCALE * (strengths - strengths.mean())
    covariances, errors = [_centred(fit.posterior[:size, :size])], [fit.posterior]
    repeats = len(set(zip(prompts, map(tuple, np.abs(features)), strict=True))) < len(bouts)
    if fit.clustered is not None and (repeats or has_covariates):
        covariances.append(_centred(fit.clustered[:size, :size]))
        errors.append(fit.clustered)
    halves = Z95 * ELO_SCALE * np.sqrt(np.max([np.diag(one) for one in covariances], axis=0))
    better = _surely_better(strengths, covariances)
    standings = [
        Standing(
            name,
            float(ratings[at]),
            float(ratings[at] - halves[at]),
            float(ratings[at] + halves[at]),
            1 + int(better[:, at].sum()),
            len(names) - int(better[at].sum()),
            sum(name in {bout.first, bout.second} for bout in bouts),
        )
        for at, name in enumerate(names)
    ]
    return Ranking(
        tuple(sorted(standings, key=lambda standing: -standing.rating)),
        note=_islands(names, bouts),
        effects=_effects(fit.coefficients[size:], [one[size:, size:] for one in errors]),
    )


def bout_features(names: Sequence[str], bouts: Sequence[Bout]) -> Array:
    """Return (N, K): 1 for the first contender of each bout, -1 for the second."""
    place = {name: number for number, name in enumerate(names)}
    features = np.zeros((len(bouts), len(names)))
    for row, bout in enumerate(bouts):
        features[row, place[bout.first]], features[row, place[bout.second]] = 1.0, -1.0
    return features


def _effects(values: Array, covariances: Sequence[Array]) -> tuple[Effect, ...]:
    halves = Z95 * np.sqrt(np.max([np.diag(one) for one in covariances], axis=0))
    return tuple(
        Effect(float(value), float(value - half), float(value + half))
        for value, half in zip(values, halves, strict=True)
    )


def _fit_strengths(features: Array, scores: Array, prompts: Sequence[int], strengths: int) -> Fit:
    """Return strengths, the first so many coefficients, and their covariances under a normal prior
    whose width is not known: a mean over widths.

    Each width counts by the evidence for it, the likelihood with the strengths integrated out
    (Laplace's approximation; MacKay, Neural Computation 4, 1992, 415-447), under a uniform prior on
    the standard deviation (Gelman, Bayesian Analysis 1, 2006, section 7.1). A fixed width does not
    hold for contenders that are nearly equal and for one that is far off.
    """
    others = np.ones(features.shape[1] - strengths)
    fits, evidences = list[Fit](), []
    for spread in _SPREADS:
        precision = np.concatenate([np.full(strengths, spread**-2), others])
        start = fits[-1].coefficients if fits else None  # the next width's are near
        fit = fit_logistic(features, scores, prompts, prior_precision=precision, start=start)
        assert fit is not None  # with a prior there is always one
        odds = features @ fit.coefficients
        likelihood = float(np.sum(scores * odds - np.logaddexp(0.0, odds)))
        squares = float(precision @ fit.coefficients**2)
        prior = -0.5 * squares - strengths * math.log(spread)
        evidences.append(likelihood + prior + 0.5 * float(np.linalg.slogdet(fit.posterior)[1]))
        fits.append(fit)
    weights = np.exp(np.array(evidences) - max(evidences))
    weights /= weights.sum()
    mean: Array = np.average([fit.coefficients for fit in fits], axis=0, weights=weights)
    apart = [np.outer(fit.coefficients - mean, fit.coefficients - mean) for fit in fits]
    posterior: Array = np.average(
        [fit.posterior + other for fit, other in zip(fits, apart, strict=True)],
        axis=0,
        weights=weights,
    )
    clustered = [
        fit.clustered + other
        for fit, other in zip(fits, apart, strict=True)
        if fit.clustered is not None
    ]
    return Fit(
        mean, posterior, np.average(clustered, axis=0, weights=weights) if clustered else None
    )


def _centred(covariance: Array) -> Array:
    """Return the covariance of strengths of which the mean is taken off: all that verdicts speak of
    is their differences.
    """
    size = len(covariance)
    centre = np.eye(size) - np.full((size, size), 1 / size)
    centred: Array = centre @ covariance @ centre
    return centred


def _surely_better(strengths: Array, covariances: Sequence[Array]) -> NDArray[np.bool_]:
    """Return (K, K) whether each contender is better than each other, wrong for any pair in 5 % of
    rankings at most.
    """
    errors = np.max([np.sqrt(np.maximum(_variances(one), 0.0)) for one in covariances], axis=0)
    np.fill_diagonal(errors, 1.0)
    rng = np.random.default_rng(_DRAWN_WITH)
    size = len(strengths)
    # one draw a line: (D, K)
    drawn = rng.multivariate_normal(
        np.zeros(size), covariances[-1], _DRAWS, check_valid="ignore", method="eigh"
    )
    spread = np.sqrt(np.maximum(_variances(covariances[-1]), 1e-12))
    np.fill_diagonal(spread, np.inf)
    largest = np.max(np.abs(drawn[:, :, None] - drawn[:, None, :]) / spread, axis=(1, 2))
    better: NDArray[np.bool_] = (strengths[:, None] - strengths[None, :]) > np.quantile(
        largest, 0.95
    ) * errors
    np.fill_diagonal(better, val=False)
    return better


def _variances(covariance: Array) -> Array:
    """Return the variance of every difference of two strengths: (K, K)."""
    own = np.diag(covariance)
    variances: Array = own[:, None] + own[None, :] - 2 * covariance
    return variances


def _islands(names: Sequence[str], bouts: Sequence[Bout]) -> str:
    """Say between which contenders no chain of verdicts leads: how they stand to each other is the
    prior's guess.
    """
    met: dict[str, set[str]] = {name: set() for name in names}
    for bout in bouts:
        met[bout.first].add(bout.second)
        met[bout.second].add(bout.first)
    reached, waiting = {names[0]}, [names[0]]
    while waiting:
        new = met[waiting.pop()] - reached
        reached |= new
        waiting += new
    beyond = [name for name in names if name not in reached]
    if not beyond:
        return ""
    behind = [name for name in names if name in reached]
    return f"No verdict links {_listed(behind)} with {_listed(beyond)}: how these stand to each other is not known yet."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
