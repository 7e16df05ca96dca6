"""Do fits give the widths, the power and the best temperature that were planned for them?

    python benchmarks/calibration/plans.py [--n 60] [--only "glass 4×4" pilot]

Independent microstates of known systems, learned with everything on "auto" but the engine, ``laplace``. ``width`` is the median over
parameters of planned over seen widths of 90 % intervals, the seen ones averaged over 20 data sets, ``worst`` the parameter furthest from
one. ``power``: the share of 90 % intervals that leave out zero, planned for couplings of their true size and seen, over all couplings of
that size and `n` data sets. ``best``: the inverse temperature, of five, at which the widest interval of a coupling is narrowest, as
planned (and those within a tenth of its rows), and as six fits at each give it.

``glass`` is a ±J glass, of which an eighth of the couplings are 0.2, with fields unknown, 4 × 4 (exact likelihood) and 8 × 8 (pseudo-
likelihood), ``SK`` all pairs of 12 spins with J ~ N(0, 1/12), ``Potts`` three states on 3 × 3, ``XY`` angles on 4 × 4, ``tied`` one
coupling for all bonds of an 8 × 8 ferromagnet. The row ``pilot`` plans the 8 × 8 glass from a posterior of 2000 microstates, not from the
truth. Fits of ``tied`` take the exact likelihood, which the engine ``laplace`` affords and the one that the plan asks about (auto) does
not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl
from hamlearn.infer import learn

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

Couplings, lattice = hl.models.Couplings, hl.systems.lattice
PILOT = "pilot"
FITS, SCAN = 20, 6  # data sets for widths, and at every temperature of a scan


@dataclass
class Case:
    """A system, a model, the number of microstates, β, fewer of them for the power, and couplings to be found."""

    system: Callable[[], Any]
    model: Callable[[Any], Any]
    rows: int
    beta: float
    few: int
    effect: float
    betas: tuple[float, ...]


def glass(extent: int) -> Any:
    """A ±J glass; an eighth of its couplings are 0.2."""
    where = lattice.hypercubic((extent, extent))
    J = np.random.default_rng(3).choice([-1.0, 1.0], where.n_bonds)
    J[::8] = 0.2
    return hl.systems.Pairwise(where, J)


def sk() -> Any:
    """All pairs of twelve spins; six of the couplings are 0.25."""
    J = np.random.default_rng(3).normal(size=66) / np.sqrt(12)
    J[:6] = 0.25
    return hl.systems.Pairwise(lattice.complete(12), J, np.zeros(12))


SCANNED = (0.2, 0.35, 0.5, 0.7, 1.0)
CASES = {
    "glass 4×4": Case(lambda: glass(4), lambda s: Couplings(s.lattice), 1000, 0.5, 500, 0.2, SCANNED),
    "glass 8×8": Case(lambda: glass(8), lambda s: Couplings(s.lattice), 2000, 0.5, 500, 0.2, SCANNED),
    "SK 12": Case(sk, lambda s: Couplings(s.lattice), 1000, 1.0, 200, 0.25, (0.4, 0.7, 1.0, 1.5, 2.2)),
    "Potts 3×3": Case(
        lambda: hl.systems.Potts((3, 3), 3, J=1.0),
        lambda s: Couplings(s.lattice, interaction="potts", fields=None),
        1000,
        0.6,
        60,
        1.0,
        (0.3, 0.5, 0.7, 1.0, 1.4),
    ),
    "XY 4×4": Case(
        lambda: hl.systems.XY((4, 4), J=1.0), lambda s: Couplings(s.lattice, fields=None), 1000, 0.6, 30, 1.0, (0.3, 0.5, 0.7, 1.0, 1.4)
    ),
    "tied 8×8": Case(
        lambda: hl.systems.Ising((8, 8), J=0.05),
        lambda s: Couplings(s.lattice, tie="uniform", fields=None),
        1000,
        1.0,
        25,
        0.05,
        (2.0, 4.0, 7.0, 9.0, 12.0),
    ),
}


def widths(case: Case, rows: int, beta: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean widths of 90 % intervals of parameters, their standard errors, and the share of intervals that leave out zero."""
    system, seen, out = case.system(), [], []
    for index in range(n):
        post = learn(drawn(system, beta, rows, seed + index), case.model(system), engine="laplace", seed=index)
        theta = np.concatenate([_free(post, name) for name in ("J", "h") if name in post["posterior"]], -1)
        low, high = np.quantile(theta, [0.05, 0.95], axis=0)
        seen.append(high - low)
        out.append((low > 0) | (high < 0))
    return np.mean(seen, 0), np.std(seen, 0, ddof=1) / np.sqrt(n), np.mean(out, 0)


