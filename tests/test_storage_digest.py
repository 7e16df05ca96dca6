"""What hamlearn wrote is read as it was written, or refused: no damage is read as data."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import storage
from hamlearn.errors import HamlearnError

DATA = hl.microstates(np.random.default_rng(0).choice([-1, 1], size=(300, 6)), beta=0.5)


def accepted(path):
    """What is read, or None where it is refused."""
    try:
        return storage.read_dataset(path)
    except HamlearnError as error:
        assert path.name in str(error)
        return None


def damaged(content, generator):
    """Ways in which bytes are damaged: cut, a bit, a range of zeros, blocks that changed places, bytes added."""
    size = len(content)
    for _ in range(12):
        at, length = int(generator.integers(size)), int(generator.integers(1, 400))
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(generator.integers(8))
        zeroed = bytearray(content)
        zeroed[at : at + length] = bytes(len(zeroed[at : at + length]))
        other = int(generator.integers(max(1, size - length)))
        swapped = bytearray(content)
        one, two = content[at : at + length], content[other : other + length]
        if len(one) == len(two) and abs(at - other) >= length:
            swapped[at : at + length], swapped[other : other + length] = two, one
        yield from (content[:at], bytes(flipped), bytes(zeroed), bytes(swapped), content[:at] + content[at + length :])
    yield content + b"\n"
    yield content + content


def test_no_damaged_netcdf_file_is_accepted(tmp_path):
    path = storage.write_dataset(DATA, tmp_path / "data.nc")
    content = path.read_bytes()
    for variant in damaged(content, np.random.default_rng(1)):
        if variant != content:
            path.write_bytes(variant)
            assert accepted(path) is None
    path.write_bytes(content)
    assert accepted(path).identical(DATA)


def test_no_damaged_zarr_folder_is_accepted_with_other_content(tmp_path):
    path = storage.write_dataset(DATA, tmp_path / "data.zarr")
    files = [file for file in path.rglob("*") if file.is_file()]
    generator, refused = np.random.default_rng(2), 0
    for file in files:
        content = file.read_bytes()
        for variant in [*list(damaged(content, generator))[:7], None]:
            file.unlink() if variant is None else file.write_bytes(variant)
            found = accepted(path)
            assert found is None or found.identical(DATA)  # nothing is wrong where the file is not needed, or did not change
            refused += found is None
        file.write_bytes(content)
    assert refused > 6 * len(files)
    assert accepted(path).identical(DATA)


def test_a_digest_that_was_cut_off_is_missed(tmp_path):
    path = storage.write_dataset(DATA, tmp_path / "data.nc")
    path.write_bytes(path.read_bytes()[:-82])
    with pytest.raises(HamlearnError, match=r"data\.nc: its content is not what hamlearn wrote: .*Restore a copy\. If you changed it"):
        storage.read_dataset(path)
    with h5py.File(path) as file:  # HDF5 itself has no complaint
        assert file["state"].shape == (1, 300, 6)


def test_a_file_that_was_changed_in_place_is_refused_and_one_that_was_written_anew_is_not(tmp_path):
    path = storage.write_dataset(DATA, tmp_path / "data.nc")
    with warnings.catch_warnings(), xr.open_dataset(path, engine="h5netcdf") as opened:  # other programs read it as it is
        copy = opened.load()
    assert copy.identical(DATA)
    copy["state"][0, 0, 0] *= -1
    copy.to_netcdf(tmp_path / "copy.nc", engine="h5netcdf")
    assert accepted(tmp_path / "copy.nc").identical(copy)
    with h5py.File(path, "r+") as file:
        file["state"][0, 0, 0] *= -1
    with pytest.raises(HamlearnError, match="not what hamlearn wrote"):
        storage.read_dataset(path)


def test_a_chunk_that_is_gone_is_not_read_as_fill_values(tmp_path):
    path = storage.write_dataset(DATA, tmp_path / "data.zarr")
    chunk = next(path.glob("v-*/state/0.0.0"))
    with contextlib.closing(storage.open_dataset(path)) as opened:
        chunk.unlink()
        with pytest.raises(HamlearnError, match="files of it are missing"):
            opened["state"].load()
    with pytest.raises(HamlearnError, match="files of it are missing"):
        hl.microstates(path)


def test_what_other_programs_wrote_is_read_without_a_promise(tmp_path):
    DATA.to_netcdf(tmp_path / "foreign.nc", engine="h5netcdf")
    DATA.to_zarr(tmp_path / "two.zarr", zarr_format=2, consolidated=False)
    for name in ("foreign.nc", "two.zarr"):
        assert accepted(tmp_path / name).identical(DATA)
    code = (  # with the third format zarr warns of what xarray asks it for
        "import sys, warnings; warnings.simplefilter('ignore'); import xarray as xr; "
        "xr.open_dataset(sys.argv[1], engine='h5netcdf').load().to_zarr(sys.argv[2], zarr_format=3)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "foreign.nc"), str(tmp_path / "three.zarr")], check=True)
    assert accepted(tmp_path / "three.zarr").equals(DATA)
    (tmp_path / "three.zarr" / "state" / "zarr.json").write_text("{")
    assert accepted(tmp_path / "three.zarr") is None
