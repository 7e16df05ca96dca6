"""Audits: every statistic against an oracle that shares no code with it, false alarms, planted defects, and refusals."""

from __future__ import annotations

import itertools
import json
import math
import types

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
import xarray as xr

import hamlearn as hl
from hamlearn import storage
from hamlearn.diagnostics.audits import apart, classifier, comparisons, held, kept, laws, memorised, permutations, reach, regions, whole
from hamlearn.diagnostics.audits import measures as measures_of
from hamlearn.diagnostics.audits.case import paired
from hamlearn.diagnostics.audits.measures import Ground, clusters, measures, quantities, split
from hamlearn.diagnostics.audits.sides import Side
from hamlearn.diagnostics.members import Members
from hamlearn.errors import HamlearnError
from hamlearn.spaces import REALS, SPINS
from hamlearn.systems.lattice import graph, hypercubic
from tests.statistics_budget import spend

ISING = hl.systems.Ising((4, 4))


def sample(system: hl.systems.base.System = ISING, beta: float = 0.4, seed: int = 0, draws: int = 250, chains: int = 8) -> xr.Dataset:
    return hl.simulate(system, beta=beta, draws=draws, chains=chains, seed=seed, progress=False)


# -- the statistics ----------------------------------------------------------------------------------------------------


def test_studentised_permutations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=24), rng.normal(0.5, 2.0, size=20)

    def welch(x, y, axis):
        gap = y.mean(axis) - x.mean(axis)
        return gap / np.sqrt(x.var(axis, ddof=1) / x.shape[axis] + y.var(axis, ddof=1) / y.shape[axis])

    oracle = scipy.stats.permutation_test(
        (first, second), welch, vectorized=True, n_resamples=9999, random_state=1, alternative="two-sided"
    )
    found = permutations.difference(first[:, None], second[:, None], largest=True)
    assert found.statistic == pytest.approx(abs(oracle.statistic))
    assert abs(found.p_value - oracle.pvalue) < 5 * math.sqrt(oracle.pvalue / 9999) + 0.01
    assert found.effect == pytest.approx(second.mean() - first.mean())


def test_p_values_are_uniform_where_laws_are_equal_and_scatter_is_not():
    """The classical test of Mann-Whitney type would not be: the sides scatter differently and have unequal numbers of blocks."""
    rng = np.random.default_rng(1)
    p = [permutations.difference(rng.normal(size=(20, 3)), 4 * rng.normal(size=(40, 3)), largest=True).p_value for _ in range(40)]
    assert scipy.stats.kstest(p, "uniform").pvalue > spend()


def test_uncertain_parameters_make_a_difference_less_sure():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(40, 1)), rng.normal(size=(40, 1)) + 1.0
    sure = permutations.difference(first, second, largest=True)
    less = permutations.difference(first, second, largest=True, moved=np.array([[-1.0], [1.0]]) / math.sqrt(2))
    assert sure.p_value < 0.01 < 0.2 < less.p_value
    assert less.error == pytest.approx(math.sqrt(sure.error**2 + 1))


def test_energy_distance_is_a_double_sum_over_rows_of_different_blocks():
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(8, 3, 2)), rng.normal(0.3, 1, size=(9, 3, 2))

    def mean(one, other, same):
        pairs = [(s, t) for i, a in enumerate(one) for j, b in enumerate(other) if not (same and i == j) for s in a for t in b]
        return np.mean([np.linalg.norm(s - t) for s, t in pairs])

    expected = 2 * mean(first, second, False) - mean(first, first, True) - mean(second, second, True)
    assert whole.distances(first, second)["energy distance"][0] == pytest.approx(expected)


def test_distances_by_one_product_are_those_of_pairs():
    rng = np.random.default_rng(33)
    first, second = rng.normal(3, 40, size=(20, 9)), rng.normal(size=(9, 9))
    second[4] = first[3]
    found = apart.apart(first, second)
    np.testing.assert_allclose(found, np.linalg.norm(first[:, None] - second, axis=-1), atol=1e-10)
    assert found[3, 4] == 0


def test_the_leading_direction_is_that_of_all_singular_ones():
    rng = np.random.default_rng(35)
    for shape in ((60, 20), (20, 60)):
        rows = rng.normal(size=shape) * np.linspace(1, 4, shape[1])
        centred = rows - rows.mean(0)
        assert abs(regions._leading(centred) @ np.linalg.svd(centred)[2][0]) == pytest.approx(1)


def test_far_tails_of_exchanged_sums_are_fitted_and_near_ones_counted():
    null = np.random.default_rng(5).gamma(3.0, size=999)
    assert permutations.upper_p(3.0, null) == pytest.approx((1 + np.sum(null >= 3.0)) / 1000)
    far = permutations.upper_p(16.0, null)
    assert 0.2 < math.log(far) / math.log(scipy.stats.gamma.sf(16.0, 3.0)) < 2.5
    assert far < 1 / 1000


