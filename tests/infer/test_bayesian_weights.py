"""Posteriors over weights of neural densities, against logistic regressions with a curvature of their own."""

from __future__ import annotations

import itertools

import numpy as np
import pyro
import pytest
import scipy.stats
import torch
from infer import oracles

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from statistics_budget import spend

Bayesian = hl.infer.Bayesian
N, BETA = 4, 0.8
PAIRS = np.stack(np.triu_indices(N, 1), 1)
J, H = np.array([0.5, -0.4, 0.0, 0.6, 0.3, 0.2]), np.array([0.2, -0.1, 0.0, 0.3])
STATES = np.array(list(itertools.product((-1, 1), repeat=N)))
# One hidden unit, which sees the first spin alone: what is left is linear, one logistic regression per spin.
LINEAR = hl.models.Autoregressive(hidden=1)
QUICK = {"epochs": 15, "batch": 100, "learning_rate": 0.03, "patience": 15}


def data(rows, seed):
    return hl.microstates(oracles.exact_draws(PAIRS, J, H, BETA, N, rows, seed), beta=BETA).assign_attrs(independent=1)


def regressions(states, worth, draws, seed=0, prior=10.0):
    """ln p of all states under draws of every spin's logistic regression on those before it: a normal at its mode."""
    rng, total, mode = np.random.default_rng(seed), 0.0, 0.0
    for site in range(N):
        features = np.column_stack([np.ones(len(states)), states[:, :site]])
        up, theta = (states[:, site] + 1) / 2, np.zeros(site + 1)
        for _ in range(30):
            p = 1 / (1 + np.exp(-features @ theta))
            hessian = worth / len(states) * (features * (p * (1 - p))[:, None]).T @ features + np.eye(site + 1) / prior**2
            theta = theta + np.linalg.solve(hessian, worth / len(states) * features.T @ (up - p) - theta / prior**2)
        every = np.column_stack([np.ones(len(STATES)), STATES[:, :site]])
        at = lambda value, every=every, site=site: -np.logaddexp(0, -(every @ value.T).T * STATES[:, site])
        total = total + at(rng.multivariate_normal(theta, np.linalg.inv(hessian), draws))
        mode = mode + at(theta[None])[0]
    return mode, total


def learned(post):
    return hl.log_prob(post, STATES).values


def trained_part(sets):
    """What training sees: the last tenth of every chain is held out."""
    states = sets["state"].values
    return states[:, : states.shape[1] - max(1, round(0.1 * states.shape[1]))].reshape(-1, N)


def differences(values):
    """ln p of all states but the first, less that of the first."""
    return (values - values[..., :1])[..., 1:]


@pytest.mark.parametrize(
    ("guide", "steps", "low", "high"), [("last_layer", 100, 0.85, 1.15), pytest.param("low_rank", 800, 0.75, 1.35, marks=pytest.mark.slow)]
)
def test_a_linear_density_has_the_posterior_of_its_logistic_regressions(guide, steps, low, high):
    sets = data(1000, seed=1)
    rank = {"rank": 8} if guide == "low_rank" else {}  # the other guide has every direction, and refuses it
    post = hl.infer.learn(sets, LINEAR, engine=Bayesian(guide=guide, steps=steps, draws=300, **rank, **QUICK), seed=2)
    mode, expected = regressions(trained_part(sets), 900, 4000)
    found = learned(post)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-10)
    exact = differences(expected).std(0)
    ratio = differences(found).std(0) / exact
    assert low < ratio.min() and ratio.max() < high, ratio
    assert np.all(np.abs(differences(found).mean(0) - differences(mode)) < 0.3 * exact)
    told = posteriors.provenance_of(post).training["posterior"][0]
    assert told["guide"] == guide and told["worth"] == pytest.approx(900)


def test_autocorrelated_draws_widen_the_posterior():
    rows, times = data(600, seed=3), 5
    repeated = hl.microstates(np.repeat(rows["state"].values[0], times, 0), beta=BETA)
    engine = Bayesian(steps=10, draws=100, **{**QUICK, "epochs": 5})
    once, often = (hl.infer.learn(one, LINEAR, engine=engine, seed=2) for one in (rows, repeated))
    tau = posteriors.provenance_of(often).calibration.tau
    assert 0.7 * times < tau < 1.4 * times
    wider = differences(learned(often)).std(0) / differences(learned(once)).std(0)
    # As many microstates, of which tau count as one; both posteriors are of nearly the same data.
    np.testing.assert_allclose(wider, np.sqrt(tau / times), rtol=0.35)
    naive = hl.infer.learn(repeated.assign_attrs(independent=1), LINEAR, engine=engine, seed=2)
    assert np.median(differences(learned(often)).std(0) / differences(learned(naive)).std(0)) > 0.8 * np.sqrt(tau)


