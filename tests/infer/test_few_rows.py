"""Few rows: intervals that cover, a default prior that is said, and a verdict that counts rows against parameters."""

from __future__ import annotations

import numpy as np
import pytest
from infer import oracles

import hamlearn as hl
from hamlearn.data import microstates
from hamlearn.diagnostics.verdict import LEVELS, verdict
from hamlearn.infer import learn, tree
from hamlearn.infer.kinds.couplings import heaviest_site
from hamlearn.models import Couplings, Normal
from hamlearn.systems import SPINS
from statistics_budget import spend

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
    assert tree.model_of(post).prior == Normal(0.5) == tree.model_of(post).field_prior
    reasons = tree.record_of(post)["reasons"]
    assert any("prior βJ ~ N(0, 1²): J ~ N(0, 0.5²)" in reason for reason in reasons), reasons
    assert any("prior βh ~ N(0, 1²)" in reason for reason in reasons)
    explicit = learn(data, Couplings(lattice, prior=Normal(0.5), field_prior=Normal(0.5)), engine=LAPLACE)
    np.testing.assert_array_equal(post["posterior"]["J"], explicit["posterior"]["J"])
    assert not any("prior β" in reason for reason in tree.record_of(explicit)["reasons"])
    # Energy units of twice the size, half the β: the same posterior of βJ.
    halved = learn(data.assign_coords(beta=1.0), Couplings(lattice), engine=LAPLACE)
    np.testing.assert_allclose(halved["posterior"]["J"], 2 * post["posterior"]["J"], rtol=1e-6)
    several = [data, data.assign_coords(beta=0.5)]
    assert tree.model_of(learn(several, Couplings(lattice), engine=LAPLACE)).prior.scale == pytest.approx(1.0)  # √(2 · 0.5) = 1


def test_the_default_prior_gives_way_to_cold_data():
    """±J glasses at βJ = 2: N(0, 1) on each of 24 strengths would fix their common size, and hold 53 % of them."""
    lattice, found = hl.systems.lattice.hypercubic((4, 4), periodic=False), []
    for seed in range(3):
        J = np.random.default_rng(100 + seed).choice([-1.0, 1.0], lattice.n_bonds)
        spins = oracles.exact_draws(lattice.bonds, J, np.zeros(16), 2.0, 16, 4000, seed)
        data = microstates(spins.reshape(-1, 4, 4), beta=2.0)
        post = learn(data, Couplings(lattice, fields=None), "exact", LAPLACE)
        assert 0.6 < tree.model_of(post).prior.scale < 1.2 and "widened by the data from 1" in str(tree.record_of(post)["reasons"])
        found += [*inside(post, "J", J)]
    assert np.mean(found) > 0.9 - 3.5 * np.sqrt(0.09 / len(found)) and spend() > 0
    kept = learn(data, Couplings(lattice, fields=None, prior=Normal(1, "kT")), "exact", LAPLACE)
    assert tree.model_of(kept).prior == Normal(0.5), "a prior that was given is meant"


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
    assert heaviest_site(bound) == pytest.approx(4 / 2 + 1)
    assert heaviest_site(Couplings(TORUS, tie="uniform", fields="uniform").bind(SPINS, (8, 8))) == pytest.approx(2 / 64)
    star = Couplings(np.array([[0, k] for k in range(1, 7)]), fields=None).bind(SPINS, (7,))
    assert heaviest_site(star) == pytest.approx(6 / 2)
    assert heaviest_site(star, np.array([1.0, 0.5, 0, 0, 0, 0])) == pytest.approx(0.75)
    assert heaviest_site(Couplings(TORUS, interaction="general").bind(hl.systems.states(3), (8, 8))) == pytest.approx(4 * 4 / 2 + 2)


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
