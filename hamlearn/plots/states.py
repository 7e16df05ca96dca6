"""Pictures of microstates: snapshots, vortices, and how correlations fall off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from hamlearn import data as microstates
from hamlearn import statistics
from hamlearn.arguments import require_whole
from hamlearn.data.arrays import as_numbers
from hamlearn.errors import HamlearnError
from hamlearn.plots.curves import correlations
from hamlearn.plots.picture import Sheet, sheet
from hamlearn.plots.style import legend
from hamlearn.spaces import Space
from hamlearn.systems.lattice import Lattice, hypercubic
from hamlearn.systems.observables import correlation as pair_correlation
from hamlearn.systems.observables import separations
from hamlearn.systems.observables import vortices as windings

_ROWS = 60  # microstates below each other, of sites on one axis
_ARROWS = 40  # sites along an axis, of which each still has an arrow that can be seen


def snapshots(data: xr.Dataset | Iterable[xr.Dataset], count: int = 4, *, axes: Any = None) -> Figure:
    """Microstates as they are, evenly spaced in time.

    Sites on two axes are drawn as one image for every microstate, of three axes the first layer. Paths and other real numbers on one
    axis are drawn as lines, other sites on one axis as rows below each other. Angles are arrows with their direction as colour, of
    vectors the last component is the colour.

    Parameters
    ----------
    data : Dataset or list of Datasets
        Microstates.
    count : int
        How many; of several temperatures as many of each. Sites on one axis that are not real numbers are rows of one image: there
        it is ten times as many.
    axes : matplotlib Axes or sequence of them, optional
        Where to draw: one for every microstate, or for every temperature where sites are on one axis; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If `data` are no microstates.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((8, 8)), beta=0.4, draws=20, seed=0)
    >>> hl.plots.snapshots(data, 2)
    <Picture size 500x270 with 2 Axes>
    """
    sets = microstates.split_by_beta(microstates.admit(data))
    count, space = require_whole(count, "the number of microstates"), microstates.space_of(sets)
    flat = len(microstates.site_shape(sets[0])) < 2
    chosen = [_evenly(one, count if space.unbounded or not flat else min(10 * count, _ROWS)) for one in sets]
    if flat:
        page = sheet(axes, 4.6 * min(len(sets), 2), 0.3 + 2.6 * -(-len(sets) // 2), -(-len(sets) // 2), min(len(sets), 2), len(sets))
        for panel, one, rows in zip(page.axes, sets, chosen, strict=True):
            (_lines if space.unbounded else _stripes)(page, panel, rows, space)
            panel.set_title(_temperature(one), fontsize=9, loc="left", color=panel.title.get_color())
        return page.figure
    columns = max(len(rows) for rows in chosen)
    if len(sets) == 1 and columns > 4:
        columns = 4
    total = sum(len(rows) for rows in chosen)
    lines = -(-total // columns)
    page = sheet(axes, 2.5 * columns, 0.2 + 2.5 * lines, lines, columns, total)
    told = [_temperature(one) if k == 0 else "" for one, rows in zip(sets, chosen, strict=True) for k in range(len(rows))]
    limit = max(float(np.abs(rows).max()) for rows in chosen)
    for panel, state, text in zip(page.axes, (state for rows in chosen for state in rows), told, strict=True):
        _layer(page, panel, state, space, limit)
        panel.set_title(text, fontsize=9, loc="left", color=panel.title.get_color())
    return page.figure


def _evenly(data: xr.Dataset, count: int) -> np.ndarray:
    """So many states ``(count, *sites)`` of the whole run, chain after chain."""
    state = data["state"]
    total = state.sizes["chain"] * state.sizes["draw"]
    at = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    return np.stack([state[k // state.sizes["draw"], k % state.sizes["draw"]].values for k in at])


def _temperature(data: xr.Dataset) -> str:
    beta = float(data["beta"]) if "beta" in data.coords else np.nan
    return f"β = {beta:.4g}" if np.isfinite(beta) else ""


def _lines(page: Sheet, axes: Axes, rows: np.ndarray, space: Space) -> None:
    for k, row in enumerate(rows):
        axes.plot(row, color=page.look.shade(k), linewidth=1.3, alpha=0.85)
    axes.set_xlabel("site")
    axes.set_ylabel("value")


def _stripes(page: Sheet, axes: Axes, rows: np.ndarray, space: Space) -> None:
    values = rows[..., -1] if space.event_shape else rows
    axes.imshow(values, aspect="auto", interpolation="nearest", **_scale(page, space, 1.0))
    axes.set_xlabel("site")
    axes.set_ylabel("microstate")


def _layer(page: Sheet, axes: Axes, state: np.ndarray, space: Space, limit: float) -> None:
    """One microstate as an image, with arrows where sites have a direction in the plane."""
    vector = len(space.event_shape)
    while state.ndim > 2 + vector:
        state = state[0]
    axes.imshow(state[..., -1] if vector else state, interpolation="nearest", **_scale(page, space, limit))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if max(state.shape[:2]) <= _ARROWS and (space.period is not None or vector):
        _arrows(page, axes, np.stack([np.cos(state), np.sin(state)], -1) if space.period is not None else state[..., :2])


def _arrows(page: Sheet, axes: Axes, parts: np.ndarray) -> None:
    """The first two components of every site: the second points upwards."""
    rows, columns = np.indices(parts.shape[:2])
    axes.quiver(
        columns, rows, parts[..., 0], parts[..., 1], pivot="mid", scale=1.25, scale_units="x", units="x", width=0.09, color=page.look.ink
    )


def _scale(page: Sheet, space: Space, limit: float) -> dict[str, Any]:
    """How values of a space are coloured."""
    look = page.look
    if space.period is not None:
        return {"cmap": "twilight", "vmin": 0.0, "vmax": space.period, "alpha": 0.6}  # pale enough for arrows
    if space.labelled:
        named = (*look.shades[: space.q - 1], look.line)[: space.q] if space.q <= len(look.shades) + 1 else None
        return {"cmap": "viridis" if named is None else ListedColormap(named), "vmin": -0.5, "vmax": space.q - 0.5}
    if space.binary:
        return {"cmap": ListedColormap([look.line, look.blue]), "vmin": -1, "vmax": 1}
    return {"cmap": look.diverging, "vmin": -limit, "vmax": limit}


def vortices(data: Any, row: int = -1, *, lattice: Lattice | None = None, ax: Any = None) -> Figure:
    """One microstate of angles as arrows, with its vortices (red, full) and antivortices (blue, empty).

    Parameters
    ----------
    data : Dataset of angles, or array ``(rows, columns)``
        Microstates on a square or triangular lattice, or one of them.
    row : int
        Which microstate, counted through all chains; the last by default.
    lattice : Lattice, optional
        Of the sites: by default square, periodic as the data declare (an array: periodic).
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If the states are no angles on such a lattice, or there is no such row.
    """
    closed = True
    if isinstance(data, xr.Dataset):
        data = microstates.admit_one(data)
        space = microstates.space_of(data)
        if space.period is None:
            raise HamlearnError(f"vortices are of angles; these microstates are {space.name}.")
        closed = microstates.periodic(data) is not False
        states = data["state"].values
        states = states.reshape(-1, *microstates.site_shape(data))
    else:
        states = as_numbers(data).astype(float)
        states = states.reshape(-1, *states.shape[-2:])
    if not isinstance(row, int) or not -len(states) <= row < len(states):
        raise HamlearnError(f"row= is one of {len(states)} microstates, counted from 0; got {row!r}.")
    state = states[row]
    if state.ndim != 2:
        raise HamlearnError(f"vortices need sites on two axes; these have {state.ndim}: give an array (rows, columns) and lattice=.")
    lattice = hypercubic(state.shape, periodic=closed) if lattice is None else lattice
    found = windings(state, lattice)
    page = sheet(ax, 4.6, 4.6)
    axes, look = page.axes[0], page.look
    _arrows(page, axes, np.stack([np.cos(state), np.sin(state)], -1))
    size = (120.0 / max(state.shape)) ** 2 * 1.6
    for sign, colour, face, name in ((1, look.red, look.red, "vortices"), (-1, look.blue, "none", "antivortices")):
        kind, i, j = np.nonzero(found * sign > 0)
        shift = 0.5 if len(found) == 1 else np.where(kind == 0, 1 / 3, 2 / 3)
        axes.scatter(j + shift, i + shift, s=size, facecolor=face, edgecolor=colour, linewidths=1.8, label=f"{len(i)} {name}", zorder=3)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_axis_off()
    legend(axes, look, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2)
    return page.figure


def correlation(given: xr.Dataset | Iterable[xr.Dataset], *, lattice: Lattice | None = None, ax: Any = None) -> Figure:
    """Correlation of two sites a distance r apart, of data with error bars or of a prediction with bands; a curve per temperature.

    Draw a prediction and the data on the same axes to compare them.

    Parameters
    ----------
    given : Dataset or list of Datasets
        Microstates, or what :func:`hamlearn.predict` returned with the observable "correlation".
    lattice : Lattice, optional
        Of the sites of microstates; by default hypercubic, periodic as they declare.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If microstates do not say whether their sites close periodically and no lattice is given, or a prediction holds no correlation.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((8, 8)), beta=0.4, draws=200, seed=0)
    >>> hl.plots.correlation(data)
    <Picture size 460x300 with 1 Axes>
    """
    if isinstance(given, xr.Dataset) and "state" not in given:
        r, curves = correlations(given)
        page = sheet(ax, 4.6, 3.0)
        for k, (beta, part) in enumerate(curves):
            colour = page.look.shade(k)
            page.axes[0].fill_between(r, part["lower"], part["upper"], color=colour, alpha=0.3, linewidth=0)
            page.axes[0].plot(r, part["mean"], color=colour, linewidth=1.7, label=f"predicted, β = {beta:.4g}")
    else:
        sets = microstates.split_by_beta(microstates.admit(given))
        found = [measured_correlation(one, lattice) for one in sets]
        page = sheet(ax, 4.6, 3.0)
        for k, (one, (r, mean, error)) in enumerate(zip(sets, found, strict=True)):
            colour = page.look.shade(k)
            page.axes[0].errorbar(
                r,
                mean,
                error,
                fmt="o",
                color=colour,
                markersize=4,
                elinewidth=1.5,
                capsize=3,
                label=f"data, {_temperature(one)}".strip(", "),
            )
    axes = page.axes[0]
    axes.set_xlabel("distance r")
    axes.set_ylabel("correlation C(r)")
    legend(axes, page.look)
    return page.figure


def measured_correlation(data: xr.Dataset, lattice: Lattice | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances, means and standard errors of C(r) in microstates of one temperature; errors know of autocorrelation."""
    closed = microstates.periodic(data)
    if lattice is None and closed is None:
        raise HamlearnError(
            "these microstates do not say how their sites lie: give lattice=, or declare them with hl.microstates(..., periodic=True)."
        )
    graph = hypercubic(microstates.site_shape(data), periodic=bool(closed)) if lattice is None else lattice
    space, weight = microstates.space_of(data), microstates.multiplicity(data)[0]
    series = np.stack([_correlations(chain, space, graph) for chain in microstates.rows(data)])
    mean = np.average(series, axis=(0, 1), weights=weight)
    if np.ptp(weight) == 0:
        error = statistics.standard_error(series) if series.shape[1] > 1 else np.full(mean.shape, np.nan)
    else:
        error = np.sqrt(np.sum((weight[..., None] * (series - mean)) ** 2, (0, 1))) / weight.sum()
    return separations(graph), mean, error


def _correlations(rows: np.ndarray, space: Space, graph: Lattice) -> np.ndarray:
    """C(r) of every row ``(draw, r)``."""
    parts = np.moveaxis(space.encode(rows), -1, 0)
    total = np.sum([pair_correlation(part, graph) for part in parts], axis=0)
    return (space.q * total - 1) / (space.q - 1) if space.labelled else total
