"""Pictures of a transition: curves of every size, where they cross, and where it is."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from hamlearn.infer import CriticalPoint
from hamlearn.plots.picture import panels, require_result
from hamlearn.plots.style import legend as explain


def critical_point(found: CriticalPoint, *, legend: bool = True, axes: Any = None) -> Figure:
    """Ratios, heat capacity and susceptibility of every size against β, with their bands, and the interval of βc.

    Parameters
    ----------
    found : CriticalPoint
        What :func:`hamlearn.critical_point` returned.
    legend : bool
        Name the sizes in the first panel.
    axes : matplotlib Axes or sequence of them, optional
        Where to draw, one for each; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If it is no critical point.

    Examples
    --------
    >>> import hamlearn as hl
    >>> betas = [0.36, 0.40, 0.44, 0.48]
    >>> data = [hl.simulate(hl.systems.Ising((size, size)), betas, draws=400, seed=size) for size in (4, 8)]
    >>> hl.plots.critical_point(hl.critical_point(data, system=hl.systems.Ising))
    <Picture size 840x520 with 4 Axes>
    """
    require_result(found, CriticalPoint, "critical point", "hl.critical_point")
    curves = found.curves
    names = [str(name) for name in curves.data_vars if "quantity" in curves[name].dims]
    page = panels(axes, len(names))
    look = page.look
    # β of curves is that of the system that was simulated, whose strength is the posterior's median.
    for panel, name in zip(page.axes, names, strict=True):
        for k, size in enumerate(curves["size"].values):
            own, colour = curves[name].sel(size=size), look.shade(k)
            style = ("solid", "dashed", "dotted")[k // len(look.shades) % 3]
            low, mean, high = (own.sel(quantity=key).values for key in ("lower", "mean", "upper"))
            panel.fill_between(curves["beta"].values, low, high, color=colour, alpha=0.2, linewidth=0)
            panel.plot(curves["beta"].values, mean, color=colour, linewidth=1.4, linestyle=style, label=f"L = {size}")
        panel.axvspan(found.beta_c.lower, found.beta_c.upper, color=look.grey, alpha=0.25, linewidth=0)
        panel.set_ylabel(str(curves[name].attrs["long_name"]))
    if legend:
        explain(page.axes[0], look)
    return page.figure