def drawn(system: Any, beta: float, rows: int, seed: int) -> Any:
    """Independent microstates, or of angles draws that lie 20 sweeps apart, which are taken for independent."""
    if system.space.q:
        return hl.simulate(system, beta, draws=rows, chains=1, seed=seed, sampler="exact", progress=False)
    chains = min(50, rows)
    return hl.simulate(system, beta, draws=rows // chains, chains=chains, seed=seed, burn_in=200, thin=20, progress=False).assign_attrs(
        independent=1
    )


def _free(post: Any, name: str) -> np.ndarray:
    values = post["posterior"][name].values.reshape(-1, post["posterior"][name].shape[-1])
    return values[:, :1] if np.ptp(values, axis=1).max() == 0 else values


def one(name: str, case: Case, n: int) -> dict[str, Any]:
    """A row of the table."""
    started, system = time.process_time(), case.system()
    model = case.model(system)
    planned = hl.plan(system, model, rows=[case.few, case.rows], beta=case.beta, effect=case.effect).to_dataset()
    cpu = time.process_time() - started
    seen, error, _ = widths(case, case.rows, case.beta, FITS, 100)
    ratio = planned["width"].sel(rows=case.rows, beta=case.beta).values / seen
    _, _, share = widths(case, case.few, case.beta, n, 5000)
    strength = planned["strength"].values
    sized = strength.copy()
    truth = np.abs(np.broadcast_to(system.J, strength.sum()) if strength.sum() > 1 else np.full(1, case.effect))
    sized[strength] = np.isclose(truth, case.effect)
    scan = hl.plan(system, model, rows=case.rows, beta=case.betas)
    fits = [widths(case, case.rows, beta, SCAN, 9000)[0][strength].max() for beta in case.betas]
    return {
        "case": name,
        "rows": case.rows,
        "beta": case.beta,
        "likelihood": planned.attrs["likelihood"],
        "ratio": float(np.median(ratio)),
        "worst": float(ratio[np.argmax(np.abs(np.log(ratio)))]),
        "error": float(np.median(error / seen)),
        "few": case.few,
        "power": float(planned["power"].sel(rows=case.few, beta=case.beta).values[sized].mean()),
        "seen": float(share[sized].mean()),
        "seen_error": float(np.sqrt(share[sized].mean() * (1 - share[sized].mean()) / n / max(sized.sum() / 4, 1))),
        "best": scan.beta,
        "good": list(scan.good),
        "best_seen": case.betas[int(np.argmin(fits))],
        "scan": [float(one) for one in fits],
        "cpu": cpu,
    }


def pilot() -> dict[str, Any]:
    """The 8 × 8 glass planned from a posterior."""
    case = CASES["glass 8×8"]
    system = case.system()
    post = learn(drawn(system, case.beta, 2000, 77), case.model(system), seed=0)
    started = time.process_time()
    planned = hl.plan(post, rows=[case.rows], beta=case.beta).to_dataset()
    cpu = time.process_time() - started
    seen, error, _ = widths(case, case.rows, case.beta, FITS, 100)
    ratio = planned["width"].sel(rows=case.rows, beta=case.beta).values / seen
    return {
        "case": PILOT,
        "rows": case.rows,
        "beta": case.beta,
        "likelihood": planned.attrs["likelihood"],
        "ratio": float(np.median(ratio)),
        "worst": float(ratio[np.argmax(np.abs(np.log(ratio)))]),
        "error": float(np.median(error / seen)),
        "cpu": cpu,
    }


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=60, help="data sets for the power")
    parser.add_argument("--only", nargs="+", default=[*CASES, PILOT], help="cases to measure again; the others stay in the record")
    arguments = parser.parse_args()
    kept = Path(__file__).resolve().parent / "results" / "plans.json"
    found = {line["case"]: line for line in json.loads(kept.read_text())["results"]} if kept.exists() else {}
    for name in arguments.only:
        found[name] = pilot() if name == PILOT else one(name, CASES[name], arguments.n)
        print(found[name], flush=True)
    lines = [found[name] for name in (*CASES, PILOT) if name in found]
    columns = ["case", "likelihood", "β", "rows", "width", "worst", "rows", "power planned", "seen", "best β (good)", "in fits", "CPU s"]
    cells = []
    for line in lines:
        power = ["", "", "", "", ""]
        if "power" in line:
            good = ", ".join(f"{one:g}" for one in line["good"])
            power = [line["few"], f"{line['power']:.2f}", f"{line['seen']:.2f}", f"{line['best']:g} ({good})", f"{line['best_seen']:g}"]
        ratios = [f"{line['ratio']:.3f} ± {line['error']:.3f}", f"{line['worst']:.3f}"]
        cells.append([line["case"], line["likelihood"], f"{line['beta']:g}", line["rows"], *ratios, *power, f"{line['cpu']:.1f}"])
    record = {"settings": {"data sets": arguments.n}, "versions": versions(), "results": lines}
    write(Path(__file__), __doc__, table(columns, cells), record)


if __name__ == "__main__":
    main()
