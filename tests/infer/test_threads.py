"""Threads: every verb, mixed with every other, gives in any thread what it gives alone, to the last bit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl

ISING = hl.systems.Ising((3, 3))
GLASS = hl.systems.EdwardsAnderson((3, 3), seed=1)
DATA = hl.simulate(GLASS, beta=0.5, draws=100, chains=2, seed=0)
COUPLINGS = hl.models.Couplings(GLASS.lattice, fields=None)
NETWORK = hl.models.Autoregressive(hidden=8)
TRAINING = {"epochs": 2, "batch": 64}


def numbers(tree: xr.DataTree) -> bytes:
    """Every number of a posterior; the record holds the seconds that it took."""
    groups = [node.to_dataset(inherit=False) for node in tree.subtree]
    return b"".join(
        name.encode() + np.asarray(one.values).tobytes() for group in groups for name, one in sorted(group.data_vars.items(), key=str)
    )


@pytest.fixture(scope="module")
def post():
    return hl.learn(DATA, COUPLINGS, engine="laplace", check=False, seed=0)


# A new verb, engine or sampler adds one line.
CALLS = {
    "nuts": lambda post, folder: numbers(
        hl.learn(DATA, COUPLINGS, engine=hl.infer.NUTS(draws=20, warmup=40, chains=2), check=False, seed=0)
    ),
    "nuts, another seed": lambda post, folder: numbers(
        hl.learn(DATA, COUPLINGS, engine=hl.infer.NUTS(draws=20, warmup=40, chains=2), check=False, seed=1)
    ),
    "weights": lambda post, folder: numbers(
        hl.learn(DATA, NETWORK, engine=hl.infer.Bayesian(**TRAINING, steps=20, draws=3), check=False, seed=0)
    ),
    "weights, low rank": lambda post, folder: numbers(
        hl.learn(DATA, NETWORK, engine=hl.infer.Bayesian(**TRAINING, steps=20, draws=3, guide="low_rank", rank=2), check=False, seed=1)
    ),
    "training": lambda post, folder: numbers(hl.learn(DATA, NETWORK, engine=hl.infer.Training(**TRAINING, threads=2), check=False, seed=0)),
    "variational": lambda post, folder: numbers(
        hl.approximate(ISING, 0.3, NETWORK, engine=hl.infer.Variational(steps=20, batch=20), seed=0)
    ),
    "gibbs": lambda post, folder: numbers(
        hl.learn(
            DATA, hl.models.Couplings(None, prior="spike_slab"), engine=hl.infer.Gibbs(draws=30, warmup=30, chains=2), check=False, seed=0
        )
    ),
    "laplace, checked": lambda post, folder: numbers(hl.learn(DATA, COUPLINGS, engine="laplace", seed=0)),
    "wolff": lambda post, folder: hl.simulate(ISING, 0.4, draws=20, chains=2, seed=0, sampler="wolff")["state"].values.tobytes(),
    "heat bath": lambda post, folder: hl.simulate(GLASS, 0.4, draws=20, chains=2, seed=0, sampler="heat_bath")["state"].values.tobytes(),
    "hmc": lambda post, folder: hl.simulate(
        hl.systems.Path(8, hl.systems.Polynomial([0, 0.5])), 4.0, draws=10, chains=2, seed=0, sampler="hmc"
    )["state"].values.tobytes(),
    "predict": lambda post, folder: repr(hl.predict(post, [0.3, 0.6], members=8, seed=0).to_dict()).encode(),
    "report": lambda post, folder: hl.report(post, folder / f"{uuid.uuid4()}.html").read_bytes(),
    "verdict": lambda post, folder: repr(hl.verdict(post)).encode(),
}


@pytest.mark.parametrize("rounds", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_calls_in_threads_return_what_they_return_alone(rounds, post, tmp_path):
    alone = {name: call(post, tmp_path) for name, call in CALLS.items()}
    jobs = [name for k in range(rounds) for name in np.random.default_rng(k).permutation(list(CALLS))]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda name: CALLS[name](post, tmp_path), jobs))
    differ = [name for name, one in zip(jobs, found, strict=True) if one != alone[name]]
    assert differ == []


def test_the_first_calls_of_a_process_may_come_from_threads():
    """Everything is loaded lazily: modules, registers and compiled code, here by all threads at the same time."""
    code = """
        import threading
        import numpy as np, hamlearn as hl
        start, faults = threading.Barrier(6), []
        def first(k):
            start.wait()
            try:
                data = hl.simulate(hl.systems.Ising((3, 3)), 0.3, draws=30, chains=2, seed=0)
                if k == 0:
                    hl.learn(data, hl.models.Autoregressive(hidden=4), engine=hl.infer.Training(epochs=1), check=False)
                elif k == 1:
                    hl.verdict(hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", seed=0))
                else:
                    hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform"), engine="laplace", check=False)
            except BaseException as error:
                faults.append(repr(error))
        threads = [threading.Thread(target=first, args=(k,)) for k in range(6)]
        for one in threads: one.start()
        for one in threads: one.join()
        print(faults)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr[-2000:]
