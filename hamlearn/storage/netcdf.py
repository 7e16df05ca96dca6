"""NetCDF files: made in memory and written as bytes, with a digest at their end that is compared when they are read.

A full disk is then a failed write and not a broken HDF5 library. HDF5 ignores what follows its data, so any program reads
these files. A file that hamlearn wrote says so in ``_NCProperties``, the list of libraries in every NetCDF-4 file: one that
says so and has no digest was cut or changed. Other programs write a list of their own, and so files without a promise.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.storage import hdf5
from hamlearn.storage.writing import failing, write_atomically

_SEAL = re.compile(rb"\nhamlearn sha256 ([0-9a-f]{64})\n")
_SEAL_SIZE = 82
_MARK = "hamlearn=1"
_LIST = "_NCProperties"
_PIECE = 1 << 22
DAMAGED = (
    "its content is not what hamlearn wrote: it was damaged, or changed by another program. Restore a copy. If you changed it "
    "yourself, read it with xarray and write it to a new file."
)


def write(data: xr.Dataset | xr.DataTree, target: Path) -> Path:
    """Write a Dataset or DataTree as one NetCDF file, whole or not at all."""
    with failing(target):
        content = in_memory(data)
    return write_atomically(target, lambda temporary: _put(temporary, content))


def _put(path: Path, content: io.BytesIO) -> None:
    # Lent to no frame that an error would keep: garbage collection closes what is lent, and Python 3.12.1 ends with a segmentation fault.
    with content.getbuffer() as view, open(path, "wb") as file:
        file.write(view)


def in_memory(data: xr.Dataset | xr.DataTree) -> io.BytesIO:
    """A NetCDF file in memory. HDF5 cannot close a file whose disk is full (it ends the interpreter), so it never sees the disk."""
    import h5py

    buffer = io.BytesIO()
    data.to_netcdf(buffer, engine="h5netcdf")
    with h5py.File(buffer, "r+") as file:
        libraries = file.attrs.get(_LIST, b"version=2")
        listed = libraries.decode() if isinstance(libraries, bytes) else str(libraries)
        file.attrs[_LIST] = np.bytes_(f"{listed},{_MARK}")
    with buffer.getbuffer() as view:
        digest = hashlib.sha256(view).hexdigest()
    buffer.seek(0, os.SEEK_END)
    buffer.write(f"\nhamlearn sha256 {digest}\n".encode())
    return buffer


def check(target: Path, *, whole: bool = True, without: tuple[str, ...] = ()) -> None:
    """Raise if a file is not what hamlearn wrote though it says so, leads to other files, or holds more than memory does.

    Parameters are those of :func:`hamlearn.storage.hdf5.inspect`.
    """
    import h5py

    sealed = _sealed(target)
    hdf5.require_finite(target)
    with h5py.File(target, "r") as file:
        libraries = file.attrs.get(_LIST, b"")
        listed = libraries.decode(errors="replace") if isinstance(libraries, bytes) else str(libraries)
        if _MARK in listed.split(",") and not sealed:
            raise HamlearnError(f"cannot read {target}: {DAMAGED}")
        hdf5.inspect(file, target, whole=whole, without=without)


def _sealed(target: Path) -> bool:
    """Whether a file ends in a digest, which is that of its bytes then."""
    with open(target, "rb") as file:
        if file.read(3) == b"CDF":
            raise HamlearnError(f"cannot read {target}: it is an old (classic) NetCDF file; convert it: nccopy -k nc4 old.nc new.nc")
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEAL_SIZE))
        found = _SEAL.fullmatch(file.read())
        if found is None:
            return False
        file.seek(0)
        digest, left = hashlib.sha256(), size - _SEAL_SIZE
        while left > 0 and (piece := file.read(min(_PIECE, left))):
            digest.update(piece)
            left -= len(piece)
        if digest.hexdigest().encode() != found[1]:
            raise HamlearnError(f"cannot read {target}: {DAMAGED}")
        return True
