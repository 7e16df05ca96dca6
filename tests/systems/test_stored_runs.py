"""Runs written to a Zarr folder as they are made: the same bits as in memory, a few chunks of memory, and no draw lost to a kill."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import data as microstate_data
from hamlearn import storage
from hamlearn.errors import HamlearnError
from hamlearn.storage import growing
from hamlearn.systems import EdwardsAnderson, FixedMagnetization, Heisenberg, InteractionTables, Ising, Potts, ScalarField
from hamlearn.systems.sampling import independent, loop
from own_samplers import FREE, Known, Redraw

TILES = InteractionTables((4, 4), window=(2, 2), tables=np.random.default_rng(3).normal(size=16))
GLASS = EdwardsAnderson((3, 3), seed=1)

# Adding a run is one line here: a system, its temperatures, and what is asked of it.
RUNS = {
    "JAX, several temperatures": (GLASS, [0.3, 0.7], {"sampler": "heat_bath", "thin": 2}),
    "JAX, a ladder": (GLASS, 0.9, {"sampler": "tempering", "ladder": [0.3, 0.6]}),
    "JAX, several temperatures and a ladder": (GLASS, [0.9, 0.4], {"sampler": "tempering", "ladder": [0.2]}),
    "JAX, gradients, burn-in from a pilot": (ScalarField((3,), m2=1.0, lam=0.5), 1.0, {"sampler": "hmc", "burn_in": None}),
    "numba, clusters": (Potts((3, 3), q=3), 0.8, {"sampler": "swendsen_wang"}),
    "numba, tiles": (TILES, 0.8, {"sampler": "tempering", "ladder": [0.4]}),
    "numba, exchanges": (FixedMagnetization(Ising((4, 4)), 0), 0.4, {"sampler": "kawasaki"}),
    "numba, a ladder of exchanges": (FixedMagnetization(Ising((4, 4)), 0), 0.9, {"sampler": "tempering", "ladder": [0.4]}),
    "numba, vectors": (Heisenberg((2, 2)), [0.5, 1.0], {"sampler": "wolff"}),
    "independent": (GLASS, [0.3, 0.7], {"sampler": "exact", "burn_in": None}),
    "Python, a black box": (Known(Ising((2, 3))), 0.5, {"sampler": "metropolis"}),
    "a sampler of a user's own": (FREE, 0.7, {"sampler": Redraw(0.5)}),
}
SIZE = {"draws": 70, "chains": 2, "seed": 4, "burn_in": 10}


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of a few draws, in store and memory."""
    monkeypatch.setattr(growing, "CHUNK", 400)
    monkeypatch.setattr(growing, "_FILE", 200)
    monkeypatch.setattr(independent, "_BLOCK", 1000)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_on_disk_is_the_run_in_memory(name, tmp_path, small_chunks):
    system, beta, given = RUNS[name]
    in_memory = hl.simulate(system, beta, **SIZE | given)
    opened = hl.simulate(system, beta, **SIZE | given, out=tmp_path / "run.zarr")
    assert microstate_data.on_disk(opened) and opened.attrs == in_memory.attrs and os.listdir(tmp_path) == ["run.zarr"]
    assert opened["state"].encoding["chunks"][opened["state"].dims.index("draw")] < SIZE["draws"]
    np.testing.assert_array_equal(opened["state"].values, in_memory["state"].values)
    loaded = hl.microstates(tmp_path / "run.zarr")
    assert loaded.identical(in_memory) and loaded.equals(storage.read_dataset(storage.write_dataset(in_memory, tmp_path / "other.zarr")))


