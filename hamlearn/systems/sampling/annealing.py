"""Spins annealed from independent ones to interacting ones: samples with weights, and with them log Z.

A walk starts at independent spins, whose log Z is known, and takes couplings and fields up step by step, a heat-bath sweep at each. The
weight that it gathers on its way makes averages over walks those of the last distribution, however short the walk, and the mean weight
is the ratio of the partition functions (R. M. Neal, Stat. Comput. 11, 125 (2001); C. Jarzynski, Phys. Rev. Lett. 78, 2690 (1997)). Walks
are independent of each other, so their scatter is the error; a wide scatter of ln w says that they were too short.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hamlearn.systems.sampling.kernels import generators, kernel, uniform

_PILOT = 64  # walks and steps that tell the means to start from
_SHRUNK = 0.98  # of these means: a spin that a pilot never saw flip may


def annealed(J: np.ndarray, h: np.ndarray, start: np.ndarray, walks: int, steps: int, seed: Any) -> tuple[np.ndarray, np.ndarray]:
    """Walks from independent spins in the fields `start` to spins with action −Σ_{i<j} J_ij s_i s_j − Σ h_i s_i.

    Parameters
    ----------
    J : array (n_sites, n_sites)
        Symmetric, zero on the diagonal; β times the couplings.
    h, start : array (n_sites,)
        Fields at the end and at the start, in the same units.
    walks, steps : int
        How many walks, and sweeps of each.
    seed : int or SeedSequence
        Of the walks.

    Returns
    -------
    states, log_weight : array (walk, n_sites), (walk,)
        Spins, and the logarithms of weights whose mean estimates Z.

    Examples
    --------
    >>> J = np.array([[0.0, 0.7], [0.7, 0.0]])
    >>> states, log_weight = annealed(J, np.zeros(2), np.zeros(2), walks=4000, steps=10, seed=0)
    >>> round(float(np.log(np.exp(log_weight).mean())), 1), round(float(np.log(4 * np.cosh(0.7))), 1)
    (1.6, 1.6)
    """
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    rng = generators(root, walks)
    states = np.empty((walks, len(h)), np.int8)
    log_weight = np.full(walks, np.logaddexp(start, -start).sum())
    _anneal(np.ascontiguousarray(J, float), np.asarray(h, float), np.asarray(start, float), steps, states, log_weight, rng)
    return states, log_weight


def annealed_exchanges(J: np.ndarray, h: np.ndarray, ups: int, walks: int, steps: int, seed: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same of spins of which `ups` are up in every state: walks start where all of these are as probable, and exchange unlike spins.

    Examples
    --------
    >>> J = np.array([[0.0, 0.7, 0.0], [0.7, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> states, log_weight = annealed_exchanges(J, np.zeros(3), 2, walks=4000, steps=10, seed=0)
    >>> set(states.sum(1).tolist())
    {1}
    >>> round(float(np.log(np.exp(log_weight).mean())), 1), round(float(np.log(np.exp(0.7) + 2 * np.exp(-0.7))), 1)
    (1.1, 1.1)
    """
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    states, log_weight = np.empty((walks, len(h)), np.int8), np.full(walks, math.log(math.comb(len(h), ups)))
    _exchange(np.ascontiguousarray(J, float), np.asarray(h, float), ups, steps, states, log_weight, generators(root, walks))
    return states, log_weight


def independent_start(J: np.ndarray, h: np.ndarray, seed: Any) -> np.ndarray:
    """Fields of independent spins with about the means of the interacting ones, from short walks; any others would do, more slowly."""
    states, _ = annealed(J, h, np.zeros(len(h)), _PILOT, _PILOT, seed)
    return np.asarray(np.arctanh(_SHRUNK * states.mean(0)))


@kernel
def _anneal(J, h, start, steps, states, log_weight, rng):  # type: ignore[no-untyped-def]
    n = len(h)
    field, s = np.empty(n), np.empty(n)
    for walk in range(len(states)):
        for i in range(n):
            s[i] = 1.0 if uniform(rng[walk]) * (1.0 + np.exp(-2.0 * start[i])) < 1.0 else -1.0
        pair, tilt = 0.0, 0.0  # Σ_{i<j} J s s, and Σ (h − start) s
        for i in range(n):
            field[i] = 0.0
            for j in range(n):
                field[i] += J[i, j] * s[j]
            pair += 0.5 * s[i] * field[i]
            tilt += (h[i] - start[i]) * s[i]
        for step in range(1, steps + 1):
            log_weight[walk] += (pair + tilt) / steps
            share = step / steps
            for i in range(n):
                total = share * (field[i] + h[i]) + (1.0 - share) * start[i]
                value = 1.0 if uniform(rng[walk]) * (1.0 + np.exp(-2.0 * total)) < 1.0 else -1.0
                if value != s[i]:
                    s[i] = value
                    pair += 2.0 * value * field[i]
                    tilt += 2.0 * value * (h[i] - start[i])
                    for j in range(n):
                        field[j] += 2.0 * value * J[i, j]
        for i in range(n):
            states[walk, i] = 1 if s[i] > 0.0 else -1


@kernel
def _exchange(J, h, ups, steps, states, log_weight, rng):  # type: ignore[no-untyped-def]
    n = len(h)
    field, s = np.empty(n), np.empty(n)
    for walk in range(len(states)):
        for i in range(n):
            s[i] = 1.0 if i < ups else -1.0
        for i in range(n - 1, 0, -1):  # Fisher and Yates
            j = int(uniform(rng[walk]) * (i + 1))
            s[i], s[j] = s[j], s[i]
        action = 0.0
        for i in range(n):
            field[i] = h[i]
            for j in range(n):
                field[i] += J[i, j] * s[j]
            action -= 0.5 * s[i] * (field[i] + h[i])
        for step in range(1, steps + 1):
            log_weight[walk] -= action / steps
            share = step / steps
            for _ in range(n):
                i, j = int(uniform(rng[walk]) * n), int(uniform(rng[walk]) * n)
                if s[i] == s[j]:
                    continue
                cost = 2.0 * (s[i] * field[i] + s[j] * field[j]) + 4.0 * J[i, j]
                if cost <= 0.0 or uniform(rng[walk]) < np.exp(-share * cost):
                    action += cost
                    for k in range(n):
                        field[k] += 2.0 * (s[j] * J[k, i] + s[i] * J[k, j])
                    s[i], s[j] = s[j], s[i]
        for i in range(n):
            states[walk, i] = 1 if s[i] > 0.0 else -1
