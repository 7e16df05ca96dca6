"""Observables against plain loops, on NumPy, JAX and torch arrays alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.systems import Ising, Potts, lattice, observables

RNG = np.random.default_rng(5)
SPINS = RNG.choice([-1, 1], size=(2, 3, 4, 6)).astype(np.int8)
GRID = lattice.hypercubic((4, 6))


def by_hand(state, r, periodic):
    """C(r) of one state by loops over sites and both directions."""
    rows, columns = state.shape
    sums, counts = [0.0, 0.0], [0, 0]
    for i in range(rows):
        for j in range(columns):
            for axis, (k, l) in enumerate(((i + r, j), (i, j + r))):
                if periodic or (k < rows and l < columns):
                    sums[axis] += float(state[i, j]) * float(state[k % rows, l % columns])
                    counts[axis] += 1
    return (sums[0] / counts[0] + sums[1] / counts[1]) / 2


@pytest.mark.parametrize("periodic", [True, False])
def test_correlation_along_axes(periodic):
    grid = lattice.hypercubic((4, 6), periodic=periodic)
    found = observables.correlation(SPINS, grid)
    distances = observables.separations(grid)
    np.testing.assert_array_equal(distances, [0, 1, 2] if periodic else [0, 1, 2, 3])
    assert found.shape == (2, 3, len(distances))
    expected = [by_hand(SPINS[1, 2], int(r), periodic) for r in distances]
    np.testing.assert_allclose(found[1, 2], expected, atol=1e-12)
    np.testing.assert_allclose(observables.correlation(SPINS.reshape(2, 3, 24), grid), found)


def test_nearest_neighbour_correlation_is_the_energy():
    energy = observables.energy_per_site(SPINS, Ising((4, 6)))
    horizontal = [by_hand(state, 1, True) for state in SPINS.reshape(-1, 4, 6)]
    np.testing.assert_allclose(energy.ravel(), -2 * np.array(horizontal))


def test_correlation_by_shells_and_of_states():
    honeycomb = lattice.honeycomb((2, 2))
    spins = RNG.choice([-1, 1], size=(5, 2, 2, 2))
    found, distances = observables.correlation(spins, honeycomb), observables.separations(honeycomb)
    flat = spins.reshape(5, 8)
    for k, distance in enumerate(distances):
        pairs = [(i, j) for i in range(8) for j in range(8) if abs(honeycomb.distances[i, j] - distance) < 1e-6]
        np.testing.assert_allclose(found[:, k], np.mean([flat[:, i] * flat[:, j] for i, j in pairs], axis=0), atol=1e-12)
    np.testing.assert_allclose(found[:, 0], 1)
    states = RNG.integers(0, 3, size=(4, 6))
    equal = np.mean([states == np.roll(states, -1, 0), states == np.roll(states, -1, 1)])
    np.testing.assert_allclose(observables.correlation(states, GRID, q=3)[1], (3 * equal - 1) / 2)
    np.testing.assert_allclose(observables.correlation((SPINS + 1) // 2, GRID, q=2), observables.correlation(SPINS, GRID), atol=1e-12)


def test_order_parameters():
    signs = np.add.outer(np.arange(4), np.arange(6)) % 2 * -2 + 1
    np.testing.assert_allclose(observables.staggered_magnetization(SPINS, GRID), (SPINS * signs).mean((-1, -2)))
    np.testing.assert_allclose(observables.magnetization(SPINS, GRID), SPINS.mean((-1, -2)))
    states = RNG.integers(0, 4, size=(3, 10))
    most = [max(np.mean(row == value) for value in range(4)) for row in states]
    np.testing.assert_allclose(observables.potts_order_parameter(states, 4), (4 * np.array(most) - 1) / 3)
    with pytest.raises(HamlearnError, match="bipartite"):
        observables.staggered_magnetization(np.ones((3, 3)), lattice.hypercubic((3, 3)))
    with pytest.raises(HamlearnError, match="site axes"):
        observables.magnetization(np.ones((3, 5)), GRID)


def test_fluctuations_are_derivatives():
    # Enumerated: C = dU/dT and χ = dm/dh, by central differences.
    codes = np.array(np.meshgrid(*[[-1, 1]] * 4, indexing="ij")).reshape(4, -1).T

    def mean(beta, h, of):
        weights = np.exp(-beta * Ising((2, 2), h=h).energy(codes))
        return weights @ of(codes, h) / weights.sum()

    beta, step = 0.4, 1e-4
    energy = lambda s, h: Ising((2, 2), h=h).energy(s)
    m = lambda s, h: observables.magnetization(s)
    weights = np.exp(-beta * energy(codes, 0.3))
    # Sampling with those weights, by repetition, makes the functions' plain averages the exact ones.
    repeats = np.repeat(codes, np.round(weights / weights.sum() * 2e6).astype(int), axis=0)
    slope = (mean(1 / (1 / beta + step), 0.3, energy) - mean(1 / (1 / beta - step), 0.3, energy)) / (2 * step)
    assert observables.heat_capacity(energy(repeats, 0.3), beta, 4) == pytest.approx(slope / 4, rel=1e-4)
    response = (mean(beta, 0.3 + step, m) - mean(beta, 0.3 - step, m)) / (2 * step)
    found = observables.susceptibility(m(repeats, 0.3), beta, 4, absolute=False)
    assert found == pytest.approx(response, rel=1e-4)
    by_chain = observables.heat_capacity(RNG.normal(size=(3, 100)), beta, 4, axis=-1)
    assert by_chain.shape == (3,)


def test_distribution_of_spins_up():
    found = observables.spins_up_distribution(SPINS, GRID)
    assert found.shape == (25,) and found.sum() == pytest.approx(1)
    expected = np.zeros(25)
    for state in SPINS.reshape(-1, 24):
        expected[list(state).count(1)] += 1 / 6
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("framework", ["jax.numpy", "torch"])
def test_formulas_are_shared_by_frameworks(framework):
    import importlib

    xp = importlib.import_module(framework)
    spins, states = xp.asarray(SPINS), xp.asarray(RNG.integers(0, 3, size=(5, 24)))
    pairs = [
        (lambda s: observables.magnetization(s, GRID), SPINS, spins),
        (lambda s: observables.staggered_magnetization(s, GRID), SPINS, spins),
        (lambda s: observables.correlation(s, GRID), SPINS, spins),
        (lambda s: observables.correlation(s, lattice.graph(GRID.bonds)), SPINS.reshape(2, 3, 24), spins.reshape(2, 3, 24)),
        (lambda s: observables.susceptibility(observables.magnetization(s, GRID), 0.4, 24), SPINS, spins),
        (lambda s: observables.potts_order_parameter(s, 3), np.asarray(states), states),
        (lambda s: observables.correlation(s, GRID, q=3), np.asarray(states), states),
        (lambda s: observables.energy_per_site(s, Potts((4, 6), 3)), np.asarray(states), states),
    ]
    for function, plain, array in pairs:
        found = function(array)
        assert type(found).__module__.split(".")[0] != "numpy"
        np.testing.assert_allclose(np.asarray(found), function(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "system",
    [
        hl.systems.Ordinal(lattice.graph([[0, 1], [1, 2], [0, 2]], 3), (2, 4, 3), [0.8, -0.6, 0.5], [0.2, 0.1, -0.2, 0.3]),
        Potts((2, 2), q=3, J=0.7),
        Ising((2, 3), J=0.4, h=0.3),
        hl.systems.InteractionTables((4,), 2, np.array([0.3, -0.2, 0.1, 0.4])),
    ],
    ids=["ordinal of mixed sites", "Potts", "Ising", "tables"],
)
def test_disorder_is_the_mean_over_all_states(system):
    values = [range(size) for size in system.space.sizes or [system.space.q] * system.lattice.n_sites]
    states = system.space.values[np.array(list(itertools.product(*values)))].reshape(-1, *system.lattice.shape)
    energy, n = np.asarray(system.energy(states), float), system.lattice.n_sites
    known = {one.name: one.disordered(system, np.array([0.5])) for one in observables.known(system) if one.disordered}
    assert known["energy"] == pytest.approx(energy.mean() / n, abs=1e-12)
    assert known["entropy"] == pytest.approx(np.log(len(states)) / n)
    assert known["free_energy"][0] == pytest.approx(energy.mean() / n - np.log(len(states)) / n / 0.5)
    assert -np.log(np.exp(-0.5 * energy).sum()) / 0.5 / n <= known["free_energy"][0]
