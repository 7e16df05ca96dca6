"""Energy at temperatures that were never observed: 16×16 Ising ferromagnet, 4000 microstates at K = 0.35 only.

    python benchmarks/temperature/transfer.py [--quick] [--repetitions 12]

Predicted: energy per site (units of J) at K_c = 0.4406868 and at K = 0.60, against Kaufman's exact finite torus. Data:
Swendsen–Wang, 4 chains × 1000, 5 updates between rows. In one run, on the same data:

* ``hamlearn, known form``: one J, no fields; the posterior's members solved by Kaufman. ``in units of its J`` divides
  the energy of a member by its own J: what reweighting with a known H predicts, and "infer, then solve";
* ``hamlearn, free J_ij``: 512 couplings, no fields, calibrated pseudo-likelihood, engine ``laplace``; the energies of its
  ``hl.draw_systems`` by Swendsen–Wang (``hl.simulate``), 2 × 1200 rows each, with the simulation's share of their spread taken
  out as ``predict`` does and its error of the mean added; ``predict`` itself simulates such members by tempering on 64
  temperatures, which takes a hundred times longer: ``--predict R`` does that in the first R repetitions, 8 members each;
* ``pymbar``: MBAR from the one state, with its own error; n_eff is its effective sample number of 4000;
* ``thermoextrap``: second order in β, bootstrap error (100 resamples).

For a misspecified family the truth has next-nearest-neighbour bonds (J₂ = 0.1) that the models lack; its exact values
are those of long Swendsen–Wang runs (standard errors below 0.001). ``objects`` is how often the predictive check that
``hl.learn`` attaches objects (1 % level over all statistics; "well" is the false alarm on the well-specified data).
z = (predicted − exact)/claimed sd. pymbar and thermoextrap need no Hamiltonian's form, so ``misspecified`` says nothing
about them, but they are shown beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.diagnostics import diagnose
from hamlearn.infer import LaplaceApproximation, learn, predict
from hamlearn.infer import draw_systems as drawn_members
from hamlearn.infer.posteriors import provenance_of
from hamlearn.statistics import integrated_autocorrelation_time, standard_error
from hamlearn.systems import exact, lattice

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from common import table, versions, write

K0, TARGETS, J2 = 0.35, np.array([0.4406868, 0.60]), 0.1
GRID = lattice.hypercubic((16, 16))
N = GRID.n_sites


def further_neighbours() -> hl.systems.Pairwise:
    """The truth of the misspecified family."""
    wide = GRID.pairs_within(1.5)
    i, j = wide.bonds.T
    return hl.systems.Pairwise(wide, J=np.where(wide.distances[i, j] < 1.1, 1.0, J2))


def observed(system, seed: int):
    """4000 microstates at K0."""
    return hl.simulate(system, beta=K0, draws=1000, chains=4, seed=seed, sampler="swendsen_wang", thin=5, burn_in=300)


def reference(system, quick: bool) -> tuple[np.ndarray, np.ndarray]:
    """Energy per site at the targets, and its error."""
    if system.lattice.n_bonds == GRID.n_bonds:
        return exact.thermodynamics(system, TARGETS)["energy"].values, np.zeros(2)
    values, errors = [], []
    for beta in TARGETS:
        long = hl.simulate(
            system, beta=float(beta), draws=1000 if quick else 10_000, chains=4, seed=99, sampler="swendsen_wang", thin=2, burn_in=500
        )
        energy = system.energy(long["state"].values) / N
        values.append(energy.mean())
        errors.append(float(standard_error(energy)))
    return np.array(values), np.array(errors)


def ours(data, tie: str, members: int, seed: int, tempering: bool = False) -> tuple[np.ndarray, np.ndarray, object]:
    """Predictions, claimed sd, posterior."""
    model = hl.models.Couplings(GRID, tie=tie, fields=None)
    post = learn(data, model, likelihood="pseudo", engine=LaplaceApproximation(), seed=seed)
    if tie == "bond" and not tempering:
        return *by_clusters(post, members, seed), post
    curve = predict(post, beta=TARGETS, observables=["energy"], draws=members, seed=seed)["energy"]
    sd = np.hypot(curve.sel(quantity="sd").values, curve.sel(quantity="mc_error").values)
    return curve.sel(quantity="mean").values, sd, post


def by_clusters(post, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Energy of members by Swendsen–Wang: mean, claimed sd."""
    values, noise = np.empty((count, 2)), np.empty((count, 2))
    for index, system in enumerate(drawn_members(post, count, seed)):
        for place, beta in enumerate(TARGETS):
            states = hl.simulate(
                system, beta=float(beta), draws=1200, chains=2, seed=1000 * seed + index, sampler="swendsen_wang", thin=2, burn_in=100
            )
            energy = system.energy(states["state"].values) / N
            values[index, place], noise[index, place] = energy.mean(), standard_error(energy)
    variance = np.maximum(values.var(0, ddof=1) - (noise**2).mean(0), 0.0)
    return values.mean(0), np.sqrt(variance + (noise**2).mean(0) / count)


