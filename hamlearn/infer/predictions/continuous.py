"""Predictions of angles and real fields: exact where an oracle exists, simulated member by member otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, posteriors
from hamlearn.infer.families import actions
from hamlearn.infer.predictions import rotors
from hamlearn.infer.predictions.direct import direct
from hamlearn.infer.predictions.thermodynamics import Estimates
from hamlearn.progress import track
from hamlearn.systems import exact, observables
from hamlearn.systems.base import axes_of
from hamlearn.systems.density import LearnedDensity
from hamlearn.systems.exact.work import operations
from hamlearn.systems.path import Path
from hamlearn.systems.sampling import simulate
from hamlearn.systems.sampling.stacks import simulate_stack, stackable
from hamlearn.systems.weighted import JoinedAction
from hamlearn.systems.xy import XY

THERMAL = ("energy", "heat_capacity", "entropy", "free_energy")
PATH = (*THERMAL, "action", "gap", "squared_position", "quartic_position")
VECTORS = ("energy", "heat_capacity", "abs_magnetization", "susceptibility")
ANGLES = ("energy", "heat_capacity", "abs_magnetization", "vortex_density", "helicity")
FIELDS = ("energy", "heat_capacity", "action", "squared_field", "quartic_field", "abs_magnetization")
JOINED = ("energy", "heat_capacity", "action", "squared_position", "quartic_position")
FIXED = ("sites", "spacing")
LONG_NAMES = {
    "energy": "energy",
    "heat_capacity": "heat capacity",
    "entropy": "entropy, nats",
    "free_energy": "free energy",
    "action": "mean action",
    "gap": "gap ln(lambda0/lambda1)/a",
    "squared_position": "mean square of x",
    "quartic_position": "mean fourth power of x",
    "squared_field": "mean square of the field",
    "quartic_field": "mean fourth power of the field",
    "abs_magnetization": "mean absolute magnetization per site",
    "susceptibility": "susceptibility per site, beta N (<m^2> - <|m|>^2)",
    "vortex_density": "vortices per site",
    "helicity": "helicity modulus",
    "correlation": "mean of x_0 x_t",
}
SIMULATED = 16  # members that are simulated, unless fewer are asked for: each costs seconds
JOINED_SIMULATED = 6  # of these every member is compiled by itself
_DRAWS, _CHAINS, _BLOCKS = 400, 8, 8
_OPERATIONS, _FEWEST = 3e11, 4  # of exact predictions, about half a minute, and the members that are solved whatever it costs


def estimates(
    post: xr.DataTree,
    betas: np.ndarray,
    shape: tuple[int, ...] | None,
    wanted: Sequence[str] | None,
    members: int,
    seed: int,
    fixed: str,
) -> tuple[dict[str, Estimates], tuple[int, ...]]:
    """Every observable of every member at every temperature, and the sites of the last temperature."""
    choice(fixed, FIXED, "fixed")
    shapes = [_sites(post, float(beta), shape, fixed) for beta in betas]
    kind = families.of(post)
    first = _members(kind, post, 1, seed, shapes[0])[0]
    oracle = exact.method(first)
    known = _known(post, first)
    extra = ("correlation",) if isinstance(first, Path) else (*(name for name in THERMAL if oracle and name not in known),)
    names = [choice(name, (*known, *extra), "observable") for name in (known if wanted is None else wanted)]
    thermal = [name for name in names if oracle and (name in THERMAL or isinstance(first, Path))]
    found: dict[str, Estimates] = {}
    solved = _affordable(kind, post, betas, shapes, thermal, members, seed) if thermal else 0
    if solved < min(members, SIMULATED) and not isinstance(first, Path):
        # A wide XY lattice with a coupling per bond takes seconds a temperature: simulate what can be simulated.
        thermal = [name for name in thermal if name not in known]
    if thermal:
        found |= _exact(kind, post, betas, shapes, thermal, solved, seed, str(oracle), members)
    left = [name for name in names if name not in found]
    if left:
        if isinstance(first, Path):
            raise HamlearnError(f"{', '.join(left)} of a path needs its transfer operator: periodic paths in a confining potential.")
        shared = rotors.reweighted(_members(kind, post, members, seed, shapes[0]), betas, left, seed) if isinstance(first, XY) else None
        if shared is None:
            fewer = min(members, JOINED_SIMULATED if isinstance(first, JoinedAction) else SIMULATED)
            shared = _simulated(kind, post, betas, shapes, left, fewer, seed)
        found |= shared
    return {name: found[name] for name in names}, shapes[-1]


def _known(post: xr.DataTree, system: Any) -> tuple[str, ...]:
    if isinstance(system, Path):
        return PATH
    if system.space.event_shape:
        return VECTORS
    if posteriors.space_of(post).period is not None:
        return ANGLES if isinstance(system, XY) else tuple(name for name in ANGLES if name != "helicity")
    return JOINED if len(posteriors.site_shape(post)) == 1 else FIELDS


def _members(kind: Any, post: xr.DataTree, n: int, seed: int, sites: tuple[int, ...]) -> list[Any]:
    """Members on the given sites; parameters need not be tied where these are the observed ones."""
    return list(kind.draw_systems(post, n, seed, None if sites == posteriors.site_shape(post) else sites))


def _sites(post: xr.DataTree, beta: float, shape: tuple[int, ...] | None, fixed: str) -> tuple[int, ...]:
    own = posteriors.site_shape(post)
    width = actions.width_of(post) if families.traits(post).spacing else None
    if fixed == "sites" and width is None:
        return own if shape is None else shape
    if not families.traits(post).spacing or actions.bound_of(post).family != "path":
        raise HamlearnError("fixed='spacing' is for the actions of imaginary-time paths; lattices keep their sites at every temperature.")
    if shape is not None:
        raise HamlearnError("with a fixed width of the time slices their number follows from beta: leave out shape.")
    a = width if width is not None else float(1 / post["observed_data"].to_dataset()["u"].values[0])
    slices = beta / a
    if abs(slices - round(slices)) > 1e-6 * slices or round(slices) < 2:
        raise HamlearnError(
            f"the width of a time slice is fixed at a={a:g}, and beta={beta:g} is not a whole number of them (it is {slices:.4f})."
        )
    return (round(slices),)


def _exact(
    kind: Any,
    post: xr.DataTree,
    betas: np.ndarray,
    shapes: list[tuple[int, ...]],
    names: list[str],
    members: int,
    seed: int,
    oracle: str,
    asked: int,
) -> dict[str, Estimates]:
    values: dict[str, list[list[Any]]] = {name: [] for name in names}
    with track(members, "exact predictions") as bar:
        drawn = {sites: _members(kind, post, members, seed, sites) for sites in dict.fromkeys(shapes)}
        for index in range(members):
            rows: dict[str, list[Any]] = {name: [] for name in names}
            for beta, sites in zip(betas, shapes, strict=True):
                system = _at(drawn[sites][index], float(beta))
                curve = exact.thermodynamics(system, [float(beta)])
                for name in names:
                    if name != "correlation":
                        rows[name].append(float(curve[name].values[0]))
                if "correlation" in names:
                    rows["correlation"].append(exact.expectations(system, float(beta))["correlation"].values)
            for name in names:
                values[name].append(rows[name])
            bar.advance(1)
    if "correlation" in names and len({len(row) for rows in values["correlation"] for row in rows}) > 1:
        raise HamlearnError("correlations at several beta with a fixed width have different lengths: ask for one beta at a time.")
    result = {}
    for name in names:
        array = np.array(values[name])
        distances = np.arange(array.shape[-1], dtype=float) if name == "correlation" else None
        result[name] = Estimates(
            array, np.zeros_like(array), f"exact ({oracle})" + ("" if members == asked else f", {members} members"), distances
        )
    return result


def _affordable(
    kind: Any, post: xr.DataTree, betas: np.ndarray, shapes: list[tuple[int, ...]], names: list[str], members: int, seed: int
) -> int:
    """How many members the oracle can treat: counted, so that the same call gives the same bands on any machine."""
    first = _members(kind, post, 1, seed, shapes[0])[0]
    work = sum(operations(_at(first, float(beta)), float(beta)) for beta in betas) * (2 if "correlation" in names else 1)
    return int(np.clip(_OPERATIONS / work, min(members, _FEWEST), members))


def _at(system: Any, beta: float) -> Any:
    """A path of fixed width as one whose β is that of its slices, so that thermal derivatives mean the same."""
    if isinstance(system, Path) and system.a is not None:
        return Path(system.n_tau, system.potential, system.kinetic, None, system.periodic)
    return system


def _simulated(
    kind: Any, post: xr.DataTree, betas: np.ndarray, shapes: list[tuple[int, ...]], names: list[str], members: int, seed: int
) -> dict[str, Estimates]:
    systems = _members(kind, post, members, seed, shapes[0])
    rows: list[list[dict[str, np.ndarray]]] = []
    if all(isinstance(system, LearnedDensity) for system in systems):
        return direct(systems, betas, names, seed, _observed)
    if systems[0].space.unbounded and stackable(systems):
        used, states = "hmc", simulate_stack(systems, betas, draws=_DRAWS, chains=_CHAINS, seed=seed)
        for system, here in zip(systems, states, strict=True):
            rows.append([{name: _observed(name, system, x, float(beta)) for name in names} for x, beta in zip(here, betas, strict=True)])
    else:
        with track(members, "simulating members") as bar:
            for index, system in enumerate(systems):
                at = betas if len(betas) > 1 else float(betas[0])
                data = simulate(system, beta=at, draws=_DRAWS, chains=_CHAINS, seed=seed + 31 * index, progress=False)
                values = data["state"].values if len(betas) > 1 else data["state"].values[None]
                rows.append([{name: _observed(name, system, values[k], float(beta)) for name in names} for k, beta in enumerate(betas)])
                used = str(data.attrs.get("sampler", "auto"))
                bar.advance(1)
    method = f"simulated: {used}, {members} members, {_CHAINS} x {_DRAWS} draws each"
    result = {}
    for name in names:
        array = np.array([[one[name] for one in row] for row in rows])
        result[name] = Estimates(array[..., 0], array[..., 1], method)
    return result


def _observed(name: str, system: Any, states: np.ndarray, beta: float) -> np.ndarray:
    """Estimate of one observable from states ``(chain, draw, *sites)`` and its error, from blocks of draws."""
    whole = _estimate(name, system, states, beta)
    parts = [_estimate(name, system, block, beta) for block in np.array_split(states, min(_BLOCKS, len(states)), axis=0)]
    return np.array([whole, np.std(parts, ddof=1) / np.sqrt(len(parts))])


def _estimate(name: str, system: Any, states: np.ndarray, beta: float) -> float:
    flat = states.reshape(-1, *axes_of(system))
    return float(_ESTIMATORS[name](system, flat, beta))


def _order(system: Any, states: np.ndarray) -> np.ndarray:
    flat = states.reshape(len(states), -1)
    return np.asarray(system.space.magnitude(flat))


def _energies(system: Any, states: np.ndarray, beta: float) -> tuple[np.ndarray, Any, int]:
    """What averages to −∂ ln Z/∂β, its own derivative in β, and per how many sites it is told: of thermal fields those of space."""
    if not len(getattr(system, "gradient", ())):
        return np.asarray(system.energy(states)), 0.0, system.lattice.n_sites
    energy, slope = system.thermal(states, beta)
    return np.asarray(energy), slope, system.lattice.n_sites // system.lattice.shape[0]


def _energy(system: Any, states: np.ndarray, beta: float) -> float:
    energy, _, sites = _energies(system, states, beta)
    return float(energy.mean() / sites)


def _heat_capacity(system: Any, states: np.ndarray, beta: float) -> float:
    energy, slope, sites = _energies(system, states, beta)
    return float(beta**2 * (energy.var() - np.mean(slope)) / sites)


_ESTIMATORS: dict[str, Callable[[Any, np.ndarray, float], Any]] = {
    "energy": _energy,
    "heat_capacity": _heat_capacity,
    "action": lambda system, states, beta: np.asarray(system.action(states, beta)).mean(),
    "squared_field": lambda system, states, beta: (states**2).mean(),
    "quartic_field": lambda system, states, beta: (states**4).mean(),
    "squared_position": lambda system, states, beta: (states**2).mean(),
    "quartic_position": lambda system, states, beta: (states**4).mean(),
    "abs_magnetization": lambda system, states, beta: _order(system, states).mean(),
    "susceptibility": lambda system, states, beta: beta * system.lattice.n_sites * np.asarray(_order(system, states)).var(),
    "vortex_density": lambda system, states, beta: np.mean(np.asarray(observables.vortex_density(states, system.lattice))),
    "helicity": lambda system, states, beta: np.mean(np.asarray(observables.helicity_modulus(states, system, beta))),
}
