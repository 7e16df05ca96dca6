"""Predictions: intervals that hold as often as they say, exact moments, centred bands, and what they are told of the verdict."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats

import hamlearn as hl
from hamlearn.infer import families, posteriors
from hamlearn.infer.predictions import centring, exactly, kept, members, shared, simulated
from hamlearn.infer.predictions.intervals import band, fewest
from hamlearn.infer.predictions.work import Work
from hamlearn.infer.provenance import Noted
from hamlearn.systems import SPINS, Lattice, ParametricSystem, Space
from hamlearn.systems.base import as_reals
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND
from hamlearn.systems.observables import looked_up
from statistics_budget import assert_within, spend, z_limit

# -- the interval rule ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "level"), [(4, 0.9), (6, 0.9), (16, 0.9), (64, 0.9), (19, 0.9), (64, 0.99), (199, 0.99)])
def test_a_further_draw_falls_inside_as_often_as_the_level_says(n, level):
    sets = 20_000
    draws = np.random.default_rng(n).normal(3.0, 2.0, size=(n + 1, sets))
    found = band(draws[:-1], level)
    inside = np.mean((found.lower < draws[-1]) & (draws[-1] < found.upper))
    assert scipy.stats.binomtest(round(inside * sets), sets, level).pvalue > spend() or 0 < inside - level < 0.005  # 64: interpolated
    assert found.kind == (f"quantiles of {n} draws" if n >= fewest(level) else f"t interval over {n} draws")


def test_repeated_draws_count_once():
    sets, m = 20_000, 4
    draws = np.random.default_rng(0).normal(size=(m + 1, sets))
    repeated = np.concatenate([draws[:-1]] * 16)
    found, plain = band(repeated, 0.9, independent=m), band(draws[:-1], 0.9)
    np.testing.assert_allclose([found.lower, found.upper, found.sd], [plain.lower, plain.upper, plain.sd])


@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0, 5.0])  # variance of the simulation, that of the posterior being 1
@pytest.mark.parametrize("n", [16, 64])
def test_simulated_draws_hold_no_less_than_the_level(n, noise):
    sets = 20_000
    generator = np.random.default_rng(int(100 * noise) + n)
    draws = generator.normal(size=(n, sets)) + np.sqrt(noise) * generator.normal(size=(n, sets))
    found = band(draws, 0.9, noise=np.full(sets, noise), error=np.full(sets, np.sqrt(noise / n)))
    truth = generator.normal(size=sets)
    inside = np.mean((found.lower < truth) & (truth < found.upper))
    assert inside > 0.9 - 0.01
    assert np.all(found.upper > found.lower)
    assert noise < 0.1 or "noise" in found.kind


def test_an_error_that_all_draws_share_widens_the_interval():
    sets, generator = 20_000, np.random.default_rng(5)
    draws = generator.normal(size=(64, sets)) + generator.normal(size=sets)
    truth = generator.normal(size=sets)
    found = band(draws, 0.9, error=np.ones(sets))
    inside = np.mean((found.lower < truth) & (truth < found.upper))
    assert abs(inside - 0.9) < 0.012
    alone = band(np.full((64, 2), 1.5), 0.9, error=np.array([0.0, 0.1]))
    assert alone.upper[0] == alone.lower[0] == 1.5 and alone.upper[1] - alone.lower[1] > 0.3


def test_one_draw_has_no_interval():
    found = band(np.ones((1, 3)), 0.9)
    assert np.isnan([found.sd, found.lower, found.upper]).all() and "no spread" in found.kind


# -- what predict does with it -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def glass():
    system = hl.systems.EdwardsAnderson((3, 3), seed=1)
    data = hl.simulate(system, beta=0.5, draws=2000, chains=2, seed=0, sampler="exact")
    return hl.infer.learn(data, hl.models.Couplings(system.lattice), engine="laplace")


def test_predictions_say_what_was_used(glass):
    wide, narrow = (
        hl.infer.predict(glass, 0.5, observables=["energy"], level=level, draws=64)["energy"].isel(beta=0) for level in (0.99, 0.9)
    )
    reach = lambda one: float(one.sel(quantity="upper") - one.sel(quantity="lower")) / float(one.sel(quantity="sd"))
    assert wide.attrs["interval"] == "t interval over 64 draws" and narrow.attrs["interval"] == "quantiles of 64 draws"
    assert 5.3 < reach(wide) < 5.8 and reach(narrow) < 4.2  # 2 t(0.995; 63) is 5.31, and centring has an error
    few = hl.infer.predict(glass, 0.5, observables=["energy"], draws=4)
    assert few.attrs["draws"] == few["energy"].attrs["draws_used"] == 4 and "t interval" in few["energy"].attrs["interval"]
    one = hl.infer.predict(glass, 0.5, observables=["energy"], draws=1)["energy"].isel(beta=0)
    assert np.isnan(one.sel(quantity=["sd", "lower", "upper"])).all() and np.isfinite(one.sel(quantity="mean"))
    with pytest.raises(hl.HamlearnError, match="positive whole number"):
        hl.infer.predict(glass, 0.5, draws=0)


def test_intervals_end_where_values_do(glass):
    """Of twenty-one parameters and forty rows energies are off by more than they scatter, which widens what is not centred."""
    data = hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=1), beta=0.3, draws=40, chains=1, seed=0, sampler="exact")
    few = hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), likelihood="rise", engine="laplace")
    found = hl.infer.predict(few, 0.3, observables=["energy", "entropy", "entropy_bits", "multi_information", "count_distribution"])
    assert "wider by what is not centred" in found["energy"].attrs["interval"]
    ends = {"entropy": np.log(2), "entropy_bits": 9, "multi_information": 9, "count_distribution": 1}
    for name, most in ends.items():
        low, high = (found[name].isel(beta=0).sel(quantity=end).values for end in ("lower", "upper"))
        assert (low >= 0).all() and (high <= most).all() and (low < high).all()
    assert float(found["entropy"].isel(beta=0).sel(quantity="upper")) == np.log(2)
    assert found["entropy"].attrs["interval"].endswith("; wider by what is not centred; ends where values do")
    assert "ends" not in found["energy"].attrs["interval"]


def test_members_that_do_not_exist_are_not_counted(glass):
    few = glass.copy()
    few["posterior"] = few["posterior"].to_dataset().isel(chain=[0], draw=slice(0, 6))
    found = hl.infer.predict(few, 0.5, observables=["energy"], draws=64)
    assert families.available(few) == found.attrs["draws"] == 6 and found.attrs["draws_asked"] == 64
    assert "6 draws" in found["energy"].attrs["interval"]


# -- exact moments -------------------------------------------------------------------------------------------------------


def estimate(systems, betas, names, seed):
    return members.estimate(systems, betas, looked_up(names, systems[0]), seed)


def _loop_moments(system, beta):
    """|m|, χ and C(1) of a small system by a plain loop over its states."""
    spins = system.space.name == "spins"
    q, n, bonds = system.space.q, system.lattice.n_sites, system.lattice.bonds
    total = order = square = bond = 0.0
    for state in itertools.product([-1, 1] if spins else range(q), repeat=n):
        weight = np.exp(-beta * float(system.energy(np.array(state).reshape(system.lattice.shape))))
        share = max(state.count(value) for value in range(q)) / n
        m = abs(sum(state)) / n if spins else (q * share - 1) / (q - 1)
        alike = [state[i] * state[j] if spins else (q * (state[i] == state[j]) - 1) / (q - 1) for i, j in bonds]
        total, order, square, bond = total + weight, order + weight * m, square + weight * m * m, bond + weight * np.mean(alike)
    return order / total, beta * n * (square / total - (order / total) ** 2), bond / total


@pytest.mark.parametrize(
    "system", [hl.systems.EdwardsAnderson((2, 3), seed=1), hl.systems.Potts(5, q=3, J=0.7)], ids=["glass", "potts chain"]
)
def test_magnetic_observables_are_exact_where_states_can_be_enumerated(system):
    found = estimate([system, system], np.array([0.3, 0.9]), ["abs_magnetization", "susceptibility", "correlation"], 0)
    for k, beta in enumerate((0.3, 0.9)):
        order, susceptibility, bond = _loop_moments(system, beta)
        np.testing.assert_allclose(found["abs_magnetization"].values[0, k], order, rtol=1e-10)
        np.testing.assert_allclose(found["susceptibility"].values[0, k], susceptibility, rtol=1e-9)
        if system.space.name != "spins":  # on the chain distance 1 is a bond
            np.testing.assert_allclose(found["correlation"].values[0, k, 1], bond, rtol=1e-10)
    assert not found["susceptibility"].errors.any() and found["correlation"].method == "exact (enumeration)"


def test_bands_where_members_hardly_differ_have_a_width():
    system = hl.systems.EdwardsAnderson((3, 3), seed=3)
    data = hl.simulate(system, beta=0.25, draws=20_000, chains=2, seed=0)
    post = hl.infer.learn(data, hl.models.Couplings(system.lattice), engine="laplace")
    curve = hl.infer.predict(post, [0.1, 0.25], observables=["abs_magnetization", "susceptibility", "correlation"])
    for name in curve.data_vars:
        width = curve[name].sel(quantity="upper") - curve[name].sel(quantity="lower")
        assert np.all(width.values.reshape(2, -1)[:, -1] > 0), name
        assert np.all(curve[name].sel(quantity="mc_error") == 0)


def test_samples_of_a_transfer_matrix_become_quiet_or_widen_the_band(monkeypatch):
    generator = np.random.default_rng(0)
    lattice = hl.systems.lattice.hypercubic((4, 6))
    systems = [hl.systems.Pairwise(lattice, 0.5 + 0.003 * generator.normal(size=lattice.n_bonds), 0.0) for _ in range(4)]
    monkeypatch.setattr(exactly, "MOST_SITES", 1 << 18)
    found = estimate(systems, np.array([0.3]), ["abs_magnetization"], 0)["abs_magnetization"]
    assert "1024 draws" in found.method
    shown = band(found.values, 0.9, noise=(found.errors**2).mean(0))
    assert shown.upper[0] > shown.lower[0] and "noise" in shown.kind


# -- severity ------------------------------------------------------------------------------------------------------------


def test_predictions_carry_the_verdict(glass):
    assert hl.predict(glass, 0.5, observables=["energy"]).attrs["verdict"] == hl.verdict(glass).level
    bad = glass.copy()
    bad.attrs = dict(glass.attrs)
    posteriors.with_provenance(bad, findings=(Noted("told", "serious", "fit", what="planted"),))
    found, level = hl.predict(bad, 0.5, observables=["energy"]), hl.verdict(bad).level
    assert found.attrs["verdict"] == level == "do not believe"
    assert "not to be believed" in found.attrs["warning"]


# -- centring ------------------------------------------------------------------------------------------------------------


def test_bands_of_many_parameters_from_few_rows_are_centred():
    """Of 13 parameters and 80 rows the mean over draws is 1.4 to 1.8 sd too low in energy and free energy."""
    system = hl.systems.Pairwise(hl.systems.lattice.hypercubic((2, 3), periodic=False), 0.6, np.array([0.3, -0.2, 0.1, 0.0, -0.4, 0.2]))
    betas, rows, sets = np.array([0.2, 0.5, 0.8]), 80, 25
    states = np.array(list(itertools.product([-1, 1], repeat=6)), np.int8)
    energy = np.asarray(system.energy(states.reshape(-1, 2, 3)))
    weights = np.exp(-betas[:, None] * energy)
    truth = {"energy": (weights @ energy) / weights.sum(1) / 6, "free_energy": -np.log(weights.sum(1)) / betas / 6}
    generator, z, inside = np.random.default_rng(3), [], []
    for seed in range(sets):
        drawn = states[generator.choice(64, rows, p=weights[1] / weights[1].sum())].reshape(rows, 2, 3)
        post = hl.infer.learn(hl.microstates(drawn, beta=0.5), hl.models.Couplings(system.lattice), engine="laplace", seed=seed)
        curve = hl.infer.predict(post, betas, observables=list(truth), seed=seed)
        assert curve.attrs["centring"].startswith("by 8 pairs") and curve["energy"].attrs["centred"]
        parts = {name: {str(q): curve[name].sel(quantity=q).values for q in curve["quantity"].values} for name in truth}
        z.append([(parts[name]["mean"] - truth[name]) / parts[name]["sd"] for name in truth])
        inside.append([(parts[name]["lower"] < truth[name]) & (truth[name] < parts[name]["upper"]) for name in truth])
    # The next order of 13 parameters from 80 rows is a few tenths of an sd.
    assert np.all(np.abs(np.mean(z, 0)) < 0.35 + z_limit(6) * np.std(z, 0) / np.sqrt(sets)), np.mean(z, 0)
    assert np.mean(inside) > 0.8


def test_what_is_not_centred_is_said_and_held():
    system = hl.systems.EdwardsAnderson((3, 3), seed=3)
    data = hl.simulate(system, beta=0.4, draws=500, chains=2, seed=0, sampler="exact")
    few, many = (hl.models.Couplings(system.lattice, tie=tie, fields=fields) for tie, fields in (("bond", "site"), ("uniform", None)))
    screened = hl.infer.predict(hl.infer.learn(data, few, likelihood="rise", engine="laplace"), 0.4, observables=["energy"])
    assert "not centred" in screened.attrs["centring"] and not screened["energy"].attrs["centred"]
    reach = (screened["energy"].sel(quantity="upper") - screened["energy"].sel(quantity="mean")).item()
    assert reach > 1.3 * 2 * 27 / (1000 * 0.4 * 9)
    tied = hl.infer.predict(hl.infer.learn(data, many, engine="laplace"), 0.4, observables=["energy"])
    assert tied.attrs["centring"].startswith("not needed")


def test_what_is_not_centred_is_known_where_every_state_is_as_probable():
    """The shift 2p/(M beta) grew without end as beta fell, to widths of 1e8 where spins have the energy zero."""
    system = hl.systems.EdwardsAnderson((3, 3), seed=3)
    data = hl.simulate(system, beta=0.4, draws=60, chains=1, seed=0, sampler="exact")
    post = hl.infer.learn(data, hl.models.Couplings(system.lattice), likelihood="rise", engine="laplace")
    betas, names = np.array([1e-9, 1e-4, 0.05, 0.4, 0.8]), ["energy", "free_energy", "entropy", "multi_information"]
    found = hl.infer.predict(post, betas, observables=names)
    low, high, mean, sd = (found["energy"].sel(quantity=end).values[:3] for end in ("lower", "upper", "mean", "sd"))
    assert (mean < 0).all() and (high < 3 * np.abs(mean)).all() and (high - low > 2.5 * sd).all()
    np.testing.assert_allclose((high - low)[1] / (high - low)[0], 1e5, rtol=0.01)  # energies are linear in beta there
    assert np.all(np.abs(found["free_energy"].sel(quantity=["lower", "upper"])[0] * betas[0] + np.log(2)) < 1e-8)
    for name, there in (("entropy", np.log(2)), ("multi_information", 0.0)):
        ends = found[name].sel(quantity=["lower", "upper"])[0].values
        np.testing.assert_allclose(ends, there, atol=1e-9)


def test_shifts_of_bands_do_not_shrink_where_it_is_colder_than_the_data():
    system = hl.systems.EdwardsAnderson((3, 3), seed=3)
    data = hl.simulate(system, beta=0.4, draws=100, chains=1, seed=0, sampler="exact")
    post = hl.infer.learn(data, hl.models.Couplings(system.lattice), likelihood="rise", engine="laplace")
    found = hl.infer.predict(post, [0.4, 1.5], observables=["energy"])["energy"]
    expected = 2 * 27 / (100 * 0.4 * 9)
    assert ((found.sel(quantity="upper") - found.sel(quantity="mean")).values > 1.6 * expected).all()


@pytest.mark.parametrize("what", ["missing", "misread"])
def test_rows_with_gaps_and_misread_ones_count_for_what_couplings_learn_from_them(what):
    """Of 24 sets of 6 spins with 30 % missing the mean energy was off by 0.18 where complete rows have a shift of 0.10."""
    system, rows, beta = hl.systems.EdwardsAnderson((2, 3), seed=1), 300, 0.4
    states = hl.simulate(system, beta=beta, draws=rows, chains=1, seed=0, sampler="exact")["state"].values[0]
    if what == "missing":
        gone = np.random.default_rng(0).random(states.shape) < 0.3
        gone[gone.all((1, 2))] = False
        data, known = hl.microstates(np.ma.masked_array(states, gone), beta=beta, independent=True), (1 - gone.mean()) ** 2
    else:
        data, known = hl.microstates(states, beta=beta, independent=True, flip=0.1), 0.8**4
    post = hl.infer.learn(data, hl.models.Couplings(system.lattice), engine="laplace")
    energy = hl.infer.predict(post, beta, observables=["energy"])["energy"].isel(beta=0)
    reach = float(energy.sel(quantity="upper") - energy.sel(quantity="mean")) / 1.645
    shift = 2 * 18 / (rows * known * beta * 6)
    assert np.hypot(shift, 0.7 * float(energy.sel(quantity="sd"))) < reach < np.hypot(shift, 1.4 * float(energy.sel(quantity="sd")))


@pytest.mark.parametrize(
    "wrong", [{"beta": "a"}, {"beta": 0.5, "seed": -1}, {"beta": 0.5, "seed": 1.5}], ids=["beta", "seed below zero", "seed"]
)
def test_wrong_arguments_are_refused_by_name(wrong):
    data = hl.simulate(hl.systems.Ising((2, 3)), beta=0.3, draws=200, seed=0)
    post = hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((2, 3)), tie="uniform", fields=None), engine="laplace")
    with pytest.raises(hl.HamlearnError, match=r"seed|beta"):
        hl.predict(post, **wrong)


def test_work_is_announced_before_each_part_and_added_up(caplog):
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", check=False)
    with caplog.at_level("INFO", logger="hamlearn"):
        curves = hl.predict(post, [0.2, 0.4], draws=20)
    told = [float(one.split("about ")[1].split(" s")[0]) for one in caplog.messages if one.startswith("predicting: ")]
    assert len(told) >= 1
    assert sum(told) == pytest.approx(curves.attrs["operations"] / OPERATIONS_PER_SECOND, rel=0.05)
    compiled = [float(one.split("(")[1].split(" s")[0]) for one in caplog.messages if "of them compile" in one]
    assert sum(compiled) == pytest.approx(curves.attrs["compiling"] / OPERATIONS_PER_SECOND, rel=0.05)


def test_energies_of_states_are_found_once_for_all_temperatures_and_answers_are_kept(monkeypatch, tmp_path):
    data = hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=1), beta=0.4, draws=300, chains=2, seed=0)
    post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", check=False)
    calls = {"states": 0, "kinds": 0}

    def counted(name, function):
        def counting(*args, **options):
            calls[name] += 1
            return function(*args, **options)

        return counting

    monkeypatch.setattr(exactly.exact, "state_log_weights", counted("states", exactly.exact.state_log_weights))
    monkeypatch.setattr(members, "_one_kind", counted("kinds", members._one_kind))
    kept.forget()
    first = hl.predict(post, [0.2, 0.4], draws=20)
    states = calls["states"]
    assert states >= 20 and calls["kinds"] == 1
    hl.predict(post, [0.3, 0.5, 0.7], draws=20)
    assert calls == {"states": states, "kinds": 2}
    again = hl.predict(post.copy(deep=True), [0.2, 0.4], draws=20)
    assert calls == {"states": states, "kinds": 2}
    assert again.identical(first)
    hl.report(post, tmp_path / "a.html")
    before = dict(calls)
    hl.report(post, tmp_path / "b.html")
    assert calls == before and (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    changed = post.copy(deep=True)
    changed["posterior"]["J"].values[0, :, 0] += 0.3
    other = hl.predict(changed, [0.2, 0.4], draws=20)
    assert calls["states"] > before["states"] and np.all(other["energy"].sel(quantity="sd") != first["energy"].sel(quantity="sd"))


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(monkeypatch):
    kept.forget()
    monkeypatch.setattr(kept, "MOST_BYTES", 5000)
    made = []
    for key in ("a", "b", "a", "c", "b", "a"):  # two fit; asking for a again makes it younger than b
        kept.recall(key, lambda key=key: made.append(key) or [np.zeros(250)])
    assert made == ["a", "b", "c", "b", "a"]
    for _ in range(2):
        kept.recall("large", lambda: made.append("large") or np.zeros(1000))
    assert made[5:] == ["large", "large"]
    kept.forget()


def _written(sign):
    """A family and its system as a notebook's cell defines them, again under the same names where it runs again."""

    @dataclass(frozen=True, eq=False)
    class Row(ParametricSystem, kind="row of a notebook"):
        lattice: Lattice
        J: float
        space: Space = SPINS

        def energy(self, states):
            xp, s = as_reals(states)
            return -sign * self.J * xp.sum(s[..., 1:] * s[..., :-1], axis=-1)

    @dataclass(frozen=True, eq=False, repr=False)
    class Rows(hl.models.Family, kind="rows of a notebook"):
        def system(self, lattice, J):
            return Row(lattice, J)

    return Rows


