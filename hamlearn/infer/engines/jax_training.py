"""Training of dense networks in JAX: second-order on few tile states, stochastic gradients on many microstates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize

from hamlearn.checkpoint import Checkpoint
from hamlearn.infer.engines.training_loop import Budget, History, Pace, run
from hamlearn.infer.training import Training
from hamlearn.models import dense
from hamlearn.models.extensive import BoundExtensive, Weights

_OPERATION = 4.5e-11  # CPU seconds of one ordinary core: default networks on 4×4 and 8×8, and those of DCL
_BACK = 3.0  # a step, with the way back, is worth so many evaluations
_FEW = 256  # rows that are counted together


@dataclass(frozen=True, eq=False)
class Quadratic:
    """A log-likelihood of a table near `table`: slope · d − ½ dᵀ curvature d for a displacement d, a constant left out."""

    table: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray


def _unpacked(flat: Any, sizes: tuple[int, ...]) -> tuple[dense.Weights, Any]:
    """Weights of layers between `sizes`, and whatever is left: strengths of linear terms."""
    layers, at = [], 0
    for fan_in, fan_out in pairwise(sizes):
        size = fan_in * fan_out
        layers.append((flat[at : at + size].reshape(fan_in, fan_out), flat[at + size : at + size + fan_out]))
        at += size + fan_out
    return layers, flat[at:]


def _packed(weights: dense.Weights, strengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ravel(array) for layer in weights for array in layer] + [np.ravel(strengths)])


@partial(jax.jit, static_argnames=("sizes", "activation"))
def _loss(
    flat: Any, inputs: Any, terms: Any, table: Any, slope: Any, curvature: Any, decay: Any, *, sizes: tuple[int, ...], activation: str
) -> Any:
    def loss(flat: Any) -> Any:
        weights, strengths = _unpacked(flat, sizes)
        deep = dense.evaluate(weights, inputs, activation)[:, 0]
        d = deep - deep.mean() + terms @ strengths - table
        return 0.5 * d @ (curvature @ d) - slope @ d + decay * sum((matrix**2).sum() for matrix, _ in weights)

    return jax.value_and_grad(loss)(flat)


def fit_quadratic(
    inputs: np.ndarray,
    terms: np.ndarray,
    weights: dense.Weights,
    strengths: np.ndarray,
    target: Quadratic,
    decay: float,
    activation: str,
    steps: int = 300,
) -> tuple[dense.Weights, np.ndarray]:
    """Network and linear strengths that maximise a quadratic log-likelihood less `decay` times the squared matrices.

    L-BFGS in double precision; the table is terms @ strengths plus the network's output for `inputs`, less its mean.
    """
    sizes = (inputs.shape[1], *(len(offset) for _, offset in weights))
    with jax.enable_x64(True):
        fixed = [jnp.asarray(array) for array in (inputs, terms, target.table, target.slope, target.curvature)]

        def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = _loss(jnp.asarray(flat), *fixed, decay, sizes=sizes, activation=activation)
            return float(value), np.asarray(gradient)

        start = _packed(weights, strengths)
        options = {"maxiter": steps, "maxfun": 2 * steps, "maxcor": 30}
        found = scipy.optimize.minimize(evaluate, start, jac=True, method="L-BFGS-B", options=options)
    layers, strengths = _unpacked(found.x, sizes)
    return layers, strengths


@dataclass(frozen=True, eq=False)
class Regression:
    """A trained extensive network, and its errors epoch by epoch.

    Attributes
    ----------
    weights : dict of arrays
        Those of the best epoch, in the units of the labels.
    train, held_out : array (epoch,)
        Root mean square errors; of training during the epoch, of what was held out after it.
    best : int
        The epoch kept.
    error, pairs_error : float
        Held-out root mean square error of the result, and of fields and pairs alone.
    network : bool
        Whether the network is part of the result: held-out states gain from it.
    """

    weights: Weights
    train: np.ndarray
    held_out: np.ndarray
    best: int
    error: float
    pairs_error: float
    network: bool


@partial(jax.jit, static_argnums=0)
def _epoch(bound: BoundExtensive, weights: Any, moments: Any, index: Any, labels: Any, order: Any, rates: Any, decay: Any) -> Any:
    """One pass of AdamW (Loshchilov and Hutter 2019) over minibatches, ``order (steps, batch)``."""

    def loss(weights: Weights, rows: Any) -> Any:
        return ((bound.outputs(weights, index[rows]) - labels[rows]) ** 2).mean()

    def step(state: Any, given: Any) -> Any:
        weights, moments = state
        rows, rate = given
        value, slope = jax.value_and_grad(loss)(weights, rows)
        change, moments = optax.adamw(rate, weight_decay=decay).update(slope, moments, weights)
        return (optax.apply_updates(weights, change), moments), value

    return jax.lax.scan(step, (weights, moments), (order, rates))


@partial(jax.jit, static_argnums=0)
def _predicted(bound: BoundExtensive, weights: Weights, index: Any) -> Any:
    return bound.outputs(weights, index)


@partial(jax.jit, static_argnums=0)
def _pooled(bound: BoundExtensive, weights: Weights, index: Any) -> Any:
    """What the output layer acts on: features summed over tiles, or of every tile where each has its own output."""
    features = bound.features(weights, index)
    return features.reshape(len(index), -1) if bound.model.site_aware else features.sum(1)


def predicted(bound: BoundExtensive, weights: Weights, index: np.ndarray) -> np.ndarray:
    """Outputs ``(row, outputs)`` of a network for states as value indices ``(row, n_sites)``."""
    traced = {name: jnp.asarray(value) for name, value in weights.items()}
    return np.concatenate([np.asarray(_predicted(bound, traced, piece), float) for piece in _pieces(index)])


def epoch_seconds(bound: BoundExtensive, rows: int, held: int) -> float:
    """CPU seconds of an epoch of steps over `rows` and an evaluation of those held out, as XLA counts operations of the network.

    nan where JAX works elsewhere than on a CPU: how much of a GPU a network fills no count of operations knows.
    """
    weights = {name: jnp.asarray(value) for name, value in bound.start(0).items()}
    states = jax.ShapeDtypeStruct((_FEW, int(np.prod(bound.shape))), jnp.int8)
    counted = _predicted.lower(bound, weights, states).cost_analysis()
    if jax.default_backend() != "cpu" or not counted:
        return float("nan")
    return float(_OPERATION * counted["flops"] / _FEW * (_BACK * rows + held))


def _pieces(index: np.ndarray) -> list[Any]:
    return [jnp.asarray(index[start : start + 4096]) for start in range(0, len(index), 4096)]


def regress(
    bound: BoundExtensive,
    index: np.ndarray,
    labels: np.ndarray,
    held: np.ndarray,
    settings: Training,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Regression:
    """Fit fields, pairs and a network to labels ``(row, outputs)`` of mean zero, the rows `held` out of it.

    Fields and pairs first, by least squares; the network on what they leave, by AdamW with half a cosine of learning rates.
    Its output layer, linear in its weights, is at last solved for, and kept if the rows held out agree; so is the network
    itself. Non-finite losses stop the training at the best epoch so far; before there is one they are an error.
    """
    linear: Weights = {}
    spread = _rms(labels[held])
    if bound.model.pairs:
        linear = _pairs(bound, index, labels, held)
        labels = labels - predicted(bound, {**_silent(bound, seed), **linear}, index)
    constant = labels[~held].mean(0)  # of the linear part: what it predicts on average
    labels = labels - constant
    alone = _rms(labels[held])
    if alone < _EXACT * spread:
        silent = _shifted(bound, {**_silent(bound, seed), **linear}, constant)
        return Regression(silent, np.array([alone]), np.array([alone]), 0, alone, alone, False)
    learner = _Learner(bound, index, labels, held, settings, seed)
    budget = Budget(settings.epochs, settings.learning_rate, patience=settings.patience, seconds=settings.seconds)
    history = run(learner, budget, checkpoint=checkpoint, label="regression")
    weights, error = learner.in_units_of_the_labels(), history.heldout[history.best - 1]
    polished = _polished(bound, weights, index, labels, held)
    reached = _rms(predicted(bound, polished, index[held]) - labels[held])
    weights, error = (polished, reached) if reached < error else (weights, error)
    network = error < _GAIN * alone
    weights, error = (weights, error) if network else (_silent(bound, seed), alone)
    curves = np.array(history.train), np.array(history.heldout)
    weights = _shifted(bound, {**weights, **linear}, constant)
    return Regression(weights, *curves, history.best - 1, error, alone, network)


class _Learner:
    """A network and its labelled states, as the loop of trainings asks for them."""

    def __init__(
        self, bound: BoundExtensive, index: np.ndarray, labels: np.ndarray, held: np.ndarray, settings: Training, seed: int
    ) -> None:
        self.bound, self.settings, self.generator = bound, settings, np.random.default_rng(seed)
        self.scale = max(float(labels[~held].std()), 1e-12)
        self.there, self.targets = jnp.asarray(index[~held]), jnp.asarray((labels[~held] / self.scale).astype(np.float32))
        self.held, self.wanted = index[held], labels[held]
        self.batch = min(settings.batch, len(self.there))
        self.now: Weights = {name: jnp.asarray(value) for name, value in bound.start(seed).items()}
        self.moments = optax.adamw(0.0).init(self.now)

    def advance(self, pace: Pace, history: History) -> tuple[int, float]:
        rows = len(self.there)
        steps = max(1, rows // self.batch)
        first, by_clock = history.epoch * steps, pace.share(history.epoch)
        shares = [max(by_clock, step / (pace.budget.total * steps)) for step in range(first, first + steps)]
        rates = jnp.asarray([pace.budget.rate_at(share, first + step) for step, share in enumerate(shares)], jnp.float32)
        order = jnp.asarray(self.generator.permutation(rows)[: steps * self.batch].reshape(steps, self.batch))
        decay = self.settings.weight_decay
        state, losses = _epoch(self.bound, self.now, self.moments, self.there, self.targets, order, rates, decay)
        self.now, self.moments = state
        return 1, self.scale * float(np.sqrt(np.mean(losses)))

    def evaluate(self) -> float:
        return _rms(self.scale * predicted(self.bound, self.now, self.held) - self.wanted)

    def weights(self) -> Weights:
        return {name: np.array(value) for name, value in self.now.items()}

    def adopt(self, weights: Weights) -> None:
        self.now = {name: jnp.asarray(value) for name, value in weights.items()}

    def state(self) -> Weights:
        moments = {f"adam/{number}": np.array(leaf) for number, leaf in enumerate(jax.tree.leaves(self.moments))}
        generator = np.asarray(json.dumps(self.generator.bit_generator.state))
        return {"generator": generator, **moments, **{f"now/{name}": value for name, value in self.weights().items()}}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.generator.bit_generator.state = json.loads(str(arrays["generator"]))
        self.adopt({name: arrays[f"now/{name}"] for name in self.now})
        leaves, form = jax.tree.flatten(self.moments)
        self.moments = jax.tree.unflatten(form, [jnp.asarray(arrays[f"adam/{number}"]) for number in range(len(leaves))])

    def told(self, history: History) -> str:
        return f"error {history.heldout[-1]:.4g} held out, epoch {history.epoch}/{self.settings.epochs}"

    def hopeless(self) -> str:
        return (
            f"the training of an extensive network diverged at once (learning_rate={self.settings.learning_rate:g}): lower "
            "Training(learning_rate=...)."
        )

    def in_units_of_the_labels(self) -> Weights:
        """The weights, what emits scaled from unit variance."""
        last = len(self.bound.model.hidden)
        emitting = (f"matrix_{last}", f"offset_{last}", "readout")
        return {name: np.asarray(value, float) * (self.scale if name in emitting else 1.0) for name, value in self.now.items()}


def _silent(bound: BoundExtensive, seed: int) -> Weights:
    """A network whose output is zero."""
    weights = bound.start(seed)
    last = len(bound.model.hidden)
    return {**weights, f"matrix_{last}": 0 * weights[f"matrix_{last}"]}


def _shifted(bound: BoundExtensive, weights: Weights, constant: np.ndarray) -> Weights:
    """`weights` with a constant added to the sum over tiles."""
    name = f"offset_{len(bound.model.hidden)}"
    return {**weights, name: weights[name] + constant / len(bound.tile_sites)}


def _pairs(bound: BoundExtensive, index: np.ndarray, labels: np.ndarray, held: np.ndarray) -> Weights:
    """Fields and pair strengths of least squares, as weights of ε."""
    tiles, width = len(bound.tile_sites), bound.start(0)["matrix_0"].shape[0]
    chosen = np.flatnonzero(~held)[:_SOLVE_ROWS]
    upper = np.triu_indices(width, 1)
    if bound.model.site_aware:
        components = width // bound.tile_sites.shape[1]
        place = (bound.tile_sites[:, :, None] * components + np.arange(components)).reshape(tiles, -1)
        codes = np.stack([np.minimum(place[:, upper[0]], place[:, upper[1]]), np.maximum(place[:, upper[0]], place[:, upper[1]])], -1)
        _, first = np.unique(codes.reshape(-1, 2), axis=0, return_index=True)  # each pair of sites in one of its tiles
        _, single = np.unique(place, return_index=True)
        where, which = np.divmod(first, len(upper[0]))
        alone = np.divmod(single, width)

    def columns(piece: Any) -> np.ndarray:
        shown = np.asarray(bound.shown(piece), float)
        if not bound.model.site_aware:
            products = np.einsum("bti,btj->bij", shown, shown, optimize=True)[:, upper[0], upper[1]]
            return np.concatenate([products, shown.sum(1)], 1)
        products = shown[:, where, upper[0][which]] * shown[:, where, upper[1][which]]
        return np.concatenate([products, shown[:, alone[0], alone[1]]], 1)

    design = np.concatenate([columns(piece) for piece in _pieces(index[chosen])])
    if "z2" in bound.model.symmetry:
        design[:, -(len(alone[0]) if bound.model.site_aware else width) :] = 0
    solution = _least_squares(design, labels[chosen])[0]
    outputs = labels.shape[1]
    if not bound.model.site_aware:
        pairs, field = np.zeros((width, width, outputs)), solution[len(upper[0]) :]
        pairs[upper] = solution[: len(upper[0])]
        return {"pairs": pairs, "field": field}
    pairs, field = np.zeros((tiles, width, width, outputs)), np.zeros((tiles, width, outputs))
    pairs[where, upper[0][which], upper[1][which]] = solution[: len(first)]
    field[alone] = solution[len(first) :]
    return {"pairs": pairs, "field": field}


def _least_squares(design: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients for centred columns and targets (a whisker of ridge: overlapping tiles repeat columns), and column means."""
    mean = design.mean(0)
    centred = design - mean
    normal = centred.T @ centred
    ridge = _RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
    return np.linalg.solve(normal + ridge, centred.T @ (targets - targets.mean(0))), mean


