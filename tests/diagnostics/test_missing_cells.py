"""What is said of data with missing cells: verdict, page, and whether what is missing depends on what was observed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

import hamlearn as hl
from hamlearn.infer.absences import dependence, noted
from hamlearn.infer.observations import bind
from hamlearn.infer.posteriors import provenance_of
from hamlearn.models import Couplings
from hamlearn.spaces import MISSING
from statistics_budget import spend

GLASS = hl.systems.SherringtonKirkpatrick(6, seed=3)
WHOLE = hl.simulate(GLASS, beta=0.6, draws=1500, chains=1, seed=1, sampler="exact")


def holed(share, *, seed=0, up=1.0, by=None):
    """Cells missing at random; `up` times as often where the spin itself is up, or that of site `by`."""
    rng, state = np.random.default_rng(seed), WHOLE["state"].values.copy()
    rate = np.where((state if by is None else state[..., by : by + 1]) > 0, share * up, share)
    gone = rng.random(state.shape) < np.broadcast_to(rate, state.shape)
    if by is not None:
        gone[..., by] = False
    gone[gone.all(-1)] = False
    state[gone] = MISSING
    return WHOLE.assign(state=(WHOLE["state"].dims, state))


def observations(data):
    return bind(data, Couplings())[1]


@pytest.fixture(scope="module")
def post():
    return hl.learn(holed(0.1), Couplings(), engine="laplace", seed=0)


def test_the_verdict_and_the_page_say_how_much_is_missing(post, tmp_path):
    found = hl.verdict(post)
    assert found.level == "believe" and "% of cells missing" in found.summary
    (said,) = [one for one in found.reasons if one.topic == "missing cells"]
    assert said.severity == "note" and "one completion" in said.what and "at 6 sites" in said.what
    assert provenance_of(post).missing == pytest.approx(0.1, abs=0.02)
    assert "% of cells missing" in post.attrs["about"]
    page = hl.report(post, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "They are of true states, with a value in every cell." in page
    assert hl.infer.predict(post, 0.5, observables=["energy"]).attrs["states"] == "true states"
    whole = hl.infer.learn(WHOLE, Couplings(), engine="laplace", seed=0)
    assert "states" not in hl.infer.predict(whole, 0.5, observables=["energy"]).attrs
    assert "cells missing" in page and "one completion by what was learned" in page


def test_it_is_still_said_after_a_file(post, tmp_path):
    again = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert provenance_of(again).missing == provenance_of(post).missing
    assert hl.verdict(again).summary == hl.verdict(post).summary


def test_much_that_is_missing_makes_the_verdict_cautious():
    found = noted(observations(holed(0.4)), 2, 1.0)
    assert [(one.code, one.severity) for one in found] == [("missing cells", "caution")]


def test_what_depends_on_its_own_value_cannot_be_seen_and_is_said(post):
    """Nothing in the data gives it away, so what intervals rest on stands in every verdict, and on the page that shows what it does."""
    shy = hl.learn(holed(0.1, up=3.0), Couplings(), engine="laplace", check=False)
    for one in post, shy:
        assert "intervals hold where whether a cell is missing does not depend on its value" in str(hl.verdict(one))
    pull = shy["posterior"]["h"].mean(("chain", "draw")) / shy["posterior"]["h"].std(("chain", "draw"))
    assert pull.max() < 0  # true fields are zero; all seem to say no, by several error bars
    page = Path(__file__).parents[2] / "docs" / "tasks" / "missing.md"
    assert "If people who would say yes are shy of it, no likelihood knows" in page.read_text(encoding="utf-8")


def test_gaps_of_one_site_are_at_one_site():
    state = WHOLE["state"].values.copy()
    state[0, ::7, 2] = MISSING
    post = hl.learn(WHOLE.assign(state=(WHOLE["state"].dims, state)), Couplings(), engine="laplace", check=False)
    assert any("at 1 site (most at site 2" in one.what for one in hl.verdict(post).reasons)


def test_gaps_that_depend_on_other_sites_are_seen():
    post = hl.learn(holed(0.1, by=2, up=3.0), Couplings(), engine="laplace", check=False)
    (said,) = [one for one in hl.verdict(post).reasons if "completely at random" in one.what]
    assert said.severity == "caution" and "with the value of site 2" in said.what


def test_p_values_of_dependence_are_uniform_where_there_is_none():
    values = np.concatenate([dependence(observations(holed(0.2, seed=seed)), 2)[0] for seed in range(12)])
    assert len(values) == 12 * 30
    assert kstest(values, "uniform").pvalue > spend()


def test_a_model_that_lacks_a_term_is_still_found_out():
    values = np.random.default_rng(0).choice([-1.0, 1.0], (4000, 6))
    values[:, 2] = np.where(np.random.default_rng(1).random(4000) < 0.85, values[:, 0] * values[:, 1], values[:, 2])  # a product of three
    values[np.random.default_rng(2).random(values.shape) < 0.1] = np.nan
    assert hl.verdict(hl.learn(hl.microstates(values), Couplings(), engine="laplace")).level == "do not believe"


def test_data_with_other_codes_keep_their_gaps():
    rng = np.random.default_rng(0)
    first, second = rng.choice([1.0, 4, 9], (300, 3)), rng.choice([4.0, 9], (300, 3))
    first[0, 0] = second[5, 1] = np.nan
    sets = [hl.microstates(one, "states", beta=beta) for one, beta in ((first, 0.5), (second, 1.0))]
    _, parts, joined = bind(sets, Couplings())
    assert [(part.states < 0).sum() for part in parts] == [1, 1] and set(np.unique(joined[1]["state"])) == {MISSING, 1, 2}
