"""Do differences of held-out scores lie within their errors, and how often is a needless model preferred?

    python benchmarks/calibration/ranking.py [--n 60]

Spins on an open 2 × 3 lattice, 400 microstates a data set, ``independent`` or one ``chain`` of heat bath whose draws lie a sweep apart;
five folds, engine ``laplace``. ``null``: all couplings are 0.5, and one coupling for all bonds is compared with one for each, whose six
further parameters are needless. ``weak``: couplings are 0.5 ± 0.15, so that these parameters are needed. ``strong``: one coupling for all
bonds is compared with fields alone. ``difference`` is the mean of ln p of all rows by which the first is better, ``true`` what it is on
the average over the law of the data, of fits to four fifths of as many other rows; ``in 90 %`` how often the second lies within 1.645
errors of the first; ``preferred`` the share of data sets where the second is better by more than 1.645 errors, ``told`` where it is not
among those that the table calls alike.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl
from hamlearn.infer import LaplaceApproximation, learn

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

ROWS, BETA, ENGINE = 400, 0.8, LaplaceApproximation(draws=25, chains=4)
OPEN = hl.systems.lattice.hypercubic((2, 3), periodic=False)
TIED = hl.models.Couplings(OPEN, tie="uniform", fields=None)
LOOSE = hl.models.Couplings(OPEN, fields=None)
ALONE = hl.models.Couplings(OPEN, tie="uniform", prior=hl.models.Normal(1e-4))
SPREAD = 0.15 * np.array([1, -1, 1, -1, 1, -1, 0.0])
CASES = {"null": (0.5 + 0 * SPREAD, LOOSE), "weak": (0.5 + SPREAD, LOOSE), "strong": (0.5 + 0 * SPREAD, ALONE)}


def drawn(J: np.ndarray, sampler: str, rows: int, seed: int) -> Any:
    """Microstates."""
    return hl.simulate(hl.systems.Pairwise(OPEN, J), BETA, draws=rows, chains=1, seed=seed, sampler=sampler, progress=False)


def truth(J: np.ndarray, models: list[Any], n: int) -> float:
    """Mean ln p that the first of fits to four fifths of the rows gains on the second, over all states with their probabilities."""
    states, weight = hl.systems.exact.distribution(hl.systems.Pairwise(OPEN, J), BETA)
    everything, gains = hl.microstates(states, space="spins", beta=BETA), []
    for index in range(n):
        part, mean = drawn(J, "exact", ROWS * 4 // 5, 70_000 + index), []
        for model in models:
            post = learn(part, model, engine=ENGINE, seed=index)
            values = hl.infer.log_likelihood(post, everything, "exact")["log_likelihood"]["microstates"].values.reshape(-1, 64)
            mean.append(weight @ (np.logaddexp.reduce(values, 0) - np.log(len(values))))
        gains.append(mean[0] - mean[1])
    return float(np.mean(gains))


def one(name: str, sampler: str, n: int) -> dict[str, Any]:
    """A row of the table."""
    J, other = CASES[name]
    expected, found, error, alike = ROWS * truth(J, [TIED, other], n), [], [], []
    for index in range(n):
        ranked = hl.rank({"tied": TIED, "other": other}, drawn(J, sampler, ROWS, index), engine=ENGINE, seed=index)
        last = ranked.to_dataset().isel(model=1)
        found.append(ROWS * float(last["difference"]) * (1 if ranked.best == "tied" else -1))
        error.append(ROWS * float(last["difference_error"]))
        alike.append(bool(ranked.alike))
    gained, errors = np.array(found), np.array(error)
    inside, preferred = np.abs(gained - expected) < 1.645 * errors, gained < -1.645 * errors
    return {
        "case": name,
        "rows": "independent" if sampler == "exact" else "chain",
        "difference": float(gained.mean()),
        "scatter": float(gained.std(ddof=1)),
        "error": float(errors.mean()),
        "true": expected,
        "inside": float(inside.mean()),
        "preferred": float(preferred.mean()),
        "told": float(1 - np.mean(alike)),
    }


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=60, help="data sets a row")
    n, lines = parser.parse_args().n, []
    for name, sampler in (("null", "exact"), ("null", "heat_bath"), ("weak", "exact"), ("strong", "exact")):
        lines.append(one(name, sampler, n))
        print(lines[-1], flush=True)
    columns = ["case", "rows", "difference, nats", "scatter", "error", "true", "in 90 %", "preferred", "told"]
    cells = [
        [
            line["case"],
            line["rows"],
            *(f"{line[key]:.1f}" for key in ("difference", "scatter", "error", "true")),
            *(f"{line[key]:.2f}" for key in ("inside", "preferred", "told")),
        ]
        for line in lines
    ]
    record = {"settings": {"data sets": n, "rows": ROWS, "beta": BETA}, "versions": versions(), "results": lines}
    write(Path(__file__), __doc__, table(columns, cells), record)


if __name__ == "__main__":
    main()
