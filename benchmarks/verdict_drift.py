"""How often a field that drifts along the rows is found, and how often a chain whose field stays is called drifting.

    python benchmarks/verdict_drift.py --n 200

writes ``benchmarks/results/verdict_drift.md``. Heat bath of a 4×4 ferromagnet, four chains of 1000 rows, one sweep a row, written out in
NumPy; the judge is given the true couplings and the mean field, so that nothing is learned and only rows are judged.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.diagnostics.signals import stationarity
from hamlearn.diagnostics.signals.view import View
from hamlearn.systems import SPINS, lattice

GRID, CHAINS, ROWS = lattice.hypercubic((4, 4)), 4, 1000


def chains(J: float, fields: np.ndarray, data_sets: int, seed: int, sweeps: int = 1) -> np.ndarray:
    """``(data set, chain, row, site)`` at β = 1; `fields` ``(row, site)``."""
    rng, n = np.random.default_rng(seed), GRID.n_sites
    couplings = np.zeros((n, n))
    np.add.at(couplings, tuple(GRID.bonds.T), J)
    couplings += couplings.T
    spins = rng.choice([-1.0, 1.0], (data_sets, CHAINS, n))
    kept = np.empty((data_sets, CHAINS, ROWS, n), np.int8)
    for row in range(-200, ROWS):
        for _ in range(sweeps):
            for site in rng.permutation(n):
                up = 1 / (1 + np.exp(-2 * (spins @ couplings[site] + fields[max(row, 0), site])))
                spins[..., site] = np.where(rng.random(up.shape) < up, 1.0, -1.0)
        if row >= 0:
            kept[:, :, row] = spins
    return kept


def judged(rows: np.ndarray, J: float, h: np.ndarray) -> str:
    data = hl.microstates(rows.reshape(CHAINS, ROWS, 4, 4), beta=1.0, dims=("chain", "draw", "x", "y"))
    system = hl.systems.Pairwise(GRID, np.full(GRID.n_bonds, J), h=h)
    found = stationarity.find(View(data, rows.astype(np.int8), None, True, SPINS, 1.0, system, None, ""))
    return found[0].severity if found else "nothing"


def rising(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, ROWS)[:, None] * np.ones(16)


FITTED = 0.01  # a fitted field is never exactly zero, so that no model with fields is symmetric
SIGNS = np.where(np.arange(16) % 2, 1.0, -1.0)
CASES = {  # J, fields (row, site), whether the distribution stays
    "h = 0.1, βJ = 0.1": (0.1, rising(0.1, 0.1), True),
    "h = 0.1, βJ = 0.3": (0.3, rising(0.1, 0.1), True),
    "h = 0.02, βJ = 0.45, phases alternate": (0.45, rising(0.02, 0.02), True),
    "h = 0.01, βJ = 0.6, phases alternate seldom": (0.6, rising(0.01, 0.01), True),
    "h from 0 to 0.1, βJ = 0.1": (0.1, rising(0, 0.1), False),
    "h from 0 to 0.2, βJ = 0.1": (0.1, rising(0, 0.2), False),
    "h from 0 to 0.4, βJ = 0.1": (0.1, rising(0, 0.4), False),
    "h from −0.2 to 0.2, βJ = 0.1": (0.1, rising(-0.2, 0.2), False),
    "h from −0.2 to 0.2, βJ = 0.3": (0.3, rising(-0.2, 0.2), False),
    "h of either sign from 0 to 0.4, βJ = 0.1": (0.1, rising(0, 0.4) * SIGNS, False),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    lines = ["| field | data sets | nothing | caution | do not believe |", "|---|---|---|---|---|"]
    for number, (name, (J, fields, still)) in enumerate(CASES.items()):
        n = options.n if still else max(options.n // 5, 2)
        every = chains(J, fields, n, number)
        told = Counter(judged(rows, J, fields.mean(0) + FITTED) for rows in every)
        lines.append(f"| {name} | {n} | {told['nothing']} | {told['caution']} | {told['serious']} |")
        print(lines[-1], flush=True)
    text = f"""# A field that drifts along the rows

Written by `benchmarks/verdict_drift.py --n {options.n}`: a 4×4 ferromagnet, four chains of 1000 rows, one sweep of heat bath a row; what
the signal of stationarity says of each.

""" + "\n".join(lines)
    (options.out / "verdict_drift.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
