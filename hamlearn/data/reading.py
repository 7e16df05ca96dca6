"""Microstates as the rooms above read them: by temperature, by rows, from disk piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from os import PathLike

import numpy as np
import xarray as xr

from hamlearn import storage
from hamlearn.data.codes import joined
from hamlearn.data.names import alike
from hamlearn.data.validation import flattened, pieces, space_of, validate


def open_microstates(path: str | PathLike[str]) -> xr.Dataset:
    """Microstates of a file that hamlearn wrote, left on disk: what is asked of them is read when it is asked for.

    For training on more data than memory holds (:class:`hamlearn.infer.Training`). Everything else reads the states
    anew whenever it looks at them: use :func:`microstates` for it, which loads them.

    Parameters
    ----------
    path : str or path
        A .zarr or .nc file, best in chunks of 1 to 100 MB along ``draw``.

    Returns
    -------
    Dataset
        As :func:`microstates` returns it, without numbers of draws; its file stays open until it is closed or forgotten.

    Raises
    ------
    HamlearnError
        If there is no such file, it has another ending, or holds no microstates.

    Examples
    --------
    >>> import tempfile
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((2, 2)), beta=0.3, draws=10, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     opened = open_microstates(storage.write_dataset(data, folder + "/states.zarr"))
    ...     opened["state"][0, 3:5].shape
    (2, 2, 2)
    """
    return validate(storage.open_dataset(path, without=("draw",)))  # numbers of draws alone would grow with the data


def on_disk(data: xr.Dataset) -> bool:
    """Whether the states were opened and not loaded."""
    return not data["state"].variable._in_memory


def excerpt(data: xr.Dataset | Iterable[xr.Dataset], memory: int) -> list[xr.Dataset]:
    """The microstates of every temperature in memory: all, or the end of every chain if those on disk exceed `memory` bytes.

    What is kept of them is then a thirty-second part of that: who looks at it makes copies, in double precision.
    """
    sets = split_by_beta(data)
    size = sum(part["state"].nbytes for part in sets)
    share = 1.0 if size <= memory else memory / (32 * size)
    cut = lambda draws: slice(draws - max(1, int(share * draws)), draws)
    return [part.isel(draw=cut(part.sizes["draw"])).load() if on_disk(part) else part for part in sets]


def split_by_beta(data: xr.Dataset | Iterable[xr.Dataset]) -> list[xr.Dataset]:
    """A list of microstates at one temperature each, from one Dataset or many."""
    parts = [part for one in flattened(data) for part in _temperatures(one)]
    return alike(joined(parts))  # files that lack different codes number their states differently


def _temperatures(data: xr.Dataset) -> list[xr.Dataset]:
    validate(data)
    return [data.isel(beta=index) for index in range(data.sizes["beta"])] if "beta" in data["state"].dims else [data]


def rows(data: xr.Dataset) -> np.ndarray:
    """The states of one temperature, flat: ``(chain, draw, n_sites)``, of vectors ``(chain, draw, n_sites · n)``."""
    state = data["state"].values
    return state.reshape((*state.shape[:2], -1))


def site_shape(data: xr.Dataset) -> tuple[int, ...]:
    """Extents of the site axes, without those of a single site (components of vectors)."""
    shape = data["state"].shape[data["state"].dims.index("draw") + 1 :]
    return tuple(shape[: len(shape) - len(space_of(data).event_shape)])


def folded(data: xr.Dataset, shape: Sequence[int]) -> xr.Dataset:
    """Flat rows as sites of a lattice of as many, in C order; other microstates as they are.

    Examples
    --------
    >>> import hamlearn as hl
    >>> flat = hl.microstates([[1, -1, 1, 1], [1, 1, -1, 1]], space="spins", beta=0.5)
    >>> site_shape(folded(flat, (2, 2))), site_shape(folded(flat, (3, 3)))
    ((2, 2), (4,))
    """
    own, shape = site_shape(data), tuple(shape)
    if len(own) != 1 or len(shape) == 1 or own[0] != np.prod(shape):
        return data
    state = data["state"]
    first = state.dims.index("draw") + 1
    dims = (*state.dims[:first], *(f"x{k}" for k in range(len(shape))), *state.dims[first + 1 :])
    values = state.values.reshape(*state.shape[:first], *shape, *state.shape[first + 1 :])
    return data.drop_vars("state").assign(state=(dims, values, state.attrs))


def multiplicity(data: xr.Dataset) -> tuple[np.ndarray, bool]:
    """How much every row counts ``(chain, draw)``, and whether these are weights (True) or repeat counts."""
    if "weight" in data:
        return data["weight"].values.astype(float), True
    if "count" in data:
        return data["count"].values.astype(float), False
    return np.broadcast_to(1.0, data["state"].shape[:2]), False  # one number, not one per row


def worth(weight: np.ndarray, weighted: bool) -> float:
    """How many independent microstates rows are worth, their autocorrelation apart.

    The total of counts; of weights their sum, which whoever gave them may make smaller than the rows are worth (copies that share a
    weight of one), and at most Kish's (Σw)²/Σw² of rows that are all independent: so importance weights have no scale.

    Examples
    --------
    >>> worth(np.array([3.0, 1.0]), weighted=False), worth(np.array([3.0, 1.0]), weighted=True), worth(np.full(4, 0.5), weighted=True)
    (4.0, 1.6, 2.0)
    """
    total = float(weight.sum())
    return min(total, total**2 / float((weight**2).sum())) if weighted else total


def fingerprint(parts: Sequence[xr.Dataset]) -> str:
    """SHA3-256 of states, counts, rates of readout errors and temperatures, as hexadecimal text; what lies on disk is read in pieces."""
    digest = hashlib.sha3_256()
    for part in parts:
        for array in (part["state"], xr.DataArray(multiplicity(part)[0])):
            for piece in pieces(array):
                digest.update(np.ascontiguousarray(piece).tobytes())
        if "flip" in part:
            digest.update(part["flip"].values.tobytes())
        digest.update(np.float64(part["beta"].item()).tobytes())
    return digest.hexdigest()
