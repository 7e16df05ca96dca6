"""Pictures of couplings: on the lattice, as a matrix, as a forest, and which of them exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.plots import layout
from hamlearn.plots.layout import strengths
from hamlearn.plots.style import BLUE, DARK, GREY, GROUND, INK, LINE, PALE, RED, diverging, legend, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRONGEST = 40
MAX_CIRCLE = 24  # sites of a complete graph drawn on a circle; more become a matrix


def lattice(post: xr.DataTree) -> Figure:
    """Couplings as a picture of the lattice.

    Bonds are coloured by their posterior mean (red: aligning, blue: opposing) and the wider the more certain they are
    (mean over standard deviation). Bonds that wrap around a periodic boundary are drawn as half stubs at both ends.
    Sites show their field. Large complete graphs are drawn as a matrix.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.infer.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace")
    >>> hl.plots.lattice(post)
    <Figure size 500x450 with 2 Axes>
    """
    post = admit_posterior(post)
    bound = posteriors.bound_of(post)
    values, what = strengths(post)
    flat = values.reshape(-1, values.shape[-1])
    mean, sd = flat.mean(0), flat.std(0)
    limit = float(np.abs(mean).max(initial=0.0)) or 1.0
    if layout.crowded(bound.lattice, MAX_CIRCLE):
        return _matrix(bound.lattice, mean, limit, what)
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    places = layout.positions(bound.lattice)
    owners, lines = layout.segments(bound.lattice, places)
    figure, axes = new_figure(5.0, 4.5)
    scale = ScalarMappable(Normalize(-limit, limit), diverging())
    certainty = np.abs(mean) / np.where(sd > 0, sd, np.inf)
    crowd = np.sqrt(64 / max(bound.lattice.n_sites, 16)) * min(1.0, 2.5 * bound.lattice.n_sites / max(bound.lattice.n_bonds, 1))
    widths = crowd * (0.7 + 5.0 * np.minimum(certainty / 10, 1.0))
    order = np.argsort(certainty[owners], kind="stable")  # certain bonds on top
    if "included" in post["posterior"]:
        there = layout.posterior_values(post, "included").mean((0, 1)) > 0.5
        order = order[there[owners[order]]]
    colours = scale.to_rgba(mean[owners[order]])
    axes.add_collection(LineCollection(list(lines[order]), colors=colours, linewidths=widths[owners[order]], capstyle="round", zorder=1))
    fields = layout.posterior_values(post, "h").mean((0, 1)) if "h" in post["posterior"] else None
    size = np.clip(5000 / max(bound.lattice.n_sites, 12), 10, 150)
    if fields is not None and fields.ndim == 1:
        top = max(limit, float(np.abs(fields).max()))
        face = ScalarMappable(Normalize(-top, top), diverging()).to_rgba(fields)
        labels = [PALE if colour @ [0.3, 0.59, 0.11, 0.0] < 0.45 else DARK for colour in face]
    else:
        face, labels = np.array([GROUND] * len(places)), [INK] * len(places)
    axes.scatter(*places.T, s=size, c=face, edgecolors=INK, linewidths=0.9, zorder=3)
    if bound.lattice.n_sites <= 100:
        for site, place in enumerate(places):
            axes.annotate(str(site), place, ha="center", va="center", fontsize=6, color=labels[site], zorder=4)
    axes.set_aspect("equal")
    axes.margins(0.06)
    axes.set_axis_off()
    bar = figure.colorbar(scale, ax=axes, fraction=0.035, pad=0.02)
    bar.set_label(f"{what}, posterior mean", color=INK)
    plain(bar.ax)
    return figure


def _matrix(graph: Any, mean: np.ndarray, limit: float, what: str) -> Figure:
    figure, axes = new_figure(5.0, 4.5)
    matrix = np.full((graph.n_sites,) * 2, np.nan)
    matrix[tuple(graph.bonds.T)] = matrix[tuple(graph.bonds.T[::-1])] = mean
    image = axes.imshow(matrix, cmap=diverging(), vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_xlabel("site", color=INK)
    axes.set_ylabel("site", color=INK)
    bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.02)
    bar.set_label(f"{what}, posterior mean", color=INK)
    plain(bar.ax)
    return figure


def forest(post: xr.DataTree, parameter: str = "J", strongest: int = STRONGEST) -> Figure:
    """Posterior means with 90 % intervals, sorted; of more than 60 the strongest 40.

    Parameters
    ----------
    post : DataTree
        A posterior.
    parameter : {"J", "h"}
        Couplings or fields. Tied ones appear once.
    strongest : int
        How many to show where there are more than half as many again.
    """
    post = admit_posterior(post)
    labels, draws = layout.rows(post, parameter)
    if not labels:
        raise HamlearnError(f"this posterior has no {parameter!r}.")
    return forest_of(labels, draws, strengths(post)[1] if parameter == "J" else "field h", strongest)


def forest_of(labels: list[str], draws: np.ndarray, what: str = "parameter", strongest: int = STRONGEST) -> Figure:
    """:func:`forest` of any parameters, from their labels and draws ``(draw, parameter)``."""
    mean = draws.mean(0)
    total, shown = len(labels), np.argsort(mean, kind="stable")
    if total > 1.5 * strongest:
        shown = shown[np.isin(shown, np.argsort(-np.abs(mean), kind="stable")[:strongest])]
    low, high = np.quantile(draws[:, shown], [0.05, 0.95], axis=0)
    figure, axes = new_figure(4.3, 0.8 + 0.15 * max(len(shown), 4))
    y = np.arange(len(shown))
    clear = (low > 0) | (high < 0)
    colours = np.where(clear, np.where(mean[shown] > 0, RED, BLUE), GREY)
    axes.axvline(0, color=LINE, linewidth=1.2, zorder=0)
    axes.hlines(y, low, high, colors=colours, linewidth=1.8)
    axes.scatter(mean[shown], y, s=15, c=colours, zorder=3)
    axes.set_yticks(y, [drawable(labels[k]) for k in shown], fontsize=7.5, **VERBATIM)
    axes.set_ylim(-0.8, len(shown) - 0.2)
    axes.set_xlabel(f"{what}, mean and 90 % interval" if np.any(high > low) else what, color=INK)
    if len(shown) < total:
        axes.set_title(f"the strongest {len(shown)} of {total}", fontsize=9, color=INK, loc="left")
    return figure


def inclusion(post: xr.DataTree) -> Figure:
    """Posterior probability of every bond to exist, the surest first; only for sparse posteriors."""
    if "included" not in admit_posterior(post)["posterior"]:
        raise HamlearnError("only sparse posteriors know which bonds exist: learn with Couplings(..., prior='spike_slab').")
    what = "bond" if families.traits(post).bonds else "term"
    probability = np.sort(layout.posterior_values(post, "included").mean((0, 1)))[::-1]
    figure, axes = new_figure(4.6, 2.6)
    rank = np.arange(1, len(probability) + 1)
    there = probability > 0.5
    axes.axhline(0.5, color=LINE, linewidth=1.2, zorder=0)
    axes.scatter(rank[there], probability[there], s=13, color=RED, label=f"{there.sum()} {what}s more likely there than not")
    axes.scatter(rank[~there], probability[~there], s=13, color=GREY, label=f"{(~there).sum()} others")
    axes.set_ylim(-0.03, 1.06)
    axes.set_xlabel(f"{what}, surest first (expected number of {what}s {probability.sum():.1f})", color=INK)
    axes.set_ylabel("inclusion probability", color=INK)
    legend(axes)
    return figure
