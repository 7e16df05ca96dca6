"""Text of strangers (names, attributes, titles, file names) made fit for a page and for a picture.

Escaping is the template engine's work; here goes what no escaping mends: characters that reorder or end a line, that no
encoding writes, that no font draws, and texts without an end.
"""

from __future__ import annotations

import unicodedata
from typing import Any

LONGEST = 4000  # characters of one text on the page
NAME = 160  # of a name or a heading there
LABEL = 48  # characters of a label in a picture: longer ones leave no room for the picture
VERBATIM: dict[str, Any] = {"parse_math": False, "usetex": False}  # of a matplotlib text that is not ours: no formula, no TeX
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
_DIRECTION = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # reorder what stands beside them


def readable(text: object, limit: int = LONGEST) -> str:
    r"""Text for a page: control, direction and unpaired surrogate characters are shown as unreadable, the end is cut and said so.

    Examples
    --------
    >>> readable("beta\x00 = 1"), readable("x" * 10_000, limit=30)
    ('beta� = 1', 'xxxxx… (cut, 10000 characters)')
    """
    given = str(text)
    end = f"… (cut, {len(given)} characters)"
    cut = given if len(given) <= limit else given[: max(limit - len(end), 0)] + end
    return cut if cut.isascii() and cut.isprintable() else "".join(map(_character, cut))


def _character(one: str) -> str:
    if one in "\n\t\r":
        return " "
    # Cn holds the noncharacters, which a browser may not read either.
    unfit = one in _DIRECTION or unicodedata.category(one) in ("Cc", "Cs", "Cn")
    return _UNREADABLE if unfit else one


def drawable(text: object, limit: int = LABEL) -> str:
    r"""Text for a label of a picture: one line, short, and only of characters that the font has; give :data:`VERBATIM` with it.

    Of a pair, ``"one – other"``, both names are cut. What the picture leaves out, the tables of the page have, and its titles.

    Examples
    --------
    >>> drawable("a name\nof two lines"), drawable("J[0,1] and much more", limit=8)
    ('a name of two lines', 'J[0,1]…')
    >>> drawable("restless – always tired and without hope", limit=24)
    'restless – always tired…'
    """
    line = _cut(" ".join(readable(text).split()), limit)
    return line if line.isascii() else _with_glyphs(line)


def _cut(line: str, limit: int) -> str:
    """A line with its end cut, or the ends of two names, each of which has what the other leaves."""
    if len(line) <= limit:
        return line
    first, dash, second = line.partition(" – ")
    if not dash:
        return line[: limit - 1].rstrip() + "…"
    room = limit - len(dash)
    own = min(len(first), max(room // 2, room - len(second)))
    return _cut(first, own) + dash + _cut(second, room - own)


def _with_glyphs(line: str) -> str:
    """`line` with a question mark for what no font of the running settings draws; matplotlib would warn of it."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in rcParams["font.family"]]
    return "".join(one if any(font.get_char_index(ord(one)) for font in fonts) else "?" for one in line)
