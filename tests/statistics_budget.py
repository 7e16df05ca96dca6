"""One false-alarm budget for every stochastic assertion of the suite.

A correct library must let the whole suite pass with probability ``1 - FALSE_ALARM`` over the choice of seeds.
The budget is shared equally by `N_STOCHASTIC_TESTS` assertions, and the threshold in standard errors follows;
no test chooses its own. ``conftest.py`` counts what a run spent and fails it if the budget was overdrawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

FALSE_ALARM = 1e-3
N_STOCHASTIC_TESTS = 700

_spent = 0


def spent() -> int:
    """How many shares of the budget this process has used."""
    return _spent


def spend(shares: int = 1) -> float:
    """Use `shares` of the budget and return the p-value below which a correct library may fail.

    For tests that make their own p-value (chi-square, Kolmogorov–Smirnov, binomial coverage):
    ``assert p_value > spend()``.
    """
    global _spent
    _spent += shares
    return FALSE_ALARM * shares / N_STOCHASTIC_TESTS


def z_limit(comparisons: int = 1) -> float:
    """Two-sided normal threshold of one share of the budget, divided over simultaneous `comparisons`."""
    return float(norm.isf(FALSE_ALARM / N_STOCHASTIC_TESTS / comparisons / 2))


def assert_within(estimate: ArrayLike, truth: ArrayLike, standard_error: ArrayLike, what: str = "estimate") -> None:
    """Fail unless `estimate` agrees with `truth` within the suite's limit, in standard errors.

    The elements of an array are compared simultaneously and together cost one share of the budget. The
    standard error must include autocorrelation (use the effective sample size), and the error of the truth
    where that is sampled too.
    """
    arrays = (np.asarray(values, dtype=float) for values in (estimate, truth, standard_error))
    found, expected, error = np.broadcast_arrays(*arrays)
    if found.size == 0:
        raise AssertionError(f"{what}: nothing to compare; the arrays are empty, so this test could not fail.")
    if not (np.all(np.isfinite(error)) and np.all(error > 0)):
        raise AssertionError(
            f"{what}: standard errors must be finite and positive, got {error.min()} to {error.max()}. An "
            "exact comparison belongs in np.testing.assert_allclose."
        )
    spend()
    limit = z_limit(found.size)
    z = (found - expected) / error
    bad = ~(np.abs(z) <= limit)  # a NaN is bad
    if not bad.any():
        return
    worst = np.unravel_index(np.argmax(np.where(np.isnan(z), np.inf, np.abs(z))), z.shape)
    where = f" at index {tuple(int(i) for i in worst)}" if z.ndim else ""
    raise AssertionError(
        f"{what}: {int(bad.sum())} of {z.size} values are off by more than {limit:.2f} standard errors.\n"
        f"  worst{where}: got {found[worst]:.8g}, expected {expected[worst]:.8g}, "
        f"standard error {error[worst]:.3g}, so z = {z[worst]:+.2f}\n"
        f"  root mean square z = {np.sqrt(np.mean(z**2)):.2f}; near 1 is chance, well above 1 is a bias or a "
        "standard error that is too small (autocorrelation?).\n"
        f"  Chance alone does this in one run of the suite out of {1 / FALSE_ALARM:.0f}: "
        "explain it before trying another seed."
    )
