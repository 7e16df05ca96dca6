"""The samplers of this library: one dataclass each, the order in which "auto" asks them, and their names.

To add one: a file with its engine and its dataclass (such as :mod:`.kawasaki`), and its line in :data:`AUTO`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError
from hamlearn.systems import factors
from hamlearn.systems.base import System, check_beta
from hamlearn.systems.pairs import pairs_of
from hamlearn.systems.sampling import hmc, kawasaki
from hamlearn.systems.sampling.blackbox import BlackBoxEngine
from hamlearn.systems.sampling.block_gibbs import BlockGibbs
from hamlearn.systems.sampling.cluster import ClusterEngine, clusters_of, is_ferromagnet
from hamlearn.systems.sampling.kawasaki import Kawasaki
from hamlearn.systems.sampling.ladders import BetaFirst, default_ladder
from hamlearn.systems.sampling.loop import Engine
from hamlearn.systems.sampling.metropolis import MetropolisEngine
from hamlearn.systems.sampling.own import Own
from hamlearn.systems.sampling.sampler import Sampler
from hamlearn.systems.sampling.table_heat_bath import TableEngine
from hamlearn.systems.sampling.vectorised import JaxEngine, parameters_of
from hamlearn.systems.sampling.vectors import engine as directions

__all__ = [
    "AUTO",
    "HMC",
    "SAMPLERS",
    "BlockGibbs",
    "Exact",
    "HeatBath",
    "Kawasaki",
    "Kinks",
    "Metropolis",
    "Overrelaxation",
    "Own",
    "SamplerName",
    "SwendsenWang",
    "Tempering",
    "Wolff",
]

_CONTINUOUS = "it is for angles and real values, and these sites are discrete"


@dataclass(frozen=True)
class Exact(Sampler):
    """Independent draws from an oracle: pair couplings and tables of few states or narrow lattices, paths, free fields."""

    name: ClassVar[str] = "exact"
    independent: ClassVar[bool] = True
    keeps: ClassVar[tuple[str, ...]] = ("magnetization",)
    uses: ClassVar[frozenset[str]] = frozenset()

    def refusal(self, system: System) -> str | None:
        """No oracle draws from it."""
        from hamlearn.systems import exact

        if exact.oracle(system, "sample") is not None:
            return None
        if system.space.continuous:
            return "no oracle draws from it"
        listed = "2**20 states, the transfer matrix needs a lattice that can be cut into narrow layers"
        limit = listed if pairs_of(system) is not None else "2**16 states"
        return f"no oracle can draw exact samples of it: enumeration stops at {limit}"

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """Wherever it is cheap: what is known by its energies alone is not listed unasked."""
        from hamlearn.systems import exact

        if _by_evaluation(system):
            return None
        line, found = system.nearest_path, exact.oracle(system, "sample")
        if line is None:
            return f"{found.name if found else 'an oracle'} gives independent draws"
        for beta in betas:
            exact.path.confined(line, float(beta))
        try:
            for beta in betas:
                exact.path.transfer_operator(line, float(beta))
        except HamlearnError:
            return None
        return "the transfer operator gives independent paths"

    def remark(self, system: System) -> str:
        """That the system's own energy was called for every state, where it was."""
        if not _by_evaluation(system):
            return ""
        return f"all {int(system.space.count(system.lattice.n_sites))} states were listed and their energies evaluated one by one"

    def sample(self, system: System, beta: float, count: int, seed: int) -> np.ndarray:
        """`count` independent states."""
        from hamlearn.systems import exact

        return np.asarray(exact.sample(system, beta, count, seed))


def _by_evaluation(system: System) -> bool:
    """Whether exact draws need the energy of every state, evaluated: nothing else of the system is known."""
    from hamlearn.systems import exact

    found = exact.oracle(system, "sample")
    return found is not None and "states" in found.gives and system.pairs is None and system.windows is None


@dataclass(frozen=True)
class SwendsenWang(Sampler):
    """All clusters of a ±1 or Potts system, each given a new state: ferromagnets near their transition."""

    name: ClassVar[str] = "swendsen_wang"

    def refusal(self, system: System) -> str | None:
        """What clusters cannot be made of."""
        if system.space.continuous:
            return "clusters of all sites at once are made of spins and Potts states"
        if system.pairs is None:
            return f"clusters grow along pair couplings, and this is {'a black box' if system.windows is None else 'a sum of tiles'}"
        try:
            clusters_of(system)
        except HamlearnError as error:
            return str(error)
        return None

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """Ferromagnets without field, also those some of whose couplings are slightly of the other sign, as learned ones may be."""
        return "a ferromagnet without field; clusters decorrelate it at every temperature" if is_ferromagnet(system, _AGAINST) else None

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """All chains, in threads."""
        return ClusterEngine(system, np.repeat(betas, chains), wolff=False)