def test_a_classifier_tells_what_differs_and_guesses_where_nothing_does():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(2, 30, 20, 4))
    assert classifier.separation(x, y, 0)[2] > 0.01
    moved = y.copy()
    moved[..., 0] = np.sign(rng.normal(size=y.shape[:2])) * 1.0  # the same mean and variance
    area, error, p = classifier.separation(x, moved, 0)
    assert area > 0.5 + 5 * error
    assert p < 0.001


def test_effective_rows_are_those_of_a_normal_law():
    energies = np.random.default_rng(8).normal(size=200_000)
    found = reach.effective(energies, 1.0, np.array([1.0, 1.5]), 1000.0)
    np.testing.assert_allclose(found, [1000.0, 1000 * math.exp(-0.25)], rtol=0.02)


# -- what is measured --------------------------------------------------------------------------------------------------


def ground_of(lattice, space, rows) -> Ground:
    return Ground(space, lattice, {}, rows)


def named(ground: Ground, name: str):
    known = quantities(ground)
    pooled = {key: one.of(ground.pooled) for key, one in known.items()}
    return next(one for one in measures(ground, known, pooled) if one.name == name)


SPIN_ROWS = np.random.default_rng(9).choice([-1, 1], size=(40, 12), p=[0.3, 0.7]).astype(np.int8)


@pytest.mark.parametrize("periodic", [True, False])
def test_correlations_are_sums_over_pairs(periodic):
    lattice = hypercubic((3, 4), periodic=periodic)
    ground = ground_of(lattice, SPINS, SPIN_ROWS)
    grid = SPIN_ROWS.reshape(-1, 3, 4).astype(float)

    def by_hand(step):
        found = []
        for a, b in itertools.product(range(3), range(4)):
            i, j = a + step[0], b + step[1]
            if periodic or (0 <= i < 3 and 0 <= j < 4):
                found.append(grid[:, a, b] * grid[:, i % 3, j % 4])
        return np.mean(found, axis=0)

    along = named(ground, "correlations along the axes")
    for k, label in enumerate(along.labels):
        r, axis = int(label.split("distance ")[1].split()[0]), int(label[-1])
        np.testing.assert_allclose(along.values(SPIN_ROWS)[:, k], by_hand((r, 0) if axis == 0 else (0, r)))
    off = named(ground, "correlations off the axes")
    for k, label in enumerate(off.labels):
        np.testing.assert_allclose(off.values(SPIN_ROWS)[:, k], by_hand(tuple(map(int, label[6:-1].split(",")))))


def test_structure_factor_is_a_fourier_sum():
    ground = ground_of(hypercubic((3, 4)), SPINS, SPIN_ROWS)
    found = named(ground, "structure factor")
    k = next(index for index, label in enumerate(found.labels) if label == "S at k = (2π/3, 0)")
    x = np.repeat(np.arange(3), 4)
    wave = np.exp(2j * np.pi * x / 3)
    np.testing.assert_allclose(found.values(SPIN_ROWS)[:, k], np.abs(SPIN_ROWS @ wave) ** 2 / 12, atol=1e-12)


def test_connected_moments_have_the_means_of_cumulants():
    """Of the pooled rows themselves: third cumulants, and fourth ones less three times what the first order counts twice."""
    lattice = hypercubic(8)
    rng = np.random.default_rng(10)
    rows = np.sign(rng.normal(size=(2000, 8)) + 0.4 + 0.8 * rng.normal(size=(2000, 1))).astype(np.int8)
    ground = ground_of(lattice, SPINS, rows)
    centred = rows - rows.mean(0)
    moved = [np.roll(centred, -k, 1) for k in range(4)]
    third = named(ground, "third connected moments")
    assert third.values(rows).mean() == pytest.approx((moved[0] * moved[1] * moved[2]).mean())
    fourth = named(ground, "fourth connected moments")
    pair = lambda a, b: (moved[a] * moved[b]).mean(0)
    gaussian = pair(0, 1) * pair(2, 3) + pair(0, 2) * pair(1, 3) + pair(0, 3) * pair(1, 2)
    assert fourth.values(rows).mean() == pytest.approx(((moved[0] * moved[1] * moved[2] * moved[3]).mean(0) - 2 * gaussian).mean())


def test_clusters_are_connected_components():
    lattice = hypercubic((3, 4))
    found = clusters(SPIN_ROWS, lattice)
    for row, value in zip(SPIN_ROWS, found, strict=True):
        alike = nx.Graph([tuple(bond) for bond in lattice.bonds.tolist() if row[bond[0]] == row[bond[1]]])
        alike.add_nodes_from(range(12))
        assert value == pytest.approx(sum(len(one) ** 2 for one in nx.connected_components(alike)) / 12)


def test_levels_of_the_discrete_and_bins_of_the_continuous():
    rng = np.random.default_rng(11)
    levels, edges = split(rng.integers(0, 5, size=2000).astype(float))
    assert levels.tolist() == [0, 1, 2, 3, 4]
    assert not len(edges)
    values = rng.normal(size=4000)
    levels, edges = split(values)
    assert not len(levels)
    counts = np.histogram(values, [-np.inf, *edges, np.inf])[0]
    assert counts.max() - counts.min() <= 2


