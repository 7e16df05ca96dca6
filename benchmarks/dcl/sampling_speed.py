"""Drawing site by site with what was computed kept, against one full pass per site, at L = 16.

python benchmarks/dcl/sampling_speed.py
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from hamlearn.infer.engines.neural.torch_training import threads
from hamlearn.models import Autoregressive
from hamlearn.models.autoregressive import NETWORKS
from hamlearn.models.densities.build import build
from hamlearn.systems import SPINS

COUNT, EXTENT, PASSES = 100, 16, 4


def main() -> None:
    lines = [f"# Drawing {COUNT} microstates of {EXTENT}×{EXTENT} spins, one CPU thread, library defaults", ""]
    lines += ["| network | weights | incremental, s | full passes, s | ratio (asked: 10) |", "| --- | --- | --- | --- | --- |"]
    with threads(1):
        for name in NETWORKS:
            density, generator = build(Autoregressive(name), SPINS, (EXTENT, EXTENT)), torch.Generator().manual_seed(0)
            states = density.sample(COUNT, generator)
            started = time.perf_counter()
            density.sample(COUNT, generator)
            fast = time.perf_counter() - started
            started = time.perf_counter()
            with torch.no_grad():
                for _ in range(PASSES):  # a full pass takes the same time whatever it is given
                    density._emit(density.prepared(states), None)
            slow = (time.perf_counter() - started) / PASSES * EXTENT**2
            size = sum(parameter.numel() for parameter in density.parameters())
            lines.append(f"| {name} | {size:,} | {fast:.3f} | {slow:.1f} | {slow / fast:.0f} |".replace(",", " "))
            print(lines[-1], flush=True)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "sampling_speed.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
