"""What every system is and can be (the base class), and what systems share; the spaces of their sites are :mod:`hamlearn.spaces`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from hamlearn import facts
from hamlearn.arguments import require_beta, shown
from hamlearn.errors import HamlearnError
from hamlearn.spaces import ANGLES as ANGLES
from hamlearn.spaces import REALS as REALS
from hamlearn.spaces import SPINS as SPINS
from hamlearn.spaces import Space as Space
from hamlearn.spaces import space_from_name as space_from_name
from hamlearn.spaces import states as states
from hamlearn.systems.lattice import Lattice

if TYPE_CHECKING:
    from hamlearn.systems.field import Field
    from hamlearn.systems.hidden import HiddenLayer
    from hamlearn.systems.interaction_tables import InteractionTables
    from hamlearn.systems.pairs import Directions, Pairs
    from hamlearn.systems.path import Path


class System:
    """A Hamiltonian on a lattice: what can be simulated, scored and learned.

    Derive from it, and give ``lattice``, ``space`` and :meth:`energy`; nothing is registered. States have the site axes last. All else
    here is what a system *can* say of itself besides its energy: each has a default that means "no", and samplers, oracles and
    observables ask for it, never for a class. (A system that hides what it is made of is still sampled by its energy.)

    Attributes
    ----------
    lattice : Lattice
        Sites (``lattice.shape``) and bonds.
    space : Space
        The values one site can take.

    Examples
    --------
    >>> from hamlearn.systems import SPINS, exact, lattice
    >>> class Corner(System):  # H = −σ₀σ₁σ₂
    ...     lattice, space = lattice.hypercubic(3), SPINS
    ...
    ...     def energy(self, states):
    ...         return -np.prod(np.asarray(states, float), axis=-1)
    >>> exact.method(Corner()), Corner().pure_jax, Corner().pairs
    ('enumeration', False, None)
    """

    if TYPE_CHECKING:  # only for checkers: dataclasses take a property of their base for the default of a field of that name

        @property
        def lattice(self) -> Lattice: ...

        @property
        def space(self) -> Space: ...

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # else dataclasses write their own, with every bond and number

    def __repr__(self) -> str:
        if not is_dataclass(self):
            return f"{type(self).__name__}(shape={tuple(self.lattice.shape)})"
        return f"{type(self).__name__}({', '.join(f'{one.name}={_brief(getattr(self, one.name))}' for one in fields(self))})"

    def _repr_html_(self) -> str:
        known = {"sites": f"{self.lattice.n_sites}, {tuple(self.lattice.shape)}", "bonds": str(self.lattice.n_bonds)}
        known |= {"a site": self.space.name + (f", {self.space.q} values" if self.space.q else "")} | facts.of_fields(self)
        return facts.table(type(self).__name__, {name: value for name, value in known.items() if name not in ("lattice", "space")})

    def energy(self, states: Any) -> Any:
        """Energy of states ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``."""
        raise NotImplementedError(f"{type(self).__name__} needs a method energy(states).")

    energy_change: Callable[[Any, Any, Any], Any] | None = None
    """What a new value of one site changes the energy by, ``energy_change(state, site, value)``; see :mod:`.sampling.changes`."""

    def action(self, states: Any, beta: float) -> Any:
        """−ln of the unnormalised probability at inverse temperature `beta`: βH, unless the system says otherwise."""
        return beta * self.energy(states)

    def own_draws(self, beta: float | None = None) -> Callable[[int, int], np.ndarray] | None:
        """What draws independent microstates of it at `beta` (by default at some temperature), ``draws(count, seed)``; None: nothing."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description: here the name of the class and the fields of a dataclass."""
        if not is_dataclass(self):
            raise NotImplementedError(f"{type(self).__name__} needs a method to_dict(), which describes it, or to be a dataclass.")
        return {"kind": type(self).__name__, **{field.name: described(getattr(self, field.name)) for field in fields(self)}}

    @property
    def pure_jax(self) -> bool:
        """Whether its parameters are arrays and its energy can be traced by JAX, so that jitted samplers step it.

        A system for which this is False (a black box) is stepped from Python with chain-batched calls of :meth:`energy`.
        """
        return False

    @property
    def even(self) -> bool:
        """Whether x → −x is a symmetry of its action."""
        return False

    @property
    def pairs(self) -> Pairs | None:
        """Minus its energy as tables over pairs of discrete sites: exact answers, clusters, heat bath."""
        return None

    @property
    def windows(self) -> InteractionTables | None:
        """Its energy as tables over windows of discrete sites: heat bath and tempering by look-ups."""
        return None

    @property
    def directions(self) -> Directions | None:
        """Its couplings of scalar products, of angles or unit vectors: heat bath, over-relaxation, Wolff, exact answers."""
        return None

    @property
    def nearest_path(self) -> Path | None:
        """The imaginary-time path of neighbouring slices that it is: the transfer operator, kinks."""
        return None

    @property
    def hidden_layer(self) -> HiddenLayer | None:
        """The hidden units that it is the marginal of: all sites at once given them (block Gibbs), log Z of few of them."""
        return None

    @property
    def lattice_field(self) -> Field | None:
        """The field on a lattice that it is: momenta diagonalise it where it is :attr:`free` and repeats."""
        return None

    @property
    def free(self) -> bool:
        """Whether its action is an even quadratic form, that of :meth:`quadratic_form`: a Gaussian."""
        return False

    def quadratic_form(self, beta: float = 1.0) -> np.ndarray:
        """The matrix A of S = ½ φᵀAφ at β, shape ``(n_sites, n_sites)``, of a :attr:`free` system."""
        raise HamlearnError(f"{self!r} has no quadratic form.")

    @property
    def slice_width(self) -> float | None:
        """The width of an imaginary-time slice, where it is given and does not follow from β."""
        return None

    @property
    def thermal_field(self) -> bool:
        """Whether it is a quantum field in imaginary time, whose energy is the mean of :meth:`thermal` and no average that β multiplies."""
        return False

    def thermal(self, states: Any, beta: float) -> tuple[Any, Any]:
        """Estimates of the thermal energy and of its slope in β, of every microstate ``(...)`` of a :attr:`thermal_field`."""
        raise HamlearnError(f"{self!r} is no quantum field in imaginary time.")


