"""A command that is told to stop: real signals to real processes, at several moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.cli.work import Work

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
LONG = ("simulate", "ising", "--shape", "32x32", "--draws", "1500", "--sampler", "heat_bath", "--beta", "0.4")
# The loop's chunk is made small, so that a run is interrupted between chunks on any machine; results do not depend on where.
SCRIPT = """
import os, signal, sys
from hamlearn.systems.sampling import loop
from hamlearn import cli, interrupts, storage
{before}
sys.argv = ["hamlearn", *sys.argv[1:]]
cli.main()
"""


def started(folder: Path, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT.format(before=before), *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def ended(job: subprocess.Popen[str], limit: float = 120.0) -> tuple[int, str, str]:
    try:
        out, err = job.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        job.kill()
        raise
    assert "Traceback" not in err, err
    return job.returncode, out, err.splitlines()[-1] if err else ""


def when(condition, limit: float = 90.0) -> None:
    """Wait until something is so, however busy the machine is."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def test_a_run_into_a_folder_goes_on_from_what_lies_beside_it(tmp_path):
    before = "loop._WORK = 1 << 14; chunk, calls = loop._chunk, []\ndef stops(*arguments):\n    calls.append(1)\n"
    before += "    if len(calls) == 9: os.kill(os.getpid(), signal.SIGINT)\n    return chunk(*arguments)\nloop._chunk = stops"
    command = ("simulate", "ising", "--shape", "3x3", "--draws", "3000", "--chains", "2", "--sampler", "heat_bath", "-o", "run.zarr")
    code, _, last = ended(started(tmp_path, *command, before=before))
    (left,) = tmp_path.iterdir()
    assert code == 130 and left.name.endswith(".partial") and f"kept in {left.name}" in last and "run the same command again" in last
    code, out, _ = ended(started(tmp_path, *command))
    assert code == 0 and out.endswith("run.zarr\n") and [path.name for path in tmp_path.iterdir()] == ["run.zarr"]
    whole = hl.simulate(hl.systems.Ising((3, 3)), 0.4, 3000, 2, sampler="heat_bath")
    np.testing.assert_array_equal(hl.microstates(tmp_path / "run.zarr")["state"], whole["state"])


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_long_run_keeps_what_is_done_and_goes_on(number, word, tmp_path):
    checkpoint = tmp_path / "o.nc.checkpoint.npz"
    job = started(tmp_path, *LONG, "-o", "o.nc", before="loop._WORK = 1 << 19")
    when(checkpoint.exists)
    job.send_signal(number)
    if number == signal.SIGINT:
        job.send_signal(number)  # impatience: twice in a row is once
    code, out, line = ended(job)
    assert code == 128 + number and out == ""
    assert line.startswith("hamlearn: ") and word in line
    assert "what was done is kept in o.nc.checkpoint.npz: run the same command again to go on" in line
    assert [path.name for path in tmp_path.iterdir()] == ["o.nc.checkpoint.npz"]
    if number != signal.SIGINT:
        return
    code, _, _ = ended(started(tmp_path, *LONG, "-o", "o.nc", before="loop._WORK = 1 << 19"))
    assert code == 0 and [path.name for path in tmp_path.iterdir()] == ["o.nc"]  # the checkpoint went when the result was safe
    whole = hl.simulate(hl.systems.Ising((32, 32)), beta=0.4, draws=1500, sampler="heat_bath")
    np.testing.assert_array_equal(hl.microstates(tmp_path / "o.nc")["state"], whole["state"])


