"""q-state models with pair couplings: clock, Potts, ordered states, and general coupling tables.

H(s) = −Σ_b T_b(s_i, s_j) − Σ_i f_i(s_i). For the clock model T = J cos(2π(a − b)/q), for Potts T = J δ_ab, for ordered states
T = J u_a u_b with a score u for every state, and for general couplings T is any table, identified by data only up to gauge; the
zero-sum gauge is the convention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from hamlearn.arguments import require_number, sequence_of, shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.spaces import States
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import Space, as_site_axes, broadcast_parameter
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import Pairs
from hamlearn.systems.parametric import ParametricSystem, parameter


def clock_table(q: int) -> np.ndarray:
    """cos(2π(a − b)/q), shape ``(q, q)``."""
    angle = 2 * np.pi * np.arange(q) / q
    return np.cos(angle[:, None] - angle[None])


def ordinal_scores(q: int, scores: Sequence[float] = ()) -> np.ndarray:
    """Scores of ordered states, shape ``(q,)``: −1 to 1 in equal steps, or those given less their mean.

    A mean would be a field, which is there on its own; two states have the scores of spins.

    Raises
    ------
    HamlearnError
        If the scores are no q finite numbers, or are all the same.

    Examples
    --------
    >>> ordinal_scores(5).tolist(), ordinal_scores(3, [0, 1, 5]).tolist()
    ([-1.0, -0.5, 0.0, 0.5, 1.0], [-2.0, -1.0, 3.0])
    """
    if not len(scores):
        return np.linspace(-1.0, 1.0, q)
    if len(scores) != q:
        raise HamlearnError(f"scores= has one number for every state in their order: {q}; got {len(scores)}, {shown(list(scores))}.")
    given = np.asarray(scores, float)
    if not np.all(np.isfinite(given)) or np.ptp(given) == 0:
        raise HamlearnError(f"scores= are finite numbers that differ; got {shown(list(scores))}.")
    return given - given.mean()


def as_scores(scores: Any) -> tuple[Any, ...]:
    """Scores of all sites, or a row of them for each, as tuples of floats."""
    given = sequence_of(scores, "scores")
    rows = bool(given) and isinstance(given[0], Sequence | np.ndarray) and not isinstance(given[0], str)
    return tuple(as_scores(one) for one in given) if rows else tuple(require_number(one, "a score") for one in given)


def site_scores(space: Space, n_sites: int, scores: Sequence[Any] = ()) -> np.ndarray:
    """:func:`ordinal_scores` of every site ``(n_sites, q)``, zero for states that it lacks; `scores` of all sites, or a row for each."""
    rows = scores if len(scores) and isinstance(scores[0], Sequence) else (scores,) * n_sites
    if len(rows) != n_sites:
        raise HamlearnError(f"scores= has a row for every one of {n_sites} sites, or one for all; got {len(rows)} rows.")
    found = np.zeros((n_sites, space.q))
    for row, there, own in zip(rows, space.there(n_sites), found, strict=True):
        own[there] = ordinal_scores(int(there.sum()), row)
    return found


@dataclass(frozen=True, eq=False, init=False)
class QState(ParametricSystem, kind="qstate", structure=("q", "sizes", "interaction", "scores")):
    """Pairwise interactions of q-state sites; built by :func:`Clock`, :func:`Potts` and :func:`Ordinal`.

    Parameters
    ----------
    bonds : array of int (n_bonds, 2), or Lattice
        Which pairs interact.
    q : int, sequence (n_sites,) or States
        Number of states, 0 … q−1; of every site its own, or the states themselves. Arrays then have room for all; what a site lacks has
        infinite energy.
    J : float, array (n_bonds,), (q, q) or (n_bonds, q, q)
        Coupling strengths that multiply `interaction`, or whole coupling tables when `interaction` is "general";
        positive favours.
    h : float, array (q,) or (n_sites, q)
        Fields on every state.
    interaction : {"clock", "potts", "ordinal", "general"}
        The table that a scalar coupling multiplies: cos of the angle difference, δ, the product of scores, or none.
    scores : sequence of float (q,), or one for every site
        Of ordered states (:func:`ordinal_scores`).
    n_sites : int, optional
        Number of sites, when the bonds do not reach the last one.
    """

    lattice: Lattice
    q: int
    sizes: tuple[int | tuple[int, ...], ...]
    J: np.ndarray
    h: np.ndarray
    interaction: str
    scores: tuple[Any, ...]
    name: str

    def __init__(
        self,
        bonds: Any,
        q: int | Sequence[int | Sequence[int]] | States,
        J: Any = 1.0,
        h: Any = 0.0,
        *,
        interaction: str = "potts",
        scores: Sequence[Any] = (),
        n_sites: int | None = None,
        name: str = "QState",
    ) -> None:
        lattice, space = lattices.as_lattice(bonds, n_sites), q if isinstance(q, States) else States(q)  # type: ignore[arg-type]
        if (given := q if isinstance(q, Sequence | np.ndarray) else space.sizes) and len(given) != lattice.n_sites:
            raise HamlearnError(f"q is a number of states, or one for each of {lattice.n_sites} sites; got {len(given)} numbers.")
        q, there = space.q, space.there(lattice.n_sites)
        general = choice(interaction, ("clock", "potts", "ordinal", "general"), "interaction") == "general"
        if interaction == "ordinal":
            site_scores(space, lattice.n_sites, scores)  # as many as there are states
        elif len(scores):
            raise HamlearnError(f"scores= are of ordered states, interaction='ordinal'; interaction={interaction!r} has none.")
        shape = (lattice.n_bonds, q, q) if general else (lattice.n_bonds,)
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "q", q)
        J, h = broadcast_parameter(J, shape, "J"), broadcast_parameter(h, (lattice.n_sites, q), "h")
        object.__setattr__(self, "sizes", space.sizes)
        object.__setattr__(self, "J", J)
        object.__setattr__(self, "h", np.where(there, h, 0.0))
        object.__setattr__(self, "interaction", interaction)
        object.__setattr__(self, "scores", as_scores(scores))
        object.__setattr__(self, "name", name)

    @property
    def space(self) -> Space:
        """The states 0 … q−1, or those that each site has."""
        return States(self.q, self.sizes)

    @property
    def pairs(self) -> Pairs:
        """Tables over the bonds and sites of its lattice."""
        n_sites, fields = self.lattice.n_sites, self.h
        if self.sizes:
            fields = fields + np.where(self.space.there(n_sites), 0.0, -np.inf)
        if self.interaction == "general":
            return Pairs(self.lattice, self.q, self.J, fields, self.sizes)
        if self.interaction == "ordinal":
            first, second = site_scores(self.space, n_sites, self.scores)[self.lattice.bonds.T]
            return Pairs(self.lattice, self.q, self.J[:, None, None] * first[:, :, None] * second[:, None], fields, self.sizes)
        table = clock_table(self.q) if self.interaction == "clock" else np.eye(self.q)
        return Pairs(self.lattice, self.q, self.J[:, None, None] * table, fields, self.sizes)

    def energy(self, states: Any) -> Any:
        """Energy of states ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``."""
        states = np.asarray(states) if isinstance(states, list | tuple) else states
        xp = array_namespace(states)
        flat = xp.astype(
            as_site_axes(states, self.lattice.shape), xp.int64 if xp.__name__.startswith(("numpy", "array_api_compat.numpy")) else xp.int32
        )
        ends = [xp.take(flat, xp.asarray(self.lattice.bonds[:, end]), axis=-1) for end in (0, 1)]
        tables, fields = (parameter(xp, one) for one in (self.pairs.tables, self.pairs.fields))
        pairs = tables[xp.arange(self.lattice.n_bonds), ends[0], ends[1]]
        singles = fields[xp.arange(self.lattice.n_sites), flat]
        return -xp.sum(pairs, axis=-1) - xp.sum(singles, axis=-1)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> QState:
        """The system that :meth:`to_dict` described."""
        given = {key: description[key] for key in ("J", "h", "interaction", "name")}
        space = States(description["q"], description.get("sizes", ()))
        return cls(lattices.from_dict(description["lattice"]), space, **given, scores=description.get("scores", ()))

    def __repr__(self) -> str:
        return f"{self.name}(shape={self.lattice.shape}, q={self.sizes or self.q}, {self.lattice.n_bonds} bonds)"


def Clock(shape: int | Sequence[int] | Lattice, q: int, J: Any = 1.0, h: Any = 0.0, *, periodic: bool = True) -> QState:
    """Clock ("planar Potts") model: H = −J Σ⟨ij⟩ cos(2π(s_i − s_j)/q) − Σ h_i(s_i).

    At q = 3 it equals the Potts model with coupling 3J/2, at q = 2 the Ising model.

    Examples
    --------
    >>> from hamlearn.systems import Clock
    >>> float(Clock((4, 4), q=3).energy(np.zeros((4, 4), int)))
    -32.0
    """
    lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
    return QState(lattice, q, J, h, interaction="clock", name="Clock")


def Potts(shape: int | Sequence[int] | Lattice, q: int, J: Any = 1.0, h: Any = 0.0, *, periodic: bool = True) -> QState:
    """Potts model with fields: H = −Σ⟨ij⟩ J δ(s_i, s_j) − Σ h_i(s_i), or general coupling tables.

    Parameters
    ----------
    shape : int, sequence of int, or Lattice
        Extents of the hypercubic lattice, or the lattice itself.
    q : int
        Number of states.
    J : float, array (n_bonds,), (q, q) or (n_bonds, q, q)
        Strength of δ, or the tables of general couplings.
    h : float, array (q,) or (n_sites, q)
        Fields on every state.
    periodic : bool
        Wrap the boundaries around.

    Examples
    --------
    >>> from hamlearn.systems import Potts
    >>> float(Potts(4, q=4).energy(np.zeros(4, int)))
    -4.0
    """
    lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
    try:
        axes = np.ndim(J)
    except Exception:  # ragged lists, and what refuses to be an array
        axes = -1
    if axes not in (0, 1, 2, 3):
        raise HamlearnError(f"the couplings J of Potts are a number, (n_bonds,), (q, q) or (n_bonds, q, q); got {shown(J)}.")
    interaction = "general" if axes >= 2 else "potts"
    return QState(lattice, q, J, h, interaction=interaction, name="Potts")


def Ordinal(
    shape: int | Sequence[int] | Lattice,
    q: int | Sequence[int],
    J: Any = 1.0,
    h: Any = 0.0,
    *,
    scores: Sequence[Any] = (),
    periodic: bool = True,
) -> QState:
    """Ordered states: H = −Σ⟨ij⟩ J u(s_i) u(s_j) − Σ h_i(s_i), such as answers from "not at all" to "very much".

    One coupling a pair, like spins: high goes with high where J > 0. What is common and what is rare is said by the fields, one
    for every state of every site (thresholds of psychometrics). q = 2 is the Ising model, q = 3 the Blume–Capel model.

    Parameters
    ----------
    shape : int, sequence of int, or Lattice
        Extents of the hypercubic lattice, or the lattice itself.
    q : int or sequence of int (n_sites,)
        Number of states; of every site its own.
    J : float or array (n_bonds,)
        Couplings.
    h : float, array (q,) or (n_sites, q)
        Fields on every state.
    scores : sequence of float (q,), or one for every site, optional
        The numbers u that stand for the states; their mean is taken off. −1 to 1 in equal steps by default.
    periodic : bool
        Wrap the boundaries around.

    Examples
    --------
    >>> from hamlearn.systems import Ordinal
    >>> float(Ordinal(4, q=5).energy(np.array([0, 0, 1, 2])))
    -1.5
    """
    lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape, periodic=periodic)
    return QState(lattice, q, J, h, interaction="ordinal", scores=scores, name="Ordinal")


def zero_sum(tables: np.ndarray) -> np.ndarray:
    """Coupling tables ``(..., q, q)`` in the zero-sum gauge: every row and column sums to zero."""
    rows, columns = tables.mean(-1, keepdims=True), tables.mean(-2, keepdims=True)
    return tables - rows - columns + tables.mean((-1, -2), keepdims=True)
