"""Pictures of how sound a posterior is: its checks, its chains, its training."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import rankdata

from hamlearn.arguments import require_whole
from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.errors import HamlearnError
from hamlearn.infer import families
from hamlearn.infer.accepted import admit_posterior
from hamlearn.plots.picture import sheet
from hamlearn.plots.style import here, legend


def checks(post: xr.DataTree, *, ax: Any = None) -> Figure:
    """How far every statistic that was not fitted lies from its prediction, in standard deviations; red what differs.

    Parameters
    ----------
    post : DataTree
        A posterior that was compared with data.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If the posterior holds no comparison.
    """
    post = admit_posterior(post)
    if "checks" not in post or not post["checks"].sizes.get("statistic", 0):
        raise HamlearnError("this posterior holds no predictive checks: call hl.diagnostics.diagnose(post, data) with enough data.")
    table = post["checks"].to_dataset()
    names = table["statistic"].values[::-1]
    z, bad = table["z"].values[::-1], table["p_adjusted"].values[::-1] < 0.01
    page = sheet(ax, 4.9, 0.8 + 0.21 * max(len(names), 4))
    axes, look = page.axes[0], page.look
    reach = 8.0
    y, x = np.arange(len(names)), np.clip(z, -reach, reach)
    axes.axvspan(-2, 2, color=look.line, alpha=0.45, linewidth=0, zorder=0)
    axes.axvline(0, color=look.grey, linewidth=1.0, zorder=0)
    colours = np.where(bad, look.red, look.blue).tolist()
    axes.hlines(y, 0, x, colors=colours, linewidth=1.8)
    page.mark(axes.scatter(x, y, s=24, c=colours, zorder=3), [f"{name}: {one:+.2f} sd" for name, one in zip(names, z, strict=True)])
    for row in np.flatnonzero(np.abs(z) > reach):
        axes.annotate(
            f"{z[row]:+.0f}",
            (x[row], y[row]),
            xytext=(-6 if z[row] > 0 else 6, 5),
            textcoords="offset points",
            fontsize=7.5,
            color=look.red,
            ha="right" if z[row] > 0 else "left",
        )
    axes.set_yticks(y, [drawable(name) for name in names], fontsize=7.5, **VERBATIM)
    axes.set_ylim(-0.7, len(names) - 0.3)
    span = max(4.0, float(np.abs(x).max()) + 0.8)
    axes.set_xlim(-span, span)
    axes.set_xlabel("(observed − predicted) / sd")
    return page.figure


def trace(post: xr.DataTree, worst: int = 4, *, axes: Any = None) -> Figure:
    """Draws of the parameters with the largest spread between chains, each chain a line; beside them their ranks.

    Chains that sample the same distribution have flat rank histograms.

    Parameters
    ----------
    post : DataTree
        A posterior with draws of parameters.
    worst : int
        How many parameters, at least 1; fewer where there are not as many.
    axes : sequence of matplotlib Axes, optional
        Where to draw, two for every parameter; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If the posterior has no parameters, or no two draws of them.
    """
    post = admit_posterior(post)
    names, theta = widest_apart(post, require_whole(worst, "the number of parameters that are drawn"))
    if not names or theta.shape[1] < 2:
        raise HamlearnError("this posterior has no draws of parameters that a trace could show.")
    chains, draws = theta.shape[:2]
    page = sheet(axes, 8.4, 0.4 + 1.25 * len(names), len(names), 2)
    grid = np.reshape(np.array(page.axes, object), (-1, 2))
    bins = np.linspace(0, chains * draws, min(20, draws) + 1)
    for k, row in enumerate(grid):
        ranks = rankdata(theta[..., k]).reshape(chains, draws)  # equal values share a rank: zeros of all chains fall into one bin
        for chain in range(chains):
            colour = page.look.shade(chain)
            row[0].plot(theta[chain, :: max(1, draws // 500), k], color=colour, linewidth=0.6, alpha=0.8)
            row[1].stairs(np.histogram(ranks[chain], bins)[0], bins, color=colour, linewidth=1.3)
        row[0].set_ylabel(drawable(names[k], 24), fontsize=8, **VERBATIM)
        row[1].set_ylim(bottom=0)
    page.axes[-2].set_xlabel("draw (thinned)" if draws > 500 else "draw")
    page.axes[-1].set_xlabel("rank among all draws")
    return page.figure


def widest_apart(post: xr.DataTree, worst: int = 4) -> tuple[list[str], np.ndarray]:
    """Names and draws ``(chain, draw, parameter)`` of the parameters whose chains differ most."""
    names, theta = families.of(post).parameters(post)
    spread = theta.mean(1).std(0) / np.maximum(theta.std((0, 1)), 1e-300)
    chosen = np.argsort(-spread, kind="stable")[:worst]
    return [names[k] for k in chosen], theta[..., chosen]


def training(post: xr.DataTree, *, ax: Any = None) -> Figure:
    """Loss against epoch, of the data trained on and of data held out, every member a line; dashed the epoch that was kept.

    Parameters
    ----------
    post : DataTree
        A posterior of trained networks.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If nothing was trained.
    """
    post = admit_posterior(post)
    if "training" not in post:
        raise HamlearnError("this posterior was not trained: only neural models have training curves.")
    group = post["training"].to_dataset()
    page = sheet(ax, 4.6, 2.6)
    axes, look = page.axes[0], page.look
    for name, colour in (("train", look.grey), ("held_out", look.blue)):
        if name not in group:
            continue
        values = np.atleast_2d(group[name].transpose(..., "epoch").values)
        for index, one in enumerate(values):
            axes.plot(np.arange(1, len(one) + 1), one, color=colour, linewidth=1.6, label=name.replace("_", " ") if index == 0 else None)
    for best in np.atleast_1d(group["best_epoch"].values if "best_epoch" in group else []):
        here(axes, float(best) + 1, look)
    axes.set_xlabel("epoch")
    told = group["held_out"].attrs.get("long_name", "loss") if "held_out" in group else "loss"
    axes.set_ylabel(drawable(told), **VERBATIM)
    legend(axes, look)
    return page.figure
