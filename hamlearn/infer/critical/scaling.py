"""Finite-size scaling of values and slopes near a transition: what is fitted, its priors, and the fit.

Near βc a ratio of dimension zero (U4, ξ/L) of a lattice of L sites a side is R* + (a x + q x² + c x³) s(L) + b ℓ^−ω + b' ℓ^−2ω with s(L) =
1 + d ℓ^−ω + d' ℓ^−2ω, ℓ = L/L_0 and x = (β/βc − 1)(L/L_1)^{1/ν}; L_0 is the smallest size, L_1 the geometric mean. Values and three
derivatives in β are taken at one β near the crossings, where reweighting knows them best: eight numbers of every size, with their
covariance. (Without curvatures in the data q were free where x = 0 and nowhere else, and so were c without third derivatives: a posterior
would call βc whatever β was looked at, and that is where the same data have their crossings. With c free, 90 % intervals of βc from sizes
4 to 16 held the truth in 75 %.) A ratio has corrections b, d and an exponent ω of its own (in two dimensions that of U4 is not that of ξ),
with priors, for few sizes cannot tell them from 1/ν. A correction B L^−ω has the same B whichever size is the smallest, so that b and d
have wider priors at L_0 = 4 than at 8 (with one width for both, 90 % intervals of ν from sizes 4, 8 and 16 held the truth in 31 of 40, and
in 36 of the same with this). Errors of U4 and of ξ/L are almost the same, so that one combination of them is known far better than either;
a form is not believed to the last digit of it: what it leaves out (:data:`LEFT_OUT`) is added to the covariance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.stats

from hamlearn.infer.critical.histograms import Averages
from hamlearn.infer.engines import numpyro_scaling

CORRECTION = 1.2  # relative, at L = 1, falling as L^−ω at the median of ω: the prior's standard deviation of b and d; 0.1 at L = 8
LEFT_OUT = (0.004, 0.02, 0.2, 1.0)  # of a value, a slope and two more derivatives, relative: one sd of what no term describes
OMEGA = (1.2, 0.5)  # median and logarithmic width of the prior of ω: 0.45 to 3.2 in 95 %
NU = (0.8, 0.5)  # likewise of ν: 0.3 to 2.1
SPREAD = 0.05  # of βc around the crossings, relative: one standard deviation
_STARTS = (-0.2, 0.0, 0.2)  # of βc, in standard deviations of its prior: the fit may have several optima
_MOVES = 3  # of the β that is looked at, to where the transition is found: far from it all is curvature


class Scaled(NamedTuple):
    """Draws of a fit, and what is wrong with it."""

    beta_c: np.ndarray
    nu: np.ndarray
    gamma_over_nu: np.ndarray
    p_value: float
    rhat: float


@dataclass(frozen=True, eq=False)
class Problem:
    """Values and slopes of all sizes at one temperature, with what turns standard normal numbers into parameters.

    Attributes
    ----------
    beta : float
        Where they are taken.
    arrays : dict of arrays
        ``sizes`` (s,); ``data`` (s, 8), values and three derivatives, times powers of β, of U4 and ξ/L; ``whiten`` (s, 8, 8), which
        times its own transpose is the inverse covariance of a row; ``location`` and ``scale`` (p,) of the priors of βc relative to
        `beta`, ln ν, and nine numbers of each ratio: R*, a, q, c, b, d, b', d', ln ω.
    """

    beta: float
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, points: list[Averages], omega: tuple[float, float]) -> Problem:
        """From averages at one temperature between two close ones; the first replicate is the data. `omega` is median and log width."""
        beta, whiten = float(points[0].betas[1]), []
        rows = np.stack([_row(one) for one in points])  # (s, replicate, 8)
        for one, own in zip(points, rows, strict=True):
            blocks, k = len(one.of.sums), own.shape[-1]
            covariance = np.cov(own[1:].T)
            # The inverse of an estimated covariance is too large (Hartlap): of blocks, and again of replicates drawn of them. Those of n
            # blocks have (n − 1)/n of their variance.
            covariance *= blocks / (blocks - k - 2) * (len(own) - 2) / (len(own) - k - 3)
            # Further derivatives, which may vanish, are as large as slopes times powers of this: ratios are functions of ξ/L.
            steep = own[0, 3] / own[0, 1]
            natural = [*own[0, :4], *own[0, 2:4] * steep, *own[0, 2:4] * steep**2]
            covariance += np.diag((np.repeat(LEFT_OUT, 2) * natural) ** 2)
            whiten.append(np.linalg.cholesky(np.linalg.inv(covariance)))
        sizes, data = np.array([one.of.size for one in points], float), rows[:, 0]
        middle = data[np.argmin(np.abs(np.log(sizes) - np.log(sizes).mean()))]
        value, slope = np.abs(middle[:2]), np.abs(middle[2:4])
        bend, corrected = slope[1] / value[1], correction(sizes[0], omega)
        location, scale = [0.0, math.log(NU[0])], [SPREAD, NU[1]]
        for i in range(2):
            location += [middle[i], middle[2 + i], *6 * [0.0], math.log(omega[0])]
            scale += [0.5 * value[i], slope[i], 2 * slope[i] * bend, slope[i] * bend**2, *2 * [corrected * value[i], corrected], omega[1]]
        found = {"sizes": sizes, "data": data, "whiten": np.stack(whiten), "location": np.array(location), "scale": np.array(scale)}
        return cls(beta, found)

    def optimum(self) -> scipy.optimize.OptimizeResult:
        """The best of several climbs, of standard normal numbers."""
        p = len(self.arrays["location"])
        whole = lambda z: np.concatenate([numpyro_scaling.residuals(z, self.arrays, np), z])
        climbs = [scipy.optimize.least_squares(whole, start * np.eye(p)[0], method="lm") for start in _STARTS]
        return min(climbs, key=lambda one: one.cost)


def correction(smallest: float, omega: tuple[float, float]) -> float:
    """One standard deviation of the prior of a correction at the smallest size, relative.

    Examples
    --------
    >>> round(correction(8, OMEGA), 2), round(correction(4, OMEGA), 2)
    (0.1, 0.23)
    """
    return CORRECTION * smallest ** -omega[0]


def fit(at: Callable[[float], list[Averages]], beta: float, bounds: tuple[float, float], omega: tuple[float, float], seed: int) -> Scaled:
    """The posterior of finite-size scaling from averages `at` any temperature within bounds, and beside it, begun at `beta`."""
    for _ in range(_MOVES):
        problem = Problem.of(at(beta), omega)
        best = problem.optimum()
        shift = SPREAD * float(best.x[0])
        if abs(shift) < SPREAD * math.sqrt(np.linalg.inv(best.jac.T @ best.jac)[0, 0]) / 4:
            break
        beta = float(np.clip(beta * (1 + shift), *bounds))
    root = np.linalg.cholesky(np.linalg.inv(best.jac.T @ best.jac))
    z, rhat = numpyro_scaling.sample(problem.arrays, best.x, root, seed)
    theta = problem.arrays["location"] + problem.arrays["scale"] * z
    beta_c, nu = problem.beta * (1 + theta[:, 0]), np.exp(theta[:, 1])
    # Residuals of data and priors together are as many normal numbers as there are data more than parameters.
    p_value = float(scipy.stats.chi2.sf(2 * best.cost, problem.arrays["data"].size))
    return Scaled(beta_c, nu, _growth(at(problem.beta), beta_c, omega, seed), p_value, rhat)


def _growth(points: list[Averages], beta_c: np.ndarray, omega: tuple[float, float], seed: int) -> np.ndarray:
    """Draws of γ/ν: by how much ln N⟨m²⟩ grows with ln L at βc, with the same kind of corrections.

    Its errors are taken as independent of those of βc. They are not: where fluctuations raise U4 they raise ⟨m²⟩ and lower βc, which
    cancels in part, so that the interval is rather too wide.
    """
    rng, beta = np.random.default_rng(seed), float(points[0].betas[1])
    log_size = np.log([one.of.size for one in points])
    value, slope = (np.stack([one.log_order[k][:, 1] for one in points], 1) for k in (0, 1))
    error, found = value[1:].std(0, ddof=1), np.empty(len(beta_c))
    omegas = omega[0] * np.exp(omega[1] * rng.normal(size=len(beta_c)))
    for k, (there, power) in enumerate(zip(beta_c, omegas, strict=True)):
        decay = np.exp(-power * (log_size - log_size[0]))
        design = np.stack([np.ones_like(log_size), log_size, decay, decay**2], 1) / error[:, None]
        target = (value[0] + error * rng.normal(size=len(error)) + slope[0] * (there - beta)) / error
        # Corrections as further data: drawn from their prior, and fitted with its width.
        design = np.concatenate([design, np.eye(4)[2:] / correction(points[0].of.size, omega)])
        target = np.concatenate([target, rng.normal(size=2)])
        found[k] = np.linalg.lstsq(design, target, rcond=None)[0][1]
    return found


def _row(one: Averages) -> np.ndarray:
    """Values and three derivatives ``(replicate, 8)`` at the middle one of three temperatures."""
    beta, step = one.betas[1], (one.betas[2] - one.betas[0]) / 2
    (value, slope), (length, steepness) = one.binder, one.length
    slopes = np.stack([slope, steepness], -1)  # (replicate, 3, 2)
    bends = (slopes[:, 2] - slopes[:, 0]) / (2 * step), (slopes[:, 2] - 2 * slopes[:, 1] + slopes[:, 0]) / step**2
    return np.concatenate([np.stack([value, length], -1)[:, 1], beta * slopes[:, 1], beta**2 * bends[0], beta**3 * bends[1]], -1)


__all__ = ["CORRECTION", "NU", "OMEGA", "Problem", "Scaled", "correction", "fit"]


def __dir__() -> list[str]:
    return sorted(__all__)
