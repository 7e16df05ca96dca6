"""Public data at full size: what the pages of the documentation on an annealer, atoms and a protein say beyond what they run.

    python benchmarks/couplings/public.py [--only atoms annealer protein]

*Annealer*: all 500 000 readouts of 62 qubits, unregularised pseudo-likelihood. *Protein*: all 53 positions and 13 600 weighted
sequences, MAP. *Atoms*: one coupling and one field by several likelihoods, of the inner sites alone (those at the edge then have fewer
neighbours in the model than in the array) and of the inner sites given the true states around them, by logistic regression that shares no
code with the library: ln p(+)/p(−) of a site is 2h + 2J × the sum of its four neighbours. Where the model is right all agree. Data as
`hl.datasets` has them; results are kept part by part.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import RESULTS, parser, write

import hamlearn as hl
from hamlearn.systems import lattice

KEPT = RESULTS / "public_parts.json"
Rows = list[dict[str, Any]]


def annealer() -> Rows:
    """Couplings of all readouts against the wiring, with and without the sandwich."""
    data, model = hl.datasets.annealer(), hl.models.Couplings(None)
    settings = {"likelihood": "pseudo", "engine": "mle", "check": False, "seed": 0}
    post, naive = hl.learn(data, model, **settings), hl.learn(data, model, calibrate=False, **settings)
    strength = hl.infer.interaction_strength(post)
    pairs = zip(strength["site_i"].values.tolist(), strength["site_j"].values.tolist(), strict=True)
    wired = {tuple(pair) for pair in hl.datasets.annealer_wiring().tolist()}
    on = np.array([tuple(sorted(pair)) in wired for pair in pairs])
    error, raw = (one["posterior"]["J"].std(("chain", "draw")).values for one in (post, naive))
    top = np.argsort(-strength.values)[: on.sum()]
    found = {"couplers": int(on.sum()), "of them among as many strongest pairs": int(on[top].sum())}
    found |= {"weakest on": float(strength.values[on].min()), "strongest off": float(strength.values[~on].max())}
    return [found | {"median error": float(np.median(error)), "median ratio to the naive error": float(np.median(error / raw))}]


def protein() -> Rows:
    """Precision of contacts."""
    family = hl.datasets.protein()
    post = hl.learn(family, hl.models.Couplings(None, prior=hl.models.Normal(0.1)), engine="map", check=False, seed=0)
    strength = hl.infer.interaction_strength(post, ignore_state=0, average_product_correction=True)
    i, j = strength["site_i"].values, strength["site_j"].values
    distance = hl.datasets.protein_distances()[i, j]
    far = np.abs(i - j) > 4
    touching = (distance < 8)[far][np.argsort(-strength.values[far])]
    return [{"pairs": top, "precision": float(touching[:top].mean())} for top in (10, 20, 53, 80, 106, 200)]


def given_neighbours(states: np.ndarray, edge: int) -> dict[str, float]:
    """One coupling and one field of the sites at least `edge` from the border, given all that surrounds them; errors between shots."""
    inner = slice(edge, 16 - edge)
    around = (np.roll(states, 1, 1) + np.roll(states, -1, 1) + np.roll(states, 1, 2) + np.roll(states, -1, 2))[:, inner, inner]
    design = np.stack([np.ones_like(around), around], -1).reshape(len(states), -1, 2).astype(float)
    up, theta = (states[:, inner, inner].reshape(len(states), -1) + 1) / 2, np.zeros(2)
    for _ in range(30):
        p = 1 / (1 + np.exp(-2 * design @ theta))
        scores = 2 * np.einsum("rs,rsk->rk", up - p, design)
        curvature = 4 * np.einsum("rs,rsk,rsl->kl", p * (1 - p), design, design)
        theta = theta + np.linalg.solve(curvature, scores.sum(0))
    spread = np.sqrt(np.diag(np.linalg.solve(curvature, np.linalg.solve(curvature, scores.T @ scores).T)))
    return {"J": theta[1], "± J": spread[1], "h": theta[0], "± h": spread[0]}


def atoms() -> Rows:
    """One coupling and one field."""
    rows: Rows = []
    for rate, step in ((21, 0), (21, 23), (120, 23)):
        shots = hl.datasets.atoms(rate=rate, step=step)
        states = shots["state"].values[0]
        about = {"MHz/µs": rate, "Δ/Ω": float(shots.attrs["detuning"])}
        for likelihood, size in (("exact", 8), ("pseudo", 8), ("pseudo", 12), ("pseudo", 16)):
            cut = slice((16 - size) // 2, (16 + size) // 2)
            data = hl.microstates(states[:, cut, cut], space="spins", periodic=False)
            model = hl.models.Couplings(lattice.hypercubic((size, size), periodic=False), tie="uniform", fields="uniform")
            post = hl.learn(data, model, likelihood=likelihood, engine="laplace", check=False, seed=0)  # type: ignore[arg-type]
            told = {name: post["posterior"][name][..., 0] for name in ("J", "h")}
            told = {"J": told["J"].mean(), "± J": told["J"].std(), "h": told["h"].mean(), "± h": told["h"].std()}
            rows.append(about | {"sites": f"{size} × {size} alone", "likelihood": likelihood} | {key: float(v) for key, v in told.items()})
        for edge in (4, 2):
            size = 16 - 2 * edge
            rows.append(
                about
                | {"sites": f"{size} × {size}, given what surrounds them", "likelihood": "regression"}
                | given_neighbours(states, edge)
            )
    return rows


PARTS: dict[str, Callable[[], Rows]] = {"atoms": atoms, "annealer": annealer, "protein": protein}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given = options.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name in given.only:
        started = time.process_time()
        rows = PARTS[name]()
        kept[name] = {"CPU seconds": round(time.process_time() - started, 1), "rows": rows}
        if not given.quick:
            KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    tables = {f"{name} ({part['CPU seconds']:.0f} CPU s)": part["rows"] for name, part in kept.items()}
    write("public", "Public data at full size", [], tables, {"seed": 0}, save=not given.quick)


if __name__ == "__main__":
    main()
