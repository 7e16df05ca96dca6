"""Energies and order parameters of the many states of a run, to judge how fast its chains move."""

from __future__ import annotations

import numpy as np

from hamlearn.compiled import compiled
from hamlearn.systems.base import System, energies_of

_ROWS = 64  # looked at together: what one bond takes of all of them lies together, and a processor adds several at once


@compiled(nogil=True)
def _pair_energies(states, low, bonds, tables, fields):  # type: ignore[no-untyped-def]
    """Energies of states ``(n, n_sites)`` whose smallest value is -`low`; every row is summed in the order of the bonds."""
    step = 1 + low  # spins −1, 1 become 0, 1; states stay as they are
    result, total = np.zeros(len(states)), np.zeros(_ROWS)
    digits = np.zeros((states.shape[1], _ROWS), np.int16)
    for start in range(0, len(states), _ROWS):
        count = min(_ROWS, len(states) - start)
        for n in range(count):
            for site in range(states.shape[1]):
                digits[site, n] = (states[start + n, site] + low) // step
        total[:] = 0.0
        for b in range(len(bonds)):
            table, first, second = tables[b], digits[bonds[b, 0]], digits[bonds[b, 1]]
            if table.shape[0] == 2:  # a choice of four numbers, which is made for several rows at once, where look-ups are not
                none, right, left, both = table[0, 0], table[0, 1], table[1, 0], table[1, 1]
                for n in range(_ROWS):
                    total[n] += (both if first[n] else right) if second[n] else (left if first[n] else none)
            else:
                for n in range(_ROWS):
                    total[n] += table[first[n], second[n]]
        for site in range(fields.shape[0]):
            for n in range(_ROWS):
                total[n] += fields[site, digits[site, n]]
        result[start : start + count] = -total[:count]
    return result


def series(system: System, states: np.ndarray) -> np.ndarray:
    """Energies and order parameters ``(..., 1 + k)`` of states ``(..., n)``."""
    return np.concatenate([of_finite(system, states)[..., None], system.space.order_parameters(states)], -1)


def of_finite(system: System, states: np.ndarray) -> np.ndarray:
    """Energies, nan where a state is not finite, whatever a system makes of such a one."""
    if not system.space.continuous:
        return energies(system, states)
    with np.errstate(all="ignore"):
        return np.where(np.isfinite(states).all(-1), energies(system, states), np.nan)


def energies(system: System, states: np.ndarray) -> np.ndarray:
    """Energies ``(...)`` of states ``(..., n_sites)``."""
    flat = states.reshape(-1, states.shape[-1])
    if (pairs := system.pairs) is not None:
        tables, fields = (np.array(table, np.float64) for table in (pairs.tables, pairs.fields))
        bonds = np.array(pairs.lattice.bonds, np.int64)
        low = -int(system.space.values[0])
        return _pair_energies(np.ascontiguousarray(flat), low, bonds, tables, fields).reshape(states.shape[:-1])
    size = 4096  # bounds the memory of a black box's energies
    shaped = flat.reshape(-1, *system.lattice.shape, *system.space.event_shape)
    found = [energies_of(system, shaped[i : i + size]) for i in range(0, len(flat), size)]
    return np.concatenate(found).reshape(states.shape[:-1])
