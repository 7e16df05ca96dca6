"""Do intervals of a model of three groups hold, written by hand around programs of the library?

    python benchmarks/calibration/groups.py [--n 200]

Three data sets a repetition, each 200 independent microstates of a 3 × 3 spin system with open ends (12 couplings, β = 0.5). The couplings
of a group are drawn from N(mean, width²), mean ~ N(0.5, 0.3²) and width ~ HalfNormal(0.4) anew for every repetition, and the model says
the same (``hierarchy`` below, the exact log-likelihoods of :func:`hamlearn.infer.program` under a plate). Truths drawn from the prior are
in 90 % of equal-tailed 90 % intervals of a right program on average, whatever the data. ``single`` fits every group by itself under
N(0.5, 0.5²), nearly what the hierarchy says of one coupling before it has seen any: ``width of J`` is the mean width of its intervals
beside that of the hierarchy's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

import hamlearn as hl

sys.path.insert(0, str(Path(__file__).parent))
from common import table, versions, write

LATTICE, BETA, ROWS, GROUPS = hl.systems.lattice.hypercubic((3, 3), periodic=False), 0.5, 200, 3


def hierarchy(likelihoods: list[Any]) -> None:
    """The whole model of a user: couplings of groups share a mean and a width that are unknown."""
    mean = numpyro.sample("mean", dist.Normal(0.5, 0.3))
    width = numpyro.sample("width", dist.HalfNormal(0.4))
    with numpyro.plate("group", GROUPS):
        z = numpyro.sample("z", dist.Normal().expand([LATTICE.n_bonds]).to_event(1))
        J = numpyro.deterministic("J", mean + width * z)
        numpyro.factor("data", jnp.stack([one(own) for one, own in zip(likelihoods, J, strict=True)]))


def single(likelihoods: list[Any]) -> None:
    """Every group by itself."""
    with numpyro.plate("group", GROUPS):
        J = numpyro.sample("J", dist.Normal(0.5, 0.5).expand([LATTICE.n_bonds]).to_event(1))
        numpyro.factor("data", jnp.stack([one(own) for one, own in zip(likelihoods, J, strict=True)]))


def drawn(index: int) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Truths of one repetition, and the log-likelihoods of their data."""
    generator = np.random.default_rng(1000 + index)
    mean, width = generator.normal(0.5, 0.3), abs(generator.normal(0, 0.4))
    J = generator.normal(mean, width, (GROUPS, LATTICE.n_bonds))
    model, found = hl.models.Couplings(LATTICE, fields=None), []
    for k, own in enumerate(J):
        system = hl.systems.Pairwise(LATTICE, own)
        data = hl.simulate(system, beta=BETA, draws=ROWS, chains=1, seed=GROUPS * index + k, sampler="exact")
        found.append(hl.infer.program(data, model, likelihood="exact").log_likelihood)
    return {"mean": np.array(mean), "width": np.array(width), "J": J}, found


def sampled(model: Callable[..., None]) -> Callable[..., Any]:
    """A user's sampler as one compiled function of a key and the log-likelihoods."""

    def run(key: jax.Array, likelihoods: list[Any]) -> Any:
        mcmc = MCMC(NUTS(model, target_accept_prob=0.95), num_warmup=400, num_samples=600, progress_bar=False)
        mcmc.run(key, likelihoods)
        return mcmc.get_samples(), mcmc.get_extra_fields()

    return jax.jit(run)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=200)
    n = parser.parse_args().n
    inside: dict[str, list[np.ndarray]] = {name: [] for name in ("mean", "width", "J", "J single")}
    sizes: dict[str, list[float]] = {"J": [], "J single": []}
    divergences, began = 0, time.process_time()
    with jax.enable_x64(True):
        samplers = {model: sampled(model) for model in (hierarchy, single)}
        for index in range(n):
            truth, likelihoods = drawn(index)
            for model, run in samplers.items():
                draws, extra = run(jax.random.key(index), likelihoods)
                names = ("mean", "width", "J") if model is hierarchy else ("J",)
                divergences += int(np.sum(extra["diverging"]))
                for name in names:
                    low, high = np.quantile(np.asarray(draws[name]), [0.05, 0.95], axis=0)
                    kept = name if model is hierarchy else "J single"
                    inside[kept].append((low < truth[name]) & (truth[name] < high))
                    if name == "J":
                        sizes[kept].append(float((high - low).mean()))
            if index == 0:
                first = time.process_time() - began
    seconds = time.process_time() - began
    rows = []
    for name, kept in inside.items():
        per_set = np.array([one.mean() for one in kept])
        error = per_set.std(ddof=1) / np.sqrt(n)
        rows.append([name, f"{per_set.mean():.3f} ± {error:.3f}", f"{np.mean(sizes[name]):.3f}" if name in sizes else ""])
    text = table(["", "in 90 %", "width of J"], rows)
    text += f"\n{divergences} divergent of {2 * n * 600} draws; {first:.1f} s of CPU for the first repetition, with what is compiled, and "
    text += f"{(seconds - first) / max(n - 1, 1):.2f} s for each of the others, which compile nothing.\n"
    record = {
        "settings": {"n": n, "rows": ROWS, "groups": GROUPS, "beta": BETA},
        "versions": versions(),
        "rows": rows,
        "divergences": divergences,
        "seconds": {"first": first, "each": (seconds - first) / max(n - 1, 1)},
    }
    write(Path(__file__), __doc__, text, record)
    print(text)


if __name__ == "__main__":
    main()
