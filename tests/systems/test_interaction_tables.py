"""Tile energies against explicit sums over windows, and their samplers against enumeration."""

from __future__ import annotations

import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hamlearn import systems
from hamlearn.errors import HamlearnError
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import InteractionTables, Ising, System, exact, lattice, states
from hamlearn.systems.sampling import simulate, simulate_systems
from statistics_budget import assert_within

RNG = np.random.default_rng(5)

# A new way to lay out tiles is one line.
SYSTEMS = {
    "chain": InteractionTables((5,), 2, RNG.normal(size=4)),
    "square, 2x2": InteractionTables((3, 3), 2, RNG.normal(size=16)),
    "square, 3x3 in 4x4": InteractionTables((4, 4), 3, RNG.normal(size=512) / 3),
    "window of the lattice": InteractionTables((3, 2), (3, 2), RNG.normal(size=64)),
    "one table each": InteractionTables((3, 3), 2, RNG.normal(size=(9, 16))),
    "stride": InteractionTables((4, 4), 2, RNG.normal(size=16), stride=2),
    "stride, one table each": InteractionTables((4, 2), (2, 1), RNG.normal(size=(4, 4)), stride=(2, 1)),
    "three states": InteractionTables((3, 2), 2, RNG.normal(size=81), space=states(3)),
    "cubic": InteractionTables((2, 2, 3), (1, 2, 2), RNG.normal(size=16)),
}
every_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)


def plain_energy(system, state):
    """Tile by tile, site by site, the code in base q."""
    shape, q, total = system.lattice.shape, system.space.q, 0.0
    anchors = itertools.product(*(range(0, extent, step) for extent, step in zip(shape, system.stride, strict=True)))
    for tile, anchor in enumerate(anchors):
        code = 0
        for offset in itertools.product(*map(range, system.window)):
            value = state[tuple((a + o) % extent for a, o, extent in zip(anchor, offset, shape, strict=True))]
            code = code * q + int((value + 1) // 2 if q == 2 else value)
        total += (system.tables if system.tables.ndim == 1 else system.tables[tile])[code]
    return total


def some_states(system, *lead, seed=0):
    return np.random.default_rng(seed).choice(system.space.values, (*lead, *system.lattice.shape)).astype(np.int8)


@every_system
def test_energy_is_the_sum_over_windows(system):
    values = some_states(system, 12)
    expected = [plain_energy(system, state) for state in values]
    np.testing.assert_allclose(system.energy(values), expected, atol=1e-12)
    np.testing.assert_allclose(system.energy(values.reshape(3, 4, -1)), np.reshape(expected, (3, 4)), atol=1e-12)
    np.testing.assert_allclose(system.action(values, 0.3), 0.3 * np.array(expected), atol=1e-12)
    np.testing.assert_allclose(np.asarray(system.energy(jnp.asarray(values))), expected, atol=1e-4)
    np.testing.assert_allclose(system.energy(torch.tensor(values)).numpy(), expected, atol=1e-6)
    assert isinstance(system, System)


@every_system
def test_json_round_trip(system):
    again = systems.from_dict(json.loads(json.dumps(system.to_dict())))
    values = some_states(system, 4)
    np.testing.assert_array_equal(again.energy(values), system.energy(values))
    assert repr(again) == repr(system)


def test_a_larger_lattice_has_the_same_energy_per_site_on_periodic_copies():
    small, state = SYSTEMS["square, 2x2"], some_states(SYSTEMS["square, 2x2"])
    large = small.resized((6, 9))
    assert float(large.energy(np.tile(state, (2, 3)))) == pytest.approx(6 * float(small.energy(state)))
    with pytest.raises(HamlearnError, match="one table each"):
        SYSTEMS["one table each"].resized((6, 6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 3), 4, np.zeros(2**16)), "larger than the lattice"),
        (((4, 4), 2, np.zeros(15)), "must have shape"),
        (((4, 4), 2, np.full(16, np.nan)), "finite"),
        (((4, 4), 2, np.zeros(16), 3), "divide"),
        (((6, 6), 5, np.zeros(4)), "states, too many"),
        ((lattice.hypercubic((4, 4), periodic=False), 2, np.zeros(16)), "periodic hypercubic"),
        (((4, 4), (2, 2, 2), np.zeros(256)), "one per lattice axis"),
        (((4, 4), 0, np.zeros(16)), "positive whole number"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(HamlearnError, match=message):
        InteractionTables(*arguments)


def test_oracles_enumerate_tiles():
    ising = Ising((3, 3), h=0.2)
    spins = 2 * ((np.arange(16)[:, None] >> np.arange(3, -1, -1)) & 1) - 1
    twin = InteractionTables((3, 3), 2, -spins[:, 0] * (spins[:, 1] + spins[:, 2]) - 0.2 * spins[:, 0])
    assert exact.method(twin) == "enumeration"
    assert exact.log_partition(twin, 0.4) == pytest.approx(exact.log_partition(ising, 0.4), rel=1e-12)
    ours, theirs = exact.thermodynamics(twin, [0.3, 0.5]), exact.thermodynamics(ising, [0.3, 0.5])
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9)
    np.testing.assert_array_equal(exact.sample(twin, 0.4, 50, seed=1), exact.sample(ising, 0.4, 50, seed=1))
    assert simulate(twin, 0.4, draws=5).attrs["sampler"] == "exact"


