"""CoNIII 3.0.1 on spins from a .npy file: prints one RESULT line of JSON per solver. Runs in its own environment.

CoNIII 3.0.1 needs numpy < 1.26 and scipy < 1.12 (it calls scipy.exp), and its build reads CONDA_PREFIX:

    python3.11 -m venv ENV
    ENV/bin/pip install "numpy<1.26" "scipy<1.11" "setuptools<70" wheel cython numba mpmath dill multiprocess joblib matplotlib ipython
    CONDA_PREFIX=/nowhere ENV/bin/pip install --no-build-isolation coniii==3.0.1
    ENV/bin/python peer_coniii.py spins.npy both     # spins: int array (data set, sample, site) of ±1
"""

import importlib.util
import json
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np


def equations(n):
    """CoNIII ships no equations for 12 spins: let it write them, as its users do."""
    import coniii.ising_eqn

    folder = Path(coniii.ising_eqn.__file__).parent
    if not (folder / f"ising_eqn_{n}_sym.py").exists():
        subprocess.run(
            [sys.executable, str(folder.parent / "enumerate.py"), str(n), "1"], cwd=folder.parent, check=True, stdout=subprocess.DEVNULL
        )
        importlib.invalidate_caches()


def main():
    if importlib.util.find_spec("coniii") is None:
        sys.exit("CoNIII is not installed here: the first lines of this file make an environment of its own for it.")
    data, which = np.load(sys.argv[1]).astype(np.int64), sys.argv[2]
    n = data.shape[2]
    equations(n)
    from coniii.solvers import Enumerate, Pseudo

    solvers = {"Pseudo": Pseudo, "Enumerate": Enumerate} if which == "both" else {"Pseudo": Pseudo}
    for name, solver in solvers.items():
        couplings, seconds = [], []
        for spins in data:
            started = time.perf_counter()
            multipliers = solver(spins, iprint=False).solve()
            seconds.append(time.perf_counter() - started)
            couplings.append(multipliers[n:].tolist())
        record = {"solver": name, "version": metadata.version("coniii"), "J": couplings, "seconds": seconds}
        print("RESULT " + json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
