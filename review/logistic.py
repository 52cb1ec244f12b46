"""Logistic regression whose errors respect that verdicts on one prompt belong together. Knows no verdict and no table.

Shapes: N observations, K coefficients.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_CLUSTERS = 10  # from fewer the sandwich makes intervals that are too narrow, down to none at all
_STEPS = 100
_CONVERGED = 1e-9  # of the gradient's largest entry, per observation
_FLAT = 1e-10  # of the greatest curvature: a direction with less is one that no observation speaks of
_BEYOND = 15.0  # log odds so large belong to data that some line parts without error


def fit_logistic(features: Array, outcomes: Array, clusters: Sequence[int]) -> tuple[Array, Array] | None:
    """Return coefficients (K,) of the greatest likelihood and their covariance (K, K), or None.

    None where there is no greatest likelihood, or where there are too few clusters to tell how sure it is.

    ``features`` is (N, K), ``outcomes`` (N,) from 0 to 1, one half for a tie. Directions that no observation speaks of (all
    strengths moved alike) get 0. The covariance is the sandwich of Huber (1967) and White (1982) with the gradients of a cluster
    added up (Liang and Zeger, Biometrika 73, 1986) and Mancl's small-sample factor C / (C - 1) for C clusters.
    """
    coefficients = np.zeros(features.shape[1])
    if len(set(clusters)) < LEAST_CLUSTERS:
        return None
    for _ in range(_STEPS):
        chances = _sigmoid(features @ coefficients)
        gradient = features.T @ (outcomes - chances)
        if np.abs(gradient).max() <= _CONVERGED * len(outcomes):
            bread = np.linalg.pinv(_curvature(features, chances), rcond=_FLAT, hermitian=True)
            return coefficients, bread @ _meat(features, outcomes - chances, clusters) @ bread
        coefficients = coefficients + np.linalg.pinv(_curvature(features, chances), rcond=_FLAT, hermitian=True) @ gradient
        if not np.isfinite(coefficients).all() or np.abs(features @ coefficients).max() > _BEYOND:
            return None
    return None


def _sigmoid(values: Array) -> Array:
    chances: Array = 1 / (1 + np.exp(-values))
    return chances


def _curvature(features: Array, chances: Array) -> Array:
    curvature: Array = features.T @ (features * (chances * (1 - chances))[:, None])
    return curvature


def _meat(features: Array, residuals: Array, clusters: Sequence[int]) -> Array:
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((len(names), features.shape[1]))
    np.add.at(sums, index, features * residuals[:, None])
    meat: Array = sums.T @ sums * (len(names) / max(len(names) - 1, 1))
    return meat
