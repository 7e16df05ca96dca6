"""Groups that share a mean and a spread: their draws against integrals, the doors of their data, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

import hamlearn as hl
from hamlearn import cli
from hamlearn.infer.families import hierarchical
from hamlearn.infer.lone_groups import lone
from hamlearn.infer.provenance import Comparison
from hamlearn.spaces import States
from hamlearn.statistics import effective_sample_size
from statistics_budget import assert_within, spend

PAIR = hl.systems.lattice.graph([[0, 1]])
SAME, ROWS = (5, 2, 17), (5, 6, 20)  # of how many rows of every group both spins agree
MODEL = hl.models.Hierarchical(hl.models.Couplings(PAIR, fields=None, prior=hl.models.Normal(1.5)), by="subject", spread=1.0)
diagnose = import_module("hamlearn.diagnostics.diagnose")  # a function of the room has the name of its module
NAMES = ("anna", "ben", "eve")


def rows(same: int, count: int) -> xr.Dataset:
    """Pairs of spins of which so many agree, in no order."""
    states = np.ones((count, 2), int)
    states[same:, 1] = -1
    states[::2] *= -1
    return hl.microstates(states, beta=1.0, independent=True)


DATA = {name: rows(same, count) for name, same, count in zip(NAMES, SAME, ROWS, strict=True)}


@pytest.fixture(scope="module")
def post() -> xr.DataTree:
    return hl.infer.learn(DATA, MODEL, seed=0)


def agreeing(J: np.ndarray, same: int, count: int) -> np.ndarray:
    """ln p of how many rows of a bond agree: the log-odds that two spins do are 2J."""
    return same * 2 * J - count * np.logaddexp(2 * J, 0)


def integrals(log_likelihood: list[Callable[[np.ndarray], np.ndarray]]) -> dict[str, np.ndarray]:
    """Means and standard deviations of all unknowns, from sums over grids."""
    J, mu, tau = np.linspace(-6, 9, 1001), np.linspace(-5, 6, 121), np.linspace(0.01, 5, 126)
    like = np.exp([one(J) for one in log_likelihood])
    z = (J[:, None, None] - mu[:, None]) / tau
    given = np.exp(-0.5 * z**2)
    given /= given.sum(0)  # a spread below the grid's step is a point of it
    moments = np.einsum("kgj,jmt->kgmt", np.array([like, like * J, like * J**2]), given, optimize=True)
    weight = np.exp(-0.5 * (mu[:, None] / 1.5) ** 2 - 0.5 * tau**2) * moments[0].prod(0)
    weight /= weight.sum()
    mean = lambda values: float((weight * values).sum())
    found = {"mean": (mean(mu[:, None]), mean(mu[:, None] ** 2)), "spread": (mean(tau), mean(tau**2))}
    found |= {name: (mean(moments[1, g] / moments[0, g]), mean(moments[2, g] / moments[0, g])) for g, name in enumerate(NAMES)}
    return {name: np.array([first, np.sqrt(second - first**2)]) for name, (first, second) in found.items()}


def assert_drawn(post: xr.DataTree, known: dict[str, np.ndarray]) -> None:
    """Means and variances of draws are those of integrals."""
    drawn = post["posterior"].to_dataset()
    columns = {"mean": drawn["J_mean"][..., 0], "spread": drawn["J_spread"][..., 0]}
    columns |= {name: drawn["J"].sel(subject=name)[..., 0] for name in NAMES}
    values = {name: np.stack([one.values, (one.values - known[name][0]) ** 2], -1) for name, one in columns.items()}
    estimates = np.array([one.mean((0, 1)) for one in values.values()])
    truths = np.array([[known[name][0], known[name][1] ** 2] for name in values])
    errors = np.array([one.std((0, 1)) / np.sqrt(effective_sample_size(one)) for one in values.values()])
    assert_within(estimates, truths, errors, "means and variances")


def test_draws_are_those_of_integrals(post):
    """Of five rows the likelihood is far from a parabola: without the correction the sampler would miss."""
    assert_drawn(post, integrals([partial(agreeing, same=same, count=count) for same, count in zip(SAME, ROWS, strict=True)]))


def holed(same: int, count: int, outer: int, over: int) -> xr.Dataset:
    """Open chains of three spins: so many of the first bonds agree, whose last spin is missing, and of the outer spins of the others."""
    states = np.ones((count + over, 3), int)
    states[same:count, 1] = states[count + outer :, 2] = -1
    states[::2] *= -1
    gone = np.zeros(states.shape, bool)
    gone[:count, 2] = gone[count:, 1] = True
    return hl.microstates(states, beta=1.0, mask=gone, independent=True)


def test_groups_with_missing_cells_are_those_of_integrals():
    """What rows with gaps say is summed over what is missing: spins at both ends agree with probability (1 + tanh² J)/2."""
    cells = {"anna": (4, 5, 3, 5), "ben": (2, 6, 5, 6), "eve": (9, 12, 8, 12)}

    def log_likelihood(J: np.ndarray, same: int, count: int, outer: int, over: int) -> np.ndarray:
        both = (1 + np.tanh(J) ** 2) / 2
        return agreeing(J, same, count) + outer * np.log(both) + (over - outer) * np.log1p(-both)

    chain = hl.models.Couplings([[0, 1], [1, 2]], tie="uniform", fields=None, prior=hl.models.Normal(1.5))
    model = hl.models.Hierarchical(chain, by="subject", spread=1.0)
    post = hl.infer.learn({name: holed(*one) for name, one in cells.items()}, model, seed=0)
    assert_drawn(
        post,
        integrals([partial(log_likelihood, **dict(zip(("same", "count", "outer", "over"), one, strict=True))) for one in cells.values()]),
    )
    assert hl.infer.provenance(hl.infer.group(post, "eve")).missing == pytest.approx(1 / 3)


def test_groups_with_missing_cells_are_completed_where_states_are_not_listed():
    """By data augmentation, each group by itself; what cannot be learned with gaps is refused in the words of one group."""
    generator, triangle = np.random.default_rng(0), hl.models.Couplings([[0, 1], [1, 2], [0, 2]])
    gone = generator.random((300, 3)) < 0.15
    gone[gone.all(1)] = False
    data = {name: hl.microstates(generator.choice([-1, 1], gone.shape), beta=1.0, mask=gone) for name in NAMES}
    small = hl.infer.Pooled(draws=40, warmup=40, chains=2)
    found = hl.infer.learn(data, hl.models.Hierarchical(triangle), likelihood="pseudo", engine=small)
    assert hl.infer.provenance(found).composite and hl.infer.provenance(found).missing == pytest.approx(gone.mean())
    assert np.abs(found["posterior"]["J"].mean(("chain", "draw"))).max() < 0.5
    states = {name: np.where(gone & [True, False, False], np.nan, generator.uniform(0, 6, gone.shape)) for name in NAMES}
    angles = {name: hl.microstates(one[:, :2], space="angles", beta=1.0) for name, one in states.items()}
    with pytest.raises(hl.HamlearnError, match="missing cells of angles are not learned from"):
        hl.infer.learn(angles, hl.models.Hierarchical(hl.models.Couplings([[0, 1]], fields=None)), engine=small)


def test_every_door_of_groups_is_the_same():
    """A mapping, one Dataset whose draws say of which group they are, several with an attribute."""
    small = hl.infer.Pooled(draws=20, warmup=20, chains=2)
    known = hl.infer.learn(DATA, MODEL, engine=small, seed=1)["posterior"]["J"]
    who = np.repeat(NAMES, ROWS)
    states = np.concatenate([one["state"].values[0] for one in DATA.values()])
    together = hl.microstates(states, beta=1.0, independent=True).assign_coords(subject=("draw", who))
    several = [one.assign_attrs(subject=name) for name, one in DATA.items()]
    for data in (together, several):
        xr.testing.assert_identical(hl.infer.learn(data, MODEL, engine=small, seed=1)["posterior"]["J"], known)


def test_temperatures_are_groups():
    data = [one.assign_coords(beta=beta) for one, beta in zip(DATA.values(), (0.5, 1.0, 2.0), strict=True)]
    model = hl.models.Hierarchical(MODEL.model, by="beta", unit="energy")
    found = hl.infer.learn(data, model, engine=hl.infer.Pooled(draws=20, warmup=20, chains=2), seed=1)
    assert found["posterior"]["beta"].values.tolist() == ["0.5", "1", "2"]
    together = xr.concat([one.isel(draw=slice(5)) for one in data], "beta").transpose("beta", "chain", "draw", ...)
    assert [float(one["beta"]) for one in model.sets(together)] == [0.5, 1.0, 2.0]


def test_a_group_is_a_posterior_of_its_own(post, tmp_path):
    """Saved and loaded, judged, and asked as any other; without a name it is a group that was not observed."""
    judged = hl.diagnostics.diagnose(post.copy(), DATA, check=False)
    sentences = [one.what for one in hl.verdict(judged).reasons if one.topic == "groups"]
    assert [one.split(":")[0] for one in sentences] == [f"subject {name}" for name in NAMES]
    again = [one.what for one in hl.verdict(hl.diagnostics.diagnose(judged, check=False)).reasons if one.topic == "groups"]
    assert again == sentences  # said anew, not once more
    older = judged.copy()
    older["group_1"].attrs["schema_version"] = 3
    loaded = hl.load(hl.save(older, tmp_path / "post.nc"))
    assert loaded["group_1"].attrs["schema_version"] == loaded.attrs["schema_version"]  # what earlier versions wrote is read everywhere
    assert str(hl.verdict(loaded)) == str(hl.verdict(judged))
    anna, new = hl.infer.group(loaded, "anna"), hl.infer.group(loaded)
    np.testing.assert_array_equal(anna["posterior"]["J"].values, post["posterior"]["J"].sel(subject="anna").values)
    assert hl.predict(anna, beta=1.0, draws=4)["energy"].dims == ("beta", "quantity")
    drawn = new["posterior"]["J"].values[..., 0]
    between = post["posterior"]["J_mean"].values[..., 0].var() + (post["posterior"]["J_spread"].values[..., 0] ** 2).mean()
    assert abs(drawn.var() / between - 1) < 0.2
    assert len(hl.draw_systems(loaded, 3)) == 3
    assert "a group that was not observed, of groups that share" in new.attrs["about"] and "31 microstates" in new.attrs["about"]
    assert str(hl.verdict(new)) == str(hl.verdict(loaded)) and {"checks", "measured", "alone"}.isdisjoint(new.children)
    assert float(new["point"]["J"].mean()) == pytest.approx(drawn.mean())
    with pytest.raises(hl.HamlearnError, match="anna"):
        hl.infer.group(loaded, "nobody")
    with pytest.raises(hl.HamlearnError, match="no groups"):
        hl.infer.group(anna, "anna")


def test_verbs_are_asked_of_a_group_by_its_name(post, tmp_path, monkeypatch, capsys):
    """As of the posterior of that group; without a name of one that was not observed, which the answer says, also at the shell."""
    states = DATA["eve"]["state"].values[0]
    for name in ("eve", None):
        own = hl.infer.group(post, name)
        found = hl.predict(post, beta=1.0, draws=4, group=name)
        xr.testing.assert_identical(found, hl.predict(own, beta=1.0, draws=4))
        assert found.attrs["group"] == (name or "not observed") and found.attrs["verdict"] == hl.verdict(own).level
        for verb in (hl.energy, hl.action):
            xr.testing.assert_identical(verb(post, states, draws=3, group=name), verb(own, states, draws=3))
        assert [one.to_dict() for one in hl.draw_systems(post, 2, group=name)] == [one.to_dict() for one in hl.draw_systems(own, 2)]
    pd.testing.assert_frame_equal(hl.diagnostics.summary(post, group="eve"), hl.diagnostics.summary(hl.infer.group(post, "eve")))
    for verb in (hl.predict, hl.energy, hl.draw_systems, hl.report, hl.diagnostics.summary):
        with pytest.raises(hl.HamlearnError, match=r"'anna', 'ben', 'eve'; got 'ev'\. Did you mean 'eve'"):
            verb(post, "page.html" if verb is hl.report else 1, group="ev")
    with pytest.raises(hl.HamlearnError, match="no groups"):
        hl.predict(hl.infer.group(post, "eve"), beta=1.0, group="eve")
    saved = hl.save(post, tmp_path / "post.nc")
    for options, noted in ((("--group", "eve"), False), ((), True)):
        monkeypatch.setattr(sys, "argv", ["hamlearn", "predict", str(saved), "--beta", "1", "--draws", "4", "--json", *options])
        assert cli.run() == 0
        said = capsys.readouterr()
        assert json.loads(said.out)["group"] == ("not observed" if noted else "eve") and ("--group" in said.err) == noted


def test_few_groups_leave_spreads_to_their_prior(post):
    """Two groups of many rows say their own couplings well, and nothing else of how groups differ; eight do."""
    told = {}
    for count in (2, 8):
        data = {str(k): rows(same, 400) for k, same in enumerate(np.linspace(230, 290, count).astype(int))}
        found = hl.infer.learn(data, MODEL, engine=hl.infer.Pooled(draws=200, chains=2), seed=0)
        told[count] = [one for one in hl.verdict(found).reasons if one.topic == "prior"]
    assert [one.severity for one in told[2]] == ["caution"] and "2 groups hardly say the spread" in told[2][0].what
    assert told[8] == []


def test_a_lone_group_is_named():
    """Ten pairs of spins attract each other about alike; of one more they repel. Without it nobody lies apart."""
    data = {str(k): rows(same, 400) for k, same in enumerate(np.linspace(280, 300, 10).astype(int))}
    small = hl.infer.Pooled(draws=50, warmup=100, chains=2)
    for lou in (True, False):
        found = hl.infer.learn({**data, **({"lou": rows(120, 400)} if lou else {})}, MODEL, engine=small, seed=0)
        told = [one.what for one in hl.verdict(found).reasons if one.topic == "spread"]
        assert len(told) == lou and all("subject lou lies apart from all others" in one for one in told)


def test_groups_that_have_a_normal_spread_seldom_seem_to_lie_apart():
    """Of sizes from 30 to 10 000 rows, where a spread is hardly known."""
    generator, alarms, repeats = np.random.default_rng(0), 0, 200
    variances = np.repeat(1 / np.geomspace(30, 1e4, 8)[:, None], 5, 1)
    for spread in (0.02, 0.2):
        for _ in range(repeats):
            alarms += lone(generator.normal(0, np.sqrt(spread**2 + variances)), variances).min() < 0.01
    assert scipy.stats.binomtest(alarms, 2 * repeats, 0.02, alternative="greater").pvalue > spend()


WIDE = np.r_[0.5, np.zeros(11)]  # one coupling that differs between groups, among eleven that do not


@pytest.mark.parametrize("spread", [np.zeros(12), np.linspace(0, 0.3, 12), WIDE], ids=["none", "several", "one"])
@pytest.mark.parametrize("groups", [4, 6, 12])
@pytest.mark.parametrize("equal", [True, False])
def test_variances_that_lend_to_each_other_raise_no_false_alarms(groups, spread, equal):
    """Of couplings that differ alike, not at all, or one of them only: the large variance must not be taken for a lone group."""
    generator, repeats = np.random.default_rng(groups), 150
    variances = np.repeat(2 / (np.full(groups, 1000.0) if equal else np.geomspace(30, 1e4, groups))[:, None], 12, 1)
    alarms = sum(lone(generator.normal(0, np.sqrt(spread**2 + variances)), variances).min() < 0.01 for _ in range(repeats))
    assert scipy.stats.binomtest(int(alarms), repeats, 0.03, alternative="greater").pvalue > spend()


def test_a_coupling_of_another_sign_is_seen_among_six_and_a_reversed_group_among_four():
    """Couplings of sd 0.5 that differ between groups by 0.05, of 1000 rows: few groups know a spread by that of other couplings."""
    generator, seen = np.random.default_rng(0), {"one": 0, "all": 0}
    for _ in range(60):
        for what, groups in (("one", 6), ("all", 4)):
            truth = generator.normal(generator.normal(0, 0.5, 12), 0.05, (groups, 12))
            if what == "one":
                truth[:, 3] = generator.normal(0.5, 0.05, groups)
            truth[2] *= np.where(np.arange(12) == 3, -1, 1) if what == "one" else -1
            p = lone(generator.normal(truth, np.sqrt(2e-3)), np.full(truth.shape, 2e-3))
            seen[what] += p[2].min() < 0.01 and np.argmin(p.min(1)) == 2
    assert scipy.stats.binomtest(seen["one"], 60, 0.8, alternative="less").pvalue > spend()
    assert scipy.stats.binomtest(seen["all"], 60, 0.97, alternative="less").pvalue > spend()


def test_of_many_groups_each_has_to_be_more_unlikely(post):
    """A comparison with p = 0.005 is a caution of one of three groups, and by chance among forty."""
    differs = Comparison("differs", overall_p=0.005, statistics=20, failed=("energy",), largest_z=3.0)
    unlikely = replace(hl.infer.provenance(hl.infer.group(post, "eve")), check=differs)
    found = {count: diagnose.weigh(diagnose._of_several(unlikely, count)) for count in (3, 40)}
    misfits = {count: [one for one in said.reasons if one.topic == "fit" and one.severity == "caution"] for count, said in found.items()}
    assert misfits[3] and not misfits[40]


def test_groups_whose_comparison_is_left_out_are_named():
    """The verdict said "left out", of 60 microstates, and not of whom."""
    few, most = "no fit to half of the data (60 microstates)", Comparison("agrees", overall_p=0.5, statistics=4, held_out=4)
    compared = {"anna": most, "ben": replace(most, skipped=few, advice="Give more."), "eve": replace(most, skipped=few)}
    found = diagnose._of_groups("subject", compared)
    assert found.skipped == f"{few} (subject ben, eve)" and found.advice == "Give more."
    undecided = {name: Comparison("undecided", reason=few) for name in NAMES}
    assert diagnose._of_groups("subject", undecided).reason == few
    undecided["eve"] = Comparison("undecided", reason="too few")
    assert diagnose._of_groups("subject", undecided).reason == f"{few} (subject anna, ben); too few (subject eve)"


def test_spreads_of_tables_add_in_squares():
    """A table of states is a sum of parameters; its entries' spreads are those of such sums."""
    bound = hl.models.Couplings(PAIR).bind(States(3), (2,))
    tau = np.linspace(0.2, 1.0, bound.n_params)
    drawn = np.random.default_rng(0).normal(size=(1, 20_000, bound.n_params)) * tau
    family = hierarchical.families.named(MODEL.model.traits)
    told = hierarchical._spreads(family, bound, tau[None, None])["J"].values[0, 0]
    np.testing.assert_allclose(family.variables(bound, drawn)["J"].values[0].std(0), told, rtol=0.05)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"anna": DATA["anna"]}, "one subject only, 'anna'"),
        ({**DATA, "lou": rows(1, 1)}, "'lou' has one microstate"),
        (list(DATA.values()), "of which subject they are"),
        (
            rows(6, 9).assign_coords(site=["subject", "calm"]),
            r"subject is a site.*assign_coords\(subject=\('draw', table\['subject'\]\)",
        ),
        ({**DATA, "lou": hl.microstates(np.ones((5, 3), int), beta=1.0)}, "same states and sites"),
        ({**DATA, "lou": hl.microstates([[0, 2], [1, 0]], space="states", beta=1.0)}, r"same states and sites; these have spins \(q = 2\)"),
        (
            {
                name: hl.microstates(pd.DataFrame([words, words[::-1]]), beta=1.0)
                for name, words in (("a", ["yes", "no"]), ("b", ["y", "n"]))
            },
            "different words",
        ),
        (rows(6, 9).assign_coords(subject=("draw", ["anna"] * 8 + ["lou"])), "'lou' has one microstate"),
        ({"anna": DATA["anna"].assign_coords(site=["a", "b"]), "ben": DATA["ben"].assign_coords(site=["a", "c"])}, "different sites"),
    ],
)
def test_what_is_no_data_of_groups_is_refused(data, said):
    with pytest.raises(hl.HamlearnError, match=said) as caught:
        hl.learn(data, MODEL)
    assert "\n" not in str(caught.value)


