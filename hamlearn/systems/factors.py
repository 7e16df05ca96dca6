"""An energy known by its formula alone as tables over few sites, where it is a sum of terms that see few sites each.

What the formula is made of is read from its program (:mod:`.terms`), and the tables are filled by evaluating it: a heat bath then looks
a site's states up instead of evaluating the whole energy for each of them, whatever the formula costs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import lax
from scipy import sparse

from hamlearn.spaces import Space
from hamlearn.systems.base import System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.parametric import as_argument, from_argument
from hamlearn.systems.terms import reach, terms

_MOST_STATES = 1 << 12  # of a factor: twelve spins
_MOST_NUMBERS = 1 << 20  # in all tables of a system
_MOST_EVALUATIONS = 1 << 24  # of terms, that fill them
_AT_ONCE = 256  # microstates that are evaluated together


@dataclass(frozen=True, eq=False)
class Factors:
    """H = Σ_t E_t[code of the states of the sites that factor t sees]; codes as of :class:`.InteractionTables`.

    Attributes
    ----------
    lattice : Lattice
    space : Space
    tile_sites : int array (factor, n)
        The sites of every factor.
    tables : array (factor, q**n)
        Its energies.
    """

    lattice: Lattice
    space: Space
    tile_sites: np.ndarray
    tables: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """What the digit of every site of a factor counts in the code, shape ``(n,)``."""
        return _places(self.space.q, self.tile_sites.shape[1])


@dataclass(frozen=True, eq=False)
class _Plan:
    """How the tables of systems of one structure are filled.

    Attributes
    ----------
    sites : int array (factor, n)
        The sites of every factor.
    into : sparse (term, factor)
        The factor that a term belongs to.
    turn : int array (factor,)
        Factors of one turn share no site: one microstate shows a state of each.
    """

    sites: np.ndarray
    into: sparse.csr_matrix
    turn: np.ndarray


def tables_of(systems: Sequence[System]) -> list[Any] | None:
    """Tables of the energies of systems of one structure, over windows or over what their terms see; None where they are not known.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> (found,) = tables_of([Ising((3, 3))])
    >>> found.tile_sites.shape, float(found.tables.min())  # nine sites are few, whatever the formula
    ((1, 9), -18.0)
    """
    if systems[0].windows is not None:
        return [one.windows for one in systems if one.windows is not None]
    first, plan = systems[0], _plan_of(systems[0])
    if plan is None:
        return None
    q, n = first.space.q, plan.sites.shape[1]
    digits = np.arange(q**n)[:, None] // _places(q, n) % q
    index = np.zeros((int(plan.turn.max()) + 1, q**n, first.lattice.n_sites), np.int64)
    for turn, own in zip(plan.turn, plan.sites, strict=True):
        index[turn][:, own] = digits
    states, found = first.space.values[index.reshape(-1, index.shape[-1])], []
    for system in systems:
        with jax.enable_x64(True):
            told = np.asarray(_terms_of_all(as_argument(system), states, first.lattice.shape), float)
        tables = (told @ plan.into).reshape(index.shape[0], q**n, -1)[plan.turn, :, np.arange(len(plan.turn))]
        if not np.isfinite(tables).all():  # what is forbidden has no difference to look up
            return None
        found.append(Factors(first.lattice, first.space, plan.sites, tables))
    return found


def sites_of(system: System) -> np.ndarray | None:
    """The sites of the factors ``(factor, n)`` that :func:`tables_of` finds; None where it finds none."""
    if system.windows is not None:
        return system.windows.tile_sites
    plan = _plan_of(system)
    return None if plan is None else plan.sites


def _places(q: int, n: int) -> np.ndarray:
    return q ** np.arange(n - 1, -1, -1, dtype=np.int64)


def _plan_of(system: System) -> _Plan | None:
    """The plan of a system whose temperature is a factor of its energy, and which JAX can trace."""
    space = system.space
    if space.continuous or space.constraint or not system.pure_jax or type(system).action is not System.action:
        return None
    leaves, structure = jax.tree.flatten(as_argument(system))
    kinds = tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves)
    return _plan(structure, kinds, system.lattice.shape, tuple(space.values.tolist()))


@functools.lru_cache(maxsize=64)
def _plan(structure: Any, kinds: tuple[tuple[tuple[int, ...], str], ...], shape: tuple[int, ...], values: tuple[int, ...]) -> _Plan | None:
    """The plan of all systems of a structure, from the program of their energy."""
    n, q = int(np.prod(shape)), len(values)
    with jax.enable_x64(True):
        argument = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*kind) for kind in kinds])
        state = jax.ShapeDtypeStruct((n,), np.int64)
        count = jax.eval_shape(lambda row, known: _terms(known, row, shape), state, argument).shape[0]
        seen = reach(lambda row, known: _terms(known, row, shape), state, argument)
    seen = sparse.csr_matrix(np.ones((count, n), bool)) if seen is None else seen
    most = int(np.diff(seen.indptr).max(initial=0))
    if not most or q**most > _MOST_STATES:
        return None
    sites, into = _joined(seen, most)
    affordable = lambda turns: turns * q**most * count <= _MOST_EVALUATIONS
    if len(sites) * q**most > _MOST_NUMBERS or not affordable(np.bincount(sites.ravel()).max().item()):  # a turn each, at least
        return None
    turn = _turns(sites, n)
    return _Plan(sites, into, turn) if affordable(int(turn.max()) + 1) else None


def _joined(seen: sparse.csr_matrix, most: int) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Factors of `most` sites, and which each term belongs to: terms that see no more than another are part of it."""
    k, n = seen.shape
    own = [frozenset(seen.indices[seen.indptr[t] : seen.indptr[t + 1]].tolist()) for t in range(k)]
    factors: list[frozenset[int]] = []
    of_site: list[list[int]] = [[] for _ in range(n)]
    pairs = []
    for t in sorted(range(k), key=lambda t: -len(own[t])):
        if not own[t]:  # a constant
            continue
        place = next((f for f in of_site[min(own[t])] if own[t] <= factors[f]), len(factors))
        if place == len(factors):
            factors.append(own[t])
            for site in own[t]:
                of_site[site].append(place)
        pairs.append((t, place))
    filled = [sorted(one) + [s % n for s in range(min(one), min(one) + n) if s % n not in one][: most - len(one)] for one in factors]
    term, factor = np.array(pairs).T
    return np.array(filled), sparse.csr_matrix((np.ones(len(pairs)), (term, factor)), (k, len(factors)))


def _turns(sites: np.ndarray, n: int) -> np.ndarray:
    """The turn of every factor: the first in which none of its sites is taken."""
    taken: list[np.ndarray] = []
    turn = np.zeros(len(sites), int)
    for f, own in enumerate(sites):
        turn[f] = next((k for k, one in enumerate(taken) if not one[own].any()), len(taken))
        if turn[f] == len(taken):
            taken.append(np.zeros(n, bool))
        taken[turn[f]][own] = True
    return turn


def _terms(argument: Any, state: Any, shape: tuple[int, ...]) -> Any:
    return terms(lambda known, row: from_argument(known).energy(row.reshape(shape)), argument, state)


@functools.partial(jax.jit, static_argnames="shape")
def _terms_of_all(argument: Any, states: Any, shape: tuple[int, ...]) -> Any:
    """Terms ``(state, term)``."""
    return lax.map(lambda row: _terms(argument, row, shape), states, batch_size=_AT_ONCE)
