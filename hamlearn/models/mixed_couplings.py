"""Couplings between sites that have numbers of states of their own: columns of a table, such as yes or no beside answers from 1 to 5."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse

from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.models.bound_couplings import BoundCouplings, zero_sum_basis
from hamlearn.systems.potts import site_scores


class MixedCouplings(BoundCouplings):
    """:class:`BoundCouplings` whose bonds have tables of their own shapes.

    Tables are products of vectors of both ends, a row of zeros where an end has fewer states than the largest; θ has no parameters for
    these rows. States that a site lacks have probability zero at any β (:attr:`floor`).
    """

    @property
    def pair_basis(self) -> np.ndarray:
        """No such thing: see :meth:`tables_of`."""
        raise NotImplementedError("bonds of sites with their own numbers of states have tables of their own")

    field_basis = pair_basis

    @cached_property
    def vectors(self) -> np.ndarray:
        """Of fields, ``(n_sites, l, q)``: zero-sum over the states of the site."""
        there, q = self.space.there(self.lattice.n_sites), self.space.q
        found = np.zeros((len(there), q - 1, q))
        for own, values in zip(found, map(np.flatnonzero, there), strict=True):
            own[: len(values) - 1, values] = zero_sum_basis(len(values))
        return found

    @cached_property
    def _ends(self) -> np.ndarray:
        """What tables are products of, ``(n_sites, k, q)``: scores, or the vectors of fields."""
        if self.interaction == "ordinal":
            return site_scores(self.space, self.lattice.n_sites, self.model.scores)[:, None]
        return self.vectors

    @cached_property
    def _tables(self) -> np.ndarray:
        """``(n_bonds, m, q, q)``."""
        k, q, (first, second) = self._ends.shape[1], self.space.q, self.lattice.bonds.T
        memory.require(
            8 * len(first) * (k * q) ** 2, f"tables of {len(first)} pairs of up to {q} states", "Give fewer pairs, or fewer states."
        )
        return np.einsum("bma,bnc->bmnac", self._ends[first], self._ends[second]).reshape(len(first), k * k, q, q)

    @property
    def n_tables(self) -> int:
        """Strengths of a bond, at most."""
        return self._ends.shape[1] ** 2

    @property
    def n_vectors(self) -> int:
        """Fields of a site, at most."""
        return self.space.q - 1

    def tables_of(self, bond: int) -> np.ndarray:
        """The tables that strengths of one bond multiply, zero where it has fewer."""
        return np.asarray(self._tables[bond])

    def vectors_of(self, site: int) -> np.ndarray:
        """The vectors that fields of one site multiply, zero where it has fewer."""
        return np.asarray(self.vectors[site])

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Positions in θ of strengths and fields, and how many there are of each."""
        bonds, sites = np.abs(self._tables).max((2, 3)) > 0, np.abs(self.vectors).max(2) > 0
        pairs, n = _placed(bonds, self.bond_group, 0, "tie", "couplings of bonds")
        fields, p = _placed(sites, self.field_group, n, "fields", "fields of sites")
        return np.where(pairs < 0, p, pairs), np.where(fields < 0, p, fields), n, p - n

    @property
    def pair_index(self) -> np.ndarray:
        """Position in θ of every strength of a bond; ``n_params`` where it has fewer."""
        return self._places[0]

    @property
    def field_index(self) -> np.ndarray:
        """The same of fields."""
        return self._places[1]

    @property
    def n_coupling_params(self) -> int:
        """Number of free coupling strengths."""
        return self._places[2]

    @property
    def n_field_params(self) -> int:
        """Number of free fields."""
        return self._places[3]

    @cached_property
    def floor(self) -> np.ndarray:
        """Log weight of states that sites do not have, zero for the others."""
        return np.where(self.space.there(self.lattice.n_sites), 0.0, -np.inf)

    @cached_property
    def _sums(self) -> scipy.sparse.csr_matrix:
        """Which strength of which bond, and field of which site, belongs to which parameter."""
        index = np.concatenate([self.pair_index.ravel(), self.field_index.ravel()])
        kept = np.flatnonzero(index < self.n_params)
        return scipy.sparse.csr_matrix((np.ones(len(kept)), (kept, index[kept])), (len(index), self.n_params))

    def statistics(self, states: np.ndarray) -> np.ndarray:
        """Sufficient statistics T of every row of value indices."""
        first, second = self.lattice.bonds.T
        pairs = self._tables[np.arange(len(first)), :, states[:, first], states[:, second]]
        single = self.vectors[np.arange(states.shape[1]), :, states] if len(self.field_group) else np.zeros((len(states), 0))
        return np.asarray(np.concatenate([pairs.reshape(len(states), -1), single.reshape(len(states), -1)], 1) @ self._sums)

    def mean_statistics(self, pair: np.ndarray, single: np.ndarray) -> np.ndarray:
        """T of frequencies of pairs of states on bonds, and of states on sites."""
        pairs = np.einsum("gmab,tgab->tgm", self._tables, pair).reshape(len(pair), -1)
        fields = np.einsum("sla,tsa->tsl", self.vectors, single) if len(self.field_group) else np.zeros((len(pair), 0))
        return np.asarray(np.concatenate([pairs, fields.reshape(len(pair), -1)], 1) @ self._sums)

    def coefficients(self, theta: Any) -> tuple[Any, Any]:
        """Strengths of every bond ``(..., n_bonds, m)`` and site ``(..., n_sites, l)``; any array library."""
        found = [
            theta[..., np.minimum(index, self.n_params - 1)] * (index < self.n_params) for index in (self.pair_index, self.field_index)
        ]
        if not len(self.field_group):
            found[1] = np.zeros((*theta.shape[:-1], self.lattice.n_sites, self.n_vectors))
        return found[0], found[1]

    def _raw(self, theta: Any) -> tuple[Any, Any]:
        couplings, fields = self.coefficients(theta)
        q = self.space.q
        tables = (couplings[..., None, :] @ self._tables.reshape(-1, self.n_tables, q * q))[..., 0, :]
        return tables.reshape((*couplings.shape[:-1], q, q)), (fields[..., None, :] @ self.vectors)[..., 0, :]

    def tables(self, theta: Any) -> tuple[Any, Any]:
        """Minus the energies: bond tables and site fields, which exclude what a site lacks."""
        tables, fields = self._raw(theta)
        return tables, fields + self.floor

    def values(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the posterior reports; zero for states that a site lacks."""
        J, h = self._raw(theta)
        if self.interaction == "ordinal":
            return self.coefficients(theta)[0][..., 0], h
        return J, h

    def from_values(self, J: np.ndarray, h: np.ndarray | None) -> np.ndarray:
        """Inverse of :meth:`values`."""
        pairs = J[..., None] if self.interaction == "ordinal" else np.einsum("...gab,gmab->...gm", J, self._tables)
        theta = np.zeros((*pairs.shape[:-2], self.n_params + 1))
        theta[..., self.pair_index] = pairs
        if len(self.field_group) and h is not None:
            theta[..., self.field_index] = np.einsum("...sa,sla->...sl", h, self.vectors)
        return theta[..., :-1]


def _placed(there: np.ndarray, group: np.ndarray, start: int, word: str, what: str) -> tuple[np.ndarray, int]:
    """Positions of what is `there` ``(row, k)``, alike for rows of a group, and the next free one; −1 where nothing is."""
    if not len(group):
        return np.zeros((len(there), 0), int), start
    first = np.unique(group, return_index=True)[1]
    if np.any(there != there[first][group]):
        raise HamlearnError(
            f"{word} makes one of {what} whose numbers of states differ: only alike ones can be tied. Leave {word} out, or tie sites of "
            "equally many states (couplings also by interaction='ordinal')."
        )
    found = np.full(there[first].shape, -1)
    found[there[first]] = start + np.arange(int(there[first].sum()))
    return found[group], start + int(there[first].sum())
