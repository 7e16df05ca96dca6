"""What the rest of the library may ask of a kind of model, in place of its name; declared by the model's class, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

from hamlearn import facts
from hamlearn.errors import HamlearnError
from hamlearn.systems.base import described


@dataclass(frozen=True)
class Traits:
    """Capabilities of a kind of model.

    Attributes
    ----------
    family : str
        The module of :mod:`hamlearn.infer.families` that learns it and reads its posteriors.
    title : str
        What was learned, in the words of a report.
    density : bool
        Its systems are normalised densities that draw for themselves; few of them exist, and none is drawn twice.
    bonds : bool
        Its parameters are strengths of bonds and fields of sites; pages show them as such, and their posterior mean is a system.
    spacing : bool
        Its data have a lattice spacing, which another temperature may leave as it is.
    thermal : bool
        It knows how its action depends on temperature, and what it was shown: another temperature asks it alone.
    mixed : bool
        Its sites may have numbers of states of their own.
    missing : bool
        It is learned from microstates of which cells are missing or misread.
    conserved : bool
        It is learned from microstates of a fixed sum by conditionals of exchanges.
    streams : bool
        It is learned piece by piece from data that exceed memory.
    compared : {"refit", "simulated", "held out", "by group", "not"}
        How it is compared with data: refitted to half of them and compared by its own conditionals or by simulation; by its draws
        with rows that training held out; each of its groups as its own kind is.
    tested : bool
        Score tests are asked of its mean energy.
    opaque : bool
        Its systems are known by their energies alone, so that every proposal of a sampler evaluates one.
    counted : bool
        Its learning is a training, whose cost its module counts before it starts.
    draw : str
        What one draw of a posterior is called.
    groups : tuple of str
        Groups of a posterior that reading it needs, besides ``posterior``.
    quantities : (str, str) or None
        What the numbers are that it calls its parameters, where they are none: a heading, and what one is called.
    closed : str
        What it lacks of a program whose sites are its parameters (or the weights of its density), as the predicate of a sentence; empty
        where it has one.
    zero : str
        What fixes the constant in its energies, as the end of a sentence.
    """

    family: str
    title: str
    density: bool = False
    bonds: bool = False
    spacing: bool = False
    thermal: bool = False
    mixed: bool = False
    missing: bool = False
    conserved: bool = False
    streams: bool = False
    compared: Literal["refit", "simulated", "held out", "by group", "not"] = "simulated"
    tested: bool = False
    opaque: bool = False
    counted: bool = False
    draw: str = "draw"
    groups: tuple[str, ...] = ("point", "observed_data")
    quantities: tuple[str, str] | None = None
    closed: str = ""
    zero: str = "the one that the network came out with is kept."


ENERGIES = "Energies of held-out states", "energy of a state that was held out, minus their mean"
TRAINED = "has weights of trained networks, an ensemble whose scatter is its posterior, and no parameters with priors"
LOSSES = "Loss of every network", "loss, nats per site"


class Model:
    """What models derive from: known by its kind to :func:`hamlearn.models.from_dict`, and by its traits to everything else."""

    kind: ClassVar[str] = ""
    traits: ClassVar[Traits]
    kinds: ClassVar[dict[str, type[Model]]] = {}
    programmed: Any = None  # the system that it scales, where it knows one
    charge: int | None = None  # the sum of all spins that its states have, where they have one

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in cls.__dict__ and cls.kind:
            Model.kinds[cls.kind] = cls

    def _repr_html_(self) -> str:
        return facts.table(type(self).__name__, {"learns": self.traits.title, **facts.of_fields(self)})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description: the kind, and the fields of the dataclass that a model is."""
        return {"kind": self.kind, **{one.name: described(getattr(self, one.name)) for one in fields(self)}}  # type: ignore[arg-type]

    def sets(self, data: Any) -> Any:
        """Data as they were given, as those that :func:`hamlearn.data.flattened` knows: here as they are.

        Raises
        ------
        HamlearnError
            If they are groups by name, and the model is none of groups.
        """
        if isinstance(data, dict):
            raise HamlearnError(
                f"a mapping gives microstates of groups by name, and {type(self).__name__} has no groups: learn them by "
                "hl.models.Hierarchical(model, by='group'), or as one by a list."
            )
        return data

    @property
    def normal_prior(self) -> bool:
        """Whether it has one prior, and that is normal: a normal approximation holds it."""
        return False

    @property
    def states_apart(self) -> bool:
        """Whether every state of every site, where it is no spin, has energies of its own, of which no other state says anything."""
        return False

    @property
    def of_true_values(self) -> Self:
        """The same model where values are known: without what it says of readout errors."""
        return self

    @property
    def codes_are_angles(self) -> bool:
        """Whether states 0 … q−1 stand for places on a circle, so that a state that was never observed keeps its place."""
        return False

    @property
    def ordered(self) -> bool:
        """Whether it takes the numbers of states for their order."""
        return False

    def at(self, beta: float) -> Self:
        """The same model with priors that are in units of kT in units of energy at inverse temperature `beta`: itself, where none is."""
        return self

    def on(self, names: Sequence[str]) -> Self:
        """The same model on sites that are called so (numbered, where `names` is empty): itself, where it has no use for that."""
        return self

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that its ``to_dict`` described: here its settings by name."""
        return cls(**{name: value for name, value in description.items() if name != "kind"})
