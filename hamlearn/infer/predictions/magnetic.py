"""Magnetic observables where states can be enumerated or drawn independently: exact moments, or samples until they are quiet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from hamlearn.infer.predictions.intervals import QUIET
from hamlearn.progress import track
from hamlearn.systems import exact, observables
from hamlearn.systems.exact import enumeration
from hamlearn.systems.exact.methods import LatticeKey, lattice_from_key, lattice_key
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.potts import QState

_DRAWS = 256  # independent ones per member and temperature to begin with, four times as many while they are not quiet
_MOST_SITES = 1 << 26  # sites drawn for all members at all temperatures together: about half a minute
_CHUNK = 1 << 16
Found = tuple[dict[str, np.ndarray], dict[str, np.ndarray], str]


def enumerated(systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str]) -> Found:
    """Exact |m|, χ and correlations of every member, from the weights of all states.

    Parameters
    ----------
    systems : sequence of System
        Members on one lattice of at most 2^20 states.
    betas : array (beta,)
        Inverse temperatures.
    wanted : sequence of str
        Among "abs_magnetization", "susceptibility" and "correlation".

    Returns
    -------
    values, errors, method
        Arrays ``(member, beta)`` or ``(member, beta, r)`` by name; errors are zero.

    Examples
    --------
    >>> from hamlearn.systems import Ising, exact
    >>> values, _, method = enumerated([Ising((3, 3))], np.array([0.4]), ["abs_magnetization"])
    >>> round(float(values["abs_magnetization"][0, 0]), 6), method
    (0.816861, 'exact (enumeration)')
    """
    first, n = systems[0], systems[0].lattice.n_sites
    columns = _columns(first, "correlation" in wanted)
    found = np.empty((len(systems), len(betas), columns.shape[1]))
    with track(len(systems), "exact moments") as bar:
        for m, system in enumerate(systems):
            for k, log_weight in enumerate(_log_weights(system, betas)):
                weight = np.exp(log_weight - log_weight.max())
                found[m, k] = weight @ columns / weight.sum()
            bar.advance(1)
    order, square = found[..., 0], found[..., 1]
    everything = {"abs_magnetization": order, "susceptibility": betas * n * (square - order**2), "correlation": found[..., 2:]}
    values = {name: everything[name] for name in wanted}
    return values, {name: np.zeros_like(value) for name, value in values.items()}, "exact (enumeration)"


def _columns(system: Any, correlate: bool) -> np.ndarray:
    """|m|, m² and, if wanted, C(r) of every state, ``(state, 2 + r)``; the order parameter of q-state models for m."""
    indices, space, lattice = enumeration.all_states(system.lattice, system.space.q), system.space, system.lattice
    rows = []
    for start in range(0, len(indices), _CHUNK):
        states = space.from_index(indices[start : start + _CHUNK])
        m = np.abs(order(states, system))
        one = [m[:, None], m[:, None] ** 2]
        if correlate:
            q = None if space.binary else space.q
            one.append(np.asarray(observables.correlation(states, lattice, q), float).reshape(len(states), -1))
        rows.append(np.concatenate(one, 1))
    return np.concatenate(rows)


def _log_weights(system: Any, betas: np.ndarray) -> list[np.ndarray]:
    """Log weight of every state at every temperature."""
    if not isinstance(system, Pairwise | QState):
        energies = enumeration.evaluate(system)
        return [-beta * energies for beta in betas]
    tables, fields = np.asarray(system.coupling_tables(), float), np.asarray(system.field_tables(), float)
    with jax.enable_x64(True):
        minus_energy = np.asarray(_weights_of(lattice_key(system.lattice), system.space.q)(tables, fields))
    return [beta * minus_energy for beta in betas]


@lru_cache(maxsize=4)
def _weights_of(key: LatticeKey, q: int) -> Callable[..., Any]:
    """Compiled −H of all states; the members of a posterior share one."""
    return jax.jit(partial(enumeration.state_log_weights, lattice_from_key(key), q))


def order(states: np.ndarray, system: Any) -> np.ndarray:
    """Signed magnetization of spins, order parameter of q-state models, per draw."""
    if system.space.binary:
        return np.asarray(observables.magnetization(states, system.lattice))
    return np.asarray(observables.potts_order_parameter(states, system.space.q, system.lattice))


def sampled(
    systems: Sequence[Any], betas: np.ndarray, wanted: Sequence[str], method: str, seed: int, observe: Callable[..., dict[str, np.ndarray]]
) -> Found:
    """The same from independent exact draws: four times as many while their noise is more than a tenth of the members' variance.

    `observe` takes draws, a system, β and `wanted` and gives the estimate and error of each. What noise is left when the draws have
    reached their limit is in ``errors``, and the intervals hold it.
    """
    draws, n = _DRAWS, systems[0].lattice.n_sites
    while True:
        rows: dict[str, list[Any]] = {name: [] for name in wanted}
        with track(len(systems) * len(betas), "exact sampling") as bar:
            for index, system in enumerate(systems):
                at = []
                for place, beta in enumerate(betas):
                    states = exact.sample(system, float(beta), draws, seed=seed + 7919 * index + place)
                    at.append(observe(states, system, float(beta), wanted))
                    bar.advance(1)
                for name in wanted:
                    rows[name].append([row[name] for row in at])
        pairs = {name: np.array(rows[name]) for name in wanted}  # (member, beta, estimate or error, ...)
        values, errors = ({name: pair[:, :, part] for name, pair in pairs.items()} for part in (0, 1))
        # Of every temperature by itself: where members hardly differ the others must not hide it.
        noisy = len(systems) > 1 and any(_loud(values[name], errors[name]) for name in wanted)
        if not noisy or 4 * draws * n * len(systems) * len(betas) > _MOST_SITES:
            return values, errors, f"exact samples ({method}), {draws} draws a member"
        draws *= 4


def _loud(values: np.ndarray, errors: np.ndarray) -> bool:
    axes = (0, *range(2, values.ndim))
    return bool(np.any((errors**2).mean(axes) > QUIET * values.var(0).reshape(values.shape[1], -1).mean(1)))
