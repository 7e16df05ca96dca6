"""Couplings from microstates that are read with errors: whether 90 % intervals hold the truth, and what the errors cost.

Every data set is a new glass and new independent rows at β = 0.5, of which every value is read as another one with the same probability.
The rate is declared (hl.microstates(..., flip=rate)), or learned where it is "not known" (prior Beta(1, 20)); "rates of sites" are drawn
from Beta(2, 2/rate − 2), which is their prior. Intervals are central ones of
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
from missing import BETA, fitted, holed, pairs, potts, square

import hamlearn as hl
from hamlearn.data import site_shape, space_of

RATES = (0.02, 0.05, 0.1)
PROBLEMS = {
    "3×3 glass, 1000 rows": (square(1000, 3), RATES, "auto", 0.0, 60),
    "3×3 glass, 2000 rows, rate not known": (square(2000, 3), RATES, "rate", 0.0, 60),
    "3×3 glass, 1000 rows, by augmentation": (square(1000, 3), RATES, "pseudo", 0.0, 60),
    "6×6 glass, 1000 rows": (square(1000), (0.02, 0.05), "auto", 0.0, 60),
    "3×3 glass, 1000 rows, 10 % of cells missing": (square(1000, 3), (0.05,), "auto", 0.1, 60),
    "10 spins, all pairs, 1000 rows": (pairs(10, 1000), (0.02, 0.05), "auto", 0.0, 60),
    "3×3 glass, 2000 rows, rates of sites not known": (square(2000, 3), (0.02, 0.05), "rates", 0.0, 60),
    "6×6 glass, 1000 rows, rate not known": (square(1000), (0.05,), "rate", 0.0, 20),
    "6×6 glass, 1000 rows, rates of sites not known": (square(1000), (0.05,), "rates", 0.0, 10),
    "6 sites of 3 states, 1000 rows": (potts(1000), (0.02, 0.05), "auto", 0.0, 60),
    "6 sites of 3 states, 1000 rows, rate not known": (potts(1000), (0.02, 0.05), "rate", 0.0, 60),
}


def misread(data: Any, rate: Any, rng: np.random.Generator) -> Any:
    """The same microstates as they are read."""
    state = data["state"].values
    wrong = (rng.random(state.shape) < rate) & (state != hl.spaces.MISSING)
    return data.assign(state=(data["state"].dims, np.where(wrong, space_of(data).propose(rng, state, None), state)))


def asked_for(model: Any, way: str, rate: float, n_sites: int) -> Any:
    """The model, with what is to be learned of readout errors."""
    if way == "rate":
        return model.changed(flip=(hl.models.Distribution(dist.Beta(1, 20)),))
    return model.changed(flip=(hl.models.Distribution(dist.Beta(2, 2 / rate - 2)),) * n_sites) if way == "rates" and rate else model


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
            shape = site_shape(data)
            true = rng.beta(2, 2 / rate - 2, shape) if likelihood == "rates" and rate else rate
            read = misread(holed(data, share, "random", rng) if share and rate else data, true, rng)
            known, way = likelihood not in ("rate", "rates"), likelihood
            declared, way = (hl.microstates(read, flip=rate), way) if known else (read, "auto")
            asked = asked_for(model, likelihood, rate, int(np.prod(shape)))
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
