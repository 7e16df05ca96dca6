"""Whether one group lies so far from the others that no normal spread holds them all."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats

FEWEST = 4  # groups, below which three others say nothing of a spread
_ALIKE = 4  # parameters, below which their variances say nothing of each other
_LENT = 2.0  # times its own degrees of freedom that a variance may have from those of other parameters


def lone(estimates: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """p-values of no group lying apart from the others, times their number ``(group, n_params)``.

    Parameters
    ----------
    estimates, variances : array (group, n_params)
        What the data of every group say alone, and how sure; infinite where they say nothing.

    Returns
    -------
    array (group, n_params)
        Of a t test of each estimate against mean and spread of all others. The spread of these is DerSimonian & Laird's, the error of
        their mean Hartung & Knapp's (Statistics in Medicine 20, 3875 (2001)), at least what it would be without; degrees of freedom
        are those of as many equal groups as tell the spread. A variance that is small beside those of other parameters may be so by
        chance: it is moved towards theirs and gains degrees of freedom (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004)). A large one
        stays: couplings may differ between groups one by one.

    Examples
    --------
    >>> J = np.random.default_rng(0).normal(0.5, 0.1, (12, 1))
    >>> J[3] = -0.5
    >>> np.flatnonzero(lone(J, np.full((12, 1), 1e-4)) < 0.01)
    array([3])
    """
    if len(estimates) < FEWEST:
        return np.ones_like(estimates)
    places = np.arange(len(estimates))
    return np.minimum(1.0, estimates.size * np.stack([_against(places != k, estimates, variances) for k in places]))


def _against(others: np.ndarray, estimates: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """p-values ``(n_params,)`` of the one group that is not among the `others`."""
    x, v, own = estimates[others], variances[others], ~others
    count = len(x) - 1
    w = 1 / v
    scatter = (w * (x - _mean(w, x)) ** 2).sum(0)
    spread = np.maximum(0.0, (scatter - count) / (w.sum(0) - (w**2).sum(0) / w.sum(0)))  # a variance
    w = 1 / (v + spread)
    mean = _mean(w, x)
    excess = np.maximum(1.0, (w * (x - mean) ** 2).sum(0) / count)
    degrees = np.maximum((w**2).sum(0) ** 2 / (w**4).sum(0) - 1, 1.0)  # of those that are sure, not of those that are many
    known, own_variance = 1 / (1 / v).sum(0), variances[own][0]
    error = excess * (spread + 1 / w.sum(0)) + own_variance
    factor, degrees = _moderated(excess * (spread + len(x) * known), degrees)
    error = np.maximum(error * factor, known + own_variance)
    return np.asarray(2 * scipy.stats.t.sf(np.abs(estimates[own][0] - mean) / np.sqrt(error), degrees))


def _moderated(variance: np.ndarray, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By what to multiply variances ``(n_params,)`` that are small beside the others, and the degrees of freedom of all.

    Their logarithms scatter by ψ'(d/2) where true variances are one; what they scatter beyond says how much of each other they know.
    """
    if len(variance) < _ALIKE:
        return np.ones_like(variance), degrees
    logs = np.log(variance) - scipy.special.digamma(degrees / 2) + np.log(degrees / 2)
    beyond = float(logs.var(ddof=1) - scipy.special.polygamma(1, degrees / 2).mean())
    most = len(variance) / 2
    curve = lambda half: float(scipy.special.polygamma(1, half)) - beyond
    alike = most if curve(most / 2) >= 0 else 2 * scipy.optimize.brentq(curve, 1e-6, most / 2)
    usual = np.exp(logs.mean() + scipy.special.digamma(alike / 2) - np.log(alike / 2))
    lent = np.minimum(alike, _LENT * degrees)
    small = variance < usual
    factor = np.where(small, (lent * usual / variance + degrees) / (lent + degrees), 1.0)
    return factor, np.where(small, degrees + lent, degrees)


def _mean(weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.asarray((weight * values).sum(0) / weight.sum(0))


__all__ = ["FEWEST", "lone"]
