"""Coverage and rank tests of every family, likelihood and engine on small systems.

    python benchmarks/calibration/study.py [--seconds 60] [--only WORD ...] [--list]

One line a triple (family, likelihood, engine). Where the prior can be drawn from, truths are drawn from it (``prior``); flat
priors, maximum likelihood and actions are asked at one fixed truth (``truth``). Every data set has nearly independent microstates,
exact where there is an oracle. Columns: data sets learned (and failed), coverage of equal-tailed 50 % and 90 % intervals over all
parameters with the error between data sets, root mean square of errors in posterior standard deviations (1.5 where bars are too small
by that), ``ranks``: the smallest exact p-value of all parameters' ranks times their number (only for truths from the prior), ``p``: of
everything together, and the decision (p < 0.01: one in a hundred calibrated triples is called otherwise by chance).

A triple takes 20 data sets, then twice as many while the time it was given lasts, at most 320. Each is saved as soon as it is done:
the same call goes on, and results that are there stay. What the library refuses is listed with its reason, and triples that were not run by
name; of a space only likelihoods that know such sites are asked, of sparse priors only samplers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hamlearn as hl
from hamlearn.diagnostics import calibration
from hamlearn.infer import NUTS, Gibbs
from hamlearn.spaces import Spins, vectors
from hamlearn.systems import ANGLES, REALS, SPINS, lattice, states

sys.path.insert(0, str(Path(__file__).parent))
from common import cache_compilation, table, versions, write

SIDE, CHAIN = lattice.hypercubic((2, 3), periodic=False), lattice.hypercubic((4,), periodic=False)
NORMAL, WEAK = hl.models.Normal(0.4), hl.models.Normal(0.3)
ENGINES: dict[str, Any] = {
    "mle": "mle",
    "map": "map",
    "laplace": "laplace",
    "importance": "importance",
    "nuts": NUTS(draws=250, chains=2, warmup=250),
    "gibbs": Gibbs(draws=500, chains=2, warmup=500),
}
DISCRETE, REAL = ("exact", "pseudo", "rise", "logrise"), ("exact", "pseudo", "score")
SLOW = ("rise", "logrise"), ("nuts", "gibbs")  # likelihoods and engines whose triples are run last


ACTION: dict[str, Any] = {"rows": 300, "likelihoods": REAL, "always": True}


@dataclass(frozen=True, eq=False)
class Case:
    """A model on its sites, and a truth where its prior gives none."""

    model: Any
    shape: Any
    truth: dict[str, Any]
    space: Any = SPINS
    beta: Any = 1.0
    rows: int = 500
    always: bool = False  # at its truth, whatever the engine
    likelihoods: tuple[str, ...] = DISCRETE
    engines: tuple[str, ...] = ("laplace", "importance", "mle", "map", "nuts")


def couplings(graph: Any, prior: Any = NORMAL, **more: Any) -> Any:
    """Couplings with normal priors that stay as wide as they are."""
    return hl.models.Couplings(graph, prior=prior, field_prior=WEAK, **more)


CHIP = hl.systems.EdwardsAnderson((3, 3), seed=1)
CASES = {
    "spins": Case(couplings(SIDE), SIDE, {"J": [0.5, -0.4, 0.3, 0.6, -0.5, 0.2, 0.4], "h": [0.2, -0.1, 0, 0.3, 0, -0.2]}),
    "spins, tied": Case(couplings(SIDE, tie="uniform", fields="uniform"), SIDE, {"J": 0.4, "h": 0.1}),
    "spins, three temperatures": Case(
        couplings(SIDE, tie="uniform", fields="uniform"), SIDE, {"J": 0.4, "h": 0.1}, beta=[0.5, 1.0, 1.5], rows=150
    ),
    "spins, Laplace prior": Case(couplings(CHAIN, hl.models.Laplace(0.3)), CHAIN, {"J": 0.3, "h": 0.1}, engines=("nuts",)),
    "spike and slab": Case(
        couplings(None, hl.models.SpikeSlab(slab=0.3, inclusion=0.3, common=False)), 5, {"J": 0.0, "h": 0.1}, engines=("gibbs",)
    ),
    "horseshoe": Case(couplings(CHAIN, hl.models.Horseshoe(global_scale=0.1, slab=0.5)), CHAIN, {"J": 0.3, "h": 0.1}, engines=("nuts",)),
    "fixed sum": Case(couplings(SIDE, fields=None), SIDE, {"J": 0.3}, space=Spins(magnetization=0), likelihoods=("exact", "exchange")),
    "Potts": Case(couplings(CHAIN, interaction="potts"), CHAIN, {"J": 0.5, "h": 0.1}, space=states(3)),
    "tables": Case(couplings(CHAIN, interaction="general"), CHAIN, {"J": 0.2, "h": 0.1}, space=states(3)),
    "clock": Case(couplings(CHAIN, interaction="clock", fields=None), CHAIN, {"J": 0.5}, space=states(4)),
    "ordered states": Case(couplings(CHAIN, interaction="ordinal"), CHAIN, {"J": 0.3, "h": 0.1}, space=states(3)),
    "rotors": Case(couplings(CHAIN, fields=None), CHAIN, {"J": 0.5}, space=ANGLES, likelihoods=REAL),
    "unit vectors": Case(couplings(CHAIN, fields=None), CHAIN, {"J": 0.5}, space=vectors(3), likelihoods=REAL),
    "scale": Case(
        hl.models.Scale(CHIP, prior=hl.models.Normal(0.5)), CHIP.lattice, {"scale": 0.6}, likelihoods=("exact", "pseudo"), always=True
    ),
    "path": Case(hl.models.PolynomialAction((2,)), 8, {"kinetic": 1.0, "c": 0.5}, space=REALS, beta=4.0, **ACTION),
    "path, double well": Case(
        hl.models.PolynomialAction((2, 4)),
        8,
        {"kinetic": 1.0, "c": [-1.0, 0.5]},
        space=REALS,
        beta=4.0,
        rows=300,
        likelihoods=REAL,
        always=True,
    ),
    "free field": Case(hl.models.PolynomialAction((2,)), (4, 4), {"kinetic": 1.0, "c": 0.5}, space=REALS, **ACTION),
    "field": Case(hl.models.PolynomialAction((2, 4)), (3, 3), {"kinetic": 1.0, "c": [0.2, 0.3]}, space=REALS, **ACTION),
    "thermal field": Case(
        hl.models.PolynomialAction((2,), family="thermal"),
        (4, 3),
        {"kinetic": 1.0, "gradient": 1.0, "c": 0.5},
        space=REALS,
        beta=2.0,
        rows=300,
        likelihoods=REAL,
        always=True,
    ),
}


def triples() -> list[tuple[str, str, str]]:
    """All that may be asked of a space; what does not go together is refused by the library, which says why."""
    every = [(name, one, engine) for name, case in CASES.items() for one in case.likelihoods for engine in case.engines]
    slow = lambda name, likelihood, engine: (engine in SLOW[1]) + (engine == "map") + 2 * (likelihood in SLOW[0])
    return sorted(every, key=lambda triple: (slow(*triple), CASES[triple[0]].engines.index(triple[2])))


def ask(case: Case, likelihood: str, engine: str, sets: int, checkpoint: Path) -> Any:
    """Ranks of a triple."""
    asked = {"space": case.space, "beta": case.beta, "rows": case.rows, "likelihood": likelihood, "engine": ENGINES[engine]}
    asked |= {"sets": sets, "checkpoint": checkpoint, "seed": 0}
    if case.always or engine == "mle":
        return calibration.at_truth(case.model, case.truth, case.shape, **asked)
    return calibration.over_prior(case.model, case.shape, **asked)


def line(name: str, likelihood: str, engine: str, found: Any) -> dict[str, Any]:
    """What is recorded of a triple."""
    at = {level: found.kinds.isel(of=0).sel(level=level) for level in (0.5, 0.9)}
    covered = {f"coverage_{100 * level:.0f}": [float(one["coverage"]), float(one["error"])] for level, one in at.items()}
    whole = found.kinds.isel(of=0)
    return {
        "family": name,
        "likelihood": likelihood,
        "engine": engine,
        "truths": found.truths,
        "sets": len(found.ranks),
        "failed": len(found.failures),
        "first_failure": found.failures[0][:300] if found.failures else "",
        "parameters": len(found.names),
        **covered,
        "width": [float(whole["width"]), float(whole["width_error"])],
        "bias": [float(whole["bias"]), float(whole["bias_error"])],
        "draws": found.draws,
        "ranks_p": found.overall_p if found.truths == "prior" else None,
        "p": found.p_value,
        "decision": found.decision,
    }


def run(name: str, likelihood: str, engine: str, seconds: float, folder: Path) -> dict[str, Any]:
    """A triple, with twice as many data sets while there is time; or why the library refuses it."""
    started, sets = time.perf_counter(), 20
    checkpoint = folder / f"{name} {likelihood} {engine}.npz".replace(" ", "_").replace(",", "")
    while True:
        try:
            found = ask(CASES[name], likelihood, engine, sets, checkpoint)
        except hl.HamlearnError as error:
            return {"family": name, "likelihood": likelihood, "engine": engine, "refused": str(error).partition("first, ")[2] or str(error)}
        spent = time.perf_counter() - started
        if sets >= 320 or 3 * spent > seconds:
            return line(name, likelihood, engine, found)
        sets *= 2


def percent(pair: list[float]) -> str:
    """In a table."""
    return f"{100 * pair[0]:.1f} ± {100 * pair[1]:.1f} %"


def _row(one: dict[str, Any]) -> list[Any]:
    """Of the table."""
    sets = f"{one['sets']} ({one['failed']} failed)" if one["failed"] else one["sets"]
    width, ranks = "{:.2f} ± {:.2f}".format(*one["width"]), "" if one["ranks_p"] is None else f"{one['ranks_p']:.3f}"
    decision = f"**{one['decision']}**" if one["decision"] == "not calibrated" else one["decision"]
    named = [one[name] for name in ("family", "likelihood", "engine", "truths", "parameters")]
    return [*named, sets, percent(one["coverage_50"]), percent(one["coverage_90"]), width, ranks, f"{one['p']:.4f}", decision]


def tell(done: dict[str, dict[str, Any]]) -> None:
    """Write what there is."""
    order = {"/".join(triple): k for k, triple in enumerate(triples())}
    lines = [done[key] for key in sorted(done, key=lambda key: (list(CASES).index(done[key]["family"]), order[key]))]
    columns = ["family", "likelihood", "engine", "truths", "parameters", "sets", "50 %", "90 %", "width", "ranks", "p", "decision"]
    rows = [_row(one) for one in lines if "sets" in one]
    missing = [key for key in order if key not in done]
    text = table(columns, rows)
    reasons: dict[str, list[str]] = {}
    for one in lines:
        if "refused" in one:
            reasons.setdefault(one["refused"][:160], []).append(f"{one['family']}/{one['likelihood']}/{one['engine']}")
    text += f"\n{len(rows)} triples were run, {len(lines) - len(rows)} are refused by the library, {len(missing)} were not run"
    text += ":\n\n" if missing else ".\n"
    for name in CASES:
        if own := [f"{likelihood}/{engine}" for family, likelihood, engine in (key.split("/") for key in missing) if family == name]:
            text += f"- {name}: {', '.join(own)}\n"
    text += "\nRefused:\n\n" if reasons else ""
    for why, which in reasons.items():
        text += f"- {why.strip()} ({len(which)}: {', '.join(which[:4])}{', …' if len(which) > 4 else ''})\n"
    settings = {"seed": 0, "engines": repr(ENGINES), "priors": f"couplings {NORMAL}, fields {WEAK}, unless the family says otherwise"}
    settings |= {"rows": {name: case.rows for name, case in CASES.items()}}
    write(Path(__file__), __doc__, text, {"settings": settings, "versions": versions(), "results": lines})


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for one triple, about")
    parser.add_argument("--only", nargs="*", help="triples whose names family/likelihood/engine contain all of these words")
    parser.add_argument("--again", action="store_true", help="also those that have a line")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hamlearn-study", help="of checkpoints")
    parser.add_argument("--list", action="store_true", help="say which there are, and end")
    arguments = parser.parse_args()
    wanted = ["/".join(triple) for triple in triples()]
    wanted = [key for key in wanted if all(word in key for word in arguments.only or ())]
    store = Path(__file__).parent / "results" / "study.json"
    done = (
        {f"{one['family']}/{one['likelihood']}/{one['engine']}": one for one in json.loads(store.read_text())["results"]}
        if store.exists()
        else {}
    )
    if arguments.list:
        print("\n".join(f"{'done' if key in done else '    '} {key}" for key in wanted))
        return
    cache_compilation()
    arguments.folder.mkdir(exist_ok=True)
    for key in wanted:
        if key in done and not arguments.again:
            continue
        started = time.perf_counter()
        done[key] = run(*key.split("/"), arguments.seconds, arguments.folder)
        print(f"{time.perf_counter() - started:6.1f} s", json.dumps(done[key])[:260], flush=True)
        tell(done)


if __name__ == "__main__":
    main()
