"""Pictures of how sound a posterior is: its checks, its chains, its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.errors import HamlearnError
from hamlearn.infer import families
from hamlearn.infer.accepted import admit_posterior
from hamlearn.plots.style import BLUE, GREY, INK, LINE, RED, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def checks(post: xr.DataTree) -> Figure:
    """How far every statistic that was not fitted lies from its prediction, in standard deviations."""
    post = admit_posterior(post)
    if "checks" not in post or not post["checks"].sizes.get("statistic", 0):
        raise HamlearnError("this posterior holds no predictive checks: call hl.diagnostics.diagnose(post, data) with enough data.")
    table = post["checks"].to_dataset()
    names = table["statistic"].values[::-1]
    z, bad = table["z"].values[::-1], table["p_adjusted"].values[::-1] < 0.01
    figure, axes = new_figure(4.9, 0.8 + 0.21 * max(len(names), 4))
    reach = 8.0
    y, x = np.arange(len(names)), np.clip(z, -reach, reach)
    axes.axvspan(-2, 2, color=LINE, alpha=0.45, linewidth=0, zorder=0)
    axes.axvline(0, color=GREY, linewidth=1.0, zorder=0)
    colours = np.where(bad, RED, BLUE)
    axes.hlines(y, 0, x, colors=colours, linewidth=1.6)
    axes.scatter(x, y, s=22, c=colours, zorder=3)
    for row in np.flatnonzero(np.abs(z) > reach):
        axes.annotate(
            f"{z[row]:+.0f}",
            (x[row], y[row]),
            xytext=(-6 if z[row] > 0 else 6, 5),
            textcoords="offset points",
            fontsize=7.5,
            color=RED,
            ha="right" if z[row] > 0 else "left",
        )
    axes.set_yticks(y, [drawable(name) for name in names], fontsize=7.5, **VERBATIM)
    axes.set_ylim(-0.7, len(names) - 0.3)
    span = max(4.0, float(np.abs(x).max()) + 0.8)
    axes.set_xlim(-span, span)
    axes.set_xlabel("(observed − predicted) / sd", color=INK)
    return figure


def trace(post: xr.DataTree, worst: int = 4) -> Figure:
    """Draws of the parameters with the largest spread between chains, each chain a line; beside them their ranks.

    Chains that sample the same distribution have flat rank histograms.
    """
    post = admit_posterior(post)
    names, theta = families.of(post).parameters(post)
    spread = theta.mean(1).std(0) / np.maximum(theta.std((0, 1)), 1e-300)
    chosen = np.argsort(-spread, kind="stable")[:worst]
    chains, draws = theta.shape[:2]
    figure, grid = new_figure(8.4, 0.4 + 1.25 * len(chosen), len(chosen), 2)
    shades = [BLUE, RED, "#2f855a", "#8a5a00", "#6b46c1", GREY]
    bins = np.linspace(0, chains * draws, min(20, draws) + 1)
    for row, k in zip(np.atleast_2d(grid), chosen, strict=True):
        ranks = theta[..., k].ravel().argsort().argsort().reshape(chains, draws)
        for chain in range(chains):
            colour = shades[chain % len(shades)]
            row[0].plot(theta[chain, :: max(1, draws // 500), k], color=colour, linewidth=0.6, alpha=0.8)
            row[1].stairs(np.histogram(ranks[chain], bins)[0], bins, color=colour, linewidth=1.3)
        row[0].set_ylabel(drawable(names[k], 24), color=INK, fontsize=8, **VERBATIM)
        row[1].set_ylim(bottom=0)
    grid.ravel()[-2].set_xlabel("draw (thinned)", color=INK)
    grid.ravel()[-1].set_xlabel("rank among all draws", color=INK)
    return figure


def training(post: xr.DataTree) -> Figure:
    """Loss against epoch, of the data trained on and of data held out, every member a line."""
    post = admit_posterior(post)
    if "training" not in post:
        raise HamlearnError("this posterior was not trained: only neural models have training curves.")
    group = post["training"].to_dataset()
    figure, axes = new_figure(4.6, 2.6)
    for name, colour in (("train", GREY), ("held_out", BLUE)):
        if name not in group:
            continue
        values = np.atleast_2d(group[name].transpose(..., "epoch").values)
        for index, one in enumerate(values):
            axes.plot(np.arange(1, len(one) + 1), one, color=colour, linewidth=1.2, label=name.replace("_", " ") if index == 0 else None)
    for best in np.atleast_1d(group["best_epoch"].values if "best_epoch" in group else []):
        axes.axvline(float(best) + 1, color=LINE, linewidth=1.1, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlabel("epoch", color=INK)
    told = group["held_out"].attrs.get("long_name", "loss") if "held_out" in group else "loss"
    axes.set_ylabel(drawable(told), color=INK, **VERBATIM)
    legend(axes)
    return figure
