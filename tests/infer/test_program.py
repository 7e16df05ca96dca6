"""The posterior as a NumPyro program: against quadrature, with a user's kernel, priors of any kind, and the way back."""

import arviz_stats
import blackjax
import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro.infer import MCMC, NUTS

import hamlearn as hl
from hamlearn import statistics
from hamlearn.infer import posteriors
from hamlearn.infer.provenance import EngineUsed
from hamlearn.systems import lattice
from statistics_budget import assert_within

SQUARE = lattice.hypercubic((3, 3))
BETA, ROWS = 0.4, 400


@pytest.fixture(scope="module")
def data():
    return hl.simulate(hl.systems.Ising((3, 3)), beta=BETA, draws=ROWS, chains=1, seed=3)


def tied(prior):
    return hl.models.Couplings(SQUARE, tie="uniform", fields=None, prior=prior)


def by_quadrature(data, log_prior):
    """Mean and sd of one tied coupling: all 512 states, a fine grid, no code of the library's inference."""
    states = 2 * ((np.arange(512)[:, None] >> np.arange(9)) & 1) - 1
    pairs = lambda s: sum((s * np.roll(s, -1, axis)).sum((1, 2)) for axis in (1, 2))
    every, seen = pairs(states.reshape(-1, 3, 3)), pairs(data["state"].values[0].astype(int)).sum()
    grid = np.linspace(-1.0, 4.0, 20_001)
    log_z = np.array([np.logaddexp.reduce(BETA * J * every) for J in grid])
    log_p = BETA * grid * seen - ROWS * log_z + log_prior(grid)
    p = np.exp(log_p - log_p.max())
    mean = (p * grid).sum() / p.sum()
    return mean, np.sqrt((p * (grid - mean) ** 2).sum() / p.sum()), grid, log_p


def sampled(program, draws=1500):
    with jax.enable_x64(True):
        mcmc = MCMC(NUTS(program.model), num_warmup=300, num_samples=draws, num_chains=1, progress_bar=False)
        mcmc.run(jax.random.key(1))
    return mcmc


def test_a_users_kernel_gives_the_posterior_of_quadrature(data, tmp_path):
    """A Student t prior with its own centre, which nothing but NUTS can treat."""
    prior = dist.StudentT(3.0, 2.0, 0.2)
    program = hl.infer.program(data, tied(prior))
    mcmc = sampled(program)
    post = hl.from_samples(mcmc, program, check=False)
    J = post["posterior"]["J"].values[0, :, 0]
    mean, sd, grid, log_p = by_quadrature(data, scipy.stats.t(3, 2.0, 0.2).logpdf)
    ess = len(J) / max(1.0, float(statistics.integrated_autocorrelation_time(J[None])))
    assert_within(J.mean(), mean, sd / np.sqrt(ess), "posterior mean of a user's NUTS")
    assert J.std() == pytest.approx(sd, rel=0.15)
    with jax.enable_x64(True):
        density = [float(program.log_density(np.array([value]))) for value in (0.5, 1.0, 1.5)]
    expected = np.interp((0.5, 1.0, 1.5), grid, log_p)
    np.testing.assert_allclose(np.diff(density), np.diff(expected), rtol=1e-6)

    record = hl.infer.provenance(post)
    assert record.engine == EngineUsed("external", {"sampler": "NumPyro NUTS", "draws": 1500, "chains": 1}, markov=True)
    assert record.convergence.divergences is not None
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert "StudentT(df=3, loc=2, scale=0.2)" in repr(hl.infer.posteriors.model_of(loaded).prior)
    curve = hl.predict(loaded, beta=[0.4], draws=8)
    assert np.isfinite(curve["energy"].sel(quantity="mean")).all()
    assert "<html" in hl.report(loaded, tmp_path / "page.html", prediction=curve).read_text()


def test_learn_takes_the_same_prior(data):
    """The whole loop with a distribution of NumPyro's as prior; the engine says why it is NUTS."""
    post = hl.learn(data, tied(dist.StudentT(3.0, 2.0, 0.2)), engine=hl.infer.NUTS(draws=500, chains=2, warmup=200), check=False, seed=1)
    J = post["posterior"]["J"].values[..., 0]
    mean, sd, *_ = by_quadrature(data, scipy.stats.t(3, 2.0, 0.2).logpdf)
    ess = J.size / max(1.0, float(statistics.integrated_autocorrelation_time(J)))
    assert_within(J.mean(), mean, sd / np.sqrt(ess), "posterior mean under a Student t prior")


