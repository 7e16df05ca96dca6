"""Zarr folders that grow along one axis while they are made, out of readers' sight, and are put in place whole.

::

    x.zarr.0123456789ab.partial/     beside x.zarr, named after the request that writes it
        checkpoint.npz               what its writer goes on from
        x.zarr/v-0123456789ab0000/   the version that grows; it becomes the one in force in x.zarr
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.storage import chunked, locks, manifest
from hamlearn.storage.writing import require_writable, sync

CHUNK = 1 << 24  # bytes along the growing axis that are written together
_FILE = 1 << 20  # bytes that a file should have at least
_MARK = 12  # characters of a fingerprint in a name


class Growing:
    """One array that grows, and what is put beside it at the end; :func:`growing` opens it.

    Attributes
    ----------
    checkpoint : Path
        Where its writer may save what it goes on from.
    finished : bool
        Whether the target already holds what this request writes: then there is nothing to do.
    """

    def __init__(self, target: Path, mark: str) -> None:
        self.target, self.mark = target, mark[:_MARK]
        self.folder = target.with_name(f"{target.name}.{self.mark}.partial")
        self.checkpoint = self.folder / "checkpoint.npz"
        found = None
        with contextlib.suppress(manifest.Damaged):
            found = manifest.read(target) if target.is_dir() else None
        self.finished = found is not None and found.version.startswith(f"v-{self.mark}")

    def array(self, name: str, shape: Sequence[int], dims: Sequence[str], dtype: np.dtype, axis: int) -> GrowingArray:
        """The array that grows along `axis`, as far as it was written; `shape` is that of the whole."""
        new = self.folder / self.target.name
        if not self.checkpoint.is_file():  # without it nobody knows what was written; a kill may have left half an array
            shutil.rmtree(new, ignore_errors=True)
        new.mkdir(exist_ok=True)
        started = [one for one in os.listdir(new) if manifest.VERSION.fullmatch(one)]
        version = started[0] if started else f"v-{self.mark}{secrets.token_hex(8)[: 16 - _MARK]}"
        if not started:  # what was saved belongs to an array that is gone
            self.checkpoint.unlink(missing_ok=True)
        return GrowingArray(new / version, name, tuple(shape), tuple(dims), dtype, axis)

    def finish(self, array: GrowingArray, rest: xr.Dataset) -> None:
        """Add `rest` to the array, put both in place, and remove what is not needed any more."""
        array.require_whole()
        for one in array.folder.iterdir():  # what a kill in the middle of this left: arrays that lack their attributes
            if one.is_dir() and one != array.place:
                shutil.rmtree(one)
        rest.to_zarr(array.folder, mode="a", zarr_format=2, consolidated=False)
        chunked.put_in_place(array.folder.parent, array.folder.name, self.target)
        shutil.rmtree(self.folder, ignore_errors=True)


class GrowingArray:
    """A Zarr array that is written along one axis in multiples of :attr:`every`, every file once and for good.

    Attributes
    ----------
    every : int
        Length along the axis of what is to be written together; less only at the end.
    """

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], dims: tuple[str, ...], dtype: np.dtype, axis: int) -> None:
        import zarr

        self.folder, self.place, self.axis, self.shape = folder, folder / name, axis, shape
        group = zarr.open_group(folder, mode="a", zarr_format=2)
        if name not in group:
            row, lead = math.prod(shape[axis + 1 :]) * dtype.itemsize, [1] * axis
            every = int(np.clip(CHUNK // (math.prod(shape[:axis]) * row), 1, shape[axis]))
            if axis:  # several of the axis before share a file that would be small
                lead[-1] = min(shape[axis - 1], -(-_FILE // (every * row)))
            chunks: tuple[int, ...] = (*lead, every, *shape[axis + 1 :])
            attributes: dict[str, Any] = {"_ARRAY_DIMENSIONS": list(dims)}
            group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, fill_value=None, attributes=attributes)
        self.array = zarr.open_array(folder, path=name, mode="r+", zarr_format=2, config={"write_empty_chunks": True})
        self.chunks, self.every = self.array.chunks, self.array.chunks[axis]

    def write(self, first: int, values: np.ndarray) -> None:
        """Values from number `first` of the axis on, a multiple of :attr:`every`; on the disk when this returns."""
        where = (*(slice(None) for _ in range(self.axis)), slice(first, first + values.shape[self.axis]))
        self.array[where] = values
        numbers = range(first // self.every, -(-(first + values.shape[self.axis]) // self.every))
        for lead in np.ndindex(*self._grid[: self.axis]):
            for number in numbers:
                sync(self._file((*lead, number)))

    def require_whole(self) -> None:
        """An error if a file of the array is not there, which reading would take for zeros."""
        missing = [index for index in np.ndindex(*self._grid[: self.axis + 1]) if not self._file(index).is_file()]
        if missing:
            raise HamlearnError(
                f"{len(missing)} files of {self.place} are gone, such as {self._file(missing[0]).name}: something removed them meanwhile. "
                f"Remove {self.folder.parent.parent} and start anew."
            )

    @property
    def _grid(self) -> tuple[int, ...]:
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    def _file(self, index: tuple[int, ...]) -> Path:
        return self.place / ".".join(map(str, (*index, *(0 for _ in self.shape[len(index) :]))))


@contextlib.contextmanager
def growing(path: str | os.PathLike[str], mark: str) -> Iterator[Growing]:
    """What grows to be the .zarr folder `path`, for a request whose fingerprint is `mark`; one process at a time.

    Raises
    ------
    HamlearnError
        If `path` has another ending, cannot be written or is not ours to replace, another process is writing it for the same
        request, or the disk takes no more. What was written until then stays in the folder ``.partial``.
    """
    target = Path(path)
    require_writable(target, (".zarr",))
    found = Growing(target, mark)
    if found.finished:
        yield found
        return
    try:
        found.folder.mkdir(exist_ok=True)
        with locks.locked(found.folder, wait=False) as held:
            if locks.fcntl is not None and not held:
                raise HamlearnError(f"another process is writing {target} for the same call, in {found.folder}; wait for it.")
            yield found
    except OSError as error:
        raise HamlearnError(
            f"cannot write {target}: {error.strerror or error}. What was saved is in {found.folder}: the same call goes on from there."
        ) from error
