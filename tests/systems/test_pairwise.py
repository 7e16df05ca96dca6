"""Spin systems against a double loop over bonds and sites, and against published energies."""

from __future__ import annotations

import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hamlearn import systems
from hamlearn.errors import HamlearnError
from hamlearn.systems import EdwardsAnderson, Ising, Pairwise, SherringtonKirkpatrick, System, WeakStrong, lattice

# A new constructor of spin systems adds one line.
SYSTEMS = {
    "Ising": lambda: Ising((3, 4), J=0.7, h=0.2),
    "Ising, double bonds": lambda: Ising((2, 2), J=np.arange(8.0), h=[1, 2, 3, 4]),
    "Ising, open chain": lambda: Ising(6, periodic=False, h=np.linspace(-1, 1, 6)),
    "Ising, honeycomb": lambda: Ising(lattice.honeycomb((2, 3)), J=-1.0),
    "Edwards-Anderson": lambda: EdwardsAnderson((3, 3), seed=4, h=0.3),
    "Edwards-Anderson, ±1": lambda: EdwardsAnderson((2, 3), seed=4, disorder="pm1"),
    "Sherrington-Kirkpatrick": lambda: SherringtonKirkpatrick(8, seed=2, h=-0.4),
    "Pairwise": lambda: Pairwise([[0, 3], [3, 1]], J=[1.5, -0.5], h=[0.1, 0.2, 0.3, 0.4, 0.5], n_sites=5),
    "weak-strong": WeakStrong,
}
every_system = pytest.mark.parametrize("system", [pytest.param(make, id=name) for name, make in SYSTEMS.items()])


def plain_energy(system, spins):
    """H = −Σ J σσ − Σ h σ, one term at a time."""
    spins = list(np.ravel(spins))
    total = 0.0
    for (i, j), coupling in zip(system.lattice.bonds.tolist(), system.J.tolist(), strict=True):
        total -= coupling * spins[i] * spins[j]
    for i, field in enumerate(system.h.tolist()):
        total -= field * spins[i]
    return total


def some_states(system, *lead, seed=0):
    return np.random.default_rng(seed).choice([-1, 1], (*lead, *system.lattice.shape)).astype(np.int8)


@every_system
def test_energy_is_the_double_loop(system):
    system = system()
    states = some_states(system, 20)
    expected = [plain_energy(system, state) for state in states]
    np.testing.assert_allclose(system.energy(states), expected, rtol=1e-12, atol=1e-12)
    assert isinstance(system, System)


@every_system
def test_energy_takes_numpy_jax_and_torch(system):
    system = system()
    states = some_states(system, 7, seed=1)
    expected = np.array([plain_energy(system, state) for state in states])
    from_jax = system.energy(jnp.asarray(states))
    assert isinstance(from_jax, jnp.ndarray)
    np.testing.assert_allclose(np.asarray(from_jax), expected, rtol=2e-6, atol=1e-5)
    from_torch = system.energy(torch.as_tensor(states))
    assert isinstance(from_torch, torch.Tensor)
    np.testing.assert_allclose(from_torch.numpy(), expected, rtol=1e-12, atol=1e-12)
    assert system.energy(torch.as_tensor(states, dtype=torch.float32)).dtype == torch.float32
    assert system.energy(states.astype(np.float32)).dtype == np.float32


@every_system
def test_energy_takes_any_leading_axes_and_flat_sites(system):
    system = system()
    states = some_states(system, 2, 3, 4)
    energies = system.energy(states)
    assert energies.shape == (2, 3, 4)
    assert energies[1, 2, 3] == pytest.approx(plain_energy(system, states[1, 2, 3]))
    np.testing.assert_array_equal(system.energy(states.reshape(2, 3, 4, -1)), energies)
    single = system.energy(states[0, 0, 0])
    assert np.shape(single) == ()
    assert system.energy(states[0, 0, 0].tolist()) == pytest.approx(float(single))
    np.testing.assert_allclose(system.action(states, 0.25), 0.25 * energies)


