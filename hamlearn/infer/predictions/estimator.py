"""One estimator: from columns of microstates, their weights and blocks to every observable with its error.

Oracles that list states, exact samples, simulations, reweighting and densities differ only in where the columns come from. Of every
block the weighted sums are kept; an observable is a function of the averages of all blocks, and its error comes from leaving each out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np

from hamlearn.systems.observables import Observable
from hamlearn.systems.parametric import stacked


@dataclass(frozen=True)
class Estimates:
    """One observable of every member at every temperature.

    Attributes
    ----------
    values, errors : array (member, beta) or (member, beta, r)
        Estimates and their simulation standard errors (0: exact).
    method : str
        How they were made.
    distances : array, optional
        Coordinate r.
    shared : array (beta,), optional
        Simulation standard error that all members have in common (reweighted from one simulation).
    recalibrated : Estimates, optional
        The same of networks recalibrated on the microstates they were learned from: what it differs by is an estimate of the
        error that networks share. Its ``shared`` is the sampling error of these microstates.
    independent : int, optional
        How many of the members are independent draws, where they repeat each other (few networks); all by default.
    shift, shift_error : array (beta,) or (beta, r), optional
        What is added to the mean over members to centre it, and its standard error.
    share : array (beta,), optional
        Smallest effective share of the weighted walks behind a member's log Z (:mod:`hamlearn.infer.shares`).
    """

    values: np.ndarray
    errors: np.ndarray
    method: str
    distances: np.ndarray | None = None
    shared: np.ndarray | None = None
    recalibrated: Estimates | None = None
    independent: int | None = None
    shift: np.ndarray | None = None
    shift_error: np.ndarray | None = None
    share: np.ndarray | None = None


class Seen:
    """A system whose energies of some states are known already; everything else is asked of itself."""

    def __init__(self, system: Any, states: np.ndarray, energies: np.ndarray) -> None:
        self._system, self._states, self._energies = system, states, energies

    def energy(self, states: Any) -> Any:
        """Known of the states that it was made for; of others (flipped ones) the system's."""
        return self._energies if self._are_known(states) else self._system.energy(states)

    def action(self, states: Any, beta: float) -> Any:
        """β times the energy of the states that it was made for; of others the system's."""
        return beta * self._energies if self._are_known(states) else self._system.action(states, beta)

    def _are_known(self, states: Any) -> bool:
        return states is self._states or np.array_equal(states, self._states)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)


class _Remembering:
    """A system that evaluates its energy of the same states once."""

    def __init__(self, system: Any) -> None:
        self._system = system
        self._known: tuple[Any, Any] = None, None

    def energy(self, states: Any) -> Any:
        """As the system says."""
        if self._known[0] is not states:
            self._known = states, self._system.energy(states)
        return self._known[1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)


