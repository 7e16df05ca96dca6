"""`learn`, from microstates to a posterior: every engine on every likelihood, what is chosen, refused and recorded."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.stats
from infer import oracles

from hamlearn.data import microstates
from hamlearn.errors import HamlearnError
from hamlearn.infer import choose, learn, posteriors
from hamlearn.infer.observations import bind
from hamlearn.infer.settings import MAP, MLE, NUTS, Gibbs, LaplaceApproximation, as_engine
from hamlearn.models import Couplings, Horseshoe, Laplace, Normal, SpikeSlab
from hamlearn.systems import lattice
from statistics_budget import assert_within

N = 4
PAIRS = np.stack(np.triu_indices(N, 1), 1)
J = np.array([0.5, -0.4, 0.0, 0.6, 0.0, 0.2])
H = np.array([0.2, -0.1, 0.0, 0.3])
TRUTH = np.concatenate([J, H])
BETA = 0.8
DATA = microstates(oracles.exact_draws(PAIRS, J, H, BETA, N, 4000, seed=1), beta=BETA)

# A new engine adds one line: settings small enough for a test, and a prior it takes.
ENGINES = {
    "mle": (MLE(draws=200, chains=2), None),
    "map": (MAP(draws=200, chains=2), None),
    "laplace": (LaplaceApproximation(draws=200, chains=2), Normal(2.0)),
    "nuts": (NUTS(draws=60, chains=2, warmup=60), Normal(2.0)),
    "gibbs": (Gibbs(draws=200, chains=2, warmup=100), SpikeSlab()),
}
# A new likelihood adds one line: whether it is composite.
LIKELIHOODS = {"exact": False, "pseudo": True, "screening": True, "logrise": True}


def draws_of(post):
    return posteriors.theta_draws(post).reshape(-1, posteriors.bound_of(post).n_params)


@pytest.mark.parametrize(
    ("engine", "likelihood"),
    [
        # NUTS compiles for seconds every time; screening differs from pseudo by one function.
        pytest.param(engine, name, marks=[pytest.mark.slow] if engine == "nuts" and name in ("screening", "logrise") else [])
        for engine in ENGINES
        for name in LIKELIHOODS
    ],
)
def test_every_engine_takes_every_likelihood(engine, likelihood):
    settings, prior = ENGINES[engine]
    post = learn(DATA, Couplings(None, prior=prior), likelihood=likelihood, engine=settings, seed=3)
    group = post["posterior"]
    assert group["J"].dims == ("chain", "draw", "bond") and group["J"].shape == (2, settings.draws, 6)
    assert group["h"].dims == ("chain", "draw", "site") and group["h"].shape == (2, settings.draws, N)
    assert group["J"].dtype == np.float64
    np.testing.assert_array_equal(np.stack([post["constant_data"]["site_i"], post["constant_data"]["site_j"]], 1), PAIRS)
    theta = draws_of(post)
    assert np.all(np.isfinite(theta)) and np.all(theta.std(0)[TRUTH != 0] > 0)
    # A sane answer: the truth within six posterior widths, and widths of the order of 1/(β √M).
    width = np.maximum(theta.std(0), 0.3 / np.sqrt(4000))
    assert np.all(np.abs(theta.mean(0) - TRUTH) < 6 * width)
    assert np.all(theta.std(0) < 10 / np.sqrt(4000))
    assert post["point"]["J"].dims == ("bond",) and post["point"]["h"].dims == ("site",)
    assert np.all(np.abs(post["point"]["J"] - J) < 0.3)
    record = posteriors.provenance_of(post)
    assert record.engine.name == engine and record.engine.settings["draws"] == settings.draws
    assert record.likelihood == {"screening": "rise"}.get(likelihood, likelihood)
    assert record.composite is LIKELIHOODS[likelihood]
    assert record.calibration.adjusted is LIKELIHOODS[likelihood] or engine == "gibbs"
    assert record.seed == 3 and record.n_params == 10 and record.microstates == 4000
    assert ("sample_stats" in post) == (engine == "nuts")
    if engine == "nuts":
        stats = post["sample_stats"]
        assert {"diverging", "n_steps", "acceptance_rate", "energy", "step_size"} <= set(stats.data_vars)
        assert all(stats[name].dims == ("chain", "draw") for name in stats.data_vars)
        assert not stats["diverging"].any()
    if engine == "gibbs":
        assert group["included"].dims == ("chain", "draw", "bond")
        np.testing.assert_array_equal(group["included"] == 1, group["J"] != 0)
        assert group["inclusion_probability"].dims == group["slab_width"].dims == group["slab_magnitude"].dims == ("chain", "draw")


TORUS = lattice.hypercubic((3, 3))
SPINS33 = microstates(np.random.default_rng(0).choice([-1, 1], (2, 150, 3, 3)), beta=0.5, dims=("chain", "draw", "x", "y"))
STATES33 = microstates(np.random.default_rng(0).integers(0, 3, (300, 3, 3)), "states", 0.5)

# A new family adds one line: (data, model, shape of J without chain and draw, shape of h or None).
FAMILIES = {
    "bonds": (SPINS33, lambda: Couplings(TORUS), (18,), (9,)),
    "tied": (SPINS33, lambda: Couplings(TORUS, "uniform", "uniform"), (18,), (9,)),
    "tied, no field": (SPINS33, lambda: Couplings(TORUS, "uniform", None), (18,), None),
    "by distance": (SPINS33, lambda: Couplings(TORUS.pairs_within(1.5), "distance", None), (36,), None),
    "all pairs": (SPINS33, lambda: Couplings(None, fields="uniform"), (36,), (9,)),
    "clock": (STATES33, lambda: Couplings(TORUS, interaction="clock"), (18,), (9, 3)),
    "potts, tied": (STATES33, lambda: Couplings(TORUS, "uniform", None, interaction="potts"), (18,), None),
    "ordinal": (STATES33, lambda: Couplings(TORUS, interaction="ordinal"), (18,), (9, 3)),
    "general, tied": (STATES33, lambda: Couplings(TORUS, "uniform", "uniform"), (18, 3, 3), (9, 3)),
}


@pytest.mark.parametrize(("data", "model", "J_shape", "h_shape"), FAMILIES.values(), ids=FAMILIES)
def test_the_posterior_is_expanded_per_bond_and_site(data, model, J_shape, h_shape):
    post = learn(data, model(), likelihood="pseudo", engine=LaplaceApproximation(draws=20, chains=3))
    group, bound = post["posterior"], posteriors.bound_of(post)
    assert group["J"].shape == (3, 20, *J_shape)
    assert group["J"].dims == ("chain", "draw", "bond", "state_i", "state_j")[: 2 + len(J_shape)]
    assert ("h" in group) == (h_shape is not None)
    if h_shape is not None:
        assert group["h"].shape == (3, 20, *h_shape) and group["h"].dims == ("chain", "draw", "site", "state")[: 2 + len(h_shape)]
    np.testing.assert_array_equal(np.stack([post["constant_data"]["site_i"], post["constant_data"]["site_j"]], 1), bound.lattice.bonds)
    if bound.model.tie == "uniform":
        np.testing.assert_array_equal(group["J"].values, np.broadcast_to(group["J"].values[:, :, :1], group["J"].shape))
    again = bound.values(posteriors.theta_draws(post))
    np.testing.assert_allclose(again[0], group["J"].values, atol=1e-12)
    assert all(isinstance(value, str | int | float | np.number) for value in post.attrs.values()), "NetCDF takes nothing else"
    observed = post["observed_data"]
    states = data["state"].values.reshape(-1, 9)
    values = [-1, 1] if data is SPINS33 else [0, 1, 2]
    for k, value in enumerate(values):
        np.testing.assert_allclose(observed["site_frequency"].values[0, :, k], (states == value).mean(0))
    b = bound.lattice.n_bonds - 1
    i, j = bound.lattice.bonds[b]
    for k, first in enumerate(values):
        for m, second in enumerate(values):
            joint = np.mean((states[:, i] == first) & (states[:, j] == second))
            assert observed["bond_frequency"].values[0, b, k, m] == pytest.approx(joint)
    assert observed["size"].values.tolist() == [300.0] and observed["beta"].values.tolist() == [0.5]


# --------------------------------------------------------------------------------------------- what is chosen


AUTO = {
    "small": (DATA, lambda: Couplings(None), "exact", "importance"),
    "no oracle": (
        microstates(np.random.default_rng(0).choice([-1, 1], (100, 30)), beta=0.3),
        lambda: Couplings(None, "uniform"),
        "pseudo",
        "importance",
    ),
    "many parameters": (
        microstates(np.random.default_rng(0).choice([-1, 1], (300, 46)), beta=0.3),
        lambda: Couplings(None, fields=None),
        "pseudo",
        "laplace",
    ),
    "sparse": (DATA, lambda: Couplings(None, prior="spike_slab"), "exact", "gibbs"),
    "horseshoe": (DATA, lambda: Couplings(None, prior="horseshoe"), "exact", "nuts"),
    "laplace prior": (DATA, lambda: Couplings(None, prior="laplace"), "exact", "nuts"),
}


@pytest.mark.parametrize(("data", "model", "likelihood", "engine"), AUTO.values(), ids=AUTO)
def test_auto_chooses_and_says_why(data, model, likelihood, engine):
    bound, parts, _ = bind(data, model())
    found = choose.choose(bound, parts, "auto", None)
    assert (found.likelihood.name, found.engine.name) == (likelihood, engine)
    assert any(reason.startswith(f"engine {engine}") for reason in found.reasons)
    assert any(reason.startswith(f"likelihood {likelihood}") for reason in found.reasons)
    assert 0 < found.cost.seconds < (choose.SECOND_ATTEMPT if engine == "nuts" else choose.AFFORDABLE)


def test_the_choice_and_its_cost_are_recorded():
    record = posteriors.provenance_of(learn(DATA, Couplings(None), engine="mle"))
    assert record.likelihood == "exact" and record.reasons and record.estimated_seconds > 0 and record.seconds > 0
    assert "enumeration" in record.reasons[-1] and "affordable" in record.reasons[-1]


def test_names_and_settings_of_engines():
    assert as_engine("auto") is None and as_engine("nuts") == NUTS() and as_engine(NUTS(draws=5)) == NUTS(draws=5)
    for engine in (NUTS(), Gibbs()):
        assert engine.draws == 1000 and engine.chains == 4 and engine.warmup >= 300


# -------------------------------------------------------------------------------------------- what is refused

FROZEN = oracles.exact_draws(PAIRS, J, H, BETA, N, 300, seed=1)
FROZEN[:, 2] = 1
AGREE = np.repeat(np.random.default_rng(0).choice([-1, 1], (200, 2)), 2, axis=1)


def refuse(prior, engine):
    return lambda: learn(DATA, Couplings(None, prior=prior), engine=engine)


def noise(*shape):
    return microstates(np.random.default_rng(0).choice([-1, 1], shape))


SLOW = microstates(
    oracles.heat_bath(np.zeros((8, 8)), np.zeros(8), 1.0, 2, 200, seed=0, sweeps=0.2), beta=1.0, dims=("chain", "draw", "site")
)
REFUSED = {
    "two microstates for one coupling": (
        lambda: learn(
            microstates(np.array([[1, 1, -1, -1], [1, -1, 1, 1]])),
            Couplings([[0, 1], [1, 2], [2, 3]], tie="uniform", fields=None),
            "pseudo",
        ),
        r"the number of independent microstates is 2, .*give three or more",
    ),
    "frozen site": (
        lambda: learn(microstates(FROZEN), Couplings(None), engine="mle"),
        r"site 2 never changes in the data \(frozen\): its field has.*proper prior",
    ),
    "two frozen sites": (
        lambda: learn(microstates(np.column_stack([FROZEN, -np.ones(300)])), Couplings(None), engine="mle"),
        r"sites 2, 4 never change in",
    ),
    "separable": (
        lambda: learn(microstates(AGREE), Couplings([[0, 1], [2, 3]]), engine="mle"),
        r"runs off to infinity \(J\[.* leads\).*separable",
    ),
    "separable, pseudo": (
        lambda: learn(microstates(AGREE), Couplings([[0, 1], [2, 3]]), "pseudo", "mle"),
        r"runs off to infinity \(J\[.* leads\)",
    ),
    "more parameters than data": (
        lambda: learn(microstates(np.random.default_rng(0).choice([-1, 1], (3, 12))), Couplings(None, fields=None), "pseudo", "mle"),
        "3 microstates cannot bear 66 parameters by maximum likelihood",
    ),
    "spike and slab by nuts": (
        lambda: learn(DATA, Couplings(None, prior="spike_slab"), engine="nuts"),
        "'nuts' does not go with prior 'spike_slab'",
    ),
    "spike and slab by map": (
        lambda: learn(DATA, Couplings(None, prior="spike_slab"), engine="map"),
        "'map' does not go with prior 'spike_slab'",
    ),
    "normal by gibbs": (lambda: learn(DATA, Couplings(None), engine="gibbs"), "'gibbs' does not go with prior 'normal'"),
    "horseshoe by map": (
        lambda: learn(DATA, Couplings(None, prior="horseshoe"), engine="map"),
        r"'map' does not go with prior 'horseshoe': its mode depends on the parametrisation.*nuts",
    ),
    "horseshoe by laplace": (
        lambda: learn(DATA, Couplings(None, prior="horseshoe"), engine="laplace"),
        "'laplace' does not go with prior 'horseshoe'",
    ),
    "laplace prior by laplace": (refuse("laplace", "laplace"), "mode sits on kinks"),
    "unknown likelihood": (lambda: learn(DATA, Couplings(None), likelihood="pseud"), "Did you mean 'pseudo'"),
    "unknown engine": (lambda: learn(DATA, Couplings(None), engine="nutz"), "Did you mean 'nuts'"),
    "engine of another kind": (lambda: learn(DATA, Couplings(None), engine=NUTS), "engine must be 'auto', one of"),
    "no draws": (lambda: NUTS(draws=0), "NUTS: draws must be a positive whole number; got 0"),
    "no thinning": (lambda: Gibbs(thin=0), "Gibbs: thin must be a positive whole number; got 0"),
    "parallel bonds": (
        lambda: learn(noise(300, 2), Couplings(lattice.hypercubic(2)), engine="mle"),
        r"cannot tell some parameters apart \(J\[0,1\], J\[1,0\]\).*not unique",
    ),
    "half a chain": (lambda: Gibbs(chains=1.5), "Gibbs: chains must be a positive whole number"),
    "not a model": (lambda: learn(DATA, "couplings"), "model must be one of hamlearn.models"),
    "nothing": (lambda: learn([], Couplings(None)), "the list is empty"),
    "another size": (lambda: learn(DATA, Couplings(TORUS)), "the model's graph has 9 sites"),
    "no oracle": (lambda: learn(noise(9, 40), Couplings(None), "exact", "mle"), "enumerat"),
    "uniform large torus": (
        lambda: learn(noise(99, 12, 12), Couplings(lattice.hypercubic((12, 12)), "uniform", None), "exact", "mle"),
        "Kaufman|enumerat",
    ),
    "too few batches for nuts": (
        lambda: learn(SLOW, Couplings(None), "pseudo", "nuts"),
        r"calibrated NUTS needs at least 72 independent batches for 36 parameters; the data give \d+ \(autocorrelation time",
    ),
}


@pytest.mark.parametrize(("mistake", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused_by_name(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


@pytest.mark.parametrize(
    "engine", [MAP(draws=300), LaplaceApproximation(draws=300), pytest.param(NUTS(draws=100, chains=2, warmup=150), marks=pytest.mark.slow)]
)
def test_a_proper_prior_bears_a_frozen_site(engine):
    post = learn(microstates(FROZEN, beta=BETA), Couplings(None, prior=Normal(1.0), field_prior=Normal(1.0)), engine=engine)
    record = posteriors.provenance_of(post)
    assert record.frozen_sites == record.frozen_fields == (2,) and record.optimum.finite is False
    share = np.array(record.prior_share)
    # Site 2 is always up: its field is unknown, and its couplings cannot be told from the fields of the others.
    assert share.shape == (10,) and share[8] > 0.1 and share[[1, 3, 5]].min() > 0.1
    assert share[[0, 2, 4]].max() < 0.05, "couplings between the others are known from the data"
    assert np.all(np.isfinite(draws_of(post)))


def test_auto_falls_back_where_nuts_could_not_be_calibrated():
    record = posteriors.provenance_of(learn(SLOW, Couplings(None), "pseudo"))
    assert record.engine.name == "laplace"
    assert "engine laplace: too few independent batches" in record.reasons[-1]


@pytest.mark.parametrize("engine", ["map", "laplace"])
def test_separable_data_with_a_proper_prior(engine):
    post = learn(microstates(AGREE), Couplings([[0, 1], [2, 3]], prior=Normal(1.0)), engine=engine)
    assert posteriors.provenance_of(post).optimum.finite is False
    assert 1 < post["point"]["J"].values[0] < 4


# ------------------------------------------------------------------------------------------------ right answers


def bond_posterior(prior_density, k=14, m=4, beta=1.0):
    """Mean and sd of one coupling by quadrature: two spins, k aligned and m opposed pairs."""
    grid = np.linspace(-6, 6, 24001)
    log = k * beta * grid - m * beta * grid - (k + m) * np.log(2 * np.cosh(beta * grid))
    density = np.exp(log - log.max()) * prior_density(grid)
    density /= density.sum()
    mean = density @ grid
    return mean, np.sqrt(density @ (grid - mean) ** 2)


def horseshoe_density(grid, prior):
    """Marginal density of a regularised horseshoe coupling, by quadrature over τ and λ."""
    quantiles = (np.arange(150) + 0.5) / 150
    tau = scipy.stats.halfcauchy.ppf(quantiles, scale=prior.global_scale)
    local = scipy.stats.halfcauchy.ppf(quantiles)
    plain = (tau[:, None] * local[None]).ravel()
    widths = plain * prior.slab / np.sqrt(prior.slab**2 + plain**2)
    values = np.abs(grid)
    coarse = np.concatenate([[0.0], np.geomspace(1e-5, 6.1, 800)])
    density = np.array([np.mean(scipy.stats.norm.pdf(value, scale=widths)) for value in np.maximum(coarse, 1e-5)])
    return np.interp(values, coarse, density)


PRIORS = {
    "normal": (Normal(0.4), lambda grid: scipy.stats.norm.pdf(grid, scale=0.4)),
    "laplace": (Laplace(0.3), lambda grid: scipy.stats.laplace.pdf(grid, scale=0.3)),
    "horseshoe": (Horseshoe(0.5, 1.0), lambda grid: horseshoe_density(grid, Horseshoe(0.5, 1.0))),
}


@pytest.mark.parametrize(
    "name", [pytest.param("normal", marks=pytest.mark.slow), pytest.param("laplace", marks=pytest.mark.slow), "horseshoe"]
)
def test_nuts_against_quadrature(name):
    """18 observations of one bond: likelihood times prior, where the prior matters and the posterior is not normal."""
    prior, density = PRIORS[name]
    pairs = microstates([[1, 1]] * 9 + [[-1, -1]] * 5 + [[1, -1]] * 4, beta=1.0)
    post = learn(pairs, Couplings([[0, 1]], fields=None, prior=prior), "exact", NUTS(draws=2500, chains=4, warmup=500), seed=2)
    draws = post["posterior"]["J"].values[..., 0]
    mean, sd = bond_posterior(density)
    batches = draws.reshape(4 * 25, 100)
    for found, truth, what in ((batches.mean(1), mean, "mean"), (((batches - mean) ** 2).mean(1), sd**2, "variance")):
        assert_within(found.mean(), truth, found.std(ddof=1) / 10, f"{name}: {what}")


def test_map_is_the_mode_and_laplace_its_curvature():
    pairs = microstates([[1, 1]] * 14 + [[1, -1]] * 4, beta=1.0, counts=np.ones(18))
    grid = np.linspace(-1, 2, 300001)
    log = 10 * grid - 18 * np.log(2 * np.cosh(grid)) - 0.5 * (grid / 0.4) ** 2
    mode = grid[np.argmax(log)]
    for engine in (MAP(draws=5000), LaplaceApproximation(draws=5000)):
        post = learn(pairs, Couplings([[0, 1]], fields=None, prior=Normal(0.4)), "exact", engine)
        assert post["point"]["J"].item() == pytest.approx(mode, abs=1e-5)
        curvature = 18 / np.cosh(mode) ** 2 + 0.4**-2
        draws = post["posterior"]["J"].values
        assert_within(draws.mean(), mode, 1 / np.sqrt(curvature * draws.size), "mean")
        assert_within(draws.var() * curvature, 1.0, np.sqrt(2 / draws.size), "variance")


def test_nuts_and_laplace_agree_where_data_are_many():
    model = Couplings(None, prior=Normal(1.0))
    nuts = draws_of(learn(DATA, model, "pseudo", NUTS(draws=500, chains=4, warmup=300), seed=0))
    normal = draws_of(learn(DATA, model, "pseudo", LaplaceApproximation(draws=10_000), seed=0))
    np.testing.assert_allclose(nuts.mean(0), normal.mean(0), atol=0.25 * normal.std(0).max())
    np.testing.assert_allclose(nuts.std(0), normal.std(0), rtol=0.15)
    np.testing.assert_allclose(np.corrcoef(nuts.T), np.corrcoef(normal.T), atol=0.15)


def test_two_temperatures_are_learned_jointly():
    sets = [microstates(oracles.exact_draws(PAIRS, J, H, beta, N, 3000, seed=k), beta=beta) for k, beta in enumerate((0.4, 1.2))]
    model = Couplings(None)
    joint = learn(sets, model, engine="mle")
    single = [learn(item, model, engine="mle") for item in sets]
    widths = [post["posterior"]["J"].std(("chain", "draw")).values for post in (joint, *single)]
    np.testing.assert_allclose(widths[0] ** -2, widths[1] ** -2 + widths[2] ** -2, rtol=0.25)
    assert np.all(np.abs(joint["point"]["J"].values - J) < 5 * widths[0])
    assert posteriors.observed_betas(joint).tolist() == [0.4, 1.2]
    assert joint["observed_data"]["beta"].values.tolist() == [0.4, 1.2]
    stacked = microstates(np.stack([item["state"].values[0] for item in sets]), beta=[0.4, 1.2], dims=("beta", "draw", "site"))
    np.testing.assert_array_equal(learn(stacked, model, engine="mle")["posterior"]["J"], joint["posterior"]["J"])


def test_undeclared_temperature_gives_beta_times_the_couplings():
    bare = learn(microstates(DATA["state"].values[0]), Couplings(None), engine="mle")
    known = learn(DATA, Couplings(None), engine="mle")
    np.testing.assert_allclose(bare["point"]["J"], BETA * known["point"]["J"], atol=1e-5)
    assert bare.attrs["beta_declared"] == 0 and known.attrs["beta_declared"] == 1


@pytest.mark.parametrize("likelihood", ["exact", "pseudo"])
def test_histograms_give_the_posterior_of_the_rows(likelihood):
    rows = DATA["state"].values[0]
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    posts = [learn(data, Couplings(None), likelihood, "mle") for data in (DATA, microstates(distinct, beta=BETA, counts=counts))]
    np.testing.assert_allclose(posts[0]["point"]["J"], posts[1]["point"]["J"], atol=1e-6)
    widths = [draws_of(post).std(0) for post in posts]
    np.testing.assert_allclose(widths[0], widths[1], rtol=0.08)
    assert posteriors.provenance_of(posts[1]).microstates == 4000


def test_an_uncalibrated_pseudo_posterior_is_narrower_and_says_so():
    model = Couplings(None)
    plain, calibrated = (learn(DATA, model, "pseudo", "laplace", calibrate=flag) for flag in (False, True))
    assert posteriors.provenance_of(plain).calibration.basis.code == "off"
    assert posteriors.provenance_of(plain).calibration.adjusted is False
    ratio = draws_of(plain).std(0) / draws_of(calibrated).std(0)
    assert np.all(ratio[:6] < 0.9)
    assert posteriors.provenance_of(calibrated).calibration.width_ratio > 1.1


@pytest.mark.parametrize("engine", [LaplaceApproximation(), pytest.param(NUTS(draws=300, chains=2, warmup=300), marks=pytest.mark.slow)])
def test_the_prior_is_not_inflated_by_the_calibration(engine):
    """A tight prior on weak data: with or without sandwich, the posterior is hardly wider than the prior."""
    few = microstates(oracles.exact_draws(PAIRS, J, H, BETA, N, 60, seed=4), beta=BETA)
    post = learn(few, Couplings(None, prior=Normal(0.05)), "pseudo", engine)
    widths = post["posterior"]["J"].std(("chain", "draw")).values
    assert np.all(widths < 0.06) and np.all(widths > 0.03)


# ------------------------------------------------------------------------------------------------ manners


@pytest.mark.parametrize("engine", ["mle", "gibbs", pytest.param("nuts", marks=pytest.mark.slow)])
def test_seeds_are_kept(engine):
    settings, prior = ENGINES[engine]
    model = Couplings(None, prior=prior)
    first, again, *others = (
        draws_of(learn(DATA, model, "exact", settings, seed=seed)) for seed in (5, 5, 2**31 + 5, 6)[: 2 if engine == "nuts" else 4]
    )
    np.testing.assert_array_equal(first, again)
    assert not any(np.array_equal(first, other) for other in others)


def test_nothing_global_is_touched():
    """The guard in conftest.py watches the rest of it."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    post = learn(DATA, Couplings(None, "uniform", None), "exact", NUTS(draws=30, chains=1, warmup=30))
    assert post["posterior"]["J"].shape == (1, 30, 6) and post["sample_stats"]["n_steps"].shape == (1, 30)
    learn(DATA, Couplings(None, prior="spike_slab"), "exact", Gibbs(draws=10, chains=1, warmup=10))
    assert not jax.config.jax_enable_x64
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_data_are_not_changed():
    data = DATA.copy(deep=True)
    learn(data, Couplings(None), "pseudo", "laplace")
    assert data.identical(DATA)


