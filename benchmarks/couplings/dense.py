"""Dense graphs: coupling RMSE against the Cramér–Rao bound, and seconds against scikit-learn and CoNIII.

    python benchmarks/couplings/dense.py [--quick] [--n 200] [--coniii /path/to/venv/bin/python]

N = 9 and N = 12 Sherrington–Kirkpatrick spins, J ~ N(0, 1/N), h ~ U(−0.3, 0.3), β = 1; every data set has its own
couplings and 10⁴ exact independent samples. All couplings and fields are free. The bound is that of the exact
likelihood, computed here by enumeration: rms over couplings of sqrt(diag(F⁻¹)/M). RMSEs and bounds are pooled (root
mean square) over data sets and couplings; the error of their ratio is a bootstrap over data sets.

Also 4×4 (J = 0.4) and 8×8 (J = 0.3) Ising ferromagnets on the torus with all pairs and no fields free.

CoNIII 3.0.1 runs in an environment of its own (see peer_coniii.py) on the same file; without ``--coniii`` its rows
are left out.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import microstates, nodewise, parser, rms, timed, write

import hamlearn as hl
from hamlearn.infer import learn
from hamlearn.infer.settings import MLE

M, BETA = 10_000, 1.0
POINT = MLE(draws=1, chains=1)


def sk(n_sites: int, seed: int) -> Any:
    h = np.random.default_rng(10_000 + seed).uniform(-0.3, 0.3, n_sites)
    return hl.systems.SherringtonKirkpatrick(n_sites, seed=seed, h=h)


def fisher_bound(couplings: np.ndarray, fields: np.ndarray | None, pairs: np.ndarray) -> float:
    """rms over `pairs` (n, 2) of the Cramér–Rao standard error at β = 1 with M samples, by enumeration; independent of hamlearn."""
    n = int(pairs.max()) + 1
    states = 1.0 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    features = states[:, pairs[:, 0]] * states[:, pairs[:, 1]]
    exponent = features @ couplings
    if fields is not None:
        exponent += states @ fields
        features = np.concatenate([features, states], 1)
    weight = np.exp(exponent - exponent.max())
    weight /= weight.sum()
    mean = weight @ features
    fisher = (features * weight[:, None]).T @ features - np.outer(mean, mean)
    return rms(np.sqrt(np.diag(np.linalg.inv(fisher))[: len(pairs)] / M))


class Column:
    """Errors and seconds of one method on one system, data set by data set."""

    def __init__(self) -> None:
        self.mse: list[float] = []
        self.seconds: list[float] = []
        self.first = float("nan")

    def add(self, estimate: np.ndarray, truth: np.ndarray, seconds: float) -> None:
        if not self.mse:
            self.first = seconds  # compilation and caches; apart from the warm times
        else:
            self.seconds.append(seconds)
        self.mse.append(float(np.mean((estimate - truth) ** 2)))

    def row(self, system: str, method: str, bounds: list[float], peer: Column | None = None) -> dict[str, Any]:
        result: dict[str, Any] = {"system": system, "method": method, "data sets": len(self.mse), "RMSE": float(np.sqrt(np.mean(self.mse)))}
        if bounds:
            ours, theirs = np.array(self.mse), np.array(bounds[: len(self.mse)]) ** 2
            pick = np.random.default_rng(0).integers(len(ours), size=(2000, len(ours)))
            ratio = np.sqrt(ours[pick].mean(1) / theirs[pick].mean(1))
            result |= {
                "bound": rms(bounds[: len(self.mse)]),
                "RMSE / bound": f"{np.sqrt(ours.mean() / theirs.mean()):.3f} ± {ratio.std():.3f}",
            }
        result |= {"first call (s)": self.first, "warm (s)": float(np.median(self.seconds)) if self.seconds else float("nan")}
        if peer is not None and peer is not self and self.seconds and peer.seconds:
            result["× node-wise logistic"] = float(np.median(self.seconds) / np.median(peer.seconds))
        return result


def run_coniii(python: str, spins: list[np.ndarray], solvers: str) -> list[dict[str, Any]]:
    """CoNIII on the same samples, in its own environment: one process per call, its start-up and compilation apart."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spins.npy"
        np.save(path, np.stack(spins))
        script = Path(__file__).with_name("peer_coniii.py")
        done = subprocess.run([python, str(script), str(path), solvers], capture_output=True, text=True, timeout=900, check=False)
    lines = [line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        print("CoNIII failed:", done.stderr[-500:])
    return [json.loads(line) for line in lines]


def sherrington(n_sites: int, n: int, coniii: str | None, peers: int) -> list[dict[str, Any]]:
    label, model = f"N={n_sites} SK with fields", hl.models.Couplings(None)
    names = ("hamlearn exact, point", "hamlearn pseudo, point", "hamlearn exact, learn", "hamlearn pseudo, learn", "node-wise logistic")
    columns = {name: Column() for name in names}
    bounds, kept, truths = [], [], []
    for seed in range(n):
        system = sk(n_sites, seed)
        data = microstates(system, BETA, M, 20_000 + seed)
        spins = data["state"].values.reshape(M, n_sites).astype(float)
        bounds.append(fisher_bound(system.J, system.h, system.lattice.bonds))
        for likelihood in ("exact", "pseudo"):
            post, seconds = timed(learn, data, model, likelihood=likelihood, engine=POINT, calibrate=False)
            columns[f"hamlearn {likelihood}, point"].add(post["point"]["J"].values, system.J, seconds)
            if seed < 20:
                post, seconds = timed(learn, data, model, likelihood=likelihood, engine="mle")
                columns[f"hamlearn {likelihood}, learn"].add(post["point"]["J"].values, system.J, seconds)
        matrix, seconds = timed(nodewise, spins)
        columns["node-wise logistic"].add(matrix[np.triu_indices(n_sites, 1)], system.J, seconds)
        if seed < peers:
            kept.append(spins.astype(int))
            truths.append(system.J)
    peer = columns["node-wise logistic"]
    rows = [columns[name].row(label, name, bounds, peer) for name in names]
    if coniii:
        base = {name: float(np.median(columns[f"hamlearn {name}, point"].seconds)) for name in ("exact", "pseudo")}
        for result in run_coniii(coniii, kept, "both"):
            errors = [rms(np.array(estimate) - truth) for estimate, truth in zip(result["J"], truths, strict=True)]
            ours = base["exact" if result["solver"] == "Enumerate" else "pseudo"]
            rows.append(
                {
                    "system": label,
                    "method": f"CoNIII {result['version']} {result['solver']}",
                    "data sets": len(errors),
                    "RMSE": rms(errors),
                    "bound": rms(bounds[: len(errors)]),
                    "RMSE / bound": f"{rms(errors) / rms(bounds[: len(errors)]):.3f}",
                    "first call (s)": result["seconds"][0],
                    "warm (s)": float(np.median(result["seconds"][1:])),
                    "× node-wise logistic": float(np.median(result["seconds"][1:]) / np.median(peer.seconds)),
                    "× hamlearn, same kind": float(np.median(result["seconds"][1:]) / ours),
                }
            )
    return rows


def ferromagnet(shape: tuple[int, int], J: float, n: int, *, bound: bool) -> list[dict[str, Any]]:
    label, model = f"{shape[0]}×{shape[1]} ferro J={J}, all pairs", hl.models.Couplings(None, fields=None)
    system = hl.systems.Ising(shape, J=J)
    n_sites = system.lattice.n_sites
    pairs = np.stack(np.triu_indices(n_sites, 1), 1)
    truth = np.zeros((n_sites, n_sites))
    np.add.at(truth, tuple(np.sort(system.lattice.bonds, 1).T), J)
    truth = truth[tuple(pairs.T)]
    bounds = [fisher_bound(truth, None, pairs)] * n if bound else []
    point, full, peer = Column(), Column(), Column()
    for seed in range(n):
        data = microstates(system, BETA, M, 30_000 + seed)
        spins = data["state"].values.reshape(M, n_sites).astype(float)
        post, seconds = timed(learn, data, model, likelihood="pseudo", engine=POINT, calibrate=False)
        point.add(post["point"]["J"].values, truth, seconds)
        if seed < 3:
            post, seconds = timed(learn, data, model, likelihood="pseudo", engine="mle")
            full.add(post["point"]["J"].values, truth, seconds)
        matrix, seconds = timed(nodewise, spins)
        peer.add(matrix[tuple(pairs.T)], truth, seconds)
    named = {"hamlearn pseudo, point": point, "hamlearn pseudo, learn": full, "node-wise logistic": peer}
    return [column.row(label, name, bounds, peer) for name, column in named.items()]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=200, help="data sets of the SK systems")
    options.add_argument("--n12", type=int, help="data sets of N = 12 (default: as many)")
    options.add_argument("--lattices", type=int, default=20, help="data sets of the 4×4 ferromagnet; a tenth of it 8×8")
    options.add_argument("--peers", type=int, default=2, help="data sets that CoNIII gets")
    options.add_argument("--coniii", help="Python of an environment that has CoNIII 3.0.1")
    given = options.parse_args()
    n, n12 = (4, 3) if given.quick else (given.n, given.n12 or given.n)
    lattices = 2 if given.quick else given.lattices
    if given.coniii is None:
        print("CoNIII takes no part: peer_coniii.py says how to make an environment for it, whose Python --coniii takes")
    rows = sherrington(9, n, given.coniii, given.peers)
    rows += sherrington(12, n12, given.coniii, given.peers)
    squares = ferromagnet((4, 4), 0.4, lattices, bound=True) + ferromagnet((8, 8), 0.3, max(2, lattices // 10), bound=False)
    notes = [
        "10⁴ exact samples a data set. *point*: `learn(engine=MLE(draws=1, chains=1), calibrate=False)`, the whole call from "
        "microstates to tree; *learn*: the default `engine='mle'`, with calibrated error bars and 4000 draws. Neither computes the "
        "verdict's predictive checks. Warm seconds are medians; the first call (compilation, caches) is apart. One thread."
    ]
    tables = {"Dense spin glasses": rows, "Ferromagnets, all pairs free": squares}
    settings = {
        "samples": M,
        "beta": BETA,
        "J": "N(0, 1/N)",
        "h": "U(-0.3, 0.3)",
        "seeds": f"couplings 0..{n - 1}, fields 10000+, samples 20000+",
    }
    write("dense", "Dense graphs: coupling error and seconds", notes, tables, settings, save=not given.quick)


if __name__ == "__main__":
    main()
