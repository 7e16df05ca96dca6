"""Pictures of predictions: observables against the inverse temperature, with bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from hamlearn.diagnostics import claims
from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.plots.curves import drawn, number, observed, require
from hamlearn.plots.style import BLUE, GREY, INK, RED, new_figure
from hamlearn.plots.style import legend as explain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def prediction(curves: xr.Dataset, *, legend: bool = True) -> Figure:
    """Predicted observables against β: posterior band, mean, Monte Carlo error bars, and where data were observed.

    Parameters
    ----------
    curves : Dataset
        What :func:`hamlearn.predict` returned.
    legend : bool
        Explain lines and bands in the first panel.

    Raises
    ------
    HamlearnError
        If it is no prediction.
    """
    names = drawn(require(curves))
    rows = -(-len(names) // 2) if len(names) > 1 else 1
    figure, axes = new_figure(4.2 if len(names) == 1 else 8.4, 0.3 + 2.45 * rows, rows, min(len(names), 2))
    panels = np.atleast_1d(axes).ravel()
    beta = curves["beta"].values
    for panel, name in zip(panels, names, strict=False):
        part = {key: curves[name].sel(quantity=key).values for key in ("mean", "lower", "upper", "mc_error")}
        for index, at in enumerate(observed(curves)):
            panel.axvline(at, color=GREY, linewidth=1.1, linestyle=(0, (4, 3)), label="observed" if index == 0 else None)
        if np.any(part["upper"] > part["lower"]):  # one member has no spread: a line, not a band without a width
            label = f"{number(curves, 'level', 0.9):.0%} interval"
            panel.fill_between(beta, part["lower"], part["upper"], color=BLUE, alpha=0.28, linewidth=0, label=label)
        panel.plot(beta, part["mean"], color=BLUE, linewidth=1.7, marker="o" if len(beta) == 1 else None)
        if np.any(part["mc_error"] > 0):
            panel.errorbar(
                beta, part["mean"], part["mc_error"], fmt="none", ecolor=INK, elinewidth=0.9, capsize=1.6, label="simulation error"
            )
        unit = claims.unit(name)
        told = str(curves[name].attrs.get("long_name", name)).split(",")[0].replace("_", " ")
        panel.set_ylabel(drawable(told, 36) + (f", {unit}" if unit else ""), color=INK, **VERBATIM)
        panel.set_xlabel("inverse temperature β", color=INK)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    if legend:
        explain(panels[0])
    if legend and number(curves, "hypothetical", 0):
        figure.suptitle("hypothetical: the observed β was not declared", fontsize=9, color=RED)
    return figure
