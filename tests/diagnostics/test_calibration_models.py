"""Calibration of models of the library: what is calibrated passes, error bars that are too small, or leaning, are caught."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics.calibration import at_truth, local, over_prior, refits, services
from hamlearn.errors import HamlearnError
from hamlearn.systems import lattice
from statistics_budget import assert_within, spend

CHAIN = lattice.hypercubic((4,), periodic=False)
TIED = hl.models.Couplings(CHAIN, tie="uniform", fields="uniform", prior=hl.models.Normal(0.5), field_prior=hl.models.Normal(0.3))
ASKED = {"rows": 200, "beta": 0.7, "engine": "laplace"}


@dataclass(frozen=True)
class Planted:
    """The normal approximation, its error bars too small by a factor, its centre moved by so many of them."""

    narrow: float = 1.0
    shift: float = 0.0
    name: str = "planted"

    def draw(self, fit, *, seed):
        noise = np.random.default_rng(seed).normal(size=(4, 250, len(fit.mean))) / self.narrow
        return fit.mean + (noise + self.shift) @ fit.root.T


@cache
def small(engine="laplace"):
    world = hl.systems.Pairwise(CHAIN, J=[0.6, -0.4, 0.8], h=[0.1, -0.2, 0.3, 0.0])
    data = hl.simulate(world, beta=0.7, draws=500, chains=1, seed=0, sampler="exact")
    return data, hl.learn(data, hl.models.Couplings(CHAIN), engine=engine, check=False, seed=0)


def test_truths_from_the_prior():
    right = over_prior(TIED, CHAIN, sets=100, **ASKED)
    assert right.p_value > spend() and right.decision != "not calibrated"
    assert right.names == ("J[tied]", "h[tied]") and right.of == ("J", "h") and right.draws == 99
    assert over_prior(TIED, CHAIN, sets=80, **ASKED | {"engine": Planted(narrow=1.5)}).decision == "not calibrated"
    biased = over_prior(TIED, CHAIN, sets=60, **ASKED | {"engine": Planted(shift=0.8)})
    assert biased.decision == "not calibrated" and biased.kinds["bias"].min() > 0.3


def test_truths_from_a_posterior_and_the_data_at_hand():
    data, post = small()
    here, joined = local(post, sets=30), local(post, data, sets=30)
    for found, truths in ((here, "posterior"), (joined, "joined")):
        assert found.p_value > spend() and found.decision == "calibrated" and found.truths == truths
        assert found.ranks.shape == (30, 7) and not found.failures
    narrow = local(small(Planted(narrow=1.5))[1], engine=Planted(narrow=1.5), sets=30)
    assert narrow.decision == "not calibrated" and "too narrow" in narrow.summary and narrow.finding.severity == "serious"
    # What was found is kept in the posterior, and its verdict weighs it, in place of an earlier one.
    before, after = hl.verdict(post), hl.verdict(local(joined.posterior, sets=10, seed=1).posterior)
    assert [one.code for one in hl.verdict(joined.posterior).reasons if one.passed and one not in before.reasons] == ["calibrated here"]
    assert sum("here" in one.code for one in after.reasons) == 1
    assert hl.verdict(narrow.posterior).level == "do not believe" and "90 % intervals" in hl.verdict(narrow.posterior).summary
    assert "calibration" not in post.children


@pytest.mark.parametrize(("factor", "level"), [(0.5, "do not believe"), (1.6, "caution")])
def test_bars_that_were_changed_are_told_however_well_refits_cover(factor, level):
    data, post = small()
    changed = post.copy()
    draws = {
        name: values.mean(("chain", "draw")) + factor * (values - values.mean(("chain", "draw")))
        for name, values in post["posterior"].items()
    }
    changed["posterior"] = changed["posterior"].assign({name: values.transpose("chain", "draw", ...) for name, values in draws.items()})
    for found, right in ((local(changed, sets=20), 1.0), (local(changed, data, sets=20), np.sqrt(2))):
        assert found.decision == "not calibrated" and "its own standard deviations are" in found.summary
        np.testing.assert_allclose(found.bars["ratio"].sel(of="all"), factor * right, rtol=0.1)
        told = hl.verdict(found.posterior)
        assert [one.severity for one in told.reasons if one.code == "bars differ here"] == ["serious" if factor < 1 else "caution"]
    assert local(post, sets=20).bars_off is None
    assert hl.verdict(local(changed, sets=20).posterior).level == level


def test_rows_are_as_many_as_the_data_are_worth(monkeypatch):
    world, seen = hl.systems.Ising((3, 3)), []
    data = hl.simulate(world, beta=0.5, draws=3000, chains=4, seed=0, sampler="metropolis")
    post = hl.learn(data, hl.models.Couplings(world.lattice, tie="uniform", fields=None), engine="laplace", check=False)
    monkeypatch.setattr(services, "_answer", lambda job, *more, **told: seen.append((job, more)))
    monkeypatch.setattr(services, "recorded", lambda post, found: None)
    monkeypatch.setattr(services, "replace", lambda found, **changes: found)
    local(post)
    job, more = seen[0]
    worth = hl.infer.provenance(post).calibration.ess
    assert 100 < worth < 6000 and job.rows == (round(worth),) and "worth" in more[-1][0]
    assert job.engine == hl.infer.LaplaceApproximation() and job.likelihood == "exact"
    np.testing.assert_allclose(job.truths.mean(), post["posterior"]["J"].mean(), atol=0.02)


class Looks(Planted):
    """An engine that remembers of which data the fit is."""

    seen: ClassVar[list] = []

    def draw(self, fit, *, seed):
        self.seen.append([(part.beta, part.size) for part in fit.likelihood.parts])
        return super().draw(fit, seed=seed)


def test_data_are_as_many_and_as_hot_as_asked():
    over_prior(TIED, CHAIN, beta=[0.5, 1.1], rows=48, sets=10, engine=Looks())
    assert len(Looks.seen) == 10 and all(sorted(one) == [(0.5, 48), (1.1, 48)] for one in Looks.seen)


def test_a_prior_that_pulls_is_a_bias_here_and_none_together_with_the_data():
    """A strength of five prior widths: the posterior is right by Bayes' theorem, and its intervals at that place are not."""
    model = hl.models.Couplings(CHAIN, tie="uniform", fields=None, prior=hl.models.Normal(0.2))
    data = hl.simulate(hl.systems.Pairwise(CHAIN, J=[1.0] * 3), beta=1.0, draws=20, chains=1, seed=0, sampler="exact")
    post = hl.learn(data, model, engine="laplace", check=False, seed=0)
    here, joined = local(post, sets=60), local(post, data, sets=60)
    assert here.decision == "not calibrated" and float(here.kinds["bias"][0]) < -0.5 and "data=" in here.finding.advice
    assert [one.severity for one in hl.verdict(here.posterior).reasons if one.code == "not calibrated here"] == ["caution"]
    assert joined.p_value > spend() and abs(float(joined.kinds["bias"][0])) < 0.5


