"""Sites that have numbers of states of their own: what never occurs, and what is known exactly."""

from __future__ import annotations

import itertools
import logging
import math

import numpy as np
import pandas as pd
import pytest

import hamlearn as hl
from hamlearn.diagnostics import cost
from hamlearn.errors import HamlearnError
from hamlearn.infer import seen
from hamlearn.infer.incomplete import marginal
from hamlearn.infer.likelihoods import PatternLikelihood, composite
from hamlearn.infer.observations import bind
from hamlearn.spaces import States
from hamlearn.systems import exact
from statistics_budget import assert_within

SIZES, BONDS = (2, 4, 3, 2), [[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]]
J, H = [0.8, -0.6, 0.5, 0.9, -0.4], [0.2, 0.1, -0.2, 0.3]


def system():
    return hl.systems.Ordinal(hl.systems.lattice.graph(BONDS, 4), SIZES, J, H)


def score(site, state):
    return 2 * state / (SIZES[site] - 1) - 1


def weights(beta, bonds=len(BONDS)):
    """Every state that there is, and its Boltzmann weight with the first so many bonds, by plain loops."""
    states, some = list(itertools.product(*map(range, SIZES))), BONDS[:bonds]
    energies = [-sum(J[b] * score(i, s[i]) * score(j, s[j]) for b, (i, j) in enumerate(some)) - sum(H[a] for a in s) for s in states]
    found = np.exp(-beta * np.array(energies))
    return np.array(states), np.array(energies), found


@pytest.mark.parametrize("beta", [1e-6, 0.05, 0.7])  # the hottest one asks whether what is not there is excluded, or only costly
@pytest.mark.parametrize("method", ["enumeration", "transfer"])
def test_exact_answers_know_only_the_states_that_there_are(beta, method):
    asked = system()
    if method == "transfer":  # of layers of one site, and a bond that closes no triangle
        asked = hl.systems.Ordinal(hl.systems.lattice.graph(BONDS[:3], 4), SIZES, J[:3], H)
    states, energies, weight = weights(beta, len(asked.lattice.bonds))
    (oracle,) = [one for one in exact.ORACLES if one.name == method]
    assert oracle.log_z(asked, np.array([beta]))[0] == pytest.approx(math.log(weight.sum()), rel=1e-10)
    assert oracle.per_site(asked, np.array([beta]))[0][0] * 4 == pytest.approx(weight @ energies / weight.sum(), rel=1e-7)
    drawn = oracle.sample(asked, beta, 500, np.random.default_rng(0)).reshape(-1, 4)
    assert (drawn.max(0) < SIZES).all() and (drawn.max(0) == states.max(0)).all()
    marginal = oracle.expectations(asked, beta)["marginal"].values
    assert (marginal[~States(SIZES).there(4)] == 0).all() and np.isfinite(marginal).all()


@pytest.mark.parametrize("sampler", ["exact", "heat_bath", "metropolis", "tempering"])
def test_samplers_keep_to_the_states_that_there_are(sampler):
    drawn = hl.simulate(system(), beta=0.7, draws=400, chains=8, seed=3, sampler=sampler, **({} if sampler == "exact" else {"thin": 5}))
    states, _, weight = weights(0.7)
    rows = drawn["state"].values.reshape(-1, 4)
    assert (rows.max(0) < SIZES).all() and hl.data.space_of(drawn) == States(SIZES)
    for site in range(4):
        expected = weight @ states[:, site] / weight.sum()
        series = drawn["state"].values[..., site].mean(1)
        assert_within(rows[:, site].mean(), expected, max(series.std(ddof=1) / math.sqrt(8), 0.01), f"{sampler}, site {site}")


@pytest.mark.parametrize("sampler", ["heat_bath", "metropolis", "tempering"])
def test_no_temperature_is_hot_enough_for_a_state_that_a_site_lacks(sampler):
    drawn = hl.simulate(system(), beta=1e-7, draws=50, chains=8, seed=0, sampler=sampler)["state"].values.reshape(-1, 4)
    assert (drawn.max(0) == np.array(SIZES) - 1).all()