def test_constant_parities_are_all_of_them():
    rng = np.random.default_rng(12)
    bits = rng.integers(0, 2, size=(200, 9)).astype(bool)
    bits[:, 8] = ~(bits[:, 0] ^ bits[:, 3])
    bits[:, 7] = bits[:, 1]
    basis = laws.constant_parities(bits)
    constant = {
        sites
        for size in range(1, 10)
        for sites in itertools.combinations(range(9), size)
        if len(set((bits[:, list(sites)].sum(1) % 2).tolist())) == 1
    }
    spanned = set()
    for chosen in itertools.product([0, 1], repeat=len(basis)):
        total = (np.array(chosen) @ basis) % 2
        if total.any():
            spanned.add(tuple(np.flatnonzero(total).tolist()))
    assert spanned == constant
    assert len(constant) == 3


def test_blocks_never_join_rows_that_follow_each_other():
    data = xr.Dataset(
        {"state": (("chain", "draw", "x0"), np.ones((3, 100, 4), np.int8))},
        coords={"beta": 1.0},
        attrs={"space": "spins", "q": 2},
    )
    side = Side.of(data, "the reference")
    found = side.blocks(5.0)
    assert found.rows >= 25
    for block in range(found.count):
        rows = np.flatnonzero(found.label == block)
        assert rows[-1] - rows[0] == len(rows) - 1
        assert rows[0] // 100 == rows[-1] // 100
    assert side.blocks(50.0).count == 0
    thin = found.thinned(4)
    assert (np.bincount(thin.label[thin.label >= 0]) == 4).all()


def test_memory_is_nearest_neighbours_by_hand():
    rng = np.random.default_rng(13)
    training, held = rng.integers(0, 4, size=(2, 10, 5, 6)).astype(float)
    drawn = rng.integers(0, 4, size=(30, 6)).astype(float)
    drawn[:6] = training[3, :3].repeat(2, 0)
    found = memorised.memory(drawn, training, held)
    nearest = lambda one, rows: min(float(np.linalg.norm(one - row)) for row in rows.reshape(-1, 6))
    pairs = [(nearest(one, training), nearest(one, held)) for one in drawn]
    assert found.nearer == pytest.approx(np.mean([(b - a) / (a + b) if a + b else 0.0 for a, b in pairs]))
    assert found.copies == pytest.approx(np.mean([a == 0 for a, _ in pairs]))


def test_regions_divide_what_lies_apart_and_every_row_is_in_one():
    rng = np.random.default_rng(14)
    values = np.concatenate([rng.normal(-3, 0.3, (100, 5)), rng.normal(3, 0.3, (100, 5))])
    found = regions.of(values)
    cells = found.cell(values)
    assert set(cells) == set(range(found.count))
    assert not set(cells[:100]) & set(cells[100:])
    assert regions.of(np.zeros((100, 3))) is None


# -- the verb ----------------------------------------------------------------------------------------------------------


def test_equal_laws_agree_and_everything_was_decided():
    found = hl.audit(sample(seed=0), sample(seed=1), energy=ISING)
    assert found.decision == "agrees"
    assert not found.undecided
    assert {one.section for one in found.findings} == {"conserved", "distributions", "space", "support", "whole"}
    assert all(one.consequence.startswith("no difference beyond chance") for one in found.findings)


def test_a_system_is_simulated_where_the_reference_was():
    found = hl.audit(sample(beta=0.1), hl.systems.Ising((4, 4), J=0.2), draws=2000, seed=1, beta=[0.1, 2.0])
    assert found.decision == "differs"
    assert found["mean of the model's energy"].flagged
    assert found["temperatures asked for"].flagged
    assert "exact" in found.how["model"]


def test_a_conserved_sum_is_found_without_being_told():
    kept = hl.systems.FixedMagnetization(ISING, 0)
    found = hl.audit(sample(kept), sample(seed=3))
    assert found["conserved sums"].flagged
    assert "the total (Σσ = 0)" in found["conserved sums"].where
    assert found["conserved sums"].effect > 0.5
    assert hl.audit(sample(kept), sample(kept, seed=3))["conserved sums"].p_value == 1


def test_conserved_lines_and_parities_are_named():
    rng = np.random.default_rng(15)
    lines = np.stack([[rng.permutation([1, 1, -1, -1]) for _ in range(4)] for _ in range(800)])
    free = rng.choice([-1, 1], size=(800, 4, 4))
    even = free * np.where((free.prod((1, 2)) < 0)[:, None, None] & (np.arange(16).reshape(4, 4) == 0), -1, 1)
    of = lambda rows: hl.microstates(rows, space="spins", beta=1.0, independent=True)
    found = hl.audit(of(lines), of(free))["conserved sums"]
    assert found.flagged
    assert "every sum along axis 1" in found.where
    assert "along axis 0" not in found.where
    found = hl.audit(of(even), of(free))["conserved parities"]
    assert found.flagged
    assert "the number of spins up modulo 2" in found.where
    assert found.effect == pytest.approx(0.5, abs=0.1)
    # What the model keeps and the reference does not is named too.
    assert hl.audit(of(free), of(even))["conserved parities, which the reference breaks"].flagged


