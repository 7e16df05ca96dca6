"""The energy, learned from temperatures alone: what tells neighbouring temperatures apart.

A microstate of two temperatures belongs to the second with log-odds c − (β₂ − β₁)E whatever the density of states is. So one function E
of microstates, the same for all temperatures and, site by site, for all sizes, is a logistic regression with an intercept of every pair of
neighbours. It is fitted on sums over the lattice: of what could order at a site (a field), of its squares and fourth powers, and of
products of sites that are at most two steps apart. The Fisher information of β is the variance of E at each temperature: of n
microstates it is known to √(2/n), where the distance of two neighbours' means, which is the other way to it without an energy, is a small
difference of large numbers.
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.special

from hamlearn.diagnostics.phases.samples import Sample
from hamlearn.errors import HamlearnError

_REACH = 2  # steps along axes
_STEPS = 50
_TINY = 1e-9  # relative: terms that vary less than this never vary


def learned(samples: list[Sample], seen: list[np.ndarray] | None = None) -> list[np.ndarray]:
    """E of every microstate of every size, ``(k, chain, draw)``, up to a constant; learned from those `seen`, masks ``(chain, draw)``.

    Raises
    ------
    HamlearnError
        If no sum over the lattice differs from one temperature to the next.
    """
    sums = [_sums(one) for one in samples]
    flat = np.concatenate([one.reshape(-1, one.shape[-1]) for one in sums])
    kept = flat.std(0) > _TINY * (1 + np.abs(flat).mean(0))
    if not kept.any():
        raise HamlearnError(
            "no sum over the lattice ever changes, of sites or of products of near sites: there is no energy to be learned."
        )
    # Terms that depend on each other linearly (products at a fixed sum of spins) are one: directions without variance are left out.
    values, vectors = np.linalg.eigh(np.cov((flat[:, kept] / flat[:, kept].std(0)).T).reshape(kept.sum(), kept.sum()))
    basis = vectors[:, values > _TINY * values.max()] / flat[:, kept].std(0)[:, None]
    terms = [one[..., kept] @ basis for one in sums]
    weights = _fit(samples, terms if seen is None else [one[:, mask] for one, mask in zip(terms, seen, strict=True)])
    return [one @ weights for one in terms]


def _sums(sample: Sample) -> np.ndarray:
    """Sums over the lattice of every microstate ``(k, chain, draw, term)``."""
    dimension, rows = len(sample.shape), []
    axes = tuple(range(1, dimension + 1))
    for field in sample.fields():
        power = (field**2).sum(-1)
        found = [field.sum(axes), power.sum(axes)[:, None], (power**2).sum(axes)[:, None]]
        for step in _displacements(dimension):
            if max(map(abs, step)) * 2 <= sample.size:
                found.append((field * np.roll(field, step, axes)).sum((*axes, -1))[:, None])
        rows.append(np.concatenate(found, 1))
    return np.concatenate(rows).reshape(*sample.states.shape[:3], -1)


def _displacements(dimension: int) -> list[tuple[int, ...]]:
    """Pairs of sites at most two steps apart, one of each pair of opposite ones.

    Examples
    --------
    >>> _displacements(1)
    [(1,), (2,)]
    >>> len(_displacements(2))
    6
    """
    every = itertools.product(range(-_REACH, _REACH + 1), repeat=dimension)
    return [one for one in every if 0 < sum(map(abs, one)) <= _REACH and one > (0,) * dimension]


def _fit(samples: list[Sample], terms: list[np.ndarray]) -> np.ndarray:
    """Weights of the terms: the logistic regression of all pairs of neighbouring temperatures, by Newton's method."""
    pairs = []
    for sample, own in zip(samples, terms, strict=True):
        for k in range(len(sample.betas) - 1):
            rows = own[k : k + 2].reshape(2, -1, own.shape[-1])
            mean = rows.mean((0, 1))
            pairs.append((np.concatenate(list(rows - mean)), float(np.diff(sample.betas[k : k + 2])[0]), rows.shape[1]))
    size, weights, offsets = terms[0].shape[-1], np.zeros(terms[0].shape[-1]), np.zeros(len(pairs))
    for _ in range(_STEPS):
        gradient, hessian = np.zeros(size + len(pairs)), 1e-9 * np.eye(size + len(pairs))
        for k, (rows, step, half) in enumerate(pairs):
            second = scipy.special.expit(offsets[k] - step * (rows @ weights))
            missing, spread = np.repeat([0.0, 1.0], half) - second, second * (1 - second)
            gradient[:size] -= step * (missing @ rows)
            gradient[size + k] = missing.sum()
            hessian[:size, :size] += step**2 * (rows.T * spread) @ rows
            hessian[size + k, size + k] += spread.sum()
            hessian[:size, size + k] = hessian[size + k, :size] = -step * (spread @ rows)
        move = np.linalg.solve(hessian, gradient)
        # A logistic regression from zero can overshoot where pairs are almost apart: a bounded step cannot.
        move *= min(1.0, 5.0 / max(np.abs(move[size:]).max(), 1e-12), _bound(pairs, move[:size]))
        weights, offsets = weights + move[:size], offsets + move[size:]
        if np.abs(move).max() < 1e-8 * (1 + np.abs(weights).max()):
            break
    return weights


def _bound(pairs: list[tuple[np.ndarray, float, int]], move: np.ndarray) -> float:
    """The share of a step that changes no log-odds by more than 5 standard deviations' worth."""
    largest = max(step * float((rows @ move).std()) for rows, step, _ in pairs)
    return 5.0 / max(largest, 1e-12)
