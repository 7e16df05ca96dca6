"""What `auto` promises against what happens: estimated seconds, and seconds of CPU, of learning couplings.

    python benchmarks/couplings/estimates.py [--only NAME]

Every problem runs in a process of its own without compiled code from before, as a user's first call does: the estimate holds the
compilation. Written are the estimate (`estimated_seconds` of the provenance) and the CPU seconds of ``hl.infer.learn`` (the comparison
with held-out data, which ``hl.learn`` adds, is not in the estimate, and is not timed here). Wall time is not recorded: it is
the machine's. Recorded so far are the problems in ``results/estimates.json``, measured on a machine under load (CPU seconds of two busy
hyperthreads are up to twice those of an idle core), and its estimates hold constants that were set with these same rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl
from hamlearn.infer import NUTS, Gibbs
from hamlearn.systems import lattice

RESULTS = Path(__file__).parent / "results" / "estimates.json"


def _glass(extent: int, rows: int, beta: float = 0.5) -> Any:
    return hl.simulate(hl.systems.EdwardsAnderson((extent, extent), seed=1), beta=beta, draws=rows // 10, chains=10, seed=0, progress=False)


def _dense(sites: int, rows: int, beta: float = 0.5) -> Any:
    return hl.simulate(hl.systems.SherringtonKirkpatrick(sites, seed=1), beta=beta, draws=rows // 10, chains=10, seed=0, progress=False)


def _square(extent: int, **more: Any) -> Any:
    return hl.models.Couplings(lattice.hypercubic((extent, extent)), **more)


def _potts(extent: int, rows: int) -> Any:
    return hl.simulate(hl.systems.Potts((extent, extent), 3), beta=0.6, draws=rows // 10, chains=10, seed=0, progress=False)


def _rotors(extent: int, rows: int) -> Any:
    return hl.simulate(hl.systems.XY((extent, extent)), beta=0.7, draws=rows // 10, chains=10, seed=0, progress=False)


SLAB = {"prior": "spike_slab", "fields": None}
PROBLEMS: dict[str, tuple[Callable[[], Any], Callable[[], Any], dict[str, Any]]] = {
    "3x3 glass, auto": (lambda: _glass(3, 2000), lambda: _square(3), {}),
    "4x4 glass, auto": (lambda: _glass(4, 2000), lambda: _square(4), {}),
    "4x4 glass, exact, NUTS": (lambda: _glass(4, 2000), lambda: _square(4), {"likelihood": "exact", "engine": NUTS(300, 2, warmup=200)}),
    "4x4 glass, exact, laplace": (lambda: _glass(4, 2000), lambda: _square(4), {"likelihood": "exact", "engine": "laplace"}),
    "8x8 glass, auto": (lambda: _glass(8, 4000), lambda: _square(8), {}),
    "8x8 glass, laplace": (lambda: _glass(8, 20_000), lambda: _square(8), {"engine": "laplace"}),
    "16x16 glass, auto": (lambda: _glass(16, 4000), lambda: _square(16), {}),
    "20 spins, all pairs, auto": (lambda: _dense(20, 4000), lambda: hl.models.Couplings(None), {}),
    "40 spins, all pairs, auto": (lambda: _dense(40, 10_000), lambda: hl.models.Couplings(None), {}),
    "12 spins, sparse, auto": (lambda: _glass(3, 4000), lambda: hl.models.Couplings(None, **SLAB), {}),
    "64 spins, sparse, auto": (lambda: _glass(8, 10_000), lambda: hl.models.Couplings(None, **SLAB), {}),
    "64 spins, sparse, short": (lambda: _glass(8, 10_000), lambda: hl.models.Couplings(None, **SLAB), {"engine": Gibbs(200, 2, 100)}),
    "tied 16x16, auto": (lambda: _glass(16, 2000), lambda: _square(16, tie="uniform", fields=None), {}),
    "4x4 Potts, laplace": (lambda: _potts(4, 4000), lambda: _square(4), {"likelihood": "pseudo", "engine": "laplace"}),
    "8x8 rotors, auto": (lambda: _rotors(8, 2000), lambda: _square(8, fields=None), {}),
    "3x3 glass, Laplace prior": (lambda: _glass(3, 2000), lambda: _square(3, prior="laplace"), {}),
}


def one(name: str) -> dict[str, Any]:
    """Estimate and CPU seconds of one problem, in this process."""
    data, model, settings = (PROBLEMS[name][0](), PROBLEMS[name][1](), PROBLEMS[name][2])
    started = time.process_time()
    post = hl.infer.learn(data, model, seed=0, **settings)
    spent = time.process_time() - started
    made = hl.infer.provenance(post)
    return {
        "problem": name,
        "likelihood": made.likelihood,
        "engine": made.engine.name,
        "parameters": made.n_params,
        "estimated": made.estimated_seconds,
        "cpu": spent,
        "ratio": spent / made.estimated_seconds,
    }


def main() -> None:
    """All problems, or one."""
    if "--one" in sys.argv:
        print(json.dumps(one(sys.argv[sys.argv.index("--one") + 1])))
        return
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    rows = []
    for name in PROBLEMS:
        if only in name:
            done = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True, env=environment, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            row = rows[-1]
            print(
                f"{name:28s} {row['engine']:8s} {row['likelihood']:8s} {row['estimated']:8.2f} s  {row['cpu']:8.2f} s  {row['ratio']:.2f}"
            )
    if not only:
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
        ratios = np.array([row["ratio"] for row in rows])
        print(f"within a factor of two: {np.mean((ratios > 0.5) & (ratios < 2)):.0%}")


if __name__ == "__main__":
    main()
