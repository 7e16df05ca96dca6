"""The posterior over the weights of a small restricted Boltzmann machine, by NUTS on its exact likelihood.

Sites and hidden units are ±1 here, θ = (a, d, w) of ln p(σ, h) = a·σ + d·h + σ·w·h − ln Z: priors around zero then know neither which value
of a unit is called the first nor its name. ln Z is a sum over the states of the smaller layer.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from hamlearn.infer.engines import numpyro, numpyro_model
from hamlearn.infer.likelihoods.base import Searched
from hamlearn.infer.settings import NUTS, Drawn
from hamlearn.infer.training import file_of
from hamlearn.models import Normal
from hamlearn.models.base import Block
from hamlearn.models.rbm import RBM

WEIGHT, BIAS = 0.5, 1.0
"""Standard deviations of the priors. One hidden unit with weights w to two sites couples them by ½ ln cosh 2w: 0.22 kT at w = 0.5, 0.66
at 1, from nearly free spins to ordered ones. A bias of 1 makes one value e² times as frequent as the other."""
_STARTS = 4  # of the search for the optimum that a chain starts around
_STEPS = 20  # gradients of a draw, about


@dataclass(frozen=True, eq=False)
class _Unknowns:
    """The blocks of θ."""

    model: RBM
    blocks: tuple[Block, ...]

    @property
    def n_params(self) -> int:
        return self.blocks[-1].stop


class SmallMachine(Searched):
    """The exact likelihood of a machine, as engines ask for it.

    Parameters
    ----------
    model : RBM
    spins : array (rows, n)
        Microstates ±1.
    weight : array (rows,)
        How much every row counts.
    """

    name, composite = "exact", False

    def __init__(self, model: RBM, spins: np.ndarray, weight: np.ndarray) -> None:
        patterns, index = np.unique(spins, axis=0, return_inverse=True)
        self.patterns, self.weight = patterns.astype(float), np.bincount(index.ravel(), weights=weight)
        n, m = spins.shape[1], model.hidden
        self.listed = np.array(list(itertools.product((-1.0, 1.0), repeat=min(n, m))))
        ends = np.cumsum([0, n, m, n * m]).tolist()
        scales = {"visible_bias": BIAS, "hidden_bias": BIAS, "weights": WEIGHT}
        blocks = [Block(name, ends[at], ends[at + 1], Normal(scale)) for at, (name, scale) in enumerate(scales.items())]
        self.bound = _Unknowns(model, tuple(blocks))

    def jax_log_density(self) -> tuple[Any, Any]:
        """A function of θ and the data, and the data."""
        # Rows that count nothing fill up to a power of two: other data then rarely compile anything.
        more = max(64, 2 ** int(np.ceil(np.log2(len(self.patterns))))) - len(self.patterns)
        return _log_likelihood, (np.pad(self.patterns, ((0, more), (0, 0))), np.pad(self.weight, (0, more)), self.listed)

    @property
    def operations(self) -> float:
        """Of a value and its gradient."""
        return 4.0 * (len(self.patterns) + len(self.listed)) * self.bound.n_params


def _log_likelihood(theta: Any, data: Any) -> Any:
    patterns, weight, listed = data
    n = patterns.shape[1]
    m = (theta.shape[0] - n) // (n + 1)
    a, d, w = theta[:n], theta[n : n + m], theta[n + m :].reshape(n, m)
    both = lambda field: jnp.logaddexp(field, -field).sum(-1)  # ln 2cosh, of units that are summed out
    every = listed @ d + both(listed @ w.T + a) if m <= n else listed @ a + both(listed @ w + d)
    return weight @ (patterns @ a + both(patterns @ w + d)) - weight.sum() * jax.nn.logsumexp(every)


def seconds(likelihood: SmallMachine, settings: NUTS) -> float:
    """CPU seconds of :func:`draw`, about."""
    return 2e-9 * likelihood.operations * _STEPS * (settings.draws + settings.warmup) * settings.chains + 8.0


def draw(likelihood: SmallMachine, settings: NUTS, seed: int, checkpoint: str | PathLike[str] | None) -> Drawn:
    """Draws of θ ``(chain, draw, n_params)``: every chain starts around an optimum of its own, with the curvature there for its mass."""
    starts, found = np.random.SeedSequence(seed).generate_state(settings.chains), list[Drawn]()
    for chain, start in enumerate(starts.tolist()):
        centre, covariance = _optimum(likelihood, start)
        file = None if checkpoint is None else file_of(checkpoint, chain, settings.chains)
        found.append(numpyro.run(likelihood, centre, None, replace(settings, chains=1), start, covariance, file))  # type: ignore[arg-type]
    stats = {name: np.concatenate([one.stats[name] for one in found]) for name in found[0].stats}
    return Drawn(np.concatenate([one.theta for one in found]), stats)


def _optimum(likelihood: SmallMachine, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The best of some maxima of the posterior density, and the inverse curvature there."""
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        structure, given = numpyro_model.model(likelihood, np.zeros(likelihood.bound.n_params), None)  # type: ignore[arg-type]
        arrays = numpyro_model.as_jax(given)

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = _slope(jnp.asarray(theta), arrays, structure)
            return float(value), np.asarray(gradient, float)

        starts = rng.normal(scale=WEIGHT, size=(_STARTS, likelihood.bound.n_params))
        ends = [scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}) for start in starts]
        best = np.asarray(min(ends, key=lambda one: one.fun).x)
        scale = np.concatenate([np.full(block.size, block.scale) for block in likelihood.bound.blocks])
        curvature, axes = np.linalg.eigh(np.asarray(_curvature(jnp.asarray(best), arrays, structure)) * np.outer(scale, scale))
    # Between a weight and its negative, which few data do not tell apart, the density is flat or curves upwards, and the curvature at one
    # of them says little: in no direction is more room taken than the prior's.
    root = scale[:, None] * axes / np.sqrt(np.maximum(curvature, 1.0))
    return best, root @ root.T