_SOLVE_ROWS = 40_000  # of linear systems: some seconds with a thousand columns
_RIDGE = 1e-7
_EXACT = 1e-4  # held-out error over the spread of labels below which nothing is left for a network
_GAIN = 0.99  # error with the network over that without, above which it is left out


def _polished(bound: BoundExtensive, weights: Weights, index: np.ndarray, labels: np.ndarray, held: np.ndarray) -> Weights:
    """`weights` with the output layer of least squares, on rows that were trained on."""
    chosen = np.flatnonzero(~held)[:_SOLVE_ROWS]
    traced = {name: jnp.asarray(value, jnp.float32) for name, value in weights.items()}
    features = np.concatenate([np.asarray(_pooled(bound, traced, piece), float) for piece in _pieces(index[chosen])])
    solution, mean = _least_squares(features, labels[chosen])
    last, tiles = len(bound.model.hidden), len(bound.tile_sites)
    changed = dict(weights)
    if bound.model.site_aware:
        changed["readout"] = solution.reshape(tiles, -1, bound.model.outputs)
        changed[f"matrix_{last}"] = np.zeros_like(weights[f"matrix_{last}"])
    else:
        changed[f"matrix_{last}"] = solution
    changed[f"offset_{last}"] = (labels[chosen].mean(0) - mean @ solution) / tiles
    return changed


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
