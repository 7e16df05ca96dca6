"""Files are written whole or not at all: nothing is lost when the disk, the folder or the program fails."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from hamlearn import storage
from hamlearn.errors import HamlearnError
from hamlearn.storage import writing

OLD, NEW = (xr.Dataset({"x": ("a", np.full(4, value))}) for value in (1.0, 2.0))
TREE = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"note": "root"}), "posterior": NEW, "point": OLD})
ENDINGS = (".nc", ".zarr")
every_ending = pytest.mark.parametrize("ending", ENDINGS)


def contents(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def value_in(path):
    return storage.read_tree(path)["x"].values.tolist()


@every_ending
def test_written_and_read_again(tmp_path, ending):
    path = tmp_path / f"data{ending}"
    assert storage.write_dataset(NEW, str(path)) == path
    assert value_in(path) == [2.0] * 4
    assert contents(tmp_path) == [path.name]


@every_ending
def test_trees_keep_their_groups_and_attributes(tmp_path, ending):
    back = storage.read_tree(storage.write_dataset(TREE, tmp_path / f"tree{ending}"))
    assert back.equals(TREE) and back.attrs == TREE.attrs
    assert set(back.children) == {"posterior", "point"}


@every_ending
def test_an_existing_file_is_replaced(tmp_path, ending):
    path = tmp_path / f"data{ending}"
    storage.write_dataset(OLD, path)
    storage.write_dataset(NEW, path)
    assert value_in(path) == [2.0] * 4
    assert contents(tmp_path) == [path.name]


def half_written(error):
    """A write that leaves half a file behind and fails."""

    def write(self, path, **_):
        if isinstance(path, io.BytesIO):  # a NetCDF file is made in memory
            path.write(b"half")
        else:
            Path(path).mkdir()
            (Path(path) / ".zgroup").write_bytes(b"half")
        raise error

    return write


FAILURES = {
    "full disk": (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        HamlearnError,
        "No space left on device.*The result in memory is intact",
    ),
    "quota": (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), HamlearnError, "result in memory is intact"),
    "nameless": (OSError("HDF5 cannot write"), HamlearnError, "HDF5 cannot write"),
    "a bug": (RuntimeError("unexpected"), RuntimeError, "unexpected"),
    "interrupted": (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
}


@every_ending
@pytest.mark.parametrize("existing", [True, False], ids=["existing file", "no file"])
@pytest.mark.parametrize(("error", "raised", "message"), FAILURES.values(), ids=FAILURES)
def test_a_write_that_fails_midway_leaves_things_as_they_were(tmp_path, monkeypatch, ending, existing, error, raised, message):
    path = tmp_path / f"data{ending}"
    if existing:
        storage.write_dataset(OLD, path)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_netcdf", half_written(error))
        patch.setattr(xr.Dataset, "to_zarr", half_written(error))
        with pytest.raises(raised, match=message):
            storage.write_dataset(NEW, path)
    assert contents(tmp_path) == before, "no partial file, no temporary folder"
    if existing:
        assert value_in(path) == [1.0] * 4
    storage.write_dataset(NEW, path)
    assert value_in(path) == [2.0] * 4, "the result in memory survived and can be saved"


@every_ending
def test_a_failing_move_keeps_the_old_file(tmp_path, monkeypatch, ending):
    path = tmp_path / f"data{ending}"
    storage.write_dataset(OLD, path)
    before = sorted(tmp_path.rglob("*"))

    replace, refusals = os.replace, iter([OSError(errno.EIO, "Input/output error")])

    def refuse_once(source, target, **options):
        if Path(target) in (path, path / "hamlearn.json") and (error := next(refusals, None)):
            raise error
        replace(source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse_once)
        with pytest.raises(HamlearnError, match="Input/output error"):
            storage.write_dataset(NEW, path)
    assert value_in(path) == [1.0] * 4
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(HamlearnError, match=f"the folder {tmp_path}/nowhere does not exist"):
        storage.write_dataset(NEW, tmp_path / "nowhere" / "data.nc")


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HamlearnError, match="file is a file, not a folder"):
        storage.write_dataset(NEW, tmp_path / "file" / "data.nc")


def test_an_unwritable_folder_is_named(tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal of the operating system is simulated."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(writing.tempfile, "mkdtemp", refuse)
    with pytest.raises(
        HamlearnError, match=r"cannot write .*data\.nc: Permission denied\. The result in memory is intact: save it elsewhere"
    ):
        storage.write_dataset(NEW, tmp_path / "data.nc")


@pytest.mark.parametrize("name", ["data", "data.csv", "data.nc.gz"])
def test_unknown_endings_are_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(HamlearnError, match=r"results are written as \.nc .* or \.zarr"):
        storage.write_dataset(NEW, tmp_path / name)
    assert contents(tmp_path) == []


@pytest.mark.parametrize("name", ["a.nc", "b.zarr"])
def test_reading_what_is_not_there_or_broken(tmp_path, name):
    with pytest.raises(HamlearnError, match=f"no such file: {tmp_path / name}"):
        storage.read_tree(tmp_path / name)
    (tmp_path / name).write_bytes(b"not a file of this kind")
    with pytest.raises(HamlearnError, match="cannot read"):
        storage.read_tree(tmp_path / name)


def test_files_have_the_permissions_of_the_user(tmp_path):
    path = storage.write_dataset(NEW, tmp_path / "data.nc")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    folder = storage.write_dataset(NEW, tmp_path / "data.zarr")
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask


# ------------------------------------------------------------------- the real thing: disks, permissions, other processes


def alone(code, *arguments, prefix=()):
    """Run Python code in a process of its own; its output, and its exit code as the last line."""
    result = subprocess.run([*prefix, sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    return f"{result.stdout}{result.stderr[-2000:]}\nexit {result.returncode}"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 40 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or not mount or not umount:
        pytest.skip("mounting a small file system needs root")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    yield disk
    subprocess.run([umount, str(disk)], check=True)


FULL = """
import sys, numpy as np, xarray as xr
from hamlearn import storage
from hamlearn.errors import HamlearnError
data = xr.Dataset({"x": ("a", np.random.default_rng(0).normal(size=20_000))})
for place in sys.argv[1:3]:
    try:
        storage.write_dataset(data, place)
        print("written")
    except HamlearnError as error:
        print(error)
