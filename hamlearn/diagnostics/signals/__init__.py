"""Signals in the data themselves: rows that drift, drive each other, were copied, or stay in one phase.

A fit can be good on average and its error bars still mean nothing, because the rows are not draws of one distribution.
Each module looks for one such thing and returns findings; they are recorded with the posterior and read by the verdict.
Nothing here trusts what the data say of their origin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import xarray as xr

from hamlearn import data as microstates
from hamlearn.diagnostics.signals import coincidences, conserved, following, grain, images, phases, stationarity, stuck, timeseries
from hamlearn.diagnostics.signals.view import Signal, View, views

__all__ = ["Signal", "View", "find", "views"]


def _repeated(view: View) -> list[Signal]:
    """Something that never changes, or few values, which make rows repeat; else equal rows; else images of rows; else rows that follow."""
    return conserved.find(view) or grain.find(view) or coincidences.find(view) or images.find(view) or following.find(view)


SEARCHES: tuple[Callable[[View], list[Signal]], ...] = (stationarity.find, stuck.find, timeseries.find, _repeated, phases.find)


def find(post: xr.DataTree, data: xr.Dataset | Iterable[xr.Dataset]) -> list[dict[str, Any]]:
    """Everything that speaks against the rows of `data` as draws of one distribution, as records for the verdict.

    Parameters
    ----------
    post : DataTree
        A posterior learned from `data`.
    data : Dataset or list of Datasets
        Microstates at one or several temperatures; each is looked at by itself.

    Returns
    -------
    list of dict
        With the entries of :class:`Signal`; empty where nothing was found.

    Examples
    --------
    >>> import hamlearn as hl
    >>> glass = hl.systems.EdwardsAnderson((3, 3), seed=1)
    >>> data = hl.simulate(glass, beta=0.5, draws=2000, chains=2, seed=0)
    >>> find(hl.infer.learn(data, hl.models.Couplings(glass.lattice), engine="laplace"), data)
    []
    """
    found = [signal for view in views(post, microstates.split_by_beta(data)) for search in SEARCHES for signal in search(view)]
    return [signal.to_dict() for signal in found]
