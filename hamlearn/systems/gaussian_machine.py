"""Restricted Boltzmann machines of real fields with Gaussian hidden units, which are summed out: a quadratic form of limited rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError
from hamlearn.systems import lattice as lattices
from hamlearn.systems.base import REALS, Space, as_reals, as_site_axes, broadcast_parameter, one_beta
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.parametric import ParametricSystem, parameter


@dataclass(frozen=True, eq=False, init=False)
class GaussianMachine(ParametricSystem, kind="gaussian_machine"):
    r"""Real fields whose energy is that of Gaussian hidden units summed out: a free field with any form of few low modes.

    Of visible φ and hidden h the joint energy is :math:`\tfrac12 μ^2 φ^\top φ - φ^\top W h + \tfrac12 h^\top h`, and of φ alone

    .. math:: H(φ) = \tfrac12 φ^\top K φ, \qquad K = μ^2 - W W^\top .

    No eigenvalue of K is above μ², and with m hidden units at most m are below it: fewer hidden units than sites cut the spectrum off.
    W and W R are the same machine for every rotation R of the hidden units.

    Parameters
    ----------
    shape : int, sequence of int, or Lattice
        The visible sites.
    weights : array (n_sites, m)
        W, with hidden units of variance 1 at β = 1; σ_h W where theirs is σ_h².
    mu2 : float
        μ², the largest eigenvalue of K.

    Raises
    ------
    HamlearnError
        If K is not positive definite, so that no field has this law, or a parameter has the wrong shape or is not finite.

    Notes
    -----
    Its law is Gaussian at every β, with covariance (βK)⁻¹: log Z, thermodynamics and independent draws are exact
    (:mod:`hamlearn.systems.exact`). Source: Aarts, Lucini and Park, Phys. Rev. D 109, 034521 (2024).

    Examples
    --------
    >>> import numpy as np
    >>> import hamlearn as hl
    >>> machine = GaussianMachine(3, np.array([[1.0], [1.0], [1.0]]), 4.0)
    >>> machine
    GaussianMachine(shape=(3,), 1 hidden unit)
    >>> np.linalg.eigvalsh(machine.quadratic_form()).round(6).tolist()  # 4, less 3 along the one direction
    [1.0, 4.0, 4.0]
    >>> float(machine.log_prob(np.zeros(3), beta=2.0).round(6))  # ½ ln (2³·1·4·4) − 1.5 ln 2π
    -0.3308
    """

    lattice: Lattice
    weights: np.ndarray
    mu2: float

    def __init__(self, shape: int | Sequence[int] | Lattice, weights: Any, mu2: float) -> None:
        lattice = shape if isinstance(shape, Lattice) else lattices.hypercubic(shape)
        hidden = np.shape(weights)[-1:]
        if np.ndim(weights) != 2 or not hidden[0]:
            raise HamlearnError(f"weights must be an array (n_sites, m), a column for every hidden unit; got shape {np.shape(weights)}.")
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "weights", broadcast_parameter(weights, (lattice.n_sites, *hidden), "weights"))
        object.__setattr__(self, "mu2", float(require_number(mu2, "mu2", above=0)))
        largest = float(np.linalg.norm(self.weights, 2)) ** 2
        if not largest < self.mu2:
            raise HamlearnError(
                f"K = mu2 − W Wᵀ must be positive definite, or the field runs away: the largest eigenvalue of W Wᵀ is {largest:.6g}, "
                f"and mu2 must be above it; got mu2={self.mu2:.6g}."
            )

    @property
    def space(self) -> Space:
        """Real numbers."""
        return REALS

    @property
    def even(self) -> bool:
        """True: φ → −φ is a symmetry."""
        return True

    @property
    def free(self) -> bool:
        """True: a Gaussian."""
        return True

    def energy(self, states: Any) -> Any:
        """Energy of fields ``(..., *lattice.shape)`` (or flat ``(..., n_sites)``), shape ``(...)``; of NumPy, JAX or torch."""
        xp, flat = as_reals(states)
        flat = as_site_axes(flat, self.lattice.shape)
        hidden = flat @ parameter(xp, self.weights, flat.dtype)
        return (self.mu2 * xp.sum(flat * flat, axis=-1) - xp.sum(hidden * hidden, axis=-1)) / 2

    def quadratic_form(self, beta: float = 1.0) -> np.ndarray:
        """The matrix βK, shape ``(n_sites, n_sites)``."""
        weights = np.asarray(self.weights)
        return np.asarray(beta * (self.mu2 * np.eye(len(weights)) - weights @ weights.T))

    def spectrum(self) -> np.ndarray:
        """Eigenvalues of K in ascending order, shape ``(n_sites,)``."""
        squares = np.linalg.svd(self.weights, compute_uv=False) ** 2
        return np.sort(self.mu2 - np.pad(squares, (0, self.lattice.n_sites - len(squares))))

    def log_prob(self, states: Any, beta: float = 1.0) -> np.ndarray:
        """Ln p of fields at β, normalised, shape ``(...)``: a density with respect to Π dφ."""
        at = one_beta(beta)
        log_z = 0.5 * float(np.log(2 * np.pi / (at * self.spectrum())).sum())
        return np.asarray(-at * self.energy(np.asarray(states, float)) - log_z, float)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> GaussianMachine:
        """The machine that :meth:`to_dict` described."""
        return cls(lattices.from_dict(description["lattice"]), description["weights"], description["mu2"])

    def __repr__(self) -> str:
        count = self.weights.shape[-1]
        return f"GaussianMachine(shape={tuple(self.lattice.shape)}, {count} hidden unit{'s' if count > 1 else ''})"