storage.write_dataset(data, sys.argv[3])
print(storage.read_dataset(sys.argv[3]).identical(data), storage.read_dataset(sys.argv[4]).sizes["a"])
"""


def test_a_full_disk_is_an_error_and_nothing_is_lost(small_disk, tmp_path):
    """HDF5 itself ends the interpreter with a segmentation fault when it cannot flush a file."""
    storage.write_dataset(NEW, small_disk / "small.nc")
    out = alone(FULL, small_disk / "large.nc", small_disk / "small.zarr", tmp_path / "elsewhere.nc", small_disk / "small.nc")
    assert out.count("No space left on device. The result in memory is intact: save it elsewhere.") == 2, out
    assert out.endswith("True 4\n\nexit 0"), out
    assert contents(small_disk) == ["small.nc"]


def test_a_full_disk_is_noticed_before_the_work(small_disk):
    (small_disk / "filler").write_bytes(bytes(36_000))
    with pytest.raises(HamlearnError, match=r"cannot write .*: No space left on device\. Nothing was started"):
        storage.require_writable(small_disk / "data.nc", ENDINGS)
    assert contents(small_disk) == ["filler"]


def test_a_read_only_disk_is_noticed_before_the_work(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(HamlearnError, match="Read-only file system"):
        storage.require_writable(small_disk / "data.nc", ENDINGS)


AS_ANYBODY = """
import sys
from hamlearn import storage
from hamlearn.errors import HamlearnError
import numpy as np, xarray as xr
data = xr.Dataset({"x": ("a", np.zeros(4))})
for place in sys.argv[1:]:
    for attempt in (lambda: storage.require_writable(place, (".nc", ".zarr")), lambda: storage.write_dataset(data, place)):
        try:
            attempt()
            print("written")
        except HamlearnError as error:
            print(error)