def test_what_is_kept_is_of_the_code_that_made_it():
    rows = np.random.default_rng(0).choice([-1, 1], (200, 5), p=[0.3, 0.7])
    post = hl.learn(hl.microstates(rows), _written(1.0)(), engine="laplace", check=False, seed=0)
    first = hl.predict(post, 0.4, draws=8, observables=["energy", "abs_magnetization"])
    _written(-1.0)
    second = hl.predict(post, 0.4, draws=8, observables=["energy", "abs_magnetization"])
    assert not np.allclose(first["abs_magnetization"], second["abs_magnetization"], rtol=1e-3)


@dataclass
class Scaled:
    """A function that may change between two questions."""

    factor: float

    def __call__(self, states, system, beta):
        return self.factor * np.asarray(states, float).reshape(len(states), -1).mean(1) ** 2


def test_an_observable_that_may_change_is_computed_anew():
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=300, chains=2, seed=0)
    post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", check=False)
    scaled = Scaled(1.0)
    record = hl.systems.observables.Observable("scaled", "a scaled square", scaled, of_states=True)
    first = hl.predict(post, 0.4, draws=8, observables=[record])
    scaled.factor = 3.0
    np.testing.assert_allclose(hl.predict(post, 0.4, draws=8, observables=[record])["scaled"], 3 * first["scaled"], rtol=1e-9)


