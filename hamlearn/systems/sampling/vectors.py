"""Unit vectors of n components: heat bath, over-relaxation, and Wolff clusters.

* heat bath: every vector is drawn from its von Mises–Fisher distribution, density ∝ exp(m·s), given its local field m: for n = 3
  the component along m by inversion, otherwise by Wood's rejection (Commun. Stat. Simul. 23, 157, 1994);
* over-relaxation: every vector is reflected about its local field, at constant energy (Creutz, Phys. Rev. D 36, 515, 1987); four
  such sweeps to one of heat bath, which makes them ergodic;
* Wolff: a cluster is reflected at the plane normal to a random direction (Phys. Rev. Lett. 62, 361, 1989); with fields it is accepted
  by Metropolis.

Couplings of any sign and any graph. Sequential numba loops over one chain; chains run in threads with their own generators.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hamlearn.systems.base import System
from hamlearn.systems.sampling.kernels import kernel, uniform
from hamlearn.systems.sampling.rotors import REFLECTIONS, RotorEngine, Rotors


class VectorEngine(RotorEngine):
    """All chains of a system of unit vectors, as the loop steps them: :class:`.RotorEngine` with components instead of angles.

    Parameters
    ----------
    system : VectorSpins
        What to sample: pair couplings J of unit vectors, and fields h ``(n_sites, n)``.
    beta, sampler
        As of :class:`.RotorEngine`.
    """

    def _run(self, values: Any, rng: Any, rotors: Rotors, mode: int, clusters: int, draws: int, thin: int, out: Any) -> float:
        n = rotors.field.shape[1]
        return float(run(values.reshape(-1, n), rng, rotors, mode, clusters, draws, thin, out.reshape(draws, -1, n)))


def engine(system: System, beta: np.ndarray, sampler: str) -> RotorEngine:
    """The engine of directions: of angles, or of unit vectors by components."""
    return (VectorEngine if system.space.event_shape else RotorEngine)(system, beta, sampler)


@kernel
def _direction(out, rng):  # type: ignore[no-untyped-def]
    """Write independent standard normal numbers to `out`; returns their length."""
    total = 0.0
    for c in range(0, len(out), 2):
        radius, angle = np.sqrt(-2 * np.log(1 - uniform(rng))), 2 * np.pi * uniform(rng)
        out[c] = radius * np.cos(angle)
        total += out[c] * out[c]
        if c + 1 < len(out):
            out[c + 1] = radius * np.sin(angle)
            total += out[c + 1] * out[c + 1]
    return np.sqrt(total)


@kernel
def _height(strength, n, work, rng):  # type: ignore[no-untyped-def]
    """1 − w for the component w along the field of a vector with density ∝ exp(strength · w) on the sphere."""
    if n == 3:
        u = uniform(rng)
        return -np.log(1 - u * -np.expm1(-2 * strength)) / strength if strength > 1e-8 else 2 * u
    k = n - 1
    b = k / (2 * strength + np.sqrt(4 * strength * strength + k * k))
    x = (1 - b) / (1 + b)
    top = strength * x + k * np.log(1 - x * x)
    while True:
        one, other = _direction(work[:k], rng), _direction(work[:k], rng)
        z = one * one / (one * one + other * other)  # Beta(k/2, k/2)
        depth = 2 * b * z / (1 - (1 - b) * z)
        w = 1 - depth
        if strength * w + k * np.log(1 - x * w) - top >= np.log(1 - uniform(rng)):
            return depth


@kernel
def _von_mises_fisher(site, local, work, rng):  # type: ignore[no-untyped-def]
    """Redraw the vector `site` with density ∝ exp(local · s)."""
    n, strength = len(site), 0.0
    for c in range(n):
        strength += local[c] * local[c]
    strength = np.sqrt(strength)
    if strength < 1e-8:
        size = _direction(site, rng)
        for c in range(n):
            site[c] /= size
        return
    depth = min(2.0, max(0.0, _height(strength, n, work, rng)))
    _direction(work, rng)
    along = 0.0
    for c in range(n):
        along += work[c] * local[c] / strength
    across = 0.0
    for c in range(n):
        work[c] -= along * local[c] / strength
        across += work[c] * work[c]
    scale = np.sqrt(depth * (2 - depth) / across)
    size = 0.0
    for c in range(n):
        site[c] = (1 - depth) * local[c] / strength + scale * work[c]
        size += site[c] * site[c]
    for c in range(n):
        site[c] /= np.sqrt(size)  # rounding does not add up


@kernel
def _sweep(values, rng, vectors, reflect, local, work):  # type: ignore[no-untyped-def]
    """One sweep over all sites: reflections about the local field, or heat bath."""
    start, other, coupling, field = vectors
    n = values.shape[1]
    for site in range(len(values)):
        for c in range(n):
            local[c] = field[site, c]
        for k in range(start[site], start[site + 1]):
            for c in range(n):
                local[c] += coupling[k] * values[other[k], c]
        if not reflect:
            _von_mises_fisher(values[site], local, work, rng)
            continue
        square, along = 0.0, 0.0
        for c in range(n):
            square += local[c] * local[c]
            along += local[c] * values[site, c]
        if square > 1e-24:
            for c in range(n):
                values[site, c] = 2 * along / square * local[c] - values[site, c]


@kernel
def _wolff(values, rng, vectors, member, stack, axis):  # type: ignore[no-untyped-def]
    """One cluster; returns the fraction of sites that were reflected."""
    start, other, coupling, field = vectors
    n_sites, n = values.shape
    size = _direction(axis, rng)
    for c in range(n):
        axis[c] /= size
    seed = int(uniform(rng) * n_sites)
    member[seed] = True
    stack[0] = seed
    count, done, gain = 1, 0, 0.0
    while done < count:
        site = stack[done]
        done += 1
        along = 0.0
        for c in range(n):
            along += values[site, c] * axis[c]
        for c in range(n):
            gain -= 2 * along * field[site, c] * axis[c]
        for k in range(start[site], start[site + 1]):
            neighbour = other[k]
            if not member[neighbour]:
                there = 0.0
                for c in range(n):
                    there += values[neighbour, c] * axis[c]
                cost = 2 * coupling[k] * along * there  # of reflecting one of the two
                if cost > 0 and uniform(rng) < -np.expm1(-cost):
                    member[neighbour] = True
                    stack[count] = neighbour
                    count += 1
    accepted = gain >= 0 or uniform(rng) < np.exp(gain)
    for k in range(count):
        site = stack[k]
        member[site] = False
        if accepted:
            along = 0.0
            for c in range(n):
                along += values[site, c] * axis[c]
            for c in range(n):
                values[site, c] -= 2 * along * axis[c]
    return count / n_sites if accepted else 0.0


@kernel
def run(values, rng, vectors, mode, clusters, draws, thin, out):  # type: ignore[no-untyped-def]
    """`draws` × `thin` steps of one chain; writes the states to `out`, returns the summed fraction of sites moved."""
    n_sites, n = values.shape
    member, stack = np.zeros(n_sites, np.bool_), np.empty(n_sites, np.int64)
    local, work = np.empty(n), np.empty(n)
    total = 0.0
    for draw in range(draws):
        for _ in range(thin):
            if mode == 2:
                for _ in range(clusters):
                    total += _wolff(values, rng, vectors, member, stack, local) / clusters
            else:
                if mode == 1:
                    for _ in range(REFLECTIONS):
                        _sweep(values, rng, vectors, True, local, work)
                _sweep(values, rng, vectors, False, local, work)
                total += 1.0
        for site in range(n_sites):
            size = 0.0
            for c in range(n):
                size += values[site, c] * values[site, c]
            size = np.sqrt(size)
            for c in range(n):
                values[site, c] /= size  # reflections keep lengths up to rounding, which does not add up this way
                out[draw, site, c] = values[site, c]
    return total
