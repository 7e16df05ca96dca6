"""Thermodynamics where nothing was observed: other temperatures, other sizes, with the posterior's uncertainty.

Every member of the posterior is solved exactly where an oracle can, or simulated on a tempering ladder with all other
draws in one compiled call. The spread between draws is the posterior's; the error of the simulation is kept apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import memory
from hamlearn.arguments import require_beta, require_number, require_seed, require_whole, sequence_of
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, one_group, posteriors
from hamlearn.infer.asked import Fixed
from hamlearn.infer.families import actions
from hamlearn.infer.predictions import densities, kept, members
from hamlearn.infer.predictions.agreement import agreement
from hamlearn.infer.predictions.centring import Refits, centred, refits
from hamlearn.infer.predictions.estimator import Estimates
from hamlearn.infer.predictions.intervals import band
from hamlearn.infer.predictions.widening import widened
from hamlearn.infer.predictions.work import Work
from hamlearn.infer.shares import warning
from hamlearn.processes import verb
from hamlearn.systems.base import System
from hamlearn.systems.observables import Observable, known, looked_up

FIXED = ("sites", "spacing")
TRUE = "true states"  # what is predicted from readings or rows with gaps: states themselves


@verb
def predict(
    post: xr.DataTree,
    beta: float | Sequence[float] | np.ndarray,
    shape: Sequence[int] | None = None,
    observables: Sequence[str | Observable] | None = None,
    draws: int = 64,
    level: float = 0.9,
    seed: int = 0,
    *,
    fixed: Fixed = "sites",
    group: str | None = None,
) -> xr.Dataset:
    """Per-site thermodynamics at other inverse temperatures, with bands.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn`.
    beta : float or sequence of float
        Inverse temperatures to predict at.
    shape : sequence of int, optional
        Another lattice size; needs tied parameters (``tie="uniform"``, fields uniform or none).
    observables : sequence of str or Observable, optional
        Names, or records of one's own (:class:`hamlearn.systems.observables.Observable`). Names are "energy", "heat_capacity",
        "entropy", "free_energy", "abs_magnetization", "susceptibility" (for q-state models magnetization means the order
        parameter), "correlation" and "binder"; all but the last two by default. Of all sites together, in bits, there is "entropy_bits",
        and of spins "multi_information" (the entropy that independent spins of the same means have beyond theirs) and
        "count_distribution", the probability that K spins are up, over ``up``. Paths have "action", "gap", "squared_position" and
        "quartic_position" besides the thermal ones (totals of the particle, not per site), angles "vortex_density" and "helicity",
        fields "action", "squared_field" and "quartic_field"; ``hl.systems.observables.known(system)`` lists them.
    draws : int
        Hamiltonians drawn from the posterior; 64 put about three beyond each end of a 90 % band. A posterior of fewer (an
        ensemble of networks) gives those it has, once each; the attribute ``draws`` of the result says how many were used.
    level : float
        Probability of the equal-tailed posterior interval: from quantiles of the draws where there are enough of them (19 for
        90 %, 199 for 99 %), a t interval where there are fewer, none of a single draw.
    seed : int
        Seed of the draws and of simulations.
    fixed : {"sites", "spacing"}
        For imaginary-time paths: whether another temperature means another width a = β/N_τ of the time slices (their
        number is `shape`), or another number N_τ = β/a of them.
    group : str, optional
        Of a posterior of :class:`hamlearn.models.Hierarchical`: the group that is predicted. Without a name it is one that was not
        observed, θ ~ N(μ, τ²), whose bands hold how much groups differ; the attribute ``group`` of the result says which.

    Returns
    -------
    Dataset
        Each observable over ``(beta, quantity)``, quantity = mean, sd, lower, upper, mc_error; correlation also over
        ``r``. sd is the posterior's; mc_error is the simulation's standard error of the mean (0 where an oracle was used), and
        the interval holds it too. Where no oracle knows ln Z of spins it is estimated by annealing from independent ones (``method``
        says so): ``predicted_ess`` is then the effective share of these walks. Attributes of every variable say how: ``method``,
        ``interval``, ``draws_used``. sd, lower and
        upper are nan of a single draw. Energies learned without
        a form (networks, cluster expansions) add ``predicted_error`` and ``predicted_ess`` over ``beta``, see
        :func:`hamlearn.infer.predictions.agreement.agreement`; densities, whose own draws are reweighted, add the effective
        share of these as ``predicted_ess``. Means of couplings learned by the exact likelihood are centred where few rows bear many
        parameters (:mod:`hamlearn.infer.predictions.centring`; the attribute ``centring`` says how or why not, ``centred`` of
        a variable whether it was). Of a posterior from misread or missing cells the attribute ``states`` is "true states": predictions
        are never of readings. The attribute ``warning`` is there where a share is below 0.1; ``operations`` is the counted work,
        announced part by part before each starts (logger "hamlearn", level INFO), and ``compiling`` its part that a cache of compiled
        code may hold. ``hl.predict`` adds the level of
        :func:`hamlearn.verdict` as attribute ``verdict``: bands are no better than the posterior.

    Raises
    ------
    HamlearnError
        If β ≤ 0, an observable or a group is unknown, `draws` or `level` make no sense, or another shape is asked of parameters that
        are not tied.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    >>> post = hl.learn(data, model, engine="laplace")
    >>> curve = hl.predict(post, beta=[0.2, 0.4], observables=["energy"])
    >>> dict(curve["energy"].sizes)
    {'beta': 2, 'quantity': 5}
    """
    post = one_group.asked(post, group)
    betas = np.atleast_1d(require_beta(beta))
    _check_level(level)
    seed, observables = require_seed(seed), _names(observables)
    extents = None if shape is None else _shape(shape)
    choice(fixed, FIXED, "fixed")
    asked, draws = draws, _existing(post, draws)
    memory.require(64 * len(betas) * draws * 8, f"predictions of {draws} draws at {len(betas)} values of beta", "Ask for fewer at once.")
    shapes = [_sites(post, float(beta), extents, fixed) for beta in betas]
    family, own, whole = families.of(post), posteriors.site_shape(post), kept.content(post)

    def drawn(sites: tuple[int, ...], count: int) -> list[Any]:
        """Members on the given sites; parameters need not be tied where these are the observed ones."""
        given = None if sites == own and extents is None else sites
        make = lambda: [members.particle(one) for one in family.draw_systems(post, count, seed, given)]
        known = (whole, "systems", count, seed, given)
        return kept.recall(None if families.traits(post).opaque else known, make)  # of a class that may be written anew: drawn anew

    groups = {sites: drawn(sites, draws) for sites in dict.fromkeys(shapes)}
    records = _records(observables, groups[shapes[0]][0])
    work, of_density = Work(), all(densities.is_density(one) for one in groups[shapes[0]])
    centre = Refits([], "") if of_density or posteriors.space_of(post).continuous else refits(post, seed, extents, work)
    parts, shares = [], []
    places = {sites: np.array([k for k, one in enumerate(shapes) if one == sites]) for sites in groups}
    for sites, systems in groups.items():
        at = betas[places[sites]]
        if of_density:
            found, share = densities.from_densities(systems, at, records, seed, work)
            shares.append(share)
        else:
            key = (whole, "members", draws, seed, sites, extents)
            found = centred(members.estimate([*systems, *centre.systems], at, records, seed, work, key), centre, at, records, systems)
        parts.append(found)
    order = np.argsort(np.concatenate(list(places.values())), kind="stable")
    estimates = {record.name: _joined([part[record.name] for part in parts], order) for record in records}
    result = _curves(post, betas, estimates, (shapes[-1], groups[shapes[-1]][0]), records, level, seed)
    result.attrs |= {"draws_asked": asked, "operations": work.operations, "compiling": work.compiling} | one_group.told(post)
    result.attrs |= {"centring": centre.words} if centre.words else {}
    if shares:
        return _with_share(result, np.concatenate(shares)[order])
    for walks in [one.share for one in estimates.values() if one.share is not None][:1]:
        result = _with_share(result, walks)
    formless = [one for one in groups[shapes[0]] if not one.space.continuous and (one.windows is not None or one.pairs is None)]
    return _with_agreement(result, formless, betas, seed) if formless else result


def _records(observables: Sequence[Any] | None, system: Any) -> list[Observable]:
    """The observables that are asked for, or those of the system that are predicted unasked."""
    if observables is not None:
        return looked_up(observables, system)
    return [one for one in known(system) if one.default]


def _joined(parts: list[Estimates], order: np.ndarray) -> Estimates:
    """Estimates at temperatures whose members live on different sites."""
    if len(parts) == 1:
        return parts[0]
    if len({part.values.shape[2:] for part in parts}) > 1:
        raise HamlearnError(
            "functions of the distance at several beta with a fixed width have different lengths: ask for one beta at a time."
        )
    count = min(len(part.values) for part in parts)
    values, errors = (np.concatenate([getattr(part, which)[:count] for part in parts], 1)[:, order] for which in ("values", "errors"))
    known = all(part.share is not None for part in parts)
    share = np.concatenate([part.share for part in parts])[order] if known else None
    return Estimates(values, errors, "; ".join(dict.fromkeys(part.method for part in parts)), parts[0].distances, share=share)


def _sites(post: xr.DataTree, beta: float, shape: tuple[int, ...] | None, fixed: str) -> tuple[int, ...]:
    """The sites at a temperature: those that were learned on, a given shape, or as many slices of a fixed width as there are in β."""
    own = posteriors.site_shape(post)
    action = families.traits(post).spacing
    width = actions.width_of(post) if action else None
    if fixed == "sites" and width is None:
        return own if shape is None else shape
    if not action or actions.bound_of(post).family != "path":
        raise HamlearnError("fixed='spacing' is for the actions of imaginary-time paths; lattices keep their sites at every temperature.")
    if shape is not None:
        raise HamlearnError("with a fixed width of the time slices their number follows from beta: leave out shape.")
    a = width if width is not None else float(1 / post["observed_data"].to_dataset()["u"].values[0])
    slices = beta / a
    if abs(slices - round(slices)) > 1e-6 * slices or round(slices) < 2:
        raise HamlearnError(
            f"the width of a time slice is fixed at a={a:g}, and beta={beta:g} is not a whole number of them (it is {slices:.4f})."
        )
    return (round(slices),)


def _with_agreement(result: xr.Dataset, systems: list[Any], betas: np.ndarray, seed: int) -> xr.Dataset:
    """With how far the draws of an energy that no formula holds together agree at every temperature."""
    error, share = agreement(systems, betas, seed)
    result["predicted_error"] = ("beta", error, {"long_name": "spread of beta H between draws, nats"})
    return _with_share(result, share)


def _with_share(result: xr.Dataset, share: np.ndarray) -> xr.Dataset:
    """With the effective share of draws at every temperature, and a warning where a handful of them decide."""
    result["predicted_ess"] = ("beta", share, {"long_name": "predicted effective share of draws"})
    if told := warning(result["beta"].values, share):
        result.attrs["warning"] = told
    return result


def _check_level(level: float) -> None:
    require_number(level, "level, the probability of the interval,", above=0, below=1)


def _names(observables: Any) -> list[Any] | None:
    """Names of observables, none of which are looked up yet."""
    if observables is None:
        return None
    if isinstance(observables, str):
        raise HamlearnError(f"observables must be a list of names, such as [{observables!r}]; got the text {observables!r}.")
    found = list(sequence_of(observables, "observables"))
    if not found:
        raise HamlearnError("observables must name at least one observable; leave it out for all of them.")
    return found


def _shape(shape: Any) -> tuple[int, ...]:
    """Extents of another lattice."""
    given = [shape] if isinstance(shape, int | np.integer) else sequence_of(shape, "shape")
    extents = tuple(require_whole(extent, "an extent of shape") for extent in given)
    if not extents:
        raise HamlearnError("shape must hold at least one extent; leave it out for the lattice that was learned on.")
    memory.require(48 * math.prod(extents), f"a lattice of shape {extents}", "Ask for a smaller one.")
    return extents


def _existing(post: xr.DataTree, draws: int) -> int:
    """As many draws as were asked for, or as there are: one that is repeated tells nothing new."""
    return min(require_whole(draws, "the number of draws"), families.available(post))


def _curves(
    post: xr.DataTree,
    betas: np.ndarray,
    estimates: dict[str, Estimates],
    last: tuple[tuple[int, ...], System],
    records: list[Observable],
    level: float,
    seed: int,
) -> xr.Dataset:
    """The dataset of predictions, of the `last` sites and what is there."""
    shape, system = last
    result = xr.Dataset(coords={"beta": betas, "quantity": ["mean", "sd", "lower", "upper", "mc_error"]})
    for record in records:
        found = estimates[record.name]
        result[record.name] = _summarise(found, level, record.axis, record.possible(system) if record.possible else None)
        result[record.name].attrs["long_name"] = record.long_name
        if found.distances is not None:
            result = result.assign_coords({record.axis: found.distances})
    declared, made = int(post.attrs["beta_declared"]), posteriors.provenance_of(post)
    result.attrs = {
        "level": level,
        "draws": min(result[name].attrs["draws_used"] for name in estimates),
        "shape": str(shape),
        "observed_beta": str(posteriors.trained_betas(post).tolist()),
        "data_fingerprint": str(post.attrs["fingerprint"]),
        "hypothetical": int(not declared),
        "seed": seed,
    }
    if made.flip or made.missing:
        result.attrs["states"] = TRUE
    if not declared:
        result.attrs["note"] = "the observation's beta was not declared: beta here is relative to it (1 = as observed)"
    return result


def _summarise(estimates: Estimates, level: float, axis: str, possible: tuple[float, float] | None) -> xr.DataArray:
    """Mean, posterior spread, an interval that holds what the simulation leaves open too, and the simulation's error."""
    values, noise = estimates.values, (estimates.errors**2).mean(0)
    independent = len(values) if estimates.independent is None else min(estimates.independent, len(values))
    shared = np.zeros(()) if estimates.shared is None else estimates.shared
    mc_error = np.sqrt(noise / independent + shared**2)
    uncertain = 0.0 if estimates.shift_error is None else estimates.shift_error
    found = band(values, level, noise=noise, error=np.hypot(mc_error, uncertain), independent=independent)
    shift = 0.0 if estimates.shift is None else estimates.shift
    four = found.mean + shift, found.sd, found.lower + shift, found.upper + shift
    if estimates.recalibrated is not None:
        four = widened(four, estimates.recalibrated, level)
    kind = found.kind if estimates.shift is not None or not np.any(uncertain) else f"{found.kind}; wider by what is not centred"
    if possible:
        ends = [np.clip(end, *possible) for end in four[2:]]
        kind += "" if np.array_equal(ends, four[2:], equal_nan=True) else "; ends where values do"
        four = four[0], four[1], ends[0], ends[1]
    dims = ("beta", "quantity") if found.mean.ndim == 1 else ("beta", "quantity", axis)
    result = xr.DataArray(np.stack([*four, mc_error], 1), dims=dims)
    result.attrs = {
        "method": estimates.method,
        "draws_used": independent,
        "interval": kind,
        "centred": int(estimates.shift is not None),
    }
    return result