def test_a_prior_with_a_parameter_of_its_own(data):
    """J ~ N(0, w²), w ~ HalfNormal(2): the width is a site of the program."""
    prior = hl.models.Distribution(lambda: dist.Normal(0.0, numpyro.sample("width", dist.HalfNormal(2.0))))
    program = hl.infer.program(data, tied(prior))
    mcmc = sampled(program, 600)
    found = {name: np.asarray(values)[0] for name, values in mcmc.get_samples(group_by_chain=True).items()}
    assert found["width"].min() > 0
    with pytest.raises(hl.HamlearnError, match="bounds or parameters of its own"), jax.enable_x64(True):
        program.log_density(np.array([1.0]))
    widths = np.linspace(1e-3, 12, 4000)
    weight = lambda J: np.log((scipy.stats.norm.pdf(np.asarray(J)[:, None], 0, widths) * scipy.stats.halfnorm.pdf(widths, scale=2)).sum(1))
    J = found["J"][:, 0]
    mean, sd, *_ = by_quadrature(data, lambda grid: np.concatenate([weight(part) for part in np.array_split(grid, 40)]))
    ess = len(J) / max(1.0, float(statistics.integrated_autocorrelation_time(J[None])))
    assert_within(J.mean(), mean, sd / np.sqrt(ess), "posterior mean under a prior whose width is learned")


def test_learn_keeps_what_a_prior_learns_besides(data, tmp_path):
    """The width is in the posterior as NumPyro has it, in tables and files, and in the judgement of chains."""
    prior = hl.models.Distribution(lambda: dist.Normal(0.0, numpyro.sample("width", dist.HalfNormal(2.0))))
    engine = hl.infer.NUTS(draws=400, chains=2, warmup=200)
    post = hl.learn(data, tied(prior), engine=engine, check=False, seed=1)
    width = post["posterior"]["width"]
    assert width.dims == ("chain", "draw") and float(width.min()) > 0
    # p(w | J) alone, for every drawn J, by quadrature: w is drawn from it where J is.
    grid, J = np.linspace(1e-3, 12, 4000), post["posterior"]["J"].values[..., 0]
    given = scipy.stats.norm.pdf(J[..., None], 0, grid) * scipy.stats.halfnorm.pdf(grid, scale=2)
    expected = (given * grid).sum(-1) / given.sum(-1)
    ess = width.size / max(1.0, float(statistics.integrated_autocorrelation_time(width.values)))
    assert_within(float((width - expected).mean()), 0.0, float((width - expected).std()) / np.sqrt(ess), "width given the coupling")

    again = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert "width" in hl.diagnostics.summary(again).index and "width" in arviz_stats.summary(again).index
    assert hl.diagnostics.convergence(again)["judged"] == 2

    program = hl.infer.program(data, tied(prior))
    outside = {"J": post["posterior"]["J"].values[..., :1], "width": width.values, "else": width.values}
    back = hl.infer.from_samples(outside, program)["posterior"]
    assert np.array_equal(back["width"], width) and "else" not in back
    with pytest.raises(hl.HamlearnError, match="2 × 400 draws"):
        hl.infer.from_samples({**outside, "width": width.values[:, :3]}, program)
    taken = hl.models.Distribution(lambda: dist.Normal(0.0, numpyro.sample("h", dist.HalfNormal(2.0))))
    with pytest.raises(hl.HamlearnError, match="called 'h', which posteriors have another meaning for"):
        hl.learn(data, tied(taken), engine=engine, check=False)


def test_draws_by_site_in_any_container(data):
    program = hl.infer.program(data, hl.models.Couplings(SQUARE))
    assert (len(program.parameter_names), program.optimum.shape, program.covariance.shape) == (27, (27,), (27, 27))
    theta = np.random.default_rng(0).multivariate_normal(program.optimum, program.covariance, size=(2, 30))
    first = hl.from_samples({"theta": theta}, program, check=False)
    sites = {"J": theta[..., :18], "h": theta[..., 18:]}
    assert hl.from_samples(sites, program, check=False)["posterior"].to_dataset().equals(first["posterior"].to_dataset())
    tree = hl.infer.from_samples(first.copy(), program)  # its variables over bonds are those of the sites
    assert tree["posterior"].to_dataset().equals(first["posterior"].to_dataset())
    one = hl.from_samples({"theta": theta[0]}, program, check=False)
    assert one["posterior"].sizes["chain"] == 1


def test_independent_draws_are_no_chains(data):
    """Those of a guide: R̂ and effective draws of chains that were never run are not asked for."""
    program = hl.infer.program(data, hl.models.Couplings(SQUARE))
    theta = np.random.default_rng(0).multivariate_normal(program.optimum, program.covariance, size=(2, 30))
    chains, guide = (hl.from_samples({"theta": theta}, program, independent=one, check=False) for one in (False, True))
    judged = [posteriors.provenance_of(one).convergence for one in (chains, guide)]
    assert judged[0].max_rhat > 1 and judged[0].sampled and not judged[1].sampled
    assert ["effective sample size" in str(hl.verdict(one)) for one in (chains, guide)] == [True, False]
    with pytest.raises(hl.HamlearnError, match="independent"):
        hl.from_samples({"theta": theta}, program, independent="yes")


def test_single_precision_is_refused_by_name(data):
    program = hl.infer.program(data, tied(None))
    with pytest.raises(hl.HamlearnError, match="enable_x64"):
        numpyro.handlers.seed(program.model, rng_seed=0)()
    with pytest.raises(hl.HamlearnError, match="enable_x64"):
        program.log_density(np.array([1.0]))


