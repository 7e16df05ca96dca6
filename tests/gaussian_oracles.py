"""Gaussian paths and fields in closed form: an oracle that knows nothing of the library's actions."""

import numpy as np

import hamlearn as hl


def precision(shape, u, v, kinetic, c2, periodic=True):
    """Q of S = ½ xᵀQx: κu (degree − adjacency) + 2vc₂."""
    n = int(np.prod(shape))
    sites = np.arange(n).reshape(shape)
    Q = np.zeros((n, n))
    for axis in range(len(shape)):
        for i, j in zip(sites.ravel(), np.roll(sites, -1, axis).ravel(), strict=True):
            if not periodic and abs(int(i) - int(j)) != np.prod(shape[axis + 1 :], dtype=int):
                continue
            Q[i, i] += kinetic * u
            Q[j, j] += kinetic * u
            Q[i, j] -= kinetic * u
            Q[j, i] -= kinetic * u
    return Q + 2 * v * c2 * np.eye(n)


def draws(Q, chains, n, seed, rho=0.0):
    """Draws (chain, draw, site); `rho` is the correlation of successive draws."""
    rng = np.random.default_rng(seed)
    root = np.linalg.inv(np.linalg.cholesky(Q)).T
    noise = rng.normal(size=(chains, n, len(Q)))
    for t in range(1, n):
        noise[:, t] = rho * noise[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    return noise @ root.T


def log_partition(Q):
    """ln ∫Πdx e^{−½xᵀQx}."""
    return 0.5 * len(Q) * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(Q)[1]


def path(n, beta, kinetic, c2, size, seed, *, chains=1, rho=0.0, periodic=True, a=None):
    """Microstates of a harmonic path."""
    width = beta / n if a is None else a
    x = draws(precision((n,), 1 / width, width, kinetic, c2, periodic), chains, size // chains, seed, rho)
    return hl.microstates(x, space="reals", beta=beta, dims=("chain", "draw", "tau"))


def field(shape, beta, kinetic, c2, size, seed):
    """Microstates of a free field."""
    x = draws(precision(shape, beta, beta, kinetic, c2), 1, size, seed)[0]
    return hl.microstates(x.reshape(-1, *shape), space="reals", beta=beta)
