"""What is asked of every file before and while it is read: that it is one, that it fits, and that its errors name it."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.processes import filtering

MOST_CHUNKS = 10**7  # of one array: looking for more takes hours, whatever they hold


@contextlib.contextmanager
def readable(target: str | os.PathLike[str]) -> Iterator[None]:
    """Turn every way in which a file can be broken into one error that names the file.

    Libraries raise what they like on broken files (and warn before they do): everything is caught, but an interrupt. The
    libraries' warnings are dropped: what a file means is said by its reader.
    """
    try:
        with filtering(), warnings.catch_warnings():  # xarray's decoder adds a filter of its own, for good
            warnings.simplefilter("ignore")
            yield
    except HamlearnError:
        raise
    except MemoryError as error:
        raise HamlearnError(f"cannot read {target}: it does not fit into memory.") from error
    except Exception as error:
        raise HamlearnError(f"cannot read {target}: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0][:300]
    if isinstance(error, KeyError):
        return f"it has no {first}"
    return first or type(error).__name__


def existing(path: str | os.PathLike[str]) -> Path:
    """`path`, or an error if nothing is there, or neither a file nor a folder (opening a pipe or a device may never end)."""
    target = Path(path)
    try:
        mode = os.stat(target).st_mode
    except PermissionError as error:
        raise HamlearnError(f"cannot read {target}: {error.strerror}.") from error
    except (OSError, ValueError) as error:
        raise HamlearnError(f"no such file: {target}.") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise HamlearnError(f"cannot read {target}: it is a pipe, a device or a socket and not a file. Copy what it gives to a file first.")
    return target


def require_array(where: str, shape: Sequence[int], itemsize: int, chunks: Sequence[int] | None = None, *, whole: bool = True) -> int:
    """Raise if an array in a file cannot be held before anything is allocated for it; its size in bytes.

    Parameters
    ----------
    where : str
        The file and the name of the array.
    shape, chunks : sequence of int
        Of the array, and of the chunks that it is stored in.
    itemsize : int
        Bytes of one value.
    whole : bool
        Whether it is read at once, or chunk by chunk.
    """
    shape, chunks = [int(size) for size in shape], None if chunks is None else [int(size) for size in chunks]
    if min(shape, default=0) < 0 or (chunks is not None and (len(chunks) != len(shape) or min(chunks, default=1) < 1)):
        raise HamlearnError(f"cannot read {where}: its shape {tuple(shape)} or its chunks {chunks} are none.")
    size = math.prod(shape) * itemsize
    told = f"{where}, of shape {tuple(shape)}, would"
    if whole:
        memory.require(size, told, "Cut it into smaller files.")
    if chunks is not None:
        memory.require(math.prod(chunks) * itemsize, f"{where}, in chunks of shape {tuple(chunks)}, would", "Write it with smaller chunks.")
        count = math.prod(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))
        if count > MOST_CHUNKS:
            raise HamlearnError(f"cannot read {where}: it is cut into {count} chunks, at most {MOST_CHUNKS} are read. Write larger ones.")
    return size
