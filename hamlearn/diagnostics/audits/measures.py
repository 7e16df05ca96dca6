"""What an audit measures of every microstate: columns whose means two samples are compared by.

Whatever a column depends on (a mean that moments are centred on, where bins begin, what the regions of states are) comes from both samples
together, which of the two a row came from forgotten: exchanging blocks between the samples then changes nothing that was chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from hamlearn.diagnostics.audits import regions
from hamlearn.errors import HamlearnError
from hamlearn.spaces import Space
from hamlearn.systems.lattice import Lattice

MOST_COLUMNS = 512  # sites, bonds or pairs that are looked at one by one
_MOST_PARTS = 1024  # products of states or components of two sites
MOST_LEVELS = 64  # values of a discrete quantity that are compared one by one
BINS = 16
_FARTHEST = 16  # distances along an axis
_RARE = 0.002  # smallest share of a level or bin of its own
_NUMBERS = 1 << 22  # worked on together
_CHUNK = 1 << 12  # rows worked on together

Energies = dict[str, Callable[[np.ndarray], np.ndarray]]


@dataclass(frozen=True, eq=False)
class Measure:
    """Columns that are tested together.

    Attributes
    ----------
    code : str
        Which sentence is made of it; see :mod:`.words`.
    name, section : str
        What the finding is called, and where it stands.
    labels : tuple of str
        What each column is.
    unit : str
        Of its differences.
    largest : bool
        Whether the largest difference is the statistic, or the sum of all squares.
    values : callable
        Rows ``(row, ...)`` → ``(row, column)``; of a quantity its values ``(row,)`` → ``(row, column)``.
    quantity : str
        The quantity whose distribution the columns are of; empty where they are of whole microstates.
    """

    code: str
    name: str
    section: str
    labels: tuple[str, ...]
    unit: str
    largest: bool
    values: Callable[[np.ndarray], np.ndarray]
    quantity: str = ""


@dataclass(eq=False)
class Ground:
    """What both samples share: space, lattice, energies, and `pooled` rows of both, of which label-free choices are made."""

    space: Space
    lattice: Lattice
    energies: Energies
    pooled: np.ndarray
    mean: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.mean = self.encoded(self.pooled).mean(0)

    def encoded(self, rows: np.ndarray) -> np.ndarray:
        """Numbers ``(row, site, k)`` whose scalar products say how alike two sites are."""
        values = self.space.encode(rows.reshape(len(rows), -1))
        if self.space.labelled:  # one of q: centred, so that products of unlike states are negative
            return values - 1 / self.space.q
        return values[..., : self.space.features]

    def folded(self, rows: np.ndarray) -> np.ndarray:
        """The same over the axes of the lattice, ``(row, *shape, k)``."""
        values = self.encoded(rows)
        return values.reshape(len(rows), *self.lattice.shape, values.shape[-1])

    @property
    def grid(self) -> bool:
        """Whether sites lie on a hypercubic lattice, where shifts along axes mean something."""
        return self.lattice.kind == "hypercubic" and self.lattice.n_sites > 1


def measures(ground: Ground, quantities: Mapping[str, Quantity], pooled: Mapping[str, np.ndarray]) -> list[Measure]:
    """All of them, for any space; `pooled` are the values of every quantity in both samples together."""
    of_quantities = [one for name, quantity in quantities.items() for one in _distributions(name, quantity.unit, pooled[name])]
    return [*of_quantities, *_space(ground), *_one_by_one(ground), *_support(ground)]


def in_chunks(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """`function` of many rows, piece by piece."""
    return np.concatenate([function(rows[k : k + _CHUNK]) for k in range(0, len(rows), _CHUNK)])


# -- distributions of one number ---------------------------------------------------------------------------------------


class Quantity(NamedTuple):
    """A number of a microstate: rows ``(row, ...)`` → ``(row,)``, and its unit."""

    of: Callable[[np.ndarray], np.ndarray]
    unit: str


def quantities(ground: Ground) -> dict[str, Quantity]:
    """Numbers of a microstate by name."""
    space, lattice = ground.space, ground.lattice
    found = {name: Quantity(one, "J") for name, one in ground.energies.items()}
    if space.binary:
        found["the magnetization"] = Quantity(lambda rows: rows.mean(1, dtype=float), "per site")
    found["the size of the order parameter"] = Quantity(lambda rows: np.asarray(space.magnitude(rows), float), "per site")
    if space.unbounded:
        found["the mean square"] = Quantity(lambda rows: (rows.astype(float) ** 2).mean(1), "per site")
        found["the mean fourth power"] = Quantity(lambda rows: (rows.astype(float) ** 4).mean(1), "per site")
    if lattice.n_bonds and not space.continuous:
        found["the share of unlike neighbours"] = Quantity(lambda rows: unlike(rows, lattice), "of bonds")
        found["the mean cluster size"] = Quantity(lambda rows: clusters(rows, lattice), "sites")
    return found


def require_finite(name: str, values: np.ndarray, rows: np.ndarray, whose: str) -> None:
    """An error that names the first microstate whose energy is no number."""
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        state = np.array2string(rows[wrong[0]], threshold=64, max_line_width=1000)
        raise HamlearnError(
            f"{name} is {values[wrong[0]]} for {len(wrong)} of {len(values)} microstates of {whose}, first for row {wrong[0]}: {state}. "
            "An energy is a finite number: look at it there."
        )


def unlike(rows: np.ndarray, lattice: Lattice) -> np.ndarray:
    """The share of bonds that join different values: domain walls."""
    return np.asarray((rows[:, lattice.bonds[:, 0]] != rows[:, lattice.bonds[:, 1]]).mean(1))


def clusters(rows: np.ndarray, lattice: Lattice) -> np.ndarray:
    """The size of the cluster of equal neighbours that a site is in, averaged over the sites of every row ``(row, n_sites)``.

    Examples
    --------
    >>> from hamlearn.systems.lattice import hypercubic
    >>> clusters(np.array([[1, 1, -1, -1, -1]]), hypercubic(5, periodic=False)).tolist()
    [2.6]
    """
    n = lattice.n_sites
    row, bond = np.nonzero(rows[:, lattice.bonds[:, 0]] == rows[:, lattice.bonds[:, 1]])
    first, second = row * n + lattice.bonds[bond, 0], row * n + lattice.bonds[bond, 1]
    graph = scipy.sparse.coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(rows.size, rows.size))
    of_site = connected_components(graph, directed=False)[1]
    return np.asarray(np.bincount(of_site)[of_site].reshape(rows.shape).mean(1))


def _distributions(name: str, unit: str, pooled: np.ndarray) -> Iterator[Measure]:
    yield Measure("mean", f"mean of {name}", "distributions", (name,), unit, True, lambda values: values[:, None], name)
    levels, edges = split(pooled)
    if len(levels) > 2:
        yield _levels(name, unit, levels)
    elif len(edges) > 1:
        yield _binned(name, unit, edges)


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The levels of a discrete quantity that are not rare, or inner edges of bins of equal weight of a continuous one; the other is empty.

    Examples
    --------
    >>> split(np.array([0.0, 1.0, 1.0, 2.0] * 500))[0].tolist()
    [0.0, 1.0, 2.0]
    >>> len(split(np.random.default_rng(0).normal(size=1000))[1])
    15
    """
    rounded = np.round(values, 9)
    levels, counts = np.unique(rounded, return_counts=True)
    common = levels[counts >= max(5, _RARE * len(values))]
    if 1 < len(common) <= MOST_LEVELS and np.isin(rounded, common).mean() > 0.9:
        return common, np.zeros(0)
    edges = np.unique(np.quantile(rounded, np.arange(1, BINS) / BINS))
    # Between levels, not on one: a rounding error must not move a row to another bin.
    after = levels[np.minimum(np.searchsorted(levels, edges, side="right"), len(levels) - 1)]
    return np.zeros(0), np.unique((edges + after) / 2)


