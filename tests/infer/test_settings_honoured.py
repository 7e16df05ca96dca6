"""Every setting of every engine, at every place that takes one: it changes what it should, or it is refused by name."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors

ISING = hl.systems.Ising((3, 3))
DATA = hl.simulate(ISING, beta=0.4, draws=150, chains=2, seed=0)
DENSITY, FLOW = hl.models.Autoregressive(hidden=4), hl.models.Flow("affine", layers=2, hidden=4)
EXTENSIVE = hl.models.Extensive(1, 1, hidden=(2,), pairs=False)
REALS = hl.microstates(np.random.default_rng(0).normal(size=(100, 2, 2)), "reals", 1.0)
DCL = hl.models.DCL(DENSITY, hl.models.Extensive(1, 1, (2,)), members=2, labels=100, draws=100)

# A place: which settings it takes, what it starts from, and the call.
PLACES = {
    "density": (hl.infer.Training, {"epochs": 3, "batch": 50}, lambda engine: hl.infer.learn(DATA, DENSITY, engine=engine)),
    "flow": (hl.infer.Training, {"epochs": 3, "batch": 50}, lambda engine: hl.infer.learn(REALS, FLOW, engine=engine)),
    "distill": (hl.infer.Training, {"epochs": 3, "batch": 50}, lambda engine: hl.infer.distill(DATA, ISING, EXTENSIVE, engine=engine)),
    "posterior of weights": (
        hl.infer.Bayesian,
        {"epochs": 3, "batch": 50, "steps": 4, "draws": 2, "guide": "low_rank"},
        lambda engine: hl.infer.learn(DATA, DENSITY, engine=engine),
    ),
    "approximate": (hl.infer.Variational, {"steps": 60, "batch": 10}, lambda engine: hl.approximate(ISING, 0.4, DENSITY, engine=engine)),
}
OTHER = {
    "epochs": 2,
    "batch": 20,
    "learning_rate": 0.1,
    "patience": 1,
    "seconds": 1e-9,
    "weight_decay": 1e3,
    "heldout": 0.4,
    "augment": ("translation",),
    "threads": 2,
    "device": "cuda",
    "precision": "bfloat16",
    "memory": 2**20,
    "guide": "last_layer",
    "draws": 3,
    "rank": 1,
    "prior_scale": 0.01,
    "steps": 3,
    "guide_rate": 0.5,
    "anneal": 0.9,
}
REFUSED = {  # by which place, of what it takes
    "distill": {"augment", "threads", "device", "precision", "memory"},
    "flow": {"precision"},
}


def told(post):
    """Everything that a posterior holds, its clock apart."""
    weights, curves = post["weights"].to_dataset(), post["training"].to_dataset()
    return [value.values.tobytes() for one in (weights, curves) for value in one.values()]


@pytest.fixture(scope="module")
def plain():
    known = {}
    return lambda name: known.setdefault(name, told(PLACES[name][2](PLACES[name][0](**PLACES[name][1]))))


CASES = [(name, one.name) for name, (kind, *_) in PLACES.items() for one in fields(kind)]


@pytest.mark.parametrize(("name", "setting"), CASES, ids=[f"{name}: {setting}" for name, setting in CASES])
def test_a_setting_is_honoured_or_refused_by_name(monkeypatch, tmp_path, plain, name, setting):
    kind, common, call = PLACES[name]
    other = tmp_path / "run.npz" if setting == "checkpoint" else OTHER[setting]
    engine = kind(**{**common, setting: other})
    if setting in REFUSED.get(name, ()):
        with pytest.raises(HamlearnError, match=setting):
            call(engine)
        return
    if setting == "checkpoint":
        call(engine)
        assert (tmp_path / "run.npz").exists()
    elif setting == "device":  # of a machine that has none
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(HamlearnError, match="sees no CUDA device"):
            call(engine)
    elif setting == "threads":
        counts, before = [], torch.set_num_threads
        monkeypatch.setattr(torch, "set_num_threads", lambda count: counts.append(count) or before(count))
        call(engine)
        assert 2 in counts
    elif setting == "memory":  # of data that lie on disk; tests/infer/test_streaming.py reads them so
        assert posteriors.provenance_of(call(engine)).engine.settings["memory"] == 2**20
    elif setting == "patience":  # nothing to lose patience with in three epochs
        post = call(kind(**{**common, "epochs": 60, "learning_rate": 0.3, "patience": 1}))
        assert (posteriors.provenance_of(post).training or {}).get("stopped", ["patience"]) == ["patience"]
        assert post["training"].to_dataset().sizes["epoch"] < 60
    else:
        assert told(call(engine)) != plain(name)


def test_what_is_refused_is_what_is_declared_and_the_record_says_only_what_was_used():
    every = {one.name for one in fields(hl.infer.Training)}
    assert every - set(hl.infer.Training.honoured["energies"]) == REFUSED["distill"]
    used = posteriors.provenance_of(PLACES["distill"][2](hl.infer.Training(epochs=1))).engine.settings
    assert not REFUSED["distill"] & set(used) and used["epochs"] == 1


def test_places_that_pass_settings_on_refuse_what_is_refused_there():
    engine = hl.infer.Training(epochs=1, device="cuda")
    with pytest.raises(HamlearnError, match="does not use device='cuda'"):
        hl.infer.families.extensive.locality(DATA, ISING, (0,), EXTENSIVE, engine)
    with pytest.raises(HamlearnError, match="does not use device='cuda'"):
        hl.diagnostics.locality(ISING, DATA, (0,), EXTENSIVE, engine)
    with pytest.raises(HamlearnError, match="leave engine='auto'"):
        hl.infer.learn(DATA, hl.models.LocalInteraction(), engine=engine)
    with pytest.raises(HamlearnError, match=r"rank=3 is of guide='low_rank'"):
        hl.infer.Bayesian(rank=3)
    for model in (hl.models.Couplings(None), hl.models.ClusterExpansion()):
        with pytest.raises(HamlearnError, match="engine must be"):
            hl.infer.learn(DATA, model, engine=engine)


def test_a_distillation_continues_bit_for_bit(monkeypatch, tmp_path):
    from hamlearn.infer.engines import jax_training

    model = hl.models.Extensive(1, 1, hidden=(2,), pairs=False, members=2)
    whole = hl.infer.distill(DATA, ISING, model, engine=hl.infer.Training(epochs=4, batch=50), seed=1)
    engine = hl.infer.Training(epochs=4, batch=50, checkpoint=tmp_path / "run.npz")
    original, calls = jax_training._epoch, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(jax_training, "_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            hl.infer.distill(DATA, ISING, model, engine=engine, seed=1)
    calls.clear()
    monkeypatch.setattr(jax_training, "_epoch", lambda *arguments: calls.append(1) or original(*arguments))
    resumed = hl.infer.distill(DATA, ISING, model, engine=engine, seed=1)
    assert len(calls) == 2 and told(resumed) == told(whole)
    hl.infer.distill(DATA, -ISING.energy(DATA["state"].values), model, engine=engine, seed=1)
    assert len(calls) == 10  # other labels: the file is left alone


def test_a_distilled_density_saves_itself_and_what_is_fitted_to_its_labels(tmp_path):
    for way in ({"checkpoint": tmp_path / "a.npz"}, {"engine": hl.infer.Training(checkpoint=tmp_path / "b.npz")}):
        engine = way.get("engine", hl.infer.Training())
        settings = hl.infer.Training(epochs=2, batch=100, checkpoint=engine.checkpoint)
        hl.infer.learn(DATA, DCL, engine=settings, checkpoint=way.get("checkpoint"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.labels.npz", "a.npz", "b.labels.npz", "b.npz"]


ENGINES = {
    "mle": hl.infer.MLE(draws=7, chains=3),
    "map": hl.infer.MAP(draws=7, chains=3),
    "laplace": hl.infer.LaplaceApproximation(draws=7, chains=3),
}


@pytest.mark.parametrize("name", ENGINES)
def test_engines_of_parameters_draw_what_was_asked_and_record_it(name):
    post = hl.infer.learn(DATA, hl.models.Couplings(ISING.lattice, fields=None), engine=ENGINES[name])
    assert dict(post["posterior"].to_dataset().sizes) | {"chain": 3, "draw": 7} == dict(post["posterior"].to_dataset().sizes)
    engine = posteriors.provenance_of(post).engine
    record = {**engine.settings, "name": engine.name}
    assert {one.name: getattr(ENGINES[name], one.name) for one in fields(ENGINES[name])}.items() <= record.items()
