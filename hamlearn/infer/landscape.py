"""Basins of a learned energy landscape: states that no single flip makes more probable, and which data run down to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import require_number, require_seed, require_whole
from hamlearn.infer import families, labels, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.doubts import doubting
from hamlearn.infer.predictions.intervals import band
from hamlearn.infer.spin_rows import error, matrix, require_spins, spin_rows
from hamlearn.processes import verb

_TIE = 1e-12  # of the largest term: a flip that changes the energy by less leads nowhere


@verb
@doubting
def basins(post: xr.DataTree, data: Any, *, draws: int = 32, level: float = 0.9, seed: int = 0) -> xr.Dataset:
    """Local maxima of the learned probability, and the share of the data in the basin of each.

    From every microstate the spin whose flip lowers the energy most is flipped, again and again, until none lowers it. The states where
    this ends are those at the mean of the posterior; draws of it say how sure they are.

    Parameters
    ----------
    post : DataTree
        A posterior of couplings of spins.
    data : Dataset or list of Datasets
        Microstates of its sites.
    draws : int
        Of the posterior, behind `maximum` and the band of `weight`.
    level : float
        Probability of the band.
    seed : int
        Of the draws.

    Returns
    -------
    Dataset
        Over ``basin``, the heaviest first: ``state`` ``(basin, site)``, ±1; ``energy`` of that state (βH); ``weight``, the share of
        microstates that run down to it, with ``weight_error``, the data's standard error, and ``weight_lower``, ``weight_upper``, the
        band over draws, of which each runs down anew; ``maximum``, the share of draws in which the state is a local maximum.

    Raises
    ------
    HamlearnError
        If the posterior is not of couplings of spins, or the microstates are of other sites.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.5, draws=500, seed=0)
    >>> post = hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), fields=None), engine="laplace")
    >>> found = hl.infer.basins(post, data)
    >>> sorted(found["state"].values[:2].sum(1).tolist()), bool(found["weight"][:2].sum() > 0.9)
    ([-9, 9], True)
    """
    post, seed = admit_posterior(post), require_seed(seed)
    bound, rows = require_spins(post, "basins"), spin_rows(post, data, seed)
    require_number(level, "level", above=0, below=1)
    distinct, index = np.unique(rows.spins, axis=0, return_inverse=True)
    share = np.bincount(index.ravel(), weights=rows.times) / rows.times.sum()
    theta = posteriors.theta_draws(post)
    J, h = matrix(bound, theta.mean((0, 1)))
    states, basin = np.unique(descended(distinct, J, h), axis=0, return_inverse=True)
    basin = basin.ravel()
    weight = np.bincount(basin, weights=share)
    chosen = families.spread(theta, min(require_whole(draws, "draws"), families.available(post)), seed)
    stays, others = [], []
    for one in chosen:
        terms = matrix(bound, one)
        stays.append((states == descended(states, *terms)).all(1))
        ends = descended(distinct, *terms)
        others.append([share[(ends == state).all(1)].sum() for state in states])
    found, order = band(np.array(others), level), np.argsort(-weight, kind="stable")
    inside = (basin[index.ravel()][:, None] == np.arange(len(states))).astype(float)
    beta = float(posteriors.observed_betas(post).mean())
    energy = -beta * (0.5 * np.einsum("bi,ij,bj->b", states, J, states) + states @ h)
    columns = {"energy": energy, "weight": weight, "weight_error": error(inside, rows), "maximum": np.mean(stays, 0)}
    columns |= {"weight_lower": found.lower, "weight_upper": found.upper}
    made = xr.Dataset({name: ("basin", values[order]) for name, values in columns.items()})
    made["state"] = (("basin", "site"), states[order])
    return made.assign_coords(site=labels.sites(bound.lattice.names, bound.lattice.n_sites))


def descended(spins: np.ndarray, J: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Where rows of spins ``(row, n_sites)`` end that flip, one at a time, the spin that lowers −½ s J s − h s most.

    Examples
    --------
    >>> J = np.ones((3, 3)) - np.eye(3)
    >>> descended(np.array([[1, 1, -1], [-1, 1, -1]]), J, np.zeros(3)).tolist()
    [[1, 1, 1], [-1, -1, -1]]
    """
    spins = np.array(spins, np.int8)
    field = spins @ J + h
    least = _TIE * max(np.abs(J).max(initial=0.0), np.abs(h).max(initial=0.0))
    moving = np.arange(len(spins))
    while len(moving):
        align = spins[moving] * field[moving]  # half of what the flip of every spin costs
        site = align.argmin(1)
        still = align[np.arange(len(moving)), site] < -least
        moving, site = moving[still], site[still]
        spins[moving, site] *= -1
        field[moving] += 2.0 * spins[moving, site, None] * J[site]
    return spins
