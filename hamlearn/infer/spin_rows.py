"""Spins of a posterior with pair couplings: rows of ±1 with counts, in blocks, and matrices of couplings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.predictions.estimator import error_of
from hamlearn.models import BoundCouplings

BLOCKS = 16  # of rows, each left out once


class Rows(NamedTuple):
    """Microstates of spins.

    Attributes
    ----------
    spins : array (row, n_sites)
        ±1.
    times : array (row,)
        How often each was seen, or its weight.
    blocks : array (row, BLOCKS)
        The part of that in every block: neighbours in time, where rows have a time.
    worth : float
        How many independent rows they are worth, their autocorrelation apart.
    """

    spins: np.ndarray
    times: np.ndarray
    blocks: np.ndarray
    worth: float


def require_spins(post: xr.DataTree, what: str) -> BoundCouplings:
    """The couplings of a posterior whose sites are spins, or an error that says what `what` is of."""
    J = post["posterior"].to_dataset().get("J")
    if J is None or not posteriors.space_of(post).binary:
        raise HamlearnError(f"{what} are of posteriors of spins with couplings J (hl.models.Couplings).")
    return posteriors.bound_of(post)


def spin_rows(post: xr.DataTree, data: Any, seed: int = 0, *, counted: bool = False) -> Rows:
    """The rows of all of `data`, which must be of the posterior's sites; `counted` refuses weights, which are no numbers of rows."""
    posteriors.require_readings(post, "numbers of states")
    states, counts, blocks, worth = [], [], [], 0.0
    for part in microstates.split_by_beta(microstates.admit(data)):
        one = posteriors.numbered(post, part)
        weight, weighted = microstates.multiplicity(one)
        if weighted and counted:
            raise HamlearnError("rows with weights have no numbers of times that they were seen; leave weights out, or give counts.")
        rows, flat = microstates.rows(one), weight.ravel()
        worth += microstates.worth(weight, weighted)
        if rows.shape[-1] != posteriors.bound_of(post).lattice.n_sites:
            raise HamlearnError(f"microstates of {rows.shape[-1]} sites for a posterior of {posteriors.bound_of(post).lattice.n_sites}.")
        states.append(rows.reshape(-1, rows.shape[-1]))
        counts.append(flat)
        blocks.append(_blocks(one, flat, weighted, np.random.default_rng(seed)))
    return Rows(np.concatenate(states), np.concatenate(counts), np.concatenate(blocks), worth)


def _blocks(part: xr.Dataset, weight: np.ndarray, weighted: bool, rng: np.random.Generator) -> np.ndarray:
    """The share of every row in every block: contiguous, at random where rows have no order, counts divided at random."""
    if "count" in part and not weighted:
        return rng.multinomial(weight.astype(int), np.full(BLOCKS, 1 / BLOCKS)).astype(float)
    order = np.arange(len(weight)) * BLOCKS // len(weight)
    if int(part.attrs.get("independent", 0)):
        order = rng.permutation(order)
    return np.where(order[:, None] == np.arange(BLOCKS), weight[:, None], 0.0)


def left_out(values: np.ndarray, rows: Rows) -> np.ndarray:
    """Means of a function of rows ``(row, ...)`` with each block left out, ``(block, ...)``."""
    total, weight = np.tensordot(rows.times, values, (0, 0)), rows.times.sum()
    return np.stack([(total - np.tensordot(one, values, (0, 0))) / (weight - one.sum()) for one in rows.blocks.T])


def error(values: np.ndarray, rows: Rows) -> np.ndarray:
    """Standard error of the mean of a function of rows."""
    return error_of(left_out(values, rows))


def matrix(bound: BoundCouplings, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """J as a symmetric matrix, and h."""
    pairs: Any = bound.system(theta).pairs
    J, h = pairs.of_spins()
    found = np.zeros((len(h), len(h)))
    np.add.at(found, tuple(np.asarray(bound.lattice.bonds).T), J)
    return found + found.T, h