@pytest.mark.parametrize("lattice", [hypercubic((8, 8)), hypercubic((40, 30)), hypercubic((33,), periodic=False)])
def test_pairs_that_are_no_bonds_are_looked_at_too(lattice):
    sets = measures_of.pair_sets(lattice)
    bonds = {tuple(sorted(one)) for one in lattice.bonds.tolist()}
    others = [tuple(one) for one in sets["other pairs, at random"].tolist()]
    assert len(set(others)) == len(others) >= 450 and not set(others) & bonds and all(a < b for a, b in others)
    assert {tuple(one) for one in sets["bonds one by one"].tolist()} <= bonds


def test_planted_defects_are_caught():
    rng = np.random.default_rng(16)
    reference = sample(beta=0.6, seed=0)
    dropped = sample(beta=0.6, seed=1)
    rows = dropped["state"].values
    sign = np.where(rows.sum((2, 3), keepdims=True) < 0, -1, 1)
    found = hl.audit(reference, dropped.assign(state=(dropped["state"].dims, (rows * sign).astype(np.int8))))
    assert found["regions of states"].flagged
    assert found.decision == "differs"
    J = np.ones(ISING.lattice.n_bonds)
    J[5] = 0.0
    found = hl.audit(sample(seed=0), hl.systems.Pairwise(ISING.lattice, J), seed=2)
    assert found["pairs one by one"].flagged
    i, j = ISING.lattice.bonds[5]
    assert found["pairs one by one"].where == f"sites {min(i, j)} and {max(i, j)}"
    training, held, fresh = (sample(beta=0.1, seed=seed) for seed in (0, 1, 2))
    states_ = fresh["state"].values.copy().reshape(-1, 16)
    states_[:400] = training["state"].values.reshape(-1, 16)[rng.integers(2000, size=400)]
    copied = fresh.assign(state=(fresh["state"].dims, states_.reshape(fresh["state"].shape)))
    assert hl.audit(held, copied, training=training)["memory of the training set"].flagged
    assert not hl.audit(held, fresh, training=training)["memory of the training set"].flagged


def test_slow_chains_are_undecided_and_no_pass():
    slow = hl.simulate(hl.systems.Ising((8, 8)), beta=0.5, draws=60, chains=4, seed=0, sampler="heat_bath", progress=False)
    found = hl.audit(slow, slow.assign(state=-slow["state"].isel(draw=slice(None, None, -1))), energy=hl.systems.Ising((8, 8)))
    assert found.decision != "agrees"
    assert "needs about" in found.undecided[0].consequence
    assert all(np.isnan(one.p_value) and not one.flagged for one in found.undecided)


def test_correlated_rows_do_not_raise_alarms():
    """AR(1) series with ρ = 0.7, of which a test that permutes rows flags a third at 5 %."""
    rng = np.random.default_rng(17)

    def side():
        noise = rng.normal(size=(4, 550, 6))
        rows = np.zeros_like(noise)
        for t in range(1, 550):
            rows[:, t] = 0.7 * rows[:, t - 1] + math.sqrt(1 - 0.49) * noise[:, t]
        return Side(rows[:, 50:], REALS, (6,), False, "one")

    def p_value(own: bool) -> float:
        pair = [side(), side()]
        blocks = paired(*((one, one.time_of(one.rows)) for one in pair)) if own else [one.blocks(1.0) for one in pair]
        return permutations.difference(*(part.means(one.rows) for part, one in zip(blocks, pair, strict=True)), largest=True).p_value

    p = np.array([p_value(True) for _ in range(40)])
    assert scipy.stats.binomtest(int(np.sum(p < 0.05)), 40, 0.07, alternative="greater").pvalue > spend()
    assert scipy.stats.binomtest(int(np.sum(p < 0.5)), 40, 0.55, alternative="greater").pvalue > spend()


def test_what_levels_share_is_as_slow_as_the_quantity_itself():
    """A sign that turns every 50 rows, times a size that is new in each: single levels forget at once, their sum of squares does not."""
    rng = np.random.default_rng(32)
    values = np.cumprod(np.where(rng.random(4000) < 0.02, -1, 1)) * rng.integers(1, 31, 4000)
    side = Side(values[None, :, None].astype(float), REALS, (1,), False, "one")
    levels = np.unique(values)
    columns = (values[:, None] == levels).astype(float)
    case, measure = types.SimpleNamespace(values={"x": (values, values)}), types.SimpleNamespace(quantity="x", largest=False)
    share = np.mean(rng.integers(1, 31, 10**5)) ** 2 / np.mean(rng.integers(1, 31, 10**5) ** 2.0)  # of the variance that is the sign's
    truth = 1 + share * 2 * 0.96 / 0.04  # Σ ρ^t of a sign that is kept with probability 0.98
    seen = [side.time_of(one.reshape(4000, -1)) for one in comparisons._slow(case, measure, (columns, columns), 0)]
    assert seen[0] < truth / 2 and truth / 1.5 < max(seen[1:]) < 3 * truth


