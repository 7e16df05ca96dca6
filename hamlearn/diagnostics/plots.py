"""Pictures of a posterior and what it predicts, as matplotlib figures that are returned, never shown.

Figures are made without pyplot, so no backend is chosen and no window opens; save them with ``figure.savefig`` or let
a notebook show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hamlearn.diagnostics import claims, layout
from hamlearn.diagnostics.curves import drawn, number, observed, require
from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.diagnostics.layout import strengths
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, LINE, GROUND = "#1b2431", "#d5dbe3", "#ffffff"
_DARK, _PALE = "#101820", "#fdfdfd"  # on coloured ground, whatever the page's own colours
BLUE, RED, GREY = "#2b6cb0", "#c0392b", "#9aa5b1"
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
    >>> hl.diagnostics.plots.lattice(post)
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
    figure, axes = _figure(5.0, 4.5)
    scale = ScalarMappable(Normalize(-limit, limit), _diverging())
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
        face = ScalarMappable(Normalize(-top, top), _diverging()).to_rgba(fields)
        labels = [_PALE if colour @ [0.3, 0.59, 0.11, 0.0] < 0.45 else _DARK for colour in face]
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
    _plain(bar.ax)
    return figure


def _matrix(graph: Any, mean: np.ndarray, limit: float, what: str) -> Figure:
    figure, axes = _figure(5.0, 4.5)
    matrix = np.full((graph.n_sites,) * 2, np.nan)
    matrix[tuple(graph.bonds.T)] = matrix[tuple(graph.bonds.T[::-1])] = mean
    image = axes.imshow(matrix, cmap=_diverging(), vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_xlabel("site", color=INK)
    axes.set_ylabel("site", color=INK)
    bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.02)
    bar.set_label(f"{what}, posterior mean", color=INK)
    _plain(bar.ax)
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
    figure, axes = _figure(4.3, 0.8 + 0.15 * max(len(shown), 4))
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
    figure, axes = _figure(4.6, 2.6)
    rank = np.arange(1, len(probability) + 1)
    there = probability > 0.5
    axes.axhline(0.5, color=LINE, linewidth=1.2, zorder=0)
    axes.scatter(rank[there], probability[there], s=13, color=RED, label=f"{there.sum()} {what}s more likely there than not")
    axes.scatter(rank[~there], probability[~there], s=13, color=GREY, label=f"{(~there).sum()} others")
    axes.set_ylim(-0.03, 1.06)
    axes.set_xlabel(f"{what}, surest first (expected number of {what}s {probability.sum():.1f})", color=INK)
    axes.set_ylabel("inclusion probability", color=INK)
    _legend(axes)
    return figure


def training(post: xr.DataTree) -> Figure:
    """Loss against epoch, of the data trained on and of data held out, every member a line."""
    post = admit_posterior(post)
    if "training" not in post:
        raise HamlearnError("this posterior was not trained: only neural models have training curves.")
    group = post["training"].to_dataset()
    figure, axes = _figure(4.6, 2.6)
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
    _legend(axes)
    return figure


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
    figure, axes = _figure(4.2 if len(names) == 1 else 8.4, 0.3 + 2.45 * rows, rows, min(len(names), 2))
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
        _legend(panels[0])
    if legend and number(curves, "hypothetical", 0):
        figure.suptitle("hypothetical: the observed β was not declared", fontsize=9, color=RED)
    return figure


def checks(post: xr.DataTree) -> Figure:
    """How far every statistic that was not fitted lies from its prediction, in standard deviations."""
    post = admit_posterior(post)
    if "checks" not in post or not post["checks"].sizes.get("statistic", 0):
        raise HamlearnError("this posterior holds no predictive checks: call hl.diagnostics.diagnose(post, data) with enough data.")
    table = post["checks"].to_dataset()
    names = table["statistic"].values[::-1]
    z, bad = table["z"].values[::-1], table["p_adjusted"].values[::-1] < 0.01
    figure, axes = _figure(4.9, 0.8 + 0.21 * max(len(names), 4))
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
    figure, grid = _figure(8.4, 0.4 + 1.25 * len(chosen), len(chosen), 2)
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


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    axes = figure.subplots(rows, columns)
    for one in np.atleast_1d(axes).ravel():
        _plain(one)
    return figure, axes


def _plain(axes: Any) -> None:
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_color(GREY)
        spine.set_visible(side in ("left", "bottom"))  # of a colour bar none: its outline has another name
    axes.tick_params(colors=INK, labelsize=8, color=GREY)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)


def _legend(axes: Any) -> None:
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("hamlearn", ["#1f4e8c", "#5b8fc7", "#b9c1ca", "#d9796b", "#a3261b"])
