"""The share of the multi-information that pairs explain: do its intervals hold the truth?

    python benchmarks/couplings/information.py [--quick]

Worlds of 10 spins, all pairs J ~ N(0.05, 0.15²), h ~ N(−0.8, 0.3²), and K times two products of three spins. Entropies of the world, and of
the distribution of largest entropy with its means of spins and pairs, are sums over states.
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.optimize
import scipy.special
from common import parser, write

import hamlearn as hl


def shares(count: int) -> list[dict[str, object]]:
    """Whether intervals of the information hold the truth."""
    n, found = 10, []
    states = np.array(list(itertools.product([-1, 1], repeat=n)))
    i, j = np.triu_indices(n, 1)
    features = np.concatenate([states, states[:, i] * states[:, j]], 1)
    entropy = lambda p: float(-(p[p > 0] * np.log2(p[p > 0])).sum())
    for K, rows in ((0.0, 3000), (0.3, 3000), (0.3, 20_000)):
        inside, widths, truths = [], [], []
        for seed in range(count):
            rng = np.random.default_rng(seed)
            theta = np.concatenate([rng.normal(-0.8, 0.3, n), rng.normal(0.05, 0.15, len(i))])
            action = features @ theta + K * (states[:, [0, 3]] * states[:, [1, 4]] * states[:, [2, 5]]).sum(1)
            p = np.exp(action - scipy.special.logsumexp(action))
            wanted = p @ features

            def dual(theta: np.ndarray, wanted: np.ndarray = wanted) -> tuple[float, np.ndarray]:
                log_z = scipy.special.logsumexp(features @ theta)
                return log_z - theta @ wanted, np.exp(features @ theta - log_z) @ features - wanted

            pairs = float(scipy.optimize.minimize(dual, theta, jac=True, tol=1e-9).fun / np.log(2))
            alone = sum(entropy(np.array([one, 1 - one])) for one in p @ (states > 0))
            truth = {"data_entropy": entropy(p), "pair_information": alone - pairs, "share": (alone - pairs) / (alone - entropy(p))}
            data = hl.microstates(states[rng.choice(len(p), rows, p=p)], space="spins", independent=True)
            told = hl.infer.information(hl.infer.learn(data, hl.models.Couplings(None), engine="laplace"), data, seed=seed)
            inside.append([float(told[name][2]) <= one <= float(told[name][3]) for name, one in truth.items()])
            widths.append(float(told["share"][1]))
            truths.append(truth["share"])
        held = np.sum(inside, 0).astype(int)
        row: dict[str, object] = {"K": K, "rows": rows, "true share": float(np.mean(truths)), "its error": float(np.mean(widths))}
        found.append(row | {f"{name} held": f"{k} of {count}" for name, k in zip(truth, held.tolist(), strict=True)})
    return found


def main() -> None:
    given = parser(__doc__).parse_args()
    count = 4 if given.quick else 60
    notes = ["Of 60 intervals of 90 % 54 are expected to hold."]
    write("information", "The share of pairs", notes, {"Information": shares(count)}, {"spins": 10, "worlds": count}, save=not given.quick)


if __name__ == "__main__":
    main()