def _brief(value: Any) -> str:
    """A field in a repr: of arrays that are not short, the shape."""
    return f"array{value.shape}" if isinstance(value, np.ndarray) and value.size > _SHORT else shown(value)


_SHORT = 4  # numbers of an array that a repr shows


def described(value: Any) -> Any:
    """A field's value for JSON."""
    if callable(describe := getattr(value, "to_dict", None)):
        return describe()
    if isinstance(value, tuple | list):
        return [described(one) for one in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def energies_of(system: System, states: np.ndarray) -> np.ndarray:
    """Energies ``(n,)`` of states ``(n, *lattice.shape)``, by a system whose energy nobody has looked at.

    Raises
    ------
    HamlearnError
        If the energy fails on them, or these are not n numbers.
    """
    try:
        found = np.asarray(system.energy(states))
    except HamlearnError:
        raise
    except Exception as error:  # whatever a stranger's formula raises
        raise HamlearnError(
            f"the energy of {system!r} failed on {_asked(states)}: {type(error).__name__}: {' '.join(str(error).split())}. {_HOW}"
        ) from error
    if found.shape != (len(states),) or found.dtype.kind not in "iuf":
        raise HamlearnError(
            f"the energy of {system!r} must be one number per state: of {_asked(states)} an array ({len(states)},); got {found.dtype} of "
            f"shape {found.shape}. Sum over the site axes, the last {states.ndim - 1}, only. {_HOW}"
        )
    return found.astype(np.float64, copy=False)


def _asked(states: np.ndarray) -> str:
    return f"states {states.shape}, which is (state, {', '.join(f'x{axis}' for axis in range(states.ndim - 1))})"


_HOW = (
    "For any number of axes:\n    x = as_site_axes(states, self.lattice.shape)  # (state, site); parameters of the lattice's shape: "
    ".reshape(-1)\n    return (self.g.reshape(-1) * x**2).sum(-1)"
)


def broadcast_parameter(value: Any, shape: tuple[int, ...], what: str, *, flat: bool = False) -> np.ndarray:
    """`value` as a finite float64 array of `shape`, scalars broadcast; `flat`: of any axes, taken one after the other."""
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "iuf" or np.ma.is_masked(value):
            raise TypeError
    except Exception:  # whatever a stranger's conversion raises: it is no number
        raise HamlearnError(f"{what} must be a number or an array of shape {shape}; got {shown(value)}.") from None
    try:
        array = np.broadcast_to((given.reshape(-1) if flat and given.ndim > 1 else given).astype(np.float64), shape).copy()
    except ValueError:
        raise HamlearnError(f"{what} must be a number or an array of shape {shape}; got shape {given.shape}.") from None
    if not np.all(np.isfinite(array)):
        raise HamlearnError(f"{what} must be finite; {np.sum(~np.isfinite(array))} of {array.size} values are not.")
    array.setflags(write=False)
    return array


def check_beta(beta: Any) -> np.ndarray:
    """`beta` as a float64 array, every value finite, positive and with an inverse that a float holds."""
    return require_beta(beta, axes=None)


def one_beta(beta: Any) -> float:
    """`beta` as one number, checked as :func:`check_beta` does it."""
    found = check_beta(beta)
    if found.ndim:
        raise HamlearnError(f"one beta at a time is asked for here; got {shown(beta)}.")
    return float(found)


def as_reals(states: Any) -> tuple[Any, Any]:
    """Array namespace, and `states` as floating-point numbers: as they are if they already are, else of the default precision."""
    states = np.asarray(states) if isinstance(states, list | tuple) else states
    xp = array_namespace(states)
    return xp, states if xp.isdtype(states.dtype, "real floating") else xp.astype(states, xp.asarray(1.0).dtype)


def axes_of(system: System) -> tuple[int, ...]:
    """The axes of one microstate: those of the sites, and after them those of one site (the components of vectors)."""
    return (*system.lattice.shape, *system.space.event_shape)


def as_site_axes(states: Any, shape: tuple[int, ...]) -> Any:
    """`states` ``(..., *shape)`` or ``(..., n_sites)`` with the sites flattened to one last axis."""
    n_sites = int(np.prod(shape))
    if tuple(states.shape[states.ndim - len(shape) :]) == tuple(shape) and states.ndim >= len(shape):
        return states.reshape((*states.shape[: states.ndim - len(shape)], n_sites))
    if states.ndim >= 1 and states.shape[-1] == n_sites:
        return states
    raise HamlearnError(f"expected states with site axes {tuple(shape)} last (or {n_sites} flat sites); got shape {tuple(states.shape)}.")
