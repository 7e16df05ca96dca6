"""What a belief is: a family of systems with unknown parameters and their priors; the base of a user's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError, raised
from hamlearn.models.priors import Normal, as_prior, prior_from_dict, prior_to_dict
from hamlearn.models.traits import Model, Traits
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, System, described
from hamlearn.systems.lattice import Lattice


@dataclass(frozen=True)
class Block:
    """Parameters with a prior in common: neighbours in θ, and one sample site of a NumPyro program.

    Attributes
    ----------
    name : str
        Of the site.
    start, stop : int
        Where they are in θ.
    prior : prior of :mod:`hamlearn.models`
    unsaid : bool
        Whether the prior is the default, nobody having said one.
    strengths : bool
        Whether a model's ``prior`` speaks of them (fields of couplings have one of their own).
    """

    name: str
    start: int
    stop: int
    prior: Any
    strengths: bool = True
    unsaid: bool = False

    @property
    def where(self) -> slice:
        """Their places in θ."""
        return slice(self.start, self.stop)

    @property
    def size(self) -> int:
        """How many there are."""
        return self.stop - self.start

    @property
    def scale(self) -> float:
        """Standard deviation of a normal prior, infinite for others: what widths of posteriors are compared with."""
        return float(self.prior.scale) if isinstance(self.prior, Normal) else np.inf


@dataclass(frozen=True, eq=False, repr=False)
class Family(Model):
    """A family of systems of your own: say which system parameters mean, and :func:`hamlearn.learn` learns it.

    Derive a frozen dataclass with a method ``system(lattice, ...)`` whose other arguments are the unknown parameters. Nothing is
    registered: likelihood, gradients, error bars, draws, predictions and reports follow from the system's ``energy``, which JAX
    differentiates, so it is written for any array library (as that of every :class:`~hamlearn.systems.ParametricSystem`). Fields
    of the dataclass are settings; they are written to files with the kind, and a file is read back where the class is defined.

    Parameters
    ----------
    prior : None, prior or mapping, by keyword
        Of every parameter, or by parameter name: a prior of :mod:`hamlearn.models` or any distribution of NumPyro. None is
        N(0, 10²), almost flat wherever parameters are of order one.

    Attributes
    ----------
    kind : str
        What the family is called in files: ``class Mine(Family, kind="mine")``, by default the name of the class.

    Examples
    --------
    >>> import hamlearn as hl
    >>> from hamlearn.systems import SPINS, Lattice, ParametricSystem, Space
    >>> from hamlearn.systems.base import as_reals, as_site_axes
    >>> @dataclass(frozen=True, eq=False)
    ... class Mean(ParametricSystem, kind="mean with field"):  # H = −J (Σσ)²/2N − h Σσ
    ...     lattice: Lattice
    ...     J: float
    ...     h: float
    ...     space: Space = SPINS
    ...
    ...     def energy(self, states):
    ...         xp, states = as_reals(states)
    ...         total = xp.sum(as_site_axes(states, self.lattice.shape), axis=-1)
    ...         return -self.J * total**2 / (2 * self.lattice.n_sites) - self.h * total
    >>> @dataclass(frozen=True, eq=False, repr=False)
    ... class MeanField(hl.models.Family, kind="mean_field"):
    ...     def system(self, lattice, J, h):
    ...         return Mean(lattice, J, h)
    >>> data = hl.simulate(Mean(hl.systems.lattice.complete(6), 0.5, 0.2), beta=1.0, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, MeanField(), check=False, seed=0)
    >>> post["posterior"]["h"].dims
    ('chain', 'draw')
    """

    prior: Any = field(default=None, kw_only=True)
    traits: ClassVar[Traits] = Traits("own", "a family of systems", opaque=True, zero="they are those of its systems.")

    def __init_subclass__(cls, kind: str = "", **options: Any) -> None:
        cls.kind = kind or cls.__name__
        if not issubclass(Model.kinds.get(cls.kind, Family), Family):
            raise HamlearnError(f'{cls.__name__}: {cls.kind!r} is the kind of one of hamlearn\'s own models; give another, kind="...".')
        super().__init_subclass__(**options)

    def __post_init__(self) -> None:
        given = self.prior
        found = {name: as_prior(one) for name, one in given.items()} if isinstance(given, Mapping) else given
        if found is not None and not isinstance(found, dict):
            found = as_prior(found)
        object.__setattr__(self, "prior", found)

    def __repr__(self) -> str:
        given = [f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.name != "prior" or self.prior is not None]
        return f"{type(self).__name__}({', '.join(given)})"

    def system(self, lattice: Lattice, *parameters: Any, **named: Any) -> Any:
        """The system that parameters mean on a lattice; every argument after `lattice` is an unknown of that name.

        Parameters are numbers, or arrays of :meth:`shapes`; inside a likelihood they are JAX's, so they are not asked for their values.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method system(lattice, ...) whose other arguments are its parameters.")

    def names(self) -> tuple[str, ...]:
        """What the parameters are called: the arguments of :meth:`system` after the lattice, unless a setting leaves some out."""
        return tuple(inspect.signature(self.system).parameters)[1:]

    def shapes(self, lattice: Lattice) -> Mapping[str, tuple[int, ...]]:
        """The shape of every parameter that is an array, by name, such as ``{"h": (lattice.n_sites,)}``; the others are numbers."""
        return {}

    def lattice(self, shape: tuple[int, ...]) -> Lattice:
        """The lattice of data whose site axes have this shape: periodic and hypercubic, unless you say otherwise."""
        return lattices.hypercubic(shape)

    def start(self, lattice: Lattice) -> Mapping[str, Any]:
        """Where the search for the optimum starts, by name; what is not named starts at zero."""
        return {}

    def remarks(self, drawn: Mapping[str, np.ndarray]) -> tuple[tuple[str, str], ...]:
        """What the verdict should warn of, given draws of every parameter ``(chain, draw, ...)``: sentences, each with advice."""
        return ()

    def bind(self, space: Space, shape: tuple[int, ...]) -> BoundFamily:
        """The family on sites of `shape` with values in `space`: what the likelihoods work with."""
        return BoundFamily(self, space, self.lattice(tuple(int(extent) for extent in shape)))

    @property
    def normal_prior(self) -> bool:
        """Whether the prior is normal."""
        return isinstance(self.prior, Normal)

    def at(self, beta: float) -> Self:
        """The same family with priors that are in units of kT in units of energy at inverse temperature `beta`."""
        moved = lambda prior: prior.at(beta) if isinstance(prior, Normal) else prior
        prior = {name: moved(one) for name, one in self.prior.items()} if isinstance(self.prior, dict) else moved(self.prior)
        return replace(self, prior=prior)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description: the kind, the fields, the priors, and what the class is called, for whoever must find it."""
        own = {one.name: described(getattr(self, one.name)) for one in fields(self) if one.name != "prior"}
        each = isinstance(self.prior, dict)
        prior = {name: prior_to_dict(one) for name, one in self.prior.items()} if each else None
        alike = None if each or self.prior is None else prior_to_dict(self.prior)
        where = f"{type(self).__module__}.{type(self).__qualname__}"
        return {"kind": self.kind, "class": where, **own, "prior": alike, **({"priors": prior} if each else {})}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The family that :meth:`to_dict` described."""
        given = {name: value for name, value in description.items() if name not in ("kind", "class", "prior", "priors")}
        prior = None if description.get("prior") is None else prior_from_dict(description["prior"])
        if "priors" in description:
            prior = {name: prior_from_dict(one) for name, one in description["priors"].items()}  # type: ignore[assignment]
        for name, value in given.items():
            if isinstance(value, dict) and {"shape", "bonds"} <= set(value):
                given[name] = lattices.from_dict(value)
        return cls(**given, prior=prior)


