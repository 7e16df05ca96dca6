"""Couplings from microstates that are read with errors: whether 90 % intervals hold the truth, and what the errors cost.

Every data set is a new glass and new independent rows at β = 0.5, of which every spin is read as the other one with the same probability.
The rate is declared (hl.microstates(..., flip=rate)), or learned where it is "not known" (prior Beta(1, 20)). Intervals are central ones of
4000 draws of the normal approximation (engine "laplace"). Coverage is of couplings (of fields in brackets; true fields are zero), its error
the scatter of the shares of data sets. "Width" is the mean standard deviation of couplings over that of the same rows read without errors.
"Ignored" is what comes out where readings are taken for true values: coverage, and the slope of estimates against true couplings. Seconds
are of CPU.

    python readout.py [--quick] [name ...]
"""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import numpyro.distributions as dist
from common import RESULTS, parser, write
from missing import BETA, fitted, holed, pairs, square

import hamlearn as hl

RATES = (0.02, 0.05, 0.1)
PROBLEMS = {
    "3×3 glass, 1000 rows": (square(1000, 3), RATES, "auto", 0.0, 60),
    "3×3 glass, 2000 rows, rate not known": (square(2000, 3), RATES, "rate", 0.0, 30),
    "3×3 glass, 1000 rows, by augmentation": (square(1000, 3), RATES, "pseudo", 0.0, 20),
    "6×6 glass, 1000 rows": (square(1000), (0.02, 0.05), "auto", 0.0, 5),
    "3×3 glass, 1000 rows, 10 % of cells missing": (square(1000, 3), (0.05,), "auto", 0.1, 30),
    "10 spins, all pairs, 1000 rows": (pairs(10, 1000), (0.02, 0.05), "auto", 0.0, 20),
}


def misread(data: Any, rate: float, rng: np.random.Generator) -> Any:
    """The same microstates as they are read."""
    state = data["state"].values
    wrong = (rng.random(state.shape) < rate) & (state != hl.spaces.MISSING)
    return data.assign(state=(data["state"].dims, np.where(wrong, -state, state)))


def slope(data: Any, model: Any, truth: np.ndarray, seed: int) -> float:
    """Of estimates against true couplings."""
    J = hl.learn(data, model, engine="map", seed=seed, check=False)["point"]["J"].values
    return float(J @ truth / (truth @ truth))


def rows(name: str, sets: int) -> list[dict[str, Any]]:
    """Figures of one kind of problem at every rate."""
    make, rates, likelihood, share, _ = PROBLEMS[name]
    found: dict[float, list[Any]] = {rate: [] for rate in (0.0, *rates)}
    for seed in range(sets):
        data, model, truth = make(seed)
        for rate in found:
            rng = np.random.default_rng([seed, round(1000 * rate)])
            read = misread(holed(data, share, "random", rng) if share and rate else data, rate, rng)
            declared, asked, way = hl.microstates(read, flip=rate), model, likelihood
            if way == "rate":
                declared, asked, way = read, model.changed(flip=hl.models.Distribution(dist.Beta(1, 20))), "auto"
            blind = (*fitted(read, model, truth, seed)[:1], slope(read, model, truth, seed)) if rate else (np.nan, np.nan)
            found[rate].append((*fitted(declared, asked, truth, seed, way), *blind))
    whole = np.mean([one[2] for one in found[0.0]])
    table = []
    for rate, results in found.items():
        J, h, width, seconds = np.array([one[:4] for one in results], float).T
        ignored = np.array([one[5:] for one in results], float).mean(0)
        error = J.std(ddof=1) / np.sqrt(len(J))
        table.append(
            {
                "misread": f"{rate:.0%}",
                "learned by": ", ".join(sorted({one[4] for one in results})),
                "data sets": len(results),
                "coverage": f"{J.mean():.3f} ± {error:.3f} ({h.mean():.3f})",
                "width": round(float(width.mean() / whole), 3),
                "ignored": f"{ignored[0]:.3f}, slope {ignored[1]:.2f}" if rate else "",
                "seconds": round(float(np.median(seconds)), 2),
            }
        )
        print(table[-1], flush=True)
    return table


def main() -> None:
    """Every problem, or those that are named; what was written of others stays."""
    options = parser(__doc__)
    options.add_argument("names", nargs="*", help="beginnings of names of problems")
    asked = options.parse_args()
    logging.getLogger("hamlearn").setLevel("WARNING")
    before = RESULTS / "readout.json"
    tables = json.loads(before.read_text())["tables"] if before.exists() and not asked.quick else {}
    for name in PROBLEMS:
        if not asked.names or any(name.startswith(one) for one in asked.names):
            tables[name] = rows(name, 3 if asked.quick else PROBLEMS[name][4])
            kept = {one: tables[one] for one in PROBLEMS if one in tables}
            write("readout", "Readout errors", [str(__doc__)], kept, {"quick": asked.quick, "beta": BETA}, save=not asked.quick)


if __name__ == "__main__":
    main()
