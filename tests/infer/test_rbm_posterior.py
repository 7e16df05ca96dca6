"""Small machines with a posterior over their weights: against sums over all states and draws of the prior; files, verbs, and refusals."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer.engines import rbm_posterior
from hamlearn.infer.engines.rbm_posterior import BIAS, WEIGHT, SmallMachine
from statistics_budget import assert_within

NUTS = hl.infer.NUTS(draws=500, warmup=200, chains=2)


def listed(n):
    return np.array(list(itertools.product((-1.0, 1.0), repeat=n)))


def plain_log_p(a, d, w):
    """Ln p of all states, units one at a time."""
    found = []
    for state in listed(len(a)):
        terms = []
        for units in itertools.product((-1, 1), repeat=len(d)):
            energy = sum(x * s for x, s in zip(a, state, strict=True)) + sum(x * h for x, h in zip(d, units, strict=True))
            terms.append(energy + sum(w[i][k] * state[i] * units[k] for i in range(len(a)) for k in range(len(d))))
        found.append(np.logaddexp.reduce(terms))
    return np.array(found) - np.logaddexp.reduce(found)


@pytest.mark.parametrize(("n", "m"), [(4, 2), (2, 3)])
def test_likelihood_moments_and_machines_are_those_of_all_states(n, m):
    """Whichever layer is the smaller one."""
    rng = np.random.default_rng(0)
    theta, states = rng.normal(size=n + m + n * m), listed(n)
    log_p = plain_log_p(*rbm_posterior.parts(theta, n))
    counts = rng.integers(1, 5, size=len(states)).astype(float)
    likelihood = SmallMachine(hl.models.RBM(hidden=m), states, counts)
    function, data = likelihood.jax_log_density()
    with jax.enable_x64(True):
        assert float(function(theta, data)) == pytest.approx(counts @ log_p)
    np.testing.assert_allclose(rbm_posterior.log_p(theta[None], states)[0], log_p)
    first, second = rbm_posterior.moments(theta[None], n)
    i, j = np.triu_indices(n, 1)
    np.testing.assert_allclose(first[0], np.exp(log_p) @ states)
    np.testing.assert_allclose(second[0], np.exp(log_p) @ (states[:, i] * states[:, j]))
    bits = rbm_posterior.in_bits(theta, n)
    machine = hl.systems.RestrictedBoltzmannMachine(n, bits["visible"][:, 0], bits["hidden"], bits["weights"][:, 0])
    energy = machine.energy(states)
    np.testing.assert_allclose(energy - energy.mean(), log_p.mean() - log_p, atol=1e-10)


@pytest.fixture(scope="module")
def tiny():
    """Two sites and one hidden unit: 40 rows, of which 36 are learned."""
    rows = np.random.default_rng(1).choice([-1, 1], size=(40, 2), p=[0.3, 0.7])
    rows[::3, 1] = rows[::3, 0]
    data = hl.microstates(rows, space="spins", beta=0.5, independent=True)
    return data, hl.learn(data, hl.models.RBM(hidden=1), engine=NUTS, check=False, seed=0)


def test_posterior_is_that_of_weighted_draws_of_the_prior(tiny):
    """Means and ends of intervals of what no renaming changes: 200 000 machines from the prior, weighted by their likelihood."""
    data, post = tiny
    rows = data["state"].values[0][:36]
    rng, count = np.random.default_rng(2), 200_000
    a, d, w = rng.normal(scale=BIAS, size=(count, 2)), rng.normal(scale=BIAS, size=count), rng.normal(scale=WEIGHT, size=(count, 2))
    states = listed(2)
    log_p = a @ states.T + np.log(np.cosh(w @ states.T + d[:, None]))
    log_p -= np.logaddexp.reduce(log_p, axis=1, keepdims=True)
    seen = np.array([(rows == one).all(1).sum() for one in states])
    weight = np.exp(log_p @ seen - (log_p @ seen).max())
    weight /= weight.sum()
    values = np.concatenate([np.exp(log_p) @ states, np.exp(log_p) @ states.prod(1, keepdims=True)], 1)
    truth = weight @ values
    noise = np.sqrt(weight**2 @ (values - truth) ** 2)
    group = post["posterior"]
    drawn = np.concatenate([group["magnetization"].values, group["correlation"].values], -1)
    ess = hl.infer.provenance(post).convergence.min_ess_bulk
    assert ess > 100
    assert_within(drawn.mean((0, 1)), truth, np.hypot(drawn.std((0, 1)) / np.sqrt(ess), noise), "means of the posterior")
    width = np.sqrt(weight @ (values - truth) ** 2)
    # The error of a standard deviation is that of a mean over √2, for tails that are normal.
    assert_within(drawn.std((0, 1)), width, np.hypot(width / np.sqrt(ess), noise), "widths of the posterior")


def test_a_posterior_is_saved_judged_by_what_has_no_names_and_used(tiny, tmp_path):
    data, post = tiny
    again = hl.load(hl.save(post, tmp_path / "post.nc"))
    verdict, made = hl.verdict(again), hl.infer.provenance(again)
    assert str(verdict) == str(hl.verdict(post)) and made.engine.markov and made.convergence.judged == 1 + 2 + 1 + 4
    assert any("hidden units have no names" in one.what for one in verdict.reasons)
    states = listed(2)
    log_p = hl.log_prob(again, states).values
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1)
    first = np.exp(log_p) @ states  # of the machines that are kept
    kept = again["posterior"]["magnetization"].values.reshape(-1, 2)
    assert_within(first.mean(0), kept.mean(0), kept.std(0) / np.sqrt(len(first) / 2), "machines that are kept")
    with pytest.raises(HamlearnError, match="64 of 1000 draws"):
        hl.infer.log_likelihood(again, data)
    assert "html" in hl.report(again, tmp_path / "page.html").read_text()[:300]


def test_a_run_that_is_continued_is_the_one_that_was_not(tiny, tmp_path):
    data, _ = tiny
    engine = hl.infer.NUTS(draws=20, warmup=20, chains=2)
    learn = lambda: hl.infer.learn(data, hl.models.RBM(hidden=1), engine=engine, checkpoint=tmp_path / "run.npz")
    whole = learn()
    assert (tmp_path / "run.0.npz").exists() and (tmp_path / "run.1.npz").exists()
    np.testing.assert_array_equal(learn()["posterior"]["magnetization"], whole["posterior"]["magnetization"])


SPINS = np.random.default_rng(0).choice([-1, 1], size=(60, 17))
learned = lambda model, states=SPINS[:, :3], space="spins": hl.learn(hl.microstates(states, space=space), model, engine="nuts")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: learned(hl.models.RBM(hidden=9)), "at most 8 hidden units on at most 16 spins; got 9 on 3 sites"),
        (lambda: learned(hl.models.RBM(hidden=2), SPINS), "got 2 on 17 sites of spins. Train larger ones"),
        (lambda: learned(hl.models.RBM(hidden=2), (SPINS[:, :3] + 1) // 2 + (np.arange(60) % 2)[:, None], "states"), "sites of states"),
        (lambda: learned(hl.models.RBM(hidden=2, chains="data")), r"RBM\(chains=...\) describes a training"),
        (lambda: hl.learn(hl.microstates(SPINS), hl.models.RBM(), engine="gibbs"), "engine must be 'auto', 'training', 'nuts'"),
    ],
)
def test_what_is_no_small_machine_is_refused(make, message):
    with pytest.raises(HamlearnError, match=message):
        make()
