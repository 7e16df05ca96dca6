"""Do 90 % intervals hold where rows are few, and what does the verdict say of them?

    python benchmarks/calibration/few_rows.py [--n 6]

Independent microstates of glasses with a coupling for every bond: ``torus`` is a 16 × 16 ±J glass without fields (512 bonds,
β = 0.5, as many chains of heat bath as rows), ``grid`` a 4 × 4 periodic Gaussian glass with fields of 0.3 (48 parameters),
``dense`` twelve spins with all pairs, J ~ N(0, 1/12), and fields of 0.3 (78 parameters, β = 1), ``cold`` an open 4 × 4 ±J glass at
βJ = 2. Engine ``laplace``; prior ``default``, ``Normal(10)`` (flat) or ``Normal(1, "kT")`` (fixed). ``rows a site parameter`` is what
the verdict judges: independent rows per parameter that the worst site bears; ``findings`` are its most frequent words on data, prior and
calibration (the check against held-out data is not run).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl
from hamlearn.diagnostics.verdict import verdict
from hamlearn.infer import LaplaceApproximation, learn

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

CASES = [
    *(("torus", rows, "pseudo", prior) for rows in (25, 50, 100, 400) for prior in ("default", "flat")),
    *(("grid", rows, likelihood, "default") for rows in (12, 30, 60, 150, 300) for likelihood in ("exact", "pseudo")),
    *(("dense", rows, likelihood, "default") for rows in (12, 24, 47, 100, 300) for likelihood in ("exact", "pseudo")),
    *(("cold", rows, "exact", prior) for rows in (300, 1000, 4000) for prior in ("default", "flat", "fixed")),
]
TOPICS = ("identifiability", "prior", "calibration", "likelihood")


def drawn(name: str, rows: int, index: int) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Microstates, the graph, and the true couplings and fields of data set `index`."""
    generator, h = np.random.default_rng(500 + index), np.zeros(0)
    if name == "torus":
        lattice, beta = hl.systems.lattice.hypercubic((16, 16)), 0.5
        J = generator.choice([-1.0, 1.0], lattice.n_bonds)
        chains = hl.simulate(hl.systems.Pairwise(lattice, J), beta=beta, draws=1, chains=rows, seed=index, burn_in=400)
        data = hl.microstates(chains["state"].values.reshape(-1, 16, 16), space="spins", beta=beta)
        return data, lattice, J, h
    if name == "dense":
        lattice, beta = hl.systems.lattice.complete(12), 1.0
        J, h = generator.normal(size=66) / np.sqrt(12), 0.3 * generator.normal(size=12)
    else:
        lattice, beta = hl.systems.lattice.hypercubic((4, 4), periodic=name == "grid"), 0.5 if name == "grid" else 2.0
        J = generator.normal(size=lattice.n_bonds) if name == "grid" else generator.choice([-1.0, 1.0], lattice.n_bonds)
        h = 0.3 * generator.normal(size=16)
    system = hl.systems.Pairwise(lattice, J, h)
    return hl.simulate(system, beta=beta, draws=rows, chains=1, seed=index, sampler="exact"), lattice, J, h


def share(draws: np.ndarray, truth: np.ndarray) -> float:
    """Observations of the truths inside their interval."""
    low, high = np.quantile(draws.reshape(-1, len(truth)), [0.05, 0.95], axis=0)
    return float(np.mean((low <= truth) & (truth <= high)))


def one(case: tuple[str, int, str, str], n: int) -> dict[str, Any]:
    """Coverage and findings of `n` data sets."""
    name, rows, likelihood, prior = case
    couplings, fields, site, levels, words = [], [], [], Counter[str](), Counter[str]()
    for index in range(n):
        data, lattice, J, h = drawn(name, rows, index)
        given = {"default": None, "flat": hl.models.Normal(10.0), "fixed": hl.models.Normal(1.0, "kT")}[prior]
        model = hl.models.Couplings(lattice, fields="site" if len(h) else None, prior=given, field_prior=given)
        post = learn(data, model, likelihood, LaplaceApproximation(500, 2), seed=index)
        couplings.append(share(post["posterior"]["J"].values, J))
        fields += [share(post["posterior"]["h"].values, h)] if len(h) else []
        site.append(hl.infer.provenance(post).identifiability.data_at_worst_site)
        bad = [found for found in verdict(post).reasons if found.topic in TOPICS and found.severity != "note"]
        levels[max((found.severity for found in bad), default="nothing", key=["nothing", "caution", "serious"].index)] += 1
        words.update({found.what.split(":")[0] for found in bad})
    return {
        "case": name,
        "rows": rows,
        "likelihood": likelihood,
        "prior": prior,
        "site": float(np.mean(site)),
        "J": float(np.mean(couplings)),
        "error": float(np.std(couplings, ddof=1) / np.sqrt(n)),
        "h": float(np.mean(fields)) if fields else None,
        "levels": ", ".join(f"{level} {count}" for level, count in levels.most_common()),
        "findings": "; ".join(text[:60] for text, _ in words.most_common(2)),
    }


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=6, help="data sets a row")
    arguments = parser.parse_args()
    started, lines = time.perf_counter(), []
    for case in CASES:
        lines.append(one(case, arguments.n))
        print(lines[-1], flush=True)
    columns = ["case", "rows", "likelihood", "prior", "rows a site parameter", "J in 90 %", "h in 90 %", "severity", "findings"]
    cells = [
        [
            line["case"],
            line["rows"],
            line["likelihood"],
            line["prior"],
            f"{line['site']:.1f}",
            f"{line['J']:.3f} ± {line['error']:.3f}",
            "" if line["h"] is None else f"{line['h']:.3f}",
            line["levels"],
            line["findings"],
        ]
        for line in lines
    ]
    record = {"settings": {"data sets": arguments.n}, "versions": versions(), "results": lines}
    write(Path(__file__), __doc__, table(columns, cells), record)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