def test_refits_are_made_once_for_all_temperatures_and_again_for_another_posterior(monkeypatch):
    data = hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=1), beta=0.4, draws=300, chains=2, seed=0)
    post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", check=False)
    made = []
    fitted = centring.maximise
    monkeypatch.setattr(centring, "maximise", lambda *args, **options: made.append(1) or fitted(*args, **options))
    kept.forget()
    first = hl.predict(post, [0.2, 0.4], draws=20)
    count = len(made)
    assert count >= 2 * centring.PAIRS and first.attrs["centring"].startswith("by 8 pairs")
    hl.predict(post, 0.7, draws=20)
    again = hl.predict(post.copy(deep=True), [0.2, 0.4], draws=20)  # equal content is equal
    assert len(made) == count
    np.testing.assert_array_equal(again["energy"], first["energy"])
    changed = post.copy(deep=True)
    changed["point"]["J"].values[0] += 0.3
    hl.predict(changed, 0.7, draws=20)
    assert len(made) == 2 * count
    data_changed = post.copy(deep=True)
    data_changed["observed_data"]["bond_frequency"].values[0, 0] = np.array([[0.4, 0.1], [0.1, 0.4]])
    other = hl.predict(data_changed, [0.2, 0.4], draws=20)
    assert len(made) > 2 * count and np.any(other["energy"] != first["energy"])


