"""Microstates that exceed memory, as blocks of rows that are read when they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError
from hamlearn.systems.base import Space

_BLOCKS = 16  # of them fill the memory, so that one read is a small part of it


@dataclass(frozen=True)
class Region:
    """A rectangle of chains and draws.

    Attributes
    ----------
    chains, draws : range
        Which.
    """

    chains: range
    draws: range

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """True for its rows, shape ``(chain, draw)``."""
        found = np.zeros(shape, bool)
        found[self.chains.start : self.chains.stop, self.draws.start : self.draws.stop] = True
        return found


def regions(chains: int, draws: int, share: float, tau: float) -> tuple[Region, Region]:
    """What is trained on and what is held out: whole chains, or the end of each after a gap of five autocorrelation times.

    Examples
    --------
    >>> train, heldout = regions(2, 100, share=0.1, tau=2.0)
    >>> train.draws, heldout.draws
    (range(0, 80), range(90, 100))
    """
    if chains * share >= 1:
        count = round(chains * share)
        return Region(range(chains - count), range(draws)), Region(range(chains - count, chains), range(draws))
    count = max(1, round(draws * share))
    gap = 0 if tau <= 1 else min(int(np.ceil(5 * tau)), (draws - count) // 2)
    return Region(range(chains), range(max(0, draws - count - gap))), Region(range(chains), range(draws - count, draws))


@dataclass(frozen=True, eq=False)
class Blocks:
    """Rows of microstates on disk, block by block.

    Attributes
    ----------
    sets : list of Dataset
        Microstates at one temperature each.
    space : Space
        Of their values.
    places : list of (set, chains, draws)
        What every block covers.
    memory : int
        Bytes that may be held at once.
    """

    sets: list[xr.Dataset]
    space: Space
    places: list[tuple[int, slice, slice]]
    memory: int

    def __len__(self) -> int:
        return sum(self.rows(index) for index in range(len(self.places)))

    @property
    def row_bytes(self) -> int:
        """Bytes of one microstate as it is held."""
        sites = int(np.prod(self.sets[0]["state"].shape[2:]))
        return sites * (1 if self.space.q else 4)

    def rows(self, index: int) -> int:
        """Microstates in a block."""
        _, chains, draws = self.places[index]
        return (chains.stop - chains.start) * (draws.stop - draws.start)

    def read(self, index: int) -> tuple[np.ndarray, float]:
        """A block's states ``(rows, n_sites)``, int8 indices or float32, and their inverse temperature."""
        number, chains, draws = self.places[index]
        part = self.sets[number]
        state = part["state"][chains, draws].values
        state = state.reshape(-1, int(np.prod(state.shape[2:])))
        state = self.space.index(state).astype(np.int8, copy=False) if self.space.q else state.astype(np.float32, copy=False)
        return state, float(part["beta"])

    def some(self, rows: int, seed: int = 0) -> np.ndarray:
        """About so many states ``(rows, n_sites)``, of blocks spread at random."""
        found, left = [], rows
        for index in np.random.default_rng(seed).permutation(len(self.places)):
            if left <= 0:
                break
            found.append(self.read(int(index))[0][:left])
            left -= len(found[-1])
        return np.concatenate(found)


def blocks(sets: list[xr.Dataset], space: Space, where: list[Region], memory: int) -> Blocks:
    """The blocks of one region of every temperature, along the chunks of the file where these are small enough.

    Raises
    ------
    HamlearnError
        If rows have counts or weights, or `memory` does not hold a handful of microstates.
    """
    if any(name in part for part in sets for name in ("count", "weight")):
        raise HamlearnError(
            "microstates with counts or weights are not read from disk in pieces: raise memory= of hl.infer.Training above their size, or "
            "give every microstate its own row."
        )
    places: list[tuple[int, slice, slice]] = []
    empty = Blocks(sets, space, [], memory)
    # As they are read, values may be wider than as they are held.
    row = max(empty.row_bytes, max(part["state"].nbytes // (part.sizes["chain"] * part.sizes["draw"]) for part in sets))
    most = memory // (_BLOCKS * row)
    if most < 4:
        raise HamlearnError(f"memory={memory} bytes holds {memory // row} microstates of {row} bytes; give 64 times that of one at least.")
    for number, (part, region) in enumerate(zip(sets, where, strict=True)):
        state = part["state"]
        chunk = {str(name): int(size) for name, size in state.encoding.get("preferred_chunks", {}).items()}
        together = state.dtype.itemsize * int(np.prod(list(chunk.values())))
        if together > memory:
            raise HamlearnError(
                f"the file keeps {together} bytes in a chunk, which are read together and exceed memory={memory}. Write it in "
                "smaller chunks: data.to_zarr(path, encoding={'state': {'chunks': (...)}})."
            )
        draws = min(chunk.get("draw", most), most)
        chains = max(1, min(chunk.get("chain", 1), most // draws))
        for first in _starts(region.chains, chains):
            for start in _starts(region.draws, draws):
                rows = slice(max(first, region.chains.start), min(first + chains, region.chains.stop))
                columns = slice(max(start, region.draws.start), min(start + draws, region.draws.stop))
                places.append((number, rows, columns))
    return Blocks(sets, space, places, memory)


def _starts(where: range, step: int) -> range:
    """Multiples of `step` from which blocks cover a range."""
    return range(where.start // step * step, where.stop, step)


def overlap(train: Blocks, heldout: Blocks) -> float:
    """Share of the held-out microstates that are also trained on; of as many of them as a sixteenth of the memory holds."""
    keys = lambda states: np.ascontiguousarray(states).view(np.dtype((np.void, states.shape[1] * states.itemsize))).ravel()
    rows = keys(heldout.some(min(len(heldout), heldout.memory // (_BLOCKS * heldout.row_bytes))))
    seen = np.zeros(len(rows), bool)
    for index in range(len(train.places)):
        seen |= np.isin(rows, keys(train.read(index)[0]))
    return float(seen.mean())


def beginning(part: xr.Dataset, memory: int) -> xr.Dataset:
    """As many first draws of every chain as fit, loaded: what autocorrelation times are estimated from."""
    # Estimating works on several copies in double precision.
    share = memory / (64 * part["state"].size)
    return part.isel(draw=slice(0, max(1, int(min(share, 1.0) * part.sizes["draw"])))).load()


def too_large(sets: list[xr.Dataset], memory: int) -> bool:
    """Whether data that lie on disk exceed the memory they may take."""
    return any(microstate_data.on_disk(part) for part in sets) and sum(part["state"].nbytes for part in sets) > memory
