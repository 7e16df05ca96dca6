"""MATLAB's .mat files: those of version 7.3, which are HDF5, and those before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.storage import arrays, hdf5
from hamlearn.storage.guard import require_array
from hamlearn.storage.table import Table

_NUMBERS = (*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "single", "double", "logical", "sparse")
_LONGER = 5  # so many more columns than rows are time bins beside units, not sites


def read_mat(target: Path, variable: str | None = None) -> Table:
    """States and their companions, chosen as those of .npz files are; axes are MATLAB's, whatever the version.

    A matrix with many more columns than rows has its microstates in columns, as recordings of units over time have: `dims` says so.
    """
    with open(target, "rb") as file:
        old = b"MATLAB 7.3" not in file.read(128) and not _is_hdf5(target)
    found = _old(target) if old else _new(target)
    plain = {name: arrays.Entry(tuple(size for size in entry.shape if size != 1), entry.load) for name, entry in found.items()}
    table = arrays.pick_state(plain, target, variable)
    values = table.values
    turned = values.ndim == 2 and values.shape[0] > 1 and values.shape[1] >= _LONGER * values.shape[0]
    return Table(**{**vars(table), "dims": ("site", "draw") if turned else None})


def _is_hdf5(target: Path) -> bool:
    import h5py

    return bool(h5py.is_hdf5(target))


def _old(target: Path) -> dict[str, arrays.Entry]:
    from scipy.io import loadmat, whosmat

    def load(name: str) -> np.ndarray:
        found = loadmat(target, variable_names=[name])[name]
        return np.asarray(found.toarray() if hasattr(found, "toarray") else found)

    def entry(name: str, shape: tuple[int, ...]) -> arrays.Entry:
        def loaded() -> np.ndarray:
            require_array(f"{target}: {name}", shape, 8)
            return load(name)

        return arrays.Entry(shape, loaded)

    return {name: entry(name, shape) for name, shape, kind in whosmat(target) if kind in _NUMBERS}


def _new(target: Path) -> dict[str, arrays.Entry]:
    import h5py

    hdf5.require_finite(target)
    with h5py.File(target, "r") as file:
        held = {name: entry.shape or () for name, entry in hdf5.entries(file, target, _is_numbers).items()}

    def load(name: str) -> np.ndarray:
        with h5py.File(target, "r") as file:
            found = hdf5.load(file[name], name, target).T  # HDF5 counts axes from the other end
            return found.astype(bool) if _class(file[name]) == "logical" else found

    if not held:
        raise HamlearnError(f"{target} has no arrays of numbers at its top (cells, structs and sparse matrices of 7.3 are not read).")
    return {name: arrays.Entry(shape[::-1], lambda name=name: load(name)) for name, shape in held.items()}  # type: ignore[misc]


def _class(dataset: Any) -> str:
    return np.bytes_(dataset.attrs.get("MATLAB_class", b"double")).decode()


def _is_numbers(dataset: Any) -> bool:
    """Whether a dataset is an array of numbers; empty ones hold their shape instead."""
    return _class(dataset) in _NUMBERS and "MATLAB_empty" not in dataset.attrs
