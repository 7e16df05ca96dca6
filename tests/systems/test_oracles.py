"""Oracles ask for structure: one Hamiltonian written in several ways has one exact answer, and a stranger's oracle is one line."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import (
    ANGLES,
    REALS,
    XY,
    Field,
    InteractionTables,
    Ising,
    Pairwise,
    Path,
    Polynomial,
    Potts,
    ScalarField,
    System,
    VectorSpins,
    exact,
    lattice,
)
from hamlearn.systems.exact.discrete import Enumeration, Kaufman
from hamlearn.systems.pairs import Directions, pairs_of
from statistics_budget import assert_within

SQUARE = 2 * ((np.arange(16)[:, None] >> np.arange(3, -1, -1)) & 1) - 1  # spins of all states of a 2×2 window


def three_ways(shape, J, h=0.0):
    """An Ising model with couplings J (one, or per bond) as pairs, as a Potts table, and as windows of 2×2 spins."""
    ising = Ising(shape, J=J, h=h)
    table = np.broadcast_to(np.asarray(J, float), ising.lattice.n_bonds)[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    down, right = np.broadcast_to(np.asarray(J, float), ising.lattice.n_bonds).reshape(2, -1)
    windows = -SQUARE[:, 0] * (down[:, None] * SQUARE[:, 2] + right[:, None] * SQUARE[:, 1]) - h * SQUARE[:, 0]
    return ising, Potts(ising.lattice, 2, J=table, h=[-h, h]), InteractionTables(shape, 2, windows)


CASES = {
    "enumeration": ((3, 4), 0.8, 0.1),
    "transfer": ((5, 12), np.random.default_rng(0).normal(size=120), 0.2),
    "kaufman": ((24, 20), np.repeat([0.9, 0.5], 480), 0.0),
}


@pytest.mark.parametrize("method", CASES)
def test_one_hamiltonian_written_in_three_ways_has_one_answer(method):
    systems, betas = three_ways(*CASES[method]), np.array([0.2, 0.55])
    states = np.random.default_rng(1).integers(2, size=(5, *systems[0].lattice.shape))
    np.testing.assert_allclose(systems[2].energy(2 * states - 1), systems[0].energy(2 * states - 1), atol=1e-10)  # they are one
    np.testing.assert_allclose(systems[1].energy(states), systems[0].energy(2 * states - 1), atol=1e-10)
    assert [exact.method(one) for one in systems] == [method] * 3
    first, *others = (exact.thermodynamics(one, betas) for one in systems)
    for other in others:
        for name in first:
            np.testing.assert_allclose(other[name], first[name], rtol=1e-9, err_msg=name)
    values = [exact.log_partition(one, 0.4) for one in systems]
    assert values[1:] == pytest.approx([values[0]] * 2, rel=1e-12)
    if method == "kaufman":
        return
    ours, table, tiles = (exact.expectations(one, 0.4) for one in systems)
    np.testing.assert_allclose(table["marginal"][:, 1] - table["marginal"][:, 0], ours["magnetization"], atol=1e-10)
    pairs = lambda found: {
        tuple(sorted(map(int, ends))): float(c) for *ends, c in zip(found.site_i, found.site_j, found.correlation, strict=True)
    }
    assert pairs(tiles) == pytest.approx(pairs(ours), abs=1e-10)
    np.testing.assert_array_equal(exact.sample(systems[0], 0.4, 20, seed=1), 2 * exact.sample(systems[1], 0.4, 20, seed=1) - 1)


def test_windows_are_pairs_only_where_no_three_sites_interact():
    shape, q, rng = (4, 5), 3, np.random.default_rng(2)
    digits = np.array(list(itertools.product(range(q), repeat=4)))
    pair, single = rng.normal(size=(6, q, q)), rng.normal(size=(4, q))
    table = sum(t[digits[:, i], digits[:, j]] for t, (i, j) in zip(pair, itertools.combinations(range(4), 2), strict=True))
    table = table + sum(one[digits[:, i]] for i, one in enumerate(single)) + 0.3
    system = InteractionTables(shape, 2, table, space=hl.systems.states(q))
    found, states = pairs_of(system), rng.integers(q, size=(20, *shape))
    flat = states.reshape(20, -1)
    i, j = found.lattice.bonds.T
    minus = found.tables[np.arange(len(i)), flat[:, i], flat[:, j]].sum(1) + found.fields[np.arange(20), flat].sum(1)
    np.testing.assert_allclose(-minus, system.energy(states), atol=1e-10)
    for small in (1e-3, 1e-9):  # seen at once, and only by the whole decomposition
        three = small * (digits[:, 0] == 1) * (digits[:, 1] == 2) * (digits[:, 3] == 0)
        assert pairs_of(InteractionTables(shape, 2, table + three, space=hl.systems.states(q))) is None


def test_an_oracle_never_treats_what_only_looks_like_it():
    product = InteractionTables((24, 20), 2, -SQUARE.prod(1).astype(float))  # the plaquette model: no pairs
    assert pairs_of(product) is None and exact.method(product) is None
    assert Kaufman().applies(Potts((6, 6), 2)) and not Kaufman().applies(Potts((6, 6), 2, h=[0.0, 1e-9]))
    assert Enumeration().refusal(Ising((5, 5))) == "2**25 = 3.4e+7 states are more than 1048576"


def test_a_path_and_a_free_field_are_known_however_they_are_written():
    well = Polynomial([0, -1.28, 0, 1.0])
    path, field = Path(12, well, 1.3), Field((12,), 1.3, well, path=True)
    assert exact.method(field) == "operator"
    ours, theirs = exact.thermodynamics(field, [2.0]), exact.thermodynamics(path, [2.0])
    assert all(float(ours[name][0]) == float(theirs[name][0]) for name in theirs)
    np.testing.assert_array_equal(exact.sample(field, 2.0, 3, seed=0), exact.sample(path, 2.0, 3, seed=0))
    assert exact.method(Field((12,), [1.0, 0.2], [0, 0.5, 0, 1.0], path=True)) is None

    free = ScalarField((3, 4), m2=0.7, lam=0.0)
    torus = free.lattice
    graph = ScalarField(lattice.Lattice(torus.shape, torus.bonds), m2=0.7, lam=0.0)  # its bonds, its momenta unsaid
    assert exact.method(graph) == "gaussian"
    for name, value in exact.thermodynamics(free, [0.5, 2.0]).items():
        np.testing.assert_allclose(exact.thermodynamics(graph, [0.5, 2.0])[name], value, rtol=1e-12)
    spread = np.cov(exact.sample(graph, 0.5, 4000, seed=0).reshape(4000, -1).T)
    np.testing.assert_allclose(spread, np.linalg.inv(0.5 * graph.quadratic_form()), atol=0.2)
    own = Quadratic(graph)
    assert exact.log_partition(own, 0.5) == pytest.approx(exact.log_partition(free, 0.5), rel=1e-12)


def test_rotors_get_one_answer_however_they_are_written():
    """Of an open chain Z = Π I₀(βJ), of a ring Σ_n Π I_n(βJ)."""
    J, betas = np.array([0.7, -1.1, 0.4]), [0.5, 1.5]
    chain, line = XY([[0, 1], [1, 2], [2, 3]], J), VectorSpins([[0, 1], [1, 2], [2, 3]], J, n=2)
    ring, loop = XY(3, J), VectorSpins(3, J, n=2)
    n = np.arange(-60, 61)[:, None]
    for one, method in ((chain, "tree"), (line, "tree"), (ring, "characters"), (loop, "characters")):
        assert exact.method(one) == method
        for beta in betas:
            truth = np.log(special.iv(0, beta * J)).sum() if method == "tree" else np.log(special.iv(n, beta * J).prod(1).sum())
            assert exact.log_partition(one, beta) == pytest.approx(truth, rel=1e-10)
    assert exact.method(XY(3, J, h=0.1)) is None and exact.method(VectorSpins(3, J, n=3)) is None


class Compass(System):
    """A stranger's angles in fields along the second component: what they are made of is said by one property."""

    lattice, space = lattice.hypercubic(4, periodic=False), ANGLES
    directions = Directions(np.zeros(3), np.array([[0.0, 0.9]] * 4))

    def energy(self, states):
        return -0.9 * np.sin(np.asarray(states)).sum(-1)

    def to_dict(self):
        return {"kind": "compass"}


