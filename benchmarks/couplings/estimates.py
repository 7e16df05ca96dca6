"""What `hl.learn` promises against what happens: estimated seconds, and seconds of CPU, of learning and of the check after it.

    python benchmarks/couplings/estimates.py [--only NAME]  (what is recorded of the others stays)

Every problem runs in a process of its own, twice: without compiled code of JAX from before, as a user's first call does (the estimate
holds the compilation), and with what the first left in a cache. Written are both estimates as ``hl.learn`` announces them, and the CPU
seconds of ``hl.infer.learn`` and ``hl.diagnostics.diagnose``, its two halves. Wall time is not recorded: it is the machine's. Recorded are
the problems in ``results/estimates.json``, measured on a machine under load (CPU seconds of two busy hyperthreads are up to twice
those of an idle core); ``fitted`` says whether constants were set with a problem.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl
from hamlearn.diagnostics.cost import of_check
from hamlearn.systems import lattice

sys.path.insert(0, str(Path(__file__).parent))
from predicted_work import Own, OwnHidden

RESULTS = Path(__file__).parent / "results" / "estimates.json"


def _glass(extent: int, rows: int, beta: float = 0.5) -> Any:
    return hl.simulate(hl.systems.EdwardsAnderson((extent, extent), seed=1), beta=beta, draws=rows // 10, chains=10, seed=0, progress=False)


def _dense(sites: int, rows: int, beta: float = 0.5) -> Any:
    return hl.simulate(hl.systems.SherringtonKirkpatrick(sites, seed=1), beta=beta, draws=rows // 10, chains=10, seed=0, progress=False)


def _square(extent: int, **more: Any) -> Any:
    return hl.models.Couplings(lattice.hypercubic((extent, extent)), **more)


def _potts(extent: int, rows: int) -> Any:
    return hl.simulate(hl.systems.Potts((extent, extent), 3), beta=0.6, draws=rows // 10, chains=10, seed=0, progress=False)


def _uniform(extent: int) -> Any:
    return _square(extent, tie="uniform", fields=None)


def _own(extent: int, rows: int) -> Any:
    return hl.simulate(hl.systems.Ising((extent, extent), J=0.8, h=0.1), beta=0.4, draws=rows // 10, chains=10, seed=0, progress=False)


def _field(extent: int, rows: int) -> Any:
    field = hl.systems.ScalarField((extent, extent), m2=1.0, lam=0.5)
    return hl.simulate(field, beta=1.0, draws=rows // 10, chains=10, seed=0, progress=False)


def _paths(slices: int, rows: int) -> Any:
    path = hl.systems.Path(slices, hl.systems.DoubleWell(1.0, 1.0))
    return hl.simulate(path, beta=8.0, draws=rows // 10, chains=10, seed=0, progress=False)


def _potts_glass(extent: int, rows: int) -> Any:
    graph = lattice.hypercubic((extent, extent))
    glass = hl.systems.Potts(graph, 3, J=np.random.default_rng(1).normal(size=graph.n_bonds))
    return hl.simulate(glass, beta=0.4, draws=rows // 10, chains=10, seed=0, progress=False)


def _chain(sites: int, rows: int) -> Any:
    return hl.simulate(hl.systems.Ising((sites,), J=0.9, h=0.2), beta=0.4, draws=rows // 10, chains=10, seed=0, progress=False)


EXACT = {"likelihood": "exact", "engine": "importance"}
SHORT = {"engine": hl.infer.Training(epochs=3, device="cpu")}  # learning of a density is announced by the epoch: its check is compared
Problem = tuple[Callable[[], Any], Callable[[], Any], dict[str, Any]]
FITTED: dict[str, Problem] = {
    "8x8 glass": (lambda: _glass(8, 10_000), lambda: _square(8), {}),
    "16x16, tied": (lambda: _glass(16, 4000), lambda: _uniform(16), {}),
    "16 spins, all pairs": (lambda: _dense(16, 230), lambda: hl.models.Couplings(None), {}),
    "16 spins, all pairs, exact": (lambda: _dense(16, 230), lambda: hl.models.Couplings(None), EXACT),
    "50 spins, all pairs": (lambda: _dense(50, 4000), lambda: hl.models.Couplings(None), {}),
    "4x4 glass, few rows": (lambda: _glass(4, 100), lambda: _square(4), {}),
    "4x4 glass": (lambda: _glass(4, 10_000), lambda: _square(4), {}),
    "4x4 glass, many rows": (lambda: _glass(4, 1_000_000), lambda: _square(4), {}),
    "6x6 Potts, tied": (lambda: _potts(6, 4000), lambda: _uniform(6), {}),
    "12 spins, spike and slab": (lambda: _dense(12, 4000), lambda: hl.models.Couplings(None, prior="spike_slab", fields=None), {}),
    "9 spins, horseshoe": (lambda: _glass(3, 2000), lambda: hl.models.Couplings(None, prior="horseshoe"), {}),
    "own family 4x4": (lambda: _own(4, 2000), Own, {}),
    "own family 8x8": (lambda: _own(8, 1000), Own, {}),
    "scale of 60 spins, all pairs": (
        lambda: _dense(60, 5000),
        lambda: hl.models.Scale(hl.systems.SherringtonKirkpatrick(60, seed=1)),
        {},
    ),
    "scalar field 6x6": (lambda: _field(6, 2000), lambda: hl.models.PolynomialAction(powers=(2, 4)), {}),
    "double well, 32 slices": (lambda: _paths(32, 2000), lambda: hl.models.PolynomialAction(powers=(2, 4)), {}),
    "local interaction 6x6": (lambda: _glass(6, 2000), lambda: hl.models.LocalInteraction(2, (8,), members=8), {}),
    "scalar field 8x8": (lambda: _field(8, 1000), lambda: hl.models.PolynomialAction(powers=(2, 4)), {}),
    "hidden 6x6": (lambda: _own(6, 2000), OwnHidden, {}),
    "PixelCNN 6x6": (lambda: _glass(6, 2000), lambda: hl.models.Autoregressive("pixelcnn"), SHORT),
    "cluster expansion 8x8": (lambda: _own(8, 2000), lambda: hl.models.ClusterExpansion(window=(2, 2)), {}),
}
HELD_OUT: dict[str, Problem] = {
    "12x12 glass": (lambda: _glass(12, 3000), lambda: _square(12), {}),
    "20x20, tied": (lambda: _glass(20, 2000), lambda: _uniform(20), {}),
    "30 spins, all pairs": (lambda: _dense(30, 3000), lambda: hl.models.Couplings(None), {}),
    "10 spins, spike and slab": (lambda: _dense(10, 2000), lambda: hl.models.Couplings(None, prior="spike_slab"), {}),
    "Potts glass 5x5": (lambda: _potts_glass(5, 2000), lambda: _square(5), {}),
    "own family 6x6": (lambda: _own(6, 3000), Own, {}),
    "local interaction 4x4": (lambda: _glass(4, 4000), lambda: hl.models.LocalInteraction(2, (8,), members=8), {}),
    "cluster expansion, chain of 200": (lambda: _chain(200, 1000), lambda: hl.models.ClusterExpansion(window=4), {}),
}
PROBLEMS = FITTED | HELD_OUT
PARTS = {"": "learning", "_check": "check"}


def one(name: str) -> dict[str, Any]:
    """Estimates and CPU seconds of one problem, in this process."""
    data, model, settings = (PROBLEMS[name][0](), PROBLEMS[name][1](), PROBLEMS[name][2])
    announced = of_check(data, model)
    assert announced is not None  # of every kind in this list
    started = time.process_time()
    post = hl.infer.learn(data, model, seed=0, **settings)
    learned = time.process_time()
    hl.diagnostics.diagnose(post, data, seed=0)
    checked = time.process_time() - learned
    made = hl.infer.provenance(post)
    return {
        "problem": name,
        "fitted": name in FITTED,
        "likelihood": made.likelihood,
        "engine": made.engine.name,
        "parameters": made.n_params,
        "estimated": made.estimated_seconds if np.isfinite(made.estimated_seconds) else None,
        "cpu": learned - started,
        "estimated_check": announced.seconds,
        "cpu_check": checked,
    }


def twice(name: str) -> dict[str, Any]:
    """The same in fresh processes: with an empty cache of compiled code, and with the one that the first filled."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_COMPILATION_CACHE_DIR": folder}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        runs = []
        for _ in range(2):
            done = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True, env=environment, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    cold, warm = runs
    return cold | {"cpu_warm": warm["cpu"], "cpu_check_warm": warm["cpu_check"]}


def main() -> None:
    """All problems, or those that are named."""
    if "--one" in sys.argv:
        print(json.dumps(one(sys.argv[sys.argv.index("--one") + 1])))
        return
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    rows = {row["problem"]: row for row in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    for name in PROBLEMS:
        if only in name:
            row = rows[name] = twice(name)
            told = [
                f"{row['estimated' + part] or np.nan:6.2f}, took {row['cpu' + part]:6.2f} ({row['cpu' + part + '_warm']:6.2f})"
                for part in PARTS
            ]
            print(f"{name:32s} {row['engine']:10s} {row['likelihood']:7s}", *told, flush=True)
            RESULTS.write_text(json.dumps(list(rows.values()), indent=1) + "\n")
    for part, what in PARTS.items():
        for fitted in (True, False):
            rated = [row for row in rows.values() if row["fitted"] is fitted and row["estimated" + part] is not None]
            ratios = [row["cpu" + part] / row["estimated" + part] for row in rated]
            inside = sum(0.5 < ratio < 2 for ratio in ratios)
            print(f"{what}, {'fitted' if fitted else 'held out'}: {inside} of {len(ratios)} within a factor of two")


if __name__ == "__main__":
    main()
