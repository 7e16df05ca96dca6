"""Writing of results: what to do with which ending."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.interrupts import uninterrupted
from hamlearn.storage import chunked, netcdf
from hamlearn.storage.writing import require_kind


def write_dataset(data: xr.Dataset | xr.DataTree, path: str | os.PathLike[str]) -> Path:
    """Write a Dataset or DataTree as NetCDF (.nc) or Zarr (.zarr), whole or not at all; an interrupt meanwhile is heard afterwards.

    Parameters
    ----------
    data : Dataset or DataTree
        What to write.
    path : str or path
        Where; the ending decides the format.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    HamlearnError
        If the ending is unknown, something of another kind is at `path`, the place cannot be written, or `data` holds what
        such a file cannot. What was at `path` is still there then, and `data` is untouched.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_dataset(xr.Dataset({"x": ("a", [1, 2])}), folder + "/x.nc").name
    'x.nc'
    """
    target = Path(path)
    if target.suffix not in (".nc", ".zarr"):
        raise HamlearnError(f"results are written as .nc (one NetCDF file) or .zarr (a chunked folder); got {str(path)!r}.")
    require_kind(target)
    try:
        with uninterrupted():  # an interrupt in xarray's lock of HDF5 leaves it taken: what follows waits for ever
            return netcdf.write(data, target) if target.suffix == ".nc" else chunked.write(data, target)
    except MemoryError as error:
        raise HamlearnError(f"cannot write {target}: not enough memory for a copy of it. It is intact: write it as .zarr.") from error
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, HamlearnError):
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise HamlearnError(
            f"cannot write {target}: it holds what such a file cannot ({first}). The result in memory is intact."
        ) from error
