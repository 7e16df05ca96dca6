"""Where the microstates of several sizes come from: a user's own, or a system that was learned, simulated where its transition is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.arguments import require_beta, require_whole, sequence_of, shown
from hamlearn.errors import HamlearnError, raised
from hamlearn.infer import families, posteriors
from hamlearn.infer.critical import crossings
from hamlearn.infer.critical.columns import Series, is_planar, series_of
from hamlearn.infer.critical.histograms import Histograms
from hamlearn.infer.draw_systems import distinct
from hamlearn.systems.base import System
from hamlearn.systems.sampling import simulate

SIZES = (8, 12, 16, 24, 32)
MEMBERS = 200  # draws of the posterior whose scales are compared
TEMPERATURES = 5  # of every size
_SPACING = 1.0  # standard deviations of the energy times the step in β: neighbours overlap by half
_WIDE = np.geomspace(0.3, 3.0, 13)  # of the observed β: where a transition is looked for first
_FIRST = 300  # draws of a search


def of_data(sets: Iterable[xr.Dataset], system: Callable[[tuple[int, ...]], System] | None) -> list[Histograms]:
    """Histograms of every size of microstates, whose energy is that of the system on their sites.

    Raises
    ------
    HamlearnError
        If they are of several models, one size or one temperature, of extents that differ, have no order of time, or the system is none
        of theirs.
    """
    found = by_size(sets)
    if len(found) == 1:  # of several sizes one may have seen fewer states, which the system tells
        _require_one_model([f"{microstates.space_of(one)}" for one in next(iter(found.values()))])
    _require_sizes([shape[0] for shape in found])
    return [_of_size(parts, _system(system, shape)) for shape, parts in found.items()]


def by_size(sets: Iterable[xr.Dataset]) -> dict[tuple[int, ...], list[xr.Dataset]]:
    """Microstates of one temperature each, by the extents of their lattice, which are equal; the smallest first.

    Raises
    ------
    HamlearnError
        If they are of several models, or of extents that differ.
    """
    given = microstates.admit(sets)
    _require_one_model([microstates.space_of(one).name for one in given])
    found: dict[tuple[int, ...], list[xr.Dataset]] = {}
    for part in microstates.split_by_beta(given):
        found.setdefault(microstates.site_shape(part), []).append(part)
    for shape in found:
        _require_cube(shape)
    return dict(sorted(found.items()))


def of_posterior(
    post: xr.DataTree, sizes: Sequence[int] | None, beta: Any, draws: int, chains: int, seed: int
) -> tuple[list[Histograms], np.ndarray]:
    """Histograms of every size of one system of a posterior, and its strength over that of draws: what multiplies its βc.

    Raises
    ------
    HamlearnError
        If the posterior knows a size, has draws that differ by more than their strength, or no transition is found.
    """
    own = posteriors.site_shape(post)
    wanted = sorted({require_whole(one, "a size", 4) for one in sequence_of(SIZES if sizes is None else sizes, "sizes")})
    _require_sizes(wanted)
    shapes = [(size,) * len(own) for size in wanted]
    count = distinct(post, MEMBERS)
    family = families.of(post)
    try:
        members = family.draw_systems(post, count, seed, shapes[0])
    except HamlearnError as error:
        raise HamlearnError(
            f"this posterior knows the size {own} that it was learned on: {error} Other sizes need one coupling for all bonds, "
            "hl.models.Couplings(lattice, tie='uniform', fields=None)."
        ) from error
    which, strength = _strengths(members, seed)
    systems = {shape: family.draw_systems(post, count, seed, shape)[which] for shape in shapes}
    if beta is None:
        around = posteriors.observed_betas(post)
        betas = _searched([systems[shape] for shape in shapes], float(np.median(around)), chains, seed)
    else:
        betas = len(shapes) * [np.sort(require_beta(beta).ravel())]
    found = [
        _of_series(_simulated(systems[shape], at, draws, chains, seed + 1 + k), systems[shape])
        for k, (shape, at) in enumerate(zip(shapes, betas, strict=True))
    ]
    return found, strength


def _simulated(system: System, betas: np.ndarray, draws: int, chains: int, seed: int, thin: int | Literal["auto"] = 1) -> list[Series]:
    data = simulate(system, betas, draws=draws, chains=chains, seed=seed, thin=thin, progress=False)
    return [series_of(data["state"].values[k], system, float(one)) for k, one in enumerate(data["beta"].values)]


def _searched(systems: list[System], around: float, chains: int, seed: int) -> list[np.ndarray]:
    """Temperatures of every size about the transition: first where the order of two sizes sets in, then where their ratios cross."""
    small = systems[0]
    other = next((one for one in systems if one.lattice.shape[0] >= 1.5 * small.lattice.shape[0]), systems[-1])
    wide = around * _WIDE
    m = np.array([one.columns[..., 2].mean() for one in _simulated(small, wide, _FIRST, chains, seed)])
    # Order grows from its value at infinite temperature to that of the ground state: the transition is about half way.
    above = np.flatnonzero(m > 0.5 * (m[0] + 1))
    if not len(above) or above[0] == 0 or m[-1] < 0.7:
        raise HamlearnError(
            f"no transition between beta={wide[0]:.4g} and {wide[-1]:.4g}: the mean order of size {small.lattice.shape[0]} goes from "
            f"{m[0]:.2g} to {m[-1]:.2g}. Give the temperatures, beta=[...]. (An antiferromagnet, a glass, or a system in a field has "
            "none that uniform order would show.)"
        )
    k = above[0]
    half = float(np.interp(0.5 * (m[0] + 1), m[k - 1 : k + 1], wide[k - 1 : k + 1]))
    # Half of the order is reached before the transition, the sooner the smaller the lattice; steps are such that energies overlap.
    end = 1 + 5 / small.lattice.shape[0]
    count = max(8, int((end - 0.93) * np.sqrt(2 * other.lattice.n_sites) / 1.5) + 1)
    near = half * np.linspace(0.93, end, count)
    found = crossings.curves([_of_series(_simulated(one, near, _FIRST, chains, seed, "auto"), one) for one in (small, other)], seed)
    name = "stiffness" if is_planar(small) else "length"
    # The first crossing is only where to look: planar rotors' curves meet the line and need not cross each other.
    values = found.of(name)[1][:1] - 1 - 1 / (2 * np.log(other.lattice.shape[0])) if is_planar(small) else None
    place = float(crossings.rising(found.betas, values)[0]) if values is not None else float(crossings.crossing(found, name, (0, 1))[0])
    capacity = found.averages[1].heat_capacity[0]
    at = float(np.interp(place, found.betas, capacity)) if np.isfinite(place) else np.nan
    if not np.isfinite(at):
        raise HamlearnError(f"no transition near beta={half:.4g}; give the temperatures, beta=[...].")
    steps = np.arange(TEMPERATURES) - (TEMPERATURES - 1) / 2
    return [place * (1 + steps * _SPACING / np.sqrt(at * one.lattice.n_sites)) for one in systems]


def _strengths(members: list[System], seed: int) -> tuple[int, np.ndarray]:
    """The draw of median strength, and its strength over that of every draw.

    Two draws of one coupling have energies that are multiples of each other; they need one simulation, with β in units of either.
    """
    system, rng = members[0], np.random.default_rng(seed)
    states = system.space.random(rng, (32, *system.lattice.shape))
    energies = np.stack([np.asarray(one.energy(states), float) for one in members])
    energies -= energies.mean(1, keepdims=True)
    scale = energies @ energies[0] / (energies[0] @ energies[0])
    if np.any(np.abs(energies - scale[:, None] * energies[0]) > 1e-6 * np.abs(energies).max()) or scale.min() <= 0:
        raise HamlearnError(
            "draws of this posterior differ by more than one strength (several couplings, a field, or an unsure sign), and each would "
            "need simulations of its own. Learn one coupling for all bonds, tie='uniform' and fields=None, or take the draws one by one: "
            "hl.simulate(hl.draw_systems(post, n)[k], beta=[...]) of several sizes, and hl.critical_point of these."
        )
    which = int(np.argsort(scale, kind="stable")[len(scale) // 2])
    return which, scale[which] / scale


def _of_size(parts: list[xr.Dataset], system: System) -> Histograms:
    """Of microstates of one size."""
    if system.space.name != microstates.space_of(parts[0]).name:
        raise HamlearnError(f"the system has sites of {system.space.name}, the microstates of {microstates.space_of(parts[0]).name}.")
    if strange := [q for part in parts if (q := microstates.space_of(part).q) != system.space.q]:
        raise HamlearnError(
            f"size {system.lattice.shape[0]}: the system has sites of {system.space.q} states, the microstates of {strange[0]}. All are of "
            "one system: give its number of states (q=, --q), and declare it of microstates in which some were never seen."
        )
    size = system.lattice.shape[0]
    betas = temperatures(parts, size)
    draws = min(part.sizes["draw"] for part in parts)
    series = []
    for beta, part in zip(betas, parts, strict=True):
        one = series_of(part["state"].values[:, -draws:], system, beta)
        series.append(one._replace(tau=1.0) if int(part.attrs.get("independent", 0)) else one)
    return _of_series(series, system)


def temperatures(parts: Sequence[xr.Dataset], size: int) -> list[float]:
    """β of every set of one size.

    Raises
    ------
    HamlearnError
        If one was not declared, or is there twice, if there is one only, if rows have no order of time, or numbers of chains differ.
    """
    betas = [float(part["beta"]) if int(part.attrs.get("beta_declared", 1)) else np.nan for part in parts]
    if len(set(betas)) < len(betas) or not np.all(np.isfinite(betas)):
        raise HamlearnError(
            f"size {size}: every temperature once, and declared (beta=); got {shown(betas)}. Join chains of one temperature."
        )
    if len(betas) < 2:
        raise HamlearnError(f"size {size} has one temperature, beta={betas[0]:g}: curves need several on both sides of the transition.")
    if any("count" in part or "weight" in part for part in parts):
        raise HamlearnError(
            "counted or weighted rows have no order of time, and errors come from blocks of it: give the rows as they were drawn."
        )
    if len({part.sizes["chain"] for part in parts}) > 1:
        raise HamlearnError(f"size {size}: every temperature needs equally many chains; got {[part.sizes['chain'] for part in parts]}.")
    return betas


def _of_series(series: list[Series], system: System) -> Histograms:
    return Histograms.of(series, system.lattice.shape[0], system.lattice.n_sites)


def _system(make: Any, shape: tuple[int, ...]) -> System:
    """The user's system on the sites of data."""
    if not callable(make):
        raise HamlearnError(
            "microstates do not know their energy, which joins their temperatures: give system=, a function of the shape such as "
            f"hl.systems.Ising, or lambda shape: hl.systems.Potts(shape, q=3); got {shown(make)}."
        )
    try:
        found = make(shape)
    except HamlearnError:
        raise
    except Exception as error:  # a user's function fails as it likes
        raise HamlearnError(f"system={shown(make)} raised for sites {shape}: {raised(error)}.") from error
    if not isinstance(found, System) or tuple(found.lattice.shape) != shape:
        raise HamlearnError(f"system(shape) must return a system on sites {shape}; got {shown(found)}.")
    states = found.space.random(np.random.default_rng(0), (4, *shape))
    once, twice = (np.asarray(found.action(states, beta), float) for beta in (1.0, 2.0))
    if not np.allclose(twice, 2 * once):
        raise HamlearnError(f"the action of {found!r} is not β times an energy: microstates of one temperature say nothing of another one.")
    return found


def _require_one_model(told: Sequence[str]) -> None:
    """An error where sets say that they are of different models, which is no question of sizes."""
    if len(models := list(dict.fromkeys(told))) > 1:
        raise HamlearnError(
            f"the microstates are of different models, {' and '.join(models)}: a transition is that of one system, at several sizes and "
            "temperatures. Ask for each of them alone."
        )


def _require_cube(shape: tuple[int, ...]) -> None:
    if len(set(shape)) > 1 or shape[0] < 4:
        raise HamlearnError(f"sizes are compared of lattices of equal extents, 4 at least; got {shape}.")


def _require_sizes(sizes: Sequence[int]) -> None:
    if len(set(sizes)) < 2:
        raise HamlearnError(
            f"one size, {list(sizes)}, has no crossing: a transition is where curves of several sizes meet. Give two, or three and more "
            "about twice as large as each other for exponents (of a posterior: sizes=(8, 16, 32))."
        )


__all__ = ["SIZES", "by_size", "of_data", "of_posterior", "temperatures"]


def __dir__() -> list[str]:
    return sorted(__all__)
