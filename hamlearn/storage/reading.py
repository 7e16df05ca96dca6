"""Reading: what users have, and what this library wrote."""

from __future__ import annotations

import contextlib
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError

READABLE = (".nc", ".zarr", ".npz", ".npy", ".csv", ".csv.gz", ".zip", ".h5", ".hdf5")


def read_tree(path: str | os.PathLike[str]) -> xr.DataTree:
    """The DataTree in a .nc or .zarr file, loaded into memory."""
    target = existing(path)
    with _readable(target):
        engine = "zarr" if target.suffix == ".zarr" else "h5netcdf"
        options: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
        with xr.open_datatree(target, engine=engine, **options) as tree:
            return tree.load()


def read_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """The Dataset in a .nc or .zarr file, loaded into memory."""
    target = existing(path)
    with _readable(target):
        engine = "zarr" if target.suffix == ".zarr" else "h5netcdf"
        options: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
        with xr.open_dataset(target, engine=engine, **options) as dataset:
            return dataset.load()


def open_dataset(path: str | os.PathLike[str], without: tuple[str, ...] = ()) -> xr.Dataset:
    """The Dataset in a .nc or .zarr file, its arrays left on disk and read, never kept, where they are indexed.

    Coordinates of axes are held in memory; those called `without` are left out.
    """
    target = existing(path)
    if target.suffix not in (".nc", ".zarr"):
        raise HamlearnError(f"only .zarr and .nc files can be read piece by piece; got {target.name!r}. Load it with hl.microstates(...).")
    with _readable(target):
        if target.suffix == ".zarr":
            return xr.open_dataset(target, engine="zarr", consolidated=False, cache=False, drop_variables=without)
        return xr.open_dataset(target, engine="h5netcdf", cache=False, drop_variables=without)


def existing(path: str | os.PathLike[str]) -> Path:
    """`path`, or an error if nothing is there."""
    target = Path(path)
    if not target.exists():
        raise HamlearnError(f"no such file: {target}.")
    return target


def read_states(path: str, count_column: int | str | None = None) -> xr.Dataset | dict[str, Any]:
    """States from any readable file: a Dataset that hamlearn wrote, or a dictionary with the array ``state``."""
    target = existing(path)
    name = target.name.lower()
    if not name.endswith(READABLE):
        raise HamlearnError(
            f"cannot read {target.name!r}: known endings are {', '.join(READABLE)}. "
            "Load other formats yourself and pass the array to hl.microstates(array, ...)."
        )
    if target.is_file() and target.stat().st_size == 0:
        raise HamlearnError(f"{target} is empty.")
    with _readable(target):
        if name.endswith((".nc", ".zarr")):
            return _read_xarray(target)
        if name.endswith(".npy"):
            return {"state": np.load(target, allow_pickle=False)}
        if name.endswith(".npz"):
            with np.load(target, allow_pickle=False) as archive:
                return _pick_state({key: archive[key] for key in archive.files}, target)
        if name.endswith((".h5", ".hdf5")):
            return _read_hdf5(target)
        return _read_table(target, count_column)


@contextlib.contextmanager
def _readable(target: Path) -> Any:
    """Turn every way in which a file can be broken into one error that names the file."""
    try:
        with warnings.catch_warnings():  # xarray's decoder adds a filter of its own, for good
            yield
    except HamlearnError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise HamlearnError(f"cannot read {target}: {first}") from error


_READERS = {"a posterior": "hl.load(path)", "a prediction": "xarray.open_dataset(path)"}


def _read_xarray(target: Path) -> xr.Dataset | dict[str, Any]:
    dataset = read_dataset(target)
    if "state" in dataset and "space" in dataset.attrs:
        return dataset
    kind = "a posterior" if {"model", "schema_version"} <= set(dataset.attrs) else "a prediction" if "quantity" in dataset.dims else ""
    if kind:
        raise HamlearnError(
            f"{target} holds {kind}, not microstates: give the data that it was made from, or read it with {_READERS[kind]}."
        )
    return _pick_state({str(key): value.values for key, value in dataset.variables.items()}, target)


def _read_hdf5(target: Path) -> dict[str, Any]:
    import h5py

    with h5py.File(target, "r") as file:
        arrays = {key: file[key][()] for key in file if isinstance(file[key], h5py.Dataset)}
    return _pick_state(arrays, target)


def _read_table(target: Path, count_column: int | str | None) -> dict[str, Any]:
    import pandas as pd

    try:
        first = pd.read_csv(target, header=None, nrows=1, comment="#").iloc[0]
        header = 0 if any(isinstance(value, str) for value in first) else None
        table = pd.read_csv(target, header=header, comment="#")
    except pd.errors.EmptyDataError as error:
        raise HamlearnError(f"{target} is empty.") from error
    except pd.errors.ParserError as error:
        raise HamlearnError(f"{target} is ragged: {str(error).strip()}. Every line needs the same number of columns.") from error
    if table.empty:
        raise HamlearnError(f"{target} is empty: it holds a header and no rows.")
    missing = table.isna().to_numpy().any(1)
    if missing.any():
        where = f"row {int(missing.argmax()) + 1} of {len(table)}"
        raise HamlearnError(f"{target} is ragged or has missing values (first in {where}); every line needs a number in every column.")
    result: dict[str, Any] = {}
    if count_column is None and header is not None and "count" in table.columns:
        count_column = "count"
    if count_column is not None:
        number = isinstance(count_column, int)
        if (number and not -table.shape[1] <= count_column < table.shape[1]) or (not number and count_column not in table.columns):
            raise HamlearnError(f"{target} has no column {count_column!r} to take counts from; it has {table.shape[1]} columns.")
        column = table.columns[count_column] if number else count_column
        result["counts"] = table.pop(column).to_numpy()
    words = [name for name, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if words:
        column = table[words[0]]
        value = str(column[pd.to_numeric(column, errors="coerce").isna()].iloc[0]).strip()
        raise HamlearnError(f"{target} holds text in column {words[0]}, {value[:40]!r}; states must be numbers.{_separator(value)}")
    return {"state": table.to_numpy(), **result}


def _separator(value: str) -> str:
    """A hint where a cell of text looks like several, separated by something else than commas."""
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), (" ", "blanks")):
        if sign in value:
            return f" Columns separated by {name}? Write commas, or pass np.loadtxt(path, delimiter={sign!r}) to hl.microstates."
    return ""


def _pick_state(arrays: dict[str, np.ndarray], target: Path) -> dict[str, Any]:
    """The array called state (or the only one with two axes or more) and its companions."""
    names: list[str] = [key for key in ("state", "states", "spins", "samples", "data") if key in arrays]
    names = names or [key for key, value in arrays.items() if np.ndim(value) >= 2]
    if len(names) != 1 and not (names and names[0] == "state"):
        found = ", ".join(f"{key} {np.shape(value)}" for key, value in arrays.items()) or "nothing"
        raise HamlearnError(
            f"{target} needs one array called 'state'; found {found}. Load it yourself and pass the array to hl.microstates(array, ...)."
        )
    result: dict[str, Any] = {"state": arrays[names[0]]}
    for key, aliases in {
        "beta": ("beta",),
        "counts": ("counts", "count"),
        "weights": ("weights", "weight"),
        "space": ("space",),
        "q": ("q",),
    }.items():
        for alias in aliases:
            if alias in arrays:
                result[key] = arrays[alias].item() if np.ndim(arrays[alias]) == 0 else arrays[alias]
    return result
