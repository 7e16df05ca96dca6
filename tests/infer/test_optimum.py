"""Newton's maxima against scipy.optimize and node-wise logistic regression; data that have none are flagged."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from infer import oracles
from sklearn.linear_model import LogisticRegression

from hamlearn.data import microstates
from hamlearn.infer.calibrate import steady_sandwich
from hamlearn.infer.likelihoods import ExactLikelihood, RowLikelihood, composite
from hamlearn.infer.newton import uphill
from hamlearn.infer.observations import bind
from hamlearn.infer.optimum import maximise
from hamlearn.infer.scatter import ScoreCovariance
from hamlearn.models import Couplings, Normal
from hamlearn.systems import lattice

PAIRS = np.stack(np.triu_indices(5, 1), 1)
TRUTH = 0.6 * np.random.default_rng(3).normal(size=10), 0.2 * np.random.default_rng(4).normal(size=5)
SPINS = oracles.exact_draws(PAIRS, *TRUTH, 0.8, 5, 600, seed=1)
STATES = np.random.default_rng(5).integers(0, 3, (300, 4))
STATES[:100, 1] = STATES[:100, 0]
CYCLE = [[0, 1], [2, 1], [2, 3], [3, 0]]


def spins(model, likelihood="pseudo"):
    bound, parts, _ = bind(microstates(SPINS, beta=0.8), model)
    return ExactLikelihood(bound, parts) if likelihood == "exact" else composite(bound, parts, likelihood)


def clocks(model, likelihood="pseudo"):
    bound, parts, _ = bind([microstates(STATES[:200], "states", 0.8), microstates(STATES[200:], "states", 1.1)], model)
    return ExactLikelihood(bound, parts) if likelihood == "exact" else composite(bound, parts, likelihood)


# A new likelihood or family adds one line: (likelihood, prior of the couplings).
PROBLEMS = {
    "pseudo": (lambda: spins(Couplings(None)), None),
    "pseudo, map": (lambda: spins(Couplings(None, prior=Normal(0.1), field_prior=Normal(0.3))), Normal(0.1)),
    "rise": (lambda: spins(Couplings(None), "rise"), None),
    "logrise": (lambda: spins(Couplings(None), "logrise"), None),
    "exact": (lambda: spins(Couplings(None), "exact"), None),
    "exact, map": (lambda: spins(Couplings(None, prior=Normal(0.2)), "exact"), Normal(0.2)),
    "tied": (lambda: spins(Couplings(None, "uniform", "uniform")), None),
    "clock": (lambda: clocks(Couplings(CYCLE, interaction="clock")), None),
    "general": (lambda: clocks(Couplings(CYCLE)), None),
    "general, exact, map": (lambda: clocks(Couplings(CYCLE), "exact"), Normal(1.0)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_maximum_is_scipys(name):
    likelihood, prior = PROBLEMS[name][0](), PROBLEMS[name][1]
    n = likelihood.bound.n_coupling_params
    field_scale = likelihood.bound.model.field_prior.scale

    def negative(theta):
        value, slope = likelihood.value_and_gradient(theta)
        if prior is not None:
            widths = np.where(np.arange(len(theta)) < n, prior.scale, field_scale)
            value, slope = value - 0.5 * np.sum((theta / widths) ** 2), slope - theta / widths**2
        return -value, -slope

    best = maximise(likelihood, prior)
    theirs = scipy.optimize.minimize(negative, np.zeros(likelihood.bound.n_params), jac=True, method="BFGS", options={"gtol": 1e-7})
    assert best.converged and not best.runaway
    np.testing.assert_allclose(best.theta, theirs.x, atol=2e-5)
    assert best.value == pytest.approx(-theirs.fun, rel=1e-10)
    np.testing.assert_allclose(best.information, likelihood.information(best.theta))
    assert best.steps < 30
    # From anywhere to the same place.
    again = maximise(likelihood, prior, start=np.full(likelihood.bound.n_params, 0.7))
    np.testing.assert_allclose(again.theta, best.theta, atol=2e-5)


def test_pseudo_likelihood_of_all_pairs_is_one_large_logistic_regression():
    """Stack the five node-wise regressions into one design with shared couplings: scikit-learn finds the same maximum."""
    best = maximise(spins(Couplings(None)))
    rows, targets = [], []
    for site in range(5):
        design = np.zeros((len(SPINS), 15))
        for k, (i, j) in enumerate(PAIRS.tolist()):
            if site in (i, j):
                design[:, k] = SPINS[:, j if site == i else i]
        design[:, 10 + site] = 1
        rows.append(design)
        targets.append(SPINS[:, site])
    peer = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000).fit(np.concatenate(rows), np.concatenate(targets))
    np.testing.assert_allclose(0.8 * best.theta, peer.coef_[0] / 2, atol=1e-5)


@pytest.mark.parametrize("likelihood", ["pseudo", "exact", "rise", "rows"])
def test_separable_data_run_away_and_are_flagged(likelihood):
    """Two spins that always agree: J has no finite estimate."""
    data = microstates(np.array([[1, 1, 1], [-1, -1, 1], [1, 1, -1], [-1, -1, -1]] * 20), beta=1.0)
    bound, parts, _ = bind(data, Couplings([[0, 1], [1, 2]], fields=None))
    kinds = {"exact": ExactLikelihood, "rows": lambda bound, parts: RowLikelihood(bound, parts, "pseudo")}
    objective = kinds[likelihood](bound, parts) if likelihood in kinds else composite(bound, parts, likelihood)
    best = maximise(objective)
    assert best.runaway or not best.converged or abs(best.theta[0]) > 8
    assert not (best.converged and not best.runaway)
    held = maximise(objective, Normal(1.0))
    assert held.converged and not held.runaway and abs(held.theta[0]) < 8


def test_unidentified_directions_do_not_stop_newton():
    """Double bonds with a strength each: only their sum is known, and it is right."""
    data = microstates(oracles.exact_draws([[0, 1]], [0.5], [0.0, 0.1], 1.0, 2, 400, seed=4), beta=1.0)
    bound, parts, _ = bind(data, Couplings(lattice.hypercubic(2)))
    double = maximise(ExactLikelihood(bound, parts))
    bound, parts, _ = bind(data, Couplings([[0, 1]]))
    single = maximise(ExactLikelihood(bound, parts))
    assert double.converged
    assert double.theta[:2].sum() == pytest.approx(single.theta[0], abs=1e-5)


def test_a_known_hessian_is_stepped_with_and_replaced_where_it_has_changed():
    """A weak prior hardly moves the maximum, a strong one moves it: what is returned is the Hessian at the end, not the one given."""
    likelihood = spins(Couplings(None))
    free = maximise(likelihood)
    for width, change in ((100.0, 0.01), (0.02, 10.0)):
        found = maximise(likelihood, Normal(width), start=free.theta, information=free.information)
        plain = maximise(likelihood, Normal(width))
        np.testing.assert_allclose(found.theta, plain.theta, atol=1e-6)
        np.testing.assert_allclose(found.information, plain.information, rtol=1e-3, atol=1e-3 * np.abs(plain.information).max())
        moved = np.abs(plain.information - free.information).max() / np.abs(free.information).max()
        assert moved < change and (moved > 0.01 or width > 1)


def test_what_runs_off_is_refused_without_a_warning_of_numpys():
    gained = uphill(lambda theta: Normal(1.0).derivatives(theta)[:2], np.zeros(2), 0.0, np.array([1e200, 0.0]), 1e200, shortest=0.5)
    assert gained is None
    for nothing in np.full((2, 2), 0.0), 1e-250 * np.eye(2):  # what is left of the information where an optimum has run off
        root = steady_sandwich(nothing, ScoreCovariance(1e-3 * np.eye(2), 50, 1.0, 50.0, "rows", False))
        assert np.isfinite(root @ root.T).all()