def test_cells_are_missing_and_misread_as_in_the_data_at_hand():
    world, rng = hl.systems.Pairwise(CHAIN, J=[0.6, -0.4, 0.8]), np.random.default_rng(0)
    states = hl.simulate(world, beta=1.0, draws=4000, chains=1, seed=0, sampler="exact")["state"].values[0]
    mask = rng.random(states.shape) < [0.4, 0.0, 0.1, 0.0]
    rates = np.array([0.0, 0.2, 0.0, 0.05])
    like = hl.microstates(np.where(rng.random(states.shape) < rates, -states, states), space="spins", beta=1.0, mask=mask, flip=rates)
    made = hl.simulate(world, beta=1.0, draws=4000, chains=1, seed=1, sampler="exact")
    read = refits.read_as(made, like, hl.systems.SPINS, np.random.default_rng(1))
    gone = read["state"].values[0] == hl.systems.SPINS.missing
    wrong = (read["state"].values[0] != made["state"].values[0]) & ~gone
    share = np.array([0.4, 1e-9, 0.1, 1e-9])
    assert_within(gone.mean(0), share, np.sqrt(2 * share * (1 - share) / 4000), "missing")
    found, n = wrong.sum(0) / (~gone).sum(0), (~gone).sum(0)
    assert_within(found[[1, 3]], rates[[1, 3]], np.sqrt(rates * (1 - rates) / n)[[1, 3]], "misread")
    assert not wrong[:, [0, 2]].any()
    np.testing.assert_array_equal(read["flip"], like["flip"])
    assert refits.read_as(made, made, hl.systems.SPINS, rng) is made