"""


def test_missing_permissions_are_named_before_and_after_the_work():
    """Root may write anywhere, so it is tried by a user who may not."""
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("becoming another user needs setpriv")
    anybody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups") if os.geteuid() == 0 else ()
    if anybody and "exit 0" not in alone("import hamlearn.storage", prefix=anybody):
        pytest.skip("another user cannot read the installed packages here")
    with tempfile.TemporaryDirectory() as folder:  # what pytest makes is closed to other users
        closed = Path(folder)
        closed.chmod(0o555)
        out = alone(AS_ANYBODY, closed / "data.nc", closed / "data.zarr", prefix=anybody)
    assert out.count("Permission denied. Nothing was started: name another place.") == 2, out
    assert out.count("Permission denied. The result in memory is intact: save it elsewhere.") == 2, out


def test_what_stands_in_the_way_is_noticed_before_the_work(tmp_path):
    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "file.zarr").write_text("")
    for name, said in {
        "folder.nc": "it is a folder, and a .nc result is one file",
        "file.zarr": "it is a file, and a .zarr result is a folder",
        "x" * 250 + ".nc": "its name has 253 bytes; at most 240 fit",
        "é" * 120 + ".nc": "its name has 243 bytes",
        "nowhere/data.nc": "the folder .* does not exist",
        "file.zarr/data.nc": "file.zarr is a file, not a folder",
        "y" * 300 + "/data.nc": "File name too long",
        "nul\0/data.nc": "null",
    }.items():
        with pytest.raises(HamlearnError, match=said):
            storage.require_writable(tmp_path / name, ENDINGS)
        if "bytes" not in said:
            with pytest.raises(HamlearnError, match=said):
                storage.write_dataset(NEW, tmp_path / name)
    assert contents(tmp_path) == ["file.zarr", "folder.nc"]


@every_ending
def test_asking_whether_a_place_can_be_written_leaves_it_as_it_is(tmp_path, ending):
    storage.require_writable(tmp_path / f"new{ending}", ENDINGS)
    assert contents(tmp_path) == []
    path = storage.write_dataset(OLD, tmp_path / f"old{ending}")
    before = sorted(str(file) for file in tmp_path.rglob("*"))
    storage.require_writable(path, ENDINGS)
    assert sorted(str(file) for file in tmp_path.rglob("*")) == before and value_in(path) == [1.0] * 4


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 237 + ".nc")
    storage.require_writable(path, ENDINGS)
    assert value_in(storage.write_dataset(NEW, path)) == [2.0] * 4
    storage.write_atomically(tmp_path / (path.name + ".checkpoint.npz"), lambda temporary: temporary.write_text("x"))


def test_what_a_file_cannot_hold_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(HamlearnError, match=r"cannot write .*bad\.nc: it holds what such a file cannot"):
        storage.write_dataset(xr.Dataset(attrs={"nested": {"a": 1}}), tmp_path / "bad.nc")
    assert contents(tmp_path) == []


STUCK = """
import sys, time
from pathlib import Path
from hamlearn import storage
def write(temporary):
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
storage.write_atomically(Path(sys.argv[1]), write)
"""


def test_what_killed_writers_left_is_removed_and_what_living_ones_use_is_not(tmp_path):
    path, kin = tmp_path / "data.nc", tmp_path / "other.nc"
    start = lambda target: subprocess.Popen([sys.executable, "-c", STUCK, str(target)], stdout=subprocess.PIPE)
    writers = [start(path), start(path), start(kin)]
    try:
        assert all(writer.stdout.readline() == b"writing\n" for writer in writers)
        for writer in (writers[0], writers[2]):
            writer.kill()
            writer.wait()
        assert sum(name.startswith(".data.nc.hamlearn-") for name in contents(tmp_path)) == 2
        foreign = [tmp_path / name for name in (".data.nc.abcdefgh", ".data.nc.hamlearn-x", ".data.nc.hamlearn-ABCDEFGH")]
        for folder in foreign:
            folder.mkdir()
        file = tmp_path / ".data.nc.hamlearn-abcdefgh"
        file.write_text("a file, and so not ours")
        storage.write_dataset(NEW, path)
        left = set(contents(tmp_path)) - {path.name, file.name, *(folder.name for folder in foreign)}
        assert sum(name.startswith(".data.nc.hamlearn-") for name in left) == 1, "the living writer's"
        assert sum(name.startswith(".other.nc.hamlearn-") for name in left) == 1, "another target's: not looked at"
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()


def test_bytes_reach_the_disk_before_the_name_does(tmp_path, monkeypatch):
    """The order of what the operating system is asked for: every file and folder synced, then the move, then its folder."""
    asked = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (asked.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (asked.append(f"move {Path(b).name}"), replace(a, b))[1])
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("what is synced is read from /proc")
    storage.write_dataset(NEW, tmp_path / "data.nc")
    at = asked.index("move data.nc")
    assert any(name.endswith("/data.nc") for name in asked[:at]) and asked[-1] == str(tmp_path)


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_an_interrupt_in_python_waits_until_the_result_is_whole(tmp_path, monkeypatch, ending):
    import signal

    real = xr.Dataset.to_netcdf if ending == ".nc" else xr.Dataset.to_zarr

    def interrupted(self, *arguments, **options):
        signal.raise_signal(signal.SIGINT)
        return real(self, *arguments, **options)

    data = xr.Dataset({"x": ("a", [1.0, 2.0])})
    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_netcdf" if ending == ".nc" else "to_zarr", interrupted)
        with pytest.raises(KeyboardInterrupt):
            storage.write_dataset(data, tmp_path / f"data{ending}")
    assert storage.read_dataset(tmp_path / f"data{ending}").equals(data)
