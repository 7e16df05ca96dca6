"""HDF5 files (and NetCDF files, which are HDF5): what they hold is looked at before it is read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.storage.bombs import require_honest, require_packed_once
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
        if loaded:
            _chunks(dataset, f"{target}: {name}")
            _texts(dataset, f"{target}: {name}", os.path.getsize(target))
        total += size if loaded else 0
    memory.require(total, f"the arrays of {target} would together", "Cut it into smaller files.")


def require_finite(target: Path) -> None:
    """Raise if HDF5 would never return from a damaged file: free space of size 0 in a heap of text is an endless loop to it."""
    piece, overlap = 1 << 22, 3
    with open(target, "rb") as file:
        size, start = file.seek(0, os.SEEK_END), 0
        while start < size:
            file.seek(start)
            content = file.read(piece + overlap)
            at = content.find(_HEAP)
            while 0 <= at < piece:
                file.seek(start + at)
                if _endless(file, size - start - at):
                    raise HamlearnError(f"cannot read {target}: it is damaged (a heap of free space without size). Restore a copy.")
                at = content.find(_HEAP, at + 1)
            start += piece


_HEAP = b"GCOL"
_FEW = 64  # texts in an attribute


def _endless(file: IO[bytes], left: int) -> bool:
    """Whether the heap at which `file` stands, with `left` bytes to the file's end, has no end."""
    header = file.read(16)
    if len(header) < 16 or header[4:8] != b"\1\0\0\0":
        return False
    size = int.from_bytes(header[8:], "little")
    if not 16 < size <= min(left, 1 << 28):
        return False  # not a heap, or one that HDF5 refuses
    heap, at = file.read(size - 16), 0
    while at + 16 <= len(heap):
        number, length = int.from_bytes(heap[at : at + 2], "little"), int.from_bytes(heap[at + 8 : at + 16], "little")
        if number == 0 and length == 0:
            return True
        at += 16 + (length + 7) // 8 * 8 if number else length
    return False


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
        count = math.prod(int(extent) for extent in kept.shape or ())
        texts = kept.dtype.kind == "O" and count > _FEW  # each may be as long as the file
        size = count * (os.path.getsize(target) if texts else int(kept.dtype.itemsize))
        memory.require(size, f"{target}: the attribute {key!r} of {name} would")


def _chunks(dataset: Any, where: str) -> None:
    """Raise if a chunk of an array unpacks to more than it should hold (HDF5 unpacks it whole)."""
    import h5py

    if dataset.chunks is None:
        return
    made = dataset.id.get_create_plist()
    filters = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
    packers = ["zlib" for one in filters if one == h5py.h5z.FILTER_DEFLATE]
    require_packed_once(packers, where)
    nominal = math.prod(dataset.chunks) * dataset.dtype.itemsize

    def look(chunk: Any) -> None:
        read = lambda _: dataset.id.read_direct_chunk(chunk.chunk_offset)[1]
        require_honest(packers[0] if packers else "", chunk.size, read, nominal, where)

    dataset.id.chunk_iter(look)


def _texts(dataset: Any, where: str, file_size: int) -> None:
    """Raise if texts are larger than memory: the file says how many, and thousands may be the same bytes of it."""
    if dataset.dtype.kind != "O" or not dataset.shape:
        return
    row = math.prod(int(extent) for extent in dataset.shape[1:])
    most = memory.available() // 8
    if dataset.shape[0] * row * file_size <= most:
        return
    memory.require(row * file_size, f"{where}, texts of up to {memory.words(file_size)}, would")
    total, step = 0, max(1, most // max(1, row * file_size))
    for start in range(0, dataset.shape[0], step):
        total += sum(map(len, np.ravel(dataset[start : start + step])))
        memory.require(4 * total, f"{where}, texts, would")


def entries(file: Any, target: Path, wanted: Callable[[Any], bool] = lambda dataset: True) -> dict[str, Any]:
    """The `wanted` arrays at the top of an open HDF5 file that could be states or what belongs to them, not yet read."""
    import h5py

    for _ in _datasets(file, target):  # a link at the top may lead to one further down
        pass
    found = {}
    for key in file:
        entry = file[key]
        if isinstance(entry, h5py.Dataset) and wanted(entry):
            require_own(entry, key, target)
            found[key] = entry
    return found


def load(dataset: Any, name: str, target: Path) -> np.ndarray:
    """An array of an HDF5 file, if it can be held; text comes as text."""
    require_array(f"{target}: {name}", dataset.shape or (), dataset.dtype.itemsize, dataset.chunks)
    _chunks(dataset, f"{target}: {name}")
    _texts(dataset, f"{target}: {name}", os.path.getsize(target))
    return np.asarray(dataset.asstr()[()] if dataset.dtype.kind == "O" else dataset[()])