def test_what_is_listed_is_the_product_of_what_every_site_has():
    sizes = (2, 3) + (2,) * 8 + (5,)  # 7680 states, not 5^11, the most that may be listed being 2^20
    mixed = hl.systems.Ordinal(hl.systems.lattice.complete(11), sizes, 0.05, 0.0)
    states = exact.all_states(mixed.lattice, sizes)
    assert exact.method(mixed) == "enumeration" and states.shape == (math.prod(sizes), 11)
    assert len(np.unique(states, axis=0)) == len(states) and (states.max(0) == np.array(sizes) - 1).all()
    assert float(exact.log_partition(mixed, 1e-9)) == pytest.approx(math.log(math.prod(sizes)))
    with pytest.raises(HamlearnError, match=r"2 · 5\*\*20 = 1.9e\+14 states are too many"):
        exact.all_states(hl.systems.lattice.hypercubic(21), (2,) + (5,) * 20)


def test_costs_and_likelihoods_count_what_every_site_has():
    """Twelve answers of two kinds and one of thirty are 122 880 states, not 30^13 = 2e19."""
    sizes, rng = (2,) * 12 + (30,), np.random.default_rng(0)
    data = hl.microstates(np.stack([rng.integers(size, size=400) for size in sizes], 1), space="states", q=sizes, independent=True)
    model = hl.models.Couplings(interaction="ordinal")
    bound, parts, _ = bind(data, model)
    assert bound.n_states == bound.n_patterns == math.prod(sizes) == bound.space.count(13)
    assert exact.method(bound.system(np.zeros(bound.n_params))) == "enumeration"
    assert isinstance(composite(bound, parts, "pseudo"), PatternLikelihood)  # codes of its patterns fit into one integer
    few = data.isel(site=slice(4, None)) if "site" in data.dims else data.isel({data["state"].dims[-1]: slice(4, None)})
    assert cost.of_check(few, model).compiling == 0  # 7680 states, which are listed; of 30^9 nothing would be


def test_missing_cells_may_have_been_what_their_sites_have():
    rng = np.random.default_rng(4)
    rows = np.stack([rng.integers(size, size=12) for size in SIZES], 1)
    rows[rng.random(rows.shape) < 0.3] = hl.spaces.MISSING
    model = hl.models.Couplings(hl.systems.lattice.graph(BONDS, 4), interaction="ordinal")
    data = hl.microstates(np.ma.masked_equal(rows, hl.spaces.MISSING), space="states", q=SIZES, beta=0.7, independent=True)
    bound, parts, _ = bind(data, model)
    likelihood = marginal(bound, parts)
    theta = bound.from_values(np.array(J), np.array([[H[a] - np.mean(H[:n]) if a < n else 0.0 for a in range(4)] for n in SIZES]))
    states, _, weight = weights(0.7)
    of_row = lambda row: weight[[all(a in (b, hl.spaces.MISSING) for a, b in zip(row, s, strict=True)) for s in states]].sum()
    expected = sum(math.log(of_row(row) / weight.sum()) for row in rows)
    assert likelihood.value_and_gradient(theta)[0] == pytest.approx(expected, rel=1e-10)
    scores = np.concatenate([likelihood.row_scores(theta)(part, part.states.reshape(-1, 4)) for part in parts])
    np.testing.assert_allclose(scores.sum(0), likelihood.value_and_gradient(theta)[1], atol=1e-10)


@pytest.mark.parametrize("first", [0, 3])
def test_missing_cells_of_a_site_with_few_states_are_kept_whatever_comes_first(first):
    """A cell of few states was taken for the very first value, which its site may not have."""
    rows = np.array([[first, 1.0], [1, 0], [2, np.nan], [3, 1]])
    found = hl.microstates(rows, space="states", q=(4, 2))
    assert found["state"].values.reshape(4, 2).tolist() == [[first, 1], [1, 0], [2, hl.spaces.MISSING], [3, 1]]


