"""Score tests: their scores have mean zero and the right slopes by enumeration, planted defects are found, named and measured."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.data import build
from hamlearn.diagnostics import predictive_test, scores
from hamlearn.diagnostics.scores import blocks, conditionals, listed, named, sums, terms, triples, words
from hamlearn.infer import observations
from hamlearn.systems import SPINS, exact, lattice
from statistics_budget import assert_within, spend

SMALL, SQUARE = lattice.hypercubic((3, 3)), lattice.hypercubic((4, 4))
COUPLINGS = hl.models.Couplings


def all_states(grid) -> np.ndarray:
    return exact.all_states(grid, 2).reshape(-1, grid.n_sites).astype(np.int8)


def picked(states: np.ndarray, log_weight: np.ndarray, n: int, rng) -> np.ndarray:
    weight = np.exp(log_weight - log_weight.max())
    return states[rng.choice(len(states), size=n, p=weight / weight.sum())]


def as_data(index: np.ndarray, beta: float, grid=SQUARE):
    return build(
        (2 * index - 1).astype(np.int8).reshape(1, -1, *grid.shape), beta=beta, space=SPINS, lattice=grid, attrs={"independent": 1}
    )


def score_rows(sets, model, seed=0, taus=None) -> scores.Tests:
    bound, parts, _ = observations.bind(sets, model)
    return scores.pairs(bound, parts, taus or [1.0] * len(parts), seed)


class Planted:
    """Exact draws of 4×4 glasses with one thing wrong."""

    states = all_states(SQUARE)
    spins = 2.0 * states - 1
    bonds = spins[:, SQUARE.bonds[:, 0]] * spins[:, SQUARE.bonds[:, 1]]

    def __init__(self, seed: int, n: int = 3000) -> None:
        self.rng, self.n = np.random.default_rng(seed), n
        self.J = self.rng.normal(size=SQUARE.n_bonds)
        self.log_weight = self.bonds @ self.J

    def plaquettes(self):
        corners = [
            (4 * a + b, 4 * a + (b + 1) % 4, 4 * ((a + 1) % 4) + b, 4 * ((a + 1) % 4) + (b + 1) % 4) for a in range(4) for b in range(4)
        ]
        extra = 0.15 * self.spins[:, np.array(corners)].prod(-1).sum(1)
        return [as_data(picked(self.states, 0.5 * (self.log_weight + extra), self.n, self.rng), 0.5)]

    def mixture(self):
        rows = [picked(self.states, beta * self.log_weight, self.n // 2, self.rng) for beta in (0.35, 0.65)]
        return [as_data(self.rng.permutation(np.concatenate(rows)), 0.5)]

    def flips(self):
        rows = picked(self.states, 0.5 * self.log_weight, self.n, self.rng)
        return [as_data(np.where(self.rng.random(rows.shape) < 0.02, 1 - rows, rows).astype(np.int8), 0.5)]

    def label(self):
        betas = (0.3, 0.5, 0.7)
        return [
            as_data(picked(self.states, (1.1 if k == 1 else 1) * b * self.log_weight, self.n, self.rng), b) for k, b in enumerate(betas)
        ]

    def bonds_flipped(self):
        other = self.J.copy()
        other[self.rng.choice(32, 8, replace=False)] *= -1
        rows = [picked(self.states, 0.5 * weight, self.n // 2, self.rng) for weight in (self.log_weight, self.bonds @ other)]
        return [as_data(self.rng.permutation(np.concatenate(rows)), 0.5)]


# Defect: test that must object, size and unit of what it finds.
DEFECTS = {
    "plaquettes": ("four-spin plaquettes, sum", 0.15, "K"),
    "mixture": ("energy dispersion", 0.3, "spread of beta"),
    "flips": ("misread values, common share", None, "share"),
    "label": ("temperature labels, the strongest", 0.1, "beta factor"),
    "bonds_flipped": ("products of two bonds, common factor", None, ""),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found_named_and_measured(defect):
    name, size, unit = DEFECTS[defect]
    table = predictive_test.table([], 100, None, named=score_rows(getattr(Planted(3), defect)(), COUPLINGS(SQUARE)).rows)
    row = table.sel(statistic=name)
    assert float(row["p_adjusted"]) < 1e-3 and str(row["unit"].values) == unit
    if size is not None:
        assert_within(float(row["effect"]), size, np.hypot(float(row["effect_sd"]), 0.05 * size), defect)  # one step of Newton's


def test_the_verdict_says_what_is_missing_and_how_strong_it_is():
    post = hl.learn(Planted(3).plaquettes(), COUPLINGS(SQUARE), likelihood="pseudo", engine="laplace", seed=0)
    found = hl.verdict(post)
    assert found.level == "do not believe" and "four-spin plaquettes of K = 0.1" in str(found), found


@pytest.mark.parametrize("q", [2, 3])
def test_scores_have_mean_zero_and_the_slopes_that_are_projected_out(q):
    grid = lattice.hypercubic((2, 3), periodic=False)
    model = COUPLINGS(grid) if q == 2 else COUPLINGS(grid, interaction="potts")
    space = SPINS if q == 2 else hl.systems.states(3)
    bound = model.bind(space, grid.shape)
    theta = np.random.default_rng(q).normal(size=bound.n_params)
    states = exact.all_states(grid, q).reshape(-1, 6)
    beta = 0.7

    def expected(at: np.ndarray, under: np.ndarray, what: str) -> np.ndarray:
        log_weight = -beta * np.asarray(bound.system(under).energy(space.from_index(states).reshape(-1, *grid.shape)), float)
        p = np.exp(log_weight - log_weight.max())
        rows = sums.Rows(states, p / p.sum(), np.zeros(len(states), int), 1, beta)
        found = sums.collect(conditionals.PairConditionals(bound, at), rows, lists, totals, q)
        return found.G if what == "G" else found.H if what == "H" else found.scores[0] if what == "scores" else found.sums[0]

    lists, totals, _ = named.directions(bound)
    if q == 3:
        lists.append(terms.Tables("tables", np.array([[0, 2, 5], [1, 2, 3]]), np.random.default_rng(9).normal(size=(2, 3, 3, 3))))
        totals = np.pad(totals, ((0, 0), (0, 2)))
    assert sum(len(one) for one in lists) > 5
    np.testing.assert_allclose(expected(theta, theta, "sums"), 0, atol=1e-12)
    np.testing.assert_allclose(expected(theta, theta, "scores"), 0, atol=1e-12)
    step = 1e-5
    for k in range(bound.n_params):
        moved = np.eye(bound.n_params)[k] * step
        # The centre of the energy moves with θ too; it does not matter, since the mean of what it multiplies is zero.
        slope = (expected(theta + moved, theta, "sums") - expected(theta - moved, theta, "sums")) / (2 * step)
        np.testing.assert_allclose(-slope, expected(theta, theta, "G")[:, k], atol=2e-7)
        slope = (expected(theta + moved, theta, "scores") - expected(theta - moved, theta, "scores")) / (2 * step)
        np.testing.assert_allclose(-slope, expected(theta, theta, "H")[:, k], atol=2e-7)


@pytest.mark.parametrize("q", [2, 3])
def test_triples_are_chosen_by_scores_that_plain_loops_find(q):
    """The score of a function of three sites: its value less its expectation given all other sites, for each of the three."""
    grid, rng = lattice.hypercubic((5,), periodic=False), np.random.default_rng(q)
    bound = COUPLINGS(grid, interaction="auto" if q == 2 else "potts").bind(SPINS if q == 2 else hl.systems.states(3), grid.shape)
    model = conditionals.PairConditionals(bound, rng.normal(size=bound.n_params))
    index, weight, beta = rng.integers(q, size=(40, 5)).astype(np.int8), rng.uniform(0.5, 2, 40), 0.7
    functions = np.tile([[-1.0], [1.0]], (5, 1, 1)) if q == 2 else rng.normal(size=(5, 3, 2))
    slopes, spread = triples._slopes(model, [sums.Rows(index, weight, np.arange(40), 40, beta)], functions, 40)
    i, a, j, b, k, c = 0, 0, 3, q - 2, 4, 0
    expected, variance = 0.0, 0.0
    for row, times in zip(index, weight, strict=True):
        product = lambda x: functions[i, x[i], a] * functions[j, x[j], b] * functions[k, x[k], c]
        for site in (i, j, k):
            changed = np.tile(row, (q, 1))
            changed[:, site] = np.arange(q)
            p = np.exp(-beta * model.energies(changed))
            p /= p.sum()
            expected += beta * times * (product(row) - sum(share * product(x) for share, x in zip(p, changed, strict=True)))
            if site == j:
                own = functions[j, :, b]
                variance += beta**2 * times * (p @ own**2 - (p @ own) ** 2)
    assert slopes[i, a, j, b, k, c] == pytest.approx(expected, rel=1e-10) and spread[j, b] == pytest.approx(variance, rel=1e-10)


@pytest.mark.parametrize(("q", "strength", "rows"), [(2, 0.3, 1500), (3, 0.6, 3000)])
def test_three_sites_that_interact_are_named_among_all(q, strength, rows):
    """Spins: a product of strength K; three states: their sum modulo three decides. No two of the sites are neighbours."""
    grid, rng, sites = lattice.hypercubic((8,)), np.random.default_rng(q), [0, 3, 6]
    states = exact.all_states(grid, q).reshape(-1, 8)
    equal = states[:, grid.bonds[:, 0]] == states[:, grid.bonds[:, 1]]
    own = (2.0 * states[:, sites] - 1).prod(1) if q == 2 else states[:, sites].sum(1) % 3 == 0
    index = picked(states, equal @ rng.normal(size=8) + strength * own, rows, rng)
    values = 2 * index.astype(int) - 1 if q == 2 else index
    data = hl.microstates(values, beta=1.0, independent=True, **({} if q == 2 else {"space": "states", "q": 3}))
    model = COUPLINGS(grid, interaction="auto" if q == 2 else "potts")
    table = predictive_test.table([], 100, None, named=score_rows([data], model).rows)
    row = table.sel(statistic=f"{triples.name(q)}, the strongest")
    assert str(row["where"].values) == "sites 0, 3, 6" and float(row["p_adjusted"]) < 1e-4
    if q == 2:
        assert_within(float(row["effect"]), strength, np.hypot(float(row["effect_sd"]), 0.05), "K")  # one step of Newton's


def test_triples_of_large_lattices_are_those_along_bonds():
    """Of 400 spins there are ten million triples, which are not listed."""
    grid = lattice.hypercubic((20, 20))
    bound = COUPLINGS(grid).bind(SPINS, grid.shape)
    model = conditionals.PairConditionals(bound, np.zeros(bound.n_params))
    index = np.random.default_rng(0).integers(2, size=(30, 400)).astype(np.int8)
    found = triples.candidates(model, [sums.Rows(index, np.ones(30), np.arange(30), 30, 1.0)], grid, 2)
    assert found.among == len(found.terms) == 256 and found.terms.sites.tolist() == terms.triples(grid).tolist()


def test_energies_alone_give_the_same_scores_as_the_tables_of_a_pair_model():
    bound = COUPLINGS(SMALL).bind(SPINS, SMALL.shape)
    theta = np.random.default_rng(0).normal(size=bound.n_params)
    index = np.random.default_rng(1).integers(2, size=(200, 9)).astype(np.int8)
    rows = sums.Rows(index, np.ones(200), np.arange(200) // 10, 20, 0.6)
    lists, totals, _ = named.generic((3, 3), 2)
    tables = sums.collect(conditionals.PairConditionals(bound, theta), rows, lists, totals, 2)
    alone = sums.collect(conditionals.EnergyConditionals([bound.system(theta)]), rows, lists, totals, 2)
    np.testing.assert_allclose(alone.sums, tables.sums, atol=1e-9)
    np.testing.assert_allclose(alone.scores[:, 0], tables.scores @ theta, atol=1e-9)
    np.testing.assert_allclose(alone.G[:, 0], tables.G @ theta, atol=1e-9)


def test_cluster_expansion_are_asked_too():
    rows = [exact.sample(hl.systems.Ising(SQUARE, J=1.0), beta, 1500, k).reshape(-1, 4, 4) for k, beta in enumerate((0.2, 0.4))]
    mixed = np.random.default_rng(0).permutation(np.concatenate(rows)).astype(int)
    parts = [observations.as_observations(hl.microstates(mixed, beta=0.3), SPINS)]
    found = {row.name: row for row in scores.energies([hl.systems.Ising(SQUARE, J=1.02)], parts, 1.0).rows}
    assert found["energy dispersion"].p_value < 1e-6 and 0.2 < found["energy dispersion"].effect < 0.5


def test_p_values_of_right_models_are_not_too_small():
    found: dict[str, list[float]] = {}
    states = all_states(SMALL)
    spins = 2.0 * states - 1
    for seed in range(30):
        rng = np.random.default_rng(seed)
        weight = 0.5 * (spins[:, SMALL.bonds[:, 0]] * spins[:, SMALL.bonds[:, 1]]) @ rng.normal(size=SMALL.n_bonds)
        for row in score_rows([as_data(picked(states, weight, 1500, rng), 0.5, SMALL)], COUPLINGS(SMALL), seed).rows:
            found.setdefault(row.name, []).append(row.p_value)
    assert len(found) >= 8
    least = min(scipy.stats.kstest(p, "uniform", alternative="greater").pvalue for p in found.values())
    assert least * len(found) > spend()


def test_a_column_of_coin_tosses_is_a_site_that_interacts_with_nothing():
    (data,) = [as_data(picked(Planted.states, 0.5 * Planted(1).log_weight, 3000, np.random.default_rng(0)), 0.5)]
    assert score_rows([data], COUPLINGS(SQUARE)).isolated == []
    data["state"][:, :, 1, 1] = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), size=3000)
    assert score_rows([data], COUPLINGS(SQUARE)).isolated == [5]


def test_products_of_two_bonds_are_of_those_that_a_third_one_connects():
    graph = lattice.hypercubic((6, 6)).pairs_within(1.5)
    bonds = [set(one) for one in graph.bonds.tolist()]
    touching = [[bool(here & there) for there in bonds] for here in bonds]
    near = [
        [a, b]
        for a in range(len(bonds))
        for b in range(a)
        if not touching[a][b] and any(touching[a][c] and touching[c][b] for c in range(len(bonds)))
    ]
    expected = np.unique(np.sort(near, axis=1), axis=0)
    assert terms.bond_pairs(graph).tolist() == terms.some(expected).tolist() and len(expected) > terms.MOST


def test_elementary_squares_are_the_four_cycles_with_the_shortest_diagonals():
    squares = {tuple(sorted(one)) for one in terms.plaquettes(SQUARE).tolist()}
    expected = {
        tuple(sorted((4 * a + b, 4 * a + (b + 1) % 4, (4 * a + b + 4) % 16, (4 * a + 4) % 16 + (b + 1) % 4)))
        for a in range(4)
        for b in range(4)
    }
    assert squares == expected
    assert len(terms.plaquettes(lattice.hypercubic((6,)))) == 0


def test_contiguous_blocks_are_joined_until_they_are_independent():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4096, 3))
    series = np.zeros_like(noise)
    for t in range(1, len(noise)):
        series[t] = 0.9 * series[t - 1] + noise[t]
    found = blocks.merged(series, 1)
    assert len(found) < 300
    sd = 4096**0.5 / (1 - 0.9)  # of the sum of an autoregressive series
    assert_within(np.sqrt(((found - found.mean(0)) ** 2).sum(0)), sd, 0.15 * sd, "scatter of joined blocks")
    assert len(blocks.merged(noise, 1)) == 4096


def test_whole_microstates_are_compared_where_there_are_few():
    states = all_states(SMALL)
    bound = COUPLINGS(SMALL).bind(SPINS, SMALL.shape)
    every = listed.Listed(bound)
    theta = np.random.default_rng(0).normal(size=bound.n_params) * 0.5
    p = every.probability(theta, 0.5)
    rows = every.states[np.random.default_rng(1).choice(len(p), size=20_000, p=p)]
    found = every.whole(theta, sums.Rows(rows, np.ones(len(rows)), np.arange(len(rows)), len(rows), 0.5))
    assert found is not None and found[2] > spend() and found[1] > 100
    wrong = every.whole(-theta, sums.Rows(rows, np.ones(len(rows)), np.arange(len(rows)), len(rows), 0.5))
    assert wrong is not None and wrong[2] < 1e-9 and len(states) == 512


def test_weighted_holm_is_holm_for_equal_weights_and_never_below_it_in_total():
    p = np.array([0.001, 0.2, 0.01, 0.04])
    np.testing.assert_allclose(predictive_test.weighted_holm(p, np.full(4, 0.25)), [0.004, 0.2, 0.03, 0.08])
    np.testing.assert_allclose(predictive_test.weighted_holm(np.array([0.004, 0.004]), np.array([0.8, 0.2])), [0.005, 0.005])


def heat_bath(seed: int, chains: int = 4, draws: int = 1000) -> np.ndarray:
    """Chains of a 4×4 glass without fields, half a sweep a row: the sign of all spins is slow, what pairs see is not."""
    rng = np.random.default_rng(seed)
    pull = np.zeros((16, 16))
    pull[tuple(SQUARE.bonds.T)] = rng.normal(size=SQUARE.n_bonds)
    pull += pull.T
    spins, rows = rng.choice([-1.0, 1.0], size=(chains, 16)), np.zeros((chains, draws, 4, 4), int)
    for row in range(-100, draws):
        for _ in range(8):
            site = rng.integers(16)
            spins[:, site] = np.where(rng.random(chains) < 1 / (1 + np.exp(-spins @ pull[site])), 1, -1)
        if row >= 0:
            rows[:, row] = spins.reshape(chains, 4, 4)
    return rows


def test_clean_chains_that_are_too_short_to_be_split_are_decided_by_score_tests():
    data = hl.microstates(heat_bath(2), beta=0.5, dims=("chain", "draw", "x", "y"))
    post = hl.learn(data, COUPLINGS(SQUARE), likelihood="pseudo", engine="laplace", seed=0)
    found = hl.verdict(post)
    assert found.level == "believe" and "are needed" in str(found), found  # what the comparison would need is said


def test_every_failed_test_has_a_sentence():
    bound = COUPLINGS(SQUARE, tie="uniform", fields=None).bind(SPINS, (4, 4))
    names = [test.name for test in named.directions(bound)[2]]
    names += ["temperature labels, the strongest", "couplings of each temperature by themselves", "whole microstates at beta = 0.5"]
    names += [f"{triples.name(q)}, the strongest" for q in (2, 3)]
    for name in names:
        found = {"name": name, "effect": 0.1, "effect_sd": 0.01, "unit": "K", "where": "0–5"}
        text, advice = words.sentence(found, True)
        assert len(text) > 10 and advice.endswith(".")
        assert ("three spins" in advice) == ("three-spin" in text) and ("four sites" in advice) == ("two bonds" in name)


@pytest.mark.parametrize("halves", [False, True])
def test_both_ends_of_a_large_spectrum_are_those_of_all_of_it(halves):
    """Large matrices of few pairs go by products with them; on two sublattices the ends are equal, which is the hard case."""
    generator = np.random.default_rng(0)
    sites = 2 * named._DENSE
    first = generator.permutation(sites // 2 if halves else sites)
    second = generator.permutation(np.arange(sites // 2, sites)) if halves else np.roll(first, 1)
    pairs, values = np.stack([first, second], 1), generator.standard_normal((3, len(first)))
    full = np.zeros((3, sites, sites))
    full[:, first, second] = full[:, second, first] = values
    found = named._largest(values, pairs)
    np.testing.assert_allclose(found, np.abs(np.linalg.eigvalsh(full)).max(1), rtol=1e-7)


def test_a_chain_has_no_squares_and_is_asked_all_the_rest():
    found, totals, tests = named.generic((200,), 2)
    assert not found and totals.shape == (0, 0)
    assert [test.name for test in tests] == ["energy dispersion", "misread values, common share", "misread values, site by site"]


@pytest.mark.parametrize(("rows", "crowded"), [(400, True), (40_000, False)])
def test_many_parameters_and_few_rows_are_not_asked(rows, crowded):
    """All pairs of 36 spins: fitted to 400 rows every conditional follows its own data, and energies scatter too little."""
    data = hl.simulate(hl.systems.Ising((6, 6)), beta=0.4, draws=rows // 2, chains=2, seed=2)
    bound, parts, _ = observations.bind([data], hl.models.Couplings(None))
    assert (scores.crowding(bound.n_params, rows, bound.lattice.n_sites) > scores.MOST_CROWDED) == crowded
    if crowded:
        assert "666 fitted parameters" in scores.pairs(bound, parts, [1.0]).nothing.what


def test_what_a_few_rare_rows_decide_is_not_judged():
    """Of independent spins that are up in 5 to 15 % of the rows hardly three are ever up together, and no sum over such rows is normal."""
    objected = 0
    for seed in range(4):
        rng = np.random.default_rng([seed, 9, 2, 11])
        rows = np.where(rng.random((1000, 9)) < rng.uniform(0.05, 0.15, 9), 1, -1)
        bound, parts, _ = observations.bind([hl.microstates(rows, independent=True)], hl.models.Couplings())
        found = scores.pairs(bound, parts, [1.0], seed)
        if found.rows:
            objected += predictive_test.table([], found.blocks, None, named=found.rows).attrs["overall_p"] < 0.01
    assert objected == 0
