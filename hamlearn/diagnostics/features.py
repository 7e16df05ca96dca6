"""Statistics of microstates that a model of pair couplings was not fitted to.

Every statistic is the mean over microstates of one or many functions of a microstate (columns), so that its error
follows from block means. What depends on estimates (where a moment is centred, where bins begin, which triples are
the strongest) is fixed from the fitted half, which shares nothing with the half that is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.optimize

from hamlearn.diagnostics.predictive_test import Statistic
from hamlearn.diagnostics.strongest import strongest
from hamlearn.models import BoundCouplings
from hamlearn.systems.base import System
from hamlearn.systems.sampling.energies import energies

MAX_COLUMNS = 128  # of one statistic with many components
MAX_SHELLS = 4
BINS = 12
STRONGEST = {3: "strongest product of three", 4: "strongest product of four"}  # sites, those of the fitted half
_RARE = 0.02  # smallest share of a bin
_COLDEST = 50.0  # λ, in units of one over the spread of energies


@dataclass(eq=False)
class Features:
    """Functions of a microstate, compiled for one model and one fitted half.

    Parameters
    ----------
    bound : BoundCouplings
        The model on its sites.
    system : System
        The fitted Hamiltonian; its energy is a statistic, and its strongest couplings choose the triples.
    fitted : array (row, n_sites)
        Microstates of the fitted half, as value indices.
    several : bool
        Whether there are several temperatures: the mean energy at each is then no longer fitted.
    """

    bound: BoundCouplings
    system: System
    fitted: np.ndarray
    several: bool
    statistics: list[Statistic] = field(default_factory=list)

    def __post_init__(self) -> None:
        lattice, model = self.bound.lattice, self.bound.model
        self.fitted = self.fitted[: 1 << 15]
        self.spins = self.bound.space.binary
        self.triples = _triples(self.bound, self.system)
        bonded = np.zeros((lattice.n_sites,) * 2, bool)
        bonded[tuple(lattice.bonds.T)] = bonded[tuple(lattice.bonds.T[::-1])] = True
        self.shells, self.pairs = _unfitted_pairs(lattice.distances, bonded)
        self.tied = model.tie != "bond" or self.bound.interaction in ("clock", "potts", "ordinal")
        self.bonds = _some(lattice.bonds) if self.tied else np.zeros((0, 2), int)
        self.sites = _some(np.arange(lattice.n_sites)) if model.fields != "site" else np.zeros(0, int)
        self.means = self._single(self.fitted).mean(0)
        self.strongest = [found for order in STRONGEST if (found := strongest(self.fitted, self.bound.space.q, order)) is not None]
        self.agreement = self._agree(self.fitted, self.triples[:, :2]).mean(0), self._agree(self.fitted, self.triples[:, 1:]).mean(0)
        self.order_edges = bin_edges(self._order(self.fitted))
        energy = self.energy(self.fitted)
        self.energy_scale = float(energy.std()) or 1.0
        self.energy_edges = bin_edges(energy)

    def energy(self, index: np.ndarray) -> np.ndarray:
        """Energy of every row of value indices under the fitted Hamiltonian, shape ``(row,)``."""
        return energies(self.system, self.bound.space.from_index(index))

    def __call__(self, index: np.ndarray, mean_energy: float, optimism: float = 0.0) -> np.ndarray:
        """All columns for rows of value indices ``(row, n_sites)``, given the mean energy of their source.

        The fitted Hamiltonian holds the noise of the fitted half, whose energies it takes for lower than those of any
        other data by `optimism` (about the number of parameters over that of microstates, in units of temperature).
        It is taken off the mean energy; the variance of the energy is taken about the mean of the same source.
        """
        blocks: list[tuple[str, bool, np.ndarray]] = []
        order = self._order(index)
        if self.spins:
            m = 2 * order / index.shape[1] - 1
            blocks.append(("mean |m|", False, np.abs(m)[:, None]))
        else:
            blocks.append(("mean order parameter", False, order[:, None] / index.shape[1]))
        blocks.append(
            ("histogram of spins up" if self.spins else "histogram of the order parameter", True, _binned(order, self.order_edges))
        )
        for distance, pairs in self.shells:
            blocks.append((f"pair correlation at distance {distance:.3g}", False, self._agree(index, pairs).mean(1, keepdims=True)))
        if len(self.pairs):
            blocks.append(("correlations of pairs without a bond", True, _relative(self._agree(index, self.pairs))))
        if len(self.triples):
            third = self._third(index)
            blocks.append(("third moments, sum", False, third.sum(1, keepdims=True)))
            blocks.append(("third moments, one by one", True, _relative(third)))
        called = {f"{STRONGEST[len(one.sites)]} {'spins' if self.spins else 'sites'}": one for one in self.strongest}
        blocks += [(name, False, one(index)[:, None]) for name, one in called.items()]
        if len(self.bonds):
            blocks.append(("bond correlations, one by one", True, _relative(self._agree(index, self.bonds))))
        if len(self.sites):
            blocks.append(("single sites, one by one", True, _relative(self._single(index[:, self.sites])).reshape(len(index), -1)))
        if not self.spins and self.bound.interaction != "general":
            blocks.append(("pairs of states on bonds", True, self._state_pairs(index)))
        energy = self.energy(index)
        scaled = (energy - mean_energy) / self.energy_scale
        if self.several:
            blocks.append(("mean energy", False, (energy[:, None] - optimism) / index.shape[1]))
        blocks.append(("variance of the energy", False, scaled[:, None] ** 2))
        blocks.append(("histogram of the energy", True, _binned(energy, self.energy_edges)))
        if not self.statistics:
            stops = np.cumsum([block.shape[1] for *_, block in blocks])
            places = {name: f"sites {', '.join(map(self.bound.lattice.word, one.sites))}" for name, one in called.items()}
            self.statistics = [
                Statistic(name, np.arange(stop - block.shape[1], stop), scatter, places.get(name, ""))
                for (name, scatter, block), stop in zip(blocks, stops, strict=True)
            ]
        return np.concatenate([block for *_, block in blocks], 1)

    def optimistic_shift(self, index: np.ndarray, weight: np.ndarray, optimism: float, columns: int) -> np.ndarray:
        """How much the histogram and the variance of the energy of these rows move if `optimism` is taken off, over all columns.

        It is an uncertainty, not a correction: where a few levels hold most of the weight, histograms move in steps. The
        variance is that of rows which are weighted as a colder source's, until their mean is lower by twice as much: with few
        rows for every parameter it falls by what the whole `optimism` does, and between nothing and twice this is that on average.
        """
        shift, energy = np.zeros(columns), self.energy(index)
        where = {one.name: one.columns for one in self.statistics}
        moved = _binned(energy - optimism, self.energy_edges) - _binned(energy, self.energy_edges)
        shift[where["histogram of the energy"]] = weight @ moved / weight.sum()
        shift[where["variance of the energy"]] = _cooling(energy / self.energy_scale, weight, 2 * optimism / self.energy_scale)
        return shift

    def _single(self, index: np.ndarray) -> np.ndarray:
        """Spins ``(row, site)``, or indicators of every state but the last ``(row, site, q − 1)``."""
        if self.spins:
            return 2.0 * index - 1
        return (index[..., None] == np.arange(self.bound.space.q - 1)).astype(float)

    def _agree(self, index: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """σσ' of spins; whether two sites agree for q states; shape ``(row, pair)``."""
        same = (index[:, pairs[:, 0]] == index[:, pairs[:, 1]]).astype(float)
        return 2 * same - 1 if self.spins else same

    def _third(self, index: np.ndarray) -> np.ndarray:
        """Products of three centred spins, or of the centred agreements of two bonds that share a site."""
        if not self.spins:
            left, right = self.agreement
            return (self._agree(index, self.triples[:, :2]) - left) * (self._agree(index, self.triples[:, 1:]) - right)
        centred = self._single(index) - self.means
        return centred[:, self.triples[:, 0]] * centred[:, self.triples[:, 1]] * centred[:, self.triples[:, 2]]

    def _order(self, index: np.ndarray) -> np.ndarray:
        """Number of spins up, or of sites in the most frequent state."""
        if self.spins:
            return index.sum(1, dtype=float)
        return np.max([(index == value).sum(1) for value in range(self.bound.space.q)], axis=0).astype(float)

    def _state_pairs(self, index: np.ndarray) -> np.ndarray:
        q, (first, second) = self.bound.space.q, self.bound.lattice.bonds.T
        code = index[:, first].astype(int) * q + index[:, second]
        return np.stack([(code == value).mean(1) for value in range(q * q)], 1)


