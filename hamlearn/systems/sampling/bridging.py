"""The ratio of two normalisers from samples of both laws: Bennett's acceptance ratio (J. Comput. Phys. 22, 245 (1976))."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

_MOST = 60  # halvings of the bracket, at worst


def bennett(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """−ln(Z′/Z) from equally many samples of either law.

    Parameters
    ----------
    forward, backward : array (..., samples)
        What −ln of the unnormalised probability gains from a law to the other: of samples of the first, and, from the other to the
        first, of samples of the other.

    Returns
    -------
    array (...)

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)  # normal laws of variance 1 and 1/4, whose normalisers have the ratio 1/2
    >>> first, other = rng.normal(size=10_000), rng.normal(size=10_000) / 2
    >>> round(float(bennett(1.5 * first**2, -1.5 * other**2)), 2)
    0.69
    """
    low = np.minimum(forward.min(-1), -backward.max(-1)) - 1.0
    high = np.maximum(forward.max(-1), -backward.min(-1)) + 1.0
    middle = (forward.mean(-1) - backward.mean(-1)) / 2
    for _ in range(_MOST):
        gone, come = crossings(forward, backward, middle)
        excess = gone.sum(-1) - come.sum(-1)
        low, high = np.where(excess < 0, middle, low), np.where(excess < 0, high, middle)
        slope = (gone * (1 - gone)).sum(-1) + (come * (1 - come)).sum(-1)
        newton = middle - excess / np.maximum(slope, np.finfo(float).tiny)
        new = np.where((newton > low) & (newton < high), newton, (low + high) / 2)
        moved, middle = float(np.abs(new - middle).max()), new
        if moved < 1e-9:
            break
    return np.asarray(middle)


def crossings(forward: np.ndarray, backward: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chances of all samples to be taken for the other law, of those of either law; where `found` is right their sums agree."""
    return expit(found[..., None] - forward), expit(-found[..., None] - backward)
