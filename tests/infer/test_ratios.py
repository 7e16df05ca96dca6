"""Whether energies are those of the declared temperatures: uniform p-values where they are, of normal energies whose ratio is known."""

from __future__ import annotations

import numpy as np
import scipy.signal
import scipy.stats

from hamlearn.infer.critical.ratios import ratios
from statistics_budget import spend, z_limit

BETAS, SPREAD, MEMORY, TAU = np.array([0.4, 0.5]), 8.0, 0.8, 9.0  # τ of this memory is (1 + 0.8)/(1 − 0.8)


def compared(rng: np.random.Generator, betas=BETAS, declared=BETAS, mean=0.0):
    """Energies N(−β s², s²), whose densities are a common one times exp(−βE), with a memory of some steps; 4 chains in 32 blocks."""
    noise = rng.normal(size=(len(betas), 4, 700))
    walk = scipy.signal.lfilter([np.sqrt(1 - MEMORY**2)], [1, -MEMORY], noise)[..., 60:]
    energies = SPREAD * walk - (SPREAD**2 * betas)[:, None, None] + mean
    levels, at = np.unique(energies.round(1), return_inverse=True)
    owner = np.repeat(np.arange(8), 80) + 8 * np.arange(4)[:, None]
    return ratios(declared, levels, at.reshape(energies.shape), owner, np.full(len(betas), TAU))


def test_p_values_are_uniform_where_temperatures_are_right():
    found = [compared(np.random.default_rng(seed))[0].p_value for seed in range(300)]
    assert scipy.stats.kstest(found, "uniform").pvalue > spend()


def test_a_step_that_is_declared_wrong_is_found_with_its_size():
    apparent, p_values = np.array([compared(np.random.default_rng(seed), declared=BETAS * 1.5)[0][2:] for seed in range(40)]).T
    assert abs(apparent.mean() - 0.1) < z_limit() * apparent.std(ddof=1) / np.sqrt(40) + 0.01  # to first order only
    assert np.median(p_values) < 0.01


def test_nothing_rests_on_where_energies_are_counted_from():
    here, there = (compared(np.random.default_rng(1), mean=mean)[0] for mean in (0.0, 5000.0))
    np.testing.assert_allclose(here, there, rtol=1e-6)