def _features(values):
    """Some averages that tell distributions apart: sites, neighbouring pairs, a triple."""
    flat = values.reshape(*values.shape[: values.ndim - 2], -1).astype(float) if values.ndim > 4 else values.astype(float)
    return np.concatenate([flat, flat * np.roll(flat, 1, -1), flat * np.roll(flat, 1, -1) * np.roll(flat, 2, -1)], -1)


# Spins and states, one table and many, with a ladder and without.
RUNS = {
    "spins": ("square, 2x2", "heat_bath"),
    "one table each": ("one table each", "heat_bath"),
    "larger windows": ("square, 3x3 in 4x4", "heat_bath"),
    "stride": ("stride, one table each", "heat_bath"),
    "states": ("three states", "heat_bath"),
    "ladder of spins": ("square, 2x2", "tempering"),
    "ladder of larger windows": ("square, 3x3 in 4x4", "tempering"),
    "ladder of states": ("three states", "tempering"),
}


@pytest.mark.parametrize("name", RUNS)
def test_samplers_reproduce_enumeration(name):
    system, kind = SYSTEMS[RUNS[name][0]], RUNS[name][1]
    ladder = {"ladder": [0.15, 0.3]} if kind == "tempering" else {}
    data = simulate(system, beta=0.5, draws=1500, chains=4, seed=3, sampler=kind, burn_in=200, **ladder)
    drawn = data["state"].values.reshape(4, 1500, -1)
    everything, probability = exact.distribution(system, 0.5)
    flat = everything.reshape(len(everything), -1)
    energies = np.array([plain_energy(system, state) for state in everything[:64]])
    np.testing.assert_allclose(system.energy(everything[:64]), energies, atol=1e-12)
    truth = np.append(probability @ _features(flat), probability @ system.energy(everything))
    series = np.concatenate([_features(drawn), np.asarray(system.energy(drawn))[..., None]], -1)
    tau = np.asarray(integrated_autocorrelation_time(series))
    assert_within(series.mean((0, 1)), truth, np.sqrt(series.var((0, 1)) * tau / 6000), name)
    if kind == "tempering":
        assert min(json.loads(data.attrs["swap_acceptance"])) > 0.05


def test_an_interrupted_run_continues_bit_for_bit(tmp_path, monkeypatch):
    from hamlearn.systems.sampling import loop

    system = SYSTEMS["square, 3x3 in 4x4"]
    options = {"beta": 0.5, "draws": 60, "chains": 2, "seed": 1, "sampler": "tempering", "burn_in": 10, "ladder": [0.2]}
    whole = simulate(system, **options)
    monkeypatch.setattr(loop, "_WORK", 2000)
    chunked, chunk, count = simulate(system, **options), loop._chunk, 0
    np.testing.assert_array_equal(chunked["state"], whole["state"])

    def interrupted(*arguments):
        nonlocal count
        count += 1
        if count == 7:
            raise KeyboardInterrupt
        return chunk(*arguments)

    monkeypatch.setattr(loop, "_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(system, **options, checkpoint=tmp_path / "run.npz")
    assert (tmp_path / "run.npz").exists()
    resumed = simulate(system, **options, checkpoint=tmp_path / "run.npz")
    np.testing.assert_array_equal(resumed["state"], whole["state"])


def test_members_run_in_one_engine():
    members = [SYSTEMS["square, 2x2"], InteractionTables((3, 3), 2, np.zeros(16))]
    found = simulate_systems(members, [0.2, 0.8], draws=2000, chains=2, seed=1, sampler="tempering")
    assert found.shape == (2, 2, 2, 2000, 3, 3)
    thermal = exact.thermodynamics(members[0], [0.2, 0.8])["energy"].values * 9
    series = np.asarray(members[0].energy(found[0]))
    tau = np.array([float(integrated_autocorrelation_time(one)) for one in series])
    assert_within(series.mean((1, 2)), thermal, np.sqrt(series.var((1, 2)) * tau / 4000))
    assert abs(found[1].mean()) < 0.05
    with pytest.raises(HamlearnError, match="one kind on one lattice"):
        simulate_systems([members[0], Ising((3, 3))], 0.2, draws=1)


def test_cluster_expansion_and_tables_that_are_too_large_are_refused():
    with pytest.raises(HamlearnError, match="pair couplings"):
        simulate(SYSTEMS["square, 2x2"], beta=0.3, sampler="wolff")
    with pytest.raises(HamlearnError, match="enumeration stops"):
        simulate(SYSTEMS["square, 2x2"].resized((6, 6)), beta=0.3, sampler="exact")
