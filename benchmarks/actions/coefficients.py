"""Coefficients of the double well learned from paths: coverage, efficiency, and what they extrapolate to.

S = Σ (Δx)²/(2a) + aV, V = (λ/4)(x² − μ²/λ)², λ = 4, μ = 2.8: κ = 1, c₂ = −3.92, c₄ = 1. Every data set holds independent
exact paths. "inside": 90 % intervals that contain the truth, out of all data sets (82 to 97 % is chance for 60, 75 to 100 % for 20);
"rms error / claimed sd": scatter of the estimates about the truth over the claimed standard deviation; "sd / sd(exact)": claimed
sd relative to that of the exact likelihood, the Cramér–Rao bound.
Extrapolation: R² of the posterior mean action against the true one on 2000 exact paths at the target, the worst of all
data sets, with the predicted and the measured effective sample size of reweighting (means).

    python coefficients.py run --setting 0 --sets 0:60     (results accumulate; sets that are there are skipped)
    python coefficients.py table
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path as File

import numpy as np
from ring_paths import action, paths

import hamlearn as hl
from hamlearn.infer.extrapolation.extrapolate import extrapolate

TRUTH = {"kinetic": 1.0, "c2": -3.92, "c4": 1.0}
SETTINGS = [
    {"n_tau": 64, "betas": [20.0, 40.0, 80.0], "size": 10_000, "extrapolate": [[[20.0, 80.0], 40.0], [[20.0, 40.0], 80.0]]},
    {"n_tau": 256, "betas": [20.0], "size": 2_500, "extrapolate": []},
]
LIKELIHOODS = ("score", "pseudo", "exact")
COMPARED = 20  # data sets on which all likelihoods are compared; the others are for score matching alone
STORE = File(__file__).resolve().parent / "results" / "coefficients.json"
MODEL = hl.models.PolynomialAction(powers=(2, 4))


def summary(post: object) -> list[list[float]]:
    """Mean, sd, 5 % and 95 % quantile of every coefficient."""
    group = post["posterior"]
    draws = np.stack([group["kinetic"].values, *np.moveaxis(group["c"].values, -1, 0)]).reshape(3, -1)
    return [[float(d.mean()), float(d.std()), *np.quantile(d, [0.05, 0.95]).tolist()] for d in draws]


def one_set(setting: dict, index: int) -> dict:
    """All fits and extrapolations of one data set."""
    posts, row = {}, {"fits": {}, "extrapolations": {}, "seconds": {}}
    for beta in setting["betas"]:
        x = paths(setting["n_tau"], beta, setting["size"], seed=1_000_003 * index + int(beta))
        data = hl.microstates(x, space="reals", beta=beta)
        for name in LIKELIHOODS if index < COMPARED else LIKELIHOODS[:1]:
            started = time.perf_counter()
            post = hl.infer.learn(data, MODEL, likelihood=name, seed=index)
            row["seconds"][f"{name} {beta:g}"] = time.perf_counter() - started
            row["fits"][f"{name} {beta:g}"] = summary(post)
            if name == "score":
                posts[beta] = post
    for sources, target in setting["extrapolate"]:
        joined = extrapolate([posts[beta] for beta in sources], target, seed=index)
        x = paths(setting["n_tau"], target, 2000, seed=77_000 + index)
        learned, true = hl.action(joined, x, draws=64, seed=index).values, action(x, target)
        error = learned - true
        weight = np.exp(-(error - error.min(1, keepdims=True)))
        facts = hl.infer.posteriors.provenance_of(joined).extrapolation
        row["extrapolations"][f"{'+'.join(f'{b:g}' for b in sources)} -> {target:g}"] = {
            "r2": float(np.corrcoef(learned.mean(0), true)[0, 1] ** 2),
            "ess": float((weight.sum(1) ** 2 / (weight**2).sum(1)).mean() / len(true)),
            "predicted_ess": facts["predicted_ess"],
            "amplification": facts["amplification"],
            "summary": summary(joined),
        }
    return row


def run(setting: int, first: int, last: int, limit: float) -> None:
    """Fit data sets `first` to `last` of a setting and add them to the store."""
    started = time.perf_counter()
    for index in range(first, last):
        store = json.loads(STORE.read_text()) if STORE.exists() else {}
        if str(index) in store.get(str(setting), {}) or time.perf_counter() - started > limit:
            continue
        row = one_set(SETTINGS[setting], index)
        store = json.loads(STORE.read_text()) if STORE.exists() else {}
        store.setdefault(str(setting), {})[str(index)] = row
        STORE.write_text(json.dumps(store))


def tables() -> str:
    """Both tables as markdown."""
    store = json.loads(STORE.read_text())
    text = "| N_τ | β | a | paths | sets | likelihood | κ inside | c₂ inside | c₄ inside |"
    text += " rms error / claimed sd: κ | c₂ | c₄ | sd / sd(exact): κ | c₂ | c₄ | seconds |\n"
    text += "|" + " --- |" * 16 + "\n"
    for key, rows in store.items():
        setting = SETTINGS[int(key)]
        for beta in setting["betas"]:
            fits = {}
            for name in LIKELIHOODS:
                found = [row["fits"][f"{name} {beta:g}"] for row in rows.values() if f"{name} {beta:g}" in row["fits"]]
                fits[name] = np.array(found)
            bound = fits["exact"][:, :, 1].mean(0)
            for name, found in fits.items():
                truth = np.array(list(TRUTH.values()))
                inside = ((found[:, :, 2] < truth) & (truth < found[:, :, 3])).mean(0)
                claimed, scatter = found[:, :, 1].mean(0), np.sqrt(((found[:, :, 0] - truth) ** 2).mean(0))
                seconds = np.mean([row["seconds"][f"{name} {beta:g}"] for row in rows.values() if f"{name} {beta:g}" in row["seconds"]])
                cells = [setting["n_tau"], f"{beta:g}", f"{beta / setting['n_tau']:.4g}", setting["size"], len(found), name]
                cells += [f"{value:.0%}" for value in inside] + [f"{value:.2f}" for value in scatter / claimed]
                cells += [f"{value:.2f}" for value in claimed / bound] + [f"{seconds:.2g}"]
                text += "| " + " | ".join(map(str, cells)) + " |\n"
    text += "\n| from → to | sets | R², worst | ESS predicted | ESS measured | amplification | κ inside | c₂ inside | c₄ inside |\n"
    text += "|" + " --- |" * 9 + "\n"
    rows = list(store.get("0", {}).values())
    for name in rows[0]["extrapolations"] if rows else []:
        found = [row["extrapolations"][name] for row in rows]
        values = np.array([one["summary"] for one in found])
        inside = ((values[:, :, 2] < truth) & (truth < values[:, :, 3])).mean(0)
        mean = {key: np.mean([one[key] for one in found]) for key in ("ess", "predicted_ess", "amplification")}
        cells = [name.replace("->", "→"), len(found), f"{min(one['r2'] for one in found):.6f}", f"{mean['predicted_ess']:.4f}"]
        cells += [f"{mean['ess']:.4f}", f"{mean['amplification']:.2f}", *(f"{value:.0%}" for value in inside)]
        text += "| " + " | ".join(map(str, cells)) + " |\n"
    return text


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--setting", type=int, default=0)
    parser.add_argument("--sets", default="0:60")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds after which no further data set is begun")
    given = parser.parse_args()
    if given.what == "run":
        run(given.setting, *(int(part) for part in given.sets.split(":")), given.limit)
        return
    text = tables()
    head = (__doc__ or "").split("    python")[0].strip()
    (STORE.parent / "coefficients.md").write_text(f"# {head}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
