"""Heat bath and parallel tempering of energies of tiles, or of factors of few sites: ΔE from tables, never from the whole energy.

Every tile keeps the code of its states, and the energy difference of a site is summed over the tiles that see it.
Sites are visited in order, one after the other, which leaves the Boltzmann distribution invariant. All chains of a block
are updated at a site before the next site: they are independent, so a processor works on several at once, where the sites
of one chain would wait for each other (chains are the last, contiguous axis of everything).

Sequential loops in numba; every chain has its own generator, so results do not depend on how many threads there are.
Neighbouring temperatures exchange their places on the ladder, not their microstates: nothing is copied. The statistics of
exchanges follow :mod:`hamlearn.systems.sampling.tempering`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hamlearn.compiled import compiled
from hamlearn.systems.factors import Factors
from hamlearn.systems.interaction_tables import InteractionTables
from hamlearn.systems.sampling.kernels import in_threads, neighbour_lists

_MOST_DIFFERENCES = 1 << 22  # numbers in the table of differences of all tiles of one member
_LANES = 16  # chains of a block: enough to hide the latency of a look-up, few enough for the caches
Tables = InteractionTables | Factors
_compiled = compiled(nogil=True, error_model="numpy")


class Problem(NamedTuple):
    """One member as the kernels see it, at no temperature.

    Attributes
    ----------
    tables : array (rows, q**n)
        Energy of every code; one row, or one per tile.
    difference : float32 array (rows, n, q**n)
        Spins: E with the k-th site up minus E with it down, for every code; empty where it would be too large. Single
        precision halves what has to stay in the caches; its rounding is a ten-millionth of an energy difference.
    tile_sites : int array (n_tiles, n)
        Sites of every tile.
    places : int array (n,)
        What each digit counts.
    start, tile, digit : int arrays
        Compressed lists: site i is seen by the tiles ``tile[start[i]:start[i + 1]]``, in their ``digit[...]``-th place.
    """

    tables: np.ndarray
    difference: np.ndarray
    tile_sites: np.ndarray
    places: np.ndarray
    start: np.ndarray
    tile: np.ndarray
    digit: np.ndarray


def problems(systems: Sequence[Tables]) -> list[Problem]:
    """What the kernels need of systems that differ in their tables only."""
    first = systems[0]
    sites, q = first.tile_sites, first.space.q
    n = sites.shape[1]
    lists = [np.ascontiguousarray(one, np.int32) for one in (sites, first.places, *neighbour_lists(sites, first.lattice.n_sites))]
    found = []
    for system in systems:
        tables = np.array(system.tables, np.float64, order="C").reshape(-1, q**n)
        difference = np.zeros((0, 0, 0), np.float32)
        if q == 2 and len(tables) * n * 2**n <= _MOST_DIFFERENCES:
            codes = np.arange(2**n)
            parts = [tables[:, codes | place] - tables[:, codes & ~place] for place in first.places]
            difference = np.ascontiguousarray(np.stack(parts, 1), np.float32)
        found.append(Problem(tables, difference, *lists))
    return found


@_compiled
def _encode(values, problem, codes, energy):  # type: ignore[no-untyped-def]
    """Codes of all tiles, and the energies."""
    tables, tile_sites, places = problem[0], problem[2], problem[3]
    codes[:] = 0
    energy[:] = 0.0
    for t in range(tile_sites.shape[0]):
        table, code = tables[t if tables.shape[0] > 1 else 0], codes[t]
        for k in range(tile_sites.shape[1]):
            digits = values[tile_sites[t, k]]
            for lane in range(len(code)):
                code[lane] += digits[lane] * places[k]
        for lane in range(len(code)):
            energy[lane] += table[code[lane]]


@_compiled
def _uniforms(rng, out):  # type: ignore[no-untyped-def]
    """The next uniform number of every lane's xoshiro256++, whose words are ``rng[:, lane]``."""
    for lane in range(rng.shape[1]):
        s0, s1, s2, s3 = rng[0, lane], rng[1, lane], rng[2, lane], rng[3, lane]
        total = s0 + s3
        word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
        shifted = s1 << np.uint64(17)
        s2 ^= s0
        s3 ^= s1
        rng[1, lane] = s1 ^ s2
        rng[0, lane] = s0 ^ s3
        rng[2, lane] = s2 ^ shifted
        rng[3, lane] = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
        out[lane] = np.float64(np.int64(word >> np.uint64(11))) * 1.1102230246251565e-16  # 2⁻⁵³


