r"""The square Ising ferromagnet on a finite torus: log Z of any size in closed form.

Kaufman (Phys. Rev. 76, 1232, 1949), written as by Ferdinand and Fisher (Phys. Rev. 185, 832, 1969) and with a coupling
per axis. With K = βJ along the axis of extent n, K' = βJ' along that of extent m and tanh K* = exp(−2K'),

    Z = ½ (2 sinh 2K')^{nm/2} [ Π 2cosh(mγ_{2r+1}/2) + Π 2sinh(mγ_{2r+1}/2) + Π 2cosh(mγ_{2r}/2) + Π 2sinh(mγ_{2r}/2) ],

r = 0 … n−1, cosh γ_l = cosh 2K* cosh 2K − sinh 2K* sinh 2K cos(πl/n). This is
sinh²(γ_l/2) = sinh²(K − K*) + sinh 2K* sinh 2K sin²(πl/2n): no cancellation at the critical point K = K*, and for l = 0
the square root is taken with its sign, γ_0/2 = K − K*, negative above the critical temperature.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.systems import lattice as lattices
from hamlearn.systems.pairs import Pairs

_ROUNDING = 1e-13  # of the largest entry of a table: tables that were made from sums have such


def couplings(pairs: Pairs) -> tuple[float, float, float] | None:
    """Size of the couplings along both axes of a uniform torus of spins without field, and the constant of minus its energy.

    None for anything else. A nearest-neighbour model on a periodic square lattice with one coupling per axis; an antiferromagnet is
    treated on even extents, where flipping one sublattice makes it a ferromagnet. Whichever way its tables were written: what of
    them depends on one site only is a field, and must cancel.
    """
    lattice, tables = pairs.lattice, pairs.tables
    if pairs.q != 2 or len(lattice.shape) != 2 or min(lattice.shape) < 2 or not len(tables):
        return None
    torus = lattices.hypercubic(lattice.shape)
    axis = np.repeat([0, 1], torus.n_sites)
    ours, J = _once(lattice.bonds, ((tables[:, 0, 0] + tables[:, 1, 1]) - (tables[:, 0, 1] + tables[:, 1, 0])) / 4)
    theirs, (times, along) = _once(torus.bonds, np.stack([np.ones(len(axis)), axis], -1))
    if not np.array_equal(ours, theirs):
        return None
    J, along = J / times, along / times  # on an axis of extent 2 both bonds join the same two sites
    ends = (tables.sum(2), tables.sum(1))  # what a bond adds to its first and to its second site
    fields = (pairs.fields[:, 1] - pairs.fields[:, 0]) / 2
    for end in (0, 1):
        np.add.at(fields, lattice.bonds[:, end], (ends[end][:, 1] - ends[end][:, 0]) / 4)
    rounding = _ROUNDING * max(np.abs(tables).max(), np.abs(pairs.fields).max())
    first, second = J[along == 0], J[along == 1]
    if np.abs(fields).max() > 8 * rounding or np.ptp(first) > rounding or np.ptp(second) > rounding:
        return None
    if np.sign(first[0]) * np.sign(second[0]) <= 0 or (first[0] < 0 and any(extent % 2 for extent in lattice.shape)):
        return None
    return abs(float(np.median(first))), abs(float(np.median(second))), float(tables.mean((1, 2)).sum() + pairs.fields.mean(1).sum())


def _once(bonds: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair once, in order, and the sum of its values along the first axis (the last one first)."""
    pairs, index = np.unique(np.sort(bonds, axis=1), axis=0, return_inverse=True)
    total = np.zeros((len(pairs), *values.shape[1:]))
    np.add.at(total, index.ravel(), values)
    return pairs, total.T


def log_partition(extents: tuple[int, int], K: jax.Array, K_other: jax.Array | None = None) -> jax.Array:
    """Log Z of the n × m torus at K = βJ > 0 along the axis of extent n and `K_other` along the other one (default: K).

    A traceable scalar function of the couplings.

    Examples
    --------
    >>> import jax
    >>> from hamlearn.systems.exact import kaufman
    >>> with jax.enable_x64(True):
    ...     print(f"{kaufman.log_partition((8, 8), 0.44):.7f}")
    60.0763075
    """
    n, m = extents
    K = jnp.asarray(K)
    across = K if K_other is None else jnp.asarray(K_other)
    dual = jnp.arctanh(jnp.exp(-2 * across))
    # sinh K overflows beyond K = 710; far below that γ_l is its leading term in exp(−2K) to double precision.
    large = K > 300
    safe = jnp.where(large, 1.0, K)
    product = jnp.sinh(2 * safe) * jnp.sinh(2 * dual)

    def gamma(l: np.ndarray) -> jax.Array:
        wave = np.sin(np.pi * l / (2 * n)) ** 2
        far = 2 * K + jnp.log(jnp.exp(-2 * dual) + 2 * jnp.sinh(2 * dual) * wave)
        return jnp.where(large, far, 2 * jnp.arcsinh(jnp.sqrt(jnp.sinh(safe - dual) ** 2 + product * wave)))

    odd = m / 2 * gamma(2 * np.arange(n) + 1)
    even = m / 2 * gamma(2 * np.arange(1, n))
    zero = m * (K - dual)

    # γ_0 passes through zero at the critical point: its factors keep their sign and a common scale exp(|x|).
    scale = lax.stop_gradient(jnp.abs(zero))
    up, down = jnp.exp(zero - scale), jnp.exp(-zero - scale)
    logs = jnp.stack([_log_cosh(odd), _log_sinh(odd), _log_cosh(even) + scale, _log_sinh(even) + scale])
    factors = jnp.stack([jnp.ones_like(up), jnp.ones_like(up), up + down, up - down])
    top = lax.stop_gradient(logs.max())
    bracket = top + jnp.log(jnp.sum(factors * jnp.exp(logs - top)))
    log_two_sinh = 2 * across + jnp.log1p(-jnp.exp(-4 * across))
    return n * m / 2 * log_two_sinh + bracket - np.log(2)


def _log_cosh(x: jax.Array) -> jax.Array:
    """Σ log 2cosh x for x > 0."""
    return jnp.sum(x + jnp.log1p(jnp.exp(-2 * x)))


def _log_sinh(x: jax.Array) -> jax.Array:
    """Σ log 2sinh x for x > 0."""
    return jnp.sum(x + jnp.log1p(-jnp.exp(-2 * x)))
