"""Training of dense networks in JAX: second-order on few tile states, stochastic gradients on many microstates."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from hamlearn.models import dense
from hamlearn.models.extensive import BoundExtensive, Weights
from hamlearn.progress import track


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
def _epoch(bound: BoundExtensive, state: Any, index: Any, labels: Any, order: Any, rates: Any, decay: Any) -> Any:
    """One pass of AdamW (Loshchilov and Hutter 2019) over minibatches, ``order (steps, batch)``."""

    def loss(weights: Weights, rows: Any) -> Any:
        return ((bound.outputs(weights, index[rows]) - labels[rows]) ** 2).mean()

    def step(state: Any, given: Any) -> Any:
        weights, first, second, count = state
        rows, rate = given
        value, slope = jax.value_and_grad(loss)(weights, rows)
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, slope)
        scale = rate * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        weights = jax.tree.map(lambda w, m, v: w * (1 - rate * decay) - scale * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
        return (weights, first, second, count), value

    return jax.lax.scan(step, state, (order, rates))


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


def _pieces(index: np.ndarray) -> list[Any]:
    return [jnp.asarray(index[start : start + 4096]) for start in range(0, len(index), 4096)]


def regress(
    bound: BoundExtensive,
    index: np.ndarray,
    labels: np.ndarray,
    held: np.ndarray,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    patience: int,
    weight_decay: float,
    seed: int,
    seconds: float | None = None,
) -> Regression:
    """Fit fields, pairs and a network to labels ``(row, outputs)`` of mean zero, the rows `held` out of it.

    Fields and pairs first, by least squares; the network on what they leave, by AdamW with half a cosine of learning rates.
    Its output layer, linear in its weights, is at last solved for, and kept if the rows held out agree; so is the network
    itself. Non-finite losses stop the training at the best epoch so far.
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
    generator = np.random.default_rng(seed)
    scale = max(float(labels[~held].std()), 1e-12)
    there, targets = jnp.asarray(index[~held]), jnp.asarray((labels[~held] / scale).astype(np.float32))
    rows, batch = len(there), min(batch, len(there))
    steps = max(1, rows // batch)
    weights: Weights = {name: jnp.asarray(value) for name, value in bound.start(seed).items()}
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, zeros, zeros, jnp.zeros((), jnp.float32))
    best, train, held_out, started = weights, [], [np.inf], time.perf_counter()
    with track(epochs, "regression") as bar:
        for epoch in range(epochs):
            share = (epoch * steps + np.arange(steps)) / (epochs * steps)
            if seconds is not None:
                share = np.maximum(share, min(1.0, (time.perf_counter() - started) / seconds))
            rates = jnp.asarray((learning_rate * (0.01 + 0.99 * (1 + np.cos(np.pi * share)) / 2)).astype(np.float32))
            order = jnp.asarray(generator.permutation(rows)[: steps * batch].reshape(steps, batch))
            state, losses = _epoch(bound, state, there, targets, order, rates, weight_decay)
            train.append(scale * float(np.sqrt(np.mean(losses))))
            error = _rms(scale * predicted(bound, state[0], index[held]) - labels[held])
            if np.isfinite(error) and error < min(held_out):
                best = state[0]
            held_out.append(error)
            bar.advance()
            late = len(held_out) - 1 - int(np.argmin(held_out)) >= patience
            if not np.isfinite(error) or late or (seconds is not None and time.perf_counter() - started > seconds):
                break
    held_out = held_out[1:]
    if not np.isfinite(held_out).any():
        return Regression(best, np.array(train), np.array(held_out), 0, np.inf, alone, False)
    weights = {name: np.asarray(value, float) for name, value in best.items()}
    for name in (f"matrix_{len(bound.model.hidden)}", f"offset_{len(bound.model.hidden)}", "readout"):
        if name in weights:
            weights[name] = weights[name] * scale
    error = float(np.nanmin(held_out))
    polished = _polished(bound, weights, index, labels, held)
    reached = _rms(predicted(bound, polished, index[held]) - labels[held])
    weights, error = (polished, reached) if reached < error else (weights, error)
    network = error < _GAIN * alone
    weights, error = (weights, error) if network else (_silent(bound, seed), alone)
    curves = np.array(train), np.array(held_out)
    weights = _shifted(bound, {**weights, **linear}, constant)
    return Regression(weights, *curves, int(np.nanargmin(held_out)), error, alone, network)


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
