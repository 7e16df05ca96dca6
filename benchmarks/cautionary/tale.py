"""Which class of model may be trusted for what: one audit of all of them, on the systems of the cautionary tale.

    python benchmarks/cautionary/tale.py [WORD ...]     (cases whose name holds every word; those that are recorded are not run again)
    python benchmarks/cautionary/tale.py --repeats 10 [WORD ...]    (recorded cases again, with microstates of other seeds: decisions)
    python benchmarks/cautionary/tale.py --table        (writes results/tale.md of what is recorded)

The ordinary Ising model and the one whose magnetization is conserved (excess 0 and 30 spins), 8×8 and 12×12, T = 1, 2 and 3: every model
learns from 10 000 microstates and is audited beside 10 000 others. Nothing is said to the audit of what is conserved, or of what the model
is; models that know of no conserved sum get the microstates as those of free spins, as who does not know of it would give them. Of a
normalised density the divergence δ = KL(truth ‖ model) per microstate is known from the exact ln Z (or one that is integrated from
β = 0); n is the smallest of 10 000, 5000, 2500, … rows at which the audit still tells model and truth apart.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import gammaln

import hamlearn as hl

RESULTS = Path(__file__).parent / "results"
ROWS = 10_000
TEMPERATURES = (1.0, 2.0, 3.0)
WORLDS = {
    "Ising 8x8": (8, None),
    "Ising 12x12": (12, None),
    "conserved 8x8 M=0": (8, 0),
    "conserved 12x12 M=0": (12, 0),
    "conserved 12x12 M=30": (12, 30),
}
CONSERVING = ("couplings", "one coupling", "clusters", "MADE of this charge", "EDNN of energies")
STEPS = 10  # of block Gibbs sampling from random starts, as published


def _couplings(system: Any, **how: Any) -> Any:
    return hl.models.Couplings(system.lattice, fields=None, **how)


MODELS: dict[str, tuple[Callable[[Any, int, int | None], Any], Any]] = {  # of a system, its extent and its magnetization; and the training
    "couplings": (lambda system, extent, charge: _couplings(system), None),
    "one coupling": (lambda system, extent, charge: _couplings(system, tie="uniform"), None),
    "clusters": (lambda system, extent, charge: hl.models.ClusterExpansion(window=3), None),
    "MADE": (lambda system, extent, charge: hl.models.Autoregressive(), None),
    "PixelCNN": (lambda system, extent, charge: hl.models.Autoregressive("pixelcnn"), None),
    "MADE of this charge": (lambda system, extent, charge: hl.models.Autoregressive(charge=charge), None),
    "DCL": (lambda system, extent, charge: hl.models.DCL(), None),
    "EDNN of energies": (lambda system, extent, charge: hl.models.Extensive(focus=1, context=1), None),
    "RBM": (lambda system, extent, charge: hl.models.RBM(hidden=extent**2), None),
    "RBM as published": (
        lambda system, extent, charge: hl.models.RBM(hidden=extent**2, chains="data", steps=10, centred=False),
        lambda: hl.infer.Training(epochs=1000, batch=500, learning_rate=5e-3),
    ),
}


def world(name: str, temperature: float, seed: int = 1) -> tuple[Any, xr.Dataset, xr.Dataset]:
    """The system, microstates to learn from, and others: nearly independent, from chains that share nothing."""
    extent, charge = WORLDS[name]
    if charge is None:
        system, how = hl.systems.Ising((extent, extent)), {"draws": ROWS // 50, "chains": 50, "sampler": "swendsen_wang", "thin": 5}
    else:
        system, how = hl.systems.Ising((extent, extent), magnetization=charge), {"draws": ROWS // 50, "chains": 50, "sampler": "tempering"}
        how |= {"thin": 100, "burn_in": 3000}
    sets = [hl.simulate(system, beta=1 / temperature, seed=seed, progress=False, **how) for seed in (seed, seed + 1)]
    return system, sets[0], sets[1]


def free(data: xr.Dataset) -> xr.Dataset:
    """The same microstates, of which nobody says that a sum is conserved."""
    return hl.microstates(data["state"], space="spins", beta=float(data["beta"]), periodic=True)


def log_z(system: Any, charge: int | None, beta: float) -> float:
    """Exact, or integrated from β = 0, where all states of the magnetization are counted."""
    if charge is None:
        return float(hl.systems.exact.log_partition(system, beta))
    n = system.lattice.n_sites
    up = (n + charge) / 2
    counted = gammaln(n + 1) - gammaln(up + 1) - gammaln(n - up + 1)
    nodes, weights = np.polynomial.legendre.leggauss(16)
    betas = beta * (nodes + 1) / 2
    data = hl.simulate(system, betas, draws=100, chains=50, thin=10, burn_in=3000, seed=3, progress=False)
    means = np.asarray(system.energy(data["state"].values)).reshape(len(betas), -1).mean(1)
    return float(counted - beta / 2 * (weights * means).sum())


def divergence(post: xr.DataTree, system: Any, charge: int | None, reference: xr.Dataset) -> dict[str, float]:
    """KL(truth ‖ model) per microstate in nats, and its standard error over chains."""
    beta = float(reference["beta"])
    truth = -beta * np.asarray(system.energy(reference["state"].values), float) - log_z(system, charge, beta)
    lost = truth - hl.infer.log_prob(post, reference).values.reshape(truth.shape)
    chains = lost.mean(1)
    return {"divergence": float(chains.mean()), "divergence_error": float(chains.std(ddof=1) / np.sqrt(len(chains)))}


def told(audit: Any) -> dict[str, Any]:
    """What is recorded of an audit."""
    energy = audit["mean of the energy"]
    flagged = [
        {"name": one.name, "section": one.section, "effect": one.effect, "sd": one.effect_sd, "unit": one.unit, "p": one.p_adjusted}
        | {"told": one.consequence}
        for one in audit.flagged
    ]
    mean = {"mean_energy": [energy.effect, energy.effect_sd, energy.p_value], "undecided": [one.name for one in audit.undecided]}
    return {"decision": audit.decision, "summary": audit.summary, **mean, "flagged": flagged}


def fewest(reference: xr.Dataset, rows: xr.Dataset, system: Any) -> int | None:
    """The smallest number of rows, by halves, at which the audit tells the two apart."""
    found, count = None, reference.sizes["draw"]
    while count >= 2:
        few = [one.isel(draw=slice(0, max(1, one.sizes["draw"] * count // reference.sizes["draw"]))) for one in (reference, rows)]
        if hl.audit(*few, energy=system, seed=0).decision != "differs":
            return found
        found, count = count * reference.sizes["chain"], count // 2
    return found


def learned(name: str, temperature: float, model: str, seed: int = 1) -> tuple[Any, xr.Dataset, xr.Dataset, Any, xr.DataTree, float]:
    """The system, microstates to learn from and others as the model gets them, the model, its posterior and CPU seconds of learning."""
    extent, charge = WORLDS[name]
    system, data, reference = world(name, temperature, seed)
    make, training = MODELS[model]
    made = make(system, extent, charge)
    if charge is not None and model not in CONSERVING:
        data, reference = free(data), free(reference)
    started = time.process_time()
    if isinstance(made, hl.models.Extensive):  # the one that is told energies
        post = hl.infer.distill(data, system, made, beta=1 / temperature, seed=0)
    else:
        post = hl.learn(data, made, check=False, seed=0, **({} if training is None else {"engine": training()}))
    return system, data, reference, made, post, time.process_time() - started


def repeats(name: str, temperature: float, model: str, count: int) -> list[str]:
    """Decisions of audits of the same case, with microstates of other seeds."""
    found = []
    for k in range(count):
        system, data, reference, _, post, _ = learned(name, temperature, model, 11 + 2 * k)
        audit = hl.audit(reference, post, draws=ROWS, energy=system, training=data, seed=0)
        found.append("; ".join(one.name for one in audit.flagged) if audit.decision == "differs" else audit.decision)
        print(name, temperature, model, k, found[-1], flush=True)
    return found


def measure(name: str, temperature: float, model: str) -> dict[str, Any]:
    system, data, reference, made, post, seconds = learned(name, temperature, model)
    charge = WORLDS[name][1]
    row: dict[str, Any] = {"learn_seconds": seconds}
    started = time.process_time()
    audit = hl.audit(reference, post, draws=ROWS, energy=system, training=data, seed=0)
    row |= {"audit_seconds": time.process_time() - started, **told(audit)}
    if made.traits.density:
        row |= divergence(post, system, charge, reference)
        rows = hl.sample(post, ROWS, seed=1)
        rows = rows.assign_coords(beta=reference["beta"])
        row["told_apart_at"] = fewest(reference, rows, system)
    if model.startswith("RBM"):
        machine = hl.draw_systems(post, 1)[0]
        short = hl.simulate(machine, 1 / temperature, sampler="block_gibbs", burn_in=STEPS, draws=1, chains=ROWS, seed=4, progress=False)
        short = hl.microstates(short["state"].values[:, 0], space="spins", beta=1 / temperature, periodic=True)
        row["few_steps"] = told(hl.audit(reference, short, energy=system, seed=0))
    return row


def table(rows: dict[str, dict[str, Any]]) -> str:
    """What is recorded, one line a case."""
    lines = ["# Which model may be trusted for what", ""]
    lines += [f"`python benchmarks/cautionary/tale.py`: {ROWS} microstates to learn from, {ROWS} others to be audited beside.", ""]
    lines += [
        "| system | T | model | decision | mean energy off (z) | what speaks against it | δ / nat | told apart at | CPU s |",
        "| --- " * 9 + "|",
    ]
    for case, row in rows.items():
        name, temperature, model = case.split(" | ")
        for label, one in (
            (model, row),
            *([(f"{model}, {STEPS} steps from random starts", row["few_steps"])] if "few_steps" in row else []),
        ):
            effect, error, _ = one["mean_energy"]
            away = f"{effect:+.2f} ({effect / error:+.1f})" if error else f"{effect:+.2f}"
            against = "; ".join(
                f"{found['name']} ({found['effect']:+.3g} {found['unit']})".replace(" )", ")") for found in one["flagged"][:4]
            )
            more = f" and {len(one['flagged']) - 4} more" if len(one["flagged"]) > 4 else ""
            lost = f"{one['divergence']:.3g} ± {one['divergence_error']:.1g}" if "divergence" in one else ""
            apart = one.get("told_apart_at") or ""
            spent = f"{one['learn_seconds'] + one['audit_seconds']:.0f}" if "learn_seconds" in one else ""
            lines.append(
                f"| {name} | {temperature} | {label} | {one['decision']} | {away} | {against}{more} | {lost} | {apart} | {spent} |"
            )
    again = [(case, row["repeats"]) for case, row in rows.items() if "repeats" in row]
    if again:
        lines += ["", "The same cases with microstates of other seeds:", ""]
    lines += [f"- {case}: {', '.join(f'{found.count(one)} × {one}' for one in dict.fromkeys(found))}" for case, found in again]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--model", choices=tuple(MODELS), help="this one only")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--repeats", type=int, default=0)
    asked = parser.parse_args()
    logging.getLogger("hamlearn").setLevel(logging.WARNING)
    file = RESULTS / "tale.json"
    recorded = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    cases = [
        f"{name} | {temperature:g} | {model}"
        for model in MODELS
        for name in WORLDS
        for temperature in TEMPERATURES
        if model != "MADE of this charge" or WORLDS[name][1] is not None
    ]
    for case in [] if asked.table else cases:
        name, temperature, model = case.split(" | ")
        if (case in recorded) != bool(asked.repeats) or not all(word in case for word in asked.words) or asked.model not in (None, model):
            continue
        if asked.repeats:
            recorded[case]["repeats"] = repeats(name, float(temperature), model, asked.repeats)
            file.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
            continue
        try:
            recorded[case] = measure(name, float(temperature), model)
        except hl.HamlearnError as error:
            print(case, "refused:", error, flush=True)
            continue
        recorded = {one: recorded[one] for one in cases if one in recorded}
        file.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
        print(case, recorded[case]["decision"], recorded[case]["summary"], flush=True)
    (RESULTS / "tale.md").write_text(table(recorded), encoding="utf-8")


if __name__ == "__main__":
    main()
