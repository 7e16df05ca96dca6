"""CPU seconds of hybrid Monte Carlo and of network energies for a fresh object of a structure already seen.

    python benchmarks/systems/fresh_objects.py

Every object has other parameters than the one before. With systems as arguments of compiled code only the first one compiles.
JAX's persistent cache is switched off, so that what is counted is this process alone.
"""

import os

os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)

import time

import numpy as np

import hamlearn as hl


def seconds(call, k):
    started = time.process_time()
    call(k)
    return time.process_time() - started


def network(k):
    bound = hl.models.Extensive(focus=1, context=2, hidden=(8,)).bind(hl.systems.SPINS, (6, 6))
    return bound.system(bound.start(k)).energy(np.ones((50, 6, 6), np.int8))


CALLS = {
    "HMC, 4x4 scalar field": lambda k: hl.simulate(hl.systems.ScalarField((4, 4), 0.5 + k, 0.3), 1.0, 20, 2, sampler="hmc", burn_in=20),
    "HMC, path of 16 slices": lambda k: hl.simulate(
        hl.systems.Path(16, hl.systems.DoubleWell(4.0, 2.0 + 0.1 * k)), 2.0, 20, 2, sampler="hmc", burn_in=20
    ),
    "HMC, 4x4 rotors": lambda k: hl.simulate(hl.systems.XY((4, 4), J=1.0 + 0.1 * k), 0.7, 20, 2, sampler="hmc", burn_in=20),
    "energies of an extensive network": network,
}

if __name__ == "__main__":
    print("| what | first object | second, fresh | third, fresh |\n| --- | --- | --- | --- |")
    for name, call in CALLS.items():
        print(f"| {name} | " + " | ".join(f"{seconds(call, k):.2f} s" for k in range(3)) + " |", flush=True)
