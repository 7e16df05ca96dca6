"""Series that see only what a model can see: functions of microstates that its own symmetry leaves unchanged.

A model without fields gives a state and its mirror image one probability. The sign of the magnetization is then no
property of the data that it could explain or miss, and may neither count as slow nor as a misfit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.models import Couplings
from hamlearn.systems.base import Space, System, axes_of

REFERENCES = 4  # states of the data whose overlap with all others is a series: directions that are slow in any gauge
_PROBES = 64  # states on which a symmetry is tried
_TOLERANCE = 1e-6  # of the spread of energies


def symmetric(system: System, rows: np.ndarray) -> bool:
    """Whether the transformations of single values (flips, rotations, permutations) leave every energy unchanged.

    Parameters
    ----------
    system : System
        Any Hamiltonian; it is asked for energies only.
    rows : array ``(..., n_sites)``
        Microstates to try it on.

    Examples
    --------
    >>> import hamlearn as hl
    >>> states = np.random.default_rng(0).choice([-1, 1], size=(50, 16))
    >>> symmetric(hl.systems.Ising((4, 4)), states), symmetric(hl.systems.Ising((4, 4), h=0.1), states)
    (True, False)
    """
    if not (moves := system.space.symmetries()):
        return False
    shape = axes_of(system)
    flat = rows.reshape(-1, rows.shape[-1])
    some = flat[:: max(1, len(flat) // _PROBES)][:_PROBES].reshape(-1, *shape)
    before = np.asarray(system.energy(some), float)
    # The probe is moved by one site per row too: data that hold one state only would have no spread to compare with.
    other = np.asarray(system.energy(np.roll(some, 1, axis=-1)), float)
    scale = float(np.std(np.concatenate([before, other]))) or float(np.abs(before).max()) or 1.0
    found = [np.asarray(system.energy(move(some, np.random.default_rng(0))), float) - before for move in moves.values()]
    return bool(np.max(np.abs(found)) <= _TOLERANCE * scale)


def model_is_symmetric(model: Any, space: Space, shape: tuple[int, ...], rows: np.ndarray) -> bool:
    """:func:`symmetric` for every member of a family of couplings, tried on one with random strengths; False for others."""
    if not isinstance(model, Couplings):
        return False
    bound = model.bind(space, shape)
    theta = np.random.default_rng(0).normal(size=bound.n_params)
    return symmetric(bound.system(theta), rows)


def series(rows: np.ndarray, space: Space, *, invariant: bool) -> np.ndarray:
    """Series ``(chain, draw, k)`` among which the slow directions of the data are found.

    Values at every site and products of neighbours in the order of the sites, the order parameter and its magnitude,
    and overlaps with a few states of the data (which see a slow pattern in whatever gauge it is written). With
    `invariant` only what the symmetry of the space leaves unchanged: products (agreements of states, cosines of
    differences of angles), magnitudes, and squared overlaps.

    Parameters
    ----------
    rows : array ``(chain, draw, n_sites)``
        Microstates.
    space : Space
        What a site holds.
    invariant : bool
        Whether the model is symmetric, see :func:`symmetric`.

    Examples
    --------
    >>> from hamlearn.systems import SPINS
    >>> rows = np.random.default_rng(0).choice([-1, 1], size=(2, 100, 9))
    >>> signs = np.random.default_rng(1).choice([-1, 1], size=(2, 100, 1))
    >>> bool(np.array_equal(series(rows, SPINS, invariant=True), series(rows * signs, SPINS, invariant=True)))
    True
    """
    chains, draws, _ = rows.shape
    picks = np.linspace(0, chains * draws - 1, REFERENCES + 2).round().astype(int)[1:-1]
    references = rows.reshape(chains * draws, -1)[picks]
    if space.labelled:
        return _of_states(rows, references, space.q, invariant)
    if space.period is not None:
        return _of_angles(rows, references, invariant)
    if space.event_shape:
        return _of_vectors(space, rows, references, invariant)
    values = rows.astype(np.float64)
    mean = values.mean(-1, keepdims=True)
    overlaps = values @ references.T.astype(np.float64) / values.shape[-1]
    products = values * np.roll(values, 1, axis=-1)
    if invariant:
        return np.concatenate([products, np.abs(mean), overlaps**2], -1)
    return np.concatenate([values, products, mean, np.abs(mean), overlaps], -1)


def turned(data: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """The same microstates, each flipped, relabelled or rotated as a whole at random: to a symmetric model they are the same data.

    Statistics of data turned like this are unbiased for every statistic that the symmetry leaves unchanged, and all
    others vanish, in the data as in the model: a chain that stayed in one phase is not held against the model.

    Parameters
    ----------
    data : Dataset
        Microstates at one temperature.
    rng : numpy.random.Generator
        Draws the transformation of every row.
    """
    state = data["state"]
    rows = state.shape[:2] + (1,) * (state.ndim - 2)
    values = microstates.space_of(data).turned(state.values, rng, rows)
    return data.assign(state=(state.dims, values.astype(state.dtype)))


def _of_states(rows: np.ndarray, references: np.ndarray, q: int, invariant: bool) -> np.ndarray:
    shares = np.stack([(rows == value).mean(-1) for value in range(q)], -1)
    agree = (rows == np.roll(rows, 1, axis=-1)).astype(np.float64)
    largest = shares.max(-1, keepdims=True)
    if not invariant:
        overlaps = np.stack([(rows == reference).mean(-1) for reference in references], -1)
        return np.concatenate([rows.astype(np.float64), agree, shares, largest, overlaps], -1)
    # Σ_ab n_ab², with n_ab the share of sites that hold a here and b in the reference: unchanged by any relabelling.
    tables = [
        sum(((rows == a) & (reference == b)).mean(-1) ** 2 for a in range(q) for b in np.unique(reference)) for reference in references
    ]
    return np.concatenate([agree, largest, np.stack(tables, -1)], -1)


def _of_angles(rows: np.ndarray, references: np.ndarray, invariant: bool) -> np.ndarray:
    turned = np.exp(1j * rows)
    mean = turned.mean(-1, keepdims=True)
    overlaps = turned @ np.exp(-1j * references).T / rows.shape[-1]
    products = np.cos(rows - np.roll(rows, 1, axis=-1))
    if invariant:
        return np.concatenate([products, np.abs(mean), np.abs(overlaps)], -1)
    return np.concatenate([turned.real, turned.imag, products, mean.real, mean.imag, np.abs(mean), overlaps.real], -1)


def _of_vectors(space: Space, rows: np.ndarray, references: np.ndarray, invariant: bool) -> np.ndarray:
    """The size of an overlap is that of the matrix Σ s rᵀ, which no rotation of s changes."""
    s, r = space.encode(rows), space.encode(references)  # (chain, draw, site, n), (reference, site, n)
    mean, products = s.mean(-2), (s * np.roll(s, 1, axis=-2)).sum(-1)
    overlaps = np.einsum("cdia,kib->cdkab", s, r) / s.shape[-2]
    size = np.linalg.norm(mean, axis=-1, keepdims=True)
    if invariant:
        return np.concatenate([products, size, np.linalg.norm(overlaps, axis=(-2, -1))], -1)
    return np.concatenate([rows, products, mean, size, np.trace(overlaps, axis1=-2, axis2=-1)], -1)