def per_coupling(post, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Energy in units of the learned J: Kaufman's −Σ⟨σσ⟩/N at every member's own J."""
    curves = []
    for system in drawn_members(post, count, seed):
        curves.append(exact.thermodynamics(system, TARGETS)["energy"].values / system.J[0])
    return np.mean(curves, 0), np.std(curves, 0, ddof=1)


def mbar(energy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reweighting by pymbar: mean, sd, n_eff."""
    import jax
    import pymbar

    reduced = np.stack([energy * beta for beta in (K0, *TARGETS)])
    solved = pymbar.MBAR(reduced, np.array([energy.size, 0, 0]))
    found = solved.compute_expectations(energy / N)
    effective = np.asarray(solved.compute_effective_sample_number())[1:]
    jax.config.update("jax_enable_x64", False)  # pymbar switches JAX to 64 bits for the whole process
    return found["mu"][1:], found["sigma"][1:], effective


def extrapolated(energy: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Second-order extrapolation in β by thermoextrap."""
    import thermoextrap as xtrap
    import xarray as xr

    u = xr.DataArray(energy, dims="rec")
    x = xr.DataArray(energy / N, dims="rec")
    samples = xtrap.DataCentralMomentsVals.from_vals(uv=u, xv=x, order=2, central=True)
    model = xtrap.beta.factory_extrapmodel(beta=K0, data=samples)
    mean = model.predict(TARGETS, order=2)
    spread = model.resample(sampler={"nrep": 100, "rng": seed}).predict(TARGETS, order=2).std("rep")
    return np.asarray(mean), np.asarray(spread)


def methods(members: int, tempered: int):
    """By name: a function of (data, energies, k) that gives mean, claimed sd and a posterior or n_eff; and how often to run it."""

    def known(data, energy, k):
        return ours(data, "uniform", 64, seed=k)

    def known_per_coupling(data, energy, k):
        return *per_coupling(ours(data, "uniform", 2, seed=k)[2], 64, seed=k), None

    def free(data, energy, k):
        return ours(data, "bond", members, seed=k)

    def free_tempered(data, energy, k):
        return ours(data, "bond", 8, seed=k, tempering=True)

    def extrapolate(data, energy, k):
        return *extrapolated(energy, k), None

    return {
        "hamlearn, known form": (known, None),
        "hamlearn, known form, in units of its J": (known_per_coupling, None),
        "hamlearn, free J_ij": (free, None),
        "hamlearn, free J_ij, `predict`": (free_tempered, tempered),
        "pymbar MBAR": (lambda data, energy, k: mbar(energy), None),
        "thermoextrap order 2": (extrapolate, None),
    }


def lines_of(family: str, name: str, values: list) -> list[dict]:
    """The rows of the table of one method, one per target."""
    error, sd = np.array(values).transpose(1, 0, 2)
    return [
        {
            "family": family,
            "method": name,
            "K": float(beta),
            "repetitions": len(error),
            "mean_error": float(error[:, place].mean()),
            "rms_error": float(np.sqrt((error[:, place] ** 2).mean())),
            "claimed_sd": float(sd[:, place].mean()),
            "rms_z": float(np.sqrt(((error / sd)[:, place] ** 2).mean())),
            "errors": error[:, place].round(5).tolist(),
            "sds": sd[:, place].round(5).tolist(),
        }
        for place, beta in enumerate(TARGETS)
    ]


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 repetitions, 8 members, no files")
    parser.add_argument("--repetitions", type=int, default=12)
    parser.add_argument("--members", type=int, default=24, help="simulated members of free J_ij")
    parser.add_argument("--predict", type=int, default=0, help="repetitions in which free J_ij also goes through predict (minutes each)")
    parser.add_argument("--only", nargs="*", help="methods of exactly these names on the well-specified family; merged into the results")
    arguments = parser.parse_args()
    repetitions, members = (2, 8) if arguments.quick else (arguments.repetitions, arguments.members)
    warnings.filterwarnings("ignore", module="thermoextrap|cmomy")
    started, store = time.perf_counter(), Path(__file__).parent / "results" / "transfer.json"
    before = json.loads(store.read_text()) if arguments.only else {"results": [], "notes": {}, "absent": {}}
    found: dict[tuple[str, str], list] = {}
    notes, absent = before["notes"], before.get("absent", {})
    families = {"well specified": hl.systems.Ising(GRID), "next-nearest not modelled": further_neighbours()}
    for family, system in families.items():
        if arguments.only and family != "well specified":
            continue
        truth, truth_error = reference(system, arguments.quick)
        checks: dict[str, list] = {"hamlearn, known form": [], "hamlearn, free J_ij": []}
        taus, effective = [], []
        for k in range(repetitions):
            data = observed(system, seed=100 + k)
            energy = system.energy(data["state"].values)
            taus.append(float(integrated_autocorrelation_time(energy)))
            for name, (method, limit) in methods(members, arguments.predict).items():
                well = family == "well specified"
                if (limit is not None and (k >= limit or not well)) or ("units" in name and not well):
                    continue
                if arguments.only and name not in arguments.only:
                    continue
                try:
                    mean, sd, more = method(data, energy.ravel(), k)
                except ImportError as error:
                    absent[name] = f"{error}; pip install {error.name}"
                    continue
                found.setdefault((family, name), []).append((mean - truth, sd))
                print(family, k, name, (mean - truth).round(4), np.round(sd, 4), f"{time.perf_counter() - started:.0f} s", flush=True)
                if name == "pymbar MBAR":
                    effective.append(more)
                if name in checks and (k < 4 or "known" in name) and not arguments.only:
                    checks[name].append(str(provenance_of(diagnose(more, data, seed=k)).check.decision))
        if not arguments.only:
            notes[family] = {"exact": truth.tolist(), "error": truth_error.tolist(), "tau": float(np.mean(taus)), "check": checks}
            notes[family]["n_eff"] = np.mean(effective, 0).round(1).tolist() if effective else None
    fresh = {key: lines_of(*key, values) for key, values in found.items()}
    order = [(family, name) for family in families for name in methods(members, 0)]
    kept = {key: [line for line in before["results"] if (line["family"], line["method"]) == key] for key in order}
    lines = [line for key in order for line in fresh.get(key, kept[key])]
    columns = ["family", "method", "K", "repetitions", "mean error", "rms error", "mean claimed sd", "rms z"]
    rows = [
        [line["family"], line["method"], f"{line['K']:.4g}", line["repetitions"]]
        + [f"{line[key]:+.4f}" if key == "mean_error" else f"{line[key]:.4f}" for key in ("mean_error", "rms_error", "claimed_sd")]
        + [f"{line['rms_z']:.2f}"]
        for line in lines
    ]
    text = table(columns, rows)
    for family, note in notes.items():
        for name, decisions in note["check"].items():
            counted = {decision: decisions.count(decision) for decision in sorted(set(decisions))}
            text += f"\nPredictive check, {family}, {name}: {json.dumps(counted)}."
        text += f"\nEnergy per site of the truth, {family}: {np.round(note['exact'], 5).tolist()} ± {np.round(note['error'], 5).tolist()};"
        text += f" τ of the rows' energy {note['tau']:.2f}; pymbar's n_eff {note.get('n_eff')}.\n"
    for name, why in absent.items():
        text += f"\n{name} took no part: {why}\n"
    print(text)
    if not arguments.quick:
        settings = {"K observed": K0, "J2": J2, "members": f"64 (known form), {members} (free)", "seeds": "repetition k: data 100+k"}
        record = {"settings": settings, "versions": versions("pymbar", "thermoextrap"), "results": lines, "notes": notes, "absent": absent}
        write(Path(__file__), __doc__, text, record)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
