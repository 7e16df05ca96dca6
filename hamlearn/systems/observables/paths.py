"""Observables of imaginary-time paths: kinks and the distribution of positions. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError


def kinks(paths: Any, threshold: float = 0.0, *, periodic: bool = True) -> np.ndarray:
    """Kinks and antikinks of every path: how often it goes from one side of zero to the other.

    Parameters
    ----------
    paths : array ``(..., n_tau)``
        Paths.
    threshold : float
        A side counts as reached at x > `threshold` or x < −`threshold`; between them the path is where it was. With 0
        every sign change counts, also those of a path that trembles on top of the barrier: on fine lattices their
        number grows with N_τ. Half the distance of the minima from zero counts tunnelling events.
    periodic : bool
        Count the step from the last slice to the first too; the number is then even.

    Returns
    -------
    array of int ``(...)``

    Examples
    --------
    >>> kinks(np.array([1.0, 1.2, -0.9, -1.1, 0.2, -1.0])).tolist(), kinks(np.array([1.0, -0.1, 1.0, -1.0]), 0.5).tolist()
    (4, 2)
    """
    x = np.asarray(paths, float)
    if x.ndim < 1 or threshold < 0:
        raise HamlearnError(f"kinks need paths (..., n_tau) and a threshold >= 0; got shape {x.shape}, threshold {threshold!r}.")
    side = np.where(x > threshold, 1, np.where(x < -threshold, -1, 0))
    n = x.shape[-1]
    if periodic:
        side = np.concatenate([side, side], -1)  # the first lap says on which side the second one starts
    # Forward fill: the last slice at which a side was reached.
    last = np.maximum.accumulate(np.where(side != 0, np.arange(side.shape[-1]), -1), axis=-1)
    filled = np.where(last >= 0, np.take_along_axis(side, np.maximum(last, 0), -1), 0)
    if periodic:
        filled = filled[..., n - 1 :]
    here, there = filled[..., :-1], filled[..., 1:]
    return np.sum(here * there < 0, axis=-1)


def position_density(paths: Any, edges: Any) -> np.ndarray:
    """Histogram of positions as a probability density, pooled over all slices and paths: abs(ψ)² at low temperature.

    Parameters
    ----------
    paths : array
        Paths or fields of any shape.
    edges : array (n + 1,)
        Ascending edges of the bins. Positions outside count in the normalisation, so that the density integrates to
        the fraction inside.

    Returns
    -------
    array (n,)
        Density in every bin, in units of 1/length.

    Examples
    --------
    >>> position_density(np.array([[0.1, 0.2, 0.7, 3.0]]), [0.0, 0.5, 1.0])
    array([1. , 0.5])
    """
    borders, x = np.asarray(edges, float), np.asarray(paths, float).ravel()
    if borders.ndim != 1 or borders.size < 2 or np.any(np.diff(borders) <= 0) or not x.size:
        raise HamlearnError("position_density needs paths that are not empty and at least two edges in ascending order.")
    return np.histogram(x, borders)[0] / (x.size * np.diff(borders))
