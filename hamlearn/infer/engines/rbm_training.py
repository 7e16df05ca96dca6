"""Training of restricted Boltzmann machines in JAX: gradients by chains from the data, by chains that are kept, or by a ladder of them.

Gradients are centred (Melchior, Fischer and Wiskott, JMLR 17, 99 (2016)) and followed by Adam. Chains that are kept are exchanged with
those of weaker machines (Desjardins et al., AISTATS 2010), or carry the weights of annealed importance sampling along the training
(Carbone, Hua, Coste and Vanden-Eijnden, NeurIPS 2023): they are behind the machine, and modes between which they never move would keep the
shares that they once had. What is held out is watched by its pseudo-likelihood, which is exact and needs no log Z.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from hamlearn import memory
from hamlearn.checkpoint import Checkpoint
from hamlearn.infer.engines.training_loop import Budget, History, Pace, run
from hamlearn.infer.training import Training
from hamlearn.models.rbm import RBM
from hamlearn.systems.sampling.block_gibbs import Layer, given_units, one_hot
from hamlearn.systems.sampling.line import Line
from hamlearn.systems.sampling.replicas import Replicas, attempt
from hamlearn.systems.sampling.walkers import Walkers, resampled, reweighted, swept

_RUNGS = 10  # of the ladder on which chains are tempered
_START = 0.2  # standard deviation of the first weights: hidden units that start alike stay alike for long
_CLIPPED = 1e-3  # frequencies of values that the first machine gives, at least
_FEWEST = 100  # chains that are kept
_JUDGED = 1000  # rows, of each kind, that the pseudo-likelihood is computed of after every epoch
_PER_STEP = 5e-4  # CPU seconds of a gradient step, however small the machine
_PER_UNIT = 1.1e-9  # CPU seconds of a weight in one sweep of a walker: default machines on 8×8


class Form(NamedTuple):
    """What is compiled in: the gradient's chains, their sweeps, and whether gradients are centred."""

    chains: str
    steps: int
    centred: bool


@dataclass(frozen=True, eq=False)
class Machine:
    """A trained machine and its history.

    Attributes
    ----------
    line : Line
        From independent sites with the frequencies of the data to the machine: its units are in {0, 1}, the first value of every site the
        reference.
    history : History
        −ln of the pseudo-likelihood, per site, of rows that were trained on and of held-out ones.
    """

    line: Line
    history: History


def fit(
    model: RBM,
    q: int,
    train: np.ndarray,
    weight: np.ndarray | None,
    heldout: np.ndarray,
    held_weight: np.ndarray,
    settings: Training,
    seed: int,
    checkpoint: Checkpoint | None = None,
    label: str = "training",
) -> Machine:
    """Maximum likelihood by stochastic gradients.

    Parameters
    ----------
    model : RBM
    q : int
        Values of a site.
    train, heldout : array of int8 (rows, n)
        Value indices.
    weight : array (rows,), optional
        How often each row is trained on, relative to the others.
    held_weight : array (rows,)
        How much each counts that is held out.
    settings : Training
        Epochs, batch, learning rate, patience, seconds and weight decay.
    seed : int
    checkpoint : Checkpoint, optional
    label : str
        What the progress bar says.
    """
    learner = _Learner(model, q, train, weight, heldout, held_weight, settings, seed)
    budget = Budget(settings.epochs, settings.learning_rate, seconds=settings.seconds)  # the latest machine is kept
    history = run(learner, budget, checkpoint=checkpoint, label=label)
    found = learner.weights()
    n, m = train.shape[1], model.hidden
    shape = {"alone": (n, q - 1), "visible": (n, q - 1), "hidden": (m,), "weights": (n, q - 1, m)}
    return Machine(Line(**{name: np.asarray(found[name], float).reshape(size) for name, size in shape.items()}), history)


