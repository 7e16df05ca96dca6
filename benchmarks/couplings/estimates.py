"""What `auto` promises against what happens: estimated seconds, and seconds of CPU, of learning couplings and of the check after it.

    python benchmarks/couplings/estimates.py [--only NAME]

Every problem runs in a process of its own without compiled code of JAX from before, as a user's first call does: the estimate holds the
compilation. Written are both estimates as ``hl.learn`` announces them, and the CPU seconds of ``hl.infer.learn`` and
``hl.diagnostics.diagnose``, its two halves. Wall time is not recorded: it is the machine's. Recorded are the problems in
``results/estimates.json``, measured on a machine under load (CPU seconds of two busy hyperthreads are up to twice those of an idle
core); constants of the check were set with these same problems.
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
from hamlearn.infer.choose import choose
from hamlearn.infer.observations import bind
from hamlearn.infer.settings import as_engine
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


def _uniform(extent: int) -> Any:
    return _square(extent, tie="uniform", fields=None)


EXACT = {"likelihood": "exact", "engine": "importance"}
PROBLEMS: dict[str, tuple[Callable[[], Any], Callable[[], Any], dict[str, Any]]] = {
    "8x8 glass": (lambda: _glass(8, 10_000), lambda: _square(8), {}),
    "16x16, tied": (lambda: _glass(16, 4000), lambda: _uniform(16), {}),
    "16 spins, all pairs": (lambda: _dense(16, 230), lambda: hl.models.Couplings(None), {}),
    "16 spins, all pairs, exact": (
        lambda: _dense(16, 230),
        lambda: hl.models.Couplings(None),
        {"likelihood": "exact", "engine": "importance"},
    ),
    "50 spins, all pairs": (lambda: _dense(50, 4000), lambda: hl.models.Couplings(None), {}),
    "4x4 glass, few rows": (lambda: _glass(4, 100), lambda: _square(4), {}),
    "4x4 glass": (lambda: _glass(4, 10_000), lambda: _square(4), {}),
    "4x4 glass, many rows": (lambda: _glass(4, 1_000_000), lambda: _square(4), {}),
    "6x6 Potts, tied": (lambda: _potts(6, 4000), lambda: _uniform(6), {}),
    "12 spins, spike and slab": (lambda: _dense(12, 4000), lambda: hl.models.Couplings(None, prior="spike_slab", fields=None), {}),
    "9 spins, horseshoe": (lambda: _glass(3, 2000), lambda: hl.models.Couplings(None, prior="horseshoe"), {}),
}


def one(name: str) -> dict[str, Any]:
    """Estimates and CPU seconds of one problem, in this process."""
    data, model, settings = (PROBLEMS[name][0](), PROBLEMS[name][1](), PROBLEMS[name][2])
    started = time.process_time()
    post = hl.infer.learn(data, model, seed=0, **settings)
    learned = time.process_time()
    hl.diagnostics.diagnose(post, data, seed=0)
    checked = time.process_time() - learned
    made = hl.infer.provenance(post)
    bound, parts, _ = bind([data], model)
    announced = choose(bound, parts, settings.get("likelihood", "auto"), as_engine(settings.get("engine", "auto"))).check_seconds
    return {
        "problem": name,
        "likelihood": made.likelihood,
        "engine": made.engine.name,
        "parameters": made.n_params,
        "estimated": made.estimated_seconds,
        "cpu": learned - started,
        "estimated_check": announced,
        "cpu_check": checked,
        "ratio": (learned - started + checked) / (made.estimated_seconds + announced),
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
            learning, check = (f"{row['estimated' + one]:6.2f} s {row['cpu' + one]:6.2f} s" for one in ("", "_check"))
            print(f"{name:28s} {row['engine']:10s} {row['likelihood']:7s} {learning}   check {check}   {row['ratio']:.2f}", flush=True)
    if not only:
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
        ratios = np.array([row["ratio"] for row in rows])
        print(f"within a factor of two: {np.mean((ratios > 0.5) & (ratios < 2)):.0%}")


if __name__ == "__main__":
    main()
