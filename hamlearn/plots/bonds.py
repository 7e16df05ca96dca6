"""Pictures of couplings: on the lattice or as a network, as a matrix, and against known contacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from hamlearn.diagnostics.foreign import VERBATIM, drawable
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.plots import layout
from hamlearn.plots.picture import Sheet, sheet
from hamlearn.plots.style import colourbar, legend, on

_NAMED = 4  # characters of a name that fit into the circle of a site


def couplings(post: xr.DataTree, *, names: Sequence[object] | None = None, ax: Any = None) -> Figure:
    """Couplings on the lattice, or as a network where the graph was not known.

    Bonds are coloured by their posterior mean (red: aligning, blue: opposing) and the wider the more certain they are
    (mean over standard deviation). Bonds that wrap around a periodic boundary are drawn as half stubs at both ends.
    Circles show the field of their site. Of a sparse posterior the bonds more likely there than not are drawn. Graphs too
    dense to be drawn become a :func:`matrix`.

    Parameters
    ----------
    post : DataTree
        A posterior with couplings of pairs.
    names : sequence, optional
        What the sites are called, one name for each; by default what the data call them, or their numbers.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If the posterior has no couplings, or there is not one name for every site.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace")
    >>> hl.plots.couplings(post)
    <Picture size 500x450 with 2 Axes>
    """
    post = admit_posterior(post)
    values, what = layout.strengths(post)
    graph, chosen = layout.graph_of(post), layout.existing(post)
    called = layout.site_names(graph, names)
    if layout.crowded(graph):
        return matrix(post, names=names, ax=ax)
    drawn = values.reshape(-1, values.shape[-1])[:, chosen]
    mean, sd = drawn.mean(0), drawn.std(0)
    fields = layout.posterior_values(post, "h") if "h" in post["posterior"] else None
    fields = None if fields is None or fields.ndim != 3 else fields.reshape(-1, fields.shape[-1])
    limit = max(float(np.abs(mean).max(initial=0.0)), 0.0 if fields is None else float(np.abs(fields.mean(0)).max())) or 1.0
    page = sheet(ax, 5.0, 4.5)
    scale = ScalarMappable(Normalize(-limit, limit), page.look.diverging)
    places = layout.positions(graph)
    size = _diameter(page, places)
    owners, lines = layout.segments(graph, places)
    certainty = np.abs(mean) / np.where(sd > 0, sd, np.inf)
    order = np.argsort(certainty[owners], kind="stable")  # certain bonds on top
    owners = owners[order]
    thick = np.clip(0.35 * size, 1.5, 6.0) * (0.25 + 0.75 * np.minimum(certainty / 10, 1.0))
    told = [f"{called[i]} – {called[j]}: {m:.3g} ± {s:.2g}" for (i, j), m, s in zip(graph.bonds, mean, sd, strict=True)]
    coloured = LineCollection(
        list(lines[order]), colors=scale.to_rgba(mean[owners]), linewidths=thick[owners], capstyle="round", zorder=1, clip_on=False
    )
    page.axes[0].add_collection(coloured)
    page.mark(coloured, [told[bond] for bond in owners])
    _sites(page, places, size, called, fields, scale)
    colourbar(scale, page.axes[0], f"{what}{'' if fields is None else ' and field h'}, posterior mean", page.look)
    return page.figure


def _diameter(page: Sheet, places: np.ndarray) -> float:
    """Of the circle of a site, in points: half of the way to the nearest one."""
    axes = page.axes[0]
    axes.set_aspect("equal")
    axes.margins(0.06)
    axes.set_axis_off()
    extent = axes.get_window_extent()
    span = min(extent.width / max(np.ptp(places[:, 0]), 1e-9), extent.height / max(np.ptp(places[:, 1]), 1e-9))
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + np.diag(np.full(len(places), np.inf))
    nearest = np.quantile(apart.min(1), 0.25) if len(places) > 1 else 1.0
    return float(np.clip(0.45 * nearest * span * 72 / page.figure.dpi, 3.5, 20.0))


def _sites(page: Sheet, places: np.ndarray, size: float, called: list[str], fields: np.ndarray | None, scale: ScalarMappable) -> None:
    """Circles, coloured by their fields, with their names inside, or beside where they are long."""
    axes, look = page.axes[0], page.look
    face = [look.ground] * len(places) if fields is None else list(scale.to_rgba(fields.mean(0)))
    points = axes.scatter(places[:, 0], places[:, 1], s=size**2, c=face, edgecolors=look.ink, linewidths=0.8, zorder=3, clip_on=False)
    told = ["" if fields is None else f": h = {fields[:, site].mean():.3g} ± {fields[:, site].std():.2g}" for site in range(len(places))]
    page.mark(points, [f"site {name}{field}" for name, field in zip(called, told, strict=True)])
    longest = max(map(len, called))
    inside = longest <= _NAMED
    if size < 8 and inside:
        return  # too small to be read
    for name, place, colour in zip(called, places, face, strict=True):
        style: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "fontsize": min(8.0, 0.5 * size, 1.35 * size / longest),
            "color": on(colour),
        }
        if not inside:
            away = 0.36 * size + 1.5  # the corner of the text is outside of the circle, whatever hangs below its line
            style = {"fontsize": 7.5, "color": look.ink, "xytext": (away, away), "textcoords": "offset points", "va": "bottom"}
            style["path_effects"] = [withStroke(linewidth=2.5, foreground=look.ground)]  # readable on a bond
        axes.annotate(drawable(name, 24), place, zorder=4, **style, **VERBATIM)


def matrix(post: xr.DataTree, *, names: Sequence[object] | None = None, ax: Any = None) -> Figure:
    """Couplings as a matrix, site against site, coloured by their posterior mean; empty where there is no bond.

    Parameters
    ----------
    post : DataTree
        A posterior with couplings of pairs.
    names : sequence, optional
        What the sites are called, one name for each; by default what the data call them, or their numbers.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If the posterior has no couplings, or there is not one name for every site.
    """
    post = admit_posterior(post)
    values, what = layout.strengths(post)
    graph = posteriors.bound_of(post).lattice
    called = layout.site_names(graph, names)
    page = sheet(ax, 5.0, 4.5)
    mean = values.mean((0, 1))
    _image(page, _square(graph, mean, np.nan), float(np.abs(mean).max(initial=0.0)) or 1.0, f"{what}, posterior mean")
    axes = page.axes[0]
    if names is None and not graph.names:
        axes.set_xlabel("site")
        axes.set_ylabel("site")
        return page.figure
    _ticks(axes, called)
    return page.figure


def _ticks(axes: Any, called: Sequence[str]) -> None:
    """The names of sites along both axes."""
    at = range(0, len(called), -(-len(called) // 40))  # more would overlap
    told = [drawable(called[site], 16) for site in at]
    axes.set_xticks(at, told, rotation=90, fontsize=7, **VERBATIM)
    axes.set_yticks(at, told, fontsize=7, **VERBATIM)


def _square(graph: Any, values: np.ndarray, empty: float) -> np.ndarray:
    """Values of bonds as a symmetric matrix."""
    made = np.full((graph.n_sites,) * 2, empty)
    made[tuple(graph.bonds.T)] = made[tuple(graph.bonds.T[::-1])] = values
    return made


def _image(page: Sheet, values: np.ndarray, limit: float, label: str) -> None:
    image = page.axes[0].imshow(values, cmap=page.look.diverging, vmin=-limit, vmax=limit, interpolation="nearest")
    colourbar(image, page.axes[0], label, page.look)


def contacts(
    post: xr.DataTree,
    known: Any,
    *,
    names: Sequence[object] | None = None,
    separation: int = 4,
    strongest: int | None = None,
    ax: Any = None,
) -> Figure:
    """The strongest couplings (below the diagonal) against known contacts (above, and as pale ground below): red true, blue not.

    The strength of a pair is the Frobenius norm of its coupling table in the zero-sum gauge, the modulus of a coupling of spins.

    Parameters
    ----------
    post : DataTree
        A posterior with couplings of pairs, such as of a protein family.
    known : array ``(n_sites, n_sites)`` of bool, or of int ``(contacts, 2)``
        Which sites touch, as a matrix or as pairs.
    names : sequence, optional
        What the sites are called, one name for each; by default what the data call them, or their numbers.
    separation : int
        Pairs closer than this along the chain are left out: neighbours touch anyway. 1 for sites without order.
    strongest : int, optional
        How many couplings are drawn; as many as there are sites by default.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If the posterior has no couplings, or the contacts are neither a matrix nor pairs of its sites.
    """
    post = admit_posterior(post)
    layout.strengths(post)  # whether there are couplings
    graph = posteriors.bound_of(post).lattice
    touching = _contacts(known, graph.n_sites)
    values = layout.posterior_values(post, "J").mean((0, 1))
    score = np.abs(values) if values.ndim == 1 else np.sqrt((values**2).sum((1, 2)))
    far = np.abs(np.subtract(*graph.bonds.T)) >= separation
    chosen = np.flatnonzero(far)[np.argsort(-score[far], kind="stable")][: graph.n_sites if strongest is None else strongest]
    pairs = graph.bonds[chosen]
    right = touching[tuple(pairs.T)]
    page = sheet(ax, 4.6, 4.8)
    axes, look = page.axes[0], page.look
    low, high = np.nonzero(np.triu(touching, separation))
    size = np.clip((170.0 / graph.n_sites) ** 2, 3.0, 60.0)
    for x, y in ((high, low), (low, high)):
        axes.scatter(
            x, y, s=size, marker="s", color=look.grey, alpha=0.45, linewidths=0, zorder=1, label=None if x is low else "known contact"
        )
    called = layout.site_names(graph, names)
    for part, colour, told in ((right, look.red, "are contacts"), (~right, look.blue, "are none")):
        rows = np.sort(pairs[part], 1)
        points = axes.scatter(rows[:, 0], rows[:, 1], s=0.6 * size, color=colour, zorder=2, label=f"{part.sum()} of the strongest {told}")
        page.mark(points, [f"{called[i]} – {called[j]}: {score[k]:.3g}" for (i, j), k in zip(rows, chosen[part], strict=True)])
    axes.plot([-0.5, graph.n_sites - 0.5], [-0.5, graph.n_sites - 0.5], color=look.grey, linewidth=0.8, zorder=0)
    axes.set(xlim=(-0.5, graph.n_sites - 0.5), ylim=(graph.n_sites - 0.5, -0.5), xlabel="site", ylabel="site", aspect="equal")
    if names is not None or graph.names:
        _ticks(axes, called)
    legend(axes, look, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return page.figure


def _contacts(known: Any, n_sites: int) -> np.ndarray:
    """Which sites touch, as a symmetric matrix."""
    array = np.asarray(known)
    if array.shape == (n_sites, n_sites) and (array.dtype == bool or n_sites > 2):
        return np.asarray(array.astype(bool) | array.astype(bool).T)
    pairs = array.ndim == 2 and array.shape[1] == 2 and array.dtype.kind in "iu" and array.size
    if not pairs or array.min() < 0 or array.max() >= n_sites:
        raise HamlearnError(
            f"known= is a matrix ({n_sites}, {n_sites}) of which sites touch, or pairs of sites (contacts, 2) from 0 to {n_sites - 1}; "
            f"got shape {array.shape} of {array.dtype}."
        )
    made = np.zeros((n_sites, n_sites), bool)
    made[tuple(array.T)] = made[tuple(array.T[::-1])] = True
    return made
