"""Leaving out draws that repeat the one before: chains observed far more often than they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hamlearn.infer.observations import Observations

_CHANGED = 0.1  # share of what two independent microstates differ by, that neighbouring draws must differ by
_FEWEST = 500  # draws of a chain that are always kept
_ROWS = 20_000  # that changes are counted on


def thinned(parts: Sequence[Observations]) -> tuple[list[Observations], int]:
    """Every stride-th draw of chains whose neighbouring draws hardly differ, and the longest stride.

    A chain observed after every attempted flip of one spin repeats nearly the whole microstate at every draw. What is
    left out (at most the changes of a fifth of a decorrelation) holds next to no information, and costs as much time
    as if it did. Chains observed once a sweep, independent draws and weighted ones are left as they are.

    Examples
    --------
    >>> slow = np.repeat(np.random.default_rng(0).integers(0, 2, size=(1, 1000, 9)), 16, axis=1).astype(np.int8)
    >>> part = Observations(slow, np.ones(slow.shape[:2]), False, 0.4, False)
    >>> kept, stride = thinned([part])
    >>> stride, kept[0].states.shape
    (2, (1, 8000, 9))
    """
    kept, longest = [], 1
    for part in parts:
        stride = 1 if part.independent or part.weighted or np.ptp(part.weight) else _stride(part.states)
        kept.append(part if stride == 1 else replace(part, states=part.states[:, ::stride], weight=part.weight[:, ::stride]))
        longest = max(longest, stride)
    return kept, longest


def _stride(states: np.ndarray) -> int:
    """Powers of two until neighbouring draws differ; whether two adjacent sites agree is what is compared.

    Agreement does not see a flip of all spins, which is slow and says nothing about a Hamiltonian.
    """
    chains, draws, sites = states.shape
    most = draws // _FEWEST
    if most < 2 or sites < 2:
        return 1
    sample = states[:, : max(_ROWS // chains, 2 * most)]
    equal = sample[..., 1:] == sample[..., :-1]
    often = equal.mean((0, 1))
    free = float((2 * often * (1 - often)).mean())  # how often two independent microstates differ
    stride = 1
    while free > 0 and 2 * stride <= most and (equal[:, stride:] != equal[:, :-stride]).mean() < _CHANGED * free:
        stride *= 2
    return stride
