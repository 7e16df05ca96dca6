"""Kawasaki exchange: two unlike spins change places, so that the magnetization never changes.

The two are the ends of a random bond (the dynamics of diffusing particles), or any two sites (which mixes in fewer sweeps and has the
same equilibrium); the exchange is accepted with min(1, exp(−βΔE)). Either way every pair is as likely to be proposed back as forth.
Source: Kawasaki, Phys. Rev. 145, 224 (1966). A chain may be a ladder of temperatures whose neighbours exchange their microstates
(:class:`.samplers.Tempering`), for what is too cold to come to its equilibrium otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hamlearn.arguments import require_flag
from hamlearn.systems.base import System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.sampling.blackbox import BlackBoxEngine
from hamlearn.systems.sampling.energies import energies
from hamlearn.systems.sampling.kernels import generators, in_threads, kernel, neighbour_lists, uniform
from hamlearn.systems.sampling.loop import Engine
from hamlearn.systems.sampling.sampler import Sampler


@dataclass(frozen=True)
class Kawasaki(Sampler):
    """Exchanges of unlike spins at fixed magnetization (:class:`hamlearn.systems.FixedMagnetization`).

    Parameters
    ----------
    local : bool
        Between neighbours only, as particles diffuse; by default between any two sites.

    Examples
    --------
    >>> import hamlearn as hl
    >>> gas = hl.systems.FixedMagnetization(hl.systems.Ising((6, 6)), -12)
    >>> data = hl.simulate(gas, 0.4, draws=10, chains=2, burn_in=50, sampler=hl.systems.Kawasaki(local=True))
    >>> set(data.state.sum(("x0", "x1")).values.ravel().tolist())
    {-12}
    """

    local: bool = False
    name: ClassVar[str] = "kawasaki"
    keeps: ClassVar[tuple[str, ...]] = ("magnetization",)

    def __post_init__(self) -> None:
        require_flag(self.local, "Kawasaki: local")

    def refusal(self, system: System) -> str | None:
        """Free magnetizations, and neighbours between which not all states can be reached."""
        if "magnetization" not in system.space.constraint:
            return "it is for a fixed magnetization: hl.systems.FixedMagnetization(system, 0)"
        if self.local and _parts(system.lattice) > 1:
            return "its bonds leave sites that no exchange of neighbours reaches: use Kawasaki(local=False)"
        return None

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """Whatever it applies to."""
        return "the magnetization is fixed, which exchanges of spins keep"

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """Threads over chains where pair couplings or tables of windows are known; else all chains in one call of the energy."""
        return engine(system, np.repeat(betas, chains), self.local)


def engine(system: System, beta: np.ndarray, local: bool = False) -> Engine:
    """What steps chains at `beta`, or ladders ``(chains, rungs)`` of what is known by pairs or tables."""
    if system.pairs is not None:
        return PairExchange(system, beta, local)
    return (BlackBoxExchange if system.windows is None else WindowExchange)(system, beta, local)


def _parts(lattice: Lattice) -> int:
    n, (first, second) = lattice.n_sites, np.asarray(lattice.bonds).reshape(-1, 2).T
    return int(connected_components(coo_array((np.ones(len(first)), (first, second)), shape=(n, n)), directed=False)[0])


class State(NamedTuple):
    """What the next sweep of all chains needs: spins ``(chains, rungs, n_sites)``, generators, and where each rung's spins come from.

    ``heading`` ``(chains, rungs)`` is 1 where they were last on the first rung, −1 where on the last, 0 where on neither yet.
    """

    values: np.ndarray
    rng: np.ndarray
    heading: np.ndarray


class PairExchange:
    """All chains of a system of pair couplings: a step is as many proposals as there are sites, and a round of swaps along a ladder.

    Parameters
    ----------
    system : System
        With tables of pairs (``system.pairs``) of ±1 spins; it says which sites are neighbours.
    beta : array (chains,) or (chains, rungs)
        Inverse temperature of every chain, or those of its ladder.
    local : bool
        Whether ends of bonds are exchanged, or any two sites.
    """

    capacity = 1024

    def __init__(self, system: System, beta: np.ndarray, local: bool) -> None:
        self.system, self.n_sites = system, system.lattice.n_sites
        self.beta, self.lead = np.asarray(beta, np.float64).reshape(len(beta), -1), np.shape(beta)
        self.bonds = np.ascontiguousarray(system.lattice.bonds, np.int64).reshape(-1, 2)
        self.tables, self.local = self._tables(system), local
        self.updates_per_step = self.beta.size * self.n_sites * 4

    def _tables(self, system: System) -> tuple[np.ndarray, ...]:
        """What the kernel looks costs up in."""
        pairs = system.pairs
        assert pairs is not None  # or it is exchanged by windows, or as a black box
        # Which sites are exchanged the lattice says, which interact the pairs: of windows of sites they are not the same bonds.
        between = np.ascontiguousarray(pairs.lattice.bonds, np.int64).reshape(-1, 2)
        start, bond, place = neighbour_lists(between, self.n_sites)
        coupling, field = pairs.of_spins()
        return start, between[bond, 1 - place], coupling[bond], field

    @property
    def _kernel(self) -> Any:
        return _run

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from spins ``(*lead, n_sites)``."""
        chains, rungs = self.beta.shape
        each = rungs + (rungs > 1)  # one more generator for the swaps
        spins = np.array(values, np.int8).reshape(chains, rungs, -1)
        return State(spins, generators(seed, chains * each).reshape(chains, each, 4), np.zeros((chains, rungs), np.int8))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps: new state, states ``(draws, *lead, n_sites)``, and the fraction of exchanges, summed."""
        values, rng, heading = (one.copy() for one in state)
        chains, rungs = self.beta.shape
        out = np.empty((chains, draws, rungs, self.n_sites), np.int8)
        energy = np.zeros((chains, rungs))  # of what a chain swaps, up to a constant
        if rungs > 1:
            energy = np.asarray(energies(self.system, values.reshape(-1, self.n_sites)), float).reshape(chains, rungs)
        swaps = np.zeros((chains, 3, rungs))  # exchanged, offered, and round trips on the first rung

        def one_chain(chain: int) -> float:
            ladder = (self.beta[chain], energy[chain], heading[chain], swaps[chain])
            return float(self._kernel(values[chain], rng[chain], ladder, self.tables, self.bonds, self.local, draws, thin, out[chain]))

        exchanged = in_threads(one_chain, range(chains))
        info: dict[str, Any] = {"acceptance": np.mean(exchanged)}
        if rungs > 1:
            mean = swaps.mean(0)
            info |= {"exchanged": mean[0, :-1], "offered": mean[1, :-1], "round_trips": mean[2, 0]}
        return State(values, rng, heading), out.swapaxes(0, 1).reshape(draws, *self.lead, -1), info

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state


@kernel
def _pick(rng, values, bonds, local):  # type: ignore[no-untyped-def]
    """Two sites that may be exchanged."""
    if local:
        bond = int(uniform(rng) * len(bonds))
        return bonds[bond, 0], bonds[bond, 1]
    return int(uniform(rng) * len(values)), int(uniform(rng) * len(values))


@kernel
def _swap(values, codes, rng, ladder):  # type: ignore[no-untyped-def]
    """One round along a ladder: even or odd pairs, by chance."""
    beta, energy, heading, swaps = ladder
    last = len(beta) - 1
    for k in range(int(uniform(rng) < 0.5), last, 2):
        swaps[1, k] += 1
        if np.log(1.0 - uniform(rng)) < (beta[k] - beta[k + 1]) * (energy[k] - energy[k + 1]):
            swaps[0, k] += 1
            energy[k], energy[k + 1] = energy[k + 1], energy[k]
            heading[k], heading[k + 1] = heading[k + 1], heading[k]
            for site in range(values.shape[1]):
                values[k, site], values[k + 1, site] = values[k + 1, site], values[k, site]
            for tile in range(codes.shape[1]):
                codes[k, tile], codes[k + 1, tile] = codes[k + 1, tile], codes[k, tile]
    if heading[0] == -1:
        swaps[2, 0] += 1
    heading[0] = 1
    if heading[last] == 1:
        heading[last] = -1


@kernel
def _run(values, rng, ladder, couplings, bonds, local, draws, thin, out):  # type: ignore[no-untyped-def]
    """`draws` × `thin` sweeps of one chain; writes the states to `out`, returns the summed fraction of proposals that exchanged."""
    rungs, n_sites = values.shape
    beta, energy, exchanged, codes = ladder[0], ladder[1], 0, np.empty((rungs, 0), np.int64)
    for draw in range(draws):
        for _ in range(thin):
            for rung in range(rungs):
                moved, cost = _sweep(values[rung], rng[rung], beta[rung], couplings, bonds, local)
                exchanged += moved
                energy[rung] += cost
            if rungs > 1:
                _swap(values, codes, rng[rungs], ladder)
        out[draw] = values
    return exchanged / (n_sites * rungs)


@kernel
def _sweep(values, rng, beta, couplings, bonds, local):  # type: ignore[no-untyped-def]
    """As many proposals as there are sites: how many exchanged, and what that cost."""
    start, other, coupling, field = couplings
    exchanged, paid = 0, 0.0
    for _ in range(len(values)):
        i, j = _pick(rng, values, bonds, local)
        if values[i] == values[j]:
            continue
        here, there, between = field[i], field[j], 0.0
        for k in range(start[i], start[i + 1]):
            here += coupling[k] * values[other[k]]
            if other[k] == j:
                between += coupling[k]
        for k in range(start[j], start[j + 1]):
            there += coupling[k] * values[other[k]]
        # Each flip alone counts the bonds between the two, whose energy does not change: 2σ_i σ_j J of each, σ_i σ_j = −1.
        cost = 2.0 * (values[i] * here + values[j] * there) + 4.0 * between
        if cost <= 0 or uniform(rng) < np.exp(-beta * cost):
            values[i], values[j] = values[j], values[i]
            exchanged += 1
            paid += cost
    return exchanged, paid


class WindowExchange(PairExchange):
    """The same of tables of windows (:class:`hamlearn.systems.InteractionTables`), in which more than two spins may interact."""

    def _tables(self, system: System) -> tuple[np.ndarray, ...]:
        windows = system.windows
        assert windows is not None
        sites = np.ascontiguousarray(windows.tile_sites, np.int64)
        start, tile, place = neighbour_lists(sites, self.n_sites)
        return sites, start, tile, windows.places[place], np.atleast_2d(np.asarray(windows.tables, np.float64)), windows.places

    @property
    def _kernel(self) -> Any:
        return _run_windows


@kernel
def _run_windows(values, rng, ladder, tables, bonds, local, draws, thin, out):  # type: ignore[no-untyped-def]
    """As `_run`; an exchange is two flips, each of which changes the codes of the tiles that hold its site."""
    sites, places = tables[0], tables[5]
    rungs, n_sites = values.shape
    beta, energy, exchanged, codes = ladder[0], ladder[1], 0, np.zeros((rungs, len(sites)), np.int64)
    for rung in range(rungs):
        for t in range(len(sites)):
            for k in range(sites.shape[1]):
                codes[rung, t] += places[k] * (values[rung, sites[t, k]] > 0)
    for draw in range(draws):
        for _ in range(thin):
            for rung in range(rungs):
                moved, cost = _sweep_windows(values[rung], codes[rung], rng[rung], beta[rung], tables, bonds, local)
                exchanged += moved
                energy[rung] += cost
            if rungs > 1:
                _swap(values, codes, rng[rungs], ladder)
        out[draw] = values
    return exchanged / (n_sites * rungs)


@kernel
def _sweep_windows(values, codes, rng, beta, tables, bonds, local):  # type: ignore[no-untyped-def]
    """As `_sweep`."""
    _, start, tile, worth, energy, _ = tables
    exchanged, paid, alike = 0, 0.0, len(energy) == 1
    for _ in range(len(values)):
        i, j = _pick(rng, values, bonds, local)
        if values[i] == values[j]:
            continue
        cost = 0.0
        for site in (i, j):
            for k in range(start[site], start[site + 1]):
                t = tile[k]
                new = codes[t] - worth[k] * values[site]
                row = 0 if alike else t
                cost += energy[row, new] - energy[row, codes[t]]
                codes[t] = new
        if cost <= 0 or uniform(rng) < np.exp(-beta * cost):
            values[i], values[j] = values[j], values[i]
            exchanged += 1
            paid += cost
        else:
            for site in (i, j):
                for k in range(start[site], start[site + 1]):
                    codes[tile[k]] += worth[k] * values[site]
    return exchanged, paid


class BlackBoxExchange(BlackBoxEngine):
    """The same of a system that is known by its energy alone: :class:`.BlackBoxEngine` with exchanges for moves."""

    def __init__(self, system: System, beta: np.ndarray, local: bool) -> None:
        super().__init__(system, beta)
        self.local, self.bonds = local, np.asarray(system.lattice.bonds).reshape(-1, 2)

    def _sweep(
        self, values: np.ndarray, action: np.ndarray, width: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """n_sites proposals to every chain; the last result is the fraction that exchanged, per chain."""
        chains, shape = np.arange(len(values)), (self.n_sites, len(values))
        drawn = self.bonds[rng.integers(len(self.bonds), size=shape)] if self.local else rng.integers(self.n_sites, size=(*shape, 2))
        thresholds = np.log1p(-rng.random(shape))
        moved = np.zeros(len(values))
        for (i, j), threshold in zip(np.moveaxis(drawn, -1, 1), thresholds, strict=True):
            proposed = values.copy()
            proposed[chains, i], proposed[chains, j] = values[chains, j], values[chains, i]
            cost = self._action(proposed)
            accept = threshold < action - cost
            unlike = values[chains, i] != values[chains, j]
            values, action = np.where(accept[:, None], proposed, values), np.where(accept, cost, action)
            moved += accept & unlike
        return values, action, moved / self.n_sites
