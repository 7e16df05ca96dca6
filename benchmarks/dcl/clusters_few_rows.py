"""Cluster expansions where 400 candidates meet few rows: couplings that exist, and what they predict at another temperature.

    python benchmarks/dcl/clusters_few_rows.py [--sets 6] [--rows 1000 5000] [--minutes 8]

8×8 spins with three pairs (0.35, 0.3, −0.12) and a four-spin term (0.15) of the 3×3 window, observed at β = 1 by heat bath
(20 chains, burn-in 1500, 4 sweeps a row), learned by ``ClusterExpansion(window=3)``, nothing tuned. A row of the table is one number
of rows M: the share of 90 % intervals of these four terms that hold the truth, their mean shift towards strength in standard
errors, false terms, and
the share of data sets whose band of the heat capacity at β = 0.5 holds that of the truth (a simulation of its own, 20 000 draws).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import hamlearn as hl

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from common import table, versions, write

STRENGTHS, FOUR = {1: 0.35, 2: 0.3, 3: -0.12}, 0.15


def truth() -> tuple[object, np.ndarray]:
    """The family on its sites, and the strengths."""
    bound = hl.models.ClusterExpansion(window=3).bind(hl.systems.SPINS, (8, 8))
    strengths = np.zeros(bound.n_params)
    for place, value in STRENGTHS.items():
        strengths[place] = value
    strengths[int(np.flatnonzero(np.asarray(bound.orders) == 4)[0])] = FOUR
    return bound, strengths


def one(bound, strengths: np.ndarray, heat: float, rows: int, seed: int) -> dict[str, object]:
    """One data set."""
    data = hl.simulate(bound.system(strengths), beta=1.0, draws=rows // 20, chains=20, seed=seed, burn_in=1500, thin=4)
    post = hl.learn(data, hl.models.ClusterExpansion(window=3), seed=seed)
    draws = post["posterior"]["K"].values.reshape(-1, bound.n_params)
    exist = np.flatnonzero(strengths)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    shift = (draws.mean(0) - strengths)[exist] / draws.std(0)[exist] * np.sign(strengths[exist])
    curve = hl.predict(post, beta=0.5, observables=["heat_capacity"], draws=24, seed=seed)["heat_capacity"].sel(beta=0.5)
    return {
        "inside": ((low <= strengths) & (strengths <= high))[exist].tolist(),
        "shift": shift.tolist(),
        "false": int(((draws != 0).mean(0)[strengths == 0] > 0.5).sum()),
        "C": bool(float(curve.sel(quantity="lower")) <= heat <= float(curve.sel(quantity="upper"))),
        "verdict": hl.verdict(post).level,
    }


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=6)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--minutes", type=float, default=8.0, help="stop after this many, with what there is")
    arguments = parser.parse_args()
    bound, strengths = truth()
    reference = hl.simulate(bound.system(strengths), beta=0.5, draws=1000, chains=20, seed=99, burn_in=500, thin=4)
    energy = np.asarray(bound.system(strengths).energy(reference["state"].values.reshape(-1, 8, 8)), float)
    heat = float(0.5**2 * energy.var() / 64)
    started, found = time.perf_counter(), {rows: [] for rows in arguments.rows}
    for seed in range(arguments.sets):
        for rows in arguments.rows:
            found[rows].append(one(bound, strengths, heat, rows, 100 + seed))
            print(rows, found[rows][-1], flush=True)
        if time.perf_counter() - started > 60 * arguments.minutes:
            break
    lines = []
    for rows, sets in found.items():
        believed = sum(one_["verdict"] == "believe" for one_ in sets)
        cells = [f"{np.mean([one_['inside'] for one_ in sets]):.2f}", f"{np.mean([one_['shift'] for one_ in sets]):+.2f}"]
        cells += [str(sum(one_["false"] for one_ in sets)), f"{sum(one_['C'] for one_ in sets)} of {len(sets)}"]
        lines.append([rows, len(sets), *cells, f"{believed} of {len(sets)}"])
    text = table(["M", "data sets", "K inside", "mean shift", "false terms", "C(0.5) inside", "BELIEVE"], lines)
    print(text)
    settings = {"strengths": {**{str(k): v for k, v in STRENGTHS.items()}, "four": FOUR}, "heat_capacity": round(heat, 5)}
    write(Path(__file__), __doc__, text, {"settings": settings, "versions": versions(), "results": found})


if __name__ == "__main__":
    main()
