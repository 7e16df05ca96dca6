"""The kind of :class:`hamlearn.models.GaussianRBM`: machines of real fields, learned in closed form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn import memory
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, groups, posteriors
from hamlearn.infer.densities.gaussian import GaussianDensity
from hamlearn.infer.engines import gaussian
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.provenance import Basis, Noted
from hamlearn.infer.settings import ClosedForm
from hamlearn.infer.training_data import space_and_shape, split
from hamlearn.models.gaussian_rbm import GaussianRBM
from hamlearn.systems.base import REALS, System
from hamlearn.systems.gaussian_machine import GaussianMachine

_DOUBTED = 1e-3  # probability of a mean as far from zero as that of the data, below which zero is doubted


@dataclass(frozen=True, eq=False)
class _Seen:
    """Fields of all temperatures as those at β = 1, which √β φ are: mean squares, the mean, rows, and what these are worth."""

    scatter: np.ndarray
    mean: np.ndarray
    rows: float
    worth: float
    tau: float


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: GaussianRBM,
    *,
    likelihood: str = "auto",
    engine: Any = "auto",
    calibrate: bool = True,
    seed: int = 0,
) -> xr.DataTree:
    """The posterior given fields; see :func:`hamlearn.learn`.

    `likelihood` may be "auto" or "exact", `engine` "auto" or :class:`hamlearn.infer.ClosedForm`. Calibrated, rows count as many as they
    are worth, which is fewer where draws are autocorrelated.
    """
    choice(likelihood, ("auto", "exact"), "likelihood (a Gaussian has its own)")
    settings = ClosedForm() if isinstance(engine, str) and engine == "auto" else engine
    if not isinstance(settings, ClosedForm):
        raise HamlearnError(
            f"a Gaussian machine is learned in closed form: leave engine='auto', or give hl.infer.ClosedForm(draws=...); got {engine!r}."
        )
    sets = microstate_data.split_by_beta(data)
    space, shape = space_and_shape(sets)
    if space != REALS:
        raise HamlearnError(
            f"a Gaussian machine has visible real numbers; got {space.name}. Spins and states are learned by hl.models.RBM(hidden=...)."
        )
    n = int(np.prod(shape))
    hidden = n if model.hidden is None else model.hidden
    if hidden > n:
        raise HamlearnError(f"{hidden} hidden units on {n} sites: as many as sites represent every Gaussian, so that more mean nothing.")
    count = settings.draws * settings.chains
    memory.require(
        8 * count * (n * hidden + 4 * n * n), f"{count} draws of {n} × {hidden} weights", "Ask for fewer: ClosedForm(draws=...)."
    )
    asked, seen = Enquiry(model, space, sets, seed), _seen(sets, space)
    worth = seen.worth if calibrate else seen.rows
    _require_rows(seen, worth, n)
    asked.say(f"engine closed form: K from {n} × {n} mean squares, {count} independent draws, of rows worth {worth:.4g}")
    generator = np.random.default_rng(seed)
    weights, mu2 = gaussian.nearest(seen.scatter, hidden)
    drawn, mu2_drawn = gaussian.nearest(gaussian.covariances(seen.scatter, worth, count, generator), hidden)
    drawn = gaussian.rotated(drawn, weights)
    lead = settings.chains, settings.draws
    posterior = _variables(drawn.reshape(*lead, n, hidden), mu2_drawn.reshape(lead), shape)
    tree = {"posterior": posterior, "point": _variables(weights, mu2, shape), "observed_data": _observed(sets, seen)}
    return asked.posterior(
        tree,
        likelihood="exact",
        composite=False,
        engine=settings,
        n_params=1 + n * hidden - hidden * (hidden - 1) // 2,
        basis=Basis("closed form", {"worth": worth}) if calibrate else Basis("off", {"composite": False}),
        adjusted=calibrate,
        ess=seen.worth,
        tau=seen.tau,
        findings=_doubts(seen, worth),
    )


def _seen(sets: list[xr.Dataset], space: Any) -> _Seen:
    parts = [split(part, space, 0.1) for part in sets]
    scaled = np.concatenate([np.sqrt(beta)[:, None] * states for states, beta, *_ in parts])
    weight, tau = np.concatenate([part[2] for part in parts]), max(part[5] for part in parts)
    size = sum(microstate_data.worth(*microstate_data.multiplicity(part)) for part in sets)
    share = weight / weight.sum()
    return _Seen((scaled * share[:, None]).T @ scaled, share @ scaled, size, size / tau, tau)


def _require_rows(seen: _Seen, worth: float, n: int) -> None:
    """An error unless there are more rows than sites, and none of these is the same in all of them or a combination of others."""
    if worth <= n:
        slow = f" (autocorrelated: {seen.rows:.4g} of them, {seen.tau:.3g} draws apart)" if seen.tau > 1 and worth < seen.rows else ""
        raise HamlearnError(
            f"{n} sites need more than {n} independent microstates, or K is not determined; these are worth {worth:.4g}{slow}. Give more, "
            "or learn fewer sites."
        )
    scale = np.sqrt(seen.scatter.diagonal())
    if not scale.all() or np.linalg.eigvalsh(seen.scatter / np.outer(scale, scale))[0] < 1e-12:
        what = f"site {int(scale.argmin())} is zero in all microstates" if not scale.all() else "some combination of sites never varies"
        raise HamlearnError(f"K is not determined: {what}. Leave such sites out.")


def _doubts(seen: _Seen, worth: float) -> tuple[Noted, ...]:
    """A caution where the mean of the fields is not zero."""
    n = len(seen.mean)
    covariance = seen.scatter - np.outer(seen.mean, seen.mean)
    square = worth * float(seen.mean @ np.linalg.pinv(covariance) @ seen.mean)
    if (p := float(scipy.stats.chi2.sf(square, n))) >= _DOUBTED:
        return ()
    what = f"the mean of the fields is not zero, as the model takes it to be (χ² = {square:.3g} of {n} sites, p = {p:.2g}): K holds it"
    advice = 'Take it away before learning: hl.microstates(states - states.mean(0), space="reals", beta=...).'
    return (Noted("told", "caution", "mean", what=what, advice=advice),)


def _observed(sets: list[xr.Dataset], seen: _Seen) -> xr.Dataset:
    """How many microstates every temperature has, and mean squares of √β φ."""
    size = [float(microstate_data.multiplicity(part)[0].sum()) for part in sets]
    values = {"size": ("temperature", size), "mean_square": (("site", "other_site"), seen.scatter)}
    beta = ("temperature", [float(part["beta"]) for part in sets])
    return xr.Dataset(values, coords={"temperature": np.arange(len(sets)), "beta": beta})


def _variables(weights: np.ndarray, mu2: np.ndarray, shape: tuple[int, ...]) -> xr.Dataset:
    """What a posterior reports of machines ``(..., n, m)`` and ``(...)``."""
    n, hidden = weights.shape[-2:]
    left, strength, _ = np.linalg.svd(weights, full_matrices=False)
    spectrum = np.sort(mu2[..., None] - np.concatenate([strength**2, np.zeros((*mu2.shape, n - hidden))], -1), -1)
    # (μ² − W Wᵀ)⁻¹ by its modes: 1/μ² but for those that hidden units lower.
    gain = 1 / (mu2[..., None] - strength**2) - 1 / mu2[..., None]
    axes = tuple(range(-len(shape) - 1, -1))
    power = np.abs(np.fft.fftn(left.reshape(*mu2.shape, *shape, hidden), axes=axes)) ** 2 / n
    propagator = 1 / mu2[..., None] + (power.reshape(*mu2.shape, n, hidden) * gain[..., None, :]).sum(-1)
    momenta = [",".join(map(str, np.unravel_index(index, shape))) for index in range(n)]
    lead, coordinates = groups.drawn(mu2[..., None])
    found = xr.Dataset(
        {
            "mu2": (lead, mu2, {"long_name": "largest eigenvalue of K, where the spectrum is cut off"}),
            "spectrum": ((*lead, "mode"), spectrum, {"long_name": "eigenvalues of K, ascending"}),
            "inverse_propagator": ((*lead, "momentum"), 1 / propagator, {"long_name": "1/⟨|φ_k|²⟩ at β = 1"}),
            "weights": ((*lead, "site", "hidden"), weights, {"long_name": "W, up to a rotation of the hidden units"}),
        },
        coords=coordinates,
    )
    return found.assign_coords(mode=np.arange(n), momentum=momenta, site=np.arange(n), hidden=np.arange(hidden))


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """The spectrum and the stiffness of every momentum: weights are known up to a rotation."""
    group = posteriors.require_posterior(post)["posterior"].to_dataset()
    names = [f"spectrum[{one}]" for one in group["mode"].values]
    names += [f"inverse_propagator[{one}]" for one in group["momentum"].values]
    return names, np.concatenate([group["spectrum"].values, group["inverse_propagator"].values], -1)


def _machines(post: xr.DataTree, rows: np.ndarray | None = None) -> list[GaussianMachine]:
    group, shape = post["posterior"].to_dataset(), posteriors.site_shape(post)
    weights, mu2 = (group[name].values.reshape(-1, *group[name].shape[2:]) for name in ("weights", "mu2"))
    chosen = np.arange(len(mu2)) if rows is None else rows
    return [GaussianMachine(shape, weights[row], float(mu2[row])) for row in chosen]


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """`n` machines of the posterior; the size is the one that was learned."""
    learned, sizes = posteriors.site_shape(post), post["posterior"].sizes
    if shape is not None and tuple(shape) != learned:
        raise HamlearnError(f"a Gaussian machine knows one size, {learned}: it cannot be moved to {tuple(shape)}.")
    every = np.arange(sizes["chain"] * sizes["draw"]).reshape(sizes["chain"], sizes["draw"])
    return list[System](_machines(post, families.spread(every, n, seed)))


def evaluators(post: xr.DataTree) -> list[GaussianDensity]:
    """Every draw as a density."""
    beta = float(np.mean(posteriors.observed_betas(post)))
    return [GaussianDensity(one, beta) for one in _machines(post)]