def test_the_group_that_is_refused_is_named():
    """Of sixty groups nobody knew which was to be left out."""
    poor = rows(30, 60).assign_attrs(independent=0)  # in such an order that no independent batches are found
    with pytest.raises(hl.HamlearnError) as alone:
        hl.learn(poor, MODEL.model)
    with pytest.raises(hl.HamlearnError) as caught:
        hl.learn({**DATA, "lou": poor}, MODEL)
    assert str(caught.value) == f"subject 'lou': {alone.value}"


def test_what_is_no_model_of_groups_is_refused():
    with pytest.raises(hl.HamlearnError, match="weights of trained networks"):
        hl.models.Hierarchical(hl.models.Autoregressive())
    with pytest.raises(hl.HamlearnError, match="need normal priors"):
        hl.learn(DATA, hl.models.Hierarchical(hl.models.Couplings(PAIR, fields=None, prior="laplace"), by="subject"))
    with pytest.raises(hl.HamlearnError, match="by="):
        hl.models.Hierarchical(MODEL.model, by="bond")
    with pytest.raises(hl.HamlearnError, match=r"hl\.infer\.Pooled"):
        hl.learn(DATA, MODEL, engine="nuts")
    with pytest.raises(hl.HamlearnError, match=r"hl\.models\.Hierarchical"):
        hl.learn(DATA, MODEL.model)
