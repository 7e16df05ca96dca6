"""Strength and expected influence of sites: do intervals hold, with a prior that has exact zeros and with one that has none?

    python benchmarks/couplings/centrality.py [--quick]

Networks of 8 sites, 9 of 28 couplings ±0.25, fields of 0.3, 800 rows each. Bayes factors of the same posteriors: which share of the
couplings that exist have one above 1, 10 and 100, and of those that do not.
"""

from __future__ import annotations

import time

import numpy as np
from common import parser, write

import hamlearn as hl
from hamlearn.systems import Pairwise, exact, lattice

GRAPH = lattice.complete(8)
ROWS, LEVEL = 800, 0.9


def network(seed: int) -> Pairwise:
    rng = np.random.default_rng(seed)
    J = np.where(rng.permutation(GRAPH.n_bonds) < 9, rng.choice([-0.25, 0.25], GRAPH.n_bonds), 0.0)
    return Pairwise(GRAPH, J, rng.normal(0.0, 0.3, 8))


def truth(J: np.ndarray) -> dict[str, np.ndarray]:
    """Sums over the bonds of every site."""
    joins = np.array([[site in pair for site in range(8)] for pair in GRAPH.bonds.tolist()], float)
    return {"strength": np.abs(J) @ joins, "expected_influence": J @ joins}


def measured(count: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    rows, factors = [], [[], []]
    for prior in ("spike_slab", None):
        inside: dict[str, list[float]] = {"strength": [], "expected_influence": []}
        off: dict[str, list[float]] = {"strength": [], "expected_influence": []}
        seconds = 0.0
        for seed in range(count):
            system = network(seed)
            data = hl.microstates(exact.sample(system, 1.0, ROWS, seed=seed), space="spins", independent=True)
            started = time.process_time()
            post = hl.infer.learn(data, hl.models.Couplings(None, prior=prior), seed=seed)
            seconds += time.process_time() - started
            found = hl.infer.centrality(post, level=LEVEL)
            for name, exactly in truth(system.J).items():
                mean, lower, upper = found[name].sel(quantity=["mean", "lower", "upper"]).values.T
                inside[name].append(float(((lower <= exactly) & (exactly <= upper)).mean()))
                off[name].append(float((mean - exactly).mean()))
            if prior == "spike_slab":
                table = hl.diagnostics.pairs(post).set_index(["site_i", "site_j"])["bayes_factor"]
                for (i, j), J in zip(GRAPH.bonds.tolist(), system.J, strict=True):
                    factors[int(J != 0)].append(float(table.loc[(str(i), str(j))]))
        for name in inside:
            row: dict[str, object] = {"prior": prior or "normal", "of": name.replace("_", " "), "90 % hold": float(np.mean(inside[name]))}
            row |= {"±": float(np.std(inside[name], ddof=1) / np.sqrt(count)), "mean error": float(np.mean(off[name]))}
            rows.append(row | {"CPU s": seconds / count})
    told = [
        {"couplings": what, "of": len(found)} | {f"factor above {one}": float(np.mean(np.array(found) > one)) for one in (1, 10, 100)}
        for what, found in zip(("absent", "there"), factors, strict=True)
    ]
    return rows, told


def main() -> None:
    given = parser(__doc__).parse_args()
    count = 4 if given.quick else 40
    rows, told = measured(count)
    notes = ["±: standard error over networks. A strength of couplings without exact zeros is too large, as |J| is never negative."]
    tables = {"Intervals of 90 %": rows, "Bayes factors": told}
    write("centrality", "Centralities", notes, tables, {"networks": count, "rows": ROWS}, save=not given.quick)


if __name__ == "__main__":
    main()
