"""Arrays that users have: .npy, .npz and .h5 files, and which of their arrays are states."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from hamlearn.errors import HamlearnError
from hamlearn.storage import hdf5
from hamlearn.storage.guard import require_array
from hamlearn.storage.table import Table

_COMPANIONS = {"beta": ("beta",), "counts": ("counts", "count"), "weights": ("weights", "weight"), "space": ("space",), "q": ("q",)}
_LONGEST_HEADER = 10_000  # bytes: what NumPy takes, which looks at it only once it is unpacked


@dataclass(frozen=True)
class Entry:
    """An array of a file that was not read yet: its shape, and how to read it."""

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]


def read_npy(target: Path) -> np.ndarray:
    """The array in a .npy file; a pickle in it is never loaded."""
    with open(target, "rb") as file:
        return _array(file, target.stat().st_size, str(target))


def read_npz(target: Path, variable: str | None = None) -> Table:
    """States and their companions from a .npz file."""
    with zipfile.ZipFile(target) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")}
        if len(archive.namelist()) != len(set(archive.namelist())):
            raise HamlearnError(f"cannot read {target}: two of its arrays have the same name.")

        def entry(name: str, info: zipfile.ZipInfo) -> Entry:
            where = f"{target}: {name}"
            with archive.open(info) as file:
                shape, _ = _header(file, info.file_size, where)

            def load() -> np.ndarray:
                with archive.open(info) as file:
                    return _array(file, info.file_size, where)

            return Entry(shape, load)

        return pick_state({name: entry(name, info) for name, info in members.items()}, target, variable)


def read_hdf5(target: Path, variable: str | None = None) -> Table:
    """States and their companions from the top of an HDF5 file (what lies in its groups is named where the top has no array)."""
    import h5py

    hdf5.require_finite(target)
    with h5py.File(target, "r") as file:
        found = hdf5.entries(file, target)
        if variable is not None and isinstance(inner := file.get(variable), h5py.Dataset):  # of a group
            hdf5.require_own(inner, variable, target)
            found[variable] = inner
        if not found and len(file):
            groups = ", ".join(map(repr, list(file)[:5]))
            raise HamlearnError(
                f"{target} has no arrays at its top, only groups ({groups[:300]}). Name the array in its group: "
                "hl.microstates(path, variable='group/name')."
            )
        load = lambda key: lambda: hdf5.load(found[key], key, target)
        return pick_state({key: Entry(dataset.shape or (), load(key)) for key, dataset in found.items()}, target, variable)


def _header(file: IO[bytes], available: int, where: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in NumPy's format; an error if they are not those of the `available` bytes."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    start = file.tell()
    if int.from_bytes(file.read(2 if version == (1, 0) else 4), "little") > _LONGEST_HEADER:
        raise HamlearnError(f"cannot read {where}: its header is longer than that of any array of numbers; the file is damaged.")
    file.seek(start)
    shape, _, kind = read(file)
    if kind.hasobject:
        raise HamlearnError(f"cannot read {where}: it holds Python objects (a pickle), which could run programs. Save numbers only.")
    size = require_array(where, shape, kind.itemsize)
    there = available - file.tell()
    if size != there:
        raise HamlearnError(f"cannot read {where}: shape {shape} of {kind} is {size} bytes, but {there} are there; the file is damaged.")
    return shape, kind


def _array(file: IO[bytes], available: int, where: str) -> np.ndarray:
    start = file.tell()
    _header(file, available, where)
    file.seek(start)
    return npy.read_array(file, allow_pickle=False)


def pick_state(arrays: dict[str, Entry], target: Path, variable: str | None = None) -> Table:
    """The array that is asked for, else the one called state (or the only one with two axes or more), and its companions."""
    names: list[str] = [key for key in ("state", "states", "spins", "samples", "data") if key in arrays]
    names = names or [key for key, entry in arrays.items() if len(entry.shape) >= 2]
    if variable is not None:
        names = [key for key in (variable,) if key in arrays]
    if len(names) != 1 and not (names and names[0] == "state"):
        found = ", ".join(f"{key} {entry.shape}" for key, entry in arrays.items()) or "nothing"
        if variable is not None:
            raise HamlearnError(f"{target} has no array {variable!r}; found {found[:300]}.")
        way = f"Choose one: variable={names[0]!r} (--variable at the shell)." if names else "Pass an array to hl.microstates(array, ...)."
        raise HamlearnError(f"{target} needs one array called 'state'; found {found[:300]}. {way}")
    companions: dict[str, Any] = {}
    for key, aliases in _COMPANIONS.items():
        for alias in aliases:
            if alias in arrays:
                value = arrays[alias].load()
                companions[key] = value.item() if value.size == 1 else value
    return Table(arrays[names[0]].load(), where=str(target), **companions)
