"""Pictures of parameters: how large they are with their error bars, and which of them exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from hamlearn.diagnostics import claims
from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.errors import HamlearnError
from hamlearn.infer import families
from hamlearn.infer.accepted import admit_posterior
from hamlearn.plots import layout
from hamlearn.plots.picture import sheet
from hamlearn.plots.style import legend

STRONGEST = 40
_LABEL = 34  # characters: longer labels leave the bars of a narrow picture less than half of it


def forest(
    post: xr.DataTree,
    parameter: str | None = None,
    *,
    names: Sequence[object] | None = None,
    strongest: int | None = STRONGEST,
    ax: Any = None,
) -> Figure:
    """Posterior means with 90 % intervals, sorted: red and blue where the interval leaves zero out, grey where it holds it.

    Parameters
    ----------
    post : DataTree
        A posterior.
    parameter : str, optional
        "J" or "h" of couplings (tied ones appear once), the name of any parameter, or the beginning of several; "J" of what has
        couplings, all parameters of what has none, by default.
    names : sequence, optional
        What the sites are called, one name for each; by default what the data call them, or their numbers.
    strongest : int, optional
        How many to show where there are more than half as many again; None: all.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If the posterior has no such parameter.
    """
    post = admit_posterior(post)
    pairs = families.traits(post).bonds and "J" in post["posterior"]
    if pairs and parameter in (None, "J", "h"):
        labels, draws = layout.rows(post, parameter or "J", names)
        what = "field h" if parameter == "h" else layout.strengths(post)[1]
    else:
        labels, theta = families.of(post).parameters(post)
        draws, what = theta.reshape(-1, len(labels)), claims.quantities(post)[1]
        if parameter is not None:
            chosen = [k for k, label in enumerate(labels) if label.startswith(parameter)]
            labels, draws = [labels[k] for k in chosen], draws[:, chosen]
    if not labels:
        known = (["J", "h"] if pairs and "h" in post["posterior"] else ["J"]) if pairs else families.of(post).parameters(post)[0][:6]
        raise HamlearnError(f"this posterior has no {parameter!r}; it has {', '.join(known) or 'no parameters'}.")
    return forest_of(labels, draws, what, strongest, ax=ax)


def forest_of(
    labels: Sequence[str], draws: np.ndarray, what: str = "parameter", strongest: int | None = STRONGEST, *, ax: Any = None
) -> Figure:
    """:func:`forest` of any parameters, from their labels and draws ``(draw, parameter)``."""
    mean = draws.mean(0)
    total, shown = len(labels), np.argsort(mean, kind="stable")
    if strongest is not None and total > 1.5 * strongest:
        shown = shown[np.isin(shown, np.argsort(-np.abs(mean), kind="stable")[:strongest])]
    low, high = np.quantile(draws[:, shown], [0.05, 0.95], axis=0)
    page = sheet(ax, 4.3, 0.8 + 0.16 * max(len(shown), 4))
    axes, look, y = page.axes[0], page.look, np.arange(len(shown))
    clear = (low > 0) | (high < 0)
    colours = np.where(clear, np.where(mean[shown] > 0, look.red, look.blue), look.grey).tolist()
    axes.axvline(0, color=look.line, linewidth=1.2, zorder=0)
    told = [f"{labels[k]}: {mean[k]:.4g}, {a:.4g} to {b:.4g}" for k, a, b in zip(shown, low, high, strict=True)]
    page.mark(axes.hlines(y, low, high, colors=colours, linewidth=2.6, alpha=0.75), told)
    page.mark(axes.scatter(mean[shown], y, s=17, c=colours, edgecolors=look.ground, linewidths=0.5, zorder=3), told)
    axes.set_yticks(y, [drawable(labels[k], _LABEL) for k in shown], fontsize=7.5, **VERBATIM)
    axes.set_ylim(-0.8, len(shown) - 0.2)
    axes.set_xlabel(f"{what}, mean and 90 % interval" if np.any(high > low) else what)
    if len(shown) < total:
        axes.set_title(f"the strongest {len(shown)} of {total}", loc="left", fontsize=9, color=axes.title.get_color())
    return page.figure


def inclusion(post: xr.DataTree, *, ax: Any = None) -> Figure:
    """Posterior probability of every bond or term to exist, the surest first; only sparse posteriors know it.

    Parameters
    ----------
    post : DataTree
        A posterior with a spike-and-slab prior.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If the posterior is not sparse.
    """
    if "included" not in admit_posterior(post)["posterior"]:
        raise HamlearnError("only sparse posteriors know which bonds exist: learn with Couplings(..., prior='spike_slab').")
    what = "bond" if families.traits(post).bonds else "term"
    probability = layout.posterior_values(post, "included").mean((0, 1))
    labels = layout.rows(post)[0] if families.traits(post).bonds else families.of(post).parameters(post)[0]
    order = np.argsort(-probability, kind="stable")
    rank = np.arange(1, len(order) + 1)
    page = sheet(ax, 4.6, 2.6)
    axes, look = page.axes[0], page.look
    axes.axhline(0.5, color=look.line, linewidth=1.2, zorder=0)
    there = probability[order] > 0.5
    for part, colour, told in ((there, look.red, f"{what}s more likely there than not"), (~there, look.grey, "others")):
        points = axes.scatter(rank[part], probability[order][part], s=15, color=colour, label=f"{part.sum()} {told}")
        page.mark(points, [f"{labels[k]}: {probability[k]:.3g}" for k in order[part]] if len(labels) == len(order) else [])
    axes.set_ylim(-0.03, 1.06)
    axes.set_xlabel(f"{what}, surest first (expected number of {what}s {probability.sum():.1f})")
    axes.set_ylabel("inclusion probability")
    legend(axes, look)
    return page.figure
