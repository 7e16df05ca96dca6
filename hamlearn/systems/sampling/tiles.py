"""Heat bath and parallel tempering of tile energies: ΔE from tables, never from the whole energy.

Two ways to the energy difference of a site. *Patterns*: where it depends on at most 12 other spins, one table of their
2^12 states holds the probability of spin up, and an update is a look-up. *Codes*: every tile keeps the code of its
states, and the difference is summed over the tiles that see the site. Which spins matter is read off the tables (their
Walsh–Hadamard transform: the multi-spin terms that are there).

Sites are visited in order, one after the other, which leaves the Boltzmann distribution invariant. Sequential loops in
numba; chains (and whole ladders) run in threads, each with its own generator, so results do not depend on the number of
threads. Exchanges of temperatures follow :mod:`hamlearn.systems.sampling.tempering`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numba
import numpy as np

from hamlearn.systems.sampling.cluster import _uniform
from hamlearn.systems.tiles import Tiles

MOST_PATTERN_SPINS = 12  # a table of 2^12 probabilities stays in the cache of a core
_MOST_DIFFERENCES = 1 << 22  # numbers in the table of differences of all tiles of one member
_compiled = numba.njit(nogil=True, cache=True)


class Problem(NamedTuple):
    """One member as the kernels see it, at no temperature.

    Attributes
    ----------
    tables : array (rows, q**n)
        Energy of every code; one row, or one per tile.
    difference : array (rows, n, q**n)
        Spins: E with the k-th site up minus E with it down, for every code; empty where it would be too large.
    tile_sites : int array (n_tiles, n)
        Sites of every tile.
    places : int array (n,)
        What each digit counts.
    start, tile, digit : int arrays
        Compressed lists: site i is seen by the tiles ``tile[start[i]:start[i + 1]]``, in their ``digit[...]``-th place.
    neighbours : int array (n_sites, k)
        Sites that the energy difference of a site depends on; no columns where codes are used.
    pattern : array (rows, 2**k)
        Energy difference for every pattern of the neighbours, the first most significant; one row, or one per site.
    """

    tables: np.ndarray
    difference: np.ndarray
    tile_sites: np.ndarray
    places: np.ndarray
    start: np.ndarray
    tile: np.ndarray
    digit: np.ndarray
    neighbours: np.ndarray
    pattern: np.ndarray


def problems(systems: Sequence[Tiles]) -> list[Problem]:
    """What the kernels need of systems that differ in their tables only."""
    first = systems[0]
    sites, places, q = first.tile_sites, first.places, first.space.q
    n = sites.shape[1]
    order = np.argsort(sites.ravel(), kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(sites.ravel(), minlength=first.lattice.n_sites))])
    tile, digit = order // n, order % n
    neighbours = _neighbours(systems)
    found = []
    for system in systems:
        tables = np.array(system.tables, np.float64).reshape(-1, q**n)
        difference = np.zeros((0, 0, 0))
        if q == 2 and len(tables) * n * 2**n <= _MOST_DIFFERENCES:
            codes = np.arange(2**n)
            difference = np.stack([tables[:, codes | place] - tables[:, codes & ~place] for place in places], 1)
        problem = Problem(tables, difference, sites, places, start, tile, digit, np.zeros((len(start) - 1, 0), np.int64), np.zeros((0, 0)))
        if neighbours is not None:
            problem = problem._replace(neighbours=neighbours, pattern=_patterns(problem, neighbours))
        # One memory layout and one type of integer: every other combination would be compiled again.
        found.append(Problem(*(np.array(one, np.float64 if one.dtype.kind == "f" else np.int64, order="C") for one in problem)))
    return found


def terms(tables: np.ndarray) -> np.ndarray:
    """Walsh–Hadamard transform of tables ``(..., 2**n)``: coefficient of the product of the spins in every mask."""
    values = np.array(tables, float)
    n = int(values.shape[-1]).bit_length() - 1
    for bit in range(n):
        pairs = values.reshape(*values.shape[:-1], -1, 2, 1 << bit)
        down, up = pairs[..., 0, :], pairs[..., 1, :]
        values = np.stack([down + up, up - down], -2).reshape(values.shape) / 2
    return values


def _neighbours(systems: Sequence[Tiles]) -> np.ndarray | None:
    """Sites on which the energy difference of every site depends, or None where they are too many or not alike."""
    first = systems[0]
    if first.space.q != 2 or any(step != 1 for step in first.stride):
        return None
    n = first.tile_sites.shape[1]
    there = np.zeros(2**n, bool)
    for system in systems:
        size = np.abs(terms(system.tables))
        largest = size[..., 1:].max(initial=0.0)  # rounding of a compiled table must not count as a term
        there |= (size > 1e-12 * max(largest, 1e-300)).reshape(-1, 2**n).any(0)
    offsets = np.array(list(np.ndindex(*first.window)))
    wanted = set()
    for mask in np.flatnonzero(there):
        members = offsets[[bool(mask & place) for place in first.places]]
        for here in members:
            wanted |= {tuple(step) for step in (members - here) % first.lattice.shape}
    wanted.discard((0,) * len(first.window))
    if len(wanted) > MOST_PATTERN_SPINS:
        return None
    shape = first.lattice.shape
    sites = np.argwhere(np.ones(shape, bool))
    steps = np.array(sorted(wanted)).reshape(-1, len(shape))
    return np.ravel_multi_index(tuple(np.moveaxis((sites[:, None] + steps) % shape, -1, 0)), shape).reshape(len(sites), -1)


def _patterns(problem: Problem, neighbours: np.ndarray) -> np.ndarray:
    """Energy difference of a site for every pattern of its neighbours; spins that do not matter are set down."""
    k = neighbours.shape[1]
    bits = (np.arange(2**k)[:, None] >> np.arange(k - 1, -1, -1)) & 1
    rows = 1 if len(problem.tables) == 1 else len(neighbours)
    result = np.zeros((rows, 2**k))
    for site in range(rows):
        column = {int(other): index for index, other in enumerate(neighbours[site])}
        for index in range(problem.start[site], problem.start[site + 1]):
            tile, digit = problem.tile[index], problem.digit[index]
            code = np.zeros(2**k, np.int64)
            for position, other in enumerate(problem.tile_sites[tile]):
                if position != digit and int(other) in column:
                    code += bits[:, column[int(other)]] * problem.places[position]
            table = problem.tables[tile if len(problem.tables) > 1 else 0]
            result[site] += table[code + problem.places[digit]] - table[code]
    return result


@_compiled
def _encode(values, problem, codes):  # type: ignore[no-untyped-def]
    """Codes of all tiles, and the energy."""
    tables, tile_sites, places = problem[0], problem[2], problem[3]
    energy = 0.0
    for t in range(tile_sites.shape[0]):
        code = 0
        for k in range(tile_sites.shape[1]):
            code += values[tile_sites[t, k]] * places[k]
        codes[t] = code
        energy += tables[t if tables.shape[0] > 1 else 0, code]
    return energy


@_compiled
def _sweep_patterns(values, rng, up, pattern, neighbours):  # type: ignore[no-untyped-def]
    """One heat-bath sweep by patterns; returns the number of changed sites and the change of energy."""
    changed, gain = 0, 0.0
    several = up.shape[0] > 1
    for site in range(neighbours.shape[0]):
        code = 0
        for k in range(neighbours.shape[1]):
            code = 2 * code + values[neighbours[site, k]]
        row = site if several else 0
        new = 1 if _uniform(rng) < up[row, code] else 0
        change = new - values[site]
        if change != 0:
            values[site] = new
            changed += 1
            gain += change * pattern[row, code]
    return changed, gain


@_compiled
def _sweep_spins(values, codes, rng, beta, problem):  # type: ignore[no-untyped-def]
    """One heat-bath sweep of spins by codes."""
    difference, places, start, tile, digit = problem[1], problem[3], problem[4], problem[5], problem[6]
    changed, gain = 0, 0.0
    several = difference.shape[0] > 1
    for site in range(len(values)):
        cost = 0.0
        for index in range(start[site], start[site + 1]):
            t = tile[index]
            cost += difference[t if several else 0, digit[index], codes[t]]
        new = 1 if _uniform(rng) * (1.0 + np.exp(min(beta * cost, 700.0))) < 1.0 else 0
        change = new - values[site]
        if change != 0:
            values[site] = new
            for index in range(start[site], start[site + 1]):
                codes[tile[index]] += change * places[digit[index]]
            changed += 1
            gain += change * cost
    return changed, gain


@_compiled
def _sweep_states(values, codes, rng, beta, problem, q, cost):  # type: ignore[no-untyped-def]
    """One heat-bath sweep of q states by codes; `cost` is scratch ``(q,)``."""
    tables, places, start, tile, digit = problem[0], problem[3], problem[4], problem[5], problem[6]
    changed, gain = 0, 0.0
    several = tables.shape[0] > 1
    for site in range(len(values)):
        old = values[site]
        cost[:] = 0.0
        for index in range(start[site], start[site + 1]):
            t, place = tile[index], places[digit[index]]
            base = codes[t] - old * place
            for value in range(q):
                cost[value] += tables[t if several else 0, base + value * place]
        least = cost.min()
        total = 0.0
        for value in range(q):
            total += np.exp(-beta * (cost[value] - least))
        left = _uniform(rng) * total
        new = q - 1
        for value in range(q):
            left -= np.exp(-beta * (cost[value] - least))
            if left < 0:
                new = value
                break
        if new != old:
            values[site] = new
            for index in range(start[site], start[site + 1]):
                codes[tile[index]] += (new - old) * places[digit[index]]
            changed += 1
            gain += cost[new] - cost[old]
    return changed, gain


@_compiled
def _ladder(values, rng, betas, parity, heading, problem, q, exchange, draws, thin, out, exchanged, offered):  # type: ignore[no-untyped-def]
    """`draws` × `thin` steps of one ladder (or one chain); states go to `out`.

    Returns the summed fraction of changed sites, the number of round trips, and which pairs try next.
    """
    difference, neighbours, pattern = problem[1], problem[7], problem[8]
    rungs, n_sites = values.shape
    by_pattern = pattern.shape[0] > 0
    spins = difference.shape[0] > 0
    codes = np.zeros((rungs, problem[2].shape[0]), np.int64)
    energy, cost = np.zeros(rungs), np.zeros(q)
    up = np.zeros((rungs, pattern.shape[0], pattern.shape[1]))
    for rung in range(rungs):
        energy[rung] = _encode(values[rung], problem, codes[rung])
        if by_pattern:
            for row in range(pattern.shape[0]):
                for code in range(pattern.shape[1]):
                    up[rung, row, code] = 1.0 / (1.0 + np.exp(min(betas[rung] * pattern[row, code], 700.0)))
    total, trips = 0.0, 0
    for draw in range(draws):
        for _ in range(thin):
            for rung in range(rungs):
                if by_pattern:
                    changed, gain = _sweep_patterns(values[rung], rng, up[rung], pattern, neighbours)
                elif spins:
                    changed, gain = _sweep_spins(values[rung], codes[rung], rng, betas[rung], problem)
                else:
                    changed, gain = _sweep_states(values[rung], codes[rung], rng, betas[rung], problem, q, cost)
                energy[rung] += gain
                total += changed / n_sites / rungs
            if exchange:
                for pair in range(parity, rungs - 1, 2):
                    offered[pair] += 1
                    gain = (betas[pair] - betas[pair + 1]) * (energy[pair] - energy[pair + 1])
                    if gain >= 0 or _uniform(rng) < np.exp(gain):
                        exchanged[pair] += 1
                        for site in range(n_sites):
                            values[pair, site], values[pair + 1, site] = values[pair + 1, site], values[pair, site]
                        if not by_pattern:
                            for t in range(codes.shape[1]):
                                codes[pair, t], codes[pair + 1, t] = codes[pair + 1, t], codes[pair, t]
                        energy[pair], energy[pair + 1] = energy[pair + 1], energy[pair]
                        heading[pair], heading[pair + 1] = heading[pair + 1], heading[pair]
                parity = 1 - parity
                if heading[0] == -1:
                    trips += 1
                heading[0] = 1
                if heading[rungs - 1] == 1:
                    heading[rungs - 1] = -1
        out[draw] = values
    return total, trips, parity


def free_variance(system: Tiles) -> float:
    """Variance of the energy at infinite temperature, from 1024 random states: enough to space a ladder by."""
    digits = np.random.default_rng(0).integers(system.space.q, size=(1024, system.lattice.n_sites))
    return float(np.var(system.energy(system.space.from_index(digits))))


class State(NamedTuple):
    """What the next step of all chains needs.

    Attributes
    ----------
    values : int8 array (member, replica, rung, n_sites)
        States, as indices.
    rng : uint64 array (member, replica, 4)
        Generators.
    parity : int array (member, replica)
        Which pairs of rungs try to exchange next.
    heading : int8 array (member, replica, rung)
        For the microstate on each rung: 1 if it was last at the hot end, −1 at the cold end, 0 at neither yet.
    """

    values: np.ndarray
    rng: np.ndarray
    parity: np.ndarray
    heading: np.ndarray


class TileEngine:
    """All chains of tile energies, as the loop steps them: members × replicas, and rungs of a ladder.

    Parameters
    ----------
    systems : sequence of Tiles
        Members that differ in their tables only.
    beta : array (member, replica), or (member, replica, rung)
        Inverse temperatures; with an axis of rungs (ascending) neighbouring rungs exchange their microstates.
    """

    def __init__(self, systems: Sequence[Tiles], beta: np.ndarray) -> None:
        self.problems = problems(systems)
        self.space = systems[0].space
        self.n_sites = systems[0].lattice.n_sites
        self.beta = np.array(beta, np.float64, order="C")
        self.lead = self.beta.shape
        self.exchange = self.beta.ndim == 3
        self.updates_per_step = self.beta.size * self.n_sites * 2
        self.capacity = int(np.clip((1 << 23) // (self.beta.size * self.n_sites), 1, 256))

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> State:
        """State from values ``(*lead, n_sites)``."""
        members, replicas = self.lead[:2]
        rng = seed.generate_state(4 * members * replicas, np.uint64).reshape(members, replicas, 4)
        index = self.space.index(values).astype(np.int8).reshape(members, replicas, -1, self.n_sites)
        return State(index, rng, np.zeros((members, replicas), np.int64), np.zeros(index.shape[:3], np.int8))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` steps: new state, states ``(draws, *lead, n_sites)``, and sums over steps."""
        values, rng, parity, heading = (np.array(array) for array in state)
        members, replicas, rungs = values.shape[:3]
        betas = self.beta.reshape(members, replicas, rungs)
        out = np.empty((members, replicas, draws, rungs, self.n_sites), np.int8)
        exchanged, offered = np.zeros((2, members, replicas, max(rungs - 1, 1)))

        def one(place: tuple[int, ...]) -> tuple[float, int]:
            chain = (values[place], rng[place], betas[place], int(parity[place]), heading[place])
            options = (self.problems[place[0]], self.space.q, self.exchange, draws, thin)
            total, trips, parity[place] = _ladder(*chain, *options, out[place], exchanged[place], offered[place])
            return total, trips

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
            results = np.array(list(threads.map(one, list(np.ndindex(members, replicas)))), float)
        info: dict[str, Any] = {"acceptance": np.float64(results[:, 0].mean())}
        if self.exchange:
            info |= {"exchanged": exchanged.mean((0, 1)), "offered": offered.mean((0, 1)), "round_trips": np.float64(results[:, 1].mean())}
        states = self.space.from_index(np.moveaxis(out, 2, 0)).reshape(draws, *self.lead, self.n_sites)
        return State(values, rng, parity, heading), states, info

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state
