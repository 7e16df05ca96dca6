"""Couplings and field vectors of O(n) spins from their conditionals: do 90 % intervals hold the truth?

Per data set a new 4×4 periodic lattice of unit vectors: 32 couplings J ~ N(0.6, 0.4²) and 16 field vectors with components
N(0, 0.3²), β = 0.8, and 4 chains of 250 draws, 4 over-relaxed sweeps apart: autocorrelated, as data are. Learned by the
von Mises–Fisher pseudo-likelihood (or score matching), Laplace engine with its calibration, as `hl.learn` does it. A data set's
entries share its rows, so the binomial error is of the share averaged over data sets, from their scatter. Last, one tied coupling of a
Heisenberg ferromagnet, where a data set is one entry and its error is binomial.

    python vectors.py run 3 pseudo 40      (components, likelihood, data sets; results accumulate)
    python vectors.py tied 100
    python vectors.py table
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from common import RESULTS, write

import hamlearn as hl

STORE = RESULTS / "vectors_sets.json"
SQUARE = hl.systems.lattice.hypercubic((4, 4))
BETA, DRAWS, CHAINS, THIN = 0.8, 250, 4, 4


def keep(key: str, rows: list) -> None:
    """Add rows to the store."""
    store = json.loads(STORE.read_text()) if STORE.exists() else {}
    store[key] = rows
    STORE.write_text(json.dumps({key: np.round(found, 4).tolist() for key, found in store.items()}))


def covered(found: object, name: str, truth: np.ndarray) -> tuple[float, float, float]:
    """Share of 90 % intervals that hold the truth, root mean square z, and the mean sd."""
    draws = found[name].values.reshape(-1, *truth.shape)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    z = (draws.mean(0) - truth) / draws.std(0)
    return float(((low < truth) & (truth < high)).mean()), float(np.sqrt((z**2).mean())), float(draws.std(0).mean())


def run(n: int, likelihood: str, sets: int) -> None:
    """Data sets with couplings and fields of their own."""
    rows = []
    for seed in range(sets):
        rng = np.random.default_rng([seed, n])
        J, h = rng.normal(0.6, 0.4, SQUARE.n_bonds), rng.normal(0, 0.3, (16, n))
        truth = hl.systems.VectorSpins(SQUARE, J, h, n)
        data = hl.simulate(truth, BETA, DRAWS, CHAINS, seed=seed, sampler="overrelaxation", thin=THIN, progress=False)
        started = time.process_time()
        post = hl.infer.learn(data, hl.models.Couplings(SQUARE), likelihood=likelihood, engine="laplace", seed=seed)
        found = post["posterior"].to_dataset()
        rows.append([*covered(found, "J", J), *covered(found, "h", h), float(data.attrs["tau_int"]), time.process_time() - started])
    keep(f"{n} {likelihood}", rows)


def tied(sets: int) -> None:
    """One coupling of a ferromagnet."""
    rows = []
    for seed in range(sets):
        data = hl.simulate(
            hl.systems.Heisenberg(SQUARE), BETA, DRAWS, CHAINS, seed=seed, sampler="overrelaxation", thin=THIN, progress=False
        )
        model = hl.models.Couplings(SQUARE, tie="uniform", fields=None)
        found = hl.infer.learn(data, model, engine="laplace", seed=seed)["posterior"].to_dataset()
        rows.append(list(covered(found.isel(bond=[0]), "J", np.ones(1))))
    keep("3 tied", rows)


def table() -> None:
    """Write the markdown."""
    store, rows = json.loads(STORE.read_text()), []
    for key, found in sorted(store.items()):
        array, (n, likelihood) = np.array(found), key.split()
        mean, error, root = array.mean(0), array.std(0, ddof=1) / np.sqrt(len(array)), np.sqrt((array**2).mean(0))
        if likelihood == "tied":  # an interval a data set
            error[0] = np.sqrt(0.09 / len(array))
        row = {"components": n, "likelihood": "pseudo, one J" if likelihood == "tied" else likelihood, "data sets": len(array)}
        for name, k in (("J", 0), ("h", 3)) if likelihood != "tied" else (("J", 0),):
            row |= {f"{name} covered": f"{100 * mean[k]:.1f} ± {100 * error[k]:.1f} %"}
            row |= {f"{name}: RMS z": f"{root[k + 1]:.2f}", f"{name}: sd": f"{mean[k + 2]:.4f}"}
        row |= {} if likelihood == "tied" else {"tau (draws)": f"{mean[6]:.2f}", "CPU s": f"{mean[7]:.2f}"}
        rows.append(row)
    head = (__doc__ or "").split("    python")[0].strip().split("\n\n", 1)
    settings = {"beta": BETA, "draws": DRAWS, "chains": CHAINS, "sweeps per draw": THIN}
    write("vectors", head[0], [head[1]], {"Coverage of 90 % intervals": rows}, settings, save=True)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "run":
        run(int(words[0]), words[1], int(words[2]))
    elif what == "tied":
        tied(int(words[0]))
    else:
        table()
