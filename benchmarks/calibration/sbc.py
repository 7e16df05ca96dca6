"""Simulation-based calibration: truths drawn from the prior, and where they rank among posterior draws.

    python benchmarks/calibration/sbc.py [--quick] [--only CASE ...]

Each replica draws θ from the model's prior (couplings, fields, and the prior's own hyperparameters), independent
microstates of N spins with all pairs at β = 1 (exact samples), learns, and ranks truths among 99 posterior draws spaced
equally over all chains. Ranks are uniform if the posterior is right on average over the prior (Talts et al. 2018).

Parameters of one data set are dependent, so every replica contributes one rank of each of three numbers: a fixed
linear statistic Σ ±θ_k of couplings and fields (signs drawn once), the largest |J|, and the first J (ties of exact zeros
are broken at random). χ² over 10 bins (5 below 100 replicas) gives a p-value for each; ``p`` is the smallest times three (Bonferroni).
Coverage of equal-tailed 50 % and 90 % intervals is averaged over the couplings of a replica and its error taken between
replicas; a truth and draws that are both exactly zero (spike-and-slab) are ordered at random, without which an atom would
count as covered always. For spike-and-slab the predicted inclusion probabilities are compared with the fractions found.

Priors with Cauchy tails now and then draw couplings at which nothing ever flips. Those cases are conditioned on the
event max|J| < 1.5: truths outside are redrawn and posterior draws outside are dropped, which is exact Bayes for the
truncated prior. The fraction of truths redrawn is stated (``redrawn``), as is the mean fraction of posterior draws lost.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

import hamlearn as hl
from hamlearn.data import build
from hamlearn.infer import NUTS, Gibbs, LaplaceApproximation, learn
from hamlearn.infer.posteriors import theta_draws
from hamlearn.systems import SPINS, exact

sys.path.insert(0, str(Path(__file__).parent))
from common import cache_compilation, table, versions, write

RANKS, BINS, LIMIT = 99, 10, 1.5
BIN_EDGES = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)
FIELDS = hl.models.Normal(0.3)
SAMPLER = NUTS(draws=500, chains=2, warmup=300)


@dataclass(frozen=True)
class Case:
    """A prior, a likelihood and an engine, on `n` spins and `rows` microstates."""

    prior: Any
    likelihood: str
    engine: Any
    n: int
    rows: int
    replicas: int
    truncated: bool = False


NORMAL, LASSO = hl.models.Normal(0.5), hl.models.Laplace(0.3)
DEFAULT = hl.models.Couplings().prior  # at β = 1
SPIKE = hl.models.SpikeSlab(slab=0.3, inclusion=0.3, common=False)
HORSESHOE = hl.models.Horseshoe(global_scale=0.1, slab=0.5)
CASES = {
    "normal, exact, laplace": Case(NORMAL, "exact", LaplaceApproximation(), 6, 500, 1000),
    "normal, pseudo, laplace": Case(NORMAL, "pseudo", LaplaceApproximation(), 6, 2000, 1000),
    "normal, exact, laplace, many rows": Case(NORMAL, "exact", LaplaceApproximation(), 6, 10_000, 1000),
    "normal, pseudo, laplace, many rows": Case(NORMAL, "pseudo", LaplaceApproximation(), 6, 10_000, 500),
    "normal, exact, nuts": Case(NORMAL, "exact", SAMPLER, 6, 500, 100),
    "normal, pseudo, nuts": Case(NORMAL, "pseudo", SAMPLER, 6, 2000, 50),
    "default prior, exact, laplace": Case(DEFAULT, "exact", LaplaceApproximation(), 6, 300, 300),
    "default prior, exact, nuts": Case(DEFAULT, "exact", SAMPLER, 6, 300, 60),
    "laplace, exact, nuts": Case(LASSO, "exact", SAMPLER, 5, 300, 120),
    "laplace, pseudo, nuts": Case(LASSO, "pseudo", SAMPLER, 5, 2000, 50),
    "spike-slab, exact, gibbs": Case(SPIKE, "exact", Gibbs(), 6, 500, 600, True),
    "spike-slab, pseudo, gibbs": Case(SPIKE, "pseudo", Gibbs(), 6, 2000, 600, True),
    "horseshoe, exact, nuts": Case(HORSESHOE, "exact", SAMPLER, 5, 300, 60, True),
}


def true_theta(case: Case, n_couplings: int, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """Couplings from the (truncated) prior, and how many draws were rejected."""
    redrawn = 0
    while True:
        couplings = case.prior.draw(n_couplings, generator)
        if not case.truncated or np.max(np.abs(couplings)) < LIMIT:
            return couplings, redrawn
        redrawn += 1


def rank(truth: float, draws: np.ndarray, generator: np.random.Generator) -> int:
    """Number of draws below the truth, ties broken at random."""
    return int((draws < truth).sum() + generator.integers(0, (draws == truth).sum() + 1))


def replica(case: Case, seed: int) -> dict[str, Any] | None:
    """One truth, one data set, one posterior."""
    generator = np.random.default_rng(10_000 + seed)
    bonds = np.array(np.triu_indices(case.n, 1)).T
    couplings, redrawn = true_theta(case, len(bonds), generator)
    h = FIELDS.draw(case.n, generator)
    system = hl.systems.Pairwise(bonds, J=couplings, h=h, n_sites=case.n)
    states = exact.sample(system, 1.0, case.rows, seed)
    data = build(states[None], beta=1.0, space=SPINS, lattice=system.lattice, attrs={"independent": 1})
    model = hl.models.Couplings(None, prior=case.prior, field_prior=FIELDS)
    post = learn(data, model, likelihood=case.likelihood, engine=case.engine, seed=seed)
    draws = theta_draws(post).reshape(-1, len(bonds) + case.n)
    inside = np.abs(draws[:, : len(bonds)]).max(1) < LIMIT if case.truncated else np.ones(len(draws), bool)
    kept = draws[inside]
    if len(kept) < RANKS:
        return {"failed": True, "redrawn": redrawn}
    thinned = kept[np.linspace(0, len(kept) - 1, RANKS).astype(int)]
    truth = np.concatenate([couplings, h])
    signs = np.random.default_rng(5).choice([-1.0, 1.0], len(truth))
    ranks = [
        rank(float(signs @ truth), thinned @ signs, generator),
        rank(float(np.abs(couplings).max()), np.abs(thinned[:, : len(bonds)]).max(1), generator),
        rank(float(couplings[0]), thinned[:, 0], generator),
    ]
    J = kept[:, : len(bonds)]
    there = couplings != 0
    ties = (J == couplings).sum(0)
    position = ((J < couplings).sum(0) + generator.uniform(size=len(couplings)) * (ties + 1)) / (len(J) + 1)
    covered = [(float((np.abs(position - 0.5) < level / 2).sum()), len(couplings)) for level in (0.5, 0.9)]
    result: dict[str, Any] = {"ranks": ranks, "covered": covered, "redrawn": redrawn, "lost": float(1 - inside.mean())}
    if "included" in post["posterior"]:
        included = post["posterior"]["included"].values.reshape(-1, len(bonds))[inside].mean(0)
        result["inclusion"] = [included.tolist(), there.tolist()]
    if "sample_stats" in post:
        result["divergent"] = float(post["sample_stats"]["diverging"].values.mean())
    return result


def ratio(pairs: np.ndarray) -> tuple[float, float]:
    """Σhit/Σcount over replicas and its error (ratio estimator)."""
    hit, count = pairs[:, 0], pairs[:, 1]
    value = hit.sum() / count.sum()
    return float(value), float(np.sqrt(((hit - value * count) ** 2).sum()) / count.sum())


def uniformity(counts: np.ndarray) -> float:
    """P-value of χ² against equal counts; neighbouring bins are joined below 100 replicas."""
    if counts.sum() < 100:
        counts = counts.reshape(-1, 2).sum(1)
    return float(scipy.stats.chisquare(counts).pvalue)


def run(name: str, case: Case, replicas: int, minutes: float) -> dict[str, Any]:
    """All replicas of a case."""
    started, rows, failed = time.perf_counter(), [], []
    for seed in range(replicas):
        if time.perf_counter() - started > 60 * minutes:
            break
        try:
            row = replica(case, seed)
        except hl.HamlearnError as error:
            failed.append(f"{seed}: {error}")
            continue
        if row.get("failed"):
            failed.append(f"{seed}: posterior outside the truncation")
            continue
        rows.append(row)
    histograms = [np.bincount(column * BINS // (RANKS + 1), minlength=BINS) for column in np.array([row["ranks"] for row in rows]).T]
    p_values = [uniformity(counts) for counts in histograms]
    covered = np.array([row["covered"] for row in rows], float)
    result = {
        "case": name,
        "prior": repr(case.prior),
        "likelihood": case.likelihood,
        "engine": repr(case.engine),
        "n_spins": case.n,
        "rows": case.rows,
        "replicas": len(rows),
        "failed": failed,
        "redrawn": sum(row["redrawn"] for row in rows) / (len(rows) + sum(row["redrawn"] for row in rows)),
        "lost": float(np.mean([row["lost"] for row in rows])),
        "p": min(1.0, 3 * min(p_values)),
        "p_linear": p_values[0],
        "p_largest": p_values[1],
        "p_first": p_values[2],
        "coverage_50": ratio(covered[:, 0]),
        "coverage_90": ratio(covered[:, 1]),
        "divergent": float(np.mean([row.get("divergent", 0.0) for row in rows])),
        "rank_histograms": [counts.tolist() for counts in histograms],
        "seconds": round(time.perf_counter() - started, 1),
    }
    if "inclusion" in rows[0]:
        predicted = np.concatenate([row["inclusion"][0] for row in rows])
        found = np.concatenate([row["inclusion"][1] for row in rows])
        bins = np.clip(np.searchsorted(BIN_EDGES, predicted, side="right") - 1, 0, len(BIN_EDGES) - 2)
        result["inclusion"] = [
            [BIN_EDGES[k], BIN_EDGES[k + 1], int((bins == k).sum()), float(predicted[bins == k].mean()), float(found[bins == k].mean())]
            for k in range(len(BIN_EDGES) - 1)
            if np.any(bins == k)
        ]
    print(json.dumps({key: value for key, value in result.items() if key != "failed"}), len(failed), "failed", failed[:2], flush=True)
    return result


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the replicas, no files")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many replicas")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop a case after this many, with the replicas there are")
    parser.add_argument("--only", nargs="*", help="cases whose names contain one of these; added to the results there are")
    arguments = parser.parse_args()
    cache_compilation()
    store = Path(__file__).parent / "results" / "sbc.json"
    done = {line["case"]: line for line in json.loads(store.read_text())["results"]} if arguments.only and store.exists() else {}
    for name, case in CASES.items():
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        done[name] = run(name, case, int(case.replicas * (0.1 if arguments.quick else arguments.scale)), arguments.minutes)
    lines = [done[name] for name in CASES if name in done]
    for line in lines:
        p_values = [uniformity(np.array(counts)) for counts in line["rank_histograms"]]
        line |= dict(zip(("p_linear", "p_largest", "p_first"), p_values, strict=True)) | {"p": min(1.0, 3 * min(p_values))}

    def percent(pair: list[float]) -> str:
        return f"{100 * pair[0]:.1f} ± {100 * pair[1]:.1f} %"

    columns = [
        "prior, likelihood, engine",
        "spins",
        "rows",
        "replicas",
        "p",
        "linear",
        "largest",
        "first",
        "50 %",
        "90 %",
        "redrawn",
        "lost",
    ]
    rows = [
        [line["case"], line["n_spins"], line["rows"], line["replicas"]]
        + [f"{line[key]:.3f}" for key in ("p", "p_linear", "p_largest", "p_first")]
        + [percent(line["coverage_50"]), percent(line["coverage_90"]), f"{line['redrawn']:.3f}", f"{line['lost']:.4f}"]
        for line in lines
    ]
    text = table(columns, rows)
    for line in lines:
        if "inclusion" in line:
            cells = [[f"{a}–{b}", count, f"{predicted:.3f}", f"{found:.3f}"] for a, b, count, predicted, found in line["inclusion"]]
            text += f"\nInclusion, {line['case']}:\n\n" + table(["predicted between", "couplings", "predicted", "found"], cells)
    print(text)
    if not arguments.quick:
        settings = {"beta": 1.0, "ranks": RANKS, "bins": BINS, "limit": LIMIT, "field_prior": repr(FIELDS)}
        settings |= {"seeds": "replica k: generator 10000+k, data and posterior k"}
        settings |= {"priors": {line["case"]: f"{line['prior']}, {line['engine']}" for line in lines}}
        for line in lines:
            line.pop("seconds", None)
        write(Path(__file__), __doc__, text, {"settings": settings, "versions": versions(), "results": lines})


if __name__ == "__main__":
    main()
