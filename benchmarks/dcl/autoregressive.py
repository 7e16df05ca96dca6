"""Autoregressive densities on the square Ising model: published figures, ours, settings, seconds.

    python benchmarks/dcl/autoregressive.py likelihood 0.44068679 --draws 300000 --hidden 256 --batch 250 --epochs 5 --seed 1
    python benchmarks/dcl/autoregressive.py variational 8 --seconds 120 --hidden 256 --batch 300
    python benchmarks/dcl/autoregressive.py variational 32 --seconds 14400 --profile gpu    (needs a GPU; has not been run)
    python benchmarks/dcl/autoregressive.py table

Every run adds its rows to results/autoregressive.json and writes the table anew. One CPU thread each.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.systems import Ising, exact

RESULTS = Path(__file__).parent / "results"
CRITICAL = np.log(1 + np.sqrt(2)) / 2
RNN_RMSE = {0.125: "1.673 (5.1e7)", 0.25: "1.431 (5.1e7)", 0.4407: "4.472 (5.1e7)"}
RNN_ENTROPY = {0.125: "0.6769(3)", 0.25: "0.622(1)", 0.4407: "0.28(1)"}
VAN_ESS = {8: "0.9964 (1e6 draws, GPU)", 16: "0.9654 (1e6 draws, GPU)", 32: "0.926 (1e6 draws, GPU)"}


def uniform_over_energies(per_level: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """States of the 8×8 torus, equally many of every allowed energy, and their weights (some levels have few states)."""
    found: dict[int, list[np.ndarray]] = {}
    for index, beta in enumerate(np.linspace(0.02, 1.2, 40)):
        for sign in (1.0, -1.0):  # the antiferromagnet's states have the ferromagnet's high energies
            states = exact.sample(Ising((8, 8), J=sign), float(beta), 4000, seed=seed + 2 * index + int(sign > 0))
            energies = np.asarray(Ising((8, 8)).energy(states)).round().astype(int)
            for level in np.unique(energies):
                found.setdefault(int(level), []).extend(states[energies == level][:per_level])
    rng = np.random.default_rng(seed)
    states, weights = [], []
    for level in found.values():
        chosen = np.array(level)[rng.permutation(len(level))[:per_level]]
        states.append(chosen)
        weights.append(np.full(len(chosen), 1 / len(chosen)))
    weight = np.concatenate(weights)
    return np.concatenate(states), weight / weight.sum()


def likelihood(beta: float, draws: int, epochs: int, hidden: int, batch: int, averaged: int, estimated: int, seed: int) -> None:
    """Learn from exact draws; every seed has its own training data, data kept apart, and test states."""
    system, started = Ising((8, 8)), time.time()
    states = exact.sample(system, beta, draws, seed=1000 * seed + 1)
    made = time.time() - started
    data = hl.microstates(states, "spins", beta)
    data.attrs["independent"] = 1
    settings = hl.infer.Training(epochs=epochs, batch=batch, heldout=0.02, augment=("translation", "point"), threads=1)
    model = hl.models.Autoregressive(hidden=hidden, symmetry=["z2"])
    post = hl.infer.learn(data, model, engine=settings, seed=seed)
    record = hl.infer.posteriors.provenance_of(post)
    # Held-out −ln q against the exact −ln p of the same states: the energy's scatter cancels.
    fresh = exact.sample(system, beta, 100_000, seed=1000 * seed + 2)
    log_p = -beta * np.asarray(system.energy(fresh)) - exact.log_partition(system, beta)
    gap = log_p - hl.log_prob(post, fresh).values[0]
    known = float(exact.thermodynamics(system, beta)["entropy"][0])
    found = hl.estimate(post, n=estimated, seed=1000 * seed + 3)
    entropy, error = float(found["entropy"][0]) / 64, float(found["entropy_sampling_error"][0]) / 64
    test, weight = uniform_over_energies(200, seed=1000 * seed + 500)
    energy = np.asarray(system.energy(test))
    shapes = {"": 1} | ({f", averaged over {averaged} lattice symmetries": averaged} if averaged else {})
    common = f"MADE 2×{hidden}, z2, {draws:.0e} exact draws (ESS the same), lattice symmetries shown at random, batch {batch}, "
    common += f"{record.optimum.steps} epochs, seed {seed}"
    for words, count in shapes.items():
        error_of = rms(energy, -averaged_log_prob(post, test, count) / beta, weight)
        add("energy RMSE, energy-uniform test, J", beta, lookup(RNN_RMSE, beta), f"{error_of:.3f}", common + words, record.seconds)
    text = f"{entropy:.5f} ± {error:.5f} (exact {known:.5f}, {entropy - known:+.5f})"
    add("entropy per site, −⟨ln q⟩ over draws of q", beta, lookup(RNN_ENTROPY, beta), text, common, record.seconds)
    # The estimate to use: what the density gets wrong enters its own entropy in first order, but −⟨ln q⟩ of data in second.
    log_q = hl.log_prob(post, fresh).values[0] / 64
    entropy, error = float(-log_q.mean()), float(log_q.std() / np.sqrt(len(log_q)))
    text = f"{entropy:.5f} ± {error:.5f} (exact {known:.5f}, {entropy - known:+.5f})"
    add("entropy per site, −⟨ln q⟩ over 1e5 data kept apart", beta, lookup(RNN_ENTROPY, beta), text, common, record.seconds)
    text = (
        f"{known + gap.mean() / 64:.5f} (exact {known:.5f}; KL(p|q) {gap.mean():.4f} ± {gap.std() / np.sqrt(len(gap)):.4f} nats in total)"
    )
    add(
        "−ln q per site on data kept apart, their exact −ln p as control",
        beta,
        "0.28325 (2×512 MADE, 4e5, 120 s)" if beta > 0.4 else "",
        text,
        common,
        record.seconds,
    )
    print(f"data {made:.0f} s, training {record.seconds:.0f} s, all {time.time() - started:.0f} s")


def averaged_log_prob(post, states: np.ndarray, count: int) -> np.ndarray:
    """ln of the mean density over `count` elements of the lattice group, evenly picked."""
    from scipy.special import logsumexp

    from hamlearn.models.densities.symmetry import permutations

    group = permutations((8, 8), ["translation", "point"])
    chosen = group[:: max(1, len(group) // count)][:count]
    flat = states.reshape(-1, 64)
    return logsumexp([hl.log_prob(post, flat[:, one]).values[0] for one in chosen], axis=0) - np.log(len(chosen))


def rms(truth: np.ndarray, found: np.ndarray, weight: np.ndarray) -> float:
    """Root mean square error after taking out the mean."""
    error = found - truth
    return float(np.sqrt(weight @ (error - weight @ error) ** 2))


def variational(extent: int, seconds: float, hidden: int, batch: int, device: str) -> None:
    system, beta = Ising((extent, extent)), 0.44
    settings = hl.infer.Variational(steps=1_000_000, batch=batch, seconds=seconds, threads=1 if device == "cpu" else None, device=device)
    post = hl.approximate(system, beta, hl.models.Autoregressive(hidden=hidden, symmetry=["z2"]), engine=settings)
    record = hl.infer.posteriors.provenance_of(post)
    known = exact.log_partition(system, beta)
    if extent > 9:  # beyond the transfer matrix: cluster Monte Carlo is the other side's witness
        states = hl.simulate(system, beta=beta, draws=500, chains=16, seed=5, sampler="swendsen_wang", thin="auto")
        found = hl.estimate(post, system, n=20_000, states=states)
    else:
        found = hl.estimate(post, system, n=50_000)
    pick = lambda name: float(found[name][0])
    words = f"MADE 2×{hidden}, z2, starts from the couplings, {record.optimum.steps} steps of {batch}, beta annealed"
    words += "" if device == "cpu" else ", GPU"
    text = f"q-draws {pick('ess_q'):.4f} ± {pick('ess_q_error'):.4f}, p-draws {pick('ess_p'):.4f} ± {pick('ess_p_error'):.4f}"
    add(f"ESS, L = {extent}", beta, VAN_ESS.get(extent, ""), text, words, record.seconds)
    gap = beta * pick("free_energy") + known
    add(
        f"β(F_q − F), nats in total, L = {extent}",
        beta,
        {8: "0.0019", 16: "0.0179"}.get(extent, ""),
        f"{gap:.4f}",
        words,
        record.seconds,
    )
    text = f"{pick('log_partition'):.5f} ± {pick('log_partition_error'):.5f} (exact {known:.5f}), mode-drop ratio {pick('mode_drop'):.4f}"
    add(f"log Z, importance-weighted, L = {extent}", beta, "", text, words, record.seconds)


def lookup(table: dict[float, str], beta: float) -> str:
    return next((text for key, text in table.items() if abs(key - beta) < 1e-3), "")


def add(what: str, beta: float, published: str, ours: str, settings: str, seconds: float) -> None:
    """A row, kept beside those of other runs."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "autoregressive.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    row = {"what": what, "beta": f"{beta:.4g}", "published": published, "ours": ours, "settings": settings, "seconds": f"{seconds:.0f}"}
    same = lambda other: all(other[key] == row[key] for key in ("what", "beta", "settings"))
    path.write_text(json.dumps([other for other in rows if not same(other)] + [row], indent=1, ensure_ascii=False) + "\n")
    print(" | ".join(row.values()), flush=True)
    table()


def table() -> None:
    rows = json.loads((RESULTS / "autoregressive.json").read_text())
    rows.sort(key=lambda row: (row["what"].split(",")[0], float(row["beta"]), row["what"]))
    lines = ["# Autoregressive densities on the square Ising model (8×8 where no L is named)", ""]
    lines += ["| what | β | published | ours | settings | training, s of one core |", "| --- | --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    (RESULTS / "autoregressive.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=("likelihood", "variational", "table"))
    parser.add_argument("value", type=float, nargs="?", default=CRITICAL)
    parser.add_argument("--draws", type=int, default=400_000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--profile", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--averaged", type=int, default=0)
    parser.add_argument("--estimated", type=int, default=200_000)
    given = parser.parse_args()
    if given.row == "likelihood":
        likelihood(given.value, given.draws, given.epochs, given.hidden, given.batch, given.averaged, given.estimated, given.seed)
    elif given.row == "variational":
        large = given.profile == "gpu"  # the sizes of the published networks
        sizes = (1024, 4000) if large else (given.hidden, given.batch)
        variational(int(given.value), given.seconds, *sizes, "cuda" if large else "cpu")
    else:
        table()
