"""The kind of :class:`hamlearn.models.ExtrapolatedAction`: learned densities joined at a temperature nobody observed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import kinds, tree
from hamlearn.infer.densities import sample
from hamlearn.infer.extrapolate import findings, identity_weights, merged_record
from hamlearn.models.extrapolated import ExtrapolatedAction
from hamlearn.systems.base import System
from hamlearn.systems.sampling import simulate
from hamlearn.systems.weighted import JoinedAction

DENSITIES = ("autoregressive", "flow")  # kinds that are drawn from directly
_STATES = 512  # on which members of an ensemble are compared
_MEMBERS = 16


def join(posts: list[xr.DataTree], beta: float, seed: int, states: np.ndarray | None = None) -> xr.DataTree:
    """Learned densities of one kind at `beta`; `states` are where their members are compared (near the target ensemble)."""
    betas = [_single_beta(post) for post in posts]
    shapes = {tree.site_shape(post) for post in posts}
    path = tree.space_of(posts[0]).name == "reals" and len(tree.site_shape(posts[0])) == 1
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
    variances, how = _disagreement(posts, beta, seed, states)
    error = None if variances is None else float(weights**2 @ variances)
    facts: dict[str, Any] = {"fixed": "sites", "from_beta": betas, "agreement": None, "weights": weights.tolist()}
    facts |= {"amplification": float((weights**2).sum()), "error_variance": error, "unseen_share": None, "how": how}
    facts["predicted_ess"] = None if error is None else float(np.exp(-error))
    record = merged_record(posts, facts, seed)
    record["engine"], record["prior_share"] = {"name": "identity"}, []
    record["findings"] = [*record.get("findings", []), *findings(facts, beta)]
    if error is not None:
        # What all networks of an ensemble get wrong is not in their spread; it can only be seen from outside.
        what = "the predicted effective sample size counts only what the members of the ensembles do not share"
        advice = "Reweight between the joined and a simulated action (hl.infer.compare_actions) before relying on it."
        record["findings"].append({"severity": "caution", "topic": "extrapolation", "what": what, "advice": advice})
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
        "record": json.dumps(record),
    }
    return joined


def _single_beta(post: xr.DataTree) -> float:
    found = np.unique(tree.observed_betas(post))
    if len(found) > 1:
        raise HamlearnError(
            f"this density was learned at several temperatures {found.tolist()}: it needs no identity, ask it at the wanted beta directly."
        )
    return float(found[0])


def sources(post: xr.DataTree) -> list[xr.DataTree]:
    """The posteriors that were joined."""
    return [post.children[f"source_{k}"] for k in range(len(tree.model_of(post).betas))]


def _disagreement(posts: list[xr.DataTree], beta: float, seed: int, states: np.ndarray | None) -> tuple[np.ndarray | None, str]:
    """Variance over states of how far members of each ensemble deviate from its mean; None where there is one member."""
    if states is None:
        nearest = min(posts, key=lambda post: abs(np.log(_single_beta(post) / beta)))
        states = _draw(nearest, seed)
        how = "spread of the ensembles on states drawn at the nearest observed temperature"
    else:
        how = "spread of the ensembles on the given states"
    if states is None:
        return None, "not known: the densities cannot be sampled"
    found = []
    for post in posts:
        own = _single_beta(post)
        systems = kinds.of(post).members(post, _MEMBERS, seed, None)
        values = np.stack([np.asarray(system.action(states, own)) for system in systems])
        values = np.unique(values.round(10), axis=0)  # an ensemble of a few networks repeats them
        if len(values) < 2:
            return None, "not known: one member has no spread"
        deviation = values - values.mean(0)
        found.append(float(deviation.var(1).mean() * len(values) / (len(values) - 1)))
    return np.array(found), how


def _draw(post: xr.DataTree, seed: int) -> np.ndarray | None:
    """States near the ensemble of a posterior: from the density itself, or by simulating a member."""
    shape = tree.site_shape(post)
    try:
        if kinds.kind_name(post) in DENSITIES:
            return sample(post, _STATES, seed)["state"].values.reshape(-1, *shape)
        member = kinds.of(post).members(post, 1, seed, None)[0]
        data = simulate(member, beta=_single_beta(post), draws=_STATES // 8, chains=8, seed=seed, progress=False)
        return data["state"].values.reshape(-1, *shape)
    except HamlearnError:
        return None


def learn(data: Any, model: Any, **settings: Any) -> xr.DataTree:
    """Refused: nothing is left to learn."""
    raise HamlearnError("an extrapolated action is made by hl.extrapolate from learned densities, not learned from data.")


def members(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Joined actions, each of one member of every source."""
    if shape is not None and tuple(shape) != tree.site_shape(post):
        raise HamlearnError(f"densities were learned on {tree.site_shape(post)} sites and know no others; got shape {tuple(shape)}.")
    model = tree.model_of(post)
    drawn = [kinds.of(source).members(source, n, seed + 101 * k, None) for k, source in enumerate(sources(post))]
    return [JoinedAction(parts, model.betas) for parts in zip(*drawn, strict=True)]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """The weights of the sources, which are known."""
    betas = tree.model_of(post).betas
    return [f"weight[beta={beta:g}]" for beta in betas], np.asarray(post["posterior"]["weight"].values)
