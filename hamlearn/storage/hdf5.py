"""HDF5 files (and NetCDF files, which are HDF5): what they hold is looked at before it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.storage.guard import require_array


def inspect(file: Any, target: Path, *, whole: bool = True, without: tuple[str, ...] = ()) -> None:
    """Raise if an open HDF5 file leads to other files or holds more than memory does.

    Parameters
    ----------
    file : h5py.File
        Open for reading; no array of it is read.
    target : path
        Its name.
    whole : bool
        Whether all arrays will be loaded; otherwise only those of one axis (coordinates) are.
    without : tuple of str
        Names of arrays that will not be read.
    """
    total = 0
    for name, dataset in _datasets(file, target):
        require_own(dataset, name, target)
        _attributes(dataset, name, target)
        loaded = (whole or dataset.ndim < 2) and name.lstrip("/") not in without
        size = require_array(f"{target}: {name}", dataset.shape or (), dataset.dtype.itemsize, dataset.chunks, whole=loaded)
        total += size if loaded else 0
    memory.require(total, f"the arrays of {target} would together", "Cut it into smaller files.")


def require_own(dataset: Any, name: str, target: Path) -> None:
    """Raise if an array lies in other files than the one that names it, or holds neither numbers nor text."""
    import h5py

    if dataset.external or dataset.is_virtual:
        raise HamlearnError(f"cannot read {target}: its array {name!r} lies in other files, which are not followed; copy them into one.")
    kind = dataset.dtype
    if kind.hasobject and not (kind.kind == "O" and h5py.check_string_dtype(kind)):
        raise HamlearnError(f"cannot read {target}: its array {name!r} holds objects, not numbers.")


def _datasets(file: Any, target: Path) -> Iterator[tuple[str, Any]]:
    """Every array that is reached without leaving the file, once."""
    import h5py

    waiting, seen = [file], set()
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:  # groups may hold each other
            continue
        seen.add(address)
        _attributes(group, group.name or "/", target)
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise HamlearnError(f"cannot read {target}: its entry {key!r} is a link to another file, {link.filename!r}: not followed.")
            if isinstance(link, h5py.SoftLink):  # leads to a name in this file, and so to something that is looked at
                continue
            entry = group[key]
            if isinstance(entry, h5py.Group):
                waiting.append(entry)
            elif isinstance(entry, h5py.Dataset):
                yield entry.name or key, entry


def _attributes(owner: Any, name: str, target: Path) -> None:
    for key in owner.attrs:
        kept = owner.attrs.get_id(key)
        size = math.prod(int(extent) for extent in kept.shape or ()) * int(kept.dtype.itemsize)
        memory.require(size, f"{target}: the attribute {key!r} of {name} would")


def entries(file: Any, target: Path) -> dict[str, Any]:
    """The arrays at the top of an open HDF5 file that could be states or what belongs to them, not yet read."""
    import h5py

    for _ in _datasets(file, target):  # a link at the top may lead to one further down
        pass
    found = {}
    for key in file:
        entry = file[key]
        if isinstance(entry, h5py.Dataset):
            require_own(entry, key, target)
            found[key] = entry
    return found


def load(dataset: Any, name: str, target: Path) -> np.ndarray:
    """An array of an HDF5 file, if it can be held; text comes as text."""
    require_array(f"{target}: {name}", dataset.shape or (), dataset.dtype.itemsize, dataset.chunks)
    return np.asarray(dataset.asstr()[()] if dataset.dtype.kind == "O" else dataset[()])
