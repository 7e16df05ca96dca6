"""Learned readout rates: whether 90 % intervals hold the true rate, and the couplings, where rates are as their prior says.

Every data set is a new square glass at β = 0.5 with independent rows, and a new rate from Beta(1, 20), which is the prior that it is
learned with. 3×3 spins are listed; those of 6×6 are sampled. The error of a coverage is that of a share (rates) or the scatter of shares
(couplings); "off" is the mean of (posterior mean − truth) over the posterior's standard deviation, which is zero where the posterior is
right. "Upper tail" is the coverage of the rates above 0.1, of whose posterior means the prior is bound to say too little: one data set in
eight has such a rate. "Refused" are data sets of which nothing was learned. Seconds are of CPU, the median.

    python rates.py [--quick] [name ...]
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import numpy as np
import numpyro.distributions as dist
from common import RESULTS, parser, write
from missing import BETA, square
from readout import misread

import hamlearn as hl

PRIOR = (1, 20)
TAIL = 0.1
PROBLEMS = {
    "3×3 glass, 100 rows": (square(100, 3), 300),
    "3×3 glass, 300 rows": (square(300, 3), 300),
    "3×3 glass, 2000 rows": (square(2000, 3), 300),
    "6×6 glass, 300 rows": (square(300), 60),
    "6×6 glass, 1000 rows": (square(1000), 60),
}


def learned(name: str, seed: int) -> dict[str, Any]:
    """One data set: the true rate, its posterior's mean, sd and 90 % ends, and the share of couplings in their intervals."""
    data, model, truth = PROBLEMS[name][0](seed)
    rng = np.random.default_rng([seed, 7])
    rate = float(rng.beta(*PRIOR))
    model = model.changed(flip=(hl.models.Distribution(dist.Beta(*PRIOR)),))
    started = time.process_time()
    try:
        post = hl.learn(misread(data, rate, rng), model, engine="laplace", seed=seed, check=False)
    except hl.HamlearnError as error:
        return {"rate": rate, "refused": str(error)[:200]}
    seconds = time.process_time() - started
    rates, J = post["posterior"]["flip"].values.ravel(), post["posterior"]["J"].values.reshape(-1, len(truth))
    low, high = np.quantile(J, [0.05, 0.95], axis=0)
    figures = {
        "rate": rate,
        "mean": rates.mean(),
        "sd": rates.std(),
        "inside": np.mean((low <= truth) & (truth <= high)),
        "seconds": seconds,
    }
    return {key: round(float(one), 6) for key, one in figures.items()} | {"ends": np.quantile(rates, [0.05, 0.95]).round(6).tolist()}


def row(name: str, sets: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one kind of problem."""
    found = [one for one in sets if "refused" not in one]
    truth, mean, sd, inside = (np.array([one[key] for one in found]) for key in ("rate", "mean", "sd", "inside"))
    ends = np.array([one["ends"] for one in found])
    held = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    z, tail, count = (mean - truth) / sd, truth > TAIL, len(found)
    return {
        "problem": name,
        "data sets": count,
        "refused": len(sets) - count,
        "rates held": f"{held.mean():.3f} ± {np.sqrt(held.mean() * (1 - held.mean()) / count):.3f}",
        "off": f"{z.mean():+.2f} ± {z.std(ddof=1) / np.sqrt(count):.2f}",
        "upper tail": f"{held[tail].mean():.2f} of {tail.sum()}" if tail.any() else "",
        "couplings held": f"{inside.mean():.3f} ± {inside.std(ddof=1) / np.sqrt(count):.3f}",
        "sd of the rate": round(float(np.median(sd)), 4),
        "seconds": round(float(np.median([one["seconds"] for one in found])), 2),
    }


def main() -> None:
    """Every problem, or those that are named; what was written of others stays, and data sets already learned are not learned again."""
    options = parser(__doc__)
    options.add_argument("names", nargs="*", help="beginnings of names of problems")
    asked = options.parse_args()
    logging.getLogger("hamlearn").setLevel("ERROR")
    kept_at = RESULTS / "rates_sets.json"
    kept = json.loads(kept_at.read_text()) if kept_at.exists() and not asked.quick else {}
    for name, (_, count) in PROBLEMS.items():
        if asked.names and not any(name.startswith(one) for one in asked.names):
            continue
        sets = kept.setdefault(name, [])
        while len(sets) < (3 if asked.quick else count):
            sets.append(learned(name, len(sets)))
            if not asked.quick and (len(sets) % 10 == 0 or len(sets) == count):
                kept_at.write_text(json.dumps(kept))
        print(row(name, sets), flush=True)
    table = {"Rates from their prior": [row(name, kept[name]) for name in PROBLEMS if kept.get(name)]}
    write("rates", "Learned readout rates", [str(__doc__)], table, {"quick": asked.quick, "beta": BETA}, save=not asked.quick)


if __name__ == "__main__":
    main()
