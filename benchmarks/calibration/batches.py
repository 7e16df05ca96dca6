"""Coverage of 90 % intervals against the number of independent batches that a chain holds.

    python benchmarks/calibration/batches.py --n 60

writes ``benchmarks/calibration/results/batches.md``. 3×3 glasses with site fields, exact likelihood, 4 × 1000 rows of random-site
heat bath with one or two single-site updates a row, so that the chains are 10 to 200 autocorrelation times long.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.systems import lattice

GRID, BETA = lattice.hypercubic((3, 3)), 0.5
BINS = ((3, 6), (6, 10), (10, 15), (15, 20), (20, 1000))


def heat_bath(J: np.ndarray, updates: int, seed: int) -> np.ndarray:
    rng, spins, kept, chain = np.random.default_rng(seed), np.ones((4, 9)), np.empty((4, 1000, 9), int), np.arange(4)
    for row in range(-200, 1000):
        for _ in range(updates if row >= 0 else 9):
            site = rng.integers(9, size=4)
            spins[chain, site] = np.where(rng.random(4) < 1 / (1 + np.exp(-2 * BETA * (J[site] * spins).sum(1))), 1, -1)
        if row >= 0:
            kept[:, row] = spins
    return kept.reshape(4, 1000, 3, 3)


def covered(seed: int, updates: int) -> tuple[int, float, float] | None:
    """Number of batches, τ, and the share of the 27 parameters inside their intervals."""
    truth = np.asarray(hl.systems.EdwardsAnderson(GRID, seed=seed).J)
    J = np.zeros((9, 9))
    np.add.at(J, tuple(GRID.bonds.T), truth)
    data = hl.microstates(heat_bath(J + J.T, updates, seed), dims=("chain", "draw", "x", "y"), beta=BETA)
    try:
        post = hl.infer.learn(data, hl.models.Couplings(GRID), likelihood="exact", engine="laplace", seed=seed)
    except HamlearnError:
        return None  # fewer than three batches
    found = posteriors.provenance_of(post).calibration
    draws = np.concatenate([post["posterior"][name].values.reshape(-1, size) for name, size in (("J", 18), ("h", 9))], 1)
    lower, upper = np.quantile(draws, [0.05, 0.95], axis=0)
    inside = np.mean((lower < np.append(truth, np.zeros(9))) & (upper > np.append(truth, np.zeros(9))))
    return int(found.batches), float(found.tau), float(inside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=60, help="data sets for each number of updates")
    options = parser.parse_args()
    every = [covered(seed, updates) for updates in (1, 2) for seed in range(options.n)]
    rows = [one for one in every if one is not None]
    lines = ["| batches | data sets | mean τ | coverage of 90 % intervals |", "| --- | --- | --- | --- |"]
    for low, high in BINS:
        some = [row for row in rows if low <= row[0] < high]
        if some:
            share = [row[2] for row in some]
            error = np.std(share, ddof=1) / len(share) ** 0.5 if len(share) > 1 else float("nan")
            lines.append(
                f"| {low}–{high - 1} | {len(some)} | {np.mean([row[1] for row in some]):.0f} | {np.mean(share):.3f} ± {error:.3f} |"
            )
    table = "\n".join(lines)
    text = f"""# Coverage with few independent batches

Written by `benchmarks/calibration/batches.py --n {options.n}`. 3×3 glasses with site fields, β = 0.5, exact likelihood, 4 × 1000 rows;
{len(every) - len(rows)} of {len(every)} sets were refused (fewer than three batches).

{table}
"""
    out = Path(__file__).parent / "results" / "batches.md"
    out.parent.mkdir(exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
