"""Which three spins do more together than pairs explain: connected third moments of the data against those of the learned pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr

from hamlearn.arguments import require_number, require_seed, shown
from hamlearn.diagnostics.verdict import judged
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.predictions.annealed import refusal, weighted_states
from hamlearn.infer.shares import TRUSTED
from hamlearn.infer.spin_rows import require_spins, spin_rows
from hamlearn.models import BoundCouplings
from hamlearn.processes import verb
from hamlearn.systems import exact

MOST_TRIPLES = 5000  # of 32 sites
_LISTED = 14  # sites, whose states are all listed
_WALKS = 20_000  # states of larger models
_CHUNK = 512  # triples
_EVENTS = 10  # rows that a test rests on, at least
_ROUNDING = 1e-12  # of a variance, of products of order one


@verb
@judged
def triplets(
    post: xr.DataTree, data: Any, *, sites: Sequence[Any] | None = None, false_discovery_rate: float = 0.1, seed: int = 0
) -> pd.DataFrame:
    """Triples of spins whose connected third moment is not what the learned pairs and fields make of it.

    Every triple is a score test of the coupling K that its product would have in the energy: what the fit has taken up of it through
    fields and pairs is projected out, so that errors of the fit do not enter. The list is that of Benjamini and Hochberg. Each is tested
    alone: a strong product also moves those of triples that share spins with it, or are coupled to it, and these are listed with it.

    Parameters
    ----------
    post : DataTree
        A posterior of couplings of spins.
    data : Dataset or list of Datasets
        Microstates at the temperature it was learned at, the same ones or others.
    sites : sequence of names or numbers, optional
        Among which triples are asked for; among all by default, up to 32.
    false_discovery_rate : float
        Largest expected share of triples in the list for which pairs are enough.
    seed : int
        Of the model's states, where they cannot be listed.

    Returns
    -------
    DataFrame
        A row for every triple, the surest first: ``site_i``, ``site_j``, ``site_k``; ``observed`` and ``predicted``, the mean of
        (s_i − m_i)(s_j − m_j)(s_k − m_k) in data and model with the means m of the data; ``strength``, βK to first order, and
        ``strength_error``; ``z``, ``q_value``, ``found``. Triples that fewer than ten rows would tell of, by the model, are not tested:
        strength to q_value are nan, and they come last.

    Raises
    ------
    HamlearnError
        If there are too many sites, several temperatures, or nothing that samples the model.

    Notes
    -----
    Rao's score test (C. R. Rao, Proc. Camb. Phil. Soc. 44, 50 (1948)). Rows count as many as they are worth: τ is that of the posterior's
    record.

    Examples
    --------
    >>> import hamlearn as hl
    >>> rng = np.random.default_rng(0)
    >>> states = rng.choice([-1, 1], size=(5000, 5))
    >>> states[:, 4] = np.where(rng.random(5000) < 0.7, states[:, 0] * states[:, 2], states[:, 4])
    >>> data = hl.microstates(states, space="spins", independent=True)
    >>> post = hl.infer.learn(data, hl.models.Couplings(None), engine="laplace")
    >>> hl.diagnostics.triplets(post, data)[["site_i", "site_j", "site_k", "found"]].values[0].tolist()
    ['0', '2', '4', True]
    """
    post, seed = admit_posterior(post), require_seed(seed)
    require_number(false_discovery_rate, "false_discovery_rate", above=0, below=1)
    bound, betas = require_spins(post, "triplets"), posteriors.observed_betas(post)
    if len(betas) > 1:
        raise HamlearnError(f"triplets are of one temperature; this posterior was learned at {len(betas)}: learn from one of them.")
    chosen = _chosen(bound, sites)
    triples = np.array(list(itertools.combinations(chosen, 3)))
    rows = spin_rows(post, data, seed)
    spins, index = np.unique(rows.spins, axis=0, return_inverse=True)
    share = np.bincount(index.ravel(), weights=rows.times) / rows.times.sum()
    means = share @ spins
    worth = rows.worth / max(posteriors.provenance_of(post).calibration.tau, 1.0)
    states, weight = _model(bound, posteriors.theta_point(post), float(betas[0]), seed)
    fitted = _fitted(bound, states)
    middle = weight @ fitted
    away = sum(part @ _fitted(bound, rows) for part, rows in _pieces(share, spins)) - middle
    spread = (fitted * weight[:, None]).T @ fitted - np.outer(middle, middle)
    solve = np.linalg.pinv(spread, rcond=1e-10, hermitian=True)
    noise = 1 / worth + (float((weight**2).sum()) if len(states) < 2**bound.lattice.n_sites else 0.0)
    found = []
    for start in range(0, len(triples), _CHUNK):
        three = triples[start : start + _CHUNK]
        products = _products(states - means, three)
        here, there = weight @ products, sum(part @ _products(one - means, three) for part, one in _pieces(share, spins))
        taken = solve @ ((fitted * weight[:, None]).T @ products - np.outer(middle, here))
        left = products - here - (fitted - middle) @ taken
        variance = weight @ left**2
        # Of rare coincidences this is the number of rows that are expected to have them.
        events = worth * variance**2 / np.maximum(weight @ left**4, 1e-300)
        variance = np.where((variance > _ROUNDING) & (events >= _EVENTS), variance, np.nan)
        excess = there - here - away @ taken
        found.append(np.stack([there, here, excess / variance, np.sqrt(noise / variance)], 1))
    return _table(bound, triples, np.concatenate(found), false_discovery_rate)


def _chosen(bound: BoundCouplings, sites: Sequence[Any] | None) -> np.ndarray:
    """Numbers of the sites, which may be given by name."""
    n, names = bound.lattice.n_sites, bound.lattice.names
    chosen = list(range(n)) if sites is None else [names.index(one) if one in names else one for one in sites]
    if any(isinstance(one, bool) or not isinstance(one, int | np.integer) or not 0 <= one < n for one in chosen):
        raise HamlearnError(f"sites must be names or numbers from 0 to {n - 1}; got {shown(sites)}.")
    count = math.comb(len(set(chosen)), 3)
    if not count or count > MOST_TRIPLES:
        what = "no triple" if not count else f"{count} triples of {len(chosen)} sites, of {MOST_TRIPLES} at most"
        raise HamlearnError(f"{what}: choose from 3 to 32 sites, such as sites=[0, 1, 2].")
    return np.unique(chosen)


def _model(bound: BoundCouplings, theta: np.ndarray, beta: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """States of the model ``(state, n_sites)`` with weights that add up to one: all, or those of annealed walks."""
    system, n = bound.system(theta), bound.lattice.n_sites
    if n <= _LISTED:
        states, weight = exact.distribution(system, beta)
        return states.reshape(-1, n).astype(float), weight
    if reason := refusal([system]):
        raise HamlearnError(f"nothing samples this model for its triplets: {reason}.")
    states, weight, share = weighted_states(system, beta, _WALKS, seed)
    if share < TRUSTED:
        raise HamlearnError(f"annealed walks cannot sample this model (effective share {share:.2g}): it is too cold for its triplets.")
    return states.reshape(-1, n).astype(float), weight


def _fitted(bound: BoundCouplings, spins: np.ndarray) -> np.ndarray:
    """What the model was fitted to, of rows of spins ``(row, parameter)``: sums of spins and of pairs that share a parameter."""
    i, j = np.asarray(bound.lattice.bonds).T
    parts = []
    for values, group in ((spins[:, i] * spins[:, j], bound.bond_group), (spins, bound.field_group)):
        if len(group):
            parts.append(values @ (group[:, None] == np.arange(group.max() + 1)))
    return np.concatenate(parts, 1).astype(float)


def _products(centred: np.ndarray, triples: np.ndarray) -> np.ndarray:
    return np.asarray(centred[:, triples[:, 0]] * centred[:, triples[:, 1]] * centred[:, triples[:, 2]])


def _pieces(share: np.ndarray, spins: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    count = -(-len(spins) // _WALKS)
    return list(zip(np.array_split(share, count), np.array_split(spins.astype(float), count), strict=True))


def _table(bound: BoundCouplings, triples: np.ndarray, found: np.ndarray, rate: float) -> pd.DataFrame:
    """The list, of columns observed, predicted, strength and its error."""
    observed, predicted, strength, error = found.T
    z = strength / error
    tested, q_value = np.isfinite(z), np.full(len(z), np.nan)
    if tested.any():
        q_value[tested] = scipy.stats.false_discovery_control(2 * scipy.stats.norm.sf(np.abs(z[tested])))
    names = {f"site_{end}": [bound.lattice.word(site) for site in triples[:, k]] for k, end in enumerate("ijk")}
    columns = {"observed": observed, "predicted": predicted, "strength": strength, "strength_error": error, "z": z, "q_value": q_value}
    table = pd.DataFrame({**names, **columns, "found": q_value <= rate})
    return table.iloc[np.argsort(-np.nan_to_num(np.abs(z), nan=-1.0), kind="stable")].reset_index(drop=True)
