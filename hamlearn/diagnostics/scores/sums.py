"""Scores of test functions at the optimum, summed over blocks of rows, with the fitted directions projected out.

For any function ψ of a microstate, s_ψ(x) = Σ_i [ψ(x) − E(ψ | all sites but i)] has expectation zero under the model: it is
the pseudo-likelihood's score in the direction of a term λψ. At the fitted θ̂ the sum over rows Σ s_ψ is shifted by what the fit
took up of it; the residual Σ s_ψ − G H⁻¹ Σ u (u the scores of the fitted parameters, H their information, G the cross
information Σ Cov(ψ, T | rest)) does not depend on the error of θ̂ to first order (Rao's score test for composite
likelihoods; Kent 1982, Varin, Reid & Firth 2011). It asks for no partition function, no second fit and no simulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse

from hamlearn.diagnostics.scores.conditionals import Conditionals
from hamlearn.diagnostics.scores.terms import Terms
from hamlearn.infer.observations import codes

_CHUNK_VALUES = 1 << 21
_LOOKED_AT = 2000  # rows that say how rare the values are that decide a sum
_BOUNDED = 30.0  # odds of a misread value beyond which they count no more
_TAKEN_UP = 1e-4  # share of a direction's information that must be left by the fitted ones
_ROUNDING = (
    1e-10  # share of its sums of squares, which says the same of a direction whose information is that of another, of misread values
)


@dataclass(frozen=True, eq=False)
class Rows:
    """Microstates at one temperature as the score tests read them.

    Attributes
    ----------
    index : int array (row, n_sites)
        Value indices.
    weight : array (row,)
        How much each counts.
    label : int array (row,)
        Block of each; blocks are independent.
    blocks : int
        Number of blocks.
    beta : float
        Inverse temperature.
    """

    index: np.ndarray
    weight: np.ndarray
    label: np.ndarray
    blocks: int
    beta: float


@dataclass(frozen=True, eq=False)
class Sums:
    """Block sums of score residuals.

    Attributes
    ----------
    blocks : array (block, column)
        Residual scores summed over every block.
    information : array (column,)
        What a unit of each direction adds to the curvature of the log likelihood beyond what was fitted: residual over
        information is the estimated strength.
    alive : bool array (column,)
        Whether the direction is anything but a function of what was fitted.
    contributions : array (column,)
        How many rows would share its variance, did they come as the fitted model has them; inf where that is not asked.
    """

    blocks: np.ndarray
    information: np.ndarray
    alive: np.ndarray
    contributions: np.ndarray

    def only(self, columns: np.ndarray) -> Sums:
        """Some of the columns."""
        return Sums(self.blocks[:, columns], self.information[columns], self.alive[columns], self.contributions[columns])


def residuals(collected: Sequence[Collected], contributions: np.ndarray | None = None) -> Sums:
    """Residual scores of every direction, over the blocks of all temperatures."""
    H, G = sum(one.H for one in collected), sum(one.G for one in collected)
    gain = solve(np.asarray(H), np.asarray(G).T).T
    information = np.asarray(sum(one.variance for one in collected))
    left = information - (gain * G).sum(1)
    blocks = np.concatenate([one.sums - one.scores @ gain.T for one in collected])
    whole = sum((one.sums**2).sum(0) for one in collected)
    alive = (left > _TAKEN_UP * np.maximum(information, 1e-300)) & ((blocks**2).sum(0) > _ROUNDING * whole)
    return Sums(blocks, left, alive, np.full(len(left), np.inf) if contributions is None else contributions)


def apart(collected: Sequence[Collected], theta: np.ndarray) -> Sums:
    """Every temperature by itself: its common factor, then each of its parameters, against the fit to all.

    Columns are the factor of each temperature, then all parameters of the first, of the second and so on.
    """
    n, several = len(theta), len(collected)
    moved = []
    for k, one in enumerate(collected):
        G = np.zeros((several + several * n, n))
        G[k], G[several + k * n : several + (k + 1) * n] = one.H @ theta, one.H
        sums = np.zeros((len(one.scores), len(G)))
        sums[:, k], sums[:, several + k * n : several + (k + 1) * n] = one.scores @ theta, one.scores
        variance = np.zeros(len(G))
        variance[k], variance[several + k * n : several + (k + 1) * n] = theta @ one.H @ theta, np.diag(one.H)
        moved.append(Collected(sums, one.scores, G, one.H, variance))
    return residuals(moved)


@dataclass(eq=False)
class Collected:
    """What one temperature contributes.

    Attributes
    ----------
    sums : array (block, column)
        Scores of the directions.
    scores : array (block, n_params)
        Scores of the fitted parameters.
    G : array (column, n_params)
        Cross information: minus the derivative of the summed scores by the parameters.
    H : array (n_params, n_params)
        Information of the parameters.
    variance : array (column,)
        Information of the directions themselves.
    """

    sums: np.ndarray
    scores: np.ndarray
    G: np.ndarray
    H: np.ndarray
    variance: np.ndarray


def collect(model: Conditionals, rows: Rows, terms: Sequence[Terms], totals: np.ndarray, q: int) -> Collected:
    """Scores of all directions at one temperature.

    Parameters
    ----------
    model : Conditionals
        The fitted model.
    rows : Rows
        The data.
    terms : sequence of Terms
        Local directions; a unit of each is a coupling (an energy), as of the model's own.
    totals : array (total, term)
        Further directions that are sums of terms.
    q : int
        Number of values of a site.

    Returns
    -------
    Collected
        Columns: every term; every total; the dispersion of the energy (a unit is the relative variance of beta); the share of
        misread values at every site; the share at all sites together.
    """
    n_sites, n_terms = rows.index.shape[1], sum(len(one) for one in terms)
    width = n_terms + len(totals) + 1 + n_sites + 1
    found = Collected(
        np.zeros((rows.blocks, width)), np.zeros((rows.blocks, model.n_params)), np.zeros((width, model.n_params)),
        np.zeros((model.n_params,) * 2), np.zeros(width),
    )  # fmt: skip
    size = max(64, _CHUNK_VALUES // (width + model.n_params))
    _, first, place = np.unique(codes(rows.index), return_index=True, return_inverse=True)  # equal rows have equal scores
    blocks = scipy.sparse.csc_matrix((rows.weight, (rows.label, place)), shape=(rows.blocks, len(first)))
    index, weight = rows.index[first], np.bincount(place, rows.weight)
    energy = np.concatenate([model.energies(index[some]) for some in _chunks(len(index), 1 << 14)])
    energy -= float(weight @ energy / weight.sum())
    for some in _chunks(len(index), size):
        _chunk(_Locals(model, index[some], rows.beta, energy[some], terms, totals, q), blocks[:, some], weight[some], found)
    return found


def expected_contributions(
    model: Conditionals, rows: Sequence[Rows], terms: Sequence[Terms], totals: np.ndarray, q: int, collected: Sequence[Collected]
) -> np.ndarray:
    """How many rows would share the variance of every column, did they come as the fitted model has them.

    (Σ v²)² / Σ v⁴ of what is left of every single site's scores, averaged over the values that it may take: also over those that no row
    holds. A sum that a few rare values decide has no normal tails, whether these were seen or not. All sites of a term are moved by the
    same rare row, so that as many values are one row.
    """
    H, G = sum(one.H for one in collected), sum(one.G for one in collected)
    gain = solve(np.asarray(H), np.asarray(G).T).T
    second, fourth = np.zeros(len(gain)), np.zeros(len(gain))
    for one in rows:
        some = np.linspace(0, len(one.index) - 1, min(_LOOKED_AT, len(one.index))).round().astype(int)
        index, weight = one.index[some], one.weight[some] * one.weight.sum() / one.weight[some].sum()
        energy = model.energies(index)
        energy -= float(weight @ energy / weight.sum())
        for part in _chunks(len(index), max(64, _CHUNK_VALUES // sum(gain.shape))):
            for local in _Locals(model, index[part], one.beta, energy[part], terms, totals, q):
                for columns, steep in ((local.columns, local.flat), (local.misread, local.steep)):
                    left = steep - local.deep @ gain[np.ix_(columns, local.index)].T
                    share = (local.mass * weight[part, None]).reshape(-1, 1)
                    tail = share if q > 2 else share * (1 - 3 * local.mass.reshape(-1, 1))
                    second[columns] += (share * left**2).sum(0)
                    fourth[columns] += (tail * left**4).sum(0)
    n_sites = rows[0].index.shape[1]
    together = np.full(len(gain), float(n_sites))
    together[: totals.shape[1]] = np.repeat([one.sites.shape[1] for one in terms], [len(one) for one in terms])
    together[totals.shape[1] + len(totals) + 1 :] = 1.0  # sites are misread one by one
    return np.asarray(second**2 / np.maximum(fourth, 1e-300) / together)


@dataclass(frozen=True, eq=False)
class _Local:
    """Scores of one site in some rows: of fitted parameters, of directions, and of misread values.

    `own` and `read` ``(row, k)`` are what they are at the value that was observed; `flat`, `deep` and `steep` ``(row · m, k)`` and `mass`
    ``(row, m)`` are parts whose products are covariances (see :func:`_centred`).
    """

    index: np.ndarray
    scores: np.ndarray
    deep: np.ndarray
    mass: np.ndarray
    columns: np.ndarray
    own: np.ndarray
    flat: np.ndarray
    misread: np.ndarray
    read: np.ndarray
    steep: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class _Locals:
    """The scores of some rows, site by site."""

    model: Conditionals
    rows: np.ndarray
    beta: float
    energy: np.ndarray
    terms: Sequence[Terms]
    totals: np.ndarray
    q: int

    def __iter__(self) -> Iterator[_Local]:
        index, beta, terms, totals, q = self.rows, self.beta, self.terms, self.totals, self.q
        n_sites, n_terms = index.shape[1], totals.shape[1]
        starts = np.cumsum([0, *(len(one) for one in terms)])
        here = np.arange(len(index))
        dispersion, flips = n_terms + len(totals), n_terms + len(totals) + 1
        products = [part.values(index, q).T if q == 2 else np.empty(0) for part in terms]
        for site in range(n_sites):
            one = self.model.site(index, site)
            observed = index[:, site]
            logits = -beta * one.energy
            logits -= logits.max(1, keepdims=True)
            probability = np.exp(logits)
            probability /= probability.sum(1, keepdims=True)
            scores, deep, mass = _centred(beta * _apart(one.features), probability, observed)
            # Directions: local terms of this site, their totals, and the square of the energy.
            touching = [np.flatnonzero((part.sites == site).any(1)) for part in terms]
            columns = np.concatenate([*(start + where for start, where in zip(starts, touching, strict=False)), []]).astype(int)
            values = [
                beta * _site_values(index, part, where, site, q, every[where] if q == 2 else every)
                for part, every, where in zip(terms, products, touching, strict=True)
            ]
            met = np.where(np.isfinite(one.energy), one.energy, 0.0)  # it is infinite in a state that a site does not have
            shifted = self.energy[:, None] + met - met[here, observed][:, None]
            dispersed = _apart((beta * shifted[..., None]) ** 2 / 2)
            local = np.concatenate([*values, dispersed[..., :0]], -1)
            local = np.concatenate([local, local @ totals[:, columns].T, dispersed], -1)
            columns = np.concatenate([columns, np.arange(n_terms, n_terms + len(totals)), [dispersion]])
            own, flat, _ = _centred(local, probability, observed)
            # A share of misread values: p(x with the site in another value) / p(x), bounded, so that no single row decides.
            odds = np.minimum((1 - probability) / np.maximum(probability, 1e-300) / (q - 1), 1e6)
            odds /= 1 + odds / _BOUNDED
            variance = (odds * ((1 - probability) / (q - 1) - probability)).sum(1)
            read, steep, _ = _centred(np.repeat(_apart(odds[..., None]), 2, -1), probability, observed)
            misread = np.array([flips + site, flips + n_sites])
            yield _Local(one.index, scores, deep, mass, columns, own, flat, misread, read, steep, variance)


def _chunk(every: _Locals, blocks: Any, weight: np.ndarray, found: Collected) -> None:
    """Add what some distinct rows contribute; `blocks` ``(block, row)`` holds how much each weighs in every block."""
    sums, scores = np.zeros((len(found.variance), len(weight))), np.zeros((len(found.H), len(weight)))
    for one in every:
        weighted = (one.mass * weight[:, None]).reshape(-1)
        scores[one.index] += one.scores.T
        for columns, own, flat in ((one.columns, one.own, one.flat), (one.misread, one.read, one.steep)):
            sums[columns] += own.T
            found.G[np.ix_(columns, one.index)] += (flat * weighted[:, None]).T @ one.deep
        found.H[np.ix_(one.index, one.index)] += (one.deep * weighted[:, None]).T @ one.deep
        found.variance[one.columns] += weighted @ one.flat**2
        found.variance[one.misread] += weight @ one.variance
    found.sums += blocks @ sums.T
    found.scores += blocks @ scores.T


def _apart(values: np.ndarray) -> np.ndarray:
    """Functions ``(row, q, k)`` of a site's value, up to a constant of the row: of two values their one difference ``(row, 1, k)``."""
    return values[:, 1:] - values[:, :1] if values.shape[1] == 2 else values


