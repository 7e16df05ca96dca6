"""Actions at a temperature that was not observed, from posteriors at one or more that were.

* Parametric actions and couplings have coefficients free of β: estimates are pooled by inverse covariance. One temperature
  is enough.
* Learned densities of paths give S_β(x) = −ln p_β(x) + C only. With N_τ fixed S_β = K/β + βV, so two temperatures fix
  a third: S_3 = Σ w_i S_i, least squares over K and V for more than two. The weights amplify errors, and say by how much.
* Learned densities of classical systems, S = βH, need one temperature: S_β' = (β'/β) S_β.

What is claimed is judged by the predicted effective sample size of reweighting from the extrapolated to the true
action, ESS ≈ exp(−Var ε) with ε the error of the action under the target ensemble.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import require_seed, shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, posteriors, shares
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.asked import Fixed
from hamlearn.infer.extrapolation import networks
from hamlearn.infer.extrapolation.support import SHOWN, longest_links
from hamlearn.infer.families import actions
from hamlearn.infer.provenance import EngineUsed, Noted, Provenance
from hamlearn.infer.settings import LaplaceApproximation
from hamlearn.models import Normal, PolynomialAction
from hamlearn.processes import verb
from hamlearn.systems import exact
from hamlearn.systems.base import check_beta
from hamlearn.systems.path import Path
from hamlearn.systems.sampling import simulate

FIXED = ("sites", "spacing")
UNSEEN, MOSTLY = 0.2, 0.5  # shares of target states that leave what was observed
DISAGREE, ABSURD = 1e-3, 1e-6  # p-values of temperatures that contradict each other, and of a serious finding
CONTRADICTIONS = (
    "temperatures disagree",
    "not mirror images",
    "paths elsewhere",
    "slopes unbalanced",
    "arrow of time",
)  # findings of which the law of an action may not hold
_SAMPLES = 1000  # of the target ensemble


def identity_weights(betas: Sequence[float], beta: float, variances: Sequence[float] | None = None) -> np.ndarray:
    """Weights w_i with S_β = Σ w_i S_{β_i} + const for paths with a fixed number of time slices.

    Parameters
    ----------
    betas : sequence of float
        Two or more different inverse temperatures.
    beta : float
        The wanted one.
    variances : sequence of float, optional
        Error variances of the S_i: with more than two temperatures the better known ones count more.

    Returns
    -------
    array (len(betas),)
        For two: w_1 = β1(β3² − β2²)/[β3(β1² − β2²)], and w_2 with 1 and 2 exchanged. Σ w_i² is the factor by which
        error variances grow.

    Raises
    ------
    HamlearnError
        If there are fewer than two temperatures, or two are equal: the identity is then singular.

    Examples
    --------
    >>> identity_weights([20, 80], 40).round(12).tolist(), identity_weights([20, 40], 80).round(12).tolist()
    ([0.4, 0.4], [-1.0, 2.5])
    """
    at = np.asarray(check_beta(betas))
    if at.ndim != 1 or len(at) < 2:
        raise HamlearnError(f"the identity S = K/beta + beta V needs at least two temperatures to find K and V; got {at.tolist()}.")
    _refuse_equal(at)
    design = np.stack([1 / at, at], 1)
    weight = np.ones(len(at)) if variances is None else 1 / np.asarray(variances, float)
    normal = design.T @ (design * weight[:, None])
    return np.array([1 / beta, beta]) @ np.linalg.solve(normal, design.T * weight)


@verb
def extrapolate(posts: xr.DataTree | Sequence[xr.DataTree], beta: float, *, fixed: Fixed = "sites", seed: int = 0) -> xr.DataTree:
    """A posterior over actions at another inverse temperature; a bare tree, without a verdict.

    See :func:`hamlearn.extrapolate`, which adds the verdict.
    """
    several = isinstance(posts, Iterable) and not isinstance(posts, xr.DataTree | xr.Dataset | str | Mapping)
    every: list[Any] = list(posts) if several else [posts]
    if not every:
        raise HamlearnError("no posterior given: extrapolate needs at least one.")
    given = [admit_posterior(post) for post in every]
    choice(fixed, FIXED, "fixed")
    target, seed = check_beta(beta), require_seed(seed)
    if target.ndim:
        raise HamlearnError(f"one beta at a time: call extrapolate once for each; got {shown(beta)}.")
    names = sorted({families.kind_of(post) for post in given})
    if len(names) > 1:
        raise HamlearnError(f"these posteriors are of different kinds ({', '.join(names)}); their actions cannot be joined.")
    _refuse_equal(np.concatenate([np.unique(posteriors.observed_betas(post)) for post in given]))
    if not all(int(post.attrs["beta_declared"]) for post in given):
        raise HamlearnError(
            "a posterior whose beta was not declared says nothing about other temperatures; declare it with the data, beta=..."
        )
    asked = families.traits(given[0])
    if asked.spacing:
        return _parametric(given, float(target), fixed, seed)
    if fixed == "spacing":
        raise HamlearnError(
            "fixed='spacing' is for polynomial actions: a learned density knows one number of sites only. Use fixed='sites'."
        )
    if asked.bonds:
        return _couplings(given, float(target), seed)
    if asked.thermal:
        networks.refuse_several(given)
        return networks.extrapolated(given[0], float(target), seed)
    from hamlearn.infer.families import extrapolated

    path = posteriors.space_of(given[0]).unbounded and len(posteriors.site_shape(given[0])) == 1
    if not asked.density and not path:
        return _relabelled(given, float(target), seed)
    return extrapolated.join(given, float(target), seed)


def _refuse_equal(betas: np.ndarray) -> None:
    ordered = np.sort(betas)
    close = np.flatnonzero(np.diff(ordered) <= 1e-9 * ordered[1:])
    if close.size:
        raise HamlearnError(
            f"two of the temperatures are equal (beta = {ordered[close[0]]:g}): two actions at one temperature cannot tell kinetic "
            "and potential terms apart, the identity is singular. Join data at one temperature with hl.learn([data1, data2], model)."
        )


def _parametric(posts: list[xr.DataTree], beta: float, fixed: str, seed: int) -> xr.DataTree:
    models = [posteriors.model_of(post) for post in posts]
    descriptions = [{key: value for key, value in model.to_dict().items() if key not in ("a", "prior")} for model in models]
    if any(one != descriptions[0] for one in descriptions):
        raise HamlearnError(f"the posteriors belong to different models: {', '.join(sorted({repr(model) for model in models}))}.")
    model, shape = _geometry(posts, beta, fixed)
    bound = model.bind(posteriors.space_of(posts[0]), shape)
    draws = [actions.theta_draws(post).reshape(-1, bound.n_params) for post in posts]
    if len(posts) == 1:
        theta, agreement = actions.theta_draws(posts[0]), float("nan")
        point = theta.mean((0, 1))
    else:
        point, covariance, agreement = pooled(draws, [one.prior for one in models])
        engine = LaplaceApproximation()
        theta = point + np.random.default_rng(seed).multivariate_normal(np.zeros(len(point)), covariance, (engine.chains, engine.draws))
    facts = _parametric_facts(posts, bound, theta, point, beta)
    facts |= {"fixed": fixed, "from_beta": _betas(posts), "agreement": None if np.isnan(agreement) else agreement}
    facts = unless_contradicted(facts, map(posteriors.provenance_of, posts))
    provenance = merged_provenance(posts, facts, seed)
    if facts["agreement"] is not None and agreement < DISAGREE:
        severity = "serious" if agreement < ABSURD else "caution"
        found = Noted("temperatures disagree", severity, "fit", {"p": float(agreement), "pooled": True})
        provenance = replace(provenance, findings=(*provenance.findings, found))
    groups = {"posterior": actions.variables(bound, theta), "point": actions.variables(bound, point), "observed_data": _observed(posts)}
    return _tree(groups, posts, model.to_dict(), provenance, beta, shape)


def _observed(posts: list[xr.DataTree]) -> xr.Dataset:
    """What all of the posteriors were learned from, temperature by temperature."""
    observed = xr.concat([post["observed_data"].to_dataset() for post in posts], "temperature", join="override")
    return observed.assign_coords(temperature=np.arange(observed.sizes["temperature"]))


def _geometry(posts: list[xr.DataTree], beta: float, fixed: str) -> tuple[Any, tuple[int, ...]]:
    """The model and the sites at the new temperature, under either meaning of another temperature."""
    first, shapes = posts[0], {posteriors.site_shape(post) for post in posts}
    model, bound = posteriors.model_of(first), actions.bound_of(first)
    if bound.family != "path":
        if fixed == "spacing":
            raise HamlearnError("fixed='spacing' is for imaginary-time paths; the number of sites of a field does not depend on beta.")
        if len(shapes) > 1:
            raise HamlearnError(f"the posteriors have different lattices {sorted(shapes)}.")
        return model, posteriors.site_shape(first)
    widths = np.concatenate([1 / post["observed_data"].to_dataset()["u"].values for post in posts])
    same = bool(np.allclose(widths, widths[0], rtol=1e-9))
    given = [actions.width_of(post) for post in posts]
    if len({width is None for width in given}) > 1 and not same:
        raise HamlearnError(
            "mixed lattice spacings: some posteriors have a fixed width a of their time slices, others a = beta/N_tau; "
            "learn all of them with one meaning."
        )
    if fixed == "spacing" or given[0] is not None:
        if not same:
            raise HamlearnError(
                f"mixed lattice spacings {np.unique(widths.round(9)).tolist()}: with fixed='spacing' all must have the same width a."
            )
        slices = beta / widths[0]
        if abs(slices - round(slices)) > 1e-6 * slices or round(slices) < 2:
            raise HamlearnError(f"beta={beta:g} is not a whole number of time slices of width a={widths[0]:g} (it is {slices:.4f}).")
        return replace_width(model, float(widths[0])), (round(slices),)
    if len(shapes) > 1:
        raise HamlearnError(
            f"mixed lattice spacings: the posteriors have {sorted(shape[0] for shape in shapes)} time slices, and a = beta/N_tau needs one "
            "number." + (" All have the same width a: say fixed='spacing'." if same else "")
        )
    return model, posteriors.site_shape(first)


def replace_width(model: Any, a: float) -> Any:
    """The same model with a given width of the time slices."""
    return PolynomialAction.from_dict({**model.to_dict(), "a": a})


def pooled(draws: list[np.ndarray], priors: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, float]:
    """Inverse-covariance mean of posteriors ``(draw, parameter)``, its covariance, and the p-value of their agreement.

    A proper prior is in every posterior; all but one of them are taken out again.
    """
    estimates, covariances = [], []
    for index, (theta, prior) in enumerate(zip(draws, priors, strict=True)):
        mean, covariance = theta.mean(0), np.atleast_2d(np.cov(theta.T))
        if index and isinstance(prior, Normal):
            precision = np.linalg.inv(covariance)
            without = precision - np.eye(len(mean)) * prior.scale**-2.0
            if np.linalg.eigvalsh(without)[0] > 0:
                covariance = np.linalg.inv(without)
                mean = covariance @ precision @ mean
        estimates.append(mean)
        covariances.append(covariance)
    return actions.pool(estimates, covariances)


def _parametric_facts(posts: list[xr.DataTree], bound: Any, theta: np.ndarray, point: np.ndarray, beta: float) -> dict[str, Any]:
    """Error variance of the action at the new temperature and at the old ones, and the predicted ESS."""
    flat = theta.reshape(-1, bound.n_params)
    deviation = flat[:: max(1, len(flat) // 2000)] - point
    covariance, unseen, how = _target_covariance(posts, bound, point, beta)
    free = covariance[bound.free, bound.free]
    errors = np.einsum("di,ij,dj->d", deviation, free, deviation)
    here = []
    for post in posts:
        own = actions.theta_draws(post).reshape(-1, bound.n_params)
        spread = np.atleast_2d(np.cov(own.T))
        for each in post["observed_data"].to_dataset()["term_covariance"].values:
            here.append(float(np.trace(spread @ each[bound.free, bound.free])))
    confining = bound.confining(theta).mean()
    return {
        "error_variance": float(errors.mean()),
        "amplification": float(errors.mean() / max(min(here), 1e-300)),
        "predicted_ess": float(np.exp(-errors).mean() * confining),
        "unseen_share": unseen,
        "how": how,
    }


def _target_covariance(posts: list[xr.DataTree], bound: Any, point: np.ndarray, beta: float) -> tuple[np.ndarray, float | None, str]:
    """Covariance of the terms under the target ensemble, and the share of its paths with a link longer than any seen."""
    longest = max(float(post["observed_data"]["support"].sel(extent="longest_link").max()) for post in posts)
    if bound.confining(point) and bound.family == "path" and bound.model.range == 1 and bound.model.kinetic is not False:
        system = bound.system(point)
        assert isinstance(system, Path)
        try:
            paths = exact.sample(system, beta, _SAMPLES, seed=0)
        except HamlearnError:
            paths = None
        if paths is not None:
            terms = bound.terms(paths, bound.scales(beta))
            return np.cov(terms.T), float((longest_links(paths) > longest).mean()), f"{_SAMPLES} exact paths of the extrapolated action"
    nearest = min(posts, key=lambda post: round(abs(np.log(posteriors.observed_betas(post).max() / beta)), 9))
    observed = nearest["observed_data"].to_dataset().isel(temperature=-1)
    here, there = bound.scales(beta), (float(observed["u"]), float(observed["v"]))
    ratio = here.u / there[0], here.v / there[1]
    factor = np.array([*(ratio[0] if link[-1] else ratio[1] for link in bound.links), *[ratio[1]] * len(bound.model.powers)])
    sites = np.prod(bound.shape) / np.prod(posteriors.site_shape(nearest))
    how = "fluctuations of the nearest observed temperature"
    return observed["term_covariance"].values * np.outer(factor, factor) * sites, None, how


def _family(post: xr.DataTree) -> dict[str, Any]:
    """The model without the widths of its priors, which are set from the data and their temperature."""
    model = json.loads(post.attrs["model"])
    for which in ("prior", "field_prior"):
        model[which] = {key: value for key, value in model[which].items() if key != "scale"}
    return model


def _couplings(posts: list[xr.DataTree], beta: float, seed: int) -> xr.DataTree:
    """S = βH with H pooled over temperatures."""
    first = posts[0]
    if any(_family(post) != _family(first) for post in posts):
        raise HamlearnError("the posteriors belong to different models (graph, ties or prior); learn all of them with one.")
    if any(posteriors.site_shape(post) != posteriors.site_shape(first) for post in posts):
        raise HamlearnError("the posteriors have different lattices.")
    bound = posteriors.bound_of(first)
    theta, agreement = posteriors.theta_draws(first), float("nan")
    groups = {name: first[name].to_dataset() for name in ("posterior", "point", "observed_data", "constant_data")}
    if len(posts) > 1:
        if "included" in first["posterior"]:
            raise HamlearnError(
                "sparse posteriors of several temperatures are not pooled: learn the data jointly, hl.learn([data1, data2], model)."
            )
        flat = [posteriors.theta_draws(post).reshape(-1, bound.n_params) for post in posts]
        if min(len(one) for one in flat) < 4 * bound.n_params:
            raise HamlearnError(
                f"pooling {bound.n_params} parameters needs at least {4 * bound.n_params} posterior draws of each; "
                "learn the data jointly, hl.learn([data1, data2], model)."
            )
        point, covariance, agreement = pooled(flat, [posteriors.model_of(post).prior for post in posts])
        engine = LaplaceApproximation()
        theta = np.random.default_rng(seed).multivariate_normal(point, covariance, (engine.chains, engine.draws))
        coords = {"chain": np.arange(engine.chains), "draw": np.arange(engine.draws)}
        groups["posterior"] = posteriors.variables(bound, theta, ("chain", "draw")).assign_coords(coords)
        groups["point"] = posteriors.variables(bound, point, ())
        groups["observed_data"] = _observed(posts)
    nearest = min(posts, key=lambda post: round(abs(np.log(posteriors.observed_betas(post).max() / beta)), 9))
    factor = float((beta / posteriors.observed_betas(nearest).max()) ** 2)
    ess, variance = _classical_ess(bound, theta, beta, seed)
    facts = {"fixed": "sites", "from_beta": _betas(posts), "agreement": None if np.isnan(agreement) else agreement}
    facts |= {"amplification": factor, "error_variance": variance, "predicted_ess": ess, "unseen_share": None}
    facts = unless_contradicted(facts, map(posteriors.provenance_of, posts))
    provenance = merged_provenance(posts, {**facts, "how": "simulation of the mean Hamiltonian at the new temperature"}, seed)
    return _tree(groups, posts, json.loads(first.attrs["model"]), provenance, beta, posteriors.site_shape(first))


def _relabelled(posts: list[xr.DataTree], beta: float, seed: int) -> xr.DataTree:
    """A classical Hamiltonian of any kind knows no temperature: the same posterior, judged at the new one."""
    if len(posts) > 1:
        raise HamlearnError(
            f"Hamiltonians of kind {families.kind_of(posts[0])!r} are not pooled: give one posterior, "
            "or learn the data of all temperatures jointly."
        )
    (post,) = posts
    old = float(posteriors.observed_betas(post).max())
    members = families.of(post).draw_systems(post, 17, seed, None)
    ess, variance = _spread_ess(members[0], members[1:], beta, seed)
    facts = {"fixed": "sites", "from_beta": _betas(posts), "agreement": None, "amplification": (beta / old) ** 2}
    facts |= {
        "error_variance": variance,
        "predicted_ess": ess,
        "unseen_share": None,
        "how": "simulation of a member at the new temperature",
    }
    provenance = merged_provenance(posts, facts, seed)
    copy = post.copy()
    copy.attrs = {**post.attrs, "beta": json.dumps([beta])}
    return posteriors.recorded(copy, replace(provenance, findings=(*provenance.findings, *findings(facts, beta))))


def _spread_ess(mean: Any, members: Sequence[Any], beta: float, seed: int) -> tuple[float, float]:
    """Predicted ESS of members against their mean, and the variance behind it, from a short simulation of the mean."""
    states = simulate(mean, beta=beta, draws=100, chains=8, seed=seed, thin=5, progress=False)["state"].values
    states = states.reshape(-1, *mean.lattice.shape)
    energies = beta * np.stack([np.asarray(one.energy(states)) for one in members])
    variances = (energies - energies.mean(0)).var(1) * len(energies) / max(len(energies) - 1, 1)
    return float(np.mean(np.exp(-variances))), float(np.mean(variances))


def _classical_ess(bound: Any, theta: np.ndarray, beta: float, seed: int) -> tuple[float, float]:
    """The same for drawn couplings."""
    flat = theta.reshape(-1, bound.n_params)
    chosen = flat[np.random.default_rng(seed).choice(len(flat), 32, replace=len(flat) < 32)]
    return _spread_ess(bound.system(flat.mean(0)), [bound.system(one) for one in chosen], beta, seed)


def _betas(posts: Sequence[xr.DataTree]) -> list[float]:
    return sorted({float(one) for post in posts for one in posteriors.observed_betas(post)})


def unless_contradicted(facts: Mapping[str, Any], made: Iterable[Provenance]) -> dict[str, Any]:
    """The same facts, without a predicted share where data contradict the law that carries the action to another temperature.

    Spread among members says how well the coefficients of a law are known; of one that does not hold it says nothing.
    """
    agreement = facts.get("agreement")
    found = (agreement is not None and agreement < DISAGREE) or any(one.code in CONTRADICTIONS for each in made for one in each.findings)
    return {**facts, "predicted_ess": None, "least_ess": None, "contradicted": True} if found else dict(facts)


def findings(facts: Mapping[str, Any], beta: float) -> tuple[Noted, ...]:
    """What the verdict has to say about an extrapolation."""
    ess, unseen, networks = facts["predicted_ess"], facts.get("unseen_share") or 0.0, bool(facts.get("networks"))
    severity = "serious" if networks and unseen > MOSTLY else shares.severity(ess)
    least, agreement, contradicted = facts.get("least_ess"), facts.get("agreement"), bool(facts.get("contradicted"))
    rivals = least is not None and not shares.trusted(least)
    severity = "caution" if severity == "note" and (unseen > UNSEEN or rivals) else severity
    severity = "serious" if contradicted and agreement is not None and agreement < ABSURD else severity
    kept = ("from_beta", "predicted_ess", "amplification", "weights", "unseen_by_source")
    numbers = {name: facts.get(name) for name in kept} | {"beta": beta, "unseen_share": unseen, "networks": networks}
    numbers |= {"contradicted": contradicted, "least_ess": least if rivals else None}
    return (Noted("extrapolated", severity, "extrapolation", {**numbers, "severity": severity, "shown": SHOWN, "unseen": UNSEEN}),)


def merged_provenance(posts: list[xr.DataTree], facts: dict[str, Any], seed: int) -> Provenance:
    """The provenance of the first posterior, with what all of them and the extrapolation add."""
    every = [posteriors.provenance_of(post) for post in posts]
    first, changes = every[0], dict[str, Any]()
    if all(one.training is not None for one in every):
        changes["training"] = _joined_training([dict(one.training or {}) for one in every])
    if len(posts) > 1:
        changes |= {"engine": EngineUsed.of(LaplaceApproximation()), "prior_share": ()}
    worst = min(every, key=lambda one: one.worth)
    checks = [one.check for one in every if one.check is not None]
    if checks:
        changes["check"] = min(checks, key=lambda one: -1.0 if one.overall_p is None else one.overall_p)
    return replace(
        first,
        microstates=sum(one.microstates for one in every),
        source=tuple(source for one in every for source in one.source),
        seed=seed,
        # Widths, engines and reasons are those at the observed temperatures, not at the new one.
        reasons=tuple(
            f"at beta = {', '.join(f'{beta:g}' for beta in posteriors.trained_betas(post))}: {reason}"
            for post, one in zip(posts, every, strict=True)
            for reason in one.reasons
        ),
        calibration=replace(worst.calibration, ess=sum(one.worth for one in every)),
        convergence=None,
        extrapolation=facts,
        **changes,
    )


def _joined_training(records: list[dict[str, Any]]) -> dict[str, Any]:
    """How all networks were trained: lists over networks are joined, the rest is the first one's."""
    lists = {key for key, value in records[0].items() if isinstance(value, list)}
    return {**records[0], **{key: [value for one in records for value in one[key]] for key in lists}}


def _tree(
    groups: dict[str, xr.Dataset],
    posts: list[xr.DataTree],
    model: dict[str, Any],
    provenance: Provenance,
    beta: float,
    shape: tuple[int, ...],
) -> xr.DataTree:
    added = findings(provenance.extrapolation or {}, beta)
    joined = xr.DataTree.from_dict(groups)
    marks = "".join(str(post.attrs["fingerprint"]) for post in posts)
    joined.attrs = {
        **posts[0].attrs,
        "model": json.dumps(model),
        "beta": json.dumps([beta]),
        "site_shape": json.dumps(list(shape)),
        "fingerprint": hashlib.sha3_256(marks.encode()).hexdigest() if len(posts) > 1 else posts[0].attrs["fingerprint"],
    }
    return posteriors.recorded(joined, replace(provenance, findings=(*provenance.findings, *added)))


__all__ = ["extrapolate", "findings", "identity_weights", "merged_provenance", "pooled"]
