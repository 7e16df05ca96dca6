"""Couplings: pair interactions with unknown strengths, the parametric family of the house.

θ collects the free strengths. Every bond b has tables T_b = Σ_m J_bm B_m over a fixed basis of tables, every site
fields f_i = Σ_l h_il F_l; tied bonds share their J. The family is linear in θ, which is all the likelihoods need.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np

from hamlearn import memory
from hamlearn.arguments import require_number, sequence_of, shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.base import Block
from hamlearn.models.priors import DEFAULT, Normal, Prior, PriorName, as_prior, prior_from_dict, prior_to_dict
from hamlearn.models.traits import Model, Traits
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.potts import QState, clock_table, ordinal_scores
from hamlearn.systems.vectors import VectorSpins
from hamlearn.systems.xy import XY

EXCLUDED = 1e4  # energy of a state that was never seen at its site, in units of the largest coupling or field (or of one)
Tie = Literal["bond", "uniform", "distance"]
FieldTie = Literal["site", "uniform"]
Interaction = Literal["auto", "ising", "clock", "potts", "ordinal", "general", "xy", "vectors"]


@dataclass(frozen=True, eq=False)
class Couplings(Model):
    """Unknown pair couplings (and fields) on a known or unknown graph.

    Parameters
    ----------
    graph : Lattice, array of int (n_bonds, 2), or None
        Which pairs may interact; None is all pairs, in the order of ``np.triu_indices(n_sites, 1)``. Where the data name their sites,
        bonds may be pairs of names.
    tie : {"bond", "uniform", "distance"} or array of int (n_bonds,)
        One strength per bond, one for all, one per distance between the ends, or one per group: which group every bond is of, in the
        order of ``graph.bonds``, numbered from 0 without gaps.
    fields : {"site", "uniform", None} or array of int (n_sites,)
        One field per site, one for all, none, or one per group of sites.
    prior : None, str or prior
        Prior of the couplings: None is βJ ~ N(0, 1), weakly informative at the temperature of the data and wider where
        these show larger strengths; ``"normal"``, ``"laplace"``, ``"horseshoe"`` and
        ``"spike_slab"`` (the last two when the graph is unknown), or a prior of :mod:`hamlearn.models` with its
        settings (``Normal(10)`` is almost flat).
    field_prior : Normal
        Prior of the fields; by default βh ~ N(0, 1), in the same way.
    interaction : {"auto", "ising", "clock", "potts", "ordinal", "general", "xy", "vectors"}
        What a strength multiplies: σσ' for spins, cos of the angle between states, δ, the product of the scores of ordered states,
        each element of a table in the zero-sum gauge, or cos(φ − φ') of continuous angles (no fields), or the product s·s' of unit
        vectors (fields are vectors). ``"auto"`` is "ising" for spins, "general" for q-state data, "xy" for angles and "vectors" for
        unit vectors.
    scores : sequence of float (q,), optional
        Of ordered states, in their order; their mean is taken off. −1 to 1 in equal steps by default.

    Raises
    ------
    HamlearnError
        If a word is not known, bonds are out of range, repeated or loops, or groups are no whole numbers, have gaps or another length.

    Examples
    --------
    >>> import hamlearn as hl
    >>> hl.models.Couplings(hl.systems.lattice.hypercubic((4, 4)), tie="uniform", fields=None)
    Couplings(hypercubic (4, 4), tie='uniform', fields=None, prior=Normal(scale=1.0, unit='kT', widens=True))
    >>> hl.models.Couplings([[0, 1], [1, 2], [2, 3]], tie=[0, 1, 0], fields=None).bind(hl.systems.SPINS, (4,)).parameter_names
    ['J[group 0]', 'J[group 1]']
    """

    graph: Lattice | None
    tie: Tie | tuple[int, ...]
    fields: FieldTie | tuple[int, ...] | None
    prior: Prior
    field_prior: Normal
    interaction: Interaction
    scores: tuple[float, ...]
    sites: tuple[str, ...] = field(default=(), init=False)  # what the data call them (:meth:`on`), no setting of a user
    kind: ClassVar[str] = "couplings"
    traits: ClassVar[Traits] = Traits(
        "couplings",
        "couplings",
        bonds=True,
        missing=True,
        compared="refit",
        zero="they are those of the pair terms and fields, without one.",
    )

    def __init__(
        self,
        graph: Any = None,
        tie: Tie | Sequence[int] | np.ndarray = "bond",
        fields: FieldTie | Sequence[int] | np.ndarray | None = "site",
        prior: PriorName | Prior | None = None,
        *,
        field_prior: Normal | None = None,
        interaction: Interaction = "auto",
        scores: Sequence[float] = (),
    ) -> None:
        object.__setattr__(self, "graph", None if graph is None else lattices.as_lattice(graph))
        object.__setattr__(self, "tie", _tie(tie, get_args(Tie), "tie"))
        object.__setattr__(self, "fields", None if fields is None else _tie(fields, get_args(FieldTie), "fields (or None)"))
        object.__setattr__(self, "prior", as_prior(prior))
        object.__setattr__(self, "field_prior", DEFAULT if field_prior is None else field_prior)
        object.__setattr__(self, "interaction", choice(interaction, get_args(Interaction), "interaction"))
        object.__setattr__(self, "scores", tuple(require_number(one, "a score") for one in sequence_of(scores, "scores")))
        if self.scores and interaction != "ordinal":
            raise HamlearnError(f"scores= are of ordered states, interaction='ordinal'; interaction={interaction!r} has none.")
        if not isinstance(self.field_prior, Normal):
            raise HamlearnError(f"field_prior must be a Normal prior; got {self.field_prior!r}.")

    def __repr__(self) -> str:
        graph = "all pairs" if self.graph is None else f"{self.graph.kind} {self.graph.shape}"
        return f"Couplings({graph}, tie={_told(self.tie)}, fields={_told(self.fields)}, prior={self.prior!r})"

    @property
    def normal_prior(self) -> bool:
        """Whether the prior is normal."""
        return isinstance(self.prior, Normal)

    @property
    def codes_are_angles(self) -> bool:
        """Of a clock."""
        return self.interaction == "clock"

    def changed(self, **settings: Any) -> Couplings:
        """The same model with other settings, which are taken as they are."""
        made = copy.copy(self)
        for name, value in settings.items():
            object.__setattr__(made, name, value)
        return made

    def at(self, beta: float) -> Couplings:
        """The same model with its priors in units of energy at inverse temperature `beta`, as data are learned with."""
        prior = self.prior.at(beta) if isinstance(self.prior, Normal) else self.prior
        return self.changed(prior=prior, field_prior=self.field_prior.at(beta))

    def on(self, names: Sequence[str]) -> Couplings:
        """The same model on sites that are called so: bonds between names are those of these sites."""
        graph, names = self.graph, tuple(names)
        if graph is None or not graph.names or graph.names == names:
            return self.changed(sites=names)
        if not names:
            raise HamlearnError(
                f"the graph calls its sites by names ({', '.join(graph.names[:4])}, ...), the data number theirs: name them, "
                "hl.microstates(..., names=[...]), or give bonds as pairs of numbers."
            )
        place = {name: site for site, name in enumerate(names)}
        if strange := [name for name in graph.names if name not in place]:
            raise HamlearnError(
                f"the graph has the site {shown(strange[0])}, which the data do not have; theirs are {', '.join(names[:8])}."
            )
        if graph.kind != "graph":
            raise HamlearnError("the sites of this lattice have other names, or another order, than those of the data: select theirs.")
        bonds = np.array([place[name] for name in graph.names])[graph.bonds]
        return self.changed(sites=names, graph=Lattice((len(names),), bonds, names=names))

    def bind(self, space: Space, shape: tuple[int, ...]) -> BoundCouplings:
        """The family on sites of `shape` with values in `space`: what the likelihoods work with."""
        n_sites = int(np.prod(shape))
        if self.graph is None:
            if self.tie == "bond":  # each pair has its own: searches hold some sixty numbers of every parameter
                memory.require(
                    256 * n_sites**2,
                    f"couplings between all pairs of {n_sites} sites",
                    "Give the pairs that may interact, hl.models.Couplings(bonds), or choose sites, data.isel(site=...).",
                )
            full = lattices.complete(n_sites)
            lattice = Lattice(shape, full.bonds, "complete")
        elif self.graph.n_sites == n_sites:
            lattice = self.graph
        elif self.graph.kind == "graph" and self.graph.n_sites < n_sites:
            lattice = Lattice((n_sites,), self.graph.bonds)  # a bond list need not reach the last site
        else:
            raise HamlearnError(
                f"the model's graph has {self.graph.n_sites} sites {self.graph.shape}, the data {n_sites} {tuple(shape)}; "
                "give both the same sites."
            )
        interaction: str = self.interaction
        if interaction == "auto":
            interaction = space.interaction
        if not space.interaction:
            raise HamlearnError("couplings describe spins, states and angles; for real fields use hl.models.PolynomialAction.")
        if interaction != space.interaction and {interaction, space.interaction} & {"xy", "vectors"}:
            raise HamlearnError(
                f"interaction={interaction!r} does not fit data in space {space.name!r}: angles have the interaction 'xy', "
                "vectors 'vectors'."
            )
        if interaction == "xy" and self.fields is not None:
            raise HamlearnError("couplings of angles are learned without fields: give fields=None.")
        if (interaction == "ising") != (space.interaction == "ising"):
            raise HamlearnError(
                f"interaction={interaction!r} does not fit data in space {space.name!r}: "
                "'ising' is for spins; 'clock', 'potts', 'ordinal' and 'general' are for states."
            )
        if interaction == "ordinal":
            ordinal_scores(space.q, self.scores)  # as many as there are states
        if interaction == "general" and self.tie == "bond" and np.any(pair_counts(lattice) > 1):
            raise HamlearnError("parallel bonds (a periodic axis of extent 2) are not identified one by one: use tie='uniform'.")
        for given, count, what in (self.tie, lattice.n_bonds, "tie"), (self.fields, lattice.n_sites, "fields"):
            if isinstance(given, tuple) and len(given) != count:
                raise HamlearnError(
                    f"{what} says of which group {len(given)} {'bonds' if what == 'tie' else 'sites'} are; there are {count}, "
                    f"in the order of {'the bonds of the graph' if what == 'tie' else 'sites (C order)'}."
                )
        return BoundCouplings(self, lattice.called(self.sites) if self.sites else lattice, space, interaction)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that :meth:`Couplings.to_dict` described."""
        graph = description["graph"]
        field_prior = prior_from_dict(description["field_prior"])
        assert isinstance(field_prior, Normal)
        return cls(
            None if graph is None else lattices.from_dict(graph),
            description["tie"],
            description["fields"],
            prior_from_dict(description["prior"]),
            field_prior=field_prior,
            interaction=description["interaction"],
            scores=description.get("scores", ()),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "kind": self.kind,
            "graph": None if self.graph is None else self.graph.to_dict(),
            "tie": self.tie if isinstance(self.tie, str) else list(self.tie),
            "fields": list(self.fields) if isinstance(self.fields, tuple) else self.fields,
            "prior": prior_to_dict(self.prior),
            "field_prior": prior_to_dict(self.field_prior),
            "interaction": self.interaction,
            **({"scores": list(self.scores)} if self.scores else {}),
        }


def _tie(given: Any, words: tuple[str, ...], what: str) -> Any:
    """A word, or the group of every bond or site."""
    if isinstance(given, str):
        return choice(given, words, what)
    groups = np.asarray(given)
    if groups.ndim != 1 or not groups.size or not np.issubdtype(groups.dtype, np.integer):
        raise HamlearnError(
            f"{what} is one of {', '.join(map(repr, words))}, or a row of whole numbers, the group of every one; got {shown(given)}."
        )
    found = np.unique(groups)
    if found[0] != 0 or found[-1] != len(found) - 1:
        gap = int(np.flatnonzero(found != np.arange(len(found)))[0])  # the numbers may be huge: nothing is as long as the largest
        told = f"the smallest is {found[0]}" if found[0] < 0 else f"no one is of group {gap}"
        raise HamlearnError(
            f"groups of {what} are numbered from 0 without gaps; {told}. np.unique(groups, return_inverse=True)[1] renumbers."
        )
    return tuple(groups.tolist())


def _told(tie: str | tuple[int, ...] | None) -> str:
    return f"<{max(tie) + 1} groups>" if isinstance(tie, tuple) else repr(tie)


def zero_sum_basis(q: int) -> np.ndarray:
    """Orthonormal vectors that sum to zero, shape ``(q − 1, q)`` (Helmert)."""
    basis = np.zeros((q - 1, q))
    for row in range(1, q):
        basis[row - 1, :row], basis[row - 1, row] = 1.0, -row
        basis[row - 1] /= np.sqrt(row * (row + 1))
    return basis


@dataclass(frozen=True, eq=False)
class BoundCouplings:
    """:class:`Couplings` on given sites: θ ↔ couplings and fields, and the basis tables θ multiplies.

    θ = (J by group and basis table, h by group and basis vector), shape ``(n_params,)``. States that were `never` seen at a site, as
    (site, state), have no energy that data could tell: systems made of θ exclude them.
    """

    model: Couplings
    lattice: Lattice
    space: Space
    interaction: str
    never: tuple[tuple[int, int], ...] = ()
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
            return np.multiply.outer(self.scores, self.scores)[None]
        vectors = zero_sum_basis(q)
        return np.einsum("ma,nb->mnab", vectors, vectors).reshape(-1, q, q)

    @property
    def scores(self) -> np.ndarray:
        """Of ordered states, shape ``(q,)``."""
        return ordinal_scores(self.space.q, self.model.scores)

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
    def n_coupling_params(self) -> int:
        """Number of free coupling strengths."""
        return (int(self.bond_group.max()) + 1 if len(self.bond_group) else 0) * len(self.pair_basis)

    @property
    def n_field_params(self) -> int:
        """Number of free fields."""
        return (int(self.field_group.max()) + 1 if len(self.field_group) else 0) * len(self.field_basis)

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
        sizes = couplings.reshape(-1, len(self.pair_basis)).sum(1), np.full(n_sites, len(self.field_basis))
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
        m, size = len(self.pair_basis), len(self.field_basis)
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
            J, h = self.tables(theta)
            return self._without_never(J, h) if self.never else (J, h)
        couplings, fields = self.coefficients(theta)
        return couplings[..., 0], fields[..., 0] if self.interaction in ("ising", "xy") else (fields[..., None] * self.field_basis).sum(-2)

    def _without_never(self, J: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same energies of all states that occur, up to a constant, in the zero-sum gauge of these states alone.

        What the tables say of the others is the prior's, not the data's, and in the gauge of all states it would move every entry.
        """
        there = np.ones((self.lattice.n_sites, self.space.q))
        there[tuple(np.array(self.never).T)] = 0.0
        share = there / there.sum(1, keepdims=True)
        first, second = self.lattice.bonds.T
        rows = np.einsum("...bac,bc->...ba", J, share[second])
        columns = np.einsum("...bac,ba->...bc", J, share[first])
        mean = np.einsum("...ba,ba->...b", rows, share[first])
        J = (J - rows[..., :, None] - columns[..., None, :] + mean[..., None, None]) * there[first][:, :, None] * there[second][:, None, :]
        moved = np.moveaxis(np.array(h, float), -2, 0)  # site first, so that bonds may be added by their ends
        np.add.at(moved, first, np.moveaxis(rows, -2, 0))
        np.add.at(moved, second, np.moveaxis(columns, -2, 0))
        h = np.moveaxis(moved, 0, -2)
        return J, (h - (h * share).sum(-1, keepdims=True)) * there

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
        if self.never:
            h = np.array(h, float)
            h[(..., *np.array(self.never).T)] = -EXCLUDED * max(1.0, np.abs(J).max(initial=0.0), np.abs(h).max(initial=0.0))
        return QState(target, self.space.q, J, h, interaction=self.interaction, scores=self.model.scores, name="Learned")

    def _retied(self, theta: np.ndarray, lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
        if self.model.tie != "uniform" or self.model.fields == "site":
            raise HamlearnError(
                "another lattice size needs tied parameters: learn with Couplings(graph, tie='uniform', fields='uniform' or None). "
                f"This posterior has tie={_told(self.model.tie)}, fields={_told(self.model.fields)}."
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
        names, word, between = [], self.lattice.word, " – " if self.lattice.names else ","
        for label, given, group, ends, size in (
            ("J", self.model.tie, self.bond_group, self.lattice.bonds, len(self.pair_basis)),
            ("h", self.model.fields, self.field_group, None, len(self.field_basis)),
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
                names += [f"{label}[{place}]" + (f"({part})" if size > 1 else "") for part in range(size)]
        return names


def pair_counts(lattice: Lattice) -> np.ndarray:
    """How many bonds join each pair of sites that any bond joins."""
    low, high = np.sort(lattice.bonds, 1).T.astype(np.int64)
    return np.unique(low * lattice.n_sites + high, return_counts=True)[1]
