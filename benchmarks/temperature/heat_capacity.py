"""Predicted heat capacity of glasses learned at one temperature: is the exact curve inside the 90 % band 90 % of the time?

    python benchmarks/temperature/heat_capacity.py [--quick] [--size 8] [--glasses 100] [--members 32] [--likelihood pseudo]

Every glass (L×L torus, J ~ N(0, 1), no fields) is observed at β = 0.5 only, 4000 exact samples. It is learned with free
J_ij and free fields (the default model), engine ``laplace``; ``predict`` gives C_v(β) and U(β) with 90 % bands at 20
temperatures β = 0.1 … 1.5 from posterior members solved by the transfer matrix. The exact curve is the transfer
matrix's for the true couplings. A glass contributes one number, the fraction of its 20 temperatures where the exact
value is inside; the error is the scatter between glasses. Bands use Weibull quantile positions, so 19 members or more
make an unbiased 90 % band, the more members the steadier.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.infer import LaplaceApproximation, learn, predict
from hamlearn.systems import exact

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from common import table, versions, write

BETA, ROWS, LEVEL = 0.5, 4000, 0.9
BETAS = np.linspace(0.1, 1.5, 20)


def one(size: int, seed: int, members: int, likelihood: str) -> dict[str, np.ndarray]:
    """Inside or not, standardised error and band width at every temperature."""
    glass = hl.systems.EdwardsAnderson((size, size), seed=seed)
    data = hl.simulate(glass, beta=BETA, draws=ROWS, chains=1, seed=seed + 1, sampler="exact")
    model = hl.models.Couplings(glass.lattice)
    post = learn(data, model, likelihood=likelihood, engine=LaplaceApproximation(draws=500, chains=2), seed=seed)
    curve = predict(post, beta=BETAS, observables=["energy", "heat_capacity"], draws=members, level=LEVEL, seed=seed)
    truth = exact.thermodynamics(glass, BETAS)
    result = {}
    for name in ("heat_capacity", "energy"):
        exact_curve, band = truth[name].values, curve[name].sel
        lower, upper = band(quantity="lower").values, band(quantity="upper").values
        result[name + "_inside"] = (lower <= exact_curve) & (exact_curve <= upper)
        result[name + "_error"] = band(quantity="mean").values - exact_curve
        result[name + "_sd"] = band(quantity="sd").values
    return result


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6 glasses, no files")
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--glasses", type=int, default=100)
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--likelihood", default="pseudo")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after this many, with what there is")
    arguments = parser.parse_args()
    glasses = 6 if arguments.quick else arguments.glasses
    started, found = time.perf_counter(), []
    for seed in range(glasses):
        found.append(one(arguments.size, seed, arguments.members, arguments.likelihood))
        elapsed = time.perf_counter() - started
        inside = np.mean([row["heat_capacity_inside"].mean() for row in found])
        print(f"{seed + 1} glasses, {elapsed:.0f} s: C_v inside {inside:.3f}", flush=True)
        if elapsed > 60 * arguments.minutes:
            break
    stacked = {key: np.stack([row[key] for row in found]) for key in found[0]}
    lines, n = [], len(found)
    for name in ("heat_capacity", "energy"):
        inside, error, sd = (stacked[f"{name}_{part}"] for part in ("inside", "error", "sd"))
        for label, chosen in (
            ("all 20", np.ones(20, bool)),
            ("β < 0.45", BETAS < 0.45),
            ("0.45–0.8", (BETAS >= 0.45) & (BETAS < 0.8)),
            ("β ≥ 0.8", BETAS >= 0.8),
        ):
            fraction = inside[:, chosen].mean(1)
            lines.append(
                {
                    "observable": name,
                    "temperatures": label,
                    "inside": float(fraction.mean()),
                    "error": float(fraction.std(ddof=1) / np.sqrt(n)),
                    "bias": float(error[:, chosen].mean()),
                    "rms_error": float(np.sqrt((error[:, chosen] ** 2).mean())),
                    "mean_sd": float(sd[:, chosen].mean()),
                    "rms_z": float(np.sqrt(((error / sd)[:, chosen] ** 2).mean())),
                    "mean_z": float((error / sd)[:, chosen].mean()),
                }
            )
    columns = ["observable", "temperatures", "inside the 90 % band", "mean error", "rms error", "mean claimed sd", "mean z", "rms z"]
    rows = [
        [line["observable"], line["temperatures"], f"{100 * line['inside']:.1f} ± {100 * line['error']:.1f} %"]
        + [f"{line[key]:.4f}" for key in ("bias", "rms_error", "mean_sd")]
        + [f"{line[key]:.2f}" for key in ("mean_z", "rms_z")]
        for line in lines
    ]
    text = f"{n} glasses {arguments.size}×{arguments.size}, {arguments.members} members, {arguments.likelihood} likelihood:\n\n"
    text += table(columns, rows)
    print(text)
    if not arguments.quick:
        settings = {"size": arguments.size, "glasses": n, "members": arguments.members, "likelihood": arguments.likelihood}
        settings |= {"observed beta": BETA, "rows": ROWS, "betas": BETAS.round(4).tolist(), "seeds": "glass k: couplings k, data k+1"}
        record = {"settings": settings, "versions": versions(), "results": lines}
        record["inside_by_beta"] = stacked["heat_capacity_inside"].mean(0).tolist()
        record["inside_by_glass"] = stacked["heat_capacity_inside"].mean(1).tolist()
        name = "heat_capacity" if arguments.size == 8 else f"heat_capacity_{arguments.size}x{arguments.size}"
        write(Path(__file__), __doc__, text, record, name=name)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
