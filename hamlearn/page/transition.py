"""The page of a transition: where it is, what to be careful with, curves of every size, where they cross and peak."""

from __future__ import annotations

import functools

import pandas as pd

from hamlearn import plots
from hamlearn.infer import CriticalPoint
from hamlearn.page import frame
from hamlearn.page.numbers import Column, Table, number, numbers, texts
from hamlearn.page.sections import Section

_WORDS = {"ratio": "ratio", "of": "of", "small": "smaller size", "large": "larger size", "size": "size"}
METHODS = {
    "second_order": "Values and derivatives of Binder's cumulant and of ξ/L of all sizes, at one temperature near their crossings, "
    "are fitted by finite-size scaling with corrections, whose size and exponent have priors; crossings and peaks are not what the answer "
    "is made of.",
    "kosterlitz_thouless": "The transition is where the stiffness of all sizes meets the line 2T/π of Nelson and Kosterlitz with its "
    "logarithmic correction, 1 + 1/(2 ln L + C).",
}
_ERRORS = "Temperatures of one size are joined by multi-histogram reweighting; errors come from resampling blocks of all of them together."


def render(found: CriticalPoint, title: str | None) -> str:
    """The page as a string."""
    from importlib.metadata import version

    template, parts = frame.template("transition.html")
    told, betas = found.facts(), found.curves["beta"].values
    sizes = ", ".join(map(str, found.curves["size"].values))
    at = found.temperature
    return str(
        template.render(
            **parts,
            title=title or "Where is the transition?",
            subtitle=f"Sizes {sizes}, from β = {betas[0]:.4g} to {betas[-1]:.4g}.",
            level="caution" if found.notes else "believe",
            headline=f"Critical temperature {at.mean:.5g} ± {at.sd:.2g}",
            summary=f"With {100 * found.level:.3g} % between {at.lower:.5g} and {at.upper:.5g}.",
            facts=[(name, value) for name, value in told.items() if not name.startswith("note")],
            notes=found.notes,
            curves=frame.drawn(_curves(found)),
            tables=[_table("Crossings", "crossings.csv", found.crossings), _table("Peaks", "peaks.csv", found.peaks)],
            method=f"{METHODS[found.transition]} {_ERRORS}",
            version=version("hamlearn"),
        )
    )


def _curves(found: CriticalPoint) -> Section:
    caption = f"Line: the microstates as they are. Band: {100 * found.level:.3g} % interval. Grey: where the transition is."
    draw = functools.partial(plots.critical_point, found)
    return Section("", "transition", draw, caption, f"Curves of every size against β; the transition is at β = {found.beta_c}.", 860)


def _table(title: str, file: str, given: pd.DataFrame) -> Table | None:
    """A row for every crossing or peak; None where there are none."""
    if given.empty:
        return None
    columns: list[Column] = []
    for name in given.columns:
        if name not in _WORDS:
            columns.append(
                numbers(name, {"beta": "β"}.get(name, name), given[name], errors=None if name == "sd" else given["sd"].to_numpy())
            )
        elif given[name].dtype.kind in "iu":
            columns.append(Column(name, _WORDS[name], given[name].tolist(), [number(one) for one in given[name]]))
        else:
            columns.append(texts(name, _WORDS[name], given[name].tolist()))
    return Table(title, file, tuple(columns), len(given))
