"""The scikit-learn estimator: scikit-learn's own checks, scores and samples against enumeration, pipelines and searches."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

import hamlearn as hl
from hamlearn import data
from hamlearn.estimator import HamiltonianEstimator
from hamlearn.models import Couplings, Normal
from statistics_budget import assert_within

STATES = np.array(list(itertools.product([-1, 1], repeat=4)))
PAIRS = list(itertools.combinations(range(4), 2))


class OfSigns(HamiltonianEstimator):
    """Takes real numbers, which scikit-learn's checks feed, by their sign; nothing else differs."""

    def _microstates(self, X, *, reset=False):
        return data.microstates(np.where(validate_data(self, X, reset=reset) > 0, 1, -1))


EXEMPT = {"check_fit2d_1feature": "one site has no pairs, and is refused in words of sites; the check asks for the word feature"}


@parametrize_with_checks([OfSigns(engine="map")], expected_failed_checks=lambda _: EXEMPT)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning", "ignore::FutureWarning")
def test_scikit_learns_checks(estimator, check, monkeypatch):
    monkeypatch.setattr("hamlearn.estimator._MEMBERS", 4)  # they score row by row, and whatever the score is
    state = np.random.get_state()  # noqa: NPY002 - which a check of theirs uses
    check(estimator)
    np.random.set_state(state)  # noqa: NPY002


def planted(scale: float, sites: int, rows: int, seed: int = 0) -> np.ndarray:
    """Rows of spins with couplings N(0, scale²) between all pairs."""
    rng = np.random.default_rng(seed)
    bonds = np.array(list(itertools.combinations(range(sites), 2)))
    states = np.array(list(itertools.product([-1, 1], repeat=sites)))
    log_weight = (states[:, bonds[:, 0]] * states[:, bonds[:, 1]]) @ rng.normal(0, scale, len(bonds))
    p = np.exp(log_weight - log_weight.max())
    return states[rng.choice(len(states), rows, p=p / p.sum())]


@pytest.fixture(scope="module")
def fitted():
    return HamiltonianEstimator(engine=hl.infer.LaplaceApproximation(draws=8, chains=4)).fit(planted(0.7, 4, 300))


def log_probabilities(post, rows):
    """Ln p of rows and of their sites given the others ``(draw, row)`` and ``(draw, row, site)``, by loops over all states."""
    J, h = (post["posterior"][name].values.reshape(32, -1) for name in ("J", "h"))
    whole, sites = np.empty((32, len(rows))), np.empty((32, len(rows), 4))
    weight = lambda d, s: np.exp(sum(J[d, k] * s[i] * s[j] for k, (i, j) in enumerate(PAIRS)) + sum(h[d, i] * s[i] for i in range(4)))
    for d in range(32):
        of_all = {tuple(s): weight(d, s) for s in STATES}
        for r, row in enumerate(rows):
            whole[d, r] = np.log(of_all[tuple(row)] / sum(of_all.values()))
            for i in range(4):
                other = [-value if k == i else value for k, value in enumerate(row)]
                sites[d, r, i] = np.log(of_all[tuple(row)] / (of_all[tuple(row)] + of_all[tuple(other)]))
    return whole, sites


def test_scores_against_enumeration(fitted):
    whole, sites = log_probabilities(fitted.posterior_, STATES)
    exact, pseudo = np.log(np.exp(whole).mean(0)), np.log(np.exp(sites).mean(0)).sum(-1)
    np.testing.assert_allclose(fitted.score_samples(STATES), pseudo, atol=1e-10)
    assert np.isclose(fitted.score(STATES[:5]), pseudo[:5].mean())
    exactly = clone(fitted).set_params(score_by="exact").fit(planted(0.7, 4, 300))
    np.testing.assert_allclose(exactly.score_samples(STATES), exact, atol=1e-10)
    assert np.isclose(np.exp(exact).sum(), 1.0)


def test_the_error_of_a_score_is_its_scatter_with_the_seed(monkeypatch):
    """Over 16 seeds, whose draws are independent."""
    rows, engine = planted(0.5, 4, 300), hl.infer.LaplaceApproximation(draws=8, chains=4)
    fits = [HamiltonianEstimator(engine=engine, random_state=seed).fit(rows[:200]) for seed in range(16)]
    scores, errors = np.array([(fit.score(rows[200:]), fit.score_error(rows[200:])) for fit in fits]).T
    assert_within(np.log(scores.std(ddof=1)), np.log(errors.mean()), 1 / np.sqrt(2 * 15))
    assert fits[0].score(rows[200:]) == HamiltonianEstimator(engine=engine).fit(rows[:200]).score(rows[200:])
    monkeypatch.setattr("hamlearn.estimator._AT_ONCE", 32 * 4 * 9)
    assert np.isclose(fits[0].score_error(rows[200:]), errors[0])


def test_a_score_in_pieces_is_the_score(fitted, monkeypatch):
    whole = fitted.score_samples(STATES)
    monkeypatch.setattr("hamlearn.estimator._AT_ONCE", 32 * 4 * 9)
    np.testing.assert_array_equal(fitted.score_samples(STATES), whole)


