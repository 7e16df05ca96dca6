"""Do intervals of couplings between ordered states, and between columns of different kinds, hold, and how near is what comes out?

    python benchmarks/calibration/ordinal.py [--n 60] [--again WORD ...]

Items of five ordered answers, or mixed columns of two to five states, 500 independent rows, every pair a candidate. Half of the pairs do
not interact; of the others ordinal couplings are N(0, 0.6²), and the tables of general ones have N(0, 0.4²) along every direction of the
zero-sum gauge; the fields on the states are N(0, 0.5²). Truths are drawn anew for every repetition, and the priors are the default ones,
which know nothing of this. ``in 90 %`` is the share of truths (of tables every entry that there is) in 90 % intervals, with the standard
error over repetitions; ``error`` the root mean square of the posterior mean minus the truth, beside ``sd``, what the posterior says of
it; ``edges`` the share of the couplings beyond 0.3 whose interval leaves zero out on their side. ``--again`` runs the rows that have all
these words in their first three columns, and keeps the others.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

ROWS, LEVEL = 500, 0.9
FEW, MANY = (2, 5, 3, 4, 2), (2, 5, 3, 4, 2, 3, 5, 2)
CASES = (
    ((5,) * 5, "ordinal", "exact"),
    ((5,) * 6, "ordinal", "exact"),
    ((5,) * 8, "ordinal", "pseudo"),
    (FEW, "ordinal", "exact"),
    (MANY, "ordinal", "pseudo"),
    (FEW, "general", "exact"),
    (MANY, "general", "pseudo"),
)


def told(sizes: tuple[int, ...]) -> str:
    """What the columns are."""
    return f"{len(sizes)} of {sizes[0]}" if len(set(sizes)) == 1 else "mixed, " + " ".join(map(str, sizes))


def drawn(sizes: tuple[int, ...], interaction: str, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Any]:
    """True couplings and fields, which of their entries there are, and rows."""
    items, q = len(sizes), max(sizes)
    rng, lattice = np.random.default_rng([items, seed]), hl.systems.lattice.complete(items)
    there = np.arange(q) < np.array(sizes)[:, None]
    share = lambda axis, there: there / np.maximum(there.sum(axis, keepdims=True), 1)
    centred = lambda values, axis, there: (values - (values * share(axis, there)).sum(axis, keepdims=True)) * there
    exist = rng.random(lattice.n_bonds) < 0.5
    if interaction == "ordinal":
        J = np.where(exist, rng.normal(0, 0.6, lattice.n_bonds), 0.0) * np.sqrt(5 / items)
        entries = np.ones(J.shape, bool)
    else:
        first, second = lattice.bonds.T
        entries = there[first][:, :, None] & there[second][:, None]
        J = centred(centred(rng.normal(0, 0.4, entries.shape), 1, entries), 2, entries) * exist[:, None, None] * np.sqrt(5 / items)
    h = rng.normal(0, 0.5, (items, q))
    system = hl.systems.QState(lattice, sizes, J, h, interaction=interaction)
    rows = hl.simulate(system, beta=1.0, draws=ROWS, chains=1, seed=seed, sampler="exact")["state"].values[0]
    truth, known = {"J": J, "h": centred(h, 1, there)}, {"J": entries, "h": there}
    return truth, known, hl.microstates(rows, space="states", q=sizes, beta=1.0, independent=True)


def run(sizes: tuple[int, ...], interaction: Any, likelihood: Any, repeats: int) -> dict[str, Any]:
    """All repetitions of a case."""
    inside: dict[str, list[float]] = {"J": [], "h": []}
    errors, sds, edges, began = [], [], [], time.process_time()
    for seed in range(repeats):
        truth, there, data = drawn(sizes, interaction, seed)
        post = hl.infer.learn(data, hl.models.Couplings(interaction=interaction), likelihood, seed=seed)
        for name, values in truth.items():
            value, draws = values[there[name]], post["posterior"][name].values.reshape(-1, *values.shape)[:, there[name]]
            low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
            inside[name].append(float(np.mean((low <= value) & (value <= high))))
            if name == "J":
                errors.append(float(np.mean((draws.mean(0) - value) ** 2)))
                sds.append(float(np.mean(draws.var(0))))
                edges += np.where(value > 0, low > 0, high < 0)[np.abs(value) > 0.3].tolist() if interaction == "ordinal" else []
    covered = {name: (np.mean(one), np.std(one, ddof=1) / np.sqrt(repeats)) for name, one in inside.items()}
    return {
        "columns": told(sizes),
        "interaction": interaction,
        "likelihood": likelihood,
        **{f"{name} in 90 %": f"{mean:.3f} ± {error:.3f}" for name, (mean, error) in covered.items()},
        "error": f"{np.sqrt(np.mean(errors)):.3f}",
        "sd": f"{np.sqrt(np.mean(sds)):.3f}",
        "edges": f"{np.mean(edges):.2f} of {len(edges)}" if edges else "",
        "CPU s each": f"{(time.process_time() - began) / repeats:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="two repetitions, nothing written")
    parser.add_argument("--again", nargs="+", default=[], metavar="WORD", help="only rows with these words, beside what is on record")
    given = parser.parse_args()
    kept = json.loads((Path(__file__).parent / "results" / "ordinal.json").read_text())["rows"] if given.again else []
    known, rows = {tuple(row.values())[:3]: row for row in kept}, []
    for sizes, interaction, likelihood in CASES:
        name = (told(sizes), interaction, likelihood)
        wanted = all(word in " ".join(name) for word in given.again)
        if not wanted and name not in known:
            continue
        rows.append(run(sizes, interaction, likelihood, 2 if given.quick else given.n) if wanted else known[name])
        print(rows[-1], flush=True)
    text = table(list(rows[0]), [list(row.values()) for row in rows])
    record = {"settings": {"n": given.n, "rows": ROWS}, "versions": versions(), "rows": rows}
    if not given.quick:
        write(Path(__file__), __doc__, text, record)


if __name__ == "__main__":
    main()
