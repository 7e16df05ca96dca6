"""Which rows of the reference are rows of the training set: none of them is held out, whatever their order.

Of a large system two independent samples share no row, and a shared one is the same row. Of few states they share most, by chance; then
*words* of consecutive rows are looked up, as long as it takes until they are no accident. Rows in another order make no common words, but
their counts agree better than those of independent samples ever do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn import data as microstates
from hamlearn.diagnostics.audits import words
from hamlearn.diagnostics.audits.sides import Side
from hamlearn.errors import HamlearnError

_LONGEST = 64  # rows of a word
_BY_CHANCE = 0.005  # of the words of a sample, at most, that occur in another by accident
_FEW = 0.02  # of them that are no matter: a test of memory hardly feels them
_MANY_STATES = 16  # whose counts two samples do not share by chance
_SAME = 1e-9  # probability that counts of independent samples agree as well


class HeldOut(NamedTuple):
    """What a model was trained on, and rows that are none of it.

    Attributes
    ----------
    training, reference : Side
        Both sides of the question.
    left_out : str
        What was left out of the reference, in words; empty: nothing.
    """

    training: Side
    reference: Side
    left_out: str


def out_of(training: Sequence[xr.Dataset], reference: xr.Dataset) -> HeldOut:
    """The rows of the reference that are not those of the training set, beside it.

    Raises
    ------
    HamlearnError
        If none is left.
    """
    same = repeated(np.concatenate([_observed(one) for one in training]), _observed(reference))
    if same.all():
        raise HamlearnError(words.NOTHING_HELD_OUT)
    name = "the held-out part of the reference" if same.any() else "the reference"
    told = words.left_out(int(same.sum()), len(same)) if same.any() else ""
    return HeldOut(_together([Side.of(one, "the training set") for one in training]), Side.of(reference, name, ~same), told)


def same_rows(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether two samples are the same rows, in whatever order: equal counts of many states, which independent samples never have."""
    first, second = _observed(one), _observed(other)
    if first.shape != second.shape or (first == first[0]).all():
        return False
    if np.array_equal(first, second):
        return True
    counts = [np.unique(side, return_counts=True) for side in hashed(first, second)]
    alike = all(np.array_equal(*pair) for pair in zip(*counts, strict=True)) if len(counts[0][0]) == len(counts[1][0]) else False
    return alike and len(counts[0][0]) >= _MANY_STATES


def _observed(data: xr.Dataset) -> np.ndarray:
    states = microstates.rows(data)
    return states.reshape(-1, states.shape[-1])


def _together(sides: Sequence[Side]) -> Side:
    """Several sets as one: as many chains, or one chain where they are of unequal lengths."""
    first = sides[0]
    if len(sides) == 1:
        return first
    alike = len({one.states.shape[1] for one in sides}) == 1
    states = np.concatenate([one.states for one in sides]) if alike else np.concatenate([one.rows for one in sides])[None]
    return Side(states, first.space, first.shape, all(one.independent for one in sides), first.name)


def repeated(training: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Which rows ``(row, number)`` of the reference are rows of the training set, ``(row,)`` of booleans.

    Parameters
    ----------
    training, reference : array (row, number)
        In the order in which they were observed.

    Raises
    ------
    HamlearnError
        If the reference holds the same rows in another order and has so few states that nobody can say which of them.

    Notes
    -----
    How many words two independent samples share is told by the two halves of each; fewer than one in fifty shared rows are taken for
    accidents. The counts r and t of all states are compared by
    Σ (r √(T/R) − t √(R/T))² / (r + t), which is χ² of one fewer than there are states for independent rows and larger for those of a
    chain (Press et al., Numerical Recipes, eq. 14.3.3); it is far below only where rows are shared.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> training, fresh = rng.choice([-1, 1], size=(2, 100, 30))
    >>> mixed = np.concatenate([fresh[:60], training[:40]])
    >>> int(repeated(training, mixed).sum()), int(repeated(training, fresh).sum())
    (40, 0)
    """
    first, second = hashed(training, reference)
    length = 1
    ones = first, second
    while 4 * length <= min(len(training), len(reference)):
        hits = np.isin(second, first)
        chance = max(_shared_halves(first, len(first)), _shared_halves(second, len(first)))
        if chance <= _BY_CHANCE:
            found = _covered(hits, length, len(reference))
            if hits.sum() <= 5 + (5 * chance + _FEW) * len(hits):  # no more than by accident
                found[:] = False
            break
        if length == _LONGEST:
            found = np.zeros(len(reference), bool)
            break
        first, second = (_joined(one, length) for one in (first, second))
        length *= 2
    else:
        found = np.zeros(len(reference), bool)
    if length > 1 and not found.any():
        _require_other_counts(*ones)
    return found


def hashed(*samples: np.ndarray) -> tuple[np.ndarray, ...]:
    """A number of 64 bits of every row of several samples; equal rows have equal ones."""
    kind = np.result_type(*samples)
    of = lambda row: int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "little")
    return tuple(np.fromiter(map(of, np.ascontiguousarray(one.astype(kind) + kind.type(0))), np.uint64, len(one)) for one in samples)


def _joined(codes: np.ndarray, length: int) -> np.ndarray:
    """Words of twice the length."""
    odd = np.uint64(0x9E3779B97F4A7C15)
    mixed = codes[:-length] * odd
    return ((mixed ^ (mixed >> np.uint64(29))) + codes[length:]) * odd


def _covered(hits: np.ndarray, length: int, rows: int) -> np.ndarray:
    """Rows that lie in a word that was found."""
    edges = np.zeros(rows + 1, int)
    np.add.at(edges, np.flatnonzero(hits), 1)
    np.add.at(edges, np.flatnonzero(hits) + length, -1)
    return np.asarray(np.cumsum(edges)[:-1] > 0)


def _shared_halves(codes: np.ndarray, among: int) -> float:
    """Which share of the words of an independent sample occurs in another with so many."""
    half = len(codes) // 2
    return min(1.0, float(np.isin(codes[half:], codes[:half]).mean()) * among / max(half, 1)) if half else 1.0


def _require_other_counts(first: np.ndarray, second: np.ndarray) -> None:
    states, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    if len(states) < 2:
        return  # of one state nothing can be told, nor remembered
    trained = np.bincount(place[: len(first)], minlength=len(states))
    seen = np.bincount(place[len(first) :], minlength=len(states))
    ratio = np.sqrt(len(first) / len(second))
    chi = float(((seen * ratio - trained / ratio) ** 2 / (seen + trained)).sum())
    if scipy.stats.chi2.cdf(chi, len(states) - 1) < _SAME:
        raise HamlearnError(words.SHUFFLED)


__all__ = ["HeldOut", "out_of", "repeated"]
