"""What restricted Boltzmann machines are worth on spins whose law is known: the machine, its training, its ln Z and its sampler.

    python benchmarks/cautionary/machines.py      (8×8 Ising at β = 0.44 and 0.6, 64 hidden units, 10 000 independent rows)
    python benchmarks/cautionary/machines.py --beta 0.5 --hidden 16 --chains data

Printed and written: the distance of the machine's law from the truth (nats of a microstate, from fresh exact samples and ln Z of two runs
of replicas, which have to agree); mean energies of the data, of draws of the machine's law, of chains that start at data and run by block
Gibbs sampling (a second way to the law within a mode), and of ten sweeps from random starts (the published sampler); CPU seconds of
learning, ln Z among them, beside what was announced.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import hamlearn as hl
from hamlearn.infer.families import evaluators
from hamlearn.infer.families import rbm as family
from hamlearn.systems import exact
from hamlearn.systems.sampling import replicas

RESULTS = Path(__file__).parent / "results"
TEST, GENERATED = 5000, 4000


def per_site(system: Any, states: np.ndarray) -> tuple[float, float]:
    """Mean energy per site and its standard error, of independent states."""
    energy = np.asarray(system.energy(states), float) / system.lattice.n_sites
    return float(energy.mean()), float(energy.std() / np.sqrt(len(energy)))


def measured(size: int, beta: float, hidden: int, rows: int, chains: str, seed: int) -> dict[str, Any]:
    """One machine."""
    system = hl.systems.Ising((size, size))
    states, test = (exact.sample(system, beta, count, seed=start) for count, start in ((rows, seed), (TEST, seed + 1000)))
    data = hl.microstates(states, space="spins", beta=beta).assign_attrs(independent=1)
    model = hl.models.RBM(hidden=hidden, chains=chains)
    announced = family.seconds(model, system.space, (size, size), rows)
    started = time.process_time()
    post = hl.learn(data, model, seed=seed, check=False)
    learning = time.process_time() - started
    density, group = evaluators(post)[0], post["normaliser"]
    row: dict[str, Any] = {"size": size, "beta": beta, "hidden": hidden, "rows": rows, "chains": chains, "seed": seed}
    row |= {"learning, CPU s": learning, "announced, s": announced}
    row |= {"ln Z": float(group["log_z"][0]), "error": float(group["log_z_error"][0]), "round trips": float(group["round_trips"][0])}
    started = time.process_time()
    again = replicas.log_z(density.line, seed + 77, error=0.02)
    row |= {
        "ln Z again": again.value,
        "error again": again.error,
        "trips again": again.trips,
        "ln Z again, CPU s": time.process_time() - started,
    }
    entropy = beta * float(np.mean(np.asarray(system.energy(test)))) + float(exact.log_partition(system, beta))
    row["divergence"] = -float(density.log_prob(test).mean()) - entropy
    made = {"data": test, "law": density.sample(GENERATED, seed)}
    machine = hl.draw_systems(post, 1)[0]
    published: dict[str, Any] = {"sampler": "block_gibbs", "draws": 1, "seed": seed}
    made["ten sweeps from random starts"] = hl.simulate(machine, beta, burn_in=10, chains=GENERATED, **published)["state"].values[:, 0]
    made["500 sweeps from data"] = hl.simulate(machine, beta, burn_in=500, start=test[:2000], chains=2000, **published)["state"].values[
        :, 0
    ]
    return row | {f"energy of {name}": per_site(system, found) for name, found in made.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--beta", type=float, nargs="+", default=[0.44, 0.6])
    parser.add_argument("--hidden", type=int, nargs="+", default=[64])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--chains", nargs="+", default=["tempered", "persistent"])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rows = []
    for beta in asked.beta:
        for hidden in asked.hidden:
            for chains in asked.chains:
                rows.append(measured(asked.size, beta, hidden, asked.rows, chains, asked.seed))
                print(json.dumps(rows[-1], indent=1), flush=True)
    RESULTS.mkdir(exist_ok=True)
    host = {"python": platform.python_version(), "jax": jax.__version__, "hamlearn": hl.__version__, "machine": platform.machine()}
    (RESULTS / "machines.json").write_text(json.dumps({"host": host, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
