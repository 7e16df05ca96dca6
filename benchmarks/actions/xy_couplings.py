"""XY L = 16: J by pseudo-likelihood at every temperature, and what one temperature predicts of the others.

9000 configurations per temperature from the cluster sampler, J = 1. "tied": one J for all bonds, with its calibrated sd and
deviation; "per bond": 512 couplings, root mean square deviation, and 90 % intervals that contain 1. Predictions: members
of the tied posterior at one temperature, simulated at another, against an independent simulation of the true system.

    python xy_couplings.py learn 0.7      (once per temperature; results accumulate; a third word, uniform or bond, does one only)
    python xy_couplings.py predict 1.0
    python xy_couplings.py table
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

import hamlearn as hl
from hamlearn.systems import observables

STORE = Path(__file__).resolve().parent / "results" / "xy_couplings.json"
SHAPE, SIZE, CHAINS = (16, 16), 9000, 20
TEMPERATURES = (0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 1.5)
NAMES = ("energy", "vortex_density", "helicity")


def keep(kind: str, key: str, row: dict) -> None:
    """Add a row to the store."""
    store = json.loads(STORE.read_text()) if STORE.exists() else {}
    store.setdefault(kind, {}).setdefault(key, {}).update(row)
    STORE.write_text(json.dumps(store, indent=1))


def data_at(temperature: float, seed: int) -> object:
    """Configurations of the true system."""
    return hl.simulate(hl.systems.XY(SHAPE), beta=1 / temperature, draws=SIZE // CHAINS, chains=CHAINS, seed=seed, thin=12)


def learn(temperature: float, ties: tuple[str, ...] = ("uniform", "bond")) -> None:
    """J tied and per bond."""
    data, row = data_at(temperature, round(100 * temperature)), {}
    row["tau"] = float(data.attrs["tau_int"])
    for tie in ties:
        started = time.perf_counter()
        model = hl.models.Couplings(hl.systems.lattice.hypercubic(SHAPE), tie=tie, fields=None)
        post = hl.infer.learn(data, model, likelihood="pseudo", engine="laplace")
        J = post["posterior"]["J"].values.reshape(-1, 512)
        low, high = np.quantile(J, [0.05, 0.95], axis=0)
        row[tie] = {
            "mean": float(J.mean()),
            "sd": float(J[:, 0].std()),
            "rms": float(np.sqrt(((J.mean(0) - 1) ** 2).mean())),
            "inside": float(((low < 1) & (high > 1)).mean()),
            "seconds": time.perf_counter() - started,
        }
    keep("learn", f"{temperature:g}", row)


def predict(temperature: float) -> None:
    """Predictions from one temperature at all others, and independent simulations there."""
    model = hl.models.Couplings(hl.systems.lattice.hypercubic(SHAPE), tie="uniform", fields=None)
    post = hl.infer.learn(data_at(temperature, 7), model, likelihood="pseudo", engine="laplace")
    betas = np.sort([1 / other for other in TEMPERATURES])
    started = time.perf_counter()
    curve = hl.predict(post, betas, observables=NAMES, members=12)
    seconds = time.perf_counter() - started
    rows = {}
    for k, beta in enumerate(betas):
        x = data_at(1 / beta, round(1000 * beta)).pipe(lambda data: data["state"].values)
        system = hl.systems.XY(SHAPE)
        blocks = {
            "energy": [system.energy(chain).mean() / 256 for chain in x],
            "vortex_density": [np.mean(observables.vortex_density(chain, system.lattice)) for chain in x],
            "helicity": [np.mean(observables.helicity_modulus(chain, system, beta)) for chain in x],
        }
        row = {}
        for name, values in blocks.items():
            found = curve[name].isel(beta=k)
            row[name] = [float(found.sel(quantity=q)) for q in ("mean", "lower", "upper", "mc_error")]
            row[name] += [float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))]
        rows[f"{1 / beta:.4g}"] = row
    keep("predict", f"{temperature:g}", {"rows": rows, "seconds": seconds})


def table() -> None:
    """Write the markdown."""
    store = json.loads(STORE.read_text())
    text = (
        "| T | τ (draws) | J tied | sd | deviation | J per bond, rms deviation | inside 90 % | seconds tied / per bond |\n"
        + "|"
        + " --- |" * 8
    )
    for key, row in sorted(store.get("learn", {}).items(), key=lambda item: float(item[0])):
        tied, bond = row["uniform"], row.get("bond")
        cells = [key, f"{row['tau']:.2g}", f"{tied['mean']:.5f}", f"{tied['sd']:.5f}", f"{100 * (tied['mean'] - 1):+.2f} %"]
        if bond:
            cells += [f"{100 * bond['rms']:.1f} %", f"{bond['inside']:.0%}", f"{tied['seconds']:.0f} / {bond['seconds']:.0f}"]
        else:
            cells += ["not run", "not run", f"{tied['seconds']:.0f} / –"]
        text += "\n| " + " | ".join(cells) + " |"
    for source, found in store.get("predict", {}).items():
        text += f"\n\nPredicted from T = {source} ({found['seconds']:.0f} s): mean [90 % band] ± simulation error; "
        text += "in brackets the true system's own simulation.\n\n"
        text += "| T | energy per site | vortices per site | helicity modulus |\n|" + " --- |" * 4
        for key, row in sorted(found["rows"].items(), key=lambda item: float(item[0])):
            cells = []
            for name in NAMES:
                mean, low, high, error, true, spread = row[name]
                cells.append(f"{mean:.4f} [{low:.4f}, {high:.4f}] ± {error:.4f} ({true:.4f} ± {spread:.4f})")
            text += f"\n| {key} | " + " | ".join(cells) + " |"
    head = (__doc__ or "").split("    python")[0].strip()
    (STORE.parent / "xy_couplings.md").write_text(f"# {head}\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    if sys.argv[1] == "table":
        table()
    elif len(sys.argv) > 3:
        learn(float(sys.argv[2]), (sys.argv[3],))
    else:
        {"learn": learn, "predict": predict}[sys.argv[1]](float(sys.argv[2]))