MOMENTS = {
    "while libraries are imported": "import threading; threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()",
    "where Python ignores exceptions": (
        "import gc\nrun = loop.run\ndef tell(*_):\n    gc.callbacks.remove(tell); signal.raise_signal(signal.SIGINT); list(range(9))\n"
        "def patched(*a, **k):\n    gc.callbacks.append(tell); gc.collect(); return run(*a, **k)\nloop.run = patched"
    ),
    "where a library makes something else of it": (
        "def fails(*a, **k):\n    try:\n        signal.raise_signal(signal.SIGINT)\n        list(range(9))\n    except KeyboardInterrupt:\n"
        "        raise RuntimeError('broken')\nloop.run = fails"
    ),
    "while compiled code is imported, where an exception would abort the process": (
        "from importlib.machinery import ExtensionFileLoader\nclass Loader(ExtensionFileLoader):\n    def exec_module(self, module):\n"
        "        signal.raise_signal(signal.SIGINT)\n        list(range(9))\n"
        "def loads(*a, **k):\n    try: Loader('x', 'x').exec_module(None)\n    finally: print('unwound', flush=True)\nloop.run = loads"
    ),
    # The main thread waits for a lock that it holds, in C and without Python's lock, as compiled code would work.
    "in compiled code that hears nothing": (
        "import ctypes, threading\nfrom hamlearn.cli import signals\nsignals._DEAF_S = 0.3\ndef deaf(*a, **k):\n"
        "    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n    mutex = ctypes.create_string_buffer(64)\n"
        "    for _ in range(2): ctypes.CDLL(None).pthread_mutex_lock(mutex)\nloop.run = deaf"
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_sentence_is_said_and_true_at_bad_moments(moment, tmp_path):
    if "mutex" in MOMENTS[moment] and sys.platform != "linux":
        pytest.skip("a lock of zeros is Linux's")
    code, out, line = ended(started(tmp_path, *LONG, "-o", "o.nc", before=MOMENTS[moment]))
    assert code == 130 and out == "", line
    assert line in (
        "hamlearn: interrupted; nothing had been kept: the same command starts anew.",
        "hamlearn: interrupted; what was done is kept in o.nc.checkpoint.npz: run the same command again to go on.",
    )
    assert ("kept in" in line) == (tmp_path / "o.nc.checkpoint.npz").exists() and not (tmp_path / "o.nc").exists()


def test_a_result_that_is_being_written_is_finished(tmp_path):
    before = "whole = storage.write_dataset\ndef write(data, path):\n    os.kill(os.getpid(), signal.SIGINT); return whole(data, path)\n"
    short = ("simulate", "ising", "--shape", "3x3", "--draws", "20", "--sampler", "heat_bath", "-o", "o.nc")
    code, out, line = ended(started(tmp_path, *short, before=before + "storage.write_dataset = write"))
    assert (code, out) == (130, "") and line == "hamlearn: interrupted; the result had already been written to o.nc."
    assert [path.name for path in tmp_path.iterdir()] == ["o.nc"]
    assert hl.microstates(tmp_path / "o.nc")["state"].shape == (4, 20, 3, 3)


def test_a_signal_that_the_caller_ignores_stays_ignored(tmp_path):
    before = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nrun = loop.run\n"
    before += "def patched(*a, **k):\n    os.kill(os.getpid(), signal.SIGHUP); return run(*a, **k)\nloop.run = patched"
    short = ("simulate", "ising", "--shape", "3x3", "--draws", "20", "--sampler", "heat_bath", "-o", "o.nc")
    code, _, _ = ended(started(tmp_path, *short, before=before))
    assert code == 0 and (tmp_path / "o.nc").exists()


def test_what_a_command_says_of_its_work(tmp_path):
    class Kept:
        def __init__(self, at: str, there: bool) -> None:
            self.at, self.there = at, there

        def holds(self) -> bool:
            return self.there

    assert Work().sentence().startswith("nothing had been kept")
    assert "nothing had been kept" in Work(checkpoints=[Kept("a.npz", False)]).sentence()
    assert "kept in a.npz:" in Work(checkpoints=[Kept("a.npz", True), Kept("b.npz", False)]).sentence()
    assert "already been written to d.nc" in Work(checkpoints=[Kept("a.npz", True)], written=[Path("d.nc")]).sentence()
    assert "written so far: d.nc" in Work(written=[Path("d.nc")], wanted=4).sentence()


def test_in_python_an_interrupt_is_raised_after_the_checkpoint_is_saved(tmp_path, monkeypatch):
    from hamlearn.systems.sampling import loop

    monkeypatch.setattr(loop, "_WORK", 1 << 12)
    chunk, calls = loop._chunk, []

    def press(*arguments):
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return chunk(*arguments)

    options = {"beta": 0.4, "draws": 400, "sampler": "heat_bath", "checkpoint": tmp_path / "c.npz"}
    monkeypatch.setattr(loop, "_chunk", press)
    with pytest.raises(KeyboardInterrupt):
        hl.simulate(hl.systems.Ising((4, 4)), **options)
    before = len(calls)
    assert (tmp_path / "c.npz").exists()
    found = hl.simulate(hl.systems.Ising((4, 4)), **options)
    assert len(calls) > before
    assert found.identical(hl.simulate(hl.systems.Ising((4, 4)), **{**options, "checkpoint": None}))


def test_every_handler_is_back_though_the_first_one_that_is_raises_at_once(monkeypatch):
    from hamlearn import interrupts

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    mine = {number: lambda *_: None for number in numbers}
    real, raised = signal.signal, []

    def arrives(number, handler):
        result = real(number, handler)
        if handler is mine.get(number) and not raised:
            raised.append(number)
            raise KeyboardInterrupt
        return result

    before = {number: real(number, mine[number]) for number in numbers}
    try:
        monkeypatch.setattr(interrupts.signal, "signal", arrives)
        with pytest.raises(KeyboardInterrupt), interrupts.uninterrupted():
            pass
        assert raised and {number: signal.getsignal(number) for number in numbers} == mine
    finally:
        for number in numbers:
            real(number, before[number])
