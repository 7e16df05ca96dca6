"""NUTS and Gibbs in chunks: interrupted at any of them and continued, they return what an uninterrupted run returns, to the last bit."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer import families
from hamlearn.infer.engines import numpyro
from hamlearn.infer.engines.gibbs import runs
from hamlearn.storage import archive

SYSTEM = hl.systems.EdwardsAnderson((3, 3), seed=1)
DATA = hl.simulate(SYSTEM, beta=0.5, draws=150, chains=2, seed=0)
COUPLINGS = hl.models.Couplings(SYSTEM.lattice, fields=None)
RINGS = hl.simulate(hl.systems.Path(8, hl.systems.Polynomial([0, 0.5])), beta=4.0, draws=200, chains=2, seed=0)

GIBBS = hl.infer.Gibbs(draws=60, warmup=60, chains=2)
# A new engine, or another prior that changes an engine's state, adds one line.
CALLS = {
    "nuts": lambda path: call("couplings", COUPLINGS, hl.infer.NUTS(draws=20, warmup=40, chains=2), path),
    "nuts, one chain": lambda path: call("couplings", COUPLINGS, hl.infer.NUTS(draws=20, warmup=40, chains=1), path),
    "nuts, horseshoe": lambda path: call(
        "couplings", hl.models.Couplings(SYSTEM.lattice, fields=None, prior="horseshoe"), hl.infer.NUTS(draws=20, warmup=40, chains=2), path
    ),
    "nuts of an action": lambda path: families.learn(
        RINGS,
        hl.models.PolynomialAction(powers=(2,)),
        likelihood="exact",
        engine=hl.infer.NUTS(draws=20, warmup=40, chains=2),
        checkpoint=path,
    ),
    "gibbs": lambda path: call(
        "couplings", hl.models.Couplings(None, prior="spike_slab"), hl.infer.Gibbs(draws=60, warmup=60, chains=2), path
    ),
}


def call(kind, model, engine, path, seed=3):
    return families.learn(DATA, model, likelihood="exact", engine=engine, seed=seed, checkpoint=path)


class Stop(BaseException):
    """What no engine expects."""


def stopped_after(monkeypatch, chunks, error):
    """Both engines end with `error` before chunk `chunks` + 1."""
    done = []
    for room in (numpyro, runs):
        original = room._chunk

        def counted(*arguments, original=original):
            if any(isinstance(one, runs.Plan) and one.draws != GIBBS.draws for one in arguments):
                return original(*arguments)  # of the search before, which is repeated
            if len(done) == chunks:
                raise error
            done.append(1)
            return original(*arguments)

        monkeypatch.setattr(room, "_chunk", counted)
    return done


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Chunks of a few transitions, and one compilation per test: another process compiles anew below."""
    made = {}
    original = numpyro._compiled

    def once(*arguments):
        _, _, likelihood, centre, settings, seed, covariance = arguments
        key = repr((likelihood.name, likelihood.bound.model, settings, seed, centre.tolist(), covariance.tolist()))
        if key not in made:
            made[key] = original(*arguments)
        return made[key]

    monkeypatch.setattr(numpyro, "_compiled", once)
    monkeypatch.setattr(numpyro, "_gradients", lambda likelihood, settings: 20)
    monkeypatch.setattr(runs, "_WORK", 0.0)
    monkeypatch.setattr(runs, "_LEAST", 32)


def arrays_of(post):
    return {
        f"{group}/{name}": post[group][name].values
        for group in ("posterior", "sample_stats")
        if group in post
        for name in post[group].data_vars
    }


def assert_same(one, other):
    one, other = arrays_of(one), arrays_of(other)
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if name not in ("nuts", "gibbs") else []) for name in CALLS])
def test_an_interrupted_run_continues_to_the_same_draws(name, tmp_path, monkeypatch):
    whole = CALLS[name](None)
    path = tmp_path / "run.npz"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        done = stopped_after(patch, 4, KeyboardInterrupt())
        CALLS[name](path)
    assert len(done) == 4 and path.exists()
    with monkeypatch.context() as patch:
        before = stopped_after(patch, 10**6, Stop())
        resumed = CALLS[name](path)
    assert_same(resumed, whole)
    with monkeypatch.context() as patch:  # a finished checkpoint is answered without another chunk
        stopped_after(patch, 0, Stop())
        assert_same(CALLS[name](path), whole)
    with monkeypatch.context() as patch:  # and the resumed run did not start again
        every = stopped_after(patch, 10**6, Stop())
        CALLS[name](None)
    assert len(every) == 4 + len(before)


def test_draws_do_not_depend_on_where_chunks_end(monkeypatch):
    whole = CALLS["nuts"](None)
    monkeypatch.setattr(numpyro, "_gradients", lambda likelihood, settings: 10**6)
    assert_same(CALLS["nuts"](None), whole)


def test_anothers_checkpoint_is_left_alone(tmp_path, caplog):
    path = tmp_path / "run.npz"
    engine = hl.infer.NUTS(draws=5, warmup=5, chains=2)
    call("couplings", COUPLINGS, engine, path, seed=1)
    before = path.read_bytes()
    with caplog.at_level(logging.WARNING, "hamlearn"):
        other = call("couplings", COUPLINGS, engine, path, seed=2)
    assert "seed: 1, here 2" in caplog.text and path.read_bytes() == before
    assert_same(other, call("couplings", COUPLINGS, engine, None, seed=2))


