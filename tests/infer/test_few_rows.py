"""Few rows: intervals that cover, a default prior that is said, and a verdict that counts rows against parameters."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from infer import oracles

import hamlearn as hl
from hamlearn.data import microstates
from hamlearn.diagnostics.verdict import LEVELS, verdict
from hamlearn.infer import learn, posteriors
from hamlearn.infer.engines.gibbs.surrogate import Surrogate
from hamlearn.infer.engines.gibbs.threshold import detectable
from hamlearn.infer.provenance import Basis
from hamlearn.models import Couplings, Normal
from hamlearn.systems import SPINS
from statistics_budget import assert_within, spend

TORUS = hl.systems.lattice.hypercubic((8, 8))
LAPLACE = hl.infer.LaplaceApproximation(draws=500, chains=2)


def torus_rows(rows, seed):
    """Independent microstates of an 8 × 8 ±J glass at β = 0.5 by plain heat bath, and its couplings."""
    J = np.random.default_rng(500 + seed).choice([-1.0, 1.0], TORUS.n_bonds)
    matrix = np.zeros((64, 64))
    matrix[tuple(TORUS.bonds.T)] = matrix[tuple(TORUS.bonds.T[::-1])] = J
    states = oracles.heat_bath(matrix, np.zeros(64), 0.5, rows, 1, seed=seed, burn_in=60)
    return microstates(states.reshape(rows, 8, 8), beta=0.5), J


def glass_rows(rows, beta, seed, shape=(4, 4)):
    """Exact microstates of an open Gaussian glass with small fields."""
    lattice, generator = hl.systems.lattice.hypercubic(shape, periodic=False), np.random.default_rng(100 + seed)
    J, h = generator.normal(size=lattice.n_bonds), 0.3 * generator.normal(size=lattice.n_sites)
    spins = oracles.exact_draws(lattice.bonds, J, h, beta, lattice.n_sites, rows, seed)
    return microstates(spins.reshape(rows, *shape), beta=beta), lattice, J, h


def inside(post, name, truth):
    low, high = np.quantile(post["posterior"][name].values.reshape(-1, len(truth)), [0.05, 0.95], axis=0)
    return (low <= truth) & (truth <= high)


def test_many_free_bonds_from_50_rows_are_covered():
    """The raw sandwich of rank 49, with the prior deciding the rest, held 79 % of the truths."""
    found = np.concatenate([inside(learn(data, Couplings(TORUS, fields=None), "pseudo", LAPLACE), "J", J) for data, J in
                            (torus_rows(50, seed) for seed in range(5))])  # fmt: skip
    error = np.sqrt(0.9 * 0.1 / len(found))
    assert found.mean() > 0.9 - 3.5 * error and spend() > 0
    assert found.mean() < 0.97, "wide enough is not enough"


def test_the_default_prior_is_in_units_of_temperature_and_said():
    data, lattice = microstates(np.random.default_rng(0).choice([-1, 1], (200, 3, 3)), beta=2.0), hl.systems.lattice.hypercubic((3, 3))
    post = learn(data, Couplings(lattice), engine=LAPLACE)
    assert posteriors.model_of(post).prior == Normal(0.5) == posteriors.model_of(post).field_prior
    reasons = posteriors.provenance_of(post).reasons
    assert any("prior βJ ~ N(0, 1²): J ~ N(0, 0.5²)" in reason for reason in reasons), reasons
    assert any("prior βh ~ N(0, 1²)" in reason for reason in reasons)
    explicit = learn(data, Couplings(lattice, prior=Normal(0.5), field_prior=Normal(0.5)), engine=LAPLACE)
    np.testing.assert_allclose(post["posterior"]["J"], explicit["posterior"]["J"], atol=1e-6)  # their climbs begin elsewhere
    assert not any("prior β" in reason for reason in posteriors.provenance_of(explicit).reasons)
    # Energy units of twice the size, half the β: the same posterior of βJ.
    halved = learn(data.assign_coords(beta=1.0), Couplings(lattice), engine=LAPLACE)
    np.testing.assert_allclose(halved["posterior"]["J"], 2 * post["posterior"]["J"], rtol=1e-6)
    several = [data, data.isel(draw=slice(None, None, -1)).assign_coords(beta=0.5)]
    assert posteriors.model_of(learn(several, Couplings(lattice), engine=LAPLACE)).prior.scale == pytest.approx(1.0)  # √(2 · 0.5) = 1


def test_the_default_prior_gives_way_to_cold_data():
    """±J glasses at βJ = 2: N(0, 1) on each of 24 strengths would fix their common size, and hold 53 % of them."""
    lattice, found = hl.systems.lattice.hypercubic((4, 4), periodic=False), []
    for seed in range(3):
        J = np.random.default_rng(100 + seed).choice([-1.0, 1.0], lattice.n_bonds)
        spins = oracles.exact_draws(lattice.bonds, J, np.zeros(16), 2.0, 16, 4000, seed)
        data = microstates(spins.reshape(-1, 4, 4), beta=2.0)
        post = learn(data, Couplings(lattice, fields=None), "exact", LAPLACE)
        assert 0.6 < posteriors.model_of(post).prior.scale < 1.3 and "widened by the data from 1" in str(
            posteriors.provenance_of(post).reasons
        )
        found += [*inside(post, "J", J)]
    assert np.mean(found) > 0.9 - 3.5 * np.sqrt(0.09 / len(found)) and spend() > 0
    kept = learn(data, Couplings(lattice, fields=None, prior=Normal(1, "kT")), "exact", LAPLACE)
    assert posteriors.model_of(kept).prior == Normal(0.5), "a prior that was given is meant"


def test_fields_of_one_sign_do_not_pull_the_coupling_that_all_bonds_share():
    """144 fields of −1.2, each well within N(0, 1), moved the coupling by one to three of its standard deviations."""
    lattice = hl.systems.lattice.hypercubic((12, 12), periodic=False)
    data = hl.simulate(hl.systems.Ising(lattice, J=-0.13, h=-1.2), beta=1.0, draws=500, sampler="heat_bath", seed=0)
    asked = learn(data, Couplings(lattice, tie="uniform"), "pseudo", LAPLACE)
    alone = learn(data, Couplings(lattice, tie="uniform"), "pseudo", "mle")["point"]["J"].values[0]
    J = asked["posterior"]["J"].values[..., 0]
    assert abs(J.mean() - alone) < 0.5 * J.std(), (J.mean(), alone, J.std())
    model = posteriors.model_of(asked)
    assert model.field_prior.scale > 1.4 and model.prior.scale == 1.0, "fields alone are in each other's way"
    assert any("prior βh" in reason and "widened by the data from 1" in reason for reason in posteriors.provenance_of(asked).reasons)
    mixed = np.where(np.arange(144) % 2, 1.2, -1.2)  # of both signs they do not pull together
    data = hl.simulate(hl.systems.Ising(lattice, J=-0.13, h=mixed), beta=1.0, draws=500, sampler="heat_bath", seed=0)
    assert posteriors.model_of(learn(data, Couplings(lattice, tie="uniform"), "pseudo", LAPLACE)).field_prior.scale < 1.3


def test_nearly_separable_rows_do_not_run_off():
    """300 rows at β = 1 of a glass in which some pairs hardly ever disagree: nothing beyond what the temperature could tell."""
    for seed in range(3):
        data, lattice, J, _ = glass_rows(300, 1.0, seed)
        post = learn(data, Couplings(lattice), engine=LAPLACE)
        assert np.abs(post["posterior"]["J"].mean(("chain", "draw")).values - J).max() < 1.3
        flat = learn(data, Couplings(lattice, prior=Normal(10), field_prior=Normal(10)), engine=LAPLACE)
        assert float(post["posterior"]["J"].std(("chain", "draw")).max()) < float(flat["posterior"]["J"].std(("chain", "draw")).max())


@pytest.mark.slow
def test_nearly_separable_rows_are_covered_by_nuts():
    found = []
    for seed in range(4):
        data, lattice, J, h = glass_rows(300, 1.0, seed)
        post = learn(data, Couplings(lattice), "exact", hl.infer.NUTS(draws=200, chains=2, warmup=150), seed=seed)
        found += [*inside(post, "J", J), *inside(post, "h", h)]
    assert np.mean(found) > 0.9 - 3.5 * np.sqrt(0.09 / len(found)) and spend() > 0


def test_what_the_worst_site_bears():
    """Half of every bond that ends at a site and its field; a shared parameter by its share; a plain loop agrees."""
    bound = Couplings(TORUS).bind(SPINS, (8, 8))
    assert bound.heaviest_site() == pytest.approx(4 / 2 + 1)
    assert Couplings(TORUS, tie="uniform", fields="uniform").bind(SPINS, (8, 8)).heaviest_site() == pytest.approx(2 / 64)
    star = Couplings(np.array([[0, k] for k in range(1, 7)]), fields=None).bind(SPINS, (7,))
    assert star.heaviest_site() == pytest.approx(6 / 2)
    assert star.heaviest_site(np.array([1.0, 0.5, 0, 0, 0, 0])) == pytest.approx(0.75)
    assert Couplings(TORUS, interaction="general").bind(hl.systems.states(3), (8, 8)).heaviest_site() == pytest.approx(4 * 4 / 2 + 2)


@pytest.mark.parametrize(
    ("rows", "shape", "level", "words"),
    [
        (30, (4, 4), "caution", "few data: 30 independent microstates for 40 parameters"),
        (12, None, "do not believe", "few data: 12 independent microstates for 78 parameters, 1.8 a parameter"),
    ],
)
def test_the_verdict_counts_rows_against_parameters(rows, shape, level, words):
    if shape:
        data, graph, _, _ = glass_rows(rows, 0.5, 0, shape)
    else:
        data, graph = microstates(np.random.default_rng(0).choice([-1, 1], (rows, 12)), beta=1.0), None
    found = verdict(learn(data, Couplings(graph), engine=LAPLACE))
    assert LEVELS.index(found.level) >= LEVELS.index(level), found
    bad = [reason for reason in found.reasons if words in reason.what]
    assert len(bad) == 1 and bad[0].severity == ("serious" if level == "do not believe" else "caution") and bad[0].advice


def test_fewer_rows_than_parameters_are_a_caution_for_totals():
    data, _ = torus_rows(100, 0)
    found = verdict(learn(data, Couplings(TORUS, fields=None), "pseudo", LAPLACE))
    assert any("fewer independent microstates (100) than parameters (128)" in reason.what for reason in found.reasons), found
    tied = verdict(learn(data, Couplings(TORUS, tie="uniform", fields=None), "pseudo", LAPLACE))
    assert not any(reason.topic == "identifiability" and reason.severity != "note" for reason in tied.reasons), tied


# ------------------------------------------------------------------------------------------------- sparse couplings


@pytest.mark.parametrize("hyper", [(0.3, 0.5, 0.0), (0.05, 0.1, 0.4)])
def test_the_strength_at_which_a_sparse_posterior_sees_a_coupling(hyper):
    """1.645 error bars above the estimate at which quadrature over the slab gives even odds."""
    probability, slab, centre = hyper
    precision = np.diag([400.0, 900.0, 2500.0])
    normal = Surrogate(precision, np.zeros(3), 1.0, None, Basis("off"))
    found = detectable(normal, np.array([0.9, 0.1, 0.0]), np.array(hyper))
    assert np.isnan(found[0]), "it exists"
    grid = np.linspace(-4, 4, 400_001)
    prior = 0.5 * (scipy.stats.norm.pdf(grid, centre, slab) + scipy.stats.norm.pdf(grid, -centre, slab))
    for k in (1, 2):
        sd = precision[k, k] ** -0.5
        estimate = found[k] - 1.645 * sd
        with_it = np.trapezoid(prior * scipy.stats.norm.pdf(estimate, grid, sd), grid)
        odds = probability * with_it / ((1 - probability) * scipy.stats.norm.pdf(estimate, 0.0, sd))
        assert odds == pytest.approx(1.0, rel=1e-3)


def test_a_sparse_posterior_says_what_it_could_not_see():
    data, _, _, _ = glass_rows(400, 0.5, 0, (2, 3))
    post = learn(data, Couplings(None, prior="spike_slab"), "exact", hl.infer.Gibbs(draws=100, chains=2, warmup=50))
    (found,) = [reason for reason in verdict(post).reasons if "undetermined" in reason.what]
    assert found.severity == "note" and "could be missed" in found.what


# ----------------------------------------------------------------------------------------------- cluster expansions


def chain_rows(rows, seed, K=(0.4, 0.2)):
    """Independent microstates of a ring of 16 spins with couplings to first and second neighbours."""
    matrix, here = np.zeros((16, 16)), np.arange(16)
    for step, strength in enumerate(K, 1):
        matrix[here, (here + step) % 16] = matrix[(here + step) % 16, here] = strength
    spins = oracles.heat_bath(matrix, np.zeros(16), 1.0, rows, 1, seed=seed, burn_in=60).reshape(rows, 16)
    return microstates(spins, beta=1.0)


def test_strengths_are_calibrated_on_the_terms_that_are_left():
    """64 candidates and 800 rows: a J of all of them would be inverted with noise of 64/800."""
    post = learn(chain_rows(800, 0), hl.models.ClusterExpansion(window=7), likelihood="pseudo", seed=0)
    record = posteriors.provenance_of(post)
    assert any("refinement of" in reason for reason in record.reasons), record.reasons
    K = post["posterior"]["K"]
    for term, truth in (("σ(0)σ(1)", 0.4), ("σ(0)σ(2)", 0.2)):
        draws = K.sel(term=term).values
        assert abs(draws.mean() - truth) < 4 * draws.std() and spend() > 0
    (found,) = [reason for reason in verdict(post).reasons if "undetermined" in reason.what]
    assert found.severity == "note" and "pairs below" in found.what


def test_the_strength_below_which_absence_is_undetermined():
    """Free spins: the estimate of a pair scatters by 1/√(M N); its prior odds and the slab say how many of these it takes."""
    rows, n = 2000, 16
    post = learn(microstates(np.random.default_rng(0).choice([-1, 1], (rows, n)), beta=1.0), hl.models.ClusterExpansion(window=3), seed=0)
    bound = hl.models.ClusterExpansion(window=3).bind(SPINS, (n,))
    odds, sd = bound.log_odds[bound.parameter_names.index("σ(0)σ(1)")], 1 / np.sqrt(rows * n)
    threshold = sd * (np.sqrt(2 * (np.log(1 / sd) - odds)) + 1.645)
    found = float(post["screen"]["detectable"].sel(term="σ(0)σ(1)"))
    assert found == pytest.approx(threshold, rel=0.2)  # one factor of the sandwich for all terms
    weak = [learn(chain_rows(2000, seed, (0.8 * threshold, 0.0)), hl.models.ClusterExpansion(window=3), seed=0) for seed in range(1)]
    strong = [learn(chain_rows(2000, seed, (1.3 * threshold, 0.0)), hl.models.ClusterExpansion(window=3), seed=0) for seed in range(1)]
    there = lambda posts: np.mean([float(post["posterior"]["included"].sel(term="σ(0)σ(1)").mean()) for post in posts])
    assert there(strong) > 0.9 and there(weak) < there(strong)


@pytest.mark.slow
def test_the_strongest_terms_are_not_shifted():
    """400 candidates, 1800 rows of 8 × 8: the strongest came out 1.9, 1.4 and 0.9 of their error bars too strong."""
    bound, deviations = hl.models.ClusterExpansion(window=3).bind(SPINS, (8, 8)), []
    truth = np.zeros(400)
    truth[[1, 2, 3, 61]] = 0.3, 0.25, -0.12, 0.15
    for seed in range(3):
        chains = hl.simulate(bound.system(truth), beta=1.0, draws=1, chains=1800, seed=seed, burn_in=300)
        post = learn(microstates(chains["state"].values.reshape(-1, 8, 8), beta=1.0), bound.model, likelihood="pseudo", seed=seed)
        draws = post["posterior"]["K"].values.reshape(-1, 400)[:, [1, 2, 3, 61]]
        deviations.append(np.sign(truth[[1, 2, 3, 61]]) * (draws.mean(0) - truth[[1, 2, 3, 61]]) / draws.std(0))
    assert_within(np.mean(np.array(deviations)[:, :3]), 0.0, 1 / 3, "shift of the strongest terms, in error bars")
