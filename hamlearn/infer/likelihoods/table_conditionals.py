"""Pseudo-likelihood of tile energies with one shared table: value, scores and curvature in the space of the table.

ln P(σ_i | rest) is a softmax of −β Σ_t E(code of tile t) over the states of site i, summed over the tiles that hold it.
Consistent for any E; a stand-in for the likelihood of whole microstates, to be calibrated (see
:mod:`hamlearn.infer.calibrate`). Valid for discrete sites on periodic lattices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hamlearn.compiled import compiled
from hamlearn.infer.observations import Observations
from hamlearn.systems.interaction_tables import InteractionTables

_compiled = compiled(nogil=True, fastmath=True)
_CURVATURE_SITES = 1_500_000  # site conditionals that the curvature is taken from: 0.4 % in every well-visited direction


@_compiled
def _encode(values, tile_sites, places, codes):  # type: ignore[no-untyped-def]
    for row in range(values.shape[0]):
        for tile in range(tile_sites.shape[0]):
            code = 0
            for k in range(tile_sites.shape[1]):
                code += values[row, tile_sites[tile, k]] * places[k]
            codes[row, tile] = code


@_compiled
def _scores(values, codes, weight, label, tile, place, q, beta, table, out, total):  # type: ignore[no-untyped-def]
    """Adds ln P to ``total[label]`` and its gradient with respect to the table to ``out[label]``."""
    k, base, p = tile.shape[1], np.empty(tile.shape[1], np.int64), np.empty(q)
    for row in range(values.shape[0]):
        where, w = label[row], weight[row]
        for i in range(values.shape[1]):
            own = values[row, i]
            for j in range(k):
                base[j] = codes[row, tile[i, j]] - own * place[i, j]
            most = -np.inf
            for a in range(q):
                energy = 0.0
                for j in range(k):
                    energy += table[base[j] + a * place[i, j]]
                p[a] = -beta * energy
                most = max(most, p[a])
            norm = 0.0
            chosen = p[own] - most
            for a in range(q):
                p[a] = np.exp(p[a] - most)
                norm += p[a]
            total[where] += w * (chosen - np.log(norm))
            for a in range(q):
                slope = w * beta * (p[a] / norm - (1.0 if a == own else 0.0))
                for j in range(k):
                    out[where, base[j] + a * place[i, j]] += slope


@_compiled
def _curvature(values, codes, weight, picks, tile, place, q, beta, table, out):  # type: ignore[no-untyped-def]
    """Adds minus the Hessian of Σ w ln P over the picked (row, site) pairs."""
    k, p = tile.shape[1], np.empty(q)
    base = np.empty(k, np.int64)
    for n in range(picks.shape[0]):
        row, i = picks[n, 0], picks[n, 1]
        own = values[row, i]
        most = -np.inf
        for j in range(k):
            base[j] = codes[row, tile[i, j]] - own * place[i, j]
        for a in range(q):
            energy = 0.0
            for j in range(k):
                energy += table[base[j] + a * place[i, j]]
            p[a] = -beta * energy
            most = max(most, p[a])
        norm = 0.0
        for a in range(q):
            p[a] = np.exp(p[a] - most)
            norm += p[a]
        for a in range(q):
            for b in range(q):
                f = weight[row] * beta * beta * ((p[a] / norm if a == b else 0.0) - p[a] * p[b] / norm**2)
                for j in range(k):
                    one = base[j] + a * place[i, j]
                    for m in range(k):
                        out[one, base[m] + b * place[i, m]] += f


@dataclass(frozen=True, eq=False)
class Rows:
    """Microstates of one temperature, encoded tile by tile.

    Attributes
    ----------
    values : int8 array (row, n_sites)
    codes : int array (row, n_tiles)
    weight : array (row,)
    beta : float
    """

    values: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    beta: float

    def take(self, keep: np.ndarray) -> Rows:
        """Some of the rows."""
        return Rows(self.values[keep], self.codes[keep], self.weight[keep], self.beta)


@dataclass(frozen=True, eq=False)
class TileConditionals:
    """Pseudo-likelihood of a shared table on tiles like those of a system.

    Parameters
    ----------
    tiles : InteractionTables
        Whose windows are meant; its own table is not used.
    sets : sequence of Rows
        The microstates, as :meth:`encode` makes them.
    """

    tiles: InteractionTables
    sets: Sequence[Rows]

    @staticmethod
    def encode(tiles: InteractionTables, part: Observations) -> Rows:
        """Codes of all tiles of every microstate."""
        values = np.ascontiguousarray(part.states.reshape(-1, part.states.shape[-1]), np.int8)
        codes = np.empty((len(values), len(tiles.tile_sites)), np.int16 if tiles.tables.shape[-1] <= 2**15 else np.int32)
        _encode(values, tiles.tile_sites, tiles.places, codes)
        return Rows(values, codes, part.weight.reshape(-1).astype(float), part.beta)

    @cached_property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Tiles that hold each site, and what its digit counts there; both ``(n_sites, tiles of a site)``."""
        tile, digit = np.nonzero(np.ones_like(self.tiles.tile_sites))
        order = np.argsort(self.tiles.tile_sites.ravel(), kind="stable")
        n_sites = self.tiles.lattice.n_sites
        return tile[order].reshape(n_sites, -1), self.tiles.places[digit[order]].reshape(n_sites, -1)

    @cached_property
    def size(self) -> float:
        """Number of single-site conditionals, by weight."""
        return float(sum(rows.weight.sum() for rows in self.sets)) * self.tiles.lattice.n_sites

    def scores(self, table: np.ndarray, labels: Sequence[np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Log pseudo-likelihood ``(label,)`` and its gradient ``(label, S)``, summed over the rows of each label.

        `labels` has an integer for every row of every set; without it there is one label.
        """
        labels = [np.zeros(len(rows.values), np.int64) for rows in self.sets] if labels is None else labels
        count = 1 + max(int(label.max(initial=0)) for label in labels)
        out, total = np.zeros((count, len(table))), np.zeros(count)
        for rows, label in zip(self.sets, labels, strict=True):
            _scores(rows.values, rows.codes, rows.weight, label, *self.seen, self.tiles.space.q, rows.beta, table, out, total)
        return total, out

    def value(self, table: np.ndarray) -> float:
        """Log pseudo-likelihood."""
        return float(self.scores(table)[0][0])

    def curvature(self, table: np.ndarray, seed: int = 0) -> np.ndarray:
        """Minus the Hessian ``(S, S)``, from a random 1.5 million of the conditionals where there are more."""
        out = np.zeros((len(table), len(table)))
        generator, n_sites = np.random.default_rng(seed), self.tiles.lattice.n_sites
        total = sum(len(rows.values) for rows in self.sets) * n_sites
        for rows in self.sets:
            here = len(rows.values) * n_sites
            share = min(1.0, _CURVATURE_SITES / total)
            flat: Any = np.arange(here) if share == 1 else np.sort(generator.choice(here, int(here * share), replace=False, shuffle=False))
            picks = np.stack(np.divmod(flat, n_sites), 1)
            part = np.zeros_like(out)
            _curvature(rows.values, rows.codes, rows.weight, picks, *self.seen, self.tiles.space.q, rows.beta, table, part)
            out += part * (here / len(flat))
        return out
