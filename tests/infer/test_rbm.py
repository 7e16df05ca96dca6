"""Restricted Boltzmann machines: gradients, exchanges and log Z of replicas against sums over all states; learning, files and verbs."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer.engines import rbm_training, training_loop
from hamlearn.infer.families import rbm as family
from hamlearn.infer.families.rbm import normaliser
from hamlearn.infer.training_data import rows_of
from hamlearn.systems.sampling import replicas
from hamlearn.systems.sampling.block_gibbs import Layer
from hamlearn.systems.sampling.line import Line
from hamlearn.systems.sampling.replicas import Replicas
from hamlearn.systems.sampling.walkers import free_energy
from statistics_budget import assert_within

SPINS, STATES = hl.systems.SPINS, hl.systems.states(3)
QUICK = hl.infer.Training(epochs=3, batch=100, learning_rate=1e-2)


def layer(n=4, q=2, m=3, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    sizes = (n, q - 1), (m,), (n * (q - 1), m)
    return Layer(*(np.asarray(scale * rng.normal(size=size), np.float32) for size in sizes))


def listed(n, q):
    return np.array(list(itertools.product(range(q), repeat=n)), np.int8)


def plain_log_weights(one, every, q):
    """ln Σ_h of the joint, hidden units and sites one at a time."""
    n, m = len(one.visible), len(one.hidden)
    weights = np.asarray(one.weights, float).reshape(n, q - 1, m)
    found = []
    for state in every:
        terms = []
        for units in itertools.product((0, 1), repeat=m):
            total = sum(float(c) * h for c, h in zip(one.hidden, units, strict=True))
            for i, value in enumerate(state):
                if value:
                    total += float(one.visible[i, value - 1]) + sum(weights[i, value - 1, j] * units[j] for j in range(m))
            terms.append(total)
        found.append(np.logaddexp.reduce(terms))
    return np.array(found)


@pytest.mark.parametrize("q", [2, 3])
def test_gradient_and_free_energy_are_those_of_all_states(q):
    one, every = layer(q=q), listed(4, q)
    log_w = plain_log_weights(one, every, q)
    np.testing.assert_allclose(-np.asarray(free_energy(every, one)), log_w, rtol=1e-5, atol=1e-5)
    data = np.random.default_rng(1).integers(0, q, size=(50, 4)).astype(np.int8)
    loss = lambda one: free_energy(data, one).mean() + jax.nn.logsumexp(-free_energy(every, one))
    slope = jax.grad(loss)(one)
    share = np.exp(log_w - np.logaddexp.reduce(log_w)).astype(np.float32)
    found, _ = rbm_training._gradient(one, jnp.asarray(data), jnp.asarray(every), jnp.asarray(share), centred=False)
    for a, b in zip(found, slope, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    centred, (mean, active) = rbm_training._gradient(one, jnp.asarray(data), jnp.asarray(every), jnp.asarray(share), centred=True)
    # Units with their means taken away: a product of differences is the product less what biases have already told.
    plain = np.asarray(found.weights) - np.outer(mean, found.hidden) - np.outer(np.asarray(found.visible).ravel(), active)
    np.testing.assert_allclose(centred.weights, plain, atol=1e-5)


@pytest.mark.parametrize("q", [2, 3])
def test_pseudo_likelihood_is_that_of_all_states(q):
    one, every = layer(q=q), listed(4, q)
    log_w = plain_log_weights(one, every, q)
    expected = np.zeros(len(every))
    for k, state in enumerate(every):
        for site in range(4):
            same = (np.delete(every, site, 1) == np.delete(state, site)).all(1)
            expected[k] += (log_w[k] - np.logaddexp.reduce(log_w[same])) / 4
    np.testing.assert_allclose(np.asarray(rbm_training._pseudo(every, one)), expected, atol=1e-5)


def test_exchanges_leave_every_law_as_it_is():
    """Three machines, from independent draws of each: frequencies of all states after exchanges of both kinds of pairs."""
    every, layers, count = listed(4, 2), [layer(seed=seed, scale=scale) for seed, scale in ((0, 0.3), (1, 0.7), (2, 1.0))], 20_000
    laws = [np.exp(w - np.logaddexp.reduce(w)) for w in (plain_log_weights(one, every, 2) for one in layers)]
    rng = np.random.default_rng(3)
    start = np.stack([every[rng.choice(16, count, p=law)] for law in laws])
    stacked = Layer(*(np.stack(parts) for parts in zip(*layers, strict=True)))
    now = Replicas(np.random.SeedSequence(4).generate_state(2, np.uint32), start, np.zeros((count, 3), np.int32))
    for parity in (0, 1):
        now, _, info = jax.jit(replicas.attempt, static_argnums=2)(now, stacked, parity)
        assert 0.2 < info["exchanged"].mean(0)[parity] < 0.95
    for found, law in zip(now.values, laws, strict=True):
        seen = np.bincount(np.asarray(found) @ np.array([8, 4, 2, 1]), minlength=16) / count
        assert_within(seen, law, np.sqrt(law * (1 - law) / count), "exchanged")


def test_a_ladder_that_chains_are_tempered_on_leaves_the_law_of_its_machine():
    machine, every, count = layer(), listed(4, 2), 20_000
    alone, place = np.full((4, 1), 0.3, np.float32), np.linspace(0, 1, rbm_training._RUNGS)
    on_line = [Layer((1 - at) * alone + at * machine.visible, at * machine.hidden, at * machine.weights) for at in place]
    laws = [np.exp(w - np.logaddexp.reduce(w)) for w in (plain_log_weights(one, every, 2) for one in on_line)]
    rng = np.random.default_rng(3)
    start = [every[rng.choice(16, count, p=law)] for law in laws]
    key = np.random.SeedSequence(4).generate_state(2, np.uint32)
    key, below, last = jax.jit(rbm_training._exchanged)(key, np.stack(start[:-1]), start[-1], machine, alone, 0)
    _, below, last = jax.jit(rbm_training._exchanged)(key, below, last, machine, alone, 1)
    for found, law in zip([*below, last], laws, strict=True):
        seen = np.bincount(np.asarray(found) @ np.array([8, 4, 2, 1]), minlength=16) / count
        assert_within(seen, law, np.sqrt(law * (1 - law) / count), "tempered")


@pytest.mark.parametrize("q", [2, 3])
def test_log_z_and_draws_of_replicas_are_those_of_all_states(q):
    """Two wells of unlike depth: a Markov chain of the machine would stay in the one it started in."""
    n, m = 6, 3
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(n, q - 1, m)) + 4 * np.ones((n, q - 1, 1)) * (np.arange(m) == 0)
    line = Line(np.zeros((n, q - 1)), np.full((n, q - 1), -1.9), np.array([-10.0, 0.0, 0.0]), weights)
    every = listed(n, q)
    log_w = plain_log_weights(line.at(1.0), every, q)
    truth, law = np.logaddexp.reduce(log_w), np.exp(log_w - np.logaddexp.reduce(log_w))
    assert line.layer(1.0).log_z() == pytest.approx(truth, abs=1e-4) == normaliser(line, 0).value
    found = replicas.log_z(line, 1, error=0.02)
    assert 0 < found.error <= 0.02 and found.populations == replicas.COLUMNS and found.settled
    assert_within(found.value, truth, found.error, "log Z")
    drawn = replicas.draws(line, 4000, 2)
    many = drawn.sum(1) > n * (q - 1) / 2
    share = law[every.sum(1) > n * (q - 1) / 2].sum()
    assert 0.03 < share < 0.97
    assert_within(many.mean(), share, np.sqrt(4 * share * (1 - share) / 4000), "wells")  # draws are half a round trip apart


def test_more_hidden_units_than_are_summed_over_against_all_states_of_the_sites():
    """64 hidden units on 16 sites, symmetric: two wells of equal depth that block Gibbs sampling does not leave."""
    n, m = 16, 64
    weights = 0.45 * np.random.default_rng(1).choice([-1, 1], m) + 0.05 * np.random.default_rng(2).normal(size=(n, m))
    line = Line(np.zeros((n, 1)), -weights.sum(1, keepdims=True) / 2, -weights.sum(0) / 2, weights[:, None])
    every = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
    log_w = every @ line.visible[:, 0] + np.logaddexp(0, every @ weights + line.hidden).sum(1)
    truth = np.logaddexp.reduce(log_w)
    spins = 2 * every - 1
    order = np.exp(log_w - truth) @ np.abs(spins.mean(1))
    assert order > 0.8
    found = normaliser(line, 3)
    assert found.settled and 0 < found.error <= 0.05
    assert_within(found.value, truth, found.error, "log Z")
    drawn = 2.0 * replicas.draws(line, 2000, 4) - 1
    assert_within(np.mean(drawn.mean(1) > 0), 0.5 * (1 - np.mean(drawn.mean(1) == 0)), np.sqrt(4 * 0.25 / 2000), "sign")
    spread = np.sqrt(np.exp(log_w - truth) @ np.abs(spins.mean(1)) ** 2 - order**2)
    assert_within(np.abs(drawn.mean(1)).mean(), order, spread * np.sqrt(4 / 2000), "order")


def data_of(space, beta=0.4, draws=1000):
    system = hl.systems.Ising((3, 3)) if space.binary else hl.systems.Potts((2, 2), q=3, J=0.8)
    states = hl.systems.exact.sample(system, beta, draws, seed=0)
    return system, hl.microstates(states, space=space.name, q=space.q if space.labelled else None, beta=beta)


@pytest.mark.parametrize("chains", ["persistent", "data", "tempered"])
def test_learns_the_law_of_spins(chains):
    """Kullback–Leibler divergence from the law of the data, over all 512 states: less than a fifth of that of independent spins."""
    system, data = data_of(SPINS, draws=4000)
    states, p = hl.systems.exact.distribution(system, 0.4)
    model = hl.models.RBM(hidden=8, chains=chains, steps=2)
    post = hl.learn(data, model, engine=hl.infer.Training(epochs=30, batch=100, learning_rate=2e-2), check=False)
    log_q = hl.log_prob(post, states).values[0]
    assert np.exp(log_q).sum() == pytest.approx(1, abs=1e-6)
    alone = np.log(p) @ p + 9 * np.log(2)
    assert p @ (np.log(p) - log_q) < 0.2 * alone


def test_learns_states_and_its_energy_is_normalised():
    _, data = data_of(STATES)
    post = hl.learn(data, hl.models.RBM(hidden=4), engine=QUICK, check=False)
    machine = hl.draw_systems(post, 1)[0]
    states = listed(4, 3).reshape(-1, 2, 2)
    np.testing.assert_allclose(-0.4 * machine.energy(states), hl.log_prob(post, states).values[0], rtol=1e-10)
    assert hl.systems.exact.log_partition(machine, 0.4) == pytest.approx(0, abs=1e-9)
    assert float(post["normaliser"]["log_z_error"][0]) == 0
    seen = hl.sample(post, 4000, seed=1)["state"].values[0].reshape(4000, 4)
    law = np.exp(hl.log_prob(post, states).values[0])
    counts = np.bincount(seen @ np.array([27, 9, 3, 1]), minlength=81) / 4000
    assert_within(counts, law, np.sqrt(law * (1 - law) / 4000), "own draws")


def test_members_files_and_predictions(tmp_path):
    _, data = data_of(SPINS)
    post = hl.learn(data, hl.models.RBM(hidden=3, members=3), engine=QUICK, check=False)
    again = hl.load(hl.save(post, tmp_path / "post.nc"))
    states = data["state"].values[0][:5]
    np.testing.assert_allclose(hl.log_prob(again, states), hl.log_prob(post, states))
    assert np.ptp(hl.log_prob(post, states).values, axis=0).max() > 1e-3  # trained on other weights of rows, from other starts
    found = hl.predict(again, beta=[0.3, 0.4], observables=["energy"])["energy"].sel(quantity="mean").values
    machines = hl.draw_systems(again, 3)
    exact = [np.mean([hl.systems.exact.thermodynamics(one, beta)["energy"].item() for one in machines]) for beta in (0.3, 0.4)]
    assert_within(found, exact, 0.05 / np.sqrt(3 * 8192 / 3), "energy of members")
    assert hl.simulate(machines[0], 0.3, draws=2, chains=2).attrs["sampler"] != "own"
    with pytest.raises(HamlearnError, match="knows one size"):
        hl.predict(again, beta=0.4, shape=(4, 4))


@pytest.mark.parametrize("chains", ["persistent", "tempered"])
def test_a_run_that_is_continued_is_the_one_that_was_not(chains, tmp_path, monkeypatch):
    _, data = data_of(SPINS, draws=400)
    model, engine = hl.models.RBM(hidden=3, chains=chains, steps=1), hl.infer.Training(epochs=4, batch=100)
    whole = hl.learn(data, model, engine=engine, check=False)
    path, saved = tmp_path / "run.npz", training_loop._arrays
    calls = []

    def dies(*arguments):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return saved(*arguments)

    monkeypatch.setattr(training_loop, "_arrays", dies)
    with pytest.raises(KeyboardInterrupt):
        hl.learn(data, model, engine=engine, check=False, checkpoint=path)
    monkeypatch.setattr(training_loop, "_arrays", saved)
    again = hl.learn(data, model, engine=engine, check=False, checkpoint=path)
    for name in ("visible", "hidden", "weights", "alone"):
        np.testing.assert_array_equal(again["weights"][name], whole["weights"][name])


def test_rows_that_are_given_again_carry_weights():
    """A histogram is trained on as its rows are."""
    _, data = data_of(SPINS)
    rows = data["state"].values[0].reshape(-1, 9)
    states, counts = np.unique(rows, axis=0, return_counts=True)
    histogram = hl.microstates(states.reshape(-1, 3, 3), counts=counts, beta=0.4)
    assert rows_of([histogram], SPINS, 0.1).weight.sum() == len(rows)
    post = hl.learn(histogram, hl.models.RBM(hidden=3), engine=QUICK, check=False)
    assert np.isfinite(post["posterior"]["nats_per_site"]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: hl.models.RBM(hidden=0), "hidden"),
        (lambda data: hl.learn(data, hl.models.RBM(hidden=10**12), check=False), "smaller hidden="),
        (lambda data: hl.models.RBM(chains="gibbs"), "chains must be one of"),
        (lambda data: hl.models.RBM(centred=1), "centred"),
        (lambda data: hl.learn(data, hl.models.RBM(), likelihood="pseudo"), "likelihood"),
        (lambda data: hl.learn(data, hl.models.RBM(), engine=hl.infer.Training(patience=3)), "does not use patience=3"),
        (
            lambda data: hl.learn([data.isel(draw=slice(50)), data.isel(draw=slice(50, 100)).assign_coords(beta=0.5)], hl.models.RBM()),
            "law of one temperature",
        ),
        (lambda data: hl.learn(hl.microstates(np.random.default_rng(0).normal(size=(50, 4)), space="reals"), hl.models.RBM()), "got reals"),
        (lambda data: hl.infer.program(data, hl.models.RBM()), "no program"),
    ],
)
def test_what_cannot_be_learned_is_named(make, message):
    with pytest.raises(HamlearnError, match=message):
        make(data_of(SPINS, draws=100)[1])


def test_a_normaliser_that_is_not_settled_is_a_caution_and_others_are_none(monkeypatch):
    _, data = data_of(SPINS, draws=200)
    told, errors = [], []
    for most, trips in ((20, 160), (2, 160), (2, 1e6)):
        monkeypatch.setattr(family, "MOST_SUMMED", most)
        monkeypatch.setattr(replicas, "TRIPS", trips)
        monkeypatch.setattr(replicas, "_MOST_WORK", 1.0)
        post = hl.learn(data, hl.models.RBM(hidden=3), engine=hl.infer.Training(epochs=2), check=False)
        told.append([one.severity for one in hl.verdict(post).reasons if one.topic == "normaliser"])
        errors.append(float(post["normaliser"]["log_z_error"][0]))
    assert told == [[], [], ["caution"]]
    assert errors[0] == 0 < min(errors[1:])


def test_what_is_announced_grows_with_the_ladder_and_with_log_z_above_what_is_summed_over():
    seconds = lambda **options: family.seconds(hl.models.RBM(**options), SPINS, (16, 16), 1000)
    training = lambda hidden: seconds(hidden=hidden) - (replicas.log_z_seconds(256, hidden) if hidden > family.MOST_SUMMED else 0)
    assert seconds(hidden=20) > 1.3 * seconds(hidden=20, chains="persistent") and 2 * seconds(hidden=8) == seconds(hidden=8, members=2)
    # A gradient step costs something however small the machine is.
    assert 1.02 < training(21) / training(20) < 21 / 20 and seconds(hidden=21) > training(21)


@pytest.mark.slow
def test_both_modes_of_an_ordered_phase_are_learned():
    """Spins that no chain turns over: all up and all down are as likely as each other, and the law is near that of the data."""
    system = hl.systems.Ising((8, 8))
    states, test = (hl.systems.exact.sample(system, 0.6, count, seed=seed) for count, seed in ((10_000, 0), (2000, 1)))
    post = hl.learn(hl.microstates(states, space="spins", beta=0.6), hl.models.RBM(), check=False)
    up, down = hl.log_prob(post, np.stack([np.ones((8, 8)), -np.ones((8, 8))])).values[0]
    assert abs(up - down) < 1
    entropy = 0.6 * np.mean(system.energy(test)) + hl.systems.exact.log_partition(system, 0.6)
    assert -hl.log_prob(post, test).values[0].mean() - entropy < 1


def test_a_machine_that_does_not_reach_its_own_training_rows_is_not_believed():
    """Held out were a tenth of 1000 rows, too few to see it; the others are 900."""
    data = hl.simulate(hl.systems.Ising((4, 4)), beta=0.5, draws=1000, chains=1, sampler="exact", seed=0)
    post = hl.learn(data, hl.models.RBM(hidden=4), engine=hl.infer.Training(epochs=10, batch=100, learning_rate=1e-2), seed=0)
    verdict = hl.verdict(post)
    assert verdict.level == "do not believe"
    assert "(training rows)" in str(verdict)
    assert "of the data" in str(verdict)


def test_an_audit_takes_the_law_of_a_machine_and_not_chains_from_the_data():
    """Chains from the data never left a mode that the law hardly has: one of two, by e³⁵⁰, was no difference."""
    data = hl.simulate(hl.systems.Ising((4, 4)), beta=0.6, draws=400, chains=1, sampler="exact", seed=0)
    post = hl.learn(data, hl.models.RBM(hidden=3), engine=hl.infer.Training(epochs=2), check=False, seed=0)
    post["weights"]["visible"] += 1.5  # all towards one sign
    found = hl.audit(hl.simulate(hl.systems.Ising((4, 4)), beta=0.6, draws=400, chains=1, sampler="exact", seed=1), post, seed=0)
    assert found.how["model"] == "drawn from 1 network, independent"
    assert found["mean of the magnetization"].flagged