THREE = hl.systems.states(3)


@dataclass(frozen=True, eq=False)
class Loop(ParametricSystem, kind="loop with a strength that is squared"):
    """Seven three-valued sites on a ring, frustrated where the square of its parameter is large: not linear in it."""

    lattice: Lattice
    a: float
    space: Space = THREE

    def energy(self, states):
        xp, s = as_reals(states)
        return self.a**2 * (xp.cos(2 * np.pi / 3 * (s - xp.roll(s, 1, -1))).sum(-1) + 0.3 * s[..., 0])


def test_close_members_share_a_ladder_that_is_reweighted_to_every_one(monkeypatch):
    """Against all states; the mean parameter has another energy than the mean energy, which must not matter."""
    ring, betas = hl.systems.lattice.hypercubic((7,)), np.array([0.3, 0.5])
    systems = [Loop(ring, a) for a in (0.6, 1.0, 1.25)]
    calls = []
    plain = simulated.simulate_systems
    monkeypatch.setattr(simulated, "simulate_systems", lambda some, *args, **more: calls.append(len(some)) or plain(some, *args, **more))
    monkeypatch.setattr(shared, "UPDATES", 1 << 22)
    records = looked_up(["energy", "heat_capacity"], systems[0])
    found = simulated.from_simulation(systems, betas, records, 3, Work())
    known = exactly.enumerated(systems, betas, records)
    assert set(calls) == {1} and len(calls) <= 2, "one ladder, and at most one longer one"
    for name in ("energy", "heat_capacity"):
        one, truth = found[name], known[name].values
        assert "tempering of the mean member" in one.method
        # Errors of eight chains have t tails.
        assert_within(one.values.mean(0), truth.mean(0), 1.5 * one.shared, f"{name} of all members")
        assert_within(one.values - one.values.mean(0), truth - truth.mean(0), 1.5 * one.errors + 1e-9, f"{name}: differences")
    calls.clear()
    apart = simulated.from_simulation([Loop(ring, a) for a in (0.5, 2.5)], betas, records, 3, Work())
    assert set(calls) == {2} and "of the mean" not in apart["energy"].method, "nothing is simulated to find that they are apart"


def test_log_z_of_a_formula_that_reads_site_axes():
    """Random states at β = 0 have the axes of the lattice: with nothing known beside them ln Z = n ln 2 − β⟨E⟩₀ = n ln 2."""

    @dataclass(frozen=True, eq=False)
    class Squares(hl.systems.System):
        lattice: hl.systems.Lattice
        space: hl.systems.Space = hl.systems.SPINS

        def energy(self, states):
            return 0.0 * (states * np.roll(states, -1, -1) * np.roll(states, -1, -2)).sum((-2, -1))

    world = Squares(hl.systems.lattice.hypercubic((6, 6)))
    found = simulated._log_partitions([world], np.zeros((40, 1, 2, 3)), np.array([0.2, 0.4]), 0, 40)
    assert found == pytest.approx(36 * np.log(2), abs=1e-6)
