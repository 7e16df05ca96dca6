"""Couplings from microstates with missing cells: whether 90 % intervals hold the truth, and their width beside that of complete data.

Every data set is a new glass and new rows at β = 0.5, of which every cell is missing with the same probability ("at random"), or with a
probability that is larger where the spin is up ("up"): 1.5 times that of spins that are down. Intervals are central ones of 4000 draws of
the normal approximation (engine "laplace"). Coverage is of couplings (of fields in brackets; true fields are zero), its error the scatter
of the shares of data sets. "Width" is the mean standard deviation of couplings over that of the same rows without gaps. Seconds are of CPU.
Data sets are kept one by one (results/missing_sets.json): the script goes on where it was stopped. Rows of "24 spins" (20
data sets) were made before J was shrunk to that of rows that a solution makes: widths change by −1 to +4 %.

    python missing.py [--quick] [name ...]
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import numpy as np
from common import RESULTS, parser, write

import hamlearn as hl
from hamlearn.infer import posteriors
from hamlearn.spaces import MISSING

SHARES = (0.05, 0.1, 0.2, 0.4)
BETA = 0.5


def pairs(n: int, rows: int) -> Any:
    """Normal couplings between all pairs of spins, independent rows."""

    def made(seed: int) -> tuple[Any, Any, np.ndarray]:
        system = hl.systems.SherringtonKirkpatrick(n, seed=seed)
        data = hl.simulate(system, beta=BETA, draws=rows, chains=1, seed=seed, sampler="exact" if n <= 20 else "auto", progress=False)
        return data, hl.models.Couplings(), np.asarray(system.J)

    return made


def square(rows: int, size: int = 6, sampler: str = "exact") -> Any:
    """±1 couplings on a square of sites, rows of one chain (independent where the sampler is exact)."""

    def made(seed: int) -> tuple[Any, Any, np.ndarray]:
        system = hl.systems.EdwardsAnderson((size, size), seed=seed)
        data = hl.simulate(system, beta=BETA, draws=rows, chains=1, seed=seed, sampler=sampler, progress=False)
        return data, hl.models.Couplings(system.lattice), np.asarray(system.J)

    return made


def potts(rows: int) -> Any:
    """Potts couplings of three states between all pairs of 6 sites, independent rows."""

    def made(seed: int) -> tuple[Any, Any, np.ndarray]:
        rng, graph = np.random.default_rng(seed), hl.systems.lattice.complete(6)
        strengths = rng.normal(0, 0.7, graph.n_bonds)
        system = hl.systems.Potts(graph, 3, strengths)
        data = hl.simulate(system, beta=BETA, draws=rows, chains=1, seed=seed, sampler="exact", progress=False)
        return data, hl.models.Couplings(interaction="potts"), strengths

    return made


PROBLEMS = {
    "12 spins, all pairs, 1000 rows": (pairs(12, 1000), SHARES, "random"),
    "12 spins, up more often missing": (pairs(12, 1000), (0.1, 0.2), "up"),
    "6 sites of 3 states, 1000 rows": (potts(1000), (0.2,), "random"),
    "10×10 glass, 10 000 rows": (square(10_000, 10, "heat_bath"), (0.05, 0.1), "random"),
    "6×6 glass, 1000 rows": (square(1000), SHARES, "random"),
    "24 spins, all pairs, 1500 rows": (pairs(24, 1500), SHARES, "random"),
}
SETS = 60


def holed(data: Any, share: float, how: str, rng: np.random.Generator) -> Any:
    """The same microstates with cells missing."""
    state = data["state"].values.copy()
    rate = share if how == "random" else share * np.where(state > 0, 1.2, 0.8)
    gone = rng.random(state.shape) < rate
    flat = gone.reshape(-1, int(np.prod(state.shape[2:])))
    flat[flat.all(1), 0] = False
    state[gone] = MISSING
    return data.assign(state=(data["state"].dims, state))


def fitted(data: Any, model: Any, truth: np.ndarray, seed: int, likelihood: Any = "auto") -> tuple[float, float, float, float, str]:
    """Shares of couplings and of fields in their intervals, mean width of couplings, seconds, and how it was learned."""
    started = time.process_time()
    post = hl.learn(data, model, likelihood, engine="laplace", seed=seed, check=False)
    seconds = time.process_time() - started
    J = post["posterior"]["J"].values.reshape(-1, len(truth))
    h = post["posterior"]["h"].values.reshape(len(J), -1)
    inside = lambda draws, at: float(np.mean((np.quantile(draws, 0.05, 0) <= at) & (at <= np.quantile(draws, 0.95, 0))))
    made = posteriors.provenance_of(post)
    ways = [one for one in ("augmentation", "conditionals of sites seen") if any(one in reason for reason in made.reasons)]
    way = ways[0] if ways else made.likelihood
    return inside(J, truth), inside(h, 0.0), float(J.std(0).mean()), seconds, way


def results_of(name: str, seed: int) -> list[Any]:
    """What :func:`fitted` gives of one data set at every share, complete first."""
    make, shares, how = PROBLEMS[name]
    data, model, truth = make(seed)
    holes = [holed(data, share, how, np.random.default_rng([seed, round(100 * share)])) for share in shares]
    found = [fitted(part, model, truth, seed) for part in (data, *holes)]
    return [[*(round(float(one), 4) for one in figures), way] for *figures, way in found]


def rows(name: str, sets: list[Any]) -> list[dict[str, Any]]:
    """Figures of one kind of problem at every share."""
    whole = np.mean([one[0][2] for one in sets])
    table = []
    for share, *results in zip((0.0, *PROBLEMS[name][1]), *sets, strict=True):
        J, h, width, seconds = np.array([one[:4] for one in results], float).T
        error = J.std(ddof=1) / np.sqrt(len(J))
        table.append(
            {
                "missing": f"{share:.0%}",
                "learned by": ", ".join(sorted({one[4] for one in results})),
                "data sets": len(results),
                "coverage": f"{J.mean():.3f} ± {error:.3f} ({h.mean():.3f})",
                "width": round(float(width.mean() / whole), 3),
                "seconds": round(float(np.median(seconds)), 2),
            }
        )
    return table


def main() -> None:
    """Every problem, or those that are named, from the first data set that is not on record; what is on record of others stays."""
    options = parser(__doc__)
    options.add_argument("names", nargs="*", help="beginnings of names of problems")
    asked = options.parse_args()
    logging.getLogger("hamlearn").setLevel("WARNING")
    before = RESULTS / "missing_sets.json"
    sets: dict[str, Any] = json.loads(before.read_text()) if before.exists() and not asked.quick else {}
    for name in PROBLEMS:
        if asked.names and not any(name.startswith(one) for one in asked.names):
            continue
        for seed in range(len(sets.setdefault(name, [])), 3 if asked.quick else SETS):
            sets[name].append(results_of(name, seed))
            if not asked.quick:
                before.write_text("{" + ",\n".join(f"{json.dumps(one)}: {json.dumps(sets[one])}" for one in sets) + "}\n")
    written = RESULTS / "missing.json"
    tables = json.loads(written.read_text())["tables"] if written.exists() and not asked.quick else {}
    for name, found in sets.items():  # a table of more data sets, of a time when they were not kept, stays until there are as many
        if len(found) > 1 and (name not in tables or len(found) >= tables[name][0]["data sets"]):
            tables[name] = rows(name, found)
    tables = {name: tables[name] for name in PROBLEMS if name in tables}
    write("missing", "Missing cells", [str(__doc__)], tables, {"quick": asked.quick, "beta": BETA}, save=not asked.quick)


if __name__ == "__main__":
    main()
