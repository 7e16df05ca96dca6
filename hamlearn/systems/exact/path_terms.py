"""Means and covariances of sums along a periodic path, of functions of its steps and of its values: derivatives of ln Z.

With S = Σ_k θ_k T_k of such sums, ∂ ln Z/∂θ_k = −⟨T_k⟩ and ∂² ln Z/∂θ_k ∂θ_l = Cov(T_k, T_l). Between the eigenvectors of the transfer
operator a sum over pairs of places is a geometric one, so that nothing is simulated.
"""

from __future__ import annotations

import numpy as np

from hamlearn.systems.exact.path import TransferOperator

_NEGLIGIBLE = 1e-17  # of the leading eigenvalue's power
_LEAST = 1e-14  # of the leading eigenvalue


def term_moments(operator: TransferOperator, steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means ``(p,)`` and covariance ``(p, p)`` of Σ_t f(x_{t+1} − x_t) and Σ_t g(x_t) of a ring.

    Parameters
    ----------
    operator : TransferOperator
        Of a periodic path.
    steps : array (n, p_steps)
        Even functions f at the distances 0, h, 2h, … of the operator's grid.
    values : array (n, p_values)
        Functions g on that grid.

    Examples
    --------
    >>> from hamlearn.systems import Path, Polynomial
    >>> from hamlearn.systems.exact import transfer_operator
    >>> one = transfer_operator(Path(4, Polynomial([0.0, 0.5])), 2.0)
    >>> apart = one.h * np.arange(len(one.x))
    >>> means, _ = term_moments(one, apart[:, None] ** 2 / (2 * one.a), one.a * one.x[:, None] ** 2 / 2)
    >>> round(float(means.sum()), 6)  # half a unit of action for each of four degrees of freedom
    2.0
    """
    n, size = operator.path.n_tau, len(operator.x)
    live = np.abs(operator.eigenvalues) > _LEAST
    ratio, vectors = operator.eigenvalues[live], operator.vectors[:, live]
    # In every product of matrix elements one of the two states has to matter: rows are those that do, columns are all.
    first = np.abs(ratio) ** (n - 2) > _NEGLIGIBLE
    rows, twice = vectors[:, first], np.where(first, 1.0, 2.0)
    matrix = operator.matrix * np.exp(-operator.log_scale)
    apart = np.abs(np.arange(size)[:, None] - np.arange(size))
    K = [(rows.T @ (matrix * f[apart])) @ vectors for f in steps.T]
    G = [(rows.T * g) @ vectors for g in values.T]
    norm = float(np.sum(ratio**n))
    pair = matrix * ((vectors * ratio ** (n - 1)) @ vectors.T)
    distance, density = np.bincount(apart.ravel(), pair.ravel(), size), (vectors**2) @ ratio**n
    means = np.r_[distance @ steps, density @ values] * (n / norm)
    powers = ratio ** np.arange(n)[:, None]

    def products(left: list[np.ndarray], right: list[np.ndarray], between: np.ndarray) -> np.ndarray:
        if not (left and right):
            return np.zeros((len(left), len(right)))
        weighted = np.stack([(one * (between * twice)).ravel() for one in left])
        return np.asarray(weighted @ np.stack([one.ravel() for one in right]).T)

    def split(total: int) -> np.ndarray:
        """Σ_j λ_m^j λ_l^(total−j), j = 0 … total."""
        some = powers[: total + 1]
        return np.asarray(some[:, first].T @ some[::-1])

    both = products(K, K, split(n - 2)) + (steps.T * distance) @ steps
    mixed = products(K, G, split(n - 1))
    apart_values = ratio[first][:, None] * split(n - 2) * ratio  # two different slices: at least one link on either side
    alike = products(G, G, apart_values) + (values.T * density) @ values
    return means, np.block([[both, mixed], [mixed.T, alike]]) * (n / norm) - np.outer(means, means)
