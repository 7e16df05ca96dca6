"""How often the predictive check and the verdict object: to right models (false alarms) and to planted defects (power).

    python benchmarks/verdict.py --n 200 --power 40
    python benchmarks/verdict.py --planted 60

writes ``benchmarks/results/verdict.md`` and ``verdict.json``. Every data set has its own truth (new couplings) and is
drawn exactly unless the case says otherwise. An objection is an overall p-value below 1 % (Holm over all statistics).
The second command measures the score tests by themselves on the defects of `planted.py`, on clean data, and the share of
clean data that the whole verdict believes, for every family that learns in seconds: ``benchmarks/results/planted.md``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import planted
import xarray as xr

import hamlearn as hl
from hamlearn.data import build
from hamlearn.diagnostics import check, diagnose, predictive_test, scores, verdict
from hamlearn.infer import observations
from hamlearn.systems import SPINS, exact, lattice

Case = Callable[[int], tuple[list[xr.Dataset], hl.models.Couplings]]
COUPLINGS = hl.models.Couplings
SQUARE3, SQUARE4 = lattice.hypercubic((3, 3)), lattice.hypercubic((4, 4))


def drawn(system, beta: float, n: int, seed: int, declared: float | None = None) -> xr.Dataset:
    states = exact.sample(system, beta, n, seed)
    return build(states[None], beta=declared or beta, space=system.space, lattice=system.lattice, attrs={"independent": 1})


def glass(grid, beta: float, n: int, fields: bool = True) -> Case:
    def case(seed: int):
        return [drawn(hl.systems.EdwardsAnderson(grid, seed=seed), beta, n, seed)], COUPLINGS(grid, fields="site" if fields else None)

    return case


def sk(seed: int):
    h = np.random.default_rng(seed).normal(size=9) * 0.3
    return [drawn(hl.systems.SherringtonKirkpatrick(9, seed=seed, h=h), 1.0, 4000, seed)], COUPLINGS(None)


def chains(seed: int):
    system = hl.systems.EdwardsAnderson(SQUARE4, seed=seed)
    return [hl.simulate(system, beta=0.5, draws=1000, chains=4, seed=seed, sampler="metropolis", thin=1)], COUPLINGS(SQUARE4)


def ferromagnet(seed: int):
    data = drawn(hl.systems.Ising(SQUARE4, J=1.0), 0.35, 2000, seed)
    return [data], COUPLINGS(SQUARE4, tie="uniform", fields=None)


def two_temperatures(seed: int):
    system = hl.systems.EdwardsAnderson(SQUARE4, seed=seed)
    return [drawn(system, beta, 2000, seed + 1000 * k) for k, beta in enumerate((0.4, 0.8))], COUPLINGS(SQUARE4)


def potts(seed: int):
    J = np.random.default_rng(seed).normal(size=SQUARE3.n_bonds)
    return [drawn(hl.systems.Potts(SQUARE3, 3, J=J), 0.7, 4000, seed)], COUPLINGS(SQUARE3, interaction="potts")


def histogram(seed: int):
    data = drawn(hl.systems.EdwardsAnderson(SQUARE3, seed=seed), 0.5, 4000, seed)
    rows, counts = np.unique(data["state"].values.reshape(-1, 9), axis=0, return_counts=True)
    return [hl.microstates(rows.reshape(-1, 3, 3), beta=0.5, counts=counts)], COUPLINGS(SQUARE3)


def ordered(seed: int):
    return glass(SQUARE4, 1.5, 4000)(seed)


RIGHT: dict[str, Case] = {
    "3×3 glass, β 0.5, 2000 draws": glass(SQUARE3, 0.5, 2000),
    "4×4 glass, β 0.5, 4000 draws": glass(SQUARE4, 0.5, 4000),
    "4×4 glass, β 1.5, 4000 draws": ordered,
    "4×4 glass, β 0.5, 200 draws": glass(SQUARE4, 0.5, 200),
    "4×4 glass, β 0.5, Metropolis, 4 × 1000": chains,
    "4×4 glass at β 0.4 and 0.8": two_temperatures,
    "4×4 ferromagnet, tied": ferromagnet,
    "9 spins SK with fields": sk,
    "3×3 Potts q = 3": potts,
    "3×3 glass, histogram of 4000": histogram,
}


def next_nearest(strength: float, n: int = 4000) -> Case:
    wide = lattice.hypercubic((5, 5)).pairs_within(1.5)
    far = wide.distances[tuple(wide.bonds.T)] > 1.2

    def case(seed: int):
        rng = np.random.default_rng(seed)
        J = np.where(far, strength, rng.normal(size=wide.n_bonds))
        system = hl.systems.Pairwise(wide, J)
        return [drawn(system, 0.5, n, seed)], COUPLINGS(lattice.hypercubic((5, 5)))

    return case


def three_spin(strength: float, n: int = 4000) -> Case:
    states = exact.all_states(SQUARE3).reshape(-1, 9) * 2.0 - 1
    first, second = SQUARE3.bonds.T

    def case(seed: int):
        rng = np.random.default_rng(seed)
        J = rng.normal(size=SQUARE3.n_bonds)
        triple = np.stack([states[:, 3 * k : 3 * k + 2].prod(1) * states[:, (3 * k + 3) % 9] for k in range(3)], 1)
        log_weight = 0.5 * ((states[:, first] * states[:, second]) @ J + strength * triple.sum(1))
        weight = np.exp(log_weight - log_weight.max())
        rows = rng.choice(len(states), size=n, p=weight / weight.sum())
        data = build(states[rows].astype(np.int8)[None], beta=0.5, space=SPINS, lattice=SQUARE3, attrs={"independent": 1})
        return [data], COUPLINGS(SQUARE3)

    return case


def untied(spread: float, n: int = 4000) -> Case:
    def case(seed: int):
        J = 1 + spread * np.random.default_rng(seed).normal(size=SQUARE4.n_bonds)
        return [drawn(hl.systems.Pairwise(SQUARE4, J), 0.35, n, seed)], COUPLINGS(SQUARE4, tie="uniform", fields=None)

    return case


def wrong_beta(actual: float, n: int = 4000) -> Case:
    def case(seed: int):
        system = hl.systems.EdwardsAnderson(SQUARE4, seed=seed)
        return [drawn(system, 0.4, n, seed), drawn(system, actual, n, seed + 1000, declared=0.8)], COUPLINGS(SQUARE4)

    return case


def missing_field(strength: float, n: int = 4000) -> Case:
    def case(seed: int):
        h = strength * np.random.default_rng(seed).normal(size=16)
        return [drawn(hl.systems.Pairwise(SQUARE4, hl.systems.EdwardsAnderson(SQUARE4, seed=seed).J, h), 0.5, n, seed)], COUPLINGS(
            SQUARE4, fields=None
        )

    return case


WRONG: dict[str, Case] = {
    "next-nearest couplings 0.05, not modelled (5×5)": next_nearest(0.05),
    "next-nearest couplings 0.1": next_nearest(0.1),
    "next-nearest couplings 0.2": next_nearest(0.2),
    "three-spin terms 0.2, not modelled (3×3)": three_spin(0.2),
    "three-spin terms 0.4": three_spin(0.4),
    "tied model, couplings 1 ± 0.05 (4×4)": untied(0.05),
    "tied model, couplings 1 ± 0.1": untied(0.1),
    "tied model, couplings 1 ± 0.2": untied(0.2),
    "second group at β 0.7, declared 0.8": wrong_beta(0.7),
    "second group at β 0.6, declared 0.8": wrong_beta(0.6),
    "fields of 0.1, not modelled (4×4)": missing_field(0.1),
    "fields of 0.2": missing_field(0.2),
}


def measure(cases: dict[str, Case], n: int) -> list[dict[str, object]]:
    rows = []
    for name, case in cases.items():
        started, p, undecided = time.perf_counter(), [], 0
        for seed in range(n):
            data, model = case(seed)
            table = check(data, model, seed=seed)
            undecided += table.attrs["decision"] == "undecided"
            p.append(float(table.attrs["overall_p"]))
        values = np.array(p)
        row = {"case": name, "data sets": n, "objects (p < 1 %)": float(np.mean(values < 0.01)), "p < 5 %": float(np.mean(values < 0.05))}
        row |= {"undecided": undecided / n, "seconds a check": (time.perf_counter() - started) / n}
        rows.append(row)
        print(row, flush=True)
    return rows


def verdicts(n: int) -> dict[str, int]:
    """Levels that the whole verdict reaches on right models with independent draws, learned by `learn` at its cheapest."""
    levels = {"believe": 0, "caution": 0, "do not believe": 0}
    for seed in range(n):
        data, model = glass(SQUARE3, 0.5, 2000)(seed)
        post = hl.infer.learn(data, model, likelihood="pseudo", engine="laplace", seed=seed)
        levels[verdict(diagnose(post, data, seed=seed)).level] += 1
    return levels


def score_tests(cases: dict[str, Case], n: int) -> list[dict[str, object]]:
    """Shares of data sets that the score tests alone object to, at their part of the false alarms, and what objects most."""
    rows = []
    for name, case in cases.items():
        started, caught, who, undecided = time.process_time(), 0, {}, 0
        for seed in range(n):
            sets, model = case(seed)
            bound, parts, _ = observations.bind(sets, model)
            found = scores.pairs(bound, parts, [1.0] * len(parts), seed)
            failed = ["a site that interacts with nothing"] if found.isolated else []
            if found.rows:
                judged = predictive_test.table([], found.blocks, None, named=found.rows)
                failed += [str(one) for one in judged["statistic"].values[judged["p_adjusted"].values < 0.01 * predictive_test.NAMED_SHARE]]
            undecided += not found.rows
            caught += bool(failed)
            for one in failed:
                who[one] = who.get(one, 0) + 1
        best = sorted(who.items(), key=lambda item: -item[1])[:2]
        row = {"case": name, "data sets": n, "objected to": caught, "undecided": f"{undecided}"}
        row |= {"most often by": "; ".join(f"{one} ({count})" for one, count in best)}
        row |= {"CPU seconds": (time.process_time() - started) / n}
        rows.append(row)
        print(row, flush=True)
    return rows


def levels_of(families: dict[str, Callable[[int], tuple[Any, Any, dict[str, Any]]]], n: int) -> list[dict[str, object]]:
    """Levels of the whole verdict on clean data."""
    rows = []
    for name, case in families.items():
        counts = {"believe": 0, "caution": 0, "do not believe": 0}
        fit = 0
        for seed in range(n):
            data, model, how = case(seed)
            found = verdict(diagnose(hl.infer.learn(data, model, seed=seed, **how), data, seed=seed))
            counts[found.level] += 1
            fit += any(one.topic == "fit" and one.severity != "note" for one in found.reasons)
        rows.append({"family": name, "data sets": n, **counts, "of these for the fit": fit})
        print(rows[-1], flush=True)
    return rows


def main_planted(n: int, only: str, out: Path) -> None:
    """Measure the cases whose name holds `only`, and write ``planted.md`` with all that were measured so far."""
    out.mkdir(parents=True, exist_ok=True)
    store = out / "planted.json"
    done: dict[str, list[dict[str, object]]] = json.loads(store.read_text()) if store.exists() else {}
    cleans = -(-400 // len(planted.CLEAN))
    jobs: list[tuple[str, str, Callable[[], list[dict[str, object]]]]] = []
    jobs += [("planted", name, partial(score_tests, {name: case}, n)) for name, case in planted.PLANTED.items()]
    jobs += [("clean", name, partial(score_tests, {name: case}, cleans)) for name, case in planted.CLEAN.items()]
    jobs += [("levels", name, partial(levels_of, {name: case}, max(n // 3, 2))) for name, case in planted.FAMILIES.items()]
    jobs += [("levels", name, partial(levels_of, {name: case}, max(n // 20, 1))) for name, case in planted.SIMULATED.items()]
    for kind, name, job in jobs:
        if only in name:
            rows = job()
            if store.exists():
                done = json.loads(store.read_text())
            done.setdefault(kind, [])
            done[kind] = [row for row in done[kind] if name not in row.values()] + rows
            store.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    done["potts"] = planted.potts_information()
    alarms, sets = (sum(int(str(row[key])) for row in done.get("clean", [])) for key in ("objected to", "data sets"))
    text = f"""# Named defects, and clean data

