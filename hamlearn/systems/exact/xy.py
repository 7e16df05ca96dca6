"""Exact log Z of narrow XY lattices: character expansion and a transfer matrix over rows of integers.

Every bond is expanded as exp(βJ cos φ) = Σ_n I_n(βJ) exp(inφ). Integrating the angles (measure Π dφ/2π) leaves a sum over
integer currents on the bonds that are conserved at every site. The currents that leave a row downwards are the state;
their sum is conserved from row to row, so the transfer matrix falls into small blocks.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from scipy import special

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.exact.oracle import Oracle
from hamlearn.systems.pairs import directions_of

WIDEST = 4
"""Largest extent of a row."""
STRONGEST = 1e4
"""Largest β·|J|: currents go up to about it."""
MAX_BLOCK = 2500
"""Largest block of the transfer matrix."""
_NEGLIGIBLE = 1e-8  # weight of a row of currents, relative to none; it also needs currents along the rows, at both ends
_ENTRY = 300.0  # operations of an entry with its two derivatives: Bessel functions and sums over the free current
_PRODUCT = 3.0  # per cubed row of a product with two derivatives, six products at a quarter of an eigensolver's cost

Jet = tuple[np.ndarray, ...]
"""A function of β with its first and second derivative (or only the function)."""


class Characters(Oracle):
    """Angles or unit vectors of two components whose bonds have energies −J cos(φ_i − φ_j): a system shows them by ``directions``."""

    name = "characters"
    measure = "relative to uniform angles (dφ/2π)"

    def refusal(self, system: System) -> str | None:
        """Why not."""
        shown, lattice, shape = system.directions, system.lattice, system.lattice.shape
        words = "needs periodic chains or XY lattices up to 4 wide, without field"
        if shown is None or shown.n != 2 or np.any(np.asarray(shown.h) != 0):
            return words
        if lattice.kind != "hypercubic" or not lattice.periodic or len(shape) > 2:
            return words
        return None if len(shape) == 1 or min(shape) <= WIDEST else words

    def cost(self, system: System, beta: float) -> float:
        """Of the entries of the row matrices and of their products."""
        rows, matrices, blocks = sizes(system, beta)
        products = 2.0 * np.log2(rows + 1) if matrices == 1 else float(rows)
        return float(_ENTRY * matrices * (blocks**2).sum() + _PRODUCT * products * (blocks**3).sum())

    def derivatives(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z with the measure Π dφ/2π and two derivatives."""
        return np.array([_log_z(system, float(one), 2) for one in betas]).T

    def log_z(self, system: System, betas: np.ndarray) -> np.ndarray:
        """Log Z with the measure Π dφ/2π."""
        return np.array([_log_z(system, float(one), 0)[0] for one in betas])


def _log_z(system: System, beta: float, order: int) -> tuple[float, ...]:
    """Log Z and, with `order` 2, its first two derivatives in β."""
    down, right = _couplings(system)
    width = down.shape[1]
    rows = _rows(system, down, beta)
    total: Jet | None = None
    for flux in range(int(rows.sum(1).max()) + 1):
        states = rows[rows.sum(1) == flux]
        if not len(states):
            continue
        if len(states) > MAX_BLOCK:
            raise HamlearnError(
                f"the character expansion of {system!r} at beta={beta:.4g} needs blocks of {len(states)} currents (at most {MAX_BLOCK}): "
                "lower beta, a narrower lattice, or sample it with hl.simulate."
            )
        same = _uniform(down, right)
        matrices = [_transfer(states, down[r], None if right is None else right[r], beta, order) for r in range(1 if same else len(down))]
        product = _power(matrices[0], len(down)) if same else reduce(_matmul, matrices)
        trace = tuple(np.array((2 if flux else 1) * np.trace(one)) for one in product)  # currents −n weigh as much as n
        total = trace if total is None else tuple(a + b for a, b in zip(total, trace, strict=True))
    assert total is not None and width >= 1  # no current at all is always among the states
    scale = beta * float(np.abs(directions_of(system).J).sum())  # the Bessel functions are scaled by exp(−β|J|)
    z = [float(one) for one in total]
    if z[0] <= 0:
        raise HamlearnError(f"log Z of the frustrated {system!r} at beta={beta:.4g} is lost to cancellation; sample it with hl.simulate.")
    if order == 0:
        return (np.log(z[0]) + scale,)
    slope = z[1] / z[0]
    return np.log(z[0]) + scale, slope, z[2] / z[0] - slope**2


def sizes(system: System, beta: float) -> tuple[int, int, np.ndarray]:
    """What log Z costs: rows of the lattice, transfer matrices that differ, and the sizes of their blocks."""
    down, right = _couplings(system)
    rows = _rows(system, down, beta)
    return len(down), 1 if _uniform(down, right) else len(down), np.bincount(rows.sum(1)).astype(float)


def _rows(system: System, down: np.ndarray, beta: float) -> np.ndarray:
    strength = beta * float(np.abs(directions_of(system).J).max(initial=0))
    if not strength < STRONGEST:
        raise HamlearnError(
            f"the character expansion of {system!r} at beta={beta:.4g} needs currents up to beta |J| = {strength:.3g} (at most "
            f"{STRONGEST:g}): raise the temperature, or sample it with hl.simulate."
        )
    return _row_states(beta * np.abs(down).max(0), int(np.ceil(6 + 6 * np.sqrt(strength) + strength)))


