"""What `simulate` was asked for: checked, with the sampler chosen, the ladder built and the starts drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn import memory
from hamlearn.arguments import require_seed, require_whole
from hamlearn.data.arrays import as_numbers
from hamlearn.errors import HamlearnError, choice
from hamlearn.systems.base import System, check_beta
from hamlearn.systems.interaction_tables import InteractionTables
from hamlearn.systems.pairwise import Pairwise
from hamlearn.systems.potts import QState
from hamlearn.systems.sampling import cluster, continuous, table_heat_bath, tempering

SAMPLERS = ("auto", "exact", "heat_bath", "metropolis", "wolff", "swendsen_wang", "tempering", *continuous.ONLY)


def check_integers(**given: tuple[Any, int]) -> None:
    """Raise unless every value is an integer of at least its bound: ``check_integers(draws=(draws, 1))``."""
    for name, (value, least) in given.items():
        require_whole(value, name, least, also=", or 'auto'" if name == "thin" else "")


@dataclass(frozen=True, eq=False)
class Request:
    """The arguments of :func:`.simulate` that determine its result."""

    system: Any
    sampler: str
    beta: Any
    draws: int
    chains: int
    seed: int
    burn_in: int | None
    thin: int | str
    start: Any
    ladder: Any

    def __post_init__(self) -> None:
        if not isinstance(self.system, System):
            raise HamlearnError(
                "simulate needs a system (hl.systems.Ising, EdwardsAnderson, Potts, …, or anything with lattice, space, "
                f"pure_jax, energy, action and to_dict); got {type(self.system).__name__}."
            )
        choice(self.sampler, SAMPLERS, "sampler")
        if check_beta(self.beta).ndim > 1:
            raise HamlearnError(f"beta must be a number or a one-dimensional array; got shape {np.shape(self.beta)}.")
        check_integers(draws=(self.draws, 1), chains=(self.chains, 1))
        object.__setattr__(self, "seed", require_seed(self.seed))
        self._require_memory()
        if self.burn_in is not None:
            check_integers(burn_in=(self.burn_in, 0))
        if not isinstance(self.thin, str) or self.thin != "auto":
            check_integers(thin=(self.thin, 1))

    def _require_memory(self) -> None:
        """States and the energies of all draws; a sampler holds both as it goes."""
        betas, sites = int(np.size(self.beta)), int(self.system.lattice.n_sites)
        cell = 8 if self.system.space.continuous else 1
        size = int(self.draws) * int(self.chains) * betas * (cell * sites + 8)
        what = f"{self.draws} draws of {self.chains} chains of {sites} sites at {betas} temperature{'s' if betas > 1 else ''}"
        memory.require(size, what, "Ask for fewer draws, or several runs.")

    @property
    def several(self) -> bool:
        """Whether the result has an axis of temperatures."""
        return np.ndim(self.beta) > 0

    @property
    def betas(self) -> np.ndarray:
        """The temperatures, with one axis."""
        return np.atleast_1d(check_beta(self.beta))

    def identity(self, sampler: str) -> dict[str, Any]:
        """Everything that determines the result, for the fingerprint of a checkpoint."""
        names = ("draws", "chains", "seed", "burn_in", "thin", "start", "ladder")
        plain = {name: getattr(self, name) for name in names}
        return {"system": self.system.to_dict(), "sampler": sampler, "beta": self.betas, "several": self.several, **plain}

    def choose(self) -> tuple[str, str]:
        """The sampler, and why."""
        from hamlearn.systems import exact

        system, sampler = self.system, self.sampler
        if system.space.continuous:
            return continuous.choose(system, sampler, self.betas)
        if sampler in continuous.ONLY:
            raise HamlearnError(f"sampler={sampler!r} is for angles and real values; {system!r} is discrete. Use sampler='auto'.")
        if isinstance(system, InteractionTables):
            return self._choose_for_tiles()
        pairwise = isinstance(system, Pairwise | QState)
        oracle = exact.method(system) if pairwise and sampler in ("auto", "exact") else None
        if not pairwise and sampler not in ("auto", "metropolis"):
            raise HamlearnError(
                f"sampler={sampler!r} needs a system of pair couplings; {system!r} is a black box. Use sampler='metropolis'."
            )
        if sampler == "exact" and oracle not in ("enumeration", "transfer"):
            raise HamlearnError(
                f"no oracle can draw exact samples of {system!r}: enumeration needs at most 2^20 states, the transfer "
                "matrix a lattice that can be cut into narrow layers. Use sampler='auto'."
            )
        if sampler != "auto":
            return sampler, "asked for"
        if oracle in ("enumeration", "transfer"):
            return "exact", f"auto: {oracle} gives independent draws"
        if not pairwise:
            return "metropolis", "auto: a black box known by its energies"
        if is_ferromagnet(system):
            return "swendsen_wang", "auto: a ferromagnet without field; clusters decorrelate it at every temperature"
        return "heat_bath", "auto: no oracle is cheap and clusters do not help; for a glass at low temperature try 'tempering'"

    def _choose_for_tiles(self) -> tuple[str, str]:
        from hamlearn.systems import exact

        sampler, oracle = self.sampler, exact.method(self.system)
        if sampler in ("wolff", "swendsen_wang"):
            raise HamlearnError(
                f"sampler={sampler!r} needs pair couplings; {self.system!r} is a sum of tiles. Use 'heat_bath' or 'tempering'."
            )
        if sampler == "exact" and oracle is None:
            raise HamlearnError(
                f"no oracle can draw exact samples of {self.system!r}: enumeration stops at 2**16 states. Use sampler='auto'."
            )
        if sampler != "auto":
            return sampler, "asked for"
        if oracle is not None:
            return "exact", f"auto: {oracle} gives independent draws"
        return "heat_bath", "auto: tile energies, looked up site by site; at low temperature try 'tempering'"

    def rungs(self) -> np.ndarray:
        """The ladder of a tempering run."""
        betas = self.betas
        if len(betas) > 1:
            if len(np.unique(betas)) != len(betas):
                raise HamlearnError("the temperatures of a tempering ladder must differ; beta holds one twice.")
            return betas
        if self.ladder is not None:
            return np.unique(np.append(check_beta(self.ladder).ravel(), betas))
        if self.system.space.continuous:
            return continuous.rungs(self.system, float(betas[0]))
        if isinstance(self.system, InteractionTables):
            return tempering.default_ladder(float(betas[0]), table_heat_bath.free_variance(self.system), self.system.lattice.n_sites)
        tables, q = self.system.coupling_tables(), self.system.space.q
        rows, columns, all_ = (tables.mean(axis, keepdims=True) for axis in (-1, -2, (-1, -2)))
        # Bond by bond: states of independent sites, so only what depends on both ends adds to the field's variance.
        variance = float(np.sum((tables - rows - columns + all_) ** 2) / q**2)
        variance += float(np.sum(np.var(self.system.field_tables(), axis=-1)))
        return tempering.default_ladder(float(betas[0]), variance, self.system.lattice.n_sites)

    def starts(self, count: int, seed: np.random.SeedSequence) -> np.ndarray:
        """Values ``(count, chain, n_sites)`` that the chains at `count` temperatures start from."""
        if self.system.space.continuous:
            return continuous.starts(self.system, self.start, count, len(self.betas), self.chains, np.random.default_rng(seed))
        shape, n_sites = tuple(self.system.lattice.shape), self.system.lattice.n_sites
        space, full = self.system.space, (count, self.chains, n_sites)
        if isinstance(self.start, str):
            hot = choice(self.start, ("hot", "cold"), "start") == "hot"
            return np.asarray(space.random(np.random.default_rng(seed), full) if hot else space.cold(full))
        try:
            array = as_numbers(self.start)
        except HamlearnError as error:
            raise HamlearnError(f"start must be 'hot', 'cold' or states: {error}") from error
        allowed = [shape, (self.chains, *shape), (len(self.betas), self.chains, *shape)]
        if array.shape not in allowed or (array.shape == allowed[2] and count != len(self.betas)):
            wanted = ", ".join(map(str, allowed))
            raise HamlearnError(f"start must be 'hot', 'cold' or states of shape {wanted}; got shape {array.shape}.")
        if not np.all(np.isin(array, space.values)):
            raise HamlearnError(f"start holds values outside the space {space.name}: allowed are {space.values.tolist()}.")
        return np.broadcast_to(array.reshape((*array.shape[: array.ndim - len(shape)], n_sites)), full).astype(np.int8)


def is_ferromagnet(system: Pairwise | QState) -> bool:
    """Whether cluster updates apply, nothing is frustrated and no state is favoured."""
    try:
        clusters = cluster.clusters_of(system)
    except HamlearnError:
        return False
    return bool(np.all(clusters.equal) and np.all(clusters.field == clusters.field[:, :1]))
