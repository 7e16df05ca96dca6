"""Threads: every verb, mixed with every other, gives in any thread what it gives alone, to the last bit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import uuid
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import numpyro
import numpyro.distributions as dist
import pyro
import pytest
import torch
import xarray as xr

import hamlearn as hl
from hamlearn import processes
from hamlearn.systems.sampling import layout

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
    "predict": lambda post, folder: repr(hl.predict(post, [0.3, 0.6], draws=8, seed=0).to_dict()).encode(),
    "report": lambda post, folder: hl.report(post, folder / f"{uuid.uuid4()}.html").read_bytes(),
    "verdict": lambda post, folder: repr(hl.verdict(post)).encode(),
    "save and load": lambda post, folder: numbers(hl.load(hl.save(post, folder / f"{uuid.uuid4()}.nc"))),
    "prior": lambda post, folder: hl.models.Distribution(dist.StudentT(3.0)).draw(4, np.random.default_rng(0)).tobytes(),
}


@pytest.fixture(scope="module")
def alone(post, tmp_path_factory):
    """What each call gives with no other beside it."""
    return {name: call(post, tmp_path_factory.mktemp("alone")) for name, call in CALLS.items()}


@pytest.mark.parametrize("rounds", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_calls_in_threads_return_what_they_return_alone(rounds, post, alone, tmp_path):
    jobs = [name for k in range(rounds) for name in np.random.default_rng(k).permutation(list(CALLS))]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda name: CALLS[name](post, tmp_path), jobs))
    differ = [name for name, one in zip(jobs, found, strict=True) if one != alone[name]]
    assert differ == []


def test_what_is_one_per_process_is_entered_by_one_thread_at_a_time(post, alone, tmp_path, monkeypatch):
    """Races are rare, their precondition is not: who changes a setting, stack or generator of the process holds its lock."""
    free, seen, now = set(), set(), [""]

    def guard(owner, name, lock):
        original = getattr(owner, name)

        def entered(*arguments, **options):
            where = f"{owner}.{name}"
            seen.add(where)
            if not getattr(processes._Here, lock)._is_owned():
                free.add((now[0], where))
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, entered)

    for owner, name in [(numpyro.primitives.Messenger, "__enter__"), (pyro.poutine.messenger.Messenger, "__enter__")]:
        guard(owner, name, "lock")
    for name in ("set_num_threads", "set_rng_state"):
        guard(torch, name, "lock")
    for owner, name in [(warnings.catch_warnings, "__enter__"), (matplotlib, "rc_context")]:
        guard(owner, name, "filters")
    for name, call in CALLS.items():
        now[0] = name
        assert call(post, tmp_path) == alone[name]
    assert free == set() and len(seen) == 6, (free, seen)


def test_one_network_answers_every_thread_for_the_states_that_it_asked_for():
    """The last answer is remembered: another thread's may have come in between."""
    system = hl.draw_systems(hl.learn(DATA, NETWORK, engine=hl.infer.Training(**TRAINING), check=False, seed=0), 1, seed=0)[0]
    states = np.random.default_rng(0).choice([-1, 1], (2, 4, 3, 3))
    expected, before = [np.asarray(system.energy(one)) for one in states], sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda k: np.asarray(system.energy(states[k % 2])), range(2000)))
    finally:
        sys.setswitchinterval(before)
    assert all(np.array_equal(one, expected[k % 2]) for k, one in enumerate(found))


def test_a_lattice_that_ceases_to_exist_takes_nothing_from_an_equal_one(monkeypatch):
    """What was computed for a lattice is found by equal ones, and goes with the first: in another thread at any moment."""

    class Dying(weakref.WeakKeyDictionary):
        def __contains__(self, key):
            there = super().__contains__(key)
            self.clear()
            return there

    monkeypatch.setattr(layout, "_layouts", Dying())
    first, equal = (hl.systems.lattice.hypercubic((3, 3)) for _ in range(2))
    assert layout.layout_of(first).neighbour.shape == layout.layout_of(equal).neighbour.shape


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
