"""One small system of every kind and way of writing it; adding a system adds a line, and every contract is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import hamlearn as hl
from hamlearn.systems import SPINS, Lattice, Space, System, lattice


@dataclass(frozen=True, eq=False)
class ThreeSpins(System):
    """A system of a user's own, twenty lines: H = −K Σ σ_i σ_{i+1} σ_{i+2} on a ring."""

    n: int
    strength: float
    space: Space = SPINS
    pure_jax: bool = False

    @property
    def lattice(self) -> Lattice:
        return lattice.hypercubic(self.n)

    def energy(self, states: Any) -> Any:
        s = np.asarray(states, float)
        return -self.strength * (s * np.roll(s, -1, -1) * np.roll(s, -2, -1)).sum(-1)

    def action(self, states: Any, beta: float) -> Any:
        return beta * self.energy(states)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "three_spins", "n": self.n, "strength": self.strength}


def _extensive() -> System:
    """A network whose tiles have too many states for a table: 5 × 5 spins."""
    model = hl.models.Extensive(focus=1, context=2, hidden=(3,))
    bound = model.bind(SPINS, (5, 5))
    weights = bound.start(0)
    weights["matrix_1"] = np.random.default_rng(1).normal(size=weights["matrix_1"].shape).astype(np.float32)
    return bound.system(weights)


def _machine(space: Space, *axes: int) -> System:
    """Two hidden units on a torus."""
    rng, values = np.random.default_rng(7), (space.q,) if space.labelled else ()
    arrays = rng.normal(size=(int(np.prod(axes)), *values)), rng.normal(size=2), rng.normal(size=(int(np.prod(axes)), *values, 2))
    return hl.systems.RestrictedBoltzmannMachine(axes, *arrays, space=space, beta=0.6)


TABLES = np.random.default_rng(3).normal(size=(4, 3, 3))
DENSITY = lambda states, beta=None: -0.5 * (np.asarray(states) ** 2).sum(-1)

SYSTEMS: dict[str, Callable[[], Any]] = {
    "Ising torus with field": lambda: hl.systems.Ising((3, 3), J=0.8, h=0.1),
    "Ising open chain": lambda: hl.systems.Ising(5, periodic=False),
    "glass": lambda: hl.systems.EdwardsAnderson((3, 3), seed=2),
    "Sherrington–Kirkpatrick": lambda: hl.systems.SherringtonKirkpatrick(6, seed=1),
    "weak–strong": hl.systems.WeakStrong,
    "spins on a graph": lambda: hl.systems.Pairwise([[0, 1], [1, 2], [0, 2]], J=[1.0, -1.0, 0.5], h=[0.3, 0, 0]),
    "honeycomb": lambda: hl.systems.Ising(lattice.honeycomb((2, 3))),
    "clock": lambda: hl.systems.Clock((2, 3), q=4, J=0.7),
    "Potts with fields": lambda: hl.systems.Potts((2, 3), q=3, h=[0.2, 0.0, -0.2]),
    "ordered states": lambda: hl.systems.Ordinal(4, q=4, J=0.7, h=[0.2, 0.0, -0.2, 0.1], scores=[0, 1, 2, 4]),
    "sites of their own states": lambda: hl.systems.Ordinal(4, q=(2, 4, 3, 2), J=0.7, h=[0.2, 0.0, -0.2, 0.1]),
    "general tables": lambda: hl.systems.QState(lattice.hypercubic(4), 3, TABLES, interaction="general"),
    "rotors": lambda: hl.systems.XY((3, 3), J=0.9, h=0.2),
    "rotors on an open chain": lambda: hl.systems.XY(4, periodic=False),
    "Heisenberg with fields": lambda: hl.systems.Heisenberg((3, 3), J=0.7, h=[0.1, 0.0, 0.3]),
    "open chain of vectors": lambda: hl.systems.VectorSpins(5, n=4, periodic=False),
    "path in a double well": lambda: hl.systems.Path(8, hl.systems.DoubleWell(4.0, 2.0)),
    "path of a given width": lambda: hl.systems.Path(8, hl.systems.Polynomial([0.1, 0.5]), 1.3, a=0.4),
    "open path": lambda: hl.systems.Path(6, hl.systems.Polynomial([0, 0.5, 0, 0.3]), periodic=False),
    "path of a network": lambda: hl.systems.NetworkPath(
        8,
        hl.systems.UnitLayer([0.1, 0.5], [0.3, -0.2], [-0.5, 0.5], 0.4),
        steps=hl.systems.UnitLayer([0, 0.5], [0.2], [0.7], 0.5, even=True),
    ),
    "scalar field": lambda: hl.systems.ScalarField((3, 3), m2=1.0, lam=0.5),
    "scalar field of products": lambda: hl.systems.ScalarField((3, 3), m2=5.0, lam=0.5, coupling="product"),
    "polynomial field": lambda: hl.systems.PolynomialField((3, 3), [0.1, 0.5, 0.0, 0.2], 0.7),
    "open field of products": lambda: hl.systems.PolynomialField((3, 3), [0, 3.0, 0, 0.2], 0.7, periodic=False, coupling="product"),
    "ranged field": lambda: hl.systems.RangedField((6,), [1.0, -0.2], [0, 0.5]),
    "ranged path": lambda: hl.systems.RangedField((8,), [1.0, 0.3], [0, 0.5, 0, 0.1], path=True),
    "path of a thermal field": lambda: hl.systems.ThermalField((4, 3), [0.1, 0.5, 0.0, 0.2], 1.2, 0.7),
    "interaction_tables": lambda: hl.systems.InteractionTables((3, 3), 2, np.random.default_rng(0).normal(size=16)),
    "tiles of their own tables": lambda: hl.systems.InteractionTables((3, 3), 2, np.random.default_rng(0).normal(size=(9, 16))),
    "tiles of three states": lambda: hl.systems.InteractionTables(
        (4,), 2, np.random.default_rng(0).normal(size=9), space=hl.systems.states(3)
    ),
    "joined paths": lambda: hl.systems.JoinedAction([hl.systems.Path(8, hl.systems.DoubleWell(4.0, 2.0))] * 2, [2.0, 4.0]),
    "extensive energy": _extensive,
    "machine of spins": lambda: _machine(SPINS, 3, 3),
    "machine of states": lambda: _machine(hl.systems.states(3), 2, 2),
    "machine of reals": lambda: hl.systems.GaussianMachine((2, 3), np.random.default_rng(5).normal(size=(6, 2)), 20.0),
    "density": lambda: hl.systems.LearnedDensity(lattice.hypercubic(4), hl.systems.REALS, 0.5, DENSITY),
    "a user's own": lambda: ThreeSpins(6, 0.4),
}
NUMPY_ONLY = ("extensive energy", "density", "a user's own")
"""Systems that promise NumPy arrays only (``pure_jax`` is False, stepped from Python)."""
NOT_WRITTEN = ("density", "a user's own")
"""Systems whose description cannot rebuild them: weights stay with the posterior, and a user's class is the user's."""


def microstates_of(system: System, n: int, seed: int = 0) -> np.ndarray:
    """Random states ``(n, *lattice.shape)`` in the system's space, components of vectors after the sites."""
    generator, shape = np.random.default_rng(seed), (n, *system.lattice.shape)
    if system.space.event_shape:
        return system.space.random(generator, shape)
    if system.space.name == "angles":
        return generator.uniform(0, 2 * np.pi, shape)
    if system.space.name == "reals":
        return generator.normal(size=shape)
    return system.space.random(generator, shape)
