"""Posterior predictive comparison for models of any kind: refit to half of the data, simulate, compare with the other half.

Nothing is asked of the model but that its members can be simulated. The statistics are those of a space: moments of
the order parameter, correlations at distances along the axes, and histograms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn import infer
from hamlearn.arguments import require_seed
from hamlearn.diagnostics import holdout, invariants, predictive_test, scores
from hamlearn.diagnostics.features import bin_edges
from hamlearn.diagnostics.members import Members, actions
from hamlearn.diagnostics.predictive_test import LeftOut, Statistic
from hamlearn.errors import HamlearnError
from hamlearn.infer import families
from hamlearn.infer.asked import EngineAsked, LikelihoodName
from hamlearn.infer.predictions.simulated import of_sweep
from hamlearn.models import Model
from hamlearn.progress import logger
from hamlearn.systems import exact, sampling
from hamlearn.systems.base import axes_of
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND
from hamlearn.systems.parametric import stacked
from hamlearn.systems.sampling.samplers import SAMPLERS
from hamlearn.systems.sampling.stacks import simulate_stack, stackable

MEMBERS = 48  # their scatter is the uncertainty of a prediction, known to 10 %
_DRAWS = 24_576  # microstates of all members together
_TIMES, _FEWEST = 8, 64  # their noise, which is part of the comparison, is then an eighth of the variance that the data have themselves
_CHAINS = 8
_COMPILING = 2.0  # seconds
_PILOT = 64  # microstates of each of its chains
_APART = 0.44  # variance of their means by that within, an R-hat of 1.2
LADDER: dict[str, Any] = {"sampler": "tempering", "thin": "auto", "start": "hot"}
_CLIMBS = {"thin": 25}  # of it, where it is there that chains turn over: thin="auto" looks at what both phases have alike
_POOLED = 12_000  # microstates that energies of all members are compared on


def check(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: Model,
    *,
    likelihood: LikelihoodName = "auto",
    engine: EngineAsked = "auto",
    tau: float | None = None,
    symmetric: bool | None = None,
    named: scores.Tests | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Compare held-out data with simulations of a model that was refitted to the other half.

    Parameters
    ----------
    data : Dataset or list of Datasets
        Microstates at one or several temperatures.
    model
        A model of :mod:`hamlearn.models` whose members can be simulated.
    likelihood, engine : str or settings
        Of the refit, as for :func:`hamlearn.learn`.
    tau : float, optional
        Autocorrelation time of the data in draws if known.
    symmetric : bool, optional
        Whether the learned Hamiltonian is unchanged when all values are flipped or turned alike (then only what this
        leaves unchanged counts as slow). By default it is found out for couplings, and taken for not symmetric elsewhere.
    seed : int
        Of the split, the simulations and the resampling.

    Returns
    -------
    Dataset
        As :func:`hamlearn.diagnostics.check` returns it.
    """
    sets, seed = microstates.split_by_beta(microstates.admit(data)), require_seed(seed)
    rng = np.random.default_rng(seed)
    if symmetric is None:
        space = microstates.space_of(sets)
        symmetric = invariants.model_is_symmetric(model, space, microstates.site_shape(sets[0]), microstates.rows(sets[0]))
    tests = named or scores.Tests()
    pieces = holdout.halves(sets, rng, tau, symmetric=symmetric)
    if isinstance(pieces, LeftOut):
        return predictive_test.without_held_out(pieces, tests.rows, tests.blocks, tests.left_out)
    fits, held = pieces
    try:
        post = infer.learn(fits, model, likelihood=likelihood, engine=engine, seed=seed)
        systems = families.of(post).draw_systems(post, MEMBERS, seed, None)
        rows = []
        for fit, half in zip(fits, held, strict=True):
            label = f" at beta = {float(fit['beta']):.4g}" if len(sets) > 1 else ""
            rows += _compare(systems, fit, half, label, rng)
    except HamlearnError as error:
        why = predictive_test.refused("the model fitted to half of the data could not be compared", error)
        return predictive_test.without_held_out(why, tests.rows, tests.blocks, tests.left_out)
    return predictive_test.table(rows, min(half.blocks for half in held), None, named=tests.rows, skipped=tests.left_out)


