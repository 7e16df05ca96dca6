"""The kind of :class:`hamlearn.models.ExtrapolatedAction`: learned densities joined at a temperature nobody observed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.densities.verbs import sample
from hamlearn.infer.extrapolation.extrapolate import findings, identity_weights, merged_provenance
from hamlearn.infer.extrapolation.support import annealed, path_features, unseen_share
from hamlearn.infer.predictions.agreement import scatter
from hamlearn.infer.provenance import EngineUsed, Noted
from hamlearn.models.extrapolated import ExtrapolatedAction
from hamlearn.statistics import first_largest
from hamlearn.systems.base import System
from hamlearn.systems.sampling import simulate
from hamlearn.systems.weighted import JoinedAction

_STATES = 128  # of the target ensemble: shares to 4 %, variances to 12 %
_OBSERVED = 2048  # draws of each density that say what it was shown
_MEMBERS = 16
_COUNTS = 0.05  # a source of less weight than that, relative to the largest, may be wrong where it saw nothing


def join(posts: list[xr.DataTree], beta: float, seed: int, states: np.ndarray | None = None) -> xr.DataTree:
    """Learned densities of one kind at `beta`; `states` are draws of the target ensemble, if there are any.

    Without them the joined action itself is sampled, approximately: what is predicted is judged where it claims to be.
    """
    betas = [_single_beta(post) for post in posts]
    shapes = {posteriors.site_shape(post) for post in posts}
    path = posteriors.space_of(posts[0]).unbounded and len(posteriors.site_shape(posts[0])) == 1
    if len(shapes) > 1:
        raise HamlearnError(
            f"mixed lattice spacings: the densities live on different sites {sorted(shapes)}; the identity needs one number of time slices."
        )
    if not path and len(posts) > 1:
        raise HamlearnError(
            "a classical system (S = beta H) is extrapolated from one temperature: give the posterior nearest to the wanted beta, "
            "or learn one density of all data."
        )
    weights = identity_weights(betas, beta) if path else np.array([beta / betas[0]])
    model = ExtrapolatedAction([json.loads(post.attrs["model"]) for post in posts], betas)
    observed = [_draw(post, seed + index) for index, post in enumerate(posts)]
    where = "the given states"
    if states is None:
        states, where = _target(posts, observed, betas, beta, seed)
    unseen = None if states is None else _unseen(posts, observed, states, path)
    variances, how = (None, where) if states is None else _disagreement(posts, states, seed, where)
    error = None if variances is None else float(weights**2 @ variances)
    facts: dict[str, Any] = {"fixed": "sites", "from_beta": betas, "agreement": None, "weights": weights.tolist()}
    facts |= {"amplification": float((weights**2).sum()), "error_variance": error, "how": how}
    facts |= {"unseen_share": None, "unseen_by_source": None, "networks": True}
    if unseen is not None:
        needed = [share for share, weight in zip(unseen, weights, strict=True) if abs(weight) > _COUNTS * np.abs(weights).max()]
        facts |= {"unseen_share": max(needed), "unseen_by_source": unseen}
    facts["predicted_ess"] = None if error is None else float(np.exp(-error))
    found = findings(facts, beta)
    if error is not None:
        # What all networks of an ensemble get wrong is not in their spread; it can only be seen from outside.
        found = (*found, Noted("shared errors unseen", "caution", "extrapolation"))
    merged = merged_provenance(posts, facts, seed)
    provenance = replace(merged, engine=EngineUsed("identity"), prior_share=(), findings=(*merged.findings, *found))
    draws = np.broadcast_to(weights, (1, _MEMBERS, len(weights))).copy()
    coords = {"chain": [0], "draw": np.arange(_MEMBERS), "source_beta": ("source", betas)}
    posterior = xr.Dataset({"weight": (("chain", "draw", "source"), draws)}, coords=coords)
    joined = xr.DataTree.from_dict({"posterior": posterior, **{f"source_{k}": post.copy() for k, post in enumerate(posts)}})
    for k, post in enumerate(posts):
        joined[f"source_{k}"].attrs = dict(post.attrs)
    first = posts[0]
    joined.attrs = {
        **first.attrs,
        "model": json.dumps(model.to_dict()),
        "beta": json.dumps([beta]),
    }
    return posteriors.recorded(joined, provenance)


def _single_beta(post: xr.DataTree) -> float:
    found = np.unique(posteriors.observed_betas(post))
    if len(found) > 1:
        raise HamlearnError(
            f"this density was learned at several temperatures {found.tolist()}: it needs no identity, ask it at the wanted beta directly."
        )
    return float(found[0])


def sources(post: xr.DataTree) -> list[xr.DataTree]:
    """The posteriors that were joined."""
    return [post.children[f"source_{k}"] for k in range(len(posteriors.model_of(post).betas))]


def _target(
    posts: list[xr.DataTree], observed: list[np.ndarray | None], betas: list[float], beta: float, seed: int
) -> tuple[np.ndarray | None, str]:
    """Draws of the joined action, reached from those of the density at the nearest temperature; None where it has none."""
    nearest = first_largest(-np.abs(np.log(np.array(betas) / beta)))
    start = observed[nearest]
    if start is None:
        return None, "not known: the densities cannot be sampled"
    parts = [families.of(post).draw_systems(post, 1, seed, None)[0] for post in posts]
    joined = JoinedAction(parts, betas)
    own = lambda rows: np.asarray(parts[nearest].action(rows, betas[nearest]), float)
    # Of a set ordered like a chain, evenly spaced ones.
    chosen = start[np.linspace(0, len(start) - 1, min(_STATES, len(start))).astype(int)]
    drawn = annealed(chosen, own, lambda rows: np.asarray(joined.action(rows, beta), float), joined.space, seed)
    return drawn, f"{len(drawn)} states of the joined action"


def _unseen(posts: list[xr.DataTree], observed: list[np.ndarray | None], states: np.ndarray, path: bool) -> list[float] | None:
    """Share of the target's states that leave what each source was shown."""
    found = []
    for post, seen in zip(posts, observed, strict=True):
        if seen is None:
            return None
        if path:
            found.append(unseen_share(path_features(states), path_features(seen)))
            continue
        system = families.of(post).draw_systems(post, 1, 0, None)[0]
        energies = [np.asarray(system.energy(rows), float)[:, None] for rows in (states, seen)]
        found.append(unseen_share(*energies, below=True))
    return found


