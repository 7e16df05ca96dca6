"""How two posteriors differ: tests whose p-values are uniform where nothing does, units, pairs of groups, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import xarray as xr

import hamlearn as hl
from hamlearn.diagnostics.about import introduced
from hamlearn.infer import calibrate, posteriors, scatter, wald
from hamlearn.infer.provenance import Comparison, ErrorBars
from statistics_budget import spend

SQUARE = hl.systems.lattice.hypercubic((2, 2), periodic=False)
MODEL = hl.models.Couplings(SQUARE, fields=None)


def learned(J: object, seed: int, *, beta: float = 1.0, rows: int = 400, model: object = MODEL, **changes: object) -> xr.DataTree:
    system = hl.systems.Pairwise(SQUARE, np.broadcast_to(np.asarray(J, float), 4))
    data = hl.simulate(system, beta=beta, draws=rows, chains=1, seed=seed, sampler="exact", progress=False)
    data = data.assign_attrs(**changes) if changes else data
    return hl.infer.learn(data, model, engine="laplace", seed=seed)


@pytest.fixture(scope="module")
def pair() -> tuple[xr.DataTree, xr.DataTree]:
    return learned([0.5, 0.5, -0.5, 0.2], 2), learned([0.5, 0.5, 0.5, 0.2], 3, rows=1500)


def test_a_difference_is_found_where_it_is(pair):
    found = hl.compare(*pair)
    table = found.to_dataset()
    assert table["parameter"].values.tolist() == ["J[0,2]", "J[1,3]", "J[0,1]", "J[2,3]"]
    assert found.p_value < 1e-6 and table["q_value"].values[2] < 1e-6 and np.all(table["q_value"].values[[0, 1, 3]] > 0.01)
    assert float(table["positive"][2]) == 0 and float(table["upper"][2]) < -0.5 < float(table["lower"][0])
    assert table.attrs["parameters"] == 4 and np.isinf(table.attrs["degrees"]) and not table.attrs["unsaid"]
    first, *rows = str(found).splitlines()
    assert "1 of 4 is different" in first and rows[2].startswith("J[0,1]")
    assert "J[0,1]" in found._repr_html_() and "<script" not in found._repr_html_()
    back = hl.compare(*reversed(pair))
    np.testing.assert_allclose(back.table["p_value"], table["p_value"], rtol=1e-9)
    assert back.p_value == pytest.approx(found.p_value) and float(back.table["mean"][2]) > 0


def test_bonds_may_be_listed_in_any_order():
    """One Hamiltonian, of different couplings: bonds of the second posterior are those of the first, backwards."""
    strengths, bonds = np.array([0.1, 0.4, -0.5, 0.9]), SQUARE.bonds
    drawn = [hl.simulate(hl.systems.Pairwise(SQUARE, strengths), beta=1.0, draws=400, seed=seed, sampler="exact") for seed in (0, 1)]
    data = [hl.microstates(one["state"].values.reshape(-1, 4), beta=1.0) for one in drawn]
    posts = [hl.infer.learn(data[k], hl.models.Couplings(listed, fields=None), engine="laplace") for k, listed in ((0, bonds), (1, bonds))]
    known = hl.compare(*posts)
    found = hl.compare(posts[0], hl.infer.learn(data[1], hl.models.Couplings(bonds[::-1], fields=None), engine="laplace"))
    for name in ("mean", "sd", "p_value"):  # of other draws
        np.testing.assert_allclose(found.table[name], known.table[name], atol=0.02)
    assert found.p_value == pytest.approx(known.p_value, abs=0.02)


def test_temperatures_are_taken_into_account():
    """One Hamiltonian at two temperatures; where one is not declared, βJ is compared, and that is said."""
    cold, hot = learned(0.6, 0, beta=1.0, rows=3000), learned(0.6, 1, beta=0.5, rows=3000)
    assert hl.compare(cold, hot).p_value > 1e-3 and hl.compare(cold, hot).quantity == "parameters"
    unknown = learned(0.3, 2, rows=3000, beta_declared=0)  # βJ = 0.3, as of the hot one
    found = hl.compare(hot, unknown)
    assert found.p_value > 1e-3 and "β times" in found.summary
    assert hl.compare(cold, unknown).p_value < 1e-6


def test_a_normal_prior_is_taken_out_of_a_normal_posterior():
    generator = np.random.default_rng(0)
    root = generator.normal(size=(5, 5))
    covariance, estimate, precision = root @ root.T, generator.normal(size=5), np.array([1.0, 1.0, 4.0, 0.25, 0.01])
    posterior = np.linalg.inv(np.linalg.inv(covariance) + np.diag(precision))
    bars = ErrorBars()
    found = wald.without_prior(wald.Alone(posterior @ np.linalg.inv(covariance) @ estimate, posterior, bars), precision)
    np.testing.assert_allclose(found.estimate, estimate, rtol=1e-8)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8)


def test_discovery_rates_are_those_of_benjamini_and_hochberg():
    p_values = np.random.default_rng(0).uniform(size=40) ** 3
    np.testing.assert_allclose(wald.discovery_rates(p_values), scipy.stats.false_discovery_control(p_values))


@pytest.mark.parametrize("batches", [(6, 6), (1000, 10)])
def test_p_values_are_uniform_where_nothing_differs(batches):
    """Covariances known from few batches: each estimated from scores that are drawn here, as calibration estimates them."""
    generator, p = np.random.default_rng(sum(batches)), 5
    root = np.linalg.cholesky(0.5 * np.eye(p) + 0.5)
    truth = root @ root.T
    found = []
    for _ in range(1500):
        sides = []
        for count in batches:
            scores = generator.normal(size=(count, p)) @ np.linalg.inv(root)  # whose covariance is the information
            centred = scores - scores.mean(0)
            score = scatter.ScoreCovariance(centred.T @ centred / (count - 1), count, 5.0, 100.0, "batches", False)
            half = calibrate.steady_sandwich(np.linalg.inv(truth), score)
            bars = ErrorBars(adjusted=True, kind="batches", batches=count, tau=5.0, ess=100.0)
            sides.append(wald.Alone(root @ generator.normal(size=p), half @ half.T, bars))
        found.append(wald.tested(*sides))
    assert scipy.stats.kstest([one.p_value for one in found], "uniform").pvalue > spend()
    assert scipy.stats.kstest([one.p_values[0] for one in found], "uniform").pvalue > spend()


def test_groups_of_one_posterior_are_compared_draw_by_draw():
    data = {
        name: hl.simulate(hl.systems.Pairwise(SQUARE, np.full(4, J)), beta=1.0, draws=300, chains=1, seed=seed, sampler="exact")
        for seed, (name, J) in enumerate({"anna": 0.2, "ben": 0.25, "eve": 0.8}.items())
    }
    post = hl.infer.learn(data, hl.models.Hierarchical(MODEL, by="subject"), engine=hl.infer.Pooled(draws=200, warmup=100), seed=0)
    anna, ben, eve = (hl.infer.group(post, name) for name in data)
    moved = (post["posterior"]["J"].sel(subject="anna") - post["posterior"]["J"].sel(subject="eve")).values.reshape(-1, 4)
    found = hl.compare(anna, eve)
    np.testing.assert_allclose(found.table["sd"], moved.std(0))  # what both have in common cancels
    alone = [hl.infer.learn(data[name], MODEL, engine="laplace", seed=0) for name in ("anna", "eve")]
    assert found.p_value == pytest.approx(hl.compare(*alone).p_value, rel=0.6) and found.p_value < 1e-4  # the data's own statement
    assert hl.compare(anna, ben).p_value > 0.01
    unseen = hl.compare(anna, hl.infer.group(post))
    assert "not observed" in unseen.summary and np.isnan(unseen.p_value) and np.all(np.isfinite(unseen.table["mean"]))


def test_what_cannot_be_compared_is_refused(pair):
    first, _ = pair
    named = hl.microstates(np.sign(np.random.default_rng(0).normal(size=(200, 4))).astype(int), names=list("abcd"), beta=1.0)
    chain = hl.models.Couplings([[0, 1], [1, 2]], fields=None)
    other = hl.infer.learn(named, chain, engine="laplace")
    renamed = hl.infer.learn(named.assign_coords(site=list("abce")).isel(draw=slice(1, None)), chain, engine="laplace")
    worded = other.copy()
    worded.attrs |= {"codes": '["no", "yes"]', "fingerprint": ""}
    hierarchical = hl.infer.learn(
        {"a": named, "b": named.isel(draw=slice(1, 100))}, hl.models.Hierarchical(chain), engine=hl.infer.Pooled(draws=5, warmup=4)
    )
    with_fields = learned(0.5, 3, model=hl.models.Couplings(SQUARE))
    for left, right, said in (
        (first, first, "same microstates"),
        (first, with_fields, r"only the second posterior has the parameter h\[0\]"),
        (first, other, "different states or sites"),
        (other, renamed, "different sites"),
        (other, worded, "called otherwise"),
        (hierarchical, hierarchical, r"no parameters to compare one by one: .*hl\.infer\.group\(post, name\)"),
        (first, None, "expected a posterior"),
    ):
        with pytest.raises(hl.HamlearnError, match=said) as caught:
            hl.compare(left, right)
        assert "\n" not in str(caught.value)


def test_what_has_no_test_says_why():
    """Priors that cannot be taken out again leave intervals and probabilities."""
    model = hl.models.Couplings(SQUARE, fields=None, prior="laplace")
    posts = []
    for seed in (0, 1):
        data = hl.simulate(hl.systems.Ising(SQUARE), beta=0.5, draws=100, chains=1, seed=seed, sampler="exact")
        posts.append(hl.infer.from_samples({"theta": np.random.default_rng(seed).normal(size=(2, 50, 4))}, hl.infer.program(data, model)))
    found = hl.compare(*posts)
    assert "prior that is not normal" in found.summary and np.isnan(found.p_value)
    assert np.all(np.isfinite(found.table[["lower", "upper", "positive"]].to_array()))


@pytest.mark.parametrize("seed", ["a", -1, None])
def test_seeds_are_whole_numbers(pair, seed):
    with pytest.raises(hl.HamlearnError, match="seed must be a whole number"):
        hl.compare(*pair, seed=seed)


def doubted(post: xr.DataTree) -> xr.DataTree:
    """A copy that is not to be believed."""
    differs = Comparison("differs", overall_p=1e-9, statistics=5, held_out=5, failed=("energy",), largest_z=9.0)
    return posteriors.with_provenance(post.copy(), check=differs)


def test_answers_say_which_posterior_is_not_to_be_believed(pair):
    first, second = pair
    told = str(hl.compare(first, doubted(second))).splitlines()[0]
    assert told.startswith("The second posterior is not to be believed: The model family does not fit")
    assert "first posterior is not" in hl.compare(doubted(first), second=second).to_dataset().attrs["notes"]
    assert "<p>The first posterior" in hl.compare(doubted(first), second)._repr_html_()
    assert hl.compare(first, second).notes == ()
    told, plain = (hl.plan(one, width=0.2, beta=1.0).rests_on for one in (doubted(first), first))
    assert told[0].startswith("The posterior behind this is not to be believed") and told[1:] == plain


def test_tables_and_datasets_say_it_as_comparisons_do(pair):
    """Where the verdict is at hand it is asked; elsewhere the sentence is read that was recorded when the posterior was judged."""
    bare, data = pair[0], hl.simulate(hl.systems.Ising((2, 2)), beta=0.5, draws=40, seed=0)
    judged = introduced(doubted(bare))
    chip = hl.systems.Pairwise(SQUARE, 1.0)
    scaled = hl.infer.learn(data.assign_coords(beta=1.0), hl.models.Scale(chip), engine="laplace")
    asked = {
        "pairs": hl.diagnostics.pairs,
        "residuals": lambda post: hl.diagnostics.residuals(post, scaled),
        "triplets": lambda post: hl.diagnostics.triplets(post, data),
        "centrality": hl.infer.centrality,
        "basins": lambda post: hl.infer.basins(post, data, draws=2),
        "contacts": lambda post: hl.infer.contacts(post, average_product_correction=False),
        "information": lambda post: hl.infer.information(post, data),
    }
    for name, function in asked.items():
        found, plain = function(judged), function(bare)
        whose = "first posterior" if name == "residuals" else "posterior behind this"
        assert found.attrs["doubts"].startswith(f"The {whose} is not to be believed: The model family does not fit"), name
        assert f"The {whose} is not" in repr(found) and "doubts" not in plain.attrs and "is not to be" not in repr(plain), name
        assert "is not to be believed" in found._repr_html_(), name
    table = hl.diagnostics.pairs(judged)
    assert repr(table).startswith("The posterior behind this") and type(table[table["found"]]) is type(hl.diagnostics.pairs(bare))
    again = introduced(posteriors.with_provenance(judged, check=None))
    assert "doubt" not in again.attrs and "doubts" not in hl.infer.centrality(again).attrs
