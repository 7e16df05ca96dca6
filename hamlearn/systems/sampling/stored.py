"""Runs that are written to a Zarr folder as they are made: memory holds a few chunks, whatever the number of draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.checkpoint import Checkpoint, fingerprint
from hamlearn.storage.growing import GrowingArray, growing
from hamlearn.systems.sampling import loop
from hamlearn.systems.sampling.checkpoint import request as identity
from hamlearn.systems.sampling.request import Request

OF = "simulation"


class _States:
    """Draws ``(draw, beta, chain, n)`` as the rows of the array that microstates are stored in."""

    def __init__(self, array: GrowingArray, like: xr.DataArray) -> None:
        self.array, self.several, self.every = array, "beta" in like.dims, array.every
        self.sites = like.shape[like.dims.index("draw") + 1 :]

    def write(self, first: int, states: np.ndarray) -> None:
        """See :class:`.loop.Sink`."""
        arranged = np.moveaxis(states, 0, 2)
        arranged = arranged.reshape(*arranged.shape[:3], *self.sites)
        self.array.write(first, arranged if self.several else arranged[0])


def stored(
    path: Any,
    request: Request,
    sampler: Any,
    draw: Callable[[Checkpoint, loop.Sink], tuple[loop.Progress, dict[str, Any]]],
) -> Path:
    """Microstates in the folder `path` that `draw` hands to a sink, or those that the same request left there; the path.

    Parameters
    ----------
    path : path
        Ends in .zarr.
    request : Request
        With `sampler` what determines the result, and so the name of what is unfinished.
    sampler : sampler
    draw : callable
        Given where to save and where the draws go, it returns the finished run and its attributes.
    """
    asked = identity(request.identity(sampler))
    with growing(path, fingerprint(asked, OF)) as store:
        if store.finished:
            return store.target
        system = request.system
        numbers = system.lattice.n_sites * int(np.prod(system.space.event_shape))
        dtype = np.dtype(np.float64 if system.space.continuous else np.int8)
        shape = (len(request.betas), request.chains, request.draws, numbers)
        nothing = np.broadcast_to(np.zeros((), dtype), shape)  # of the result's shape, and of no size
        like = request.dataset(nothing, {})["state"]
        array = store.array("state", like.shape, list(map(str, like.dims)), dtype, list(like.dims).index("draw"))
        _, attrs = draw(Checkpoint(store.checkpoint, asked, of=OF), _States(array, like))
        store.finish(array, request.dataset(nothing, attrs).drop_vars("state"))
    return store.target
