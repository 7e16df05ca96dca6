"""Programs inside programs of a user's own: plates, scopes, scales and substitutions, against sums written by hand."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro import handlers
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density

import hamlearn as hl
from hamlearn.systems import lattice
from statistics_budget import assert_within

SQUARE = lattice.hypercubic((2, 2), periodic=False)
BETA = 0.6
STATES = 2 * ((np.arange(16)[:, None] >> np.arange(4)) & 1) - 1
PAIRS = STATES[:, SQUARE.bonds[:, 0]] * STATES[:, SQUARE.bonds[:, 1]]


def by_hand(data, J):
    """ln p of all rows by the 16 states, no code of the library's inference."""
    rows = data["state"].values.reshape(-1, 4).astype(int)
    seen = (rows[:, SQUARE.bonds[:, 0]] * rows[:, SQUARE.bonds[:, 1]]).sum(0)
    return BETA * seen @ J - len(rows) * np.logaddexp.reduce(BETA * PAIRS @ J)


@pytest.fixture(scope="module")
def groups():
    worlds = [hl.systems.Ising((2, 2), J=J, periodic=False) for J in (0.4, 0.7, 1.0)]
    return [hl.simulate(world, beta=BETA, draws=150, chains=1, seed=k) for k, world in enumerate(worlds)]


@pytest.fixture(scope="module")
def programs(groups):
    model = hl.models.Couplings(SQUARE, fields=None, prior=dist.Normal(0.0, 2.0))
    return [hl.infer.program(data, model, calibrate=False) for data in groups]


def hierarchy(likelihoods):
    """Three groups whose couplings share a mean and a width."""
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    width = numpyro.sample("width", dist.HalfNormal(0.5))
    with numpyro.plate("group", len(likelihoods)):
        J = numpyro.sample("J", dist.Normal(mean, width).expand([4]).to_event(1))
        numpyro.factor("data", jax.numpy.stack([one(own) for one, own in zip(likelihoods, J, strict=True)]))


def value(model, *arguments, **sites):
    with jax.enable_x64(True):
        return float(log_density(model, arguments, {}, {name: np.asarray(site) for name, site in sites.items()})[0])


def test_a_hierarchy_is_the_sum_of_its_parts(groups, programs):
    J = np.random.default_rng(0).normal(0.7, 0.3, (3, 4))
    found = value(hierarchy, [one.log_likelihood for one in programs], mean=0.6, width=0.4, J=J)
    expected = sum(by_hand(data, own) for data, own in zip(groups, J, strict=True)) + scipy.stats.norm.logpdf(J, 0.6, 0.4).sum()
    expected += scipy.stats.norm.logpdf(0.6) + scipy.stats.halfnorm.logpdf(0.4, scale=0.5)
    assert found == pytest.approx(expected, rel=1e-9)


def by_width(likelihoods):
    """The same in coordinates that NUTS likes, with priors that truths can be drawn from."""
    mean, width = numpyro.sample("mean", dist.Normal(0.5, 0.3)), numpyro.sample("width", dist.HalfNormal(0.4))
    with numpyro.plate("group", 3):
        z = numpyro.sample("z", dist.Normal().expand([4]).to_event(1))
        J = numpyro.deterministic("J", mean + width * z)
        numpyro.factor("data", jax.numpy.stack([one(own) for one, own in zip(likelihoods, J, strict=True)]))


@pytest.mark.slow
def test_three_groups_cover():
    """Truths drawn from the prior are in nine of ten equal-tailed 90 % intervals, by data set; data by listing 16 states."""
    model, repetitions, inside = hl.models.Couplings(SQUARE, fields=None), 40, []

    @jax.jit
    def sampled(key, likelihoods):
        mcmc = MCMC(NUTS(by_width, target_accept_prob=0.95), num_warmup=300, num_samples=400, progress_bar=False)
        mcmc.run(key, likelihoods)
        return mcmc.get_samples()

    for index in range(repetitions):
        generator = np.random.default_rng(index)
        mean, width = generator.normal(0.5, 0.3), abs(generator.normal(0, 0.4))
        J, likelihoods = generator.normal(mean, width, (3, 4)), []
        for own in J:
            log_p = BETA * PAIRS @ own
            rows = STATES[generator.choice(16, 150, p=np.exp(log_p - np.logaddexp.reduce(log_p)))].reshape(-1, 2, 2)
            data = hl.microstates(rows, space="spins", beta=BETA).assign_attrs(independent=1)
            likelihoods.append(hl.infer.program(data, model, likelihood="exact").log_likelihood)
        with jax.enable_x64(True):
            draws = sampled(jax.random.key(index), likelihoods)
        low, high = np.quantile(np.asarray(draws["J"]), [0.05, 0.95], axis=0)
        inside.append(np.mean((low < J) & (high > J)))
    assert_within(np.mean(inside), 0.9, np.std(inside, ddof=1) / np.sqrt(repetitions), "coverage of three groups by hand")


