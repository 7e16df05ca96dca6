"""Groups that are drawn when asked: predicted microstates against enumeration, prior draws against the prior's own numbers."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.systems import lattice
from statistics_budget import assert_within

OPEN = lattice.hypercubic((2, 3), periodic=False)
STATES = 2 * ((np.arange(64)[:, None] >> np.arange(6)) & 1) - 1
BETA = 0.5


@pytest.fixture(scope="module")
def data():
    return [hl.simulate(hl.systems.Ising(OPEN), beta=beta, draws=300, chains=1, seed=0, sampler="exact") for beta in (BETA, 2 * BETA)]


@pytest.fixture(scope="module")
def post(data):
    return hl.infer.learn(data, hl.models.Couplings(OPEN), engine="laplace", seed=0)


def neighbours(J, h, beta):
    """Mean σσ over all bonds, by a sum over all states."""
    pairs = STATES[:, OPEN.bonds[:, 0]] * STATES[:, OPEN.bonds[:, 1]]
    weight = np.exp(beta * (pairs @ J + STATES @ h))
    return float(pairs.mean(1) @ weight / weight.sum())


def test_predicted_microstates_are_those_of_the_members_at_their_temperatures(post, data):
    asked = hl.diagnostics.posterior_predictive(post, data, draws=40, rows=200, seed=1)
    predicted, observed = asked["posterior_predictive"].to_dataset(), asked["observed_data"].to_dataset()
    assert dict(predicted["microstates"].sizes) == {"chain": 1, "draw": 40, "row": 400, "site": 6}
    assert "site_frequency" in observed and observed.sizes["row"] == 400 and "microstates" not in post["observed_data"]
    flat = {name: post["posterior"][name].values.reshape(-1, post["posterior"][name].shape[-1]) for name in ("J", "h")}
    for beta in (BETA, 2 * BETA):
        here = predicted.isel(row=np.flatnonzero(predicted["beta"] == beta))["microstates"].values[0]
        per_member = (here[..., OPEN.bonds[:, 0]] * here[..., OPEN.bonds[:, 1]]).mean((1, 2))
        expected = np.mean([neighbours(J, h, beta) for J, h in zip(flat["J"][::40], flat["h"][::40], strict=True)])
        assert_within(per_member.mean(), expected, per_member.std(ddof=1) / np.sqrt(40), f"neighbours at {beta}")
    np.testing.assert_allclose(observed["order"], np.abs(observed["microstates"].values.mean(-1)))
    rows = np.concatenate([one["state"].values.reshape(-1, 6) for one in data])
    assert {tuple(row) for row in observed["microstates"].values.astype(int)} <= {tuple(row) for row in rows.astype(int)}


def test_prior_draws_have_the_width_that_was_used(data):
    model = hl.models.Couplings(OPEN, prior=hl.models.Normal(0.3), tie="uniform")
    drawn = hl.infer.prior(hl.infer.learn(data, model, engine="laplace"), draws=2000, seed=0)["prior"]
    J = drawn["J"].values[0]
    assert np.all(J == J[:, :1]) and drawn["h"].shape == (1, 2000, 6)
    assert_within(J[:, 0].std(), 0.3, 0.3 / np.sqrt(4000), "width of the prior")


def test_what_has_no_such_groups_is_refused(post, data):
    weighted = hl.microstates(STATES.reshape(-1, 2, 3), space="spins", beta=BETA, weights=np.ones(64))
    with pytest.raises(hl.HamlearnError, match="statistical weights"):
        hl.diagnostics.posterior_predictive(post, weighted)
    with pytest.raises(hl.HamlearnError, match=r"on sites \(2, 3\)"):
        hl.diagnostics.posterior_predictive(post, hl.microstates(STATES, space="spins", beta=BETA))
    fields = hl.microstates(np.random.default_rng(0).normal(size=(200, 4)), space="reals", beta=1.0)
    action = hl.infer.learn(fields, hl.models.PolynomialAction((2,)))
    with pytest.raises(hl.HamlearnError, match=r"flat.*hl\.models\.Normal"):
        hl.infer.prior(action)
