"""The Kosterlitz–Thouless transition of planar rotors: where their stiffness meets the line of Nelson and Kosterlitz.

The stiffness Υ of the infinite lattice jumps from 2T/π to 0 (Nelson and Kosterlitz, PRL 39, 1201 (1977)); of L sites a side it is, at the
transition, βΥπ/2 = 1 + 1/(2 ln L + C), C unknown (Weber and Minnhagen, PRB 37, 5986 (1988)). What that leaves out is part of the error.
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from hamlearn.errors import HamlearnError
from hamlearn.infer.critical.crossings import Curves

LEFT_OUT = 0.01  # of βΥπ/2 at the smallest size, falling as 1/L: further terms, one standard deviation
_C = np.linspace(-1.0, 10.0, 221)  # flat prior of C, as far as 2 ln L + C is positive


def transition(found: Curves, seed: int, draws: int) -> tuple[np.ndarray, float]:
    """Draws of β of the transition, and the p-value of the form (1 of two sizes, which always fit).

    Raises
    ------
    HamlearnError
        If a large part of them lies at an end of the range.
    """
    values, sizes = found.of("stiffness"), np.array([one.of.size for one in found.averages], float)
    grid = np.linspace(found.betas[0], found.betas[-1], 8 * len(found.betas))
    chi2 = np.zeros((len(grid), len(_C)))
    for own, size in zip(values, sizes, strict=True):
        mean, sd = (np.interp(grid, found.betas, one) for one in (own[0], own[1:].std(0, ddof=1)))
        steps = 2 * np.log(size) + _C
        expected = 1 + 1 / np.where(steps > 0.2, steps, np.inf)
        error = np.hypot(sd, LEFT_OUT * sizes.min() / size)
        chi2 += np.where(steps > 0.2, ((mean[:, None] - expected) / error[:, None]) ** 2, np.inf)
    weight = np.exp(-(chi2 - chi2.min()) / 2).sum(1)
    weight /= weight.sum()
    edge = len(grid) // 50
    if weight[:edge].sum() + weight[-edge:].sum() > 0.02:
        low, high = found.betas[[0, -1]]
        where = "smaller" if weight[:edge].sum() > weight[-edge:].sum() else "larger"
        raise HamlearnError(
            f"the stiffness meets the line 2T/π near an end of the range from beta={low:.4g} to {high:.4g}: widen it to {where} beta."
        )
    rng = np.random.default_rng(seed)
    step, freedom = grid[1] - grid[0], len(sizes) - 2  # βc and C are fitted
    p_value = float(scipy.stats.chi2.sf(chi2.min(), freedom)) if freedom else 1.0
    return rng.choice(grid, size=draws, p=weight) + step * rng.uniform(-0.5, 0.5, draws), p_value


__all__ = ["transition"]


def __dir__() -> list[str]:
    return sorted(__all__)