def test_what_is_rare_is_not_forbidden_because_one_side_is_small():
    """Events of probability 0.003: the side of 320 rows has seen one or none, the side of 9600 many."""
    rng = np.random.default_rng(20)
    one = lambda count: Side((rng.random((1, count, 1)) < 0.003).astype(float), REALS, (1,), True, "one")

    def p_value() -> float:
        pair = one(320), one(9600)
        first, second = paired((pair[0], 1.0), (pair[1], 1.0))
        found = permutations.difference(first.means(pair[0].rows), second.means(pair[1].rows), largest=True)
        return 1.0 if np.isnan(found.p_value) else found.p_value

    p = np.array([p_value() for _ in range(60)])
    assert scipy.stats.binomtest(int(np.sum(p < 0.02)), 60, 0.03, alternative="greater").pvalue > spend()


def test_linear_response_of_members_is_what_they_differ_by():
    """Against sums over all states of every member."""
    rng = np.random.default_rng(19)
    lattice = hypercubic((3, 3))
    systems = tuple(hl.systems.Pairwise(lattice, 1 + 0.05 * rng.normal(size=lattice.n_bonds)) for _ in range(6))
    every = np.array(list(itertools.product([-1, 1], repeat=9)), np.int8)
    products = every[:, lattice.bonds[:, 0]] * every[:, lattice.bonds[:, 1]]
    weights = np.stack([scipy.special.softmax(-0.3 * np.asarray(one.energy(every.reshape(-1, 3, 3)))) for one in systems])
    exact = weights @ products
    rows = np.concatenate([every[rng.choice(512, 4000, p=one)] for one in weights])
    found = Members(systems, rows, 0.3)
    assert found.linear
    moved = found.moved((rows[:, lattice.bonds[:, 0]] * rows[:, lattice.bonds[:, 1]]).astype(float))
    np.testing.assert_allclose(moved, exact - exact.mean(0), atol=0.12 * np.abs(exact - exact.mean(0)).max())


def test_an_uncertain_posterior_is_not_blamed_for_its_uncertainty():
    data = sample(beta=0.3, draws=100)
    post = hl.learn(data, hl.models.Couplings(ISING.lattice, fields=None), engine="laplace", check=False)
    found = hl.audit(sample(beta=0.3, seed=5), post, seed=1)
    assert "32 Hamiltonians of the posterior" in found.how["model"]
    assert found.decision == "agrees"


