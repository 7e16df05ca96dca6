"""Microstates of whatever is audited: microstates themselves, a system, or a posterior."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn import infer
from hamlearn.diagnostics import simulated
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.draw_systems import distinct
from hamlearn.progress import logger
from hamlearn.systems import sampling
from hamlearn.systems.base import System, axes_of
from hamlearn.systems.lattice import Lattice, hypercubic

MEMBERS = 32  # Hamiltonians of a posterior that rows are drawn of
CHAINS = 32  # of one law: many short ones start and end apart
_CHAINS_OF_MEMBER = 8


class Drawn(NamedTuple):
    """Rows of a model, and what it says of itself.

    Attributes
    ----------
    data : list of Dataset
        At one temperature each, in the order of the reference.
    members : tuple of System
        Hamiltonians of a posterior, an equal number of chains each, one after the other; (): one law.
    system : System or None
        Whose energy is audited.
    lattice : Lattice or None
        Of its sites, where it has one.
    how : str
        Where the rows came from, in words.
    """

    data: list[xr.Dataset]
    members: tuple[System, ...]
    system: System | None
    lattice: Lattice | None
    how: str


def of(model: Any, reference: list[xr.Dataset], draws: int, seed: int) -> Drawn:
    """Rows of `model` at the temperatures of the reference."""
    if isinstance(model, System):
        return _of_system(model, reference, draws, seed)
    if isinstance(model, xr.DataTree):
        return _of_posterior(model, reference, draws, seed)
    return Drawn(list(model), (), None, None, "microstates as they were given")


def _beta(data: xr.Dataset, *, declared: bool = False) -> float:
    beta = float(data["beta"])
    if declared and not int(data.attrs.get("beta_declared", 0)):
        raise HamlearnError(
            "the reference declares no temperature, and a system is simulated at one: hl.microstates(..., beta=...), or give microstates."
        )
    return beta


def _of_system(system: System, reference: list[xr.Dataset], draws: int, seed: int) -> Drawn:
    size: dict[str, Any] = {"draws": -(-draws // CHAINS), "chains": CHAINS, **{"thin": "auto", **simulated.conserving(system)}}
    found = [sampling.simulate(system, _beta(one, declared=True), seed=seed + k, **size) for k, one in enumerate(reference)]
    how = f"simulated: {found[0].attrs['sampler']}, {CHAINS} chains of {found[0].sizes['draw']} draws"
    return Drawn(found, (), system, system.lattice, how)


def _require_temperature(known: bool, reference: xr.Dataset) -> None:
    """Refuse to simulate strengths at a temperature that they are not in units of."""
    if known == bool(int(reference.attrs.get("beta_declared", 0))):
        return
    if known:
        raise HamlearnError(
            "the reference declares no temperature, and the posterior was learned at a declared one: its Hamiltonians would be simulated "
            "at another. Give the reference its own: hl.microstates(..., beta=...), at the shell --beta."
        )
    raise HamlearnError(
        f"the posterior was learned from microstates that declare no temperature, the reference was observed at β = {_beta(reference):.6g}"
        ": its strengths are in units of a temperature that nobody knows. Learn it from hl.microstates(..., beta=...)."
    )


def _networks(post: xr.DataTree) -> int:
    """How many networks an ensemble has: their draws are these, again and again."""
    return int(post["weights"].sizes.get("member", MEMBERS)) if "weights" in post.children else MEMBERS


def _of_posterior(post: xr.DataTree, reference: list[xr.Dataset], draws: int, seed: int) -> Drawn:
    post = infer.accepted.admit_posterior(post)
    posteriors.require_readings(post, "audits")
    first = families.of(post).draw_systems(post, 1, seed, None)[0]
    traits = families.traits(post)
    # The law of a trained machine is that of its own draws: chains that begin at the data may never leave a mode it hardly has.
    if traits.density and (not traits.closed or posteriors.provenance_of(post).engine.name == "training"):
        networks = int(post["weights"].sizes["member"])
        sets = [infer.sample(post, -(-draws // networks), seed + k) for k, _ in enumerate(reference)]
        return Drawn(sets, (), first, first.lattice, f"drawn from {networks} network{'s' if networks > 1 else ''}, independent")
    known = bool(int(post.attrs["beta_declared"]))
    for one in reference:
        _require_temperature(known, one)
    members = min(distinct(post, MEMBERS), _networks(post))
    chains = max(_CHAINS_OF_MEMBER, CHAINS // members)
    systems = families.of(post).draw_systems(post, members, seed, None)
    rng, sets = np.random.default_rng(seed), []
    each = max(2 * chains, -(-draws // members))
    for one in reference:
        start = microstates.rows(one).reshape(-1, *axes_of(first))
        logger.info("audit: simulating %d members of the posterior, %d microstates each", members, each)
        found = simulated.microstates_of(systems, _beta(one), start, rng, each, mixed=True, chains=chains)
        count = len(found[0]) // chains
        states = np.stack([rows[: count * chains].reshape(chains, count, *rows.shape[1:]) for rows in found])
        states = states.reshape(members * chains, count, *states.shape[3:])
        sets.append(
            microstates.build(
                states,
                beta=_beta(one),
                space=first.space,
                lattice=hypercubic(posteriors.site_shape(post)),
                attrs={"beta_declared": int(known)},
            )
        )
    return Drawn(
        sets,
        tuple(systems),
        first,
        first.lattice,
        f"simulated: {members} Hamiltonian{'s' * (members > 1)} of the posterior, {each} microstates of each",
    )
