r"""The square Ising ferromagnet on a finite torus: log Z of any size in closed form.

Kaufman (Phys. Rev. 76, 1232, 1949), written as by Ferdinand and Fisher (Phys. Rev. 185, 832, 1969). With K = βJ, for
n × m spins,

    Z = ½ (2 sinh 2K)^{nm/2} [ Π 2cosh(mγ_{2r+1}/2) + Π 2sinh(mγ_{2r+1}/2) + Π 2cosh(mγ_{2r}/2) + Π 2sinh(mγ_{2r}/2) ],

r = 0 … n−1, cosh γ_l = cosh² 2K / sinh 2K − cos(πl/n). With s = sinh 2K this is
sinh²(γ_l/2) = (s − 1)²/(2s) + sin²(πl/2n): no cancellation at the critical point s = 1, and for l = 0 the square root is
taken with its sign, sinh(γ_0/2) = (s − 1)/√(2s), negative above the critical temperature.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hamlearn.systems import lattice as lattices
from hamlearn.systems.pairwise import Pairwise


def applies(system: object) -> bool:
    """Whether `system` is a uniform nearest-neighbour Ising model on a periodic square lattice without field.

    An antiferromagnet is treated on even extents, where flipping one sublattice makes it a ferromagnet.
    """
    if not isinstance(system, Pairwise) or len(system.lattice.shape) != 2 or min(system.lattice.shape) < 2:
        return False
    J, lattice = system.J, system.lattice
    if not lattice.periodic or np.any(system.h != 0) or J[0] == 0 or np.any(J != J[0]):
        return False
    if J[0] < 0 and any(extent % 2 for extent in lattice.shape):
        return False
    torus = lattices.hypercubic(lattice.shape).bonds
    return bool(np.array_equal(_sorted_bonds(torus), _sorted_bonds(lattice.bonds)))


def _sorted_bonds(bonds: np.ndarray) -> np.ndarray:
    ends = np.sort(bonds, axis=1)
    return ends[np.lexsort(ends.T)]


def log_partition(extents: tuple[int, int], K: jax.Array) -> jax.Array:
    """Log Z of the n × m torus at K = β|J| > 0, a traceable scalar function of `K`.

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
    # sinh 2K overflows beyond 2K = 710; far below that γ_l = 2K + O(exp(−2K)) already to double precision.
    large = 2 * K > 600
    s = jnp.sinh(jnp.where(large, 1.0, 2 * K))
    mean_square = (jnp.sqrt(s) - 1 / jnp.sqrt(s)) ** 2 / 2

    def gamma(l: np.ndarray) -> jax.Array:
        return jnp.where(large, 2 * K, 2 * jnp.arcsinh(jnp.sqrt(mean_square + np.sin(np.pi * l / (2 * n)) ** 2)))

    odd = m / 2 * gamma(2 * np.arange(n) + 1)
    even = m / 2 * gamma(2 * np.arange(1, n))
    zero = m / 2 * jnp.where(large, 2 * K, 2 * jnp.arcsinh((jnp.sqrt(s) - 1 / jnp.sqrt(s)) / np.sqrt(2)))

    # γ_0 passes through zero at the critical point: its factors keep their sign and a common scale exp(|x|).
    scale = lax.stop_gradient(jnp.abs(zero))
    up, down = jnp.exp(zero - scale), jnp.exp(-zero - scale)
    logs = jnp.stack([_log_cosh(odd), _log_sinh(odd), _log_cosh(even) + scale, _log_sinh(even) + scale])
    factors = jnp.stack([jnp.ones_like(up), jnp.ones_like(up), up + down, up - down])
    top = lax.stop_gradient(logs.max())
    bracket = top + jnp.log(jnp.sum(factors * jnp.exp(logs - top)))
    log_two_sinh = 2 * K + jnp.log1p(-jnp.exp(-4 * K))
    return n * m / 2 * log_two_sinh + bracket - np.log(2)


def _log_cosh(x: jax.Array) -> jax.Array:
    """Σ log 2cosh x for x > 0."""
    return jnp.sum(x + jnp.log1p(jnp.exp(-2 * x)))


def _log_sinh(x: jax.Array) -> jax.Array:
    """Σ log 2sinh x for x > 0."""
    return jnp.sum(x + jnp.log1p(-jnp.exp(-2 * x)))
