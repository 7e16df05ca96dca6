"""Local energies fitted to single-site conditionals: pair strengths by Newton's method, networks by expansions of the likelihood.

The likelihood is a function of the table E(code) alone, and a window has few codes: it is replaced by its second-order
expansion in the table, the network is trained on that (a matrix of a few hundred rows, whatever the number of
microstates), and the expansion is renewed at the new table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import xarray as xr

from hamlearn.infer.engines import jax_training
from hamlearn.infer.engines.jax_training import Quadratic
from hamlearn.infer.likelihoods.table_conditionals import Rows, TileConditionals
from hamlearn.infer.newton import newton
from hamlearn.models import dense
from hamlearn.models.local_interaction import BoundLocalInteraction, LocalInteraction

DECAYS = (100.0, 30.0, 10.0, 3.0, 1.0)
"""Penalties that "auto" tries after none: a weight's prior has the width 1/√(2 decay), 0.07 to 0.7."""
_BLOCKS = 40  # contiguous blocks of the data, every fifth held out
_ROUNDS = 4  # expansions of the likelihood per network
_STEPS = 120  # of L-BFGS per expansion
_NEWTON_STEPS, _LEFT = 30, 1e-3  # for pair strengths: the most, and the nats (times two) left to gain where they end
_RIDGE = 1e-2  # β² times this: the prior precision of strengths, a width of 10 temperatures, against separable data

Watch = Callable[[np.ndarray], None]  # is shown the table of every step


@dataclass(frozen=True, eq=False)
class Fit:
    """A network and pair strengths, their table and its log pseudo-likelihood less the penalty."""

    weights: dense.Weights
    strengths: np.ndarray
    table: np.ndarray
    value: float


@dataclass(frozen=True, eq=False)
class Selection:
    """The penalty chosen (None: pairs alone), its learning curve, what every penalty tried left held out, pair strengths, and why."""

    decay: float | None
    curve: xr.Dataset
    tried: xr.Dataset
    strengths: np.ndarray
    told: str


def _blocks(n: int) -> np.ndarray:
    """Contiguous blocks of rows, which keep autocorrelated draws together."""
    return np.arange(n) * _BLOCKS // n


