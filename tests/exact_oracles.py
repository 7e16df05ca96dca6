"""Small systems of every kind and a plain Python loop over their states: the truth that exact oracles must match."""

from __future__ import annotations

import itertools
import math

import jax
import numpy as np

from hamlearn.systems import Clock, Pairwise, Potts, SherringtonKirkpatrick, lattice
from hamlearn.systems.exact import cuts, partition


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def glass(graph, seed=0):
    return Pairwise(graph, random(graph.n_bonds, seed=seed), random(graph.n_sites, seed=seed + 1))


# A new system or lattice adds one line; every test of the contract below runs over it. At most 4096 states.
SYSTEMS = {
    "ring": lambda: glass(lattice.hypercubic(5)),
    "chain": lambda: glass(lattice.hypercubic(6, periodic=False)),
    "ring of 2": lambda: glass(lattice.hypercubic(2)),
    "torus 1x5": lambda: glass(lattice.hypercubic((1, 5))),
    "torus 2x2, double bonds": lambda: glass(lattice.hypercubic((2, 2))),
    "torus 2x4": lambda: glass(lattice.hypercubic((2, 4))),
    "torus 3x3": lambda: glass(lattice.hypercubic((3, 3))),
    "strip 2x5, open": lambda: glass(lattice.hypercubic((2, 5), periodic=False)),
    "cube 2x2x2": lambda: glass(lattice.hypercubic((2, 2, 2))),
    "triangular 3x3": lambda: glass(lattice.triangular((3, 3))),
    "triangular 2x3, open": lambda: glass(lattice.triangular((2, 3), periodic=False)),
    "honeycomb 3x1": lambda: glass(lattice.honeycomb((3, 1))),
    "honeycomb 2x2": lambda: glass(lattice.honeycomb((2, 2))),
    "second neighbours": lambda: glass(lattice.hypercubic((3, 3)).pairs_within(1.5)),
    "any graph": lambda: Pairwise([[0, 4], [4, 2], [1, 3], [3, 0], [2, 3]], random(5), random(6), n_sites=6),
    "Sherrington-Kirkpatrick": lambda: SherringtonKirkpatrick(7, seed=1, h=0.3),
    "clock q=3": lambda: Clock((2, 3), 3, J=random(12), h=random(6, 3)),
    "Potts q=4 ring": lambda: Potts(4, 4, J=-0.7, h=[0.1, 0.2, -0.4, 0.0]),
    "Potts q=3, general tables": lambda: Potts((3, 2), 3, J=random(12, 3, 3), h=random(6, 3)),
    "Potts q=2 open": lambda: Potts((3, 3), 2, J=random(12), h=random(9, 2), periodic=False),
}

LAYERED = [name for name in SYSTEMS if cuts.layers_of((s := SYSTEMS[name]()).lattice, s.space.q)]


def loop_energy(system, state):
    """H from its definition, one bond and one site at a time, without the library's tables."""
    energy = 0.0
    for bond, (i, j) in enumerate(system.lattice.bonds.tolist()):
        a, b = state[i], state[j]
        if isinstance(system, Pairwise):
            energy -= system.J[bond] * a * b
        elif system.interaction == "general":
            energy -= system.J[bond, a, b]
        elif system.interaction == "potts":
            energy -= system.J[bond] * (a == b)
        elif system.interaction == "ordinal":
            energy -= system.J[bond] * system.scores[a] * system.scores[b]
        else:
            energy -= system.J[bond] * math.cos(2 * math.pi * (a - b) / system.q)
    for i, a in enumerate(state):
        energy -= system.h[i] * a if isinstance(system, Pairwise) else system.h[i, a]
    return float(energy)


class BruteForce:
    """Everything by summing over states in a Python loop."""

    def __init__(self, system, beta):
        values = [-1, 1] if isinstance(system, Pairwise) else list(range(system.q))
        self.states = list(itertools.product(values, repeat=system.lattice.n_sites))
        self.energies = [loop_energy(system, state) for state in self.states]
        ground = min(self.energies)
        weights = [math.exp(-beta * (energy - ground)) for energy in self.energies]
        total = math.fsum(weights)
        self.probabilities = [weight / total for weight in weights]
        self.log_z = math.log(total) - beta * ground
        self.energy = self.mean(self.energies)
        self.variance = self.mean([(energy - self.energy) ** 2 for energy in self.energies])
        self.entropy = -math.fsum(p * math.log(p) for p in self.probabilities if p > 0)

    def mean(self, values):
        return math.fsum(p * value for p, value in zip(self.probabilities, values, strict=True))

    def probability(self, event):
        return math.fsum(p for p, state in zip(self.probabilities, self.states, strict=True) if event(state))


def evaluate(system, beta, method, arithmetic="auto"):
    """Log Z and its gradients (pair and site marginals)."""
    with jax.enable_x64(True):
        run = partition.compiled(system.lattice, system.space.q, method, arithmetic).gradient
        value, marginals = run(beta, system.pairs.tables, system.pairs.fields)
        return float(value), *(np.asarray(marginal) for marginal in marginals)
