"""Coverage of predicted bands where few rows bear many parameters: U, F, C, |m| and χ at three temperatures.

    python benchmarks/temperature/band_coverage.py [--quick] [--size 3] [--sets 60] [--rows 100 150 300 1000 3000] [--minutes 4]

One L×L glass (J ~ N(0, 1), site fields N(0, 0.3²)), observed at β = 0.5 by exact samples, learned with free bonds and
fields (p = 3L²), exact likelihood, engine ``laplace``; 64 members, level 0.9, at β = 0.2, 0.5 and 1. A row of the table is
one number of rows M: the share of data sets whose band holds the exact value, the mean of (mean − exact)/sd in brackets.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.systems import exact

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from common import table, versions, write

BETA, BETAS, LEVEL = 0.5, np.array([0.2, 0.5, 1.0]), 0.9
NAMES = {"energy": "U", "free_energy": "F", "heat_capacity": "C", "abs_magnetization": "abs m", "susceptibility": "χ"}


def system_of(size: int) -> hl.systems.Pairwise:
    """The glass."""
    glass = hl.systems.EdwardsAnderson((size, size), seed=1)
    return hl.systems.Pairwise(glass.lattice, glass.J, np.random.default_rng(0).normal(0.0, 0.3, size * size))


def truth_of(system: hl.systems.Pairwise) -> dict[str, np.ndarray]:
    """Exact values at every temperature."""
    thermal, moments = exact.thermodynamics(system, BETAS), exact.moments(system, BETAS)
    known = {name: thermal[name].values for name in ("energy", "free_energy", "heat_capacity")}
    order = known["abs_magnetization"] = moments["absolute_magnetization"].values
    known["susceptibility"] = BETAS * system.lattice.n_sites * (moments["squared_magnetization"].values - order**2)
    return known


def one(system: hl.systems.Pairwise, truth: dict[str, np.ndarray], rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Inside or not and standardised error ``(observable, beta)`` of one data set, and the verdict without a check of the fit."""
    data = hl.simulate(system, beta=BETA, draws=rows, chains=1, seed=seed, sampler="exact")
    post = hl.infer.learn(data, hl.models.Couplings(system.lattice), likelihood="exact", engine="laplace", seed=seed)
    curve = hl.predict(post, BETAS, observables=list(NAMES), level=LEVEL, seed=seed)
    inside, error = [], []
    for name in NAMES:
        mean, sd, lower, upper = (curve[name].sel(quantity=one).values for one in ("mean", "sd", "lower", "upper"))
        inside.append((lower <= truth[name]) & (truth[name] <= upper))
        error.append((mean - truth[name]) / sd)
    return np.array(inside), np.array(error), curve.attrs["verdict"]


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 data sets, no files")
    parser.add_argument("--size", type=int, default=3)
    parser.add_argument("--sets", type=int, default=60)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 150, 300, 1000, 3000])
    parser.add_argument("--minutes", type=float, default=4.0, help="stop after this many, with what there is")
    arguments = parser.parse_args()
    system = system_of(arguments.size)
    truth, started, results = truth_of(system), time.perf_counter(), {rows: [] for rows in arguments.rows}
    for seed in range(4 if arguments.quick else arguments.sets):
        for rows in arguments.rows:
            results[rows].append(one(system, truth, rows, 1000 * seed + rows))
        if time.perf_counter() - started > 60 * arguments.minutes:
            break
    lines, kept = [], []
    for rows, found in results.items():
        inside, error = (np.mean([row[k] for row in found], 0) for k in (0, 1))
        refused = sum(row[2] == "do not believe" for row in found)
        cells = [" ".join(f"{a:.2f} ({b:+.1f})" for a, b in zip(*pair, strict=True)) for pair in zip(inside, error, strict=True)]
        lines.append([rows, len(found), *cells, f"{refused} of {len(found)}"])
        kept.append({"rows": rows, "sets": len(found), "inside": inside.tolist(), "error": error.tolist(), "do_not_believe": refused})
    text = table(["M", "data sets", *NAMES.values(), "do not believe"], lines)
    print(text)
    if arguments.quick:
        return
    settings = {"size": arguments.size, "parameters": 3 * arguments.size**2, "beta observed": BETA, "betas": BETAS.tolist(), "level": LEVEL}
    record = {"settings": settings, "versions": versions(), "results": kept}
    write(Path(__file__), __doc__, text, record, name=f"band_coverage_{arguments.size}")


if __name__ == "__main__":
    main()
