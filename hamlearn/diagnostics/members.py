"""How far members of a posterior lie from their mean, by linear response: what its uncertainty makes of a comparison with data.

A model that is right and learned from few data is off by about what its members differ by. δ⟨f⟩ = −Cov(f, S_member − S̄) in the rows of all
members together has hardly any noise of simulation, which the members' own few rows have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.stats

from hamlearn.systems.base import System, axes_of
from hamlearn.systems.sampling.energies import energies

_LINEAR = 0.5  # spread of the members' actions up to which expectations are linear in them
_ADAPTED = 0.01  # probability that members lie further than what a function chosen for it is allowed


@dataclass(frozen=True, eq=False)
class Members:
    """Members of a posterior and their rows.

    Attributes
    ----------
    systems : tuple of System
        At least two.
    rows : array (row, ...)
        Of all of them, equally many of each, one after the other.
    beta : float
        Inverse temperature of the rows.
    """

    systems: tuple[System, ...]
    rows: np.ndarray
    beta: float

    @cached_property
    def tilts(self) -> np.ndarray:
        """−(S_member − S̄) of every row, centred, ``(member, row)``: to first order a member's law is that of all times 1 + tilt."""
        shape = axes_of(self.systems[0])
        found = np.stack([actions(one, self.rows.reshape(-1, *shape), self.beta) for one in self.systems])
        found -= found.mean(0)
        return np.asarray(found.mean(1, keepdims=True) - found)

    @property
    def linear(self) -> bool:
        """Whether members are alike enough for linear response; else their own means are compared, noise included."""
        return bool(np.median(self.tilts.std(1)) < _LINEAR)

    def moved(self, columns: np.ndarray) -> np.ndarray:
        """How far the mean of columns ``(row, column)`` of every member lies from that of all, ``(member, column)``."""
        if self.linear:
            return np.asarray(self.tilts @ (columns - columns.mean(0)) / len(columns))
        own = columns.reshape(len(self.systems), -1, columns.shape[1]).mean(1)
        return np.asarray(own - own.mean(0))

    def among(self, chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
        """:meth:`moved` of one column of chosen rows ``(row,)``, ``(member, 1)``."""
        tilts = self.tilts[:, chosen]
        return np.asarray((tilts - tilts.mean(1, keepdims=True)) @ (values - values.mean()) / len(chosen))[:, None]

    @property
    def directions(self) -> float:
        """In how many directions members differ: the participation ratio of their tilts, corrected for their number."""
        gram = self.tilts @ self.tilts.T
        total = float((gram**2).sum())
        if total == 0:
            return 1.0  # they do not differ, or by what no square holds
        share = float(np.trace(gram) ** 2 / total)
        return 1 / max(1 / share - 1 / len(self.systems), 1e-3)

    @property
    def adapted(self) -> float:
        """By how much more members may move a function that was chosen for how the truth differs than any other (Scheffé)."""
        one, all_ = (scipy.stats.chi2.isf(_ADAPTED, count) for count in (1.0, max(1.0, self.directions)))
        return float(np.sqrt(all_ / one))

    def apart(self, chosen: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Energy distance of every member from all of them, ``(member,)``: −Σ tilt(x) tilt(y) d(x, y)/n² over chosen rows."""
        tilts = self.tilts[:, chosen]
        tilts = tilts - tilts.mean(1, keepdims=True)
        return np.maximum(-np.einsum("mi,mi->m", tilts @ distances, tilts) / len(chosen) ** 2, 0.0)


def actions(system: System, states: np.ndarray, beta: float) -> np.ndarray:
    """Actions of states ``(row, *sites)``; of pairs by their tables: on a dense graph the formula takes ten times as long."""
    if system.pairs is None:
        return np.asarray(system.action(states, beta), float)
    return beta * energies(system, states.reshape(len(states), -1))
