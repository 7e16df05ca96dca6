"""Models with too many parameters for a Hessian, and the strength of a pair as one number."""

from __future__ import annotations

import numpy as np
import pytest

from hamlearn.data import microstates
from hamlearn.diagnostics import identifiability
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, large, learn, posteriors
from hamlearn.infer.likelihoods import OneHotLikelihood, PatternLikelihood
from hamlearn.infer.observations import bind
from hamlearn.infer.optimum import maximise
from hamlearn.infer.settings import MAP, LaplaceApproximation
from hamlearn.infer.strengths import contacts, interaction_strength
from hamlearn.models import Couplings, Normal

STATES = np.random.default_rng(5).integers(0, 3, (400, 4))
STATES[:150, 1] = STATES[:150, 0]
STATES = np.random.default_rng(6).permutation(STATES)
SMALL = microstates(STATES, "states", 0.8)
WIDE = microstates(np.random.default_rng(0).integers(0, 4, (60, 30)), "states", 1.0)  # tables of all patterns would not fit


def test_the_map_point_is_newtons():
    model = Couplings(None, prior=Normal(0.5), field_prior=Normal(0.5))
    bound, parts, _ = bind(SMALL, model)
    _, drawn, point, record = large.infer(OneHotLikelihood(bound, parts), MAP(draws=4000, chains=2), 3, 400.0)
    patterns = PatternLikelihood(bound, parts, "pseudo")
    best = maximise(patterns, model.prior)
    np.testing.assert_allclose(point, best.theta, atol=5e-3)
    assert record["optimum"]["value"] == pytest.approx(best.value, abs=1e-2)
    # Diagonal error bars: draws are independent normals of the curvature of every parameter alone.
    spread = 1 / np.sqrt(np.diag(best.information) + best.penalty)
    draws = drawn.theta.reshape(-1, bound.n_params)
    np.testing.assert_allclose(draws.std(0), spread, rtol=0.1)
    np.testing.assert_allclose(draws.mean(0), point, atol=6 * spread.max() / np.sqrt(8000))
    assert record["calibration"]["basis"].code == "diagonal"


@pytest.mark.parametrize("engine", ["auto", MAP(draws=5, chains=2)])
def test_learning_what_has_no_hessian(engine):
    post = learn(WIDE, Couplings(None, prior=Normal(0.3)), engine=engine)
    record = posteriors.provenance_of(post)
    assert record.engine.name == "map" and record.calibration.adjusted is False
    assert record.calibration.basis.code == "diagonal"
    assert post["posterior"]["J"].dims == ("chain", "draw", "bond", "state_i", "state_j")
    J = post["posterior"]["J"].values
    np.testing.assert_allclose(J.sum(-1), 0, atol=1e-6)
    assert np.all(np.isfinite(J)) and record.optimum.converged
    if engine == "auto":
        assert any("engine map" in reason for reason in record.reasons)


def test_error_bars_without_correlations_have_no_directions_but_their_parameters(monkeypatch):
    post = learn(WIDE, Couplings(None, prior=Normal(0.3)), engine=MAP(draws=5, chains=2))
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: pytest.fail(f"a spectrum of {matrix.shape}"))
    found = identifiability(post, directions=3)
    labels, theta = families.of(post).parameters(post)
    spread = theta.reshape(-1, len(labels)).std(0, ddof=1)
    by_width = sorted(range(len(labels)), key=lambda k: spread[k], reverse=True)
    assert found["parameter"].values.tolist() == [labels[k] for k in by_width[:3]] and np.all(found["share"] == 1)
    np.testing.assert_allclose(found["sd"], spread[by_width[:3]])
    np.testing.assert_allclose(found["information"], spread[by_width] ** -2.0)


@pytest.mark.parametrize("engine", ["mle", "laplace", "nuts"])
def test_other_engines_are_refused(engine):
    with pytest.raises(HamlearnError, match=r"4005 parameters: only engine='map' \(diagonal error bars\) can treat so many"):
        learn(WIDE, Couplings(None), engine=engine)


def test_other_priors_are_refused():
    bound, parts, _ = bind(SMALL, Couplings(None, prior="laplace"))
    with pytest.raises(HamlearnError, match="MAP with a normal prior only; got prior 'laplace'"):
        large.infer(OneHotLikelihood(bound, parts), MAP(), 0, 400.0)


# ------------------------------------------------------------------------------------------------- strengths


