"""The one loop of all samplers: burn-in, pilot, thinning, progress, interruption and resumption.

An engine steps all its chains and knows one algorithm; everything that is the same for every algorithm happens here.
The work is cut into chunks whose sizes depend on the request only, never on the clock, so that a run resumed at a
chunk boundary repeats exactly what the uninterrupted run would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from hamlearn import statistics
from hamlearn.checkpoint import Checkpoint
from hamlearn.progress import track
from hamlearn.systems.sampling.checkpoint import as_arrays, draws_of, from_arrays

FIRST_STEPS = 200  # discarded before anything is measured
PILOT_STEPS = 400  # measured to find τ, then discarded
BURN_IN_TAUS = 20  # default burn-in in units of τ = 1 + 2Σρ: e^-40 of the start is left in the slowest measured mode
MOST_BURN_IN = 50_000
THINNED_CORRELATION = 0.02  # what thin="auto" leaves between neighbouring draws
_WORK = 1 << 27  # site updates per chunk: about a second
_SAVE_EVERY_S = 5.0


class Engine(Protocol):
    """One algorithm stepping many chains.

    Attributes
    ----------
    lead : tuple of int
        Axes of the chains.
    capacity : int
        Most draws of one :meth:`advance`.
    updates_per_step : int
        Work of one step of all chains, in jitted updates of one site.
    """

    lead: tuple[int, ...]
    capacity: int
    updates_per_step: int

    def init(self, values: np.ndarray, seed: np.random.SeedSequence) -> Any:
        """State (a named tuple of arrays) from values ``(*lead, n_sites)``."""
        ...

    def advance(self, state: Any, draws: int, thin: int) -> tuple[Any, np.ndarray, dict[str, Any]]:
        """`draws` × `thin` steps: new state, states ``(draws, *lead, n_sites)``, information summed over steps."""
        ...

    def tune(self, state: Any, info: dict[str, Any]) -> Any:
        """State adjusted to what a chunk of burn-in told (means over its steps); never called afterwards."""
        ...


class Sink(Protocol):
    """Where draws go instead of being kept in memory.

    Attributes
    ----------
    every : int
        Draws that are handed over together; fewer only at the end.
    """

    every: int

    def write(self, first: int, states: np.ndarray) -> None:
        """Keep the draws from number `first` on, the draws first; those that were written before are the same again."""
        ...


def slowest(series: np.ndarray) -> float:
    """The largest τ of series ``(steps, group, chain, k)``; what never moves counts as 1, for nothing is learned by waiting."""
    taus = [statistics.integrated_autocorrelation_time(one.swapaxes(0, 1)) for one in series.swapaxes(0, 1)]
    return float(np.max(np.nan_to_num(taus, nan=1.0)))


@dataclass(frozen=True)
class Plan:
    """What is asked of the loop.

    Attributes
    ----------
    draws : int
        Draws per chain.
    thin : int or "auto"
        Steps between draws; "auto" finds them in the pilot.
    burn_in : int, optional
        Steps discarded; None finds them in the pilot.
    measure : callable, optional
        States ``(steps, *lead, n_sites)`` to the series ``(steps, ...)`` that tell how fast the chains move.
    tau : callable
        Their largest τ.
    observe : callable, optional
        What to keep of the states of a chunk, a dictionary of arrays with the draws first; the states by default.
    sink : Sink, optional
        Where its "states" go, so that memory holds those of a few chunks only.
    """

    draws: int
    thin: int | str = 1
    burn_in: int | None = None
    measure: Callable[[np.ndarray], np.ndarray] | None = None
    tau: Callable[[np.ndarray], float] = slowest
    observe: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None
    sink: Sink | None = None

    @property
    def needs_pilot(self) -> bool:
        """Whether burn-in or thinning is to be found."""
        return self.thin == "auto" or self.burn_in is None


@dataclass(frozen=True)
class Progress:
    """How far a run is; with the engine's state all that is needed to continue it.

    Attributes
    ----------
    stage : {"burn_in", "pilot", "extend", "draw", "done"}
        What happens next.
    done : int
        Steps (draws in the last stage) done in this stage.
    burn_in, thin : int
        Steps discarded so far, and between draws.
    extend : int
        Steps that the stage "extend" discards.
    pilot, kept, held, info : lists and dicts
        Measurements of the pilot, chunks of draws, those that wait for the sink, and sums over the steps that were kept.
    """

    stage: str = "burn_in"
    done: int = 0
    burn_in: int = 0
    thin: int = 1
    extend: int = 0
    pilot: list[np.ndarray] = field(default_factory=list)
    kept: dict[str, list[np.ndarray]] = field(default_factory=dict)
    held: list[np.ndarray] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def result(self) -> dict[str, np.ndarray]:
        """Everything kept, the draws first."""
        return {name: np.concatenate(chunks) for name, chunks in self.kept.items()}

    def means(self) -> dict[str, Any]:
        """Information of the algorithm, per step."""
        return {name: total / (self.done * self.thin) for name, total in self.info.items()}


def run(
    engine: Engine,
    start: np.ndarray,
    seed: np.random.SeedSequence,
    plan: Plan,
    *,
    label: str = "sampling",
    progress: bool | None = None,
    checkpoint: Checkpoint | None = None,
) -> Progress:
    """Carry out a plan; returns the finished progress.

    Parameters
    ----------
    engine : Engine
        The algorithm.
    start : array (*lead, n_sites)
        Values to start from.
    seed : numpy.random.SeedSequence
        Source of all randomness.
    plan : Plan
        What is asked.
    label : str
        What the progress bar says.
    progress : bool, optional
        See :class:`hamlearn.progress.track`.
    checkpoint : Checkpoint, optional
        Where to continue from and to save to, after the first chunk, every few seconds, where it is interrupted, and at the
        end: a finished run is answered at once. Whoever has made the result safe removes it.
    """
    now = (engine.init(start, seed), Progress(thin=1 if plan.thin == "auto" else int(plan.thin)))
    found = checkpoint.restore(lambda arrays: from_arrays(arrays, now)) if checkpoint is not None else None
    now = now if found is None else found
    saved, kept = -math.inf, found is not None  # kept: whether the checkpoint holds all that is done
    with track(_work(plan, now[1]), label, progress) as bar:
        try:
            while now[1].stage != "done":
                now, kept = _chunk(engine, *now, plan), False
                bar.total = _work(plan, now[1])
                bar.advance(_worked(now[1]) - bar.done)
                if checkpoint is not None and (now[1].stage == "done" or time.monotonic() - saved > _SAVE_EVERY_S):
                    checkpoint.save(as_arrays(*now), draws_of(now[1]))
                    saved, kept = time.monotonic(), True
        except KeyboardInterrupt:
            if checkpoint is not None and not kept:
                checkpoint.save(as_arrays(*now), draws_of(now[1]))
            raise
    return now[1]


def _chunk(engine: Engine, state: Any, at: Progress, plan: Plan) -> tuple[Any, Progress]:
    """One chunk of the present stage."""
    steps = max(1, _WORK // engine.updates_per_step)
    if at.stage in ("burn_in", "extend"):
        total = at.extend if at.stage == "extend" else FIRST_STEPS if plan.burn_in is None else plan.burn_in
        # At least four chunks, so that tuning sees more than the first moments after the start.
        count = min(steps, total - at.done, max(1, -(-total // 4)))
        if count > 0:
            state, _, info = engine.advance(state, 1, count)
            if at.stage == "burn_in":
                state = engine.tune(state, {name: value / count for name, value in info.items()})
            at = replace(at, done=at.done + count, burn_in=at.burn_in + count)
        if at.done >= total:
            at = replace(at, stage="pilot" if at.stage == "burn_in" and plan.needs_pilot else "draw", done=0)
        return state, at
    if at.stage == "pilot":
        count = min(engine.capacity, steps, PILOT_STEPS - at.done)
        state, states, _ = engine.advance(state, count, 1)
        assert plan.measure is not None  # what needs_pilot needs
        at = replace(at, done=at.done + count, pilot=[*at.pilot, plan.measure(states)], burn_in=at.burn_in + count)
        return state, _judge(at, plan) if at.done >= PILOT_STEPS else at
    count = min(engine.capacity, max(1, steps // at.thin), plan.draws - at.done)
    state, states, info = engine.advance(state, count, at.thin)
    found = dict(plan.observe(states)) if plan.observe is not None else {"states": states}
    held = [] if plan.sink is None else [*at.held, np.asarray(found.pop("states"))]
    kept = {name: [*at.kept.get(name, []), np.asarray(value)] for name, value in found.items()}
    info = {name: at.info.get(name, 0.0) + value for name, value in info.items()}
    done = at.done + count
    if plan.sink is not None:
        held = _handed_over(held, done, plan.sink, all_=done >= plan.draws)
    return state, replace(at, done=done, kept=kept, held=held, info=info, stage="done" if done >= plan.draws else "draw")


def _handed_over(held: list[np.ndarray], done: int, sink: Sink, *, all_: bool) -> list[np.ndarray]:
    """Draws to a sink, which takes so many together; what waits on."""
    count = sum(map(len, held))
    ready = count if all_ else count // sink.every * sink.every
    if not ready:
        return held
    states = np.concatenate(held)
    sink.write(done - count, states[:ready])
    return [states[ready:].copy()] if ready < count else []  # a copy: a view would keep all of them


def _judge(at: Progress, plan: Plan) -> Progress:
    """Burn-in and thinning from the pilot's τ."""
    tau = plan.tau(np.concatenate(at.pilot))
    tau = 1.0 if np.isnan(tau) else tau  # nothing moved: nothing can be learned from waiting
    wanted = min(MOST_BURN_IN, int(np.ceil(BURN_IN_TAUS * tau))) if plan.burn_in is None else 0
    thin = thin_for(tau) if plan.thin == "auto" else at.thin
    return replace(at, stage="extend", done=0, extend=max(0, wanted - at.burn_in), thin=thin, pilot=[])


def thin_for(tau: float) -> int:
    """Steps after which a first-order autoregression with this τ keeps a correlation of 2 %.

    Its correlation is ρ^t with ρ = (τ − 1)/(τ + 1); for τ ≫ 1 this is about 2τ.

    Examples
    --------
    >>> thin_for(1.0), thin_for(10.0)
    (1, 20)
    """
    rho = (tau - 1) / (tau + 1)
    return 1 if rho <= THINNED_CORRELATION else int(np.ceil(np.log(THINNED_CORRELATION) / np.log(rho)))


def _work(plan: Plan, at: Progress) -> int:
    """Steps in all, as far as is known."""
    before = plan.burn_in if plan.burn_in is not None else FIRST_STEPS
    before += PILOT_STEPS if plan.needs_pilot else 0
    return max(before, at.burn_in) + plan.draws * at.thin


def _worked(at: Progress) -> int:
    return at.burn_in + (at.done * at.thin if at.stage in ("draw", "done") else 0)