@dataclass
class Sums:
    """Weighted sums over the draws of every block, of one or several members at one temperature.

    Attributes
    ----------
    weight : list of array (member,)
        Sum of the weights in every block.
    columns : dict of list of array (member, k)
        By observable, weighted sums of its columns in every block.
    """

    beta: float
    n_sites: int
    weight: list[np.ndarray] = field(default_factory=list)
    columns: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, columns: dict[str, np.ndarray], weight: np.ndarray | None = None) -> None:
        """A block: columns ``(draw, k)``, or ``(draw, member, k)`` where they differ between members; weights ``(draw, member)``."""
        draws = len(next(iter(columns.values())))
        w = np.ones((draws, 1)) if weight is None else weight
        self.weight.append(w.sum(0))
        for name, values in columns.items():
            total = w.T @ values if values.ndim == 2 else np.einsum("dm,dmk->mk", np.broadcast_to(w, values.shape[:2]), values)
            self.columns.setdefault(name, []).append(total)

    def finish(self, record: Observable, log_z: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The observable ``(member, ...)`` and its replicates ``(block, member, ...)``, each of all blocks but one (none of one block).

        `log_z` ``(1 + block, member)`` is that of all blocks, and of all but each.
        """
        weight, total = np.stack(self.weight), np.stack(self.columns[record.name])

        def made(w: np.ndarray, x: np.ndarray, of: int | slice) -> np.ndarray:
            more = (log_z[of],) if record.needs_log_z and log_z is not None else ()
            return np.asarray(record.combine(x / w[..., None], self.beta, self.n_sites, *more), float)

        whole = made(weight.sum(0), total.sum(0), 0)
        if len(weight) == 1:
            return whole, whole[None][:0]
        return whole, made(weight.sum(0) - weight, total.sum(0) - total, slice(1, None))


def error_of(replicates: np.ndarray) -> np.ndarray:
    """Standard error from estimates that leave one block out each, on the first axis; zero where there are none.

    The jackknife: Efron, *The jackknife, the bootstrap and other resampling plans* (1982).

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 4.0, 5.0])
    >>> left = (x.sum() - x) / 3
    >>> bool(np.isclose(error_of(left), x.std(ddof=1) / 2))  # of a mean, the usual one
    True
    """
    count = len(replicates)
    if count < 2:
        return np.zeros(replicates.shape[1:])
    return np.asarray(np.sqrt((count - 1) / count * ((replicates - replicates.mean(0)) ** 2).sum(0)))


def columns_of(records: Sequence[Observable], states: np.ndarray, system: Any, beta: float) -> dict[str, np.ndarray]:
    """The columns ``(draw, k)`` of every observable, of states ``(draw, *lattice.shape)``; energies are evaluated once for all of them."""
    asked: Any = system if len(records) < 2 or isinstance(system, Seen) else _Remembering(system)
    return {record.name: record.of(states, asked, beta) for record in records}


def columns_of_all(
    records: Sequence[Observable], states: np.ndarray, systems: Sequence[Any], beta: float, energies: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The same of many systems: ``(draw, k)`` where they share a column, else ``(draw, member, k)``; `energies` ``(draw, member)``."""
    shared = columns_of([record for record in records if record.of_states], states, systems[0], beta)
    own = [record for record in records if not record.of_states]
    if not own:
        return shared
    energies = energies_of_all(systems, states) if energies is None else energies
    together = stacked(systems) if all(one.pure_jax for one in systems) else None
    traced = [record for record in own if record.traceable and together is not None]
    rest = [record for record in own if record not in traced]
    rows = [columns_of(rest, states, Seen(one, states, energies[:, m]), beta) for m, one in enumerate(systems)]
    found = {record.name: np.stack([row[record.name] for row in rows], 1) for record in rest}
    with jax.enable_x64(True):
        found |= {record.name: np.asarray(_traced(record, together, states, beta))[..., None] for record in traced}
    return shared | found


def energies_of_all(systems: Sequence[Any], states: np.ndarray) -> np.ndarray:
    """Energies ``(draw, member)`` of states ``(draw, *lattice.shape)``: of systems of one structure in one compiled call."""
    together = stacked(systems) if len(systems) > 1 and all(one.pure_jax for one in systems) else None
    if together is None:
        return np.stack([np.asarray(one.energy(states), float) for one in systems], 1)
    with jax.enable_x64(True):
        return np.asarray(_energies(together, np.asarray(states, float if systems[0].space.continuous else states.dtype)), float)


@partial(jax.jit, static_argnums=0)
def _traced(record: Observable, systems: Any, states: Any, beta: Any) -> Any:
    assert record.columns is not None  # asked for by columns_of_all
    return jax.vmap(lambda system: record.columns(states, system, beta), out_axes=1)(systems)  # type: ignore[misc]


@jax.jit
def _energies(systems: Any, states: Any) -> Any:
    return jax.vmap(lambda system: system.energy(states), out_axes=1)(systems)


def collected(
    records: Sequence[Observable], found: Iterable[Iterable[tuple[Sums, Any]]], method: str, separations: Callable[[Observable], Any]
) -> dict[str, Estimates]:
    """Estimates of members that were measured one by one: for each, at each temperature, its sums (and log Z or None)."""
    rows = [[{record.name: _one(record, *pair) for record in records} for pair in member] for member in found]
    result = {}
    for record in records:
        values, errors = (np.stack([[at[record.name][part] for at in row] for row in rows]) for part in (0, 1))
        result[record.name] = Estimates(values, errors, method, separations(record))
    return result


def _one(record: Observable, sums: Sums, log_z: Any) -> tuple[np.ndarray, np.ndarray]:
    whole, replicates = sums.finish(record, log_z)
    return whole[0], error_of(replicates)[0] if len(replicates) else np.zeros_like(whole[0])


def distances(record: Observable, system: Any) -> np.ndarray | None:
    """The coordinate r of an observable, where it has one."""
    return None if record.separations is None else np.asarray(record.separations(system), float)