Written by `benchmarks/verdict.py --planted {n}`. Score tests alone, at their four fifths of the 1 % of false alarms: the check adds the
comparison with held-out data. 4×4 glasses, couplings of standard deviation 1, β = 0.5, 3000 independent rows unless said; where there
are three labels, 0.4, 0.5 and 0.6, 3000 at each of them. Undecided: without a finite maximum of the likelihood no score test runs.

## Planted

{table(done.get("planted", []))}

## Clean

{table(done.get("clean", []))}

All together {alarms} of {sets}.

## The whole verdict on clean data

The check with held-out data is part of it.

{table(done.get("levels", []))}

## Potts states read as spins

Twice the number of rows (3000) times the Kullback–Leibler divergence of the two-valued reading (state 0 against the others) of a 3×3
Potts model with three states from the nearest model of pairs and fields, over six sets of couplings: what the best of all
tests would find on average beyond chance.

{table(done["potts"])}
"""
    (out / "planted.md").write_text(text, encoding="utf-8")
    print(text)


def table(rows: list[dict[str, object]]) -> str:
    if not rows:
        return "not measured"
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for row in rows:
        cells = [
            f"{value:.1%}"
            if isinstance(value, float) and key.startswith(("objects", "p <", "undecided"))
            else f"{value:.2g}"
            if isinstance(value, float)
            else str(value)
            for key, value in row.items()
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="data sets a case of right models")
    parser.add_argument("--power", type=int, default=40, help="data sets a planted defect")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--planted", type=int, default=0, help="data sets a named defect; measures only these")
    parser.add_argument("--only", default="", help="with --planted: cases whose name holds this; others keep what was measured before")
    options = parser.parse_args()
    if options.planted:
        main_planted(options.planted, options.only, options.out)
        return
    right, wrong, levels = measure(RIGHT, options.n), measure(WRONG, options.power), verdicts(options.n)
    rate = float(np.mean([row["objects (p < 1 %)"] for row in right]))
    total = options.n * len(RIGHT)
    result = {
        "right": right,
        "wrong": wrong,
        "verdict_levels": levels,
        "false_alarm_rate": rate,
        "false_alarm_error": (rate * (1 - rate) / total) ** 0.5,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "verdict.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = f"""# False alarms and power of the predictive check

Written by `benchmarks/verdict.py --n {options.n} --power {options.power}`. Nominal level 1 %.

## Right models: false alarms

{table(right)}

All together: {rate:.2%} ± {result["false_alarm_error"]:.2%} of {total} data sets.

Whole verdict on {options.n} 3×3 glasses (pseudo-likelihood, Laplace): {levels}.

## Planted defects: power

{table(wrong)}
"""
    (options.out / "verdict.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
