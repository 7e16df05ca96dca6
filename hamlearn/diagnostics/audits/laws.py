"""What one sample keeps and the other breaks: conserved sums and parities, levels and patterns that never occur.

Nothing is told: half of one sample says what is constant and what never occurs, its other half says how often that is broken by chance,
and the other sample is compared with this. Whatever is merely rare is as rare on both sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from hamlearn.diagnostics.audits.measures import Ground
from hamlearn.systems.lattice import Lattice

_MOST_NUMBERS = 1024  # of a microstate, among which all linear laws are searched
_CONSTANT = 1e-10  # variance of a constant, of that of all
_DISCRETE = 5  # rows for every level, at least, of what is called discrete
_WINDOWS = ((2, 2, 2), (3, 3), (6,))  # sites of a local pattern, by dimension from three down
_MOST_PATTERNS = 1 << 16

Broken = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Law:
    """Something that rows of one sample keep.

    Attributes
    ----------
    code, name : str
        Which sentence is made of it, and what the finding is called.
    what : str
        What is kept, in words.
    broken : callable
        Rows ``(row, ...)`` → by how much of it each breaks it, 0 to 1, ``(row,)``.
    """

    code: str
    name: str
    what: str
    broken: Broken


def found(ground: Ground, rows: np.ndarray) -> Iterator[Law]:
    """Every law that rows ``(row, ...)`` seem to keep."""
    yield from _sums(ground, rows)
    for name, energy in ground.energies.items():
        yield from _levels(name, energy, rows)
    if ground.energies:
        yield from _joint(ground, rows)
    yield from _patterns(ground, rows)


# -- sums and parities -------------------------------------------------------------------------------------------------


def _numbers(ground: Ground, rows: np.ndarray) -> np.ndarray:
    """Numbers of every row, ``(row, site · k)``: of q states one-hot without the last, which follows from the others."""
    values = ground.encoded(rows)
    return values[..., : -1 if ground.space.labelled else None].reshape(len(rows), -1)


def named_sums(lattice: Lattice, components: int) -> dict[str, np.ndarray]:
    """Sums that people name, as sets of weights ``(sum, site · component)``: the total, lines along every axis, sublattices, sites.

    Examples
    --------
    >>> from hamlearn.systems.lattice import hypercubic
    >>> {name: weights.shape[0] for name, weights in named_sums(hypercubic((4, 4)), 1).items()}
    {'the total': 1, 'every sum along axis 0': 4, 'every sum along axis 1': 4, 'the sum of each sublattice': 2, 'every single site': 16}
    """
    n, shape = lattice.n_sites, lattice.shape
    found = {"the total": np.ones((1, n))}
    places = np.indices(shape).reshape(len(shape), -1) if len(shape) > 1 else np.zeros((0, n), int)
    for axis in range(len(places)):
        others = np.delete(places, axis, 0)
        line = np.ravel_multi_index(tuple(others), tuple(np.delete(shape, axis)))
        found[f"every sum along axis {axis}"] = (line == np.arange(line.max() + 1)[:, None]).astype(float)
    if lattice.n_bonds:
        colours = np.asarray(lattice.colouring)
        if colours.max() == 1:
            found["the sum of each sublattice"] = (colours == np.arange(2)[:, None]).astype(float)
    found["every single site"] = np.eye(n)
    return {name: np.kron(weights, np.eye(components)) for name, weights in found.items()}


def _sums(ground: Ground, rows: np.ndarray) -> Iterator[Law]:
    values = _numbers(ground, rows)
    centre, size = values.mean(0), values.shape[1]
    components = size // ground.lattice.n_sites
    if size > _MOST_NUMBERS or len(np.unique(rows, axis=0)) <= size + 8:
        # Too few different rows to tell what is constant among all combinations: those that have a name, then.
        total = np.kron(np.ones((1, ground.lattice.n_sites)), np.eye(components)) / np.sqrt(ground.lattice.n_sites)
        kept = total[((values - centre) @ total.T).std(0) < 1e-6 * max(values.std(), 1e-12)]
        named = ["the total"] if len(kept) else []
    else:
        centred = values - centre
        variance, direction = np.linalg.eigh(centred.T @ centred / len(values))
        kept = direction[:, variance < _CONSTANT * max(variance.max(), 1e-300)].T
        named = [
            name
            for name, weights in named_sums(ground.lattice, components).items()
            if len(kept) and np.all((centred @ (weights / np.linalg.norm(weights, axis=1, keepdims=True)).T).std(0) < 1e-6)
        ]
    if len(kept):
        told = "; ".join(named) if named else f"{len(kept)} combination{'s' if len(kept) > 1 else ''} of sites"
        if "the total" in named and ground.space.binary:
            told += f" (Σσ = {rows[0].sum(dtype=int)})"
        yield Law(
            "sums", "conserved sums", told, lambda new: np.any(np.abs((_numbers(ground, new) - centre) @ kept.T) > 1e-5, axis=1) * 1.0
        )
    elif ground.space.binary:
        parities = constant_parities(rows > 0)
        if len(parities):
            fixed = ((rows[:1] > 0) @ parities.T.astype(int)) % 2
            sites = int(parities[0].sum())
            told = "the number of spins up modulo 2" if np.all(parities[0]) else f"the parity of {sites} sites"
            told += f", and {len(parities) - 1} more" if len(parities) > 1 else ""
            yield Law(
                "parity", "conserved parities", told, lambda new: np.any(((new > 0) @ parities.T.astype(int)) % 2 != fixed, axis=1) * 1.0
            )


def constant_parities(bits: np.ndarray, most_rows: int = 4096) -> np.ndarray:
    """Sets of sites whose number of ones is even in all rows or odd in all, a basis of them, ``(parity, n_sites)`` of booleans.

    Elimination over the field of two elements; an empty basis where there are fewer rows than would show it.

    Examples
    --------
    >>> bits = np.random.default_rng(0).integers(0, 2, size=(100, 5)).astype(bool)
    >>> bits[:, 4] = bits[:, 0] ^ bits[:, 2]
    >>> constant_parities(bits).astype(int).tolist()
    [[1, 0, 1, 0, 1]]
    """
    n = bits.shape[1]
    if len(bits) < n + 40:
        return np.zeros((0, n), bool)
    matrix = (bits[:most_rows] ^ bits[0]).copy()
    pivots: list[int] = []
    for column in range(n):
        rank = len(pivots)
        rows = np.flatnonzero(matrix[rank:, column])
        if not len(rows):
            continue
        pivot = rank + int(rows[0])
        matrix[[rank, pivot]] = matrix[[pivot, rank]]
        others = matrix[:, column].copy()
        others[rank] = False
        matrix[others] ^= matrix[rank]
        pivots.append(column)
    free = np.setdiff1d(np.arange(n), pivots)
    basis = np.zeros((len(free), n), bool)
    basis[np.arange(len(free)), free] = True
    for k, column in enumerate(pivots):
        basis[:, column] = matrix[k, free]
    return basis


# -- levels and patterns -----------------------------------------------------------------------------------------------


def _levels(name: str, function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> Iterator[Law]:
    values = np.round(function(rows), 6)
    levels = np.unique(values)
    low, high = levels[0] - 1e-6, levels[-1] + 1e-6
    if len(levels) > 1:
        told = f"{name} between {levels[0]:.6g} and {levels[-1]:.6g}"
        yield Law("bounds", f"range of {name}", told, lambda new: (((v := function(new)) < low) | (v > high)) * 1.0)
    if len(levels) * _DISCRETE <= len(values):
        told = f"{name} on {len(levels)} levels"
        yield Law("levels", f"levels of {name}", told, lambda new: ~_near(np.round(function(new), 6), levels) * 1.0)


def _near(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Whether values are among sorted levels, rounding apart."""
    at = np.clip(np.searchsorted(levels, values), 1, len(levels) - 1) if len(levels) > 1 else np.zeros(len(values), int)
    gap = np.minimum(np.abs(values - levels[at]), np.abs(values - levels[np.maximum(at - 1, 0)]))
    return gap < 1e-5 * np.maximum(1.0, np.abs(values))


