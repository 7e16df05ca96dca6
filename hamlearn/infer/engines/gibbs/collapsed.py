"""Moves of the spike-and-slab sampler that integrate the strengths out: which couplings exist, given a normal likelihood.

Where data are nearly frozen, couplings are strongly correlated and a chain that changes one strength at a time never
leaves a wrong graph. Given which couplings are in, and their signs, the strengths are jointly normal; their integral is
kept in a matrix that the sweep operator (Goodnight 1979) updates in O(m²) when one coupling enters or leaves, and from
which the evidence for every single change is read off in O(1). A second move takes one coupling out and puts it back
at any place, with the probability of each place given all others.
"""

# ruff: noqa: NPY002 (compiled code: numba has its own generator behind np.random, seeded in chain.advance)
from __future__ import annotations

import numpy as np

from hamlearn.compiled import compiled


@compiled()
def pivot(matrix, vector, k, back):  # type: ignore[no-untyped-def]
    """Let variable k in (or, `back`, out); in place.

    With γ the variables that are in, A the precision and l the linear term, `matrix` holds −A_γγ⁻¹, A_jγ A_γγ⁻¹ and the
    Schur complement of A_γγ, and `vector` the mean A_γγ⁻¹ l_γ and l_j − A_jγ A_γγ⁻¹ l_γ.
    """
    size, diagonal, own = len(vector), matrix[k, k], vector[k]
    for i in range(size):
        if i != k:
            ratio = matrix[i, k] / diagonal
            vector[i] -= ratio * own
            for j in range(size):
                matrix[i, j] -= ratio * matrix[k, j]
            matrix[i, k] = -ratio if back else ratio
    for j in range(size):
        matrix[k, j] = matrix[j, k]
    matrix[k, k] = -1.0 / diagonal
    vector[k] = -own / diagonal if back else own / diagonal


@compiled()
def log_odds(pull, width, tau, centre, odds):  # type: ignore[no-untyped-def]
    """Log odds of a positive and of a negative coupling against none; `width` is its precision with the slab's τ in it."""
    base = odds - np.log(2.0) + 0.5 * np.log(tau / width) - 0.5 * tau * centre**2
    return base + 0.5 * (pull + tau * centre) ** 2 / width, base + 0.5 * (pull - tau * centre) ** 2 / width


@compiled()
def three_ways(plus, minus):  # type: ignore[no-untyped-def]
    """A sign, −1, 0 or 1, drawn from log odds against 0."""
    top = max(plus, minus, 0.0)
    up, down, none = np.exp(plus - top), np.exp(minus - top), np.exp(-top)
    u = np.random.random() * (up + down + none)
    return 1.0 if u < up else (-1.0 if u < up + down else 0.0)


@compiled()
def _move_one(matrix, vector, sign, free, odds, pull, score):  # type: ignore[no-untyped-def]
    """Take a random free coupling out and put one back where, and with the sign, its conditional probability says."""
    tau, centre = pull
    size, inside = len(vector), 0
    for i in range(size):
        inside += free[i] and sign[i] != 0.0
    if inside == 0:
        return
    pick, k = np.random.randint(inside), 0
    for i in range(size):
        if free[i] and sign[i] != 0.0:
            if pick == 0:
                k = i
                break
            pick -= 1
    pivot(matrix, vector, k, True)
    vector[k] -= tau * centre * sign[k]
    sign[k] = 0.0
    top = -np.inf
    for i in range(size):
        score[2 * i] = score[2 * i + 1] = -np.inf
        if free[i] and sign[i] == 0.0:
            score[2 * i], score[2 * i + 1] = log_odds(vector[i], matrix[i, i], tau, centre, odds[i])
            top = max(top, score[2 * i], score[2 * i + 1])
    total = 0.0
    for i in range(2 * size):
        score[i] = np.exp(score[i] - top)
        total += score[i]
    u, chosen = np.random.random() * total, 2 * k
    for i in range(2 * size):
        if score[i] > 0.0:
            chosen = i
            u -= score[i]
            if u < 0.0:
                break
    k = chosen // 2
    sign[k] = 1.0 if chosen % 2 == 0 else -1.0
    vector[k] += tau * centre * sign[k]
    pivot(matrix, vector, k, False)


@compiled()
def _strengths(prior, right, local, members, n_couplings, pull, theta):  # type: ignore[no-untyped-def]
    """All strengths anew, jointly, given which couplings are in and their signs; θ in place."""
    inside = np.flatnonzero(local)
    live, target = np.empty((len(inside), len(inside))), np.empty(len(inside))
    theta[:] = 0.0
    for a in range(len(inside)):
        i = inside[a]
        target[a] = right[i]
        if members[i] < n_couplings:
            target[a] += pull * local[i]
        for b in range(len(inside)):
            live[a, b] = prior[i, inside[b]]
    if len(inside):
        root = np.linalg.cholesky(live)
        noise = np.random.normal(0.0, 1.0, len(inside))
        strengths = np.linalg.solve(root.T, np.linalg.solve(root, target) + noise)
        for a in range(len(inside)):
            theta[members[inside[a]]] = strengths[a]


@compiled()
def sweep(precision, linear, n_couplings, field_precision, tau, centre, odds, theta, sign, free, moves):  # type: ignore[no-untyped-def]
    """One collapsed sweep over the `free` couplings, `moves` changes of place, then all strengths anew; θ and sign in place.

    `odds` are the prior log odds of every coupling to exist. Couplings that are not free keep their sign (or stay absent); `free` must
    not depend on the state of the chain.
    """
    p, size = len(linear), 0
    members = np.empty(p, np.int64)
    for k in range(p):
        if k >= n_couplings or sign[k] != 0.0 or free[k]:
            members[size] = k
            size += 1
    matrix, vector, local, open_ = np.empty((size, size)), np.empty(size), np.empty(size), np.zeros(size, np.bool_)
    own = np.zeros(size)
    for i in range(size):
        k = members[i]
        for j in range(size):
            matrix[i, j] = precision[k, members[j]]
        vector[i] = linear[k]
        if k >= n_couplings:
            matrix[i, i] += field_precision
            local[i] = 2.0  # always there
        else:
            matrix[i, i] += tau
            local[i], open_[i], own[i] = sign[k], free[k], odds[k]
            vector[i] += tau * centre * sign[k]
    prior, right = matrix.copy(), linear[members[:size]]
    for i in range(size):
        if local[i] != 0.0:
            pivot(matrix, vector, i, False)
    for i in np.random.permutation(size):
        if not open_[i]:
            continue
        width = matrix[i, i] if local[i] == 0.0 else -1.0 / matrix[i, i]
        pull = vector[i] if local[i] == 0.0 else vector[i] * width - tau * centre * local[i]
        plus, minus = log_odds(pull, width, tau, centre, own[i])
        new = three_ways(plus, minus)
        if new != local[i]:
            if local[i] != 0.0:
                pivot(matrix, vector, i, True)
                vector[i] -= tau * centre * local[i]
            if new != 0.0:
                vector[i] += tau * centre * new
                pivot(matrix, vector, i, False)
            local[i] = new
    score = np.empty(2 * size)
    for _ in range(moves):
        _move_one(matrix, vector, local, open_, own, (tau, centre), score)
    for i in range(size):
        if members[i] < n_couplings:
            sign[members[i]] = local[i]
    _strengths(prior, right, local, members, n_couplings, tau * centre, theta)
