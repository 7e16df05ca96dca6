"""Unknown sparse graphs: errors of spike-and-slab posteriors over all pairs, samples needed, and calibrated inclusion.

    python benchmarks/couplings/structure.py [--quick] [--part accuracy|samples|calibration] ...

Model: ``Couplings(None, fields=None, prior="spike_slab")`` with nothing tuned and no coupling told; an edge is found
where its inclusion probability exceeds 1/2. All samples are exact and independent.

* accuracy: 4×4 (J = 0.4) and 8×8 (J = 0.3) Ising ferromagnets on the torus, 10⁴ samples; root mean square over data
  sets and all N(N−1)/2 pairs of the posterior mean's error. The default prior learns whether couplings share a
  magnitude, and then beats bounds that assume they do not; ``SpikeSlab(common=False)`` is the prior that does not.
  Peer in the same run: node-wise L1 logistic regression (scikit-learn, liblinear) with the published penalty
  0.2·sqrt(log(N²/0.05)/M), its edges thresholded at half the smallest coupling, which it has to be told.
* samples: how many of 45 data sets are recovered without a false or a missed edge: 4×4 J = 0.4 and 4×4 ±J glass
  (a new glass every data set) at β|J| = 1. Some of these glasses hold another graph that explains the data as well as
  the true one; no method can be sure of those.
* calibration: 8 spins; every pair exists with probability 0.3; strengths N(0, 0.5²) or ±0.4. Among the pairs given
  an inclusion probability in a bin, the fraction that exists should be their mean probability. Errors are bootstrap
  over data sets (pairs of one data set are dependent).

The three parts may run apart; each writes its own results.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from common import microstates, nodewise, parser, rms, timed, write

import hamlearn as hl
from hamlearn.infer import learn
from hamlearn.systems import lattice

MODEL = hl.models.Couplings(None, fields=None, prior="spike_slab")
PLAIN = hl.models.Couplings(None, fields=None, prior=hl.models.SpikeSlab(common=False))  # couplings share no magnitude
BINS = np.array([0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0])


def dense_truth(system: Any) -> np.ndarray:
    """Couplings of all pairs, in the order of np.triu_indices."""
    n = system.lattice.n_sites
    matrix = np.zeros((n, n))
    np.add.at(matrix, tuple(np.sort(system.lattice.bonds, 1).T), system.J)
    return matrix[np.triu_indices(n, 1)]


def recover(data: Any, likelihood: str, seed: int, model: Any = None) -> tuple[np.ndarray, np.ndarray, float, str]:
    """Posterior mean, inclusion probability, seconds, and the likelihood used."""
    post, seconds = timed(learn, data, model or MODEL, likelihood=likelihood, seed=seed)
    draws = post["posterior"]
    used = hl.infer.posteriors.provenance_of(post).likelihood
    return draws["J"].values.mean((0, 1)), draws["included"].values.mean((0, 1)), seconds, used


def l1(data: Any, n_sites: int, samples: int) -> tuple[np.ndarray, float]:
    spins = data["state"].values.reshape(-1, n_sites).astype(float)
    penalty = 0.2 * np.sqrt(np.log(n_sites**2 / 0.05) / samples) / 2  # scikit-learn's weight is 2J
    matrix, seconds = timed(nodewise, spins, penalty, fields=False)
    return matrix[np.triu_indices(n_sites, 1)], seconds


class Tally:
    """Errors, wrong edges and seconds of one method over data sets."""

    def __init__(self) -> None:
        self.mse: list[float] = []
        self.false: list[int] = []
        self.missed: list[int] = []
        self.seconds: list[float] = []
        self.low, self.high = 1.0, -1.0

    def add(self, estimate: np.ndarray, found: np.ndarray, truth: np.ndarray, seconds: float, pip: np.ndarray | None = None) -> None:
        exists = truth != 0
        self.mse.append(float(np.mean((estimate - truth) ** 2)))
        self.false.append(int(np.sum(found & ~exists)))
        self.missed.append(int(np.sum(~found & exists)))
        self.seconds.append(seconds)
        if pip is not None:
            self.low = min(self.low, float(pip[exists].min(initial=1.0)))
            self.high = max(self.high, float(pip[~exists].max(initial=0.0)))

    def row(self, label: dict[str, Any], target: float | None = None) -> dict[str, Any]:
        perfect = int(np.sum((np.array(self.false) + np.array(self.missed)) == 0))
        result = {**label, "data sets": len(self.mse), "RMSE, all pairs": float(np.sqrt(np.mean(self.mse)))}
        if target is not None:
            result["target"] = target
        result |= {
            "false edges": sum(self.false),
            "missed edges": sum(self.missed),
            "perfect": f"{perfect}/{len(self.mse)}",
            "least PIP of a true edge": f"{self.low:.4f}" if self.high >= 0 else "–",
            "largest PIP of a false edge": f"{self.high:.4f}" if self.high >= 0 else "–",
            "warm (s)": float(np.median(self.seconds[1:] or self.seconds)),
        }
        return result


def accuracy(shape: tuple[int, int], J: float, n: int, target: float, likelihoods: tuple[str, ...], *, plain: bool) -> list[dict[str, Any]]:
    system = hl.systems.Ising(shape, J=J)
    truth, n_sites, samples = dense_truth(system), system.lattice.n_sites, 10_000
    tallies: dict[str, Tally] = {}
    for seed in range(n):
        data = microstates(system, 1.0, samples, 40_000 + seed)
        for name in likelihoods:
            mean, pip, seconds, used = recover(data, name, seed)
            label = f"hamlearn spike_slab, {used}" + (" (auto)" if name == "auto" else "")
            tallies.setdefault(label, Tally()).add(mean, pip > 0.5, truth, seconds, pip)
        if plain:
            mean, pip, seconds, used = recover(data, "pseudo", seed, PLAIN)
            tallies.setdefault(f"hamlearn SpikeSlab(common=False), {used}", Tally()).add(mean, pip > 0.5, truth, seconds, pip)
        estimate, seconds = l1(data, n_sites, samples)
        tallies.setdefault("node-wise L1 logistic, told J/2", Tally()).add(estimate, np.abs(estimate) > J / 2, truth, seconds)
        print(
            shape,
            seed,
            {
                name: (tally.mse[-1] ** 0.5, tally.false[-1], tally.missed[-1], round(tally.seconds[-1], 1))
                for name, tally in tallies.items()
            },
            flush=True,
        )
    name_of = f"{shape[0]}×{shape[1]} ferro J={J}"
    return [tally.row({"system": name_of, "method": name}, target) for name, tally in tallies.items()]


def samples_needed(
    kind: str, sizes: list[int], n: int, likelihoods: tuple[str, ...], *, peer: bool, exact_at: list[int] | None
) -> list[dict[str, Any]]:
    rows = []
    for samples in sizes:
        tallies: dict[str, Tally] = {}
        wanted = [name for name in likelihoods if name != "auto" or exact_at is None or samples in exact_at]
        for seed in range(n):
            ferro = kind.startswith("ferro")
            system = hl.systems.Ising((4, 4), J=0.4) if ferro else hl.systems.EdwardsAnderson((4, 4), seed=seed, disorder="pm1")
            truth = dense_truth(system)
            data = microstates(system, 1.0, samples, 50_000 + seed)
            for name in wanted:
                mean, pip, seconds, used = recover(data, name, seed)
                label = f"hamlearn spike_slab, {used}" + (" (auto)" if name == "auto" else "")
                tallies.setdefault(label, Tally()).add(mean, pip > 0.5, truth, seconds, pip)
            if peer:
                estimate, seconds = l1(data, 16, samples)
                tallies.setdefault("node-wise L1 logistic, told J/2", Tally()).add(
                    estimate, np.abs(estimate) > abs(system.J[0]) / 2, truth, seconds
                )
        rows += [tally.row({"system": f"4×4 {kind}", "M": samples, "method": name}) for name, tally in tallies.items()]
        print(rows[-len(tallies) :], flush=True)
    return rows


def calibration(strengths: str, samples: int, likelihood: str, n: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    grid = lattice.complete(8)
    pips, present, mean_error = [], [], []
    for seed in range(n):
        rng = np.random.default_rng(60_000 + seed)
        exists = rng.uniform(size=grid.n_bonds) < 0.3
        J = exists * (rng.normal(size=grid.n_bonds) * 0.5 if strengths == "N(0, 0.5²)" else 0.4 * rng.choice([-1.0, 1.0], grid.n_bonds))
        data = microstates(hl.systems.Pairwise(grid, J), 1.0, samples, 70_000 + seed)
        mean, pip, _, _ = recover(data, likelihood, seed)
        pips.append(pip)
        present.append(exists)
        mean_error.append(mean - J)
    pip, exists = np.array(pips), np.array(present)
    label = {"strengths": strengths, "M": samples, "likelihood": likelihood}
    pick = np.random.default_rng(0).integers(n, size=(500, n))
    rows = []
    for low, high in pairwise(BINS):
        inside = (pip >= low) & ((pip < high) | (high == 1.0))
        if not inside.any():
            continue
        counts, hits, total = inside.sum(1), (inside & exists).sum(1), (inside * pip).sum(1)
        with np.errstate(invalid="ignore"):
            error = np.nanstd((hits[pick].sum(1) - total[pick].sum(1)) / counts[pick].sum(1))
        rows.append(
            {
                **label,
                "PIP from": float(low),
                "to": float(high),
                "pairs": int(counts.sum()),
                "mean PIP": f"{total.sum() / counts.sum():.4f}",
                "fraction present": f"{hits.sum() / counts.sum():.4f}",
                "difference": f"{(hits.sum() - total.sum()) / counts.sum():+.4f} ± {error:.4f}",
            }
        )
    brier = np.mean((pip - exists) ** 2)
    gap = exists.mean(1) - pip.mean(1)
    summary = {
        **label,
        "data sets": n,
        "edges present − expected, per pair": f"{gap.mean():+.4f} ± {gap.std() / np.sqrt(n):.4f}",
        "Brier score": float(brier),
        "its expectation if calibrated": float(np.mean(pip * (1 - pip))),
        "RMSE of posterior mean": rms(np.array(mean_error)),
    }
    print(summary, flush=True)
    return rows, summary


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--part", choices=["accuracy", "samples", "calibration"], action="append")
    options.add_argument("--n4", type=int, default=45, help="data sets of the 4×4 ferromagnet")
    options.add_argument("--n8", type=int, default=20, help="data sets of the 8×8 ferromagnet")
    options.add_argument("--plain8", action="store_true", help="also common=False on 8×8")
    options.add_argument("--n", type=int, default=45, help="data sets at each number of samples")
    options.add_argument("--n-calibration", type=int, default=200)
    options.add_argument("--ferro", type=int, nargs="*", default=[300, 466, 700, 1000, 1490])
    options.add_argument("--glass", type=int, nargs="*", default=[1000, 2000, 3000, 4657])
    options.add_argument(
        "--exact-at", type=int, nargs="*", help="numbers of samples at which the exact likelihood is run too (default: all)"
    )
    options.add_argument("--n-glass", type=int, help="glasses at each number of samples (default: --n)")
    given = options.parse_args()
    if given.quick:
        given.n4, given.n8, given.n, given.n_calibration, given.ferro, given.glass = 3, 1, 3, 10, [700], [3000]
    parts, save = given.part or ["accuracy", "samples", "calibration"], not given.quick
    both = ("auto", "pseudo")
    if "accuracy" in parts:
        rows = accuracy((4, 4), 0.4, given.n4, 0.0095, both, plain=True)
        rows += accuracy((8, 8), 0.3, given.n8, 0.0033, ("pseudo",), plain=given.plain8) if given.n8 else []
        settings = {"samples": 10_000, "seeds": "samples 40000+, chains 0+", "engine": "gibbs, defaults"}
        write("structure", "Unknown sparse graph: accuracy", [], {"10⁴ samples": rows}, settings, save=save)
    if "samples" in parts:
        rows = samples_needed("ferro J=0.4", given.ferro, given.n, both, peer=True, exact_at=given.exact_at) if given.ferro else []
        rows += (
            samples_needed("±J glass, β|J|=1", given.glass, given.n_glass or given.n, both, peer=False, exact_at=given.exact_at)
            if given.glass
            else []
        )
        notes = ["Target: 45/45 at M ≤ 1490 (ferromagnet) and M ≤ 4657 (glass), not told any coupling."]
        settings = {"seeds": "glasses 0+, samples 50000+, chains 0+", "engine": "gibbs, defaults"}
        write("samples", "Samples needed to recover a 4×4 graph", notes, {"Recoveries": rows}, settings, save=save)
    if "calibration" in parts:
        tables, summaries = [], []
        for strengths in ("N(0, 0.5²)", "±0.4"):
            for samples in (300, 2000):
                for likelihood in ("exact", "pseudo"):
                    rows, summary = calibration(strengths, samples, likelihood, given.n_calibration)
                    tables += rows
                    summaries.append(summary)
        settings = {"spins": 8, "probability of an edge": 0.3, "seeds": "truths 60000+, samples 70000+, chains 0+"}
        found = {"Summary": summaries, "Reliability": tables}
        write("inclusion", "Are inclusion probabilities calibrated?", [], found, settings, save=save)


if __name__ == "__main__":
    main()
