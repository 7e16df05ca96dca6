"""Do intervals of couplings between ordered states hold, and how near is what comes out?

    python benchmarks/calibration/ordinal.py [--n 60]

Items of five ordered answers, 500 independent rows, every pair a candidate. Half of the couplings are zero, the others N(0, 0.6²); the
fields on the answers N(0, 0.5²). Truths are drawn anew for every repetition, and the priors are the default ones, which know nothing of
this. ``in 90 %`` is the share of truths in 90 % intervals, with the standard error over repetitions; ``error`` the root mean square of
the posterior mean minus the truth, beside ``sd``, what the posterior says of it; ``edges`` the share of the couplings beyond 0.3 whose
interval leaves zero out on their side.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

STATES, ROWS, LEVEL = 5, 500, 0.9
CASES = ((5, "exact"), (6, "exact"), (8, "pseudo"))


def drawn(items: int, seed: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """True couplings and fields, and rows."""
    rng, lattice = np.random.default_rng([items, seed]), hl.systems.lattice.complete(items)
    J = np.where(rng.random(lattice.n_bonds) < 0.5, rng.normal(0, 0.6, lattice.n_bonds), 0.0) * np.sqrt(5 / items)
    h = rng.normal(0, 0.5, (items, STATES))
    system = hl.systems.Ordinal(lattice, STATES, J, h)
    rows = hl.simulate(system, beta=1.0, draws=ROWS, chains=1, seed=seed, sampler="exact")["state"].values[0]
    return J, h - h.mean(1, keepdims=True), hl.microstates(rows, space="states", q=STATES, beta=1.0, independent=True)


def run(items: int, likelihood: Any, repeats: int) -> dict[str, Any]:
    """All repetitions of a case."""
    inside: dict[str, list[float]] = {"J": [], "h": []}
    errors, sds, edges, began = [], [], [], time.process_time()
    for seed in range(repeats):
        J, h, data = drawn(items, seed)
        post = hl.infer.learn(data, hl.models.Couplings(interaction="ordinal"), likelihood, seed=seed)
        for name, value in {"J": J, "h": h}.items():
            draws = post["posterior"][name].values.reshape(-1, *value.shape)
            low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
            inside[name].append(float(np.mean((low <= value) & (value <= high))))
            if name == "J":
                errors.append(float(np.mean((draws.mean(0) - value) ** 2)))
                sds.append(float(np.mean(draws.var(0))))
                edges += np.where(J > 0, low > 0, high < 0)[np.abs(J) > 0.3].tolist()
    covered = {name: (np.mean(one), np.std(one, ddof=1) / np.sqrt(repeats)) for name, one in inside.items()}
    return {
        "items": items,
        "likelihood": likelihood,
        **{f"{name} in 90 %": f"{mean:.3f} ± {error:.3f}" for name, (mean, error) in covered.items()},
        "error": f"{np.sqrt(np.mean(errors)):.3f}",
        "sd": f"{np.sqrt(np.mean(sds)):.3f}",
        "edges": f"{np.mean(edges):.2f} of {len(edges)}",
        "CPU s each": f"{(time.process_time() - began) / repeats:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="two repetitions, nothing written")
    given = parser.parse_args()
    rows = []
    for case in CASES:
        rows.append(run(*case, 2 if given.quick else given.n))
        print(rows[-1], flush=True)
    text = table(list(rows[0]), [list(row.values()) for row in rows])
    record = {"settings": {"n": given.n, "states": STATES, "rows": ROWS}, "versions": versions(), "rows": rows}
    if not given.quick:
        write(Path(__file__), __doc__, text, record)


if __name__ == "__main__":
    main()
