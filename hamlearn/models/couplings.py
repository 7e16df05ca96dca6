"""Couplings: pair interactions with unknown strengths, the parametric family of the house.

On sites it is a :class:`~hamlearn.models.bound_couplings.BoundCouplings`, where θ, the free strengths, has its meaning.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np

from hamlearn import memory
from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.bound_couplings import BoundCouplings, told_tie
from hamlearn.models.conserved_couplings import ConservedCouplings, require_determined
from hamlearn.models.mixed_couplings import MixedCouplings
from hamlearn.models.priors import DEFAULT, Distribution, Normal, Prior, PriorName, as_prior, prior_from_dict, prior_to_dict
from hamlearn.models.traits import Model, Traits
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.potts import as_scores, site_scores

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
    scores : sequence of float (q,), or one for every site, optional
        Of ordered states, in their order; their mean is taken off. −1 to 1 in equal steps by default.
    flip : distribution of NumPyro, or a sequence of one for every site, optional
        Prior of the rate at which sites are misread, as any other value alike, where it is not known, such as
        ``numpyro.distributions.Beta(2, 60)``: one rate of all sites or, of a list of priors, one of every site. It is learned with the
        couplings, ``post["posterior"]["flip"]``. A rate that is known is declared with the data, ``hl.microstates(..., flip=0.02)``.

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
    scores: tuple[Any, ...]
    flip: tuple[Distribution, ...]
    sites: tuple[str, ...] = field(default=(), init=False)  # what the data call them (:meth:`on`), no setting of a user
    kind: ClassVar[str] = "couplings"
    traits: ClassVar[Traits] = Traits(
        "couplings",
        "couplings",
        bonds=True,
        mixed=True,
        missing=True,
        conserved=True,
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
        scores: Sequence[Any] = (),
        flip: Any = None,
    ) -> None:
        object.__setattr__(self, "graph", None if graph is None else lattices.as_lattice(graph))
        object.__setattr__(self, "tie", _tie(tie, get_args(Tie), "tie"))
        object.__setattr__(self, "fields", None if fields is None else _tie(fields, get_args(FieldTie), "fields (or None)"))
        object.__setattr__(self, "prior", as_prior(prior))
        object.__setattr__(self, "field_prior", DEFAULT if field_prior is None else field_prior)
        object.__setattr__(self, "interaction", choice(interaction, get_args(Interaction), "interaction"))
        object.__setattr__(self, "scores", as_scores(scores))
        object.__setattr__(self, "flip", _rate_priors(flip))
        if self.scores and interaction != "ordinal":
            raise HamlearnError(f"scores= are of ordered states, interaction='ordinal'; interaction={interaction!r} has none.")
        if not isinstance(self.field_prior, Normal):
            raise HamlearnError(f"field_prior must be a Normal prior; got {self.field_prior!r}.")

    def __repr__(self) -> str:
        graph = "all pairs" if self.graph is None else f"{self.graph.kind} {self.graph.shape}"
        rates = self.flip[0] if len(set(map(repr, self.flip))) == 1 else list(self.flip)
        flip = f", flip={rates!r}{' at every site' if len(self.flip) > 1 else ''}" if self.flip else ""
        return f"Couplings({graph}, tie={told_tie(self.tie)}, fields={told_tie(self.fields)}, prior={self.prior!r}{flip})"

    @property
    def normal_prior(self) -> bool:
        """Whether the prior is normal."""
        return isinstance(self.prior, Normal)

    @property
    def codes_are_angles(self) -> bool:
        """Of a clock."""
        return self.interaction == "clock"

    @property
    def ordered(self) -> bool:
        """Of ordinal states."""
        return self.interaction == "ordinal"

    @property
    def states_apart(self) -> bool:
        """Of tables that nothing ties."""
        return self.interaction in ("auto", "general") and self.tie == "bond" and self.fields == "site"

    @property
    def of_true_values(self) -> Couplings:
        """The same model where values are known."""
        return self.changed(flip=())

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
            site_scores(space, n_sites, self.scores)  # as many as there are states
        if not space.uniform and interaction not in ("ordinal", "general"):
            told = shown(space.there(n_sites).sum(1).tolist())
            raise HamlearnError(
                f"interaction={interaction!r} is of sites that all have the same states; these have {told}: "
                "interaction='ordinal' (where states have an order) and 'general' do without, or declare q= when the data are read."
            )
        if interaction == "general" and self.tie == "bond" and np.any(pair_counts(lattice) > 1):
            raise HamlearnError("parallel bonds (a periodic axis of extent 2) are not identified one by one: use tie='uniform'.")
        for given, count, what in (self.tie, lattice.n_bonds, "tie"), (self.fields, lattice.n_sites, "fields"):
            if isinstance(given, tuple) and len(given) != count:
                raise HamlearnError(
                    f"{what} says of which group {len(given)} {'bonds' if what == 'tie' else 'sites'} are; there are {count}, "
                    f"in the order of {'the bonds of the graph' if what == 'tie' else 'sites (C order)'}."
                )
        kind = BoundCouplings if space.uniform else MixedCouplings
        named = lattice.called(self.sites) if self.sites else lattice
        if space.constraint:
            return require_determined(ConservedCouplings(self, named, space, interaction))
        return kind(self, named, space, interaction)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that :meth:`Couplings.to_dict` described."""
        graph = description["graph"]
        field_prior = prior_from_dict(description["field_prior"])
        assert isinstance(field_prior, Normal)
        rates = description.get("flip", ())
        rates = [rates] if isinstance(rates, Mapping) else rates  # versions that knew one rate of all sites wrote its prior bare
        return cls(
            None if graph is None else lattices.from_dict(graph),
            description["tie"],
            description["fields"],
            prior_from_dict(description["prior"]),
            field_prior=field_prior,
            interaction=description["interaction"],
            scores=description.get("scores", ()),
            flip=list(map(prior_from_dict, rates)),
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
            **({"flip": list(map(prior_to_dict, self.flip))} if self.flip else {}),
        }


def _rate_priors(given: Any) -> tuple[Distribution, ...]:
    """The priors of rates of readout errors: none, one of a rate of all sites, or one for every site."""
    return () if given is None else tuple(map(_rate_prior, given)) if isinstance(given, Sequence) else (_rate_prior(given),)


def _rate_prior(given: Any) -> Distribution:
    """The prior of a rate of readout errors: a distribution that is written down, so that its density can be asked for."""
    found = as_prior(given) if not isinstance(given, str | float | int) else None
    if not isinstance(found, Distribution) or not (found.distribution is None or hasattr(found.distribution, "log_prob")):
        raise HamlearnError(
            "flip= of a model is the prior of a rate that is not known, a distribution of NumPyro on (0, 0.5), such as "
            f"numpyro.distributions.Beta(2, 60), or a list of one for every site; got {shown(given)}. A known rate is declared with "
            "the data, hl.microstates(..., flip=0.02)."
        )
    return found


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


def pair_counts(lattice: Lattice) -> np.ndarray:
    """How many bonds join each pair of sites that any bond joins."""
    low, high = np.sort(lattice.bonds, 1).T.astype(np.int64)
    return np.unique(low * lattice.n_sites + high, return_counts=True)[1]
