"""Restricted Boltzmann machines: energies, log Z and draws against plain loops over all hidden and visible states."""

from __future__ import annotations

import itertools
import json

import jax
import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import Ising, RestrictedBoltzmannMachine, exact
from hamlearn.systems.exact.hidden import HiddenUnits
from statistics_budget import assert_within

STATES = hl.systems.states(3)


def machine(space=hl.systems.SPINS, shape=(2, 3), hidden=3, beta=0.8, seed=0, scale=1.0):
    rng, n = np.random.default_rng(seed), int(np.prod(shape))
    values = () if space.binary else (space.q,)
    draws = [scale * rng.normal(size=size) for size in ((n, *values), (hidden,), (n, *values, hidden))]
    return RestrictedBoltzmannMachine(shape, *draws, space=space, beta=beta)


def joint(system, state, units):
    """ln p(v, h) + ln Z, one site and one hidden unit at a time, from the definition."""
    total = sum(c * h for c, h in zip(system.hidden_bias, units, strict=True))
    for i, value in enumerate(state):
        one = (value + 1) // 2 if system.space.binary else 1
        b = system.visible_bias[i] if system.space.binary else system.visible_bias[i, value]
        w = system.weights[i] if system.space.binary else system.weights[i, value]
        total += one * (b + sum(w[j] * units[j] for j in range(len(units))))
    return total


def listed(system):
    """All visible states, and Σ_h exp of the joint."""
    hidden = list(itertools.product((0, 1), repeat=len(system.hidden_bias)))
    every = list(itertools.product(system.space.values.tolist(), repeat=system.lattice.n_sites))
    return np.array(every), np.array([sum(np.exp(joint(system, state, units)) for units in hidden) for state in every])


CASES = {"spins": machine(), "states": machine(STATES, (4,), 2)}


@pytest.mark.parametrize("name", CASES)
def test_energy_and_log_z_are_sums_over_hidden_units(name):
    system = CASES[name]
    states, weights = listed(system)
    energies = system.energy(states.reshape(-1, *system.lattice.shape))
    np.testing.assert_allclose(energies, -np.log(weights) / system.beta, rtol=1e-12)
    assert HiddenUnits().log_z(system, np.array([system.beta]))[0] == pytest.approx(np.log(weights.sum()), rel=1e-12)
    assert exact.log_partition(system, system.beta) == pytest.approx(np.log(weights.sum()), rel=1e-12)  # which lists visible states
    other = 1.7 * system.beta
    assert exact.log_partition(system, other) == pytest.approx(np.log((weights**1.7).sum()), rel=1e-12)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sampler", ["own", "block_gibbs"])
def test_draws_have_the_frequencies_of_all_states(name, sampler):
    system = CASES[name]
    states, weights = listed(system)
    data = hl.simulate(system, system.beta, draws=1000, chains=32, sampler=sampler, seed=3)
    assert data.attrs["sampler"] == sampler
    values = data["state"].values.reshape(32, 1000, -1)
    first = np.argsort(-weights)[:12]
    seen = (values[:, :, None] == states[first]).all(-1)
    p = weights[first] / weights.sum()
    tau = np.nan_to_num(integrated_autocorrelation_time(seen.astype(float)), nan=1.0)
    assert_within(seen.mean((0, 1)), p, np.sqrt(p * (1 - p) * np.maximum(tau, 1.0) / seen[..., 0].size), f"{sampler} of {name}")