@_compiled
def _sweep_spins(values, codes, rng, beta, energy, problem, scratch, change):  # type: ignore[no-untyped-def]
    """One heat-bath sweep of spins; returns the number of changed sites of all lanes."""
    difference, places, start, tile, digit = problem[1], problem[3], problem[4], problem[5], problem[6]
    several, lanes, changed = difference.shape[0] > 1, values.shape[1], 0
    cost, uniform = scratch[0], scratch[1]
    for site in range(values.shape[0]):
        cost[:] = 0.0
        for index in range(start[site], start[site + 1]):
            t = tile[index]
            row, code = difference[t if several else 0, digit[index]], codes[t]
            for lane in range(lanes):
                cost[lane] += row[code[lane]]
        _uniforms(rng, uniform)
        here = values[site]
        for lane in range(lanes):
            new = np.int32(uniform[lane] * (1.0 + np.exp(min(beta[lane] * cost[lane], 700.0))) < 1.0)
            change[lane] = new - here[lane]
            here[lane] = new
            changed += change[lane] * change[lane]
            energy[lane] += change[lane] * cost[lane]
        for index in range(start[site], start[site + 1]):  # most changes are 0; adding them is cheaper than asking
            place, code = places[digit[index]], codes[tile[index]]
            for lane in range(lanes):
                code[lane] += change[lane] * place
    return changed


@_compiled
def _sweep_states(values, codes, rng, beta, energy, problem, scratch, change):  # type: ignore[no-untyped-def]
    """One heat-bath sweep of q states; returns the number of changed sites of all lanes."""
    tables, places, start, tile, digit = problem[0], problem[3], problem[4], problem[5], problem[6]
    several, lanes, changed = tables.shape[0] > 1, values.shape[1], 0
    uniform, weight, cost = scratch[0], scratch[1], scratch[2:]  # cost: (q, lanes)
    q = len(cost)
    for site in range(values.shape[0]):
        here = values[site]
        cost[:] = 0.0
        for index in range(start[site], start[site + 1]):
            t, place = tile[index], places[digit[index]]
            table, code = tables[t if several else 0], codes[t]
            for value in range(q):
                for lane in range(lanes):
                    cost[value, lane] += table[code[lane] + (value - here[lane]) * place]
        _uniforms(rng, uniform)
        for lane in range(lanes):
            least = cost[0, lane]
            for value in range(1, q):
                least = min(least, cost[value, lane])
            total = 0.0
            for value in range(q):
                total += np.exp(-beta[lane] * (cost[value, lane] - least))
            weight[lane] = least
            left, new = uniform[lane] * total, q - 1
            for value in range(q):
                left -= np.exp(-beta[lane] * (cost[value, lane] - least))
                if left < 0:
                    new = value
                    break
            old = here[lane]
            change[lane] = new - old
            here[lane] = new
            changed += new != old
            energy[lane] += cost[new, lane] - cost[old, lane]
        for index in range(start[site], start[site + 1]):
            place, code = places[digit[index]], codes[tile[index]]
            for lane in range(lanes):
                code[lane] += change[lane] * place
    return changed


@_compiled
def _exchange(betas, energy, uniform, rungs, parity, heading, beta, lane_of, exchanged, offered):  # type: ignore[no-untyped-def]
    """Neighbouring rungs of every ladder offer each other their places; returns the number of round trips ended."""
    trips = 0
    for replica in range(len(parity)):
        ladder, mine = lane_of[replica], heading[replica]
        for pair in range(parity[replica], rungs - 1, 2):
            offered[replica, pair] += 1
            a, b = ladder[pair], ladder[pair + 1]
            gain = (betas[replica, pair] - betas[replica, pair + 1]) * (energy[a] - energy[b])
            if gain >= 0 or uniform[a] < np.exp(gain):
                exchanged[replica, pair] += 1
                ladder[pair], ladder[pair + 1] = b, a
                beta[a], beta[b] = beta[b], beta[a]
                mine[pair], mine[pair + 1] = mine[pair + 1], mine[pair]
        parity[replica] = 1 - parity[replica]
        if mine[0] == -1:
            trips += 1
        mine[0] = 1
        if mine[rungs - 1] == 1:
            mine[rungs - 1] = -1
    return trips


