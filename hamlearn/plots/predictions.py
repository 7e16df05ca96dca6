"""Pictures of predictions: observables against the inverse temperature, with bands."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hamlearn.diagnostics import claims
from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.plots.curves import drawn, number, observed, points, require
from hamlearn.plots.picture import Sheet, panels
from hamlearn.plots.style import here
from hamlearn.plots.style import legend as explain


def prediction(curves: xr.Dataset, *, measured: xr.Dataset | None = None, legend: bool = True, axes: Any = None) -> Figure:
    """Predicted observables against β: posterior band, mean, Monte Carlo error bars, where data were observed, and what they say.

    Parameters
    ----------
    curves : Dataset
        What :func:`hamlearn.predict` returned.
    measured : Dataset, optional
        What data say of the observables, drawn as points with their standard errors: :func:`hamlearn.infer.measured`, of the data
        that were learned from or of others. ``post["measured"].to_dataset()`` is what `learn` recorded.
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
        If it is no prediction, or `measured` is none of data.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform"), engine="laplace", seed=0)
    >>> curves = hl.predict(post, beta=[0.2, 0.3, 0.4], observables=["energy", "heat_capacity"])
    >>> hl.plots.prediction(curves, measured=post["measured"].to_dataset())
    <Picture size 840x275 with 2 Axes>
    """
    names = drawn(require(curves))
    page = panels(axes, len(names))
    for panel, name in zip(page.axes, names, strict=True):
        _panel(page, panel, curves, name)
        if measured is not None:
            _measured(page, panel, measured, name)
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
        here(panel, at, look, "observed" if index == 0 else None)
    if np.any(part["upper"] > part["lower"]):  # one member has no spread: a line, not a band without a width
        label = f"{100 * number(curves, 'level', 0.9):.3g} % interval"
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
    panel.set_ylabel("\n".join(textwrap.wrap(drawable(told, 60) + (f", {unit}" if unit else ""), 26)), **VERBATIM)


def _measured(page: Sheet, panel: Axes, measured: xr.Dataset, name: str) -> None:
    """What the data say, on the curve."""
    beta, mean, error = points(measured, name)
    if not len(beta):
        return
    panel.errorbar(beta, mean, error, fmt="none", ecolor=page.look.red, elinewidth=1.8, capsize=4, capthick=1.8, zorder=4)
    data = panel.scatter(beta, mean, s=24, color=page.look.red, zorder=5, label="the data ± 1 standard error")
    page.mark(data, [f"data at β = {at:.4g}: {m:.4g} ± {e:.2g}" for at, m, e in zip(beta, mean, error, strict=True)])


def _told(part: dict[str, np.ndarray], beta: float, k: int) -> str:
    """What a point stands for."""
    band = f", {part['lower'][k]:.4g} to {part['upper'][k]:.4g}" if part["upper"][k] > part["lower"][k] else ""
    return f"β = {beta:.4g}: {part['mean'][k]:.4g}{band}"
