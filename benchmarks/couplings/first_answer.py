"""Seconds from data to a first answer: learning, the check after it, the page, and the size of the file.

    python benchmarks/couplings/first_answer.py [--only NAME ...] [--again]

Every problem runs in two processes of its own: *cold*, with no compiled code of JAX from before, and *warm*, with that of the cold one;
data are made before the clock starts, and importing the library counts. Columns are CPU seconds of the process (all of its threads, one
core), which a loaded machine stretches less than wall time; *wall* is that of learning with its check in the warm process. *Newton* counts
Hessians of the whole problem. The peer is node-wise logistic regression (scikit-learn, newton-cholesky, no penalty) of the same rows in the
same warm process; it has neither error bars nor a check, so it is compared with the bare optimum (*point*) and not with *learn*.
Results are kept problem by problem, so that a run that was stopped goes on. The demo is timed as a process, with all that it does.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, parser, write

import hamlearn as hl
from hamlearn.infer.likelihoods import RowLikelihood
from hamlearn.infer.settings import MLE
from hamlearn.systems import lattice

KEPT = RESULTS / "first_answer_problems.json"
Problem = tuple[Callable[[], Any], Callable[[], Any]]


def _drawn(system: Any, rows: int, beta: float) -> Any:
    return hl.simulate(system, beta=beta, draws=rows // 10, chains=10, seed=0, progress=False)


def _glass(extent: int, rows: int) -> Problem:
    return (
        lambda: _drawn(hl.systems.EdwardsAnderson((extent, extent), seed=1), rows, 0.5),
        lambda: hl.models.Couplings(lattice.hypercubic((extent, extent))),
    )


def _dense(sites: int, rows: int) -> Problem:
    return lambda: _drawn(hl.systems.SherringtonKirkpatrick(sites, seed=1), rows, 0.5), lambda: hl.models.Couplings(None)


def _ferromagnet(tie: str, reach: float) -> Problem:
    graph = lattice.hypercubic((16, 16)) if reach <= 1 else lattice.hypercubic((16, 16)).pairs_within(reach)
    return lambda: _drawn(hl.systems.Ising((16, 16)), 4000, 0.4), lambda: hl.models.Couplings(graph, tie=tie, fields=None)


def _votes(sites: int) -> Problem:
    def made() -> Any:
        rng = np.random.default_rng(0)
        return hl.microstates(rng.choice([-1, 1], (77, 1)) * np.where(rng.random((77, sites)) < 0.15, -1, 1))

    return made, lambda: hl.models.Couplings(None, prior=hl.models.Normal(0.3))


PROBLEMS: dict[str, Problem] = {
    "8x8 glass, 10 000 rows": _glass(8, 10_000),
    "16x16 one coupling, 4000 rows": _ferromagnet("uniform", 1.0),
    "16x16 by distance, 4000 rows": _ferromagnet("distance", 2.3),
    "16 spins all pairs, 230 rows": _dense(16, 230),
    "4x4 glass, 100 rows": _glass(4, 100),
    "4x4 glass, 10 000 rows": _glass(4, 10_000),
    "4x4 glass, 1 000 000 rows": _glass(4, 1_000_000),
    "50 spins all pairs, 40 000 rows": _dense(50, 40_000),
    "64 spins all pairs, 10 000 rows": _dense(64, 10_000),
    "97 spins all pairs, 77 rows": _votes(97),
    "104 spins all pairs, 77 rows": _votes(104),
}
DEMO = "demo"
COMPARED = ("50 spins all pairs, 40 000 rows", "64 spins all pairs, 10 000 rows")  # with the peer


def peer(data: Any) -> float:
    """CPU seconds of logistic regressions of every spin on all others."""
    from sklearn.linear_model import LogisticRegression

    spins = data["state"].values.reshape(-1, int(np.prod(data["state"].shape[2:]))).astype(float)
    started = time.process_time()
    for site in range(spins.shape[1]):
        LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-6).fit(np.delete(spins, site, 1), spins[:, site])
    return time.process_time() - started


class Compilations(logging.Handler):
    """Counts what JAX says that it compiled or found compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage().startswith("Compiling ")


