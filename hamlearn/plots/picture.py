"""The sheet that every picture is drawn on: a figure of its own, or axes that were given.

A function of this room asks for its sheet, draws on the axes there and returns the sheet's figure. Figures of its own are made
without pyplot: no backend is chosen, no window opens, nothing global changes; they show themselves in a notebook all the same.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from hamlearn.diagnostics.foreign import readable
from hamlearn.errors import HamlearnError
from hamlearn.plots.style import Look, look_on, plain

BETA = "inverse temperature β"


class Picture(Figure):
    """A figure that shows itself in a notebook whether pyplot is there or not, and knows what its marks stand for.

    Attributes
    ----------
    titles : dict of str to tuple of str
        By the gid of an artist (:meth:`matplotlib.artist.Artist.set_gid`, which an SVG file keeps as the id of a group), what each
        point, line or bar in it stands for, in the order in which they are drawn: the page shows it under the pointer.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.titles: dict[str, tuple[str, ...]] = {}

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """For notebooks: twice as many pixels as it takes room, sharp on fine screens."""
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=2 * self.dpi)
        width, height = self.get_size_inches() * self.dpi
        return stream.getvalue(), {"width": int(width), "height": int(height)}


@dataclass(frozen=True)
class Sheet:
    """Where a picture is drawn: its figure, its axes one after the other, the colours for their ground, and what marks stand for."""

    figure: Figure
    axes: tuple[Axes, ...]
    look: Look
    titles: dict[str, tuple[str, ...]]

    def mark(self, artist: Artist, titles: Iterable[object]) -> None:
        """Give `artist` an id and say what each of the items in it stands for, in the order of drawing."""
        gid = f"mark-{len(self.titles)}"
        artist.set_gid(gid)
        self.titles[gid] = tuple(readable(one, 200) for one in titles)


def sheet(given: Any, width: float, height: float, rows: int = 1, columns: int = 1, count: int | None = None) -> Sheet:
    """The axes that were given, or a figure of `width` times `height` inches with as many as are needed.

    Parameters
    ----------
    given : Axes, sequence or array of Axes, or None
        Where to draw.
    width, height : float
        Of a figure of its own.
    rows, columns : int
        Of its axes.
    count : int, optional
        How many axes are drawn in, where the last row is not full.

    Raises
    ------
    HamlearnError
        If what was given are no axes, or not as many as are drawn in.
    """
    wanted = rows * columns if count is None else count
    if given is not None:
        axes = _given(given, wanted, rows, columns)
        figure = axes[0].figure.figure  # of a subfigure, the one that it is part of
        return Sheet(figure, axes, look_on(_ground(axes[0])), {})
    look = look_on(rcParams["figure.facecolor"])
    picture = Picture(figsize=(width, height), layout="constrained", facecolor=look.ground)
    made = tuple(picture.subplots(rows, columns, squeeze=False).ravel())
    for one in made:
        plain(one, look)
    for one in made[wanted:]:
        one.remove()
    return Sheet(picture, made[:wanted], look, picture.titles)


def panels(given: Any, count: int) -> Sheet:
    """Two columns of panels against the inverse temperature, one for each of `count` observables; the axes that were given, if any."""
    rows, columns = -(-count // 2), min(count, 2)
    page = sheet(given, 4.2 * columns, 0.3 + 2.45 * rows, rows, columns, count)
    for panel in page.axes:
        panel.set_xlabel(BETA)
    return page


def require_result(given: object, kind: type, what: str, verb: str) -> None:
    """Refuse what `verb` did not return, and say what it is instead."""
    if not isinstance(given, kind):
        raise HamlearnError(f"no {what}: got an object of type {type(given).__name__}; give what {verb} returned.")


def _given(given: Any, wanted: int, rows: int, columns: int) -> tuple[Axes, ...]:
    """The axes one after the other."""
    name = "ax" if wanted == 1 else "axes"
    axes = tuple(np.asarray(given, object).ravel())
    ours = "plt.subplots()[1]" if wanted == 1 else f"plt.subplots({rows}, {columns})[1]"
    if wrong := [one for one in axes if not isinstance(one, Axes)]:
        raise HamlearnError(f"{name}= takes axes of matplotlib, such as {ours}; got an object of type {type(wrong[0]).__name__}.")
    if len(axes) != wanted:
        told = "one panel" if wanted == 1 else f"{wanted} panels"
        raise HamlearnError(f"this picture has {told}, so {name}= takes as many axes, such as {ours}; got {len(axes)}.")
    return axes


def _ground(axes: Axes) -> Any:
    """What is behind the axes: their own ground, or the figure's where it is clear."""
    own = to_rgba(axes.get_facecolor())
    return own if own[3] > 0 else axes.figure.get_facecolor()


def titles(figure: Figure) -> Mapping[str, tuple[str, ...]]:
    """What the marks of a figure stand for, by gid; nothing of one that was not made here."""
    return figure.titles if isinstance(figure, Picture) else {}
