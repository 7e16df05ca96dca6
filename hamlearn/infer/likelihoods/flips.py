"""What flips of single spins change in a family whose parameters multiply pair couplings and fields: matrix products, no energies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.models.base import BoundFamily
from hamlearn.systems.pairs import pairs_of

_MOST_NUMBERS = 1 << 24  # of the matrices of all parameters
_AGREE = 1e-8  # of the largest change, between these and the action's own


@dataclass(frozen=True, eq=False)
class Flips:
    """A₀ + θ·T = −β (½ s J s + h s), every part with a matrix and a field of its own.

    Attributes
    ----------
    J : array (1 + n_params, n_sites, n_sites)
        Symmetric, zero on the diagonal: of A₀, then of T.
    h : array (1 + n_params, n_sites)
    values : array (2,)
        What the data call down and up.
    """

    J: np.ndarray
    h: np.ndarray
    values: np.ndarray

    def changes(self, rows: np.ndarray, beta: float) -> np.ndarray:
        """(A₀, T) of every value of every site minus that of its own, of rows ``(row, n_sites)``: ``(row, site, value, 1 + n_params)``.

        Examples
        --------
        >>> two = Flips(np.array([[[0.0, 1.0], [1.0, 0.0]]]), np.zeros((1, 2)), np.array([-1.0, 1.0]))
        >>> two.changes(np.array([[1.0, 1.0]]), 0.5)[0, :, :, 0].tolist()
        [[1.0, 0.0], [1.0, 0.0]]
        """
        spins = np.where(rows == self.values[1], 1.0, -1.0)
        local = np.stack([spins @ J + h for J, h in zip(self.J, self.h, strict=True)], -1)
        turned = np.array([-1.0, 1.0]) - spins[..., None]
        return np.asarray(-beta * turned[..., None] * local[:, :, None, :])


def flips_of(bound: BoundFamily) -> Flips | None:
    """Matrices and fields of a family whose action is linear in θ, or None where its systems are no spins with pair couplings."""
    n, parameters = bound.lattice.n_sites, bound.n_params
    if not bound.space.binary or (1 + parameters) * n * n > _MOST_NUMBERS:
        return None
    try:
        pairs = [pairs_of(bound.system(bound.start + step)) for step in np.vstack([np.zeros(parameters), np.eye(parameters)])]
    except HamlearnError:  # a system that refuses these values has its energy, which JAX traces unchecked
        return None
    J, h = np.zeros((len(pairs), n, n)), np.zeros((len(pairs), n))
    for k, one in enumerate(pairs):
        if one is None:
            return None
        couplings, h[k] = one.of_spins()
        i, j = np.asarray(one.lattice.bonds).T
        np.add.at(J[k], (i, j), couplings)
        np.add.at(J[k], (j, i), couplings)
    for found in (J, h):
        found[1:] -= found[0]
        found[0] -= np.tensordot(bound.start, found[1:], 1)
    return Flips(J, h, np.asarray(bound.space.values, float))


def agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two tables of changes are the same but for rounding: an action may be more than β times the energy of its pairs."""
    return bool(np.abs(first - second).max(initial=0.0) <= _AGREE * max(np.abs(second).max(initial=0.0), 1e-300))


__all__ = ["Flips", "agree", "flips_of"]
