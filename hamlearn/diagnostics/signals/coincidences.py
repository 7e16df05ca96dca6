"""Whether rows were copied: more equal rows than the learned model makes by chance.

Take two independent rows that agree on all sites but one, i. Whether they agree at i too is decided by p(σ_i | rest)
alone: they do with probability Σ_v p(v | rest)². So the number of pairs that agree everywhere is compared with what is
expected of the pairs that agree everywhere else, which needs no partition function and holds at any temperature: cold
rows coincide often, and then their neighbours say so. Copies of rows agree at every site. Where the sum of all spins is fixed
the same is said of two sites, which may have been the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats

from hamlearn.diagnostics import holdout
from hamlearn.diagnostics.signals.view import Signal, View
from hamlearn.infer.observations import codes

ALARM, SERIOUS = 5e-4, 1e-5  # by an error that is an upper bound (sites taken as fully correlated): z scatters by 0.2–0.7
EXCESS = 0.02  # of the expected pairs: less may come from the noise of the fitted couplings
DISTINCT = 20  # rows whose repeat counts share a factor before that is no chance (2⁻²⁰)
NEAR = 5.0  # autocorrelation times within which a chain may repeat itself
_EVALUATIONS = 300_000  # energies of rows with one site changed
_ROWS = 200_000
_NEAR_VALUES = 4e8


@dataclass(frozen=True)
class Coincidences:
    """Pairs of equal rows: how many, how many a model expects of the pairs that agree at all other sites, and the error.

    `certain` is the expected agreement of copies at the last site: they add to the expectation too. `distinct` rows differ.
    """

    pairs: float
    expected: float
    sd: float
    rows: float
    certain: float
    distinct: int

    @property
    def z(self) -> float:
        """Excess in standard deviations."""
        return (self.pairs - self.expected) / max(self.sd, 1e-300)

    @property
    def copies(self) -> float:
        """How often every row must have been taken to explain the excess: M(k − 1)/2 pairs are copies."""
        return 1 + 2 * self.copied / max(self.rows, 1.0)

    @property
    def copied(self) -> float:
        """Pairs that are copies."""
        return max(self.pairs - self.expected, 0.0) / max(1 - self.certain, 0.01)


def groups_of_equal(rows: np.ndarray) -> np.ndarray:
    """A label ``(row,)`` for every row of ``(row, n_sites)``, the same for equal rows: what a split must keep together.

    Examples
    --------
    >>> groups_of_equal(np.array([[1, 1], [0, 1], [1, 1]])).tolist()
    [1, 0, 1]
    """
    return np.asarray(np.unique(codes(rows), return_inverse=True)[1])


def find(view: View) -> list[Signal]:
    """A finding if rows (or, for a symmetric model of spins, rows up to a global flip) repeat more often than the model explains."""
    if view.space.continuous or view.weighted:
        return []
    tau = holdout.slowest_tau(view.data) if view.ordered else 1.0
    for flips in (False, True) if view.symmetric and view.space.binary else (False,):
        found = _common_factor(view, tau, flips) or _excess(view, tau, flips)
        if found is not None:
            return [found]
    return []


def _prepared(view: View, flips: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``(row, site)`` in order of time and their counts; with `flips` every row is turned so that its first spin is up."""
    flat = view.rows.reshape(-1, view.rows.shape[-1])
    counts = np.ones(len(flat), np.int64) if view.counts is None else view.counts.ravel()
    if flips:
        flat = flat * flat[:, :1]
    return flat[counts > 0], counts[counts > 0]


def _common_factor(view: View, tau: float, flips: bool) -> Signal | None:
    rows, counts = _prepared(view, flips)
    total = np.bincount(groups_of_equal(rows), weights=counts).astype(np.int64)
    factor = int(np.gcd.reduce(total))
    if factor < 2 or len(total) < DISTINCT or (view.ordered and tau >= factor):
        return None  # copies that follow each other are autocorrelation, and counted as such
    up_to = " up to a global flip" if flips else ""
    what = (
        f"every distinct row{up_to} occurs a multiple of {factor} times{view.label}: {int(counts.sum())} rows are worth at most "
        f"{int(counts.sum()) // factor}, and error bars are too small by {np.sqrt(factor):.2g}"
    )
    advice = "Give every observation once: divide counts by the factor, or leave out copies."
    p_value = float(2.0 ** -min(len(total), 1000))
    return Signal("serious", "repeated rows", what, advice, float(factor), p_value, float(factor))


