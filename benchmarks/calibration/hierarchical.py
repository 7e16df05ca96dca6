"""Do intervals of groups that share a mean and a spread hold, for small and for large groups?

    python benchmarks/calibration/hierarchical.py [--n 60]

Six subjects of 100 to 2000 independent microstates a repetition. Every coupling and field has a mean μ ~ N(0, 0.5²) and a spread
τ ~ HalfNormal(0.25) of its own, and that of a subject is drawn from N(μ, τ²), all anew for every repetition; the model of
:class:`hamlearn.models.Hierarchical` says the same. Truths drawn from the prior are in 90 % of equal-tailed 90 % intervals of a right
posterior on average. The record is written after every repetition, and a run continues one of the same settings and versions.
``smallest`` and ``largest`` are the subjects of 100 and 2000 rows; ``alone`` fits them by themselves under
N(0, 0.5² + 0.25²), as wide as the prior of one parameter of a subject is there. Widths are means over intervals of parameters.

``3x3 exact``: nine spins with open ends, 12 couplings and 9 fields, the exact likelihood, corrected. ``3x3 parabolas``: the same without
the correction. ``4x4 pseudo``: 16 spins, 24 couplings and 16 fields, the calibrated pseudo-likelihood.
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
from hamlearn.infer import families

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

BETA, MEAN, SPREAD, SIZES = 1.0, 0.5, 0.25, (100, 150, 250, 500, 1000, 2000)
CASES = {"3x3 exact": (3, "exact", True), "3x3 parabolas": (3, "exact", False), "4x4 pseudo": (4, "pseudo", True)}


def drawn(side: int, index: int) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    """A lattice, truths of one repetition, and the data of every subject."""
    lattice = hl.systems.lattice.hypercubic((side, side), periodic=False)
    generator, p = np.random.default_rng(7000 + index), lattice.n_bonds + lattice.n_sites
    mean, spread = generator.normal(0, MEAN, p), np.abs(generator.normal(0, SPREAD, p))
    theta = generator.normal(mean, spread, (len(SIZES), p))
    data = {}
    for k, (own, rows) in enumerate(zip(theta, SIZES, strict=True)):
        system = hl.systems.Pairwise(lattice, own[: lattice.n_bonds], own[lattice.n_bonds :])
        data[f"subject {rows}"] = hl.simulate(system, beta=BETA, draws=rows, chains=1, seed=len(SIZES) * index + k, sampler="exact")
    return lattice, {"mean": mean, "spread": spread, "theta": theta}, data


def counted(case: str, index: int) -> dict[str, tuple[float, float]]:
    """Share of intervals that hold and their mean width, by what they are of; and how the chains were."""
    side, likelihood, exact = CASES[case]
    lattice, truth, data = drawn(side, index)
    normal = hl.models.Normal
    model = hl.models.Couplings(lattice, prior=normal(MEAN), field_prior=normal(MEAN))
    whole = hl.models.Hierarchical(model, by="subject", spread=SPREAD, unit="energy")
    post = hl.infer.learn(data, whole, likelihood=likelihood, engine=hl.infer.Pooled(exact=exact), seed=index)
    theta = post["theta"].to_dataset()
    found = {name: score(theta[name].values, truth[name]) for name in ("mean", "spread")}
    wide = float(np.hypot(MEAN, SPREAD))
    single = hl.models.Couplings(lattice, prior=normal(wide), field_prior=normal(wide))
    every = []
    for k, (name, one) in enumerate(data.items()):
        draws = families.couplings.parameters(hl.infer.group(post, name))[1]
        every.append(score(draws, truth["theta"][k]))
        if SIZES[k] in (SIZES[0], SIZES[-1]):
            where = "smallest" if SIZES[k] == SIZES[0] else "largest"
            alone = hl.infer.learn(one, single, likelihood=likelihood, engine="importance" if exact else "laplace", seed=index)
            found[where], found[f"{where}, alone"] = every[-1], score(families.couplings.parameters(alone)[1], truth["theta"][k])
    found["subjects"] = tuple(np.mean(every, 0))
    found["R-hat"] = (float(hl.diagnostics.convergence(post)["max_rhat"]), 0.0)
    return found


def score(draws: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Share of truths ``(n_params,)`` in 90 % intervals of draws ``(chain, draw, n_params)``, and the mean width of these."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=(0, 1))
    return float(((low < truth) & (truth < high)).mean()), float((high - low).mean())


def main() -> None:
    """Run what the record lacks, and write it after every repetition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    asked = parser.parse_args()
    settings = {"rows": list(SIZES), "beta": BETA, "mean": MEAN, "spread": SPREAD}
    kept = Path(__file__).resolve().parent / "results" / "hierarchical.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    same = before.get("settings") == settings and before.get("versions") == versions()
    record: dict[str, list[dict[str, Any]]] = before["results"] if same else {}
    # Cases take turns, so that a record that was stopped early has as many of each.
    for index in range(asked.n):
        for case in asked.cases:
            if len(own := record.setdefault(case, [])) > index:
                continue
            began = time.process_time()
            own.append({name: np.round(found, 4).tolist() for name, found in counted(case, index).items()})
            own[-1]["cpu_seconds"] = round(time.process_time() - began, 1)
            write(Path(__file__), __doc__, summarised(record), {"settings": settings, "versions": versions(), "results": record})
    print(summarised(record), flush=True)


def summarised(record: dict[str, list[dict[str, Any]]]) -> str:
    """The table of all repetitions, and what they cost."""
    rows, spent = [], []
    for case, results in record.items():
        n = len(results)
        for name in ("mean", "spread", "subjects", "smallest", "smallest, alone", "largest", "largest, alone"):
            share, width = np.array([one[name] for one in results]).T
            error = f" ± {share.std(ddof=1) / np.sqrt(n):.3f}" if n > 1 else ""
            rows.append([case, n, name, f"{share.mean():.3f}{error}", f"{width.mean():.3f}"])
        rows.append([case, n, "R-hat, largest", f"{max(one['R-hat'][0] for one in results):.3f}", ""])
        spent.append(f"{case}: {np.mean([one['cpu_seconds'] for one in results]):.1f} s of CPU a repetition, with the fits alone.\n")
    return table(["", "n", "of", "in 90 %", "width"], rows) + "\n" + "".join(spent)


if __name__ == "__main__":
    main()
