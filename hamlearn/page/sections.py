"""What the report shows of each kind of posterior: title, subtitle, the picture that answers first, and the others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import xarray as xr

from hamlearn import plots
from hamlearn.diagnostics import claims, wording
from hamlearn.diagnostics.discoveries import pairs
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.page import tables, words
from hamlearn.page.numbers import Table
from hamlearn.plots import layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FALSE = 0.1  # share of a list of couplings, as the caption words it
_LARGEST = 16  # parameters of the first picture; the tables have all


@dataclass(frozen=True)
class Section:
    """One figure of the page.

    Attributes
    ----------
    heading : str
        Above it.
    name : str
        Prefix of the ids inside the figure, unique on the page.
    draw : callable
        Makes the figure.
    caption, alternative : str
        Below it, and for readers who do not see it.
    width : int
        In pixels on a desktop.
    file : callable, optional
        Makes the table of the numbers behind it, where no table of the page has them.
    """

    heading: str
    name: str
    draw: Callable[[], Figure]
    caption: str
    alternative: str
    width: int
    file: Callable[[], Table] | None = None


@dataclass(frozen=True)
class Page:
    """Title, subtitle, the picture that answers first, and what stands above the tables of parameters."""

    title: str
    subtitle: str
    first: Section | None
    others: list[Section]


def page(post: xr.DataTree) -> Page:
    """The page of a posterior of any kind."""
    return _couplings(post) if families.traits(post).bonds and "J" in post["posterior"] else _general(post)


def _general(post: xr.DataTree) -> Page:
    """How training went, the largest parameters, and which terms exist, as far as the posterior has them."""
    kind, names = families.traits(post).title, families.of(post).parameters(post)[0]
    pictures = []
    if "training" in post:
        caption = "Loss on the data trained on and on data held out; the dashed line is the epoch whose weights were kept."
        if wording.without_data(posteriors.provenance_of(post)):
            caption = "Loss on the network's own draws, against the action that it was trained on."
        file = functools.partial(tables.training, post)
        pictures.append(Section("Training", "training", functools.partial(plots.training, post), caption, "Training curves.", 480, file))
    elif names:
        caption = "Grey: the interval contains zero." if claims.draws(post)[0] > 1 else f"One {claims.draws(post)[1]}: no error bars."
        draw = functools.partial(plots.forest, post, strongest=_LARGEST)
        heading = claims.quantities(post)[0].removeprefix("All ").capitalize() + (", the largest" if len(names) > 1.5 * _LARGEST else "")
        pictures.append(Section(heading, "forest", draw, caption, f"{heading}: values and their intervals.", 480))
    extents = " × ".join(map(str, posteriors.site_shape(post)))
    subtitle = f"{extents} sites: {claims.sites(posteriors.space_of(post))}."
    return Page(f"What was learned: {kind}", subtitle, pictures[0] if pictures else None, [*pictures[1:], *_existing(post, "term")])


def _couplings(post: xr.DataTree) -> Page:
    bound = posteriors.bound_of(post)
    wanted = {"h": bound.model.fields is not None, "included": posteriors.provenance_of(post).engine.name == "gibbs"}
    lost = [name for name, there in wanted.items() if there and name not in post["posterior"]]
    if lost:
        raise HamlearnError(
            f"this posterior has lost its variable {lost[0]!r}: the page would be silent on it. Take what hl.learn or hl.load gave."
        )
    mean = layout.strengths(post)[0].mean((0, 1))
    span = f"{mean.min():.2f} to {mean.max():.2f}" if len(mean) else "none"
    counts = f"{bound.lattice.n_bonds} bonds on {bound.lattice.n_sites} sites, posterior means {span}"
    if layout.crowded(layout.graph_of(post)):
        caption = "Red couplings align their two sites, blue ones oppose them; every pair appears twice."
    else:
        caption = "Red bonds align their two sites, blue ones oppose them; the wider, the more certain (mean over sd)."
        caption += " Stubs wrap around." if bound.lattice.periodic else ""
        caption += " Circles show fields." if "h" in post["posterior"] and bound.interaction == "ising" else ""
        caption += " Only bonds more likely there than not." if "included" in post["posterior"] else ""
    draw = functools.partial(plots.couplings, post)
    first = Section("Couplings", "lattice", draw, caption + _listed(post), f"Picture of the couplings: {counts}.", 480)
    return Page(f"What was learned: {words.graph_name(bound)}", words.model_name(bound), first, _existing(post, "bond"))


def _listed(post: xr.DataTree) -> str:
    """How many couplings are there, where several are one number each and a test of each means something."""
    prior, sparse = posteriors.bound_of(post).model.prior, "included" in post["posterior"]
    if layout.posterior_values(post, "J").ndim != 3 or (prior.sparse and not sparse):
        return ""
    table = pairs(post, false_discovery_rate=_FALSE)
    found = f"{table['found'].sum()} of {len(table)} couplings are listed as there, with a tenth of the list false at most (expected)."
    return f" {found}" if len(table) > 1 else ""


def _existing(post: xr.DataTree, what: str) -> list[Section]:
    """Which bonds or terms there are, where the posterior knows it."""
    if "included" not in post["posterior"]:
        return []
    caption = f"Posterior probability that a {what} exists, the surest first."
    draw = functools.partial(plots.inclusion, post)
    return [Section(f"Which {what}s exist", "inclusion", draw, caption, f"Inclusion probabilities of all {what}s, descending.", 560)]
