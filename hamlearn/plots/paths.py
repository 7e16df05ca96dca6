"""Pictures of a learned action of paths: against the true one, and what it predicts of paths nobody trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from hamlearn import infer
from hamlearn.data import admit_states
from hamlearn.errors import HamlearnError
from hamlearn.infer.accepted import admit_posterior
from hamlearn.plots.picture import sheet
from hamlearn.plots.style import Look, legend
from hamlearn.processes import verb
from hamlearn.systems import exact
from hamlearn.systems.base import REALS, check_beta
from hamlearn.systems.observables import kinks, position_density
from hamlearn.systems.path import Path

_SHOWN = 300  # paths in the scatter
_BINS = 48


@verb
def compare_paths(
    post: xr.DataTree, paths: Any, beta: Any, system: Any = None, draws: int = 32, seed: int = 0, *, axes: Any = None
) -> Figure:
    """A learned or extrapolated action on held-out paths: four panels for every temperature.

    True against learned action with 90 % bars (where the true system is given), the distribution of x (abs ψ² at low
    temperature), the correlation function and the number of kinks; curves of the posterior are 90 % bands from exact
    solutions of its members, points are the paths. Temperatures that were not observed are named so.

    Parameters
    ----------
    post : DataTree
        A posterior of paths whose members have an exact oracle (:class:`hamlearn.models.PolynomialAction`).
    paths : array ``(..., n_tau)`` or Dataset, or a sequence of them
        Paths at `beta` that were not learned from; for several temperatures one of each.
    beta : float or sequence of float
        Their inverse temperatures, observed or not.
    system : System, optional
        The true action.
    draws : int
        Posterior draws behind every band.
    seed : int
        Which.
    axes : sequence of matplotlib Axes, optional
        Where to draw, four for every temperature; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If there is not one set of paths for every temperature, or the members have no exact oracle.

    Examples
    --------
    >>> import hamlearn as hl
    >>> from hamlearn.plots import compare_paths
    >>> well = hl.systems.Path(16, hl.systems.DoubleWell(4.0, 2.8))
    >>> train, test, cold = (hl.systems.exact.sample(well, beta, 400, seed=k) for k, beta in enumerate((5.0, 5.0, 10.0)))
    >>> post = hl.infer.learn(hl.microstates(train, space="reals", beta=5.0), hl.models.PolynomialAction())
    >>> compare_paths(post, cold, 10.0, well, draws=8)
    <Picture size 840x620 with 4 Axes>
    >>> compare_paths(post, [test, cold], [5.0, 10.0], well, draws=8)
    <Picture size 1560x600 with 8 Axes>
    """
    post = admit_posterior(post)
    betas = np.atleast_1d(check_beta(beta))
    several = [paths] if np.ndim(beta) == 0 else list(paths)
    if len(several) != len(betas):
        raise HamlearnError(
            f"compare_paths needs one set of paths for every temperature; got {len(several)} for {len(betas)} values of beta."
        )
    grid = (2, 2) if len(betas) == 1 else (len(betas), 4)
    page = sheet(axes, *((8.4, 6.2) if len(betas) == 1 else (15.6, 3.0 * len(betas))), *grid)
    rows = np.reshape(np.array(page.axes, object), (len(betas), 4))
    for row, one, at in zip(rows, several, betas.tolist(), strict=True):
        given = admit_states(one, REALS)
        values = np.asarray(given["state"].values if isinstance(given, xr.Dataset) else given, float)
        _row(row, post, values.reshape(-1, values.shape[-1]), at, system, draws, seed, page.look)
    return page.figure


def _row(axes: Any, post: xr.DataTree, x: np.ndarray, beta: float, system: Any, draws: int, seed: int, look: Look) -> None:
    """The four panels of one temperature."""
    systems = infer.families.of(post).draw_systems(post, draws, seed, (x.shape[1],))
    if not all(isinstance(one, Path) and exact.method(one) == "operator" for one in systems):
        raise HamlearnError("compare_paths draws actions of periodic paths with an exact transfer operator, such as PolynomialAction's.")
    _actions(axes[0], post, x[:_SHOWN], beta, system, draws, seed, look)
    trained = (infer.posteriors.provenance_of(post).extrapolation or {}).get("from_beta") or infer.posteriors.observed_betas(post).tolist()
    seen = "observed" if np.any(np.isclose(beta, trained)) else f"not observed (learned at {', '.join(f'{one:g}' for one in trained)})"
    axes[0].set_title(f"β = {beta:g}, {seen}", fontsize=9)
    found = [exact.expectations(one, beta) for one in systems]
    _density(axes[1], x, found, look)
    _correlation(axes[2], x, np.stack([one["correlation"].values for one in found]), look)
    _kinks(axes[3], x, systems, beta, seed, look)


def _actions(axes: Any, post: xr.DataTree, x: np.ndarray, beta: float, system: Any, draws: int, seed: int, look: Look) -> None:
    learned = infer.action(post, x, beta, draws, seed).values
    learned = learned - learned.mean(1, keepdims=True)  # actions are defined up to a constant
    low, mean, high = np.quantile(learned, 0.05, axis=0), learned.mean(0), np.quantile(learned, 0.95, axis=0)
    if system is None:
        order = np.argsort(mean, kind="stable")
        axes.fill_between(np.arange(len(x)), low[order], high[order], color=look.blue, alpha=0.3, linewidth=0)
        axes.plot(mean[order], color=look.blue)
        axes.set_xlabel("path, in order of its action")
        axes.set_ylabel("learned action minus mean")
        return
    true = np.asarray(system.action(x, beta))
    true = true - true.mean()
    r2 = np.corrcoef(mean, true)[0, 1] ** 2
    ends = [float(true.min()), float(true.max())]
    axes.plot(ends, ends, color=look.grey, linewidth=1)
    axes.errorbar(true, mean, [mean - low, high - mean], fmt=".", color=look.blue, markersize=3, elinewidth=1.2, label=f"R² = {r2:.6f}")
    axes.set_xlabel("true action minus mean")
    axes.set_ylabel("learned action minus mean")
    legend(axes, look)


def _density(axes: Any, x: np.ndarray, found: list[xr.Dataset], look: Look) -> None:
    edges = np.linspace(x.min(), x.max(), _BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    curves = np.stack([np.interp(middle, one["position"].values, one["density"].values) for one in found])
    _band(axes, middle, curves, look)
    axes.plot(middle, position_density(x, edges), ".", color=look.red, markersize=4, label="paths")
    axes.set_xlabel("x")
    axes.set_ylabel("density of x")
    legend(axes, look)


def _correlation(axes: Any, x: np.ndarray, curves: np.ndarray, look: Look) -> None:
    steps = np.arange(curves.shape[1])
    _band(axes, steps, curves, look)
    products = np.stack([(x * np.roll(x, -t, -1)).mean(-1) for t in steps], 1)
    axes.errorbar(steps, products.mean(0), 1.645 * products.std(0) / np.sqrt(len(x)), fmt=".", color=look.red, markersize=4, label="paths")
    axes.set_xlabel("separation in slices")
    axes.set_ylabel("mean of x₀xₜ")
    legend(axes, look)


def _kinks(axes: Any, x: np.ndarray, systems: list[Any], beta: float, seed: int, look: Look) -> None:
    size = float(np.sqrt((x**2).mean()))
    counts = [kinks(exact.sample(one, beta, 400, seed=seed + k), size / 2) for k, one in enumerate(systems[:8])]
    here = kinks(x, size / 2)
    top = int(min(max(here.max(), *(one.max() for one in counts)), 24))
    values = np.arange(0, top + 1, 2)
    shares = np.stack([[np.mean(one == value) for value in values] for one in counts])
    axes.bar(values, shares.mean(0), width=1.4, color=look.blue, alpha=0.35, label=f"{len(counts)} members, 400 paths each")
    seen = np.array([np.mean(here == value) for value in values])
    axes.errorbar(values, seen, 1.645 * np.sqrt(seen * (1 - seen) / len(x)), fmt=".", color=look.red, label="paths")
    axes.set_xlabel("kinks of a path")
    axes.set_ylabel("share of paths")
    legend(axes, look)


def _band(axes: Any, at: np.ndarray, curves: np.ndarray, look: Look) -> None:
    low, high = np.quantile(curves, [0.05, 0.95], axis=0)
    axes.fill_between(at, low, high, color=look.blue, alpha=0.35, linewidth=0, label="90 % posterior")
    axes.plot(at, curves.mean(0), color=look.blue, linewidth=1)
