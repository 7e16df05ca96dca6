"""Are p-values of differences between posteriors uniform where nothing differs?

    python benchmarks/calibration/comparisons.py [--n 200]

Two data sets a repetition of one 3 × 3 spin system with open ends (12 couplings N(0, 0.5²), 9 fields N(0, 0.3²), drawn anew; β = 1),
learned with default priors and compared by :func:`hamlearn.compare`. ``all``: share of repetitions in which the p-value of no difference
at all is below 0.05, and that of Kolmogorov and Smirnov for uniform p-values. ``each``: the same share of the p-values of single
parameters. ``batches``: those behind the error bars of the smaller data set, median and fewest. Repetitions whose data leave a parameter
undetermined, or hold fewer than three batches, say so and are counted as ``untested``. ``power``: share of repetitions with p < 0.05 where
one coupling is larger by 0.5 in the second system.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

import hamlearn as hl

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

LATTICE = hl.systems.lattice.hypercubic((3, 3), periodic=False)
CASES = {  # rows of both, likelihood, how they are drawn
    "exact, 100 and 1000 rows": ((100, 1000), "exact", "exact"),
    "exact, 300 and 300 rows": ((300, 300), "exact", "exact"),
    "pseudo, 100 and 1000 rows": ((100, 1000), "pseudo", "exact"),
    "pseudo, 1000 and 2000 rows": ((1000, 2000), "pseudo", "exact"),
    "exact, chains of 600 and 1200 draws": ((300, 600), "exact", "metropolis"),
    "pseudo, chains of 600 and 1200 draws": ((300, 600), "pseudo", "metropolis"),
}


def learned(index: int, second: int, rows: int, likelihood: str, sampler: str, moved: float) -> Any:
    """The posterior of one of the data sets of a repetition."""
    generator = np.random.default_rng(9000 + index)
    J, h = generator.normal(0, 0.5, LATTICE.n_bonds), generator.normal(0, 0.3, LATTICE.n_sites)
    J[0] += moved * second
    chains = 1 if sampler == "exact" else 2
    system = hl.systems.Pairwise(LATTICE, J, h)
    data = hl.simulate(system, beta=1.0, draws=rows, chains=chains, seed=2 * index + second, sampler=sampler)
    return hl.infer.learn(data, hl.models.Couplings(LATTICE), likelihood=likelihood, engine="laplace", seed=index)


def compared(case: str, index: int, moved: float) -> tuple[Any, int] | None:
    """The comparison of a repetition, and the batches of the smaller data set; None where there is no test."""
    sizes, likelihood, sampler = CASES[case]
    try:
        pair = [learned(index, k, rows, likelihood, sampler, moved) for k, rows in enumerate(sizes)]
        found = hl.compare(*pair)
    except hl.HamlearnError:
        return None
    return None if found.unsaid else (found, hl.infer.provenance(pair[0]).calibration.batches or 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=200)
    n = parser.parse_args().n
    rows, seconds = [], {}
    for case in CASES:
        began = time.process_time()
        known = [one for index in range(n) if (one := compared(case, index, 0.0)) is not None]
        power = [one[0].p_value < 0.05 for index in range(n // 4) if (one := compared(case, index, 0.5)) is not None]
        seconds[case] = (time.process_time() - began) / (n + n // 4)
        overall = np.array([found.p_value for found, _ in known])
        each = np.concatenate([found.table["p_value"].values for found, _ in known])
        batches = [count for _, count in known if count]
        error = np.sqrt(0.05 * 0.95 / len(overall))
        rows.append(
            [
                case,
                f"{(overall < 0.05).mean():.3f} ± {error:.3f}",
                f"{overall.mean():.3f}",
                f"{scipy.stats.kstest(overall, 'uniform').pvalue:.2g}",
                f"{(each < 0.05).mean():.3f}",
                f"{np.median(batches):.0f}, {min(batches)}" if batches else "",
                n - len(known),
                f"{np.mean(power):.2f}",
            ]
        )
        text = table(["", "all: p < 0.05", "mean p", "uniform: p", "each: p < 0.05", "batches", "untested", "power"], rows)
        record = {"settings": {"n": n}, "versions": versions(), "rows": rows, "seconds": seconds}
        write(Path(__file__), __doc__, text, record)
        print(text, flush=True)


if __name__ == "__main__":
    main()
