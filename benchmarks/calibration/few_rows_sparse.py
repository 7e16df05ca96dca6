"""Does a spike-and-slab posterior of a stand-in hold where independent rows are fewer than two a parameter?

    python benchmarks/calibration/few_rows_sparse.py [--n 8]

Twelve spins, sixteen random bonds of J = ±0.5 without fields, β = 1, independent rows that are declared so; all 66 pairs and 12 fields are
candidates (78 parameters), likelihood ``pseudo``. ``coverage`` of 90 % intervals over all couplings and over the bonds that exist;
``found`` is the share of these with inclusion probability above a half, ``false`` how many of the others have that.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.infer import Gibbs, learn

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

SITES, BONDS = 12, 16
ROWS = (20, 40, 80, 160, 400)


def one(rows: int, index: int) -> tuple[float, float, float, int, float]:
    """Coverage over all couplings, over those that exist, the share found, false ones, and seconds of CPU."""
    generator = np.random.default_rng(900 + index)
    complete = hl.systems.lattice.complete(SITES)
    J = np.zeros(complete.n_bonds)
    J[generator.choice(complete.n_bonds, BONDS, replace=False)] = generator.choice([-0.5, 0.5], BONDS)
    there = J != 0
    system = hl.systems.Pairwise(hl.systems.lattice.graph(complete.bonds[there], SITES), J[there])
    drawn = hl.simulate(system, beta=1.0, draws=rows, chains=1, seed=index, sampler="exact", progress=False)
    data = hl.microstates(drawn["state"].values[0], beta=1.0, independent=True)
    begin = time.process_time()
    post = learn(data, hl.models.Couplings(prior="spike_slab"), likelihood="pseudo", engine=Gibbs(draws=500, chains=2), seed=index)
    seconds = time.process_time() - begin
    draws = post["posterior"]["J"].values.reshape(-1, len(J))
    low, high = np.quantile(draws, (0.05, 0.95), axis=0)
    held = (low <= J) & (J <= high)
    included = post["posterior"]["included"].values.mean((0, 1)) > 0.5
    return float(held.mean()), float(held[there].mean()), float(included[there].mean()), int(included[~there].sum()), seconds


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=8, help="data sets of every size")
    n = parser.parse_args().n
    lines, results = [], []
    for rows in ROWS:
        found = np.array([one(rows, index) for index in range(n)])
        mean, error = found.mean(0), found.std(0, ddof=1) / np.sqrt(n)
        shown = [f"{mean[k]:.3f} ± {error[k]:.3f}" for k in range(3)]
        lines.append([rows, *shown, f"{mean[3]:.1f}", f"{mean[4]:.1f}"])
        results.append({"rows": rows, "mean": mean.tolist(), "error": error.tolist()})
        print(*lines[-1], flush=True)
    columns = ["rows", "coverage, all", "coverage, existing", "found", "false", "CPU s"]
    write(Path(__file__), __doc__, table(columns, lines), {"settings": {"data sets": n}, "versions": versions(), "results": results})


if __name__ == "__main__":
    main()