def _joint(ground: Ground, rows: np.ndarray) -> Iterator[Law]:
    """Pairs of magnetization and energy."""
    name, energy = next(iter(ground.energies.items()))
    if ground.space.continuous or not ground.space.binary:
        return
    pairs = lambda new: np.stack([new.sum(1, dtype=float), np.round(energy(new), 5)], 1)
    seen = np.unique(pairs(rows), axis=0)
    if len(seen) * _DISCRETE > len(rows):
        return
    known = {tuple(one) for one in seen.tolist()}
    told = f"magnetization and {name} on {len(seen)} pairs of values"
    yield Law(
        "joint",
        f"magnetization and {name} together",
        told,
        lambda new: np.array([tuple(p) not in known for p in pairs(new).tolist()]) * 1.0,
    )


def _patterns(ground: Ground, rows: np.ndarray) -> Iterator[Law]:
    """Values on small windows, wherever they lie."""
    space, lattice = ground.space, ground.lattice
    if space.continuous or not ground.grid or not space.uniform or len(lattice.shape) > 3:
        return
    window = tuple(min(extent, size) for extent, size in zip(_WINDOWS[3 - len(lattice.shape)], lattice.shape, strict=True))
    while space.q ** int(np.prod(window)) > _MOST_PATTERNS and max(window) > 1:
        window = tuple(extent - (extent == max(window)) for extent in window)
    steps = [np.array(step) for step in itertools.product(*map(range, window))]

    def codes(new: np.ndarray) -> np.ndarray:
        grid = np.asarray(space.index(new)).astype(np.int64).reshape(len(new), *lattice.shape)
        total = np.zeros_like(grid)
        for step in steps:
            total = total * space.q + np.roll(grid, tuple(-step), tuple(range(1, grid.ndim)))
        if not lattice.periodic:
            total = total[(slice(None), *(slice(0, size - extent + 1) for size, extent in zip(lattice.shape, window, strict=True)))]
        return total.reshape(len(new), -1)

    seen = np.zeros(space.q ** len(steps), bool)
    seen[codes(rows)] = True
    if not seen.all():
        told = f"{int(seen.sum())} of {len(seen)} patterns on {'×'.join(map(str, window))} sites"
        yield Law("patterns", "local patterns", told, lambda new: (~seen[codes(new)]).mean(1))
