"""XY rotors: heat bath, over-relaxation, and Wolff clusters.

* heat bath: every angle is drawn from its von Mises distribution given its neighbours, by Best and Fisher's rejection
  (Appl. Stat. 28, 152, 1979);
* over-relaxation: every angle is reflected about its local field, at constant energy (Creutz, Phys. Rev. D 36, 515,
  1987); four such sweeps to one of heat bath, which makes them ergodic;
* Wolff: a cluster is reflected about a random direction (Phys. Rev. Lett. 62, 361, 1989); with fields it is accepted by
  Metropolis.

Couplings of any sign and any graph. Sequential numba loops over one chain; chains run in threads with their own
generators.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hamlearn.spaces import TURN
from hamlearn.systems.base import System
from hamlearn.systems.pairs import directions_of
from hamlearn.systems.sampling.kernels import generators, in_threads, kernel, neighbour_lists, uniform

REFLECTIONS = 4
"""Over-relaxation sweeps per heat-bath sweep."""
_MODES = {"heat_bath": 0, "overrelaxation": 1, "wolff": 2}


class Rotors(NamedTuple):
    """A system as the loops see it: compressed neighbour lists, with βJ and βh ``(n_sites, n)``."""

    start: np.ndarray
    other: np.ndarray
    coupling: np.ndarray
    field: np.ndarray


class State(NamedTuple):
    """What the next step of all chains needs: angles ``(chains, n_sites)``, generators, Wolff clusters per step."""

    values: np.ndarray
    rng: np.ndarray
    clusters: np.ndarray


class RotorEngine:
    """All chains of a system of angles, as the loop steps them.

    Parameters
    ----------
    system : System
        What to sample, by its ``directions``.
    beta : array (chains,)
        Inverse temperature of every chain.
    sampler : {"heat_bath", "overrelaxation", "wolff"}
        Which update. A Wolff step is as many clusters as together move about as many rotors as there are; their number
        is set in burn-in.
    """

    capacity = 256

    def __init__(self, system: System, beta: np.ndarray, sampler: str) -> None:
        found = directions_of(system)
        bonds = np.asarray(system.lattice.bonds, np.int64).reshape(-1, 2)
        start, bond, place = neighbour_lists(bonds, system.lattice.n_sites)
        self.rotors = Rotors(start, bonds[bond, 1 - place], np.asarray(found.J)[bond], np.array(found.h, float))
        self.beta = np.asarray(beta, np.float64)
        self.mode = _MODES[sampler]
        self.lead = self.beta.shape
        self.n_sites = system.lattice.n_sites
        self.updates_per_step = len(self.beta) * self.n_sites * 16  # trigonometric functions, and several sweeps

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from angles ``(chains, n_sites)``."""
        return State(np.array(values, np.float64), generators(seed, len(values)), np.ones(len(values), np.int64))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` steps: new state, states ``(draws, chains, n_sites)``, and sums over steps."""
        values, rng = state.values.copy(), state.rng.copy()
        out = np.empty((len(values), draws, values.shape[1]))

        def one_chain(chain: int) -> float:
            beta = self.beta[chain]
            rotors = self.rotors._replace(coupling=beta * self.rotors.coupling, field=beta * self.rotors.field)
            return self._run(values[chain], rng[chain], rotors, self.mode, int(state.clusters[chain]), draws, thin, out[chain])

        changed = in_threads(one_chain, range(len(values)))
        return State(values, rng, state.clusters), out.swapaxes(0, 1), {"acceptance": np.mean(changed)}

    def _run(self, values: Any, rng: Any, rotors: Rotors, *how: Any) -> float:
        """One chain; see :func:`_run`."""
        return float(_run(values, rng, rotors, *how))

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Set the number of Wolff clusters per step from burn-in."""
        if self.mode != _MODES["wolff"]:
            return state
        per_sweep = int(np.clip(np.round(1 / max(float(info["acceptance"]), 1e-9)), 1, self.n_sites))
        return state._replace(clusters=np.full_like(state.clusters, per_sweep))


@kernel
def _turned(angle: float) -> float:
    """The angle in [0, 2π)."""
    angle = angle % TURN
    return 0.0 if angle >= TURN else angle


@kernel
def _von_mises(strength, rng):  # type: ignore[no-untyped-def]
    """An angle with density ∝ exp(strength · cos θ)."""
    if strength < 1e-8:
        return TURN * uniform(rng)
    tau = 1 + np.sqrt(1 + 4 * strength * strength)
    rho = (tau - np.sqrt(2 * tau)) / (2 * strength)
    r = (1 + rho * rho) / (2 * rho)
    while True:
        z = np.cos(np.pi * uniform(rng))
        f = (1 + r * z) / (r + z)
        c = strength * (r - f)
        u = 1 - uniform(rng)
        if c * (2 - c) > u or np.log(c / u) + 1 - c >= 0:
            angle = np.arccos(min(1.0, max(-1.0, f)))
            return angle if uniform(rng) < 0.5 else -angle


@kernel
def _sweep(values, rng, rotors, reflect):  # type: ignore[no-untyped-def]
    """One sweep over all sites: reflections about the local field, or heat bath."""
    start, other, coupling, field = rotors
    for site in range(len(values)):
        x, y = field[site, 0], field[site, 1]
        for k in range(start[site], start[site + 1]):
            angle = values[other[k]]
            x += coupling[k] * np.cos(angle)
            y += coupling[k] * np.sin(angle)
        direction = np.arctan2(y, x)
        if reflect:
            values[site] = _turned(2 * direction - values[site])
        else:
            values[site] = _turned(direction + _von_mises(np.sqrt(x * x + y * y), rng))


@kernel
def _wolff(values, rng, rotors, member, stack):  # type: ignore[no-untyped-def]
    """One cluster; returns the fraction of sites that were reflected."""
    start, other, coupling, field = rotors
    n_sites = len(values)
    axis = np.pi * uniform(rng)
    seed = int(uniform(rng) * n_sites)
    member[seed] = True
    stack[0] = seed
    size, done, gain = 1, 0, 0.0
    while done < size:
        site = stack[done]
        done += 1
        along = np.cos(values[site] - axis)
        mirror = np.pi + 2 * axis - values[site]
        gain += field[site, 0] * (np.cos(mirror) - np.cos(values[site])) + field[site, 1] * (np.sin(mirror) - np.sin(values[site]))
        for k in range(start[site], start[site + 1]):
            neighbour = other[k]
            if not member[neighbour]:
                cost = 2 * coupling[k] * along * np.cos(values[neighbour] - axis)  # of reflecting one of the two
                if cost > 0 and uniform(rng) < -np.expm1(-cost):
                    member[neighbour] = True
                    stack[size] = neighbour
                    size += 1
    accepted = gain >= 0 or uniform(rng) < np.exp(gain)
    for k in range(size):
        member[stack[k]] = False
        if accepted:
            values[stack[k]] = _turned(np.pi + 2 * axis - values[stack[k]])
    return size / n_sites if accepted else 0.0


@kernel
def _run(values, rng, rotors, mode, clusters, draws, thin, out):  # type: ignore[no-untyped-def]
    """`draws` × `thin` steps of one chain; writes the states to `out`, returns the summed fraction of sites moved."""
    member, stack = np.zeros(len(values), np.bool_), np.empty(len(values), np.int64)
    total = 0.0
    for draw in range(draws):
        for _ in range(thin):
            if mode == 2:
                for _ in range(clusters):
                    total += _wolff(values, rng, rotors, member, stack) / clusters
            else:
                if mode == 1:
                    for _ in range(REFLECTIONS):
                        _sweep(values, rng, rotors, True)
                _sweep(values, rng, rotors, False)
                total += 1.0
        out[draw] = values
    return total