def _levels(name: str, unit: str, levels: np.ndarray) -> Measure:
    """Weights of the levels of a discrete quantity, one by one, those that are rare together."""

    def columns(values: np.ndarray) -> np.ndarray:
        hits = np.abs(np.round(values, 9)[:, None] - levels) < 1e-6 * np.maximum(1.0, np.abs(levels))
        return np.concatenate([hits, ~hits.any(1, keepdims=True)], 1).astype(float)

    labels = (*(f"{name} = {level:.6g}" for level in levels), f"rare values of {name}")
    return Measure("levels", f"distribution of {name}", "distributions", labels, unit, False, columns, name)


def _binned(name: str, unit: str, edges: np.ndarray) -> Measure:
    """The distribution function of a continuous quantity at quantiles of both samples: t², summed, weighs tails as Anderson and Darling."""
    columns = lambda values: (values[:, None] <= edges).astype(float)
    labels = tuple(f"{name} ≤ {edge:.6g}" for edge in edges)
    return Measure("distribution", f"distribution of {name}", "distributions", labels, unit, False, columns, name)


# -- in space ----------------------------------------------------------------------------------------------------------


def _space(ground: Ground) -> Iterator[Measure]:
    if not ground.grid:
        yield from _on_graphs(ground)
        return
    shape, periodic = ground.lattice.shape, ground.lattice.periodic
    reach = lambda size: min(size // 2 if periodic else size - 1, _FARTHEST)
    along = [(axis, r) for axis, size in enumerate(shape) for r in range(1, reach(size) + 1)]
    unit = np.eye(len(shape), dtype=int)
    steps = [r * unit[axis] for axis, r in along]
    if steps:
        labels = tuple(f"C at distance {r} along axis {axis}" for axis, r in along)
        yield _products("correlation", "correlations along the axes", labels, ground, [[step] for step in steps])
    corners = [np.array(step) for step in itertools.product(range(4), repeat=len(shape)) if np.count_nonzero(step) > 1]
    corners = [step for step in corners if all(s <= reach(size) for s, size in zip(step, shape, strict=True))][:24]
    if corners:
        labels = tuple(f"C at {tuple(step.tolist())}" for step in corners)
        yield _products("correlation", "correlations off the axes", labels, ground, [[step] for step in corners])
    if periodic and ground.lattice.n_sites > 2:
        yield _structure_factor(ground)
    real = [axis for axis, size in enumerate(shape) if size > 2]
    triples = [[unit[axis], 2 * unit[axis]] for axis in real if shape[axis] > 3]
    triples += [[unit[a], sign * unit[b]] for a, b in itertools.combinations(real, 2) for sign in (1, -1)]
    if triples:
        labels = tuple(map(_together, triples))
        yield _moments("third", "third connected moments", labels, ground, triples)
    fours = [[unit[axis], 2 * unit[axis], 3 * unit[axis]] for axis in real if shape[axis] > 5]
    fours += [[unit[a], unit[b], unit[a] + unit[b]] for a, b in itertools.combinations(real, 2)]
    if fours:
        labels = tuple(map(_together, fours))
        yield _moments("fourth", "fourth connected moments", labels, ground, fours)


def _together(steps: list[np.ndarray]) -> str:
    """A site and those so far from it, in words: ``sites x, x + 1, x + 2``, or ``x + (1, 0)`` on a lattice of two axes."""
    away = [str(step.tolist()[0]) if len(step) == 1 else str(tuple(step.tolist())) for step in steps]
    return f"sites {', '.join(['x', *(f'x + {one}' for one in away)])}"


def _shifted(grid: np.ndarray, steps: list[np.ndarray], periodic: bool) -> list[np.ndarray]:
    """A grid ``(row, *shape, k)`` and the same moved by steps, so that equal places lie above each other; cut where it does not close."""
    axes = tuple(range(1, grid.ndim - 1))
    moved = [grid, *(np.roll(grid, tuple(-step), axes) for step in steps)]
    if periodic:
        return moved
    low = np.minimum(0, np.min(steps, axis=0))
    high = np.maximum(0, np.max(steps, axis=0))
    inside = (slice(None), *(slice(-b, size - t) for b, t, size in zip(low, high, grid.shape[1:-1], strict=True)))
    return [one[inside] for one in moved]


def _mean(product: np.ndarray) -> np.ndarray:
    return np.asarray(product.mean(tuple(range(1, product.ndim))))


def _products(code: str, name: str, labels: tuple[str, ...], ground: Ground, steps: list[list[np.ndarray]]) -> Measure:
    periodic = ground.lattice.periodic

    def values(rows: np.ndarray) -> np.ndarray:
        grid = ground.folded(rows)
        return np.stack([_mean((one := _shifted(grid, step, periodic))[0] * one[1]) * grid.shape[-1] for step in steps], 1)

    return Measure(code, name, "space", labels, "", True, values)


def _structure_factor(ground: Ground) -> Measure:
    """|φ_k|²/N at the longest and the shortest wavelengths along and across the axes."""
    shape = ground.lattice.shape
    waves = {tuple(n if a == axis else 0 for a in range(len(shape))) for axis, size in enumerate(shape) for n in (1, 2, 3) if 2 * n <= size}
    waves |= {tuple(size // 2 if a == axis else 0 for a in range(len(shape))) for axis, size in enumerate(shape) if size > 1}
    waves |= {tuple(1 if size > 2 else 0 for size in shape), tuple(size // 2 for size in shape)}
    chosen = sorted(wave for wave in waves if any(wave))

    def values(rows: np.ndarray) -> np.ndarray:
        grid = ground.folded(rows)
        power = (np.abs(np.fft.fftn(grid, axes=tuple(range(1, grid.ndim - 1)))) ** 2).sum(-1) / ground.lattice.n_sites
        return np.stack([power[(slice(None), *wave)] for wave in chosen], 1)

    turns = [", ".join(f"{2 * n}π/{size}" if n else "0" for n, size in zip(wave, shape, strict=True)) for wave in chosen]
    return Measure("structure", "structure factor", "space", tuple(f"S at k = ({turn})" for turn in turns), "", True, values)


def _moments(code: str, name: str, labels: tuple[str, ...], ground: Ground, steps: list[list[np.ndarray]]) -> Measure:
    """Products of three or four sites about their means; of four less what pairs of them make (to first order in the differences)."""
    periodic = ground.lattice.periodic
    centred = lambda rows: (ground.encoded(rows) - ground.mean).reshape(len(rows), *ground.lattice.shape, -1)
    some = centred(ground.pooled[:: max(1, len(ground.pooled) // 2048)])
    pairings = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]

    def expected(step: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        one = _shifted(some, step, periodic)
        return {pair: (one[pair[0]] * one[pair[1]]).mean(0) for pairing in pairings for pair in pairing}

    pairs = [expected(step) for step in steps] if code == "fourth" else []

    def values(rows: np.ndarray) -> np.ndarray:
        grid, columns = centred(rows), []
        for k, step in enumerate(steps):
            one = _shifted(grid, step, periodic)
            product = np.prod(one, axis=0)
            if pairs:
                for a, b in pairings:
                    product = product - one[a[0]] * one[a[1]] * pairs[k][b] - one[b[0]] * one[b[1]] * pairs[k][a]
            columns.append(_mean(product) * grid.shape[-1])
        return np.stack(columns, 1)

    return Measure(code, name, "space", labels, "", True, values)


def _on_graphs(ground: Ground) -> Iterator[Measure]:
    """Of sites without axes: correlations by shells of distance, and third moments along two bonds."""
    lattice = ground.lattice
    if lattice.n_sites < 2:
        return
    i, j = np.triu_indices(lattice.n_sites, 1)
    if lattice.n_bonds and lattice.n_sites <= 1024:
        distance = np.round(lattice.distances[i, j], 6)
        radii = np.unique(distance[np.isfinite(distance)])[:8]
        shells = [_some(np.flatnonzero(distance == radius)) for radius in radii]
        if len(shells) > 1:

            def by_shell(rows: np.ndarray) -> np.ndarray:
                values = ground.encoded(rows)
                return np.stack([(values[:, i[one]] * values[:, j[one]]).sum(-1).mean(1) for one in shells], 1)

            yield Measure(
                "correlation", "correlations by distance", "space", tuple(f"C at distance {r:g}" for r in radii), "", True, by_shell
            )
    sites = np.arange(lattice.n_sites)
    triples = np.stack([sites, np.roll(sites, 1), np.roll(sites, 2)], 1) if not lattice.n_bonds else _paths(lattice)
    if lattice.n_sites > 2 and len(triples):

        def third(rows: np.ndarray) -> np.ndarray:
            values = ground.encoded(rows) - ground.mean
            return np.asarray(np.prod(values[:, triples], axis=2).sum(-1))

        labels = tuple(f"sites {', '.join(map(lattice.word, triple))}" for triple in triples)
        yield Measure("third", "third connected moments", "space", labels, "", True, third)


def _paths(lattice: Lattice) -> np.ndarray:
    """Paths of two bonds, evenly chosen, ``(n, 3)``."""
    neighbours, bonds = lattice.neighbours
    found = [
        (int(a), middle, int(b))
        for middle in range(lattice.n_sites)
        for a, b in itertools.combinations(neighbours[middle][bonds[middle] >= 0][:8], 2)
        if a != b
    ]
    return _some(np.array(found, int).reshape(-1, 3), 128)


# -- one by one --------------------------------------------------------------------------------------------------------


def _some(items: np.ndarray, limit: int = MOST_COLUMNS) -> np.ndarray:
    return items if len(items) <= limit else items[np.linspace(0, len(items) - 1, limit).round().astype(int)]


def _one_by_one(ground: Ground) -> Iterator[Measure]:
    lattice, k = ground.lattice, ground.encoded(ground.pooled[:1]).shape[-1]
    sites = _some(np.arange(lattice.n_sites), MOST_COLUMNS // k)
    parts = [""] if k == 1 else [f", component {c}" for c in range(k)]
    labels = tuple(f"site {lattice.word(int(site))}{part}" for site in sites for part in parts)
    yield Measure("site", "single sites", "space", labels, "", True, lambda rows: ground.encoded(rows)[:, sites].reshape(len(rows), -1))
    for named, pairs in pair_sets(lattice).items():
        yield _pairs(named, pairs, ground)
        if k > 1 and not named.startswith("other"):
            yield _parts_of_pairs(ground, pairs)


def _pairs(name: str, pairs: np.ndarray, ground: Ground) -> Measure:
    word = ground.lattice.word
    labels = tuple(f"sites {word(int(a))} and {word(int(b))}" for a, b in pairs)

    def products(rows: np.ndarray) -> np.ndarray:
        values = ground.encoded(rows)
        at_once = max(1, _NUMBERS // (len(pairs) * values.shape[-1]))
        parts = (values[start : start + at_once] for start in range(0, len(rows), at_once))
        return np.concatenate([(part[:, pairs[:, 0]] * part[:, pairs[:, 1]]).sum(-1) for part in parts])

    return Measure("bond", name, "space", labels, "", True, products)


def pair_sets(lattice: Lattice) -> dict[str, np.ndarray]:
    """The pairs of sites that are looked at one by one, ``(pair, 2)``, by the name of the comparison.

    Of more than 512 the bonds, and of what is no bond 512 pairs at random: a defect may sit anywhere.

    Examples
    --------
    >>> from hamlearn.systems.lattice import hypercubic
    >>> {name: len(pairs) for name, pairs in pair_sets(hypercubic((8, 8))).items()}
    {'bonds one by one': 128, 'other pairs, at random': 512}
    """
    n = lattice.n_sites
    every = n * (n - 1) // 2
    if every <= MOST_COLUMNS:
        found = {"pairs one by one": np.stack(np.triu_indices(n, 1), 1)}
    else:
        bonds = np.sort(np.asarray(lattice.bonds, int).reshape(-1, 2), axis=1)
        rng = np.random.default_rng(n)
        tried = rng.integers(n, size=(8 * MOST_COLUMNS, 2))
        codes = np.unique(tried.min(1) * n + tried.max(1))
        others = np.setdiff1d(codes[codes % (n + 1) != 0], bonds[:, 0] * n + bonds[:, 1])
        others = np.sort(rng.permutation(others)[:MOST_COLUMNS])
        found = {"bonds one by one": _some(bonds), "other pairs, at random": np.stack([others // n, others % n], 1)}
    return {name: pairs for name, pairs in found.items() if len(pairs)}


def pairs_told(lattice: Lattice) -> str:
    """How many pairs are looked at one by one, where not all are.

    Examples
    --------
    >>> from hamlearn.systems.lattice import hypercubic
    >>> pairs_told(hypercubic((8, 8))), pairs_told(hypercubic((4, 4)))
    ('128 of 128 bonds and 512 of 1888 other pairs, at random, are looked at one by one', '')
    """
    n, sets = lattice.n_sites, pair_sets(lattice)
    every = n * (n - 1) // 2
    if every <= MOST_COLUMNS:
        return ""
    bonds, others = (len(sets.get(name, ())) for name in ("bonds one by one", "other pairs, at random"))
    first = f"{bonds} of {lattice.n_bonds} bonds and " if lattice.n_bonds else ""
    return f"{first}{others} of {every - lattice.n_bonds} {'other ' if first else ''}pairs, at random, are looked at one by one"


def _parts_of_pairs(ground: Ground, pairs: np.ndarray) -> Measure:
    """Products of every part (one of q states, a component) of one site with every part of another.

    How alike two sites are, their scalar product, is blind to a state that prefers *another* one beside it, and to a turn from site to
    site. Of many products those are looked at that are most correlated in both samples together.
    """
    some = ground.encoded(ground.pooled[:: max(1, len(ground.pooled) // 2048)])
    some = (some - some.mean(0)) / np.maximum(some.std(0), 1e-12)
    strength = np.abs(np.einsum("rpi,rpj->pij", some[:, pairs[:, 0]], some[:, pairs[:, 1]], optimize=True))
    strongest = np.sort(np.argsort(-strength, axis=None, kind="stable")[:_MOST_PARTS])
    pair, first, second = np.unravel_index(strongest, strength.shape)
    named = "states" if ground.space.labelled else "components"
    word = ground.lattice.word
    labels = tuple(
        f"{named} {i} and {j} of sites {word(int(a))} and {word(int(b))}" for (a, b), i, j in zip(pairs[pair], first, second, strict=True)
    )

    def values(rows: np.ndarray) -> np.ndarray:
        numbers = ground.encoded(rows)
        return np.asarray(numbers[:, pairs[pair, 0], first] * numbers[:, pairs[pair, 1], second])

    return Measure("bond", f"pairs of {named}, one by one", "space", labels, "", True, values)


# -- support -----------------------------------------------------------------------------------------------------------


def _support(ground: Ground) -> Iterator[Measure]:
    """How often each region of states is visited: modes that are dropped or invented."""
    found = regions.of(ground.encoded(ground.pooled).reshape(len(ground.pooled), -1))
    if found is None:
        return

    def values(rows: np.ndarray) -> np.ndarray:
        cell = found.cell(ground.encoded(rows).reshape(len(rows), -1))
        return (cell[:, None] == np.arange(found.count)).astype(float)

    order = np.asarray(ground.space.order_parameters(ground.pooled), float)
    cells = found.cell(ground.encoded(ground.pooled).reshape(len(ground.pooled), -1))
    labels = tuple(
        f"region {c + 1} (order parameter {', '.join(f'{one:.2g}' for one in order[cells == c].mean(0)[:4])})" for c in range(found.count)
    )
    yield Measure("region", "regions of states", "support", labels, "of states", True, values)