def test_spaces_say_what_sites_have(tmp_path):
    space = States(SIZES)
    assert (space.q, space.sizes, space.uniform) == (4, SIZES, False) and States((3, 3)) == States(3)
    assert hl.spaces.from_attrs(space.attrs) == space and hl.spaces.from_dict(space.to_dict()) == space
    assert (space.random(np.random.default_rng(0), (500, 4)).max(0) == np.array(SIZES) - 1).all()
    data = hl.microstates([[0, 3, 2, 1], [1, 0, 0, 0]], space="states", q=SIZES)
    hl.save(data, tmp_path / "mixed.nc")
    assert hl.data.space_of(hl.microstates(tmp_path / "mixed.nc")) == space


def people(rows=200, seed=0):
    """Answers of several kinds, one of them left open."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "smoker": np.where(rng.random(rows) < 0.4, "yes", "no"),
            "calm": rng.integers(1, 6, rows).astype(float),
            "busy": rng.choice([1, 2, 4], rows),
            "age": rng.choice(["old", "young", "mid"], rows),
        }
    )
    table.loc[3, "calm"] = np.nan
    return table


def test_every_column_of_a_file_has_the_states_seen_in_it(tmp_path, caplog):
    table = people()
    table.to_csv(tmp_path / "people.csv", index=False)
    with caplog.at_level(logging.INFO, "hamlearn"):
        data = hl.microstates(tmp_path / "people.csv", space="states", independent=True)
    assert hl.data.space_of(data) == States((2, 5, 3, 3))
    codes = [["no", "yes"], [1, 2, 3, 4, 5], [1, 2, 4], ["mid", "old", "young"]]
    assert hl.data.codes_of(data) == codes
    values = data["state"].values[0]
    for k, name in enumerate(table):
        seen = [codes[k][value] if value >= 0 else None for value in values[:, k]]
        assert seen == [None if one != one else one for one in table[name].tolist()]
    assert "every column has its own states: smoker no, yes" in caplog.text
    chosen = data.sel(site=["busy", "age"])
    assert hl.data.space_of(chosen) == States(3) and hl.data.codes_of(chosen) == codes[2:]
    hl.save(data, tmp_path / "people.nc")
    again = hl.microstates(tmp_path / "people.nc")
    assert hl.data.space_of(again) == hl.data.space_of(data) and hl.data.codes_of(again) == codes


def test_states_that_were_not_seen_are_declared():
    table = people().drop(columns=["smoker", "age"])
    data = hl.microstates(table, space="states", labels={"busy": [1, 2, 3, 4, 5]})
    assert hl.data.space_of(data) == States(5) and hl.data.codes_of(data) == [1, 2, 3, 4, 5]
    ordered = hl.microstates(people(), space="states", labels={"age": ["young", "mid", "old"]})
    assert hl.data.codes_of(ordered)[3] == ["young", "mid", "old"]


def test_two_files_have_the_states_of_both(tmp_path):
    first, second = people(), people(seed=1)
    second["busy"] = np.random.default_rng(2).choice([2, 3, 4], len(second))
    sets = [hl.microstates(table.dropna(), space="states", independent=True) for table in (first, second)]
    post = hl.learn(sets, hl.models.Couplings(interaction="ordinal"), engine="laplace", seed=0)
    assert hl.data.codes_of(post)[2] == [1, 2, 3, 4] and post["posterior"]["J"].sizes["bond"] == 6
    named = hl.diagnostics.summary(post).index
    assert [name for name in named if name.startswith("h[smoker]")] == ["h[smoker](no)", "h[smoker](yes)"]  # what a site lacks is no row
    page = hl.report(post, tmp_path / "page.html").read_text()
    assert all(f"{column}, state {word}" in page for column, word in [("smoker", "yes"), ("busy", 4), ("age", "young")])
    assert "smoker, state 2" not in page and "busy, state 0" not in page
    assert "busy: 1, 2, 3, 4" in page and "smoker: no, yes" in page and "[" not in page.split('data-claim="codes">')[1].split("<")[0]
    hl.save(post, tmp_path / "post.nc")
    density = hl.infer.log_likelihood(hl.load(tmp_path / "post.nc"), sets[1], draws=5)["log_likelihood"]["microstates"]
    assert np.isfinite(density.values).all()  # numbered as the posterior has them


def likert(rows=400, seed=0, **columns):
    """Answers from 1 to 5 to three questions, with columns put in."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.integers(1, 6, (rows, 3)), columns=["calm", "busy", "tired"]).assign(**columns)


