"""The page of what a question found, other than a posterior: the answer first, what to be careful with, a picture, and the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hamlearn.page import frame
from hamlearn.page.numbers import Table
from hamlearn.page.sections import Section

Level = Literal["believe", "caution", "do-not-believe"]
"""The colour of an answer."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A list of sentences below the answer; each may begin with the name of what it is about."""

    heading: str
    severity: Literal["serious", "caution"]
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the page says, from top to bottom.

    Attributes
    ----------
    title, subtitle : str
        The question, unless another title is asked for; of what it is asked.
    level : {"believe", "caution", "do-not-believe"}
        The colour of the answer.
    headline, summary : str
        The answer, in large letters and in a sentence.
    facts : sequence of (str, str)
        Names and values.
    told : sequence of Told
        Sentences; lists without any are left out.
    picture : Section
        The drawing; its heading is the section's.
    tables : sequence of Table
    asked, method : str
        Heading of the last section, and what it says.
    """

    title: str
    subtitle: str
    level: Level
    headline: str
    summary: str
    facts: Sequence[tuple[str, str]]
    told: Sequence[Told]
    picture: Section
    tables: Sequence[Table]
    asked: str
    method: str


def render(answer: Answer, title: str | None) -> str:
    """The page as a string."""
    from importlib.metadata import version

    template, parts = frame.template("result.html")
    drawing = frame.drawn(answer.picture)
    return str(template.render(**parts, **vars(answer) | {"title": title or answer.title}, drawing=drawing, version=version("hamlearn")))


def sentence(words: str) -> str:
    """Words with a capital at the beginning and a full stop at the end."""
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"