def standard_error(series):
    """Of the mean of a series ``(chain, draw)``."""
    tau = max(1.0, float(np.max(integrated_autocorrelation_time(series[..., None]))))
    return float(series.std() * np.sqrt(2 * tau / series.size))


@pytest.mark.parametrize("sampler", ["heat_bath", "wolff"])
def test_directions_of_ones_own_are_drawn_in_fields_of_any_direction(sampler):
    """The mean of sin φ is I₁(βh)/I₀(βh)."""
    states = np.sin(hl.simulate(Compass(), 1.0, draws=1500, chains=4, seed=3, sampler=sampler, thin=4)["state"].values)
    assert_within(states.mean(), special.i1(0.9) / special.i0(0.9), standard_error(states.mean(-1)), "mean of sin φ")


def test_pairs_written_as_tables_are_sampled_as_pairs():
    tables = InteractionTables((6, 6), 2, -0.25 * (SQUARE[:, [0, 0, 1, 2]] * SQUARE[:, [1, 2, 3, 3]]).sum(1))
    states = hl.simulate(tables, 0.5, draws=800, chains=4, seed=1, sampler="wolff")["state"].values
    energies = tables.energy(states.reshape(4, 800, -1)) / 36
    truth = float(exact.thermodynamics(Ising((6, 6), J=0.5), [0.5])["energy"][0])
    assert_within(energies.mean(), truth, standard_error(energies), "energy per site by clusters of tables")


