"""What the coupling benchmarks share: exact samples as microstates, a peer, timing, and tables on disk."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.data import build
from hamlearn.systems import exact

RESULTS = Path(__file__).parent / "results"


def microstates(system: Any, beta: float, draws: int, seed: int) -> xr.Dataset:
    """Independent exact samples, declared as such."""
    states = exact.sample(system, beta, draws, seed)
    return build(states[None], beta=beta, space=system.space, lattice=system.lattice, attrs={"independent": 1})


def timed(function: Callable[..., Any], *arguments: Any, **settings: Any) -> tuple[Any, float]:
    """Result of a call, and its wall seconds."""
    started = time.perf_counter()
    result = function(*arguments, **settings)
    return result, time.perf_counter() - started


def nodewise(spins: np.ndarray, penalty: float | None = None, *, fields: bool = True) -> np.ndarray:
    """All-pairs couplings by scikit-learn's logistic regression of every spin on the others, both directions averaged.

    `penalty` is the L1 weight of the mean log loss (liblinear); None is no penalty (lbfgs). The result is symmetric.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise SystemExit("this part compares with scikit-learn: pip install scikit-learn") from None

    n = spins.shape[1]
    matrix = np.zeros((n, n))
    for site in range(n):
        if penalty is None:
            fit = LogisticRegression(C=np.inf, tol=1e-6, fit_intercept=fields)
        else:
            fit = LogisticRegression(C=1 / (penalty * len(spins)), l1_ratio=1.0, solver="liblinear", tol=1e-5, fit_intercept=fields)
        others = np.delete(np.arange(n), site)
        matrix[site, others] = fit.fit(spins[:, others], spins[:, site]).coef_[0] / 2
    return (matrix + matrix.T) / 2


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def markdown(rows: list[dict[str, Any]]) -> str:
    head = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for row in rows:
        lines.append("| " + " | ".join(_cell(row.get(key, "–")) for key in head) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def parser(description: str | None) -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--quick", action="store_true", help="a few data sets only; writes nothing")
    return result


def write(
    name: str, title: str, notes: list[str], tables: dict[str, list[dict[str, Any]]], settings: dict[str, Any], *, save: bool
) -> None:
    """Print the tables and (unless quick) write results/<name>.json and .md: no dates, no paths."""
    packages = ("hamlearn", "jax", "numpyro", "numba", "numpy", "scipy", "scikit-learn")
    versions = {package: _version(package) for package in packages}
    text = [f"# {title}", *notes]
    for heading, rows in tables.items():
        text += [f"## {heading}", markdown(rows)]
    text.append("Settings: " + json.dumps(settings) + "\n\nVersions: " + ", ".join(f"{key} {value}" for key, value in versions.items()))
    document = "\n\n".join(text) + "\n"
    print("\n" + document, flush=True)
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(document)
        record = {"settings": settings, "versions": versions, "tables": tables}
        (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