def test_a_request_is_all_that_decides_the_draws(tmp_path, monkeypatch):
    engine, found = hl.infer.NUTS(draws=5, warmup=5, chains=2), []

    def note(path, request, of):
        found.append(request)
        raise Stop

    monkeypatch.setattr(numpyro, "_compiled", lambda *arguments: (None, None))
    monkeypatch.setattr(numpyro, "Checkpoint", note)
    changes = {
        "": {},
        "engine": {"engine": hl.infer.NUTS(draws=6, warmup=5, chains=2)},
        "likelihood": {"likelihood": "pseudo"},
        "model": {"model": hl.models.Couplings(SYSTEM.lattice, fields=None, prior=hl.models.Normal(3.0))},
        "data": {"data": DATA.isel(draw=slice(0, 140))},
        "seed": {"seed": 2},
    }
    for changed in changes.values():
        asked = {"data": DATA, "model": COUPLINGS, "likelihood": "exact", "engine": engine, "seed": 1, **changed}
        with pytest.raises(Stop):
            families.learn(**asked, checkpoint=tmp_path / "run.npz")
    for field, request in zip(changes, found, strict=True):
        differs = {name for name, value in request.items() if found[0][name] != value}
        # What was computed from the data depends on the prior and on the likelihood too.
        assert differs == ({field, "data"} if field in ("likelihood", "model") else {field} - {""}), field


def test_a_made_up_state_is_not_continued_from(tmp_path, monkeypatch, caplog):
    """A checkpoint with a right header and wrong arrays costs the work in it, with a warning."""
    whole, path = CALLS["nuts"](None), tmp_path / "run.npz"
    monkeypatch.setattr(numpyro, "_saved", lambda at: {"done": np.asarray(at.done), "state_0": np.zeros(3)})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopped_after(patch, 2, KeyboardInterrupt())
        CALLS["nuts"](path)
    with caplog.at_level(logging.WARNING, "hamlearn"):
        assert_same(CALLS["nuts"](path), whole)
    assert "left alone" in caplog.text


@pytest.mark.parametrize("name", ["nuts", "gibbs"])
def test_a_save_writes_what_is_new_and_not_all_draws(name, tmp_path, monkeypatch):
    """Every draw is written once, whatever the number of saves: bytes are counted where files are written."""
    written, saves = {}, []
    for how, place in (("append", 2), ("write", 1)):
        original = getattr(archive, how)

        def counted(*arguments, original=original, place=place):
            saves.append(1)
            for part, array in arguments[place].items():
                written[part.split("/")[0]] = written.get(part.split("/")[0], 0) + (array.nbytes if "/" in part else 0)
            return original(*arguments)

        monkeypatch.setattr(archive, how, counted)
    monkeypatch.setattr(numpyro, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(runs, "_SAVE_EVERY_S", 0.0)
    CALLS[name](path := tmp_path / "run.npz")
    with np.load(path) as file:
        kept = {part: file[part].nbytes for part in file.files if "/" in part}
    whole = {one: sum(size for part, size in kept.items() if part.split("/")[0] == one) for one in {part.split("/")[0] for part in kept}}
    assert len(saves) > 4 and max(map(int, (part.split("/")[1] for part in kept))) > 0  # several saves, several pieces
    assert whole and {part: written[part] for part in whole} == whole


@pytest.mark.parametrize("model", [hl.models.ClusterExpansion(window=2), hl.models.LocalInteraction(window=2), hl.models.Extensive(1, 1)])
def test_a_model_that_never_saves_itself_refuses_a_checkpoint(model, tmp_path):
    with pytest.raises(hl.HamlearnError, match=f"{type(model).__name__} does not save itself"):
        hl.learn(DATA, model, checkpoint=tmp_path / "run.npz")
    assert not families.saves(model) and families.saves(COUPLINGS)


KILLED = """
    import sys, time
    import numpy as np, hamlearn as hl
    from hamlearn.infer import families
    from hamlearn.infer.engines import numpyro
    system = hl.systems.EdwardsAnderson((3, 3), seed=1)
    data = hl.simulate(system, beta=0.5, draws=150, chains=2, seed=0)
    numpyro._SAVE_EVERY_S, numpyro._gradients = 0.0, lambda likelihood, settings: 20
    original = numpyro._chunk
    def slow(advance, at, *others):
        if len(sys.argv) > 3 and at.kept:
            time.sleep(300)
        return original(advance, at, *others)
    numpyro._chunk = slow
    model = hl.models.Couplings(system.lattice, fields=None)
    engine = hl.infer.NUTS(draws=20, warmup=40, chains=2)
    post = families.learn(data, model, likelihood="exact", engine=engine, seed=3, checkpoint=sys.argv[1])
    np.save(sys.argv[2], post["posterior"]["J"].values)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is a signal of POSIX")
def test_kill_9_loses_at_most_a_chunk(tmp_path):
    path, out = tmp_path / "run.npz", tmp_path / "J.npy"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path), str(out)]
    job = subprocess.Popen([*command, "slowly"])
    for _ in range(3000):  # until it is under way
        if path.exists() and b"kept_theta" in path.read_bytes():  # there are draws: the next chunk is not made
            break
        assert job.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL and not out.exists()
    with np.load(path) as kept:
        assert 40 < kept["done"] < 60
    subprocess.run(command, check=True, timeout=300)
    with np.load(path) as kept:
        assert kept["done"] == 60
    np.testing.assert_array_equal(np.load(out), CALLS["nuts"](None)["posterior"]["J"].values)
