"""The predictive check: p-values of right models are uniform or larger, planted defects are found, splits leak nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from posteriors import COUPLINGS, SQUARE, drawn, glass

import hamlearn as hl
from hamlearn.diagnostics import check, comparison, holdout, predictions
from hamlearn.diagnostics.features import Features, bin_edges
from hamlearn.diagnostics.strongest import strongest
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.systems import exact, lattice
from statistics_budget import assert_within, spend


def test_a_right_model_is_rarely_objected_to():
    n, objections, found = 40, 0, {}
    for seed in range(n):
        data = drawn(hl.systems.EdwardsAnderson(SQUARE, seed=seed), 0.5, 1000, seed)
        table = check(data, COUPLINGS(SQUARE), draws=200, seed=seed)
        objections += table.attrs["overall_p"] < 0.01
        for name, p in zip(table["statistic"].values, table["p_value"].values, strict=True):
            found.setdefault(str(name), []).append(p)
    assert scipy.stats.binomtest(objections, n, 0.01, alternative="greater").pvalue > spend()
    # One statistic over data sets: its p-values are independent, and small ones no more frequent than they say.
    least = min(scipy.stats.kstest(p, "uniform", alternative="greater").pvalue for p in found.values())
    assert len(found) >= 8 and least * len(found) > spend()


def test_a_fit_of_more_parameters_than_rows_is_not_held_against_its_energies():
    """All pairs of 16 spins from 116 rows of the fitted half; microstates from a plain enumeration."""
    states = ((np.arange(2**16)[:, None] >> np.arange(16)) & 1) * 2.0 - 1
    p_values = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        J, h = np.triu(rng.normal(0, 0.25, (16, 16)), 1), rng.normal(0, 0.1, 16)
        weight = np.cumsum(np.exp(np.sum(states @ J * states, 1) + states @ h))
        rows = states[np.searchsorted(weight / weight[-1], rng.random(232))].astype(int)
        table = check(hl.microstates(rows, beta=1.0), hl.models.Couplings(None), seed=0)
        found = dict(zip(table["statistic"].values, table["p_value"].values, strict=True))
        p_values.append(float(found.get("variance of the energy", 1.0)))  # undecided where half of the data is separable
    assert scipy.stats.combine_pvalues(p_values).pvalue > spend(), p_values


@pytest.mark.parametrize(("beta", "runs"), [(0.3, [200]), (1.6, [200, None]), (2.0, [200, None])], ids=["fast", "half seen", "slow"])
def test_chains_from_data_burn_in_for_as_long_as_their_draws_ask(monkeypatch, beta, runs):
    """They begin in rows of another temperature, as those of a model that misfits do, and forget them."""
    asked, plain = [], predictions.sampling.simulate

    def simulate(*args, **more):
        asked.append(more.get("burn_in"))
        return plain(*args, sampler="heat_bath", **more)

    monkeypatch.setattr(predictions.sampling, "simulate", simulate)
    world, other = hl.systems.EdwardsAnderson((4, 4), seed=1), 0.6
    start = exact.sample(world, other, 64, 0).reshape(64, 4, 4)
    states = predictions._from_data(world, beta, 6400, start, 0)["state"].values
    assert asked == runs
    energy = world.energy(states).mean(1)  # of every chain, which are independent
    assert_within(energy.mean(), 16 * float(exact.thermodynamics(world, beta)["energy"][0]), energy.std(ddof=1) / 8, "energy")


def next_nearest():
    wide = lattice.hypercubic((4, 4)).pairs_within(1.5)
    far = wide.distances[tuple(wide.bonds.T)] > 1.2
    J = np.where(far, 0.3, np.random.default_rng(0).normal(size=wide.n_bonds))
    states = exact.sample(hl.systems.Pairwise(wide, J), 0.5, 4000, 0)
    return hl.microstates(states, beta=0.5), COUPLINGS(lattice.hypercubic((4, 4)))


def fields_left_out():
    h = 0.4 * np.random.default_rng(1).normal(size=9)
    return drawn(hl.systems.Pairwise(SQUARE, 1.0, h), 0.3, 4000, 0), COUPLINGS(SQUARE, fields=None)


def tied_wrongly():
    J = 1 + 0.6 * np.random.default_rng(2).normal(size=SQUARE.n_bonds)
    return drawn(hl.systems.Pairwise(SQUARE, J), 0.4, 4000, 0), COUPLINGS(SQUARE, tie="uniform", fields=None)


def wrong_beta():
    system = hl.systems.EdwardsAnderson(SQUARE, seed=3)
    second = drawn(system, 0.6, 4000, 1).assign_coords(beta=1.0)
    return [drawn(system, 0.4, 4000, 0), second], COUPLINGS(SQUARE)


DEFECTS = {
    "next-nearest couplings": (next_nearest, "pair correlation at distance 1.41"),
    "fields": (fields_left_out, "single sites"),
    "tied": (tied_wrongly, "bond correlations"),
    "temperature": (wrong_beta, "mean energy at beta"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found_and_named(defect):
    make, name = DEFECTS[defect]
    table = check(*make(), seed=0)
    assert table.attrs["decision"] == "differs" and table.attrs["overall_p"] < 1e-3, table.attrs
    worst = table["statistic"].values[table["p_adjusted"].values < 0.01]
    assert any(str(one).startswith(name) for one in worst), worst


def test_q_states_and_histograms_are_checked_too():
    data = drawn(hl.systems.Potts(SQUARE, 3), 0.6, 2000, seed=0)
    table = check(data, COUPLINGS(SQUARE, interaction="potts"), seed=0)
    assert "pairs of states on bonds" in table["statistic"].values
    assert table.attrs["overall_p"] > spend()
    rows, counts = np.unique(glass()["state"].values.reshape(-1, 9), axis=0, return_counts=True)
    histogram = hl.microstates(rows.reshape(-1, 3, 3), beta=0.5, counts=counts)
    assert check(histogram, COUPLINGS(SQUARE), seed=0).attrs["overall_p"] > spend()


@pytest.mark.parametrize("order", [{"independent": True}, {"counts": np.repeat([1, 2], 200)}])
def test_halves_of_rows_without_order_keep_what_is_known_of_their_sites(order):
    rows = np.random.default_rng(0).choice([-1, 1], (400, 3))
    data = hl.microstates(rows, names=["anna", "ben", "eve"], **order).assign_coords(n_states=("site", [2, 2, 2]))
    fit, _ = holdout.split(data, np.random.default_rng(0))
    assert fit["site"].values.tolist() == ["anna", "ben", "eve"] and fit["n_states"].values.tolist() == [2, 2, 2]
    table = check(data.drop_vars("n_states"), COUPLINGS([("anna", "ben"), ("ben", "eve")]), seed=0)
    assert table.attrs["width_ratio"] is not None, table.attrs["skipped"]  # half was learned: bonds by name found their sites


def test_the_same_seed_gives_the_same_table():
    first, second = (check(glass(), COUPLINGS(SQUARE), seed=4) for _ in range(2))
    assert first.identical(second)


def chain_of(tau: float, chains: int, draws: int) -> object:
    """Copies of independent states, each repeated: autocorrelated by construction."""
    states = exact.sample(hl.systems.EdwardsAnderson(SQUARE, seed=1), 0.5, int(chains * draws / tau), 0)
    states = np.repeat(states, int(tau), axis=0).reshape(chains, draws, 3, 3)
    return hl.microstates(states, beta=0.5, dims=("chain", "draw", "x", "y"))


def never_apart():
    """Two of three spins always agree: no finite maximum of the likelihood."""
    free = np.random.default_rng(0).choice([-1, 1], (200, 2))
    return hl.microstates(free[:, [0, 1, 1]], beta=1.0)


# data, what kept them from being compared, the way out, and what would not help
UNDECIDED = {
    "slow": (lambda: chain_of(20, 1, 1000), SQUARE, "blocks", "longer chains", "tie or drop"),
    "few": (lambda: drawn(hl.systems.EdwardsAnderson(SQUARE, seed=1), 0.5, 30, 0), SQUARE, "too few", "80 independent", "chains"),
    "separable": (never_apart, None, "does not determine", "tie or drop", "chains"),
}


@pytest.mark.parametrize("case", UNDECIDED)
def test_what_leaves_it_undecided_says_the_way_out_of_just_that(case):
    data, graph, why, way_out, useless = UNDECIDED[case]
    table = check(data(), COUPLINGS(graph), seed=0)
    said = " ".join((table.attrs["reason"], table.attrs.get("skipped", "")))
    assert why in said and way_out in table.attrs["advice"] and useless not in table.attrs["advice"], table.attrs
    assert table.attrs["decision"] == "undecided" or table.attrs["named"]


def test_what_keeps_the_half_from_being_fitted_is_passed_on(monkeypatch):
    """It is not always that there are too few data: the cause stands in the sentence, and its own way out beside it."""

    def refused(*args, **more):
        raise HamlearnError("tables of 1.5e+11 numbers do not fit. Thin the data, or take a sparser graph.")

    monkeypatch.setattr(comparison, "refit", refused)
    table = check(glass(), COUPLINGS(SQUARE), seed=0)
    said = " ".join((table.attrs["reason"], table.attrs.get("skipped", "")))
    assert "cannot be fitted to half of the data (tables of 1.5e+11 numbers do not fit)" in said and "determine" not in said
    assert "Thin the data, or take a sparser graph." in table.attrs["advice"] and "half of the rows" not in table.attrs["advice"]


def test_the_slowest_time_is_found():
    assert 3 < holdout.slowest_tau(chain_of(4, 2, 4000)) < 6  # repeating every state four times gives τ = 4
    assert holdout.slowest_tau(glass()) == 1.0


def test_blocks_are_long_and_shared_by_no_half():
    bits = 2 ** np.arange(13)
    code = np.random.default_rng(0).permutation(8000)  # every draw carries its number, shuffled so that none looks correlated
    spins = np.where(code[:, None] & bits, 1, -1).reshape(2, 4000, 13)
    found = holdout.split(hl.microstates(spins, beta=1.0, dims=("chain", "draw", "site")), np.random.default_rng(0), tau=5.0)
    assert not isinstance(found, str)
    fit, half = found
    kept, held = (np.argsort(code)[(values > 0) @ bits] for values in (fit["state"].values, half.values))
    assert half.blocks >= holdout.MIN_BLOCKS and np.bincount(half.label).min() >= 25
    assert not set(kept.ravel()) & set(held) and kept.size + held.size > 0.9 * 8000
    for numbers in (kept.ravel(), held):
        steps = np.diff(numbers)
        assert np.all((steps == 1) | (steps > 25))  # contiguous blocks, and a whole block of the other half between them
    assert len(set(half.label[np.diff(held, prepend=held[0] - 1) != 1])) == (np.diff(held) != 1).sum()


def test_histogram_counts_are_split_without_loss():
    rows = np.array([[1, 1, -1], [1, -1, 1], [-1, -1, -1]])
    data = hl.microstates(rows, counts=[500, 300, 200])
    found = holdout.split(data, np.random.default_rng(0))
    assert not isinstance(found, str)
    fit, half = found
    assert fit["count"].values.sum() + half.weight.sum() == 1000


def test_bins_do_not_separate_degenerate_levels():
    levels = np.repeat([-4.0, -4.0 + 1e-4, 0.0, 1e-4, 4.0, 4.0 + 1e-4], 100)
    for edge in bin_edges(levels):
        assert np.abs(levels - edge).min() > 0.1


def test_third_moments_match_a_plain_loop():
    model = COUPLINGS(SQUARE)
    bound = model.bind(hl.systems.SPINS, (3, 3))
    system = hl.systems.EdwardsAnderson(SQUARE, seed=1)
    index = (glass()["state"].values.reshape(-1, 9)[:50] + 1) // 2
    features = Features(bound, system, index, several=False)
    columns = features._third(index)
    spins, (i, j, k) = 2.0 * index - 1, features.triples[5]
    mean = spins.mean(0)
    plain = [(row[i] - mean[i]) * (row[j] - mean[j]) * (row[k] - mean[k]) for row in spins]
    np.testing.assert_allclose(columns[:, 5], plain)


@pytest.mark.parametrize("q", [2, 3])
@pytest.mark.parametrize("order", [3, 4])
def test_the_strongest_moment_is_a_plain_loop_s(order, q):
    """Connected moments of indicators, one by one; in units of their covariances, whose inverse's indicators of all states but one have."""
    rng = np.random.default_rng(order)
    index = np.digitize(rng.normal(size=(400, 6)) + rng.normal(size=(400, 1)) + 0.3, np.linspace(-0.5, 0.5, q + 1)[1:-1])
    single = (index[:, :, None] == np.arange(q - 1)).astype(float)  # all states but one say the same as all
    single -= single.mean(0)
    inverse = [np.linalg.inv(one.T @ one / 400) for one in single.transpose(1, 0, 2)]
    letters = "abcd"[:order]

    def moment(sites):
        columns = [single[:, site] for site in sites]
        found = np.einsum(",".join("r" + letter for letter in letters) + "->" + letters, *columns) / 400
        if order == 4:
            pair = lambda i, j: columns[i].T @ columns[j] / 400
            for i, j, k, l in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
                found -= np.einsum(f"{letters[i]}{letters[j]},{letters[k]}{letters[l]}->{letters}", pair(i, j), pair(k, l))
        return found

    def size(sites):
        found, terms = moment(sites), ",".join(letter + letter.upper() for letter in letters)
        return np.einsum(f"{letters},{terms},{letters.upper()}->", found, *(inverse[site] for site in sites), found)

    wanted = max(itertools.combinations(range(6), order), key=lambda sites: size(list(sites)))
    found = strongest(index, q, order)
    np.testing.assert_array_equal(found.sites, wanted)
    if order == 3:  # of the weights of its products with themselves
        np.testing.assert_allclose(abs(found(index).mean()), np.sqrt(size(wanted)), rtol=1e-4)
    assert strongest(index[:90], q, order) is None and strongest(np.ones((400, 6), int), q, order) is None