def _compare(systems: list[Any], fit: xr.Dataset, half: holdout.Half, label: str, rng: np.random.Generator) -> list[predictive_test.Row]:
    shape = axes_of(systems[0])
    fitted = microstates.rows(fit).reshape(-1, *shape)
    functions = Statistics(systems[0], fitted[:: max(1, len(fitted) // 20_000)])
    total = half.weight.sum()
    columns = functions(half.values.reshape(-1, *shape)) * half.weight[:, None]
    sums = np.zeros((half.blocks, columns.shape[1]))
    np.add.at(sums, half.label, columns)
    weight = np.bincount(half.label, weights=half.weight, minlength=half.blocks)
    observed = sums.sum(0) / total
    deviation = (sums - weight[:, None] * observed) / total
    beta = float(fit["beta"])
    states = microstates_of(systems, beta, fitted, rng, _enough(systems[0], len(half.values.reshape(-1, *shape))))
    columns = np.stack([functions(part) for part in states])
    expected = columns.mean((0, 1))
    moved = _moved(systems, states, columns, beta)
    noise = predictive_test.resampled(deviation, rng) + _prediction_noise(columns, moved, rng)
    return predictive_test.judge(functions.list, observed, expected, noise, half.blocks, label)


def _enough(system: Any, rows: int) -> int:
    """Microstates of every member: _DRAWS of all, but of paths, which are drawn exactly and one by one, _TIMES the rows they are beside."""
    most = _DRAWS // MEMBERS
    return int(np.clip(_TIMES * rows // MEMBERS, _FEWEST, most)) if exact.method(system) == "operator" else most


def _moved(systems: list[Any], states: list[np.ndarray], columns: np.ndarray, beta: float) -> np.ndarray:
    """How every member's expectations differ from the mean of all, ``(member, column)``; by linear response in some of all draws."""
    keep = max(1, len(states) * len(states[0]) // _POOLED)
    found = Members(tuple(systems), np.concatenate(states)[::keep], beta)
    if found.linear:
        return found.moved(columns.reshape(-1, columns.shape[-1])[::keep])
    means = columns.mean(1)
    return np.asarray(means - means.mean(0))


def _prediction_noise(columns: np.ndarray, moved: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the expectation may be off by, ``(replicate, column)``: parameters' uncertainty, and that of the mean of all members."""
    members = len(moved)
    means = columns.mean(1)
    deviations = (means - means.mean(0)) * np.sqrt(members / (members - 1))
    tails = np.sqrt((members - 1) / rng.chisquare(members - 1, size=(predictive_test.REPLICATES, 1)))
    truth = moved[rng.integers(members, size=predictive_test.REPLICATES)] * np.sqrt(members / (members - 1))
    # Centred resampling of members gives the error of their mean, simulation included, with its correlations.
    times = rng.multinomial(members, np.full(members, 1 / members), size=predictive_test.REPLICATES) / members - 1 / members
    return np.asarray(tails * (truth + times @ deviations))


def microstates_of(
    systems: list[Any],
    beta: float,
    fitted: np.ndarray,
    rng: np.random.Generator,
    count: int = _DRAWS // MEMBERS,
    *,
    mixed: bool = False,
    chains: int = _CHAINS,
) -> list[np.ndarray]:
    """Up to `count` microstates of every member, chain by chain.

    Fields, and what is known by its energy alone, share one compiled simulation. Chains begin at the data. With `mixed` they go along a
    ladder of temperatures where those of the first member stay where they began.
    """
    first = systems[0]
    if mixed and _stuck(first, beta, fitted, rng):
        logger.info("chains from the data stay where they began: members are simulated along a ladder of temperatures (tempering)")
        return [_draw(system, beta, fitted, rng, count, chains, LADDER | _CLIMBS) for system in systems]
    if first.space.q and first.pure_jax and first.pairs is None and first.windows is None and exact.oracle(first, "sample") is None:
        if stacked(systems) is not None:
            return _in_one_run(systems, beta, fitted, rng, count, chains)
    if not systems[0].space.unbounded or exact.method(systems[0]) == "operator" or not stackable(systems):
        return [_draw(system, beta, fitted, rng, count, chains) for system in systems]
    seed, draws = int(rng.integers(2**31)), max(1, count // chains)
    found = simulate_stack(systems, beta, draws=draws, chains=chains, seed=seed, thin=2)
    return [values.reshape(-1, *fitted.shape[1:]) for values in found]


def _in_one_run(systems: list[Any], beta: float, fitted: np.ndarray, rng: np.random.Generator, count: int, chains: int) -> list[np.ndarray]:
    """All members in one run, from the data, with the burn-in that a pilot of the first one asked for."""
    draws, seed = max(1, count // chains), int(rng.integers(2**31))
    start = fitted[rng.integers(len(fitted), size=(len(systems), chains))]
    sampler = "metropolis" if SAMPLERS["heat_bath"].refusal(systems[0]) else "heat_bath"
    options: dict[str, Any] = {"draws": draws, "chains": chains, "thin": 5, "sampler": sampler, "progress": False}
    pilot = sampling.simulate(systems[0], beta=beta, seed=seed, start=start[0], **options)
    sweeps = int(pilot.attrs["burn_in"]) + 5 * draws
    seconds = _COMPILING + len(systems) * chains * sweeps * of_sweep(systems[0]) / OPERATIONS_PER_SECOND
    logger.info("simulating %d members, %d sweeps each, about %.2g s", len(systems), sweeps, seconds)
    found = sampling.simulate_systems(systems, beta, seed=seed + 1, start=start, burn_in=int(pilot.attrs["burn_in"]), **options)
    return list(found.reshape(len(systems), -1, *fitted.shape[1:]))


def _draw(
    system: Any, beta: float, fitted: np.ndarray, rng: np.random.Generator, count: int, chains: int, how: dict[str, Any] | None = None
) -> np.ndarray:
    """Microstates of one member ``(chain · draw, *sites)``, exact where there is an oracle, else started from data."""
    seed = int(rng.integers(2**31))
    if exact.oracle(system, "sample") and (system.space.q or exact.method(system) == "operator"):
        return np.asarray(exact.sample(system, beta, count, seed)).reshape(count, *fitted.shape[1:])
    start = fitted[rng.integers(len(fitted), size=chains)]
    size: dict[str, Any] = {"draws": max(1, count // chains), "chains": chains, "seed": seed, "progress": False}
    found = sampling.simulate(system, beta=beta, **size, **{"thin": 5, "start": start, **(how or conserving(system))})
    return np.asarray(found["state"].values).reshape(-1, *fitted.shape[1:])


def _stuck(system: Any, beta: float, fitted: np.ndarray, rng: np.random.Generator) -> bool:
    """Whether chains from unlike rows of the data do not reach each other's states, and a ladder of temperatures might."""
    if not system.space.q or exact.oracle(system, "sample") or conserving(system) or SAMPLERS["tempering"].refusal(system) is not None:
        return False
    shown = system.space.order_parameters(fitted.reshape(len(fitted), -1))
    sorted_rows = np.argsort(shown[:, shown.var(0).argmax()], kind="stable")
    far = fitted[sorted_rows[np.linspace(0, len(fitted) - 1, _CHAINS).round().astype(int)]]
    rows = _draw(system, beta, fitted, rng, _CHAINS * _PILOT, _CHAINS, {"start": far})
    order = system.space.order_parameters(rows.reshape(_CHAINS, _PILOT, -1)).reshape(_CHAINS, _PILOT, -1)
    within, between = order.var(1, ddof=1).mean(0), order.mean(1).var(0, ddof=1)
    return bool((between > _APART * within).any())


def conserving(system: Any) -> dict[str, Any]:
    """How spins whose sum is fixed are drawn: along a ladder of temperatures, for the stripes of cold ones do not turn otherwise."""
    return LADDER if system.space.constraint and SAMPLERS["tempering"].refusal(system) is None else {}


@dataclass(eq=False)
class Statistics:
    """Functions of microstates ``(row, *sites)`` in one space; bins are fixed by the fitted half.

    Attributes
    ----------
    list : list of Statistic
        What the columns mean.
    """

    system: Any
    fitted: np.ndarray

    def __post_init__(self) -> None:
        self.list: list[Statistic] = []
        self.edges = {name: bin_edges(values) for name, values in self._histogrammed(self.fitted).items()}
        self.strides = sorted({(axis, step) for axis, size in enumerate(self.system.lattice.shape) for step in _steps(size)})

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """Columns ``(row, column)``."""
        named: list[tuple[str, bool, np.ndarray]] = []
        order = self._order(states)
        named += [(f"{name}", False, values[:, None]) for name, values in order.items()]
        if self.system.space.unbounded and 1 < states[0].size <= 128:
            square = (states.astype(np.float64) ** 2).reshape(len(states), -1)
            named.append(("squares of the values, site by site", True, square - square.mean(1, keepdims=True)))
        for axis, step in self.strides:
            product = self._product(states, np.roll(states, -step, 1 + axis))
            flat = product.reshape(len(states), -1)
            if self.system.space.unbounded:  # a product's noise is that of slow shifts of all values, which hide what steps are
                square = (np.roll(states, -step, 1 + axis).astype(float) - states) ** 2
                named.append(
                    (f"squared difference at distance {step} along axis {axis}", False, square.reshape(len(states), -1).mean(1)[:, None])
                )
            named.append((f"correlation at distance {step} along axis {axis}", False, flat.mean(1, keepdims=True)))
            if flat.shape[1] <= 128:
                local = flat - flat.mean(1, keepdims=True)
                named.append((f"correlations at distance {step} along axis {axis}, site by site", True, local))
        for name, values in self._histogrammed(states).items():
            edges = self.edges[name]
            cells = np.searchsorted(edges, values.reshape(len(states), -1))
            share = np.stack([(cells == cell).mean(1) for cell in range(len(edges) + 1)], 1)
            named.append((f"histogram of {name}", True, share))
        if not self.list:
            stops = np.cumsum([block.shape[1] for *_, block in named])
            self.list = [
                Statistic(name, np.arange(stop - block.shape[1], stop), scatter)
                for (name, scatter, block), stop in zip(named, stops, strict=True)
            ]
        return np.concatenate([block for *_, block in named], 1)

    def _product(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.asarray(self.system.space.alike(first, second))

    def _order(self, states: np.ndarray) -> dict[str, np.ndarray]:
        flat, space = states.reshape(len(states), -1).astype(float), self.system.space
        if space.period is not None or space.event_shape:
            m = space.magnitude(flat)
            return {"mean |magnetization|": m, "mean squared magnetization": m**2}
        if space.unbounded:
            m = np.abs(flat.mean(1))
            return {"mean |average|": m, "mean square": (flat**2).mean(1), "mean fourth power": (flat**4).mean(1)}
        if space.binary:
            m = np.abs(flat.mean(1))
            return {"magnetization": flat.mean(1), "mean |magnetization|": m, "mean squared magnetization": m**2}
        return {f"share of state {value}": (flat == value).mean(1) for value in range(space.q)}

    def _histogrammed(self, states: np.ndarray) -> dict[str, np.ndarray]:
        found = {"the learned energy": actions(self.system, states, 1.0)}
        if self.system.space.unbounded:
            found["the values"] = states.astype(float)
        elif self.system.space.binary:
            found["the number of spins up"] = (states > 0).reshape(len(states), -1).sum(1).astype(float)
        return found


def _steps(size: int) -> list[int]:
    """Distances along an axis of a given extent: 1, 2, 4, … up to half of it."""
    return [step for step in (1, 2, 4, 8, 16, 32) if 2 * step <= size and size > 2] or ([1] if size == 2 else [])
