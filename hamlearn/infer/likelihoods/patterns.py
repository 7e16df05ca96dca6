"""Composite likelihoods on sparse graphs, from counts of local patterns.

The data enter only through how often every site was seen with every pattern of its neighbours: at most q^(d+1) counts
a site, and no more than microstates. They are counted once; afterwards a gradient costs the same for 10³ and 10⁸ microstates.

Of microstates with missing cells every site has the rows where it and all its neighbours were observed. Where cells are missing whatever
their values are, these are conditionals as good as any: the objective stays consistent, and rows' scores are zero where nothing was seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hamlearn.infer.likelihoods import conditionals
from hamlearn.infer.likelihoods.base import TRANSCENDENTAL, Searched, padded
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings
from hamlearn.spaces.extents import rooms

_CHUNK = 1 << 20  # rows coded at a time: bounds memory, not results
_TABLE = 1e7  # patterns that a table holds; more are sorted


class PatternLikelihood(Searched):
    """Pseudo-likelihood or screening from pattern counts; see :class:`~hamlearn.infer.likelihoods.base.Likelihood`.

    Arrays are stacked over sites and padded: design ``(site, pattern, feature)`` with β folded in (for the
    pseudo-likelihood of q > 2 states ``(site, pattern, q, feature)``, relative to the observed value), counts
    ``(site, pattern)``, index of each feature's parameter ``(site, feature)`` where ``n_params`` marks padding.
    """

    composite = True

    def __init__(self, bound: BoundCouplings, parts: Sequence[Observations], name: str) -> None:
        self.bound, self.parts, self.name = bound, parts, name
        self._sites = conditionals.neighbour_lists(bound)
        self._room = np.array(rooms(bound.space.extent, bound.lattice.n_sites), np.int64)
        per_site = [self._count(site) for site in range(bound.lattice.n_sites)]
        n_patterns = max(len(counts) for _, counts, _ in per_site)
        n_features = max(design.shape[-1] for design, _, _ in per_site)
        middle = per_site[0][0].shape[1:-1]
        self.design = np.zeros((len(per_site), n_patterns, *middle, n_features))
        self.counts = np.zeros((len(per_site), n_patterns))
        self.index = np.full((len(per_site), n_features), bound.n_params)
        for site, (design, counts, index) in enumerate(per_site):
            self.design[site, : len(counts), ..., : len(index)] = design
            self.counts[site, : len(counts)] = counts
            self.index[site, : len(index)] = index
        self.multiclass = bool(middle)
        self.floor = np.zeros((len(per_site), self.bound.space.q)) if bound.floor is None else bound.floor

    @property
    def operations(self) -> float:
        """Operations of one value and gradient."""
        values = self.counts.size * (self.bound.space.q if self.multiclass else 1)
        return TRANSCENDENTAL * values + 4.0 * self.design.size

    def _count(self, site: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        neighbours, bonds, _ = self._sites[site]
        columns = np.concatenate([[site], neighbours])
        place, sizes = self._code(columns)
        designs, counts = [], []
        for part in self.parts:
            states, weight = part.gathered
            if part.gaps:
                known = (states[:, columns] >= 0).all(1)
                states, weight = states[known], weight[known]
            seen, total = _counted(states, weight, columns, place, math.prod(sizes.tolist()))
            pattern = (seen[:, None] // place) % sizes
            designs.append(part.beta * self._design(site, pattern[:, 0], pattern[:, 1:]))
            counts.append(total)
        return np.concatenate(designs), np.concatenate(counts), conditionals.parameter_index(self.bound, site, bonds)

    def _code(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the state of every one of these sites counts in the code of a pattern, and how many it has room for."""
        sizes = self._room[columns]
        return np.append(1, np.cumprod(sizes[:-1])), sizes

    def _design(self, site: int, observed: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
        _, bonds, first = self._sites[site]
        every = conditionals.features(self.bound, site, bonds, neighbours, first)
        if self.name == "pseudo" and self.bound.space.q > 2:
            return every - np.take_along_axis(every, observed[:, None, None], 1)
        return conditionals.centred(every, observed)

    def _local(self, theta: np.ndarray) -> np.ndarray:
        return np.append(theta, 0.0)[self.index]

    def _scatter(self, values: np.ndarray) -> np.ndarray:
        p = self.bound.n_params
        return np.bincount(self.index.ravel(), weights=values.ravel(), minlength=p + 1)[:p]

    def _scatter_matrix(self, blocks: np.ndarray) -> np.ndarray:
        p = self.bound.n_params
        flat_index = (self.index[:, :, None] * (p + 1) + self.index[:, None, :]).ravel()
        return np.bincount(flat_index, weights=blocks.ravel(), minlength=(p + 1) ** 2).reshape(p + 1, p + 1)[:p, :p]

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        local = self._local(theta)
        if self.multiclass:
            probability, log_norm = self._class_probabilities(local)
            slopes = -np.einsum("npak,npa->nk", self.design, probability * self.counts[..., None])
            return -float((self.counts * log_norm).sum()), self._scatter(slopes)
        z = (self.design @ local[:, :, None])[..., 0]
        value, first, _ = conditionals.binary(self.name, z)
        slopes = ((first * self.counts)[:, None, :] @ self.design)[:, 0]
        if self.name == "logrise":
            size, mean = self._screened(value)
            return -float((size * np.log(mean)).sum()), self._scatter(slopes / mean[:, None])
        return float((self.counts * value).sum()), self._scatter(slopes)

    def information(self, theta: np.ndarray, *, rough: bool = False) -> np.ndarray:
        """Minus the Hessian."""
        local = self._local(theta)
        if self.multiclass:
            probability, _ = self._class_probabilities(local)
            weighted = probability * self.counts[..., None]
            mean = np.einsum("npak,npa->npk", self.design, probability)
            blocks = np.einsum("npak,npa,npal->nkl", self.design, weighted, self.design, optimize=True)
            return self._scatter_matrix(blocks - np.einsum("npk,np,npl->nkl", mean, self.counts, mean, optimize=True))
        z = (self.design @ local[:, :, None])[..., 0]
        value, first, second = conditionals.binary(self.name, z)
        blocks = self.design.swapaxes(1, 2) @ ((second * self.counts)[..., None] * self.design)
        if self.name == "logrise":
            size, mean = self._screened(value)
            slope = ((first * self.counts)[:, None, :] @ self.design)[:, 0] / mean[:, None]
            blocks = blocks / mean[:, None, None] - slope[:, :, None] * slope[:, None, :] / size[:, None, None]
        return self._scatter_matrix(blocks)

    def _class_probabilities(self, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.einsum("npak,nk->npa", self.design, local) + self.floor[:, None]
        top = logits.max(-1, keepdims=True)
        weights = np.exp(logits - top)
        total = weights.sum(-1, keepdims=True)
        return weights / total, (top + np.log(total))[..., 0]

    def _screened(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of observations of every site and its mean exp(−z)."""
        size = self.counts.sum(1)
        return size, -(self.counts * value).sum(1) / size

    def row_scores(self, theta: np.ndarray) -> Callable[[Observations, np.ndarray], np.ndarray]:
        """Scores of single rows, from the states themselves."""
        local = self._local(theta)
        norm = np.ones(len(local))
        if self.name == "logrise":
            norm = self._screened(conditionals.binary(self.name, (self.design @ local[:, :, None])[..., 0])[0])[1]

        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            result = np.zeros((len(states), self.bound.n_params))
            for site in range(len(self._sites)):
                index = self.index[site][self.index[site] < self.bound.n_params]
                code, table = self._score_table(part.beta, site, local[site, : len(index)], states)
                table /= norm[site]
                for k, parameter in enumerate(index):
                    result[:, parameter] += table[code, k]
            return result

        return scores

    def _score_table(self, beta: float, site: int, local: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row of a table of scores for every state row, and the table ``(pattern, feature)`` of one site; the last is of missing cells."""
        columns = np.concatenate([[site], self._sites[site][0]])
        place, sizes = self._code(columns)
        found, known = states[:, columns], (states[:, columns] >= 0).all(1)
        if not known.all():
            inner, table = self._score_table(beta, site, local, states[known])
            code = np.full(len(states), len(table))
            code[known] = inner
            return code, np.concatenate([table, np.zeros((1, table.shape[1]))])
        seen, code = np.unique(found @ place, return_inverse=True)
        pattern = (seen[:, None] // place) % sizes
        design = beta * self._design(site, pattern[:, 0], pattern[:, 1:])
        if self.multiclass:
            logits = design @ local + self.floor[site]
            weights = np.exp(logits - logits.max(1, keepdims=True))
            return code, -np.einsum("pak,pa->pk", design, weights / weights.sum(1, keepdims=True))
        return code, conditionals.binary(self.name, design @ local)[1][:, None] * design

    def jax_log_density(self) -> tuple[Callable[..., Any], Any]:
        """The same objective for JAX."""
        return _log_density_of(self.name, self.multiclass), (padded(self.design, 1), padded(self.counts, 1), self.index, self.floor)


def _counted(
    states: np.ndarray, weight: np.ndarray, columns: np.ndarray, place: np.ndarray, patterns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the patterns that occur in `columns`, and how often."""
    if patterns > _TABLE:
        seen, where = np.unique(states[:, columns] @ place, return_inverse=True)
        often = np.bincount(where, weights=weight)
        return seen[often > 0], often[often > 0]
    total = np.zeros(patterns)
    for start in range(0, len(states), _CHUNK):
        code = states[start : start + _CHUNK][:, columns] @ place
        total += np.bincount(code, weights=weight[start : start + _CHUNK], minlength=patterns)
    seen = np.flatnonzero(total)
    return seen, total[seen]


@lru_cache(maxsize=8)
def _log_density_of(name: str, multiclass: bool) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def log_density(theta: Any, arrays: Any) -> Any:
        design, counts, index, floor = arrays
        local = jnp.append(theta, 0.0)[index]
        if multiclass:
            return -(counts * jax.nn.logsumexp(jnp.einsum("npak,nk->npa", design, local) + floor[:, None], -1)).sum()
        z = jnp.einsum("npk,nk->np", design, local)
        if name in conditionals.LOGISTIC:
            return (counts * jax.nn.log_sigmoid(2 * z)).sum()
        total = (counts * jnp.exp(-z)).sum(1)
        return -total.sum() if name == "rise" else -(counts.sum(1) * jnp.log(total / counts.sum(1))).sum()

    return log_density
