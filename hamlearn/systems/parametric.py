"""Systems whose parameters are data to JAX: pytrees, so that a new object of a known structure never compiles anything."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import jax
import numpy as np

from hamlearn import spaces
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import System


class Parametric:
    """A frozen dataclass of parameters and structure, as a pytree: the parameters are leaves, the structure is hashed.

    Attributes
    ----------
    structure : tuple of str
        Names of the fields that are structure. Whatever JAX cannot hold (words, functions) is structure too.
    """

    structure: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, structure: tuple[str, ...] = (), **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.structure = (*cls.structure, *structure)
        jax.tree_util.register_pytree_node(cls, lambda one: one._flatten(), cls._unflatten)

    def _flatten(self) -> tuple[tuple[Any, ...], tuple[tuple[str, ...], Hashable]]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        names = self.__dict__.get("_leaves")
        if names is None:
            names = tuple(name for name, value in values.items() if name not in self.structure and _is_data(value))
        fixed = tuple((name, value) for name, value in values.items() if name not in (*names, "name"))  # what it is called is no structure
        return tuple(values[name] for name in names), (names, fixed)

    @classmethod
    def _unflatten(cls, names: tuple[tuple[str, ...], tuple[tuple[str, Any], ...]], leaves: tuple[Any, ...]) -> Self:
        """Without ``__init__``: what JAX puts into the leaves cannot be checked."""
        new = object.__new__(cls)
        object.__setattr__(new, "name", cls.__name__)
        for name, value in (*zip(names[0], leaves, strict=True), *names[1], ("_leaves", names[0])):
            object.__setattr__(new, name, value)
        return new


class ParametricSystem(Parametric, System):
    """A system given by parameters and a formula: what systems derive from unless they have a reason not to.

    A subclass is a frozen dataclass (``eq=False``) whose fields are its lattice, other structure, and its parameters, with an
    :meth:`energy` written in the array-API style; ``class Mine(ParametricSystem, kind="mine")``. It is then

    * data to JAX (:class:`Parametric`; ``lattice``, ``space`` and ``name`` are structure);
    * known to :func:`hamlearn.systems.from_dict` by its kind, with a JSON description made of its fields;
    * classical (action = βH), unless it says otherwise.

    Attributes
    ----------
    kind : str
        Its name in descriptions.

    Examples
    --------
    >>> from hamlearn.systems import SPINS, from_dict
    >>> from hamlearn.systems.base import as_reals
    >>> @dataclass(frozen=True, eq=False)
    ... class Mean(ParametricSystem, kind="mean"):  # H = −J (Σσ)²/2N
    ...     lattice: lattices.Lattice
    ...     J: float
    ...     space: Space = SPINS
    ...
    ...     def energy(self, states):
    ...         xp, flat = as_reals(states)
    ...         return -self.J * xp.sum(flat, axis=-1) ** 2 / (2 * self.lattice.n_sites)
    >>> system = Mean(lattices.complete(4), 1.0)
    >>> float(system.action(np.ones(4), 0.5)), from_dict(system.to_dict()).J
    (-1.0, 1.0)
    """

    structure: ClassVar[tuple[str, ...]] = ("lattice", "space", "name")
    kind: ClassVar[str] = ""
    kinds: ClassVar[dict[str, type[ParametricSystem]]] = {}

    def __init_subclass__(cls, kind: str = "", structure: tuple[str, ...] = (), **options: Any) -> None:
        super().__init_subclass__(structure=structure, **options)
        if kind:
            cls.kind = kind
            ParametricSystem.kinds[kind] = cls

    @property
    def pure_jax(self) -> bool:
        """True: the jitted samplers may step it."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description: the kind and the fields."""
        return {**super().to_dict(), "kind": self.kind}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The system that :meth:`to_dict` described."""
        given = {name: value for name, value in description.items() if name != "kind"}
        if "lattice" in given:
            given["lattice"] = lattices.from_dict(given["lattice"])
        if "space" in given:
            given["space"] = spaces.from_dict(given["space"])
        return cls(**given)


def _is_data(value: Any) -> bool:
    """Whether JAX may hold a field's value as a leaf or a tree of leaves: numbers and arrays, not functions or words."""
    return not isinstance(value, bool) and all(isinstance(leaf, _DATA) for leaf in jax.tree.leaves(value))


_DATA = (int, float, np.ndarray, np.generic, jax.Array)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Opaque:
    """A system that JAX knows nothing of, as an argument of compiled code all the same: structure without leaves."""

    system: System


def as_argument(system: System) -> Any:
    """`system` as an argument of compiled code: itself where it is a pytree, else wrapped; :func:`from_argument` is the inverse."""
    return Opaque(system) if jax.tree_util.all_leaves([system]) else system


def from_argument(argument: Any) -> Any:
    """The system that :func:`as_argument` was given, its parameters traced where it is a pytree."""
    return argument.system if isinstance(argument, Opaque) else argument


def stacked(systems: Any) -> Any:
    """Systems of one structure as one whose parameters have a leading axis; None where their structures differ.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> stacked([Ising((2, 2), J=J) for J in (0.5, 1.0)]).J.shape
    (2, 8)
    >>> stacked([Ising((2, 2)), Ising((3, 3))]) is None
    True
    """
    trees: list[Any] = [jax.tree.structure(system) for system in systems]
    if any(jax.tree_util.all_leaves([system]) for system in systems) or any(tree != trees[0] for tree in trees):
        return None
    if any(np.shape(a) != np.shape(b) for one in systems for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(systems[0]), strict=True)):
        return None
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, float) for leaf in leaves]), *systems)


def parameter(xp: Any, value: Any, dtype: Any = None) -> Any:
    """A parameter as an array of the states' library: of NumPy's arrays a copy, since torch refuses read-only ones."""
    return xp.asarray(np.array(value) if isinstance(value, np.ndarray) else value, dtype=dtype)
