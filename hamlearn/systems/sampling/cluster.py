"""Cluster updates: Swendsen–Wang and Wolff, for Ising spins with couplings of any sign and for Potts states.

A bond that is satisfied (equal states where J > 0, opposite spins where J < 0) is activated with probability
1 − exp(−β gap), where gap is the energy that breaking it costs: 2|J| for spins, J for Potts. Swendsen–Wang joins all
activated bonds to clusters and gives each a new state; Wolff grows one cluster from a random site and changes it.
Fields enter exactly: a whole cluster is redrawn by heat bath (Swendsen–Wang) or accepted by Metropolis (Wolff) with
the sum of its sites' fields. Any signs are valid; with frustration or strong fields the clusters are merely no longer
efficient.

Sequential loops over one chain in numba; chains run in threads (:mod:`.kernels`). Sources: Swendsen and Wang, PRL 58, 86 (1987);
Wolff, PRL 62, 361 (1989).
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.sampling.kernels import generators, in_threads, kernel, neighbour_lists, uniform

_ROUNDING = 1e-12  # of the largest energy: what entries of a table that are meant to be equal may differ by


class Clusters(NamedTuple):
    """A system as cluster updates see it.

    Attributes
    ----------
    bonds : int array (n_bonds, 2)
        Ends of every bond with a coupling.
    equal : bool array (n_bonds,)
        Whether equal states satisfy the bond.
    gap : array (n_bonds,)
        What breaking a satisfied bond costs.
    field : array (n_sites, q)
        −energy of every site in every state.
    start, other, bond : int arrays
        Compressed neighbour lists: neighbours of site i are ``other[start[i]:start[i + 1]]`` through ``bond[...]``.
    """

    bonds: np.ndarray
    equal: np.ndarray
    gap: np.ndarray
    field: np.ndarray
    start: np.ndarray
    other: np.ndarray
    bond: np.ndarray


def clusters_of(system: System) -> Clusters:
    """The system as cluster updates see it.

    Raises
    ------
    HamlearnError
        If the system is not of the Ising or the ferromagnetic Potts kind.
    """
    pairs = system.pairs
    if pairs is None:
        _refuse(f"{system!r} is not made of pair couplings")
    tables, q = np.asarray(pairs.tables, np.float64), pairs.q
    same, other = tables[:, np.eye(q, dtype=bool)], tables[:, ~np.eye(q, dtype=bool)]
    if np.any(np.maximum(np.ptp(same, 1), np.ptp(other, 1)) > _ROUNDING * np.abs(tables).max(initial=0.0)):
        _refuse(f"{system!r} couples states by more than equal or not")
    strength = same.mean(1) - other.mean(1)
    if q > 2 and np.any(strength < 0):
        _refuse(f"{system!r} has antiferromagnetic bonds between q = {q} states")
    keep = strength != 0
    bonds = np.ascontiguousarray(pairs.lattice.bonds[keep], np.int64).reshape(-1, 2)
    start, bond, place = neighbour_lists(bonds, system.lattice.n_sites)
    field = np.array(pairs.fields, np.float64)
    return Clusters(bonds, strength[keep] > 0, np.abs(strength[keep]), field, start, bonds[bond, 1 - place], bond)


def is_ferromagnet(system: System, against: float = 0.0) -> bool:
    """Whether cluster updates apply, no state is favoured, and at most a share `against` of all strength is of the other sign."""
    try:
        clusters = clusters_of(system)
    except HamlearnError:
        return False
    free = np.all(clusters.field == clusters.field[:, :1])
    return bool(free and clusters.gap[~clusters.equal].sum() <= against * clusters.gap.sum())


def _refuse(why: str) -> NoReturn:
    raise HamlearnError(f"cluster updates need ±1 spins, or Potts states with J >= 0; {why}. Use sampler='heat_bath' or 'tempering'.")


@kernel
def _root(parent: np.ndarray, site: int) -> int:
    while parent[site] != site:
        parent[site] = parent[parent[site]]
        site = parent[site]
    return site


@kernel
def _swendsen_wang(values, rng, active, system, parent, weight):  # type: ignore[no-untyped-def]
    """One step of one chain; returns the fraction of sites that changed."""
    bonds, equal, _, field = system[0], system[1], system[2], system[3]
    n_sites, q = field.shape
    for site in range(n_sites):
        parent[site] = site
    for b in range(len(bonds)):
        i, j = bonds[b, 0], bonds[b, 1]
        if (values[i] == values[j]) == equal[b] and uniform(rng) < active[b]:
            a, c = _root(parent, i), _root(parent, j)
            parent[max(a, c)] = min(a, c)
    # weight[root, shift]: what the fields give for shifting the whole cluster's states by `shift`.
    weight[:] = 0.0
    for site in range(n_sites):
        root = _root(parent, site)
        parent[site] = root
        for shift in range(q):
            weight[root, shift] += field[site, (values[site] + shift) % q]
    changed = 0
    for site in range(n_sites):
        root = parent[site]
        if root == site:  # the smallest index of its cluster: met before its other members
            top = weight[site].max()
            total = 0.0
            for shift in range(q):
                total += np.exp(weight[site, shift] - top)
            u = uniform(rng) * total
            chosen = 0
            for shift in range(q):
                u -= np.exp(weight[site, shift] - top)
                chosen = shift
                if u < 0:
                    break
            weight[site, 0] = chosen
        shift = int(weight[root, 0])
        if shift:
            values[site] = (values[site] + shift) % q
            changed += 1
    return changed / n_sites


@kernel
def _wolff(values, rng, active, system, member, stack):  # type: ignore[no-untyped-def]
    """One cluster of one chain; returns the fraction of sites in it that changed."""
    equal, field, start, other, bond = system[1], system[3], system[4], system[5], system[6]
    n_sites, q = field.shape
    seed = int(uniform(rng) * n_sites)
    shift = 1 + int(uniform(rng) * (q - 1))
    member[seed] = True
    stack[0] = seed
    size = 1
    done = 0
    gain = 0.0
    while done < size:
        site = stack[done]
        done += 1
        gain += field[site, (values[site] + shift) % q] - field[site, values[site]]
        for k in range(start[site], start[site + 1]):
            neighbour = other[k]
            satisfied = (values[site] == values[neighbour]) == equal[bond[k]]
            if satisfied and not member[neighbour] and uniform(rng) < active[bond[k]]:
                member[neighbour] = True
                stack[size] = neighbour
                size += 1
    accepted = gain >= 0 or uniform(rng) < np.exp(gain)
    for k in range(size):
        member[stack[k]] = False
        if accepted:
            values[stack[k]] = (values[stack[k]] + shift) % q
    return size / n_sites if accepted else 0.0


@kernel
def _run(values, rng, active, system, wolff, clusters, draws, thin, out):  # type: ignore[no-untyped-def]
    """`draws` × `thin` steps of one chain; writes the states to `out` and returns the summed fraction changed."""
    n_sites, q = system[3].shape
    scratch, member = np.empty(n_sites, np.int64), np.zeros(n_sites, np.bool_)
    weight = np.empty((n_sites, q))
    total = 0.0
    for draw in range(draws):
        for _ in range(thin):
            if wolff:
                for _ in range(clusters):
                    total += _wolff(values, rng, active, system, member, scratch) / clusters
            else:
                total += _swendsen_wang(values, rng, active, system, scratch, weight)
        out[draw] = values
    return total


class State(NamedTuple):
    """What the next step of all chains needs.

    Attributes
    ----------
    values : int8 array (chains, n_sites)
        States, as indices.
    rng : uint64 array (chains, 4)
        Generators.
    clusters : int array (chains,)
        How many clusters make one Wolff step.
    """

    values: np.ndarray
    rng: np.ndarray
    clusters: np.ndarray


class ClusterEngine:
    """All chains of a cluster sampler, as the loop steps them.

    A Wolff step is a fixed number of clusters: one until burn-in ends, then as many as flip about as many spins as a
    sweep. (Stopping once a given number of spins were flipped would bias the result.)

    Parameters
    ----------
    system : Pairwise or QState
        What to sample.
    beta : array (chains,)
        Inverse temperature of every chain.
    wolff : bool
        Wolff rather than Swendsen–Wang.
    """

    capacity = 1024

    def __init__(self, system: System, beta: np.ndarray, wolff: bool) -> None:
        self.system = clusters_of(system)
        self.space = system.space
        self.beta = beta
        self.wolff = wolff
        self.lead = beta.shape
        self.n_sites = system.lattice.n_sites
        self.updates_per_step = len(beta) * self.n_sites * 4  # a cluster update costs about four local ones

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(chains, n_sites)``."""
        return State(self.space.index(values).astype(np.int8), generators(seed, len(values)), np.ones(len(values), np.int64))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` steps: new state, states ``(draws, chains, n_sites)``, and sums over steps."""
        values, rng = state.values.copy(), state.rng.copy()
        out = np.empty((len(values), draws, self.n_sites), np.int8)

        def one_chain(chain: int) -> float:
            beta = self.beta[chain]
            system = self.system._replace(field=beta * self.system.field)
            active = -np.expm1(-beta * self.system.gap)
            options = (self.wolff, int(state.clusters[chain]), draws, thin)
            return _run(values[chain], rng[chain], active, system, *options, out[chain])

        changed = in_threads(one_chain, range(len(values)))
        info = {"acceptance": np.mean(changed)}
        return State(values, rng, state.clusters), self.space.from_index(out.swapaxes(0, 1)), info

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Set the number of Wolff clusters per step from burn-in: about one sweep's worth of flips."""
        if not self.wolff:
            return state
        per_sweep = int(np.clip(np.round(1 / max(float(info["acceptance"]), 1e-9)), 1, self.n_sites))
        return state._replace(clusters=np.full_like(state.clusters, per_sweep))
