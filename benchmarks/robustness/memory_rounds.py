"""Memory over rounds of learning and predicting: flat.

    python benchmarks/robustness/memory_rounds.py --sample 200

Every round learns from new data of a new system and predicts; the resident set is read after every round. The first twenty rounds warm
up (compiled code, caches with a bound). Flat means that the median of the last twenty rounds is less than 10 MB above that of the first
twenty after the warm-up.
"""

from __future__ import annotations

import logging
from pathlib import Path
from statistics import median

import common

WARM, WINDOW, MOST = 20, 20, 10.0


def resident() -> float:
    """Megabytes that this process holds now."""
    import os

    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def rounds(sample: int, seed: int) -> list[float]:
    """In a child: megabytes after every round."""
    import gc

    import hamlearn as hl

    logging.getLogger("hamlearn").setLevel(logging.ERROR)
    found = []
    for index in range(WARM + sample):
        glass = hl.systems.EdwardsAnderson((3, 3), seed=seed + index)
        data = hl.simulate(glass, beta=0.5, draws=200, chains=2, seed=index, sampler="exact")
        model = hl.models.Couplings(glass.lattice, fields=None)
        post = hl.learn(data, model, engine="laplace", check=index % 4 == 0, seed=index)
        hl.predict(post, beta=[0.3, 0.6], draws=8, seed=index)
        hl.verdict(post)
        gc.collect()
        found.append(resident())
    return found[WARM:]


def audit(sample: int, seed: int, only: str = "", quiet: bool = False) -> common.Part:
    """The rounds."""
    command = f"python benchmarks/robustness/memory_rounds.py --sample {sample} --seed {seed}"
    part = common.Part("memory", "Memory over learn–predict rounds", command, quiet=quiet)
    common.import_everything()
    outcome = common.isolated(lambda: rounds(sample, seed), 3600)
    row = "learn, predict, verdict"
    if outcome.kind != "value":
        part.fault(row, outcome.kind, outcome.message, command)
        return part
    found, window = outcome.value, min(WINDOW, max(1, sample // 4))
    first, last = median(found[:window]), median(found[-window:])
    part.put(row, "rounds", len(found))
    part.put(row, "MB after the warm-up", round(first, 1))
    part.put(row, "MB at the end", round(last, 1))
    if last - first > MOST:
        part.fault(row, "grows", f"{last - first:.1f} MB over {len(found)} rounds", command)
    return part


if __name__ == "__main__":
    options = common.arguments(__doc__, 200)
    raise SystemExit(common.finish(audit(options.sample, options.seed, options.only), options.faults))
