"""What every page is made in: templates that escape, one style sheet, one script, and a policy that allows nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hamlearn.diagnostics.foreign import NAME, readable
from hamlearn.page import svg
from hamlearn.page.numbers import Table
from hamlearn.page.sections import Section

if TYPE_CHECKING:
    from markupsafe import Markup

# Nothing is fetched, nothing is sent, and nothing runs or styles but the page's own script and sheet; pictures of pixels are in the page.
POLICY = "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'"


class Drawn(NamedTuple):
    """A figure of the page: what stands above it, its drawing, what stands below it, and its numbers where no table has them."""

    heading: str
    drawing: Markup
    caption: str
    file: Table | None


def drawn(section: Section) -> Drawn:
    """A figure as the page has it."""
    drawing = svg.inline(section.draw, section.name, section.alternative, section.width)
    return Drawn(section.heading, drawing, section.caption, None if section.file is None else section.file())


@functools.cache
def template(name: str) -> tuple[Any, dict[str, Markup]]:
    """A template, and what every page has: style sheet, script, and the policy that allows nothing else."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    # Everything is escaped: titles, names and notes are the user's, or a stranger's whose file was loaded.
    environment = Environment(
        loader=PackageLoader("hamlearn.page"), autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_readable
    )
    environment.filters["short"] = _short
    folder = Path(__file__).parent / "templates"
    script, style = (Markup((folder / name).read_text(encoding="utf-8")) for name in ("report.js", "report.css"))
    digests = (base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in (script, style))
    return environment.get_template(name), {"style": style, "script": script, "policy": Markup(POLICY.format(*digests))}


def _readable(value: object) -> object:
    from markupsafe import Markup

    return value if isinstance(value, Markup) else readable(value)


def _short(value: object) -> object:
    from markupsafe import Markup

    return value if isinstance(value, Markup) else readable(value, limit=NAME)
