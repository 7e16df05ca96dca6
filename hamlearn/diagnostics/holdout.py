"""Data split in two: one half to fit, one to test on, without letting autocorrelation leak or be counted as data.

Draws of Markov chains are cut into contiguous blocks, taken alternately; independent draws (and histograms) are split
at random. The held-out half keeps its blocks: errors come from their scatter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.diagnostics import invariants
from hamlearn.diagnostics.predictive_test import LeftOut
from hamlearn.statistics import autocorrelation, integrated_autocorrelation

MAX_ROWS = 200_000  # microstates a half keeps: bounds time and memory, and 2e5 find a misfit of 0.2 % of a standard deviation
BLOCKS = 64  # aimed at, a half: their scatter then gives an error bar to 9 %
MIN_BLOCKS = 20
BLOCK_TIMES = 5.0  # autocorrelation times a block must last
FEWEST_DRAWS = 8  # of a chain, below which no autocorrelation is seen
_SERIES_VALUES = 4_000_000
SIGNIFICANT = 4.5  # standard errors: 1 in 1500 among 100 series


@dataclass(frozen=True, eq=False)
class Half:
    """The held-out half of the data at one temperature.

    Attributes
    ----------
    values : array (row, n_sites)
        Microstates.
    weight : array (row,)
        How much each counts.
    label : int array (row,)
        Block of each.
    blocks : int
        Number of blocks.
    """

    values: np.ndarray
    weight: np.ndarray
    label: np.ndarray
    blocks: int


def split(
    data: xr.Dataset, rng: np.random.Generator, tau: float | None = None, *, symmetric: bool = False
) -> tuple[xr.Dataset, Half] | LeftOut:
    """The half to fit and the half to test on; or why there is too little to split.

    Parameters
    ----------
    data : Dataset
        Microstates at one temperature.
    rng : numpy.random.Generator
        Assigns independent draws.
    tau : float, optional
        Autocorrelation time in draws that is known from elsewhere; the slowest of sites, pairs and order parameters
        is measured too, and the longer one counts.
    symmetric : bool
        Whether the model gives a state and its mirror image (all values turned alike) one probability. Where the sign or
        the common angle then changes too seldom to be tested, every row is turned at random: nothing that the model sees
        changes.
    """
    if symmetric and _in_one_phase(data):  # all statistics then see what the model sees
        data = invariants.turned(data, rng)
    if "count" in data:
        return _split_counts(data, rng)
    if "weight" in data or int(data.attrs.get("independent", 0)):
        return _split_random(data, rng)
    data, seen = visible(data, rng, symmetric=symmetric)
    slowest = max(seen, 1.0 if tau is None else tau)
    return _split_blocks(data, slowest)


def halves(
    sets: list[xr.Dataset], rng: np.random.Generator, tau: float | None, *, symmetric: bool
) -> tuple[list[xr.Dataset], list[Half]] | LeftOut:
    """The halves to fit and to test on of data at several temperatures; or the first reason why there is too little to split."""
    fits, held, lacking = [], [], []
    for part in sets:
        piece = split(part, rng, tau, symmetric=symmetric)
        if isinstance(piece, LeftOut):
            lacking.append(piece)
            continue
        fits.append(piece[0])
        held.append(piece[1])
    return lacking[0] if lacking else (fits, held)


def visible(data: xr.Dataset, rng: np.random.Generator, *, symmetric: bool) -> tuple[xr.Dataset, float]:
    """Draws of Markov chains as a model sees them, and their slowest autocorrelation time.

    The sign or common angle may change too seldom for blocks: a symmetric model cannot see it, so it is made to change.
    Where it changes often it stays: a field that the model lacks shows in it.
    """
    seen = slowest_tau(data)
    if symmetric and data["state"].shape[0] * data["state"].shape[1] < 4 * BLOCKS * BLOCK_TIMES * seen:
        data = invariants.turned(data, rng)
        seen = slowest_tau(data, symmetric=True)
    return data, seen


def slowest_tau(data: xr.Dataset, *, symmetric: bool = False) -> float:
    """Autocorrelation time of the slowest of sites, neighbouring products, order parameters and overlaps; 1 where none is seen.

    With `symmetric` only of what the symmetry of the space leaves unchanged (:func:`~hamlearn.diagnostics.invariants.series`).
    """
    rows = microstates.rows(data)
    chains, draws, n = rows.shape
    if draws < FEWEST_DRAWS:
        return 1.0
    kept = int(min(draws, max(256, _SERIES_VALUES // (chains * (2 * n + 2)))))
    space = microstates.space_of(data)
    series = invariants.series(rows[:, :kept], space, invariant=symmetric)
    found = integrated_autocorrelation(series)
    # The largest of many estimates is above 1 by chance: count only what is significant, by τ itself or by neighbours.
    neighbours = autocorrelation(series)[1] > SIGNIFICANT / np.sqrt(chains * kept)
    seen = np.where(neighbours | (found.tau - 1 > SIGNIFICANT * found.standard_error), found.tau, 1.0)
    return float(np.nanmax(seen, initial=1.0))


def _in_one_phase(data: xr.Dataset) -> bool:
    """Whether the mean spin (or the mean real number) never changes sign and stays far from zero."""
    if not microstates.space_of(data).signed:
        return False
    mean = microstates.rows(data).mean(-1)
    return bool(np.ptp(np.sign(mean)) == 0 and abs(mean.mean()) > 2 * mean.std())


def _split_blocks(data: xr.Dataset, tau: float) -> tuple[xr.Dataset, Half] | LeftOut:
    rows = microstates.rows(data)
    chains, draws, _ = rows.shape
    shortest = int(np.ceil(BLOCK_TIMES * tau)) if tau > 1 else 1
    length = max(shortest, draws // (2 * -(-BLOCKS // chains)), 1)
    pairs = draws // (2 * length)
    if pairs == 0:
        # Chains shorter than two blocks: the chain is the block.
        if draws < shortest or chains // 2 < MIN_BLOCKS:
            return _too_few(chains // 2 if draws >= shortest else 0, tau) if tau > 1 else _too_few_rows(chains * draws, 2 * MIN_BLOCKS)
        fit = data.isel(chain=slice(0, 2 * (chains // 2), 2))
        held = rows[1::2]
        return fit, _half(held, np.repeat(np.arange(len(held)), draws), len(held))
    if chains * pairs < MIN_BLOCKS:
        return _too_few(chains * pairs, tau) if tau > 1 else _too_few_rows(chains * draws, 2 * MIN_BLOCKS)
    index = np.arange(draws - 2 * pairs * length, draws)  # what does not fill a block is dropped where burn-in lingers
    block = (index - index[0]) // length
    held = rows[:, index[block % 2 == 1]]
    label = np.arange(chains)[:, None] * pairs + (block[block % 2 == 1] // 2)[None]
    return data.isel(draw=index[block % 2 == 0]), _half(held, label.ravel(), chains * pairs)


def _half(held: np.ndarray, label: np.ndarray, blocks: int) -> Half:
    values = held.reshape(-1, held.shape[-1])
    every = max(1, -(-len(values) // MAX_ROWS))
    return Half(values[::every], np.ones(len(values[::every])), label[::every], blocks)


def _split_random(data: xr.Dataset, rng: np.random.Generator) -> tuple[xr.Dataset, Half] | LeftOut:
    values = microstates.rows(data).reshape(-1, int(np.prod(data["state"].shape[2:])))
    weight, weighted = microstates.multiplicity(data)
    weight = weight.ravel()
    order = rng.permutation(np.flatnonzero(weight > 0))
    size = min(len(order) // 2, MAX_ROWS)
    if size < 2 * MIN_BLOCKS:
        return _too_few_rows(len(order), 4 * MIN_BLOCKS)
    fit, held = order[:size], order[size : 2 * size]
    blocks = min(2 * BLOCKS, size // 2)
    attrs = {**data.attrs, "independent": 1}
    extra = {"weight": (("chain", "draw"), weight[fit][None])} if weighted else {}
    return of_rows(data, values[fit], extra, attrs), Half(values[held], weight[held], np.arange(size) % blocks, blocks)


def _split_counts(data: xr.Dataset, rng: np.random.Generator) -> tuple[xr.Dataset, Half] | LeftOut:
    """Every single observation of a histogram goes to either half with probability one half."""
    values = microstates.rows(data).reshape(-1, int(np.prod(data["state"].shape[2:])))
    counts = data["count"].values.ravel().astype(np.int64)
    fit = rng.binomial(counts, 0.5)
    held = counts - fit
    if min(fit.sum(), held.sum()) < 2 * MIN_BLOCKS:
        return _too_few_rows(int(counts.sum()), 4 * MIN_BLOCKS)
    if held.sum() > MAX_ROWS:
        held = rng.multivariate_hypergeometric(held, MAX_ROWS, method="marginals")
    blocks = int(min(2 * BLOCKS, held.sum() // 2))
    each = rng.permutation(np.repeat(np.arange(len(held)), held))
    kept = fit > 0
    extra = {"count": (("chain", "draw"), fit[kept].astype(float)[None])}
    return of_rows(data, values[kept], extra, data.attrs), Half(values[each], np.ones(len(each)), np.arange(len(each)) % blocks, blocks)


def of_rows(data: xr.Dataset, values: np.ndarray, extra: Mapping[str, Any], attrs: Mapping[Any, Any]) -> xr.Dataset:
    """The rows `values` in one chain, at the temperature of `data`, with what is known of their sites: names, and states of each."""
    sites = data["state"].dims[2:]
    state = values.reshape(1, len(values), *data["state"].shape[2:])
    coords = {name: one for name, one in data.coords.items() if set(one.dims) <= set(sites)}
    return xr.Dataset({"state": (("chain", "draw", *sites), state), **extra}, coords=coords, attrs=dict(attrs))


def _too_few_rows(count: int, wanted: int) -> LeftOut:
    return LeftOut(
        f"{count} independent microstates are too few to split (at least {wanted})", f"Give {wanted} independent microstates or more."
    )


def _too_few(blocks: int, tau: float) -> LeftOut:
    wanted = 2 * MIN_BLOCKS * int(np.ceil(BLOCK_TIMES * tau))
    return LeftOut(
        f"{blocks} blocks of {BLOCK_TIMES:g} autocorrelation times ({tau:.3g} draws of the slowest sum, product or overlap of these rows, "
        f"which parameters need not feel) fit into each half of the data; "
        f"{MIN_BLOCKS} are needed",
        f"Give longer chains, or more of them, of some {wanted} draws in all, or draws that lie further apart.",
    )
