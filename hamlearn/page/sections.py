"""What the report shows of each kind of posterior: title, subtitle, and the figures beside each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import xarray as xr

from hamlearn import plots
from hamlearn.diagnostics import claims, wording
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.page import tables
from hamlearn.plots import layout
from hamlearn.plots.parameters import forest_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """

    heading: str
    name: str
    draw: Callable[[], Figure]
    caption: str
    alternative: str
    width: int


@dataclass(frozen=True)
class Page:
    """Title, subtitle and the figures of the left and the right column."""

    title: str
    subtitle: str
    left: list[Section]
    right: list[Section]


def page(post: xr.DataTree) -> Page:
    """The page of a posterior of any kind."""
    return _couplings(post) if families.traits(post).bonds and "J" in post["posterior"] else _general(post)


def _general(post: xr.DataTree) -> Page:
    """Free parameters with their error bars, which terms exist, and how training went, as far as the posterior has them."""
    names, theta = families.of(post).parameters(post)
    kind = families.traits(post).title
    heading, what = claims.quantities(post)
    extents = " × ".join(map(str, posteriors.site_shape(post)))
    left: list[Section] = []
    right: list[Section] = []
    if names and posteriors.provenance_of(post).training is None:  # the scores of networks are no parameters
        draw = lambda: forest_of(names, theta.reshape(-1, len(names)), what)
        single = claims.draws(post)[0] == 1
        caption = f"One {claims.draws(post)[1]}: points without error bars." if single else "Grey: the interval contains zero."
        known = families.traits(post).compared == "not"
        own = heading if heading != claims.PARAMETERS else "Parameters"
        title = own if single or known else f"{own} with their error bars"
        alternative = f"{title}: {len(names)} of them."
        left.append(Section(title, "forest", draw, "Known, not learned." if known else caption, alternative, 520))
    if "included" in post["posterior"]:
        caption, alternative = "Posterior probability that a term exists, the surest first.", "Inclusion probabilities in descending order."
        right.append(Section("Which terms exist", "inclusion", lambda: plots.inclusion(post), caption, alternative, 560))
    if "training" in post:
        caption = "Loss on the data trained on and on data held out; the dashed line is the epoch whose weights were kept."
        if wording.without_data(posteriors.provenance_of(post)):
            caption = "Loss on the network's own draws, against the action that it was trained on."
        right.append(Section("Training", "training", lambda: plots.training(post), caption, "Training curves.", 560))
    subtitle = f"{extents} sites, space {posteriors.space_of(post).name}: {tables.told(posteriors.model_of(post))}."
    return Page(f"What was learned: {kind}", subtitle, left, right)


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
        picture = "Red couplings align their two sites, blue ones oppose them; every pair appears twice."
    else:
        picture = "Red bonds align their two sites, blue ones oppose them; the wider, the more certain (mean over sd)."
        picture += " Stubs wrap around." if bound.lattice.periodic else ""
        picture += " Circles show fields." if "h" in post["posterior"] and bound.interaction == "ising" else ""
        picture += " Only bonds more likely there than not." if "included" in post["posterior"] else ""
    zero = "Grey: the interval contains zero."
    left = [
        Section("Couplings on the lattice", "lattice", lambda: plots.couplings(post), picture, f"Picture of the couplings: {counts}.", 560)
    ]
    right = [
        Section(
            "Couplings with their error bars",
            "forest",
            lambda: plots.forest(post),
            zero,
            f"Couplings with 90 % intervals: {counts}.",
            520,
        )
    ]
    if "h" in post["posterior"] and layout.rows(post, "h")[0]:
        draw = lambda: plots.forest(post, "h", strongest=24)
        left.append(Section("Fields with their error bars", "fields", draw, zero, "Fields with 90 % intervals.", 520))
    if "included" in post["posterior"]:
        caption = "Posterior probability that a bond exists, the surest first."
        alternative = "Inclusion probabilities of all bonds in descending order."
        right.append(Section("Which bonds exist", "inclusion", lambda: plots.inclusion(post), caption, alternative, 560))
    return Page(f"What was learned: {tables.graph_name(bound)}", tables.model_name(bound), left, right)
