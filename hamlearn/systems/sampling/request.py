"""What `simulate` was asked for: checked, with the sampler chosen, the ladder built and the starts drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data, memory
from hamlearn.arguments import require_seed, require_whole
from hamlearn.data.arrays import as_numbers
from hamlearn.errors import HamlearnError, choice
from hamlearn.systems.base import System, check_beta
from hamlearn.systems.sampling.energies import energies
from hamlearn.systems.sampling.sampler import chosen, declared, resolved, settings, why_not
from hamlearn.systems.sampling.samplers import AUTO, SAMPLERS


def check_integers(**given: tuple[Any, int]) -> None:
    """Raise unless every value is an integer of at least its bound: ``check_integers(draws=(draws, 1))``."""
    for name, (value, least) in given.items():
        require_whole(value, name, least, also=", or 'auto'" if name == "thin" else "")


@dataclass(frozen=True, eq=False)
class Request:
    """The arguments of :func:`.simulate` that determine its result, and whether that is written in pieces."""

    system: System
    sampler: Any
    beta: Any
    draws: int
    chains: int
    seed: int
    burn_in: int | None
    thin: int | str
    start: Any
    ladder: Any
    in_pieces: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.system, System):
            raise HamlearnError(
                "simulate needs a system: hl.systems.Ising, EdwardsAnderson, Potts, …, or a class of your own that derives from "
                f"hl.systems.System and has lattice, space and energy(states); got {type(self.system).__name__}."
            )
        sampler = resolved(self.sampler, SAMPLERS)
        if self.ladder is not None and "ladder" in declared(sampler).uses:
            if sampler.ladder is not None:
                raise HamlearnError("the ladder is given twice, by ladder= and by the sampler: leave one out.")
            sampler = replace(sampler, ladder=self.ladder)
        object.__setattr__(self, "sampler", sampler)
        if check_beta(self.beta).ndim > 1:
            raise HamlearnError(f"beta must be a number or a one-dimensional array; got shape {np.shape(self.beta)}.")
        check_integers(draws=(self.draws, 1), chains=(self.chains, 1))
        object.__setattr__(self, "seed", require_seed(self.seed))
        if isinstance(self.start, str):
            choice(self.start, ("hot", "cold"), "start")
        self._require_memory()
        self._require_energies()
        if self.burn_in is not None:
            check_integers(burn_in=(self.burn_in, 0))
        if not isinstance(self.thin, str) or self.thin != "auto":
            check_integers(thin=(self.thin, 1))

    def _require_memory(self) -> None:
        """States and the energies of all draws; a sampler holds both as it goes, or the energies alone."""
        betas, sites = int(np.size(self.beta)), int(self.system.lattice.n_sites)
        cell = 0 if self.in_pieces else 8 if self.system.space.continuous else 1
        size = int(self.draws) * int(self.chains) * betas * (cell * sites + 8)
        what = f"{self.draws} draws of {self.chains} chains of {sites} sites at {betas} temperature{'s' if betas > 1 else ''}"
        memory.require(
            size, what, "Ask for fewer draws or several runs" + (".", ", or write it in pieces: out='run.zarr'.")[not self.in_pieces]
        )

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

    def dataset(self, states: np.ndarray, attrs: dict[str, Any]) -> xr.Dataset:
        """Microstates of states ``(beta, chain, draw, n)``."""
        beta, found = (self.betas, states) if self.several else (float(self.betas[0]), states[0])
        return data.build(found, beta=beta, space=self.system.space, lattice=self.system.lattice, attrs=attrs)

    def choose(self) -> tuple[Any, str]:
        """The sampler, and why; an error if it would ignore a setting."""
        found, why = chosen(self.sampler, self.system, self.betas, AUTO)
        given = {"burn_in": self.burn_in not in (None, 0), "thin": self.thin not in (1, "auto"), "ladder": self.ladder is not None}
        given["start"] = not (isinstance(self.start, str) and self.start == "hot")
        ignored = [name for name, said in given.items() if said and name not in declared(found).uses]
        if not ignored:
            return found, why
        if isinstance(self.sampler, str) and declared(found).independent and "ladder" not in ignored:
            return found, f"{why}, so {' and '.join(ignored)} of chains {'is' if len(ignored) == 1 else 'are'} not needed"
        able = [one.name for one in AUTO if set(ignored) <= one.uses and why_not(one, self.system) is None]
        named = " and ".join(f"{name}=" for name in ignored)
        raise HamlearnError(
            f"sampler={found.name!r} has no use for {named}, which would be ignored. Leave it out"
            + (f", or ask for a sampler that uses it: {', '.join(map(repr, able))}." if able else ".")
        )

    def told(self, sampler: Any) -> str:
        """What `sampler` will do, before it does: how many draws, and how many updates of a site they take at least."""
        kept = f"{self.draws} draws of {self.chains} chains" + (f" at {len(self.betas)} temperatures" if self.several else "")
        if declared(sampler).independent:
            return f"sampler {sampler.name}, {kept}, independent of each other"
        thin = 1 if isinstance(self.thin, str) else self.thin
        updates = (float(self.burn_in or 0) + float(self.draws) * thin) * self.chains * len(self.betas) * self.system.lattice.n_sites
        return f"sampler {sampler.name}, {kept}, at least {updates:.2g} updates of a site"

    def starts(self, count: int, seed: np.random.SeedSequence) -> np.ndarray:
        """Values ``(count, chain, n)`` that the chains at `count` temperatures start from; n counts all numbers of all sites."""
        space, lattice = self.system.space, self.system.lattice
        lead, shape = (count, self.chains), (*lattice.shape, *space.event_shape)
        if isinstance(self.start, str):
            hot = self.start == "hot"
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
