"""How often the signals in the data are found where they were planted, and raised where there are none.

    python benchmarks/verdict_signals.py --n 60

writes ``benchmarks/results/verdict_signals.md``. Couplings of a 4×4 glass are learned by pseudo-likelihood from 3000 rows at
β = 0.5 unless the case says otherwise; every data set has its own truth. Generators are exact sampling and plain NumPy loops that
share nothing with what judges them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import hamlearn as hl
from hamlearn.diagnostics import signals
from hamlearn.errors import HamlearnError
from hamlearn.systems import exact, lattice

Case = Callable[[int], tuple[xr.Dataset, hl.models.Couplings]]
SQUARE, LARGE, SMALL = lattice.hypercubic((4, 4)), lattice.hypercubic((8, 8)), lattice.hypercubic((3, 3))
DIMS = ("chain", "draw", "x", "y")
FIELDS, PLAIN = hl.models.Couplings(SQUARE), hl.models.Couplings(SQUARE, fields=None)


def drawn(seed: int, rows: int = 3000, beta: float = 0.5, grid: lattice.Lattice = SQUARE) -> np.ndarray:
    return exact.sample(hl.systems.EdwardsAnderson(grid, seed=seed), beta, rows, seed).reshape(rows, *grid.shape).astype(int)


def independent(beta: float = 0.5, rows: int = 3000, model: hl.models.Couplings = FIELDS) -> Case:
    return lambda seed: (hl.microstates(drawn(seed, rows, beta), beta=beta), model)


def drift(low: float, high: float, jump: bool = False) -> Case:
    def case(seed: int):
        system = hl.systems.EdwardsAnderson(SQUARE, seed=seed)
        betas = np.repeat([low, high], 15) if jump else np.linspace(low, high, 30)
        pieces = [exact.sample(system, float(beta), 100, 1000 * seed + k).reshape(-1, 4, 4) for k, beta in enumerate(betas)]
        return hl.microstates(np.concatenate(pieces).astype(int), beta=0.5), FIELDS

    return case


def flipped_bonds(seed: int):
    """Eight of 32 bonds have the other sign in the second half of the rows."""
    rng = np.random.default_rng(seed)
    J = np.asarray(hl.systems.EdwardsAnderson(SQUARE, seed=seed).J).copy()
    other = J.copy()
    other[rng.choice(len(J), 8, replace=False)] *= -1
    halves = [exact.sample(hl.systems.Pairwise(SQUARE, one), 0.5, 1500, seed + 7 * k) for k, one in enumerate((J, other))]
    return hl.microstates(np.concatenate(halves).reshape(-1, 4, 4).astype(int), beta=0.5), FIELDS


def ring(seed: int):
    """Every spin follows one spin of the row before."""
    rng = np.random.default_rng(seed)
    rows = np.ones((4000, 10))
    for t in range(3999):
        rows[t + 1] = np.where(rng.random(10) < 1 / (1 + np.exp(-1.2 * np.roll(rows[t], 3))), 1, -1)
    return hl.microstates(rows.astype(int)), hl.models.Couplings(None)


def kinetic(strength: float) -> Case:
    """Asymmetric Gaussian couplings of standard deviation g/√N, all spins at once."""

    def case(seed: int):
        rng = np.random.default_rng(seed)
        J = rng.normal(size=(10, 10)) * strength / np.sqrt(10)
        rows = np.ones((4000, 10))
        for t in range(3999):
            rows[t + 1] = np.where(rng.random(10) < 1 / (1 + np.exp(-2 * J @ rows[t])), 1, -1)
        return hl.microstates(rows.astype(int)), hl.models.Couplings(None)

    return case


def copied(how: str) -> Case:
    def case(seed: int):
        rng, few = np.random.default_rng(seed), drawn(seed, 600)
        if how == "counts":
            rows, counts = np.unique(few.reshape(-1, 16), axis=0, return_counts=True)
            return hl.microstates(rows.reshape(-1, 4, 4), beta=0.5, counts=5 * counts), FIELDS
        copies = {
            "shuffled": lambda: rng.permutation(np.repeat(few, 5, 0)),
            "resampled": lambda: few[rng.integers(600, size=3000)],
            "partly": lambda: rng.permutation(np.concatenate([drawn(seed, 2000), few, few])),
            "flipped": lambda: rng.permutation(np.concatenate([drawn(seed, 1500), -drawn(seed, 1500)])),
        }
        return hl.microstates(copies[how](), beta=0.5), PLAIN if how == "flipped" else FIELDS

    return case


def heat_bath(
    J: np.ndarray, beta: float, draws: int, seed: int, *, updates: int, order: str = "random", rule: str = "heat bath", h: float = 0.0
):
    """Four chains ``(chain, draw, site)``, `updates` sites a row."""
    rng, n = np.random.default_rng(seed), len(J)
    spins, kept, chain, place = rng.choice([-1.0, 1.0], (4, n)), np.empty((4, draws, n), int), np.arange(4), 0
    for row in range(-100, draws):
        for _ in range(updates if row >= 0 else n):
            site = rng.integers(n, size=4) if order == "random" else np.full(4, place % n)
            place += 1
            pull = 2 * beta * spins[chain, site] * ((J[site] * spins).sum(1) + h)
            flip = rng.random(4) < (1 / (1 + np.exp(pull)) if rule == "heat bath" else np.exp(-np.maximum(pull, 0)))
            spins[chain, site] *= np.where(flip, -1, 1)
        if row >= 0:
            kept[:, row] = spins
    return kept


def chains(beta: float = 0.5, draws: int = 1000, model: hl.models.Couplings = FIELDS, **how) -> Case:
    def case(seed: int):
        J = np.zeros((16, 16))
        np.add.at(J, tuple(SQUARE.bonds.T), np.asarray(hl.systems.EdwardsAnderson(SQUARE, seed=seed).J))
        return hl.microstates(heat_bath(J + J.T, beta, draws, seed, **how).reshape(4, draws, 4, 4), dims=DIMS, beta=beta), model

    return case


def magnet(temperature: float, h: float, fields: str | None, cold: bool, draws: int = 1000) -> Case:
    """Checkerboard heat bath of an 8×8 ferromagnet, two sweeps a row; cold chains start with all spins up."""

    def case(seed: int):
        rng, odd = np.random.default_rng(seed), np.add.outer(np.arange(8), np.arange(8)) % 2
        spins = np.ones((4, 8, 8)) if cold else rng.choice([-1.0, 1.0], (4, 8, 8))
        kept = []
        for t in range(200 + 2 * draws):
            for colour in (0, 1):
                pull = np.roll(spins, 1, 1) + np.roll(spins, -1, 1) + np.roll(spins, 1, 2) + np.roll(spins, -1, 2) + h
                flip = (rng.random(spins.shape) < 1 / (1 + np.exp(2 * spins * pull / temperature))) & (odd == colour)
                spins = np.where(flip, -spins, spins)
            if t >= 200 and t % 2:
                kept.append(spins.copy())
        states = np.array(kept).transpose(1, 0, 2, 3).astype(int)
        return hl.microstates(states, dims=DIMS, beta=1 / temperature), hl.models.Couplings(LARGE, tie="uniform", fields=fields)

    return case


def sampled(system: hl.systems.System, beta: float, model: hl.models.Couplings, draws: int = 1000, **how) -> Case:
    return lambda seed: (hl.simulate(system, beta=beta, draws=draws, chains=4, seed=seed, progress=False, **how), model)


MOVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "moved": lambda states: np.roll(states, (1, 2), (2, 3)),
    "mirrored": lambda states: states[:, :, ::-1],
    "transposed": lambda states: states.swapaxes(2, 3),
}


def images(how: str, size: int = 6, beta: float = 0.35) -> Case:
    """Two chains of 800 rows of a ferromagnet with one coupling, and images of the first or of a part of it."""
    grid = lattice.hypercubic((size, size))

    def case(seed: int):
        rng, own = np.random.default_rng(seed), magnet_chains(seed, size, beta, 2, 800)
        if how == "a lump":
            own[1, 400:600] = MOVES["moved"](own)[0, 100:300]
        elif how == "shuffled":
            own = rng.permutation(np.concatenate([own[0], MOVES["transposed"](own)[0]]))[None]
        elif how != "none":
            own[1] = MOVES[how](own)[0]
        return hl.microstates(own, dims=DIMS, beta=beta), hl.models.Couplings(grid, tie="uniform", fields=None)

    return case


def magnet_chains(seed: int, size: int, beta: float, chains: int, draws: int) -> np.ndarray:
    """Chains ``(chain, draw, size, size)`` by checkerboard heat bath; `size` is even."""
    rng, odd = np.random.default_rng(seed), np.add.outer(np.arange(size), np.arange(size)) % 2
    spins, kept = rng.choice([-1.0, 1.0], (chains, size, size)), []
    for t in range(100 + 2 * draws):
        for colour in (0, 1):
            pull = sum(np.roll(spins, step, axis) for step in (1, -1) for axis in (1, 2))
            flip = (rng.random(spins.shape) < 1 / (1 + np.exp(2 * beta * spins * pull))) & (odd == colour)
            spins = np.where(flip, -spins, spins)
        if t >= 100 and t % 2:
            kept.append(spins)
    return np.array(kept).transpose(1, 0, 2, 3).astype(int)


PLANTED: dict[str, tuple[str, Case]] = {
    "β rises 0.25 → 0.75 along the rows": ("stationarity", drift(0.25, 0.75)),
    "β rises 0.1 → 0.9": ("stationarity", drift(0.1, 0.9)),
    "β jumps 0.4 → 0.6 in the middle": ("stationarity", drift(0.4, 0.6, jump=True)),
    "β rises 0.4 → 0.6": ("stationarity", drift(0.4, 0.6)),
    "8 of 32 bonds flipped in the second half": ("stationarity", flipped_bonds),
    "ring driven by the row before, K = 0.6, 4000 rows": ("time series", ring),
    "kinetic glass, g = 0.5": ("time series", kinetic(0.5)),
    "kinetic glass, g = 1": ("time series", kinetic(1.0)),
    "600 rows five times, shuffled": ("repeated rows", copied("shuffled")),
    "600 rows five times, as counts": ("repeated rows", copied("counts")),
    "600 rows resampled to 3000": ("repeated rows", copied("resampled")),
    "600 of 2600 rows twice": ("repeated rows", copied("partly")),
    "1500 rows and their mirror images, no fields": ("repeated rows", copied("flipped")),
    "8×8 ferromagnet at T = 1.8 in one phase, uniform field learned": (
        "phase, or stationarity if one chain turned",
        magnet(1.8, 0.0, "uniform", cold=True),
    ),
    "6×6, one coupling: a chain is the other one moved": ("repeated rows", images("moved")),
    "6×6, one coupling: mirrored": ("repeated rows", images("mirrored")),
    "6×6, one coupling: transposed": ("repeated rows", images("transposed")),
    "6×6, one coupling: 200 of 1600 rows moved in space and time": ("repeated rows", images("a lump")),
    "6×6, one coupling: 800 rows and their transposes, shuffled": ("repeated rows", images("shuffled")),
    "4×4, one coupling: a chain is the other one moved": ("repeated rows", images("moved", 4)),
}
CLEAN: dict[str, Case] = {
    "independent, 3000 rows": independent(),
    "independent, β = 1.5": independent(1.5),
    "independent, β = 0.2": independent(0.2),
    "independent, 300 rows": independent(0.5, 300),
    "independent, 20 000 rows, no fields": independent(0.5, 20_000, PLAIN),
    "heat bath, 4 × 1000 rows, half a sweep a row": chains(updates=8),
    "heat bath in fixed order, one sweep": chains(updates=16, order="fixed"),
    "Metropolis in fixed order, one sweep": chains(updates=16, order="fixed", rule="Metropolis"),
    "Metropolis in fixed order, two sweeps, β = 0.1": chains(0.1, updates=32, order="fixed", rule="Metropolis"),
    "heat bath, no fields, one sweep": chains(model=PLAIN, updates=16),
    "simulate: Metropolis": sampled(hl.systems.EdwardsAnderson(SQUARE, seed=3), 0.5, FIELDS, sampler="metropolis"),
    "simulate: tempering": sampled(hl.systems.EdwardsAnderson(SQUARE, seed=3), 0.5, FIELDS, sampler="tempering"),
    "simulate: Wolff, 8×8 at T = 2.4": sampled(
        hl.systems.Ising(LARGE), 1 / 2.4, hl.models.Couplings(LARGE, tie="uniform", fields=None), sampler="wolff"
    ),
    "8×8 ferromagnet at T = 2, no field learned": magnet(2.0, 0.0, None, cold=True),
    "8×8 ferromagnet at T = 2, h = 0.3, uniform field": magnet(2.0, 0.3, "uniform", cold=False),
    "8×8 ferromagnet at T = 2.6, uniform field": magnet(2.6, 0.0, "uniform", cold=False),
    "4×4, one coupling": images("none", 4),
    "4×4, one coupling, β = 0.8": images("none", 4, 0.8),
    "6×6, one coupling, β = 0.2": images("none", 6, 0.2),
    "6×6, one coupling": images("none"),
    "6×6, one coupling, β = 0.6": images("none", 6, 0.6),
    "2×2, one coupling": images("none", 2),
    "3×3 Potts q = 3, heat bath": sampled(
        hl.systems.Potts(SMALL, 3), 0.6, hl.models.Couplings(SMALL, interaction="potts", tie="uniform", fields=None), sampler="heat_bath"
    ),
}


def look(case: Case, seed: int) -> tuple[list[dict], float]:
    """Findings and seconds; a refusal to learn (with the reason in its message) counts as a finding."""
    data, model = case(seed)
    try:
        post = hl.infer.learn(data, model, likelihood="pseudo", engine="laplace", seed=seed)
    except HamlearnError as error:
        assert "changes along the rows" in str(error), error
        return [{"topic": "stationarity", "severity": "refused"}], 0.0
    started = time.perf_counter()
    return signals.find(post, data), time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=60, help="data sets a case")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    lines = ["| planted | signal | found | of these serious (or refused) | seconds a search |", "| --- | --- | --- | --- | --- |"]
    for name, (topic, case) in PLANTED.items():
        if options.only not in name:
            continue
        every = [look(case, seed) for seed in range(options.n)]
        hits = [[one for one in found if one["topic"] in topic and one["severity"] != "note"] for found, _ in every]
        serious = sum(any(one["severity"] != "caution" for one in hit) for hit in hits)
        cost = np.median([seconds for _, seconds in every])
        lines.append(f"| {name} | {topic} | {sum(map(bool, hits))} of {options.n} | {serious} | {cost:.2f} |")
        print(lines[-1], flush=True)
    rows, alarms = ["| clean | alarms | which |", "| --- | --- | --- |"], []
    for name, case in CLEAN.items():
        if options.only not in name:
            continue
        topics = [[one["topic"] for one in look(case, seed)[0] if one["severity"] != "note"] for seed in range(options.n)]
        which = sorted({topic for found in topics for topic in found})
        alarms.append(sum(map(bool, topics)))
        rows.append(f"| {name} | {alarms[-1]} of {options.n} | {', '.join(which)} |")
        print(rows[-1], flush=True)
    if options.only:
        return
    planted, clean = "\n".join(lines), "\n".join(rows)
    text = f"""# Signals in the data: found where planted, silent where there are none

Written by `benchmarks/verdict_signals.py --n {options.n}`. A 4×4 glass, β = 0.5, 3000 rows, couplings and site fields learned by
pseudo-likelihood, unless the case says otherwise. An alarm is a finding of severity caution or serious.

{planted}

## Clean data

{clean}

All together: {sum(alarms)} alarms on {options.n * len(alarms)} clean data sets.
"""
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "verdict_signals.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
