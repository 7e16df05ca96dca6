"""Tables of the page: numbers as a reader wants them, bars beside them, and the same numbers in full as a file inside the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np

from hamlearn.diagnostics.foreign import readable

if TYPE_CHECKING:
    from markupsafe import Markup

SHOWN = 2000  # rows of a table: a browser lays out more too slowly
FILED = 20_000  # rows of a file inside the page: a megabyte
PRINTED = 300  # rows on paper; as in the style sheet


class Row(NamedTuple):
    """A row as it is shown, and whether it is what the verdict minds."""

    cells: list[Any]
    bad: bool


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    key : str
        Its name in the file; empty: the page alone has it.
    heading : str
        On the page.
    values : sequence
        Numbers or texts of the file, one for every row.
    shown : sequence
        The same as texts or drawings of the page, of the first rows at least; empty: the file alone has it.
    style : str
        Class of its cells: "" for numbers, "text" and "words" for short and long texts, "bar" for drawings.
    """

    key: str
    heading: str
    values: Sequence[Any]
    shown: Sequence[Any] = ()
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page: what it is called, its file (empty: none), its columns, which rows are bad, and how many rows there are."""

    title: str
    file: str
    columns: tuple[Column, ...]
    size: int
    bad: frozenset[int] = frozenset()

    @property
    def shown(self) -> list[Column]:
        """The columns that the page shows."""
        return [one for one in self.columns if len(one.shown)]

    def rows(self) -> Iterator[Row]:
        """The rows that the page shows."""
        columns = [one.shown for one in self.shown]
        for index in range(min(self.size, SHOWN)):
            yield Row([one[index] for one in columns], index in self.bad)

    @property
    def cut(self) -> str:
        """What is said where rows are left out."""
        if self.size <= SHOWN:
            return ""
        filed = "all" if self.size <= FILED else f"{FILED:,}".replace(",", " ")
        return f"Here are the first {number(SHOWN)} of {number(self.size)} rows; the file has {filed}."

    @property
    def long(self) -> int:
        """How many rows a printer prints, where that is less than are shown."""
        return PRINTED if self.size > PRINTED else 0

    def csv(self) -> str:
        """The file: a line of names, then numbers to eight digits and texts that no spreadsheet takes for a formula."""
        columns = [one for one in self.columns if one.key]
        lines = [",".join(_cell(one.key) for one in columns)]
        lines += [",".join(_cell(one.values[index]) for one in columns) for index in range(min(self.size, FILED))]
        return "\n".join([*lines, ""])

    def data(self) -> Markup:
        """The file as the address of a link, which holds it."""
        from markupsafe import Markup

        # Whatever a text holds, quote leaves letters, digits and these.
        return Markup("data:text/csv;charset=utf-8,") + Markup(quote(self.csv(), safe=",.:+-_()[]/ =").replace(" ", "%20"))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        text = " ".join(readable(value).split())
        text = f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
        return '"' + text.replace('"', '""') + '"' if any(one in text for one in ",\"'") else text
    return f"{value:.8g}" if np.isfinite(value) else ""


def number(value: float, digits: int = 3) -> str:
    """A number as a reader wants it: three significant digits, thin spaces between thousands."""
    if not np.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", " ").replace("-", "−")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ").replace("-", "−")
    text = f"{value:.{digits}g}"
    return text.replace("-", "−")


def beside(value: float, error: float) -> str:
    """A value to the second digit of its error."""
    if not (np.isfinite(error) and np.isfinite(value)):
        return number(value)
    digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 9)) if error > 0 else 3
    return f"{value:.{digits}f}".replace("-", "−")


def numbers(key: str, heading: str, values: Any, digits: int = 3, errors: Any = None) -> Column:
    """A column of numbers, to as many digits as their errors allow where these are given."""
    told = np.asarray(values, float)
    first = told[:SHOWN].tolist()
    shown = [number(one, digits) for one in first] if errors is None else [beside(a, e) for a, e in zip(first, errors[:SHOWN], strict=True)]
    return Column(key, heading, told.tolist(), shown)


def texts(key: str, heading: str, values: Sequence[object], style: str = "text") -> Column:
    """A column of texts."""
    told = [str(one) for one in values]
    return Column(key, heading, told, told[:SHOWN], style)


def bars(heading: str, low: Any, high: Any, mean: Any, reach: tuple[float, float] | None = None) -> Column:
    """A column of bars from `low` to `high`, with a mark at `mean` and a line at zero, all on one scale, which the heading names.

    Red is above zero with all of the bar, blue below, grey what contains it. Without `reach` the scale is what the bars and zero need.
    """
    from markupsafe import Markup

    low, high, mean = (np.asarray(one, float)[:SHOWN] for one in (low, high, mean))
    ends = reach or (min(0.0, float(np.nanmin(low, initial=0.0))), max(0.0, float(np.nanmax(high, initial=0.0))))
    zero, left, right, middle = (
        98 * np.clip((one - ends[0]) / ((ends[1] - ends[0]) or 1.0), 0, 1) + 1 for one in (np.zeros(1), low, high, mean)
    )
    tones = np.where(low > 0, "over", np.where(high < 0, "under", "both"))
    drawn = [
        Markup(  # numbers and names made here, nothing else
            f'<svg aria-hidden="true"><rect class="zero" x="{zero[0]:.1f}%"/><rect class="{tone}" x="{a:.1f}%" width="{b - a:.1f}%"/>'
            f'<rect class="mean" x="{c:.1f}%"/></svg>'
        )
        if np.isfinite(a + b + c)
        else ""
        for a, b, c, tone in zip(left.tolist(), right.tolist(), middle.tolist(), tones.tolist(), strict=True)
    ]
    return Column("", f"{heading} ({number(ends[0], 2)} to {number(ends[1], 2)})", (), drawn, "bar")
