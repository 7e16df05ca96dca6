"""Every sampler on every small system, against enumeration written as a plain loop."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from hamlearn.errors import HamlearnError
from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import Clock, EdwardsAnderson, Ising, Pairwise, Potts, QState, SherringtonKirkpatrick, System, WeakStrong, lattice
from hamlearn.systems.base import SPINS, states
from hamlearn.systems.sampling import loop, simulate, simulate_members, vectorised
from hamlearn.systems.sampling.energies import energies
from statistics_budget import assert_within

RNG = np.random.default_rng(7)

# Adding a system is one line here. Every one has at most 600 states.
SYSTEMS = {
    "double bonds": Ising((2, 2), J=0.5, h=[0.3, -0.2, 0.1, 0.4]),
    "chain": Pairwise(lattice.hypercubic(9, periodic=False), J=RNG.normal(size=8), h=RNG.normal(size=9) / 2),
    "glass in a field": EdwardsAnderson((3, 3), seed=1, h=RNG.normal(size=9) / 2),
    "frustrated triangle": Pairwise([[0, 1], [1, 2], [0, 2]], J=[-1.0, -1.0, -0.7], h=[0.5, 0.0, 0.0]),
    "lonely site": Pairwise([[0, 1], [1, 3]], J=[1.0, -0.5], h=[0.0, 0.2, 0.7, 0.0], n_sites=4),
    "complete": SherringtonKirkpatrick(6, seed=2),
    "potts": Potts((2, 2), q=3, J=0.6, h=[[0.5, 0.0, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, 0.0], [0.0, 0.2, 0.3]]),
    "clock 3": Clock((4,), q=3, J=0.8),
    "clock 5": Clock((3,), q=5, J=[1.0, -0.6, 0.8]),
    "general tables": QState([[0, 1], [2, 1], [0, 2]], q=3, J=RNG.normal(size=(3, 3, 3)), h=RNG.normal(size=3), interaction="general"),
}


class BlackBox(System):
    """The contract of a system that samplers know nothing about: 15 lines."""

    pure_jax = False

    def __init__(self, inner):
        self.lattice, self.space, self.inner = inner.lattice, inner.space, inner

    def energy(self, states):
        assert isinstance(states, np.ndarray) and states.shape[1:] == self.lattice.shape
        return np.array([self.inner.energy(state) for state in states]) if len(states) < 3 else self.inner.energy(states)

    def action(self, states, beta):
        return beta * self.energy(states)

    def to_dict(self):
        return {"kind": "black box", "inner": self.inner.to_dict()}


# Adding a sampler is one line here: how to run it, and which systems it refuses.
NO_CLUSTERS = {"clock 5", "general tables"}
SAMPLERS = {
    "exact": (lambda system, **options: simulate(system, sampler="exact", **options | {"burn_in": None}), set()),
    "heat_bath": (lambda system, **options: simulate(system, sampler="heat_bath", **options), set()),
    "metropolis": (lambda system, **options: simulate(system, sampler="metropolis", **options), set()),
    "swendsen_wang": (lambda system, **options: simulate(system, sampler="swendsen_wang", **(options | {"draws": 4000})), NO_CLUSTERS),
    "wolff": (lambda system, **options: simulate(system, sampler="wolff", **(options | {"draws": 4000})), NO_CLUSTERS),
    "tempering": (lambda system, **options: simulate(system, sampler="tempering", ladder=[0.4], **(options | {"draws": 1000})), set()),
    "black box": (lambda system, **options: simulate(BlackBox(system), sampler="auto", **(options | {"draws": 500})), set()),
}

# Layouts and fields are shared with "heat_bath"; compiling for every shape once more would test nothing new.
SPARED = {
    "metropolis": {"double bonds", "complete", "clock 3"},
    "tempering": {"double bonds", "lonely site", "complete", "clock 3", "clock 5"},
}


def enumerate_plainly(system, beta):
    """All states with their probabilities: loops over states, bonds and sites, nothing of the package's own sums."""
    tables, fields = system.pairs.tables, system.pairs.fields
    every, weights = [], []
    for state in itertools.product(range(system.space.q), repeat=system.lattice.n_sites):
        energy = 0.0
        for (i, j), table in zip(system.lattice.bonds, tables):
            energy -= table[state[i]][state[j]]
        for i, field in enumerate(fields):
            energy -= field[state[i]]
        every.append(state)
        weights.append(np.exp(-beta * energy))
    return np.array(every), np.array(weights) / np.sum(weights)


