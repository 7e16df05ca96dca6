"""What thermodynamic observables are where all states are as probable: at infinite temperature, or of systems without any interaction."""

from __future__ import annotations

import numpy as np

from hamlearn.spaces import extents
from hamlearn.systems.base import System
from hamlearn.systems.pairs import pairs_of


def entropy(system: System) -> float:
    """Nats per site: ln q, of sites that differ their mean.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> round(entropy(Ising((3, 3))), 3)
    0.693
    """
    return float(np.mean(np.log(extents.each(system.space.extent, system.lattice.n_sites))))


def energy(system: System) -> float:
    """Mean energy per site over all states; nan of a system that is no sum over pairs, whose states would have to be listed.

    Examples
    --------
    >>> from hamlearn.systems import Ising, Potts
    >>> energy(Ising((3, 3), h=0.5)), round(energy(Potts((3, 3), q=4, J=1.0)), 3)  # two bonds a site, alike in one of four states
    (0.0, -0.5)
    """
    pairs = pairs_of(system)
    if pairs is None:
        return np.nan
    n = pairs.lattice.n_sites
    there = np.isfinite(np.broadcast_to(pairs.fields, (n, pairs.q)))
    share = there / there.sum(1, keepdims=True)
    first, second = np.asarray(pairs.lattice.bonds).reshape(-1, 2).T
    of_bonds = np.einsum("bij,bi,bj->", np.broadcast_to(pairs.tables, (len(first), pairs.q, pairs.q)), share[first], share[second])
    return -float(of_bonds + (share * np.where(there, pairs.fields, 0.0)).sum()) / n


def free_energy(system: System, beta: np.ndarray) -> np.ndarray:
    """Per site: that energy less the entropy over β, the most that a system of this mean energy can have (Jensen's inequality)."""
    return np.asarray(energy(system) - entropy(system) / beta)
