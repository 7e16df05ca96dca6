"""How fast samplers of a deep double well mix: the hard case N_τ = 256, β = 20 (λ = 4, μ = 2.8).

    python benchmarks/actions/mixing.py            # writes results/mixing.md

τ_int (1 for independent draws, 1 + 2Σρ) of the sign of the mean path, of the number of kinks (sign changes round the
ring) and of the action, in steps of each sampler, and the same in seconds per effective draw. Local Metropolis is a
plain loop of its own, the baseline of the literature: it shares no code with the library's samplers.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path as File
from typing import Any

import numba
import numpy as np

from hamlearn.statistics import integrated_autocorrelation_time
from hamlearn.systems import DoubleWell, Path, exact
from hamlearn.systems.sampling import simulate

LAM, MU, BETA, N_TAU = 4.0, 2.8, 20.0, 256


@numba.njit
def local_sweeps(x: np.ndarray, a: float, sweeps: int, width: float, rng: np.random.Generator, every: int) -> tuple[np.ndarray, float]:
    """Sequential single-site Metropolis; keeps every `every`-th path."""
    n, kept, accepted = len(x), np.empty((sweeps // every, len(x))), 0
    for sweep in range(sweeps):
        for i in range(n):
            old, left, right = x[i], x[i - 1], x[(i + 1) % n]
            new = old + width * (2 * rng.random() - 1)
            change = ((new - left) ** 2 + (right - new) ** 2 - (old - left) ** 2 - (right - old) ** 2) / (2 * a)
            change += a * LAM / 4 * ((new * new - MU * MU / LAM) ** 2 - (old * old - MU * MU / LAM) ** 2)
            if change <= 0 or rng.random() < np.exp(-change):
                x[i] = new
                accepted += 1
        if (sweep + 1) % every == 0:
            kept[sweep // every] = x
    return kept, accepted / sweeps / n


def judged(name: str, paths: np.ndarray, seconds: float, steps: int, path: Path, known: dict[str, float], every: int = 1) -> dict[str, Any]:
    """One row, from paths (chain, draw, n_tau) taken every `every` steps; `steps` are those of all chains."""
    sign = np.sign(paths.mean(-1))
    kinks = (paths * np.roll(paths, -1, -1) < 0).sum(-1).astype(float)
    action = np.asarray(path.action(paths, BETA))
    square = (paths**2).mean(-1)
    row: dict[str, Any] = {"sampler": name, "steps in all": steps, "sign changes of the mean": int((np.diff(sign, axis=1) != 0).sum())}
    for label, series in (("sign", sign), ("kinks", kinks), ("action", action)):
        tau = float(integrated_autocorrelation_time(series)) * every
        row[f"τ {label}"] = "never moved" if np.isnan(tau) else f"{max(tau, 1.0):.1f}"
    for label, series, truth in (("⟨S⟩", action, known["action"]), ("⟨x²⟩", square, known["squared_position"])):
        # The action feels the slow number of kinks too weakly for its own window to see it: the larger τ counts.
        tau = max(float(np.nan_to_num(integrated_autocorrelation_time(one), nan=1.0)) for one in (series, kinks))
        row[f"{label}, z"] = f"{series.mean():.4f}, {(series.mean() - truth) / (series.std() * np.sqrt(tau / series.size)):+.1f}"
    row["kinks per path"] = f"{kinks.mean():.3f}"
    tau = float(integrated_autocorrelation_time(kinks)) * every
    row["ms per effective draw (kinks)"] = "–" if np.isnan(tau) else f"{1e3 * seconds * tau / steps:.2f}"
    row["seconds"] = f"{seconds:.1f}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=10_000, help="draws per chain of the library's samplers")
    parser.add_argument("--sweeps", type=int, default=400_000, help="local Metropolis sweeps")
    arguments = parser.parse_args()
    path = Path(N_TAU, DoubleWell(LAM, MU))
    exactly = exact.thermodynamics(path, BETA).isel(beta=0)
    known = {name: float(exactly[name]) for name in ("action", "squared_position")}
    chains, rows = 4, []

    every = 20
    local_sweeps(np.full(N_TAU, 1.4), BETA / N_TAU, 1, 0.5, np.random.default_rng(0), 1)  # compile
    started = time.perf_counter()
    kept, _ = local_sweeps(np.full(N_TAU, 1.4), BETA / N_TAU, arguments.sweeps, 0.6, np.random.default_rng(1), every)
    rows.append(judged("local Metropolis (baseline)", kept[None], time.perf_counter() - started, arguments.sweeps, path, known, every))

    for sampler, draws in (("hmc", arguments.draws), ("kinks", arguments.draws), ("exact", 2000)):
        burn_in = None if sampler == "exact" else 2000  # nothing burns in where draws are independent
        simulate(path, BETA, draws=2, chains=chains, sampler=sampler, burn_in=burn_in and 4)  # compile
        started = time.perf_counter()
        data = simulate(path, BETA, draws=draws, chains=chains, sampler=sampler, seed=1, burn_in=burn_in)
        seconds = time.perf_counter() - started
        rows.append(judged(sampler, data["state"].values, seconds, draws * chains, path, known))

    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(str(row[name]) for name in head) + " |" for row in rows]
    text = "\n".join(
        [
            "# Mixing of paths in a deep double well",
            "",
            f"λ = {LAM}, μ = {MU}, N_τ = {N_TAU}, β = {BETA}, a = {BETA / N_TAU}. Exact (transfer operator): ⟨S⟩ = {known['action']:.4f}, "
            f"⟨x²⟩ = {known['squared_position']:.4f}. τ in steps: a sweep (local), a trajectory (hmc), a trajectory and one",
            "redraw of all signs (kinks), a draw (exact). The library's samplers run 4 chains; one machine with two cores, shared.",
            "z is the distance from the exact value in standard errors with the larger τ of the observable and the kinks. `hmc` includes",
            "the exact global reflection x → −x",
            "(the potential is even), so the sign says nothing of it: its kinks do.",
            "",
            "Known before: a run of 4·10⁵ local sweeps never changed the sign of the mean path. Our local baseline, from a start in one",
            "well with steps of ±0.6, changes it now and then, in bursts: its τ is what counts.",
            "",
            *lines,
            "",
        ]
    )
    print(text)
    (File(__file__).parent / "results" / "mixing.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
