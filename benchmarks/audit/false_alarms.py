"""How often `hl.audit` flags a model whose law is that of the reference: pairs of honest samples of one system.

Among them chains near the transition that are slow, pairs of which one moves slowly and the other not, and pairs of unequal lengths.

    python benchmarks/audit/false_alarms.py [--pairs 40] [--only NAME ...]

writes results/false_alarms.md and the p-values as results/false_alarms.json. Fourteen kinds of pairs, 50 of each; of the two of few
independent rows 200 are needed to see a rate: --only worth --pairs 200.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import hamlearn as hl

RESULTS = Path(__file__).parent / "results"
Pair = Callable[[int], tuple[xr.Dataset, xr.Dataset]]
LEVELS = (0.01, 0.05)


def drawn(system: hl.systems.base.System, beta: float, seed: int, draws: int = 250, chains: int = 8, **options: object) -> xr.Dataset:
    """One sample."""
    return hl.simulate(system, beta=beta, draws=draws, chains=chains, seed=seed, progress=False, **options)


def twice(system: hl.systems.base.System, beta: float, **options: object) -> Pair:
    """Two samples made alike."""
    return lambda seed: (drawn(system, beta, 2 * seed, **options), drawn(system, beta, 2 * seed + 1, **options))


def mixed(system: hl.systems.base.System, beta: float, first: dict[str, object], second: dict[str, object]) -> Pair:
    """Two samples made differently."""
    return lambda seed: (drawn(system, beta, 2 * seed, **first), drawn(system, beta, 2 * seed + 1, **second))


def kinds() -> dict[str, tuple[Pair, hl.systems.base.System]]:
    """Every kind of pair by name, and the system whose energy is audited."""
    small, large = hl.systems.Ising((8, 8)), hl.systems.Ising((16, 16))
    glass, potts, xy = hl.systems.EdwardsAnderson((6, 6), seed=1), hl.systems.Potts((8, 8), 3), hl.systems.XY((8, 8))
    kept = hl.systems.FixedMagnetization(small, 0)
    return {
        "Ising 8×8, T = 5, with a training set": (twice(small, 0.2, sampler="swendsen_wang"), small),
        "Ising 8×8, T = 2.5, clusters": (twice(small, 0.4, sampler="swendsen_wang"), small),
        "Ising 8×8, T_c, heat bath": (twice(small, 0.4407, sampler="heat_bath", draws=400, thin=40), small),
        "Ising 16×16, T_c, heat bath, few blocks": (twice(large, 0.4407, sampler="heat_bath", draws=500, thin=100), large),
        "Ising 8×8, T_c, clusters against heat bath": (
            mixed(small, 0.4407, {"sampler": "swendsen_wang"}, {"sampler": "heat_bath", "draws": 400, "thin": 40}),
            small,
        ),
        "Ising 8×8, T = 2.5, 500 against 4800 rows": (
            mixed(small, 0.4, {"sampler": "swendsen_wang", "draws": 500, "chains": 1}, {"sampler": "swendsen_wang", "draws": 600}),
            small,
        ),
        "Ising 8×8, T = 1.5, clusters": (twice(small, 1 / 1.5, sampler="swendsen_wang"), small),
        "Ising 8×8, M = 0, T = 2, exchanges": (twice(kept, 0.5, draws=400, thin=4), small),
        "glass 6×6, β = 0.6, heat bath": (twice(glass, 0.6, draws=300, thin=3, sampler="heat_bath"), glass),
        "Potts 8×8, q = 3, β = 0.9": (twice(potts, 0.9, sampler="swendsen_wang"), potts),
        "XY 8×8, β = 0.8": (twice(xy, 0.8), xy),
        "Ising 8×8, T_c, one chain worth 27 rows": (
            twice(small, 0.4407, sampler="heat_bath", draws=1000, chains=1, thin=10),
            small,
        ),
        "Ising 8×8, T_c, four chains worth 41 rows": (
            twice(small, 0.4407, sampler="heat_bath", draws=250, chains=4, thin=16),
            small,
        ),
        "single chain of 400 rows": (twice(small, 0.35, sampler="swendsen_wang", chains=1), small),
    }


def by_comparison(stored: dict[str, dict[str, list[float]]]) -> list[str]:
    """How often every comparison alone is below a level, over all kinds of pairs."""
    pooled: dict[str, list[float]] = {}
    for of_kind in stored.values():
        for name, values in of_kind.items():
            pooled.setdefault(name, []).extend(values)
    lines = ["| comparison | p-values | at most 0.05 | at most 0.01 |", "|---|---|---|---|"]
    for name, values in sorted(pooled.items(), key=lambda item: -np.mean(np.array(item[1]) <= 0.05)):
        if len(values) >= 100:
            shares = " | ".join(f"{np.mean(np.array(values) <= level):.3f}" for level in (0.05, 0.01))
            lines.append(f"| {name} | {len(values)} | {shares} |")
    return lines


def main() -> None:
    """Run and record."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--record", default="false_alarms")
    asked = parser.parse_args()
    lines, stored, total = [], {}, []
    for name, (pair, system) in kinds().items():
        if asked.only and not any(one in name for one in asked.only):
            continue
        smallest, undecided, sections = [], 0, {}
        for seed in range(asked.pairs):
            training = drawn(system, 0.2, 10_000 + seed, sampler="swendsen_wang") if "training" in name else None
            found = hl.audit(*pair(seed), energy=system, training=training, seed=seed)
            smallest.append(float(np.nanmin([one.p_adjusted for one in found.findings] + [1.0])))
            undecided += bool(found.undecided)
            for one in found.findings:
                if one.decided and np.isfinite(one.p_value):
                    sections.setdefault(one.name, []).append(one.p_value)
        smallest = np.array(smallest)
        total += smallest.tolist()
        stored[name] = {key: np.round(values, 4).tolist() for key, values in sections.items()}
        rates = " | ".join(f"{np.mean(smallest <= level):.3f}" for level in LEVELS)
        worst = min(sections, key=lambda key: np.mean(np.array(sections[key]) <= 0.05) * -1)
        share = np.mean(np.array(sections[worst]) <= 0.05)
        lines.append(f"| {name} | {len(smallest)} | {rates} | {undecided} | {worst}: {share:.2f} |")
        print(lines[-1], flush=True)
    every = np.array(total)
    rates = " | ".join(f"{np.mean(every <= level):.3f} ± {np.sqrt(level * (1 - level) / len(every)):.3f}" for level in LEVELS)
    lines.append(f"| **all** | {len(every)} | {rates} | | |")
    head = "| pairs of | pairs | flagged at 0.01 | flagged at 0.05 | with something undecided | comparison most often below 0.05 |"
    top = ["# False alarms of the audit", "", "`python benchmarks/audit/false_alarms.py`", ""]
    text = "\n".join([*top, head, "|---|---|---|---|---|---|", *lines, "", *by_comparison(stored), ""])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{asked.record}.md").write_text(text, encoding="utf-8")
    (RESULTS / f"{asked.record}.json").write_text(json.dumps(stored), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
