"""Which sampler suits a system of angles or real numbers, where its chains start, and the engine that steps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError, choice
from hamlearn.systems.path import Path
from hamlearn.systems.sampling import hmc, loop, rotors, tempering, walk
from hamlearn.systems.xy import XY

ONLY = ("hmc", "kinks", "overrelaxation")
"""Samplers that only continuous systems have."""
_HOTTER = 32.0  # a default ladder begins at this fraction of the wanted β: few barriers matter there


def choose(system: Any, sampler: str, betas: np.ndarray) -> tuple[str, str]:
    """The sampler, and why.

    Raises
    ------
    HamlearnError
        If the sampler asked for does not apply.
    """
    suited = _suited(system)
    if sampler != "auto":
        if sampler not in suited:
            raise HamlearnError(f"sampler={sampler!r} does not apply to {system!r}; it can be sampled by {', '.join(map(repr, suited))}.")
        return sampler, "asked for"
    if isinstance(system, Path):
        from hamlearn.systems.exact import path

        for beta in betas:
            path.confined(system, float(beta))
        try:
            for beta in betas:
                path.transfer_operator(system, float(beta))
        except HamlearnError as error:
            return suited[1], f"auto: exact draws are out of reach ({error})"
        return "exact", "auto: the transfer operator gives independent paths"
    if "exact" in suited:
        return "exact", "auto: a free field is Gaussian, its modes are independent"
    if isinstance(system, XY):
        if np.all(system.J >= 0) and not np.any(system.h):
            return "wolff", "auto: a ferromagnet without field; clusters decorrelate it at every temperature"
        return "overrelaxation", "auto: fields or couplings of both signs, where clusters do not help"
    if suited[0] == "hmc":
        return "hmc", "auto: an action that JAX can differentiate"
    return "metropolis", "auto: a black box known by its action"


def _suited(system: Any) -> list[str]:
    """The samplers that apply, the best first."""
    from hamlearn.systems import exact

    names = ["exact"] if exact.method(system) in ("operator", "gaussian") else []
    if isinstance(system, XY):
        names += ["wolff", "overrelaxation", "heat_bath"]
    if system.pure_jax:
        names += ["kinks"] if isinstance(system, Path) else []
        names += ["hmc", "tempering"]
    return [*names, "metropolis"]


def starts(system: Any, start: Any, count: int, n_betas: int, chains: int, rng: np.random.Generator) -> np.ndarray:
    """Values ``(count, chains, n_sites)`` that the chains at `count` temperatures start from.

    "hot": uniform angles; real values are one normal number per chain, the same at all sites (independent ones would
    be further from equilibrium than any temperature). "cold": zero everywhere.
    """
    shape, n_sites = tuple(system.lattice.shape), system.lattice.n_sites
    full, space = (count, chains, n_sites), system.space
    if isinstance(start, str):
        return np.asarray(space.cold(full) if choice(start, ("hot", "cold"), "start") == "cold" else space.random(rng, full))
    array = np.asarray(start, float)
    allowed = [shape, (chains, *shape), (n_betas, chains, *shape)]
    if array.shape not in allowed or (array.shape == allowed[2] and count != n_betas):
        raise HamlearnError(f"start must be 'hot', 'cold' or states of shape {', '.join(map(str, allowed))}; got shape {array.shape}.")
    try:
        space.validate(array)
    except HamlearnError as error:
        raise HamlearnError(f"start holds values outside the space {space.name}: {error}") from error
    return np.broadcast_to(array.reshape((*array.shape[: array.ndim - len(shape)], n_sites)), full).copy()


def engine(
    system: Any, sampler: str, betas: np.ndarray, values: np.ndarray, burn_in: int | None
) -> tuple[loop.Engine, np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """An engine, its start, and what arranges its states as ``(beta, chain, draw, n_sites)``.

    Step sizes, widths and masses adapt in the first three quarters of the burn-in that always happens.
    """
    n_beta, chains, _ = values.shape
    adapt = 3 * (loop.FIRST_STEPS if burn_in is None else burn_in) // 4
    if sampler in ("hmc", "kinks", "tempering"):
        made = hmc.HMCEngine(system, betas, chains, adapt, signs=sampler == "kinks", ladder=sampler == "tempering")
        return made, values, lambda states: states.transpose(1, 2, 0, 3)
    flat, spread = values.reshape(n_beta * chains, -1), np.repeat(betas, chains)
    plain: loop.Engine = walk.WalkEngine(system, spread, adapt) if sampler == "metropolis" else rotors.RotorEngine(system, spread, sampler)
    return plain, flat, lambda states: states.reshape(len(states), n_beta, chains, -1).transpose(1, 2, 0, 3)


def rungs(system: Any, beta: float) -> np.ndarray:
    """Geometric ladder of a tempering run, from β/32 to `beta`.

    The action of n sites fluctuates by about √(n/2) (exactly so for free fields) when β enters as a factor, and so does the
    kinetic term of a path: rungs a factor 1 + 1.25/√(n/2) apart exchange about half the time. Angles use the variance of the
    energy at infinite temperature, as spins do.

    Examples
    --------
    >>> rungs(Path(32, lambda x: x**2), 8.0).round(2)[[0, 1, -1]].tolist()
    [0.25, 0.33, 8.0]
    """
    n_sites = system.lattice.n_sites
    if isinstance(system, XY):
        return tempering.default_ladder(beta, float(np.sum(system.J**2) + np.sum(system.h**2)) / 2, n_sites)
    count = int(np.clip(1 + np.ceil(np.log(_HOTTER) / np.log1p(1.25 / np.sqrt(n_sites / 2))), 3, 64))
    return np.geomspace(beta / _HOTTER, beta, count)
