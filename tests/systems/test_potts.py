"""q-state systems against plain loops, and the identities that tie clock, Potts and Ising together."""

from __future__ import annotations

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hamlearn import systems
from hamlearn.errors import HamlearnError
from hamlearn.systems import Clock, Ising, Ordinal, Potts, QState, System, lattice, space_from_name, zero_sum


def random(*shape):
    return np.random.default_rng(5).normal(size=shape)


# A new constructor of q-state systems adds one line.
SYSTEMS = {
    "clock": lambda: Clock((3, 3), 3, J=0.8),
    "clock, fields": lambda: Clock((2, 3), 5, J=np.arange(12.0), h=random(6, 5)),
    "clock, double bonds": lambda: Clock((2, 2), 4),
    "Potts": lambda: Potts((3, 3), 4, J=-0.5),
    "Potts, one field for all": lambda: Potts(6, 3, J=np.arange(6.0), h=[0.5, 0.0, -0.5]),
    "Potts, open": lambda: Potts((3, 2), 2, periodic=False, h=random(6, 2)),
    "ordered states": lambda: Ordinal((3, 3), 5, J=0.8, h=random(5)),
    "ordered states, scores": lambda: Ordinal((2, 3), 3, J=np.arange(6.0 + 6), h=random(6, 3), scores=[0, 1, 5]),
    "one general table": lambda: Potts((3, 2), 3, J=random(3, 3)),
    "general tables": lambda: Potts(5, 3, J=random(5, 3, 3), h=random(5, 3)),
    "any graph": lambda: QState([[0, 3], [3, 1]], 3, J=random(2, 3, 3), interaction="general", n_sites=5),
    "triangular": lambda: Potts(lattice.triangular((3, 3)), 3),
}
every_system = pytest.mark.parametrize("system", [pytest.param(make, id=name) for name, make in SYSTEMS.items()])


def plain_energy(system, states):
    states = np.ravel(states).tolist()
    total = 0.0
    for b, (i, j) in enumerate(system.lattice.bonds.tolist()):
        a, c = states[i], states[j]
        if system.interaction == "clock":
            total -= system.J[b] * math.cos(2 * math.pi * a / system.q - 2 * math.pi * c / system.q)
        elif system.interaction == "potts":
            total -= system.J[b] if a == c else 0.0
        elif system.interaction == "ordinal":
            u = [2 * k / (system.q - 1) - 1 for k in range(system.q)] if system.q == 5 else [-2, -1, 3]
            total -= system.J[b] * u[a] * u[c]
        else:
            total -= system.J[b][a][c]
    for i, a in enumerate(states):
        total -= system.h[i][a]
    return total


def some_states(system, *lead, seed=0):
    return np.random.default_rng(seed).integers(0, system.q, (*lead, *system.lattice.shape))


