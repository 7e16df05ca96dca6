"""The default engine beside NUTS on the same data: seconds of CPU, agreement, and whether 90 % intervals hold the truth.

Every row is a kind of problem and every data set a new one of its kind (couplings ±1 or normal). Both engines get the same
likelihood, the one that `auto` takes; NUTS runs on the first sets only, since it costs. Seconds are of CPU, one core, the median of the
sets after the first, and the first beside it (compilation, with a persistent cache). "z" is the largest difference of posterior means in
NUTS's standard deviations, "sd" the range of ratios of standard deviations; both have Monte-Carlo noise of some per cent. Coverage is of
data sets: its error is the scatter of their shares.

    python importance.py [--quick]
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
from common import parser, write

import hamlearn as hl


def lattice_glass(shape: tuple[int, int], draws: int, chains: int) -> Any:
    """±1 couplings on a periodic lattice, sampled by a Markov chain."""

    def made(seed: int) -> tuple[Any, Any, np.ndarray]:
        glass = hl.systems.EdwardsAnderson(shape, seed=seed)
        data = hl.simulate(glass, beta=0.5, draws=draws, chains=chains, seed=seed, progress=False)
        return data, hl.models.Couplings(glass.lattice, fields=None), np.asarray(glass.J)

    return made


def all_pairs(n: int, draws: int) -> Any:
    """Normal couplings between all pairs of few spins, independent rows."""

    def made(seed: int) -> tuple[Any, Any, np.ndarray]:
        system = hl.systems.SherringtonKirkpatrick(n, seed=seed)
        data = hl.simulate(system, beta=0.5, draws=draws, chains=1, seed=seed, sampler="exact", progress=False)
        return data, hl.models.Couplings(system.lattice, fields=None), np.asarray(system.J)

    return made


PROBLEMS = {
    "3×3 glass, 100 rows": (lattice_glass((3, 3), 50, 2), 100, 3),
    "3×3 glass, 1000 rows": (lattice_glass((3, 3), 500, 2), 100, 3),
    "8×8 glass, 2000 rows": (lattice_glass((8, 8), 250, 8), 40, 2),
    "8×8 glass, 10 000 rows": (lattice_glass((8, 8), 625, 16), 20, 2),
    "16 spins, all pairs, 232 rows": (all_pairs(16, 232), 60, 0),
    "16 spins, all pairs, 2000 rows": (all_pairs(16, 2000), 40, 2),
}


def row(name: str, sets: int, compared: int) -> dict[str, Any]:
    """Figures of one kind of problem."""
    make, seconds, nuts_seconds, shares, ks, z, sd = PROBLEMS[name][0], [], [], [], [], [], []
    used: Counter[str] = Counter()
    for seed in range(sets):
        data, model, truth = make(seed)
        started = time.process_time()
        post = hl.infer.learn(data, model, seed=seed)
        seconds.append(time.process_time() - started)
        made, draws = hl.infer.provenance(post), post["posterior"]["J"].values.reshape(-1, len(truth))
        used[f"{made.likelihood} {made.engine.name}"] += 1
        ks += [] if made.pareto_k is None else [made.pareto_k]
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        shares.append(((low < truth) & (truth < high)).mean())
        if seed < compared:
            started = time.process_time()
            other = hl.infer.learn(data, model, likelihood=made.likelihood, engine="nuts", seed=seed)["posterior"]["J"].values
            nuts_seconds.append(time.process_time() - started)
            other = other.reshape(-1, len(truth))
            z.append(np.abs((draws.mean(0) - other.mean(0)) / other.std(0)).max())
            sd += (draws.std(0) / other.std(0)).tolist()
    found = {
        "problem": name,
        "taken": ", ".join(f"{kind} {count}" for kind, count in used.items()),
        "CPU s first": seconds[0],
        "CPU s": float(np.median(seconds[1:])),
        "sets": sets,
        "coverage": f"{np.mean(shares):.3f} ± {np.std(shares) / np.sqrt(sets):.3f}",
        "largest k̂": max(ks, default=float("nan")),
    }
    if compared:
        found |= {"NUTS CPU s first": nuts_seconds[0], "NUTS CPU s": float(np.median(nuts_seconds[1:])), "z": float(max(z))}
        found["sd"] = f"{min(sd):.2f}–{max(sd):.2f}"
    return found


def main() -> None:
    """The table."""
    quick = parser(__doc__).parse_args().quick
    rows = []
    for name, (_, sets, compared) in PROBLEMS.items():
        rows.append(row(name, 5 if quick else sets, min(compared, 2)))
        print(rows[-1], flush=True)
    write("importance", "Importance sampling beside NUTS", [str(__doc__)], {"": rows}, {"quick": quick}, save=not quick)


if __name__ == "__main__":
    main()
