"""Where sites and bonds are drawn, what they are called, and what each row of a forest shows; no drawing here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import networkx as nx
import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.potts import site_scores

MAX_SITES = 900  # more are drawn as a matrix
MAX_CIRCLE = 24  # sites of a dense graph drawn on a circle; more become a matrix


def posterior_values(post: xr.DataTree, name: str) -> np.ndarray:
    """A variable of the posterior as an array ``(chain, draw, ...)``."""
    return np.asarray(post["posterior"].to_dataset()[name].values)


def strengths(post: xr.DataTree) -> tuple[np.ndarray, str]:
    """One number per bond ``(chain, draw, bond)`` and what it is.

    Of a coupling table in the zero-sum gauge this is the mean of its diagonal times q/(q − 1): the Potts coupling of a Potts table (of
    the states that were seen at both ends). Where sites have states of their own, whose diagonals mean nothing, it is the coupling of an
    ordinal table: the projection on the product of scores.

    Raises
    ------
    HamlearnError
        If the posterior has no couplings.
    """
    if not families.traits(post).bonds or "J" not in post["posterior"]:
        raise HamlearnError(
            f"{families.traits(post).title} has no couplings of pairs to draw: hl.plots.forest(post) draws the parameters it has."
        )
    values = posterior_values(post, "J")
    if values.ndim == 3:
        return values, "coupling J"
    bound = posteriors.bound_of(post)
    ends = bound.lattice.bonds.T
    if not posteriors.same_states(post):
        first, second = site_scores(bound.space, bound.lattice.n_sites)[ends]
        size = (first**2).sum(1) * (second**2).sum(1)
        return np.einsum("...gab,ga,gb->...g", values, first, second, optimize=True) / size, "coupling (ordinal part)"
    there = bound.space.there(bound.lattice.n_sites)
    (here, other), both = there.sum(1)[ends], (there[ends[0]] & there[ends[1]]).sum(1)
    size = both * (1 - 1 / here - 1 / other + both / (here * other))  # q − 1 where all states were seen at both ends
    return np.einsum("...aa->...", values) / np.where(size > 0, size, np.inf), "coupling (Potts part)"


def site_names(lattice: Lattice, names: Sequence[object] | None) -> list[str]:
    """What the sites are called: `names`, or what the data call them: by names, or by numbers.

    Raises
    ------
    HamlearnError
        If there is not one name for every site.
    """
    if names is None:
        return [lattice.word(site) for site in range(lattice.n_sites)]
    given = [] if isinstance(names, str | bytes) else [str(one) for one in names]
    if len(given) != lattice.n_sites:
        raise HamlearnError(f"names= takes one name for every site, {lattice.n_sites} of them; got {len(given) or repr(names)}.")
    return given


def rows(post: xr.DataTree, parameter: str = "J", names: Sequence[object] | None = None) -> tuple[list[str], np.ndarray]:
    """Labels and draws ``(draw, row)`` of the couplings or fields, tied ones once."""
    bound = posteriors.bound_of(post)
    called = site_names(bound.lattice, names)
    if parameter == "J":
        values = strengths(post)[0]
        group, first = np.unique(bound.bond_group, return_index=True)
        counts = np.bincount(bound.bond_group)
        labels = []
        for index, bond in zip(group, first, strict=True):
            i, j = bound.lattice.bonds[bond]
            if counts[index] == 1:
                labels.append(f"{called[i]} – {called[j]}")
            elif bound.model.tie == "distance":
                labels.append(f"distance {bound.lattice.distances[i, j]:.3g}")
            else:
                labels.append(f"{counts[index]} bonds of group {index}" if len(group) > 1 else "all bonds")
        return labels, values.reshape(-1, values.shape[-1])[:, first]
    if "h" not in post["posterior"] or not len(bound.field_group):
        return [], np.zeros((0, 0))
    values = posterior_values(post, "h")
    _, first, counts = np.unique(bound.field_group, return_index=True, return_counts=True)
    places = enumerate(zip(first, counts, strict=True))
    single = "site {}" if names is None and not bound.lattice.names else "{}"
    labels = [single.format(called[site]) if one == 1 else f"{one} sites of group {group}" for group, (site, one) in places]
    labels = labels if len(first) > 1 else ["all sites"]
    flat = values[:, :, first].reshape(values.shape[0] * values.shape[1], -1)
    if values.ndim < 4:
        return labels, flat
    if not bound.space.labelled:
        return [f"{label}, state {state}" for label in labels for state in range(values.shape[-1])], flat
    states = posteriors.states_of(post)
    labels = [f"{label}, state {state}" for label, site in zip(labels, first, strict=True) for state in states[site]]
    return labels, flat[:, np.flatnonzero(bound.entries("h")[first])]


def existing(post: xr.DataTree) -> np.ndarray:
    """The bonds that are drawn: of a sparse posterior those more likely there than not."""
    if "included" in post["posterior"]:
        return np.flatnonzero(posterior_values(post, "included").mean((0, 1)) > 0.5)
    return np.arange(posteriors.bound_of(post).lattice.n_bonds)


def graph_of(post: xr.DataTree) -> Lattice:
    """The sites with the bonds that are drawn."""
    lattice = posteriors.bound_of(post).lattice
    chosen = existing(post)
    return lattice if len(chosen) == lattice.n_bonds else replace(lattice, bonds=lattice.bonds[chosen])


def crowded(lattice: Lattice) -> bool:
    """Whether a matrix shows more than a drawing would."""
    n = lattice.n_sites
    dense = lattice.n_bonds > 4 * n
    return n > MAX_SITES or (dense and (n > MAX_CIRCLE or lattice.positions is not None))


def positions(lattice: Lattice) -> np.ndarray:
    """Where the sites are drawn, ``(n_sites, 2)``: rows downwards, columns to the right; unknown graphs as networkx lays them out."""
    n = lattice.n_sites
    given = lattice.positions
    if given is None and lattice.n_bonds <= 2.5 * n and n > 2:
        placed = nx.kamada_kawai_layout(lattice.graph, dist=_steps(lattice.graph)) if n <= 120 else nx.spring_layout(lattice.graph, seed=0)
        return np.array([placed[site] for site in range(n)])
    if given is None or (given.shape[1] == 1 and lattice.periodic and n > 2):
        angle = np.pi / 2 - 2 * np.pi * np.arange(n) / n
        return np.stack([np.cos(angle), np.sin(angle)], 1)
    if given.shape[1] == 1:
        return np.stack([given[:, 0], np.zeros(n)], 1)
    if given.shape[1] == 2:
        return np.stack([given[:, 1], -given[:, 0]], 1)
    # Oblique view of three dimensions (more are folded in): each further axis is a shift.
    tilt = np.array([[0.42, 0.31], [0.19, -0.13]])[np.arange(given.shape[1] - 2) % 2]
    return np.stack([given[:, -1], -given[:, -2]], 1) + given[:, :-2] @ tilt


def _steps(graph: nx.Graph) -> dict[int, dict[int, float]]:
    """Steps between sites; parts that nothing joins are a little farther apart than the ends of the longest part."""
    steps = {site: dict(found) for site, found in nx.all_pairs_shortest_path_length(graph)}
    apart = min(max(max(found.values()) for found in steps.values()), len(steps) ** 0.5) + 1.0
    return {site: {other: found.get(other, apart) for other in graph} for site, found in steps.items()}


def segments(lattice: Lattice, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines of all bonds ``(line, 2, 2)`` and the bond of each; a bond around the boundary is two half stubs."""
    around = lattice.periodic and lattice.positions is not None and lattice.periods is not None and lattice.positions.shape[1] == 2
    images = np.zeros((1, 2))
    if around:
        assert lattice.periods is not None
        images = (np.array(list(np.ndindex(3, 3))) - 1) @ lattice.periods
        images = np.stack([images[:, 1], -images[:, 0]], 1)
        images = images[np.argsort((images**2).sum(1), kind="stable")]
    owners, lines, seen = [], [], set()
    for bond, (i, j) in enumerate(lattice.bonds):
        start, end = places[i], places[j]
        steps = end - start + images
        lengths = (steps**2).sum(1)
        best = int(np.argmin(lengths))
        key = (min(i, j), max(i, j))
        if key in seen and len(images) > 1:  # a second bond of the same pair goes round the other way
            ties = np.flatnonzero(np.isclose(lengths, lengths.min()))
            best = int(ties[-1])
        seen.add(key)
        if np.allclose(images[best], 0):
            owners.append(bond)
            lines.append([start, end])
        else:
            owners += [bond, bond]
            lines += [[start, start + 0.5 * steps[best]], [end, end - 0.5 * steps[best]]]
    return np.array(owners, int), np.array(lines, float).reshape(-1, 2, 2)
