"""Automatic relevance determination: strengths within their error of zero go to zero."""

from __future__ import annotations

import numpy as np


def relevant(estimate: np.ndarray, covariance: np.ndarray, start: np.ndarray | None = None, sweeps: int = 200) -> np.ndarray:
    """Posterior mean of strengths whose prior widths maximise the evidence: what is within its error of zero goes to zero.

    Automatic relevance determination (MacKay 1992) on the normal summary N(estimate, covariance). One strength with error
    σ becomes 0 where |estimate| < σ, and estimate − σ²/estimate otherwise: a strong one hardly changes.

    Examples
    --------
    >>> relevant(np.array([1.0, 0.02]), 0.05**2 * np.eye(2)).round(4)
    array([0.9975, 0.    ])
    """
    variance = relevance(estimate, covariance, start, sweeps)
    if not np.all(np.isfinite(variance)):
        return estimate  # too few batches of draws, or strengths that no data can tell apart
    return np.asarray(variance * np.linalg.solve(covariance + np.diag(variance), estimate))


def relevance(estimate: np.ndarray, covariance: np.ndarray, start: np.ndarray | None = None, sweeps: int = 200) -> np.ndarray:
    """Prior variance of every strength that maximises the evidence of N(estimate, covariance); inf where that is singular.

    `start` holds the variances of a similar estimate, from which few `sweeps` suffice.

    Examples
    --------
    >>> relevance(np.array([1.0, 0.02]), 0.05**2 * np.eye(2)).round(4)
    array([0.9975, 0.    ])
    """
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    if np.linalg.matrix_rank(covariance / np.outer(scale, scale), hermitian=True) < len(scale):
        return np.full(len(estimate), np.inf)
    variance = np.maximum(estimate**2 - scale**2, 0.0) if start is None else start.copy()
    inverse = np.linalg.inv(covariance + np.diag(variance))  # precision of the estimate, given those widths
    for _ in range(sweeps):
        before = variance.copy()
        for k in range(len(estimate)):  # the best width of one strength given the others (Tipping and Faul 2003)
            rest = 1 - variance[k] * inverse[k, k]
            sparsity, quality = inverse[k, k] / rest, (inverse[k] @ estimate) / rest
            best = max(0.0, (quality**2 - sparsity) / sparsity**2)
            change, column = best - variance[k], inverse[:, k].copy()
            if change:
                inverse -= change / (1 + change * column[k]) * np.outer(column, column)
            variance[k] = best
        if np.all(np.abs(variance - before) <= 1e-6 * (variance + scale**2)):
            break
    return variance
