"""One site given all others, with its derivatives: all that a score test asks of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hamlearn.infer.likelihoods import conditionals
from hamlearn.models import BoundCouplings
from hamlearn.systems.base import System
from hamlearn.systems.sampling.energies import energies


@dataclass(frozen=True, eq=False)
class Site:
    """The conditional of one site in some rows.

    Attributes
    ----------
    energy : array (row, q)
        Energy of the row with the site in each of its values, up to a constant of the row.
    features : array (row, q, f)
        Minus its derivative by the parameters that were fitted.
    index : int array (f,)
        Which parameters these are, each once.
    """

    energy: np.ndarray
    features: np.ndarray
    index: np.ndarray


class Conditionals(Protocol):
    """A fitted discrete model, seen through its single sites."""

    n_params: int
    theta: np.ndarray

    def site(self, index: np.ndarray, site: int) -> Site:
        """The conditional of `site` in rows of value indices ``(row, n_sites)``."""
        ...

    def energies(self, index: np.ndarray) -> np.ndarray:
        """Energy of every row ``(row,)``."""
        ...


class PairConditionals:
    """Of pair couplings at θ."""

    def __init__(self, bound: BoundCouplings, theta: np.ndarray) -> None:
        self.bound, self.theta, self.n_params = bound, np.asarray(theta, float), bound.n_params
        self._sites = conditionals.neighbour_lists(bound)
        self._system = bound.system(self.theta)

    def site(self, index: np.ndarray, site: int) -> Site:
        """The conditional of `site`."""
        neighbours, bonds, first = self._sites[site]
        features = conditionals.features(self.bound, site, bonds, index[:, neighbours], first)
        place, group = np.unique(conditionals.parameter_index(self.bound, site, bonds), return_inverse=True)
        features = features @ np.eye(len(place))[group]  # what is tied is one
        floor = 0.0 if self.bound.floor is None else self.bound.floor[site]
        return Site(-(features @ self.theta[place]) - floor, features, place)

    def energies(self, index: np.ndarray) -> np.ndarray:
        """Energy of every row."""
        return energies(self._system, self.bound.space.from_index(index))


class EnergyConditionals:
    """Of any discrete system, from its energies alone; what was fitted is taken to be at least their scale.

    Parameters
    ----------
    systems : sequence of System
        Members of a posterior: their mean energy is used.
    """

    def __init__(self, systems: Sequence[System]) -> None:
        self.systems, self.theta, self.n_params = list(systems), np.ones(1), 1
        self.space, self.shape = systems[0].space, tuple(systems[0].lattice.shape)

    def site(self, index: np.ndarray, site: int) -> Site:
        """The conditional of `site`."""
        energy = np.full((len(index), self.space.q), np.inf)
        for value in np.flatnonzero(self.space.there(index.shape[1])[site]):
            changed = index.copy()
            changed[:, site] = value
            energy[:, value] = self.energies(changed)
        return Site(energy, -np.where(np.isfinite(energy), energy, 0.0)[..., None], np.zeros(1, int))

    def energies(self, index: np.ndarray) -> np.ndarray:
        """Energy of every row."""
        states = self.space.from_index(index).reshape(-1, *self.shape)
        return np.mean([np.asarray(system.energy(states), float) for system in self.systems], axis=0)
