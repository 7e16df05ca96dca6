"""Observables of angles: vortices, helicity modulus, correlations."""

from __future__ import annotations

from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.observables.spins import _flat, _pair_means, _real
from hamlearn.systems.pairs import directions_of
from hamlearn.systems.parametric import parameter

_TURN = 2 * np.pi

# Steps along the site axes round each kind of plaquette that starts at a site; they add up to zero.
_PLAQUETTES: dict[str, list[tuple[tuple[int, int], ...]]] = {
    "hypercubic": [((1, 0), (0, 1), (-1, 0), (0, -1))],
    "triangular": [((1, 0), (-1, 1), (0, -1)), ((1, -1), (0, 1), (-1, 0))],
}


def vortices(states: Any, lattice: Lattice) -> Any:
    """Winding number of the angle round every plaquette: 1 for a vortex, −1 for an antivortex, else 0.

    The differences of neighbouring angles are reduced to [−π, π] and added round the plaquette; the sum is a multiple of
    2π. A field that varies slowly has no vortices, and on a periodic lattice they add up to zero.

    Parameters
    ----------
    states : array ``(..., *lattice.shape)`` or ``(..., n_sites)``
        Angles in radians, in any range.
    lattice : Lattice
        Square (hypercubic with two axes) or triangular.

    Returns
    -------
    array ``(..., kinds, rows, columns)``
        Plaquettes by the site they start from: one kind on the square lattice, two (pointing down and up) on the
        triangular one. With open boundaries the plaquettes that are not there count 0.

    Raises
    ------
    HamlearnError
        If the lattice is of another kind.

    Notes
    -----
    Reduction by rounding, d − 2π·round(d/2π), is odd in d, so that what one plaquette adds its neighbour subtracts; a
    floor division of floats is not.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> square = lattice.hypercubic((2, 2), periodic=False)
    >>> float(vortices(np.array([[0.0, 0.5], [1.5, 1.0]]) * np.pi, square)[0, 0, 0])
    -1.0
    """
    kind, shape = lattice.kind, lattice.shape
    if kind not in _PLAQUETTES or len(shape) != 2:
        raise HamlearnError(f"vortices are counted on square and triangular lattices with two axes; got {kind} of shape {shape}.")
    xp, flat = _flat(states, lattice)
    grid = _real(xp, flat).reshape((*flat.shape[:-1], *shape))
    found = []
    for steps in _PLAQUETTES[kind]:
        at, total, inside = (0, 0), 0.0, np.ones(shape, bool)
        for step in steps:
            ahead = (at[0] + step[0], at[1] + step[1])
            total = total + _reduced(xp, _moved(xp, grid, ahead) - _moved(xp, grid, at))
            inside &= _exists(shape, ahead)
            at = ahead
        winding = xp.round(total / _TURN)
        found.append(winding if lattice.periodic else winding * xp.asarray(inside, dtype=winding.dtype))
    return xp.stack(found, axis=-3)


def vortex_density(states: Any, lattice: Lattice) -> Any:
    """Vortices and antivortices per site, of every microstate, shape ``(...)``.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> float(vortex_density(np.zeros((4, 4)), lattice.hypercubic((4, 4))))
    0.0
    """
    winding = vortices(states, lattice)
    xp, _ = _flat(winding, None)
    return xp.sum(xp.abs(winding), axis=(-3, -2, -1)) / lattice.n_sites


