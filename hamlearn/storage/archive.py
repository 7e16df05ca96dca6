"""Arrays in one file of NumPy's .npz format, which later saves are added to at its end.

A zip file ends in a list of what is in it. A save adds arrays and a new list behind the old one and changes nothing before: whoever is
killed while adding leaves the old list, and what is torn behind it is not looked at. What a new list leaves out is dead space.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from hamlearn import memory
from hamlearn.storage.locks import take

_LIST_ENDS = b"PK\x05\x06"
_TAIL = 22  # bytes from there to the end of the file
_MOST_TRIED = 4  # ends that are looked for in a torn file

Identity = tuple[int, int, int]


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """A new file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, arrays)


def identity(found: os.stat_result) -> Identity:
    """Size, number on the file system and time of the last change of a file."""
    return found.st_size, found.st_ino, found.st_mtime_ns


def append(path: Path, known: Identity, arrays: Mapping[str, np.ndarray], dead: Iterable[str]) -> Identity:
    """Add arrays to a file, and leave others out of its list; returns what it is then. Nothing of what was there is changed.

    Parameters
    ----------
    path : Path
        The file.
    known : tuple
        What it was when this process wrote or read it last.
    arrays : mapping
        What is added.
    dead : iterable of str
        Arrays that are no longer listed.

    Raises
    ------
    OSError
        If the file is another one now, others write to it, or the disk is full: it is then as it was.
    """
    handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    with open(handle, "r+b") as file:
        if not take(handle, wait=False) or identity(os.fstat(handle)) != known:
            raise OSError("it is not the file that was written last")
        try:
            with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
                for name in dead:
                    archive.filelist.remove(archive.NameToInfo.pop(f"{name}.npy"))
                archive.start_dir = known[0]  # behind the old list, which zipfile would write over
                _add(archive, arrays)
            file.flush()
            os.fsync(handle)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, known[0])
            raise
        return identity(os.fstat(handle))


def _add(archive: zipfile.ZipFile, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
            np.lib.format.write_array(member, array, allow_pickle=False)


@contextlib.contextmanager
def opened(path: Path, end: int | None = None) -> Iterator[zipfile.ZipFile]:
    """A file for reading, or its beginning up to `end`.

    Raises
    ------
    ValueError
        If it is no ordinary file, or its members are compressed.
    """
    if not path.is_file():  # a folder; a pipe, which would be waited for
        raise ValueError("it is no ordinary file")
    memory.require(path.stat().st_size, f"the arrays of {path} would")
    with open(path, "rb") as file, zipfile.ZipFile(file if end is None else _Beginning(file, end)) as archive:
        if any(one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1 for one in archive.infolist()):
            raise ValueError("its members are compressed, which hamlearn's never are")  # so nothing expands beyond the file's size
        yield archive


def ends(path: Path) -> list[int]:
    """Where a file may have ended before what was added last, the latest first."""
    found: list[int] = []
    with open(path, "rb") as file, contextlib.suppress(ValueError), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = len(content)
        while len(found) < _MOST_TRIED and (at := content.rfind(_LIST_ENDS, 0, at)) >= 0:
            if at + _TAIL < len(content):
                found.append(at + _TAIL)
    return found


def array_of(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array, whose header may not claim more than is there."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        if dtype.hasobject or info.file_size - member.tell() != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} is not of the size that it claims")
    with archive.open(info) as member:
        found: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
        return found


class _Beginning:
    """A file that seems to end earlier."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file, self._end = file, end

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._end - self._file.tell())
        return self._file.read(left if count is None or count < 0 else min(count, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(self._end + offset) if whence == os.SEEK_END else self._file.seek(offset, whence)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
