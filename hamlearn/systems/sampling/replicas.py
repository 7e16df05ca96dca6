"""Replica exchange on the line from independent sites to a machine: its draws, and its log Z, whichever barriers a chain of it would meet.

Every rung of a ladder is a machine on the line and has its own chain; neighbours exchange their microstates (Hukushima and Nemoto, J.
Phys. Soc. Japan 65, 1604 (1996)), so that what no chain of the last machine crosses is gone around. Columns of such ladders never meet:
their scatter is the error; how often microstates have come from the one end to the other and back says whether it can be believed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax import lax

from hamlearn.systems.sampling import exchange, local
from hamlearn.systems.sampling.block_gibbs import Layer
from hamlearn.systems.sampling.bridging import bennett, crossings
from hamlearn.systems.sampling.line import Line, climb
from hamlearn.systems.sampling.walkers import free_energy, swept

COLUMNS = 64  # ladders; from so many the scatter, and so the error, is known to 9 %: a run that ends when its error is small picks low ones
TRIPS = 160  # round trips of all of them together, at least
_STEPS = 64  # of one compiled call; in each all pairs of neighbours try once
_FIRST = 4  # calls after which log Z is estimated for the first time
_UNSETTLED = 1 / 3  # share of a run that is thrown away
_APART = 2.5  # standard errors by which halves of a run may differ
_MOST_WORK = 2e11  # multiplications: about a minute of one core
_RATE = 3e-10  # seconds of one
_PER_DRAW = 120  # sweeps of one machine of 64 units on 8×8 spins, of all its rungs together
_TYPICAL = 8 * 9  # calls, times rungs, that log Z of 64 units on 8×8 spins takes to 0.03
_OVERHEAD = 60  # multiplications that a unit's random number and sigmoid cost as much as


@dataclass(frozen=True)
class LogZ:
    """Log Z of a machine: its estimate, standard error, from how many ladders, and how often microstates went round in all of these.

    Attributes
    ----------
    value, error : float
        The error is 0 where the value is exact.
    populations : int
        Independent estimates that the error is made of: one of every ladder.
    trips : float
        Round trips between independent sites and this machine, of all together.
    settled : bool
        Whether trips were enough and both halves of the run agree. Where not, the error holds what the halves differ by.

    Examples
    --------
    >>> LogZ(10.0, 0.01, 64, 640.0).interval(0.9).round(3).tolist()
    [9.983, 10.017]
    """

    value: float
    error: float
    populations: int = 0
    trips: float = np.inf
    settled: bool = True

    def interval(self, level: float = 0.9) -> np.ndarray:
        """Ends of a t interval over ladders (a point where the value is exact)."""
        reach = scipy.stats.t.ppf((1 + level) / 2, self.populations - 1) * self.error if self.populations else 0.0
        return np.array([self.value - reach, self.value + reach])


class Replicas(NamedTuple):
    """A key, value indices ``(rung, column, n)``, and at which end each microstate last was, ``(column, rung)``."""

    key: Any
    values: Any
    heading: Any


class Record(NamedTuple):
    """What is kept of every step.

    Work is what −ln p gains on the next rung, ``(step, rung − 1, column)``, and on the rung before, of the microstates of the later ones.
    """

    forward: Any
    backward: Any
    trips: Any
    last: Any


class Ladder:
    """Machines of a line between which microstates are exchanged, and the columns of replicas on them.

    Parameters
    ----------
    line : Line
    seed : sequence of int

    Attributes
    ----------
    trips : float
        Round trips so far, of all columns together.
    steps : int
        Done so far.
    """

    def __init__(self, line: Line, seed: list[int]) -> None:
        self._each = _sweep_work(line.visible.size, len(line.hidden))
        places, values = climb(line, np.random.SeedSequence([*seed, 0]), COLUMNS)
        machines = [line.at(float(place)) for place in places]
        self._layers = Layer(*(np.stack(parts) for parts in zip(*machines, strict=True)))
        key = np.random.SeedSequence([*seed, 1]).generate_state(2, np.uint32)
        self._now = Replicas(key, values, np.zeros((COLUMNS, len(places)), np.int32))
        self.trips, self.steps = 0.0, 0

    @property
    def work(self) -> float:
        """Multiplications of one call, about."""
        return 2.0 * _STEPS * COLUMNS * len(self._layers.hidden) * self._each

    def run(self) -> Record:
        """So many steps more."""
        self._now, record = _run(self._now, self._layers, steps=_STEPS)
        found = Record(*(np.asarray(one) for one in record))
        self.trips, self.steps = self.trips + float(found.trips.sum()), self.steps + _STEPS
        return found


def _sweep_work(others: int, hidden: int) -> float:
    """Multiplications of a sweep of one machine, and of what it costs on two."""
    return 4.0 * others * hidden + _OVERHEAD * (others + hidden)


def draw_seconds(line: Line, count: int) -> float:
    """CPU seconds of :func:`draws`, about."""
    return _RATE * _PER_DRAW * _sweep_work(line.visible.size, len(line.hidden)) * (count + 2 * TRIPS)


def log_z_seconds(others: int, hidden: int) -> float:
    """CPU seconds of :func:`log_z` of so many values of all sites but the first of each, and hidden units, about."""
    return _RATE * 2 * _TYPICAL * _STEPS * COLUMNS * _sweep_work(others, hidden)


def log_z(line: Line, seed: int, *, error: float = 0.02) -> LogZ:
    """Log Z of the last machine to a standard error, unless that would take more than a minute of one core.

    The run is doubled until the error is small, microstates have gone round often, and both of its halves agree.

    Parameters
    ----------
    line : Line
    seed : int
    error : float
        Standard error that is wanted; what was reached is in the result.
    """
    ladder, records, wanted, done = Ladder(line, [seed, 10]), list[Record](), _FIRST, 0.0
    while True:
        while len(records) < wanted:
            records.append(ladder.run())
            done += ladder.work
        found = estimate(records[int(_UNSETTLED * len(records)) :], line)
        wanted *= 2
        if (found.settled and found.error <= error) or done * 2 > _MOST_WORK:
            return found


def estimate(records: list[Record], line: Line) -> LogZ:
    """Log Z from a run: neighbours are bridged, and the scatter of columns, over all neighbours together, is the error."""
    forward, backward = (np.moveaxis(np.concatenate([getattr(one, name) for one in records]), 0, 1) for name in ("forward", "backward"))
    pairs, steps, columns = forward.shape
    flat = forward.reshape(pairs, -1).astype(float), backward.reshape(pairs, -1).astype(float)
    found = bennett(*flat)
    gone, come = crossings(*flat, found)
    slope = (gone * (1 - gone)).sum(-1) + (come * (1 - come)).sum(-1)
    # What every step of every column moves log Z by, to first order.
    moved = ((gone - come) / slope[:, None]).sum(0).reshape(steps, columns)
    error = float(np.sqrt(columns) * moved.sum(0).std(ddof=1))
    change = 2 * abs(float(moved[: steps // 2].sum() - moved[steps // 2 :].sum()))
    trips = float(sum(one.trips.sum() for one in records))
    agree = change <= _APART * 2 * error  # the difference of halves has twice the error of their mean
    value = LogZ(line.first_log_z - float(found.sum()), error, columns, trips, agree and trips >= TRIPS)
    return value if agree else replace(value, error=float(np.hypot(error, change)))


def draws(line: Line, count: int, seed: int) -> np.ndarray:
    """Microstates of the last machine as value indices ``(count, n)``, in random order, half a round trip of its column apart.

    Columns run first until microstates have gone round often, as :func:`log_z` asks for, or for half a minute of one core.
    """
    ladder = Ladder(line, [seed, 11])
    while ladder.trips < TRIPS and ladder.work * ladder.steps / _STEPS < _MOST_WORK / 2:
        ladder.run()
    every = int(np.clip(ladder.steps * COLUMNS / max(ladder.trips, 1.0) / 2, 1, _STEPS))
    found: list[np.ndarray] = []
    while sum(len(one) for one in found) < count:
        last = ladder.run().last[every - 1 :: every]
        found.append(last.reshape(-1, last.shape[-1]))
    chosen = np.concatenate(found)
    return np.asarray(np.random.default_rng([seed, 12]).permutation(chosen)[:count])


@functools.partial(jax.jit, static_argnames=("steps",))
def _run(now: Replicas, layers: Layer, *, steps: int) -> tuple[Replicas, Record]:
    lower = (jnp.arange(len(now.values)) % 2 == 0)[:, None]

    def step(now: Replicas, _: Any) -> tuple[Replicas, Record]:
        now, even, first = attempt(now, layers, 0)
        now, odd, second = attempt(now, layers, 1)
        forward, backward = jnp.where(lower, even, odd)[:-1], jnp.where(lower, odd, even)[1:]
        return now, Record(forward, backward, first["round_trips"] + second["round_trips"], now.values[-1])

    return lax.scan(step, now, None, length=steps)


def attempt(now: Replicas, layers: Layer, parity: Any) -> tuple[Replicas, Any, dict[str, Any]]:
    """A sweep of all machines and one round of exchanges; also what −ln p of microstates would gain where each may go."""
    rungs, columns, _ = now.values.shape
    rung = jnp.arange(rungs)
    partner = jnp.where(rung % 2 == parity, rung + 1, rung - 1)
    partner = jnp.where((partner < 0) | (partner >= rungs), rung, partner)  # itself, where there is none
    key, words = local.random_words(now.key, (rungs, 2))
    values = jax.vmap(functools.partial(swept, sweeps=1))(words, now.values, layers)[1]
    cost = jax.vmap(free_energy)
    work = cost(values, Layer(*(one[partner] for one in layers))) - cost(values, layers)
    key, words = local.random_words(key, (columns, rungs - 1))
    source, heading, info = exchange.swap(local.uniform(words), -(work[:-1] + work[1:]).T, now.heading, parity)
    return Replicas(key, jnp.take_along_axis(values, source.T[..., None], 0), heading), work, info