def _relative(values: np.ndarray) -> np.ndarray:
    """Components ``(row, component, ...)`` relative to their mean.

    What they share (the magnetization of an ordered lattice) fluctuates most and would drown their differences; it is
    tested by the statistics that are one number.
    """
    return values - values.mean(1, keepdims=True)


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Bin edges between the levels of `values`, with about equal numbers in each bin."""
    levels, counts = np.unique(np.round(values.ravel(), 9), return_counts=True)
    if len(levels) < 2:
        return np.zeros(0)
    below = np.cumsum(counts)[:-1] / counts.sum()
    gaps = np.diff(levels)
    edges, last = [], 0.0
    for target in np.arange(1, BINS) / BINS:
        # In the widest gap near the quantile: two almost degenerate levels (a state and its mirror image) stay together.
        near = np.flatnonzero(np.abs(below - target) <= 0.5 / BINS)
        nearest = min(int(np.searchsorted(below, target)), len(below) - 1)
        near = np.union1d(near, np.arange(max(nearest - 1, 0), min(nearest + 2, len(below))))
        cut = near[np.argmax(gaps[near])]
        if below[cut] - last > _RARE and 1 - below[cut] > _RARE:
            edges.append((levels[cut] + levels[cut + 1]) / 2)
            last = below[cut]
    return np.array(edges)


def _cooling(energy: np.ndarray, weight: np.ndarray, fall: float) -> float:
    """By how much their variance changes where a weight exp(−λE) lowers the mean of energies by `fall`; to zero where none does."""

    def moments(rate: float) -> tuple[float, float]:
        tilted = weight * np.exp(-rate * (energy - energy.min()))
        mean = tilted @ energy / tilted.sum()
        return float(mean), float(tilted @ (energy - mean) ** 2 / tilted.sum())

    mean, variance = moments(0.0)
    if fall <= 0 or moments(_COLDEST)[0] > mean - fall:
        return -variance if fall > 0 else 0.0
    return moments(scipy.optimize.brentq(lambda rate: moments(rate)[0] - mean + fall, 0.0, _COLDEST))[1] - variance


def _binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return (np.searchsorted(edges, values)[:, None] == np.arange(len(edges) + 1)).astype(float)


def _some(items: np.ndarray, limit: int = MAX_COLUMNS) -> np.ndarray:
    """At most `limit` of the items, evenly spread."""
    return items if len(items) <= limit else items[np.linspace(0, len(items) - 1, limit).round().astype(int)]


def _unfitted_pairs(distances: np.ndarray, bonded: np.ndarray) -> tuple[list[tuple[float, np.ndarray]], np.ndarray]:
    """Pairs without a bond: by shells of distance (the nearest ones and the farthest), and the nearest ones themselves."""
    pairs = np.stack(np.triu_indices(len(bonded), 1), 1)
    pairs = pairs[~bonded[pairs[:, 0], pairs[:, 1]]]
    at = distances[pairs[:, 0], pairs[:, 1]]
    pairs, at = pairs[np.isfinite(at)], np.round(at[np.isfinite(at)], 6)
    radii = np.unique(at)
    chosen = radii if len(radii) <= MAX_SHELLS else np.append(radii[: MAX_SHELLS - 1], radii[-1])
    shells = [(float(radius), _some(pairs[at == radius], 4 * MAX_COLUMNS)) for radius in chosen]
    return shells, pairs[np.argsort(at, kind="stable")][:MAX_COLUMNS]


def _triples(bound: BoundCouplings, system: System) -> np.ndarray:
    """Paths i–j–k along two bonds, the strongest products of couplings first; shape ``(n, 3)``."""
    assert system.pairs is not None  # couplings are
    tables = system.pairs.tables
    strength = np.abs(tables - tables.mean((1, 2), keepdims=True)).mean((1, 2))
    sites, bonds = bound.lattice.neighbours
    keep = min(sites.shape[1], 16)
    found: dict[tuple[int, int, int], float] = {}
    for middle in range(len(sites)):
        real = bonds[middle] >= 0
        best = np.argsort(-np.where(real, strength[bonds[middle]], -1.0), kind="stable")[: min(keep, real.sum())]
        for first in range(len(best)):
            for second in range(first):
                i, k = sorted((int(sites[middle, best[first]]), int(sites[middle, best[second]])))
                if i == k:
                    continue
                # Three spins have no middle: a triangle appears once. Agreements of two bonds do.
                key = (i, middle, k) if not bound.space.binary else tuple(sorted((i, middle, k)))
                product = float(strength[bonds[middle, best[first]]] * strength[bonds[middle, best[second]]])
                found[key] = max(found.get(key, 0.0), product)  # type: ignore[index, arg-type]
    ranked = sorted(found, key=lambda key: (-found[key], key))[:MAX_COLUMNS]
    return np.array(ranked, int).reshape(-1, 3)
