"""Importance sampling of a posterior: against quadrature, its judge on posteriors that are not normal."""

import itertools

import numpy as np
import numpyro.distributions as dist
import pytest

import hamlearn as hl
from hamlearn.infer.likelihoods import ExactLikelihood
from hamlearn.infer.observations import bind
from hamlearn.infer.pipeline import PARETO_K, not_normal
from hamlearn.infer.settings import Drawn
from tests.statistics_budget import assert_within

SQUARE = hl.systems.lattice.hypercubic((2, 3), periodic=False)
TIED = hl.models.Couplings(SQUARE, tie="uniform", fields="uniform", prior=hl.models.Normal(1.0), field_prior=hl.models.Normal(1.0))


def rows(count, seed, strength=0.4):
    """Independent states of six spins with one coupling and one field, drawn from the list of all."""
    states = np.array(list(itertools.product([-1, 1], repeat=6)))
    bonds = np.array(SQUARE.bonds)
    sums = np.stack([(states[:, bonds[:, 0]] * states[:, bonds[:, 1]]).sum(1), states.sum(1)], 1)
    weight = np.exp(sums @ [strength, 0.1])
    chosen = np.random.default_rng(seed).choice(len(states), count, p=weight / weight.sum())
    return states[chosen].reshape(-1, 2, 3), sums, sums[chosen].sum(0)


def by_quadrature(sums, total, count):
    """Means and standard deviations of the posterior of both parameters under N(0, 1), on a grid."""
    j, h = np.meshgrid(np.linspace(-1.5, 2.5, 401), np.linspace(-1.5, 1.5, 401), indexing="ij")
    theta = np.stack([j.ravel(), h.ravel()], 1)
    log_z = np.log(np.exp(theta @ sums.T).sum(1))
    log_p = theta @ total - count * log_z - 0.5 * (theta**2).sum(1)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = p @ theta
    return mean, np.sqrt(p @ (theta - mean) ** 2)


@pytest.mark.parametrize("count", [25, 400])
def test_draws_are_those_of_the_posterior(count):
    states, sums, total = rows(count, seed=count)
    data = hl.microstates(states, space="spins", beta=1.0)
    post = hl.infer.learn(data, TIED, likelihood="exact", engine=hl.infer.ImportanceSampling(2000), calibrate=False, seed=1)
    mean, sd = by_quadrature(sums, total, count)
    ess = hl.diagnostics.convergence(post)["min_ess_bulk"]
    for k, name in enumerate(("J", "h")):
        draws = post["posterior"][name].values[..., 0]
        assert_within(draws.mean(), mean[k], sd[k] / np.sqrt(ess), f"mean of {name}")
        assert_within(draws.std(), sd[k], sd[k] / np.sqrt(ess), f"sd of {name}")
    assert hl.infer.provenance(post).pareto_k < PARETO_K and ess > 2000


def test_where_the_posterior_is_not_normal_auto_goes_on_to_nuts_and_says_so():
    states, *_ = rows(15, seed=3, strength=2.5)  # almost always aligned: the posterior of the coupling has one steep side
    data = hl.microstates(states, space="spins", beta=1.0)
    model = hl.models.Couplings(SQUARE, fields=None, prior=hl.models.Normal(10.0))
    insisted = hl.learn(data, model, likelihood="exact", engine="importance", check=False, seed=1)
    made = hl.infer.provenance(insisted)
    assert made.pareto_k > PARETO_K
    assert any("Pareto k-hat" in one.what and "engine='nuts'" in one.advice for one in hl.verdict(insisted).reasons)
    made = hl.infer.provenance(hl.infer.learn(data, model, seed=1))
    assert made.engine.name == "nuts" and made.pareto_k is None
    assert any(reason.startswith("engine nuts instead of importance, about ") for reason in made.reasons)


