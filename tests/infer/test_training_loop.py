"""The one loop of trainings, with a learner of NumPy alone: every framework's is asked the same."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.infer.engines import training_loop
from hamlearn.infer.engines.training_loop import Budget, run


class Slope:
    """Steps down a parabola with noise; judged by a list of numbers, or by the parabola."""

    def __init__(self, judged=(), explode=0, stop=0):
        self.at, self.generator, self.judged = np.array(5.0), np.random.default_rng(3), judged
        self.explode, self.stop, self.rounds, self.rates = explode, stop, 0, []

    def advance(self, pace, history):
        self.rounds += 1
        if self.rounds == self.stop:
            raise KeyboardInterrupt
        self.rates.append(pace.budget.rate_at(pace.share(history.epoch), history.epoch))
        self.at = self.at - self.rates[-1] * (2 * self.at + self.generator.normal())
        return 1, math.nan if self.rounds == self.explode else float(self.at**2)

    def evaluate(self):
        return self.judged[self.rounds - 1] if self.judged else float(self.at**2)

    def weights(self):
        return {"at": self.at.copy()}

    def adopt(self, weights):
        self.at = weights["at"]

    def state(self):
        return {"now": self.at.copy(), "generator": np.asarray(json.dumps(self.generator.bit_generator.state))}

    def restore(self, arrays):
        self.at, self.generator.bit_generator.state = arrays["now"], json.loads(str(arrays["generator"]))

    def told(self, history):
        return f"{history.heldout[-1]:.3g}"

    def hopeless(self):
        return "diverged at once"


def test_the_best_is_kept_and_patience_ends_it():
    learner = Slope([3.0, 1.0, 2.0, 2.0, 0.5, 0.1])
    at = []
    learner.evaluate = lambda whole=learner.evaluate: at.append(float(learner.at)) or whole()
    history = run(learner, Budget(6, 0.1, patience=2))
    assert (history.epoch, history.best, history.stopped, history.heldout) == (4, 2, "patience", [3.0, 1.0, 2.0, 2.0])
    assert float(learner.at) == at[1]
    latest = Slope([3.0, 1.0, 2.0])
    history = run(latest, Budget(3, 0.1, unit="steps"))
    assert (history.best, history.stopped) == (3, "steps")


def test_the_rate_rises_and_falls_by_counted_work():
    learner = Slope()
    run(learner, Budget(4, 0.2, rise=2, floor=0.1))
    cosine = [0.2 * (0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2) for share in (0, 0.25, 0.5, 0.75)]
    np.testing.assert_allclose(learner.rates, [cosine[0] / 2, *cosine[1:]])


def test_a_limit_in_seconds_ends_it_and_lets_the_rate_fall(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(training_loop.time, "monotonic", lambda: float(next(ticks)))
    learner = Slope()
    history = run(learner, Budget(100, 0.1, seconds=6.0), progress=False)
    assert history.stopped == "seconds" and history.epoch < 6 and learner.rates[-1] < 0.5 * learner.rates[0]


def test_a_loss_that_is_not_finite_ends_it_at_the_best(tmp_path):
    learner = Slope([3.0, 1.0, 2.0, 1.0], explode=4)
    file = Checkpoint(tmp_path / "run.npz", {}, of="training")
    history = run(learner, Budget(9, 0.1, patience=5), checkpoint=file)
    assert history.diverged and (history.epoch, history.best, history.last) == (4, 2, 2) and math.isnan(history.heldout[-1])
    assert json.loads(str(file.load()["history"]))["epoch"] == 3  # what went wrong is not continued from
    with pytest.raises(HamlearnError, match="diverged at once"):
        run(Slope(explode=1), Budget(9, 0.1, patience=5))


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_an_interrupted_training_continues_bit_for_bit(tmp_path, stop):
    whole = Slope()
    expected = run(whole, Budget(6, 0.1, patience=9))
    with pytest.raises(KeyboardInterrupt):
        run(Slope(stop=stop), Budget(6, 0.1, patience=9), checkpoint=Checkpoint(tmp_path / "run.npz", {}, of="training"))
    resumed = Slope()
    found = run(resumed, Budget(6, 0.1, patience=9), checkpoint=Checkpoint(tmp_path / "run.npz", {}, of="training"))
    assert resumed.at == whole.at and found.heldout == expected.heldout and resumed.rounds == 7 - stop


def test_a_checkpoint_that_a_learner_cannot_take_changes_nothing(tmp_path, caplog):
    file = Checkpoint(tmp_path / "run.npz", {}, of="training")
    file.save({"history": json.dumps({"epoch": 3}), "now": np.array(1.0)})
    learner, whole = Slope(), Slope()
    run(learner, Budget(4, 0.1), checkpoint=Checkpoint(tmp_path / "run.npz", {}, of="training"))
    run(whole, Budget(4, 0.1))
    assert learner.at == whole.at and learner.rounds == 4 and "left alone" in caplog.text


def test_processes_that_continue_from_different_epochs_are_refused():
    with pytest.raises(HamlearnError, match="different epochs"):
        run(Slope(), Budget(4, 0.1), agreed=lambda value: value + 1)


@pytest.mark.parametrize("guide", ["last_layer", "low_rank"])
def test_a_posterior_of_weights_continues_bit_for_bit(monkeypatch, tmp_path, guide):
    from hamlearn.infer.engines.neural import pyro

    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=100, chains=2, seed=0)
    model = hl.models.Autoregressive(hidden=4, symmetry=["z2"])
    settings = {"guide": guide, "epochs": 2, "batch": 50, "draws": 3, "steps": 10}
    whole = hl.infer.learn(data, model, engine=hl.infer.Bayesian(**settings), seed=3)
    saved, original, passes = hl.infer.Bayesian(checkpoint=tmp_path / "run.npz", **settings), pyro._Learner.advance, []

    def stop(*arguments):
        passes.append(1)
        if len(passes) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pyro._Learner, "advance", stop)
        with pytest.raises(KeyboardInterrupt):
            hl.infer.learn(data, model, engine=saved, seed=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.npz", "run.posterior.npz"]
    calls = []
    monkeypatch.setattr(pyro._Learner, "advance", lambda *arguments: calls.append(1) or original(*arguments))
    resumed = hl.infer.learn(data, model, engine=saved, seed=3)
    assert len(calls) == 1 and resumed["weights"].to_dataset().identical(whole["weights"].to_dataset())
    again = hl.infer.learn(data, model, engine=saved, seed=3)
    assert len(calls) == 1 and again["weights"].to_dataset().identical(whole["weights"].to_dataset())