def _centred(values: np.ndarray, probability: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Such functions at the observed value, less their expectations; and parts whose products are covariances.

    The parts are ``(row · m, k)`` and what each weighs ``(row, m)``: the q centred values and their probabilities, or the difference of
    two values and the product of theirs.
    """
    if values.shape[1] == 1:
        step = values[:, 0]
        return step * (observed - probability[:, 1])[:, None], step, probability.prod(1, keepdims=True)
    centred = values - np.einsum("ra,rak->rk", probability, values)[:, None]
    return centred[np.arange(len(values)), observed], centred.reshape(-1, values.shape[-1]), probability


def _site_values(index: np.ndarray, part: Terms, where: np.ndarray, site: int, q: int, products: np.ndarray) -> np.ndarray:
    """Terms ``(term, n)`` that hold `site`, as functions of its value; of spins from their `products` ``(term, row)``."""
    if q == 2:
        return np.asarray((products * (4.0 * index[:, site] - 2)).T[:, None])
    sites = part.sites[where]
    states = index[:, sites].astype(np.int64)
    return np.stack([part.of(np.where(sites == site, value, states), q, where) for value in range(q)], 1)


def solve(H: np.ndarray, right: np.ndarray) -> np.ndarray:
    """H⁻¹ times `right`, without the directions in which H is zero."""
    scale = np.sqrt(np.maximum(np.diag(H), 1e-300))
    scaled = H / np.outer(scale, scale)
    try:
        factor = scipy.linalg.cho_factor(scaled, lower=True)
        if np.diag(factor[0]).min(initial=1.0) ** 2 > 1e-10:
            return np.asarray(scipy.linalg.cho_solve(factor, right / scale[:, None]) / scale[:, None])
    except scipy.linalg.LinAlgError:
        pass
    values, vectors = scipy.linalg.eigh(scaled)
    inverse = np.where(values > 1e-10 * values.max(initial=0.0), 1 / np.maximum(values, 1e-300), 0.0)
    return np.asarray((vectors * inverse) @ (vectors.T @ (right / scale[:, None])) / scale[:, None])


def _chunks(rows: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