def select(bound: BoundLocalInteraction, whole: TileConditionals, model: LocalInteraction, seed: int) -> Selection:
    """The penalty with the best held-out likelihood, or the strongest that is not worse by more than a standard error or a nat."""
    blocks = [_blocks(len(rows.values)) for rows in whole.sets]
    train = TileConditionals(whole.tiles, [rows.take(block % 5 != 4) for rows, block in zip(whole.sets, blocks, strict=True)])
    held = TileConditionals(whole.tiles, [rows.take(block % 5 == 4) for rows, block in zip(whole.sets, blocks, strict=True)])
    labels = [block[block % 5 == 4] // 5 for block in blocks]
    curves: dict[float | None, list[tuple[float, float]]] = {None: []}

    def watch(key: float | None) -> Watch:
        curves[key] = []
        return lambda table: curves[key].append((-train.value(table) / train.size, -held.value(table) / held.size))

    pairs = pairs_alone(bound, train, np.zeros(bound.terms.shape[1]), watch(None))
    tried: dict[float | None, np.ndarray] = {None: held.scores(pairs.table, labels)[0]}
    candidates = [] if model.decay is None else list(DECAYS) if model.decay == "auto" else [float(cast(float, model.decay))]
    first = _slope_and_curvature(train, pairs.table) if candidates else None
    for decay in candidates:
        fit = network(bound, train, pairs, decay, seed, watch(decay), first)
        tried[decay] = held.scores(fit.table, labels)[0]
        best = max(tried, key=lambda key: tried[key].sum())
        if len(tried) > 3 and list(tried).index(best) < len(tried) - 2:
            break  # two weaker penalties in a row were worse
    best = max(tried, key=lambda key: tried[key].sum())
    chosen = next(key for key in tried if (tried[best] - tried[key]).sum() <= max(1.0, _error(tried[best] - tried[key])))
    if model.decay is not None and model.decay != "auto":
        chosen = float(cast(float, model.decay))
    gain, error = (tried[best] - tried[None]).sum(), _error(tried[best] - tried[None])
    told = "pairs alone explain the data as well as any network" if chosen is None else f"network with decay {chosen:g}"
    told += f": at best {gain:.3g} ± {error:.2g} nats of held-out pseudo-likelihood are gained" if model.decay == "auto" else ", as asked"
    curve = _curve(curves[None] + (curves[chosen] if chosen is not None else []))
    values = np.stack(list(tried.values())) / held.size
    table = xr.Dataset(
        {"held_out": ("decay", values.sum(1)), "loss": ("decay", (values[list(tried).index(best)] - values).sum(1))},
        coords={"decay": [np.inf if key is None else key for key in tried]},
    )
    return Selection(chosen, curve, table, pairs.strengths, told)


def _curve(steps: list[tuple[float, float]]) -> xr.Dataset:
    """Losses of training and of held-out data, step by step."""
    history = np.array(steps)[None]
    curve = xr.Dataset(
        {name: (("member", "epoch"), history[..., index]) for index, name in enumerate(("train", "held_out"))}
        | {"best_epoch": ("member", history[..., 1].argmin(1))},
        coords={"member": [0], "epoch": np.arange(history.shape[1])},
    )
    curve["held_out"].attrs["long_name"] = "minus log pseudo-likelihood per site"
    return curve


def _error(differences: np.ndarray) -> float:
    """Standard error of the sum of independent blocks."""
    return float(np.sqrt(len(differences)) * differences.std(ddof=1))


def pairs_alone(bound: BoundLocalInteraction, likelihood: TileConditionals, start: np.ndarray, watch: Watch = lambda table: None) -> Fit:
    """Pair strengths and field by Newton's method, on a tenth of the rows first; the network is zero."""
    terms = bound.terms
    few = TileConditionals(likelihood.tiles, [_thinned(rows) for rows in likelihood.sets])
    ridge = _RIDGE * max(rows.beta for rows in likelihood.sets) ** 2 * (terms**2).mean(0).min()
    near = newton(_PairStrengths(few, terms, ridge), start, tolerance=_LEFT, most=_NEWTON_STEPS, flat=1e-12).theta
    best = newton(
        _PairStrengths(likelihood, terms, ridge),
        near,
        tolerance=_LEFT,
        most=_NEWTON_STEPS,
        flat=1e-12,
        watch=lambda strengths: watch(terms @ strengths),
    )
    zero = [(np.zeros_like(matrix), np.zeros_like(offset)) for matrix, offset in bound.start(0)]
    return Fit(zero, best.theta, terms @ best.theta, best.value)


@dataclass(frozen=True, eq=False)
class _PairStrengths:
    """The likelihood of tables that are sums of pair terms, less a ridge, as Newton's method asks for it."""

    likelihood: TileConditionals
    terms: np.ndarray
    ridge: float

    def value_and_gradient(self, strengths: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = self.likelihood.scores(self.terms @ strengths)
        return float(total[0] - self.ridge * strengths @ strengths), slope[0] @ self.terms - 2 * self.ridge * strengths

    def curvature(self, strengths: np.ndarray, *, rough: bool) -> np.ndarray:
        inner = self.terms.T @ self.likelihood.curvature(self.terms @ strengths) @ self.terms
        return np.asarray(inner + 2 * self.ridge * np.eye(len(strengths)))


def _thinned(rows: Rows) -> Rows:
    step = max(1, min(10, len(rows.values) // 500))
    return rows.take(np.arange(0, len(rows.values), step))


def network(
    bound: BoundLocalInteraction,
    likelihood: TileConditionals,
    pairs: Fit,
    decay: float,
    seed: int,
    watch: Watch = lambda table: None,
    first: tuple[np.ndarray, np.ndarray] | None = None,
) -> Fit:
    """Network and pairs together: expand the likelihood at the table, train on the expansion, expand again."""
    table, strengths, weights, damping = pairs.table, pairs.strengths, bound.start(seed), 0.0
    fit, value = pairs, pairs.value
    for _ in range(_ROUNDS):
        slope, curvature = _slope_and_curvature(likelihood, table) if first is None else first
        first = None
        while damping < 100:
            stiff = Quadratic(table, slope, curvature * (1 + damping))
            new, changed = jax_training.fit_quadratic(
                bound.inputs, bound.terms, weights, strengths, stiff, decay, bound.model.activation, steps=_STEPS
            )
            trial = table_of(bound, new, changed)
            reached = likelihood.value(trial) - decay * sum(float((matrix**2).sum()) for matrix, _ in new)
            if reached >= value - 0.5:  # a network that is penalised away ends where it began
                break
            damping = 4 * damping + 1
        else:
            break
        gain, fit, value = reached - value, Fit(new, changed, trial, reached), reached
        table, strengths, weights = trial, changed, new
        watch(table)
        if gain < 1.0:
            break
    return fit


def _slope_and_curvature(likelihood: TileConditionals, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return likelihood.scores(table)[1][0], likelihood.curvature(table)


def table_of(bound: BoundLocalInteraction, weights: dense.Weights, strengths: np.ndarray) -> np.ndarray:
    """E(code) of a network and pair strengths, in double precision."""
    import jax

    with jax.enable_x64(True):
        return np.asarray(bound.table([(np.asarray(a, float), np.asarray(b, float)) for a, b in weights], np.asarray(strengths)))