def one(name: str, *, warm: bool) -> dict[str, Any]:
    """Seconds of one problem in this process."""
    import jax

    counter, noisy = Compilations(), logging.getLogger("jax._src.interpreters.pxla")
    jax.config.update("jax_log_compiles", True)
    noisy.addHandler(counter)
    noisy.propagate = False
    hessians, plain = [0], RowLikelihood.information
    RowLikelihood.information = lambda *args, **more: (hessians.__setitem__(0, hessians[0] + 1), plain(*args, **more))[1]  # type: ignore
    imported = time.process_time()  # so far: Python, NumPy, and the library
    data, model = PROBLEMS[name][0](), PROBLEMS[name][1]()
    begun, started = time.perf_counter(), time.process_time()
    before = counter.count
    post = hl.infer.learn(data, model, seed=0)
    learned, newton = time.process_time(), hessians[0]
    post = hl.diagnostics.diagnose(post, data, seed=0)
    checked, wall = time.process_time(), time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        size = hl.save(post, f"{folder}/post.nc").stat().st_size
        saved = time.process_time()
        hl.report(post, f"{folder}/page.html")
        paged = time.process_time()
    found = {"import": imported, "learn": learned - started, "check": checked - learned, "page": paged - saved, "MB": size / 1e6}
    found |= {"wall": wall, "Newton": newton, "programs compiled": counter.count - before, "engine": hl.infer.provenance(post).engine.name}
    if warm and name in COMPARED:
        started = time.process_time()
        hl.infer.learn(data, model, likelihood="pseudo", engine=MLE(draws=1, chains=1), calibrate=False, seed=0)
        found |= {"point": time.process_time() - started, "peer": peer(data)}
    return found


def measured(name: str) -> dict[str, Any]:
    """A cold process, then a warm one."""
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for which in ("cold", "warm"):
            command = [sys.executable, __file__, "--one", name, *(["--warm"] if which == "warm" else [])]
            kept = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            settings = {**os.environ, **kept, "OMP_NUM_THREADS": "1"}
            if name == DEMO:
                found[which] = demonstrated(f"{folder}/demo", settings)
                continue
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=settings)
            found[which] = json.loads(done.stdout.splitlines()[-1])
    return found


def demonstrated(folder: str, settings: dict[str, str]) -> dict[str, float]:
    """CPU and wall seconds of ``hamlearn demo``, a process of its own: importing, simulating, predicting and the page included."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "hamlearn", "demo", "-o", folder], capture_output=True, check=True, env=settings)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"CPU": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "wall": wall}


def row(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    cold, warm = found["cold"], found["warm"]
    line = {"problem": name, "engine": warm["engine"], "cold: learn + check": cold["learn"] + cold["check"]}
    line |= {key: warm[key] for key in ("learn", "check", "page", "wall")}
    line |= {"programs compiled": warm["programs compiled"], "Newton": warm["Newton"], "file (MB)": warm["MB"]}
    line |= {"load": found["load"]} if "load" in found else {}
    if "peer" in warm:
        line |= {"point": warm["point"], "peer": warm["peer"], "point / peer": warm["point"] / warm["peer"]}
    return line


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=[*PROBLEMS, DEMO], default=[*PROBLEMS, DEMO])
    options.add_argument("--again", action="store_true", help="measure what is kept already")
    options.add_argument("--one", choices=PROBLEMS, help="problem of this very process, as JSON")
    options.add_argument("--warm", action="store_true")
    given = options.parse_args()
    if given.one:
        print(json.dumps(one(given.one, warm=given.warm)))
        return
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name in given.only:
        if given.again or name not in kept:
            kept[name] = measured(name)
            kept[name]["load"] = round(os.getloadavg()[1], 1)
            print(name, kept[name] if name == DEMO else row(name, kept[name]), flush=True)
            if not given.quick:
                KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    tables = {"Learning, check and page": [row(name, kept[name]) for name in PROBLEMS if name in kept]}
    if DEMO in kept:
        load = {"load": kept[DEMO]["load"]}
        tables["`hamlearn demo`"] = [{"process": which} | kept[DEMO][which] | load for which in ("cold", "warm")]
    note = (
        "CPU seconds of the process; *wall* is learning and check together, and holds what others did meanwhile. *load* is how many "
        "processes wanted the machine's two cores (none recorded: nobody else): CPU seconds of busy hyperthreads are up to twice those of "
        "idle ones, and wall time some four times them; *point / peer* are of one process. The warm process finds the compiled programs of "
        "the cold one on disk."
    )
    write("first_answer", "The first answer", [note], tables, {"seed": 0}, save=not given.quick)
    if not given.quick:
        subprocess.run([sys.executable, Path(__file__).parents[2] / ".ci" / "costs"], check=True)  # the table of How to choose


if __name__ == "__main__":
    main()
