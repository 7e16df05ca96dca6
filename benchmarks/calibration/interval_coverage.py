"""Do nominal 90 % intervals of couplings cover 90 %? N = 9 SK, 36 couplings, fixed truths, flat priors.

    python benchmarks/calibration/interval_coverage.py [--quick] [--nuts 0]

Every data set has a true glass out of ten (J ~ N(0, 1/9), h ~ N(0, 0.3²)) and microstates drawn at β = 0.5 or 1.0:

* ``independent``: exact samples, M = 2000 (β = 0.5) or 5000 (β = 1.0);
* ``sweeps``: 4 chains of heat bath, one sweep between rows (``thin=1``), as many rows;
* ``slow``: 4 chains of random-scan heat bath, one row every two single-spin updates, ten times as many rows.

Methods: the exact likelihood, the pseudo-likelihood and RISE as hamlearn calibrates them; ``naive`` is
``calibrate=False`` (curvature only: what peers ship); ``iid`` declares the rows of a chain independent (what peers
do with chains) and calibrates as if they were. Engine ``mle`` on all, ``laplace`` and ``nuts`` (almost flat prior)
on some.

Coverage is counted per data set (fraction of its 36 couplings whose equal-tailed interval holds the truth); its error
is the standard deviation between data sets over √n. ``width`` is the mean interval width relative to that of the
calibrated exact likelihood on the same data sets; ``spread`` is the root mean square of (estimate − truth)/sd over
couplings and data sets (1: right). τ of rows is measured on all pair products, largest over pairs, mean over data
sets; ``tau used`` is the mean τ that the calibration worked with.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numba
import numpy as np

import hamlearn as hl
from hamlearn.data import build
from hamlearn.infer import NUTS, learn
from hamlearn.statistics import integrated_autocorrelation_time

sys.path.insert(0, str(Path(__file__).parent))
from common import cache_compilation, table, versions, write

N, TRUTHS, LEVEL = 9, 10, 0.9
ROWS = {0.5: 2000, 1.0: 5000}
MODEL = hl.models.Couplings(None)
FLAT = hl.models.Couplings(None, prior=hl.models.Normal(10.0))
# name: (likelihood, engine, calibrate, rows declared independent)
METHODS = {
    "exact": ("exact", "mle", True, False),
    "pseudo": ("pseudo", "mle", True, False),
    "RISE": ("rise", "mle", True, False),
    "pseudo, laplace": ("pseudo", "laplace", True, False),
}
NAIVE = {
    "pseudo, naive": ("pseudo", "mle", False, True),
    "RISE, naive": ("rise", "mle", False, True),
}
IID = {
    "exact, iid": ("exact", "mle", True, True),
    "pseudo, iid sandwich": ("pseudo", "mle", True, True),
    "pseudo, iid naive": ("pseudo", "mle", False, True),
}


def truth(index: int) -> hl.systems.Pairwise:
    """One of the ten glasses."""
    h = np.random.default_rng(1000 + index).normal(size=N) * 0.3
    return hl.systems.SherringtonKirkpatrick(N, seed=index, h=h)


@numba.njit(cache=True)
def _random_scan(coupling, field, beta, rows, every, burn_in, seed):  # type: ignore[no-untyped-def]
    np.random.seed(seed)  # noqa: NPY002 (numba's own generator)
    n = len(field)
    spins = np.where(np.random.random(n) < 0.5, -1.0, 1.0)  # noqa: NPY002
    kept = np.zeros((rows, n), np.int8)
    for row in range(-burn_in, rows):
        for _ in range(every):
            site = np.random.randint(n)  # noqa: NPY002
            local = field[site]
            for other in range(n):
                local += coupling[site, other] * spins[other]
            spins[site] = 1.0 if np.random.random() < 1.0 / (1.0 + np.exp(-2.0 * beta * local)) else -1.0  # noqa: NPY002
        if row >= 0:
            for site in range(n):
                kept[row, site] = spins[site]
    return kept


def drawn(kind: str, beta: float, index: int):
    """Microstates of data set `index`."""
    system, seed = truth(index % TRUTHS), 7 * index + 1
    rows = ROWS[beta]
    if kind == "independent":
        return hl.simulate(system, beta=beta, draws=rows, chains=1, seed=seed, sampler="exact")
    if kind == "sweeps":
        return hl.simulate(system, beta=beta, draws=rows // 4, chains=4, seed=seed, sampler="heat_bath", thin=1, burn_in=300)
    coupling = np.zeros((N, N))
    i, j = system.lattice.bonds.T
    coupling[i, j] = coupling[j, i] = system.J
    states = np.stack([_random_scan(coupling, system.h, beta, 10 * rows // 4, 2, 2000, 10 * seed + chain) for chain in range(4)])
    return build(states, beta=beta, space=system.space, lattice=system.lattice)


def measured_tau(data) -> float:
    """Largest τ over pair products, in rows."""
    spins = data["state"].values.astype(float)
    i, j = np.triu_indices(N, 1)
    return float(np.max(integrated_autocorrelation_time(spins[..., i] * spins[..., j])))


def one(data, true_j: np.ndarray, likelihood: str, engine, calibrate: bool, iid: bool, seed: int) -> tuple[float, float, float, float]:
    """Coverage, mean width, mean squared standardised error and τ used, of one data set."""
    if iid and not data.attrs.get("independent"):
        data = data.assign_attrs(independent=1)
    model = MODEL if engine == "mle" else FLAT
    post = learn(data, model, likelihood=likelihood, engine=engine, calibrate=calibrate, seed=seed)
    draws = post["posterior"]["J"].values.reshape(-1, len(true_j))
    lower, upper = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    inside = (lower <= true_j) & (true_j <= upper)
    z = (draws.mean(0) - true_j) / draws.std(0)
    record = hl.infer.provenance(post).calibration
    return float(inside.mean()), float((upper - lower).mean()), float((z**2).mean()), record.tau


def scenario(kind: str, beta: float, n: int, nuts: int) -> list[dict]:
    """All methods on the same `n` data sets."""
    methods = {**METHODS, **(NAIVE if kind == "independent" else IID)}
    results: dict[str, list] = {name: [] for name in methods}
    if nuts:
        settings = NUTS(draws=500, chains=2, warmup=200)
        methods |= {"exact, nuts": ("exact", settings, True, False)}
        results |= {"exact, nuts": []}
    taus = []
    for index in range(n):
        data = drawn(kind, beta, index)
        if kind != "independent":
            taus.append(measured_tau(data))
        true_j = truth(index % TRUTHS).J
        for name, (likelihood, engine, calibrate, iid) in methods.items():
            if "nuts" in name and index >= nuts:
                continue
            results[name].append(one(data, true_j, likelihood, engine, calibrate, iid, index))
    exact_width = np.array([row[1] for row in results["exact"]])
    lines = []
    for name, rows in results.items():
        values = np.array(rows)
        lines.append(
            {
                "draws": kind,
                "beta": beta,
                "rows": len(drawn(kind, beta, 0)["state"].values.reshape(-1, N)),
                "tau": float(np.mean(taus)) if taus else 1.0,
                "method": name,
                "data_sets": len(values),
                "coverage": float(values[:, 0].mean()),
                "error": float(values[:, 0].std(ddof=1) / np.sqrt(len(values))),
                "width": float((values[:, 1] / exact_width[: len(values)]).mean()),
                "spread": float(np.sqrt(values[:, 2].mean())),
                "tau_used": float(values[:, 3].mean()),
            }
        )
        line = lines[-1]
        print(f"{kind} {beta} {name}: {line['coverage']:.3f} ± {line['error']:.3f} width {line['width']:.2f}", flush=True)
    return lines


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="12 data sets a scenario, no files")
    parser.add_argument("--n", type=int, default=120, help="data sets of independent draws and of sweeps")
    parser.add_argument("--slow", type=int, default=60, help="data sets of slow chains")
    parser.add_argument("--nuts", type=int, default=0, help="data sets on which NUTS runs too (independent draws, β = 0.5)")
    arguments = parser.parse_args()
    cache_compilation()
    started, lines = time.perf_counter(), []
    for kind in ("independent", "sweeps", "slow"):
        for beta in (0.5, 1.0):
            n = 12 if arguments.quick else (arguments.slow if kind == "slow" else arguments.n)
            lines += scenario(kind, beta, n, arguments.nuts if (kind, beta) == ("independent", 0.5) else 0)
    columns = ["draws", "β", "rows", "τ", "method", "data sets", "coverage of 90 %", "width / exact", "spread", "τ used"]
    rows = [
        [
            line["draws"],
            f"{line['beta']}",
            line["rows"],
            f"{line['tau']:.1f}",
            line["method"],
            line["data_sets"],
            f"{100 * line['coverage']:.1f} ± {100 * line['error']:.1f} %",
            f"{line['width']:.3f}",
            f"{line['spread']:.2f}",
            f"{line['tau_used']:.1f}",
        ]
        for line in lines
    ]
    text = table(columns, rows)
    print(text)
    if not arguments.quick:
        settings = {"N": N, "truths": TRUTHS, "level": LEVEL, "rows": {str(key): value for key, value in ROWS.items()}}
        settings |= {"n": arguments.n, "slow": arguments.slow, "nuts": arguments.nuts, "seeds": "data set k: truth k mod 10, seed 7k+1"}
        write(Path(__file__), __doc__, text, {"settings": settings, "versions": versions(), "results": lines}, name="coverage")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
