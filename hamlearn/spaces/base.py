"""What every space can be asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.spaces.extents import Extent, count
from hamlearn.spaces.numbers import require_numbers

MISSING = -128
"""What stands for a cell that was not observed in microstates of discrete spaces; in continuous ones it is NaN."""
Symmetry = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Space:
    """What one site can be; microstates have the site axes last, followed by the axes of one site (:attr:`event_shape`) where it has any.

    Attributes
    ----------
    name : str
        What files call it.
    q : int
        Number of values of a site; 0 where they are continuous.
    sizes : tuple
        Of every site how many values it has, or which, where sites differ; else ().
    event_shape : tuple of int
        Axes of one site; () where it is one number.
    signed : bool
        Whether −x lies in the space where x does.
    unbounded : bool
        Whether values are all real numbers, which have a location and a scale of their own.
    period : float or None
        After how much values come back to themselves.
    interaction : str
        The natural pair interaction of its sites (:class:`hamlearn.models.Couplings`); "" where pairs are not learned as couplings.
    gaps : bool
        Whether a cell of microstates may be missing (:attr:`missing`).

    Examples
    --------
    >>> from hamlearn.spaces import ANGLES, REALS, SPINS, Spins, states
    >>> SPINS.values, states(3).values
    (array([-1,  1], dtype=int8), array([0, 1, 2], dtype=int8))
    >>> ANGLES.continuous, ANGLES.signed, REALS.signed
    (True, False, True)
    >>> SPINS == Spins(), SPINS == Spins(magnetization=0)
    (True, False)
    """

    name: ClassVar[str] = ""
    event_shape: ClassVar[tuple[int, ...]] = ()
    signed: ClassVar[bool] = False
    unbounded: ClassVar[bool] = False
    period: ClassVar[float | None] = None
    interaction: ClassVar[str] = ""
    gaps: ClassVar[bool] = True
    q: ClassVar[int] = 0
    sizes: ClassVar[tuple[int | tuple[int, ...], ...]] = ()

    def __init_subclass__(cls, name: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        if name:
            cls.name = name

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def continuous(self) -> bool:
        """Whether a site takes real values: densities rather than probabilities."""
        return self.q == 0

    @property
    def binary(self) -> bool:
        """Whether a site is −1 or 1."""
        return self.signed and not self.continuous

    @property
    def uniform(self) -> bool:
        """Whether all sites have the same values."""
        return True

    @property
    def extent(self) -> Extent:
        """How many values there are, or which: of every site where sites differ, else of all."""
        return self.sizes or self.q

    def count(self, n_sites: int) -> float:
        """Number of microstates of so many sites, whatever the constraint; inf where values are continuous, and beyond any float."""
        return math.inf if self.continuous else count(self.extent, n_sites)

    def there(self, n_sites: int) -> np.ndarray:
        """Which of the values each site has, shape ``(n_sites, q)``."""
        return np.ones((n_sites, self.q), bool)

    @property
    def labelled(self) -> bool:
        """Whether values are labels 0 … q−1, which stand for something else and may be renumbered."""
        return not self.signed and not self.continuous

    @property
    def misread(self) -> bool:
        """Whether a value may be read as another one, where readouts err: there are few, and sites are free."""
        return not self.continuous and not self.constraint

    @property
    def missing(self) -> float:
        """What stands for a cell that was not observed: no value of any space, of the type that states are stored in."""
        return float("nan") if self.continuous else MISSING

    @property
    def features(self) -> int:
        """How many numbers of :meth:`encode` say everything: the first so many."""
        return 1

    @property
    def constraint(self) -> dict[str, int]:
        """What is fixed for a whole microstate, by name; {} where sites are free."""
        return {}

    def __str__(self) -> str:
        """In words: ``spins``, ``states (q = 3)``, ``spins (magnetization = 4)``."""
        own = {name: getattr(self, name) for name in ("q", "sizes")} if self.name == "states" else {}
        told = {**{name: value for name, value in own.items() if value}, **self.constraint}
        return self.name + (f" ({', '.join(f'{key} = {value}' for key, value in told.items())})" if told else "")

    @property
    def free(self) -> Space:
        """The same space without constraint."""
        return self

    @property
    def values(self) -> np.ndarray:
        """The allowed values in ascending order, shape ``(q,)``.

        Raises
        ------
        HamlearnError
            If the space is continuous: its values cannot be listed.
        """
        raise self._is_continuous("list of values")

    def index(self, states: Any) -> Any:
        """Index of each state in :attr:`values` (what tables are indexed with)."""
        raise self._is_continuous("indices into a table")

    def from_index(self, index: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`index`."""
        return self.values[np.asarray(index)]

    # -- numbers that are said to lie in it ----------------------------------------------------------------------------

    @classmethod
    def declared(cls, array: np.ndarray, q: int | None = None, *, wrap: bool = False) -> tuple[np.ndarray, Space]:
        """Numbers declared to be of this kind, as they are stored, and their space; errors say what is wrong with them."""
        raise NotImplementedError

    def validate(self, array: np.ndarray, *, wrap: bool = False, site_axes: int | None = None) -> np.ndarray:
        """Numbers of this space as they are stored: int8, or float32 and float64 where values are continuous.

        Parameters
        ----------
        array : array
            Of any shape; the array itself comes back where it is that already.
        wrap : bool
            Reduce periodic values instead of refusing others.
        site_axes : int, optional
            How many of the last axes are sites. A constraint is looked at only where it is known.

        Raises
        ------
        HamlearnError
            If a value is NaN, infinite or outside the space, or the numbers are complex, dates or objects.
        """
        require_numbers(array)
        return self.declared(array, self.q or None, wrap=wrap)[0]

    def allows(self, states: np.ndarray) -> np.ndarray:
        """Which flat states ``(..., n_sites)`` of its values the constraint leaves, shape ``(...)``."""
        return np.ones(states.shape[: -1 - len(self.event_shape)], bool)

    # -- states of it --------------------------------------------------------------------------------------------------

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Random microstates ``(..., n_sites)`` to start chains from."""
        return self.values[rng.integers(self.q, size=shape)]

    def cold(self, shape: tuple[int, ...]) -> np.ndarray:
        """Microstates ``(..., n_sites)`` in which all sites are alike."""
        return np.zeros((*shape, *self.event_shape), np.float64 if self.continuous else np.int8)

    def propose(self, rng: np.random.Generator, old: np.ndarray, width: Any) -> np.ndarray:
        """Another value for each of `old`, as probable as the way back: one of the others, or a step of about `width`."""
        return self.from_index((self.index(old) + rng.integers(1, self.q, size=old.shape)) % self.q)

    def wrap(self, values: Any) -> Any:
        """Values moved by a sum, back in the space."""
        return values

    # -- what is read off them -----------------------------------------------------------------------------------------

    def order_parameters(self, states: np.ndarray) -> np.ndarray:
        """What orders: ``(..., k)`` of flat states ``(..., n_sites)``."""
        return states.mean(-1, dtype=np.float64)[..., None]

    def magnitude(self, states: np.ndarray) -> np.ndarray:
        """How ordered flat states ``(..., n_sites)`` are: the size of their order parameter."""
        return np.asarray(np.linalg.norm(self.order_parameters(states), axis=-1))

    def pick(self, states: np.ndarray, sites: Any) -> np.ndarray:
        """One site of flat states ``(..., n_sites)``, or flat states of several sites."""
        return np.asarray(states[..., sites])

    def alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """How alike two sites are: their product, whether they agree, or the cosine of their difference."""
        return first.astype(np.float64) * second

    def encode(self, states: np.ndarray) -> np.ndarray:
        """Numbers a network or a linear map can read, ``(..., k)``."""
        return states[..., None].astype(np.float64)

    def symmetries(self) -> dict[str, Symmetry]:
        """Random elements of the groups that act on all sites ``(row, *sites)`` alike: flips, permutations of states, rotations."""
        return {"z2": lambda rows, rng: -rows} if self.signed else {}

    def turned(self, states: np.ndarray, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Microstates under random elements, one for each (`shape`: theirs with 1 for every site axis): flipped, shifted, rotated."""
        return states * rng.choice([-1, 1], size=shape)

    # -- files ---------------------------------------------------------------------------------------------------------

    @property
    def attrs(self) -> dict[str, Any]:
        """What files and data say of it: ``space``, ``q`` and its constraint."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"space": self.name, "q": self.q} | {name: value for name, value in own.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description; :func:`from_dict` is the inverse."""
        return {"name": self.name} | {name: value for name, value in self.attrs.items() if name != "space"}

    def _is_continuous(self, what: str) -> HamlearnError:
        return HamlearnError(f"the space of {self.name} is continuous and has no {what}; this needs spins or states 0 … q−1.")
