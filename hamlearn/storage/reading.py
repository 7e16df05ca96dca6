"""Reading: what users have, and what this library wrote."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

from hamlearn import extras
from hamlearn.errors import HamlearnError
from hamlearn.storage import alignments, arrays, chunked, matlab, netcdf, text
from hamlearn.storage.guard import existing, readable
from hamlearn.storage.manifest import Replaced
from hamlearn.storage.table import Table

_TEXT = (".csv", ".tsv", ".txt", ".zip")
_ALIGNED = alignments.FASTA + alignments.STOCKHOLM
_SEVERAL = (".npz", ".h5", ".hdf5", ".mat", ".nc", ".zarr")
READABLE = (".nc", ".zarr", ".npz", ".npy", ".h5", ".hdf5", ".mat", *_TEXT, *_ALIGNED)
"""Endings; those of text may be packed (.gz)."""

Read = TypeVar("Read")


def read_tree(path: str | os.PathLike[str]) -> xr.DataTree:
    """The DataTree in a .nc or .zarr file, loaded into memory."""

    def read(source: Any, options: dict[str, Any]) -> xr.DataTree:
        with xr.open_datatree(source, **options) as tree:
            return tree.load()

    return _again(lambda: _opened(path, read))


def read_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """The Dataset in a .nc or .zarr file, loaded into memory: microstates, or a prediction.

    Parameters
    ----------
    path : str or path
        What :func:`write_dataset`, or any other program, wrote.

    Raises
    ------
    HamlearnError
        If it cannot be read, or is not what hamlearn wrote though it says so.

    Examples
    --------
    >>> import tempfile
    >>> from hamlearn.storage import write_dataset
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read_dataset(write_dataset(xr.Dataset({"x": ("a", [1, 2])}), folder + "/x.zarr"))["x"].values
    array([1, 2])
    """

    def read(source: Any, options: dict[str, Any]) -> xr.Dataset:
        with xr.open_dataset(source, **options) as dataset:
            return dataset.load()

    return _again(lambda: _opened(path, read))


def open_dataset(path: str | os.PathLike[str], without: tuple[str, ...] = ()) -> xr.Dataset:
    """The Dataset in a .nc or .zarr file, its arrays left on disk and read, never kept, where they are indexed.

    Coordinates of axes are held in memory; those called `without` are left out. What hamlearn wrote is compared with its digest:
    a .nc file once, as a whole, and the chunks of a .zarr folder whenever they are read.
    """
    target = existing(path)
    if target.suffix not in (".nc", ".zarr"):
        raise HamlearnError(f"only .zarr and .nc files can be read piece by piece; got {target.name!r}. Load it with hl.microstates(...).")
    read = lambda source, options: xr.open_dataset(source, cache=False, drop_variables=without, **options)
    return _again(lambda: _opened(path, read, whole=False, without=without))


def _opened(
    path: str | os.PathLike[str],
    read: Callable[[Any, dict[str, Any]], Read],
    *,
    whole: bool = True,
    without: tuple[str, ...] = (),
) -> Read:
    """What `read` makes of a .nc or .zarr file that was looked at first."""
    target = existing(path)
    with readable(target):
        if target.suffix == ".zarr":
            _require(target, folder=True)
            extras.require("zarr")
            return _without_fault(chunked.check(target, whole=whole, without=without), read)
        _require(target, folder=False)
        netcdf.check(target, whole=whole, without=without)
        return read(target, {"engine": "h5netcdf"})


def _without_fault(source: Any, read: Callable[[Any, dict[str, Any]], Read]) -> Read:
    """What `read` makes of a Zarr folder, unless a description in it was not what hamlearn wrote."""
    faults: list[HamlearnError] = getattr(source, "faults", [])
    try:
        result = read(source, {"engine": "zarr", "consolidated": False})
    except Exception:
        if not faults:
            raise
        raise faults[0] from None
    if faults:
        raise faults[0]
    return result


def _again(read: Callable[[], Read]) -> Read:
    """Read anew where a .zarr folder was replaced meanwhile; a few times, for its writer may be faster."""
    for _ in range(5):
        try:
            return read()
        except Replaced:
            continue
    return read()


def _require(target: Path, *, folder: bool) -> None:
    if target.is_dir() != folder:
        is_one, needed = ("file", "folder") if folder else ("folder", "file")
        raise HamlearnError(f"cannot read {target}: it is a {is_one}, and {target.suffix} data are a {needed}.")


def read_states(
    path: str,
    count_column: int | str | None = None,
    *,
    plain: bool = False,
    gaps: str | None = None,
    max_gaps: float | None = None,
    variable: str | None = None,
) -> xr.Dataset | Table:
    """States from any readable file: a Dataset that hamlearn wrote, or what a stranger's file holds.

    `plain` tables are all columns that there are, whatever they are called; `gaps` and `max_gaps` are those of alignments
    (:func:`hamlearn.storage.alignments.read_alignment`), `variable` the name of an array in a file of several.
    """
    target = existing(path)
    name = target.name.lower().removesuffix(".gz")
    if not name.endswith(READABLE) or (name != target.name.lower() and not name.endswith((*_TEXT[:3], *_ALIGNED))):
        if target.is_dir():
            raise HamlearnError(f"cannot read {str(target)!r}: it is a folder; name a file in it, or a folder that ends in .zarr.")
        raise HamlearnError(
            f"cannot read {target.name!r}: known endings are {', '.join(READABLE)}. "
            "Load other formats yourself and pass the array to hl.microstates(array, ...)."
        )
    if target.is_file() and target.stat().st_size == 0:
        raise HamlearnError(f"{target} is empty.")
    if variable is not None and not name.endswith(_SEVERAL):
        raise HamlearnError(f"variable={variable!r} names an array of a file of several ({', '.join(_SEVERAL)}); {target.name} is none.")
    if name.endswith(_ALIGNED):
        _require(target, folder=False)
        with readable(target):
            return alignments.read_alignment(text.unpacked(target), target, gaps, max_gaps)
    if gaps is not None or max_gaps is not None:
        raise HamlearnError(
            f"gaps= and max_gaps= are of alignments ({', '.join(_ALIGNED[:3])}, …), and {target.name} is none; leave them out."
        )
    if name.endswith(_TEXT):
        _require(target, folder=False)
        with readable(target):
            return text.read_text(target, count_column, plain=plain)
    found = _read_xarray(target, variable) if name.endswith((".nc", ".zarr")) else _read_arrays(target, variable)
    if count_column is not None and isinstance(found, Table):
        raise HamlearnError(
            f"counts={count_column!r} names a column of a table (as .csv), and {target} is none; give the counts themselves."
        )
    return found


def _read_arrays(target: Path, variable: str | None) -> Table:
    _require(target, folder=False)
    kind = target.suffix.lower()
    with readable(target):
        if kind == ".npy":
            return Table(arrays.read_npy(target), where=str(target))
        return {".npz": arrays.read_npz, ".mat": matlab.read_mat}.get(kind, arrays.read_hdf5)(target, variable)


_READERS = {"a posterior": "hl.load(path)", "a prediction": "hamlearn.storage.read_dataset(path)"}


def _read_xarray(target: Path, variable: str | None) -> xr.Dataset | Table:
    dataset = read_dataset(target)
    if "state" in dataset and "space" in dataset.attrs and variable in (None, "state"):
        return dataset
    kind = "a posterior" if {"model", "schema_version"} <= set(dataset.attrs) else "a prediction" if "quantity" in dataset.dims else ""
    if kind:
        raise HamlearnError(
            f"{target} holds {kind}, not microstates: give the data that it was made from, or read it with {_READERS[kind]}."
        )
    found = {str(key): value for key, value in dataset.variables.items()}
    entry = lambda value: arrays.Entry(value.shape, lambda: value.values)
    return arrays.pick_state({key: entry(value) for key, value in found.items()}, target, variable)
