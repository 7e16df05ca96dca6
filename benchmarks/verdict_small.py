"""Whether a verdict on few rows of few, strongly coupled spins is to be believed: how many intervals hold the truth, by verdict.

    python benchmarks/verdict_small.py --n 300

writes ``benchmarks/results/verdict_small.md``. Three or four spins, all pairs coupled with βJ ~ N(0, 1.5) (wider than the prior, which is
N(0, 1)), with and without site fields ~ N(0, 0.5); 10 to 60 independent rows. Every data set has its own truth, size and seed; the
likelihood is exact. States are drawn from the listed probabilities, which share nothing with what is judged.
"""

from __future__ import annotations

import argparse
from itertools import combinations, product
from pathlib import Path

import numpy as np

import hamlearn as hl

LEVEL, SPREAD, FIELD = 0.9, 1.5, 0.5
VERDICTS = ("believe", "caution", "do not believe")


def one(seed: int, engine: str, rows: tuple[int, int]) -> tuple[str, float, float]:
    """The verdict, the share of parameters that their intervals held, and the share that they hold on average given these data.

    The last is the posterior's own draws weighted to the distribution that truths came from.
    """
    rng = np.random.default_rng(seed)
    sites, count, fields = int(rng.integers(3, 5)), int(rng.integers(rows[0], rows[1] + 1)), bool(rng.integers(2))
    pairs = list(combinations(range(sites), 2))
    states = np.array(list(product((-1, 1), repeat=sites)))
    J, h = rng.normal(size=len(pairs)) * SPREAD, rng.normal(size=sites) * FIELD * fields
    log_p = sum(strength * states[:, i] * states[:, j] for strength, (i, j) in zip(J, pairs, strict=True)) + states @ h
    weight = np.exp(log_p - log_p.max())
    drawn = states[rng.choice(len(states), size=count, p=weight / weight.sum())]
    data = hl.microstates(drawn, beta=1.0)
    data.attrs["independent"] = 1
    post = hl.learn(data, hl.models.Couplings(None, fields="site" if fields else None), likelihood="exact", engine=engine, seed=seed)
    couplings = post["posterior"]["J"].values.reshape(-1, len(pairs))
    local = post["posterior"]["h"].values.reshape(-1, sites) if fields else np.zeros((len(couplings), 0))
    draws, truth = np.concatenate([couplings, local], 1), np.r_[J, h[: local.shape[1]]]
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    log_w = (couplings**2).sum(1) / 2 * (1 - SPREAD**-2) + (local**2).sum(1) / 2 * (1 - FIELD**-2)
    w = np.exp(log_w - log_w.max())
    expected = float((w / w.sum() @ ((draws >= low) & (draws <= high))).mean())
    return hl.verdict(post).level, float(((low <= truth) & (truth <= high)).mean()), expected


def table(engine: str, rows: tuple[int, int], n: int, first: int) -> list[str]:
    found = [one(first + number, engine, rows) for number in range(n)]
    lines = []
    for level in VERDICTS:
        some = np.array([(held, expected) for said, held, expected in found if said == level]).reshape(-1, 2)
        cover = f"{some[:, 0].mean():.3f} ± {some[:, 0].std(ddof=1) / np.sqrt(len(some)):.3f}" if len(some) > 1 else "–"
        given = f"{some[:, 1].mean():.3f}, from {some[:, 1].min():.3f}" if level == "believe" and len(some) else "–"
        lines.append(f"| {engine} | {rows[0]}–{rows[1]} | {level} | {len(some)} | {cover} | {given} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    lines = [
        "| engine | rows | verdict | data sets | intervals that hold the truth | on average given the data |",
        "|---|---|---|---|---|---|",
    ]
    lines += table("importance", (10, 60), options.n, 0)
    text = f"""# Few rows of few spins

Written by `benchmarks/verdict_small.py --n {options.n}`: nominal 90 % intervals of three or four spins, all pairs coupled with βJ ~
N(0, {SPREAD}), exact likelihood; mean share by data set ± its standard error. The last column is the share that intervals of
believed data sets hold on average over the truths that may have made the data (weighted draws), which has no noise of truths, and the
lowest of any data set.

""" + "\n".join(lines)
    (options.out / "verdict_small.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