class Quadratic(System):
    """A stranger's Gaussian: nothing of it is known but that it is one."""

    space, pure_jax, free = REALS, False, True

    def __init__(self, field):
        self.lattice, self.form = lattice.Lattice((12,), np.zeros((0, 2), int)), field.quadratic_form()

    def quadratic_form(self, beta=1.0):
        return beta * self.form


class FreeSpins(exact.Oracle):
    """Spins that do not interact."""

    name = "free spins"
    gives = ("log_z", "thermodynamics", "sample")

    def refusal(self, system):
        return None if isinstance(system, Pairwise) and not np.any(system.J) else "spins interact"

    def derivatives(self, system, betas):
        x = betas[:, None] * system.h
        return np.stack([np.log(2 * np.cosh(x)).sum(1), np.tanh(x) @ system.h, (1 / np.cosh(x) ** 2) @ system.h**2])

    def sample(self, system, beta, draws, generator):
        up = 1 / (1 + np.exp(-2 * beta * system.h))
        return np.where(generator.random((draws, len(up))) < up, 1, -1).reshape(draws, *system.lattice.shape)


def test_a_users_own_oracle_is_passed_or_registered_by_one_line():
    mine, small, large = FreeSpins(), Ising((3, 3), J=0.0, h=0.4), Ising((30, 30), J=0.0, h=0.4)
    ours, theirs = exact.thermodynamics(small, [0.5, 1.5], oracle=mine), exact.thermodynamics(small, [0.5, 1.5])
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-10)
    assert exact.method(large) is None and exact.sample(large, 1.0, 7, 0, oracle=mine).shape == (7, 30, 30)
    with pytest.raises(HamlearnError, match="spins interact"):
        exact.log_partition(Ising((3, 3)), 1.0, oracle=mine)
    with pytest.raises(HamlearnError, match="it gives log_z, thermodynamics, sample"):
        exact.expectations(large, 1.0, oracle=mine)
    exact.register(mine)
    try:
        with pytest.raises(HamlearnError, match="called 'free spins' already"):
            exact.register(FreeSpins())
        assert exact.method(large) == "free spins" and exact.method(Ising((3, 3))) == "enumeration"
        assert hl.simulate(large, 1.0, draws=3, seed=0).attrs["sampler"] == "exact"
    finally:
        exact.unregister(mine)
    assert exact.method(large) is None
