"""Kawasaki exchange: two unlike spins change places, so that the magnetization never changes.

The two are the ends of a random bond (the dynamics of diffusing particles), or any two sites (which mixes in fewer sweeps and has the
same equilibrium); the exchange is accepted with min(1, exp(−βΔE)). Either way every pair is as likely to be proposed back as forth.
Source: Kawasaki, Phys. Rev. 145, 224 (1966).
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
        """Threads over chains where pair couplings are known; else all chains in one call of the energy."""
        flat = np.repeat(betas, chains)
        return (BlackBoxExchange if system.pairs is None else PairExchange)(system, flat, self.local)


def _parts(lattice: Lattice) -> int:
    n, (first, second) = lattice.n_sites, np.asarray(lattice.bonds).reshape(-1, 2).T
    return int(connected_components(coo_array((np.ones(len(first)), (first, second)), shape=(n, n)), directed=False)[0])


class State(NamedTuple):
    """What the next sweep of all chains needs: spins ``(chains, n_sites)`` and generators."""

    values: np.ndarray
    rng: np.ndarray


class PairExchange:
    """All chains of a system of pair couplings: a step is as many proposals as there are sites.

    Parameters
    ----------
    system : System
        With tables of pairs (``system.pairs``) of ±1 spins; it says which sites are neighbours.
    beta : array (chains,)
        Inverse temperature of every chain.
    local : bool
        Whether ends of bonds are exchanged, or any two sites.
    """

    capacity = 1024

    def __init__(self, system: System, beta: np.ndarray, local: bool) -> None:
        pairs, self.n_sites = system.pairs, system.lattice.n_sites
        assert pairs is not None  # or it is exchanged as a black box
        self.beta, self.lead = np.asarray(beta, np.float64), np.shape(beta)
        # Which sites are exchanged the lattice says, which interact the pairs: of windows of sites they are not the same bonds.
        self.bonds, between = (np.ascontiguousarray(one.bonds, np.int64).reshape(-1, 2) for one in (system.lattice, pairs.lattice))
        start, bond, place = neighbour_lists(between, self.n_sites)
        coupling, field = pairs.of_spins()
        self.couplings = (start, between[bond, 1 - place], coupling[bond], field)
        self.local = local
        self.updates_per_step = len(self.beta) * self.n_sites * 4

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from spins ``(chains, n_sites)``."""
        return State(np.array(values, np.int8), generators(seed, len(values)))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` sweeps: new state, states ``(draws, chains, n_sites)``, and the fraction of exchanges, summed."""
        values, rng = state.values.copy(), state.rng.copy()
        out = np.empty((len(values), draws, self.n_sites), np.int8)

        def one_chain(chain: int) -> float:
            options = (self.beta[chain], self.couplings, self.bonds, self.local, draws, thin, out[chain])
            return float(_run(values[chain], rng[chain], *options))

        exchanged = in_threads(one_chain, range(len(values)))
        return State(values, rng), out.swapaxes(0, 1), {"acceptance": np.mean(exchanged)}

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state


@kernel
def _run(values, rng, beta, couplings, bonds, local, draws, thin, out):  # type: ignore[no-untyped-def]
    """`draws` × `thin` sweeps of one chain; writes the states to `out`, returns the summed fraction of proposals that exchanged."""
    start, other, coupling, field = couplings
    n_sites, exchanged = len(values), 0
    for draw in range(draws):
        for _ in range(thin * n_sites):
            if local:
                bond = int(uniform(rng) * len(bonds))
                i, j = bonds[bond, 0], bonds[bond, 1]
            else:
                i, j = int(uniform(rng) * n_sites), int(uniform(rng) * n_sites)
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
        out[draw] = values
    return exchanged / n_sites


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
