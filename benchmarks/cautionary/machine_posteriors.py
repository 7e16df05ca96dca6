"""Small restricted Boltzmann machines with a posterior over their weights, by NUTS: do 90 % intervals cover?

    python benchmarks/cautionary/machine_posteriors.py --machines 40

Every machine is drawn from the prior (2 hidden units on 2×3 spins), 300 independent microstates are drawn from it, and its law is learned
by ``hl.learn(data, RBM(hidden=2), engine=NUTS(...))``. Counted: how often 90 % intervals of what hidden units' names cannot change hold the
truth, which is a sum over all states: mean values of sites, of pairs, and energies of microstates that were seen, less their mean.
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
from hamlearn.infer.engines.rbm_posterior import BIAS, WEIGHT

RESULTS = Path(__file__).parent / "results"
SHAPE, HIDDEN, ROWS = (2, 3), 2, 300
ENGINE = hl.infer.NUTS(draws=400, warmup=200, chains=2)


def law(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All states ±1, and ln p of a machine that is drawn from the prior, hidden units summed out."""
    n = int(np.prod(SHAPE))
    a, d, w = rng.normal(scale=BIAS, size=n), rng.normal(scale=BIAS, size=HIDDEN), rng.normal(scale=WEIGHT, size=(n, HIDDEN))
    states = hl.systems.exact.all_states(hl.systems.lattice.hypercubic(SHAPE)).reshape(-1, n) * 2.0 - 1
    log_p = states @ a + np.log(2 * np.cosh(states @ w + d)).sum(1)
    return states, log_p - np.logaddexp.reduce(log_p)


def measured(index: int) -> dict[str, Any]:
    """One machine: shares of intervals that hold the truth, by kind."""
    rng = np.random.default_rng([index, 7])
    states, log_p = law(rng)
    rows = states[rng.choice(len(states), ROWS, p=np.exp(log_p))]
    data = hl.microstates(rows.reshape(-1, *SHAPE), space="spins", beta=1.0, independent=True)
    started = time.process_time()
    post = hl.learn(data, hl.models.RBM(hidden=HIDDEN), engine=ENGINE, seed=index, check=False)
    row: dict[str, Any] = {"index": index, "seconds": time.process_time() - started}
    found, p = post["posterior"].to_dataset(), np.exp(log_p)
    i, j = np.triu_indices(states.shape[1], 1)
    seen = post["probes"]["state"].values
    energy = -np.array([log_p[(states == one).all(1)][0] for one in seen])
    truth = {"magnetization": p @ states, "correlation": p @ (states[:, i] * states[:, j]), "probe_energy": energy - energy.mean()}
    for name, value in truth.items():
        low, high = found[name].quantile([0.05, 0.95], ("chain", "draw")).values
        row[name] = float(np.mean((low < value) & (value < high)))
    reasons = hl.verdict(post).reasons
    return row | {"doubts": [one.what for one in reasons if one.topic == "convergence" and one.severity != "note"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=40)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    host = {"python": platform.python_version(), "jax": jax.__version__, "hamlearn": hl.__version__, "machine": platform.machine()}
    RESULTS.mkdir(exist_ok=True)
    for index in range(asked.machines):
        rows.append(measured(index))
        print(rows[-1], flush=True)
        held = {name: np.array([row[name] for row in rows]) for name in ("magnetization", "correlation", "probe_energy")}
        # Intervals of one machine share its data: machines scatter, and the error is of their mean.
        told = {
            name: [float(one.mean()), float(one.std(ddof=1) / np.sqrt(len(one))) if len(one) > 1 else None] for name, one in held.items()
        }
        host |= {"machines": len(rows), "coverage of 90 %, error": told}
        text = json.dumps({"host": host, "rows": rows}, indent=1) + "\n"
        (RESULTS / "machine_posteriors.json").write_text(text, encoding="utf-8")
    print(host)


if __name__ == "__main__":
    main()
