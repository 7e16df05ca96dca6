"""How often `hl.audit` catches planted defects, at which sample size, and by which comparison.

    python benchmarks/audit/power.py [--pairs 20] [--only NAME ...]

writes results/power.md. Reference and model each have `rows` independent (or nearly independent) microstates; the model is an honest sample
of the same system with one defect planted.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import hamlearn as hl

RESULTS = Path(__file__).parent / "results"
ISING = hl.systems.Ising((8, 8))
BETA = 0.4
Case = Callable[[int, int], tuple[xr.Dataset, xr.Dataset, dict[str, object]]]


def drawn(system: hl.systems.base.System, seed: int, rows: int, beta: float = BETA, **options: object) -> xr.Dataset:
    """Nearly independent microstates."""
    return hl.simulate(system, beta=beta, draws=rows // 16, chains=16, seed=seed, thin=5, progress=False, **options)


def of(data: xr.Dataset, states: np.ndarray) -> xr.Dataset:
    """Other states in place of those of a sample."""
    return data.assign(state=(data["state"].dims, states.reshape(data["state"].shape).astype(np.int8)))


def wrong_coupling(seed: int, rows: int):
    """All J 2 % too strong."""
    return drawn(ISING, 2 * seed, rows), drawn(hl.systems.Ising((8, 8), J=1.02), 2 * seed + 1, rows), {"energy": ISING}


def missing_bond(seed: int, rows: int):
    """One of 128 bonds is missing."""
    J = np.ones(ISING.lattice.n_bonds)
    J[37] = 0.0
    return drawn(ISING, 2 * seed, rows), drawn(hl.systems.Pairwise(ISING.lattice, J), 2 * seed + 1, rows, sampler="swendsen_wang"), {}


def broken_law(seed: int, rows: int):
    """One spin is flipped in 1 % of the states of a system of fixed magnetization."""
    kept = hl.systems.FixedMagnetization(ISING, 0)
    first, second = drawn(kept, 2 * seed, rows), drawn(kept, 2 * seed + 1, rows)
    states = second["state"].values.reshape(rows // 16 * 16, 64).copy()
    rng = np.random.default_rng(seed)
    hit = rng.random(len(states)) < 0.01
    states[hit, rng.integers(64, size=len(states))[hit]] *= -1
    dims = ("chain", "draw", "x0", "x1")
    return first, hl.microstates(states.reshape(16, -1, 8, 8), space="spins", beta=BETA, periodic=True, dims=dims), {}


def dropped_mode(seed: int, rows: int):
    """Below T_c, states of the other sign of the magnetization are missing."""
    first, second = (drawn(ISING, 2 * seed + k, rows, beta=0.5, sampler="swendsen_wang") for k in (0, 1))
    states = second["state"].values.reshape(-1, 64)
    return first, of(second, states * np.where(states.sum(1) < 0, -1, 1)[:, None]), {}


def rare_mode(seed: int, rows: int):
    """A tenth of the weight of one of two modes is moved to the other."""
    first, second = (drawn(ISING, 2 * seed + k, rows, beta=0.5, sampler="swendsen_wang") for k in (0, 1))
    states, rng = second["state"].values.reshape(-1, 64), np.random.default_rng(seed)
    turned = (states.sum(1) < 0) & (rng.random(len(states)) < 0.2)
    return first, of(second, states * np.where(turned, -1, 1)[:, None]), {}


def long_range(seed: int, rows: int):
    """Correlations beyond neighbours are off: next-nearest bonds, with J lowered so that C(1) is right to 0.002."""
    lattice = hl.systems.lattice.hypercubic((8, 8)).pairs_within(1.5)
    near = np.isclose(lattice.distances[tuple(lattice.bonds.T)], 1.0)
    return drawn(ISING, 2 * seed, rows), drawn(hl.systems.Pairwise(lattice, np.where(near, *MATCHED)), 2 * seed + 1, rows), {}


def memorised(seed: int, rows: int):
    """A tenth of the model's states are copies of training states."""
    hot = 0.2
    training, reference, second = (drawn(ISING, 3 * seed + k, rows, beta=hot) for k in (0, 1, 2))
    states, rng = second["state"].values.reshape(-1, 64).copy(), np.random.default_rng(seed)
    copied = rng.random(len(states)) < 0.1
    states[copied] = training["state"].values.reshape(-1, 64)[rng.integers(rows // 16 * 16, size=int(copied.sum()))]
    return reference, of(second, states), {"training": training}


def honest(seed: int, rows: int):
    """Nothing is wrong."""
    return drawn(ISING, 2 * seed, rows), drawn(ISING, 2 * seed + 1, rows), {"energy": ISING}


MATCHED = (0.9241, 0.06)  # nearest and next-nearest J, found by `match`
CASES: dict[str, tuple[Case, tuple[int, ...]]] = {
    "nothing": (honest, (4000,)),
    "J wrong by 2 %": (wrong_coupling, (4000, 16000)),
    "one missing bond of 128": (missing_bond, (1000, 4000)),
    "conservation broken in 1 % of states": (broken_law, (1600, 4000)),
    "dropped mode": (dropped_mode, (1000,)),
    "mode weighed 40 : 60": (rare_mode, (1000, 4000)),
    "C(r) off beyond r = 1 only": (long_range, (4000, 16000)),
    "a tenth copied from training": (memorised, (1000, 4000)),
}


def match() -> None:
    """Next-nearest strength 0.06: the nearest strength whose C(1) is that of J = 1, by bisection with long runs."""
    lattice = hl.systems.lattice.hypercubic((8, 8)).pairs_within(1.5)
    near = np.isclose(lattice.distances[tuple(lattice.bonds.T)], 1.0)
    nearest = lambda data: float(np.mean([(data["state"] * data["state"].roll({axis: 1})).mean() for axis in ("x0", "x1")]))
    wanted, low, high = nearest(drawn(ISING, 1, 200_000)), 0.7, 1.0
    for step in range(10):
        middle = (low + high) / 2
        found = nearest(drawn(hl.systems.Pairwise(lattice, np.where(near, middle, 0.06)), 100 + step, 100_000))
        low, high = (middle, high) if found < wanted else (low, middle)
        print(middle, found, wanted, flush=True)


def main() -> None:
    """Run and record."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--match", action="store_true")
    asked = parser.parse_args()
    if asked.match:
        match()
        return
    lines = []
    for name, (case, sizes) in CASES.items():
        if asked.only and not any(one in name for one in asked.only):
            continue
        for rows in sizes:
            caught, by = 0, Counter()
            for seed in range(asked.pairs):
                reference, model, options = case(seed, rows)
                found = hl.audit(reference, model, seed=seed, **options)
                caught += found.decision == "differs"
                by.update(one.name for one in found.flagged)
            named = ", ".join(f"{key} {count}" for key, count in by.most_common(4))
            lines.append(f"| {name} | {rows} | {caught} of {asked.pairs} | {named} |")
            print(lines[-1], flush=True)
    head = "| defect | rows of each | caught at 0.01 | by (how often) |"
    text = "\n".join(["# Power of the audit", "", "`python benchmarks/audit/power.py`", "", head, "|---|---|---|---|", *lines, ""])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "power.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