def _excess(view: View, tau: float, flips: bool) -> Signal | None:
    rows, counts = _prepared(view, flips)
    found = count(view, rows, counts, tau, first=1 if flips else 0)
    if found is None or found.pairs - found.expected < max(EXCESS * found.expected, 10.0):
        return None
    p_value = float(scipy.stats.norm.sf(found.z))
    if p_value > ALARM:
        return None
    numbers: dict[str, Any] = {"pairs": found.pairs, "expected": max(found.pairs - found.copied, 0.0), "copies": found.copies}
    numbers |= {"rows": found.rows, "distinct": found.distinct, "flips": flips, "label": view.label}
    severity = "serious" if p_value < SERIOUS else "caution"
    return Signal(severity, "repeated rows", "", "", found.z, p_value, found.copies, "equal rows", numbers)


def count(view: View, rows: np.ndarray, counts: np.ndarray, tau: float, first: int = 0) -> Coincidences | None:
    """Equal pairs among rows far apart in time; None where there are none (the usual case, and quickly known)."""
    rows, counts = rows[:_ROWS], counts[:_ROWS]
    label = groups_of_equal(rows)
    _, where = np.unique(label, return_index=True)
    distinct, total = rows[where], np.bincount(label, weights=counts)
    pairs = float((total * (total - 1)).sum() / 2)
    if pairs < 10:
        return None
    index, q = view.space.index(distinct).astype(np.int64), view.space.q
    table = np.random.default_rng(0).integers(np.iinfo(np.int64).max, size=(index.shape[1], q))
    with np.errstate(over="ignore"):
        key = table[np.arange(index.shape[1]), index].sum(1)
    sites = np.arange(first, index.shape[1])[:, None]
    if view.space.constraint:  # no two rows of one sum differ at one site alone: at two, which may have been the other way round
        mixed = np.random.default_rng(1).permutation(sites)
        sites = np.hstack([mixed, np.roll(mixed, 1, 0)])
    sites = sites[np.linspace(0, len(sites) - 1, _affordable(key, index, table, total, sites)).round().astype(int)]
    near = int(np.ceil(NEAR * tau)) if view.ordered and tau > 1 else 0
    chains, draws = view.rows.shape[:2]
    if near * chains * draws * rows.shape[1] > _NEAR_VALUES or chains * draws != len(rows):
        return None if near else _over_sites(view, distinct, index, table, key, total, sites, None, 0, pairs, tau)
    order = (label.reshape(chains, draws), rows.reshape(chains, draws, -1)) if near else None
    return _over_sites(view, distinct, index, table, key, total, sites, order, near, pairs, tau)


