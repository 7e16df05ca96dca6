"""The page of phases: whether there is a transition, what says so, and the temperature of every size."""

from __future__ import annotations

import functools

from hamlearn import plots
from hamlearn.diagnostics.phases import Phases
from hamlearn.page.numbers import Table, numbers
from hamlearn.page.result import Answer, sentence
from hamlearn.page.sections import Section
from hamlearn.page.transition import careful, temperature

HEADLINES = {"transition": "There is a transition", "none": "There is no transition", "undecided": "Whether there is a transition is open"}
METHOD = (
    "The verdict is that of the leading principal component of all translations of the microstates: its share of the variance grows with "
    "the size on the cold side of a transition and dies out on the hot side. The curves are those of {method}, and their temperatures are "
    "those of finite lattices, which a system without a transition has too. Errors come from resampling blocks of chains."
)


def page(found: Phases) -> Answer:
    """What the page says."""
    sizes = ", ".join(map(str, found.estimates["size"]))
    answer, summary = {"headline": HEADLINES[found.verdict], "summary": ""}, sentence(found.why)
    if found.critical is not None:
        answer = temperature(found.temperature, found.level)
    caption = f"Band: {100 * found.level:.3g} % interval. Dots: the temperature of a size. Grey: what the transition lies between."
    alternative = f"{found.signal} of every size against temperature; verdict: {found.verdict}."
    return Answer(
        title="Is there a transition?",
        subtitle=f"By {found.method}; sizes {sizes}, from T = {found.curves['temperature'].min():.4g} to "
        f"{found.curves['temperature'].max():.4g}.",
        level="caution" if found.verdict == "undecided" else "believe",
        headline=answer["headline"],
        summary=f"{answer['summary']} {summary}".strip(),
        facts=[(name, value) for name, value in found.facts().items() if not name.startswith(("note", "verdict"))],
        told=[careful(found.notes, "What to know")],
        picture=Section("Curves of every size", "phases", functools.partial(plots.phases, found), caption, alternative, 560),
        tables=[_temperatures(found), _curves(found)],
        asked="How it was found",
        method=METHOD.format(method=found.method),
    )


def _temperatures(found: Phases) -> Table:
    given = found.estimates
    columns = [numbers("size", "size", given["size"])]
    columns += [numbers(name, name, given[name], errors=given["sd"].to_numpy()) for name in ("temperature", "sd", "lower", "upper")]
    return Table("Temperatures of sizes", "temperatures.csv", tuple(columns), len(given))


def _curves(found: Phases) -> Table:
    given = found.curves
    columns = [numbers("size", "size", given["size"]), numbers("temperature", "T", given["temperature"], 5)]
    columns += [numbers(name, name, given[name], errors=given["sd"].to_numpy()) for name in ("mean", "sd", "lower", "upper")]
    return Table(f"Curves: {found.signal}", "curves.csv", tuple(columns), len(given))
