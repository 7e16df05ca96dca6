"""How pictures look: figures without pyplot, colours, axes and legends of one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, LINE, GROUND = "#1b2431", "#d5dbe3", "#ffffff"
DARK, PALE = "#101820", "#fdfdfd"  # on coloured ground, whatever the page's own colours
BLUE, RED, GREY = "#2b6cb0", "#c0392b", "#9aa5b1"


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """A figure of that many inches with its axes, made without pyplot: no backend is chosen, no window opens."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    axes = figure.subplots(rows, columns)
    for one in np.atleast_1d(axes).ravel():
        plain(one)
    return figure, axes


def plain(axes: Any) -> None:
    """Axes with two spines on a clear ground."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_color(GREY)
        spine.set_visible(side in ("left", "bottom"))  # of a colour bar none: its outline has another name
    axes.tick_params(colors=INK, labelsize=8, color=GREY)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)


def legend(axes: Any) -> None:
    """What lines and bands mean."""
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)


def diverging() -> Any:
    """The colour map of couplings: blue opposing, grey none, red aligning."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("hamlearn", ["#1f4e8c", "#5b8fc7", "#b9c1ca", "#d9796b", "#a3261b"])
