"""Pointwise log likelihoods: against enumeration, in every layout, and through ArviZ's loo and compare."""

import arviz_stats
import numpy as np
import pytest
import scipy.special

import hamlearn as hl
from hamlearn.infer import pointwise
from hamlearn.systems import lattice
from hamlearn.systems.pairs import Pairs
from statistics_budget import assert_within

OPEN = lattice.hypercubic((2, 3), periodic=False)
BETA = 0.7
STATES = 2 * ((np.arange(64)[:, None] >> np.arange(6)) & 1) - 1


def energy(J, h, states):
    """−Σ J σσ − Σ h σ by a loop over bonds."""
    total = -(states * h).sum(-1)
    for (i, j), one in zip(OPEN.bonds, J, strict=True):
        total = total - one * states[..., i] * states[..., j]
    return total


def by_row(J, h, rows):
    return -BETA * energy(J, h, rows) - scipy.special.logsumexp(-BETA * energy(J, h, STATES))


def by_site(J, h, rows):
    found = np.empty(rows.shape)
    for i in range(rows.shape[1]):
        other = rows.copy()
        other[:, i] *= -1
        found[:, i] = -np.logaddexp(0, -BETA * (energy(J, h, other) - energy(J, h, rows)))
    return found


@pytest.fixture(scope="module")
def data():
    return hl.simulate(hl.systems.EdwardsAnderson((2, 3), seed=1, periodic=False), beta=BETA, draws=80, chains=1, seed=0, sampler="exact")


def learned(data, likelihood="exact", **more):
    model = hl.models.Couplings(OPEN, fields="site", **more)
    return hl.infer.learn(data, model, likelihood=likelihood, engine=hl.infer.LaplaceApproximation(draws=40, chains=2))


@pytest.mark.parametrize("likelihood", ["exact", "pseudo"])
def test_rows_and_sites_against_enumeration(data, likelihood):
    post = hl.infer.log_likelihood(learned(data, likelihood), data, draws=5)
    group, rows = post["log_likelihood"].to_dataset(), data["state"].values.reshape(-1, 6).astype(int)
    expected = by_row if likelihood == "exact" else by_site
    assert group["microstates"].dims == ("chain", "draw", "row", "site")[: 3 if likelihood == "exact" else 4]
    for chain, draw in [(0, 0), (1, 3)]:
        one = post["posterior"].isel(chain=chain, draw=draw)
        np.testing.assert_allclose(group["microstates"][chain, draw], expected(one["J"].values, one["h"].values, rows), atol=1e-10)
    assert (group.attrs["learned_from"], group.attrs["likelihood"]) == (1, likelihood)
    assert ("not the likelihood of microstates" in group.attrs["what"]) == (likelihood == "pseudo")
    assert ("calibrated" in group.attrs.get("caveat", "")) == (likelihood == "pseudo")


@pytest.mark.parametrize("dense", [0.0, 1.0])
def test_what_sites_see_of_pairs_by_a_loop_over_bonds(dense, monkeypatch):
    """Three states and tables that tell the ends of a bond apart, by a dense and a sparse product."""
    monkeypatch.setattr(pointwise, "_DENSE", dense)
    monkeypatch.setattr(pointwise, "_AT_ONCE", 40)
    rng, chain = np.random.default_rng(0), lattice.hypercubic((4,), periodic=False)
    pairs = Pairs(chain, 3, rng.normal(size=(3, 3, 3)), rng.normal(size=(4, 3)))
    rows, beta = rng.integers(3, size=(5, 4)), rng.uniform(0.5, 1.0, 5)
    found = pointwise._sites_of_pairs(pairs, rows, beta)
    for r, i in np.ndindex(5, 4):
        weight = []
        for value in (rows[r, i], 0, 1, 2):
            row = [value if k == i else int(rows[r, k]) for k in range(4)]
            total = sum(pairs.fields[k, row[k]] for k in range(4))
            weight.append(np.exp(beta[r] * (total + sum(pairs.tables[b, row[j], row[k]] for b, (j, k) in enumerate(chain.bonds)))))
        assert np.isclose(found[r, i], np.log(weight[0] / sum(weight[1:])), atol=1e-12)