def twist_response(states: Any, system: System) -> tuple[Any, Any]:
    """Response of the energy to a uniform twist, to second order, of every microstate.

    A twist adds t·x to the angle at position x. To second order in t along a direction μ the energy changes by
    −t S_μ + t² C_μ/2 with S_μ = Σ_b J_b e_bμ sin(φ_i − φ_j) and C_μ = Σ_b J_b e_bμ² cos(φ_i − φ_j), where e_b is the
    vector from site i to site j of bond b.

    Parameters
    ----------
    states : array ``(..., *lattice.shape)`` or ``(..., n_sites)``
        Angles.
    system : XY
        On a hypercubic or triangular lattice.

    Returns
    -------
    C, S : arrays ``(..., dimension)``

    Raises
    ------
    HamlearnError
        If the lattice has no directions that its bonds follow.
    """
    xp, flat = _flat(states, system.lattice)
    angles = _real(xp, flat)
    first, second = (xp.take(angles, xp.asarray(system.lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1))
    vectors = bond_vectors(system.lattice)
    weight = parameter(xp, directions_of(system).J, angles.dtype)[:, None]
    difference = second - first
    along = xp.asarray(vectors.copy(), dtype=angles.dtype)
    return xp.cos(difference) @ (weight * along**2), -(xp.sin(difference) @ (weight * along))


def helicity_modulus(states: Any, system: System, beta: float, axis: int | tuple[int, ...] | None = None) -> Any:
    """Helicity modulus Υ_μ = (⟨C_μ⟩ − β⟨S_μ²⟩)/N along every direction: the stiffness against a twist.

    C = Σ J cos(φ_i − φ_j) and S = Σ J sin(φ_i − φ_j) over the bonds along the direction (on other lattices than the
    hypercubic every bond counts with its component). Υ jumps from 2T/π to 0 at the Kosterlitz–Thouless transition of
    the infinite square lattice.

    Parameters
    ----------
    states : array ``(..., *lattice.shape)`` or ``(..., n_sites)``
        Angles.
    system : XY
        On a hypercubic or triangular lattice.
    beta : float
        Inverse temperature they were drawn at.
    axis : int or tuple, optional
        Axes of the draws (default: all before the sites). Blocks of draws give its error.

    Returns
    -------
    array ``(..., dimension)``

    Notes
    -----
    Source: Teitel and Jayaprakash, Phys. Rev. B 27, 598 (1983). In units of energy, per site.

    Examples
    --------
    >>> from hamlearn.systems import XY
    >>> helicity_modulus(np.zeros((1, 4, 4)), XY((4, 4), J=2.0), beta=1.0)  # the ground state: J
    array([2., 2.])
    """
    cosine, sine = twist_response(states, system)
    xp, _ = _flat(cosine, None)
    axes = tuple(range(cosine.ndim - 1)) if axis is None else axis
    return (xp.mean(cosine, axis=axes) - beta * xp.mean(sine**2, axis=axes)) / system.lattice.n_sites


def angle_correlation(states: Any, lattice: Lattice) -> Any:
    """Correlation function C(r), the mean of cos(φ_i − φ_j) over all pairs at distance r, of every microstate.

    At the distances :func:`hamlearn.systems.observables.separations`; C(0) = 1.

    Examples
    --------
    >>> from hamlearn.systems import lattice
    >>> spiral = np.pi / 2 * np.arange(4)
    >>> angle_correlation(spiral, lattice.hypercubic(4)).round(6) + 0.0
    array([ 1.,  0., -1.])
    """
    xp, flat = _flat(states, lattice)
    angles = _real(xp, flat)
    return _pair_means(xp, xp.cos(angles), lattice) + _pair_means(xp, xp.sin(angles), lattice)


def _reduced(xp: Any, difference: Any) -> Any:
    """Angles in [−π, π]; an odd function."""
    return difference - _TURN * xp.round(difference / _TURN)


def _moved(xp: Any, grid: Any, step: tuple[int, int]) -> Any:
    """The value at `step` from every site."""
    return xp.roll(grid, (-step[0], -step[1]), axis=(-2, -1)) if step != (0, 0) else grid


def _exists(shape: tuple[int, ...], step: tuple[int, int]) -> np.ndarray:
    """Sites from which `step` does not leave the lattice."""
    rows, columns = np.indices(shape)
    return (rows + step[0] >= 0) & (rows + step[0] < shape[0]) & (columns + step[1] >= 0) & (columns + step[1] < shape[1])


def bond_vectors(lattice: Lattice) -> np.ndarray:
    """The vector from the first end of every bond to the second, ``(n_bonds, dimension)``.

    Read off the order of the bonds, because on an axis of extent 2 both bonds join the same two sites.
    """
    steps = {
        "hypercubic": [vector for vector, extent in zip(np.eye(len(lattice.shape)), lattice.shape, strict=True) if extent > 1],
        "triangular": [np.array(step) @ [[0.5, np.sqrt(3) / 2], [1.0, 0.0]] for step in ((1, 0), (0, 1), (1, -1))],
    }
    if lattice.kind not in steps or lattice.n_bonds != lattice.resized(lattice.shape).n_bonds:
        raise HamlearnError(
            f"a twist needs a hypercubic or triangular lattice with nearest-neighbour bonds; got {lattice.kind} of shape {lattice.shape}."
        )
    if lattice.periodic:
        return np.repeat(steps[lattice.kind], lattice.n_sites, axis=0)
    assert lattice.positions is not None  # lattices of these kinds have positions
    return lattice.positions[lattice.bonds[:, 1]] - lattice.positions[lattice.bonds[:, 0]]
