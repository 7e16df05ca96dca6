"""Which three sites of all ask most for a term of their own: candidates for score tests that name them.

A sum over many triples drowns the one that interacts. At the optimum the scores of what was fitted add up to nothing, so the score of a
product of three sites needs no projection to be known; that of all triples together are three products of matrices. Only the largest are
tested in full, as the largest of all that there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.stats

from hamlearn.diagnostics.scores import terms as lists
from hamlearn.diagnostics.scores.conditionals import Conditionals
from hamlearn.diagnostics.scores.sums import Rows
from hamlearn.diagnostics.scores.terms import Tables, Terms
from hamlearn.diagnostics.strongest import functions_of
from hamlearn.systems.lattice import Lattice

CANDIDATES = 32
_WORK = 4e9  # multiplications: about a quarter of a second
_WIDEST = 128  # functions of all sites, whose products of three are listed; beyond, only triples along two bonds are looked at
_FEWEST = 100  # rows, for a choice to mean something
_CHUNK = 1 << 20  # numbers held at once


@dataclass(frozen=True, eq=False)
class Candidates:
    """Products of three sites.

    Attributes
    ----------
    terms : Terms
    among : int
        Of how many triples they are the largest.
    degrees : int array (term,)
        Dimensions of the space in which the direction of each was chosen.
    """

    terms: Terms
    among: int
    degrees: np.ndarray


def candidates(model: Conditionals, rows: Sequence[Rows], lattice: Lattice, q: int) -> Candidates | None:
    """The triples with the largest scores, and of more than two states the function of theirs that has it; None where none is listed."""
    n = lattice.n_sites
    if n < 3:
        return None
    width = n * (q - 1)
    kept = int(_WORK / width**3 / len(rows))
    if width > _WIDEST or kept < _FEWEST:
        near = lists.triples(lattice) if q == 2 else np.zeros((0, 3), int)
        return Candidates(Terms(name(q), near), len(near), np.ones(len(near), int)) if len(near) else None
    index = np.concatenate([one.index for one in rows])
    share = np.stack([np.bincount(one, minlength=q) / len(index) for one in index.T])
    functions = np.tile([[-1.0], [1.0]], (n, 1, 1)) if q == 2 else functions_of(share)
    slopes, spread = _slopes(model, rows, functions, kept)
    triples = np.array(list(combinations(range(n), 3)))
    i, j, k = triples.T
    scores = slopes[i, :, j, :, k, :]
    variance = spread[i][:, :, None, None] + spread[j][:, None, :, None] + spread[k][:, None, None, :]
    live = functions.any(1)
    degrees = live.sum(1)[triples].prod(1)
    square = np.divide(scores**2, variance, out=np.zeros_like(scores), where=variance > 0).sum((1, 2, 3))
    unlikely = np.where(degrees > 0, scipy.stats.chi2.logsf(square, np.maximum(degrees, 1)), 0.0)
    best = np.argsort(unlikely, kind="stable")[:CANDIDATES]
    best = best[degrees[best] > 0]
    if not len(best):
        return None
    chosen = triples[best]
    if q == 2:
        return Candidates(Terms(name(q), chosen), math.comb(n, 3), degrees[best])
    direction = scores[best] / np.linalg.norm(scores[best].reshape(len(best), -1), axis=1)[:, None, None, None]
    tables = np.einsum("tabc,txa,tyb,tzc->txyz", direction, *(functions[one] for one in chosen.T), optimize=True)
    return Candidates(Tables(name(q), chosen, tables), math.comb(n, 3), degrees[best])


def name(q: int) -> str:
    """What such products are called."""
    return "product of three spins" if q == 2 else "function of three sites"


def _slopes(model: Conditionals, rows: Sequence[Rows], functions: np.ndarray, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the products of all three functions of sites, and what each function adds to their variance.

    Shapes are ``(site, k) * 3`` and ``(site, k)`` for functions ``(site, state, k)``; of every data set at most `kept` rows, evenly spaced.
    """
    n, _, parts = functions.shape
    width = n * parts
    slopes, spread = np.zeros((width, width * width)), np.zeros((n, parts))
    step = max(_CHUNK // width**2, 16)
    for one in rows:
        some = np.linspace(0, len(one.index) - 1, min(kept, len(one.index))).round().astype(int)
        for start in range(0, len(some), step):
            index = one.index[some[start : start + step]]
            weight = one.weight[some[start : start + step], None, None] * one.beta
            values = functions[np.arange(n), index]
            left = np.empty_like(values)
            for site in range(n):
                logits = -one.beta * model.site(index, site).energy
                probability = np.exp(logits - logits.max(1, keepdims=True))
                probability /= probability.sum(1, keepdims=True)
                mean = probability @ functions[site]
                left[:, site] = values[:, site] - mean
                spread[site] += (weight[:, 0] * one.beta * (probability @ functions[site] ** 2 - mean**2)).sum(0)
            flat = values.reshape(len(index), width)
            pairs = (flat[:, :, None] * flat[:, None, :]).reshape(len(index), -1)
            slopes += (left * weight).reshape(len(index), width).T @ pairs
    single = slopes.reshape(width, width, width)
    whole = single + single.transpose(1, 0, 2) + single.transpose(1, 2, 0)
    return whole.reshape(n, parts, n, parts, n, parts), spread


__all__ = ["CANDIDATES", "Candidates", "candidates", "name"]
