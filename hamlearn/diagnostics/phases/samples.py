"""Microstates of several sizes and temperatures, as every way to a transition takes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn import statistics
from hamlearn.errors import HamlearnError
from hamlearn.infer.critical import sources
from hamlearn.infer.critical.columns import FEWEST, IN_BLOCK, directions_at_sites
from hamlearn.spaces import Space

TEMPERATURES = 5  # of a size, below which a curve has no shape
_AT_ONCE = 4_000_000  # numbers of encoded microstates at once


class Sample(NamedTuple):
    """Microstates of one size.

    Attributes
    ----------
    size : int
        L.
    space : Space
        Of a site.
    betas : array (k,)
        Inverse temperatures, rising.
    states : array (k, chain, draw, *sites)
        Equally many of each.
    independent : bool
        Whether draws have no memory.
    """

    size: int
    space: Space
    betas: np.ndarray
    states: np.ndarray
    independent: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the lattice."""
        return self.states.shape[3 : self.states.ndim - len(self.space.event_shape)]

    @property
    def n_sites(self) -> int:
        """N."""
        return int(np.prod(self.shape))

    def fields(self) -> Iterable[np.ndarray]:
        """What could order at every site, ``(draws, *shape, component)``, piece by piece, temperature by temperature."""
        flat = self.states.reshape(-1, *self.states.shape[3:])
        for part in np.array_split(flat, max(1, flat.size // _AT_ONCE)):
            yield directions_at_sites(part, self.space, self.shape)

    def half(self, which: int) -> np.ndarray:
        """One half of every temperature as a mask ``(chain, draw)``: every other chain, or the earlier or later part of a single one."""
        chains, draws = self.states.shape[1:3]
        if chains > 1:
            return np.broadcast_to((np.arange(chains) % 2 == which)[:, None], (chains, draws))
        return (np.arange(draws) * 2 // draws == which)[None]

    def time(self, series: np.ndarray) -> np.ndarray:
        """Autocorrelation time at every temperature of numbers ``(k, chain, draw, ...)``: the largest; 1 of what never changes."""
        if self.independent:
            return np.ones(len(series))
        found = [np.nan_to_num(statistics.integrated_autocorrelation_time(one), nan=1.0).max() for one in series]
        return np.array(found)

    def length(self, series: np.ndarray, what: str) -> int:
        """Draws of a block of five autocorrelation times of numbers ``(k, chain, draw, ...)``.

        Raises
        ------
        HamlearnError
            If there are fewer than 24 such blocks, or chains never move at most temperatures: coldest ones may rest, and tell nothing.
        """
        chains, draws = series.shape[1:3]
        still = (series == series[:, :, :1]).reshape(len(series), -1).all(1)
        if 2 * still.sum() > len(still):
            raise HamlearnError(
                f"undecided: size {self.size} has chains that never move at {still.sum()} of {len(still)} temperatures: nothing says how "
                "many independent microstates they hold. Give longer chains, or a sampler of shorter memory."
            )
        slowest = float(self.time(series).max())
        length = 1 if self.independent else int(np.ceil(IN_BLOCK * slowest))
        if chains * (draws // length) < FEWEST:
            needed = -(-FEWEST // chains) * length
            raise HamlearnError(
                f"undecided: size {self.size} has {chains} chains of {draws} draws, and {what} remembers {slowest:.3g} of them, so that "
                f"there are {chains * (draws // length)} independent blocks where errors need {FEWEST}. It needs about {needed - draws} "
                "more draws of every chain, more chains, or a sampler of shorter memory."
            )
        return length


def block_means(series: np.ndarray, length: int) -> np.ndarray:
    """Means of blocks ``(k, block, ...)`` of numbers ``(k, chain, draw, ...)``."""
    return np.stack([statistics.blocks(one, length).mean(1) for one in series])


def admit(data: xr.Dataset | Iterable[xr.Dataset]) -> list[Sample]:
    """Samples of every size, the smallest first.

    Raises
    ------
    HamlearnError
        If they are no microstates of one system, have no declared temperatures or too few of them, or rows have no order of time.
    """
    found = []
    for shape, parts in sources.by_size([data] if isinstance(data, xr.Dataset) else data).items():
        betas = sources.temperatures(parts, shape[0])
        if len(betas) < TEMPERATURES:
            raise HamlearnError(
                f"undecided: size {shape[0]} has {len(betas)} temperatures, and a curve of them has no shape below {TEMPERATURES}: "
                f"it needs {TEMPERATURES - len(betas)} more, on both sides of where a transition may be."
            )
        draws = min(part.sizes["draw"] for part in parts)
        order = np.argsort(betas, kind="stable")
        states = np.stack([parts[k]["state"].values[:, -draws:] for k in order])
        independent = all(int(part.attrs.get("independent", 0)) for part in parts)
        found.append(Sample(shape[0], microstates.space_of(parts[0]), np.array(betas)[order], states, independent))
    if len({len(one.shape) for one in found}) > 1:
        raise HamlearnError("the microstates are of lattices of different dimensions: a transition is that of one of them.")
    return found
