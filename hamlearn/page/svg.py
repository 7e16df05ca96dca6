"""Figures of matplotlib as SVG that may stand inside a page: only shapes, every name in it made here.

Nothing of the file that matplotlib writes is trusted: its tree is copied by a list of what may stay. Texts are shapes there, so
that no label reaches the page as text; comments and metadata, which repeat labels, are left out; ids are numbered; and style
attributes become plain attributes, so that the page can forbid inline styles altogether.
"""

from __future__ import annotations

import io
import logging
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from hamlearn.diagnostics.foreign import readable
from hamlearn.plots.picture import titles
from hamlearn.plots.style import LIGHT
from hamlearn.processes import filtering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from markupsafe import Markup
    from matplotlib.figure import Figure

ELEMENTS = frozenset({"svg", "g", "defs", "path", "use", "clipPath", "rect", "image", "circle", "ellipse", "line", "polyline", "polygon"})
PAINT = frozenset(  # properties of a style attribute, each of which is an attribute of its own too
    {
        "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-linecap", "stroke-linejoin",
        "stroke-miterlimit", "stroke-dasharray", "stroke-dashoffset", "opacity", "image-rendering", "clip-rule",
    }
)  # fmt: skip
PLACE = frozenset(
    {
        "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "viewBox", "points", "transform",
        "preserveAspectRatio",
    }
)  # fmt: skip
_SAFE = re.compile(r"[-+\w\s.,()#%]*")  # numbers, transforms, paths, colours; nothing that quotes, escapes or names a place
# Texts are the user's: no formula and no TeX is made of them, whatever the session's settings say, and they are drawn as shapes. Every
# picture is drawn for a white ground: the style sheet inverts them on a dark one.
SETTINGS = {
    "figure.facecolor": LIGHT.ground,
    "text.usetex": False,
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.image_inline": True,
}
_IMAGE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=\s]*")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def inline(draw: Callable[[], Figure], name: str, alternative: str, width: int) -> Markup:
    """A figure as SVG for a page, on a clear ground, with a text alternative and a title for every mark under the pointer.

    Parameters
    ----------
    draw : callable
        Makes the figure.
    name : str
        Prefix of its ids, unique on the page: letters, digits and dashes.
    alternative : str
        For readers who do not see it.
    width : int
        Of the drawing on a wide screen, in pixels.
    """
    import matplotlib as mpl
    from markupsafe import Markup
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with filtering(), mpl.rc_context(SETTINGS | {"svg.hashsalt": name}):
        # Without savefig, which draws everything once more beforehand to lay it out.
        figure = draw()
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    given = ET.fromstring(stream.getvalue())
    ids: dict[str, str] = {}
    for key in _references(given):
        ids.setdefault(key, f"{name}-{len(ids)}")
    drawing = _copy(given, ids, titles(figure))
    for key in ("width", "height"):  # in points; the page's style sheet gives the width
        drawing.attrib.pop(key, None)
    drawing.attrib |= {"role": "img", "aria-label": readable(alternative), "class": f"w{width}"}
    # What matplotlib says in a style sheet of its own; as attributes of the root they are inherited.
    drawing.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}
    return Markup(ET.tostring(drawing, encoding="unicode"))


def _references(given: ET.Element) -> Iterator[str]:
    """Ids that something points at; the others name nothing and are not kept."""
    for element in given.iter():
        for key, value in element.items():
            if _local(key) == "href" and value.startswith("#"):
                yield value[1:]
            elif found := _REFERENCE.fullmatch(value):
                yield found[1]


def _copy(given: ET.Element, ids: Mapping[str, str], told: Mapping[str, tuple[str, ...]]) -> ET.Element:
    made = ET.Element(_local(given.tag), dict(_attributes(given, ids)))
    for child in given:
        if _local(child.tag) in ELEMENTS:
            made.append(_copy(child, ids, told))
        elif _local(child.tag) not in ("metadata", "style", "title", "desc"):
            _left_out(f"element {_local(child.tag)}")
    texts = told.get(given.get("id", ""), ())
    marks = list(_marks(made)) if texts else []
    if len(marks) == len(texts):  # else some were not drawn, and which is which is not known
        for mark, text in zip(marks, texts, strict=True):
            ET.SubElement(mark, "title").text = text  # written as text: the tree escapes it
    return made


def _marks(group: ET.Element) -> Iterator[ET.Element]:
    """What is drawn in a group, one by one."""
    for child in group:
        if child.tag in ("path", "use"):
            yield child
        elif child.tag != "defs":
            yield from _marks(child)


def _attributes(given: ET.Element, ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in given.items():
        name = _local(key)
        if name == "id":
            if value in ids:
                yield "id", ids[value]
        elif name == "href":
            if value.startswith("#"):
                yield "href", f"#{ids[value[1:]]}"
            elif given.tag.endswith("image") and _IMAGE.fullmatch(value):
                yield "href", value
            else:
                _left_out("a reference")
        elif name == "style":
            for part in filter(str.strip, value.split(";")):
                paint, _, told = (one.strip() for one in part.partition(":"))
                yield from _plain(paint, told, PAINT, ids)
        elif name not in ("version", "type"):
            yield from _plain(name, value, PAINT | PLACE | {"clip-path"}, ids)


def _plain(name: str, value: str, allowed: frozenset[str], ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The attribute, if it is one that may stay and holds only what such attributes hold."""
    if found := _REFERENCE.fullmatch(value):
        value = f"url(#{ids[found[1]]})"
    if name in allowed and _SAFE.fullmatch(value):
        yield name, value
    else:
        _left_out(f"attribute {name}")


def _local(name: str) -> str:
    """Without its namespace."""
    return name.rpartition("}")[2]


def _left_out(what: str) -> None:
    logging.getLogger("hamlearn").warning("a picture of the page has lost %s, which this hamlearn does not know to be safe.", what)