@pytest.mark.long
@pytest.mark.slow
def test_the_posterior_covers_the_truth():
    """z of one difference of ln p per data set, the truth being one that the density can represent."""
    log_p = BETA * ((STATES[:, PAIRS[:, 0]] * STATES[:, PAIRS[:, 1]]) @ J + STATES @ H)
    model = hl.models.Autoregressive(hidden=8)
    z = []
    for seed in range(14):
        post = hl.infer.learn(data(2000, 100 + seed), model, engine=Bayesian(steps=150, draws=100, **{**QUICK, "epochs": 8}), seed=seed)
        found, truth = differences(learned(post))[:, 9], differences(log_p)[9]
        z.append((found.mean() - truth) / found.std(ddof=1))
    tail = scipy.stats.chi2.cdf(np.sum(np.square(z)), len(z))
    assert 2 * min(tail, 1 - tail) > spend(), z


def test_it_is_a_posterior_like_any_other(tmp_path):
    ising = hl.systems.Ising((2, 3))
    sets = hl.simulate(ising, beta=0.4, draws=600, chains=2, seed=0)
    model = hl.models.Autoregressive("gru", hidden=4, members=2)
    engine = Bayesian(draws=3, steps=20, epochs=2, batch=100, learning_rate=0.01)
    generator, store = torch.get_rng_state(), dict(pyro.get_param_store().items())
    post = hl.learn(sets, model, engine=engine, seed=1)
    assert torch.equal(torch.get_rng_state(), generator) and dict(pyro.get_param_store().items()) == store
    assert post["weights"].sizes["member"] == 6 == post["posterior"].sizes["draw"]
    again = hl.learn(sets, model, engine=engine, seed=1)
    assert again["weights"].to_dataset().identical(post["weights"].to_dataset())
    back = hl.load(hl.save(post, tmp_path / "post.nc"))
    np.testing.assert_array_equal(hl.log_prob(back, sets["state"].values[0, :5]), hl.log_prob(post, sets["state"].values[0, :5]))
    assert len({float(one.energy(sets["state"].values[0, 0])) for one in hl.draw_systems(post, 6)}) == 6
    assert np.isfinite(hl.estimate(post, ising, n=200)["log_partition"]).all()
    assert any("last_layer posterior" in found.what for found in hl.verdict(post).reasons)
    assert posteriors.provenance_of(post).engine.name == "bayesian"


def test_a_flow_has_a_posterior_of_all_its_weights():
    fields = np.random.default_rng(0).normal(size=(400, 4))
    sets, model = hl.microstates(fields, "reals", 1.0), hl.models.Flow("affine", layers=2, hidden=4)
    with pytest.raises(HamlearnError, match="no single output layer"):
        hl.infer.learn(sets, model, engine=Bayesian(epochs=1, steps=2))
    post = hl.infer.learn(sets, model, engine=Bayesian(guide="low_rank", epochs=1, steps=20, draws=2))
    assert np.isfinite(hl.log_prob(post, fields[:5])).all()


MISTAKES = {
    "guide": (lambda: Bayesian(guide="all"), "guide must be one of"),
    "draws": (lambda: Bayesian(draws=0), "draws must be a positive whole number"),
    "prior": (lambda: Bayesian(prior_scale=-1.0), "prior_scale must be a finite number > 0"),
    "too large": (
        lambda: hl.infer.learn(
            hl.simulate(hl.systems.Ising((12, 12)), beta=0.1, draws=30, seed=0),
            hl.models.Autoregressive("gru", hidden=4),
            engine=Bayesian(epochs=1),
        ),
        "too many for a full covariance",
    ),
    "not of networks of energies": (
        lambda: hl.infer.distill(np.ones((100, 2, 2)), hl.systems.Ising((2, 2)), engine=Bayesian()),
        "engine must be 'auto', 'training'",
    ),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


def test_states_of_more_than_two_values_have_a_posterior_of_weights_too():
    potts = hl.simulate(hl.systems.Potts((2, 2), q=3), beta=0.5, draws=400, chains=1, seed=2)
    settings = Bayesian(draws=4, epochs=2, steps=10, threads=1)
    post = hl.infer.learn(potts, hl.models.Autoregressive(hidden=4), engine=settings, seed=0)
    assert len(hl.draw_systems(post, 64)) == 4
    band = hl.predict(post, 0.5, observables=["energy"], seed=1)["energy"].values[0]
    assert band[2] < band[0] < band[3]
