"""Threads, forks and other processes: the same seed gives the same answer anywhere, or one sentence instead of hanging."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import hamlearn as hl
from hamlearn import diagnostics, infer, processes
from hamlearn.processes import alone, filtering, verb

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
LIMIT_S = 120  # a hanging child is what must not happen: it would never end


def run(code: str) -> str:
    """What a process of its own prints; its warnings about forks of multi-threaded processes are to be expected."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


START = """
    import multiprocessing, os, sys, time
    import numpy as np, hamlearn as hl

    def forked(work):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                answer = str(work())
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(write, answer.encode())
            os._exit(0)
        os.close(write)
        for _ in range(600):
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
            time.sleep(0.1)
        else:
            os.kill(pid, 9)
            return "HANGS"
        return os.read(read, 10000).decode()

    ising = hl.systems.Ising((3, 3))
    data = lambda: hl.simulate(ising, beta=0.3, draws=40, chains=2, seed=0)
    learn = lambda: hl.learn(data(), hl.models.Couplings(ising.lattice, fields=None), engine="laplace", check=False, seed=0)
"""


@forks
def test_a_fork_before_the_first_call_works():
    found = run(START + "    print(forked(lambda: float(data()['state'].mean())), float(data()['state'].mean()), sep='|')\n")
    child, parent = found.strip().split("|")
    assert child == parent


@forks
def test_a_fork_after_use_is_refused_at_once_by_every_verb():
    found = run(
        START
        + """
    post = learn()
    calls = {
        "simulate": data, "learn": learn, "predict": lambda: hl.predict(post, 0.3), "verdict": lambda: hl.verdict(post),
        "report": lambda: hl.report(post, "never.html"), "extrapolate": lambda: hl.extrapolate(post, 0.4),
        "members": lambda: hl.draw_systems(post, 2), "energy": lambda: hl.energy(post, np.ones((2, 3, 3))),
        "exact": lambda: hl.systems.exact.thermodynamics(ising, 0.3),
    }
    for name, call in calls.items():
        print(name, "|", forked(call))
    print("grandchild |", forked(lambda: forked(data)))
    print("read only |", forked(lambda: hl.microstates(np.ones((3, 4)), space="spins").sizes["draw"]))
    """
    )
    answers = dict(line.split(" | ") for line in found.strip().splitlines())
    assert answers.pop("read only") == "3"
    assert len(answers) == 10
    for name, answer in answers.items():
        assert answer.startswith("HamlearnError: this process was forked after hamlearn") and "get_context('spawn')" in answer, (
            name,
            answer,
        )


@forks
def test_a_pool_that_forks_gets_the_sentence_from_its_workers():
    found = run(
        START
        + """
    data()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        try:
            pool.apply_async(hl.simulate, (ising, 0.3), {"draws": 4}).get(60)
        except Exception as error:
            print(type(error).__name__, error)
    """
    )
    assert found.startswith("HamlearnError this process was forked")


def test_a_pool_that_spawns_works(tmp_path):
    """The way that the sentence recommends, with what its workers return equal to the parent's."""
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor
            import hamlearn as hl

            def work(seed):
                return hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=20, chains=2, seed=seed)["state"].values.tobytes()

            if __name__ == "__main__":
                here = work(1)
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    print(pool.submit(work, 1).result() == here)
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stdout == "True\n", done.stderr[-3000:]


def test_every_verb_asks_whether_it_may_run():
    free = {"HamlearnError", "microstates", "save", "load", "provenance"}  # files, arrays, attributes: no library of theirs has threads
    asked = {name: getattr(hl, name) for name in set(hl._WHERE) - free}
    asked |= {f"infer.{name}": getattr(infer, name) for name in infer.__all__ if callable(getattr(infer, name))}
    asked |= {f"diagnostics.{name}": getattr(diagnostics, name) for name in diagnostics.__all__ if callable(getattr(diagnostics, name))}
    missing = [
        name
        for name, one in asked.items()
        if not isinstance(one, type) and not hasattr(one, "__wrapped__") and name.split(".")[-1] not in free
    ]
    assert sorted(missing) == ["infer.identity_weights"]  # a formula


def test_a_verb_keeps_its_name_and_signature():
    @verb
    def add(a: int, *, b: int = 1) -> int:
        """The sum."""
        return a + b

    assert add(1) == 2 and add(1, b=3) == 4 and add.__name__ == "add" and add.__doc__ == "The sum."


@pytest.mark.parametrize("lock", [alone, filtering])
def test_one_thread_at_a_time_is_alone(lock):
    inside, most = [], []

    def enter():
        for _ in range(50):
            with lock(), lock():  # a thread may enter again
                inside.append(1)
                time.sleep(1e-5)  # whoever could come in now would
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 200 and max(most) == 1


def test_the_lock_is_free_after_an_error():
    with pytest.raises(ZeroDivisionError), alone():
        raise ZeroDivisionError
    entered = threading.Event()

    def enter():
        with alone():
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(10)
    assert entered.is_set()


@forks
def test_a_child_does_not_inherit_a_lock_that_nobody_will_release():
    """Another thread holds the lock while the process forks."""
    assert processes._Here.lock is not None
    found = run(
        START
        + """
    import threading
    from hamlearn.processes import alone, filtering
    held, release = threading.Event(), threading.Event()
    def hold():
        with alone(), filtering():
            held.set()
            release.wait()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    def enter():
        with alone(), filtering():
            return "entered"
    print(forked(enter))
    release.set()
    thread.join()
    """
    )
    assert found.strip() == "entered"


def test_other_threads_may_ask_for_tensors_while_torch_is_loaded():
    """As SciPy does, which asks every array; without hamlearn's help that is an AttributeError for a second."""
    code = """
        import sys, threading
        import hamlearn.processes  # as every verb does
        faults, done = [], threading.Event()
        def ask():
            while not done.is_set():
                if "torch" in sys.modules and not isinstance(getattr(sys.modules["torch"], "Tensor", None), type):
                    faults.append("no class")
        asking = threading.Thread(target=ask)
        asking.start()
        import torch
        done.set()
        asking.join()
        print(len(faults), torch.Tensor is type(torch.ones(1)), torch.Tensor.__module__)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "0 True torch\n"), done.stderr[-2000:] + done.stdout