def test_quality_of_a_run_is_that_of_its_states(tmp_path, small_chunks):
    """τ, ESS from the states themselves, by loops of this test: what was found chunk by chunk is the same."""
    system = Ising((4, 4))
    opened = hl.simulate(system, 0.42, draws=400, chains=3, seed=2, sampler="metropolis", burn_in=50, out=tmp_path / "run.zarr")
    energy = np.array([[float(system.energy(one)) for one in chain] for chain in opened["state"].values])
    centred, n = energy - energy.mean(), energy.shape[1]
    covariance = [np.mean(np.sum(centred[:, : n - t] * centred[:, t:], 1)) / (n - t) for t in range(n // 2)]
    tau, window = 1.0, 0
    while window < 5 * tau / 2:
        window += 1
        tau = 1 + 2 * sum(covariance[1 : window + 1]) / covariance[0]
    tau *= 1 + (2 * window + 1) / energy.size
    assert opened.attrs["tau_int"] == pytest.approx(tau, rel=1e-9) and opened.attrs["ess"] == pytest.approx(energy.size / tau, rel=1e-9)


@pytest.mark.parametrize("sampler", ["heat_bath", "exact"])
def test_memory_holds_a_chunk_of_draws_and_no_more(sampler, tmp_path, small_chunks, monkeypatch):
    held, chunk, given = [], loop._chunk, {"sampler": sampler} | ({"burn_in": 5} if sampler == "heat_bath" else {})

    def watched(*arguments):
        state, at = chunk(*arguments)
        held.append((sum(one.nbytes if one.base is None else one.base.nbytes for one in at.held), at.done, "states" in at.kept))
        return state, at

    monkeypatch.setattr(loop, "_chunk", watched)
    monkeypatch.setattr(loop, "_WORK", 1)  # one draw a chunk where chains are stepped
    opened = hl.simulate(GLASS, 0.5, draws=300, chains=4, seed=0, out=tmp_path / "run.zarr", **given)
    assert opened["state"].nbytes == 300 * 36 and max(size for size, *_ in held) < 1000 and len(held) > 10
    assert held[-1][0] == 0 and not any(kept for *_, kept in held)


def test_fields_without_finite_energies_are_refused_on_disk_too(tmp_path):
    class Endless(Known):
        def action(self, states, beta):
            return beta * self.inner.energy(states)

    system = Endless(ScalarField((3,), m2=1.0, lam=0.0), lambda energy: np.full_like(energy, np.inf))
    with pytest.raises(HamlearnError, match="these would be no draws"):
        hl.simulate(system, 1.0, draws=5, chains=1, sampler="metropolis", burn_in=2, out=tmp_path / "run.zarr")
    assert not (tmp_path / "run.zarr").exists()


KILLED = """
    import os, signal, sys
    sys.path[:0] = {path!r}
    from hamlearn.storage import growing
    from hamlearn.systems.sampling import independent, loop
    import hamlearn as hl
    from systems.test_stored_runs import RUNS, SIZE
    growing.CHUNK, growing._FILE, independent._BLOCK, loop._SAVE_EVERY_S, loop._WORK = 400, 200, 1000, 0.0, 1 << 14
    write, calls = growing.GrowingArray.write, []
    def dies(self, first, values):
        calls.append(first)
        if len(calls) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, first, values)
    growing.GrowingArray.write = dies
    system, beta, given = RUNS[{name!r}]
    hl.simulate(system, beta, **SIZE | given | dict(draws=600), out={out!r})
"""


@pytest.mark.parametrize("name", ["JAX, several temperatures", "numba, tiles", "independent", "a sampler of a user's own"])
def test_a_killed_run_goes_on_and_gives_the_same_bits(name, tmp_path, small_chunks, monkeypatch):
    system, beta, given = RUNS[name]
    out, options = str(tmp_path / "run.zarr"), SIZE | given | {"draws": 600}
    path = [os.path.dirname(os.path.dirname(__file__))]
    job = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED.format(path=path, name=name, out=out))], capture_output=True)
    assert job.returncode == -signal.SIGKILL, job.stderr.decode()
    (left,) = os.listdir(tmp_path)
    assert left.startswith("run.zarr.") and left.endswith(".partial")
    monkeypatch.setattr(loop, "_WORK", 1 << 14)
    firsts, write = [], growing.GrowingArray.write
    monkeypatch.setattr(growing.GrowingArray, "write", lambda self, first, values: (firsts.append(first), write(self, first, values))[1])
    opened = hl.simulate(system, beta, **options, out=out)
    assert 0 < firsts[0] < 600 and os.listdir(tmp_path) == ["run.zarr"]
    assert hl.microstates(out).identical(hl.simulate(system, beta, **options)) and opened.attrs["seed"] == 4


