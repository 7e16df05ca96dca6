"""Learned densities against the microstates they were learned from: moments of ln q, their optimism, and a rival fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hamlearn.infer.densities.recalibration import Observed
from hamlearn.infer.densities.rival import Sides, rival
from hamlearn.infer.training_data import TrainingData, shown
from hamlearn.systems.base import Space

if TYPE_CHECKING:
    from hamlearn.models.densities.evaluate import Evaluator

LEAST_BLOCKS = 20  # independent held-out microstates below which nothing is tested
MOST_ROWS, FEWEST_ROWS, EVALUATIONS = 20_000, 2000, 4_000_000  # a density averaged over a group costs its elements
_FEATURES = 250  # numbers a microstate becomes, besides its sites, while a rival is fitted
_DRAWS, _FEWEST_DRAWS, _SITES_DRAWN = 8192, 200, 2**18  # draws of one network: so many, or what so many sites make


def gather(prepared: TrainingData, space: Space, shape: tuple[int, ...], evaluations: int, bootstrap: Sequence[Any]) -> ObservedRows | None:
    """Microstates that were trained on and held out, thinned to what can be evaluated; None of several temperatures.

    Parameters
    ----------
    prepared : TrainingData
        The data as training read them.
    space, shape : Space, tuple of int
        Values and site axes.
    evaluations : int
        Networks times elements of the group that they are averaged over: what one microstate costs.
    bootstrap : sequence of array (trained rows,)
        Random weights of every network, in the order of what was trained on; empty where all saw the same.
    """
    rows = prepared.rows
    if rows is None or np.ptp(rows.beta):
        return None
    limit = int(np.clip(EVALUATIONS // evaluations, FEWEST_ROWS, MOST_ROWS))
    if prepared.streamed is not None:  # what is read from disk has a memory that it may take
        limit = int(np.clip(prepared.streamed["memory"] // (8 * (_FEATURES + 4 * rows.states.shape[1])), 20, limit))
    heldout, trained = np.flatnonzero(rows.heldout), np.flatnonzero(rows.used)
    heldout = heldout[:: -(-len(heldout) // (limit // 2))]
    trained = trained[:: max(1, -(-len(trained) // (limit - len(heldout))))]
    chosen = np.concatenate([trained, heldout])
    weight = rows.weight[chosen]
    size = rows.size * float(weight.sum() / rows.weight.sum())
    weights = None
    if len(bootstrap) and len(trained):
        place = np.searchsorted(np.flatnonzero(rows.used), trained)
        plain = rows.weight[rows.used] / rows.weight[rows.used].mean()
        weights = np.ones((len(bootstrap), len(chosen)))
        weights[:, : len(trained)] = [(np.asarray(one, float) / plain)[place] for one in bootstrap]
    states = rows.states[chosen]
    values = (space.from_index(states) if space.q else states).reshape(-1, *shape)
    return ObservedRows(values, columns_of(states, space), weight, rows.heldout[chosen], weights, min(rows.ess, size), limit)


def columns_of(rows: np.ndarray, space: Space) -> np.ndarray:
    """One, and what flat rows of indices or values show: products of two columns are means, fields and pairs."""
    return np.concatenate([np.ones((len(rows), 1)), shown(rows[None], space)[0]], 1)


@dataclass(frozen=True, eq=False)
class ObservedRows:
    """Microstates of one temperature as densities are compared with them.

    Attributes
    ----------
    states : array (rows, *sites)
        In the values of the space.
    columns : array (rows, k)
        What they show, as numbers: :func:`columns_of`.
    weight : array (rows,)
        How often each was seen.
    heldout : array of bool (rows,)
        Whether training did not see it.
    bootstrap : array (network, rows), optional
        Weight of every row in the training of every network, 1 on average; None where all saw the same.
    worth : float
        Independent microstates that all of them are worth.
    limit : int
        Draws of all networks that they are compared with, at most.
    """

    states: np.ndarray
    columns: np.ndarray
    weight: np.ndarray
    heldout: np.ndarray
    bootstrap: np.ndarray | None
    worth: float
    limit: int = MOST_ROWS


def compare(networks: Sequence[Evaluator], rows: ObservedRows, seed: int) -> tuple[xr.Dataset, dict[str, float | None]]:
    """Moments of ln q for :func:`of_network`, and the numbers that the verdict reads.

    Parameters
    ----------
    networks : sequence of Evaluator
        Densities of one temperature.
    rows : ObservedRows
        What they were learned from and what was held out.
    seed : int
        Of their own draws.

    Returns
    -------
    Dataset, dict
        ``location``, ``scale`` (member,), ``moments`` (member, moment), ``covariance`` (moment, moment_b); and numbers:
        ``mean_gap`` (held-out mean of ln q above that of own draws, nats) with ``mean_z``; ``spread_ratio`` (standard deviation
        of ln q over own draws, in that of microstates) with ``spread_z``; ``rival_gain`` (nats a held-out microstate by which a
        fit of pair products and of the scale of ln q is better than their mean density) with ``rival_z``; ``optimism``. z is None where
        too little is held out.
    """
    log_q = np.stack([one.log_prob(rows.states) for one in networks])
    observed = _moments(log_q, rows)
    n = own_draws(networks, rows.states[0].size, rows.limit)
    seeds = np.random.SeedSequence(seed).generate_state(len(networks))
    drawn = [one.sample(n, int(start)) for one, start in zip(networks, seeds, strict=True)]
    own = np.stack([one.log_prob(states) for one, states in zip(networks, drawn, strict=True)])
    found = _agreement(log_q, own, rows, observed)
    found |= {"rival_gain": None, "rival_z": None}
    heldout = rows.worth * float(rows.weight[rows.heldout].sum() / rows.weight.sum())
    if heldout >= LEAST_BLOCKS and not rows.heldout.all():
        found["rival_gain"], found["rival_z"] = rival(_sides(networks, log_q, drawn, rows))
    moments = xr.Dataset(
        {
            "location": ("member", observed["location"], {"long_name": "mean of ln q over observed microstates, nats"}),
            "scale": ("member", observed["scale"], {"long_name": "standard deviation of ln q over them, nats"}),
            "moments": (("member", "moment"), observed["moments"], {"long_name": "means of z and z^2, z = (ln q - location)/scale"}),
            "covariance": (("moment", "moment_b"), observed["covariance"], {"long_name": "of the sampling error of the moments"}),
        }
    )
    return moments, found


def own_draws(networks: Sequence[Evaluator], sites: int, limit: int) -> int:
    """Draws of one network, all of which every network judges."""
    members, elements = len(networks), networks[0].elements
    most = min(_DRAWS, _SITES_DRAWN // sites, 2 * _DRAWS // members, EVALUATIONS // (members**2 * elements))
    return min(max(_FEWEST_DRAWS, most), max(20, limit // members))


def of_network(moments: xr.Dataset, index: int) -> Observed:
    """The moments of one network."""
    values = {name: moments[name].values for name in ("location", "scale", "moments", "covariance")}
    return Observed(float(values["location"][index]), float(values["scale"][index]), values["moments"][index], values["covariance"])


def _moments(log_q: np.ndarray, rows: ObservedRows) -> dict[str, Any]:
    """Moments over all microstates less their optimism, where that can be told; over held-out ones otherwise."""
    whole = rows.bootstrap is not None and len(log_q) > 1
    weight = rows.weight if whole else rows.weight * rows.heldout
    worth = rows.worth * float(weight.sum() / rows.weight.sum())
    share = weight / weight.sum()
    location = log_q @ share
    scale = np.sqrt(np.maximum((log_q - location[:, None]) ** 2 @ share, 1e-24))
    z = (log_q - location[:, None]) / scale[:, None]
    columns = np.stack([z, z**2], -1)
    optimism = _optimism(log_q, rows, location, scale) if whole else np.zeros((len(log_q), 2))
    deviation = columns - np.einsum("r,krm->km", share, columns)[:, None]
    covariance = np.einsum("r,krm,krn->mn", share, deviation, deviation) / len(log_q) / max(worth, 1.0)
    trained = float((share * ~rows.heldout).sum())
    moments = np.einsum("r,krm->km", share, columns) - trained * optimism
    return {
        "location": location,
        "scale": scale,
        "moments": moments,
        "covariance": covariance,
        "optimism": float((optimism[:, 0] * scale).mean()) if whole else None,
    }


def _optimism(log_q: np.ndarray, rows: ObservedRows, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """By how much moments over the training microstates exceed those over new ones, from the networks' random weights of these.

    A network that gave a microstate twice the weight of the others knows it better: the mean of (weight − 1) times what is seen
    beyond the other networks' is what one unit of weight does to the microstate itself (an infinitesimal jackknife, for the
    weights are independent with variance 1). Its noise is far below that of the held-out mean, which the sampling of
    microstates dominates.
    """
    assert rows.bootstrap is not None
    trained = ~rows.heldout
    share = rows.weight[trained] / rows.weight[trained].sum()
    found = np.empty((len(log_q), 2))
    for k, (own, where, unit) in enumerate(zip(log_q, location, scale, strict=True)):
        others = np.delete(log_q, k, 0)
        z, z_others = (own[trained] - where) / unit, (others[:, trained] - where) / unit
        beyond = np.stack([z - z_others.mean(0), z**2 - (z_others**2).mean(0)], -1)
        found[k] = ((rows.bootstrap[k, trained] - 1) * share) @ beyond
    return found


def _agreement(log_q: np.ndarray, own: np.ndarray, rows: ObservedRows, observed: dict[str, Any]) -> dict[str, float | None]:
    """Mean and spread of ln q over microstates against the networks' own draws, pooled over networks."""
    n = own.size
    heldout = rows.weight * rows.heldout
    worth = rows.worth * float(heldout.sum() / rows.weight.sum())
    pooled = log_q.mean(0)
    share = heldout / max(heldout.sum(), 1e-300)
    variance = float(share @ (pooled - share @ pooled) ** 2)
    gap = float(share @ pooled - own.mean())
    error = np.sqrt(variance / max(worth, 1.0) + own.var() / n)
    enough = worth >= LEAST_BLOCKS
    moments = observed["moments"].mean(0)
    second = float(moments[1] - moments[0] ** 2)
    z_own = (own - observed["location"][:, None]) / observed["scale"][:, None]
    of_own = z_own.var(1)
    gradient = np.array([-2 * moments[0], 1.0])
    noise = gradient @ observed["covariance"] @ gradient + ((z_own - z_own.mean(1, keepdims=True)) ** 2).var() / n
    return {
        "mean_gap": gap,
        "mean_z": gap / float(error) if enough else None,
        "spread_ratio": float(np.sqrt(of_own.mean() / max(second, 1e-12))),
        "spread_z": float((of_own.mean() - second) / np.sqrt(noise)) if enough else None,
        "optimism": observed["optimism"],
        "entropy_data": float(-(observed["location"] + observed["scale"] * observed["moments"][:, 0]).mean()),
        "entropy_data_error": float(observed["scale"].mean() * np.sqrt(observed["covariance"][0, 0])),
        "rows": len(rows.weight),
        "heldout_worth": worth,
    }


def _sides(networks: Sequence[Evaluator], log_q: np.ndarray, drawn: list[np.ndarray], rows: ObservedRows) -> Sides:
    """What a rival fit reads: a draw of one network is a draw of their mean, and all of them judge it."""
    space, trained = networks[0].space, ~rows.heldout
    halves = []
    for part in (slice(0, None, 2), slice(1, None, 2)):  # one half of the draws fits, the other normalises
        states = np.concatenate([one[part] for one in drawn])
        flat = states.reshape(len(states), -1)
        columns = columns_of(space.index(flat) if space.q else flat, space)
        halves.append((columns, np.stack([one.log_prob(states) for one in networks]).mean(0)))
    weigh = lambda mask: rows.weight[mask] / rows.weight[mask].sum()
    worth = lambda mask: rows.worth * float(rows.weight[mask].sum() / rows.weight.sum())
    of = lambda mask: (rows.columns[mask], log_q.mean(0)[mask])
    return Sides(of(trained), weigh(trained), worth(trained), of(rows.heldout), weigh(rows.heldout), worth(rows.heldout), *halves)
