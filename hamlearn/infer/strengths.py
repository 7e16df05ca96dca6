"""One number for how strongly two sites interact: for rankings of pairs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr

from hamlearn.arguments import require_number, require_whole
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, labels, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.doubts import doubting
from hamlearn.models import BoundCouplings
from hamlearn.processes import verb
from hamlearn.systems.potts import zero_sum

_DRAWS = 200  # that rank the pairs: a probability is known to 0.03


@verb
def interaction_strength(post: xr.DataTree, *, ignore_state: int | None = None, average_product_correction: bool = False) -> xr.DataArray:
    """Strength of every bond at the optimum: abs J, or the Frobenius norm of a zero-sum coupling table.

    Parameters
    ----------
    post : DataTree
        A posterior.
    ignore_state : int, optional
        A state whose rows and columns are left out of the norm (the gap of an alignment).
    average_product_correction : bool
        Subtract the product of the sites' mean strengths over the overall mean, which takes out what a site shares
        with all others (Dunn, Wahl & Gloor 2008); needs all pairs.

    Returns
    -------
    DataArray
        Over ``bond``, with coordinates ``site_i`` and ``site_j``, the sites it joins.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.microstates([[1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, -1], [-1, -1, -1]])
    >>> hl.infer.interaction_strength(hl.infer.learn(data, hl.models.Couplings(None), engine="map")).dims
    ('bond',)
    """
    post = admit_posterior(post)
    J = _couplings(post)
    bonds = posteriors.bound_of(post).lattice.bonds
    values = _strengths(np.asarray(J.values), bonds, ignore_state, average_product_correction)
    ends = {name: ("bond", end) for name, end in zip(labels.ENDS, bonds.T.copy(), strict=True)}
    return xr.DataArray(values, dims="bond", coords={"bond": J["bond"], **ends}, name="interaction_strength")


@verb
@doubting
def contacts(
    post: xr.DataTree,
    *,
    min_separation: int = 1,
    ignore_state: int | None = None,
    average_product_correction: bool = True,
    among: int | None = None,
    level: float = 0.9,
) -> pd.DataFrame:
    """Pairs of sites ranked by the strength of their interaction, with how sure their ranks are.

    The strength is that of :func:`interaction_strength`, of couplings between all pairs by default with its correction. Every draw of the
    posterior ranks the pairs anew: ranks have intervals, and each pair a probability to be among the first.

    Parameters
    ----------
    post : DataTree
        A posterior of couplings.
    min_separation : int
        Pairs whose sites are closer along the chain are left out; sites whose names are whole numbers (columns of an alignment) are as far
        apart as these say. Neighbours in a sequence touch anyway; 5 is usual for proteins.
    ignore_state : int, optional
        A state that is left out of strengths: 0, the gap, of an alignment.
    average_product_correction : bool
        Whether what a site shares with all others is taken out; needs all pairs.
    among : int, optional
        How many pairs are the first ones, of which `probability` speaks; as many as there are sites by default.
    level : float
        Of the intervals of ranks.

    Returns
    -------
    DataFrame
        A row per pair, the strongest first, numbered by its rank from 1: ``site_i``, ``site_j`` (names, or numbers from 0), ``strength`` at
        the optimum, ``probability`` to be among the first, and ``rank_lower``, ``rank_upper``.

    Raises
    ------
    HamlearnError
        If the posterior has no couplings, a number is out of its range, or no pair is far enough apart.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((4,), h=0.1), beta=0.6, draws=400, seed=0)
    >>> post = hl.infer.learn(data, hl.models.Couplings(None), engine="laplace")
    >>> sorted(hl.infer.contacts(post, average_product_correction=False)[["site_i", "site_j"]].iloc[4:].values.tolist())
    [['0', '2'], ['1', '3']]
    """
    post = admit_posterior(post)
    require_whole(min_separation, "min_separation", 0)
    require_number(level, "level", above=0, below=1)
    point, bound = _couplings(post), posteriors.bound_of(post)
    bonds, names = bound.lattice.bonds, posteriors.site_names(post) or tuple(map(str, range(bound.lattice.n_sites)))
    if average_product_correction and len(bonds) < math.comb(bound.lattice.n_sites, 2):
        raise HamlearnError("average_product_correction needs couplings between all pairs of sites: give average_product_correction=False.")
    places = np.array(list(map(int, names))) if all(name.isdecimal() for name in names) else np.arange(len(names))
    far = np.abs(np.diff(places[bonds], axis=1))[:, 0] >= min_separation
    if not far.any():
        raise HamlearnError(f"no two sites are {min_separation} apart: lower min_separation.")
    among = min(len(names), int(far.sum())) if among is None else require_whole(among, "among", 1)
    strengths = lambda J: _strengths(np.asarray(J), bonds, ignore_state, average_product_correction)[far]
    draws = post["posterior"].to_dataset()["J"].values
    draws = draws.reshape(-1, *draws.shape[2:])
    chosen = draws[np.linspace(0, len(draws) - 1, min(len(draws), _DRAWS)).astype(int)]
    ranks = np.array([scipy.stats.rankdata(-strengths(J), method="ordinal") for J in chosen])
    lower, upper = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=0, method="nearest")
    value = strengths(point.values)
    table = pd.DataFrame(
        {
            "site_i": [names[i] for i in bonds[far, 0]],
            "site_j": [names[j] for j in bonds[far, 1]],
            "strength": value,
            "probability": (ranks <= among).mean(0),
            "rank_lower": lower.astype(int),
            "rank_upper": upper.astype(int),
        }
    )
    return table.iloc[np.argsort(-value, kind="stable")].set_axis(pd.RangeIndex(1, len(value) + 1, name="rank"))


def _couplings(post: xr.DataTree) -> xr.DataArray:
    J = post["point"].to_dataset().get("J")
    if J is None or not families.traits(post).bonds:
        raise HamlearnError("interaction strengths are those of couplings J; this posterior has none.")
    return J


def single_couplings(post: xr.DataTree, what: str) -> tuple[BoundCouplings, np.ndarray]:
    """The bound model and J ``(chain, draw, bond)`` of a posterior whose couplings are one number a bond; `what` needs them."""
    J = post["posterior"].to_dataset().get("J") if families.traits(post).bonds else None
    if J is None or J.ndim != 3:
        told = "this posterior has none" if J is None else "these are tables; hl.infer.contacts(post) ranks pairs by their strength"
        raise HamlearnError(f"{what} of couplings that are one number a bond; {told}.")
    return posteriors.bound_of(post), J.values


def _strengths(values: np.ndarray, bonds: np.ndarray, ignore_state: int | None, average_product_correction: bool) -> np.ndarray:
    """One number for every bond, of couplings ``(bond,)`` or tables ``(bond, q, q)``."""
    if values.ndim == 3:
        kept = np.delete(np.arange(values.shape[1]), [] if ignore_state is None else [ignore_state])
        values = np.linalg.norm(zero_sum(values)[:, kept][:, :, kept], axis=(1, 2))
    else:
        values = np.abs(values)
    if average_product_correction:
        i, j = bonds.T
        n = int(max(i.max(), j.max())) + 1
        total = np.bincount(i, values, n) + np.bincount(j, values, n)
        mean = total / np.maximum(np.bincount(i, minlength=n) + np.bincount(j, minlength=n), 1)
        values = values - mean[i] * mean[j] / (values.mean() or 1.0)  # of couplings that are all zero nothing is taken off
    return values
