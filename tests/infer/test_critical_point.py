"""Where a transition is: reweighting against exact curves, the refusals, and the two-dimensional Ising model's βc."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace

import jax
import matplotlib.figure
import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer import posteriors
from hamlearn.infer.critical import crossings, sources
from hamlearn.infer.critical.columns import COLUMNS, series_of
from hamlearn.infer.critical.crossings import pairs, rising
from hamlearn.infer.critical.histograms import Histograms
from hamlearn.infer.critical.scaling import Problem, _row
from hamlearn.infer.engines import numpyro_scaling
from hamlearn.infer.provenance import Comparison
from hamlearn.systems import exact
from statistics_budget import assert_within

BETAS = np.array([0.34, 0.40, 0.46, 0.52])
TRUTH = np.log(1 + np.sqrt(2)) / 2


def drawn(size: int, betas=BETAS, draws: int = 500, **options):
    return hl.simulate(hl.systems.Ising((size, size)), betas, draws=draws, chains=4, seed=size, progress=False, **options)


@pytest.fixture(scope="module")
def sets():
    return [drawn(size, sampler="swendsen_wang") for size in (4, 8, 16)]


@pytest.fixture(scope="module")
def found(sets):
    return hl.critical_point(sets, system=hl.systems.Ising)


@pytest.fixture(scope="module")
def rotors():
    options = {"draws": 700, "chains": 4, "sampler": "wolff", "progress": False}
    return [hl.simulate(hl.systems.XY((size, size)), [1.0, 1.08, 1.16, 1.24], seed=size, **options) for size in (8, 16)]


def histograms(size: int = 4) -> Histograms:
    data, system = drawn(size, draws=1500, sampler="exact"), hl.systems.Ising((size, size))
    return Histograms.of([series_of(data["state"].values[k], system, beta) for k, beta in enumerate(BETAS)], size, size**2)


def test_temperatures_are_joined_to_the_exact_curves_between_them():
    one, between = histograms(), np.array([0.37, 0.43, 0.49])
    rng, blocks = np.random.default_rng(0), len(one.sums)
    taken = np.concatenate([np.ones((1, blocks)), rng.multinomial(blocks, np.full(blocks, 1 / blocks), 200)])
    got, system = one.averages(between, *one.replicates(taken)), hl.systems.Ising((4, 4))
    thermal, moments = exact.thermodynamics(system, between), exact.moments(system, between)
    energies = (got.first[..., 0] + one.centre) / 16
    # Three neighbouring temperatures of one data set: the middle one says what the others do.
    for values, truth in (
        (energies, thermal["energy"].values),
        (got.heat_capacity, thermal["heat_capacity"].values),
        (got.mean("m2"), moments["squared_magnetization"].values),
    ):
        assert_within(values[0, 1], truth[1], values[1:, 1].std(ddof=1), "a reweighted average")


def test_slopes_are_the_differences_of_values():
    one = histograms()
    step = 1e-5
    got = one.averages(np.array([0.44 - step, 0.44, 0.44 + step]), *one.replicates(np.ones((1, len(one.sums)))))
    for value, slope in (got.binder, got.length, got.log_order):
        np.testing.assert_allclose((value[0, 2] - value[0, 0]) / (2 * step), slope[0, 1], rtol=1e-5)


def test_derivatives_are_those_of_the_curves():
    """Of polynomials through values at seven temperatures."""
    one, points = histograms(), 0.44 * (1 + 0.01 * np.arange(-3, 4))
    replicates = one.replicates(np.ones((1, len(one.sums))))
    curves = one.averages(points, *replicates)
    got = _row(one.averages(0.44 * (1 + 0.001 * np.arange(-1, 2)), *replicates))[0]
    for i, (values, _) in enumerate((curves.binder, curves.length)):
        curve = np.polynomial.Polynomial.fit(points / 0.44, values[0], 6)
        np.testing.assert_allclose(got[i::2], [curve(1.0), *(curve.deriv(order)(1.0) for order in (1, 2, 3))], rtol=2e-3)


def test_free_energies_give_every_temperature_its_own_number():
    """Written out state by state, as the definition has it; the class adds up by energy."""
    one = histograms()
    f, counts = one.free_energies, one.sums[..., 0].sum(0)
    for k, beta in enumerate(one.betas):
        total = sum(
            count * np.exp(f[k] - beta * energy) / sum(w * np.exp(g - b * energy) for w, g, b in zip(one.worth, f, one.betas, strict=True))
            for count, energy in zip(counts, one.energies, strict=True)
        )
        np.testing.assert_allclose(total, 1.0, rtol=1e-8)


def test_the_form_of_scaling_is_that_of_its_description():
    """Values by the formula of scaling.py at ν = 0.7, and derivatives of the cubics through them: residuals are then none."""
    rng, sizes, beta, shift, nu = np.random.default_rng(2), np.array([8.0, 12.0, 32.0]), 0.44, 0.03, 0.7
    terms = rng.normal(size=(2, 8))  # of both ratios: R*, a, q, c, b, d, b', d'
    omega, middle = np.array([0.8, 1.7]), np.prod(sizes) ** (1 / 3)

    def ratio(at, level, a, q, c, b, d, b2, d2, w):
        x, decay = (at / (beta * (1 + shift)) - 1) * (sizes / middle) ** (1 / nu), (sizes / 8) ** -w
        return level + (a * x + q * x**2 + c * x**3) * (1 + d * decay + d2 * decay**2) + b * decay + b2 * decay**2

    points, data = np.linspace(0.9, 1.1, 4), np.empty((3, 8))  # of β: a cubic is known by four
    for i in range(2):
        values = np.stack([ratio(beta * at, *terms[i], omega[i]) for at in points], 1)
        for k, own in enumerate(values):
            curve = np.polynomial.Polynomial.fit(points, own, 3)
            data[k, i::2] = [curve(1.0), *(curve.deriv(order)(1.0) for order in (1, 2, 3))]
    theta = np.concatenate([[shift, np.log(nu)], np.column_stack([terms, np.log(omega)]).ravel()])
    given = {"sizes": sizes, "data": data, "whiten": np.stack(3 * [np.eye(8)]), "location": 0.0, "scale": 1.0}
    np.testing.assert_allclose(numpyro_scaling.residuals(theta, given, np), 0, atol=1e-8)


def test_an_answer_is_the_same_after_compiled_code_was_given_back():
    """A cached sampler is traced anew then; that of NumPyro had mapped its step over the chains once a run, and failed."""
    arrays = {"sizes": np.array([4.0, 8.0]), "data": np.zeros((2, 8)), "whiten": np.stack(2 * [np.eye(8)])}
    arrays |= {"location": np.zeros(20), "scale": np.ones(20)}
    own = [numpyro_scaling.sample(arrays, np.zeros(20), np.eye(20), 3)[0] for _ in range(2)]
    jax.clear_caches()
    own.append(numpyro_scaling.sample(arrays, np.zeros(20), np.eye(20), 3)[0])
    np.testing.assert_array_equal(own[0], own[1])
    np.testing.assert_allclose(own[2], own[1], rtol=1e-6)


def test_a_correction_is_believed_as_large_whichever_size_is_the_smallest(sets):
    """Otherwise leaving out a size would say something of the lattice. Priors of b and of d at 4 are those at 8, carried by L^−ω."""
    omega, widths = (1.7, 0.5), []
    for few in (sets, sets[1:]):
        curves = crossings.curves(sources.of_data(few, hl.systems.Ising), 0)
        arrays = Problem.of(curves.at(0.44), omega).arrays
        level = np.abs(arrays["location"][2::9])
        widths.append([arrays["scale"][6::9] / level, arrays["scale"][7::9]])
    np.testing.assert_allclose(widths[0], np.array(widths[1]) * 2**1.7)


def test_errors_of_few_blocks_are_not_taken_for_smaller_than_they_are():
    """What weighs the data is, in the mean over data sets, the inverse of the covariance of errors, though it is estimated twice:
    from 24 blocks, of which 200 replicates are drawn."""
    rng, blocks, found, betas = np.random.default_rng(4), 24, [], 0.44 * np.array([0.999, 1.0, 1.001])

    def averages(u):  # `u` (replicate, 8) holds the values at β, and slopes at all three
        values = [np.repeat(u[:, [i]], 3, 1) for i in (0, 1)]
        parts = {"binder": (values[0], u[:, 2:5]), "length": (values[1], u[:, 5:8])}
        return SimpleNamespace(betas=betas, of=SimpleNamespace(sums=np.zeros(blocks), size=8), **parts)

    rows = _row(averages(np.eye(8)))  # is linear in u
    for _ in range(1000):
        own = rng.normal(size=(blocks, 8))  # the covariance of their mean, times their number, is one
        shares = rng.multinomial(blocks, np.full(blocks, 1 / blocks), 200)
        u = np.concatenate([np.full((1, 8), 1e-9), shares @ own / np.sqrt(blocks)])
        white = rows @ Problem.of([averages(u)], (1.2, 0.5)).arrays["whiten"][0]
        found.append(np.trace(white @ white.T) / 8)
    assert_within(np.mean(found), 1.0, np.std(found, ddof=1) / np.sqrt(len(found)), "weights of the data of few blocks")


def test_the_smallest_wave_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    states = rng.choice([-1, 1], (1, 7, 4, 4)).astype(np.int8)
    got = series_of(states, hl.systems.Ising((4, 4)), 0.4).columns[0, :, COLUMNS.index("wave")]
    x = np.arange(4)
    for state, value in zip(states[0], got, strict=True):
        parts = [abs((state * np.exp(2j * np.pi * k / 4)).mean()) ** 2 for k in (x[:, None], x[None, :])]
        np.testing.assert_allclose(value, np.mean(parts))


def test_raw_data_find_onsagers_temperature(found):
    assert_within(found.beta_c.mean, TRUTH, found.beta_c.sd, "βc of three sizes")
    assert found.transition == "second_order"
    assert found.beta_c.lower < found.beta_c.mean < found.beta_c.upper
    assert_within(found.nu.mean, 1.0, found.nu.sd, "ν of three sizes")
    assert_within(found.gamma_over_nu.mean, 7 / 4, found.gamma_over_nu.sd, "γ/ν of three sizes")
    assert found.nu.sd < 0.4 and found.gamma_over_nu.sd < 0.4


def test_temperatures_that_energies_contradict_are_told_first(sets, found):
    assert not any("do not believe" in note for note in found.notes)
    swapped = [part.assign_coords(beta=[0.34, 0.46, 0.40, 0.52]) for part in sets[:2]]
    told = hl.critical_point(swapped, system=hl.systems.Ising).notes[0]
    assert "do not believe it" in told and "not of these temperatures" in told
    scaled = [part.assign_coords(beta=part["beta"] * 1.15) for part in sets[:2]]
    assert "times those declared" in hl.critical_point(scaled, system=hl.systems.Ising).notes[0]
    other = hl.critical_point(sets[:2], system=lambda shape: hl.systems.Ising(hl.systems.lattice.triangular(shape)))
    assert "do not believe it" in other.notes[0]


def test_planar_rotors_lose_their_stiffness_where_simulations_of_large_lattices_say(rotors):
    """T = 0.8929: Hasenbusch, J. Phys. A 38, 5869 (2005)."""
    found = hl.critical_point(rotors, system=hl.systems.XY)
    assert found.transition == "kosterlitz_thouless" and any("two sizes" in note for note in found.notes)
    assert_within(found.temperature.mean, 0.8929, found.temperature.sd, "T of planar rotors")
    assert found.temperature.sd < 0.02
    with pytest.raises(hl.HamlearnError, match="no exponent nu"):
        found.nu
    found.to_dataset()


def test_the_stiffness_is_that_of_the_definition(rotors):
    """By the angles of neighbours, of one temperature, whose microstates all have one weight."""
    data, system = rotors[0].sel(beta=1.16), hl.systems.XY((8, 8))
    one = Histograms.of([series_of(data["state"].values, system, 1.16)], 8, 64)
    got = one.averages(np.array([1.16]), *one.replicates(np.ones((1, len(one.sums))))).helicity[0, 0]
    kept = len(one.sums) // 4 * (700 // (len(one.sums) // 4))  # whole blocks of four chains
    angles = data["state"].values[:, -kept:].astype(float)
    turns = [np.roll(angles, 1, axis) - angles for axis in (2, 3)]
    parts = [np.cos(one).sum((2, 3)).mean() - 1.16 * (np.sin(one).sum((2, 3)) ** 2).mean() for one in turns]
    np.testing.assert_allclose(got, np.mean(parts) / 64, rtol=1e-8)


def test_a_range_without_the_line_of_nelson_and_kosterlitz_is_refused(rotors):
    with pytest.raises(hl.HamlearnError, match="widen it to larger beta"):
        hl.critical_point([one.isel(beta=slice(0, 2)) for one in rotors], system=hl.systems.XY)


def test_what_was_found_is_shown_and_kept(found, tmp_path):
    kept = found.to_dataset()
    kept.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    assert {"beta_c_draws", "binder", "crossing_beta", "peak_beta"} <= set(kept.data_vars)
    assert "Tc" in repr(found) and "<table>" in found._repr_html_()
    assert isinstance(hl.plots.critical_point(found), matplotlib.figure.Figure)
    assert list(found.crossings["small"]) == [4, 8, 4, 8]


def test_a_posterior_of_one_coupling_tells_its_temperature():
    data = hl.simulate(hl.systems.Ising((6, 6)), beta=0.38, draws=500, chains=4, seed=0, progress=False)
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((6, 6)), tie="uniform", fields=None)
    post = hl.infer.learn(data, model, likelihood="pseudo", engine="laplace", seed=0)
    post = posteriors.with_provenance(post, check=Comparison("differs", overall_p=1e-9, statistics=5, held_out=5))
    found = hl.critical_point(post, sizes=(4, 8, 16), draws=300)
    assert found.notes[0].startswith("The posterior behind this is not to be believed")
    assert_within(found.beta_c.mean, TRUTH, found.beta_c.sd, "βc of a posterior")
    J = post["posterior"]["J"].values[..., 0]
    assert found.beta_c.sd / found.beta_c.mean > 0.8 * J.std() / J.mean()  # never surer than the coupling is


def test_the_page_says_what_was_found(found, tmp_path):
    page = hl.report(found, tmp_path / "transition.html", title="<b>").read_text(encoding="utf-8")
    for words in (f"{found.temperature.mean:.5g} ± {found.temperature.sd:.2g}", str(found.nu), "crossings.csv", "peaks.csv", "&lt;b&gt;"):
        assert words in page
    assert "<b>" not in page and "<script>" in page and not re.search(r"https?://", page)
    assert [note for note in found.notes if note not in html.unescape(page)] == []
    for table in (found.crossings, found.peaks):  # what a phone has no room for is in the file
        assert f"L = {table.iloc[0, 1]}" in page and "sd</th>" not in page
    with pytest.raises(hl.HamlearnError, match="pictures and tables of its own"):
        hl.report(found, tmp_path / "transition.html", found.curves)


def broken(shape):
    raise KeyError("J")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda sets: {"source": sets[:1], "system": hl.systems.Ising}, "one size"),
        (lambda sets: {"source": sets}, "give system="),
        (lambda sets: {"source": sets, "system": broken}, r"system=<function broken at \S+ raised for sites \(4, 4\): KeyError: 'J'\.$"),
        (lambda sets: {"source": sets, "system": hl.systems.Ising, "sizes": (8, 16)}, "of their own"),
        (lambda sets: {"source": sets, "system": hl.systems.XY}, "sites of angles"),
        (lambda sets: {"source": sets, "system": lambda shape: hl.systems.Ising((3, 3))}, "must return a system on sites"),
        (lambda sets: {"source": [one.isel(beta=slice(0, 2)) for one in sets], "system": hl.systems.Ising}, "to larger beta"),
        (lambda sets: {"source": [one.isel(beta=0) for one in sets], "system": hl.systems.Ising}, "one temperature"),
        (lambda sets: {"source": sets, "system": hl.systems.Ising, "omega": (2, 1)}, "rises"),
        (lambda sets: {"source": sets, "system": hl.systems.Ising, "transition": "kosterlitz_thouless"}, "stiffness of planar rotors"),
    ],
)
def test_what_cannot_be_answered_is_refused(sets, arguments, words):
    with pytest.raises(hl.HamlearnError, match=words):
        hl.critical_point(**arguments(sets))


def test_temperatures_without_common_energies_are_named():
    data = [drawn(size, np.array([0.05, 0.7]), draws=200, sampler="swendsen_wang") for size in (8, 16)]
    with pytest.raises(hl.HamlearnError, match=r"size 8.*beta=0\.05 and beta=0\.7.*Add microstates between"):
        hl.critical_point(data, system=hl.systems.Ising)


def test_slow_chains_are_told_how_long_they_must_be():
    data = [drawn(8, draws=500).isel(chain=slice(0, 1), draw=slice(0, 100)), drawn(16, draws=500)]
    with pytest.raises(hl.HamlearnError, match=r"size 8: at beta=.*Give chains of"):
        hl.critical_point([data[0].isel(beta=[0, 2]), data[1].isel(beta=[0, 2])], system=hl.systems.Ising)


def test_a_posterior_that_knows_its_size_is_refused():
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=200, chains=2, seed=0, progress=False)
    post = hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace")
    with pytest.raises(hl.HamlearnError, match="knows the size"):
        hl.critical_point(post)


def test_crossings_are_upward_and_pairs_are_twice_as_large():
    assert pairs([8, 16, 32]) == [(0, 1), (1, 2)] and pairs([10, 12]) == [(0, 1)]
    betas = np.linspace(0, 1, 11)
    np.testing.assert_allclose(rising(betas, np.stack([betas - 0.33, 0.33 - betas])), [0.33, np.nan])


def test_microstates_of_another_number_of_states_are_refused():
    sets = [
        hl.simulate(hl.systems.Potts((size, size), q=q), beta=[0.9, 1.0, 1.1], draws=20, chains=1, seed=0) for size, q in ((4, 3), (6, 4))
    ]
    with pytest.raises(hl.HamlearnError, match="size 4: the system has sites of 4 states, the microstates of 3"):
        hl.critical_point([one.assign_attrs(independent=1) for one in sets], system=lambda shape: hl.systems.Potts(shape, q=4))


@pytest.mark.parametrize(
    "systems",
    [
        (hl.systems.Ising((8, 8)), hl.systems.Potts((8, 8), q=3)),
        (hl.systems.Ising((8, 8)), hl.systems.Potts((12, 12), q=3)),
        (hl.systems.Potts((8, 8), q=4), hl.systems.Potts((8, 8), q=3)),
    ],
    ids=["spins and states", "of two sizes", "numbers of states"],
)
def test_microstates_of_different_models_are_told_so(systems):
    """Of one size they were refused for that, and sets of another size would not have helped."""
    sets = [hl.simulate(one, beta=[0.9, 1.0, 1.1], draws=20, chains=1, seed=0) for one in systems]
    with pytest.raises(hl.HamlearnError, match=r"of different models, .* and .*: a transition is that of one system"):
        hl.critical_point(sets, system=hl.systems.Ising)