def with_code(code, times, values=(1, 2, 3, 4, 5), rows=400):
    """A column of some values, among them a code so many times."""
    column = np.random.default_rng(code % 97).choice(values, rows)
    column[:times] = code
    return column


STRAY = {
    "99": (99, 1),
    "99 often": (99, 60),
    "9": (9, 4),
    "-1": (-1, 5),
    "-9": (-9, 20),
    "-99": (-99, 3),
    "999": (999, 12),
    "typed twice": (55, 1),
}


@pytest.mark.parametrize(("code", "times"), STRAY.values(), ids=STRAY)
def test_a_code_far_from_the_others_is_told(code, times, caplog):
    """One 99 among answers from 1 to 5 was a sixth equal step of the scale, in silence."""
    table = likert(calm=with_code(code, times))
    with caplog.at_level(logging.WARNING, "hamlearn"):
        data = hl.microstates(table, space="states", independent=True)
    often = {1: "once", 3: "three times"}.get(times, f"{times} times")
    assert f"calm holds {code} {often}, far from its other codes (1 to 5)" in caplog.text
    assert f"missing={code} " in caplog.text and f"--missing={code} " in caplog.text and caplog.text.count("far from") == 1
    post = hl.learn(data, hl.models.Couplings(interaction="ordinal"), engine="laplace", seed=0)
    (told,) = [one for one in hl.verdict(post).reasons if one.topic == "states" and one.severity == "caution"]
    assert f"site calm holds {code} " in told.what and "beside 1 to 5" in told.what and f"missing={code} " in told.advice
    emptied = hl.microstates(table.where(table != code), space="states", independent=True)
    hidden = hl.microstates(table, space="states", mask=(table == code).to_numpy(), independent=True)
    said = hl.microstates(table, space="states", missing=code, independent=True)
    for one in (emptied, hidden, said):
        assert hl.data.space_of(one) == States(5) and hl.data.missing(one).sum() == times


QUIET = {
    "states 0, 1 and 5": with_code(5, 120, (0, 1, 5)),
    "0 to 10 with a rare end": np.r_[np.random.default_rng(0).integers(0, 7, 398), 9, 10],
    "steps of ten": np.random.default_rng(0).choice([0, 10, 20, 30, 99], 400),
    "ages": np.r_[np.random.default_rng(0).integers(18, 90, 399), 99],
    "a scale of two sides": with_code(-1, 5, (-2, 0, 1, 2)),
    "none and less": with_code(-1, 5, (0, 1, 2)),
    "gaps": np.random.default_rng(0).choice([1, 2, 4, 8, 16], 400),
    "two codes": with_code(99, 30, (1,)),
    "nine steps": np.r_[np.random.default_rng(0).integers(1, 9, 399), 9],
}


@pytest.mark.parametrize("column", QUIET.values(), ids=QUIET)
def test_codes_that_may_be_states_raise_no_alarm(column, caplog):
    with caplog.at_level(logging.WARNING, "hamlearn"):
        data = hl.microstates(likert(calm=column), space="states", independent=True)
        if column.min() >= 0:
            hl.microstates(np.stack([column, np.roll(column, 1)], 1), space="states", independent=True)
    assert "far from" not in caplog.text
    assert not [one for one in seen.of_codes([data]) if one.code == "stray codes"]


def test_a_scale_that_other_columns_fill_is_none_to_be_told(caplog):
    few = likert(calm=with_code(9, 2), busy=np.random.default_rng(1).integers(0, 11, 400))
    with caplog.at_level(logging.WARNING, "hamlearn"):
        hl.microstates(few, space="states", independent=True)
        hl.microstates(likert(calm=with_code(99, 2)), space="states", labels={"calm": [1, 2, 3, 4, 5, 99]}, independent=True)
    assert "far from" not in caplog.text