def test_a_long_stay_at_one_state_is_seen_although_many_proposals_are_accepted():
    """48 couplings of 40 rows: 39 of 100 accepted, k-hat 0.48, and one chain at one state for a quarter of its draws (12 effective)."""
    theta = np.random.default_rng(0).normal(size=(4, 1000, 3))
    stats = {"acceptance_rate": np.full((4, 1000), 0.39)}
    assert not_normal(Drawn(theta, stats, 0.48)) == ""
    stays = theta.copy()
    stays[1, 300:550] = 2.5
    assert "effective draws at the ends" in not_normal(Drawn(stays, stats, 0.48))


@pytest.mark.parametrize("prior", ["horseshoe", dist.HalfNormal(1.0)], ids=["with a scale", "with a bound"])
def test_a_prior_without_a_density_on_all_real_numbers_is_refused(prior):
    states, *_ = rows(100, seed=1)
    with pytest.raises(hl.HamlearnError, match="bounds or parameters of its own"):
        hl.infer.learn(
            hl.microstates(states, space="spins", beta=1.0),
            hl.models.Couplings(SQUARE, prior=prior, fields=None),
            likelihood="exact",
            engine="importance",
        )


def test_draws_of_an_engine_of_ones_own_are_judged_as_chains():
    class Apart:
        """Two chains that sit in different places."""

        name = "apart"

        def draw(self, fit, *, seed):
            near = fit.normal(2, 500, seed).theta
            return near + np.array([-5.0, 5.0])[:, None, None] * fit.root.diagonal()

    states, *_ = rows(2000, seed=1)
    post = hl.learn(hl.microstates(states, space="spins", beta=1.0), TIED, likelihood="exact", engine=Apart(), check=False, seed=1)
    assert hl.verdict(post).level == "do not believe" and "have not mixed" in str(hl.verdict(post))


@pytest.mark.parametrize("engine", ["auto", "importance", "laplace", "mle"])
def test_a_model_without_parameters_is_refused(engine):
    states = np.random.default_rng(0).choice([-1, 1], size=(50, 2))
    lonely = hl.models.Couplings(hl.systems.Lattice((2,), np.zeros((0, 2), int)), fields=None)
    with pytest.raises(hl.HamlearnError, match="nothing to learn"):
        hl.learn(hl.microstates(states, space="spins", beta=1.0), lonely, engine=engine)


def test_points_of_a_table_of_states_are_evaluated_together_and_the_draws_are_the_same(monkeypatch):
    def fully_connected(sites):
        graph = hl.systems.lattice.complete(sites)
        states = np.random.default_rng(0).choice([-1, 1], size=(400, sites))
        bound, parts, _ = bind([hl.microstates(states, space="spins", beta=1.0)], hl.models.Couplings(graph))
        return ExactLikelihood(bound, parts)

    for sites in (3, 12, 16):  # as many as share a reading of the table, and no more than their weights have room for
        batch = fully_connected(sites).batch
        assert batch >= 32 and batch * 2**sites <= 2**21
    states, _, _ = rows(400, seed=1)
    data = hl.microstates(states, space="spins", beta=1.0)
    asked = {"likelihood": "exact", "engine": hl.infer.ImportanceSampling(50, 2), "calibrate": False, "seed": 1}
    together = hl.infer.learn(data, TIED, **asked)["posterior"]["J"].values
    monkeypatch.setattr(ExactLikelihood, "batch", 1)
    np.testing.assert_allclose(hl.infer.learn(data, TIED, **asked)["posterior"]["J"].values, together, rtol=1e-9)


def test_the_tail_is_recorded_of_every_family():
    data = hl.simulate(hl.systems.Path(6, hl.systems.DoubleWell(4.0, 2.0)), 2.0, 300, 2, seed=0)
    made = hl.infer.provenance(hl.infer.learn(data, hl.models.PolynomialAction((2, 4)), likelihood="exact", engine="importance", seed=1))
    assert made.pareto_k is not None and made.pareto_k < PARETO_K and made.engine.markov