def test_strength_of_spins_is_the_absolute_coupling():
    spins = microstates(np.random.default_rng(1).choice([-1, 1], (300, 4)))
    post = learn(spins, Couplings(None), "exact", LaplaceApproximation(draws=5))
    found = interaction_strength(post)
    np.testing.assert_allclose(found, np.abs(post["point"]["J"]))
    assert found.dims == ("bond",) and found["site_i"].values.tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("ignore", [None, 0, 2])
def test_strength_of_tables_is_the_frobenius_norm(ignore):
    post = learn(SMALL, Couplings(None), "pseudo", LaplaceApproximation(draws=5))
    found = interaction_strength(post, ignore_state=ignore)
    tables = post["point"]["J"].values
    for b in range(6):
        total = sum(tables[b, a, c] ** 2 for a in range(3) for c in range(3) if ignore not in (a, c))
        assert found.values[b] == pytest.approx(np.sqrt(total))
    assert int(np.argmax(found.values)) == 0, "sites 0 and 1 were made alike"


def test_average_product_correction():
    post = learn(SMALL, Couplings(None), "pseudo", LaplaceApproximation(draws=5))
    raw, corrected = interaction_strength(post).values, interaction_strength(post, average_product_correction=True).values
    matrix = np.zeros((4, 4))
    matrix[np.triu_indices(4, 1)] = raw
    matrix += matrix.T
    for b, (i, j) in enumerate(zip(*np.triu_indices(4, 1), strict=True)):
        means = [sum(matrix[k]) / 3 for k in (i, j)]
        assert corrected[b] == pytest.approx(raw[b] - means[0] * means[1] / (matrix.sum() / 12))


def _by_hand(tables, ignore):
    """Frobenius norms in the zero-sum gauge with the average product correction, written out: ``(site, site)``."""
    n, norm = 4, np.zeros((4, 4))
    for J, (i, j) in zip(tables, zip(*np.triu_indices(n, 1), strict=True), strict=True):
        free = J - J.mean(0)[None] - J.mean(1)[:, None] + J.mean()
        norm[i, j] = norm[j, i] = np.sqrt(sum(free[a, b] ** 2 for a in range(3) for b in range(3) if ignore not in (a, b)))
    mean = norm.sum(0) / (n - 1)
    return norm - np.outer(mean, mean) / (norm.sum() / (n * (n - 1)))


def test_contacts_are_ranked_and_say_how_sure_they_are():
    post = learn(SMALL.assign_coords(site=["3", "4", "7", "9"]), Couplings(None), "pseudo", LaplaceApproximation(draws=60))
    found = contacts(post, min_separation=2, ignore_state=0, among=2)
    place = {"3": 0, "4": 1, "7": 2, "9": 3}
    pairs = [(place[i], place[j]) for i, j in zip(found["site_i"], found["site_j"], strict=True)]
    assert len(found) == 5 and (0, 1) not in pairs and found.index.tolist() == [1, 2, 3, 4, 5]
    expected = _by_hand(post["point"]["J"].values, 0)
    np.testing.assert_allclose(found["strength"], [expected[pair] for pair in pairs])
    assert np.all(np.diff(found["strength"]) <= 0)
    draws = post["posterior"].to_dataset()["J"].values
    draws = draws.reshape(-1, *draws.shape[2:])
    draws = draws[np.linspace(0, len(draws) - 1, min(len(draws), 200)).astype(int)]
    ranks = []
    for J in draws:
        scores = _by_hand(J, 0)
        ranks.append([1 + sum(scores[other] > scores[pair] for other in pairs) for pair in pairs])
    np.testing.assert_allclose(found["probability"], (np.array(ranks) <= 2).mean(0))
    assert found["probability"].sum() == pytest.approx(2)
    np.testing.assert_array_equal(found["rank_lower"], np.quantile(ranks, 0.05, axis=0, method="nearest"))
    np.testing.assert_array_equal(found["rank_upper"], np.quantile(ranks, 0.95, axis=0, method="nearest"))
    assert contacts(post).iloc[0][["site_i", "site_j"]].tolist() == ["3", "4"], "they were made alike"


def test_contacts_that_cannot_be_are_refused():
    post = learn(SMALL, Couplings(None), "pseudo", LaplaceApproximation(draws=5))
    for options, message in (
        ({"min_separation": 4}, "no two sites are 4 apart"),
        ({"min_separation": -1}, "min_separation"),
        ({"level": 1.0}, "level"),
        ({"among": 0}, "among"),
    ):
        with pytest.raises(HamlearnError, match=message):
            contacts(post, **options)
    chain = learn(SMALL, Couplings([(0, 1), (1, 2)]), "pseudo", LaplaceApproximation(draws=5))
    with pytest.raises(HamlearnError, match="all pairs of sites"):
        contacts(chain)