MISTAKES = {
    "a state that a site lacks": (lambda: hl.microstates([[0, 3], [2, 0]], space="states", q=(2, 4)), r"site 0 has the states 0 … 1"),
    "one state": (lambda: States((1, 3)), "2 <= q <= 127; got q=1"),
    "q too small": (
        lambda: hl.microstates(people()[["busy", "calm"]], space="states", q=3),
        r"column 'busy' of the table holds 4, and q=3",
    ),
    "one q too small": (
        lambda: hl.microstates(people()[["busy", "calm"]], space="states", q=(5, 3)),
        r"column 'calm' of the table holds 5, and q=3 says that its states are 0 … 2. Count all of them, or leave q=3 out",
    ),
    "another number of sites": (lambda: hl.microstates([[0, 1, 1], [1, 0, 0]], space="states", q=(2, 3)), "of 2 sites, each with its own"),
    "spins": (lambda: hl.microstates([[1, -1]], q=(2, 3)), "counts the states of every site, of space='states'"),
    "one value": (lambda: hl.microstates(people().assign(odd=7), space="states"), r"column 'odd' of the table holds one value only, 7"),
    "one word of spins": (
        lambda: hl.microstates(people()[["smoker"]].assign(odd="no")),
        r"column 'odd' of the table holds one value only: nothing is learned of it. Leave the column out, table.drop\(columns=\['odd'\]\)",
    ),
    "more missing than seen": (
        lambda: hl.microstates(people().assign(odd=np.where(np.arange(200) < 70, np.arange(200) % 2, np.nan)), space="states"),
        "site 'odd' has more missing cells than observed ones",
    ),
    "fractions": (
        lambda: hl.microstates(people().assign(odd=np.arange(200) % 5 / 2), space="states"),
        "column 'odd' of the table holds 0.5",
    ),
    "labels that lack one": (lambda: hl.microstates(people(), space="states", labels={"busy": [1, 2]}), "4 is seen and not among them"),
    "labels of no column": (lambda: hl.microstates(people(), space="states", labels={"lazy": [1, 2]}), "names the column 'lazy'"),
    "labels of columns of spins": (lambda: hl.microstates(people()[["smoker"]], labels={"smoker": ["yes", "no"]}), "space='states'"),
    "words here, numbers there": (
        lambda: hl.learn(
            [hl.microstates(t[["busy", "age"]], space="states") for t in (people(), people(seed=1).assign(age=people(seed=2)["busy"]))],
            hl.models.Couplings(),
        ),
        "site 1 has words in one data set and numbers in another",
    ),
    "networks": (
        lambda: hl.learn(hl.microstates(np.eye(4, dtype=int), space="states", q=(2, 3, 2, 2)), hl.models.Autoregressive()),
        "of sites that all have the same states",
    ),
    "one table": (lambda: hl.systems.InteractionTables((2,), 2, np.zeros(9), space=States((2, 3))), "all have the same states"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


def test_categories_of_a_frame_keep_their_order():
    levels, words = ["young", "middle", "old"], ["old", "young", "middle", "young", "old", "middle"]
    table = pd.DataFrame({"calm": [1, 2, 3, 1, 2, 3], "age": pd.Categorical(words, levels), "sex": list("mfmfmf")})
    data = hl.microstates(table, space="states", independent=True)
    assert hl.data.codes_of(data) == [[1, 2, 3], levels, ["f", "m"]]  # words that are no categories stay in alphabetical order
    assert data["state"].sel(site="age").values[0].tolist() == [levels.index(word) for word in words]


def test_tables_of_mixed_pairs_have_the_entries_that_there_are():
    data = hl.microstates(people().dropna()[["smoker", "busy"]], space="states", independent=True)
    post = hl.learn(data, hl.models.Couplings(), engine="laplace", seed=0)
    named = [name for name in hl.diagnostics.summary(post).index if name.startswith("J")]
    assert named == [f"J[smoker, busy]({a}, {b})" for a in ("no", "yes") for b in (1, 2, 4)]
    J = post["point"]["J"].values[0, :2, :3]
    np.testing.assert_allclose([*J.sum(0), *J.sum(1)], 0, atol=1e-10)
    u, v = np.array([-1, 1]), np.array([-1, 0, 1])  # the part that order explains
    found = hl.plots.layout.strengths(post)[0].mean()
    np.testing.assert_allclose(found, np.einsum("cdab,a,b->cd", post["posterior"]["J"].values[:, :, 0, :2, :3], u, v).mean() / 4)
