"""Kawasaki exchange: the fixed magnetization, detailed balance, and averages against an enumeration of its own."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import SPINS, FixedMagnetization, InteractionTables, Ising, Kawasaki, Lattice, Pairwise, Space, System, exact, lattice
from statistics_budget import assert_within

SQUARE = FixedMagnetization(Ising((4, 4)), 0)
_OPEN = lattice.hypercubic((2, 3), periodic=False)
_RNG = np.random.default_rng(7)
SMALL = Pairwise(_OPEN, J=_RNG.normal(size=_OPEN.n_bonds), h=_RNG.normal(size=6))
TRIPLES = InteractionTables((6,), 3, _RNG.normal(size=(6, 8)))  # three spins interact, otherwise in every window
DOUBLE = Ising((2, 3), J=0.4)  # a periodic axis of extent 2 has parallel bonds


@dataclass(frozen=True, eq=False)
class Unknown(System):
    """A system known by its energy alone."""

    system: Pairwise
    pure_jax: bool = False
    space: Space = SPINS

    @property
    def lattice(self) -> Lattice:
        return self.system.lattice

    def energy(self, states):
        return self.system.energy(states)

    def action(self, states, beta):
        return beta * self.energy(states)

    def to_dict(self):
        return {"kind": "unknown"}


def states_of(n_sites, magnetization):
    """All states of one sum, by choosing which spins are up."""
    ups = itertools.combinations(range(n_sites), (n_sites + magnetization) // 2)
    return np.array([[1 if site in chosen else -1 for site in range(n_sites)] for chosen in map(set, ups)])


def energies_of(system, states):
    """Energies from the definition, bond by bond, or window by window."""
    if isinstance(system, InteractionTables):
        up = (states > 0).astype(int)
        codes = [4 * up[:, t] + 2 * up[:, (t + 1) % 6] + up[:, (t + 2) % 6] for t in range(6)]
        return np.sum([np.asarray(system.tables)[t][code] for t, code in enumerate(codes)], 0)
    total = -states @ np.asarray(system.h)
    for (i, j), strength in zip(system.lattice.bonds, np.asarray(system.J), strict=True):
        total = total - strength * states[:, i] * states[:, j]
    return total


def one_exchange(system, states, beta, local):
    """Transition matrix of one proposal, from the definition."""
    energy, place = energies_of(system, states), {tuple(state): a for a, state in enumerate(states)}
    n = system.lattice.n_sites
    pairs = [tuple(bond) for bond in system.lattice.bonds] if local else list(itertools.product(range(n), repeat=2))
    matrix = np.zeros((len(states),) * 2)
    for a, state in enumerate(states):
        for i, j in pairs:
            other = state.copy()
            other[[i, j]] = other[[j, i]]
            b = place[tuple(other)]
            accepted = min(1.0, np.exp(-beta * (energy[b] - energy[a])))
            matrix[a, b] += accepted / len(pairs)
            matrix[a, a] += (1 - accepted) / len(pairs)
    return matrix


CASES = {
    "neighbours": (SMALL, SMALL, True, 0),
    "any pair": (SMALL, SMALL, False, 2),
    "parallel bonds": (DOUBLE, DOUBLE, True, 0),
    "windows": (TRIPLES, TRIPLES, False, 0),
    "windows, neighbours": (TRIPLES, TRIPLES, True, 2),
    "an energy alone": (Unknown(SMALL), SMALL, True, 0),
    "an energy alone, any pair": (Unknown(SMALL), SMALL, False, 0),
}


@pytest.mark.parametrize(("given", "system", "local", "magnetization"), CASES.values(), ids=CASES)
def test_a_sweep_is_the_product_of_its_exchanges_and_obeys_detailed_balance(given, system, local, magnetization):
    beta, repeats = 0.6, 3000 if given is system else 40_000  # all chains in one call are cheap
    states = states_of(6, magnetization)
    matrix = one_exchange(system, states, beta, local)
    weights = np.exp(-beta * energies_of(system, states))
    flow = weights[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, rtol=1e-12)  # what is compared with obeys it
    expected = np.linalg.matrix_power(matrix, 6)
    engine = Kawasaki(local).engine(FixedMagnetization(given, magnetization), np.array([beta]), len(states) * repeats, 0)
    start = np.repeat(states, repeats, axis=0).astype(np.int8)
    _, after, _ = engine.advance(engine.init(start, np.random.SeedSequence(3)), 1, 1)
    codes = 2 ** np.arange(6)
    order = {code: index for index, code in enumerate(((states + 1) // 2 @ codes).tolist())}
    ends = np.array([order[code] for code in ((after.reshape(-1, 6) + 1) // 2 @ codes).tolist()]).reshape(len(states), repeats)
    found = np.stack([np.bincount(row, minlength=len(states)) / repeats for row in ends])
    assert_within(found, expected, np.sqrt(expected * (1 - expected) / repeats) + 1e-4, what="one sweep")


@pytest.mark.parametrize(("local", "magnetization"), [(True, 0), (False, 0), (False, 4), (True, -6)])
def test_the_square_of_sixteen_has_its_exact_averages_at_every_temperature(local, magnetization):
    betas, states = [0.5, 0.2], states_of(16, magnetization)
    data = hl.simulate(Ising((4, 4), magnetization=magnetization), betas, draws=4000, chains=8, seed=2, sampler=Kawasaki(local), thin=4)
    assert np.all(data.state.values.reshape(-1, 16).sum(1) == magnetization)
    assert data.attrs["sampler"] == "kawasaki" and json.loads(data.attrs["sampler_settings"]) == {"local": local}
    energy = energies_of(SQUARE.system, states)
    found, expected, error = [], [], []
    for index, beta in enumerate(betas):
        weights = np.exp(-beta * energy)
        series = SQUARE.energy(data.state.values[index])
        # Correlations as far as the square reaches, besides: an average of every state's own pattern.
        far = (data.state.values[index] * np.roll(data.state.values[index], (2, 2), (-2, -1))).mean((-2, -1))
        by_state = (states.reshape(-1, 4, 4) * np.roll(states.reshape(-1, 4, 4), (2, 2), (1, 2))).mean((1, 2))
        for values, column in ((series, energy), (series**2, energy**2), (far, by_state)):
            tau = float(integrated_autocorrelation_time(values))
            found.append(values.mean())
            expected.append(weights @ column / weights.sum())
            error.append(values.std() * np.sqrt(tau / values.size))
    assert_within(found, expected, error, what="averages on 4 by 4")


@pytest.mark.parametrize("of", ["pairs", "windows"])
def test_a_ladder_of_exchanges_has_the_exact_averages_of_all_its_rungs(of):
    betas, states = [0.3, 0.8, 1.5], states_of(6, 0)
    system = {"pairs": SMALL, "windows": TRIPLES}[of]
    given = FixedMagnetization(system, 0)
    data = hl.simulate(given, betas, draws=4000, chains=16, seed=5, burn_in=50, sampler="tempering")
    assert np.all(data.state.values.reshape(-1, 6).sum(1) == 0) and data.attrs["round_trips"] > 1000
    energy, found, expected, error = energies_of(system, states), [], [], []
    codes = 2 ** np.arange(6)
    every = (states + 1) // 2 @ codes
    for index, beta in enumerate(betas):
        weights = np.exp(-beta * energy) / np.exp(-beta * energy).sum()
        seen = (data.state.values[index].reshape(16, -1, 6) + 1) // 2 @ codes
        for code, weight in zip(every.tolist(), weights, strict=True):
            values = (seen == code).astype(float)
            tau = float(integrated_autocorrelation_time(values)) if values.any() else 1.0
            found.append(values.mean())
            expected.append(weight)
            error.append(np.sqrt(weight * (1 - weight) * max(tau, 1.0) / values.size) + 1e-4)
    assert_within(found, expected, error, what="probabilities of all states")


def test_a_ladder_turns_stripes_that_exchanges_alone_do_not():
    """At T = 1 the stripe of a half-filled lattice keeps its direction for longer than any run, and a ladder turns it."""
    gas, runs = Ising((6, 6), magnetization=0), {}
    for sampler in ("kawasaki", "tempering"):
        data = hl.simulate(gas, 1.0, draws=200, chains=8, thin=10, burn_in=500, seed=1, sampler=sampler)
        waves = np.abs(np.fft.fft2(data.state.values, axes=(2, 3))) ** 2
        runs[sampler] = np.mean(np.diff(np.sign(waves[:, :, 1, 0] - waves[:, :, 0, 1]), axis=1) != 0)
    assert runs["kawasaki"] < 0.02 < 0.1 < runs["tempering"]


def test_auto_takes_an_oracle_where_all_states_can_be_listed_and_exchanges_elsewhere():
    listed = hl.simulate(SQUARE, 0.4, draws=50, chains=2)
    assert listed.attrs["sampler"] == "exact" and np.all(listed.state.sum(("x0", "x1")) == 0)
    for system in (Ising((6, 6)), Unknown(Ising((3, 4)))):
        data = hl.simulate(FixedMagnetization(system, -4), 0.4, draws=10, chains=2, burn_in=10, start="cold")
        assert data.attrs["sampler"] == "kawasaki" and "fixed" in data.attrs["sampler_choice"]
        assert np.all(data.state.sum(("x0", "x1")) == -4)


def test_oracles_count_the_states_that_are_allowed_only():
    states = states_of(6, 2)
    energy, system = energies_of(SMALL, states), FixedMagnetization(SMALL, 2)
    weights = np.exp(-0.7 * energy)
    assert exact.log_partition(system, 0.7) == pytest.approx(np.log(weights.sum()), abs=1e-12)
    assert float(exact.thermodynamics(system, 0.7)["energy"][0]) == pytest.approx(weights @ energy / weights.sum() / 6, abs=1e-12)
    every, probabilities = exact.distribution(system, 0.7)
    sums = every.reshape(-1, 6).sum(1)
    assert np.all(probabilities[sums != 2] == 0) and probabilities.max() == pytest.approx(weights.max() / weights.sum())
    assert np.all(exact.sample(system, 0.7, 200, seed=0).reshape(200, -1).sum(1) == 2)
    local, flat = exact.expectations(system, 0.7), states.reshape(len(states), -1)
    np.testing.assert_allclose(local["magnetization"], weights @ flat / weights.sum(), atol=1e-12)
    i, j = SMALL.lattice.bonds.T
    np.testing.assert_allclose(local["correlation"], weights @ (flat[:, i] * flat[:, j]) / weights.sum(), atol=1e-12)


def test_the_constraint_is_kept_by_files_and_looked_at_in_data(tmp_path):
    data = hl.simulate(SQUARE, 0.4, draws=20, chains=2, seed=1)
    for name in ("d.nc", "d.zarr"):
        hl.save(data, tmp_path / name)
        again = hl.microstates(tmp_path / name)
        assert hl.data.space_of(again) == SQUARE.space and again.attrs["magnetization"] == 0
    system = hl.systems.from_dict(json.loads(data.attrs["system"]))
    assert isinstance(system, FixedMagnetization) and system.space == SQUARE.space
    broken = data.copy(deep=True)
    broken["state"][0, 3, 0, 0] *= -1
    with pytest.raises(HamlearnError, match=r"magnetization 0 .* found"):
        hl.microstates(broken)
    own = hl.microstates(data.state.values.reshape(-1, 16), space=SQUARE.space)
    assert own.attrs["magnetization"] == 0
    with pytest.raises(HamlearnError, match="different spaces"):
        hl.data.space_of([data, hl.simulate(Ising((4, 4)), 0.4, draws=5)])


REFUSED = {
    "a sampler that flips": (lambda: hl.simulate(SQUARE, 0.4, sampler="heat_bath"), "magnetization, which is fixed.*'kawasaki'"),
    "a free magnetization": (lambda: hl.simulate(Ising((4, 4)), 0.4, sampler="kawasaki"), "FixedMagnetization"),
    "a start of another sum": (lambda: hl.simulate(SQUARE, 0.4, sampler="kawasaki", start=np.ones((4, 4))), "outside the space"),
    "neighbours out of reach": (
        lambda: hl.simulate(FixedMagnetization(Pairwise([[0, 1], [2, 3]]), 0), 0.4, sampler=Kawasaki(local=True)),
        "local=False",
    ),
    "a ladder of a black box": (lambda: hl.simulate(FixedMagnetization(Unknown(SMALL), 0), 0.4, sampler="tempering"), "pair couplings"),
    "a sum that no state has": (lambda: FixedMagnetization(Ising((3, 3)), 0), "as even or odd as 9"),
    "no spins": (lambda: FixedMagnetization(hl.systems.Potts((3, 3), 3), 1), "of ±1 spins"),
    "twice": (lambda: FixedMagnetization(SQUARE, 0), "free"),
    "members together": (lambda: hl.systems.sampling.simulate_systems([SQUARE], 0.4, draws=2), "fixed"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_named(call, message):
    with pytest.raises(HamlearnError, match=message):
        call()


MODELS = [hl.models.LocalInteraction(2), hl.models.Autoregressive()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_conditionals_of_single_sites_are_not_learned_from(model):
    data = hl.simulate(SQUARE, 0.4, draws=50, chains=2, seed=1)
    with pytest.raises(HamlearnError, match=r"fixed \(0\).*pseudo-likelihood"):
        hl.learn(data, model)
    with pytest.raises(HamlearnError, match=r"fixed \(0\)"):
        hl.infer.program(data, model)
