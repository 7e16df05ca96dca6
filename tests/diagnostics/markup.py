"""What a browser would make of a page, by Python's own parser: elements, tables, files; and texts that try to become part of it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import unquote

# Each breaks out of another place: attributes, elements, comments, templates, formulas, sheets, encodings, lines.
HOSTILE = (
    "\"><img src=x onerror=document.title='OWNED'>",
    "</script><script>document.title='OWNED'</script>",
    "</title><svg onload=document.title='OWNED'>",
    "' onmouseover='document.title=1' style='background:url(//e.invalid)",
    "</style><style>*{display:none}</style>",
    "javascript:document.title='OWNED'",
    "]]><![CDATA[<script>1</script>",
    "--><script>document.title='OWNED'</script><!--",
    "{{7191*7}}{% raw %}<i>${7191*7}",
    "$\\frac{$ \\input{/etc/passwd}",
    "&lt;i&gt; &#60;i&#62;",
    "nul\x00 escape\x1b[31m bell\x07",
    "right \u202eto left\u2066 and \u200bback",
    "unpaired \ud800 surrogate \udfff",
    "\U0001f600 \u4e2d\u6587 \U0001f468\u200d\U0001f469",
    "two\nlines\r\nand\ttabs\u2028",
    "<iframe srcdoc='<script>1</script>'>" * 280,
)


INSIDE = re.compile(r"#[\w-]+|data:image/png;base64,[\w+/=\s]*|data:text/csv;charset=utf-8,[\w,.:+()\[\]/=%-]*", re.ASCII)
"""What a page may point at: its own parts, and pictures and tables that it holds."""


class Parsed(HTMLParser):
    """Elements, attributes by name, and the texts of elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: Counter[tuple[str, str]] = Counter()
        self.outside: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.comments: list[str] = []
        self.policy = ""
        self.inside = 0  # of pictures
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside += tag == "svg"
        self.elements["title of a mark" if tag == "title" and self.inside else tag] += 1
        for name, value in attrs:
            told = value or ""
            self.attributes[tag, name] += 1
            self.ids += [told] if name == "id" else []
            if name in ("href", "src", "srcset", "action", "data", "poster") and not INSIDE.fullmatch(told):
                self.outside.append(told)
        given = dict(attrs)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag == "svg"

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


class Tables(HTMLParser):
    """The tables of a page by the name of the region they are in, row by row as texts, and its files as rows by name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.files: dict[str, list[dict[str, str]]] = {}
        self._rows: list[list[str]] = []
        self._cell = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("role") == "region":
            self._rows = self.tables.setdefault(given["aria-label"] or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        elif tag == "a" and "download" in given:
            text = unquote((given["href"] or "").split(",", 1)[1])
            self.files[given["download"] or ""] = list(csv.DictReader(io.StringIO(text)))
        elif tag == "table" and self._rows:
            self._rows = []  # a table outside of a region
        self._cell = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self._rows[-1][-1] += data

    def column(self, table: str, heading: str) -> list[str]:
        """The texts of one column, without the heading that it begins with."""
        head, *rows = self.tables[table]
        at = head.index(heading)
        return [row[at] for row in rows]


def faults(page: str, clean: str) -> list[str]:
    """What a page has that markup of strangers could have brought, against the clean page of the same posterior; empty: nothing.

    Elements may be fewer or more of kinds that tables and pictures are made of (a longer label has more glyphs), never of a new kind; no
    attribute that runs or styles; no picture lost; nothing outside asked for; nothing that cannot be written or that reorders.
    """
    here, there = Parsed(page), Parsed(clean)
    found = [f"new element {tag}" for tag in here.elements.keys() - there.elements.keys()]
    found += [f"new attribute {name} of {tag}" for tag, name in here.attributes.keys() - there.attributes.keys()]
    found += [f"attribute {name} of {tag}" for tag, name in here.attributes if name.startswith("on") or name == "style"]
    found += [f"{here.elements[tag]} of {tag}" for tag in ONCE if here.elements[tag] != there.elements[tag]]
    # What is renamed may lose the file of its numbers; nothing gains one.
    found += [f"{here.elements['a']} of a"] if here.elements["a"] > there.elements["a"] else []
    found += [
        f"{here.elements[tag]} of {tag}, {there.elements[tag]} before" for tag in PICTURES if here.elements[tag] < there.elements[tag]
    ]
    found += ["a template ran"] if "50337" in page else []
    found += [f"refers to {place[:60]}" for place in here.outside]
    found += [f"comment {text[:60]}" for text in here.comments]
    found += [f"id {one[:60]}" for one in here.ids if not one.replace("-", "").isalnum() or not one.isascii()]
    found += ["ids twice"] if len(set(here.ids)) != len(here.ids) else []
    found += ["another policy"] if here.policy != there.policy else []
    found += [f"character {ord(one):#x}" for one in sorted(set(page)) if _unfit(one)]
    return found


ONCE = ("html", "head", "body", "meta", "title", "style", "script", "main", "header", "footer", "h1", "form")
PICTURES = ("svg", "figure")


def _unfit(one: str) -> bool:
    code = ord(one)
    control = code < 32 and one not in "\n"
    return (
        control
        or 0x7F <= code < 0xA0
        or 0xD800 <= code < 0xE000
        or one in "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
