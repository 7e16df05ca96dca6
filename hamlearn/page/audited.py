"""The page of an audit: the decision, what speaks against the model, what was not decided, and every comparison."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from hamlearn import plots
from hamlearn.diagnostics import Audit, AuditFinding
from hamlearn.diagnostics.audits.result import SECTIONS
from hamlearn.page.numbers import Table, numbers, texts
from hamlearn.page.result import Answer, Level, Told, sentence
from hamlearn.page.sections import Section

HEADLINES = {"agrees": "Nothing speaks against the model", "undecided": "Not all could be decided", "differs": "The model differs"}
LEVELS: dict[str, Level] = {
    "agrees": "believe",
    "undecided": "caution",
    "differs": "do-not-believe",
}
METHOD = (
    "Means over independent blocks of microstates are compared, each block at least five autocorrelation times long; p-values come from "
    "exchanging whole blocks between model and reference, and are corrected for the number of comparisons (false discovery rate {level})."
)


def page(found: Audit) -> Answer:
    """What the page says."""
    alternative = f"Corrected p-values of {len(found.findings)} comparisons; {len(found.flagged)} speak against the model."
    draw = functools.partial(plots.audit, found)
    return Answer(
        title="May this model be trusted?",
        subtitle=found.how.get("model", ""),
        level=LEVELS[found.decision],
        headline=HEADLINES[found.decision],
        summary=sentence(found.summary),
        facts=[(name, value) for name, value in found.how.items() if name != "model"],
        told=[
            Told(heading="What speaks against the model", severity="serious", lines=_lines(found.flagged)),
            Told(heading="What could not be decided", severity="caution", lines=_lines(found.undecided)),
        ],
        picture=Section("Every comparison", "audit", draw, "Red speaks against the model.", alternative, 860),
        tables=tables(found),
        asked="How it was tested",
        method=method(found),
    )


def _lines(chosen: Sequence[AuditFinding]) -> list[tuple[str, str]]:
    return [(one.name[:1].upper() + one.name[1:], one.consequence[:1].upper() + one.consequence[1:]) for one in chosen]


def method(found: Audit) -> str:
    """How it was tested."""
    return METHOD.format(level=f"{found.level:g}")


def tables(found: Audit) -> list[Table]:
    """Every comparison, a table a section."""
    parts = {heading: (key, [one for one in found.findings if one.section == key]) for key, heading in SECTIONS.items()}
    return [_table(heading, f"{key}.csv", chosen) for heading, (key, chosen) in parts.items() if chosen]


def _table(title: str, file: str, chosen: list[AuditFinding]) -> Table:
    errors = [one.effect_sd for one in chosen]
    columns = (
        texts("comparison", "", [one.name for one in chosen], "words"),
        numbers("effect", "difference", [one.effect for one in chosen], errors=errors),
        numbers("effect_sd", "±", errors, digits=2),
        texts("unit", "unit", [one.unit for one in chosen]),
        numbers("statistic", "statistic", [one.statistic for one in chosen]),
        numbers("p_value", "p", [one.p_value for one in chosen], digits=2),
        numbers("p_adjusted", "p, corrected", [one.p_adjusted for one in chosen], digits=2),
        texts("where", "where", [one.where for one in chosen], "words"),
        texts("consequence", "what it means", [one.consequence for one in chosen], "words"),
    )
    bad = frozenset(k for k, one in enumerate(chosen) if one.flagged)
    return Table(title, file, columns, len(chosen), bad)
