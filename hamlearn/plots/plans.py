"""Pictures of plans: how many microstates it takes at every temperature, and what more of them give."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hamlearn.infer import Plan
from hamlearn.plots.picture import BETA, Sheet, require_result, sheet
from hamlearn.plots.style import here
from hamlearn.plots.style import legend as explain

_TOLD = {"rows_needed": "intervals so narrow", "rows_detected": "strengths of that size found"}


def plan(found: Plan, *, legend: bool = True, axes: Any = None) -> Figure:
    """Microstates that are needed against β, with their errors, and widths of intervals against microstates at the best β.

    Parameters
    ----------
    found : Plan
        What :func:`hamlearn.plan` returned.
    legend : bool
        Explain the lines.
    axes : two matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If it is no plan.

    Examples
    --------
    >>> import hamlearn as hl
    >>> ring = hl.systems.Ising((4,))
    >>> hl.plots.plan(hl.plan(ring, width=0.2, beta=[0.3, 0.6, 1.2]))
    <Picture size 840x310 with 2 Axes>
    """
    require_result(found, Plan, "plan", "hl.plan")
    page = sheet(axes, 8.4, 3.1, 1, 2)
    left, right = page.axes
    _needed(page, left, found)
    best, strength = found.table.sel(beta=found.beta), found.table["strength"].values
    widths = best["width"].values[:, strength]
    for values, style, label in ((widths.max(-1), "solid", "worst"), (np.median(widths, -1), "dashed", "median")):
        right.loglog(best["rows"].values, values, color=page.look.blue, linestyle=style, marker=".", label=label)
    right.set_xlabel(f"microstates at β = {found.beta:.4g}")
    right.set_ylabel(f"width of {100 * found.table.attrs['level']:.3g} % intervals")
    if legend:
        explain(left, page.look)
        explain(right, page.look)
    return page.figure


def _needed(page: Sheet, panel: Axes, found: Plan) -> None:
    """Microstates against β; of a plan that asked for none, the widest interval."""
    table, beta, look = found.table, found.table["beta"].values, page.look
    asked = [name for name in _TOLD if name in table]
    for name, colour in zip(asked, (look.blue, look.red), strict=False):
        for which, style in (("worst", "solid"), ("median", "dashed")):
            mean, error = table[name].sel(which=which).values, table[f"{name}_error"].sel(which=which).values
            label = f"{_TOLD[name]}, {which}"
            panel.errorbar(beta, mean, error, color=colour, linestyle=style, marker=".", label=label)
    if not asked:
        panel.plot(
            beta, table["width"].isel(rows=-1).values[:, table["strength"].values].max(-1), color=look.blue, marker=".", label="worst"
        )
    panel.set_yscale("log")
    panel.axvspan(min(found.good), max(found.good), color=look.grey, alpha=0.25, linewidth=0)
    here(panel, found.beta, look, "best")
    panel.set_xlabel(BETA)
    panel.set_ylabel("microstates needed" if asked else f"widest interval of {int(table['rows'][-1])} microstates")
