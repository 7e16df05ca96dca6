"""Strictness for the whole suite: global state is left alone, the false-alarm budget is not overdrawn."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Two worker processes share two cores. Torch's threads wait for each other by spinning: with as many in every process as there are
# cores, beside anything else, small networks took ten times as long. Workers and commands that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

import global_state
import statistics_budget

for _name, _usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    # Started in the background, or by nohup, a process and all that it starts ignore these, and interrupts could not be tested.
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), _usual)


@pytest.fixture(autouse=True)
def _global_state_is_left_alone() -> Iterator[None]:
    before = global_state.snapshot()
    yield
    changed = global_state.differences(before, global_state.snapshot())
    if changed:
        pytest.fail(
            "global state was left changed (the library must not touch it, a test must restore it):\n  " + "\n  ".join(changed),
            pytrace=False,
        )


@pytest.hookimpl(trylast=True)  # of those that were asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests start first: a worker that started one last would be waited for."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


_MAPS = 30_000  # of the 65 530 that Linux grants a process; doctests, which end without this, come last
_ended = itertools.count(1)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Compiled code is given back before the process runs out of memory maps: XLA takes about six a function, and crashes without."""
    maps = Path("/proc/self/maps")
    if next(_ended) % 20 == 0 and "jax" in sys.modules and maps.exists() and maps.read_bytes().count(b"\n") > _MAPS:
        sys.modules["jax"].clear_caches()


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data sets, named by HAMLEARN_DATA; without it the test is skipped."""
    folder = os.environ.get("HAMLEARN_DATA")
    if not folder:
        pytest.skip("HAMLEARN_DATA is unset: tests on real data need the folder that docs/tasks/index.md describes")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"HAMLEARN_DATA={folder!r} is not a folder", pytrace=False)
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """What a test printed may hold half characters (names of files that are no UTF-8), which no worker process could send."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


_elsewhere = 0  # shares that worker processes used


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker process used to this one's account."""
    global _elsewhere
    _elsewhere += int(getattr(node, "workeroutput", {}).get("spent", 0))


def _spent() -> int:
    return statistics_budget.spent() + _elsewhere


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much of the false-alarm budget this run used."""
    terminalreporter.write_line(f"stochastic assertions: {_spent()} of a budget of {statistics_budget.N_STOCHASTIC_TESTS}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that made more stochastic assertions than the budget allows for."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["spent"] = statistics_budget.spent()
        return
    spent, shares = _spent(), statistics_budget.N_STOCHASTIC_TESTS
    if spent > shares and exitstatus == pytest.ExitCode.OK:
        print(f"\n{spent} stochastic assertions exceed the budget of {shares}: raise N_STOCHASTIC_TESTS in tests/statistics_budget.py")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
