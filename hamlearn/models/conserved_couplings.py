"""Couplings of ±1 spins whose sum is fixed: what the fixed sum leaves undetermined is named, or has its gauge fixed here."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.models.bound_couplings import BoundCouplings
from hamlearn.spaces import Spins
from hamlearn.systems.base import System
from hamlearn.systems.fixed_magnetization import FixedMagnetization
from hamlearn.systems.lattice import Lattice

_SAME = 1e-9  # eigenvalues below it, of numbers of order one, are zero


class ConservedCouplings(BoundCouplings):
    """:class:`BoundCouplings` of microstates of one magnetization M = Σσ, and of no other.

    A field that is the same everywhere adds −hM to every energy: fields are determined up to their mean. θ holds what they differ by
    from the field of the last site (or group), and what is reported of them has the mean zero.
    """

    @property
    def magnetization(self) -> int:
        """Σσ of every microstate."""
        return self.space.constraint["magnetization"]

    @property
    def stand_in(self) -> Literal["pseudo", "exchange"]:
        """Conditionals of exchanges."""
        return "exchange"

    @property
    def n_field_params(self) -> int:
        """Number of free fields: all but the last, from which the others are measured (its place in θ is ``n_params``, which is none)."""
        return max(super().n_field_params - 1, 0)

    @cached_property
    def parameter_names(self) -> list[str]:
        """A name for every element of θ; of fields, what they are measured from."""
        names, there = super().parameter_names, self.n_coupling_params
        if not len(self.field_group):
            return names
        last = f"h[{self._last_field}]"
        return [*names[:there], *(f"{name} − {last}" for name in names[there:])]

    @property
    def _last_field(self) -> str:
        group = self.field_group
        if isinstance(self.model.fields, tuple):
            return f"group {group.max()}"
        return self.lattice.word(int(np.argmax(group)))

    @property
    def n_states(self) -> float:
        """How many microstates have that sum."""
        n = self.lattice.n_sites
        return float(math.comb(n, self._spins.ups(n))) if n <= 1000 else math.inf

    @property
    def _spins(self) -> Spins:
        assert isinstance(self.space, Spins)
        return self.space

    def states(self) -> np.ndarray:
        """All microstates of that sum as value indices, where all of a free one are few enough to be listed."""
        every = super().states()
        return every[2 * every.sum(1, dtype=np.int64) - every.shape[1] == self.magnetization]

    def statistics(self, states: np.ndarray) -> np.ndarray:
        """Sufficient statistics: −H = θ · T up to a constant."""
        return super().statistics(states)[:, : self.n_params]

    def mean_statistics(self, pair: np.ndarray, single: np.ndarray) -> np.ndarray:
        """T of frequencies of pairs of states on bonds, and of states on sites."""
        return super().mean_statistics(pair, single)[:, : self.n_params]

    def coefficients(self, theta: Any) -> tuple[Any, Any]:
        """Strengths of every bond ``(..., n_bonds, 1)`` and fields ``(..., n_sites, 1)`` of mean zero; any array library."""
        couplings = theta[..., np.minimum(self.pair_index, self.n_params - 1)]
        if not len(self.field_group):
            return couplings, np.zeros((*theta.shape[:-1], self.lattice.n_sites, self.n_vectors))
        fields = theta[..., np.minimum(self.field_index, self.n_params - 1)] * (self.field_index < self.n_params)
        return couplings, fields - fields.mean(-2, keepdims=True)

    def from_values(self, J: np.ndarray, h: np.ndarray | None) -> np.ndarray:
        """Inverse of :meth:`values`."""
        found = super().from_values(J, h)
        if not len(self.field_group) or h is None:
            return found
        there = self.n_coupling_params
        return np.concatenate([found[..., :there], found[..., there:-1] - found[..., -1:]], -1)

    def system(self, theta: np.ndarray, lattice: Lattice | None = None) -> System:
        """The Hamiltonian with strengths θ at that magnetization, or on another lattice at that magnetization per site."""
        found = super().system(theta, lattice)
        return FixedMagnetization(found, resized(self.magnetization, self.lattice.n_sites, found.lattice.n_sites))


def resized(magnetization: int, sites: int, other: int) -> int:
    """The magnetization of another number of sites that has the same density.

    Examples
    --------
    >>> resized(30, 144, 576), resized(0, 16, 64)
    (120, 0)
    """
    found, rest = divmod(magnetization * other, sites)
    if rest or (found + other) % 2:
        raise HamlearnError(
            f"a magnetization of {magnetization} on {sites} sites is {magnetization * other / sites:g} on {other}, which no microstate of "
            "these has: ask for a shape whose number of sites is a multiple."
        )
    return found


def require_determined(bound: ConservedCouplings) -> ConservedCouplings:
    """An error where microstates of one magnetization cannot determine the parameters, whatever their number.

    At Σσ = M a sum over all pairs of a site, σ_i Σ_j σ_j = M σ_i − 1, is a field. So couplings c_i + c_j of all pairs are fields −M c_i:
    where the pairs without a bond allow such c other than zero, and ties do, couplings are not determined.
    """
    fixed = f"the magnetization of these microstates is fixed (Σσ = {bound.magnetization})"
    if len(bound.field_group) and not bound.n_field_params:
        raise HamlearnError(
            f"{fixed}: a uniform field is the same energy for all of them, and they do not determine it. Use fields=None, fields='site' "
            "(which are determined up to their mean), or data whose magnetization is free."
        )
    if nullity := _undetermined(bound):
        many = "a combination of these couplings is" if nullity == 1 else f"{nullity} combinations of these couplings are"
        raise HamlearnError(
            f"{fixed}: all pairs of a site together are a field, σ_i Σ_j σ_j = {bound.magnetization} σ_i − 1, so that {many} not "
            "determined. Leave pairs out, hl.models.Couplings(bonds), so that every site has others without a bond."
        )
    return bound


def _undetermined(bound: ConservedCouplings) -> int:
    """How many directions of couplings change no probability, with fields in their place."""
    n, (first, second) = bound.lattice.n_sites, bound.lattice.bonds.T
    if 2 * int(bound.lattice.degree.max(initial=0)) < n - 2:
        return 0  # pairs without a bond then connect all sites, by circles of odd length too: all c are zero
    apart = 1.0 - np.eye(n)
    apart[first, second] = apart[second, first] = 0.0
    needed = apart + np.diag(apart.sum(1))  # Σ (c_i + c_j)² over pairs without a bond
    group = bound.bond_group
    ends = np.zeros((len(group), n))
    ends[np.arange(len(group)), first] += 1.0
    ends[np.arange(len(group)), second] += 1.0
    ends /= _parallel(bound)[:, None]
    for one in range(int(group.max(initial=-1)) + 1):
        tied = ends[group == one]
        tied = tied - tied.mean(0)
        needed += tied.T @ tied
    if bound.magnetization:  # the fields that take the place have to be there
        sites = bound.field_group if len(bound.field_group) else np.zeros(n, int)
        for one in range(int(sites.max()) + 1):
            together = np.eye(n)[sites == one]
            together = together - together.mean(0)
            needed += together.T @ together
    values = np.linalg.eigvalsh(needed)
    return int((values < _SAME * max(values[-1], 1.0)).sum())


def _parallel(bound: ConservedCouplings) -> np.ndarray:
    """How many bonds join the ends of every bond."""
    low, high = np.sort(bound.lattice.bonds, 1).T.astype(np.int64)
    _, which, count = np.unique(low * bound.lattice.n_sites + high, return_inverse=True, return_counts=True)
    return np.asarray(count[which], float)
