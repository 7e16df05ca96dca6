"""Exact answers for imaginary-time paths: the transfer operator on a quadrature grid.

exp(−S) is a product of kernels T(x_i, x_{i+1}) = exp(−k(x_i − x_{i+1})/a − a(V(x_i) + V(x_{i+1}))/2), k(d) = κd²/2. On an equidistant
grid the trapezoidal rule integrates such functions with an error that falls like exp(−2π²σ²/h²), so a few dozen
points give twelve digits; the grid is refined until log Z no longer changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError
from hamlearn.processes import verb
from hamlearn.systems.path import Path, one_temperature

TOLERANCE = 1e-11
"""Largest change of log Z under refinement of the grid."""
MAX_POINTS = 3000
_TAIL = 75.0  # actions above this, e^-75, lie outside the grid


@dataclass(frozen=True, eq=False)
class TransferOperator:
    """The kernel of a path at one temperature on a grid, diagonalised.

    Attributes
    ----------
    path, beta : Path, float
        What it is the kernel of.
    x : array (n,)
        Grid points.
    h : float
        Their distance.
    V : array (n,)
        Potential above its minimum on the grid.
    matrix : array (n, n)
        h T(x, y), with V counted from its minimum.
    eigenvalues : array (n,)
        Of `matrix`, descending, divided by the largest, whose logarithm is `log_scale`.
    vectors : array (n, n)
        Orthonormal eigenvectors in columns.
    shift : float
        β × the minimum of V.
    """

    path: Path
    beta: float
    x: np.ndarray
    h: float
    V: np.ndarray
    matrix: np.ndarray
    eigenvalues: np.ndarray
    vectors: np.ndarray
    log_scale: float
    shift: float

    @property
    def a(self) -> float:
        """Width of a time slice."""
        return self.path.spacing(self.beta)

    def kernel(self, x: Any, y: Any) -> np.ndarray:
        """T(x, y) without the factor exp(−aV(x)/2) of its first argument: that of y only, of broadcast arrays."""
        return np.exp(-self.path.near_link(x - y) / self.a - 0.5 * self.a * self.potential(y))

    def potential(self, x: Any) -> np.ndarray:
        """V above its minimum on the grid."""
        return np.asarray(self.path.potential(x), float) - self.shift / self.path.temperature(self.beta)

    @property
    def end(self) -> np.ndarray:
        """exp(−aV/2) on the grid: the half of the potential term that a free end lacks."""
        return np.exp(-0.5 * self.a * self.V)

    @property
    def log_partition(self) -> float:
        """Log Z with the measure Π dx."""
        n = self.path.n_tau
        if self.path.periodic:
            total = np.log(np.sum(self.eigenvalues**n)) + n * self.log_scale
        else:
            overlap = self.vectors.T @ self.end
            total = np.log(self.h * np.sum(overlap**2 * self.eigenvalues ** (n - 1))) + (n - 1) * self.log_scale
        return float(total - self.shift)

    @property
    def gap(self) -> float:
        """ln(λ₀/λ₁)/a: the energy of the first excited state above the ground state, up to O(a²)."""
        return float(-np.log(self.eigenvalues[1]) / self.a)

    def links(self) -> tuple[np.ndarray, np.ndarray]:
        """β-free kinetic and potential parts of one link of a ring, ``(n, n)`` each; they sum to K and V."""
        n = self.path.n_tau
        V = self.V + self.shift / self.path.temperature(self.beta)
        return n * _links(self.path, len(self.x), self.h), 0.5 * (V[:, None] + V) / n

    def moments(self, link: np.ndarray, ends: np.ndarray | None = None) -> tuple[float, float]:
        """Mean and variance of the sum over all links of ``link[x_i, x_{i+1}]``.

        For free ends ``ends[x_0] + ends[x_{N−1}]`` is added.
        """
        n, values, vectors = self.path.n_tau, self.eigenvalues, self.vectors
        scaled = self.matrix * np.exp(-self.log_scale)
        if not self.path.periodic:
            return self._open_moments(scaled, link, ends if ends is not None else np.zeros(len(self.x)))
        z = np.sum(values**n)
        one = vectors.T @ (scaled * link) @ vectors
        two = np.einsum("im,ij,jm->m", vectors, scaled * link**2, vectors, optimize=True)
        mean = n * np.sum(np.diag(one) * values ** (n - 1)) / z
        powers = values ** np.arange(n - 1)[:, None]  # Σ_k λ_m^k λ_l^(N−2−k)
        second = n * (np.sum(two * values ** (n - 1)) + np.sum(one * one.T * (powers.T @ powers[::-1]))) / z
        return float(mean), float(second - mean**2)

    def _open_moments(self, scaled: np.ndarray, link: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
        """The same for free ends: Z(s) with weights e^{s·w}, its first two derivatives carried along the path."""
        first, second = scaled * link, scaled * link**2
        v = [self.end, self.end * ends, self.end * ends**2]
        for _ in range(self.path.n_tau - 1):
            v = [scaled @ v[0], scaled @ v[1] + first @ v[0], scaled @ v[2] + 2 * (first @ v[1]) + second @ v[0]]
            v = [one / v[0].sum() for one in v]
        e = self.end
        z = e @ v[0]
        mean = (e @ v[1] + (e * ends) @ v[0]) / z
        square = (e @ v[2] + 2 * ((e * ends) @ v[1]) + (e * ends**2) @ v[0]) / z
        return float(mean), float(square - mean**2)

    def density(self) -> np.ndarray:
        """Probability density of x at one time of a ring, on the grid, ``(n,)``."""
        weights = self.eigenvalues**self.path.n_tau
        return (self.vectors**2) @ weights / weights.sum() / self.h

    def correlation(self) -> np.ndarray:
        """⟨x_0 x_t⟩ of a ring for t = 0 … N_τ/2."""
        n, element = self.path.n_tau, (self.vectors.T @ (self.x[:, None] * self.vectors)) ** 2
        times = np.arange(n // 2 + 1)[:, None]
        left, right = self.eigenvalues**times, self.eigenvalues ** (n - times)
        return np.einsum("tm,ml,tl->t", left, element, right, optimize=True) / np.sum(self.eigenvalues**n)


@verb
def transfer_operator(path: Path, beta: float, tolerance: float = TOLERANCE, most: int = MAX_POINTS) -> TransferOperator:
    """The transfer operator of a path on a grid that is fine and wide enough for log Z to 1e-11, or as asked.

    Parameters
    ----------
    path : Path
        Any potential that confines.
    beta : float
        Inverse temperature, > 0.
    tolerance : float
        Largest relative change of log Z under the last refinement of the grid.
    most : int
        Grid points, beyond which it is given up.

    Raises
    ------
    HamlearnError
        If the potential does not confine, is not finite, or is too rough for so many grid points.
    """
    beta = one_temperature(beta)
    tolerance = require_number(tolerance, "tolerance of log Z", above=0)
    low, high = confined(path, beta)
    h = 0.6 * np.sqrt(path.spacing(beta) / (2 * path.kinetic))
    points = int(np.clip(np.ceil((high - low) / h), 24, most // 2)) + 1
    found = _operator(path, beta, low, high, points)
    while points < most:
        points = int(1.4 * points)
        finer = _operator(path, beta, low, high, points)
        if abs(finer.log_partition - found.log_partition) < tolerance * max(1.0, abs(finer.log_partition)):
            return finer
        found = finer
    raise HamlearnError(
        f"log Z of {path!r} does not converge on {most} grid points in [{low:.4g}, {high:.4g}]: the potential is too rough "
        "or the time slices are too narrow for the quadrature. Use fewer slices, or sample it with hl.simulate(sampler='hmc')."
    )


def _operator(path: Path, beta: float, low: float, high: float, points: int) -> TransferOperator:
    x, a = np.linspace(low, high, points), path.spacing(beta)
    h = float(x[1] - x[0])
    V = _values(path, x)
    bottom = float(V.min())
    V = V - bottom
    matrix = h * np.exp(-_links(path, points, h) / a - 0.5 * a * (V[:, None] + V))
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1], vectors[:, ::-1]
    if path.quadratic:
        values = np.maximum(values, 0.0)  # a Gaussian kernel is positive: the rest is rounding
    return TransferOperator(
        path, beta, x, h, V, matrix, values / values[0], vectors, float(np.log(values[0])), path.temperature(beta) * bottom
    )


def _links(path: Path, points: int, h: float) -> np.ndarray:
    """k(x_i − x_j) on an equidistant grid, ``(points, points)``: one value for every distance."""
    apart = np.arange(points)
    return np.asarray(path.link(h * apart), float)[np.abs(apart[:, None] - apart)]


def _values(path: Path, x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        V = np.asarray(path.potential(x), float)
    if np.any(np.isnan(V)) or np.any(np.isneginf(V)):
        raise HamlearnError(
            f"the potential of {path!r} is NaN or −∞ for some x in [{x[0]:.4g}, {x[-1]:.4g}]; it must be defined everywhere."
        )
    return V


def _range(path: Path, beta: float) -> tuple[float, float]:
    """Where paths go: outside, the cheapest excursion costs more than e^-75.

    An excursion from the region where βV is small to x and back costs the smaller of β(V(x) − V_min) (the whole path
    moves there) and 2∫√(2κ(V − V_min))dx (the least action of going there).
    """
    reach = 4.0
    while reach < 1e7:
        x = np.linspace(-reach, reach, 8001)
        V = _values(path, x)
        excess = np.minimum(V - V.min(), 1e12)
        quiet = np.flatnonzero(beta * excess <= 1.0)
        step = 2 * np.sqrt(2 * path.kinetic * excess) * (x[1] - x[0])
        right, left = np.cumsum(step[quiet[-1] :]), np.cumsum(step[quiet[0] :: -1])
        beyond = np.flatnonzero(np.minimum(right, beta * excess[quiet[-1] :]) > _TAIL)
        before = np.flatnonzero(np.minimum(left, beta * excess[quiet[0] :: -1]) > _TAIL)
        if beyond.size and before.size:
            return float(x[quiet[0] - before[0]]), float(x[quiet[-1] + beyond[0]])
        reach *= 2
    raise HamlearnError(f"the potential of {path!r} does not confine: paths run away, log Z is infinite and there is nothing to sample.")


def confined(path: Path, beta: float) -> tuple[float, float]:
    """The interval outside which paths do not go, or an error if the potential does not confine them."""
    return _range(path, path.temperature(one_temperature(beta)))