SPACES = {
    "states": (hl.systems.Potts((4, 4), 3), 0.6),
    "angles": (hl.systems.XY((4, 4)), 0.6),
    "vectors": (hl.systems.Heisenberg((4, 4)), 0.6),
    "chain": (hl.systems.Ising((12,)), 0.5),
    "graph": (hl.systems.Pairwise(graph([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]), np.ones(5)), 0.5),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_space_is_audited(name):
    system, beta = SPACES[name]
    first, second = (sample(system, beta, seed, draws=60) for seed in (0, 1))
    assert hl.audit(first, second, energy=system).decision in ("agrees", "undecided")
    assert hl.audit(first, sample(system, 2.5 * beta, 2, draws=60).assign_coords(beta=beta), energy=system).decision == "differs"


def test_real_fields_are_audited():
    rng = np.random.default_rng(18)
    of = lambda rows: hl.microstates(rows, space="reals", beta=1.0, independent=True, periodic=True)
    assert hl.audit(of(rng.normal(size=(600, 5, 5))), of(rng.normal(size=(600, 5, 5)))).decision == "agrees"
    heavy = rng.laplace(scale=1 / math.sqrt(2), size=(600, 5, 5))  # the same mean and variance
    assert hl.audit(of(rng.normal(size=(600, 5, 5))), of(heavy))["mean of the mean fourth power"].flagged


def test_what_was_found_is_kept_and_shown(tmp_path):
    found = hl.audit(sample(), sample(beta=0.6, seed=1).assign_coords(beta=0.4))
    table = found.to_dataset()
    assert table.attrs["decision"] == "differs"
    kept = storage.read_dataset(storage.write_dataset(table, tmp_path / "audit.nc"))
    np.testing.assert_array_equal(kept["p_value"].values, [one.p_value for one in found.findings])
    page = hl.report(found, tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "The model differs" in page
    assert page.index("What speaks against the model") < page.index("Every comparison")
    assert all(one.consequence.split(":")[0][1:40] in page for one in found.flagged[:3])
    assert found.facts()["decision"].startswith("differs")
    with pytest.raises(HamlearnError, match="Audit has pictures and tables of its own"):
        hl.report(found, tmp_path / "other.html", data=sample())
    json.dumps(table.attrs)


REFUSED = {
    "of different spaces": (
        lambda: hl.microstates(np.ones((50, 4, 4), int), space="states", q=3, beta=0.4),
        {},
        "only microstates of one space",
    ),
    "of different sizes": (lambda: sample(hl.systems.Ising((3, 3)), draws=20), {}, "compare one size"),
    "of different temperatures": (lambda: sample(beta=0.5, draws=20), {}, r"β = 0.4, the model at β = 0.5"),
    "no model": (lambda: "model", {}, "microstates or a list of them"),
    "its own training set": (lambda: sample(seed=1, draws=20), {"training": "reference"}, "is the reference itself"),
    "an energy of nothing": (lambda: sample(seed=1, draws=20), {"energy": "J"}, "energy= takes a system"),
    "an energy of other sites": (lambda: sample(seed=1, draws=20), {"energy": hl.systems.Ising((5, 5))}, r"has 25 sites, .* have 16"),
    "an energy of another space": (lambda: sample(seed=1, draws=20), {"energy": hl.systems.XY((4, 4))}, "only one space"),
    "a training set of other sites": (
        lambda: sample(seed=1, draws=20),
        {"training": hl.microstates(np.ones((50, 3, 3), int), beta=0.4)},
        r"training= has 9 sites",
    ),
    "a training set of another space": (
        lambda: sample(seed=1, draws=20),
        {"training": hl.microstates(np.ones((50, 4, 4), int), space="states", q=3, beta=0.4)},
        "training= is of",
    ),
    "a level above one half": (lambda: sample(seed=1, draws=20), {"level": 0.7}, "level must be"),
    "no draws": (lambda: ISING, {"draws": 0}, "draws must be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_by_name(case):
    model, options, message = REFUSED[case]
    reference = sample(draws=20)
    options = {key: reference if isinstance(value, str) and value == "reference" else value for key, value in options.items()}
    with pytest.raises(HamlearnError, match=message):
        hl.audit(reference, model(), **options)


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_real_values_whose_powers_are_no_numbers_are_refused(size):
    rows = size * np.random.default_rng(0).normal(size=(2, 50, 6))
    first, second = (hl.microstates(one, space="reals", independent=True) for one in rows)
    with pytest.raises(HamlearnError, match="in other units"):
        hl.audit(first, second)


def test_a_pair_that_prefers_unlike_states_or_a_turn_is_seen():
    """Scalar products of two sites say how alike they are, and nothing of which unlike states stand side by side."""
    rng = np.random.default_rng(0)
    follows = rng.random(1000) < 0.3
    states = rng.integers(0, 4, (2, 1000, 6))
    states[1, follows, 2] = (states[1, follows, 1] + 1) % 4
    angles = rng.uniform(0, 2 * np.pi, (2, 1000, 6))
    angles[1, follows, 2] = (angles[1, follows, 1] + np.pi / 2) % (2 * np.pi)
    for rows, options, named in ((states, {"space": "states", "q": 4}, "states"), (angles, {"space": "angles"}, "components")):
        first, second = (hl.microstates(one, independent=True, **options) for one in rows)
        found = hl.audit(first, second)[f"pairs of {named}, one by one"]
        assert found.flagged and "sites 1 and 2" in found.where, named


def test_an_energy_that_is_no_number_names_the_first_state():
    class Broken(hl.systems.base.System):
        lattice, space = ISING.lattice, SPINS

        def energy(self, states):
            total = np.asarray(states, float).sum((-2, -1)) if np.ndim(states) > 2 else np.asarray(states, float).sum(-1)
            return np.where(total == 0, np.nan, total)

    data = sample(draws=20)
    first = int(np.flatnonzero(data["state"].values.reshape(-1, 16).sum(1) == 0)[0])
    with pytest.raises(HamlearnError, match=f"first for row {first}:"):
        hl.audit(data, sample(draws=20, seed=1), energy=Broken())


def test_few_rows_are_undecided_and_states_are_compared_by_their_words():
    one = hl.microstates(np.ones((1, 3, 3), int), space="spins", beta=1.0)
    found = hl.audit(one, one)
    assert found.decision == "undecided"
    assert all(not item.decided for item in found.findings if item.section in ("conserved", "whole"))
    frozen = hl.microstates(np.ones((40, 3, 3), int), space="spins", beta=1.0)
    assert (
        hl.audit(frozen, frozen).cautions[0] == "all 40 rows of the reference are the same microstate: a frozen chain says nothing of a law"
    )
    rng = np.random.default_rng(21)
    rows = np.array(["mild", "hot", "cold"])[rng.integers(0, 3, size=(300, 4))]
    of = lambda table: hl.microstates(pd.DataFrame(table, columns=list("abcd")), space="states", beta=1.0, independent=True)
    other = np.array(["hot", "cold", "mild"])[rng.integers(0, 3, size=(300, 4))]
    assert hl.audit(of(rows), of(other)).decision == "agrees"
    other[:200, 0] = "hot"
    found = hl.audit(of(rows), of(other))
    assert found["single sites"].flagged
    assert found["single sites"].where.startswith("site a,")


def test_weights_and_undeclared_temperatures_are_refused():
    weighted = hl.microstates(np.ones((4, 4, 4), int), space="spins", beta=0.4, weights=np.ones(4) / 2)
    with pytest.raises(HamlearnError, match="statistical weights"):
        hl.audit(weighted, sample(draws=20))
    with pytest.raises(HamlearnError, match="declares no temperature"):
        hl.audit(hl.microstates(sample(draws=20)["state"].values[0], space="spins"), ISING)


# -- what is held out, and what is taken for granted ------------------------------------------------------------------


def _ring(rng, rows, sites):
    """Independent rows of spins, unlike to their left with probability 0.2: few of short rings, which recur."""
    return np.cumprod(np.where(rng.random((rows, sites)) < 0.2, -1, 1), axis=1) * rng.choice([-1, 1], size=(rows, 1))


@pytest.mark.parametrize("sites", [100, 6])
def test_rows_of_the_training_set_are_known_by_value_or_by_their_order(sites):
    rng = np.random.default_rng(30)
    training, fresh = _ring(rng, 600, sites), _ring(rng, 600, sites)
    assert not held.repeated(training, fresh).any()  # of 6 sites every row is one of 64 states
    mixed = np.concatenate([fresh[:200], training[100:500]])
    found = held.repeated(training, mixed)
    assert found[200:].all() and found[:200].sum() <= 10
    one = np.concatenate([training[:-1], fresh[:1]])
    assert held.repeated(training, one).sum() == 599


def test_rows_in_another_order_are_known_by_value_or_refused():
    rng = np.random.default_rng(31)
    training, fresh = _ring(rng, 600, 100), _ring(rng, 600, 100)
    mixed = rng.permutation(np.concatenate([fresh[:200], training[:400]]))
    trained = {row.tobytes() for row in training}
    np.testing.assert_array_equal(held.repeated(training, mixed), [row.tobytes() in trained for row in mixed])
    few = _ring(rng, 600, 6)
    with pytest.raises(HamlearnError, match="the same rows in another order"):
        held.repeated(few, np.concatenate([rng.permutation(few)[1:], _ring(rng, 1, 6)]))
    halves = rng.permutation(np.concatenate([few, _ring(rng, 600, 6)]))
    assert not held.repeated(halves[:600], halves[600:]).any()  # one set split at random: an honest hold-out


def test_a_reference_that_is_the_training_set_but_for_a_row_says_nothing_of_memory():
    training, other, model = (sample(beta=0.2, seed=seed, draws=50) for seed in range(3))
    state = training["state"].values.copy()
    state[-1, -1] = other["state"].values[0, 0]
    found = hl.audit(training.assign(state=(training["state"].dims, state)), model, training=training)
    assert not found["memory of the training set"].decided and found.decision == "undecided"
    assert "399 of the 400 rows of the reference are rows of the training set" in found.summary
    assert found.cautions == hl.diagnostics.Audit.from_dataset(found.to_dataset()).cautions != ()
    several = held.out_of([training, model], other)
    assert several.left_out == "" and several.training.states.shape[:2] == (16, 50)


def test_a_temperature_that_only_one_side_declares_is_said():
    known, unknown = sample(draws=50), hl.microstates(sample(draws=50, seed=1)["state"].values[0], space="spins")
    assert "the model declares no temperature, the reference was observed at β = 0.4" in hl.audit(known, unknown).summary
    assert "the reference declares no temperature, the model was observed at β = 0.4" in hl.audit(unknown, known).summary
    halves = [[one.isel(draw=slice(k, None, 2)) for k in (0, 1)] for one in (unknown, known)]
    assert hl.audit(*halves[0]).cautions == hl.audit(*halves[1]).cautions == ()


def test_strengths_are_not_simulated_at_a_temperature_that_is_not_theirs(learned):
    unknown = hl.microstates(sample(draws=50)["state"].values[0], space="spins")
    with pytest.raises(HamlearnError, match="the reference declares no temperature, and the posterior"):
        hl.audit(unknown, learned)
    nameless = hl.learn(unknown, hl.models.Couplings(ISING.lattice, tie="uniform", fields=None), engine="laplace", check=False, seed=0)
    with pytest.raises(HamlearnError, match=r"declare no temperature, the reference was observed at β = 0\.4"):
        hl.audit(sample(draws=50), nameless)


# -- what a posterior keeps of its audit -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned():
    return hl.learn(sample(seed=1), hl.models.Couplings(ISING.lattice, tie="uniform", fields=None), engine="laplace", seed=0)


def test_the_verdict_of_an_audited_posterior_begins_with_the_audit(learned, tmp_path):
    before = hl.verdict(learned)
    good = hl.audit(sample(seed=2), learned, seed=0)
    bad = hl.audit(sample(hl.systems.Ising((4, 4), J=0.8), seed=3), good.posterior, seed=0)  # in the place of the earlier one
    few = hl.audit(sample(seed=4, draws=100, chains=1), learned, seed=0)
    assert [hl.verdict(one.posterior).level for one in (good, bad, few)] == ["believe", "do not believe", "caution"]
    assert [hl.verdict(one.posterior).reasons[0].topic for one in (bad, few)] == ["audit", "audit"]
    assert [sum(one.topic == "audit" for one in hl.verdict(it.posterior).reasons) for it in (good, bad, few)] == [1, 1, 1]
    assert "An audit of its microstates" in hl.verdict(good.posterior).summary
    assert bad.posterior.attrs["about"].startswith("do not believe") and hl.verdict(learned) == before  # a copy: the caller's is as it was
    hl.save(bad.posterior, tmp_path / "post.nc")
    kept = hl.load(tmp_path / "post.nc")
    assert hl.verdict(kept).reasons == hl.verdict(bad.posterior).reasons
    assert str(hl.diagnostics.Audit.from_dataset(kept["audit"].to_dataset())) == str(bad)
    page = hl.report(kept, tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("An audit of its microstates found") < page.index('id="learned"') and 'id="audit"' in page


def test_what_chance_makes_once_in_a_hundred_audits_is_a_caution_and_once_in_a_thousand_serious():
    one = lambda p: hl.diagnostics.AuditFinding("x", "space", 1.0, p, 1.0, 0.1, p_adjusted=p, flagged=True)
    severity = lambda p: kept.noted(hl.diagnostics.Audit((one(0.9), one(p)), 0.01)).severity
    assert (severity(0.005), severity(0.0005)) == ("caution", "serious")


def test_flat_rows_are_those_of_the_lattice(learned):
    states = sample(seed=2)["state"].values.reshape(-1, 16)
    flat = hl.microstates(states, space="spins", beta=0.4, independent=True)
    square = hl.microstates(states.reshape(-1, 4, 4), space="spins", beta=0.4, independent=True)
    assert str(hl.audit(flat, learned, 500)) == str(hl.audit(square, learned, 500))
    assert hl.audit(flat.isel(draw=slice(0, None, 2)), square.isel(draw=slice(1, None, 2))).decision == "agrees"
    with pytest.raises(HamlearnError, match="the reference itself"):
        hl.audit(flat, square)
    with pytest.raises(HamlearnError, match="compare one size"):
        hl.audit(flat.isel(site=slice(9)), learned)


def test_moments_say_which_sites_they_are_of():
    """Three sites of a line that agree in sign, which no pair and no single site shows."""
    rng = np.random.default_rng(0)
    rows = rng.choice([-1, 1], (2, 2000, 12))
    rows[1, :1200, 2] = rows[1, :1200, 0] * rows[1, :1200, 1]
    first, second = (hl.microstates(one, space="spins", independent=True, periodic=False) for one in rows)
    found = hl.audit(first, second)
    assert "sites x, x + 1, x + 2" in found["third connected moments"].where


def test_the_reference_itself_is_no_model():
    data = sample(draws=50)
    with pytest.raises(HamlearnError, match="the reference itself"):
        hl.audit(data, data.copy())


def test_a_lattice_that_nobody_calls_closed_is_said_to_be_taken_for_open():
    rows = np.random.default_rng(0).choice([-1, 1], size=(2, 4, 60, 3, 3))
    one, other = (hl.microstates(half, space="spins", beta=1.0, dims=("chain", "draw", "x", "y")) for half in rows)
    assert "neither side says" in hl.audit(one, other, seed=0).how["lattice"]
    closed = hl.microstates(rows[1], space="spins", beta=1.0, periodic=True, dims=("chain", "draw", "x", "y"))
    assert "lattice" not in hl.audit(one, closed, seed=0).how


def test_one_network_of_energies_is_simulated_once_in_many_chains():
    """Thirty-two draws of a posterior of one network are one law: they were simulated one after the other, eight chains each."""
    ising = hl.systems.Ising((4, 4))
    data = hl.simulate(ising, beta=0.4, draws=150, chains=4, seed=0)
    post = hl.infer.distill(data, ising, hl.models.Extensive(focus=1, context=1, hidden=(4,)), hl.infer.Training(epochs=2), beta=0.4)
    found = hl.audit(hl.simulate(ising, beta=0.4, draws=150, chains=4, seed=1), post, draws=640, seed=0)
    assert found.how["model"] == "simulated: 1 Hamiltonian of the posterior, 640 microstates of each"
    assert found.how["model's rows"].startswith("640 rows")


def test_frozen_chains_agree_on_nothing():
    rows = np.ones((500, 6, 6), int)
    one, other = (hl.microstates(rows[:count], space="spins", beta=0.35) for count in (500, 400))
    found = hl.audit(one, other)
    assert found.decision == "undecided"
    assert "frozen" in found.summary
    assert type(found).from_dataset(found.to_dataset()).decision == "undecided"


def test_the_rows_of_the_reference_in_another_order_are_no_model():
    rows = np.random.default_rng(0).choice([-1, 1], size=(300, 4, 4))
    one, other = (hl.microstates(states, space="spins", beta=0.35) for states in (rows, np.random.default_rng(1).permutation(rows)))
    with pytest.raises(HamlearnError, match="in another order"):
        hl.audit(one, other)


def test_where_nothing_was_decided_the_summary_says_what_is_needed():
    rows = np.random.default_rng(0).choice([-1, 1], size=(300, 4, 4))
    found = hl.audit(*(hl.microstates(one, space="spins", beta=0.3) for one in (rows, rows[:1])))
    assert found.decision == "undecided"
    assert "comparisons could be decided: the model has 1 independent blocks, 20 are needed; needs about 95 more" in found.summary