@every_system
def test_tables_say_the_same_as_the_energy(system):
    system = system()
    bonds, sites = system.pairs.tables, system.pairs.fields
    assert bonds.shape == (system.lattice.n_bonds, 2, 2) and sites.shape == (system.lattice.n_sites, 2)
    for state in some_states(system, 5):
        index = ((state + 1) // 2).ravel()
        total = -sum(bonds[b, index[i], index[j]] for b, (i, j) in enumerate(system.lattice.bonds))
        total -= sum(sites[i, value] for i, value in enumerate(index))
        assert total == pytest.approx(plain_energy(system, state))


@every_system
def test_round_trip_through_json(system):
    system = system()
    back = systems.from_dict(json.loads(json.dumps(system.to_dict())))
    assert type(back) is type(system) and repr(back) == repr(system)
    np.testing.assert_array_equal(back.J, system.J)
    np.testing.assert_array_equal(back.h, system.h)
    np.testing.assert_array_equal(back.lattice.bonds, system.lattice.bonds)
    states = some_states(system, 3)
    np.testing.assert_array_equal(back.energy(states), system.energy(states))


@every_system
def test_parameters_cannot_be_changed_by_accident(system):
    system = system()
    with pytest.raises(ValueError, match="read-only"):
        system.J[0] = 3.0
    with pytest.raises(AttributeError):
        system.h = 0.0


def test_weak_strong_clusters_have_their_published_energies():
    system = WeakStrong()
    assert (system.lattice.n_sites, system.lattice.n_bonds) == (16, 36)
    up = np.ones(16)
    opposed = np.repeat([1, -1], 8)
    assert system.energy(up) == pytest.approx(-40.48)
    assert system.energy(opposed) == pytest.approx(-39.52)
    assert system.energy(-up) == pytest.approx(-31.52)
    # The ground state, and the depth of the local minimum: every single flip out of it costs energy.
    every = np.array(list(itertools.product([-1, 1], repeat=16)))
    energies = system.energy(every)
    assert energies.min() == pytest.approx(-40.48) and np.sum(energies < -40.47) == 1
    flips = opposed * (1 - 2 * np.eye(16))
    assert np.all(system.energy(flips) > -39.52)


def test_weak_strong_barrier():
    """Single flips from the opposed state to the ground state climb at least 15.52 (flood fill over the 2^16 states)."""
    system = WeakStrong()
    codes = np.arange(1 << 16)
    energies = system.energy(2 * ((codes[:, None] >> np.arange(16)) & 1) - 1)
    start, goal = (1 << 8) - 1, (1 << 16) - 1

    def connected(barrier):
        allowed = energies <= energies[start] + barrier + 1e-9
        reached = np.zeros(1 << 16, bool)
        frontier = np.array([start])
        while frontier.size:
            reached[frontier] = True
            steps = (frontier[:, None] ^ (1 << np.arange(16))).ravel()
            frontier = np.unique(steps[allowed[steps] & ~reached[steps]])
        return bool(reached[goal])

    assert connected(15.52) and not connected(15.50)


def test_known_energies_of_the_ferromagnet():
    for shape, bonds_per_site in [(8, 1), ((4, 4), 2), ((3, 3, 3), 3)]:
        system = Ising(shape, J=2.0)
        up = np.ones(system.lattice.shape)
        assert system.energy(up) == pytest.approx(-2.0 * bonds_per_site * up.size)
    checkerboard = np.indices((4, 4)).sum(0) % 2 * 2 - 1
    assert Ising((4, 4)).energy(checkerboard) == 32
    assert Ising((4, 4), h=0.5).energy(np.ones((4, 4))) == -40
    assert Ising((2, 2)).energy(np.ones((2, 2))) == -8, "both bonds of a periodic axis of extent 2 count"


def test_glasses_are_what_their_seed_says():
    assert np.array_equal(EdwardsAnderson((8, 8), seed=3).J, EdwardsAnderson((8, 8), seed=3).J)
    assert not np.array_equal(EdwardsAnderson((8, 8), seed=3).J, EdwardsAnderson((8, 8), seed=4).J)
    signs = EdwardsAnderson((8, 8), seed=3, disorder="pm1").J
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert np.array_equal(SherringtonKirkpatrick(20).lattice.bonds.T, np.triu_indices(20, 1))
    assert SherringtonKirkpatrick(400, seed=1).J.std() * 20 == pytest.approx(1, abs=0.02)


def test_fields_may_have_the_shape_of_the_lattice():
    fields = np.arange(6.0).reshape(2, 3)
    assert Ising((2, 3), h=fields).h.tolist() == fields.ravel().tolist()


MISTAKES = {
    "couplings of another length": (
        lambda: Pairwise([[0, 1], [1, 2]], J=[1.0, 2.0, 3.0]),
        r"J must be a number or an array of shape \(2,\); got shape \(3,\)",
    ),
    "fields of another length": (lambda: Ising((2, 2), h=[1.0, 2.0]), r"h must be a number or an array of shape \(4,\)"),
    "a matrix of couplings": (
        lambda: Pairwise([[0, 1]], J=np.eye(2)),
        r"J must be a number or an array of shape \(1,\); got shape \(2, 2\)",
    ),
    "infinite coupling": (lambda: Ising(4, J=np.inf), "J must be finite; 4 of 4 values are not"),
    "NaN field": (lambda: Ising(4, h=[0, np.nan, 0, 0]), "h must be finite; 1 of 4 values are not"),
    "words": (lambda: Ising(4, J="strong"), "J must be a number"),
    "repeated bond": (lambda: Pairwise([[0, 1], [1, 0]]), "repeated"),
    "unknown disorder": (
        lambda: EdwardsAnderson(4, disorder="gausian"),
        "disorder must be one of 'gaussian', 'pm1'; got 'gausian'. Did you mean 'gaussian'",
    ),
    "wrong sites": (
        lambda: Ising((3, 4)).energy(np.ones((5, 11))),
        r"expected states with site axes \(3, 4\) last \(or 12 flat sites\); got shape \(5, 11\)",
    ),
    "transposed sites": (lambda: Ising((3, 4)).energy(np.ones((5, 4, 3))), "expected states with site axes"),
    "too few axes": (lambda: Ising((3, 4)).energy(np.ones(())), "expected states with site axes"),
    "unknown kind": (lambda: systems.from_dict({"kind": "pairwize"}), "Did you mean 'pairwise'"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()