@dataclass(frozen=True)
class Wolff(Sampler):
    """Single clusters, of ±1 and Potts systems (flipped) and of directions (reflected)."""

    name: ClassVar[str] = "wolff"

    def refusal(self, system: System) -> str | None:
        """What clusters cannot be made of."""
        if system.space.continuous:
            return None if system.directions is not None else "clusters are made of spins, states and directions with pair couplings"
        return SwendsenWang().refusal(system)

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """Ferromagnets of directions without field."""
        found = system.directions
        free = found is not None and np.all(found.J >= 0) and not np.any(found.h)
        return "a ferromagnet without field; clusters decorrelate it at every temperature" if free else None

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """All chains, in threads."""
        flat = np.repeat(betas, chains)
        return directions(system, flat, self.name) if system.directions is not None else ClusterEngine(system, flat, wolff=True)


@dataclass(frozen=True)
class Overrelaxation(Sampler):
    """Directions reflected about their local fields, at constant energy, with heat bath in between."""

    name: ClassVar[str] = "overrelaxation"

    def refusal(self, system: System) -> str | None:
        """Anything but directions."""
        if not system.space.continuous:
            return _CONTINUOUS
        return None if system.directions is not None else "it is for directions with pair couplings and fields"

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """What clusters do not help."""
        return "fields or couplings of both signs, where clusters do not help"

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """All chains, in threads."""
        return directions(system, np.repeat(betas, chains), self.name)


@dataclass(frozen=True)
class HeatBath(Sampler):
    """Every site drawn from its distribution given all others: pair couplings, interaction tables, directions."""

    name: ClassVar[str] = "heat_bath"

    def refusal(self, system: System) -> str | None:
        """What hides its single-site conditionals."""
        if system.pairs is not None or system.directions is not None or factors.tables_of([system]) is not None:
            return None
        return "it needs pair couplings, directions, or an energy that is a sum of terms on few sites each, and this is a black box"

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """Whatever has nothing better."""
        if system.pairs is None and system.directions is None:
            return "energies of few sites each, looked up site by site; at low temperature try 'tempering'"
        return "no oracle is cheap and clusters do not help; for a glass at low temperature try 'tempering'"

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """One for each structure."""
        flat = np.repeat(betas, chains)
        if system.directions is not None:
            return directions(system, flat, self.name)
        if system.windows is None and system.pairs is not None:
            return JaxEngine(*parameters_of([system]), flat[None], self.name)
        return TableEngine(factors.tables_of([system]) or [], flat[None])


@dataclass(frozen=True)
class HMC(Sampler):
    """Hybrid Monte Carlo with Fourier acceleration: any action that JAX can differentiate.

    Parameters
    ----------
    length : float
        Length of a trajectory in units of the modes' period/2π; π/2 takes every mode of a free field to an independent value.
    target : float
        Acceptance that the step size is tuned to.

    Examples
    --------
    >>> import hamlearn as hl
    >>> field = hl.systems.ScalarField((4,), m2=1.0, lam=0.5)
    >>> data = hl.simulate(field, 1.0, draws=5, chains=2, burn_in=20, sampler=hl.systems.HMC(length=2.0))
    >>> data.attrs["sampler"], data.attrs["sampler_settings"]
    ('hmc', '{"length": 2.0, "target": 0.8}')
    """

    length: float = hmc.LENGTH
    target: float = hmc.TARGET
    name: ClassVar[str] = "hmc"

    def __post_init__(self) -> None:
        require_number(self.length, f"{type(self).__name__}: length", above=0.0)
        require_number(self.target, f"{type(self).__name__}: target", above=0.0, below=1.0)

    def refusal(self, system: System) -> str | None:
        """What has no gradient."""
        if not system.space.continuous:
            return _CONTINUOUS
        if system.space.event_shape:
            return "it moves single numbers, and a site has several that belong together"
        return None if system.pure_jax else "JAX cannot differentiate its action"

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """Every action with a gradient."""
        return "an action that JAX can differentiate"

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """One compiled call for all chains."""
        return hmc.HMCEngine(system, betas, chains, adapt, length=self.length, target=self.target)


def _without_kinks(system: System) -> str | None:
    """Why signs of paths cannot be redrawn: their coupling is that of a quadratic kinetic term."""
    line = system.nearest_path
    if line is None:
        return "it is for paths of one particle"
    return None if line.quadratic else "it is for kinetic terms that are quadratic"


