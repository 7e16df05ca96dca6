"""The strongest product of three and of four sites, chosen in one half and compared in the other: its z where pairs are all there is,
and the verdict where one term of three sites is planted (half as strong for spins as for three states).
Microstates come from a heat bath of this file's own.

Run: python benchmarks/strongest.py (about 6 minutes of CPU). Writes benchmarks/results/strongest.md.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.stats

import hamlearn as hl
from hamlearn.diagnostics import check

RESULTS = Path(__file__).parent / "results" / "strongest.md"
SWEEPS = 50


def drawn(tables: np.ndarray, fields: np.ndarray, rows: int, rng: np.random.Generator, planted: tuple | None = None) -> np.ndarray:
    """States ``(rows, n)`` with ln p = Σ_{i<j} tables[i, j, s_i, s_j] + Σ fields[i, s_i] + the planted table of three sites."""
    n, q = fields.shape
    states = rng.integers(q, size=(rows, n))
    for _ in range(SWEEPS):
        for site in range(n):
            logits = fields[site] + tables[site, np.arange(n)[None], :, states].sum(1)
            if planted is not None and site in planted[0]:
                place = planted[0].index(site)
                others = [states[:, one] for one in planted[0] if one != site]
                logits = logits + np.moveaxis(planted[1], place, -1)[tuple(others)]
            states[:, site] = np.argmax(logits + rng.gumbel(size=logits.shape), 1)
    return states


def world(n: int, q: int, strength: float, field: float, whole: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of n sites: one coupling a pair (equal states), or with `whole` a table; and fields of every site and state."""
    kind = rng.normal(0, strength, (n, n, q, q)) if whole else rng.normal(0, strength, (n, n))[:, :, None, None] * np.eye(q)
    upper = kind * np.triu(np.ones((n, n)), 1)[:, :, None, None]
    return upper + upper.transpose(1, 0, 3, 2), rng.normal(0, field, (n, q))


# sites, states, strength, fields, a table for every pair, rows
KINDS: dict[str, tuple[int, int, float, float, bool, int]] = {
    "16 sites of 3 states, all pairs": (16, 3, 0.3, 0.1, False, 600),
    "12 sites of 4 states, all pairs, strong fields": (12, 4, 0.3, 0.8, False, 1000),
    "8 sites of 3 states, a table for every pair": (8, 3, 0.3, 0.2, True, 2000),
    "20 spins, all pairs": (20, 2, 0.3, 0.1, False, 600),
    "16 spins, all pairs, strong fields": (16, 2, 0.2, 0.6, False, 1500),
    "8 spins, all pairs": (8, 2, 0.6, 0.3, False, 2000),
}
PLANTED = ("20 spins, all pairs", "16 sites of 3 states, all pairs")


def model_of(q: int, whole: bool) -> hl.models.Couplings:
    return hl.models.Couplings(None, interaction="auto" if q == 2 else "general" if whole else "potts")


def judged(kind: str, seed: int) -> list[tuple[str, float, float]]:
    n, q, strength, field, whole, rows = KINDS[kind]
    rng = np.random.default_rng([seed, n, q])
    states = drawn(*world(n, q, strength, field, whole, rng), rows, rng)
    data = hl.microstates(2 * states - 1, beta=1.0) if q == 2 else hl.microstates(states, space="states", q=q, beta=1.0)
    table = check(data, model_of(q, whole), seed=seed)
    names = table["statistic"].values
    found = [k for k, name in enumerate(names) if name.startswith("strongest product")]
    return [(str(names[k]).split()[3], float(table["z"][k]), float(table["p_value"][k])) for k in found]


def believed(kind: str, seed: int) -> str:
    """The verdict where three sites are bound by a table that no pair and no field makes: their sum modulo q decides (spins: K = 0.3)."""
    n, q, strength, field, whole, rows = KINDS[kind]
    rng = np.random.default_rng([seed, n, q, 1])
    sites = tuple(int(one) for one in np.sort(rng.choice(n, 3, replace=False)))
    table = 0.6 * q / 2 * ((np.indices((q, q, q)).sum(0) % q == 0) - 1 / q)
    states = drawn(*world(n, q, strength / 2, field, whole, rng), rows, rng, (sites, table))
    data = hl.microstates(2 * states - 1, beta=1.0) if q == 2 else hl.microstates(states, space="states", q=q, beta=1.0)
    return hl.verdict(hl.learn(data, model_of(q, whole), seed=seed)).level


def row(kind: str, sets: int, judge: Callable[[str, int], list[tuple[str, float, float]]] = judged) -> str:
    start, found = time.process_time(), [one for seed in range(sets) for one in judge(kind, seed)]
    parts = []
    for order in ("three", "four"):
        z = np.array([z for name, z, _ in found if name == order])
        p = np.array([p for name, _, p in found if name == order])
        uniform = scipy.stats.kstest(p, "uniform").pvalue
        parts.append(f"{len(z)} | {z.mean():+.2f} | {z.std(ddof=1):.2f} | {p.min():.4f} | {uniform:.2f}")
    print(kind, parts, f"{time.process_time() - start:.0f} s", flush=True)
    return f"| {kind}, {KINDS[kind][-1]} rows | {' | '.join(parts)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=60, help="sound data sets of every kind")
    parser.add_argument("--planted", type=int, default=4, help="data sets with a planted term")
    parser.add_argument("--only", default="", help="kinds whose name contains this; nothing is written then")
    asked = parser.parse_args()
    logging.getLogger("hamlearn").setLevel("WARNING")
    kinds = [kind for kind in KINDS if asked.only in kind]
    lines = [row(kind, asked.sets) for kind in kinds]
    power = []
    for kind in (kind for kind in PLANTED if kind in kinds):
        levels = [believed(kind, seed) for seed in range(asked.planted)]
        power.append(f"| {kind}, {KINDS[kind][-1]} rows | {levels.count('do not believe')} of {len(levels)} |")
        print(power[-1], flush=True)
    if asked.only:
        return
    head = "| sound sets | three: n | mean z | sd | least p | uniform? | four: n | mean z | sd | least p | uniform? |"
    text = [
        "# The strongest product of three and of four sites",
        "",
        "Written by `benchmarks/strongest.py`: chosen in one half of the data and",
    ]
    text += ["compared in the other; z and its p-value where pairs are all there is (uniform?: p of a Kolmogorov–Smirnov test).", "", head]
    text += ["|---|" + "---|" * 10, *lines, "", "| one term of three sites planted | DO NOT BELIEVE |", "|---|---|", *power, ""]
    RESULTS.write_text("\n".join(text))


if __name__ == "__main__":
    main()