def numbers(system, values):
    """Position of states (..., n_sites) in the order of `enumerate_plainly`."""
    index = (values.astype(int) + 1) // 2 if system.space.name == "spins" else values.astype(int)
    return index @ (system.space.q ** np.arange(system.lattice.n_sites)[::-1])


def frequencies(system, values, probabilities):
    """Frequencies of bins of states in data (chain, draw, n_sites), the exact ones, and standard errors with τ.

    States are binned in random order until a bin holds 3 %: a bias anywhere moves some bins, and none is too rare for
    a normal error.
    """
    order = np.random.default_rng(0).permutation(len(probabilities))
    bin_of = np.empty(len(order), int)
    bin_of[order] = (np.cumsum(probabilities[order]) * (1 - 1e-12) / 0.03).astype(int)
    bin_of = np.unique(bin_of, return_inverse=True)[1]
    exact = np.bincount(bin_of, probabilities)
    indicators = bin_of[numbers(system, values)][..., None] == np.arange(len(exact))
    tau = integrated_autocorrelation_time(indicators)
    error = np.sqrt(exact * (1 - exact) * np.nan_to_num(tau, nan=1.0) / indicators[..., 0].size)
    return indicators.mean((0, 1)), exact, error


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_states_have_their_boltzmann_probabilities(sampler):
    run, refused = SAMPLERS[sampler]
    found, worst = [], {}
    for name, system in SYSTEMS.items():
        if name in SPARED.get(sampler, ()):
            continue
        if name in refused:
            with pytest.raises(HamlearnError, match="heat_bath"):
                run(system, beta=0.9, draws=10)
            continue
        data = run(system, beta=0.9, draws=2000, chains=16, seed=3, burn_in=100)
        values = data.state.values.reshape(16, -1, system.lattice.n_sites)
        binned = frequencies(system, values, enumerate_plainly(system, 0.9)[1])
        # The energy besides: what a wrong temperature or acceptance moves most.
        mean, error = energy_and_error(system, data.state.values)
        with_energy = (mean, exact_energy(system, 0.9), error)
        found.append(tuple(np.append(column, extra) for column, extra in zip(binned, with_energy)))
        worst[name] = round(float(np.max(np.abs((found[-1][0] - found[-1][1]) / found[-1][2]))), 2)
    assert_within(*(np.concatenate(column) for column in zip(*found)), what=f"{sampler}; largest |z| {worst}")


# ---------------------------------------------------------------------- one step, exactly
TRIANGLE = Pairwise([[0, 1], [1, 2], [0, 2]], J=[0.8, -0.6, 0.5], h=[0.3, 0.0, -0.4])
REPEATS = 20_000


def one_step(engine, system, repeats=REPEATS):
    """Empirical transition matrix of one step from every state, and the number of repeats."""
    every, _ = enumerate_plainly(system, 1.0)
    start = np.repeat(system.space.from_index(every), repeats, axis=0)
    start = start.reshape(*engine.lead, -1)
    _, after, _ = engine.advance(engine.init(start, np.random.SeedSequence(5)), 1, 1)
    ends = numbers(system, after.reshape(len(every), repeats, -1))
    return np.stack([np.bincount(row, minlength=len(every)) / repeats for row in ends])


def sweep_by_hand(system, beta, rule):
    """Transition matrix of a sweep, as the product of single-site matrices written from the definition."""
    every, weights = enumerate_plainly(system, beta)
    total, q = np.eye(len(every)), system.space.q
    for site in np.argsort(lattice.graph(system.lattice.bonds).colouring, kind="stable"):
        matrix = np.zeros_like(total)
        for a, state in enumerate(every):
            others = []
            for value in range(q):
                changed = state.copy()
                changed[site] = value
                others.append(int(np.flatnonzero((every == changed).all(1))[0]))
            for b in others:
                if rule == "heat_bath":
                    matrix[a, b] += weights[b] / weights[others].sum()
                elif b != a:
                    matrix[a, b] += 7 / 8 / (q - 1) * min(1, weights[b] / weights[a])
            matrix[a, a] += 1 - matrix[a].sum()
        total = total @ matrix
    return total


