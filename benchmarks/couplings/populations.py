"""Posteriors of populations of spins: do intervals of their entropy and of P(K), how many are up, hold sums over states?

    python benchmarks/couplings/populations.py [--quick] [--only ROW ...]

Worlds of all pairs at β = 1, neurons (J ~ N(0.05, 0.15²), h ~ N(−1, 0.4²)) and glasses (J ~ N(0, 1/n), h ~ N(0, 0.1²)), each learned
from 2000 independent rows. "walks" are ``hl.predict`` with the oracles hidden, as of more spins than can be listed. Every posterior is
predicted twice: as it is, and without the refits that centre bands, which then hold 2p/M instead. Values of P(K) count where five rows
or more are expected; their errors are of sets. ``--only`` runs some rows, and leaves the others on record as they are.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from common import RESULTS, parser, write

import hamlearn as hl
from hamlearn.systems import Pairwise, exact, lattice
from hamlearn.systems.exact import enumeration, registry

ROWS, ASKED = 2000, ["entropy_bits", "multi_information", "count_distribution"]
predicting = importlib.import_module("hamlearn.infer.predictions.predict")


class Row(NamedTuple):
    """What is learned, and how."""

    neurons: bool
    spins: int
    likelihood: str
    engine: str
    walks: bool
    sets: int


TABLE = {
    "laplace": Row(True, 12, "exact", "laplace", False, 40),
    "default": Row(True, 12, "auto", "auto", False, 16),
    "pseudo": Row(True, 12, "pseudo", "laplace", True, 30),
    "glass": Row(False, 12, "pseudo", "laplace", True, 30),
    "glass20": Row(False, 20, "pseudo", "laplace", True, 10),
}


def world(row: Row, seed: int) -> Pairwise:
    rng, graph = np.random.default_rng(seed), lattice.complete(row.spins)
    J, scatter, h, spread = (0.05, 0.15, -1.0, 0.4) if row.neurons else (0.0, row.spins**-0.5, 0.0, 0.1)
    return Pairwise(graph, rng.normal(J, scatter, graph.n_bonds), rng.normal(h, spread, row.spins))


def summed(system: Pairwise) -> dict[str, Any]:
    """The truth, by sums over all states."""
    n, minus = system.lattice.n_sites, exact.state_log_weights(system)
    p = np.exp(minus - minus.max())
    p /= p.sum()
    up = np.asarray(system.space.from_index(enumeration.all_states(system.lattice, 2))).reshape(len(p), -1) > 0
    mean, entropy = p @ up, -float(p[p > 0] @ np.log2(p[p > 0]))
    alone = -float((mean * np.log2(mean) + (1 - mean) * np.log2(1 - mean)).sum())
    return {"entropy_bits": entropy, "multi_information": alone - entropy, "count_distribution": np.bincount(up.sum(1), p, n + 1)}


@contextmanager
def changed(row: Row, centred: bool) -> Iterator[None]:
    """No oracles where walks are asked for, and no refits where bands are to stay as they are."""
    oracles, made = list(registry.ORACLES), predicting.refits
    registry.ORACLES[:] = [] if row.walks else oracles
    if not centred:
        predicting.refits = lambda *args, **options: replace(made(*args, **options), systems=[])
    try:
        yield
    finally:
        registry.ORACLES[:], predicting.refits = oracles, made


def one(row: Row, seed: int) -> dict[bool, dict[str, Any]]:
    system = world(row, seed)
    truth = summed(system)
    data = hl.microstates(exact.sample(system, 1.0, ROWS, seed=seed), space="spins", beta=1.0, independent=True)
    post = hl.infer.learn(data, hl.models.Couplings(None), likelihood=row.likelihood, engine=row.engine, seed=seed)
    found: dict[bool, dict[str, Any]] = {}
    for centred in (True, False):
        started = time.process_time()
        with changed(row, centred):
            told = hl.infer.predict(post, 1.0, observables=ASKED, draws=24 if row.walks else 64, seed=seed).isel(beta=0)
        bands = {name: told[name].sel(quantity=["mean", "sd", "lower", "upper"]).values for name in ASKED}
        found[centred] = {"truth": truth, "bands": bands, "seconds": time.process_time() - started}
    return found


def told(row: Row, centred: bool, sets: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {"worlds": "neurons" if row.neurons else "glass", "spins": row.spins, "likelihood": row.likelihood}
    result |= {"engine": row.engine, "by": "walks" if row.walks else "states", "centred": "yes" if centred else "no"}
    counted = []
    for one in sets:
        truth, (_, _, low, high) = one["truth"]["count_distribution"], one["bands"]["count_distribution"]
        counted.append([((low <= truth) & (truth <= high))[truth * ROWS >= 5].sum(), (truth * ROWS >= 5).sum()])
    held, of = np.array(counted, float).T
    share = held.sum() / of.sum()
    error = np.sqrt(((held - share * of) ** 2).sum() * len(sets) / (len(sets) - 1)) / of.sum()
    result["P(K) held, %"] = f"{100 * share:.1f} ± {100 * error:.1f} of {int(of.sum())}"
    for name, word in (("entropy_bits", "entropy"), ("multi_information", "multi-information")):
        off = np.array([one["bands"][name][0] - one["truth"][name] for one in sets])
        ends = np.array([one["bands"][name][2:] - one["truth"][name] for one in sets])
        result[f"{word} held"] = f"{int(((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).sum())} of {len(sets)}"
        result[f"width of {word}"] = float((ends[:, 1] - ends[:, 0]).mean())
        result[f"{word} off by"] = f"{off.mean():.3f} ± {off.std(ddof=1) / np.sqrt(len(sets)):.3f}"
        result[f"scatter of {word}"] = float(off.std(ddof=1))
    return result | {"CPU s": float(np.mean([one["seconds"] for one in sets]))}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--only", nargs="+", choices=list(TABLE), default=list(TABLE))
    given = made.parse_args()
    path, rows = RESULTS / "populations.json", {}
    if path.exists():
        rows = json.loads(path.read_text())["settings"]["rows"]
    for name in given.only:
        row = TABLE[name]._replace(sets=2) if given.quick else TABLE[name]
        sets = [one(row, seed) for seed in range(row.sets)]
        rows[name] = [told(row, centred, [pair[centred] for pair in sets]) for centred in (True, False)]
    notes = [f"From {ROWS} rows; 90 % are expected to hold. Entropies are in bits, of all spins."]
    tables = {"Populations": [one for name in TABLE for one in rows.get(name, [])]}
    write("populations", "Entropies and counts of populations", notes, tables, {"rows": rows}, save=not given.quick)


if __name__ == "__main__":
    main()
