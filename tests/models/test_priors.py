"""Priors: log densities against SciPy, NumPyro's sites against the formula, draws against both."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from numpyro import handlers
from numpyro.infer.util import log_density

from hamlearn.errors import HamlearnError
from hamlearn.models import Horseshoe, Laplace, Normal, SpikeSlab
from hamlearn.models.priors import as_prior, prior_from_dict, prior_to_dict
from statistics_budget import assert_within, spend

# A new prior adds one line.
PRIORS = {
    "normal": lambda: Normal(0.7),
    "laplace": lambda: Laplace(0.4),
    "horseshoe": lambda: Horseshoe(0.2, 1.5),
    "spike_slab": lambda: SpikeSlab(0.3, 0.25, common=False),
}
THETA = np.array([-1.3, 0.2, 0.0, 2.5])


@pytest.mark.parametrize("name", PRIORS)
def test_contract(name):
    prior = PRIORS[name]()
    assert prior.name == name
    assert prior_from_dict(json.loads(json.dumps(prior_to_dict(prior)))) == prior
    assert type(as_prior(name)) is type(prior) and as_prior(prior) is prior
    draws = prior.draw(5, np.random.default_rng(0))
    assert draws.shape == (5,) and np.all(np.isfinite(draws))
    np.testing.assert_array_equal(draws, prior.draw(5, np.random.default_rng(0)))


def test_normal_derivatives_against_scipy_and_finite_differences():
    prior, step = Normal(0.7), 1e-5
    exact = lambda theta: scipy.stats.norm.logpdf(theta, scale=0.7).sum()
    value, slope, penalty = prior.derivatives(THETA)
    assert value - prior.derivatives(np.zeros(4))[0] == pytest.approx(exact(THETA) - exact(np.zeros(4)))
    for k, unit in enumerate(np.eye(4)):
        assert slope[k] == pytest.approx((exact(THETA + step * unit) - exact(THETA - step * unit)) / (2 * step), abs=1e-6)
        second = (exact(THETA + 1e-3 * unit) - 2 * exact(THETA) + exact(THETA - 1e-3 * unit)) / 1e-6
        assert penalty[k] == pytest.approx(-second, rel=1e-5)


def numpyro_log_density(prior, values):
    with jax.enable_x64(True):
        values = {key: jnp.asarray(value) for key, value in values.items()}
        return float(log_density(lambda: prior.sample("J", 4), (), {}, values)[0])


def test_numpyro_sites_against_scipy():
    assert numpyro_log_density(Normal(0.7), {"J": THETA}) == pytest.approx(scipy.stats.norm.logpdf(THETA, scale=0.7).sum())
    assert numpyro_log_density(Laplace(0.4), {"J": THETA}) == pytest.approx(scipy.stats.laplace.logpdf(THETA, scale=0.4).sum())


def test_the_horseshoe_is_piironen_and_vehtaris():
    prior = Horseshoe(0.2, 1.5)
    tau, local, unit = 0.35, np.array([0.1, 1.0, 5.0, 80.0]), np.array([-1.0, 0.5, 2.0, 1.2])
    values = {"J_tau": tau, "J_lambda": local, "J_z": unit}
    expected = (
        scipy.stats.halfcauchy.logpdf(tau, scale=0.2) + scipy.stats.halfcauchy.logpdf(local).sum() + scipy.stats.norm.logpdf(unit).sum()
    )
    assert numpyro_log_density(prior, values) == pytest.approx(expected)
    with jax.enable_x64(True):
        model = handlers.substitute(lambda: prior.sample("J", 4), {key: jnp.asarray(value) for key, value in values.items()})
        couplings = np.asarray(handlers.trace(handlers.seed(model, 0)).get_trace()["J"]["value"])
    regular = np.sqrt(1.5**2 * local**2 / (1.5**2 + tau**2 * local**2))
    np.testing.assert_allclose(couplings, unit * tau * regular)
    assert abs(couplings[3]) < 1.5 * abs(unit[3]), "the slab bounds what is really there"


def many(prior, n=4000):
    """Independent draws: one coupling from each of `n` vectors, which share their global scale."""
    generator = np.random.default_rng(11)
    return np.array([prior.draw(1, generator)[0] for _ in range(n)])


@pytest.mark.parametrize(("prior", "law"), [(Normal(0.7), scipy.stats.norm(scale=0.7)), (Laplace(0.4), scipy.stats.laplace(scale=0.4))])
def test_draws_follow_scipys_law(prior, law):
    assert scipy.stats.kstest(many(prior), law.cdf).pvalue > spend()


def test_horseshoe_draws_follow_numpyros():
    prior = Horseshoe(0.2, 1.5)

    def one(key):
        return handlers.seed(lambda: prior.sample("J", 1), key)()[0]

    theirs = np.asarray(jax.vmap(one)(jax.random.split(jax.random.key(3), 4000)))
    assert scipy.stats.ks_2samp(many(prior), theirs).pvalue > spend()


def test_spike_slab_draws_are_zero_as_often_as_said():
    draws = many(SpikeSlab(0.3, 0.25, common=False))
    assert_within(np.mean(draws != 0), 0.25, np.sqrt(0.25 * 0.75 / len(draws)), "inclusion")
    there = draws[draws != 0]
    # Normal with a half-Cauchy width: P(J < x) = ∫ Φ(x/s) 2A / (π (s² + A²)) ds, by a fine grid of quantiles of s.
    widths = 0.3 * np.tan(np.pi / 2 * (np.arange(20000) + 0.5) / 20000)
    cdf = lambda x: np.array([scipy.stats.norm.cdf(value / widths).mean() for value in np.atleast_1d(x)])
    assert scipy.stats.kstest(there, cdf).pvalue > spend()


def test_spike_slab_couplings_of_one_draw_share_a_magnitude():
    """Their relative spread: 0.76 for zero-centred normals, about s/μ ~ 0.15 in the median with a learned magnitude."""
    generator = np.random.default_rng(4)

    def spread(prior):
        draws = [prior.draw(100, generator) for _ in range(101)]
        there = [np.abs(draw[draw != 0]) for draw in draws]
        assert all(0 < np.mean(draw[draw != 0] > 0) < 1 for draw in draws), "either sign"
        return np.median([values.std() / values.mean() for values in there])

    assert spread(SpikeSlab(0.5, 0.9, common=True)) < 0.3
    assert spread(SpikeSlab(0.5, 0.9, common=False)) == pytest.approx(np.sqrt(np.pi / 2 - 1), abs=0.05)
    draws = [SpikeSlab(1e-3, 0.9, common=0.3).draw(100, generator) for _ in range(400)]
    shared = np.mean([np.abs(draw[draw != 0]).std() < 0.65 * np.abs(draw[draw != 0]).mean() for draw in draws])
    assert 0.15 < shared < 0.35, "three of ten share a magnitude, some of them with a width beyond it"


MISTAKES = {
    "negative scale": (lambda: Normal(-1.0), "Normal prior: scale must be a finite number > 0; got -1.0"),
    "infinite scale": (lambda: Laplace(np.inf), "Laplace prior: scale must be a finite number > 0"),
    "zero slab": (lambda: Horseshoe(0.1, 0.0), "Horseshoe prior: slab must be a finite number > 0"),
    "NaN": (lambda: Horseshoe(np.nan), "Horseshoe prior: global_scale must be a finite"),
    "slab": (lambda: SpikeSlab(0.0), "SpikeSlab prior: slab must be a finite number > 0"),
    "infinite slab": (lambda: SpikeSlab(np.inf), "SpikeSlab prior: slab must be"),
    "impossible share": (lambda: SpikeSlab(common=1.5), "common is a probability from 0 to 1"),
    "certain inclusion": (lambda: SpikeSlab(inclusion=1.0), "inclusion, a probability"),
    "unknown": (lambda: prior_from_dict({"name": "norma"}), "Did you mean 'normal'"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


@pytest.mark.parametrize("family", ["kl_divergence", "constraints", "distribution", "__loader__", "biject_to", None, 3])
def test_a_file_names_distributions_of_numpyro_and_nothing_else(family):
    with pytest.raises(HamlearnError, match="NumPyro has no distribution"):
        prior_from_dict({"name": "distribution", "family": family, "arguments": {}})
