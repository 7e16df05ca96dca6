"""Pseudo-likelihood of real fields: the conditional of one site given its neighbours, by quadrature.

p(x_i | rest) depends on the neighbours through their mean m alone, −ln p = κ u n/2 (x − m)² + v Σ c_p x^p + ln Z(m) with n
neighbours (−κ u n x m where neighbours are multiplied). ln Z(m) is smooth, so the data are compressed once into weights
on a grid of m (six-point Lagrange interpolation); every later value, gradient and NUTS step is independent of the number
of microstates. Consistent; a stand-in for the likelihood (Besag 1975), efficient where score matching is not (fine and coarse
time slices).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods.base import Searched, padded
from hamlearn.infer.observations import Observations
from hamlearn.models.actions import BoundAction, Scales

_PER_WIDTH = 6.0  # grid points per conditional standard deviation, where it is narrowest
_MARGIN = 9.0  # conditional standard deviations beyond the data
_MOST_POINTS = 1500
_STENCIL = np.arange(-2, 4)


@dataclass(frozen=True, eq=False)
class Compressed:
    """The sites of one temperature that have the same number of neighbours.

    Attributes
    ----------
    part : int
        Which data set.
    nodes, weight : array (node,)
        Grid of neighbour means, and how many sites sit there (interpolation weights, so some are negative).
    points : array (point,)
        Quadrature grid of x.
    features : array (n_full, node, point)
        What θ multiplies, at every neighbour mean and x.
    total : array (n_full,)
        The same, summed over the data.
    sites : array of int
        Which sites these are.
    """

    part: int
    nodes: np.ndarray
    weight: np.ndarray
    points: np.ndarray
    features: np.ndarray
    total: np.ndarray
    sites: np.ndarray


class SiteConditionals(Searched):
    """Pseudo-likelihood of a polynomial action; see :class:`~hamlearn.infer.likelihoods.base.Likelihood`.

    `guess` (of score matching) sets the resolution of the quadrature, nothing else.
    """

    name = "pseudo"
    composite = True
    runaway = np.inf  # coefficients may be of any size

    def __init__(self, bound: BoundAction, parts: Sequence[Observations], scales: Sequence[Scales], guess: np.ndarray) -> None:
        if len(bound.links) > 1:
            raise HamlearnError(
                "single-site conditionals treat nearest neighbours that are all alike; with range > 1 or family='thermal' use "
                "likelihood='score'."
            )
        self.bound, self.parts, self.scales = bound, parts, list(scales)
        counts = np.asarray(bound.lattice.degree)
        self.groups = [
            self._compress(index, sites, bound.full(guess)) for index in range(len(parts)) for sites in _by_value(counts) if len(sites)
        ]
        self._counts = counts

    def _features(self, x: np.ndarray, m: np.ndarray, neighbours: int, scales: Scales) -> np.ndarray:
        powers = [scales.v * x**p + 0 * m for p in self.bound.model.powers]
        pair = 0.5 * (x - m) ** 2 if self.bound.model.neighbour == "difference" else -x * m
        return np.stack([scales.u * neighbours * pair, *powers])

    def _means(self, states: np.ndarray) -> np.ndarray:
        """Mean of every site's neighbours, ``(row, n_sites)``."""
        x = states.reshape(-1, *self.bound.shape)
        degree = np.maximum(np.asarray(self.bound.lattice.degree).reshape(self.bound.shape), 1)
        return (x - self.bound._pull(x, 1) / degree).reshape(len(x), -1)

    def _compress(self, index: int, sites: np.ndarray, full: np.ndarray) -> Compressed:
        part, scales = self.parts[index], self.scales[index]
        states, weight = part.states.reshape(-1, part.states.shape[-1]).astype(float), part.weight.reshape(-1)
        neighbours = int(np.asarray(self.bound.lattice.degree)[sites[0]])
        m_all = self._means(states)
        x, m = states[:, sites], m_all[:, sites]
        total = np.array([weight @ row.sum(1) for row in self._features(x, m, neighbours, scales)])
        low, high = float(min(x.min(), m.min())), float(max(x.max(), m.max()))
        stiff = scales.v * _bend(self.bound.model.powers, full[1:], np.linspace(low, high, 201)).max()
        stiff += full[0] * scales.u * neighbours if self.bound.model.neighbour == "difference" else 0.0
        width = min(1.0 / np.sqrt(max(stiff, 1e-12)), 0.5 * (high - low) + 1e-300)
        points = int(np.ceil((high - low + 2 * _MARGIN * width) * _PER_WIDTH / width))
        if points > _MOST_POINTS:
            raise HamlearnError(
                f"the conditionals are {(high - low) / width:.0f} times narrower than the range of the data, too fine for quadrature: "
                "there are outliers, or the spacing is very fine. Use likelihood='score'."
            )
        step = width / _PER_WIDTH
        nodes = low - 4 * step + step * np.arange(int(np.ceil((high - low) / step)) + 9)
        where, share = lagrange(m, nodes)
        grid_weight = np.bincount(where.ravel(), weights=(share * weight[:, None, None]).ravel(), minlength=len(nodes))
        grid = low - _MARGIN * width + step * np.arange(points + 1)
        features = self._features(grid[None, :], nodes[:, None], neighbours, scales)
        return Compressed(index, nodes, grid_weight, grid, features, total, sites)

    def _moments(self, group: Compressed, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log normaliser ``(node,)`` and normalised conditionals ``(node, point)``."""
        logits = -np.tensordot(full, group.features, 1)
        top = logits.max(1, keepdims=True)
        density = np.exp(logits - top)
        norm = density.sum(1, keepdims=True)
        return (top + np.log(norm * (group.points[1] - group.points[0])))[:, 0], density / norm

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        full, value, slope = self.bound.full(theta), 0.0, np.zeros(self.bound.n_full)
        for group in self.groups:
            log_norm, density = self._moments(group, full)
            value -= group.total @ full + group.weight @ log_norm
            slope += np.einsum("g,kgx,gx->k", group.weight, group.features, density, optimize=True) - group.total
        return float(value), slope[self.bound.free]

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian: the conditional covariances of the terms."""
        full, total = self.bound.full(theta), np.zeros((self.bound.n_full,) * 2)
        for group in self.groups:
            density = self._moments(group, full)[1]
            mean = np.einsum("kgx,gx->kg", group.features, density)
            centred = (group.features - mean[..., None]).reshape(len(mean), -1)
            total += (centred * (group.weight[:, None] * density).ravel()) @ centred.T
        return total[self.bound.free, self.bound.free]

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows: expected minus observed terms, summed over sites."""
        full = self.bound.full(theta)
        tables = [np.einsum("kgx,gx->gk", group.features, self._moments(group, full)[1]) for group in self.groups]

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            index = next(k for k, known in enumerate(self.parts) if known is part)
            x, m = states.astype(float), self._means(states)
            found = np.zeros((len(x), self.bound.n_full))
            for group, table in zip(self.groups, tables, strict=True):
                if group.part != index:
                    continue
                neighbours = int(self._counts[group.sites[0]])
                where, share = lagrange(m[:, group.sites], group.nodes)
                for k in range(self.bound.n_full):
                    found[:, k] += (table[:, k][where] * share).sum((-1, -2))
                found -= self._features(x[:, group.sites], m[:, group.sites], neighbours, self.scales[index]).sum(-1).T
            return found[:, self.bound.free]

        return scores

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same objective for JAX."""
        known = self.bound.full(np.zeros(self.bound.n_params))
        groups = [
            (padded(padded(one.features, 2), 1), padded(np.ones(len(one.points))), padded(one.weight), one.total) for one in self.groups
        ]
        return _log_density, (known, groups)


def _log_density(theta: Any, arrays: Any) -> Any:
    import jax
    import jax.numpy as jnp

    known, groups = arrays
    full, value = jnp.concatenate([known[: len(known) - len(theta)], theta]), 0.0  # the unknown coefficients are the last ones
    for features, there, weight, total in groups:
        log_norm = jax.scipy.special.logsumexp(-jnp.tensordot(full, features, 1), axis=1, b=there)
        value -= total @ full + weight @ log_norm
    return value


def lagrange(values: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Six-point Lagrange interpolation on a uniform grid: node indices and weights, both ``(*values.shape, 6)``."""
    position = (values - nodes[0]) / (nodes[1] - nodes[0])
    base = np.clip(np.floor(position).astype(int), 2, len(nodes) - 4)
    t = (position - base)[..., None] - _STENCIL
    weight = np.ones((*values.shape, 6))
    for k in range(6):
        for j in range(6):
            if j != k:
                weight[..., k] *= t[..., j] / (_STENCIL[k] - _STENCIL[j])
    return base[..., None] + _STENCIL, weight


def _bend(powers: tuple[int, ...], c: np.ndarray, x: np.ndarray) -> np.ndarray:
    """V''(x)."""
    return sum((k * p * (p - 1) * x ** max(p - 2, 0) for p, k in zip(powers, c, strict=True)), np.zeros_like(x))


def _by_value(counts: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(counts == value) for value in np.unique(counts)]