@every_system
def test_energy_is_the_double_loop(system):
    system = system()
    states = some_states(system, 20)
    np.testing.assert_allclose(system.energy(states), [plain_energy(system, state) for state in states], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(system.energy(states.astype(np.int8)), system.energy(states))
    assert isinstance(system, System)


@pytest.mark.parametrize("name", ["clock", "general tables", "any graph"])  # JAX compiles for every shape: seconds
def test_energy_takes_numpy_jax_and_torch(name):
    system = SYSTEMS[name]()
    states = some_states(system, 7, seed=1)
    expected = np.array([plain_energy(system, state) for state in states])
    from_jax, from_torch = system.energy(jnp.asarray(states)), system.energy(torch.as_tensor(states))
    assert isinstance(from_jax, jnp.ndarray) and isinstance(from_torch, torch.Tensor)
    np.testing.assert_allclose(np.asarray(from_jax), expected, rtol=2e-6, atol=1e-5)
    np.testing.assert_allclose(from_torch.numpy(), expected, rtol=1e-12, atol=1e-12)


@every_system
def test_energy_takes_any_leading_axes_and_flat_sites(system):
    system = system()
    states = some_states(system, 2, 3)
    energies = system.energy(states)
    assert energies.shape == (2, 3)
    assert energies[1, 2] == pytest.approx(plain_energy(system, states[1, 2]))
    np.testing.assert_array_equal(system.energy(states.reshape(2, 3, -1)), energies)
    assert system.energy(states[0, 0].tolist()) == pytest.approx(float(energies[0, 0]))
    np.testing.assert_allclose(system.action(states, 0.25), 0.25 * energies)


@every_system
def test_tables_say_the_same_as_the_energy(system):
    system = system()
    bonds, sites = system.pairs.tables, system.pairs.fields
    assert bonds.shape == (system.lattice.n_bonds, system.q, system.q) and sites.shape == (system.lattice.n_sites, system.q)
    for state in some_states(system, 5):
        flat = state.ravel()
        total = -sum(bonds[b, flat[i], flat[j]] for b, (i, j) in enumerate(system.lattice.bonds)) - sum(
            sites[i, a] for i, a in enumerate(flat)
        )
        assert total == pytest.approx(plain_energy(system, state))


@every_system
def test_round_trip_through_json(system):
    system = system()
    back = systems.from_dict(json.loads(json.dumps(system.to_dict())))
    assert (back.q, back.interaction, repr(back)) == (system.q, system.interaction, repr(system))
    np.testing.assert_array_equal(back.J, system.J)
    np.testing.assert_array_equal(back.h, system.h)
    states = some_states(system, 3)
    np.testing.assert_array_equal(back.energy(states), system.energy(states))


def test_three_state_clock_is_potts_with_three_halves_of_the_coupling():
    couplings = random(18)
    clock, potts = Clock((3, 3), 3, J=couplings), Potts((3, 3), 3, J=1.5 * couplings)
    states = some_states(clock, 50)
    difference = clock.energy(states) - potts.energy(states)
    np.testing.assert_allclose(difference, difference[0])  # cos = 1 or −1/2: a constant of J/2 per bond
    assert difference[0] == pytest.approx(couplings.sum() / 2)


@pytest.mark.parametrize("J", [1.0, -0.4])
def test_two_state_clock_is_ising(J):
    clock, ising = Clock((4, 3), 2, J=J), Ising((4, 3), J=J)
    states = some_states(clock, 50)
    np.testing.assert_allclose(clock.energy(states), ising.energy(2 * states - 1), atol=1e-12)


def test_two_ordered_states_are_spins():
    fields = random(12)
    ordered = Ordinal((4, 3), 2, J=0.3, h=np.stack([-fields, fields], 1))
    states = some_states(ordered, 50)
    np.testing.assert_allclose(ordered.energy(states), Ising((4, 3), J=0.3, h=fields).energy(2 * states - 1))


def test_two_state_potts_is_ising_with_half_the_coupling():
    fields = random(12)
    potts = Potts((4, 3), 2, J=0.6, h=np.stack([-fields, fields], 1))
    states = some_states(potts, 50)
    difference = potts.energy(states) - Ising((4, 3), J=0.3, h=fields).energy(2 * states - 1)
    np.testing.assert_allclose(difference, -0.3 * potts.lattice.n_bonds)


def test_general_tables_follow_the_direction_of_the_bond():
    table = np.array([[0.0, 1.0], [5.0, 0.0]])
    system = QState([[0, 1], [2, 1]], 2, J=table, interaction="general")
    assert system.energy([0, 1, 0]) == -2.0
    assert system.energy([1, 0, 1]) == -10.0


def test_zero_sum_gauge_changes_no_energy_difference_that_fields_cannot_absorb():
    tables = random(4, 3, 3)
    gauged = zero_sum(tables)
    np.testing.assert_allclose(gauged.sum(-1), 0, atol=1e-12)
    np.testing.assert_allclose(gauged.sum(-2), 0, atol=1e-12)
    np.testing.assert_allclose(zero_sum(gauged), gauged, atol=1e-12)
    for a, b, c, d in [(0, 1, 2, 0), (1, 2, 0, 2), (2, 0, 1, 1)]:  # a double difference knows no gauge
        ours = gauged[:, a, b] - gauged[:, c, b] - gauged[:, a, d] + gauged[:, c, d]
        theirs = tables[:, a, b] - tables[:, c, b] - tables[:, a, d] + tables[:, c, d]
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_spaces_translate_values_and_indices():
    for space, values in [(space_from_name("spins"), [-1, 1]), (space_from_name("states", 4), [0, 1, 2, 3])]:
        assert space.values.tolist() == values
        assert space.index(np.array(values)).tolist() == list(range(space.q))
        assert space.from_index(np.arange(space.q)).tolist() == values


MISTAKES = {
    "one state": (lambda: Potts(4, 1), "states need 2 <= q <= 127; got q=1"),
    "too many states": (lambda: Clock(4, 128), "states need 2 <= q <= 127; got q=128"),
    "couplings of another length": (
        lambda: Clock((2, 2), 3, J=[1.0, 2.0]),
        r"J must be a number or an array of shape \(8,\); got shape \(2,\)",
    ),
    "table of another q": (lambda: Potts(4, 3, J=np.eye(4)), r"J must be a number or an array of shape \(4, 3, 3\); got shape \(4, 4\)"),
    "too many axes": (lambda: Potts(4, 3, J=np.zeros((2, 4, 3, 3))), r"couplings J of Potts are a number, .*; got array"),
    "fields of another q": (lambda: Potts(4, 3, h=[1.0, 2.0]), r"h must be a number or an array of shape \(4, 3\)"),
    "unknown interaction": (lambda: QState([[0, 1]], 3, interaction="clok"), "interaction must be one of .* Did you mean 'clock'"),
    "wrong sites": (lambda: Potts((3, 4), 3).energy(np.ones((5, 11), int)), r"expected states with site axes \(3, 4\) last"),
    "no q": (lambda: space_from_name("states"), "space='states' needs q"),
    "unknown space": (lambda: space_from_name("spin"), "Did you mean 'spins'"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()
