"""Many systems of one lattice in one compiled call: members of a posterior at many temperatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from hamlearn.arguments import require_seed
from hamlearn.errors import HamlearnError, choice
from hamlearn.processes import verb
from hamlearn.systems import factors
from hamlearn.systems.base import Space, System, check_beta
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.parametric import stacked
from hamlearn.systems.sampling import loop, vectorised
from hamlearn.systems.sampling.blackbox import BlackBoxMembers
from hamlearn.systems.sampling.metropolis import MetropolisEngine
from hamlearn.systems.sampling.request import check_integers
from hamlearn.systems.sampling.sampler import SamplesSystems, settings
from hamlearn.systems.sampling.samplers import SAMPLERS
from hamlearn.systems.sampling.table_heat_bath import TableEngine

Observe = Callable[[np.ndarray], dict[str, np.ndarray]]


@verb
def simulate_members(
    lattice: Lattice,
    space: Space,
    parameters: Mapping[str, Any],
    beta: Any,
    *,
    draws: int,
    chains: int = 1,
    seed: int = 0,
    sampler: Literal["heat_bath", "metropolis", "tempering"] | SamplesSystems = "heat_bath",
    burn_in: int = 200,
    thin: int = 1,
    start: str | np.ndarray = "hot",
    observe: Observe | None = None,
    progress: bool | None = None,
) -> Any:
    """Draw microstates of many systems that differ only in their parameters.

    Members × temperatures × chains are axes of one compiled call, so a posterior of hundreds of members costs little
    more than one system of the same total size.

    Parameters
    ----------
    lattice : Lattice
        Sites and bonds that all members share.
    space : Space
        What values a site takes.
    parameters : mapping
        Spins: ``J (member, n_bonds)`` and ``h (member, n_sites)``. States: ``tables (member, n_bonds, q, q)`` and
        ``fields (member, n_sites, q)``, −energies. The fields may be left out (zero).
    beta : float, array (n_beta,) or array (member, n_beta)
        Inverse temperatures of all members, or of each; ``beta[:, None]`` gives every member its own.
    draws, chains : int
        Draws per chain, and chains per member and temperature.
    seed : int
        Same call and seed, same microstates.
    sampler : {"heat_bath", "metropolis", "tempering"} or the sampler of that name
        Single-site updates, independent at every temperature; or with exchanges between neighbouring temperatures,
        which must then ascend (every chain is a ladder of all of them).
    burn_in, thin : int
        Sweeps discarded and sweeps between draws. Nothing is adapted here: 200 sweeps suit high temperatures and
        small lattices; take them from one :func:`simulate` of a member otherwise.
    start : {"hot", "cold"} or array of shape ``(member, chain, *lattice.shape)``
        Random states, or all sites up (spins) or in state 0; or given states, the same at all temperatures.
    observe : callable, optional
        What to keep instead of the states: it is given the states of a chunk,
        ``(draws, member, beta, chain, *lattice.shape)``, and returns a dictionary of arrays with the draws first.
    progress : bool, optional
        Show a progress bar (default: on a terminal, after two seconds).

    Returns
    -------
    int8 array (member, beta, chain, draw, *lattice.shape), or dict
        The states; or, with `observe`, its arrays for all draws, ``(draws, ...)``.

    Raises
    ------
    HamlearnError
        If parameters or temperatures have the wrong shape.

    Examples
    --------
    >>> import numpy as np
    >>> from hamlearn.systems import SPINS, lattice
    >>> square = lattice.hypercubic((4, 4))
    >>> J = np.linspace(0.5, 1.5, 3)[:, None] * np.ones(square.n_bonds)
    >>> states = simulate_members(square, SPINS, {"J": J}, [0.1, 0.2], draws=5)
    >>> states.shape
    (3, 2, 1, 5, 4, 4)
    """
    named = _name_of(sampler, ("heat_bath", "metropolis", "tempering"))
    spins = space.binary
    arrays = _parameters(lattice, space, parameters, spins)

    def engine_of(rungs: np.ndarray) -> loop.Engine:
        return vectorised.JaxEngine(lattice, spins, arrays, rungs, named)

    return _simulate(engine_of, lattice, space, len(arrays[0]), beta, draws, chains, seed, named, burn_in, thin, start, observe, progress)


@verb
def simulate_systems(
    systems: Sequence[System],
    beta: Any,
    *,
    draws: int,
    chains: int = 1,
    seed: int = 0,
    sampler: Literal["auto", "heat_bath", "metropolis", "tempering"] | SamplesSystems = "auto",
    burn_in: int = 200,
    thin: int = 1,
    start: str | np.ndarray = "hot",
    observe: Observe | None = None,
    progress: bool | None = None,
) -> Any:
    """Draw microstates of a list of systems of one kind on one lattice, all of them in one engine.

    Parameters
    ----------
    systems : sequence of System
        Members, such as those of a posterior; they differ in their parameters only.
    beta, draws, chains, seed, burn_in, thin, start, observe, progress
        As for :func:`simulate_members`.
    sampler : {"auto", "heat_bath", "metropolis", "tempering"} or the sampler of that name
        Tiles know "heat_bath" and "tempering", and so do energies that JAX can trace which are sums of terms on few sites
        (:mod:`hamlearn.systems.factors`). Others that are known by their energies alone make Metropolis moves, with "tempering" as
        well where JAX can trace all of them as one. "auto" is the heat bath where there is one, else "metropolis".

    Returns
    -------
    int8 array (member, beta, chain, draw, *lattice.shape), or dict

    Raises
    ------
    HamlearnError
        If the systems are of different kinds, lattices or windows, or continuous, or do not know the sampler.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> simulate_systems([Ising((4, 4), J=J) for J in (0.5, 1.0)], [0.1, 0.2, 0.3], draws=5).shape
    (2, 3, 1, 5, 4, 4)
    """
    first = systems[0]
    asked = "auto" if isinstance(sampler, str) and sampler == "auto" else _name_of(sampler, ("heat_bath", "metropolis", "tempering"))
    options: dict[str, Any] = {"draws": draws, "chains": chains, "seed": seed, "burn_in": burn_in, "thin": thin}
    options |= {"sampler": "heat_bath" if asked == "auto" else asked, "start": start, "observe": observe, "progress": progress}
    if not all(type(one) is type(first) and one.lattice.shape == first.lattice.shape for one in systems):
        raise HamlearnError("members that are simulated together must be systems of one kind on one lattice.")
    if first.space.constraint:
        raise HamlearnError(f"members are simulated together where nothing is fixed; draw from {first!r} with hl.simulate.")
    if first.windows is None and first.pairs is not None:
        lattice, spins, arrays = vectorised.parameters_of(systems)
        named = dict(zip(("J", "h") if spins else ("tables", "fields"), arrays, strict=True))
        return simulate_members(lattice, first.space, named, beta, **options)
    if first.windows is not None:
        choice(asked, ("auto", "heat_bath", "tempering"), "sampler of tiles")
        if len({(one.window, one.stride, one.tables.shape) for system in systems if (one := system.windows) is not None}) > 1:
            raise HamlearnError("members that are simulated together must have tiles of one window and stride.")
    tables = factors.tables_of(systems) if exchanging(systems) and asked != "metropolis" else None
    if tables is not None:
        return _simulate(lambda rungs: TableEngine(tables, rungs), first.lattice, first.space, len(systems), beta, **options)
    options["sampler"] = "metropolis" if asked == "auto" else asked
    return _simulate(_known_by_energies(systems, options["sampler"]), first.lattice, first.space, len(systems), beta, **options)


def exchanging(systems: Sequence[System]) -> bool:
    """Whether :func:`simulate_systems` can exchange states between temperatures: not where JAX cannot trace all as one."""
    first = systems[0]
    return first.windows is not None or first.pairs is not None or _as_one(systems) is not None


def _as_one(systems: Sequence[System]) -> System | None:
    """Systems as one with stacked parameters, where JAX can trace them."""
    return stacked(systems) if all(one.pure_jax for one in systems) else None


def _name_of(sampler: Any, allowed: tuple[str, ...]) -> str:
    """The name of a sampler that draws many systems together, given by name or as the object; one with settings of its own is refused."""
    if isinstance(sampler, str):
        return choice(sampler, allowed, "sampler")
    for name in allowed:
        if type(sampler) is type(SAMPLERS[name]) and settings(sampler) == settings(SAMPLERS[name]):
            return name
    raise HamlearnError(
        f"many systems are drawn together by {', '.join(map(repr, allowed))}, without settings (the rungs of a ladder are beta); "
        f"got {sampler!r}. Draw them one by one with hl.simulate."
    )


def _known_by_energies(systems: Sequence[System], sampler: str) -> Callable[[np.ndarray], loop.Engine]:
    """What makes an engine of Metropolis moves, compiled where JAX can trace all systems as one."""
    first = systems[0]
    if first.space.continuous:
        raise HamlearnError(f"{first!r} is continuous: members are simulated together by hybrid Monte Carlo (systems.sampling.stacks).")
    choice(sampler, ("metropolis", "tempering"), "sampler of systems known by their energies alone")
    stack = _as_one(systems)
    if stack is None:
        if sampler == "tempering":
            raise HamlearnError(
                f"JAX cannot trace {first!r}, so its members exchange nothing: sampler='metropolis' draws at every temperature."
            )
        return lambda rungs: BlackBoxMembers(systems, rungs)
    ladder = sampler == "tempering"
    return lambda rungs: MetropolisEngine(stack, rungs, first.space, first.lattice, stacked=True, ladder=ladder)


def _simulate(
    engine_of: Callable[[np.ndarray], loop.Engine],
    lattice: Lattice,
    space: Space,
    members: int,
    beta: Any,
    draws: int,
    chains: int,
    seed: int,
    sampler: str,
    burn_in: int,
    thin: int,
    start: str | np.ndarray,
    observe: Observe | None,
    progress: bool | None,
) -> Any:
    """What all kinds share: temperatures, starts, the loop, and the arrangement of the states."""
    if isinstance(start, str):
        choice(start, ("hot", "cold"), "start")
    betas = check_beta(beta)
    if betas.ndim > 2 or (betas.ndim == 2 and betas.shape[0] != members):
        raise HamlearnError(f"beta must be a number, (n_beta,) or ({members} members, n_beta); got shape {betas.shape}.")
    betas = np.broadcast_to(np.atleast_1d(betas), (members, np.atleast_1d(betas).shape[-1]))
    n_beta = betas.shape[1]
    check_integers(draws=(draws, 1), chains=(chains, 1), burn_in=(burn_in, 0), thin=(thin, 1))
    require_seed(seed)

    shape = (members, n_beta, chains)
    starting, stepping = np.random.SeedSequence(int(seed)).spawn(2)
    full = (members, n_beta * chains, lattice.n_sites)
    ladder = sampler == "tempering"
    if isinstance(start, str):
        values = space.random(np.random.default_rng(starting), full) if start == "hot" else space.cold(full)
    else:
        values = _given(start, space, lattice, shape, ladder=ladder)
    if ladder and (n_beta < 2 or np.any(np.diff(betas, axis=1) <= 0)):
        raise HamlearnError(f"tempering needs at least two temperatures in ascending order of beta; got {np.asarray(beta).tolist()}.")
    rungs = np.broadcast_to(betas[:, None], (members, chains, n_beta)) if ladder else np.repeat(betas, chains, axis=1)
    values = values.reshape(members, chains, n_beta, -1) if ladder else values
    engine = engine_of(rungs)

    def unfolded(states: np.ndarray) -> dict[str, np.ndarray]:
        if ladder:
            states = np.moveaxis(states.reshape(len(states), members, chains, n_beta, -1), 2, 3)
        states = states.reshape(len(states), *shape, *lattice.shape)
        return {"states": states} if observe is None else observe(states)

    plan = loop.Plan(draws, thin, burn_in, observe=unfolded)
    result = loop.run(engine, values, stepping, plan, label=f"simulating {members} members", progress=progress).result()
    return np.moveaxis(result["states"], 0, 3) if observe is None else result


def _given(start: np.ndarray, space: Space, lattice: Lattice, shape: tuple[int, int, int], *, ladder: bool) -> np.ndarray:
    """Starting values ``(member, beta · chain, n_sites)`` from given states, checked; of ladders ``(member, chain · rung, n_sites)``."""
    members, n_beta, chains = shape
    given = np.asarray(start)
    if given.shape != (members, chains, *lattice.shape):
        raise HamlearnError(f"start must be states of shape {(members, chains, *lattice.shape)} (member, chain, sites); got {given.shape}.")
    space.validate(given)
    each = np.expand_dims(given.reshape(members, chains, -1), 2 if ladder else 1)
    return np.repeat(each, n_beta, axis=2 if ladder else 1).reshape(members, -1, lattice.n_sites)


def _parameters(lattice: Lattice, space: Space, parameters: Mapping[str, Any], spins: bool) -> tuple[np.ndarray, np.ndarray]:
    """Couplings and fields of all members, checked."""
    names = ("J", "h") if spins else ("tables", "fields")
    tail = (() if spins else (space.q, space.q), () if spins else (space.q,))
    wanted = ((lattice.n_bonds, *tail[0]), (lattice.n_sites, *tail[1]))
    unknown = set(parameters) - set(names)
    if unknown or names[0] not in parameters:
        raise HamlearnError(f"parameters of {space.name} are {names[0]!r} and {names[1]!r}; got {sorted(parameters)}.")
    members = len(np.atleast_1d(parameters[names[0]]))
    found = []
    for name, shape in zip(names, wanted, strict=True):
        array = np.asarray(parameters.get(name, np.zeros((members, *shape))), float)
        if array.shape != (members, *shape):
            raise HamlearnError(f"{name} must have shape (members, {', '.join(map(str, shape))}); got {array.shape}.")
        if not np.all(np.isfinite(array)):
            raise HamlearnError(f"{name} must be finite; {np.sum(~np.isfinite(array))} of {array.size} values are not.")
        found.append(array)
    return found[0], found[1]
