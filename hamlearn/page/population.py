"""What is asked of spins that all may interact: which pairs, how much they know of each other, how many are up, triplets, basins.

Every question is answered by the verb that has its name elsewhere. What costs more than about two seconds is left out unasked, with the
line that asks it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from hamlearn import data as microstates
from hamlearn import infer
from hamlearn.data import flattened
from hamlearn.data.codes import words_in
from hamlearn.diagnostics.discoveries import pairs
from hamlearn.diagnostics.foreign import NAME, readable
from hamlearn.diagnostics.third_moments import triplets
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, posteriors
from hamlearn.infer.predictions.measured import measured
from hamlearn.page.numbers import Column, Table, bars, number, numbers, texts
from hamlearn.plots import layout
from hamlearn.systems.observables.population import BIT

_FALSE = 0.1  # share of a list, as its sentence words it
_MEMBERS = 24  # as many as the curves of the page are made of
_LISTED = 18  # sites, whose states are summed over in about a second for all members
_SUMMED = 14  # sites, whose third moments are too
_READ = 400_000  # cells of rows, of which as many are simulated sixteen times
_RUN_DOWN = 1_000_000  # cells of distinct rows that run down to their basins
_UP = 12  # sites of a state that are named


class Answer(NamedTuple):
    """A sentence, and tables where there is something to list."""

    lead: str
    tables: list[Table]


class Size(NamedTuple):
    """What costs depend on: sites, and rows of data."""

    sites: int
    rows: int


@dataclass(frozen=True)
class Question:
    """A question that a page may answer.

    Attributes
    ----------
    heading : str
        Of its part of the page.
    line : str
        What answers it in Python.
    quick : callable
        Whether about two seconds are enough.
    answer : callable
        ``(post, data)`` → :class:`Answer`.
    of_data : bool
        Whether it needs the microstates.
    fewest : int
        Sites that it takes: of two all that they know of each other is in their pair, and there is no triple.
    """

    heading: str
    line: str
    quick: Callable[[Size], bool]
    answer: Callable[[xr.DataTree, Any], Answer]
    of_data: bool = False
    fewest: int = 2


@dataclass(frozen=True)
class Part:
    """A part of the page: what is asked, and the answer."""

    name: str
    heading: str
    lead: str
    tables: list[Table]


def applies(post: xr.DataTree) -> bool:
    """Whether it is of single couplings between all pairs of spins, at one temperature."""
    if not (families.traits(post).bonds and "J" in post["posterior"] and posteriors.space_of(post).binary):
        return False
    graph, single = posteriors.bound_of(post).lattice, layout.posterior_values(post, "J").ndim == 3
    joined = graph.n_sites > 1 and graph.n_bonds == graph.n_sites * (graph.n_sites - 1) // 2
    return single and joined and len(posteriors.observed_betas(post)) == 1


def parts(post: xr.DataTree, data: Any, wanted: Sequence[str] | None) -> list[Part]:
    """Every question with its answer, or with the line that asks it; none where no question applies.

    Raises
    ------
    HamlearnError
        If `wanted` names no question, needs data that are not there, or asks what is no question of this posterior; or the data are of
        other sites or values.
    """
    asked = _asked(wanted, with_data=data is not None)
    if not applies(post):
        if asked or data is not None:
            raise HamlearnError(
                "data= and questions= are for posteriors of couplings and fields between all pairs of spins, at one temperature: this page "
                "has no such section; leave them out."
            )
        return []
    for one in [] if data is None else flattened(data):
        _require_fitting(post, one)
    size = Size(posteriors.bound_of(post).lattice.n_sites, _rows(data))
    fitting = {name for name, one in QUESTIONS.items() if size.sites >= one.fewest and (data is not None or not one.of_data)}
    return [_part(name, post, data, size, asked=name in asked) for name in QUESTIONS if name in fitting or name in asked]


def _require_fitting(post: xr.DataTree, data: xr.Dataset) -> None:
    """An error where microstates are of other sites than the posterior, or their values mean something else."""
    sites, own = math.prod(posteriors.site_shape(post)), math.prod(microstates.site_shape(microstates.validate(data)))
    if own != sites:
        raise HamlearnError(f"these are microstates of {own} sites, and the posterior is of {sites}: give those that it was learned from.")
    read, learned = microstates.space_of(posteriors.numbered(post, data)), posteriors.space_of(post)
    if type(read) is not type(learned):
        raise HamlearnError(f"these are microstates of {read.name}, and the posterior is of {learned.name}: read them as it was learned.")
    words = [words_in(one.attrs) for one in (data, post)]
    if all(words) and words[0] != words[1]:
        told = [", ".join(map(str, one)) for one in words]
        raise HamlearnError(
            f"these microstates have their values in the order {told[0]}, and the posterior in the order {told[1]}: read them with "
            f"labels={list(words[1])} (at the shell --labels {','.join(map(str, words[1]))})."
        )


def _asked(wanted: Sequence[str] | None, *, with_data: bool) -> list[str]:
    if isinstance(wanted, str):
        raise HamlearnError(f"questions= is a list of names, such as [{wanted!r}]; got {wanted!r}.")
    asked = [choice(name, tuple(QUESTIONS), "questions") for name in wanted or ()]
    if lacking := [name for name in asked if QUESTIONS[name].of_data and not with_data]:
        raise HamlearnError(f"{', '.join(lacking)} cannot be answered from a posterior alone: give the microstates, data=.")
    return asked


def _rows(data: Any) -> int:
    return 0 if data is None else sum(int(np.prod(microstates.multiplicity(one)[0].shape)) for one in flattened(data))


def _part(name: str, post: xr.DataTree, data: Any, size: Size, *, asked: bool) -> Part:
    one = QUESTIONS[name]
    if size.sites < one.fewest:
        return Part(name, one.heading, f"Not answered: it takes {one.fewest} spins, and there are {size.sites}.", [])
    if not (asked or one.quick(size)):
        call = f'hl.report(post, path{", data=data" if data is not None else ""}, questions=["{name}"])'
        lead = (
            f"This takes more than two seconds here, and waits to be asked for: {one.line}, or on this page {call}, --questions {name} at"
        )
        return Part(name, one.heading, f"{lead} the shell.", [])
    try:
        return Part(name, one.heading, *one.answer(post, data))
    except HamlearnError as error:
        return Part(name, one.heading, f"Not answered: {error}", [])


def _pairs(post: xr.DataTree, data: Any) -> Answer:
    if posteriors.bound_of(post).model.prior.sparse and "included" not in post["posterior"]:
        return Answer(
            "A prior that shrinks couplings, none of which it holds to be zero, leaves no test of each; the table above has all.", []
        )
    table = pairs(post, false_discovery_rate=_FALSE)
    found = table[table["found"]]
    lead = f"{len(found)} of {len(table)} couplings are listed as there, with a tenth of the list false at most (expected)."
    if len(table) == 1:
        told = "there" if len(found) else "not told from none"
        lead = f"The one coupling is {told}, by a rule that takes noise for one in a tenth of such data at most."
    if found.empty:
        return Answer(lead, [])
    sure = (
        numbers("probability", "probability", found["probability"], 3)
        if "probability" in found
        else numbers("q_value", "q", found["q_value"], 2)
    )
    columns = [*_named(found, "ij", "pair"), *_banded(found, "coupling", "coupling"), Column("sd", "sd", found["sd"].tolist()), sure]
    return Answer(lead, [Table("Pairs that are there", "pairs.csv", tuple(columns), len(found))])


def _entropy(post: xr.DataTree, data: Any) -> Answer:
    beta = float(posteriors.observed_betas(post)[0])
    names = ["entropy_bits", "multi_information", "count_distribution"]
    told = infer.predict(post, beta, observables=names, draws=_MEMBERS).isel(beta=0)
    bits, known, counts = (told[name].sel(quantity=["mean", "lower", "upper"]).values for name in names)
    rows = pd.DataFrame([bits, BIT * bits, known], columns=["mean", "lower", "upper"])
    what = ["entropy, bits", "entropy, nats", "multi-information, bits"]
    columns = (texts("quantity", "of all spins", what, "words"), *_banded(rows, "mean", "mean"))
    lead = (
        "Of the learned model: its entropy, by how much it is less than that of independent spins, and how many spins are up at once, with "
    )
    lead += f"90 % intervals. Method: {told['entropy_bits'].attrs['method']}."
    return Answer(lead, [Table("Entropy", "entropy.csv", columns, len(what)), _counted(post, data, counts)])


def _counted(post: xr.DataTree, data: Any, counts: np.ndarray) -> Table:
    """P(K up) of the model, and of data beside it."""
    mean, lower, upper = np.clip(counts, 0.0, 1.0)  # sums of shares are a little off, and so are bands of refits
    columns = [numbers("up", "K", np.arange(len(mean))), bars("P(K up)", lower, upper, mean), numbers("mean", "model", mean)]
    columns += [Column(name, name, ends.tolist()) for name, ends in (("lower", lower), ("upper", upper))]
    if data is not None:
        seen = measured(post, data, ["count_distribution"], draws=1)["count_distribution"].isel(beta=0)
        share, error = (seen.sel(quantity=one).values for one in ("mean", "error"))
        columns += [numbers("data", "data", share), numbers("data_error", "±", error, 2)]
    return Table("How many are up", "counts.csv", tuple(columns), len(mean))


def _information(post: xr.DataTree, data: Any) -> Answer:
    found = infer.information(post, data)
    rows = pd.DataFrame({name: values.values for name, values in found.items()}, index=found["quantity"].values).T.dropna()
    names = [f"{name.replace('i_', 'i-').replace('_', ' ')}{'' if name == 'share' else ', bits'}" for name in rows.index]
    columns = (
        texts("quantity", "of all spins", names, "words"),
        *_banded(rows, "mean", "mean"),
        Column("error", "±", rows["error"].tolist()),
    )
    mean, low, high = (number(float(found["share"].sel(quantity=one))) for one in ("mean", "lower", "upper"))
    untold = found.attrs["untold"]
    lead = (
        f"{untold[0].upper()}{untold[1:]}. Those of independent spins and of the fitted pairs are:"
        if untold
        else f"Pairs explain {mean} ({low} to {high}) of what the spins know of each other, by entropies of independent spins, of the "
        "fitted pairs and of the data."
    )
    return Answer(lead, [Table("Information", "information.csv", columns, len(rows))])


def _triplets(post: xr.DataTree, data: Any) -> Answer:
    table = triplets(post, data, false_discovery_rate=_FALSE)
    found, tested = table[table["found"]], int(table["z"].notna().sum())
    lead = f"{len(found)} of {tested} triples that can be tested are beyond pairs, with a tenth of the list false at most (expected)."
    if found.empty:
        return Answer(lead, [])
    lead += " Each is put to the test alone: one strong product also moves those of triples that share spins with it, or are coupled to it."
    error = found["strength_error"].to_numpy()
    columns = [*_named(found, "ijk", "triple"), numbers("strength", "strength βK", found["strength"], errors=error)]
    columns += [
        numbers("strength_error", "±", error, 2),
        Column("z", "z", found["z"].tolist()),
        numbers("q_value", "q", found["q_value"], 2),
    ]
    return Answer(lead, [Table("Triples beyond pairs", "triplets.csv", tuple(columns), len(found))])


def _basins(post: xr.DataTree, data: Any) -> Answer:
    found = infer.basins(post, data)
    words = [posteriors.bound_of(post).lattice.word(site) for site in range(found.sizes["site"])]
    states = [[word for word, up in zip(words, state > 0, strict=True) if up] for state in found["state"].values]
    rows = found.drop_dims("site").to_dataframe()
    columns = [texts("up", "up", [_up(state) for state in states], "words"), numbers("weight", "of the data", rows["weight"], 3)]
    columns += [
        numbers(f"weight_{end}", words, rows[f"weight_{end}"], 2) for end, words in (("error", "±"), ("lower", "lower"), ("upper", "upper"))
    ]
    columns += [numbers("maximum", "in draws", rows["maximum"], 3), Column("energy", "energy", rows["energy"].tolist())]
    lead = f"{len(rows)} states that no single flip makes more probable, and the share of the microstates that run down to each: ± is the "
    lead += "data's error, the interval that of draws, of which so many have the state as a maximum."
    return Answer(
        lead.replace("1 states", "One state", 1) if len(rows) == 1 else lead, [Table("Basins", "basins.csv", tuple(columns), len(rows))]
    )


def _up(names: list[str]) -> str:
    more = f" and {len(names) - _UP} more" if len(names) > _UP else ""
    return readable(", ".join(names[:_UP]), NAME) + more if names else "none"


def _named(table: pd.DataFrame, ends: str, heading: str) -> list[Column]:
    """Sites of a row: one column of the page, several of the file."""
    sites = [f"site_{end}" for end in ends]
    shown = [" – ".join(row) for row in table[sites].itertuples(index=False)]
    return [Column("", heading, (), shown, "text"), *(Column(name, name, table[name].tolist()) for name in sites)]


def _banded(table: pd.DataFrame, key: str, heading: str) -> list[Column]:
    """A mean and the ends of its interval."""
    errors = (table["upper"] - table["lower"]).to_numpy(float) / 4
    return [numbers(name, words, table[name], errors=errors) for name, words in ((key, heading), ("lower", "lower"), ("upper", "upper"))]


QUESTIONS = {
    "pairs": Question("Which pairs interact", "hl.diagnostics.pairs(post)", lambda size: True, _pairs),
    "entropy": Question(
        "Entropy, and how many are up",
        'hl.predict(post, beta, observables=["entropy_bits", "multi_information", "count_distribution"])',
        lambda size: size.sites <= _LISTED,
        _entropy,
    ),
    "information": Question(
        "How much of it is in pairs",
        "hl.infer.information(post, data)",
        lambda size: size.sites <= _LISTED and size.sites * size.rows <= _READ,
        _information,
        of_data=True,
        fewest=3,
    ),
    "triplets": Question(
        "Triples beyond pairs", "hl.diagnostics.triplets(post, data)", lambda size: size.sites <= _SUMMED, _triplets, of_data=True, fewest=3
    ),
    "basins": Question(
        "Basins",
        "hl.infer.basins(post, data)",
        lambda size: size.sites * min(size.rows, 2.0**size.sites) <= _RUN_DOWN,
        _basins,
        of_data=True,
    ),
}
