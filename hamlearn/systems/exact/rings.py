"""Independent paths from the exact distribution, slice by slice.

Given x_0 and x_{t−1} the next slice of a ring has the density p(x_t) ∝ T(x_{t−1}, x_t) T^{N−t}(x_t, x_0). The powers of the
kernel come from its spectrum (:mod:`.path`); the density at any x, not only on the grid, is one more quadrature. Values
are drawn by rejection from a step function above the density, so they are continuous and their distribution is exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hamlearn.systems.exact.path import TransferOperator, transfer_operator
from hamlearn.systems.path import Path

_FINER = 2  # cells per grid point of the operator
# The operator's grid, finer than it needs to be by 1.4, resolves every density's width σ to h < 0.6 σ; inside a cell of h/2 the
# density then exceeds its largest value at the neighbouring centres by less than exp((h/2)²/8σ²) = 1.012.
_ABOVE = 1.03
_CHUNK = 2048  # paths at once
_NEGLIGIBLE = 1e-18  # of the leading eigenvalue's power


def sample(path: Path, beta: float, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Independent paths ``(draws, n_tau)``, float64."""
    operator = transfer_operator(path, beta)
    run = _ring if path.periodic else _free
    chunks = [run(operator, min(_CHUNK, draws - start), generator) for start in range(0, draws, _CHUNK)]
    return np.concatenate(chunks)


class _Cells:
    """A fine grid of cells, and rejection from the step function above a density."""

    def __init__(self, operator: TransferOperator) -> None:
        self.operator = operator
        self.width = operator.h / _FINER
        count = (len(operator.x) - 1) * _FINER + 1
        self.x = operator.x[0] + self.width * np.arange(count)
        self.half = np.exp(-0.5 * operator.a * operator.potential(self.x))  # e^{−aV/2}
        self.onward = operator.kernel(operator.x[:, None], self.x) * operator.end[:, None]  # T(grid, cells)

    def draw(self, density: np.ndarray, evaluate: Callable[[np.ndarray, np.ndarray], np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """One x per row of `density` (rows, cells); ``evaluate(x, rows)`` is the same density anywhere."""
        ceiling = density.copy()
        np.maximum(ceiling[:, 1:], density[:, :-1], out=ceiling[:, 1:])
        np.maximum(ceiling[:, :-1], density[:, 1:], out=ceiling[:, :-1])
        ceiling *= _ABOVE
        cumulative = np.cumsum(ceiling, axis=1)
        result, rows = np.empty(len(density)), np.arange(len(density))
        while rows.size:
            level = rng.random(rows.size) * cumulative[rows, -1]
            own = cumulative if rows.size == len(density) else cumulative[rows]
            cell = np.minimum(np.count_nonzero(own < level[:, None], axis=1), len(self.x) - 1)
            x = self.x[cell] + self.width * (rng.random(rows.size) - 0.5)
            accepted = rng.random(rows.size) * ceiling[rows, cell] < evaluate(x, rows)
            result[rows[accepted]] = x[accepted]
            rows = rows[~accepted]
        return result


def _ring(operator: TransferOperator, count: int, rng: np.random.Generator) -> np.ndarray:
    n, values, vectors = operator.path.n_tau, operator.eigenvalues, operator.vectors
    cells = _Cells(operator)
    paths = np.empty((count, n))

    def closing(x: np.ndarray) -> np.ndarray:
        """The density of x_0: T^N(x, x) by the spectrum of the inner N − 2 kernels."""
        ends = _from(operator, x) @ vectors
        return (ends**2) @ values ** (n - 2)

    on_cells = np.broadcast_to(closing(cells.x), (count, len(cells.x)))
    start = paths[:, 0] = cells.draw(on_cells, lambda x, rows: closing(x), rng)
    amplitudes = _from(operator, start) @ vectors  # of T(·, x_0) in the eigenbasis
    for t in range(1, n):
        before, remaining = paths[:, t - 1], n - t
        message: np.ndarray | None = None
        basis: np.ndarray | None = None
        density = operator.kernel(before[:, None], cells.x)
        if remaining == 1:
            density *= operator.kernel(start[:, None], cells.x)
        else:
            weights = values ** (remaining - 2)
            kept = np.abs(weights) > _NEGLIGIBLE
            # In the eigenbasis: far from the seam only a few modes are left.
            message, basis = amplitudes[:, kept] * weights[kept], vectors[:, kept]
            message /= np.abs(message).max(1, keepdims=True)
            density *= np.maximum(message @ (basis.T @ cells.onward), 0.0)

        def evaluate(
            x: np.ndarray,
            rows: np.ndarray,
            before: np.ndarray = before,
            message: np.ndarray | None = message,
            basis: np.ndarray | None = basis,
        ) -> np.ndarray:
            here = operator.kernel(before[rows], x)
            if message is None or basis is None:
                return here * operator.kernel(start[rows], x)
            return here * np.sum((_from(operator, x) @ basis) * message[rows], axis=1)

        paths[:, t] = cells.draw(density, evaluate, rng)
    return paths


def _free(operator: TransferOperator, count: int, rng: np.random.Generator) -> np.ndarray:
    n, values, vectors = operator.path.n_tau, operator.eigenvalues, operator.vectors
    cells = _Cells(operator)
    paths = np.empty((count, n))
    overlap = vectors.T @ operator.end
    for t in range(n):
        before = paths[:, t - 1] if t else None
        reach = np.broadcast_to(cells.half, (count, len(cells.x))) if before is None else operator.kernel(before[:, None], cells.x)
        message = None if t == n - 1 else np.maximum(vectors @ (overlap * values ** (n - 2 - t)), 0.0)

        def ahead(x: np.ndarray, message: np.ndarray | None = message) -> np.ndarray:
            return np.exp(-0.5 * operator.a * operator.potential(x)) if message is None else _from(operator, x) @ message

        def evaluate(
            x: np.ndarray, rows: np.ndarray, before: np.ndarray | None = before, ahead: Callable[[np.ndarray], np.ndarray] = ahead
        ) -> np.ndarray:
            here = np.exp(-0.5 * operator.a * operator.potential(x)) if before is None else operator.kernel(before[rows], x)
            return here * ahead(x)

        paths[:, t] = cells.draw(reach * ahead(cells.x), evaluate, rng)
    return paths


def _from(operator: TransferOperator, x: np.ndarray) -> np.ndarray:
    """T(x, grid), ``(len(x), n)``: from any x to every point of the grid."""
    here = np.exp(-0.5 * operator.a * operator.potential(x))
    return np.exp(-operator.path.near_link(x[:, None] - operator.x) / operator.a) * (here[:, None] * operator.end)
