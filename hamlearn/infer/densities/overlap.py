"""How much of a test set was already in the training set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError
from hamlearn.processes import verb


@verb
def overlap(train: xr.Dataset | Iterable[xr.Dataset], test: xr.Dataset | Iterable[xr.Dataset]) -> float:
    """Share of the test microstates (by count or weight) that also occur in the training set.

    Discrete data sets of one ensemble share microstates by chance: all-up alone is 2.4 % of an 8×8 Ising model at β_c.
    That is no leak, and it is reported rather than refused.

    Parameters
    ----------
    train, test : Dataset or list of Datasets
        Microstates on the same sites.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    HamlearnError
        If the two sets are identical, or on different sites.

    Examples
    --------
    >>> import hamlearn as hl
    >>> ising = hl.systems.Ising((2, 2))
    >>> first, second = (hl.simulate(ising, beta=0.2, draws=100, seed=seed) for seed in (1, 2))
    >>> overlap(first, second)
    1.0
    """
    sets = [microstate_data.split_by_beta(microstate_data.admit(one)) for one in (train, test)]
    if microstate_data.fingerprint(sets[0]) == microstate_data.fingerprint(sets[1]):
        raise HamlearnError("the test set is the training set itself: hold out chains or blocks of draws, or simulate another one.")
    rows, weights = [], []
    for parts in sets:
        rows.append(np.concatenate([microstate_data.rows(part).reshape(-1, microstate_data.rows(part).shape[-1]) for part in parts]))
        weights.append(np.concatenate([microstate_data.multiplicity(part)[0].ravel() for part in parts]))
    if rows[0].shape[1] != rows[1].shape[1]:
        raise HamlearnError(f"the two sets live on {rows[0].shape[1]} and {rows[1].shape[1]} sites; compare sets of one lattice.")
    return mass(rows[0][weights[0] > 0], rows[1], weights[1])


def mass(train: np.ndarray, test: np.ndarray, weight: np.ndarray) -> float:
    """Share of `weight` on rows of `test` ``(rows, n_sites)`` that are also rows of `train`."""
    common = np.result_type(train, test)
    as_keys = lambda array: np.ascontiguousarray(array.astype(common)).view(np.dtype((np.void, common.itemsize * array.shape[1]))).ravel()
    return float(weight @ np.isin(as_keys(test), as_keys(train)) / weight.sum())