def test_counts_expand_and_weights_are_refused(data):
    rows, counts = np.unique(data["state"].values.reshape(-1, 6), axis=0, return_counts=True)
    histogram = hl.microstates(rows.reshape(-1, 2, 3), space="spins", beta=BETA, counts=counts)
    post = learned(histogram)
    found = hl.infer.log_likelihood(post, histogram, draws=2)["log_likelihood"]["microstates"]
    assert found.sizes["row"] == 80
    order = np.lexsort(data["state"].values.reshape(-1, 6).T[::-1])
    plain = hl.infer.log_likelihood(post, data, draws=2)["log_likelihood"]
    np.testing.assert_allclose(found, plain["microstates"][..., order])
    assert plain.attrs["learned_from"] == 0 and "predictive densities" in plain.attrs["caveat"]
    weighted = hl.microstates(rows.reshape(-1, 2, 3), space="spins", beta=BETA, weights=counts / 80)
    with pytest.raises(hl.HamlearnError, match="nothing to leave out"):
        hl.infer.log_likelihood(post, weighted)


def test_other_families_and_densities(data):
    """Three states, several temperatures, an unknown form, and a normalised density."""
    colder = hl.simulate(hl.systems.EdwardsAnderson((2, 3), seed=1, periodic=False), beta=1.0, draws=20, chains=1, seed=1, sampler="exact")
    both = hl.infer.log_likelihood(learned([data, colder]), [data, colder], draws=1)["log_likelihood"]
    assert both["beta"].values.tolist() == [BETA] * 80 + [1.0] * 20
    potts = hl.simulate(hl.systems.Potts((2, 2), q=3), beta=0.5, draws=60, chains=1, seed=0, sampler="exact")
    post = hl.infer.learn(
        potts, hl.models.Couplings(lattice.hypercubic((2, 2)), interaction="potts"), engine="laplace", likelihood="pseudo"
    )
    sites = hl.infer.log_likelihood(post, potts, draws=3)["log_likelihood"]["microstates"]
    assert sites.shape == (4, 3, 60, 4) and float(sites.max()) < 0
    torus = hl.simulate(hl.systems.Ising((4, 4)), beta=0.3, draws=60, chains=1, seed=0)
    post = hl.infer.learn(torus, hl.models.ClusterExpansion(window=2))
    assert hl.infer.log_likelihood(post, torus, likelihood="pseudo", draws=2)["log_likelihood"]["microstates"].sizes["site"] == 16
    density = hl.infer.learn(data, hl.models.Autoregressive(hidden=4), engine=hl.infer.Training(epochs=1))
    found = hl.infer.log_likelihood(density, data)["log_likelihood"]["microstates"]
    np.testing.assert_allclose(found[0], hl.log_prob(density, data)[:, 0], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # ArviZ's, to pandas
def test_loo_and_compare_pick_the_model_of_the_data(tmp_path):
    """One coupling for all bonds against a coupling for every bond, on data of a glass."""
    data = hl.simulate(hl.systems.EdwardsAnderson((2, 3), seed=1, periodic=False), beta=BETA, draws=300, chains=1, seed=0, sampler="exact")
    engine, posts = hl.infer.LaplaceApproximation(draws=150, chains=2), {}
    for tie in ("bond", "uniform"):
        post = hl.infer.learn(data, hl.models.Couplings(OPEN, tie=tie, fields=None), likelihood="exact", engine=engine)
        posts[tie] = hl.infer.log_likelihood(post, data)
    table = arviz_stats.compare(posts)
    assert list(table.index) == ["bond", "uniform"] and table.loc["uniform", "elpd_diff"] > 10
    loo = arviz_stats.loo(posts["bond"])
    assert loo.n_data_points == 300 and 4 < loo.p < 10  # seven couplings
    again = hl.load(hl.save(posts["bond"], tmp_path / "post.nc"))
    assert arviz_stats.loo(again).elpd == pytest.approx(loo.elpd, rel=1e-6)


def test_loo_is_what_fits_without_each_row_say_of_it():
    """One coupling and 24 rows: every row is left out by hand, its density averaged over the posterior of the other 23 on a grid."""
    data = hl.simulate(hl.systems.Ising(OPEN), beta=BETA, draws=24, chains=1, seed=0, sampler="exact")
    model = hl.models.Couplings(OPEN, tie="uniform", fields=None, prior=hl.models.Normal(0.5))
    post = hl.infer.learn(data, model, likelihood="exact", engine=hl.infer.ImportanceSampling(draws=250, chains=4))
    group = hl.infer.log_likelihood(post, data)
    loo = arviz_stats.loo(group, pointwise=True)

    grid, rows = np.linspace(-3, 4, 1401), data["state"].values.reshape(-1, 6).astype(int)
    ln_p = np.array([by_row(np.full(OPEN.n_bonds, J), np.zeros(6), rows) for J in grid])  # (grid, row)
    others = -0.5 * (grid[:, None] / 0.5) ** 2 + ln_p.sum(1, keepdims=True) - ln_p  # of the prior and all rows but one
    exact = scipy.special.logsumexp(ln_p + others, axis=0) - scipy.special.logsumexp(others, axis=0)

    parts = [group.isel(chain=[chain], draw=slice(start, start + 125)) for chain in range(4) for start in (0, 125)]
    found = np.array([arviz_stats.loo(part, pointwise=True, reff=1.0).elpd_i.values for part in parts])
    assert_within(loo.elpd_i.values, exact, found.std(0, ddof=1) / 8**0.5, "elpd of every row")
    assert_within(loo.elpd, exact.sum(), found.sum(1).std(ddof=1) / 8**0.5, "elpd")
    assert ln_p[np.argmax(ln_p.sum(1))].sum() - exact.sum() > 5 * found.sum(1).std(ddof=1)  # which the density at the optimum is not


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # ArviZ's, to pandas
@pytest.mark.filterwarnings(
    "ignore:(divide by zero|invalid value):RuntimeWarning"
)  # its own too: sites without a field, alike in all draws
def test_loo_and_compare_run_on_composites_by_site_and_by_row():
    """Both pick the model of the data; the standard error that takes sites for independent is the smaller one, which the caveat says."""
    data = hl.simulate(hl.systems.EdwardsAnderson((2, 3), seed=1, periodic=False), beta=BETA, draws=300, chains=1, seed=0, sampler="exact")
    engine, sites = hl.infer.LaplaceApproximation(draws=100, chains=2), {}
    for tie in ("bond", "uniform"):
        post = hl.infer.learn(data, hl.models.Couplings(OPEN, tie=tie, fields=None), likelihood="pseudo", engine=engine)
        sites[tie] = hl.infer.log_likelihood(post, data)
        told = sites[tie]["log_likelihood"].attrs
        assert "standard errors by site are too small" in told["what"] and "calibrated likelihood" in told["caveat"]
    rows = {name: post.copy() for name, post in sites.items()}
    for post in rows.values():
        post["log_likelihood"].dataset = post["log_likelihood"].to_dataset().sum("site")
    for posts, count in ((sites, 1800), (rows, 300)):
        assert list(arviz_stats.compare(posts).index) == ["bond", "uniform"]
        assert arviz_stats.loo(posts["bond"]).n_data_points == count
    by_site, by_whole_row = (arviz_stats.loo(posts["bond"]) for posts in (sites, rows))
    assert by_site.elpd == pytest.approx(by_whole_row.elpd, rel=0.01) and by_site.se < 0.9 * by_whole_row.se


def test_what_cannot_be_said_is_refused(data, monkeypatch):
    post = learned(data)
    monkeypatch.setitem(hl.infer.log_likelihood.__wrapped__.__globals__, "LIMIT", 1000)
    with pytest.raises(hl.HamlearnError, match=r"80 rows under 2 × 40 draws are 50\.0 KiB.*Ask for fewer draws"):
        hl.infer.log_likelihood(post, data)
    monkeypatch.undo()
    angles = hl.simulate(hl.systems.XY((2, 3)), beta=0.5, draws=50, chains=1, seed=0)
    fixed = hl.simulate(hl.systems.FixedMagnetization(hl.systems.Ising((2, 3)), 0), beta=BETA, draws=20, chains=2, seed=0)
    with pytest.raises(hl.HamlearnError, match=r"the data are Spins\(magnetization=0\)"):
        hl.infer.log_likelihood(post, fixed)
    with pytest.raises(hl.HamlearnError, match="the data are angles"):
        hl.infer.log_likelihood(post, angles)
    rotors = hl.infer.learn(angles, hl.models.Couplings(lattice.hypercubic((2, 3)), fields=None), engine="laplace")
    with pytest.raises(hl.HamlearnError, match="need a normalised density"):
        hl.infer.log_likelihood(rotors, angles)
