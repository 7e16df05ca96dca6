"""A snapshot of the process-wide state that the library and its tests must leave alone."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import numpy as np

# Importing one of these may change filters, variables or random state (jax, torch, numpyro, scipy, zarr do).
# The test in which that happens first is not held to account for these fields; later tests are.
FOREIGN = (
    "arviz_base",
    "arviz_plots",
    "arviz_stats",
    "jax",
    "matplotlib",
    "numba",
    "numpyro",
    "pandas",
    "pyro",
    "scipy.stats",
    "sklearn",
    "sympy",
    "torch",
    "torch._inductor",  # torch's first optimiser imports it, and it names its cache in the environment
    "xarray",
    "zarr",
)
TOUCHED_BY_IMPORTS = ("NumPy's legacy random state", "warning filters", "os.environ")

# What a framework that is imported later starts from.
FRESH = {"torch's default dtype": "torch.float32", "Pyro's parameter store": ()}


def snapshot() -> dict[str, Any]:
    """The present state, by plain name; frameworks that are not imported are not imported for it."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "foreign": frozenset(name for name in FOREIGN if name in sys.modules),
        "NumPy's legacy random state": (kind, keys.tobytes(), position, has_gauss, gauss),
        "NumPy's error state": tuple(sorted(np.geterr().items())),
        "warning filters": tuple(warnings.filters),
        "os.environ": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
    }
    if torch := sys.modules.get("torch"):
        state["torch's default dtype"] = str(torch.get_default_dtype())
        state["torch's default random state"] = torch.get_rng_state().numpy().tobytes()
    if jax := sys.modules.get("jax"):
        state["JAX's x64 flag"] = bool(jax.config.jax_enable_x64)
    if pyro := sys.modules.get("pyro"):
        state["Pyro's parameter store"] = tuple(sorted(pyro.get_param_store().keys()))
    return state


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What changed between two snapshots, one line each."""
    excused = TOUCHED_BY_IMPORTS if after["foreign"] != before["foreign"] else ()
    fresh = {
        **FRESH,
        "JAX's x64 flag": os.environ.get("JAX_ENABLE_X64", "0").lower() in ("1", "true", "yes", "on"),
    }
    lines = []
    for name, value in after.items():
        if name == "foreign" or name in excused:
            continue
        expected = before.get(name, fresh.get(name, value))
        if value == expected:
            continue
        detail = ""
        if name == "os.environ":
            changed = sorted(k for k in {*expected, *value} if expected.get(k) != value.get(k))
            detail = f": {', '.join(changed)}"
        elif "random" not in name and "filters" not in name:
            detail = f": {expected} became {value}"
        lines.append(name + detail)
    return lines
