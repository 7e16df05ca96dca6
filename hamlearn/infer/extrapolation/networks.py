"""A network action at another temperature: its own draws there say what to expect, and what of them no data held."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.families import network_actions, network_evidence, network_selection
from hamlearn.infer.provenance import Noted
from hamlearn.systems import exact

PATHS, MEMBERS = 1000, 200
_MANY = 1e-3  # share of steps or values that no data held, beyond which it is said


def at_temperature(post: xr.DataTree, beta: float, seed: int) -> dict[str, Any]:
    """What the posterior expects of itself at `beta`, by exact paths of its optimum there.

    Returns
    -------
    dict
        ``predicted_ess``, the mean over members of the effective share of these paths when each member is taken for the truth, and over
        the forms that the data allow, each as much as it is believed; ``least_ess``, the least of these forms' (None of one form);
        ``error_variance``, the mean variance of a member's action less the optimum's; ``amplification`` of that variance over the least
        at an observed temperature; ``unseen_steps`` and ``unseen_values``, shares of steps and values beyond the outermost units;
        ``unseen_share``, of paths that have any.
    """
    bound = network_actions.bound_of(post)
    here = _errors(post, bound, beta, seed, PATHS)
    betas = np.unique(posteriors.observed_betas(post))
    observed = [_errors(post, bound, float(one), seed, PATHS // 4)["error_variance"] for one in betas]
    return {**here, "amplification": here["error_variance"] / max(min(observed), 1e-300)}


def _errors(post: xr.DataTree, bound: Any, beta: float, seed: int, count: int) -> dict[str, Any]:
    draws = network_actions.theta_of(post["posterior"].to_dataset())
    best = network_actions.theta_of(post["point"].to_dataset())
    paths = exact.sample(bound.system(best), beta, count, seed=seed)
    theta = families.spread(draws, MEMBERS, seed)
    error = bound.terms(paths, beta) @ (theta - best).T
    share = float((_shares(error) * bound.confining(theta)).mean())
    expected, least = share, None
    allowed = network_evidence.rivals(post["selection"].to_dataset()) if "selection" in post.children else []
    if allowed:
        whole = replace(bound, form=network_selection.largest_form(bound.model))
        terms, own = whole.terms(paths, beta), bound.terms(paths, beta) @ best
        others = [float(_shares(error + (terms @ other - own)[:, None]).mean()) for other, _ in allowed]
        belief = np.array([one for _, one in allowed])
        expected, least = float(share * (1 - belief.sum()) + belief @ others), min(share, *others)
    steps, (longest, low, high) = np.abs(np.roll(paths, -1, -1) - paths), bound.extent
    far, out = steps > longest, (paths < low) | (paths > high)
    return {
        "predicted_ess": expected,
        "least_ess": least,
        "error_variance": float(error.var(0).mean()),
        "unseen_steps": float(far.mean()),
        "unseen_values": float(out.mean()),
        "unseen_share": float((far | out).any(-1).mean()),
    }


def _shares(error: np.ndarray) -> np.ndarray:
    """Effective shares ``(member,)`` of paths that are weighted to actions differing by `error` ``(path, member)``."""
    weight = np.exp(-(error - error.min(0)))
    found: np.ndarray = weight.sum(0) ** 2 / (weight**2).sum(0) / len(weight)
    return found


def extrapolated(post: xr.DataTree, beta: float, seed: int) -> xr.DataTree:
    """The same posterior, judged at another temperature."""
    from hamlearn.infer.extrapolation.extrapolate import findings, unless_contradicted

    old = sorted({float(one) for one in posteriors.observed_betas(post)})
    facts = at_temperature(post, beta, seed)
    bound, provenance = network_actions.bound_of(post), posteriors.provenance_of(post)
    facts |= {"fixed": "sites", "from_beta": old, "agreement": provenance.more.get("agreement"), "networks": False}
    facts["how"] = f"{PATHS} exact paths of the optimum"
    facts = unless_contradicted(facts, [provenance])
    found = list(findings({**facts, "unseen_share": None}, beta))
    if max(facts["unseen_steps"], facts["unseen_values"]) > _MANY:
        numbers = {name: facts[name] for name in ("unseen_steps", "unseen_values", "unseen_share")} | {"beta": beta}
        numbers["networks"] = bool(bound.form.steps or bound.form.values)
        found.append(Noted("beyond what was shown", "caution", "extrapolation", numbers))
    copy = post.copy()
    copy.attrs = {**post.attrs, "beta": json.dumps([beta])}
    return posteriors.recorded(copy, replace(provenance, extrapolation=facts, findings=(*provenance.findings, *found)))


def refuse_several(posts: list[xr.DataTree]) -> None:
    """An error where network actions of several posteriors are to be joined: they have units in places of their own."""
    if len(posts) > 1:
        raise HamlearnError(
            "network actions are not joined afterwards: learn the paths of all temperatures together, hl.learn([data1, data2], model), "
            "and extrapolate that posterior."
        )