@_compiled
def _block(states, rng, betas, parity, heading, problem, q, exchange, draws, thin, out, exchanged, offered):  # type: ignore[no-untyped-def]
    """`draws` × `thin` steps of a few ladders (or chains) of one member; states go to `out`.

    Returns the summed fraction of changed sites and the number of round trips.
    """
    replicas, rungs, n_sites = states.shape
    lanes = replicas * rungs
    spins = problem[1].shape[0] > 0
    values = np.empty((n_sites, lanes), np.int32)
    beta, lane_of = np.empty(lanes), np.empty((replicas, rungs), np.int64)
    for replica in range(replicas):
        for rung in range(rungs):
            lane = replica * rungs + rung
            lane_of[replica, rung], beta[lane] = lane, betas[replica, rung]
            values[:, lane] = states[replica, rung]
    codes, energy = np.empty((problem[2].shape[0], lanes), np.int32), np.empty(lanes)
    scratch, change = np.empty((2 if spins else 2 + q, lanes)), np.empty(lanes, np.int32)
    _encode(values, problem, codes, energy)
    changed, trips = 0, 0
    for draw in range(draws):
        for _ in range(thin):
            if spins:
                changed += _sweep_spins(values, codes, rng, beta, energy, problem, scratch, change)
            else:
                changed += _sweep_states(values, codes, rng, beta, energy, problem, scratch, change)
            if exchange:
                _uniforms(rng, scratch[0])
                trips += _exchange(betas, energy, scratch[0], rungs, parity, heading, beta, lane_of, exchanged, offered)
        for replica in range(replicas):
            for rung in range(rungs):
                out[replica, draw, rung] = values[:, lane_of[replica, rung]]
    generators = rng.copy()
    for replica in range(replicas):
        for rung in range(rungs):
            lane = lane_of[replica, rung]
            states[replica, rung] = values[:, lane]
            rng[:, replica * rungs + rung] = generators[:, lane]  # a generator stays with its microstate
    return changed / n_sites / rungs, trips


class State(NamedTuple):
    """What the next step of all chains needs.

    Attributes
    ----------
    values : int8 array (member, replica, rung, n_sites)
        States, as indices.
    rng : uint64 array (member, 4, replica, rung)
        Generators, one per chain.
    parity : int array (member, replica)
        Which pairs of rungs try to exchange next.
    heading : int8 array (member, replica, rung)
        For the microstate on each rung: 1 if it was last at the hot end, −1 at the cold end, 0 at neither yet.
    """

    values: np.ndarray
    rng: np.ndarray
    parity: np.ndarray
    heading: np.ndarray


class TableEngine:
    """All chains of tile energies, as the loop steps them: members × replicas, and rungs of a ladder.

    Parameters
    ----------
    systems : sequence of InteractionTables or Factors
        Members that differ in their tables only.
    beta : array (member, replica), or (member, replica, rung)
        Inverse temperatures; with an axis of rungs (ascending) neighbouring rungs exchange their microstates.
    """

    def __init__(self, systems: Sequence[Tables], beta: np.ndarray) -> None:
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
        index = self.space.index(values).astype(np.int8).reshape(members, replicas, -1, self.n_sites)
        rng = seed.generate_state(4 * self.beta.size, np.uint64).reshape(members, 4, replicas, -1)
        return State(index, rng, np.zeros((members, replicas), np.int64), np.zeros(index.shape[:3], np.int8))

    def advance(self, state: State, draws: int, thin: int) -> tuple[State, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` steps: new state, states ``(draws, *lead, n_sites)``, and sums over steps."""
        values, rng, parity, heading = (np.array(array) for array in state)
        members, replicas, rungs = values.shape[:3]
        betas = self.beta.reshape(members, replicas, rungs)
        out = np.empty((members, replicas, draws, rungs, self.n_sites), np.int8)
        exchanged, offered = np.zeros((2, members, replicas, max(rungs - 1, 1)))
        at_once = max(1, _LANES // rungs)
        blocks = [(member, slice(first, first + at_once)) for member in range(members) for first in range(0, replicas, at_once)]

        def one(place: tuple[int, slice]) -> tuple[float, int]:
            member, some = place
            lanes = np.ascontiguousarray(rng[member][:, some]).reshape(4, -1)
            chains = (values[place], lanes, betas[place], parity[place], heading[place])
            options = (self.problems[member], self.space.q, self.exchange, draws, thin)
            found = _block(*chains, *options, out[place], exchanged[place], offered[place])
            rng[member][:, some] = lanes.reshape(4, -1, rungs)
            return found

        results = np.array(in_threads(one, blocks), float)
        info: dict[str, Any] = {"acceptance": np.float64(results[:, 0].sum() / (members * replicas))}
        if self.exchange:
            info |= {"exchanged": exchanged.mean((0, 1)), "offered": offered.mean((0, 1))}
            info["round_trips"] = np.float64(results[:, 1].sum() / (members * replicas))
        states = self.space.from_index(np.moveaxis(out, 2, 0)).reshape(draws, *self.lead, self.n_sites)
        return State(values, rng, parity, heading), states, info

    def tune(self, state: State, info: dict[str, Any]) -> State:
        """Nothing to tune."""
        return state
