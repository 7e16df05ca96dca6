"""XY L = 16: J by pseudo-likelihood at every temperature, and what one temperature predicts of the others.

9000 configurations per temperature from the cluster sampler, J = 1. "tied": one J for all bonds, with its calibrated sd and
deviation; "per bond": 512 couplings, root mean square deviation, and 90 % intervals that contain 1. Predictions: 32 members of the
tied posterior at one temperature, at all eight, against independent long simulations of the true system (20 chains of 3000).
"covered": the truth lies in the 90 % band, whose half width is combined in squares with 1.645 simulation errors of the
prediction and of the truth; all entries of one data set share the error of one J, so sets are what counts. Seconds of fits are wall
clock on two cores that up to a dozen other jobs shared.

    python xy_couplings.py learn 0.7      (once per temperature; results accumulate; a third word, uniform or bond, does one only)
    python xy_couplings.py truth 0.7      (once per temperature)
    python xy_couplings.py predict 1.0 0      (source temperature, number of the data set)
    python xy_couplings.py table
    python xy_couplings.py plot xy.png
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
QUANTITIES = ("mean", "lower", "upper", "mc_error")


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


def truth(temperature: float) -> None:
    """A long simulation of the true system: every observable with its error from chains."""
    system, beta = hl.systems.XY(SHAPE), 1 / temperature
    x = hl.simulate(system, beta=beta, draws=3000, chains=CHAINS, seed=round(1000 * beta), thin=3)["state"].values
    found = {
        "energy": [system.energy(chain).mean() / 256 for chain in x],
        "vortex_density": [np.mean(observables.vortex_density(chain, system.lattice)) for chain in x],
        "helicity": [np.mean(observables.helicity_modulus(chain, system, beta)) for chain in x],
    }
    row = {name: [float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(CHAINS))] for name, values in found.items()}
    keep("truth", f"{temperature:g}", row)


def predict(temperature: float, index: int) -> None:
    """Predictions from one data set at one temperature, at all temperatures."""
    model = hl.models.Couplings(hl.systems.lattice.hypercubic(SHAPE), tie="uniform", fields=None)
    post = hl.infer.learn(data_at(temperature, 7 + index), model, likelihood="pseudo", engine="laplace")
    started, cpu = time.perf_counter(), time.process_time()
    curve = hl.infer.predict(post, [1 / other for other in TEMPERATURES], observables=NAMES, draws=32, seed=index)
    row = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    for k, other in enumerate(TEMPERATURES):
        found = {name: [float(curve[name].isel(beta=k).sel(quantity=q)) for q in QUANTITIES] for name in NAMES}
        row[f"{other:g}"] = found
    row["J"] = [float(post["posterior"]["J"].mean()), float(post["posterior"]["J"].std())]
    keep("predict", f"{temperature:g} {index}", row)


def covered(found: list[float], true: list[float]) -> bool:
    """Whether the band with the simulations' errors contains the truth."""
    _, lower, upper, error = found
    return bool(abs(true[0] - (lower + upper) / 2) <= np.hypot((upper - lower) / 2, 1.645 * np.hypot(error, true[1])))


def plot(file: str) -> None:
    """Helicity and vortices against T, predicted and true, with the line 2T/pi that marks the transition."""
    import matplotlib.pyplot as plt

    store = json.loads(STORE.read_text())
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    row = next(iter(store["predict"].values()))
    for axis, name in zip(axes, ("helicity", "vortex_density"), strict=True):
        bands = np.array([row[f"{one:g}"][name] for one in TEMPERATURES])
        true = np.array([store["truth"][f"{one:g}"][name] for one in TEMPERATURES])
        axis.fill_between(TEMPERATURES, bands[:, 1], bands[:, 2], alpha=0.4, label="90 % band, from T = 1")
        axis.plot(TEMPERATURES, bands[:, 0])
        axis.errorbar(TEMPERATURES, true[:, 0], 1.645 * true[:, 1], fmt=".", label="true system")
        axis.set(xlabel="T", ylabel=name.replace("_", " "))
    axes[0].plot(TEMPERATURES, 2 * np.array(TEMPERATURES) / np.pi, ":", label="2T/π")
    axes[0].legend()
    figure.savefig(file)


def crossing(values: list[float]) -> float:
    """Where the helicity falls below 2T/π, linear between temperatures."""
    above = np.array(values) - 2 * np.array(TEMPERATURES) / np.pi
    k = int(np.flatnonzero(above < 0)[0])
    return float(np.interp(0, [above[k], above[k - 1]], [TEMPERATURES[k], TEMPERATURES[k - 1]]))


def predictions(store: dict) -> str:
    """The tables of predictions: one data set in full, and all of them in numbers."""
    rows, true = store.get("predict", {}), store.get("truth", {})
    if not rows or len(true) < len(TEMPERATURES):
        return ""
    first, row = next(iter(rows.items()))
    text = f"\n\nPredicted from T = {first.split()[0]}, data set {first.split()[1]} (J = {row['J'][0]:.5f} ± {row['J'][1]:.5f}): "
    text += "mean [90 % band] ± simulation error; in brackets the true system's own simulation.\n\n"
    text += "| T | energy per site | vortices per site | helicity modulus | covered |\n|" + " --- |" * 5
    for key in map("{:g}".format, TEMPERATURES):
        cells = []
        for name in NAMES:
            (mean, low, high, error), (value, spread) = row[key][name], true[key][name]
            cells.append(f"{mean:.4f} [{low:.4f}, {high:.4f}] ± {error:.4f} ({value:.4f} ± {spread:.4f})")
        inside = sum(covered(row[key][name], true[key][name]) for name in NAMES)
        text += f"\n| {key} | " + " | ".join(cells) + f" | {inside} of 3 |"
    text += "\n\nHelicity falls below 2T/π (straight lines between these temperatures) at T = "
    text += f"{crossing([row[f'{t:g}']['helicity'][0] for t in TEMPERATURES]):.3f} predicted, "
    text += f"{crossing([true[f'{t:g}']['helicity'][0] for t in TEMPERATURES]):.3f} true.\n\n"
    text += (
        "| from T | data set | J tied | entries covered of 24 | energy | vortices | helicity | z of J | seconds to predict, wall / CPU |\n"
    )
    text += "|" + " --- |" * 9
    for key, row in rows.items():
        inside = {n: sum(covered(row[f"{t:g}"][n], true[f"{t:g}"][n]) for t in TEMPERATURES) for n in NAMES}
        mean, sd = row["J"]
        text += f"\n| {' | '.join(key.split())} | {mean:.5f} ± {sd:.5f} | {sum(inside.values())} | "
        text += " | ".join(f"{one} of 8" for one in inside.values())
        text += f" | {(mean - 1) / sd:+.1f} | {row['seconds']:.0f} / {row['cpu']:.0f} |"
    return text


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
    text += predictions(store)
    head = (__doc__ or "").split("    python")[0].strip()
    (STORE.parent / "xy_couplings.md").write_text(f"# {head}\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "table":
        table()
    elif what == "plot":
        plot(words[0])
    elif what == "learn":
        learn(float(words[0]), tuple(words[1:]) or ("uniform", "bond"))
    elif what == "truth":
        truth(float(words[0]))
    else:
        predict(float(words[0]), int(words[1]))
