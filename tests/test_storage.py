"""Files are written whole or not at all: nothing is lost when the disk, the folder or the program fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from hamlearn import storage
from hamlearn.errors import HamlearnError

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
        target = Path(path)
        if target.suffix == ".zarr":
            target.mkdir()
            target = target / "zarr.json"
        target.write_bytes(b"half")
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

    replace, refusals = os.replace, iter([OSError(errno.EIO, "Input/output error")])

    def refuse_once(source, target, **options):
        if Path(target) == path and (error := next(refusals, None)):
            raise error
        replace(source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse_once)
        with pytest.raises(HamlearnError, match="Input/output error"):
            storage.write_dataset(NEW, path)
    assert value_in(path) == [1.0] * 4
    assert contents(tmp_path) == [path.name]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(HamlearnError, match=f"the folder {tmp_path}/nowhere does not exist"):
        storage.write_dataset(NEW, tmp_path / "nowhere" / "data.nc")


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HamlearnError, match="does not exist"):
        storage.write_dataset(NEW, tmp_path / "file" / "data.nc")


def test_an_unwritable_folder_is_named(tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal of the operating system is simulated."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(storage.tempfile, "mkdtemp", refuse)
    with pytest.raises(
        HamlearnError, match=r"cannot write .*data\.nc: Permission denied\. The result in memory is intact: save it elsewhere"
    ):
        storage.write_dataset(NEW, tmp_path / "data.nc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(HamlearnError, match="Permission denied"):
            storage.write_dataset(NEW, tmp_path / "data.nc")
    finally:
        tmp_path.chmod(0o700)


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
