"""How pictures look: colours for a white and for a dark ground, axes, legends and colour bars of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgba


@dataclass(frozen=True)
class Look:
    """The colours of a picture on one ground.

    Attributes
    ----------
    ground, ink, line, grey : str
        Behind everything, of texts and outlines, of what stands back, and of what has nothing to say.
    blue, red : str
        Of what is below and above zero, of a model and of what differs from it.
    shades : tuple of str
        Of things that only differ, such as chains.
    scale : tuple of str
        From the lowest to the highest value around zero; blue and red stay apart for readers who see no red or no green.
    """

    ground: str
    ink: str
    line: str
    grey: str
    blue: str
    red: str
    shades: tuple[str, ...]
    scale: tuple[str, ...]

    def shade(self, k: int) -> str:
        """The colour of the `k`-th of things that only differ; they begin again where there are more than colours."""
        return self.shades[k % len(self.shades)]

    @property
    def diverging(self) -> Colormap:
        """The colour map of values around zero: blue below, grey none, red above."""
        return LinearSegmentedColormap.from_list("hamlearn", list(self.scale))


LIGHT = Look(
    ground="#ffffff",
    ink="#1b2431",
    line="#d5dbe3",
    grey="#7d8a98",
    blue="#2b6cb0",
    red="#c0392b",
    shades=("#2b6cb0", "#c0392b", "#2f855a", "#8a5a00", "#6b46c1", "#7d8a98"),
    scale=("#1a4f94", "#5b8fc7", "#c3cad2", "#dd7f70", "#ab2a1e"),
)
DARK = Look(
    ground="#161b22",
    ink="#e4e9f0",
    line="#37424f",
    grey="#8b98a7",
    blue="#6aaef0",
    red="#f08070",
    shades=("#6aaef0", "#f08070", "#6fcf97", "#e5b567", "#b79cf0", "#8b98a7"),
    scale=("#7cc0ff", "#4a84bd", "#4a5563", "#bd5f52", "#ff9a88"),
)
ON_DARK, ON_PALE = "#fdfdfd", "#101820"  # of texts on coloured ground, whatever the picture's own


def look_on(ground: Any) -> Look:
    """The colours for a ground: a clear one counts as white."""
    return DARK if luminance(ground) < 0.4 else LIGHT


def luminance(colour: Any) -> float:
    """Brightness of a colour on white, 0 to 1 (weights of the ITU's BT.601, good enough to tell dark from pale)."""
    red, green, blue, alpha = to_rgba(colour)
    return 1 - alpha * (1 - (0.299 * red + 0.587 * green + 0.114 * blue))


def on(colour: Any) -> str:
    """The colour of a text on this ground."""
    return ON_DARK if luminance(colour) < 0.5 else ON_PALE


def plain(axes: Any, look: Look) -> None:
    """Axes with two spines on a clear ground, their texts in the ink."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_color(look.grey)
        spine.set_visible(side in ("left", "bottom"))  # of a colour bar none: its outline has another name
    axes.tick_params(labelcolor=look.ink, labelsize=8, color=look.grey)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set(color=look.ink, fontsize=9)


def legend(axes: Any, look: Look, **placed: Any) -> None:
    """What lines and bands mean."""
    axes.legend(fontsize=8, frameon=False, labelcolor=look.ink, **placed)


def here(axes: Any, at: float, look: Look, label: str | None = None) -> None:
    """A dashed line at the one value of the horizontal axis that matters: what was observed, what is best, what was kept."""
    axes.axvline(at, color=look.grey, linewidth=1.2, linestyle=(0, (4, 3)), label=label)


def colourbar(mappable: Any, axes: Any, label: str, look: Look, ticks: Sequence[float] | None = None) -> Any:
    """The scale of a picture beside its axes."""
    bar = axes.figure.colorbar(mappable, ax=axes, fraction=0.04, pad=0.02, ticks=ticks)
    plain(bar.ax, look)
    bar.outline.set_visible(False)
    bar.set_label(label)
    return bar
