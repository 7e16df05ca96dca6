"""Pictures of predictions: observables against the inverse temperature, with bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hamlearn.diagnostics import claims
from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.plots.curves import drawn, number, observed, require
from hamlearn.plots.picture import Sheet, sheet
from hamlearn.plots.style import legend as explain


def prediction(curves: xr.Dataset, *, legend: bool = True, axes: Any = None) -> Figure:
    """Predicted observables against β: posterior band, mean, Monte Carlo error bars, and where data were observed.

    Parameters
    ----------
    curves : Dataset
        What :func:`hamlearn.predict` returned.
    legend : bool
        Explain lines and bands in the first panel.
    axes : matplotlib Axes or sequence of them, optional
        Where to draw, one for every observable; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If it is no prediction.
    """
    names = drawn(require(curves))
    rows, columns = -(-len(names) // 2), min(len(names), 2)
    page = sheet(axes, 4.2 * columns, 0.3 + 2.45 * rows, rows, columns, len(names))
    for panel, name in zip(page.axes, names, strict=True):
        _panel(page, panel, curves, name)
    if legend:
        explain(page.axes[0], page.look)
    if legend and number(curves, "hypothetical", 0):
        page.axes[0].set_title("hypothetical: the observed β was not declared", fontsize=9, color=page.look.red, loc="left")
    return page.figure


def _panel(page: Sheet, panel: Axes, curves: xr.Dataset, name: str) -> None:
    """One observable."""
    look, beta = page.look, curves["beta"].values
    part = {key: curves[name].sel(quantity=key).values for key in ("mean", "lower", "upper", "mc_error")}
    for index, at in enumerate(observed(curves)):
        panel.axvline(at, color=look.grey, linewidth=1.2, linestyle=(0, (4, 3)), label="observed" if index == 0 else None)
    if np.any(part["upper"] > part["lower"]):  # one member has no spread: a line, not a band without a width
        label = f"{number(curves, 'level', 0.9):.0%} interval"
        if len(beta) == 1:  # a band of one temperature has no width to be seen
            panel.vlines(beta, part["lower"], part["upper"], color=look.blue, alpha=0.4, linewidth=4, label=label)
        else:
            panel.fill_between(beta, part["lower"], part["upper"], color=look.blue, alpha=0.28, linewidth=0, label=label)
    panel.plot(beta, part["mean"], color=look.blue, linewidth=1.7)
    finite = np.isfinite(part["mean"])
    points = panel.scatter(beta[finite], part["mean"][finite], s=9, color=look.blue, zorder=3)
    page.mark(points, [_told(part, at, k) for k, at in enumerate(beta) if finite[k]])
    if np.any(part["mc_error"] > 0):
        panel.errorbar(
            beta, part["mean"], part["mc_error"], fmt="none", ecolor=look.ink, elinewidth=1.4, capsize=2.5, label="simulation error"
        )
    unit = claims.unit(name)
    told = str(curves[name].attrs.get("long_name", name)).split(",")[0].replace("_", " ")
    panel.set_ylabel(drawable(told, 36) + (f", {unit}" if unit else ""), **VERBATIM)
    panel.set_xlabel("inverse temperature β")


def _told(part: dict[str, np.ndarray], beta: float, k: int) -> str:
    """What a point stands for."""
    band = f", {part['lower'][k]:.4g} to {part['upper'][k]:.4g}" if part["upper"][k] > part["lower"][k] else ""
    return f"β = {beta:.4g}: {part['mean'][k]:.4g}{band}"