@pytest.mark.parametrize("rule", ["heat_bath", "metropolis"])
def test_a_sweep_is_the_product_of_its_single_site_updates(rule):
    for system in (TRIANGLE, QState([[0, 1]], q=3, J=RNG.normal(size=(1, 3, 3)), h=[0.2, 0.0, -0.3], interaction="general")):
        count = system.space.q**system.lattice.n_sites * REPEATS
        spins = system.space is SPINS
        parameters = (system.J[None], system.h[None]) if spins else (system.pairs.tables[None], system.pairs.fields[None])
        engine = vectorised.JaxEngine(system.lattice, spins, parameters, np.full((1, count), 0.7), rule)
        exact = sweep_by_hand(system, 0.7, rule)
        assert_within(one_step(engine, system), exact, np.sqrt(exact * (1 - exact) / REPEATS) + 1e-4, what=f"{rule} on {system!r}")


@pytest.mark.parametrize("wolff", [False, True])
def test_cluster_updates_obey_detailed_balance(wolff):
    from hamlearn.systems.sampling.cluster import ClusterEngine

    flows, reverse, error = [], [], []
    for system in (TRIANGLE, Potts(lattice.graph([[0, 1]]), q=3, J=0.9, h=[0.4, 0.0, -0.2])):
        _, probabilities = enumerate_plainly(system, 0.7)
        repeats = REPEATS // 8
        matrix = one_step(ClusterEngine(system, np.full(len(probabilities) * repeats, 0.7), wolff), system, repeats)
        flow = probabilities[:, None] * matrix
        variance = probabilities[:, None] ** 2 * matrix * (1 - matrix) / repeats
        upper = np.triu_indices(len(probabilities), 1)
        flows.append(flow[upper])
        reverse.append(flow.T[upper])
        error.append(np.sqrt(variance + variance.T)[upper] + 1e-6)
        assert (matrix > 0).sum() > len(matrix)  # something moves
    assert_within(np.concatenate(flows), np.concatenate(reverse), np.concatenate(error), what="flow against reverse flow")


# ---------------------------------------------------------------------- temperatures and members
def exact_energy(system, beta):
    every, probabilities = enumerate_plainly(system, beta)
    return float(probabilities @ system.energy(system.space.from_index(every).reshape(-1, *system.lattice.shape)))


def energy_and_error(system, values):
    """Mean energy of data (chain, draw, *shape) and its standard error with τ."""
    energy = system.energy(values.reshape(-1, *system.lattice.shape)).reshape(values.shape[:2])
    return energy.mean(), energy.std() * np.sqrt(integrated_autocorrelation_time(energy) / energy.size)


@pytest.mark.parametrize("sampler", ["heat_bath", "tempering", "swendsen_wang", "exact"])
def test_several_temperatures_in_the_order_given(sampler):
    system, betas = SYSTEMS["glass in a field"], np.array([0.4, 1.2, 0.8])
    data = simulate(system, betas, draws=1500, chains=8, seed=1, sampler=sampler)
    assert data.state.dims == ("beta", "chain", "draw", "x0", "x1")
    np.testing.assert_array_equal(data.beta, betas)
    found = [energy_and_error(system, one) for one in data.state.values]
    exact = [exact_energy(system, beta) for beta in betas]
    assert_within([mean for mean, _ in found], exact, [error for _, error in found], what=f"energies by {sampler}")


