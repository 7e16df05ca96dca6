"""The picture of a transition that was found without an order parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hamlearn.diagnostics.phases import Phases
from hamlearn.plots.picture import require_result, sheet
from hamlearn.plots.style import legend as explain


def phases(found: Phases, *, legend: bool = True, ax: Any = None) -> Figure:
    """The curve of every size against temperature, where each has its peak or crossing, and what the transition lies between.

    Parameters
    ----------
    found : Phases
        What a function of :mod:`hamlearn.diagnostics.phases` returned.
    legend : bool
        Name the sizes.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in. Grey: the interval of the critical temperature, or what is known to bracket it.

    Raises
    ------
    HamlearnError
        If it is none of these.

    Examples
    --------
    >>> import numpy as np, hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((8, 8)), 1 / np.linspace(1.6, 3.2, 9), draws=400, seed=0)
    >>> hl.plots.phases(hl.diagnostics.phases.confusion(data))
    <Picture size 560x360 with 1 Axes>
    """
    require_result(found, Phases, "transition", "a function of hl.diagnostics.phases")
    page = sheet(ax, 5.6, 3.6)
    panel, look = page.axes[0], page.look
    for k, (size, own) in enumerate(found.curves.groupby("size")):
        colour = look.shade(k)
        style = ("solid", "dashed", "dotted")[k // len(look.shades) % 3]
        panel.fill_between(own["temperature"], own["lower"], own["upper"], color=colour, alpha=0.2, linewidth=0)
        panel.plot(own["temperature"], own["mean"], color=colour, linewidth=1.4, linestyle=style, label=f"L = {size}")
        place = float(found.estimates.loc[found.estimates["size"] == size, "temperature"].iloc[0])
        if np.isfinite(place):
            panel.plot([place], [np.interp(place, own["temperature"], own["mean"])], color=colour, marker="o", markersize=4)
    lower, upper = found.bracket if found.critical is None else (found.temperature.lower, found.temperature.upper)
    if np.isfinite(lower):
        panel.axvspan(lower, upper, color=look.grey, alpha=0.25, linewidth=0)
    panel.set_xlabel("temperature T")
    panel.set_ylabel(found.signal)
    if legend:
        explain(panel, look)
    return page.figure
