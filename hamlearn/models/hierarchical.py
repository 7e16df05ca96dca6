"""Groups with parameters of their own that share a mean and a spread: subjects, sessions, samples, temperatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from hamlearn.arguments import require_number, shown
from hamlearn.data import flattened, names_of
from hamlearn.errors import HamlearnError
from hamlearn.models.traits import TRAINED, Model, Traits
from hamlearn.systems.base import Space


@dataclass(frozen=True, eq=False, repr=False)
class Hierarchical(Model):
    """Every group has parameters of its own, θ_g ~ N(μ, τ²), and all of them teach the mean μ and the spread τ of each parameter.

    What the groups have in common is as strong as the data say: where they agree, τ is small and every group learns from all others
    (partial pooling); where they differ, each is learned almost alone.

    Parameters
    ----------
    model : Model
        What one group is, with normal priors, which become those of the means μ: :class:`Couplings`, or a :class:`Family` of your own.
    by : str
        What the groups are called. Data are a mapping ``{"anna": microstates, ...}``; or one or several Datasets whose coordinate of
        this name says of which group every draw is, or a whole Dataset (an attribute will do); ``by="beta"`` are the temperatures.
    spread : float
        Scale s of the prior of spreads, τ ~ HalfNormal(s).
    unit : {"kT", "energy"}
        What `spread` is counted in, at the geometric mean of the temperatures of all data.

    Raises
    ------
    HamlearnError
        If the model is none, or none that has groups; when it is learned, if there is one group only, a draw of no group, or a group of
        one microstate.

    Examples
    --------
    >>> import hamlearn as hl
    >>> lattice = hl.systems.lattice.hypercubic((2, 2), periodic=False)
    >>> worlds = {name: hl.systems.Ising(lattice, J=J) for name, J in (("anna", 0.4), ("ben", 0.5), ("eve", 0.6))}
    >>> data = {name: hl.simulate(one, beta=1.0, draws=300, seed=k) for k, (name, one) in enumerate(worlds.items())}
    >>> model = hl.models.Hierarchical(hl.models.Couplings(lattice, fields=None), by="subject")
    >>> post = hl.learn(data, model, check=False, seed=0)
    >>> post["posterior"]["J"].dims, post["posterior"]["J_mean"].dims
    (('chain', 'draw', 'subject', 'bond'), ('chain', 'draw', 'bond'))
    >>> hl.infer.group(post, "anna")["posterior"]["J"].dims
    ('chain', 'draw', 'bond')
    """

    model: Model
    by: str = "group"
    spread: float = 0.5
    unit: str = "kT"
    kind: ClassVar[str] = "hierarchical"
    traits: ClassVar[Traits] = Traits(
        "hierarchical",
        "groups that share a mean and a spread",
        mixed=True,
        missing=True,
        compared="by group",
        groups=("theta", "group_0"),
        closed="has means and spreads of groups above the parameters of each",
        zero="they are those of its groups.",
    )

    @property
    def states_apart(self) -> bool:
        """As in the model of one group."""
        return self.model.states_apart

    def __post_init__(self) -> None:
        if not isinstance(self.model, Model):
            raise HamlearnError(f"Hierarchical(model, by=...) takes the model of one group; got {shown(self.model)}.")
        if lacking := self.model.traits.closed or (TRAINED if self.model.traits.density else ""):
            raise HamlearnError(f"{type(self.model).__name__} {lacking}: it has no parameters that groups could share.")
        if not isinstance(self.by, str) or not self.by.isidentifier() or self.by in _TAKEN:
            raise HamlearnError(
                f"by= is a word for what the groups are, such as by='subject', not one of posteriors; got {shown(self.by)}."
            )
        object.__setattr__(self, "spread", require_number(self.spread, "spread", above=0))
        if self.unit not in ("kT", "energy"):
            raise HamlearnError(f"unit of the spread is 'kT' or 'energy'; got {shown(self.unit)}.")

    def __repr__(self) -> str:
        return f"Hierarchical({self.model!r}, by={self.by!r}, spread={self.spread:g}, unit={self.unit!r})"

    def at(self, beta: float) -> Hierarchical:
        """The same model with its priors in units of energy at inverse temperature `beta`."""
        scale = self.spread / beta if self.unit == "kT" else self.spread
        return replace(self, model=self.model.at(beta), spread=scale, unit="energy")

    def on(self, names: Sequence[str]) -> Hierarchical:
        """The same model on sites that are called so."""
        return replace(self, model=self.model.on(names))

    def bind(self, space: Space, shape: tuple[int, ...]) -> Any:
        """One group on its sites."""
        return self.model.bind(space, shape)  # type: ignore[attr-defined]

    def sets(self, data: Any) -> list[xr.Dataset]:
        """The data of every group, whose name is a coordinate of theirs without dims."""
        if isinstance(data, Mapping) and not isinstance(data, xr.Dataset):
            given = [(str(name), one) for name, found in data.items() for one in flattened(found)]
            return [one.assign_coords({self.by: name}) for name, one in given]
        return [part for one in flattened(data) for part in self._split(one)]

    def _split(self, data: xr.Dataset) -> Iterator[xr.Dataset]:
        """The groups of one Dataset."""
        if self.by not in data.coords:
            if self.by not in data.attrs:
                if self.by in names_of(data):
                    raise HamlearnError(
                        f"{self.by} is a site of these microstates; where it says of which {self.by} every row is, it is a coordinate: "
                        f"hl.microstates(table.drop(columns={self.by!r}), ...).assign_coords({self.by}=('draw', table[{self.by!r}]))."
                    )
                raise HamlearnError(
                    f"these microstates do not say of which {self.by} they are: give a mapping {{name: microstates}}, or one coordinate, "
                    f"data.assign_coords({self.by}=('draw', [...]))."
                )
            yield data.assign_coords({self.by: str(data.attrs[self.by])})
            return
        told = data[self.by]
        if told.dims == ():
            yield data
        elif told.dims in (("draw",), ("chain",), ("beta",)):
            axis = str(told.dims[0])
            names = np.asarray(told.values)
            if any(one != one or one is None or one == "" for one in names.tolist()):
                raise HamlearnError(f"the coordinate {self.by!r} does not say of every {axis} of which {self.by} it is.")
            for name in dict.fromkeys(names.tolist()):
                part = data.isel({axis: names == name}).drop_vars(self.by)
                if axis == "beta":
                    part = part.isel(beta=0)
                yield part.assign_coords({self.by: name})
        else:
            raise HamlearnError(f"the coordinate {self.by!r} is one per draw, per chain, or one of a whole Dataset; got dims {told.dims}.")

    def grouped(self, sets: Sequence[xr.Dataset]) -> dict[str, list[xr.Dataset]]:
        """Sets by the name of their group, in the order in which names come."""
        found: dict[str, list[xr.Dataset]] = {}
        for one in sets:
            found.setdefault(_name(one[self.by].values), []).append(one)
        if len(found) < 2:
            raise HamlearnError(
                f"there is one {self.by} only, {next(iter(found))!r}: nothing can be said of how groups differ. Learn it as it is, "
                "hl.learn(data, model)."
            )
        for name, parts in found.items():
            if sum(one["state"].sizes["chain"] * one["state"].sizes["draw"] for one in parts if "count" not in one) == 1:
                raise HamlearnError(f"{self.by} {name!r} has one microstate, which says nothing of how it differs: leave that group out.")
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"kind": self.kind, "model": self.model.to_dict(), "by": self.by, "spread": self.spread, "unit": self.unit}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that :meth:`to_dict` described."""
        inner = description["model"]
        found = Model.kinds[inner["kind"]].from_dict(inner)
        return cls(found, description["by"], description["spread"], description["unit"])


_TAKEN = (
    "chain",
    "draw",
    "bond",
    "site",
    "state",
    "state_i",
    "state_j",
    "component",
    "parameter",
    "J",
    "h",
    "theta",
    "space",
    "q",
    "codes",
)


def _name(value: Any) -> str:
    """What a group is called: its coordinate as text, numbers as short as they are."""
    one = value.item() if isinstance(value, np.ndarray | np.generic) else value
    return f"{one:g}" if isinstance(one, float) else str(one)
