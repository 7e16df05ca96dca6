"""Gaussian machines in closed form: the one that is nearest to a covariance, and draws of covariances given rows.

The machine of m hidden units that maximises the likelihood is that of probabilistic principal components (Tipping and Bishop, J. R. Stat.
Soc. B 61, 611 (1999)), read as a quadratic form: the m largest variances are free, and all others are their mean.
"""

from __future__ import annotations

import numpy as np


def nearest(covariance: np.ndarray, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``(..., n, hidden)`` and μ² ``(...)`` of the machine nearest (in Kullback–Leibler divergence) to covariances ``(..., n, n)``.

    Columns of weights are orthogonal, the one of the largest variance first.

    Examples
    --------
    >>> weights, mu2 = nearest(np.diag([1.0, 0.5, 0.2]), 1)
    >>> float(mu2.round(6)), (mu2 * np.eye(3) - weights @ weights.T).diagonal().round(6).tolist()  # 1/0.35
    (2.857143, [1.0, 2.857143, 2.857143])
    """
    variance, modes = np.linalg.eigh(covariance)
    n = variance.shape[-1]
    # As many hidden units as sites have one to spare: μ² is then the largest eigenvalue of all, and the last unit has no weights.
    mu2 = 1 / variance[..., : max(1, n - hidden)].mean(-1)
    free = variance[..., ::-1][..., :hidden]
    strength = np.sqrt(np.maximum(mu2[..., None] - 1 / free, 0.0))
    return modes[..., ::-1][..., :hidden] * strength[..., None, :], mu2


def rotated(weights: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights ``(..., n, m)`` with their hidden units rotated so that they are nearest to a target ``(n, m)``."""
    left, _, right = np.linalg.svd(np.swapaxes(weights, -1, -2) @ target)
    return np.asarray(weights @ left @ right)


def covariances(scatter: np.ndarray, rows: float, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draws ``(count, n, n)`` of a Gaussian's covariance given the mean square `scatter` ``(n, n)`` of rows of mean zero.

    The precision is Wishart with rows + n − 1 degrees of freedom, that of the prior |K|⁻¹: the variance of every fixed combination
    of sites is then its mean square times rows/χ²_rows, the pivot of its sampling distribution.
    """
    n = len(scatter)
    half = np.linalg.cholesky(rows * scatter)
    degrees = rows + n - 1 - np.arange(n)
    lower = np.tril(generator.normal(size=(count, n, n)), -1)
    lower[:, np.arange(n), np.arange(n)] = np.sqrt(generator.chisquare(degrees, size=(count, n)))
    root = half @ np.swapaxes(np.linalg.inv(lower), -1, -2)  # K = half⁻ᵀ A Aᵀ half⁻¹ (Bartlett), the covariance its inverse
    return np.asarray(root @ np.swapaxes(root, -1, -2))
