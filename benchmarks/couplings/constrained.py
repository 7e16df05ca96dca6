"""Couplings and clusters learned at a fixed magnetization: how many of the 90 % intervals hold the truth, and how wide they are.

``python benchmarks/couplings/constrained.py coverage [SETS [WORD]]`` (of the cases whose name holds the word) writes
results/constrained.md: 4×4 from exact independent draws (by exchanges and by the exact likelihood), 8×8 and 12×12 from chains of
Kawasaki exchange at temperatures 1, 2 and 3, at Σσ = 0 and not. Of clusters (400 terms in 3×3) the two that exist are asked for, and
how many data sets selected exactly these.
``python benchmarks/couplings/constrained.py pairs`` prints error bars by which pairs of sites are looked at, beside those of all.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.infer.calibrate import sandwich
from hamlearn.infer.likelihoods import ExchangeLikelihood
from hamlearn.infer.observations import bind
from hamlearn.infer.optimum import maximise
from hamlearn.infer.scatter import score_covariance

CASES = {  # extent, magnetization, temperature, tie, likelihood, rows a chain, chains, sweeps between rows (0: exact draws)
    **{
        f"4x4 M={m} {tie} {how}": (4, m, 2.0, tie, how, 1000, 1, 0)
        for m in (0, 4)
        for tie in ("bond", "uniform")
        for how in ("exact", "exchange")
    },
    **{f"8x8 M={m} T={t} {tie}": (8, m, t, tie, "auto", 250, 4, 8) for m in (0, 16) for t in (1.0, 2.0, 3.0) for tie in ("uniform",)},
    **{f"8x8 M={m} T={t} bond": (8, m, t, "bond", "auto", 500, 4, 8) for m in (0, 16) for t in (2.0, 3.0)},
    **{f"8x8 M={m} T={t} clusters": (8, m, t, "clusters", "auto", 500, 4, 8) for m in (0, 16) for t in (2.0, 3.0)},
    **{f"12x12 M={m} T={t} uniform": (12, m, t, "uniform", "auto", 250, 4, 8) for m in (0, 30) for t in (1.0, 2.0, 3.0)},
}


BONDS = "σ(0,0)σ(0,1)", "σ(0,0)σ(1,0)"


def table(results: dict[str, dict[str, float]]) -> str:
    """What is recorded."""
    lines = ["# Couplings and clusters at a fixed magnetization", "", "`python benchmarks/couplings/constrained.py coverage`", ""]
    lines += ["| case | data sets | rows, worth | coverage of 90 % | standard deviation | right terms |", "| --- " * 6 + "|"]
    for name in CASES:
        if name in results:
            one = results[name]
            chosen = f"{one['selected']} of {one['sets']}" if "selected" in one else ""
            lines.append(
                f"| {name} | {one['sets']} | {one['rows']}, {one['ess']:.0f} | {one['coverage']:.3f} ± {one['error']:.3f} | "
                f"{one['sd']:.4f} | {chosen} |"
            )
    return "\n".join(lines) + "\n"


def one(name: str, sets: int) -> dict[str, float | int | str]:
    """Coverage over data sets of one case."""
    extent, m, temperature, tie, how, draws, chains, thin = CASES[name]
    system, beta = hl.systems.Ising((extent, extent), magnetization=m), 1 / temperature
    options = {"sampler": "exact"} if not thin else {"thin": thin, "burn_in": 2000}
    every = hl.simulate(system, beta, draws=draws, chains=chains * sets, seed=1, progress=False, **options)
    clusters = tie == "clusters"
    model = hl.models.ClusterExpansion(window=3) if clusters else hl.models.Couplings(system.lattice, tie=tie, fields=None)
    held, widths, offs, worth, right = [], [], [], [], []
    for k in range(sets):
        data = every.isel(chain=slice(chains * k, chains * (k + 1)))
        try:
            post = hl.learn(data, model, likelihood=how, check=False, seed=k, **({} if clusters else {"engine": "laplace"}))
        except hl.HamlearnError as error:
            print(name, k, error)
            continue
        if clusters:
            there = post["posterior"]["included"].mean(("chain", "draw")) > 0.5
            right.append(set(there["term"].values[there.values]) == set(BONDS))
            J = post["posterior"]["K"].sel(term=list(BONDS)).values.reshape(-1, 2)
        else:
            J = post["posterior"]["J"].values.reshape(-1, system.lattice.n_bonds)[:, : 1 if tie == "uniform" else None]
        low, high = np.quantile(J, (0.05, 0.95), axis=0)
        held.append(((low < 1) & (high > 1)).mean())
        widths.append(J.std(0).mean())
        offs.append((J.mean(0) - 1).mean())
        worth.append(float(hl.infer.provenance(post).calibration.ess))
    error = np.std(held, ddof=1) / np.sqrt(len(held))
    found = {"sets": len(held), "coverage": float(np.mean(held)), "error": float(error), "sd": float(np.mean(widths))}
    found |= {"mean_off": float(np.mean(offs)), "scatter": float(np.std(offs)), "rows": draws * chains, "ess": float(np.mean(worth))}
    found |= {"selected": int(np.sum(right))} if clusters else {}
    print(f"{name:26s} {found['coverage']:.3f} ± {error:.3f} of {len(held)} sets, sd {found['sd']:.4f}, ess {found['ess']:.0f}", flush=True)
    return found


def pairs() -> None:
    """Error bars by pairs."""
    rng = np.random.default_rng(0)
    for temperature, tie in ((3.0, "uniform"), (1.0, "uniform"), (3.0, "bond"), (1.7, "bond")):
        system = hl.systems.Ising((8, 8), magnetization=0)
        data = hl.simulate(system, 1 / temperature, draws=500, chains=8, seed=0, thin=8, progress=False).assign_attrs(independent=1)
        bound, parts, _ = bind(data, hl.models.Couplings(system.lattice, tie=tie, fields=None))
        walks = [rng.permutation(64) for _ in range(8)]
        some = np.concatenate([np.column_stack([walk, np.roll(walk, 1)]) for walk in walks])
        chosen = {"neighbours": system.lattice.bonds, "8 walks": some, "all": np.column_stack(np.triu_indices(64, 1))}
        found = {}
        for name, these in chosen.items():
            likelihood = ExchangeLikelihood(bound, parts, np.unique(np.sort(these, 1), axis=0))
            best = maximise(likelihood)
            root = sandwich(best.information, score_covariance(likelihood, best.theta))
            found[name] = float(np.sqrt((root**2).sum(1).mean()))
        told = ", ".join(f"{name} {value / found['all']:.2f}" for name, value in found.items())
        print(
            f"T={temperature} {tie}: sd relative to all pairs: {told} ({len(ExchangeLikelihood(bound, parts).pairs)} pairs are taken)",
            flush=True,
        )


if __name__ == "__main__":
    logging.disable(logging.INFO)
    if sys.argv[1:2] == ["pairs"]:
        pairs()
    else:
        sets = int(sys.argv[2]) if len(sys.argv) > 2 else 60
        target = Path(__file__).parent / "results" / "constrained.json"
        wanted = [name for name in CASES if len(sys.argv) < 4 or sys.argv[3] in name]
        for name in wanted:
            results = json.loads(target.read_text()) if target.exists() else {}
            results[name] = one(name, sets)
            target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            target.with_suffix(".md").write_text(table(results), encoding="utf-8")