def test_what_a_kill_in_the_last_step_left_half_written_is_made_anew(tmp_path, small_chunks, monkeypatch):
    options = SIZE | {"sampler": "heat_bath", "out": tmp_path / "run.zarr"}
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(growing.chunked, "put_in_place", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        hl.simulate(GLASS, [0.3, 0.7], **options)
    (beside,) = tmp_path.glob("run.zarr.*.partial/run.zarr/v-*/beta")
    (beside / ".zattrs").unlink()  # a kill comes between the files of an array, too
    opened = hl.simulate(GLASS, [0.3, 0.7], **options)
    in_memory = hl.simulate(GLASS, [0.3, 0.7], **{name: value for name, value in options.items() if name != "out"})
    np.testing.assert_array_equal(opened["state"].values, in_memory["state"].values)


def test_an_array_that_a_kill_left_half_made_is_made_anew(tmp_path, small_chunks, monkeypatch):
    options = SIZE | {"sampler": "heat_bath", "out": tmp_path / "run.zarr"}
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(growing.GrowingArray, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        killed.setattr("hamlearn.checkpoint.Checkpoint.save", lambda *_, **__: None)
        hl.simulate(GLASS, [0.3, 0.7], **options)
    (state,) = tmp_path.glob("run.zarr.*.partial/run.zarr/v-*/state")
    (state / ".zattrs").unlink()
    opened = hl.simulate(GLASS, [0.3, 0.7], **options)
    assert opened["state"].dims[0] == "beta" and os.listdir(tmp_path) == ["run.zarr"]


def test_a_finished_run_is_answered_at_once_and_another_replaces_it(tmp_path, monkeypatch):
    options = {"draws": 30, "chains": 2, "sampler": "heat_bath", "burn_in": 5, "out": tmp_path / "run.zarr"}
    first = hl.simulate(GLASS, 0.4, seed=1, **options)["state"].values
    run = loop.run
    monkeypatch.setattr(loop, "run", lambda *a, **k: pytest.fail("it was drawn again"))
    np.testing.assert_array_equal(hl.simulate(GLASS, 0.4, seed=1, **options)["state"].values, first)
    monkeypatch.setattr(loop, "run", run)
    second = hl.simulate(GLASS, 0.4, seed=2, **options)["state"].values  # as any result that hamlearn wrote is replaced
    assert not np.array_equal(first, second)
    for seed, wanted in ((1, first), (2, second), (1, first)):
        np.testing.assert_array_equal(hl.simulate(GLASS, 0.4, seed=seed, **options)["state"].values, wanted)


def test_what_was_removed_meanwhile_is_not_read_as_zeros(tmp_path, small_chunks, monkeypatch):
    write = growing.GrowingArray.write

    def loses(self, first, values):
        write(self, first, values)
        if first + values.shape[self.axis] == SIZE["draws"]:
            self._file((0,) * (self.axis + 1)).unlink(missing_ok=True)

    monkeypatch.setattr(growing.GrowingArray, "write", loses)
    with pytest.raises(HamlearnError, match=r"files of .* are gone"):
        hl.simulate(GLASS, 0.4, **SIZE, sampler="heat_bath", out=tmp_path / "run.zarr")


def test_a_full_disk_is_one_line_and_the_run_goes_on_from_there(tmp_path, small_chunks, monkeypatch):
    options = SIZE | {"sampler": "heat_bath", "draws": 400, "out": tmp_path / "run.zarr"}
    write, full = growing.GrowingArray.write, [True]

    def fails(self, first, values):
        if full and first > 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, first, values)

    monkeypatch.setattr(growing.GrowingArray, "write", fails)
    monkeypatch.setattr(loop, "_WORK", 1 << 14)
    with pytest.raises(HamlearnError, match=r"cannot write .*run.zarr: No space left on device.*partial: the same call goes on") as caught:
        hl.simulate(GLASS, 0.4, **options)
    assert "\n" not in str(caught.value)
    full.clear()
    opened = hl.simulate(GLASS, 0.4, **options)
    np.testing.assert_array_equal(opened["state"].values, hl.simulate(GLASS, 0.4, **{**options, "out": None})["state"].values)


def _occupied(folder):
    (folder / "run.zarr").mkdir()
    (folder / "run.zarr" / "mine.txt").write_text("not hamlearn's")
    return folder / "run.zarr"


REFUSED = {
    "another ending": (lambda folder: folder / "run.nc", {}, "must end in .zarr"),
    "no folder": (lambda folder: folder / "none" / "run.zarr", {}, "does not exist"),
    "a folder of somebody else's": (_occupied, {}, "hamlearn did not write"),
    "a number": (lambda folder: 3, {}, "out must be the path"),
    "a checkpoint besides": (lambda folder: folder / "run.zarr", {"checkpoint": "run.npz"}, "leave checkpoint= out"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_a_run_cannot_be_written_is_said_before_it_starts(name, tmp_path, monkeypatch):
    place, given, message = REFUSED[name]
    monkeypatch.setattr(loop, "run", lambda *a, **k: pytest.fail("it was started"))
    with pytest.raises(HamlearnError, match=message):
        hl.simulate(GLASS, 0.4, draws=5, out=place(tmp_path), **given)


def test_two_processes_do_not_write_one_run(tmp_path):
    asked = []

    class Nosy(Redraw):
        def engine(self, system, betas, chains, adapt):
            if not asked:
                asked.append(1)
                with pytest.raises(HamlearnError, match="another process is writing"):
                    hl.simulate(FREE, 0.7, draws=5, sampler=self, out=tmp_path / "run.zarr")
            return super().engine(system, betas, chains, adapt)

    assert hl.simulate(FREE, 0.7, draws=5, sampler=Nosy(), out=tmp_path / "run.zarr").sizes["draw"] == 5 and asked


def test_what_is_on_disk_is_learned_as_what_is_in_memory(tmp_path, small_chunks):
    opened = hl.simulate(GLASS, 0.5, draws=200, chains=2, seed=3, out=tmp_path / "run.zarr")
    model = hl.models.Couplings(GLASS.lattice, fields=None)
    posts = [hl.learn(one, model, engine="laplace", check=False) for one in (opened, opened.load(), tmp_path / "run.zarr")]
    for post in posts[1:]:
        np.testing.assert_array_equal(post["posterior"]["J"], posts[0]["posterior"]["J"])


def test_more_draws_than_memory_holds_may_be_asked_for_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("hamlearn.memory.available", lambda: 100_000)
    with pytest.raises(HamlearnError, match=r"or write it in pieces: out='run.zarr'"):
        hl.simulate(Ising((8, 8)), 0.3, draws=1000, chains=1, sampler="metropolis", burn_in=5)
    monkeypatch.setattr(storage.chunked.memory, "require", lambda *a, **k: None)
    assert hl.simulate(Ising((8, 8)), 0.3, draws=1000, chains=1, sampler="metropolis", burn_in=5, out=tmp_path / "run.zarr").sizes["draw"]
