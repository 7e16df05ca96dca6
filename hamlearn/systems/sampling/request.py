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
from hamlearn.systems.sampling.energies import energies
from hamlearn.systems.sampling.sampler import chosen, resolved, settings
from hamlearn.systems.sampling.samplers import AUTO, SAMPLERS, Tempering


def check_integers(**given: tuple[Any, int]) -> None:
    """Raise unless every value is an integer of at least its bound: ``check_integers(draws=(draws, 1))``."""
    for name, (value, least) in given.items():
        require_whole(value, name, least, also=", or 'auto'" if name == "thin" else "")


@dataclass(frozen=True, eq=False)
class Request:
    """The arguments of :func:`.simulate` that determine its result."""

    system: Any
    sampler: Any
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
                "simulate needs a system: hl.systems.Ising, EdwardsAnderson, Potts, …, or a class of your own that derives from "
                f"hl.systems.System and has lattice, space and energy(states); got {type(self.system).__name__}."
            )
        sampler = resolved(self.sampler, SAMPLERS)
        if self.ladder is not None and isinstance(sampler, Tempering):
            if sampler.ladder is not None:
                raise HamlearnError("the ladder is given twice, by ladder= and by the sampler: leave one out.")
            sampler = Tempering(self.ladder)
        object.__setattr__(self, "sampler", sampler)
        if check_beta(self.beta).ndim > 1:
            raise HamlearnError(f"beta must be a number or a one-dimensional array; got shape {np.shape(self.beta)}.")
        check_integers(draws=(self.draws, 1), chains=(self.chains, 1))
        object.__setattr__(self, "seed", require_seed(self.seed))
        self._require_memory()
        self._require_energies()
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

    def _require_energies(self) -> None:
        """Of two states: a system of one's own says early that its energy is not one number per state."""
        some = self.system.space.random(np.random.default_rng(0), (2, self.system.lattice.n_sites))
        with np.errstate(all="ignore"):
            energies(self.system, some.reshape(2, -1))

    @property
    def several(self) -> bool:
        """Whether the result has an axis of temperatures."""
        return np.ndim(self.beta) > 0

    @property
    def betas(self) -> np.ndarray:
        """The temperatures, with one axis."""
        return np.atleast_1d(check_beta(self.beta))

    def identity(self, sampler: Any) -> dict[str, Any]:
        """Everything that determines the result, for the fingerprint of a checkpoint."""
        names = ("draws", "chains", "seed", "burn_in", "thin", "start", "ladder")
        plain = {name: getattr(self, name) for name in names}
        told = {"name": sampler.name, **settings(sampler)}
        return {"system": self.system.to_dict(), "sampler": told, "beta": self.betas, "several": self.several, **plain}

    def choose(self) -> tuple[Any, str]:
        """The sampler, and why."""
        return chosen(self.sampler, self.system, self.betas, AUTO)

    def starts(self, count: int, seed: np.random.SeedSequence) -> np.ndarray:
        """Values ``(count, chain, n)`` that the chains at `count` temperatures start from; n counts all numbers of all sites."""
        space, lattice = self.system.space, self.system.lattice
        lead, shape = (count, self.chains), (*lattice.shape, *space.event_shape)
        if isinstance(self.start, str):
            hot = choice(self.start, ("hot", "cold"), "start") == "hot"
            full = (*lead, lattice.n_sites)
            return np.asarray(space.random(np.random.default_rng(seed), full) if hot else space.cold(full)).reshape(*lead, -1)
        try:
            array = as_numbers(self.start)
        except HamlearnError as error:
            raise HamlearnError(f"start must be 'hot', 'cold' or states: {error}") from error
        allowed = [shape, (self.chains, *shape), (len(self.betas), self.chains, *shape)]
        if array.shape not in allowed or (array.shape == allowed[2] and count != len(self.betas)):
            wanted = ", ".join(map(str, allowed))
            raise HamlearnError(f"start must be 'hot', 'cold' or states of shape {wanted}; got shape {array.shape}.")
        try:
            values = space.validate(array, site_axes=len(lattice.shape))
        except HamlearnError as error:
            raise HamlearnError(f"start holds values outside the space {space.name}: {error}") from error
        flat = values.reshape((*values.shape[: values.ndim - len(shape)], -1))
        return np.broadcast_to(flat, (*lead, flat.shape[-1])).astype(np.float64 if space.continuous else np.int8)