def test_members_each_follow_their_own_parameters_and_temperatures():
    square, triples = lattice.hypercubic((3, 3)), states(3)
    J, h = RNG.normal(size=(3, square.n_bonds)), RNG.normal(size=(3, 9))
    betas = np.array([[0.3, 0.6], [0.5, 1.0], [0.2, 0.9]])
    values = simulate_members(square, SPINS, {"J": J, "h": h}, betas, draws=800, chains=4, seed=2)
    assert values.shape == (3, 2, 4, 800, 3, 3) and values.dtype == np.int8
    found, exact = [], []
    for member, at in np.ndindex(3, 2):
        system = Pairwise(square, J[member], h[member])
        found.append(energy_and_error(system, values[member, at]))
        exact.append(exact_energy(system, betas[member, at]))
    path = lattice.hypercubic(4, periodic=False)
    tables = RNG.normal(size=(2, 3, 3, 3))
    kept = simulate_members(
        path,
        triples,
        {"tables": tables},
        0.8,
        draws=2000,
        chains=4,
        seed=2,
        sampler="metropolis",
        observe=lambda s: {"half": s.astype(float) / 2},
    )["half"]
    assert kept.shape == (2000, 2, 1, 4, 4)
    for member in range(2):
        system = QState(path, 3, tables[member], interaction="general")
        found.append(energy_and_error(system, (2 * kept[:, member, 0]).astype(int).swapaxes(0, 1)))
        exact.append(exact_energy(system, 0.8))
    assert_within([mean for mean, _ in found], exact, [error for _, error in found], what="members' energies")


def test_cluster_expansion_know_the_critical_torus():
    # Exact energy of the 16×16 torus at β_c (Ferdinand and Fisher): −1.45317 per site.
    beta = np.log(1 + np.sqrt(2)) / 2
    data = simulate(Ising((16, 16)), beta, draws=2000, chains=8, seed=4, sampler="wolff")
    mean, error = energy_and_error(Ising((16, 16)), data.state.values)
    assert_within(mean / 256, -1.45317, error / 256, what="energy per site")
    assert data.attrs["tau_int"] < 10 and data.attrs["sweeps_per_draw"] == 1


def test_a_ladder_crosses_the_barrier():
    # The weak-strong clusters have a local minimum behind a barrier of 15.5: at β = 2 single flips take e^31 sweeps.
    trap = np.repeat([1, -1], 8).astype(np.int8)
    data = simulate(WeakStrong(), 2.0, draws=500, chains=4, seed=0, sampler="tempering", start=trap, burn_in=0)
    up = np.mean(data.state.values[:, 100:].sum(-1) == 16)
    stuck = simulate(WeakStrong(), 2.0, draws=500, chains=4, seed=0, sampler="heat_bath", start=trap, burn_in=0)
    assert stuck.state.values[..., 8:].mean() < -0.9
    assert 0.7 < up < 0.95  # exact: 1/(1 + e^{-1.92}) of the two minima, 0.87
    swaps = json.loads(data.attrs["swap_acceptance"])
    assert data.attrs["round_trips"] > 50 and 0.1 < min(swaps) and max(swaps) < 1
    assert len(json.loads(data.attrs["ladder"])) == len(swaps) + 1


# ---------------------------------------------------------------------- the loop
class Killed(Exception):
    """A death that leaves no time to save."""


LONG = {
    "heat_bath": (Ising((4, 4), h=0.1), {"thin": "auto"}),
    "metropolis": (SYSTEMS["potts"], {"burn_in": 500, "thin": 40}),
    "wolff": (Ising((4, 4)), {}),
    "swendsen_wang": (Ising((4, 4)), {"thin": 2}),
    "tempering": (SYSTEMS["glass in a field"], {"ladder": [0.2]}),
    "black box": (BlackBox(Ising((2, 2))), {"sampler": "metropolis", "burn_in": 40}),
}


