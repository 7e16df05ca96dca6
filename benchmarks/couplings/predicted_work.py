"""What `predict` announces against what happens: seconds of counted work, and seconds of CPU.

    python benchmarks/couplings/predicted_work.py [--only NAME]  (what is recorded of the others stays)

Every prediction runs in a process of its own, from the file of a posterior, twice: without compiled code from before, as a user's first
call does (the announcement holds the compilation), and with what the first left in a cache (compared without it). Written are the
announcement (the attribute ``operations`` over the operations of a second) and the CPU seconds of ``hl.infer.predict``; what learned the
posterior is not counted. Wall time is not recorded: it is the machine's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl
from hamlearn.systems import SPINS, Lattice, ParametricSystem, Space, lattice
from hamlearn.systems.base import as_reals, as_site_axes
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND

RESULTS = Path(__file__).parent / "results" / "predicted_work.json"


@dataclass(frozen=True, eq=False)
class Products(ParametricSystem, kind="products of neighbours"):
    """H = −J Σ s t over bonds − h Σ s: known to the library by its energy alone."""

    lattice: Lattice
    J: float
    h: float
    space: Space = SPINS

    def energy(self, states: Any) -> Any:
        xp, s = as_reals(states)
        s = as_site_axes(s, self.lattice.shape)
        a, b = (xp.take(s, xp.asarray(self.lattice.bonds[:, end].copy()), axis=-1) for end in (0, 1))
        return -self.J * xp.sum(a * b, axis=-1) - self.h * xp.sum(s, axis=-1)


@dataclass(frozen=True, eq=False)
class Quick(Products, kind="products of neighbours, and their changes"):
    """The same, and what a change of one site costs."""

    def energy_change(self, state: Any, site: Any, value: Any) -> Any:
        import jax.numpy as jnp

        s = state.reshape(-1)
        near = jnp.asarray(self.lattice.neighbours[0])[site]
        return -(value - s[site]) * (self.J * jnp.sum(s[near]) + self.h)


@dataclass(frozen=True, eq=False, repr=False)
class Own(hl.models.Family, kind="own"):
    """Learned by its energy."""

    def system(self, lattice: Lattice, J: Any, h: Any) -> Any:
        return Products(lattice, J, h)


@dataclass(frozen=True, eq=False, repr=False)
class OwnQuick(hl.models.Family, kind="own quick"):
    """The same with changes of single sites."""

    def system(self, lattice: Lattice, J: Any, h: Any) -> Any:
        return Quick(lattice, J, h)


@dataclass(frozen=True, eq=False)
class Hidden(Products, kind="products of neighbours, by a matrix"):
    """The same by a matrix of all sites, which hides that a term sees two of them."""

    def energy(self, states: Any) -> Any:
        xp, s = as_reals(states)
        n = self.lattice.n_sites
        flat = xp.reshape(s, (*s.shape[: s.ndim - len(self.lattice.shape)], n)) if s.ndim > 1 and s.shape[-1] != n else s
        near = np.zeros((n, n))
        near[tuple(self.lattice.bonds.T)] = 1.0
        return -self.J * xp.sum(flat * (flat @ xp.asarray(near)), axis=-1) - self.h * xp.sum(flat, axis=-1)


@dataclass(frozen=True, eq=False, repr=False)
class OwnHidden(hl.models.Family, kind="own hidden"):
    """Learned by its energy, whose terms are not seen."""

    def system(self, lattice: Lattice, J: Any, h: Any) -> Any:
        return Hidden(lattice, J, h)


@dataclass(frozen=True, eq=False)
class Plaquettes(Products, kind="products around squares"):
    """H = −J Σ σσσσ around squares − h Σ σ: no pairs to be found in it."""

    def energy(self, states: Any) -> Any:
        xp, s = as_reals(states)
        pairs = s * xp.roll(s, -1, axis=-2)
        return -self.J * xp.sum(pairs * xp.roll(pairs, -1, axis=-1), axis=(-2, -1)) - self.h * xp.sum(s, axis=(-2, -1))


@dataclass(frozen=True, eq=False, repr=False)
class OwnPlaquettes(hl.models.Family, kind="own plaquettes"):
    """Learned by its energy."""

    def system(self, lattice: Lattice, J: Any, h: Any) -> Any:
        return Plaquettes(lattice, J, h)


def _data(system: Any, rows: int = 1000, beta: float = 0.4) -> Any:
    return hl.simulate(system, beta=beta, draws=rows // 10, chains=10, seed=0, progress=False)


def _learned(data: Any, model: Any, **settings: Any) -> Any:
    return hl.infer.learn(data, model, seed=0, **settings)


def _own(extent: int, family: Any) -> Any:
    return _learned(_data(hl.systems.Ising((extent, extent), J=0.8, h=0.1)), family)


def _couplings(system: Any, likelihood: str = "pseudo", **more: Any) -> Any:
    return _learned(_data(system), hl.models.Couplings(system.lattice, **more), likelihood=likelihood, engine="laplace")


def _network(extent: int) -> Any:
    data = _data(hl.systems.EdwardsAnderson((extent, extent), seed=1))
    return hl.infer.distill(data, hl.systems.EdwardsAnderson((extent, extent), seed=1), hl.models.Extensive(1, 2, (8,)), seed=0)


def _windows(extent: int) -> Any:
    return _learned(_data(hl.systems.EdwardsAnderson((extent, extent), seed=1)), hl.models.ClusterExpansion(order=2, window=(2, 2)))


def _field() -> Any:
    return _learned(_data(hl.systems.ScalarField((6, 6), m2=1.0, lam=0.5), beta=1.0), hl.models.PolynomialAction(powers=(2, 4)))


def _wide_field() -> Any:
    return _learned(_data(hl.systems.ScalarField((8, 8), m2=0.5, lam=1.0), beta=1.0), hl.models.PolynomialAction(powers=(2, 4)))


def _potts_glass() -> Any:
    graph = lattice.hypercubic((5, 5))
    strengths = np.random.default_rng(1).normal(size=graph.n_bonds)
    return _couplings(hl.systems.Potts(graph, 3, J=strengths))


def _local() -> Any:
    return _learned(_data(hl.systems.EdwardsAnderson((4, 4), seed=2), 2000), hl.models.LocalInteraction(2, (8,), members=8))


def _chain() -> Any:
    return _learned(_data(hl.systems.Ising((200,), J=0.9, h=0.2)), hl.models.ClusterExpansion(window=4))


def _rotors() -> Any:
    return _learned(_data(hl.systems.XY((6, 6))), hl.models.Couplings(lattice.hypercubic((6, 6)), fields=None), engine="laplace")


TEN, FEW = np.linspace(0.1, 1.0, 10), [0.3, 0.5, 0.8]
Problem = tuple[Callable[[], Any], Any, dict[str, Any]]
FITTED: dict[str, Problem] = {
    "own family 6x6, 16 draws": (lambda: _own(6, Own()), FEW, {"draws": 16, "observables": ["energy", "heat_capacity", "binder"]}),
    "own family 8x8 with changes, 16 draws": (lambda: _own(8, OwnQuick()), FEW, {"draws": 16, "observables": ["energy", "heat_capacity"]}),
    "own family 4x4, 64 draws": (lambda: _own(4, Own()), TEN, {}),
    "Extensive(1, 2) 6x6, 1 network": (lambda: _network(6), FEW, {"draws": 4, "observables": ["energy", "heat_capacity"]}),
    "glass 4x4, 64 draws": (lambda: _couplings(hl.systems.EdwardsAnderson((4, 4), seed=1), "exact"), TEN, {}),
    "glass 8x8, magnetization, 16 draws": (
        lambda: _couplings(hl.systems.EdwardsAnderson((8, 8), seed=1)),
        FEW,
        {"draws": 16, "observables": ["abs_magnetization"]},
    ),
    "ferromagnet 32x32, tied": (
        lambda: _couplings(hl.systems.Ising((32, 32)), tie="uniform", fields=None),
        FEW,
        {"observables": ["energy", "abs_magnetization"]},
    ),
    "Potts 6x6, 32 draws": (
        lambda: _couplings(hl.systems.Potts((6, 6), 3)),
        FEW,
        {"draws": 32, "observables": ["energy", "heat_capacity"]},
    ),
    "windows 6x6, 16 draws": (lambda: _windows(6), FEW, {"draws": 16, "observables": ["abs_magnetization"]}),
    "scalar field 6x6, 64 draws": (_field, [0.8, 1.2], {}),
    "rotors 6x6, 64 draws": (_rotors, FEW, {"observables": ["energy"]}),
    "glass 22x22, 16 draws": (
        lambda: _couplings(hl.systems.EdwardsAnderson((22, 22), seed=1)),
        FEW,
        {"draws": 16, "observables": ["energy", "heat_capacity"]},
    ),
    "40 spins, all pairs, entropy, 16 draws": (
        lambda: _couplings(hl.systems.SherringtonKirkpatrick(40, seed=1)),
        [0.2, 0.4],
        {"draws": 16, "observables": ["entropy_bits", "multi_information"]},
    ),
    "glass 20x20, log Z, 16 draws": (lambda: _couplings(hl.systems.EdwardsAnderson((20, 20), seed=1)), FEW, {"draws": 16}),
}
HELD_OUT: dict[str, Problem] = {  # no constant was set with these
    "Potts glass 5x5": (_potts_glass, FEW, {"draws": 16}),
    "scalar field 8x8": (_wide_field, [0.7, 1.0], {}),
    "own plaquettes 6x6": (lambda: _learned(_data(Plaquettes(lattice.hypercubic((6, 6)), 0.6, 0.1)), OwnPlaquettes()), [0.4], {"draws": 8}),
    "local interaction 4x4": (_local, FEW, {}),
    "cluster expansion, chain of 200": (_chain, FEW, {}),
}
PROBLEMS = FITTED | HELD_OUT


def one(name: str, file: str) -> dict[str, Any]:
    """Announcement and CPU seconds of one prediction, in this process."""
    _, betas, settings = PROBLEMS[name]
    post = hl.load(file)
    started = time.process_time()
    curves = hl.infer.predict(post, betas, seed=0, **settings)
    spent = time.process_time() - started
    method = str(next(iter(curves.data_vars.values())).attrs["method"])
    announced, compiling = (curves.attrs[what] / OPERATIONS_PER_SECOND for what in ("operations", "compiling"))
    return {"problem": name, "fitted": name not in HELD_OUT, "announced": announced, "compiling": compiling, "cpu": spent, "method": method}


def twice(name: str) -> dict[str, Any]:
    """The same in fresh processes: with an empty cache of compiled code, and with the one that the first filled."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "post.nc")
        hl.save(PROBLEMS[name][0](), file)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "compiled")}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        runs = []
        for _ in range(2):
            command = [sys.executable, __file__, "--one", name, file]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    cold, warm = runs
    ratio, ratio_warm = cold["cpu"] / cold["announced"], warm["cpu"] / (warm["announced"] - warm["compiling"])
    return cold | {"cpu_warm": warm["cpu"], "ratio": ratio, "ratio_warm": ratio_warm}


def main() -> None:
    """All predictions, or those that are named."""
    if "--one" in sys.argv:
        print(json.dumps(one(*sys.argv[sys.argv.index("--one") + 1 :][:2])))
        return
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    rows = {row["problem"]: row for row in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    for name in PROBLEMS:
        if only in name:
            row = rows[name] = twice(name)
            numbers = [row[key] for key in ("announced", "cpu", "ratio", "cpu_warm", "ratio_warm")]
            print(f"{name:38s}", *(f"{number:8.2f}" for number in numbers), row["method"], flush=True)
            RESULTS.write_text(json.dumps(list(rows.values()), indent=1) + "\n")
    for cache in ("ratio", "ratio_warm"):
        for fitted in (True, False):
            ratios = [row[cache] for row in rows.values() if row["fitted"] is fitted]
            inside = sum(0.5 < ratio < 2 for ratio in ratios)
            print(f"{cache}, {'fitted' if fitted else 'held out'}: {inside} of {len(ratios)} within a factor of two")


if __name__ == "__main__":
    main()