def _uniform(down: np.ndarray, right: np.ndarray | None) -> bool:
    return bool(np.all(down == down[0]) and (right is None or np.all(right == right[0])))


def _couplings(system: System) -> tuple[np.ndarray, np.ndarray | None]:
    """Couplings down ``(rows, width)`` and to the right (None for a chain), rows along the shorter axis."""
    shape, J = system.lattice.shape, np.asarray(directions_of(system).J)
    live = [axis for axis, extent in enumerate(shape) if extent > 1]
    by_axis = {axis: J[k * system.lattice.n_sites :][: system.lattice.n_sites].reshape(shape) for k, axis in enumerate(live)}
    if not live:
        return np.zeros((1, 1)), None
    if len(live) == 1:
        return by_axis[live[0]].reshape(-1, 1), None
    down, right = by_axis[0], by_axis[1]
    return (down, right) if shape[1] <= shape[0] else (right.T, down.T)


def _row_states(strength: np.ndarray, top: int) -> np.ndarray:
    """Rows of currents ``(n, width)`` whose weight is not negligible and whose sum is not negative."""
    n = np.arange(-top, top + 1)
    with np.errstate(divide="ignore"):
        each = np.log(special.ive(np.abs(n), strength[:, None])) - np.log(special.ive(0, strength))[:, None]
    rows, weight = np.zeros((1, 0), int), np.zeros(1)
    for column in each:
        joined = weight[:, None] + column
        i, k = np.nonzero(joined > np.log(_NEGLIGIBLE))
        rows, weight = np.concatenate([rows[i], n[k][:, None]], 1), joined[i, k]
    return rows[rows.sum(1) >= 0]


def _transfer(states: np.ndarray, down: np.ndarray, right: np.ndarray | None, beta: float, order: int) -> Jet:
    """Weights ``(n, n)`` of the row between currents `states` (from above) and `states` (downwards)."""
    leaving = reduce(_times, [_bessel(states[:, c], down[c], beta, order) for c in range(states.shape[1])])
    if right is None:
        return tuple(np.diag(one) for one in leaving)
    # Conservation at site c: right_c = right_{c−1} + above_c − below_c, so one current is free and the rest follow.
    jumps = [np.subtract.outer(column, column) for column in np.cumsum(states, axis=1)[:, :-1].T]
    most = [int(jump.max()) for jump in jumps]
    code = reduce(lambda sofar, pair: sofar * (2 * pair[1] + 1) + pair[0] + pair[1], zip(jumps, most, strict=True), np.zeros_like(jumps[0]))
    present = np.flatnonzero(np.bincount(code.ravel()))  # every distinct set of jumps is summed once
    distinct = np.stack(np.unravel_index(present, [2 * m + 1 for m in most]), -1) - most
    index = np.zeros(int(present[-1]) + 1, int)
    index[present] = np.arange(len(present))
    reach = int(np.abs(distinct).max(initial=0) + np.ceil(5 + 6 * np.sqrt(beta * np.abs(right).max())))
    free = np.arange(-reach, reach + 1)
    size, parts = max(1, (1 << 22) // free.size), []
    for begin in range(0, len(distinct), size):
        currents = [free[None] + distinct[begin : begin + size, c - 1, None] if c else free[None] for c in range(len(right))]
        jets = [_bessel(current, right[(c - 1) % len(right)], beta, order) for c, current in enumerate(currents)]
        parts.append(tuple(one.sum(1) for one in reduce(_times, jets)))
    across = tuple(np.concatenate(one)[index[code]] for one in zip(*parts, strict=True))
    return _times(across, tuple(one[None] for one in leaving))


def _bessel(n: np.ndarray, J: float, beta: float, order: int) -> Jet:
    """I_n(βJ) exp(−β|J|) and its derivatives in β at fixed scale; I_n(−x) = (−1)^n I_n(x)."""
    low = int(np.abs(n).max(initial=0)) + 2
    every = np.arange(-low - 1, low + 2)
    table = special.ive(np.abs(every), beta * abs(J)) * np.where((every % 2 == 1) & (J < 0), -1.0, 1.0)
    at = np.asarray(n) + low + 1
    if order == 0:
        return (table[at],)
    return table[at], J * (table[at - 1] + table[at + 1]) / 2, J**2 * (table[at - 2] + 2 * table[at] + table[at + 2]) / 4


def _times(a: Jet, b: Jet) -> Jet:
    """Product of two jets, elementwise."""
    return (a[0] * b[0], a[1] * b[0] + a[0] * b[1], a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2]) if len(a) == 3 else (a[0] * b[0],)


def _matmul(a: Jet, b: Jet) -> Jet:
    """Product of two jets of matrices."""
    return (a[0] @ b[0], a[1] @ b[0] + a[0] @ b[1], a[2] @ b[0] + 2 * a[1] @ b[1] + a[0] @ b[2]) if len(a) == 3 else (a[0] @ b[0],)


def _power(a: Jet, n: int) -> Jet:
    """The n-th power, n ≥ 1, by squaring."""
    result: Jet | None = None
    while n:
        result = (a if result is None else _matmul(result, a)) if n & 1 else result
        n >>= 1
        a = _matmul(a, a) if n else a
    assert result is not None
    return result