def test_the_record_is_json_and_names_the_origin():
    data = DATA.assign_attrs(sampler="heat_bath", seed=4, sweeps_per_draw=2.0)
    record = posteriors.provenance_of(learn(data, Couplings(None), engine="mle"))
    assert record.source == ({"source_space": "spins", "sampler": "heat_bath", "seed": 4, "sweeps_per_draw": 2.0},)
    assert record.identifiability.unidentified == ()
    double = microstates(np.random.default_rng(0).choice([-1, 1], (500, 2)))
    record = posteriors.provenance_of(learn(double, Couplings(lattice.hypercubic(2)), engine="laplace"))
    assert len(record.identifiability.unidentified) == 1 and record.identifiability.unidentified[0].startswith("J")


# ------------------------------------------------------------------------------------------ order of convergence


@pytest.mark.parametrize("likelihood", ["exact", "pseudo"])
def test_errors_of_couplings_fall_as_one_over_the_square_root_of_the_data(likelihood):
    sizes, repeats = np.array([250, 1000, 4000, 16_000]), 25
    errors = np.empty((len(sizes), repeats))
    for k, size in enumerate(sizes):
        for r in range(repeats):
            data = microstates(oracles.exact_draws(PAIRS, J, H, BETA, N, size, seed=100 * k + r), beta=BETA, counts=np.ones(size))
            point = learn(data, Couplings(None), likelihood, MLE(draws=1, chains=1))["point"]
            errors[k, r] = np.sqrt(np.mean((point["J"].values - J) ** 2))
    logs = np.log(errors)
    x = np.log(sizes) - np.log(sizes).mean()
    slope = x @ logs.mean(1) / (x @ x)
    error = np.sqrt(x**2 @ (logs.var(1, ddof=1) / repeats)) / (x @ x)
    assert_within(slope, -0.5, error, "exponent of the error")


@pytest.mark.parametrize("prior", ["laplace", "horseshoe"])
def test_auto_obeys_what_would_be_refused_by_hand(prior):
    """Too few batches for NUTS: a normal approximation needs a normal prior, also where nobody asked for it."""
    model = Couplings(None, prior=prior)
    with pytest.raises(HamlearnError, match="independent batches"):
        learn(SLOW, model, "pseudo")
    with pytest.raises(HamlearnError, match="does not go with prior"):
        learn(SLOW, model, "pseudo", engine="laplace")
