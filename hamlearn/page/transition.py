"""The page of a transition: where it is, what to be careful with, curves of every size, where they cross and peak."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pandas as pd

from hamlearn import plots
from hamlearn.infer import CriticalPoint
from hamlearn.infer.critical.crossings import Estimate
from hamlearn.page.numbers import Column, Table, numbers
from hamlearn.page.result import Answer, Told
from hamlearn.page.sections import Section

METHODS = {
    "second_order": "Values and derivatives of Binder's cumulant and of ξ/L of all sizes, at one temperature near their crossings, "
    "are fitted by finite-size scaling with corrections, whose size and exponent have priors; crossings and peaks are not what the answer "
    "is made of.",
    "kosterlitz_thouless": "The transition is where the stiffness of all sizes meets the line 2T/π of Nelson and Kosterlitz with its "
    "logarithmic correction, 1 + 1/(2 ln L + C).",
}
_ERRORS = "Temperatures of one size are joined by multi-histogram reweighting; errors come from resampling blocks of all of them together."


def page(found: CriticalPoint) -> Answer:
    """What the page says."""
    betas, sizes = found.curves["beta"].values, ", ".join(map(str, found.curves["size"].values))
    caption = f"Line: the microstates as they are. Band: {100 * found.level:.3g} % interval. Grey: where the transition is."
    alternative = f"Curves of every size against β; the transition is at β = {found.beta_c}."
    crossings = _table("Crossings", "crossings.csv", found.crossings, "ratio", ["small", "large"])
    peaks = _table("Peaks", "peaks.csv", found.peaks, "of", ["size"])
    return Answer(
        title="Where is the transition?",
        subtitle=f"Sizes {sizes}, from β = {betas[0]:.4g} to {betas[-1]:.4g}.",
        level="caution" if found.notes else "believe",
        **temperature(found.temperature, found.level),
        facts=[(name, value) for name, value in found.facts().items() if not name.startswith("note")],
        told=[careful(found.notes)],
        picture=Section("Curves of every size", "transition", functools.partial(plots.critical_point, found), caption, alternative, 860),
        tables=[*crossings, *peaks],
        asked="How it was found",
        method=f"{METHODS[found.transition]} {_ERRORS}",
    )


def temperature(at: Estimate, level: float) -> dict[str, str]:
    """Headline and summary of a critical temperature."""
    return {
        "headline": f"Critical temperature {at.mean:.5g} ± {at.sd:.2g}",
        "summary": f"With {100 * level:.3g} % between {at.lower:.5g} and {at.upper:.5g}.",
    }


def careful(notes: Sequence[str], heading: str = "To be careful with") -> Told:
    """Notes below the answer."""
    return Told(heading=heading, severity="caution", lines=[("", line) for line in notes])


def _table(title: str, file: str, given: pd.DataFrame, what: str, sizes: list[str]) -> list[Table]:
    """A row for every crossing or peak; no table where there are none. A phone has room for what, where, and from where to where."""
    if given.empty:
        return []
    errors = given["sd"].to_numpy()
    named = [f"{name}, L = {' and '.join(map(str, ends))}" for name, *ends in given[[what, *sizes]].itertuples(index=False)]
    columns = [Column("", "of", (), named, "words")]
    columns += [Column(name, name, given[name].tolist()) for name in (what, *sizes)]
    columns += [numbers("beta", "β", given["beta"], errors=errors), Column("sd", "sd", given["sd"].tolist())]
    columns += [numbers(name, name, given[name], errors=errors) for name in ("lower", "upper")]
    return [Table(title, file, tuple(columns), len(given))]