def test_samples_are_those_of_the_posterior(fitted):
    drawn, n = fitted.sample(4000), 4000
    whole, _ = log_probabilities(fitted.posterior_, STATES)
    p = np.exp(whole)
    products = np.array([STATES[:, i] * STATES[:, j] for i, j in PAIRS])
    found = np.array([(drawn[:, i] * drawn[:, j]).mean() for i, j in PAIRS])
    by_draw = p @ products.T  # sixteen of these draws were sampled from
    mean = by_draw.mean(0)
    assert_within(found, mean, np.sqrt((1 - mean**2) / n + by_draw.var(0, ddof=1) / 16))
    assert np.array_equal(drawn, fitted.sample(4000)) and set(np.unique(drawn)) == {-1, 1}


def test_samples_are_written_as_the_data_were():
    rows = planted(0.5, 4, 200)
    bits = HamiltonianEstimator(space="bits", engine="map").fit((rows + 1) // 2)
    assert set(np.unique(bits.sample(100))) == {0, 1}
    codes = HamiltonianEstimator(space="states", engine="map").fit(np.where(rows > 0, 7, 2))
    assert set(np.unique(codes.sample(100))) == {2, 7}
    lattice = hl.systems.lattice.hypercubic((2, 2))
    assert HamiltonianEstimator(Couplings(lattice, tie="uniform"), engine="map").fit(rows).sample(3).shape == (3, 4)


def test_a_normalised_density_scores_and_draws_for_itself():
    rows = planted(0.5, 4, 200)
    density = HamiltonianEstimator(hl.models.Autoregressive(hidden=4, members=2), engine=hl.infer.Training(epochs=2)).fit(rows)
    assert np.isclose(np.exp(density.score_samples(STATES)).sum(), 1.0, atol=1e-5)
    assert density.sample(5).shape == (5, 4) and set(np.unique(density.sample(50))) == {-1, 1}


SCALES = (0.02, 2.0)


@pytest.mark.parametrize(("scale", "better"), [(0.01, 0.02), (0.8, 2.0)])
def test_a_search_finds_the_prior_of_what_was_planted(scale, better):
    rows = planted(scale, 6, 120, seed=3)
    grid = {"hamiltonianestimator__model__prior": [Normal(one) for one in SCALES]}
    pipeline = make_pipeline(Binarizer(), HamiltonianEstimator(Couplings(fields=None), space="bits", engine="map"))
    search = GridSearchCV(pipeline, grid, cv=KFold(3)).fit(rows)
    best = search.best_estimator_[-1]
    assert search.best_params_["hamiltonianestimator__model__prior"] == Normal(better) == best.model.prior
    assert best.model.fields is None and search.n_features_in_ == 6
    # What was searched by is a score of rows that the fit had not seen: the first fold, by hand.
    held_out, seen = rows[:40], rows[40:]
    alone = HamiltonianEstimator(Couplings(fields=None, prior=Normal(better)), engine="map").fit(seen)
    assert np.isclose(alone.score(held_out), search.cv_results_["split0_test_score"][search.best_index_])


def test_parameters_of_the_model_are_parameters():
    estimator = HamiltonianEstimator()
    assert estimator.get_params()["model__fields"] == "site" and "model__fields" not in estimator.get_params(deep=False)
    estimator.set_params(model__fields=None, model__prior="laplace", random_state=3)
    assert (estimator.model.fields, estimator.model.prior.name, estimator.random_state) == (None, "laplace", 3)
    action = HamiltonianEstimator(hl.models.PolynomialAction(powers=(2,)), space="reals").set_params(model__powers=(2, 4))
    assert action.model.powers == (2, 4)
    again = clone(action)
    assert again.get_params(deep=False).keys() == action.get_params(deep=False).keys() and again.model.powers == (2, 4)


REFUSED = {
    "a parameter that the model lacks": (lambda e: e.set_params(model__priors=1), "did you mean model__prior"),
    "a parameter that there is not": (lambda e: e.set_params(modle=1), "Invalid parameter 'modle'"),
    "numbers that are no spins": (lambda e: clone(e).fit([[0.1, 0.2], [0.3, 0.4]]), "allows the values -1 and 1"),
    "bits as spins": (lambda e: clone(e).fit([[0, 1], [1, 0], [1, 1]]), "space='bits'"),
    "other sites": (lambda e: e.score([[1, -1, 1]]), "X has 3 features, but .* is expecting 4"),
    "an unknown score": (lambda e: clone(e).set_params(score_by="exakt").fit(planted(0.1, 4, 50)).score(STATES), "Did you mean 'exact'"),
    "a score of nothing": (lambda e: HamiltonianEstimator().score(STATES), "not fitted yet"),
    "a sample of nothing": (lambda e: HamiltonianEstimator().sample(), "not fitted yet"),
    "half a sample": (lambda e: e.sample(0), "whole number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_the_way_out(name, fitted):
    act, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        act(fitted)


def test_without_scikit_learn_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "hamlearn.estimator")
    with pytest.raises(hl.HamlearnError, match=r"estimators .* need sklearn.*pip install \"hamlearn\[sklearn\]\""):
        import hamlearn.estimator  # noqa: F401
