"""The page of a calibration: whether error bars cover on simulated data, kind by kind and parameter by parameter."""

from __future__ import annotations

import functools

import numpy as np

from hamlearn import plots
from hamlearn.diagnostics.calibration import Ranks
from hamlearn.diagnostics.calibration.results import LEVELS, TRUTHS
from hamlearn.page.numbers import Table, numbers, texts
from hamlearn.page.result import Answer, Level, Told
from hamlearn.page.sections import Section

HEADLINES = {
    "calibrated": "Nothing speaks against the error bars",
    "not calibrated": "The error bars are not calibrated",
    "undecided": "Too few data sets to tell",
}
COLOURS: dict[str, Level] = {
    "calibrated": "believe",
    "not calibrated": "do-not-believe",
    "undecided": "caution",
}
METHOD = (
    "Data sets were simulated at known truths ({truths}) and learned as the posterior is. Where truths come from the prior, or from "
    "the posterior and are learned together with the data, ranks of truths among draws are uniform by Bayes' theorem; their simultaneous "
    "band is exact. "
    "Errors of coverage come from the scatter between data sets."
)


def page(found: Ranks) -> Answer:
    """What the page says."""
    caption = "Left: every parameter's ranks against uniform ones, the one that strays most in red; grey holds a whole line with 95 %. "
    caption += "Right: how often intervals of every level hold the truth, minus that level."
    alternative = f"Ranks and coverage of {len(found.names)} parameters over {len(found.ranks)} data sets: {found.decision}."
    return Answer(
        title="Do these error bars cover?",
        subtitle=f"{len(found.ranks)} simulated data sets, {TRUTHS[found.truths]}.",
        level=COLOURS[found.decision],
        headline=HEADLINES[found.decision],
        summary=found.summary,
        facts=[
            ("p of everything together", f"{found.p_value:.2g}"),
            ("p of ranks", f"{found.overall_p:.2g}"),
            ("data sets", f"{len(found.ranks)} ({len(found.failures)} more failed)"),
            ("parameters", str(len(found.names))),
            ("draws a truth is ranked among", str(found.draws)),
        ],
        told=[Told(heading="Data sets that failed", severity="caution", lines=[("", line) for line in found.failures])],
        picture=Section("Ranks and coverage", "calibration", functools.partial(plots.calibration, found), caption, alternative, 860),
        tables=[_kinds(found), _parameters(found)],
        asked="How it was tested",
        method=METHOD.format(truths=TRUTHS[found.truths]),
    )


def _kinds(found: Ranks) -> Table:
    kinds = found.kinds
    columns = [texts("of", "parameters", list(kinds["of"].values))]
    for level in LEVELS:
        told = kinds.sel(level=level)
        columns.append(numbers(f"coverage_{level:g}", f"coverage of {level:.0%}", told["coverage"], errors=told["error"].values))
        columns.append(numbers(f"error_{level:g}", "±", told["error"], 2))
    for name, heading in (("bias", "bias in sd"), ("width", "errors in sd")):
        columns.append(numbers(name, heading, kinds[name], errors=kinds[f"{name}_error"].values))
        columns.append(numbers(f"{name}_error", "±", kinds[f"{name}_error"], 2))
    if found.bars is not None:
        low, high = found.between
        right = "1" if low == high else f"{low:.2g} to {high:.2g}"
        columns.append(numbers("bars", f"own sd / data sets' ({right} is right)", found.bars["ratio"].sel(of=kinds["of"].values), 3))
    return Table("Coverage, bias and width", "coverage.csv", tuple(columns), kinds.sizes["of"])


def _parameters(found: Ranks) -> Table:
    order = np.argsort(found.p_values, kind="stable")
    columns = (
        texts("parameter", "parameter", [found.names[k] for k in order]),
        numbers("p_value", "p of its ranks", found.p_values[order], 2),
        numbers("mean_error", "mean error in sd", found.errors.mean(0)[order], 2),
        numbers("rank", "mean rank, as a share", found.ranks.mean(0)[order] / found.draws, 3),
    )
    return Table("Every parameter, those that stray most first", "parameters.csv", columns, len(found.names))
