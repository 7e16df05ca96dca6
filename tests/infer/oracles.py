"""What the inference tests compare with: plain loops and enumeration that share no code with the library.

Everything here works with value indices 0 … q−1 and with the *reported* couplings and fields (`bound.values`), so the
meaning of θ itself is not taken on trust.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def sizes(bound):
    """How many states every site has."""
    return bound.space.sizes or (bound.space.q,) * bound.lattice.n_sites


def score(bound, site, a):
    """The number that stands for one of ordered states: those given less their mean, else −1 to 1 in equal steps."""
    q, given = sizes(bound)[site], bound.model.scores
    return given[a] - sum(given) / q if given else 2 * a / (q - 1) - 1


def pair_term(bound, J, bond, a, b):
    """−energy of one bond whose ends hold the values of index a and b."""
    q = bound.space.q
    if bound.interaction == "ising":
        return J[bond] * (2 * a - 1) * (2 * b - 1)
    if bound.interaction == "clock":
        return J[bond] * math.cos(2 * math.pi * (a - b) / q)
    if bound.interaction == "potts":
        return J[bond] * (1.0 if a == b else 0.0)
    if bound.interaction == "ordinal":
        i, j = bound.lattice.bonds[bond]
        return J[bond] * score(bound, i, a) * score(bound, j, b)
    return J[bond][a][b]


def site_term(bound, h, site, a):
    """−energy of one site that holds the value of index a."""
    return h[site] * (2 * a - 1) if bound.interaction == "ising" else h[site][a]


def minus_energy(bound, theta, state):
    """−H of one microstate."""
    J, h = bound.values(np.asarray(theta, float))
    total = sum(pair_term(bound, J, b, state[i], state[j]) for b, (i, j) in enumerate(bound.lattice.bonds.tolist()))
    return total + sum(site_term(bound, h, site, a) for site, a in enumerate(state))


def local_log_weights(bound, J, h, state, site):
    """−H as a function of the value of one site, the others held; terms without the site are left out."""
    weights = []
    for a in range(sizes(bound)[site]):
        total = site_term(bound, h, site, a)
        for bond, (i, j) in enumerate(bound.lattice.bonds.tolist()):
            if i == site:
                total += pair_term(bound, J, bond, a, state[j])
            elif j == site:
                total += pair_term(bound, J, bond, state[i], a)
        weights.append(total)
    return weights


def objective(name, bound, parts, theta):
    """Pseudo-likelihood, RISE and logRISE from their definitions, and the exact likelihood by enumeration."""
    J, h = bound.values(np.asarray(theta, float))
    if name == "exact":
        total = 0.0
        terms = [minus_energy(bound, theta, state) for state in itertools.product(*map(range, sizes(bound)))]
        for states, weights, beta in parts:
            log_z = math.log(sum(math.exp(beta * term) for term in terms))
            total += sum(w * (beta * minus_energy(bound, theta, state) - log_z) for state, w in zip(states, weights, strict=True))
        return total
    total, screened, size = 0.0, np.zeros(bound.lattice.n_sites), 0.0
    for states, weights, beta in parts:
        for state, weight in zip(states, weights, strict=True):
            size += weight
            for site in range(bound.lattice.n_sites):
                local = [beta * value for value in local_log_weights(bound, J, h, state, site)]
                if name == "pseudo":
                    total += weight * (local[state[site]] - math.log(sum(math.exp(value) for value in local)))
                else:
                    screened[site] += weight * math.exp(-(local[state[site]] - sum(local) / len(local)))
    if name == "pseudo":
        return total
    return -screened.sum() if name == "rise" else -size * sum(math.log(value / size) for value in screened)


def numerical_gradient(function, theta, step=1e-5):
    """Central differences, one parameter at a time."""
    return np.array([(function(theta + step * unit) - function(theta - step * unit)) / (2 * step) for unit in np.eye(len(theta))])


def all_spins(n):
    """Every configuration of n ±1 spins."""
    return np.array(list(itertools.product([-1, 1], repeat=n)))


def spin_weights(bonds, J, h, beta, n):
    """Boltzmann probabilities of :func:`all_spins`."""
    spins = all_spins(n)
    log_weight = spins @ np.broadcast_to(h, n).astype(float)
    for (i, j), coupling in zip(np.asarray(bonds).tolist(), np.broadcast_to(J, len(bonds)), strict=True):
        log_weight = log_weight + coupling * spins[:, i] * spins[:, j]
    weight = np.exp(beta * (log_weight - log_weight.max()))
    return spins, weight / weight.sum()


def exact_draws(bonds, J, h, beta, n, rows, seed):
    """Independent microstates of ±1 spins by enumeration."""
    spins, probability = spin_weights(bonds, J, h, beta, n)
    return spins[np.random.default_rng(seed).choice(len(spins), rows, p=probability)]


def heat_bath(matrix, h, beta, chains, draws, seed, *, sweeps=1, burn_in=200):
    """Random-site heat bath on ±1 spins, one draw every `sweeps`·n single-site updates: (chain, draw, n).

    All chains step together in plain NumPy; `matrix` is the symmetric coupling matrix.
    """
    generator = np.random.default_rng(seed)
    n = len(matrix)
    spins = generator.choice([-1.0, 1.0], (chains, n))
    kept = np.empty((chains, draws, n), np.int8)
    every = max(1, round(sweeps * n))
    here = np.arange(chains)
    for step in range(-burn_in * n, draws * every):
        site = generator.integers(n, size=chains)
        field = np.einsum("cn,cn->c", matrix[site], spins) + h[site]
        up = 1 / (1 + np.exp(-2 * beta * field))
        spins[here, site] = np.where(generator.random(chains) < up, 1.0, -1.0)
        if step >= 0 and (step + 1) % every == 0:
            kept[:, (step + 1) // every - 1] = spins
    return kept