def _affordable(key: np.ndarray, index: np.ndarray, table: np.ndarray, total: np.ndarray, sites: np.ndarray) -> int:
    """How many sites can be looked at within the budget of energies."""
    if not len(sites):
        return 0
    _, group = np.unique(_rest(key, index, table, sites[0]), return_inverse=True)
    involved = np.count_nonzero(np.bincount(group, weights=total)[group] > 1)
    return int(np.clip(_EVALUATIONS // max(involved * (table.shape[1] - 1), 1), 1, len(sites)))


def _over_sites(
    view: View,
    distinct: np.ndarray,
    index: np.ndarray,
    table: np.ndarray,
    key: np.ndarray,
    total: np.ndarray,
    sites: np.ndarray,
    order: tuple[np.ndarray, np.ndarray] | None,
    near: int,
    pairs: float,
    tau: float,
) -> Coincidences:
    close, expected, variance = 0.0, np.zeros(len(sites)), np.zeros(len(sites))
    agree = np.full((len(distinct), len(sites)), np.nan)  # Σ_v p(v | rest)² of every row that shares its rest with another
    base = view.action(distinct)
    for column, site in enumerate(sites):
        _, group = np.unique(_rest(key, index, table, site), return_inverse=True)
        size = np.bincount(group, weights=total)
        busy = size[group] > 1
        if len(site) > 1:
            second, third = _moments_of_exchange(view, distinct[busy], base[busy], site)
        else:
            second, third = _moments(view, distinct[busy], index[busy, site[0]], base[busy], int(site[0]))
        agree[busy, column] = second
        one = np.unique(group[busy], return_index=True)[1]  # one row of each group
        n, s2, s3 = size[group[busy][one]], second[one], third[one]
        couples = n * (n - 1) / 2
        expected[column] = (couples * s2).sum()
        variance[column] = (couples * (2 * (n - 2) * np.maximum(s3 - s2**2, 0) + s2 - s2**2)).sum()
    if order is not None:
        close, taken = _close_pairs(*order, agree, sites, near)
        expected -= taken
    sd = float(np.sqrt(variance).mean() * np.sqrt(max(tau, 1.0)))
    couples = total * (total - 1) / 2
    certain = float(np.nanmean(couples @ np.nan_to_num(agree) / couples.sum()))
    return Coincidences(pairs - close, float(expected.mean()), max(sd, 1.0), float(total.sum()), certain, len(distinct))


def _rest(key: np.ndarray, index: np.ndarray, table: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """What is the same for rows that agree at all other sites."""
    with np.errstate(over="ignore"):
        return np.asarray(key - table[sites, index[:, sites]].sum(1))


def _moments_of_exchange(view: View, rows: np.ndarray, base: np.ndarray, sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ p² and Σ p³ over the two ways round of two sites of every row, given all others and their sum: 1 where they are alike."""
    exchanged = rows.copy()
    exchanged[:, sites] = rows[:, sites[::-1]]
    unlike = rows[:, sites[0]] != rows[:, sites[1]]
    own = np.where(unlike, 1 / (1 + np.exp(np.minimum(base - view.action(exchanged), 700.0))), 1.0)
    return own**2 + (1 - own) ** 2, own**3 + (1 - own) ** 3


def _moments(view: View, rows: np.ndarray, value: np.ndarray, base: np.ndarray, site: int) -> tuple[np.ndarray, np.ndarray]:
    """Σ_v p(v | rest)² and Σ_v p(v | rest)³ at one site of every row."""
    q = view.space.q
    actions = np.empty((len(rows), q))
    for shift in range(q):
        changed = rows.copy()
        new = (value + shift) % q
        changed[:, site] = view.space.from_index(new)
        actions[np.arange(len(rows)), new] = base if shift == 0 else view.action(changed)
    weight = np.exp(-(actions - actions.min(1, keepdims=True)))
    probability = weight / weight.sum(1, keepdims=True)
    return (probability**2).sum(1), (probability**3).sum(1)


def _close_pairs(label: np.ndarray, rows: np.ndarray, agree: np.ndarray, sites: np.ndarray, near: int) -> tuple[float, np.ndarray]:
    """Equal pairs within `near` draws of one chain, and what is expected at each site of those that agree elsewhere."""
    close, taken = 0.0, np.zeros(len(sites))
    many = sites.shape[1]
    place = {tuple(sorted(one)): column for column, one in enumerate(sites.tolist())}
    for lag in range(1, min(near, label.shape[1] - 1) + 1):
        earlier = label[:, :-lag]
        different = rows[:, lag:] != rows[:, :-lag]
        number = different.sum(-1)
        equal = earlier[number == 0]
        close += len(equal)
        taken += np.nan_to_num(agree[equal]).sum(0)
        one = number == many
        where = np.nonzero(different[one])[-1].reshape(-1, many)
        column = np.array([place.get(tuple(pair), -1) for pair in where.tolist()], int)
        np.add.at(taken, column[column >= 0], agree[earlier[one], column][column >= 0])
    return close, taken