def test_auto_takes_what_the_layer_allows():
    many = machine(shape=(5, 5), hidden=17, scale=0.1)
    options = {"draws": 2, "chains": 2, "seed": 0, "burn_in": 2}
    assert hl.simulate(machine(shape=(5, 5)), 0.8, draws=2, chains=2).attrs["sampler"] == "own"
    assert hl.simulate(many, 0.8, **options).attrs["sampler"] == "block_gibbs"
    assert hl.simulate(many, 0.5, **options).attrs["sampler"] == "metropolis"
    with pytest.raises(HamlearnError, match=r"own temperature, beta=0\.8, and not at beta=0\.5: take sampler='auto'"):
        hl.simulate(many, 0.5, sampler="block_gibbs", **options)
    with pytest.raises(HamlearnError, match=r"'block_gibbs' does not apply to Ising.*hidden units"):
        hl.simulate(Ising((3, 3)), 0.5, sampler="block_gibbs", **options)


def test_log_z_of_any_number_of_sites_at_its_own_temperature():
    wide = machine(shape=(40, 40), hidden=2, scale=0.3)
    units = itertools.product((0, 1), repeat=2)
    rows = [c @ wide.hidden_bias + np.log1p(np.exp(wide.visible_bias + wide.weights @ c)).sum() for c in map(np.array, units)]
    truth = np.log(np.sum(np.exp(np.array(rows) - max(rows)))) + max(rows)
    assert exact.log_partition(wide, 0.8) == pytest.approx(truth, rel=1e-12)
    assert exact.method(wide) is None
    with pytest.raises(HamlearnError, match=r"at its own temperature, beta=0\.8,.*not at beta=0\.4: sample it with hl\.simulate"):
        exact.log_partition(wide, 0.4)
    with pytest.raises(HamlearnError, match=r"21 hidden units have more than 2\^20 states"):
        exact.log_partition(machine(shape=(40, 40), hidden=21, scale=0.1), 0.8, oracle=HiddenUnits())


def test_published_draws_are_few_steps_from_random_starts():
    """The law of ten steps of one spin and one strongly coupled hidden unit is not the machine's: each step keeps its value with 1 − ε."""
    slow = RestrictedBoltzmannMachine(1, [-8.0 + 1.0], [-8.0], [[16.0]])
    data = hl.simulate(slow, 1.0, sampler="block_gibbs", burn_in=10, draws=1, chains=20_000, seed=5)
    up = float((data["state"].values == 1).mean())
    logistic = lambda x: 1 / (1 + np.exp(-x))
    step = np.array(
        [
            [logistic(-8.0) * logistic(9.0) + logistic(8.0) * logistic(-7.0)],
            [logistic(8.0) * logistic(9.0) + logistic(-8.0) * logistic(-7.0)],
        ]
    ).ravel()  # P(up after | down, up before)
    p = 0.5
    for _ in range(10):
        p = (1 - p) * step[0] + p * step[1]
    assert_within(up, p, np.sqrt(p * (1 - p) / 20_000), "ten steps")
    law = (np.exp(-7.0) * (1 + np.exp(8.0))) / (np.exp(-7.0) * (1 + np.exp(8.0)) + 1 + np.exp(-8.0))
    assert abs(up - law) > 0.1


def test_parameters_are_leaves_and_descriptions_round_trip():
    system = CASES["states"]
    assert len(jax.tree.leaves(system)) == 5
    again = hl.systems.from_dict(json.loads(json.dumps(system.to_dict())))
    np.testing.assert_array_equal(again.weights, system.weights)
    assert again.space == system.space and again.beta == system.beta


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.zeros((3, 2))}, r"weights must be a number or an array of shape \(4, 2\); got shape \(3, 2\)"),
        ({"hidden_bias": 0.0}, "hidden_bias must be an array"),
        ({"visible_bias": np.array([0.0, np.nan, 0.0, 0.0])}, "visible_bias must be finite"),
        ({"space": hl.systems.REALS}, "visible spins or states; got reals"),
        ({"beta": 0.0}, "beta"),
    ],
)
def test_what_is_no_machine_is_named(change, message):
    given = {"visible_bias": 0.0, "hidden_bias": np.zeros(2), "weights": np.zeros((4, 2))} | change
    with pytest.raises(HamlearnError, match=message):
        RestrictedBoltzmannMachine(4, **given)
