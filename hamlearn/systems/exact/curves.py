"""Thermodynamics at many temperatures from log Z at few: a polynomial through it, whose derivatives cost nothing.

Log Z of a finite system is analytic in β, so its Chebyshev series converges geometrically, the faster the farther its complex zeros are
from the temperatures (M. E. Fisher, *The nature of critical points*, 1965), and interpolation in the Chebyshev points is as good as the
series (L. N. Trefethen, *Approximation Theory and Approximation Practice*, 2013). A glass has its zeros far away, a ferromagnet near its
transition.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import xarray as xr
from numpy.polynomial import Chebyshev

from hamlearn.systems.base import System
from hamlearn.systems.exact.oracle import Oracle

TOLERANCE = 1e-6  # of the heat capacity per site, by a bound that is some ten to hundred times what it misses
_FIRST = 12  # intervals between Chebyshev points; twice as many keep those that are known
_LAST = 4  # coefficients that tell how large those are that were left out
_BEYOND = 0.05  # of the half width, on either side: at the very ends derivatives of polynomials are largest


class Curves:
    """What :meth:`Oracle.thermodynamics` says of systems that are alike, from log Z at Chebyshev points where that is cheaper.

    The oracle itself answers where the points would cost more than half of what it takes, or the polynomial is not within `TOLERANCE`
    by then; the systems after one whose polynomial was not are not tried.

    Parameters
    ----------
    oracle : Oracle
        Its ``values_per_point`` says what its derivatives cost.
    betas : array (n,)
        Inverse temperatures.

    Examples
    --------
    >>> from hamlearn.systems import EdwardsAnderson, exact
    >>> glass, betas = EdwardsAnderson((6, 6), seed=1), np.linspace(0.1, 1.0, 13)
    >>> here, there = Curves(exact.oracle(glass), betas).of(glass), exact.thermodynamics(glass, betas)
    >>> bool(np.allclose(here["heat_capacity"], there["heat_capacity"], rtol=0, atol=1e-6))
    True
    """

    def __init__(self, oracle: Oracle, betas: np.ndarray) -> None:
        self.oracle, self.betas = oracle, betas
        low, high = float(betas.min()), float(betas.max())
        beyond = min(_BEYOND * (high - low) / 2, low / 2)
        self.domain = (low - beyond, high + beyond)
        self.most = oracle.values_per_point * len(np.unique(betas)) / 2 if low < high else 0.0

    def of(self, system: System) -> xr.Dataset:
        """Thermodynamics of a system."""
        values, count, n = np.empty(0), _FIRST, system.lattice.n_sites
        while count + 1 <= self.most:
            points = np.mean(self.domain) + np.ptp(self.domain) / 2 * np.cos(np.pi * np.arange(count + 1) / count)
            asked = np.ones(count + 1, bool)
            asked[::2] = len(values) == 0
            found = np.empty(count + 1)
            found[asked], found[~asked] = self.oracle.log_z(system, points[asked]), values
            values, count = found, 2 * count
            log_z = Chebyshev(_coefficients(values), domain=self.domain)
            if np.max(_missed(log_z, self.betas) * self.betas**2) / n < TOLERANCE:
                slope, curvature = log_z.deriv(1)(self.betas), log_z.deriv(2)(self.betas)
                entropy = (log_z(self.betas) - self.betas * slope) / n
                return self.oracle.columns(self.betas, -slope / n, self.betas**2 * curvature / n, entropy)
        self.most = 0.0
        return self.oracle.thermodynamics(system, self.betas)


def _coefficients(values: np.ndarray) -> np.ndarray:
    """Of the Chebyshev series through values at ``cos(pi k / n)``, k = 0 … n."""
    found = scipy.fft.dct(values, type=1) / (len(values) - 1)
    found[[0, -1]] /= 2
    return np.asarray(found)


def _missed(log_z: Chebyshev, betas: np.ndarray) -> np.ndarray:
    """How far the second derivative may be off: twice the largest of the last coefficients on a polynomial of that degree.

    Of T_n it is (x T_n′ − n² T_n)/(1 − x²), with |T_n| ≤ 1 and |T_n′| ≤ n/√(1 − x²), and at most n²(n² − 1)/3.
    """
    n, (low, high) = log_z.degree(), log_z.domain
    x = (2 * betas - low - high) / (high - low)
    inside = np.maximum(1 - x**2, 1e-12)
    steepest = np.minimum((n**2 + n * np.abs(x) / np.sqrt(inside)) / inside, n**2 * (n**2 - 1) / 3)
    return np.asarray(2 * np.abs(log_z.coef[-_LAST:]).max() * steepest * 4 / (high - low) ** 2)
