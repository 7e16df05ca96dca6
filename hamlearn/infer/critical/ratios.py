"""Whether microstates are those of the declared temperatures: ratios of neighbouring histograms of the energy know of no system.

At whatever density of states, a microstate of two temperatures belongs to the second with log-odds c − (β₂ − β₁)E: a logistic regression
whose slope is known. Wrong temperatures, an energy of another system and chains that have not forgotten their start give other slopes
(Shirts, J. Chem. Theory Comput. 9, 909 (2013)).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats


class Ratio(NamedTuple):
    """Histograms of two neighbouring temperatures, compared.

    Attributes
    ----------
    low, high : float
        Their β as declared.
    apparent : float
        What β₂ − β₁ the energies have, to first order.
    p_value : float
        Of the declared one, two-sided.
    """

    low: float
    high: float
    apparent: float
    p_value: float


class Unit(NamedTuple):
    """All steps between temperatures of one size compared at once, by their common factor.

    Attributes
    ----------
    score : float
        Slope of the log-likelihood in the logarithm of the factor, at one.
    variance : float
        Of the score, from blocks that hold all temperatures.
    information : float
        Minus the second derivative: the factor is 1 − score / information, to first order.
    blocks : int
    """

    score: float
    variance: float
    information: float
    blocks: int


def ratios(betas: np.ndarray, levels: np.ndarray, at: np.ndarray, owner: np.ndarray, tau: np.ndarray) -> tuple[Ratio, ...]:
    """Every temperature compared with the next.

    Parameters
    ----------
    betas : array (k,)
        Temperatures, rising.
    levels : array (levels,)
        Energies.
    at : int array (k, chain, draw)
        The energy of every microstate.
    owner : int array (chain, draw)
        Its block; errors are the scatter of blocks, in which temperatures that ran side by side stay together.
    tau : array (k,)
        Autocorrelation times in draws.
    """
    return tuple(_ratio(betas[k : k + 2], levels, at[k : k + 2], owner, tau[k : k + 2]) for k in range(len(betas) - 1))


def unit(betas: np.ndarray, levels: np.ndarray, at: np.ndarray, owner: np.ndarray, tau: np.ndarray) -> Unit:
    """What neighbours say of a factor of all temperatures together; arguments are those of :func:`ratios`.

    A unit of energy that is off by a few per cent is too little for two neighbours, whose steps are small, and not for all of them.
    """
    scores, information = np.zeros(int(owner.max()) + 1), 0.0
    for k, step in enumerate(np.diff(betas)):
        one, curvature = _scores(betas[k : k + 2], levels, at[k : k + 2], owner, tau[k : k + 2])
        scores, information = scores + step * one, information + float(step**2 * curvature)
    return Unit(float(scores.sum()), float(len(scores) * scores.var(ddof=1)), information, len(scores))


def _ratio(betas: np.ndarray, levels: np.ndarray, at: np.ndarray, owner: np.ndarray, tau: np.ndarray) -> Ratio:
    """The score test of the slope, the constant being fitted."""
    scores, information = _scores(betas, levels, at, owner, tau)
    step, blocks = float(betas[1] - betas[0]), len(scores)
    error = np.sqrt(blocks * scores.var(ddof=1))
    p_value = 2 * scipy.stats.t.sf(abs(scores.sum()) / max(error, np.finfo(float).tiny), blocks - 1)
    return Ratio(float(betas[0]), float(betas[1]), float(step - scores.sum() / information), float(p_value))


def _scores(betas: np.ndarray, levels: np.ndarray, at: np.ndarray, owner: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, float]:
    """The slope's score of every block, the constant being fitted, and its information."""
    step, energy, blocks = betas[1] - betas[0], levels - levels[at].mean(), int(owner.max()) + 1
    counts = np.stack([np.bincount(one.ravel(), minlength=len(levels)) / t for one, t in zip(at, tau, strict=True)])
    total, reach = counts.sum(0), float(step * np.abs(energy).max()) + 50.0
    missing = lambda c: float(counts[1].sum() - total @ scipy.special.expit(c - step * energy))
    second = scipy.special.expit(scipy.optimize.brentq(missing, -reach, reach) - step * energy)
    weight = total * second * (1 - second)
    beside = energy - weight @ energy / weight.sum()
    scores = np.zeros(blocks)
    for residual, one, t in zip((-second, 1 - second), at, tau, strict=True):
        scores += np.bincount(owner.ravel(), (residual * beside)[one].ravel() / t, blocks)
    return scores, float(weight @ beside**2)


__all__ = ["Ratio", "Unit", "ratios", "unit"]


def __dir__() -> list[str]:
    return sorted(__all__)
