"""Normalising flows trained on known actions of a field: φ⁴ in two dimensions at L = 6 and 12, and the free field as a check.

    OMP_NUM_THREADS=1 python benchmarks/actions/flow.py run --row 0     (rows 0 to 3; results accumulate in results/flow.json)
    python benchmarks/actions/flow.py run --profile gpu --row 0         (rows 0 and 1: L = 20 and 32, larger settings of the same code)
    python benchmarks/actions/flow.py table                             (writes results/flow.md)

No data are used in training. The free field's log Z is known in closed form. φ⁴'s is not: there the estimate from draws of
the flow (unbiased for Z) is set beside one from Monte Carlo draws of the target, ln Z = −ln E_p[1/w], which would differ if
the flow left out a part of the field's states.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl
from hamlearn.infer.families.autoregressive import evaluators
from hamlearn.systems import exact

HERE = Path(__file__).parent / "results"
LAMBDA = {6: 1.744, 12: 1.319, 20: 1.202, 32: 1.143}  # at m² = −4: L/ξ ≈ 4


@dataclass(frozen=True)
class Row:
    """A field, a flow, and how long it is trained."""

    L: int
    model: hl.models.Flow
    seconds: float
    batch: int = 200
    rate: float = 5e-3
    draws: int = 10_000  # of the flow, and of the target
    free: bool = False

    @property
    def system(self) -> hl.systems.ScalarField:
        """The field's action."""
        return hl.systems.ScalarField((self.L, self.L), m2=0.5 if self.free else -4.0, lam=0.0 if self.free else LAMBDA[self.L])


ROWS = {
    "cpu": [
        Row(6, hl.models.Flow("affine", layers=4, hidden=32), 25.0, free=True),
        Row(6, hl.models.Flow("spline", layers=4, hidden=64, symmetry="z2", bound=4.0), 60.0),
        Row(6, hl.models.Flow("continuous"), 60.0, batch=100, rate=0.1),
        Row(12, hl.models.Flow("continuous"), 420.0, batch=50, rate=0.1, draws=2000),
    ],
    "gpu": [
        Row(20, hl.models.Flow("continuous", layers=20, hidden=(32, 8)), 4 * 3600.0, batch=256, rate=0.05),
        Row(32, hl.models.Flow("continuous", layers=25, hidden=(32, 8)), 12 * 3600.0, batch=256, rate=0.05),
    ],
}
HEAD = """# Flows trained on an action

Published: a continuous flow reaches an effective share of draws (ESS) of 0.904 at L = 32 on a GPU (λ = 1.143, L/ξ ≈ 4 as in all
φ⁴ rows). S = Σ [½ Σ_μ (φ_{x+μ} − φ_x)² + ½ m² φ² + λ φ⁴], m² = −4, periodic, β = 1, log Z with the plain measure Π dφ; the free field
has m² = 0.5. One core of a shared machine; training is cut by the clock, so a repetition differs in the last digits. Error bars
are one standard error; the gap is that of the variational F to F. "From the target": 4 chains of Monte Carlo, as many draws in all as of
the flow. Integration: mean change of ln q with twice as many Runge–Kutta steps. Rows that were not run need a larger machine: same
code, larger settings, `--profile gpu`.

"""
COLUMNS = (
    "field, flow, draws, log Z exact, log Z ours, F = −log Z per site, ESS, log Z from the target, ESS there, gap (nats), "
    "integration (nats), batch × steps, seconds"
).split(", ")
HEAD += "| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|\n"


def run(row: Row) -> dict[str, Any]:
    """Train, and judge by fresh draws of the flow and of the target."""
    system = row.system
    settings = hl.infer.Variational(steps=1_000_000, batch=row.batch, learning_rate=row.rate, seconds=row.seconds, threads=1)
    started = time.perf_counter()
    post = hl.approximate(system, 1.0, row.model, engine=settings, seed=1)
    spent = time.perf_counter() - started
    states = hl.simulate(system, beta=1.0, draws=row.draws // 4, chains=4, seed=2, progress=False)
    found = hl.estimate(post, system, n=row.draws, states=states, seed=3).isel(member=0)
    value = {str(key): float(found[key]) for key in found.data_vars}
    value |= {"seconds": spent, "steps": hl.infer.posteriors.provenance_of(post).training["epochs"][0], "integration": _integration(post)}
    value["exact"] = float(exact.log_partition(system, 1.0)) if row.free else None
    return value


def _integration(post: Any) -> float | None:
    """Mean change of ln q where a continuous flow is followed with twice as many steps."""
    (one,) = evaluators(post)
    if one.model.transform != "continuous":
        return None
    drawn = one.sample(200, seed=9)
    coarse = one.log_prob(drawn)
    one.double.steps *= 2
    fine = one.double.evaluate(one._tensor(drawn.reshape(len(drawn), -1), one.double.dtype))
    return float(np.abs(fine - coarse).mean())


def line(row: Row, value: dict[str, Any] | None) -> str:
    """One line of the table."""
    field = f"free, L = {row.L}" if row.free else f"φ⁴, λ = {LAMBDA[row.L]:g}, L = {row.L}"
    if value is None:
        return "| " + " | ".join([field, f"`{row.model!r}`", *["not run"] * 11]) + " |"
    pair = lambda name, digits, scale=1.0: f"{scale * value[name]:.{digits}f} ± {abs(scale) * value[name + '_error']:.{digits}f}"
    shown = [
        field,
        f"`{row.model!r}`",
        f"{row.draws}",
        "unknown" if value["exact"] is None else f"{value['exact']:.4f}",
        pair("log_partition", 4),
        pair("log_partition", 6, -1 / row.L**2),
        pair("ess_q", 3),
        pair("log_partition_p", 4),
        pair("ess_p", 3),
        f"{value['free_energy'] + value['log_partition']:.4f}",
        "–" if value["integration"] is None else f"{value['integration']:.1e}",
        f"{row.batch} × {value['steps']}",
        f"{value['seconds']:.0f}",
    ]
    return "| " + " | ".join(shown) + " |"


def main() -> None:
    """Run one row, or write the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--profile", choices=list(ROWS), default="cpu")
    parser.add_argument("--row", type=int, default=0)
    asked = parser.parse_args()
    file = HERE / "flow.json"
    if asked.what == "run":
        found = run(ROWS[asked.profile][asked.row])
        print(json.dumps(found), flush=True)
        known = json.loads(file.read_text()) if file.exists() else {}
        known[f"{asked.profile} {asked.row}"] = {"model": repr(ROWS[asked.profile][asked.row].model), **found}
        file.write_text(json.dumps(known, indent=1) + "\n")
    known = json.loads(file.read_text()) if file.exists() else {}
    lines = [line(row, known.get(f"{profile} {index}")) for profile, rows in ROWS.items() for index, row in enumerate(rows)]
    (HERE / "flow.md").write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