def _loss(theta: Any, arrays: Any, structure: Any) -> Any:
    return -structure.log_density(theta, arrays)


_slope = jax.jit(jax.value_and_grad(_loss), static_argnums=2)  # compiled once for machines of one size
_curvature = jax.jit(jax.hessian(_loss), static_argnums=2)


def parts(theta: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A ``(..., n)``, d ``(..., m)`` and w ``(..., n, m)`` of θ."""
    m = (theta.shape[-1] - n) // (n + 1)
    return theta[..., :n], theta[..., n : n + m], theta[..., n + m :].reshape(*theta.shape[:-1], n, m)


def in_bits(theta: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """The same machine of units in {0, 1}: ``visible (n, 1)``, ``hidden (m,)`` and ``weights (n, 1, m)``, of one θ."""
    a, d, w = parts(theta, n)
    return {"visible": 2 * (a - w.sum(1))[:, None], "hidden": 2 * (d - w.sum(0)), "weights": 4 * w[:, None]}


def moments(theta: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """⟨σ_i⟩ ``(draw, n)`` and ⟨σ_i σ_j⟩ of pairs i < j ``(draw, n(n−1)/2)`` of machines ``(draw, n_params)``: sums over hidden units."""
    a, d, w = parts(theta, n)
    units = np.array(list(itertools.product((-1.0, 1.0), repeat=d.shape[-1])))
    first, second, (i, j) = np.empty((len(theta), n)), np.empty((len(theta), n * (n - 1) // 2)), np.triu_indices(n, 1)
    for index in range(len(theta)):
        field = units @ w[index].T + a[index]
        log_p = units @ d[index] + np.logaddexp(field, -field).sum(1)
        p, mean = np.exp(log_p - log_p.max()), np.tanh(field)
        p /= p.sum()
        first[index], second[index] = p @ mean, ((mean * p[:, None]).T @ mean)[i, j]
    return first, second


def log_p(theta: np.ndarray, spins: np.ndarray) -> np.ndarray:
    """Ln p ``(draw, row)`` of rows ±1 ``(row, n)`` under machines ``(draw, n_params)``."""
    n = spins.shape[1]
    a, d, w = parts(theta, n)
    units, found = np.array(list(itertools.product((-1.0, 1.0), repeat=d.shape[-1]))), np.empty((len(theta), len(spins)))
    both = lambda field: np.logaddexp(field, -field).sum(-1)
    for index in range(len(theta)):
        every = units @ d[index] + both(units @ w[index].T + a[index])
        found[index] = spins @ a[index] + both(spins @ w[index] + d[index]) - np.logaddexp.reduce(every)
    return found
