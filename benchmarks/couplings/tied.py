"""One tied coupling of the 8×8 Ising model at β_c from 10⁵ exact samples: error of the learned energy, and seconds.

    python benchmarks/couplings/tied.py [--quick] [--n 30]

The error is the root mean square, over a test set uniform in energy, of learned minus true energy after subtracting
its mean; then root mean square over data sets. The test set: exact samples at 40 inverse temperatures from 0 to 1,
their mirror images with one sublattice flipped (E → −E on the even torus), up to 200 distinct states per energy
level; the rarest levels near ±2N have fewer distinct states, all that were found. The bound is the Cramér–Rao bound
of J from the exact variance of the energy, times the spread of the test set's energies.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import parser, rms, timed, write
from torus import torus_samples

import hamlearn as hl
from hamlearn.data import build
from hamlearn.infer import learn
from hamlearn.infer.settings import MLE
from hamlearn.systems import exact

BETA, M = 0.4406868, 100_000


def energy_uniform(ising: Any, per_level: int = 200) -> np.ndarray:
    """Distinct states, up to `per_level` of every energy level."""
    found: dict[int, set[bytes]] = {}
    sublattice = 1 - 2 * (np.indices(ising.lattice.shape).sum(0) % 2)
    for index, beta in enumerate(np.linspace(0.0, 1.0, 40)):
        states = torus_samples(ising, beta, 4000, index)
        for batch in (states, (states * sublattice).astype(np.int8)):
            for state, level in zip(batch, np.rint(ising.energy(batch)).astype(int), strict=True):
                level_states = found.setdefault(int(level), set())
                if len(level_states) < per_level:
                    level_states.add(state.tobytes())
    flat = [state for level in sorted(found) for state in sorted(found[level])]
    return np.frombuffer(b"".join(flat), np.int8).reshape(-1, *ising.lattice.shape)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=30)
    options.add_argument("--calls", nargs="+", choices=["point", "learn"], default=["point", "learn"])
    given = options.parse_args()
    n = 3 if given.quick else given.n
    ising = hl.systems.Ising((8, 8))
    test = energy_uniform(ising)
    energies = ising.energy(test)
    capacity = float(exact.thermodynamics(ising, BETA)["heat_capacity"].values.ravel()[0]) * ising.lattice.n_sites
    bound = float(energies.std() / np.sqrt(capacity * M))  # Fisher information of J is β² Var(Σσσ) = C
    model = hl.models.Couplings(ising.lattice, tie="uniform", fields=None)
    cases = {(name, how): ([], []) for name in ("exact", "pseudo") for how in given.calls}
    cpu: dict[tuple[str, str], list[float]] = {key: [] for key in cases}
    for seed in range(n):
        states = torus_samples(ising, BETA, M, 1000 + seed)
        data = build(states[None], beta=BETA, space=ising.space, lattice=ising.lattice, attrs={"independent": 1})
        for (name, how), (errors, seconds) in cases.items():
            engine = MLE(draws=1, chains=1) if how == "point" else "mle"
            started = time.process_time()
            post, spent = timed(learn, data, model, likelihood=name, engine=engine, calibrate=how == "learn")
            cpu[name, how].append(time.process_time() - started)
            learned = hl.systems.Pairwise(ising.lattice, post["point"]["J"].values)
            difference = learned.energy(test) - energies
            errors.append(float(difference.std()))
            seconds.append(spent)
        print(seed, {key: (round(value[0][-1], 4), round(value[1][-1], 2)) for key, value in cases.items()}, flush=True)
    targets = {"exact": 1.3 * 0.027, "pseudo": 0.05}
    rows = [
        {
            "likelihood": name,
            "call": how,
            "data sets": n,
            "energy RMSE (J)": f"{rms(errors):.4f} ± {rms(errors) / np.sqrt(2 * n):.4f}",
            "target": targets[name],
            "bound": bound,
            "RMSE / bound": rms(errors) / bound,
            "first call (s)": seconds[0],
            "warm (s)": float(np.median(seconds[1:])),
            "warm (CPU s)": float(np.median(cpu[name, how][1:])),
        }
        for (name, how), (errors, seconds) in cases.items()
    ]
    notes = [
        f"Test set: {len(test)} states on {len(np.unique(np.rint(energies)))} energy levels, spread {energies.std():.1f} J. "
        "*point* is the whole call without error bars, *learn* the default with calibrated ones and 4000 draws."
    ]
    settings = {"beta": BETA, "samples": M, "seeds": f"samples 1000..{999 + n}, test set 0..39"}
    write("tied", "Tied coupling, 8×8 Ising at β_c", notes, {"Energy on an energy-uniform set": rows}, settings, save=not given.quick)


if __name__ == "__main__":
    main()