@pytest.mark.parametrize("sampler", LONG)
def test_an_interrupted_run_continues_bit_for_bit(sampler, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_WORK", 1 << 13)  # many small chunks
    system, options = LONG[sampler]
    options = {"sampler": sampler, "draws": 200, "chains": 3, "seed": 9, **options}
    if sampler == "black box":
        monkeypatch.setattr(loop, "_WORK", 1 << 25)
    path, chunk, calls = tmp_path / "run.npz", loop._chunk, []

    def dies(kind, after):
        def until(*arguments):
            if len(calls) == after:
                raise kind
            calls.append(1)
            return chunk(*arguments)

        return until

    monkeypatch.setattr(loop, "_SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(loop, "_chunk", dies(Killed, -1))
    whole = simulate(system, 0.4, **options)
    chunks = len(calls)
    assert chunks >= 8
    for life in range(chunks // 2):  # ends in every stage: burn-in, pilot, extension, draws
        kind = (KeyboardInterrupt, Killed)[life % 2]
        calls.clear()
        monkeypatch.setattr(loop, "_chunk", dies(kind, 1 + life % 2))
        with pytest.raises(kind):
            simulate(system, 0.4, **options, checkpoint=path)
        assert path.exists()
    monkeypatch.setattr(loop, "_chunk", chunk)
    before = path.read_bytes()
    other = simulate(system, 0.41, **options, checkpoint=path)
    assert not other.identical(whole) and path.read_bytes() == before  # another call's checkpoint is left alone
    resumed = simulate(system, 0.4, **options, checkpoint=path)
    assert whole.identical(resumed)
    monkeypatch.setattr(loop, "_chunk", dies(Killed, len(calls)))
    assert whole.identical(simulate(system, 0.4, **options, checkpoint=path))  # finished: answered without another chunk
    assert len(list(tmp_path.iterdir())) == 2  # its checkpoint and the other call's, which whoever saves the results removes


def test_a_file_that_is_no_checkpoint_is_left_alone(tmp_path, caplog):
    path = tmp_path / "run.npz"
    path.write_text("something else")
    common = {"draws": 10, "sampler": "heat_bath"}
    found = simulate(Ising((2, 2)), 0.4, **common, checkpoint=path)
    assert found.identical(simulate(Ising((2, 2)), 0.4, **common))
    assert path.read_text() == "something else" and "left alone" in caplog.text
    with pytest.raises(HamlearnError, match="folder"):
        simulate(Ising((2, 2)), 0.4, draws=10, sampler="heat_bath", checkpoint=tmp_path / "no" / "run.npz")


@pytest.mark.parametrize("name", SYSTEMS)
def test_energies_and_order_parameters_of_many_states(name):
    system = SYSTEMS[name]
    values = RNG.choice(system.space.values, size=(2, 5, system.lattice.n_sites))
    by_system = system.energy(values.reshape(2, 5, *system.lattice.shape))
    np.testing.assert_allclose(energies(system, values), by_system, atol=1e-12)
    np.testing.assert_allclose(energies(BlackBox(system), values), by_system, atol=1e-12)
    order = system.space.order_parameters(values)
    if system.space is SPINS:
        np.testing.assert_allclose(order[..., 0], values.mean(-1))
    else:
        assert order.shape == (2, 5, system.q) and np.allclose(order.sum(-1), 1)


@pytest.mark.parametrize("sampler", ["heat_bath", "metropolis", "tempering"])
def test_nothing_is_compiled_twice(sampler):
    def compiled():
        return vectorised._advance._cache_size(), vectorised._init._cache_size()

    options = {"chains": 2, "sampler": sampler} | ({"ladder": [0.1]} if sampler == "tempering" else {})
    simulate(EdwardsAnderson((4, 4), seed=0), 0.5, draws=20, **options)
    before = compiled()
    # Another system, lattice object, temperature, number of draws, burn-in and thinning: the same shapes.
    simulate(EdwardsAnderson((4, 4), seed=1), 0.7, draws=33, burn_in=17, thin=2, seed=5, **options)
    assert compiled() == before


def test_seeds_chains_and_starts():
    glass = EdwardsAnderson((4, 4), seed=3)
    options = {"draws": 20, "chains": 6, "sampler": "heat_bath"}
    first, again, other = (simulate(glass, 0.5, seed=seed, **options) for seed in (1, 1, 2))
    assert first.identical(again) and not np.array_equal(first.state, other.state)
    assert first.state.dtype == np.int8 and set(np.unique(first.state)) == {-1, 1}
    assert len(np.unique(first.state.values.reshape(6, -1), axis=0)) == 6
    for start in ("cold", np.ones((4, 4)), np.ones((6, 4, 4), int)):
        frozen = simulate(Ising((4, 4)), 40.0, start=start, burn_in=0, **options)
        assert np.all(frozen.state == 1) and np.isnan(frozen.attrs["tau_int"])


def test_auto_says_what_it_chose():
    chosen = {
        "exact": EdwardsAnderson((4, 4), seed=0),
        "swendsen_wang": Ising((6, 6, 6)),
        "heat_bath": EdwardsAnderson((6, 6, 6), seed=0),
        "metropolis": BlackBox(Ising((2, 2))),
    }
    for name, system in chosen.items():
        data = simulate(system, 0.2, draws=20, chains=2, burn_in=20)
        assert data.attrs["sampler"] == name and data.attrs["sampler_choice"].startswith("auto: ")
        assert json.loads(data.attrs["system"]) == json.loads(json.dumps(system.to_dict()))
        assert data.attrs["independent"] == (name == "exact")
        assert all(isinstance(value, str | int | float) for value in data.attrs.values())


def test_burn_in_and_thinning_are_found_and_reported():
    options = {"draws": 400, "chains": 8, "sampler": "heat_bath", "seed": 1}
    critical = simulate(Ising((8, 8)), 0.44, thin="auto", **options)
    assert critical.attrs["sweeps_per_draw"] > 5 and critical.attrs["tau_int"] < 1.4
    assert critical.attrs["burn_in"] >= 600
    hot = simulate(Ising((8, 8)), 0.05, thin="auto", **options)
    assert hot.attrs["sweeps_per_draw"] <= 2 and hot.attrs["burn_in"] == 600
    assert simulate(Ising((8, 8)), 0.05, burn_in=7, **options).attrs["burn_in"] == 7
    every = simulate(Ising((8, 8)), 0.44, thin=1, **options)
    assert every.attrs["tau_int"] > 3 and every.attrs["ess"] == pytest.approx(3200 / every.attrs["tau_int"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": 0.0}, "beta"),
        ({"beta": -1.0}, "beta"),
        ({"beta": float("nan")}, "beta"),
        ({"beta": [[0.1]]}, "one-dimensional"),
        ({"beta": []}, "beta"),
        ({"draws": 0}, "draws"),
        ({"draws": 2.5}, "draws"),
        ({"chains": -1}, "chains"),
        ({"chains": True}, "chains"),
        ({"seed": -1}, "seed"),
        ({"burn_in": -1}, "burn_in"),
        ({"thin": 0}, "thin"),
        ({"thin": "tau"}, "auto"),
        ({"sampler": "heatbath"}, "Did you mean 'heat_bath'"),
        ({"start": "warm"}, "start"),
        ({"start": np.ones(3)}, r"shape \(4, 4\)"),
        ({"start": np.zeros((4, 4))}, "outside the space"),
        ({"system": "ising"}, "needs a system"),
        ({"sampler": "tempering", "beta": [0.1, 0.1]}, "twice"),
    ],
)
def test_bad_requests_are_explained(change, message):
    request = {"system": Ising((4, 4)), "beta": 0.4, "draws": 5, "sampler": "heat_bath"} | change
    with pytest.raises(HamlearnError, match=message):
        simulate(request.pop("system"), request.pop("beta"), **request)


@pytest.mark.parametrize("sampler", ["heat_bath", "wolff", "swendsen_wang", "tempering"])
def test_black_boxes_are_refused_where_they_cannot_go(sampler):
    with pytest.raises(HamlearnError, match="black box"):
        simulate(BlackBox(Ising((2, 2))), 0.4, draws=5, sampler=sampler)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {"K": np.ones((2, 32))}}, "parameters of spins"),
        ({"parameters": {"J": np.ones((2, 31))}}, "J must have shape"),
        ({"parameters": {"J": np.full((2, 32), np.nan)}}, "finite"),
        ({"parameters": {"J": np.ones((2, 32)), "h": np.ones((3, 16))}}, "h must have shape"),
        ({"beta": np.ones((3, 1))}, "members"),
        ({"sampler": "wolff"}, "sampler"),
        ({"burn_in": -1}, "burn_in"),
    ],
)
def test_bad_members_are_explained(change, message):
    request = {"parameters": {"J": np.ones((2, 32))}, "beta": 0.4, "draws": 3} | change
    with pytest.raises(HamlearnError, match=message):
        simulate_members(lattice.hypercubic((4, 4)), SPINS, **request)
