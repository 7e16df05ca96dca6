"""The normalisation of exp(K s·e) on the unit sphere of n dimensions: what conditionals and trees of unit vectors are made of.

λ(K) = ∫ exp(K s·e) with the uniform measure = Γ(n/2) (2/K)^{n/2−1} I_{n/2−1}(K): I₀ for angles (n = 2), sinh(K)/K for n = 3
(Fisher, Am. J. Phys. 32, 343, 1964; Stanley, Phys. Rev. 179, 570, 1969).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

_SMALL, _LARGE = 1e-2, 200.0
_ORDERS = 30  # that the continued fraction begins above the one that is asked for


def log_area(n: int) -> float:
    """Ln of the area of the sphere: 2π for n = 2, 4π for n = 3."""
    return float(np.log(2) + n / 2 * np.log(np.pi) - special.gammaln(n / 2))


def log_normaliser(K: Any, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ln λ(K), A(K)/K and A'(K) with A = λ'/λ the mean of s·e, for K ≥ 0 of any size.

    Examples
    --------
    >>> [round(float(one), 6) for one in log_normaliser(2.0, 3)]  # ln(sinh 2/2), (coth 2 − 1/2)/2, 1/4 − 1/sinh² 2
    [0.59522, 0.268657, 0.173978]
    """
    K = np.asarray(K, float)
    small, two, four = K < _SMALL, n + 2, (n + 2) * (n + 4)
    safe = np.where(small, 1.0, K)
    value, ratio = _of_bessel_functions(safe, n)
    value = np.where(small, K**2 / (2 * n) - K**4 / (4 * n**2 * two) + K**6 / (3 * n**3 * four), value)
    ratio = np.where(small, 1 / n - K**2 / (n**2 * two) + 2 * K**4 / (n**3 * four), ratio)
    # A' = 1 − (n − 1) A/K − A² loses its digits where A → 1: there it is the derivative of A = 1 − (n−1)/2K + (n−1)(n−3)/8K² + …
    far, k, m = np.maximum(K, 1.0), n - 1, (n - 1) * (n - 3)
    slope = np.where(K > _LARGE, (k / 2 - m / 4 / far - 3 * m / 8 / far**2) / far**2, 1 - k * ratio - (ratio * K) ** 2)
    return value, ratio, slope


def _of_bessel_functions(K: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Ln λ(K) and A(K)/K where K is not tiny: SciPy's functions of any order are ten times slower than the common ones."""
    if n == 3:
        return K + np.log(-np.expm1(-2 * K) / (2 * K)), (1 / np.tanh(K) - 1 / K) / K
    order = n / 2 - 1
    scaled, above = (special.i0e(K), special.i1e(K)) if n == 2 else (special.ive(order, K), special.ive(order + 1, K))
    return special.gammaln(n / 2) + order * np.log(2 / K) + np.log(scaled) + K, above / scaled / K


def jax_log_normaliser(K: Any, n: int) -> Any:
    """Ln λ(K) for JAX, K > 0.

    λ is I₀ or sinh(K)/K, and from there λ_{n+2}/λ_n = n ρ_n with ρ_n = A_n/K = 1/(n + K² ρ_{n+2}), a continued fraction that is begun far
    enough up with a close bound on ρ_n (Amos, Math. Comput. 28, 239, 1974).
    """
    import jax.numpy as jnp
    from jax.scipy.special import i0e

    value = K + (jnp.log(-jnp.expm1(-2 * K) / (2 * K)) if n % 2 else jnp.log(i0e(K)))
    base = 3 if n % 2 else 2
    if n > base:
        top = n + 2 * _ORDERS
        ratio = 2 / (top - 1 + jnp.sqrt((top + 1) ** 2 + 4 * K**2))
        for below in range(top - 2, base - 1, -2):
            ratio = 1 / (below + K**2 * ratio)
            if below < n:
                value = value + jnp.log(below * ratio)
    return value
