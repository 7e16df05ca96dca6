"""Calls of every engine in threads, beside each other: each gives what it gives alone. A fork after use is refused, not waited for.

python benchmarks/robustness/threads.py --sample 120
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np

WORKERS = 4
SECONDS = 1500.0


def jobs(room: Path) -> dict[str, Callable[[], str]]:
    """Small calls, each with a digest of what it gives."""
    import hamlearn as hl

    grid = hl.systems.lattice.hypercubic((3, 3))
    glass = hl.systems.EdwardsAnderson(grid, seed=1)
    data = hl.simulate(glass, beta=0.5, draws=150, chains=2, seed=0, sampler="exact")
    paths = hl.systems.Path(8, hl.systems.Polynomial([0, 0.5]))
    drawn = hl.simulate(paths, beta=4.0, draws=200, seed=0)
    model, sparse = hl.models.Couplings(grid, fields=None), hl.models.Couplings(grid, fields=None, prior="spike_slab")
    post = hl.learn(data, model, engine="laplace", check=False, seed=0)
    net = hl.models.Autoregressive(hidden=8)

    def learn(what: Any, engine: Any, of: Any = data, check: bool = False) -> Callable[[], str]:
        return lambda: common.tree_digest(hl.learn(of, what, engine=engine, check=check, seed=0))

    def simulate(system: Any, sampler: str, beta: Any = 0.4) -> Callable[[], str]:
        return lambda: common.tree_digest(hl.simulate(system, beta=beta, draws=100, chains=2, seed=3, sampler=sampler))

    def report() -> str:
        path = Path(tempfile.mkdtemp(dir=room)) / "r.html"
        hl.report(post, path)
        return common.digest(path)

    return {
        "learn, laplace": learn(model, "laplace"),
        "learn, laplace, checked": learn(model, "laplace", check=True),
        "learn, MLE": learn(model, hl.infer.MLE(draws=50, chains=2)),
        "learn, NUTS": learn(model, hl.infer.NUTS(draws=30, warmup=30, chains=2)),
        "learn, Gibbs": learn(sparse, hl.infer.Gibbs(draws=50, warmup=50, chains=2)),
        "learn, clusters": learn(hl.models.ClusterExpansion(window=2), "auto"),
        "learn, action": learn(hl.models.PolynomialAction(powers=(2,)), "auto", drawn),
        "learn, training": learn(net, hl.infer.Training(epochs=2)),
        "learn, Bayesian network": learn(net, hl.infer.Bayesian(epochs=2, draws=3, steps=20)),
        "learn, local energy": learn(hl.models.LocalInteraction(window=2, hidden=(4,), members=2), "auto"),
        "approximate": lambda: common.tree_digest(hl.approximate(glass, 0.5, net, hl.infer.Variational(steps=5, batch=16), seed=0)),
        "simulate, heat bath": simulate(glass, "heat_bath"),
        "simulate, metropolis": simulate(glass, "metropolis"),
        "simulate, wolff": simulate(hl.systems.Ising(grid), "wolff"),
        "simulate, tempering": simulate(glass, "tempering", [0.3, 0.6]),
        "simulate, hmc": simulate(hl.systems.ScalarField((3, 3), m2=1.0, lam=1.0), "hmc", 1.0),
        "simulate, exact": simulate(glass, "exact"),
        "predict": lambda: common.tree_digest(hl.predict(post, beta=[0.3, 0.6], draws=8, seed=0)),
        "verdict": lambda: str(hl.verdict(post)),
        "report": report,
    }


def together(sample: int, seed: int, only: str, room: Path) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """In a child: (job, "same" or what is wrong) of every call in a thread, and what already failed alone."""
    logging.getLogger("hamlearn").setLevel(logging.ERROR)
    some = {name: job for name, job in jobs(room).items() if only in name}
    alone, broken = {}, {}
    for name, job in some.items():
        try:
            alone[name] = job()
            if job() != alone[name]:
                broken[name] = "two calls alone differ"
        except Exception as error:
            broken[name] = f"{type(error).__name__}: {error}"
    order = [name for name in alone for _ in range(-(-sample // len(alone)))]
    np.random.default_rng(seed).shuffle(order)
    found = []
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        waiting = [(name, pool.submit(some[name])) for name in order[:sample]]
        for name, job in waiting:
            try:
                found.append((name, "same" if job.result() == alone[name] else "another result"))
            except Exception as error:
                found.append((name, f"{type(error).__name__}: {str(error)[:160]}"))
    return found, broken


def forked(name: str, room: Path) -> str:
    """In a child: hamlearn is used, then the process forks and the fork calls a verb; what becomes of it within 30 s."""
    some = jobs(room)
    some["simulate, heat bath"]()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            some[name]()
            told = "works"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writer, told.encode()[:2000])
        os._exit(0)
    os.close(writer)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return os.read(reader, 4000).decode() or "died"
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def audit(sample: int, seed: int, only: str = "", quiet: bool = False) -> common.Part:
    """Threads, then forks."""
    command = f"python benchmarks/robustness/threads.py --sample {sample} --seed {seed}"
    part = common.Part("threads", f"Calls in {WORKERS} threads, and forks after use", command, quiet=quiet)
    common.import_everything()
    room = Path(tempfile.mkdtemp(prefix="threads-"))
    outcome = common.isolated(lambda: together(sample, seed, only, room), SECONDS)
    if outcome.kind != "value":
        part.fault("threads", {"hung": "hang", "died": "crash"}.get(outcome.kind, "raw"), outcome.message, command)
    else:
        calls, broken = outcome.value
        for name, said in calls:
            part.add(name, "calls")
            if said == "same":
                part.add(name, "same as alone")
            else:
                part.fault(name, "other result" if said == "another result" else "raises", said, f"{command} --only '{name}'")
        for name, said in broken.items():
            part.fault(name, "fails alone", said, f"{command} --only '{name}'")
    verbs = [name for name in ("simulate, heat bath", "learn, laplace", "predict", "report", "learn, training") if only in name]
    for name in verbs:
        fork = common.isolated(lambda name=name: forked(name, room), 300)
        said = str(fork.value) if fork.kind == "value" else f"{fork.kind}: {fork.message}"
        part.add("fork after use", "calls")
        if said.startswith("HamlearnError"):
            part.add("fork after use", "refused")
        else:
            part.fault("fork after use", "not refused", f"{name}: {said[:160]}", f"{command} --only '{name}'")
    shutil.rmtree(room, ignore_errors=True)
    return part


if __name__ == "__main__":
    options = common.arguments(__doc__, 120)
    raise SystemExit(common.finish(audit(options.sample, options.seed, options.only), options.faults))
