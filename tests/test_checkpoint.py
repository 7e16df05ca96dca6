"""Files from which a run continues: only its own, only whole ones, and never at the price of the run."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import zipfile

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import checkpoint as module
from hamlearn import storage
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.interrupts import uninterrupted, watched
from hamlearn.storage import archive

REQUEST = {"seed": "1", "system": "x" * 5000}
ARRAYS = {
    "states": np.arange(12, dtype=np.int8).reshape(3, 4),
    "empty": np.zeros((0, 3)),
    "file": np.asarray(2.5),  # a name that np.savez keeps for itself
    "a/b": np.asarray("text"),
    "flags": np.array([True, False]),
}


def same(found):
    return found is not None and set(found) == set(ARRAYS) and all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)


def saved(path, request=REQUEST, of="simulation"):
    one = Checkpoint(path, request, of)
    one.save(ARRAYS)
    return one


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_what_is_saved_comes_back_and_is_removed(tmp_path, caplog):
    path = tmp_path / "run.npz"
    assert Checkpoint(path, REQUEST, "simulation").load() is None
    one = saved(path)
    assert same(Checkpoint(path, REQUEST, "simulation").load()) and one.holds()
    assert [name.name for name in tmp_path.iterdir()] == ["run.npz"]
    with np.load(path, allow_pickle=False) as plain:  # NumPy reads it too
        assert json.loads(str(plain["checkpoint"]))["of"] == "simulation"
    one.remove()
    assert not list(tmp_path.iterdir()) and not one.holds() and not warnings_of(caplog)


@pytest.mark.parametrize(
    ("request_", "of", "told"),
    [
        ({**REQUEST, "seed": "2"}, "simulation", "another simulation (seed: 1, here 2)"),
        ({**REQUEST, "system": "x" * 4999 + "y"}, "simulation", "another simulation (system: xxx"),
        (REQUEST, "training", "checkpoint of a simulation, not of a training"),
    ],
)
def test_the_checkpoint_of_another_run_is_left_alone_and_this_one_goes_on_beside_it(request_, of, told, tmp_path, caplog):
    path = tmp_path / "run.npz"
    first = saved(path)
    before = path.read_bytes()
    other = Checkpoint(path, request_, of)
    assert other.load() is None
    assert told in warnings_of(caplog)[0] and str(other.sibling) in warnings_of(caplog)[0]
    other.save({"states": np.ones(2)})
    assert path.read_bytes() == before and other.fingerprint[:12] in other.sibling.name
    again = Checkpoint(path, request_, of)  # a repeated call finds it, whether the first run is still there …
    assert np.array_equal(again.load()["states"], np.ones(2))
    first.remove()
    last = Checkpoint(path, request_, of)  # … or has finished
    assert np.array_equal(last.load()["states"], np.ones(2))
    last.remove()
    assert not list(tmp_path.iterdir())


def test_a_run_that_comes_in_between_is_not_written_over(tmp_path, caplog):
    path = tmp_path / "run.npz"
    one, two = Checkpoint(path, REQUEST, "simulation"), Checkpoint(path, {**REQUEST, "seed": "2"}, "simulation")
    assert one.load() is None and two.load() is None
    one.save(ARRAYS)
    two.save({"states": np.ones(2)})
    assert same(Checkpoint(path, REQUEST, "simulation").load())
    assert len(warnings_of(caplog)) == 1 and two.sibling.exists()


def damaged_copies(whole: bytes) -> dict[str, bytes]:
    generator = np.random.default_rng(0)
    found = {f"cut at {k}": whole[:k] for k in (0, 10, len(whole) // 2, len(whole) - 1)}
    for k in generator.integers(0, len(whole), 60).tolist():
        found[f"bit of {k}"] = whole[:k] + bytes([whole[k] ^ (1 << int(generator.integers(8)))]) + whole[k + 1 :]
    middle = len(whole) // 2
    found["zeros"] = whole[:middle] + bytes(64) + whole[middle + 64 :]
    found["noise"] = generator.bytes(500)
    return found


def test_the_checkpoint_of_a_run_that_came_in_between_is_not_removed(tmp_path):
    mine = saved(tmp_path / "run.npz")
    os.replace(saved(tmp_path / "other.npz", {"seed": "2"}).path, tmp_path / "run.npz")
    mine.remove()
    assert same(Checkpoint(tmp_path / "run.npz", {"seed": "2"}, "simulation").load())


def test_a_checkpoint_that_memory_cannot_hold_is_left_alone(tmp_path, monkeypatch):
    saved(tmp_path / "run.npz")
    monkeypatch.setattr(archive.memory, "available", lambda: 1 << 8)
    assert Checkpoint(tmp_path / "run.npz", REQUEST, "simulation").load() is None
    assert (tmp_path / "run.npz").exists()


def test_a_damaged_checkpoint_is_never_continued_from(tmp_path, caplog):
    path = tmp_path / "run.npz"
    saved(path)
    whole, refused = path.read_bytes(), 0
    for name, content in damaged_copies(whole).items():
        path.write_bytes(content)
        found = Checkpoint(path, REQUEST, "simulation").load()
        assert found is None or same(found), name  # a flipped bit of a time stamp changes nothing that is read
        refused += found is None
    assert refused > 40 and len(warnings_of(caplog)) == refused


def rewritten(path, **changes):
    """A checkpoint whose members were exchanged by somebody who knows zip files."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, array in changes.items():
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.asarray(array))
        members[f"{name}.npy"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


HOSTILE = {
    "another array": (lambda path: rewritten(path, states=np.zeros((3, 4), np.int8)), "does not match its digest"),
    "one array more": (lambda path: rewritten(path, more=1), "does not match its digest"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "no ordinary file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "no ordinary file"),
    "a loop of links": (lambda path: (path.unlink(), path.symlink_to(path)), "no ordinary file"),
    "no header": (lambda path: np.savez(path, states=1), "no header"),
    "a header that is a list": (lambda path: rewritten(path, checkpoint=np.asarray("[]")), "header is incomplete"),
    "a header that is no JSON": (lambda path: rewritten(path, checkpoint=np.asarray("{")), "no checkpoint"),
    "numbers for names": (lambda path: np.savez(path, checkpoint=3), "no checkpoint"),
    "compressed": (lambda path: np.savez_compressed(path, checkpoint=np.zeros(10**6)), "compressed"),
    "pickled": (lambda path: np.savez(path, checkpoint=np.array([{}], object)), "no checkpoint"),
    "of 0.1.0": (lambda path: np.savez(path, fingerprint="x", plain="{}"), r"hamlearn 0\.1\.0"),
    "a training of 0.1.0": (lambda path: np.savez(path, request="{}", history="{}"), r"hamlearn 0\.1\.0"),
    "a later format": (
        lambda path: rewritten(path, checkpoint=json.dumps({"format": 9, "of": "simulation", "request": {}, "digest": ""})),
        "another version",
    ),
    "an earlier format": (
        lambda path: rewritten(path, checkpoint=json.dumps({"format": 2, "of": "simulation", "request": {}, "digest": ""})),
        "another version",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checkpoint_is_left_alone(name, tmp_path, caplog):
    path = tmp_path / "run.npz"
    saved(path)
    make, told = HOSTILE[name]
    make(path)
    one = Checkpoint(path, REQUEST, "simulation")
    assert one.load() is None and one.at == one.sibling
    import re

    assert re.search(told, warnings_of(caplog)[0])
    one.save(ARRAYS)
    assert same(Checkpoint(path, REQUEST, "simulation").load())


def test_a_header_that_claims_more_than_is_there_allocates_nothing(tmp_path, caplog):
    path = tmp_path / "run.npz"
    saved(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|i1", "fortran_order": False, "shape": (10**13,)})
    members["states.npy"] = buffer.getvalue() + b"abc"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert Checkpoint(path, REQUEST, "simulation").load() is None
    assert "not of the size that it claims" in warnings_of(caplog)[0]


def test_a_checkpoint_that_cannot_be_saved_is_told_once_and_the_run_goes_on(tmp_path, monkeypatch, caplog):
    path = tmp_path / "run.npz"
    one = saved(path)

    def full(*_):
        raise HamlearnError("cannot write: No space left on device.")

    monkeypatch.setattr(storage, "write_atomically", full)
    one.save({"states": np.ones(2)})
    one.save({"states": np.ones(2)})
    assert len(warnings_of(caplog)) == 1 and "No space left" in warnings_of(caplog)[0]
    assert same(Checkpoint(path, REQUEST, "simulation").load())


def test_a_folder_that_is_missing_is_said_before_the_work(tmp_path):
    with pytest.raises(HamlearnError, match="folder does not exist"):
        Checkpoint(tmp_path / "no" / "run.npz", REQUEST, "simulation")


def test_arrays_of_which_nothing_can_be_made_are_left_alone(tmp_path, caplog):
    path = tmp_path / "run.npz"
    saved(path)
    one = Checkpoint(path, REQUEST, "simulation")
    assert one.restore(lambda arrays: arrays["missing"]) is None
    assert one.at == one.sibling and "missing" in warnings_of(caplog)[0]


def test_a_long_name_has_a_sibling_that_a_file_system_takes(tmp_path):
    path = tmp_path / ("é" * 118 + ".npz")
    saved(path)
    other = saved(path, {**REQUEST, "seed": "2"})
    assert other.sibling.exists() and len(os.fsencode(other.sibling.name)) <= 240
    assert other.sibling.name.encode()  # no half characters, which no log could print


def test_what_a_kill_left_goes_with_the_checkpoint_although_nothing_is_written_again(tmp_path):
    one = saved(tmp_path / "run.npz")
    (left := tmp_path / ".run.npz.hamlearn-abcd1234").mkdir()  # made, moved from, and killed before it was removed
    (other := tmp_path / ".run.npz.hamlearn-of-somebody-else").mkdir()
    one.remove()
    assert list(tmp_path.iterdir()) == [other] and not left.exists()


def test_a_name_that_no_file_system_takes_is_said_before_the_work(tmp_path):
    with pytest.raises(HamlearnError, match="File name too long"):
        Checkpoint(tmp_path / ("x" * 300), REQUEST, "simulation")


def test_whoever_watches_sees_the_checkpoints_in_use(tmp_path):
    with watched() as seen:
        one = saved(tmp_path / "run.npz")
    Checkpoint(tmp_path / "other.npz", REQUEST, "simulation")
    assert seen == [one]


def test_a_signal_waits_until_a_file_is_whole(tmp_path, monkeypatch):
    path, whole = tmp_path / "run.npz", storage.write_atomically

    def interrupted(target, write):
        signal.raise_signal(signal.SIGINT)
        return whole(target, write)

    monkeypatch.setattr(storage, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saved(path)
    monkeypatch.undo()
    assert same(Checkpoint(path, REQUEST, "simulation").load())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_third_signal_is_heard_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        for number in range(3):
            done.append(number)
            signal.raise_signal(signal.SIGINT)
        done.append("never")
    assert done == [0, 1, 2] and module.uninterrupted is uninterrupted


# -- what only grows ------------------------------------------------------------------------------------------------------

PIECES = [np.arange(40 * k, 40 * (k + 1), dtype=np.int16).reshape(4, 10) for k in range(6)]


def grown(path, count, request=REQUEST):
    """A checkpoint of so many saves, each of one piece more; the size of the file after each."""
    one, sizes = Checkpoint(path, request, "simulation"), []
    for k in range(1, count + 1):
        one.save({"state": np.asarray(k)}, {"draws": PIECES[:k]})
        sizes.append(path.stat().st_size)
    return one, sizes


def reached(found):
    """How many saves of :func:`grown` a checkpoint holds; None if it holds anything else."""
    if found is None:
        return 0
    k = int(found["state"])
    whole = set(found) == {"state", "draws"} and np.array_equal(np.concatenate(found["draws"]), np.concatenate(PIECES[:k]))
    return k if whole else None


def test_what_only_grows_is_added_and_comes_back_in_order(tmp_path):
    path = tmp_path / "run.npz"
    one, _ = grown(path, 4)
    inode = path.stat().st_ino
    again = Checkpoint(path, REQUEST, "simulation")
    assert reached(again.load()) == 4
    again.save({"state": np.asarray(6)}, {"draws": [*again.load()["draws"], *PIECES[4:]]})  # two pieces at once, by another process
    assert path.stat().st_ino == inode and reached(Checkpoint(path, REQUEST, "simulation").load()) == 6
    with np.load(path, allow_pickle=False) as plain:  # NumPy reads it too, the last state alone
        assert int(plain["state"]) == 6 and len([name for name in plain.files if name.startswith("draws")]) == 5
    one.save({"state": np.asarray(5)}, {"draws": PIECES[:5]})  # the first one sees that the file is not as it left it
    assert reached(Checkpoint(path, REQUEST, "simulation").load()) == 5


def test_nothing_that_was_saved_is_touched_and_a_save_costs_what_is_new(tmp_path):
    path = tmp_path / "run.npz"
    one, size, before = Checkpoint(path, REQUEST, "simulation"), 50_000, b""
    pieces = [np.full(size, k, np.int8) for k in range(40)]
    for k in range(1, 41):
        one.save({"state": np.full(100, k)}, {"draws": pieces[:k]})
        content = path.read_bytes()
        assert content.startswith(before) and len(content) - len(before) < 1.2 * size
        before = content
    assert np.array_equal(np.concatenate(Checkpoint(path, REQUEST, "simulation").load()["draws"]), np.concatenate(pieces))


def test_dead_space_does_not_pile_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LEAST_DEAD", 1000)
    one, written, last = Checkpoint(tmp_path / "run.npz", REQUEST, "simulation"), 0, None
    for k in range(200):
        one.save({"state": np.full(5000, k % 100, np.int8)}, {"draws": [np.zeros(1)]})
        now = (tmp_path / "run.npz").stat()
        written += now.st_size - (last.st_size if last is not None and last.st_ino == now.st_ino and last.st_size < now.st_size else 0)
        assert now.st_size < 40_000
        last = now
    assert written < 200 * 2 * 15_000


@pytest.mark.parametrize("left", ["nothing", "zeros", "noise"])
def test_a_kill_while_it_is_added_leaves_the_save_before(tmp_path, left):
    """Cut at every few bytes between two saves, and what was torn left as it is, zeroed, or noise longer than a zip file's tail."""
    path = tmp_path / "run.npz"
    _, sizes = grown(path, 4)
    whole = path.read_bytes()
    tail = {"nothing": b"", "zeros": bytes(100_000), "noise": np.random.default_rng(0).bytes(100_000)}[left]
    for cut in range(sizes[2] + 1, sizes[3], 97):
        path.write_bytes(whole[:cut] + tail)
        one = Checkpoint(path, REQUEST, "simulation")
        assert reached(one.load()) == 3 and one.at == path
        one.save({"state": np.asarray(4)}, {"draws": PIECES[:4]})
        assert reached(Checkpoint(path, REQUEST, "simulation").load()) == 4


def test_what_is_damaged_at_its_end_is_continued_from_before_it_and_said(tmp_path, caplog):
    path = tmp_path / "run.npz"
    grown(path, 4)
    whole = bytearray(path.read_bytes())
    at = whole.index(PIECES[3].tobytes())
    whole[at + 3] ^= 4
    path.write_bytes(whole)
    assert reached(Checkpoint(path, REQUEST, "simulation").load()) == 3
    assert "the save before it is whole" in warnings_of(caplog)[0]
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(whole), 60).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert reached(Checkpoint(path, REQUEST, "simulation").load()) is not None


def test_a_full_disk_leaves_what_was_saved(tmp_path, monkeypatch, caplog):
    path = tmp_path / "run.npz"
    one, _ = grown(path, 3)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive.os, "fsync", full)
        one.save({"state": np.asarray(4)}, {"draws": PIECES[:4]})
    assert "No space left" in warnings_of(caplog)[0] and reached(Checkpoint(path, REQUEST, "simulation").load()) == 3
    one.save({"state": np.asarray(5)}, {"draws": PIECES[:5]})
    assert reached(Checkpoint(path, REQUEST, "simulation").load()) == 5


def test_a_foreign_file_in_its_place_is_not_added_to(tmp_path):
    path = tmp_path / "run.npz"
    one, _ = grown(path, 3)
    grown(tmp_path / "other.npz", 3, {**REQUEST, "seed": "2"})
    os.replace(tmp_path / "other.npz", path)
    before = path.read_bytes()
    one.save({"state": np.asarray(4)}, {"draws": PIECES[:4]})
    assert path.read_bytes() == before and one.at == one.sibling and reached(Checkpoint(one.sibling, REQUEST, "simulation").load()) == 4


def test_a_long_simulation_writes_its_draws_once(tmp_path, monkeypatch):
    """A save after each of many chunks: bytes written grow with the draws, not with their square, and a resumed run is the same."""
    from hamlearn.systems.sampling import loop

    monkeypatch.setattr(loop, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "_WORK", 1 << 14)
    system, options = hl.systems.Ising((8, 8)), {"beta": 0.3, "chains": 4, "seed": 3, "sampler": "heat_bath", "burn_in": 10}
    path, kept, written, saves = tmp_path / "run.npz", Checkpoint.save, [], []

    def save(self, *arguments):
        before = (path.stat().st_size, path.stat().st_ino) if path.exists() else (0, 0)
        kept(self, *arguments)
        now = path.stat()
        written.append(now.st_size - before[0] if now.st_ino == before[1] and now.st_size > before[0] else now.st_size)
        saves.append(1)
        if len(saves) == 40 and draws == 4000:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save)
    totals = []
    for draws in (1000, 2000, 4000):
        if draws == 4000:  # interrupted in between, and continued
            with pytest.raises(KeyboardInterrupt):
                hl.simulate(system, **options, draws=draws, checkpoint=path)
        found = hl.simulate(system, **options, draws=draws, checkpoint=path)
        totals.append(sum(written))
        assert len(saves) > 15 and totals[-1] < 2.5 * found["state"].nbytes + 5000 * len(saves)
        path.unlink()
        written.clear(), saves.clear()
    assert totals[2] < 2.2 * totals[1] < 2.2**2 * totals[0]
    assert found.identical(hl.simulate(system, **options, draws=4000))