MISTAKES = {
    "not run": (lambda program: MCMC(NUTS(program.model), num_warmup=1, num_samples=1), "call mcmc.run"),
    "no site": (lambda program: {"x": np.ones((2, 3, 1))}, "no site 'J'"),
    "shape": (lambda program: {"theta": np.ones((2, 3, 5))}, r"needs the shape \(chain, draw, 1\)"),
    "text": (lambda program: {"theta": np.full((2, 3, 1), "1.0")}, "draws of site 'theta' must be real numbers; got str"),
    "nan": (lambda program: {"theta": np.full((2, 3, 1), np.nan)}, "6 of 6 values of site 'theta' are not finite"),
    "number": (lambda program: 3, "samples are a numpyro.infer.MCMC"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name, data):
    program = hl.infer.program(data, tied(None))
    samples, words = MISTAKES[name]
    with pytest.raises(hl.HamlearnError, match=words):
        hl.from_samples(samples(program), program)
    with pytest.raises(hl.HamlearnError, match=r"program is what hl\.infer\.program"):
        hl.from_samples(samples(program), program.model)


def test_what_is_no_prior_is_named(data):
    with pytest.raises(hl.HamlearnError, match="has axes"):
        tied(dist.Normal(np.zeros(3), 1.0))
    with pytest.raises(hl.HamlearnError, match="does not go with prior 'distribution'"):
        hl.learn(data, tied(dist.Cauchy(0.0, 1.0)), engine="laplace")
    with pytest.raises(hl.HamlearnError, match="does not go with prior 'spike_slab'"):
        hl.infer.program(data, tied("spike_slab"))
    with pytest.raises(hl.HamlearnError, match="no distribution"):
        hl.models.Distribution.from_dict({"name": "distribution", "family": "os", "arguments": {}})


def test_blackjax_on_the_log_density_agrees(data):
    """Another implementation of NUTS, on the exported density: the posterior of quadrature, as ours."""
    prior = dist.StudentT(3.0, 2.0, 0.2)
    program = hl.infer.program(data, tied(prior))
    mean, sd, *_ = by_quadrature(data, scipy.stats.t(3, 2.0, 0.2).logpdf)
    with jax.enable_x64(True):
        kernel = blackjax.nuts(program.log_density, step_size=0.8, inverse_mass_matrix=np.diag(program.covariance))
        step = jax.jit(lambda state, key: (lambda found: (found[0], found[0].position))(kernel.step(key, state)))
        _, draws = jax.lax.scan(step, kernel.init(jax.numpy.asarray(program.optimum)), jax.random.split(jax.random.key(5), 3000))
        J = np.asarray(draws)[500:, 0]
    ess = len(J) / max(1.0, float(statistics.integrated_autocorrelation_time(J[None])))
    assert_within(J.mean(), mean, sd / np.sqrt(ess), "posterior mean of BlackJAX's NUTS on the exported density")
    assert J.std() == pytest.approx(sd, rel=0.15)
    post = hl.from_samples({"theta": J[None, :, None]}, program, check=False)
    np.testing.assert_array_equal(post["posterior"]["J"].values[0, :, 0], J)


GIVEN = {
    "right": (lambda m, u: m + u, None),
    "of another sign": (lambda m, u: -m - u, "draws off"),
    "of another data set": (lambda m, u: m + u + 3 * u.std((0, 1)), "draws off"),
    "too narrow": (lambda m, u: m + u / 4, "draws of another width"),
    "all alike": (lambda m, u: m + 0 * u, "draws of another width"),
    "too wide": (lambda m, u: m + 3 * u, "draws of another width"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_draws_of_something_else_are_not_believed(name, data):
    """Stein's identities, on draws of a normal approximation that is good here."""
    change, code = GIVEN[name]
    program = hl.infer.program(data, hl.models.Couplings(SQUARE, fields=None), likelihood="pseudo")
    around = np.random.default_rng(0).multivariate_normal(np.zeros(18), program.covariance, size=(4, 500))
    post = hl.from_samples({"J": change(program.optimum, around)}, program, check=False)
    found = {one.code: one.severity for one in hl.infer.provenance(post).findings}
    if code is None:
        assert not [one for one in found if one.startswith("draws")]
    else:
        assert found[code] == "serious" and hl.verdict(post).level == "do not believe"


def test_draws_that_cannot_be_compared_are_said_to_be(data):
    """A half-normal prior: arrays may be of anything."""
    program = hl.infer.program(data, tied(dist.HalfNormal(2.0)))
    post = hl.from_samples({"J": np.abs(np.random.default_rng(0).normal(1.0, 0.1, (4, 500, 1)))}, program, check=False)
    assert [(one.code, one.severity) for one in hl.infer.provenance(post).findings] == [("draws not compared", "caution")]
    assert [one for one in hl.verdict(post).reasons if "not compared" in one.what and "from_samples(mcmc, program)" in one.advice]
    with jax.enable_x64(True):
        mcmc = MCMC(NUTS(program.model), num_warmup=100, num_samples=100, num_chains=1, progress_bar=False)
        mcmc.run(jax.random.key(0))
    own = [one for one in hl.verdict(hl.from_samples(mcmc, program, check=False)).reasons if "program's density" in one.what]
    assert [(one.severity, one.advice) for one in own] == [("note", "")], "the sampler itself was given"