def test_a_posterior_of_data_with_gaps():
    world, rng = hl.systems.Pairwise(CHAIN, J=[0.6, -0.4, 0.8]), np.random.default_rng(0)
    states = hl.simulate(world, beta=1.0, draws=300, chains=1, seed=0, sampler="exact")["state"].values[0]
    data = hl.microstates(states, space="spins", beta=1.0, mask=rng.random(states.shape) < 0.2, independent=True)
    post = hl.learn(data, hl.models.Couplings(CHAIN, fields=None), engine="laplace", check=False, seed=0)
    with pytest.raises(HamlearnError, match=r"give them, local\(post, data\)"):
        local(post)
    found = local(post, data, sets=10)
    assert not found.failures and np.abs(found.errors).mean() < 2


def test_threads_and_resuming_change_nothing(tmp_path):
    asked = ASKED | {"engine": Planted(), "seed": 3}
    whole = over_prior(TIED, CHAIN, sets=16, **asked)
    over_prior(TIED, CHAIN, sets=10, checkpoint=tmp_path / "run.npz", **asked)
    with ThreadPoolExecutor(2) as pool:
        again = over_prior(TIED, CHAIN, sets=16, checkpoint=tmp_path / "run.npz", executor=pool, **asked)
    np.testing.assert_array_equal(whole.ranks, again.ranks)
    np.testing.assert_array_equal(whole.errors, again.errors)


def test_one_truth():
    found = at_truth(TIED, {"J": 0.8, "h": [0.1]}, CHAIN, sets=40, **ASKED)
    assert found.p_value > spend() and found.truths == "truth"
    far = at_truth(TIED, {"J": 2.5, "h": 0.1}, 4, sets=20, **ASKED | {"rows": 20})  # five widths of the prior away
    assert far.decision == "not calibrated" and far.kinds["bias"].sel(of="J") < -1


def test_paths_and_rotors():
    """One call for every space: data come back as its own systems make them, from an oracle and from a chain."""
    path = hl.models.PolynomialAction(powers=(2,), kinetic=True, prior=hl.models.Normal(1.0))
    for model, truth, shape, more in (
        (path, {"kinetic": 1.0, "c": 0.5}, 6, {"space": hl.systems.REALS, "beta": 3.0}),
        (hl.models.Couplings(CHAIN, tie="uniform", fields=None), {"J": 0.7}, 4, {"space": hl.systems.ANGLES}),
    ):
        found = at_truth(model, truth, shape, sets=10, rows=100, engine="laplace", **more)
        assert not found.failures and np.abs(found.errors).mean() < 2


def test_what_is_done_with_a_data_set_can_be_sent_to_another_process():
    job = services._asked(TIED, CHAIN, hl.systems.SPINS, 0.7, 50, "auto", hl.infer.LaplaceApproximation(), True, 0)
    sent = pickle.loads(pickle.dumps(job))
    np.testing.assert_array_equal(sent(3), job(3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: over_prior(hl.models.Autoregressive(), 4), "weights"),
        (lambda: over_prior("couplings", 4), "model must be one"),
        (lambda: over_prior(TIED, CHAIN, space="spins"), "hl.systems, such as SPINS"),
        (lambda: over_prior(TIED, CHAIN, sets=5), "sets"),
        (lambda: at_truth(TIED, {"J": 0.4}, CHAIN), "every block of parameters by name, here J, h"),
        (lambda: at_truth(TIED, {"J": 0.4, "h": [1, 2]}, CHAIN), r"one number or 1 of them"),
        (lambda: local(small()[1], small()[0].isel(draw=slice(400))), "not the microstates"),
        (lambda: local(small(Planted())[1]), "give the one to check, engine="),
    ],
)
def test_bad_requests_are_refused(call, words):
    with pytest.raises(HamlearnError, match=words):
        call()


def test_the_picture_shows_the_parameter_that_strays_most():
    found = over_prior(TIED, CHAIN, sets=20, **ASKED)
    figure = hl.plots.calibration(found)
    left, right = figure.axes
    worst = found.names[int(found.p_values.argmin())]
    (line,) = (one for one in left.get_lines() if one.get_label() == worst)
    below = np.array([(found.ranks[:, found.names.index(worst)] < place).mean() for place in range(101)])
    np.testing.assert_allclose(line.get_ydata(), below - np.arange(101) / 100, atol=1e-12)
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), found.coverage["coverage"][0] - found.coverage["level"])
