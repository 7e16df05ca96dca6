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
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.predictions import continuous
from hamlearn.infer.predictions.agreement import agreement
from hamlearn.infer.predictions.centring import centred, refits
from hamlearn.infer.predictions.intervals import band
from hamlearn.infer.predictions.reweight import from_density
from hamlearn.infer.predictions.thermodynamics import Estimates, estimate
from hamlearn.infer.predictions.widening import widened
from hamlearn.infer.shares import warning
from hamlearn.processes import verb
from hamlearn.systems.density import LearnedDensity
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.potts import QState

THERMAL = ("energy", "heat_capacity", "entropy", "free_energy")
MAGNETIC = ("abs_magnetization", "susceptibility")
OBSERVABLES = (*THERMAL, *MAGNETIC, "correlation")
LONG_NAMES = {
    "energy": "energy per site",
    "heat_capacity": "heat capacity per site",
    "entropy": "entropy per site, nats",
    "free_energy": "free energy per site",
    "abs_magnetization": "mean absolute magnetization per site",
    "susceptibility": "susceptibility per site, beta N (<m^2> - <|m|>^2)",
    "correlation": "correlation of two sites a distance r apart",
}


@verb
def predict(
    post: xr.DataTree,
    beta: float | Sequence[float] | np.ndarray,
    shape: Sequence[int] | None = None,
    observables: Sequence[str] | None = None,
    draws: int = 64,
    level: float = 0.9,
    seed: int = 0,
    *,
    fixed: str = "sites",
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
    observables : sequence of str, optional
        Among "energy", "heat_capacity", "entropy", "free_energy", "abs_magnetization", "susceptibility" (for q-state
        models magnetization means the order parameter) and "correlation"; all but the last by default. Paths have "action",
        "gap", "squared_position" and "quartic_position" besides the thermal ones (totals of the particle, not per
        site), angles "vortex_density" and "helicity", fields "action", "squared_field" and "quartic_field".
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

    Returns
    -------
    Dataset
        Each observable over ``(beta, quantity)``, quantity = mean, sd, lower, upper, mc_error; correlation also over
        ``r``. sd is the posterior's; mc_error is the simulation's standard error of the mean (0 where an oracle was used), and
        the interval holds it too. Attributes of every variable say how: ``method``, ``interval``, ``draws_used``. sd, lower and
        upper are nan of a single draw. Energies learned without
        a form (networks, cluster expansions) add ``predicted_error`` and ``predicted_ess`` over ``beta``, see
        :func:`hamlearn.infer.predictions.agreement.agreement`; densities, whose own draws are reweighted, add the effective
        share of these as ``predicted_ess``. Means of couplings learned by the exact likelihood are centred where few rows bear many
        parameters (:mod:`hamlearn.infer.predictions.centring`; the attribute ``centring`` says how or why not, ``centred`` of
        a variable whether it was). The attribute ``warning`` is there where a share is below 0.1.

    Raises
    ------
    HamlearnError
        If β ≤ 0, an observable is unknown, `draws` or `level` make no sense, or another shape is asked of parameters that
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
    post = admit_posterior(post)
    betas = np.atleast_1d(require_beta(beta))
    _check_level(level)
    seed, observables = require_seed(seed), _names(observables)
    extents = None if shape is None else _shape(shape)
    asked, draws = draws, _existing(post, draws)
    if posteriors.space_of(post).continuous:
        return _continuous(post, betas, extents, observables, draws, level, seed, fixed).assign_attrs(draws_asked=asked)
    choice(fixed, ("sites", "spacing"), "fixed")
    if fixed != "sites":
        raise HamlearnError("fixed='spacing' is for imaginary-time paths; lattices keep their sites at every temperature.")
    numbers = 8 * len(betas) * draws * len(OBSERVABLES) * 8
    memory.require(numbers, f"predictions of {draws} draws at {len(betas)} values of beta", "Ask for fewer at once.")
    wanted = [choice(name, OBSERVABLES, "observable") for name in (OBSERVABLES[:-1] if observables is None else observables)]
    systems = families.of(post).draw_systems(post, draws, seed, extents)
    estimates: dict[str, Estimates] = {}
    densities = [system for system in systems if isinstance(system, LearnedDensity)]
    shares: np.ndarray | None = None
    if len(densities) == len(systems):
        estimates, shares = from_density(densities, betas, wanted, seed)
    left = [name for name in wanted if name not in estimates]
    if left:
        found = refits(post, seed, extents)
        estimates |= centred(estimate([*systems, *found.systems], betas, left, seed), found, betas)
    shape = tuple(systems[0].lattice.shape)
    result = _curves(post, betas, {name: estimates[name] for name in wanted}, shape, LONG_NAMES, level, seed)
    result.attrs["draws_asked"] = asked
    if left:
        result.attrs["centring"] = found.words
    if shares is not None:
        return _with_share(result, shares)
    formless = [system for system in systems if not isinstance(system, Pairwise | QState | LearnedDensity)]
    return _with_agreement(result, formless, betas, seed) if formless else result


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


def _continuous(
    post: xr.DataTree, betas: np.ndarray, shape: Any, observables: Sequence[str] | None, draws: int, level: float, seed: int, fixed: str
) -> xr.Dataset:
    """Predictions of angles, paths and fields."""
    found, sites = continuous.estimates(post, betas, shape, observables, draws, seed, fixed)
    return _curves(post, betas, found, sites, continuous.LONG_NAMES, level, seed)


def _curves(
    post: xr.DataTree,
    betas: np.ndarray,
    estimates: dict[str, Estimates],
    shape: tuple[int, ...],
    long_names: dict[str, str],
    level: float,
    seed: int,
) -> xr.Dataset:
    """The dataset of predictions."""
    result = xr.Dataset(coords={"beta": betas, "quantity": ["mean", "sd", "lower", "upper", "mc_error"]})
    for name, found in estimates.items():
        result[name] = _summarise(found, level)
        result[name].attrs["long_name"] = long_names[name]
    if "correlation" in estimates:
        result = result.assign_coords(r=estimates["correlation"].distances)
    declared = int(post.attrs["beta_declared"])
    result.attrs = {
        "level": level,
        "draws": min(result[name].attrs["draws_used"] for name in estimates),
        "shape": str(shape),
        "observed_beta": str(posteriors.trained_betas(post).tolist()),
        "data_fingerprint": str(post.attrs["fingerprint"]),
        "hypothetical": int(not declared),
        "seed": seed,
    }
    if not declared:
        result.attrs["note"] = "the observation's beta was not declared: beta here is relative to it (1 = as observed)"
    return result


def _summarise(estimates: Estimates, level: float) -> xr.DataArray:
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
    dims = ("beta", "quantity") if found.mean.ndim == 1 else ("beta", "quantity", "r")
    result = xr.DataArray(np.stack([*four, mc_error], 1), dims=dims)
    result.attrs = {
        "method": estimates.method,
        "draws_used": independent,
        "interval": found.kind,
        "centred": int(estimates.shift is not None),
    }
    return result