@dataclass(frozen=True, eq=False)
class BoundFamily:
    """A :class:`Family` on given sites: θ ↔ named parameters, and the system they mean.

    θ holds the parameters one after the other in the order of ``system``'s arguments, shape ``(n_params,)``.
    """

    model: Family
    space: Space
    lattice: Lattice

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter, by name."""
        names = list(self.model.names())
        given = dict(self.model.shapes(self.lattice))
        what = type(self.model).__name__
        if not names:
            raise HamlearnError(f"{what}.system(lattice, ...) has no parameters after the lattice: there is nothing to learn.")
        known = given if not isinstance(self.model.prior, dict) else {**given, **self.model.prior}
        if unknown := [name for name in known if name not in names]:
            raise HamlearnError(f"{what} has no parameter {unknown[0]!r}; system(lattice, {', '.join(names)}) says what there is.")
        return {name: tuple(int(extent) for extent in given.get(name, ())) for name in names}

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The parameters with their priors."""
        prior, stops = self.model.prior, np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes.values())])
        of = lambda name: prior.get(name) if isinstance(prior, dict) else prior
        return tuple(
            Block(name, int(start), int(stop), of(name) or Normal(), unsaid=of(name) is None)
            for name, start, stop in zip(self.shapes, stops[:-1], stops[1:], strict=True)
        )

    @property
    def n_params(self) -> int:
        """Length of θ."""
        return self.blocks[-1].stop

    @cached_property
    def parameter_names(self) -> list[str]:
        """A name for every element of θ."""
        names = []
        for name, shape in self.shapes.items():
            names += [name] if not shape else [f"{name}[{','.join(map(str, index))}]" for index in np.ndindex(shape)]
        return names

    @cached_property
    def start(self) -> np.ndarray:
        """θ where the search for the optimum starts."""
        found, theta = dict(self.model.start(self.lattice)), np.zeros(self.n_params)
        for block in self.blocks:
            theta[block.where] = np.broadcast_to(np.asarray(found.get(block.name, 0.0), float), self.shapes[block.name]).reshape(-1)
        return theta

    def values(self, theta: Any) -> dict[str, Any]:
        """The parameters of θ ``(..., n_params)`` by name, each ``(..., *shape)``; any array library."""
        lead = theta.shape[:-1]
        return {block.name: theta[..., block.where].reshape((*lead, *self.shapes[block.name])) for block in self.blocks}

    def from_values(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Inverse of :meth:`values`."""
        parts = []
        for name, shape in self.shapes.items():
            value = np.asarray(values[name], float)
            lead = value.shape[: value.ndim - len(shape)]
            parts.append(value.reshape((*lead, int(np.prod(shape)))))
        return np.concatenate(parts, -1)

    def traced(self, theta: Any) -> Any:
        """The system of a θ that JAX traces, not checked."""
        return self.model.system(self.lattice, **self.values(theta))

    def system(self, theta: np.ndarray, shape: tuple[int, ...] | None = None) -> System:
        """The system with parameters θ; on a lattice of another `shape` where their number does not depend on it."""
        lattice = self.lattice if shape is None else self.model.lattice(tuple(shape))
        if shape is not None and dict(self.model.shapes(lattice)) != dict(self.model.shapes(self.lattice)):
            raise HamlearnError(f"the parameters of {self.model!r} belong to the lattice they were learned on; leave out shape.")
        values = {name: float(one) if np.ndim(one) == 0 else one for name, one in self.values(np.asarray(theta, float)).items()}
        try:
            system: System = self.model.system(lattice, **values)
        except HamlearnError:
            raise
        except Exception as error:  # a user's own code may raise anything
            raise HamlearnError(f"{type(self.model).__name__}.system(lattice, ...) raised {raised(error)}.") from error
        if not isinstance(system, System):
            raise HamlearnError(f"{self.model!r}.system(lattice, ...) must return a hl.systems.System; got {shown(system)}.")
        if system.space != self.space or tuple(system.lattice.shape) != tuple(lattice.shape):
            raise HamlearnError(
                f"{self.model!r} makes systems of {shown(system.space)} on {tuple(system.lattice.shape)}; the data are "
                f"{self.space.name} on {tuple(lattice.shape)}: give the lattice on to the system, and learn from data of its space."
            )
        return system

    def without_field(self, frozen: np.ndarray) -> np.ndarray:
        """Those of the `frozen` sites whose field has no finite optimum: here none is known to be one."""
        return frozen[:0]

    def heaviest_site(self, there: np.ndarray | None = None) -> float:
        """Parameters that one site has to bear: here all sites share all."""
        return self.n_params / self.lattice.n_sites


__all__ = ["Block", "BoundFamily", "Family"]