def epoch_seconds(model: RBM, q: int, sites: int, rows: int, batch: int) -> float:
    """CPU seconds of an epoch, about: sweeps of all chains."""
    weights, sweeps = sites * (q - 1) * model.hidden, model.steps + (_RUNGS // 2 if model.chains == "tempered" else 0)
    judged = 2 * _JUDGED * q / (q - 1)
    return _PER_UNIT * weights * (rows * (sweeps + 2) + judged) + _PER_STEP * max(1, rows // batch)


class _Learner:
    """A machine and its data, as the loop of trainings asks for them."""

    def __init__(
        self,
        model: RBM,
        q: int,
        train: np.ndarray,
        weight: np.ndarray | None,
        heldout: np.ndarray,
        held_weight: np.ndarray,
        settings: Training,
        seed: int,
    ) -> None:
        self.settings, self.form = settings, Form(model.chains, model.steps, model.centred)
        self.generator = np.random.default_rng(seed)
        self.there, self.held = jnp.asarray(train, jnp.int8), jnp.asarray(heldout, jnp.int8)
        self.held, self.held_weight = self.held[:_JUDGED], held_weight[:_JUDGED]
        self.share = None if weight is None or not np.ptp(weight) else weight / weight.sum()
        n, self.sites = train.shape[1], train.shape[1]
        # Weights, their start, their gradient and two moments of it, in single precision.
        size = 20 * n * (q - 1) * int(model.hidden)
        memory.require(size, f"{model.hidden} hidden units on {n} sites and their training", "Ask for a smaller hidden=.")
        self.batch = min(settings.batch, len(train))
        frequency = np.stack([np.average(train == value, axis=0, weights=weight) for value in range(q)], -1).clip(_CLIPPED)
        odds = np.log(frequency[:, 1:] / frequency[:, :1]).astype(np.float32)
        first = Layer(odds, np.zeros(model.hidden, np.float32), np.zeros((n * (q - 1), model.hidden), np.float32))
        start = self.generator.normal(scale=_START, size=first.weights.shape).astype(np.float32)
        self.now: Any = first._replace(weights=start)
        self.moments = _adam(0.0, 0.0).init(self.now)
        key = np.random.SeedSequence([seed, 1]).generate_state(2, np.uint32)
        key, values = _independent(key, np.zeros((max(self.batch, _FEWEST), model.hidden), np.float32), first)
        lead = (1, len(values))
        self.chains: Any = Walkers(key, values[None], jnp.zeros(lead, jnp.float32), jnp.zeros(1, jnp.float32))
        self.chains = _followed(self.chains, first, self.now)
        self.alone, below = odds, _RUNGS - 1 if model.chains == "tempered" else 0
        self.ladder: Any = jnp.broadcast_to(values, (below, *values.shape))

    def advance(self, pace: Pace, history: History) -> tuple[int, float]:
        rows = len(self.there)
        steps = max(1, rows // self.batch)
        done, by_clock = history.epoch * steps, pace.share(history.epoch)
        shares = [max(by_clock, step / (pace.budget.total * steps)) for step in range(done, done + steps)]
        rates = jnp.asarray([pace.budget.rate_at(share, done + step) for step, share in enumerate(shares)], jnp.float32)
        asked = steps * self.batch
        order = self.generator.permutation(rows)[:asked] if self.share is None else self.generator.choice(rows, asked, p=self.share)
        options = jnp.asarray(order.reshape(steps, self.batch)), rates, self.settings.weight_decay, self.alone
        state = self.now, self.moments, self.chains, self.ladder
        self.now, self.moments, self.chains, self.ladder = _epoch(state, self.there, *options, form=self.form)
        return 1, self._loss(self.there[order[: len(self.held)]], None)  # rows that were just trained on

    def evaluate(self) -> float:
        return self._loss(self.held, self.held_weight)

    def weights(self) -> dict[str, np.ndarray]:
        return {name: np.array(getattr(self.now, name)) for name in Layer._fields} | {"alone": self.alone}

    def adopt(self, weights: Mapping[str, np.ndarray]) -> None:
        self.now = Layer(*(np.asarray(weights[name]) for name in Layer._fields))

    def state(self) -> dict[str, np.ndarray]:
        moments = {f"adam/{number}": np.array(leaf) for number, leaf in enumerate(jax.tree.leaves(self.moments))}
        chains = {f"chains/{name}": np.array(getattr(self.chains, name)) for name in Walkers._fields}
        own = {"generator": np.asarray(json.dumps(self.generator.bit_generator.state)), "ladder": np.array(self.ladder)}
        return own | moments | chains | {f"now/{name}": value for name, value in self.weights().items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.generator.bit_generator.state = json.loads(str(arrays["generator"]))
        self.adopt({name.removeprefix("now/"): value for name, value in arrays.items() if name.startswith("now/")})
        self.ladder = jnp.asarray(arrays["ladder"])
        self.chains = Walkers(*(jnp.asarray(arrays[f"chains/{name}"]) for name in Walkers._fields))
        leaves, form = jax.tree.flatten(self.moments)
        self.moments = jax.tree.unflatten(form, [jnp.asarray(arrays[f"adam/{number}"]) for number in range(len(leaves))])

    def told(self, history: History) -> str:
        return f"pseudo-likelihood {-history.heldout[-1]:.4f} per site held out, epoch {history.epoch}/{self.settings.epochs}"

    def hopeless(self) -> str:
        return (
            f"the training of a restricted Boltzmann machine diverged at once (learning_rate={self.settings.learning_rate:g}): lower "
            "Training(learning_rate=...)."
        )

    def _loss(self, values: Any, weight: np.ndarray | None) -> float:
        return float(-np.average(np.asarray(_pseudo(values, self.now), float), weights=weight))


def _adam(rate: Any, decay: Any) -> optax.GradientTransformation:
    """Adam, with a decay of weights and none of biases."""
    return optax.adamw(rate, weight_decay=decay, mask=Layer(False, False, True))


_independent = jax.jit(given_units)


@jax.jit
def _followed(chains: Walkers, here: Layer, there: Layer) -> Walkers:
    """Chains of one machine as those of the next, by their weights."""
    return resampled(reweighted(chains, here, there))


@jax.jit
def _pseudo(values: Any, layer: Layer) -> Any:
    """Mean over sites of ln p of a site given all others, of value indices ``(row, n)``, shape ``(row,)``."""
    n, others = layer.visible.shape
    field = one_hot(values, layer) @ layer.weights + layer.hidden
    of_site = layer.weights.reshape(n, others, -1)
    zero = jnp.zeros((n, 1, of_site.shape[-1]), of_site.dtype)
    weights, bias = jnp.concatenate([zero, of_site], 1), jnp.concatenate([jnp.zeros((n, 1)), layer.visible], 1)

    def one(site: Any) -> Any:
        own, w = values[:, site].astype(jnp.int32), weights[site]
        without = field - w[own]
        logits = bias[site] + jax.nn.softplus(without[:, None] + w).sum(-1)
        return jnp.take_along_axis(jax.nn.log_softmax(logits), own[:, None], 1)[:, 0]

    return lax.map(one, jnp.arange(n)).mean(0)


@functools.partial(jax.jit, static_argnames=("form",))
def _epoch(state: Any, rows: Any, order: Any, rates: Any, decay: Any, alone: Any, *, form: Form) -> Any:
    """Gradient steps over minibatches, ``order (steps, batch)``."""

    def step(state: Any, given: Any) -> Any:
        now, moments, chains, ladder = state
        chosen, rate, number = given
        batch = rows[chosen]
        key, drawn = swept(chains.key, batch if form.chains == "data" else chains.values[0], now, form.steps)
        if form.chains == "tempered":
            key, ladder, drawn = _exchanged(key, ladder, drawn, now, alone, number % 2)
        chains = chains._replace(key=key) if form.chains == "data" else chains._replace(key=key, values=drawn[None])
        share = jax.nn.softmax(chains.log_weights[0]) if form.chains == "persistent" else jnp.full(len(drawn), 1 / len(drawn))
        slope, means = _gradient(now, batch, drawn, share, centred=form.centred)
        change, moments = _adam(rate, decay).update(slope, moments, now)
        visible = change.visible - (change.weights @ means[1]).reshape(change.visible.shape)
        new = optax.apply_updates(now, Layer(visible, change.hidden - means[0] @ change.weights, change.weights))
        return (new, moments, _followed(chains, now, new) if form.chains == "persistent" else chains, ladder), None

    state, _ = lax.scan(step, state, (order, rates, jnp.arange(len(order))))
    return state


def _exchanged(key: Any, ladder: Any, drawn: Any, now: Layer, alone: Any, parity: Any) -> tuple[Any, Any, Any]:
    """A sweep of chains ``(rung, chain, n)`` of machines on the line to the present one, and exchanges of pairs of one parity."""
    place = jnp.linspace(0.0, 1.0, _RUNGS)[:, None, None]
    layers = Layer((1 - place) * alone + place * now.visible, place[:, 0] * now.hidden, place * now.weights)
    every = Replicas(key, jnp.concatenate([ladder, drawn[None]]), jnp.zeros((len(drawn), _RUNGS), jnp.int32))
    every, _, _ = attempt(every, layers, parity)
    return every.key, every.values[:-1], every.values[-1]


def _gradient(now: Layer, batch: Any, drawn: Any, share: Any, *, centred: bool) -> tuple[Layer, tuple[Any, Any]]:
    """Of −ln p, means under the machine less those of the data, and the centres of visible and hidden units.

    It is that of the machine whose units have their means over the data taken from them. Adam, which knows no other scale than each
    number's own, has to step in these coordinates: the biases then follow the weights.
    """
    seen, made = one_hot(batch, now), one_hot(drawn, now)
    active = lambda shown: jax.nn.sigmoid(shown @ now.weights + now.hidden)
    hidden_seen, hidden_made = active(seen), active(made)
    means = seen.mean(0), hidden_seen.mean(0)
    gone = share @ made - means[0], share @ hidden_made - means[1]
    zero = means if centred else (jnp.zeros_like(means[0]), jnp.zeros_like(means[1]))
    product = lambda shown, hidden, share: ((shown - zero[0]) * share).T @ (hidden - zero[1])
    weights = product(made, hidden_made, share[:, None]) - product(seen, hidden_seen, 1 / len(seen))
    return Layer(gone[0].reshape(now.visible.shape), gone[1], weights), zero
