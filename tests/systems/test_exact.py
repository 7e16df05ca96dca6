"""Enumeration, thermodynamics and samples against plain Python loops; which method; errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_oracles import LAYERED, SYSTEMS, BruteForce, evaluate, glass
from scipy.special import logsumexp
from scipy.stats import chi2

from hamlearn.errors import HamlearnError
from hamlearn.systems import Clock, EdwardsAnderson, Ising, Pairwise, SherringtonKirkpatrick, System, WeakStrong, exact, lattice
from hamlearn.systems.exact.discrete import Enumeration, Transfer
from statistics_budget import spend

# Thermodynamics are derivatives in β of the log Z that the contract checks everywhere; these are enough.
BY_NAME = {"enumeration": Enumeration(), "transfer": Transfer()}
THERMODYNAMIC = ["ring", "torus 2x2, double bonds", "clock q=3", "Sherrington-Kirkpatrick"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_distribution_matches_loops(name):
    system, beta = SYSTEMS[name](), 0.7
    truth = BruteForce(system, beta)
    np.testing.assert_allclose(exact.state_energies(system), truth.energies, rtol=0, atol=1e-12)
    states, probabilities = exact.distribution(system, beta)
    np.testing.assert_array_equal(states.reshape(len(states), -1), truth.states)
    np.testing.assert_allclose(probabilities, truth.probabilities, rtol=1e-11)


@pytest.mark.parametrize("name", THERMODYNAMIC)
@pytest.mark.parametrize("method", ["enumeration", "transfer"])
def test_thermodynamics_match_loops(name, method):
    system, beta = SYSTEMS[name](), 0.7
    if method == "transfer" and name not in LAYERED:
        pytest.skip("this graph has no layers")
    truth, n = BruteForce(system, beta), system.lattice.n_sites
    result = exact.thermodynamics(system, beta, oracle=BY_NAME[method]).isel(beta=0)
    assert result.method == method
    assert float(result.energy) == pytest.approx(truth.energy / n, rel=1e-11)
    assert float(result.heat_capacity) == pytest.approx(beta**2 * truth.variance / n, rel=1e-9)
    assert float(result.entropy) == pytest.approx(truth.entropy / n, rel=1e-9)
    assert float(result.free_energy) == pytest.approx(-truth.log_z / (beta * n), rel=1e-12)


@pytest.mark.parametrize("name", SYSTEMS)
def test_expectations_match_loops(name):
    system, beta = SYSTEMS[name](), 0.7
    truth, result = BruteForce(system, beta), exact.expectations(system, beta)
    bonds = system.lattice.bonds.tolist()
    if isinstance(system, Pairwise):
        spins = [truth.mean([state[i] for state in truth.states]) for i in range(system.lattice.n_sites)]
        pairs = [truth.mean([state[i] * state[j] for state in truth.states]) for i, j in bonds]
        np.testing.assert_allclose(result.magnetization, spins, atol=1e-12)
        np.testing.assert_allclose(result.correlation, pairs, atol=1e-12)
        return
    for i in range(system.lattice.n_sites):
        for a in range(system.q):
            assert float(result.marginal[i, a]) == pytest.approx(truth.probability(lambda s: s[i] == a), abs=1e-12)
    for bond, (i, j) in enumerate(bonds):
        for a, b in itertools.product(range(system.q), repeat=2):
            both = truth.probability(lambda s: s[i] == a and s[j] == b)
            assert float(result.pair_marginal[bond, a, b]) == pytest.approx(both, abs=1e-12)


# The log arithmetic shares its factors with the linear one; what differs is how blocks of sites are applied.
IN_LOG = ["chain", "torus 2x2, double bonds", "torus 3x3", "triangular 3x3", "honeycomb 2x2", "Potts q=3, general tables"]


@pytest.mark.parametrize(("name", "arithmetic"), [(name, "linear") for name in LAYERED] + [(name, "log") for name in IN_LOG])
def test_transfer_matrix_matches_loops_and_enumeration(name, arithmetic):
    system, beta = SYSTEMS[name](), 0.7
    truth = BruteForce(system, beta).log_z
    value, pairs, sites = evaluate(system, beta, "enumeration")
    assert value == pytest.approx(truth, rel=1e-12)
    value, pair, site = evaluate(system, beta, "transfer", arithmetic)
    assert value == pytest.approx(truth, rel=1e-12)
    np.testing.assert_allclose(pair, pairs, atol=1e-12)
    np.testing.assert_allclose(site, sites, atol=1e-12)


def test_every_lattice_that_has_layers_is_cut():
    assert set(SYSTEMS) - set(LAYERED) == {"any graph", "Sherrington-Kirkpatrick"}


@pytest.mark.parametrize("name", ["torus 3x3", "strip 2x5, open", "triangular 3x3", "Potts q=3, general tables", "any graph"])
@pytest.mark.parametrize("method", ["enumeration", "transfer"])
def test_samples_follow_the_exact_probabilities(name, method):
    system, beta, draws = SYSTEMS[name](), 0.5, 20_000
    if method == "transfer" and name not in LAYERED:
        pytest.skip("this graph has no layers")
    samples = exact.sample(system, beta, draws, seed=3, oracle=BY_NAME[method])
    assert samples.shape == (draws, *system.lattice.shape)
    q, n = system.space.q, system.lattice.n_sites
    numbers = system.space.index(samples).reshape(draws, n).astype(int) @ q ** np.arange(n)[::-1]
    assert chi_square_p(np.bincount(numbers, minlength=q**n), BruteForce(system, beta).probabilities) > spend()


def chi_square_p(counts, probabilities):
    """p-value of counts under probabilities; states expected fewer than 10 times share cells."""
    order = np.argsort(probabilities)
    expected, counts = np.asarray(probabilities)[order] * counts.sum(), counts[order]
    cell = np.floor(np.cumsum(expected) / 10).astype(int)
    cell[expected >= 10] = cell.max() + 1 + np.arange(np.sum(expected >= 10))
    cell = np.unique(cell, return_inverse=True)[1]
    found, mean = np.bincount(cell, counts), np.bincount(cell, expected)
    assert len(mean) > 20
    return chi2.sf(np.sum((found - mean) ** 2 / mean), len(mean) - 1)


def test_moments_match_loops():
    system, beta = glass(lattice.hypercubic((3, 3))), 0.4
    truth, result = BruteForce(system, beta), exact.moments(system, [0.1, beta]).isel(beta=1)
    m = [sum(state) / 9 for state in truth.states]
    assert float(result.magnetization) == pytest.approx(truth.mean(m), abs=1e-12)
    assert float(result.absolute_magnetization) == pytest.approx(truth.mean([abs(x) for x in m]), rel=1e-12)
    assert float(result.squared_magnetization) == pytest.approx(truth.mean([x**2 for x in m]), rel=1e-12)
    assert float(result.quartic_magnetization) == pytest.approx(truth.mean([x**4 for x in m]), rel=1e-12)


def test_twenty_spins_are_enumerated():
    system = SherringtonKirkpatrick(20, seed=1)
    assert exact.method(system) == "enumeration"
    spins = 2.0 * exact.all_states(system.lattice) - 1
    matrix = np.zeros((20, 20))
    matrix[tuple(system.lattice.bonds.T)] = system.J
    truth = logsumexp(1.5 * np.einsum("si,si->s", spins @ matrix, spins))
    assert exact.log_partition(system, 1.5) == pytest.approx(truth, rel=1e-12)


def test_weak_strong_clusters():
    # Published levels: all up, cells opposed, all down.
    states, energies = exact.all_states(WeakStrong().lattice), exact.state_energies(WeakStrong())
    level = {tuple(state): energy for state, energy in zip(states.tolist(), energies, strict=True)}
    assert level[(1,) * 16] == pytest.approx(-40.48) and energies.min() == pytest.approx(-40.48)
    assert level[(1,) * 8 + (0,) * 8] == pytest.approx(-39.52)
    assert level[(0,) * 16] == pytest.approx(-31.52)


@pytest.mark.parametrize(
    ("system", "method"),
    [
        (Ising((3, 3)), "enumeration"),
        (WeakStrong(), "enumeration"),
        (EdwardsAnderson((8, 8)), "transfer"),
        (Ising((9, 40)), "transfer"),
        (Ising(1000), "transfer"),
        (Ising((16, 16), periodic=False), "transfer"),
        (Ising((3, 3, 3)), "transfer"),
        (Clock((5, 20), 3), "transfer"),
        (Ising((64, 64)), "kaufman"),
        (EdwardsAnderson((10, 10)), None),
        (SherringtonKirkpatrick(21), None),
    ],
)
def test_method(system, method):
    assert exact.method(system) == method


def test_errors_teach():
    small, large = Ising((3, 3)), EdwardsAnderson((10, 10))
    for beta in (0, -1.0, [0.5, np.nan]):
        with pytest.raises(HamlearnError, match="beta"):
            exact.log_partition(small, beta)
    with pytest.raises(HamlearnError, match=r"2\*\*100 = 1.3e\+30 states .* hl.simulate"):
        exact.thermodynamics(large, 1.0)
    with pytest.raises(HamlearnError, match="Kaufman"):
        exact.expectations(Ising((64, 64)), 1.0)
    with pytest.raises(HamlearnError, match="Kaufman"):
        exact.sample(Ising((64, 64)), 1.0, 10, seed=0)
    with pytest.raises(HamlearnError, match=r"2\*\*64 .* 20 sites with q=2"):
        exact.distribution(Ising((8, 8)), 1.0)
    with pytest.raises(HamlearnError, match="too many to enumerate"):
        exact.all_states(large.lattice)
    with pytest.raises(HamlearnError, match="got object"):
        exact.log_partition(object(), 1.0)
    with pytest.raises(HamlearnError, match="spins"):
        exact.moments(Clock(3, 3), 1.0)
    with pytest.raises(HamlearnError, match="draws"):
        exact.sample(small, 1.0, 0, seed=0)
    with pytest.raises(HamlearnError, match="one beta"):
        exact.sample(small, [1.0, 2.0], 5, seed=0)
    with pytest.raises(HamlearnError, match="layers"):
        exact.log_partition_function(large.lattice)
    with pytest.raises(HamlearnError, match="Did you mean 'transfer'"):
        exact.log_partition_function(small.lattice, 2, "transfr")
    with pytest.raises(HamlearnError, match="enable_x64"):
        exact.log_partition_function(small.lattice)(small.pairs.tables, small.pairs.fields)


def test_betas_are_labelled_and_scalars_stay_scalars():
    system = EdwardsAnderson((3, 4), seed=1)
    assert isinstance(exact.log_partition(system, 0.5), float)
    assert exact.log_partition(system, np.full((2, 3), 0.5)).shape == (2, 3)
    assert exact.expectations(system, 0.5).correlation.dims == ("bond",)
    both = exact.expectations(system, [0.5, 0.9])
    assert both.correlation.dims == ("beta", "bond") and both.site_j.values.tolist() == system.lattice.bonds[:, 1].tolist()
    energy = exact.thermodynamics(system, [0.5, 0.9]).energy
    assert energy.dims == ("beta",) and energy.attrs["units"] == "energy"


class Black(System):
    """A system that is no table of couplings: three spins whose product tells the energy."""

    lattice = lattice.hypercubic(3, periodic=False)
    space = Ising(3).space
    pure_jax = False

    def energy(self, states):
        return np.where(np.asarray(states).prod(-1) < 0, 1.0, 0.0)


def test_any_discrete_system_can_be_enumerated():
    states, probabilities = exact.distribution(Black(), 2.0)
    odd = states.prod(-1) < 0
    np.testing.assert_allclose(probabilities[odd], np.exp(-2) / 4 / (1 + np.exp(-2)))
    assert exact.method(Black()) == "enumeration"
    assert exact.log_partition(Black(), 2.0) == pytest.approx(np.log(4 + 4 * np.exp(-2)))
    assert exact.thermodynamics(Black(), 2.0)["energy"].item() == pytest.approx(np.exp(-2) / (1 + np.exp(-2)) / 3)
