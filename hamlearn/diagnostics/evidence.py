"""How much more the data speak for a coupling than its prior did: inclusion Bayes factors, with what draws leave open of them."""

from __future__ import annotations

import numpy as np
import scipy.stats

from hamlearn import statistics


def bayes_factors(included: np.ndarray, prior: float, level: float) -> np.ndarray:
    """Posterior odds of existence over prior odds, and an interval of what the simulation leaves open.

    Draws count as many as are independent. An indicator that never changes does not say how many these are: it is taken to move as the
    median of the others does.

    Parameters
    ----------
    included : array (chain, draw, coupling)
        Whether it exists, 0 or 1.
    prior : float
        Probability to exist before the data.
    level : float
        Of the interval, that of Clopper and Pearson (Biometrika 26, 404 (1934)).

    Returns
    -------
    array (3, coupling)
        Estimate, lower and upper end: inf where no draw lacks it (the lower end is then what is known), zero where none has it.

    Examples
    --------
    >>> always, half = np.ones((2, 500)), np.arange(1000).reshape(2, 500) % 2
    >>> bayes_factors(np.stack([always, half], -1), 0.2, 0.9).round(1).tolist()
    [[inf, 4.0], [1333.3, 3.6], [inf, 4.4]]
    """
    included = np.asarray(included, float)
    total = float(included.shape[0] * included.shape[1])
    worth = statistics.effective_sample_size(included)
    worth = np.where(np.isfinite(worth), worth, np.nanmedian(worth) if np.isfinite(worth).any() else total)
    share, outside = included.mean((0, 1)), (1 - level) / 2
    there, not_there = worth * share, worth * (1 - share)
    lower = np.where(there > 0, scipy.stats.beta.ppf(outside, np.maximum(there, 1e-9), not_there + 1), 0.0)
    missing = np.where(not_there > 0, scipy.stats.beta.ppf(outside, np.maximum(not_there, 1e-9), there + 1), 0.0)  # 1 − upper end
    with np.errstate(divide="ignore"):
        odds = np.stack([share / (1 - share), lower / (1 - lower), (1 - missing) / missing])
    return np.asarray(odds * (1 - prior) / prior)


__all__ = ["bayes_factors"]
