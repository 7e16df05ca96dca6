"""NetCDF files: made in memory and written as bytes, so that a full disk is a failed write and not a broken HDF5 library."""

from __future__ import annotations

import io
import os
from pathlib import Path

import xarray as xr

from hamlearn.storage.writing import failing, write_atomically


def write(data: xr.Dataset | xr.DataTree, target: Path) -> Path:
    """Write a Dataset or DataTree as one NetCDF file, whole or not at all."""
    with failing(target):
        content = to_bytes(data)

    def put(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    return write_atomically(target, put)


def to_bytes(data: xr.Dataset | xr.DataTree) -> memoryview:
    """The bytes of a NetCDF file. HDF5 cannot close a file whose disk is full (it ends the interpreter), so it never sees the disk."""
    buffer = io.BytesIO()
    data.to_netcdf(buffer, engine="h5netcdf")
    return buffer.getbuffer()
