"""Logistic regression with a normal prior, and errors that respect that verdicts on one prompt
belong together.

Knows no verdict and no table. Shapes: N observations, K coefficients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# from fewer the sandwich makes intervals that are too narrow, down to none at all
LEAST_CLUSTERS = 10
_STEPS = 100
_CONVERGED = 1e-9  # of the gradient's largest entry, per observation
# of the greatest curvature: a direction with less is one that no observation speaks of
_FLAT = 1e-10
_ROUNDING = 1e-9
_BEYOND = 15.0  # log odds so large belong to data that some line parts without error


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients, and how sure they are."""

    coefficients: Array  # (K,)
    # (K, K) the inverse of the curvature, the prior's included: as if verdicts were independent
    posterior: Array
    # (K, K) the sandwich; None where there are no clusters, or too few to tell
    clustered: Array | None


def fit_logistic(  # noqa: PLR0913 - the data, and what is known of them beforehand
    features: Array,
    outcomes: Array,
    clusters: Sequence[int] = (),
    *,
    weights: Array | None = None,
    prior_precision: Array | None = None,
    prior_mean: Array | None = None,
    start: Array | None = None,
) -> Fit | None:
    """Return the coefficients of the greatest posterior density, or None where there are none.

    ``features`` is (N, K), ``outcomes`` (N,) from 0 to 1, one half for a tie, ``weights`` (N,) how
    often each was seen. The prior is normal, (K,) of means and of precisions, one over the
    variance; without one it is the maximum of the likelihood, and directions that no observation
    speaks of get 0. The search begins at ``start``, else at the prior's mean. The clustered
    covariance is the sandwich of Huber (1967) and White (1982) with the gradients of a cluster
    added up (Liang and Zeger, Biometrika 73, 1986) and the small-sample factor C / (C - 1) for C
    clusters.
    """
    count, size = features.shape
    seen = np.ones(count) if weights is None else weights
    precision = np.zeros(size) if prior_precision is None else prior_precision
    mean = np.zeros(size) if prior_mean is None else prior_mean
    is_proper = bool((precision > 0).all())  # then there is one best, however the data lie

    def posterior(values: Array) -> float:
        odds = features @ values
        likelihood = seen @ (outcomes * odds - np.logaddexp(0.0, odds))
        return float(likelihood - 0.5 * precision @ (values - mean) ** 2)

    coefficients: Array = (mean if start is None else start).copy()
    for _ in range(_STEPS):
        chances = sigmoid(features @ coefficients)
        gradient = features.T @ (seen * (outcomes - chances)) - precision * (coefficients - mean)
        bread = _inverse(features, seen * chances * (1 - chances), precision)
        if np.abs(gradient).max() <= _CONVERGED * max(seen.sum(), 1.0):
            return Fit(
                coefficients,
                bread,
                _sandwich(features, seen * (outcomes - chances), clusters, bread),
            )
        step = bread @ gradient
        if is_proper:  # a whole step may leap over the top; a small enough part of it never does
            while posterior(coefficients + step) < posterior(coefficients) - _ROUNDING:
                step = step / 2
        coefficients = coefficients + step
        is_far = np.abs(features @ coefficients).max() > _BEYOND
        if not np.isfinite(coefficients).all() or (is_far and not is_proper):
            return None
    return None


def sigmoid(values: Array) -> Array:
    """Return the chances of log odds."""
    chances: Array = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    return chances


def _inverse(features: Array, weights: Array, precision: Array) -> Array:
    """Return the inverse of the curvature, 0 in directions that neither an observation nor the
    prior speaks of.
    """
    curvature = features.T @ (features * weights[:, None]) + np.diag(precision)
    if (precision > 0).all():  # no direction is flat
        whole: Array = np.asarray(np.linalg.inv(curvature), dtype=np.float64)
        return whole
    inverse: Array = np.asarray(
        np.linalg.pinv(curvature, rcond=_FLAT, hermitian=True), dtype=np.float64
    )
    return inverse


def _sandwich(
    features: Array, residuals: Array, clusters: Sequence[int], bread: Array
) -> Array | None:
    if len(set(clusters)) < LEAST_CLUSTERS:
        return None
    spread = spread_of_sums(cluster_sums(features * residuals[:, None], clusters))
    sandwich: Array = bread @ spread @ bread
    return sandwich


def cluster_sums(gradients: Array, clusters: Sequence[int]) -> Array:
    """Return the sum of each cluster's gradients: (N, K) → (C, K)."""
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((len(names), gradients.shape[1]))
    np.add.at(sums, index, gradients)
    return sums


def spread_of_sums(sums: Array) -> Array:
    """Return the covariance of the sum of C clusters, (K, K), with the factor C / (C - 1)."""
    spread: Array = sums.T @ sums * (len(sums) / max(len(sums) - 1, 1))
    return spread