@dataclass(frozen=True)
class Kinks(HMC):
    """Hybrid Monte Carlo of a path, its signs redrawn after every trajectory: deep double wells."""

    name: ClassVar[str] = "kinks"

    def refusal(self, system: System) -> str | None:
        """Anything but a path."""
        return super().refusal(system) or _without_kinks(system)

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """Paths that the oracle leaves."""
        return "a path whose exact draws are out of reach"

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """One compiled call for all chains."""
        assert system.nearest_path is not None  # refusal() has seen to it
        return hmc.HMCEngine(system.nearest_path, betas, chains, adapt, signs=True, length=self.length, target=self.target)


@dataclass(frozen=True)
class Tempering(Sampler):
    """A ladder of temperatures whose neighbours exchange their microstates: glasses, deep wells, many temperatures at once.

    Parameters
    ----------
    ladder : sequence of float, optional
        Temperatures (β) of the ladder beside those asked for, one or several; by default a geometric ladder up to the one that is asked
        for, or those alone that are if they are several.
    """

    ladder: Any = None
    name: ClassVar[str] = "tempering"
    uses: ClassVar[frozenset[str]] = Sampler.uses | {"ladder"}
    keeps: ClassVar[tuple[str, ...]] = Kawasaki.keeps

    def refusal(self, system: System) -> str | None:
        """What has no engine with a ladder."""
        if system.space.continuous:
            return HMC().refusal(system)
        if system.space.constraint and system.pairs is None and system.windows is None:
            return "of a fixed magnetization it needs pair couplings or interaction tables"
        if system.pairs is not None or system.windows is not None or system.pure_jax:
            return None
        return "it needs pair couplings, interaction tables or an energy that JAX can trace, and this is a black box"

    def temperatures(self, system: System, betas: np.ndarray) -> np.ndarray:
        """The ladder, ascending."""
        if len(np.unique(betas)) != len(betas):
            raise HamlearnError("the temperatures of a tempering ladder must differ; beta holds one twice.")
        if self.ladder is not None:
            return np.unique(np.append(check_beta(self.ladder).ravel(), betas))
        if len(betas) > 1:
            return np.sort(betas)
        return default_ladder(system, float(betas[0]))

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """Every chain a whole ladder."""
        if system.space.continuous:
            return hmc.HMCEngine(system, betas, chains, adapt, ladder=True)
        if system.space.constraint:
            return BetaFirst(kawasaki.engine(system, np.tile(betas, (chains, 1))))
        lead = np.broadcast_to(betas, (1, chains, len(betas)))
        if system.windows is None and system.pairs is not None:
            return BetaFirst(JaxEngine(*parameters_of([system]), lead, self.name))
        if (tables := factors.tables_of([system])) is not None:
            return BetaFirst(TableEngine(tables, lead))
        return BetaFirst(MetropolisEngine(system, lead[0], system.space, system.lattice, ladder=True))


@dataclass(frozen=True)
class Metropolis(Sampler):
    """One site at a time, accepted by what it costs: any system, black boxes too."""

    name: ClassVar[str] = "metropolis"

    def refusal(self, system: System) -> str | None:
        """Nothing."""
        return None

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """What is left."""
        return f"a black box known by its {'action' if system.space.continuous else 'energies'}"

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """Compiled where the system can be; else all chains in one call of its energy."""
        flat = np.repeat(betas, chains)
        if system.pairs is not None:
            return JaxEngine(*parameters_of([system]), flat[None], self.name)
        if system.pure_jax and not system.space.continuous:
            return MetropolisEngine(system, flat, system.space, system.lattice)
        return BlackBoxEngine(system, flat, adapt)


_AGAINST = 0.02  # share of the strength of couplings that may be antiferromagnetic where clusters are taken unasked
AUTO: tuple[Sampler, ...] = (
    Own(),
    Exact(),
    Kawasaki(),
    SwendsenWang(),
    Wolff(),
    Overrelaxation(),
    BlockGibbs(),
    HeatBath(),
    Kinks(),
    HMC(),
    Tempering(),
    Metropolis(),
)
"""In this order sampler="auto" asks for one that applies and suits; every sampler has its name here."""
SamplerName = Literal[
    "auto",
    "own",
    "exact",
    "kawasaki",
    "swendsen_wang",
    "wolff",
    "overrelaxation",
    "block_gibbs",
    "heat_bath",
    "kinks",
    "hmc",
    "tempering",
    "metropolis",
]
SAMPLERS: dict[str, Sampler] = {one.name: one for one in AUTO}
