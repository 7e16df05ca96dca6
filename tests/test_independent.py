"""Rows that are no chain: sorted ones give what shuffled ones give, and nobody speaks of chains, temperatures or autocorrelation."""

from __future__ import annotations

import re

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics.signals import coincidences, images
from hamlearn.diagnostics.signals.view import views
from hamlearn.errors import HamlearnError

FOREIGN = re.compile(r"\btau\b|τ|autocorrel|batch|longer chains|[Rr]un (the chains )?longer|higher temperature|chains of the data")
GLASS = hl.systems.EdwardsAnderson((3, 3), seed=1)


@pytest.fixture(scope="module")
def rows():
    drawn = hl.simulate(GLASS, beta=0.4, draws=600, chains=1, seed=0, sampler="exact")["state"].values.reshape(600, 9)
    return drawn[np.lexsort(drawn.T)]  # sorted, as tables often are


FITS = {
    "stand-in": (hl.models.Couplings(), "pseudo", "laplace"),
    "exact": (hl.models.Couplings(), "exact", "laplace"),
    "sparse": (hl.models.Couplings(prior="spike_slab"), "pseudo", hl.infer.Gibbs(draws=300, chains=2)),
}


@pytest.mark.parametrize("fit", FITS)
def test_nobody_speaks_of_chains_in_time(rows, fit, tmp_path):
    model, likelihood, engine = FITS[fit]
    post = hl.learn(hl.microstates(rows, independent=True), model, likelihood=likelihood, engine=engine, seed=0)
    made = hl.infer.provenance(post)
    assert made.independent and made.calibration.tau == 1.0 and made.worth == 600
    assert not made.signals  # no drift in what has no order
    page = hl.report(post, tmp_path / "page.html").read_text()
    page = re.sub(r"<script.*?</script>|<style.*?</style>|data:[^\"]*", "", page, flags=re.DOTALL)
    for told in (str(hl.verdict(post)), page):
        assert not FOREIGN.findall(told)


def test_their_order_means_nothing(rows):
    mixed = rows[np.random.default_rng(0).permutation(600)]
    fits = [
        hl.infer.learn(hl.microstates(one, independent=True), FITS["stand-in"][0], likelihood="pseudo", engine="map", seed=0)
        for one in (rows, mixed)
    ]
    for name in ("J", "h"):
        np.testing.assert_allclose(fits[0]["point"][name], fits[1]["point"][name], atol=1e-8)
        np.testing.assert_allclose(fits[0]["posterior"][name].std(), fits[1]["posterior"][name].std(), rtol=1e-6)


def test_undeclared_the_same_rows_are_refused_with_the_way_out(rows):
    with pytest.raises(HamlearnError, match=r"hl\.microstates\(\.\.\., independent=True\)"):
        hl.learn(hl.microstates(rows), hl.models.Couplings(prior="spike_slab"), likelihood="pseudo")


def test_what_is_declared_is_kept(rows, tmp_path):
    data = hl.microstates(rows, independent=True)
    assert hl.microstates(hl.save(data, tmp_path / "rows.nc")).attrs["independent"] == 1
    assert hl.microstates(hl.microstates(rows), independent=True).attrs["independent"] == 1
    assert "independent" not in hl.microstates(rows).attrs
    with pytest.raises(HamlearnError, match="independent"):
        hl.microstates(rows, independent="yes")


@pytest.mark.parametrize(("count", "likelihood", "enough"), [(44, "pseudo", False), (46, "pseudo", True), (20, "exact", True)])
def test_the_fewest_rows_of_a_sparse_posterior(rows, count, likelihood, enough):
    """45 parameters: one independent row each for a stand-in, none for an exact likelihood; refused before any work."""
    few = hl.microstates(rows[:: 600 // count][:count], independent=True)
    ask = lambda: hl.infer.learn(
        few, FITS["sparse"][0], likelihood=likelihood, engine=hl.infer.Gibbs(draws=50, chains=2, warmup=50), seed=0
    )
    if enough:
        assert ask()["posterior"].sizes["draw"] == 50
        return
    with pytest.raises(HamlearnError, match="at least 45 independent microstates; these give 44"):
        ask()


def test_few_rows_are_told_as_rows(rows):
    told = str(hl.verdict(hl.learn(hl.microstates(rows[::40], independent=True), FITS["exact"][0], likelihood="exact", engine="laplace")))
    assert "15 microstates; 20 are needed" in told or "15 independent microstates are too few" in told
    assert not FOREIGN.findall(told)


@pytest.mark.parametrize("search", [coincidences, images])
def test_rows_that_are_no_chain_are_searched_for_copies(search):
    """Independent draws were taken for weighted rows, whose equal ones are no repeats, and rows written twice were not seen."""
    lattice = hl.systems.lattice.hypercubic((6, 6))
    data = hl.simulate(hl.systems.Ising(lattice, J=0.2), beta=1.0, draws=300, seed=0, sampler="exact")
    once = data["state"].values.reshape(-1, 36)
    twice = np.concatenate([once, once if search is coincidences else -once])
    made = hl.microstates(np.random.default_rng(0).permutation(twice), independent=True)
    post = hl.infer.learn(made, hl.models.Couplings(lattice, tie="uniform", fields=None), engine="laplace", calibrate=False)
    found = search.find(next(views(post, [made])))
    assert [one.topic for one in found] == ["repeated rows"] and found[0].severity == "serious"
    sound = hl.microstates(once, independent=True)
    assert not search.find(next(views(post, [sound])))
