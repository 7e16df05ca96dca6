"""Independent paths of the double well from a transfer matrix on a grid; shares no code with the library.

x_t is drawn from p(x_t | x_{t−1}, x_0) ∝ T(x_{t−1}, x_t) T^{N−t}(x_t, x_0) on the points of a uniform quadrature grid. Values lie on the
grid, but the trapezoidal rule makes every smooth expectation, of one slice or of neighbours, that of the continuum to about 1e-10.
"""

from __future__ import annotations

import numpy as np


def potential(x: np.ndarray, lam: float = 4.0, mu: float = 2.8) -> np.ndarray:
    """V = (λ/4)(x² − μ²/λ)²."""
    return lam / 4 * (x**2 - mu**2 / lam) ** 2


def paths(n_tau: int, beta: float, size: int, seed: int, points_per_width: float = 3.0) -> np.ndarray:
    """`size` independent periodic paths, shape ``(size, n_tau)``."""
    a = beta / n_tau
    reach = 1.4 + min(3.5, 4.0 / np.sqrt(a))
    grid = np.linspace(-reach, reach, int(np.ceil(2 * reach * points_per_width / min(np.sqrt(a), 0.5))) + 1)
    T = np.exp(-((grid[:, None] - grid) ** 2) / (2 * a) - a * (potential(grid)[:, None] + potential(grid)) / 2)
    T /= np.linalg.eigvalsh(T)[-1]
    powers = [np.eye(len(grid))]
    for _ in range(n_tau):
        powers.append(powers[-1] @ T)
    rng = np.random.default_rng(seed)
    first = rng.choice(len(grid), size, p=np.diag(powers[n_tau]) / np.trace(powers[n_tau]))
    index = np.empty((size, n_tau), np.int64)
    index[:, 0] = first
    for t in range(1, n_tau):
        for start in range(0, size, 2000):
            rows = slice(start, start + 2000)
            weight = T[index[rows, t - 1]] * powers[n_tau - t][first[rows]]
            cumulative = np.cumsum(weight, 1)
            index[rows, t] = (cumulative < rng.uniform(size=len(weight))[:, None] * cumulative[:, -1:]).sum(1)
    return grid[index]


def action(x: np.ndarray, beta: float) -> np.ndarray:
    """S = Σ (Δx)²/(2a) + a V(x)."""
    a = beta / x.shape[-1]
    return ((np.roll(x, -1, -1) - x) ** 2).sum(-1) / (2 * a) + a * potential(x).sum(-1)