def test_programs_beside_each_other_under_their_scopes(groups, programs):
    def both():
        handlers.scope(programs[0].model, "one")()
        handlers.scope(programs[1].model, "two")()

    one, two = np.full(4, 0.3), np.full(4, 0.9)
    prior = scipy.stats.norm.logpdf([one, two], 0, 2).sum()
    assert value(both, **{"one/J": one, "two/J": two}) == pytest.approx(by_hand(groups[0], one) + by_hand(groups[1], two) + prior, rel=1e-9)


def test_handlers_do_what_they_do_to_any_model(groups, programs):
    J, program = np.array([0.1, 0.5, 0.9, 1.3]), programs[0]
    whole = by_hand(groups[0], J) + scipy.stats.norm.logpdf(J, 0, 2).sum()
    assert value(program.model, J=J) == pytest.approx(whole, rel=1e-9)
    assert value(handlers.scale(program.model, 0.25), J=J) == pytest.approx(whole / 4, rel=1e-9)
    with jax.enable_x64(True):
        trace = handlers.trace(handlers.seed(handlers.substitute(program.model, {"J": J}), 0)).get_trace()
        assert [name for name, site in trace.items() if site["type"] == "sample"] == ["J", "likelihood"]
        np.testing.assert_array_equal(trace["theta"]["value"], J)
        drawn = handlers.trace(handlers.seed(program.model, 3)).get_trace()["J"]["value"]
    assert drawn.shape == (4,) and np.asarray(drawn).std() > 0

    def plated():
        with numpyro.plate("copy", 4, subsample_size=2):
            program.model()

    two = np.stack([J, J[::-1]])
    each = [by_hand(groups[0], one) + scipy.stats.norm.logpdf(one, 0, 2).sum() for one in two]
    with jax.enable_x64(True):
        seeded = handlers.seed(plated, 0)
    assert value(seeded, J=two) == pytest.approx(2 * sum(each), rel=1e-9)  # two of four groups stand for all


@pytest.mark.parametrize("prior", ["normal", "laplace", "horseshoe"])
def test_every_prior_may_be_under_a_plate(groups, prior):
    program = hl.infer.program(groups[0], hl.models.Couplings(SQUARE, fields="site", prior=prior))

    def plated():
        with numpyro.plate("group", 3):
            program.model()

    with jax.enable_x64(True):
        trace = handlers.trace(handlers.seed(plated, 0)).get_trace()
        expected = [float(program.log_likelihood(theta)) for theta in trace["theta"]["value"]]
    assert trace["theta"]["value"].shape == (3, 8)
    np.testing.assert_allclose(trace["likelihood"]["fn"].log_factor, expected, rtol=1e-9)


def test_groups_of_a_prior_with_parameters_of_its_own_are_refused_in_words(groups):
    prior = hl.models.Distribution(lambda: dist.Normal(0.0, numpyro.sample("width", dist.HalfNormal(2.0))))
    program = hl.infer.program(groups[0], hl.models.Couplings(SQUARE, fields=None, prior=prior))
    with pytest.raises(hl.HamlearnError, match="outside of the plate"), jax.enable_x64(True), numpyro.plate("group", 3):
        handlers.seed(program.model, 0)()


def test_a_groups_draws_come_back_as_a_posterior(programs):
    draws = np.random.default_rng(1).normal(0.7, 0.1, (2, 40, 3, 4))
    posts = [hl.from_samples({"J": draws[:, :, k]}, program, check=False) for k, program in enumerate(programs)]
    np.testing.assert_array_equal(posts[1]["posterior"]["J"].values, draws[:, :, 1])


def test_single_precision_is_refused_by_name(programs):
    with pytest.raises(hl.HamlearnError, match="this program's likelihood needs double precision"):
        programs[0].log_likelihood(np.ones(4))
