"""Log Z of restricted Boltzmann machines, from replicas exchanged on a line to them: do 90 % intervals hold the exact value?

    python benchmarks/cautionary/log_z.py --machines 60
    python benchmarks/cautionary/log_z.py --peer          (one machine, beside the package rbms 0.5, if it is installed)

Sixty machines of 8 to 20 hidden units are trained on exact samples of Ising models, glasses and Potts models of 16 to 64 sites. The exact
value is a sum over the hidden units; the estimate does not use it. Wanted: 90 % intervals hold it in at least 45 of 60, and
standard errors of at most 0.01.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import hamlearn as hl
from hamlearn.infer.engines import rbm_training
from hamlearn.infer.engines.rbm_training import Machine
from hamlearn.systems import exact
from hamlearn.systems.sampling import replicas

RESULTS = Path(__file__).parent / "results"
WORLDS: tuple[tuple[str, Any, float], ...] = (
    ("Ising 4x4", lambda seed: hl.systems.Ising((4, 4)), 0.44),
    ("Ising 6x6", lambda seed: hl.systems.Ising((6, 6)), 0.44),
    ("Ising 8x8", lambda seed: hl.systems.Ising((8, 8)), 0.40),
    ("Ising 8x8, cold", lambda seed: hl.systems.Ising((8, 8)), 0.6),
    ("glass 6x6", lambda seed: hl.systems.EdwardsAnderson((6, 6), seed=seed), 1.0),
    ("Potts 4x4, q = 3", lambda seed: hl.systems.Potts((4, 4), q=3), 0.9),
)
HIDDEN = (8, 12, 16, 20)
ERROR = 0.01
_REPEATS, _CHAINS = 6, 2000  # of the peer


def trained(world: tuple[str, Any, float], hidden: int, seed: int) -> tuple[Machine, int]:
    """A machine of exact samples, and how many values its sites have."""
    system = world[1](seed)
    states = system.space.index(exact.sample(system, world[2], 2000, seed=seed)).reshape(2000, -1).astype(np.int8)
    settings = hl.infer.Training(epochs=20, batch=100, learning_rate=1e-2)
    held = np.ones(200)
    model = hl.models.RBM(hidden=hidden, steps=2)
    return rbm_training.fit(model, system.space.q, states[200:], None, states[:200], held, settings, seed), system.space.q


def measure(index: int) -> dict[str, Any]:
    world, hidden = WORLDS[index % len(WORLDS)], HIDDEN[index % len(HIDDEN)]
    machine, _ = trained(world, hidden, index)
    started = time.process_time()
    found = replicas.log_z(machine.line, index, error=ERROR)
    seconds = time.process_time() - started
    truth = machine.line.layer(1.0).log_z()
    low, high = found.interval(0.9)
    held = bool(low <= truth <= high)
    row = {"world": world[0], "hidden": hidden, "exact": truth, "found": found.value, "error": found.error, "seconds": seconds}
    row |= {"trips": found.trips, "settled": found.settled}
    return row | {"holds": held, "z": (found.value - truth) / found.error}


def peer(seed: int = 0) -> Iterator[dict[str, Any]]:
    """One machine, its log Z by this package and by `rbms`, each at several costs; in one run, turn and turn about."""
    try:
        import torch
        from rbms.bernoulli_bernoulli.classes import BBRBM
        from rbms.partition_function.ais import compute_partition_function_ais
    except ImportError as error:
        raise SystemExit(f"--peer needs the package rbms 0.5 ({error}): pip install rbms==0.5 --no-deps, beside torch and h5py.") from None
    machine, _ = trained(WORLDS[2], 16, seed)
    line = machine.line
    truth = line.layer(1.0).log_z()
    as_tensor = lambda one: torch.tensor(one, dtype=torch.float64)
    other = BBRBM(as_tensor(line.weights[:, 0]), as_tensor(line.visible[:, 0]), as_tensor(line.hidden))
    torch.manual_seed(seed)
    for number in range(_REPEATS):
        started = time.process_time()
        found = replicas.log_z(line, 100 + number, error=ERROR)
        yield {"package": "hamlearn", "off": found.value - truth, "error": found.error, "seconds": time.process_time() - started}
        for temperatures in (100, 1000):
            started = time.process_time()
            value = float(compute_partition_function_ais(_CHAINS, temperatures, other))
            told = {"package": f"rbms, {temperatures} temperatures, {_CHAINS} chains", "off": value - truth, "error": None}
            yield told | {"seconds": time.process_time() - started}


def ratios(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Root mean square errors and CPU seconds beside those of this package: the first run of each, which compiles, counts in neither."""
    found = {}
    for name in dict.fromkeys(row["package"] for row in rows):
        off, seconds = np.array([(row["off"], row["seconds"]) for row in rows if row["package"] == name][1:]).T
        found[name] = float(np.sqrt(np.mean(off**2))), float(np.median(seconds))
    own = found["hamlearn"]
    return {
        name: {"rms off": off, "error, ratio": off / own[0], "seconds, ratio": seconds / own[1]} for name, (off, seconds) in found.items()
    }


def table(host: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """What a run of all machines says."""
    held, count = host["held"], len(rows)
    lines = ["# Log Z of machines beside the exact sum", ""]
    lines += [
        f"`python benchmarks/cautionary/log_z.py --machines {count}`: 90 % intervals hold the exact log Z of **{held} of {count}** machines"
    ]
    lines += [f"(at least {45 * count // 60} are asked); root mean square z {host['rms z']:.2f}; the largest standard error is"]
    lines += [f"{host['largest error']:.4f} nats (0.01 is asked); median {host['median seconds']:.1f} CPU s.", ""]
    lines += ["| trained on | machines | hold | rms z | largest z | largest error / nat | median CPU s |", "| --- " * 7 + "|"]
    for world in dict.fromkeys(row["world"] for row in rows):
        own = [row for row in rows if row["world"] == world]
        z = np.array([row["z"] for row in own])
        error, seconds = max(row["error"] for row in own), float(np.median([row["seconds"] for row in own]))
        told = f"{sum(row['holds'] for row in own)} | {np.sqrt(np.mean(z**2)):.2f} | {z[np.abs(z).argmax()]:+.2f}"
        lines.append(f"| {world} | {len(own)} | {told} | {error:.4f} | {seconds:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=60)
    parser.add_argument("--peer", action="store_true")
    asked = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    host = {"python": platform.python_version(), "jax": jax.__version__, "hamlearn": hl.__version__, "machine": platform.machine()}
    if asked.peer:
        rows, name = [], "log_z_peer.json"
        for row in peer():
            rows.append(row)
            print(row, flush=True)
        host |= {"ratios": ratios(rows)}
        print(host)
    else:
        rows, name = [], "log_z.json"
        for index in range(asked.machines):
            rows.append(measure(index))
            print(index, rows[-1], flush=True)
        z = np.array([row["z"] for row in rows])
        host |= {"held": int(sum(row["holds"] for row in rows)), "machines": len(rows), "rms z": float(np.sqrt(np.mean(z**2)))}
        host |= {"largest error": max(row["error"] for row in rows), "median seconds": float(np.median([row["seconds"] for row in rows]))}
        print(host)
        (RESULTS / "log_z.md").write_text(table(host, rows), encoding="utf-8")
    (RESULTS / name).write_text(json.dumps({"host": host, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