def test_the_product_of_spins_keeps_its_sign_and_one_of_moments_that_are_zero_is_none():
    """Minus the product of three others is a fourth cumulant of -1; all states once have no moment at all."""
    index = np.random.default_rng(0).integers(2, size=(400, 6))
    index[:, 5] = (1 + index[:, 0] + index[:, 2] + index[:, 3]) % 2  # of spins: minus their product
    found = strongest(index, 2, 4)
    np.testing.assert_array_equal(found.sites, [0, 2, 3, 5])
    assert found(index).mean() == pytest.approx((2 * index[:, found.sites] - 1).prod(1).mean(), abs=0.1) and found(index).mean() < -0.9
    whole = np.tile(list(itertools.product([0, 1], repeat=4)), (20, 1))
    assert strongest(whole, 2, 3) is None and strongest(whole, 2, 4) is None


@pytest.mark.parametrize("sites", [(3, 7, 11), (2, 5, 9, 14)])
def test_one_interaction_of_several_spins_among_all_pairs_is_seen(sites):
    """600 rows of 16 spins leave score tests out; the one planted product was believed away. Microstates from a plain enumeration."""
    states = ((np.arange(2**16)[:, None] >> np.arange(16)) & 1) * 2.0 - 1
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(0, 0.15, (16, 16)), 1)
    weight = np.cumsum(np.exp(np.sum(states @ J * states, 1) + 0.5 * states[:, sites].prod(1)))
    rows = states[np.searchsorted(weight / weight[-1], rng.random(600))].astype(int)
    table = check(hl.microstates(rows, beta=1.0), hl.models.Couplings(None), seed=0)
    assert table.attrs["named"] == 0 and table.attrs["decision"] == "differs"
    assert f"(sites {', '.join(map(str, sites))})" in table.attrs["reason"]


