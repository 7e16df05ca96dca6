"""Extensive networks fitted to labelled 8×8 Ising states: error against context, with and without the linear part, and size transfer.

    python benchmarks/dcl/extensive.py --context 1        (or 0, 2, 3)
    python benchmarks/dcl/extensive.py --context 1 --plain

Labelled states: equal parts of uniformly random ones and of exact samples at β = 0.15, 0.3, 0.44 and 0.6. The figure is the median
absolute error of the total energy, mean subtracted, of fresh states of the same kinds, as published; and of 128×128 states
(random, and blocks of 8×8 states repeated).
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from clusters import RESULTS

import hamlearn as hl
from hamlearn.infer import families, posteriors
from hamlearn.systems import exact

PUBLISHED = {0: "", 1: 0.028, 2: 1.090, 3: 14.816}
PUBLISHED_LARGE = 2.055
BETAS = (0.15, 0.3, 0.44, 0.6)


def states(count: int, seed: int) -> np.ndarray:
    ising, each = hl.systems.Ising((8, 8)), count // (len(BETAS) + 1)
    random = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), size=(each, 8, 8))
    return np.concatenate([random, *(exact.sample(ising, beta, each, seed=seed + k) for k, beta in enumerate(BETAS))])


def median_error(system: Any, true: Any, batch: np.ndarray) -> float:
    difference = np.asarray(system.energy(batch)) - true.energy(batch)
    return float(np.median(np.abs(difference - difference.mean())))


def measure(context: int, count: int, *, plain: bool) -> dict[str, Any]:
    ising = hl.systems.Ising((8, 8))
    labelled, fresh = states(count, 1), states(5000, 100)
    started = time.process_time()
    model = hl.models.Extensive(focus=1, context=context, hidden=(64, 64), pairs=not plain)
    engine = hl.infer.Training(epochs=40, batch=128, learning_rate=2e-3, patience=40, weight_decay=0.0)
    post = hl.infer.distill(labelled, ising, model, engine=engine, seed=0)
    seconds = time.process_time() - started
    member = hl.draw_systems(post, 1)[0]
    large = np.concatenate([np.tile(fresh[::1000], (1, 16, 16)), np.random.default_rng(5).choice([-1, 1], size=(5, 128, 128))])
    system = families.of(post).draw_systems(post, 1, 0, (128, 128))[0]
    difference = np.asarray(system.energy(large)) - hl.systems.Ising((128, 128)).energy(large)
    # The constant is that of a tile: 256 times that of 8×8.
    offset = float(np.mean(np.asarray(member.energy(fresh)) - ising.energy(fresh))) * 256
    return {
        "context": context,
        "plain": plain,
        "states": len(labelled),
        "error": median_error(member, ising, fresh),
        "large": float(np.median(np.abs(difference - offset))),
        "seconds": seconds,
        "held_out": posteriors.provenance_of(post).more["held_out_error"][0],
    }


def report(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Extensive networks fitted to energies, 8×8 Ising",
        "Median absolute error of the total energy in J; published: focus 1, dense layers 32 (f + 2c)², 64, 64, 1e5 configurations, 500 "
        "epochs of Adam. *linear part*: fields and pairs of the tile by least squares before the network (the default). seconds: CPU time "
        "of one core.",
        "| context | linear part | published | ours, 8×8 | published, 128×128 | ours, 128×128 | settings | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: (row["plain"], row["context"])):
        large = PUBLISHED_LARGE if row["context"] == 1 else "–"
        settings = f"{row['states']} states, layers (64, 64), at most 40 epochs"
        lines.append(
            f"| {row['context']} | {'no' if row['plain'] else 'yes'} | {PUBLISHED[row['context']] or '–'} | {row['error']:.2g} | {large} | "
            f"{row['large']:.2g} | {settings} | {row['seconds']:.0f} |"
        )
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:]) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--context", type=int, choices=list(PUBLISHED), default=1)
    options.add_argument("--plain", action="store_true", help="the network alone, as published")
    options.add_argument("--states", type=int, default=5000)
    given = options.parse_args()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "extensive.json"
    row = measure(given.context, given.states, plain=given.plain)
    kept = json.loads(path.read_text()) if path.exists() else []
    rows = [one for one in kept if (one["context"], one["plain"]) != (row["context"], row["plain"])] + [row]
    path.write_text(json.dumps(rows, indent=1) + "\n")
    (RESULTS / "extensive.md").write_text(report(rows))
    print((RESULTS / "extensive.md").read_text())


if __name__ == "__main__":
    main()
