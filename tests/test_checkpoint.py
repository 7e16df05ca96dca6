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

from hamlearn import checkpoint as module
from hamlearn import storage
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.interrupts import uninterrupted, watched

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
    monkeypatch.setattr(module.memory, "available", lambda: 1 << 8)
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
