"""The suite's own guards can fail: the false-alarm budget and the watch over global state."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

import global_state
import statistics_budget
from statistics_budget import FALSE_ALARM, N_STOCHASTIC_TESTS, assert_within, z_limit


@pytest.fixture(autouse=True)
def _free_of_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_budget, "_spent", 0)  # these tests are deterministic


def test_the_whole_suite_stays_within_its_budget():
    # P(|z| > limit) from the complementary error function, which shares no code with scipy.stats
    from math import erfc, sqrt

    per_assertion = erfc(z_limit() / sqrt(2))
    assert N_STOCHASTIC_TESTS * per_assertion == pytest.approx(FALSE_ALARM, rel=1e-9)
    assert erfc(z_limit(50) / sqrt(2)) * 50 == pytest.approx(per_assertion, rel=1e-9)


def test_assert_within_separates_agreement_from_bias():
    limit = z_limit(3)
    assert_within([1.0, 2.0, 3.0 + 0.99 * limit], [1.0, 2.0, 3.0], 1.0)
    with pytest.raises(AssertionError, match=r"1 of 3 values .*\n.*index \(2,\).*z = \+"):
        assert_within([1.0, 2.0, 3.0 + 1.01 * limit], [1.0, 2.0, 3.0], 1.0)
    assert statistics_budget.spent() == 2


@pytest.mark.parametrize(
    ("estimate", "error", "message"),
    [
        (np.nan, 1.0, "z = "),
        (0.0, 0.0, "finite and positive"),
        (0.0, np.nan, "finite and positive"),
        ([], 1.0, "could not fail"),
    ],
)
def test_assert_within_refuses_what_would_always_pass(estimate, error, message):
    with pytest.raises(AssertionError, match=message):
        assert_within(estimate, 0.0, error)


def test_own_p_values_draw_on_the_same_budget():
    assert statistics_budget.spend(2) == pytest.approx(2 * FALSE_ALARM / N_STOCHASTIC_TESTS)
    assert statistics_budget.spent() == 2


def test_global_state_changes_are_seen_and_named():
    before = global_state.snapshot()
    assert global_state.differences(before, global_state.snapshot()) == []
    legacy = np.random.get_state()  # noqa: NPY002
    with warnings.catch_warnings(), np.errstate(divide="raise"):
        np.random.seed(0)  # noqa: NPY002
        warnings.simplefilter("ignore")
        os.environ["HAMLEARN_PLANTED"] = "1"
        try:
            changed = global_state.differences(before, global_state.snapshot())
        finally:
            del os.environ["HAMLEARN_PLANTED"]
            np.random.set_state(legacy)  # noqa: NPY002
    assert [line.split(":")[0] for line in changed] == [
        "NumPy's legacy random state",
        "NumPy's error state",
        "warning filters",
        "os.environ",
    ]
    assert changed[-1].endswith("HAMLEARN_PLANTED")


def test_global_state_of_the_frameworks_is_seen():
    # In a process of its own: the leaks are planted, and only here may they happen.
    code = """
        import global_state
        import jax, torch, pyro
        before = global_state.snapshot()
        torch.set_default_dtype(torch.float64)
        torch.rand(1)
        jax.config.update("jax_enable_x64", True)
        pyro.param("leak", torch.zeros(1))
        print("; ".join(global_state.differences(before, global_state.snapshot())))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == (
        "torch's default dtype: torch.float32 became torch.float64; torch's default random state; "
        "JAX's x64 flag: False became True; Pyro's parameter store: () became ('leak',)"
    )
