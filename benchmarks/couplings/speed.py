"""NUTS of 128 free couplings of an 8×8 glass: does the cost depend on the number of microstates, and what does it take?

    python benchmarks/couplings/speed.py [--quick] [--sizes 10000 1000000]

Glass EdwardsAnderson((8, 8), seed=1) at β = 0.5 from exact samples; pseudo-likelihood of local patterns, calibrated;
4 chains × 1000 draws after 300 of warm-up. The process pins itself to one core. Stages as `learn` goes through them:
*read* (to value indices), *compress* (one pass to pattern counts), *optimum* (Newton), *calibrate* (one more pass),
*NUTS* (NumPyro's compilation included; also given apart, as the time of a run of one draw).
"""

from __future__ import annotations

import os
import time
from typing import Any

import arviz_stats
import numpy as np
import xarray as xr
from common import parser, write
from torus import torus_samples

import hamlearn as hl
from hamlearn.data import build
from hamlearn.infer import calibrate as calibration_room
from hamlearn.infer.engines import numpyro as engine_room
from hamlearn.infer.likelihoods import composite
from hamlearn.infer.observations import bind
from hamlearn.infer.optimum import maximise
from hamlearn.infer.settings import NUTS

BETA = 0.5


class Clock:
    """Wall and CPU seconds of named stages."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def __call__(self, name: str, function: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = function()
        self.wall[name], self.cpu[name] = time.perf_counter() - wall, time.process_time() - cpu
        return result


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    given = options.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    sizes = [2000, 10_000] if given.quick else given.sizes
    settings = NUTS(draws=100, warmup=100) if given.quick else NUTS()
    glass = hl.systems.EdwardsAnderson((8, 8), seed=1)
    model = hl.models.Couplings(glass.lattice, fields=None)
    states = torus_samples(glass, BETA, max(sizes), 0)
    rows, base = [], {}
    for size in sizes:
        data = build(states[None, :size], beta=BETA, space=glass.space, lattice=glass.lattice, attrs={"independent": 1})
        clock = Clock()
        bound, parts, _ = clock("read", lambda data=data: bind(data, model))
        likelihood = clock("compress", lambda bound=bound, parts=parts: composite(bound, parts, "pseudo"))
        best = clock("optimum", lambda likelihood=likelihood: maximise(likelihood))
        calibration = clock(
            "calibrate", lambda likelihood=likelihood, best=best: calibration_room.calibrate(likelihood, best.theta, best.information)
        )

        def sample(engine: NUTS, likelihood: Any = likelihood, best: Any = best, calibration: Any = calibration) -> Any:
            transform = calibration.linear_map() if calibration.adjusted else None
            return engine_room.run(likelihood, best.theta, transform, engine, 0, calibration.covariance)

        sample(NUTS(draws=1, warmup=1))  # imports and operations that every run needs
        clock("compile", lambda: sample(NUTS(draws=1, warmup=1)))
        samples = clock("NUTS", lambda: sample(settings))
        rhat = arviz_stats.rhat(xr.DataTree.from_dict({"posterior": xr.Dataset({"J": (("chain", "draw", "bond"), samples.theta)})}))
        ess = arviz_stats.ess(xr.DataTree.from_dict({"posterior": xr.Dataset({"J": (("chain", "draw", "bond"), samples.theta)})}))
        steps = samples.stats["n_steps"]
        sampling = clock.cpu["NUTS"] - clock.cpu["compile"]
        base.setdefault("sampling", sampling)
        z = (samples.theta.mean((0, 1)) - glass.J) / samples.theta.std((0, 1))
        rows.append(
            {
                "microstates": size,
                **{f"{name} (s)": clock.wall[name] for name in ("read", "compress", "optimum", "calibrate", "NUTS")},
                "NUTS CPU (s)": clock.cpu["NUTS"],
                "of it compiling (CPU s)": clock.cpu["compile"],
                "sampling CPU, × the first row": sampling / base["sampling"],
                "leapfrog steps a draw": float(steps.mean()),
                "max R̂": f"{_extreme(rhat, np.max):.4f}",
                "min ESS": _extreme(ess, np.min),
                "rms z of the truth": float(np.sqrt(np.mean(z**2))),
            }
        )
        print(rows[-1], flush=True)
    note = "Target: all R̂ < 1.01 and under 60 s on one core for 4 × 1000 draws, at a cost independent of the number of microstates."
    record = {
        "beta": BETA,
        "glass": "EdwardsAnderson((8, 8), seed=1)",
        "seeds": "samples 0, NUTS 0",
        "draws": settings.draws,
        "warmup": settings.warmup,
        "chains": settings.chains,
    }
    write("speed", "NUTS posterior of 128 free couplings", [note], {"8×8 glass": rows}, record, save=not given.quick)


def _extreme(result: Any, reduce: Any) -> float:
    dataset = result["posterior"].to_dataset() if hasattr(result, "children") and "posterior" in result else result
    return float(reduce(dataset["J"].values))


if __name__ == "__main__":
    main()
