"""Couplings on given sites: what θ means, and the systems made of it.

Every bond b has tables T_b = Σ_m J_bm B_m over a fixed basis of tables, every site fields f_i = Σ_l h_il F_l; tied bonds share
their J. The family is linear in θ, which is all the likelihoods need.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.models.base import Block
from hamlearn.spaces import States
from hamlearn.spaces.extents import around
from hamlearn.systems import exact
from hamlearn.systems.base import Space, System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.potts import QState, clock_table, ordinal_scores
from hamlearn.systems.vectors import VectorSpins
from hamlearn.systems.xy import XY

if TYPE_CHECKING:
    from hamlearn.models.couplings import Couplings


def zero_sum_basis(q: int) -> np.ndarray:
    """Orthonormal vectors that sum to zero, shape ``(q − 1, q)`` (Helmert)."""
    basis = np.zeros((q - 1, q))
    for row in range(1, q):
        basis[row - 1, :row], basis[row - 1, row] = 1.0, -row
        basis[row - 1] /= np.sqrt(row * (row + 1))
    return basis


@dataclass(frozen=True, eq=False)
class BoundCouplings:
    """:class:`~hamlearn.models.Couplings` on given sites: θ ↔ couplings and fields, and the basis tables θ multiplies.

    θ = (J by group and basis table, h by group and basis vector), shape ``(n_params,)``.
    """

    model: Couplings
    lattice: Lattice
    space: Space
    interaction: str
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def pair_basis(self) -> np.ndarray:
        """Tables that coupling strengths multiply, shape ``(m, q, q)``.

        Every table sums to zero along both axes (a field could absorb the rest), except Potts' δ, which keeps its
        usual form.
        """
        q = self.space.q
        if self.space.continuous:
            return np.ones((1, 1, 1))  # directions have no tables; one strength per bond
        if self.interaction == "ising":
            return np.array([[[1.0, -1.0], [-1.0, 1.0]]])
        if self.interaction == "clock":
            return clock_table(q)[None]
        if self.interaction == "potts":
            return np.eye(q)[None]
        if self.interaction == "ordinal":
            return np.multiply.outer(scores := ordinal_scores(q, self.model.scores), scores)[None]
        vectors = zero_sum_basis(q)
        return np.einsum("ma,nb->mnab", vectors, vectors).reshape(-1, q, q)

    @cached_property
    def field_basis(self) -> np.ndarray:
        """Vectors that fields multiply, shape ``(l, q)``; of unit vectors the axes, ``(n, n)``."""
        if self.space.continuous:
            return np.eye(self.space.event_shape[0]) if self.space.event_shape else np.ones((1, 1))
        return np.array([[-1.0, 1.0]]) if self.interaction == "ising" else zero_sum_basis(self.space.q)

    @cached_property
    def bond_group(self) -> np.ndarray:
        """Index of the strength that each bond uses, shape ``(n_bonds,)``."""
        n_bonds, tie = self.lattice.n_bonds, self.model.tie
        if tie != "distance":
            return np.array({"bond": range(n_bonds), "uniform": (0,) * n_bonds}[tie] if isinstance(tie, str) else tie, int)
        if self.lattice.positions is None:
            raise HamlearnError(
                "tie='distance' needs sites with positions: give a lattice, for example lattice.hypercubic(shape).pairs_within(2)."
            )
        i, j = self.lattice.bonds.T
        return np.unique(np.round(self.lattice.distances[i, j], 6), return_inverse=True)[1]

    @cached_property
    def field_group(self) -> np.ndarray:
        """Index of the field that each site uses, shape ``(n_sites,)``; empty without fields."""
        n_sites, fields = self.lattice.n_sites, self.model.fields
        return np.array(fields if isinstance(fields, tuple) else {"site": range(n_sites), "uniform": (0,) * n_sites, None: ()}[fields], int)

    def without_field(self, frozen: np.ndarray) -> np.ndarray:
        """Those of the `frozen` sites (whose values never change) whose field has no finite optimum: it acts on no other site."""
        if not len(self.field_group):
            return frozen[:0]
        return frozen[~np.isin(self.field_group[frozen], np.delete(self.field_group, frozen))]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The couplings and the fields, as far as there are any, with their priors."""
        n, p = self.n_coupling_params, self.n_params
        found = Block("J", 0, n, self.model.prior), Block("h", n, p, self.model.field_prior, strengths=False)
        return tuple(block for block in found if block.size)

    @property
    def n_tables(self) -> int:
        """Strengths of a bond, at most."""
        return len(self.pair_basis)

    @property
    def n_vectors(self) -> int:
        """Fields of a site, at most."""
        return len(self.field_basis)

    @property
    def n_coupling_params(self) -> int:
        """Number of free coupling strengths."""
        return (int(self.bond_group.max()) + 1 if len(self.bond_group) else 0) * self.n_tables

    @property
    def n_field_params(self) -> int:
        """Number of free fields."""
        return (int(self.field_group.max()) + 1 if len(self.field_group) else 0) * self.n_vectors

    @cached_property
    def pair_index(self) -> np.ndarray:
        """Position in θ of every strength of a bond, shape ``(n_bonds, n_tables)``; ``n_params`` where a bond has fewer."""
        return self.bond_group[:, None] * self.n_tables + np.arange(self.n_tables)

    @cached_property
    def field_index(self) -> np.ndarray:
        """The same of fields, shape ``(n_sites, n_vectors)``; ``(n_sites, 0)`` without fields."""
        if not len(self.field_group):
            return np.zeros((self.lattice.n_sites, 0), int)
        return self.n_coupling_params + self.field_group[:, None] * self.n_vectors + np.arange(self.n_vectors)

    def tables_of(self, bond: int) -> np.ndarray:
        """The tables that strengths of one bond multiply, shape ``(n_tables, q, q)``."""
        return self.pair_basis

    @property
    def vectors(self) -> np.ndarray:
        """Those of every site, shape ``(n_sites, n_vectors, q)``, or of all alike ``(1, n_vectors, q)``."""
        return self.field_basis[None]

    def vectors_of(self, site: int) -> np.ndarray:
        """The vectors that fields of one site multiply, shape ``(n_vectors, q)``."""
        return self.field_basis

    @property
    def floor(self) -> np.ndarray | None:
        """Log weight of states that sites do not have, ``(n_sites, q)``, zero for the others; None where all have all."""
        return None

    def entries(self, name: str) -> np.ndarray:
        """Which entries of the tables "J" ``(n_bonds, q, q)``, or of the fields "h" ``(n_sites, q)``, are of states that sites have."""
        there = self.space.there(self.lattice.n_sites)
        first, second = self.lattice.bonds.T
        return there if name == "h" else there[first][:, :, None] & there[second][:, None]

    @property
    def stand_in(self) -> Literal["pseudo", "exchange"]:
        """The composite likelihood that serves where the exact one costs too much."""
        return "pseudo"

    @property
    def n_states(self) -> float:
        """How many microstates there are, inf beyond any float."""
        return self.space.count(self.lattice.n_sites)

    @cached_property
    def n_patterns(self) -> float:
        """How many states a site has together with its neighbours, at most; inf beyond any float."""
        return around(self.space.extent, self.lattice.bonds, self.lattice.n_sites)

    def states(self) -> np.ndarray:
        """All microstates ``(row, n_sites)`` as value indices, where they are few enough to be listed."""
        return exact.all_states(self.lattice, self.space.extent).reshape(-1, self.lattice.n_sites)

    def statistics(self, states: np.ndarray) -> np.ndarray:
        """Sufficient statistics T of every row of value indices: −H = θ · T; shape ``(row, n_params)``."""
        first, second = self.lattice.bonds.T
        columns = [_grouped(table[states[:, first], states[:, second]], self.bond_group) for table in self.pair_basis]
        couplings = np.stack(columns, -1).reshape(len(states), -1)
        if not len(self.field_group):
            return couplings
        fields = np.stack([_grouped(vector[states], self.field_group) for vector in self.field_basis], -1)
        return np.concatenate([couplings, fields.reshape(len(states), -1)], 1)

    def mean_statistics(self, pair: np.ndarray, single: np.ndarray) -> np.ndarray:
        """T ``(row, n_params)`` of frequencies of pairs of states on bonds ``(row, n_bonds, q, q)`` and of states ``(row, n_sites, q)``."""
        if self.interaction == "general":  # products of vectors: far fewer operations than table by table
            columns = np.einsum("ma,tgab,nb->tmng", self.field_basis, pair, self.field_basis, optimize=True)
        else:
            columns = np.einsum("mab,tgab->tmg", self.pair_basis, pair)
        columns = columns.reshape(len(pair), self.n_tables, -1)
        couplings = np.moveaxis(_grouped(columns, self.bond_group), 1, -1).reshape(len(pair), -1)
        if not len(self.field_group):
            return couplings
        fields = np.stack([_grouped(single @ vector, self.field_group) for vector in self.field_basis], -1)
        return np.concatenate([couplings, fields.reshape(len(pair), -1)], 1)

    @property
    def n_params(self) -> int:
        """Length of θ."""
        return self.n_coupling_params + self.n_field_params

    def heaviest_site(self, there: np.ndarray | None = None) -> float:
        """Parameters that one site has to bear, at most: a parameter is shared by all sites that it acts on.

        `there` holds the probabilities that couplings exist, where that is not certain.
        """
        n_sites, load = self.lattice.n_sites, np.zeros(self.lattice.n_sites)
        couplings = np.ones(self.n_coupling_params) if there is None else there
        of_bonds = np.append(couplings, 0.0)[np.minimum(self.pair_index, len(couplings))].sum(1)
        of_sites = (self.field_index < self.n_params).sum(1)
        firsts = [np.unique(group, return_index=True)[1] for group in (self.bond_group, self.field_group)]
        sizes = of_bonds[firsts[0]], of_sites[firsts[1]]
        groups = np.repeat(self.bond_group, 2), self.field_group
        for group, sites, size in zip(groups, (self.lattice.bonds.ravel(), np.arange(n_sites)), sizes, strict=True):
            if len(group):
                pairs = np.unique(group * n_sites + sites)  # every parameter counts once at a site
                owner = pairs // n_sites
                np.add.at(load, pairs % n_sites, (size / np.maximum(np.bincount(owner, minlength=len(size)), 1))[owner])
        return float(load.max(initial=0.0))

    def coefficients(self, theta: Any) -> tuple[Any, Any]:
        """Strengths of every bond ``(..., n_bonds, m)`` and site ``(..., n_sites, l)``; any array library."""
        lead = theta.shape[:-1]
        m, size = self.n_tables, self.n_vectors
        couplings = theta[..., : self.n_coupling_params].reshape((*lead, -1, m))[..., self.bond_group, :]
        if not len(self.field_group):
            return couplings, np.zeros((*lead, self.lattice.n_sites, size))
        return couplings, theta[..., self.n_coupling_params :].reshape((*lead, -1, size))[..., self.field_group, :]

    def tables(self, theta: Any) -> tuple[Any, Any]:
        """Minus the energies: bond tables ``(..., n_bonds, q, q)`` and site fields ``(..., n_sites, q)``."""
        couplings, fields = self.coefficients(theta)
        q = self.space.q  # as a product of matrices: the terms of the sum over basis tables are never held at once
        return (couplings @ self.pair_basis.reshape(-1, q * q)).reshape((*couplings.shape[:-1], q, q)), fields @ self.field_basis

    def values(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the posterior reports: J per bond (strengths, or zero-sum tables) and h per site (or per state)."""
        if self.interaction == "general":
            return self.tables(theta)
        couplings, fields = self.coefficients(theta)
        return couplings[..., 0], fields[..., 0] if self.interaction in ("ising", "xy") else (fields[..., None] * self.field_basis).sum(-2)

    def from_values(self, J: np.ndarray, h: np.ndarray | None) -> np.ndarray:
        """Inverse of :meth:`values` (tied parameters are read off the first bond or site that uses them)."""
        bonds = np.unique(self.bond_group, return_index=True)[1]
        if self.interaction == "general":
            theta = [np.einsum("...gab,mab->...gm", J[..., bonds, :, :], self.pair_basis, optimize=True)]
        else:
            theta = [J[..., bonds, None]]
        if len(self.field_group) and h is not None:
            sites = np.unique(self.field_group, return_index=True)[1]
            theta.append(
                h[..., sites, None] if self.interaction == "ising" else np.einsum("...ga,la->...gl", h[..., sites, :], self.field_basis)
            )
        return np.concatenate([part.reshape((*part.shape[:-2], -1)) for part in theta], -1)

    def system(self, theta: np.ndarray, lattice: Lattice | None = None) -> System:
        """The Hamiltonian with strengths θ; on another lattice where the parameters are tied."""
        target = self.lattice if lattice is None else lattice
        if lattice is not None:
            theta_bonds = self._retied(theta, lattice)
        else:
            theta_bonds = self.values(theta)
        J, h = theta_bonds
        if self.interaction == "ising":
            return Pairwise(target, J, h, name="Learned")
        if self.interaction == "xy":
            return XY(target, J, name="Learned")
        if self.interaction == "vectors":
            return VectorSpins(target, J, h, self.space.event_shape[0], name="Learned")
        assert isinstance(self.space, States)
        return QState(target, self.space, J, h, interaction=self.interaction, scores=self.model.scores, name="Learned")

    def _retied(self, theta: np.ndarray, lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
        if self.model.tie != "uniform" or self.model.fields == "site":
            raise HamlearnError(
                "another lattice size needs tied parameters: learn with Couplings(graph, tie='uniform', fields='uniform' or None). "
                f"This posterior has tie={told_tie(self.model.tie)}, fields={told_tie(self.model.fields)}."
            )
        J, h = self.values(theta)
        return np.repeat(
            J[..., :1, :, :] if self.interaction == "general" else J[..., :1],
            lattice.n_bonds,
            axis=-3 if self.interaction == "general" else -1,
        ), (
            np.repeat(h[..., :1], lattice.n_sites, -1)
            if self.interaction in ("ising", "xy")
            else np.repeat(h[..., :1, :], lattice.n_sites, -2)
        )

    @cached_property
    def parameter_names(self) -> list[str]:
        """A name for every element of θ."""
        end = self.n_params  # it asks every bond for its group
        names, word, between = [], self.lattice.word, " – " if self.lattice.names else ","
        for label, given, group, ends, where in (
            ("J", self.model.tie, self.bond_group, self.lattice.bonds, self.pair_index),
            ("h", self.model.fields, self.field_group, None, self.field_index),
        ):
            shared = np.bincount(group) > 1
            for index in np.unique(group, return_index=True)[1]:
                place = word(index) if ends is None else f"{word(ends[index, 0])}{between}{word(ends[index, 1])}"
                if ends is not None and self.model.tie == "distance":
                    place = f"distance {self.lattice.distances[ends[index, 0], ends[index, 1]]:.4g}"
                elif isinstance(given, tuple):
                    place = f"group {group[index]}"
                elif shared[group[index]]:
                    place = "tied"
                size = int((where[index] < end).sum())
                names += [f"{label}[{place}]" + (f"({part})" if where.shape[1] > 1 else "") for part in range(size)]
        return names


def _grouped(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sums over tied bonds or sites."""
    if not len(group) or np.array_equal(group, np.arange(len(group))):
        return values
    members = np.zeros((len(group), int(group.max()) + 1))
    members[np.arange(len(group)), group] = 1.0
    return np.asarray(values @ members)


def told_tie(tie: str | tuple[int, ...] | None) -> str:
    """What is tied, in a message."""
    return f"<{max(tie) + 1} groups>" if isinstance(tie, tuple) else repr(tie)