def _disagreement(posts: list[xr.DataTree], states: np.ndarray, seed: int, where: str) -> tuple[np.ndarray | None, str]:
    """Variance over states of how far members of each ensemble deviate from its mean; None where there is one member."""
    found = []
    for post in posts:
        own = _single_beta(post)
        systems = families.of(post).draw_systems(post, _MEMBERS, seed, None)
        variance = scatter(np.stack([np.asarray(system.action(states, own)) for system in systems]))
        if variance is None:
            return None, "not known: one member has no spread"
        found.append(float(variance))
    return np.array(found), f"spread of the ensembles on {where}"


def _draw(post: xr.DataTree, seed: int) -> np.ndarray | None:
    """States of the ensemble of a posterior, which stand for the data it saw: of the density itself, or simulated."""
    shape = posteriors.site_shape(post)
    try:
        if families.traits(post).density:
            count = -(-_OBSERVED // post["weights"].sizes["member"])
            return sample(post, count, seed)["state"].values.reshape(-1, *shape)
        member = families.of(post).draw_systems(post, 1, seed, None)[0]
        data = simulate(member, beta=_single_beta(post), draws=_OBSERVED // 8, chains=8, seed=seed, progress=False)
        return data["state"].values.reshape(-1, *shape)
    except HamlearnError:
        return None


def learn(data: Any, model: Any, **settings: Any) -> xr.DataTree:
    """Refused: nothing is left to learn."""
    raise HamlearnError("an extrapolated action is made by hl.extrapolate from learned densities, not learned from data.")


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Joined actions, each of one member of every source."""
    if shape is not None and tuple(shape) != posteriors.site_shape(post):
        raise HamlearnError(f"densities were learned on {posteriors.site_shape(post)} sites and know no others; got shape {tuple(shape)}.")
    model = posteriors.model_of(post)
    drawn = [families.of(source).draw_systems(source, n, seed + 101 * k, None) for k, source in enumerate(sources(post))]
    return [JoinedAction(parts, model.betas) for parts in zip(*drawn, strict=True)]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """The weights of the sources, which are known."""
    betas = posteriors.model_of(post).betas
    return [f"weight[beta={beta:g}]" for beta in betas], np.asarray(post["posterior"]["weight"].values)
