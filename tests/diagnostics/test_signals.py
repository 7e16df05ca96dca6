"""Rows that drift, drive each other, were copied or stay in one phase are named; chains of honest samplers are not."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import scipy.stats

import hamlearn as hl
from hamlearn.diagnostics import signals
from hamlearn.diagnostics.signals import coincidences, conserved, following, images, stationarity, timeseries
from hamlearn.diagnostics.signals.view import views
from hamlearn.systems import exact, lattice
from statistics_budget import assert_within

GRID = lattice.hypercubic((4, 4))
MODEL = hl.models.Couplings(GRID)


def glass(seed: int, draws: int = 3000, beta: float = 0.5) -> np.ndarray:
    return exact.sample(hl.systems.EdwardsAnderson(GRID, seed=seed), beta, draws, seed).reshape(draws, 4, 4).astype(int)


def drifting(seed: int) -> np.ndarray:
    """Independent rows whose inverse temperature rises from 0.25 to 0.75."""
    system = hl.systems.EdwardsAnderson(GRID, seed=seed)
    return np.concatenate([exact.sample(system, beta, 100, 1000 * seed + k) for k, beta in enumerate(np.linspace(0.25, 0.75, 30))])


def driven(seed: int, strength: float = 0.6, sites: int = 10, draws: int = 3000) -> np.ndarray:
    """Every spin is drawn given one other spin of the row before: no two spins of a row are correlated."""
    rng = np.random.default_rng(seed)
    rows = np.ones((draws, sites))
    for t in range(draws - 1):
        rows[t + 1] = np.where(rng.random(sites) < 1 / (1 + np.exp(-2 * strength * np.roll(rows[t], 3))), 1, -1)
    return rows.astype(int)


def sweeps(seed: int, *, order: str, rule: str, updates: int, beta: float = 0.5, draws: int = 500) -> np.ndarray:
    """Four chains ``(chain, draw, 4, 4)`` of a glass by plain loops, `updates` single sites a row."""
    rng = np.random.default_rng(seed)
    J = np.zeros((16, 16))
    np.add.at(J, tuple(GRID.bonds.T), np.asarray(hl.systems.EdwardsAnderson(GRID, seed=seed).J))
    J, spins, kept, chain, place = J + J.T, rng.choice([-1, 1], (4, 16)), [], np.arange(4), 0
    for row in range(-50, draws):
        for _ in range(updates):
            site = rng.integers(16, size=4) if order == "random" else np.full(4, place % 16)
            place += 1
            pull = 2 * beta * spins[chain, site] * (J[site] * spins).sum(1)
            flip = rng.random(4) < (1 / (1 + np.exp(pull)) if rule == "heat bath" else np.exp(-np.maximum(pull, 0)))
            spins[chain, site] *= np.where(flip, -1, 1)
        if row >= 0:
            kept.append(spins.copy())
    return np.array(kept).transpose(1, 0, 2).reshape(4, draws, 4, 4)


def found(states: np.ndarray, model=MODEL, beta: float = 0.5, **more) -> list[dict]:
    data = hl.microstates(states, beta=beta, **more)
    return signals.find(hl.infer.learn(data, model, likelihood="pseudo", engine="laplace", seed=0), data)


CHAINS = {"dims": ("chain", "draw", "x", "y")}


def test_a_drift_is_no_autocorrelation():
    data = hl.microstates(drifting(0), beta=0.5)
    verdict = hl.verdict(hl.learn(data, MODEL, likelihood="pseudo", engine="laplace", seed=0))
    assert verdict.level == "do not believe" and verdict.reasons[0].topic == "stationarity", verdict
    assert "energy" in verdict.summary and "error bars account for it" not in str(verdict)


@pytest.mark.parametrize("signs", ["alike", "either"])
def test_a_field_that_drifts_is_not_believed(signs):
    """Independent spins whose fields rise from nothing to 0.4."""
    fields = np.linspace(0, 0.4, 3000)[:, None] * (np.ones(9) if signs == "alike" else np.where(np.arange(9) % 2, 1, -1))
    rows = np.where(np.random.default_rng(0).random((3000, 9)) < 1 / (1 + np.exp(-2 * fields)), 1, -1)
    data = hl.microstates(rows.reshape(3000, 3, 3), beta=1.0)
    verdict = hl.verdict(hl.learn(data, hl.models.Couplings(lattice.hypercubic((3, 3))), engine="laplace", seed=0))
    assert verdict.level == "do not believe" and verdict.reasons[0].topic == "stationarity", verdict


def test_a_mean_that_seldom_changes_sides_is_never_a_serious_drift():
    """Three chains in one phase and one that leaves it twice: the mean of all lies inside a phase, and tells nothing."""
    rng = np.random.default_rng(3)
    means = np.full((4, 1000), -0.97) + 0.02 * rng.standard_normal((4, 1000))
    means[2, 300:850] *= -1
    assert stationarity.crossings(means) < stationarity.CROSSINGS
    one = np.ones(1)
    assert not stationarity._lasting([stationarity.MEAN], means[..., None], 1e-30 * one, one)
    moving = np.linspace(0, 1, 1000) + rng.standard_normal((4, 1000))
    assert stationarity._lasting([stationarity.MEAN], moving[..., None], 1e-30 * one, one)


def test_phases_that_alternate_seldom_are_no_drift_of_the_distribution():
    """A mean that jumps once between two values, with noise a third of it."""
    series = np.repeat([1.0, -1.0], [1700, 1300])[None] + 0.3 * np.random.default_rng(0).normal(size=(1, 3000))
    assert stationarity.drift(series[..., None])[0][0] < stationarity.SERIOUS
    assert stationarity.drift(stationarity._within_phases(series))[0][0] > stationarity.ALARM


def test_shuffled_the_drift_is_gone():
    rows = np.random.default_rng(0).permutation(drifting(0))
    assert not [one for one in found(rows) if one["topic"] == "stationarity"]


def stuck(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[2550:, 1, 1] = 1
    return rows


# What rows that are declared independent are, and whether a site was stuck.
ORDERS = {
    "as they were drawn": (lambda rows: rows, False),
    "a site stuck in the last rows": (stuck, True),
    "the same, shuffled": (lambda rows: np.random.default_rng(0).permutation(stuck(rows)), False),
    "sorted by two sites": (lambda rows: rows[np.lexsort((rows[:, 0, 1], rows[:, 0, 0]))], False),
    "sorted by their sum": (lambda rows: rows[np.argsort(rows.sum((1, 2)), kind="stable")], False),
    "a site that is rarely up": (lambda rows: np.where(np.arange(16).reshape(4, 4) == 5, -1, rows), False),
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_site_that_was_stuck_is_named_among_rows_without_an_order(name):
    """Rows that are declared independent are in no order; one stuck in a seventh of them was believed, with 0.7 of the intervals right."""
    make, wrong = ORDERS[name]
    rows = make(glass(3))
    if name == "a site that is rarely up":
        rows[np.random.default_rng(0).random(3000) < 0.02, 1, 1] = 1
    data = hl.microstates(rows, beta=0.5, independent=True)
    found = [one["what"] for one in signals.find(hl.infer.learn(data, MODEL, engine="laplace", seed=0), data)]
    named = [one for one in found if "keeps one value" in one]
    assert len(named) == wrong, found
    if wrong:
        assert named[0].startswith("site 5 keeps one value in 45") and "channel that was stuck" in named[0]


def keeping(rows: np.ndarray, share: float) -> np.ndarray:
    """Site 5 keeps what it was a row earlier in this share of the rows."""
    rows, late = rows.copy(), np.random.default_rng(0).random(len(rows)) < share
    for row in np.flatnonzero(late[1:]) + 1:
        rows[row, 1, 1] = rows[row - 1, 1, 1]
    return rows


# Rows that are declared independent, and which sites are named where they follow from the row before.
FOLLOWING = {
    "independent": (lambda: glass(3), None),
    "a site that is late": (lambda: keeping(glass(3), 0.2), "site 5 is correlated with its own value there"),
    "the same, shuffled": (lambda: np.random.default_rng(0).permutation(keeping(glass(3), 0.2)), None),
    "driven": (lambda: driven(0).reshape(-1, 2, 5), "is correlated with site"),
    "a chain": (lambda: sweeps(0, order="fixed", rule="heat bath", updates=16)[0], "is correlated with"),
    "three rows of everyone": (
        lambda: np.repeat(glass(3, 1000), 3, 0) * np.where(np.random.default_rng(1).random((3000, 4, 4)) < 0.3, -1, 1),
        "its own",
    ),
    "sorted by all sites": (lambda: glass(3)[np.lexsort(glass(3).reshape(-1, 16).T)], None),
    "sorted by their sum": (lambda: glass(3)[np.argsort(glass(3).sum((1, 2)), kind="stable")], None),
    "sorted by what was not kept": (lambda: glass(3)[np.argsort(np.random.default_rng(0).normal(glass(3)[:, 0, 0]))], None),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_rows_that_follow_from_the_row_before_are_not_independent(name):
    """They were believed: no order is looked for among rows whose order is said to mean nothing."""
    make, named = FOLLOWING[name]
    rows = make()
    data = hl.microstates(rows, beta=0.5, independent=True)
    model = hl.models.Couplings(lattice.hypercubic(rows.shape[1:]))
    said = [one["what"] for one in signals.find(hl.infer.learn(data, model, engine="laplace", seed=0), data)]
    follow = [one for one in said if "follow from the row before" in one]
    assert len(follow) == (named is not None), said
    if named is not None:
        assert named in follow[0]


def test_rows_that_are_independent_seldom_follow_by_chance():
    """Rare values, few rows, rows sorted by their sum: of 200 tables p-values below 0.05 are not more than chance has."""
    rng, p_values = np.random.default_rng(0), []
    for number in range(200):
        x = (rng.random((1, int(rng.choice([200, 1000])), 6)) < rng.choice([0.01, 0.1, 0.5], size=6)).astype(float)
        x = x[:, np.argsort(x.sum(-1)[0], kind="stable")] if number % 2 else x
        x = x[..., x.std((0, 1)) > 0]
        z = following.compare((x - x.mean(1, keepdims=True)) / x.std((0, 1)))[0]
        p_values.append(min(1.0, 2 * z.size * scipy.stats.norm.sf(np.abs(z).max())))
    assert sum(p < 0.05 for p in p_values) <= 20 and min(p_values) > following.ALARM  # 10 expected at most, by Bonferroni


def test_rows_driven_by_the_row_before_are_a_time_series():
    verdict = hl.verdict(hl.learn(hl.microstates(driven(0)), hl.models.Couplings(None), engine="laplace", seed=0))
    assert verdict.level == "do not believe" and "time series" in verdict.summary and "row before" in verdict.summary, verdict
    assert not found(np.random.default_rng(0).permutation(driven(0)), hl.models.Couplings(None), beta=None)


@pytest.mark.parametrize("how", ["repeated", "contiguous in tiles", "counts", "resampled"])
def test_copies_of_rows_are_found(how):
    few, rng = glass(1, 600), np.random.default_rng(0)
    if how == "counts":
        rows, counts = np.unique(few.reshape(-1, 16), axis=0, return_counts=True)
        result = found(rows.reshape(-1, 4, 4), counts=5 * counts)
    else:
        copies = {"repeated": np.repeat(few, 5, 0), "contiguous in tiles": np.tile(few, (5, 1, 1)), "resampled": few}[how]
        index = rng.integers(600, size=3000) if how == "resampled" else rng.permutation(3000) if how == "repeated" else np.arange(3000)
        result = found(copies[index])
    assert [one["topic"] for one in result] == ["repeated rows"] and result[0]["severity"] == "serious"
    assert 3 < result[0]["effect"] < 9  # copies of every row: 5, or what the excess of pairs says


@pytest.mark.parametrize("strength", [0.4, 0.8])
def test_equal_rows_of_a_misfit_do_not_come_before_it(strength):
    """Products of three spins under pairs, 256 states: the headline was that rows were copied. States from a plain enumeration."""
    rng, states = np.random.default_rng(1), np.array(list(itertools.product((-1, 1), repeat=8)))
    triples = [rng.choice(8, 3, replace=False) for _ in range(4)]
    weight = np.cumsum(np.exp(strength * sum(states[:, one].prod(1) for one in triples)))
    rows = states[np.searchsorted(weight / weight[-1], rng.random(4000))]
    post = hl.learn(hl.microstates(rows, beta=1.0), hl.models.Couplings(None), engine="laplace", seed=0)
    told = hl.verdict(post)
    assert [one.code for one in told.reasons[:2]] == ["misfit", "equal rows of a misfit"] and told.reasons[1].severity == "caution", told
    copied = glass(1, 600)[np.random.default_rng(0).integers(600, size=3000)]
    post = hl.learn(hl.microstates(copied, beta=0.5), hl.models.Couplings(GRID), engine="laplace", seed=0)
    assert hl.verdict(post).reasons[0].code == "equal rows" and "rows were copied" in hl.verdict(post).summary.lower()


def test_rows_copied_with_a_flip_are_copies_to_a_model_without_fields():
    few, rng = glass(2, 1000), np.random.default_rng(0)
    both = rng.permutation(np.concatenate([few, -few]))
    assert [one["topic"] for one in found(both, hl.models.Couplings(GRID, fields=None))] == ["repeated rows"]


TIED = hl.models.Couplings(lattice.hypercubic((6, 6)), tie="uniform", fields=None)


def ferromagnet(seed: int, size: int = 6, beta: float = 0.35, draws: int = 600) -> np.ndarray:
    """Two chains ``(2, draw, size, size)`` by a plain checkerboard heat bath, two sweeps a row; `size` is even."""
    rng, odd = np.random.default_rng(seed), np.add.outer(np.arange(size), np.arange(size)) % 2
    spins, kept = rng.choice([-1, 1], (2, size, size)), []
    for sweep in range(100 + 2 * draws):
        for colour in (0, 1):
            pull = sum(np.roll(spins, step, axis) for step in (1, -1) for axis in (1, 2))
            spins = np.where((rng.random(spins.shape) < 1 / (1 + np.exp(2 * beta * spins * pull))) & (odd == colour), -spins, spins)
        if sweep >= 100 and sweep % 2:
            kept.append(spins)
    return np.array(kept).swapaxes(0, 1)


def imaged(states: np.ndarray, how: str) -> np.ndarray:
    first = states[0]
    if how == "augmented":
        return np.random.default_rng(0).permutation(np.concatenate([first, np.rot90(first, 1, (1, 2))]))[None]
    if how == "lump":
        states = states.copy()
        states[1, 100:250] = np.roll(first[300:450], 2, 1)
        return states
    other = {"moved": np.roll(first, (1, 2), (1, 2)), "mirrored and flipped": -first[:, ::-1], "late": np.roll(first, 50, 0).swapaxes(1, 2)}
    return np.stack([first, other[how]])


@pytest.mark.parametrize("how", ["moved", "mirrored and flipped", "late", "lump", "augmented"])
def test_images_under_the_symmetries_of_the_model_are_copies(how):
    result = found(imaged(ferromagnet(0), how), TIED, 0.35, **CHAINS)
    assert [one["topic"] for one in result] == ["repeated rows"] and result[0]["severity"] == "serious", result
    assert "symmetry" in result[0]["what"] and result[0]["effect"] == pytest.approx(1.25 if how == "lump" else 2, abs=0.1)


def test_a_stretch_that_repeats_another_is_found_for_any_model():
    rows = glass(1, 2000)
    rows[1500:1600] = rows[300:400]
    result = found(rows)
    assert [one["topic"] for one in result] == ["repeated rows"] and "100 of 2 000 rows" in result[0]["what"], result


def test_untied_couplings_have_no_symmetry_but_the_flip():
    data = hl.microstates(glass(1, 1000), beta=0.5)
    for fields, named in (("site", "unchanged"), (None, "flipped or turned as a whole")):
        post = hl.infer.learn(data, hl.models.Couplings(GRID, fields=fields), likelihood="pseudo", engine="laplace", seed=0)
        assert str(images.symmetries(next(signals.views(post, [data])))) == named


@pytest.mark.parametrize("size, beta", [(2, 0.3), (4, 0.2), (4, 0.8), (6, 0.35), (6, 0.7)])
def test_systems_of_few_states_hold_no_images(size, beta):
    model = hl.models.Couplings(lattice.hypercubic((size, size)), tie="uniform", fields=None)
    assert not [one for seed in range(2) for one in found(ferromagnet(seed, size, beta), model, beta, **CHAINS)]


def test_continuous_rows_never_agree_by_chance():
    field, model = hl.systems.ScalarField((4, 4), 1.0, 0.5), hl.models.PolynomialAction((2, 4))
    states = hl.simulate(field, beta=1.0, draws=400, chains=1, seed=0, progress=False)["state"].values[0]
    states = states[np.any(np.diff(states, axis=0, prepend=np.nan) != 0, axis=(1, 2))]
    look = lambda rows: [one["topic"] for one in found(rows, model, 1.0, space="reals")]
    assert look(states) == []
    shuffled = np.random.default_rng(0).permutation(np.concatenate([states, states.swapaxes(1, 2)]))
    assert "repeated rows" in look(shuffled)


def test_rounded_rows_of_two_sites_agree_by_chance():
    rows = np.round(np.random.default_rng(0).normal(size=(3000, 2)), 1)
    assert "repeated rows" not in [
        one["topic"] for one in found(rows, hl.models.PolynomialAction((2,), family="field"), 1.0, space="reals")
    ]


def test_orbits_are_those_of_all_images():
    """Rows of a 3×3 torus: the orbit of every state by brute force over 9 translations, 8 turns and the flip."""
    system, rng = hl.systems.Ising((3, 3)), np.random.default_rng(0)
    data = hl.microstates(rng.choice([-1, 1], (300, 3, 3)), beta=0.1)
    model = hl.models.Couplings(system.lattice, tie="uniform", fields=None)
    view = next(signals.views(hl.infer.learn(data, model, engine="laplace", seed=0), [data]))
    moves = images.symmetries(view)
    assert moves.steps == (1, 1) and len(moves.turns) == 8 and moves.turned
    rows, smallest = view.rows.reshape(-1, 3, 3), []
    for row in rows:
        turned = [np.rot90(one, k) for one in (row, row.T) for k in range(4)]
        every = [sign * np.roll(one, (a, b), (0, 1)) for one in turned for a in range(3) for b in range(3) for sign in (1, -1)]
        smallest.append(min(one.tobytes() for one in every))
    labels = images.orbits(view, moves).ravel()
    assert np.array_equal(labels[:, None] == labels, np.array([[a == b for b in smallest] for a in smallest]))


def test_the_expected_pairs_are_those_of_enumeration():
    system, beta, draws = hl.systems.EdwardsAnderson(GRID, seed=3), 0.5, 4000
    weight = np.exp(-beta * np.asarray(system.energy(exact.all_states(GRID).reshape(-1, 4, 4) * 2.0 - 1)))
    truth = draws * (draws - 1) / 2 * ((weight / weight.sum()) ** 2).sum()
    data = hl.microstates(exact.sample(system, beta, draws, 5).reshape(-1, 4, 4).astype(int), beta=beta)
    view = next(signals.views(hl.infer.learn(data, MODEL, likelihood="pseudo", engine="laplace", seed=0), [data]))
    rows, counts = coincidences._prepared(view, flips=False)
    result = coincidences.count(view, rows, counts, 1.0)
    assert abs(result.expected / truth - 1) < 0.1 and abs(result.z) < 3


def test_what_the_drawn_rows_leave_open_is_part_of_the_error():
    """A glass of more rows than are drawn for comparison, which here share a tenth fewer orbits than enumeration says."""
    rng = np.random.default_rng(1004)
    J = rng.choice([-1, 1], 32) * rng.uniform(0.5, 1, 32)
    sites = np.arange(16).reshape(4, 4)
    states = ((np.arange(2**16)[:, None] >> np.arange(16)) & 1) * 2.0 - 1
    ends = np.stack([np.roll(sites, -1, axis).ravel() for axis in (0, 1)], -1)  # of every site the next one down, and right
    products = states[:, :, None] * states[:, ends]
    weight = np.exp(0.5 * products.reshape(len(states), -1) @ J)
    total = np.cumsum(weight)
    rows = states[np.searchsorted(total / total[-1], rng.random(100_000))].reshape(-1, 4, 4).astype(int)
    data, model = hl.microstates(rows, beta=0.5), hl.models.Couplings(GRID, fields=None)
    view = next(signals.views(hl.infer.learn(data, model, likelihood="exact", engine="laplace", seed=0), [data]))
    share, _, error = images._shared(*images._drawn(view, images.symmetries(view)), -np.inf)
    truth = 2 * ((weight / total[-1]) ** 2).sum()  # a state and its mirror image are one orbit
    assert share < 0.91 * truth
    assert_within(share, truth, error, "share of pairs in one orbit")
    assert images.find(view) == []


def few_of_all(kept, seed: int = 0, draws: int = 2000) -> np.ndarray:
    """Rows of eight spins with weak random pair couplings, drawn from the list of those states that `kept` keeps."""
    rng = np.random.default_rng(seed)
    states = 1 - 2 * ((np.arange(256)[:, None] >> np.arange(8)) & 1)
    states = states[kept(states)]
    weight = np.exp(0.3 * np.einsum("ri,ij,rj->r", states, np.triu(rng.normal(size=(8, 8)), 1), states))
    return states[rng.choice(len(states), draws, p=weight / weight.sum())]


CONSERVED = {
    "the sum of all sites": lambda states: states.sum(1) == 2,
    "the product of all sites": lambda states: states.prod(1) == 1,
}


@pytest.mark.parametrize("name", CONSERVED)
def test_what_never_changes_is_named_and_not_called_copies(name):
    rows = few_of_all(CONSERVED[name]).reshape(-1, 2, 4)
    result = found(rows, hl.models.Couplings(lattice.hypercubic((2, 4)), tie="uniform", fields="uniform"), beta=1.0)
    assert [one["topic"] for one in result] == ["conserved"] and name in result[0]["what"]
    assert result[0]["severity"] == "serious"


def test_what_one_sublattice_conserves_is_named():
    rng = np.random.default_rng(0)
    rows = rng.choice([-1, 1], (1000, 16))
    odd = np.flatnonzero(np.indices((4, 4)).sum(0).ravel() % 2)
    rows[:, odd] = rng.permuted(np.tile([1, 1, 1, -1, -1, -1, -1, -1], (1000, 1)), axis=1)
    result = found(rows.reshape(-1, 4, 4), beta=1.0)
    assert [one["topic"] for one in result] == ["conserved"] and "the sum of the sites of one sublattice" in result[0]["what"], result


def test_a_density_that_keeps_the_sum_is_not_told_of_it():
    rows = few_of_all(CONSERVED["the sum of all sites"])
    data = hl.microstates(rows)
    post = hl.infer.learn(data, hl.models.Autoregressive(hidden=8, charge=2), seed=0)
    view = next(signals.views(post, [data]))
    assert not conserved.find(view) and conserved.find(replace(view, system=hl.systems.Ising(8)))


def test_a_cold_magnet_conserves_nothing():
    for seed in range(3):
        assert not [one for one in found(glass(seed, 3000, 3.0), beta=3.0) if one["topic"] == "conserved"]


def test_fields_without_their_mean_are_told_so():
    field, model = hl.systems.ScalarField((4, 4), 1.0, 0.5), hl.models.PolynomialAction((2, 4))
    states = hl.simulate(field, beta=1.0, draws=400, chains=1, seed=0, progress=False)["state"].values[0]
    result = found(states - states.mean((1, 2), keepdims=True), model, 1.0, space="reals")
    assert "conserved" in [one["topic"] for one in result] and any("the sum of all sites" in one["what"] for one in result)


FIELD, ACTION = hl.systems.ScalarField((6, 6), -1.0, 0.5), hl.models.PolynomialAction((2, 4))


def free(draws: int = 1500) -> np.ndarray:
    return hl.simulate(FIELD, beta=1.0, draws=draws, chains=1, seed=0, progress=False)["state"].values[0]


@pytest.mark.parametrize("how", ["rounded", "clipped", "filled in"])
def test_values_that_sites_share_are_no_draws_of_a_density(how):
    states, gone = free(), np.random.default_rng(0).random((1500, 6, 6)) < 0.02
    changed = {"rounded": np.round(2 * states) / 2, "clipped": np.clip(states, -1.5, 1.5), "filled in": np.where(gone, 0.0, states)}[how]
    result = found(changed, ACTION, 1.0, space="reals")
    assert [one["topic"] for one in result if one["topic"] == "values"] == ["values"], result


@pytest.mark.parametrize("digits", [2, 4, None])
def test_fine_digits_are_no_grain(digits):
    states = free().astype(np.float32) if digits is None else np.round(free(), digits)
    assert not [one for one in found(states, ACTION, 1.0, space="reals") if one["topic"] == "values"]


def test_one_site_read_with_another_gain_is_a_misfit():
    states = free(3000)
    states[:, 0, 0] *= 1.3
    verdict = hl.verdict(hl.learn(hl.microstates(states, space="reals", beta=1.0), ACTION, engine="laplace", seed=0))
    assert verdict.level != "believe" and "squares of the values, site by site" in str(verdict), verdict


def test_one_phase_is_named_where_a_field_is_learned():
    ferromagnet = hl.systems.Ising((8, 8), J=1.0)
    start = np.ones((4, 8, 8), int)
    chains = hl.simulate(ferromagnet, beta=0.55, draws=1000, chains=4, seed=0, sampler="metropolis", start=start, progress=False)
    assert np.all(chains["state"].values.mean((2, 3)) > 0)  # stuck
    uniform = hl.models.Couplings(ferromagnet.lattice, tie="uniform", fields="uniform")
    topics = [one["topic"] for one in found(chains["state"].values.astype(int), uniform, 0.55, **CHAINS)]
    assert topics == ["phase"]
    symmetric = hl.models.Couplings(ferromagnet.lattice, tie="uniform", fields=None)  # which cannot see the sign
    assert not found(chains["state"].values.astype(int), symmetric, 0.55, **CHAINS)


@pytest.mark.parametrize("fields", ["uniform", "site"])
def test_a_field_that_keeps_independent_rows_in_one_phase_is_a_field(fields):
    rows = exact.sample(hl.systems.Ising(GRID, J=1.0, h=0.6), 0.8, 3000, 0).reshape(-1, 4, 4).astype(int)
    assert np.all(rows.mean((1, 2)) > -0.5)
    assert not found(rows, hl.models.Couplings(GRID, tie="uniform", fields=fields), beta=0.8)


def test_a_few_rare_events_are_no_drift():
    rng = np.random.default_rng(0)
    series = np.zeros((1, 3000, 400))
    for column in range(400):  # a nearly frozen spin that turns five times
        series[0, rng.integers(3000, size=5), column] = 1.0
    assert np.all(np.isnan(stationarity.drift(series)[0]))


def test_an_applied_field_is_not_a_broken_symmetry():
    magnet = hl.systems.Ising((8, 8), J=1.0, h=0.3)
    chains = hl.simulate(magnet, beta=0.55, draws=400, chains=4, seed=0, sampler="metropolis", progress=False)
    assert not found(
        chains["state"].values.astype(int), hl.models.Couplings(magnet.lattice, tie="uniform", fields="uniform"), 0.55, **CHAINS
    )


@pytest.mark.parametrize("order, rule, updates", [("fixed", "heat bath", 16), ("fixed", "Metropolis", 16), ("random", "heat bath", 8)])
def test_chains_of_samplers_are_clean(order, rule, updates):
    assert all(one["severity"] == "note" for one in found(sweeps(1, order=order, rule=rule, updates=updates), **CHAINS))


def test_hot_metropolis_sweeps_in_a_fixed_order_are_clean():
    """Nearly every proposal is accepted, and correlations in time exceed those in one row: what sites remember of themselves is larger."""
    for updates in (16, 32):
        result = found(sweeps(0, order="fixed", rule="Metropolis", updates=updates, beta=0.05), beta=0.05, **CHAINS)
        assert all(one["severity"] == "note" for one in result)  # that sites turn from row to row may be said
        assert len(result) == (updates == 16)


def test_stationary_chains_rarely_drift():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, 1200, 300))
    series = np.zeros_like(noise)
    for t in range(1, 1200):  # tau = 19 draws, hidden under four times as much fast noise
        series[:, t] = 0.9 * series[:, t - 1] + np.sqrt(1 - 0.81) * noise[:, t]
    p_values = stationarity.drift(np.sqrt(0.2) * series[:, 200:] + np.sqrt(0.8) * rng.normal(size=(4, 1000, 300)))[0]
    assert p_values.min() > 1e-5 and np.mean(p_values < 0.01) < 0.04


def test_a_drift_is_weighed_as_by_a_transform_of_all_frequencies():
    series = (
        50
        + np.cumsum(np.random.default_rng(3).normal(size=(2, 402, 3)), 1) * [0.0, 0.01, 0.1]
        + np.random.default_rng(4).normal(size=(2, 402, 3))
    )
    low = (scipy.fft.dct(series, norm="ortho", axis=1)[:, 1:4] ** 2).mean((0, 1))
    pieces = scipy.signal.detrend(series[:, :400].reshape(2, 4, 100, 3), axis=2)
    power = scipy.fft.dct(pieces, norm="ortho", axis=2) ** 2
    middle, fast = (np.sort(power[:, :, band].mean(2), axis=1)[:, :3].mean((0, 1)) for band in (slice(2, 8), slice(8, 31)))
    middle, fast = middle / 0.79, fast / 0.8947
    np.testing.assert_allclose(stationarity.drift(series)[1], low / (middle * np.maximum(middle / fast, 1) ** 1.43), rtol=1e-9)


def test_independent_rows_are_clean():
    assert [found(glass(seed)) for seed in range(3)] == [[], [], []]


def test_correlations_in_time_are_compared_with_those_in_one_row():
    rows = driven(3, draws=2000).astype(float)[None]
    p_value, ratio, matrix = timeseries.compare((rows - rows.mean(1, keepdims=True)) / rows.std((0, 1)), np.arange(10))
    assert p_value < 1e-10 and ratio > 10
    assert np.all(matrix[np.arange(10), (np.arange(10) + 3) % 10] > 0.45)  # np.roll(…, 3): site i drives site i + 3


def test_the_rows_that_a_density_expects_are_its_own_draws(monkeypatch):
    """One site at a time, its network would be asked at every site of every row: minutes in place of a second."""
    data = hl.simulate(hl.systems.Ising((3, 4)), beta=0.44, draws=600, chains=4, seed=0)
    model = hl.models.Autoregressive("made", hidden=8, symmetry=("translation",))
    post = hl.learn(data, model, engine=hl.infer.Training(epochs=1), check=False)
    monkeypatch.setattr(images.sampling, "simulate", None)
    view = next(views(post, [data]))
    labels, action = images._drawn(view, images.symmetries(view))
    assert labels.shape == action.shape == (images.CHAINS, 2400 // images.CHAINS + 1)
    assert np.corrcoef(action[0], action[1])[0, 1] < 0.5  # chains are no copies of each other


def test_rows_near_zero_have_no_mirror_image_in_another_phase():
    """Of independent spins mostly down, rows with nearly as many up are mirrored onto each other, which says nothing of another phase."""
    rows = np.where(np.random.default_rng(0).random((5000, 14)) < 0.2, 1, -1)
    data = hl.microstates(rows, independent=True)
    graph = hl.systems.lattice.hypercubic((14,))
    post = hl.learn(data, hl.models.Couplings(graph), engine="laplace", seed=0)
    assert not [one for one in hl.verdict(post).reasons if "broken symmetry" in one.what]
