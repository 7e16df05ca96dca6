"""The page of a transition: where it is, what to be careful with, curves of every size, where they cross and peak."""

from __future__ import annotations

import functools

import pandas as pd

from hamlearn import plots
from hamlearn.infer import CriticalPoint
from hamlearn.page import frame
from hamlearn.page.numbers import Column, Table, numbers
from hamlearn.page.sections import Section

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
            tables=[
                _table("Crossings", "crossings.csv", found.crossings, "ratio", ["small", "large"]),
                _table("Peaks", "peaks.csv", found.peaks, "of", ["size"]),
            ],
            method=f"{METHODS[found.transition]} {_ERRORS}",
            version=version("hamlearn"),
        )
    )


def _curves(found: CriticalPoint) -> Section:
    caption = f"Line: the microstates as they are. Band: {100 * found.level:.3g} % interval. Grey: where the transition is."
    draw = functools.partial(plots.critical_point, found)
    return Section("", "transition", draw, caption, f"Curves of every size against β; the transition is at β = {found.beta_c}.", 860)


def _table(title: str, file: str, given: pd.DataFrame, what: str, sizes: list[str]) -> Table | None:
    """A row for every crossing or peak; None where there are none. A phone has room for what, where, and from where to where."""
    if given.empty:
        return None
    errors = given["sd"].to_numpy()
    named = [f"{name}, L = {' and '.join(map(str, ends))}" for name, *ends in given[[what, *sizes]].itertuples(index=False)]
    columns = [Column("", "of", (), named, "words")]
    columns += [Column(name, name, given[name].tolist()) for name in (what, *sizes)]
    columns += [numbers("beta", "β", given["beta"], errors=errors), Column("sd", "sd", given["sd"].tolist())]
    columns += [numbers(name, name, given[name], errors=errors) for name in ("lower", "upper")]
    return Table(title, file, tuple(columns), len(given))
