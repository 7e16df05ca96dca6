"""Entropies of spins that no oracle knows, by annealed walks: bias in units of their own error, where all states can be listed too.

    python benchmarks/couplings/entropy.py [--quick]

Sixty worlds a row, all pairs of 20 spins at β = 1: neurons (J ~ N(0.05, 0.15²), h ~ N(−1, 0.4²)), a glass (J ~ N(0, 1/20),
h ~ N(0, 0.1²)) and a cold one (2.5 times as strong). Every world is estimated by itself, without the oracle that would know it, and
compared with its sum over states. "the ladder" is the tempering with acceptance ratios that answered before. Then intervals of posteriors:
glasses of twenty spins learned from 2000 rows each by the pseudo-likelihood, their entropies by ``hl.predict`` with the oracles hidden,
against their sums over states (39 of 60 are on record). Then fifty neurons, one set.
"""

from __future__ import annotations

import time

import numpy as np
from common import parser, write

import hamlearn as hl
from hamlearn.infer.predictions import annealed, members, simulated
from hamlearn.infer.predictions.work import Work
from hamlearn.systems import Pairwise, exact, lattice
from hamlearn.systems.exact import registry
from hamlearn.systems.observables import looked_up

ONE = np.array([1.0])
WORLDS = {"neurons": (0.05, 0.15, -1.0, 0.4), "glass": (0.0, 20**-0.5, 0.0, 0.1), "cold glass": (0.0, 2.5 * 20**-0.5, 0.0, 0.1)}


def world(n: int, J: float, scatter: float, h: float, spread: float, seed: int) -> Pairwise:
    rng, graph = np.random.default_rng(seed), lattice.complete(n)
    return Pairwise(graph, rng.normal(J, scatter, graph.n_bonds), rng.normal(h, spread, n))


def estimates(count: int) -> list[dict[str, object]]:
    """Errors in their own units, of walks and of the ladder."""
    found = []
    for name, numbers in WORLDS.items():
        worlds = [world(20, *numbers, seed) for seed in range(count)]
        truth = [exact.thermodynamics(one, 1.0) for one in worlds]
        records = looked_up(["free_energy", "entropy"], worlds[0])
        started = time.process_time()
        walks = [annealed.from_walks([one], ONE, records, seed, Work()) for seed, one in enumerate(worlds)]
        seconds = (time.process_time() - started) / count
        ladder = simulated._tempered(worlds, ONE, records, 0, Work())
        for record, told, per_site in (("free_energy", "ln Z", 20.0), ("entropy", "entropy, bits", 20.0 / np.log(2))):
            exactly = np.array([float(one[record].values[0]) for one in truth])
            for how, value, error in (
                ("walks", [one[record].values[0, 0] for one in walks], [one[record].errors[0, 0] for one in walks]),
                ("the ladder", ladder[record].values[:, 0], ladder[record].errors[:, 0]),
            ):
                off, z = np.array(value) - exactly, (np.array(value) - exactly) / np.array(error)
                row = {"worlds": name, "of": told, "by": how, "rms error": float(per_site * np.sqrt(np.mean(off**2)))}
                row |= {"mean z": float(z.mean()), "±": float(z.std(ddof=1) / np.sqrt(count)), "sd z": float(z.std(ddof=1))}
                row |= {"90 % hold": f"{int((np.abs(z) < 1.645).sum())} of {count}"}
                walked = how == "walks"
                row |= {"smallest share": float(min(one[record].share[0] for one in walks)) if walked else "–"}
                found.append(row | {"CPU s": seconds if walked else "–"})
    return found


ASKED = ("entropy_bits", "multi_information")


def interval(seed: int) -> tuple[np.ndarray, float]:
    """Of one population ``(observable, 5)``: mean, sd and ends of the posterior's interval, and what its own sum over states gives."""
    spins, started = world(20, *WORLDS["glass"], seed), time.process_time()
    truth = members.estimate([spins], ONE, looked_up(ASKED, spins), seed)
    data = hl.microstates(exact.sample(spins, 1.0, 2000, seed=seed), space="spins", beta=1.0, independent=True)
    post = hl.infer.learn(data, hl.models.Couplings(None), likelihood="pseudo", engine="laplace", seed=seed)
    known, registry.ORACLES[:] = list(registry.ORACLES), []
    told = hl.infer.predict(post, 1.0, observables=ASKED, draws=24, seed=seed).isel(beta=0)
    registry.ORACLES[:] = known
    ends = [[*told[name].sel(quantity=["mean", "sd", "lower", "upper"]).values, truth[name].values[0, 0]] for name in ASKED]
    return np.array(ends), time.process_time() - started


def intervals(count: int) -> list[dict[str, object]]:
    """Twenty spins, every population learned from few rows: how many intervals hold the truth."""
    rows, seconds = zip(*map(interval, range(count)), strict=True)
    return [_held(name, np.array(rows)[:, k], float(np.mean(seconds))) for k, name in enumerate(ASKED)]


def _held(name: str, rows: np.ndarray, seconds: float) -> dict[str, object]:
    mean, sd, low, high, truth = rows.T
    z = (mean - truth) / sd
    row: dict[str, object] = {"observable": name, "90 % hold": f"{int(((low <= truth) & (truth <= high)).sum())} of {len(rows)}"}
    row |= {"mean width": float((high - low).mean()), "scatter of the means": float((mean - truth).std(ddof=1))}
    return row | {"mean z": float(z.mean()), "sd z": float(z.std(ddof=1)), "CPU s a set": seconds}


def fifty() -> list[dict[str, object]]:
    """Fifty neurons, learned from 80 000 rows of them."""
    neurons = world(50, 0.02, 0.06, -0.6, 0.3, 0)
    states = hl.simulate(neurons, 1.0, draws=5000, chains=16, thin=4, seed=0)["state"].values.reshape(-1, 50)
    post = hl.infer.learn(hl.microstates(states, space="spins", independent=True), hl.models.Couplings(None), engine="laplace")
    started = time.process_time()
    told = hl.infer.predict(post, 1.0, observables=["entropy_bits", "multi_information"])
    seconds = time.process_time() - started
    # Two alike: walks are added as long as that is affordable.
    truth = annealed.from_walks([neurons, neurons], ONE, looked_up(["entropy_bits"], neurons), 1, Work())["entropy_bits"]
    return [
        {
            "observable": name,
            **{str(key): float(told[name].sel(quantity=key)[0]) for key in ("mean", "sd", "lower", "upper", "mc_error")},
            "of the truth": f"{truth.values[0, 0]:.3f} ± {truth.shared[0]:.3f}" if name == "entropy_bits" else "–",
            "share of walks": float(told["predicted_ess"][0]),
            "CPU s": seconds,
        }
        for name in ("entropy_bits", "multi_information")
    ]


def main() -> None:
    given = parser(__doc__).parse_args()
    count = 6 if given.quick else 60
    tables = {"Twenty spins, against sums over states": estimates(count)}
    tables["Glasses of twenty spins from 2000 rows: intervals of posteriors, by walks"] = intervals(count)
    tables["Fifty neurons from 80 000 rows"] = fifty()
    notes = ["z is the error in units of the one that is quoted; 54 of 60 are expected inside 1.645 of them."]
    write("entropy", "Entropies by annealed walks", notes, tables, {"worlds": count, "spins": 20}, save=not given.quick)


if __name__ == "__main__":
    main()