def test_one_interaction_of_three_sites_of_three_states_is_seen():
    """Their sum modulo three decides, which no pair and no field makes. Microstates from a plain enumeration."""
    states = (np.arange(3**9)[:, None] // 3 ** np.arange(9)) % 3
    rng, sites = np.random.default_rng(0), [1, 4, 8]
    energy = sum(rng.normal(0, 0.2) * (states[:, i] == states[:, j]) for i, j in itertools.combinations(range(9), 2))
    weight = np.cumsum(np.exp(energy + 1.2 * (states[:, sites].sum(1) % 3 == 0)))
    rows = states[np.searchsorted(weight / weight[-1], rng.random(600))]
    table = check(hl.microstates(rows, space="states", q=3, beta=1.0), hl.models.Couplings(None, interaction="potts"), seed=0)
    found = table.sel(statistic="strongest product of three sites")
    assert str(found["where"].values) == "sites 1, 4, 8" and found["p_adjusted"] < 1e-6 and found["z"] > 5
    assert abs(float(table.sel(statistic="strongest product of four sites")["z"])) < 4


def test_what_one_site_of_three_states_says_its_fields_say():
    """A share of misread values is another field there: nothing is left of it but rounding, which must not be tested."""
    index = np.random.default_rng(0).integers(3, size=(600, 1))
    table = check(hl.microstates(index, space="states", q=3, beta=1.0), hl.models.Couplings(lattice.hypercubic((1,))), seed=0)
    assert table.attrs["decision"] == "agrees" and table.attrs["named"] == 0, table.attrs


def test_bad_requests_are_refused():
    with pytest.raises(HamlearnError, match="draws"):
        check(glass(), COUPLINGS(SQUARE), draws=1)


def test_three_ways_to_predict_agree(monkeypatch):
    """Listing all states, linear response from one simulation, and members one by one share no arithmetic."""
    post = hl.infer.learn(glass(), COUPLINGS(SQUARE), "exact", hl.infer.MLE(draws=400, chains=1))
    bound, theta = posteriors.bound_of(post), posteriors.theta_draws(post)[0]
    index = ((glass()["state"].values.reshape(-1, 9) + 1) // 2).astype(np.int8)

    def features():
        return Features(bound, bound.system(theta.mean(0)), index, several=True)

    listed = predictions.predicted(features(), theta, 0.5, len(index), index, np.random.default_rng(0))
    monkeypatch.setattr(predictions, "LISTED", 0)
    linear = predictions.predicted(features(), theta, 0.5, len(index), index, np.random.default_rng(1))
    monkeypatch.setattr(predictions, "_UNCERTAIN", 0.0)
    members = predictions.predicted(features(), theta, 0.5, len(index), index, np.random.default_rng(2))
    live = listed.variance > 1e-3
    error = np.sqrt((linear.batches**2).sum(0))[live]
    assert_within(linear.mean[live], listed.mean[live], np.maximum(error, 1e-9), "simulated means")
    np.testing.assert_allclose(linear.variance[live], listed.variance[live], rtol=0.15)
    np.testing.assert_allclose(linear.optimism, listed.optimism, rtol=0.15)
    exact_sd = listed.deviations.std(0)[live]
    assert np.all(exact_sd > 0)
    # Linear response holds the noise of its covariances; members hold that of 500 microstates each.
    assert 0.9 < np.median(linear.deviations.std(0)[live] / exact_sd) < 1.15
    noisy = np.hypot(exact_sd, np.sqrt(listed.variance[live] / 500))
    assert 0.9 < np.median(members.deviations.std(0)[live] / noisy) < 1.1
