"""What a first answer is made of, counted: Hessians of all the data, and what each of them looks at."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics import scores
from hamlearn.diagnostics.signals import images
from hamlearn.diagnostics.signals.view import views
from hamlearn.infer import learn, posteriors
from hamlearn.infer.likelihoods import RowLikelihood, exact
from hamlearn.infer.observations import Observations, bind
from hamlearn.infer.settings import MLE
from hamlearn.models.bound_couplings import BoundCouplings
from hamlearn.systems import lattice


@pytest.fixture
def counted(monkeypatch):
    """Calls of the methods of a likelihood on rows."""
    calls = {"information": 0, "value_and_gradient": 0}
    for name in calls:
        plain = getattr(RowLikelihood, name)

        def counting(*args, name=name, plain=plain, **more):
            calls[name] += 1
            return plain(*args, **more)

        monkeypatch.setattr(RowLikelihood, name, counting)
    return calls


@pytest.mark.parametrize(
    ("engine", "calibrate", "hessians", "gradients"),
    [(MLE(draws=1, chains=1), False, 1, 10), ("laplace", True, 2, 25)],
    ids=["the optimum alone", "with calibrated error bars"],
)
def test_hessians_are_few(counted, engine, calibrate, hessians, gradients):
    """One at every optimum, that of the widths of priors and that of the likelihood: products with Hessians lead to them."""
    data = hl.simulate(hl.systems.SherringtonKirkpatrick(24, seed=1), beta=0.5, draws=300, chains=10, seed=0, progress=False)
    learn(data, hl.models.Couplings(None), likelihood="pseudo", engine=engine, calibrate=calibrate, seed=0)
    assert 0 < counted["information"] <= hessians and counted["value_and_gradient"] <= gradients


def test_a_hessian_of_few_parameters_looks_at_neighbours_alone():
    """Tied by distance on 16x16: twenty columns of 256 at every site, summed to four."""
    model = hl.models.Couplings(lattice.hypercubic((16, 16)).pairs_within(2.3), tie="distance", fields=None)
    bound, parts, _ = bind(hl.microstates(np.random.default_rng(0).choice([-1, 1], (40, 16, 16))), model)
    for columns, parameters, sums in RowLikelihood(bound, parts, "pseudo")._local:
        assert len(columns) == 20 and len(parameters) == 4 and sums.shape == (20, 4)


def test_score_tests_begin_at_the_optimum_that_was_found(counted):
    data = hl.simulate(hl.systems.SherringtonKirkpatrick(16, seed=1), beta=0.3, draws=300, chains=10, seed=0, progress=False)
    post = learn(data, hl.models.Couplings(None, fields=None), likelihood="pseudo", engine="laplace", seed=0)
    counts = {}
    for name, start in {"there": posteriors.theta_point(post), "anywhere": None}.items():
        bound, parts, _ = bind(data, posteriors.model_of(post))
        before = dict(counted)
        found = scores.pairs(bound, parts, [1.0], start=start)
        assert found.rows and not found.nothing
        counts[name] = {which: counted[which] - before[which] for which in counted}
    assert counts["there"]["value_and_gradient"] <= 3 < counts["anywhere"]["value_and_gradient"], counts
    assert counts["there"]["information"] == counts["anywhere"]["information"] == 1


def test_sums_over_rows_visit_every_state_once(monkeypatch):
    """Twenty thousand rows of nine spins are 512 states at most, for the likelihood, the score tests and the search for images."""
    data = hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=1), beta=0.5, draws=2000, chains=10, seed=0, progress=False)
    bound, parts, _ = bind(data, hl.models.Couplings(lattice.hypercubic((3, 3))))
    view = next(views(learn(data, bound.model, engine="laplace", seed=0), [data]))
    visited = []

    def counting(module, name, place):
        plain = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args: (visited.append((name, len(args[place]))), plain(*args))[1])

    counting(BoundCouplings, "statistics", 1)
    counting(scores.sums, "_chunk", 2)
    counting(images, "_overlaps", 2)
    exact.ExactLikelihood(bound, parts)._total(parts[0])
    exact_rows = [rows for _, rows in visited]
    scores.pairs(bound, parts, [1.0])
    images.find(view)
    each = {name: sum(rows for one, rows in visited if one == name) for name in ("_chunk", "_overlaps")}
    assert max(exact_rows) <= 512 and 0 < each["_chunk"] <= 512 and 0 < each["_overlaps"] <= 512, visited


@pytest.mark.parametrize("q", [2, 3])
def test_gathered_rows_are_the_rows_counted_by_hand(q):
    states = np.random.default_rng(q).integers(q, size=(2, 500, 4)).astype(np.int8)
    weight = np.random.default_rng(0).integers(3, size=(2, 500)).astype(float)
    rows, total = Observations(states, weight, False, 1.0, True).gathered
    by_hand = Counter()
    for row, times in zip(states.reshape(-1, 4).tolist(), weight.ravel(), strict=True):
        by_hand[tuple(row)] += times
    assert {tuple(row): times for row, times in zip(rows.tolist(), total, strict=True)} == +by_hand and len(rows) == len(+by_hand)


def test_the_likelihood_alone_is_climbed_from_the_maximum_with_its_prior(counted):
    """Widths of priors take one climb; the maximum without them is a few gradients further, not a climb of its own (12 in all)."""
    data = hl.simulate(hl.systems.SherringtonKirkpatrick(16, seed=1), beta=0.3, draws=300, chains=10, seed=0, progress=False)
    learn(data, hl.models.Couplings(None, fields=None), likelihood="pseudo", engine="laplace", calibrate=False, seed=0)
    assert 0 < counted["value_and_gradient"] <= 10
