"""``hamlearn demo``: the closed loop on a glass that nobody knows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hamlearn.cli.keeping import PAGES, RESULTS, keep, require_target, say
from hamlearn.cli.work import Work
from hamlearn.errors import HamlearnError

FILES = ("microstates.nc", "posterior.nc", "prediction.nc", "report.html")
# In closed form from the oracle; magnetisations would be drawn, for as long as everything else takes.
THERMODYNAMICS = ("energy", "heat_capacity", "entropy", "free_energy")


def run(work: Work, folder: Path, seed: int) -> None:
    """Simulate, learn, judge, predict, report, with a word on each."""
    import numpy as np

    import hamlearn as hl
    from hamlearn import storage

    started = time.perf_counter()
    work.wanted = len(FILES)
    states, posterior, prediction, page = _targets(folder)
    glass = hl.systems.EdwardsAnderson((6, 6), seed=20261120 + seed)
    say("1 simulate  a 6x6 Gaussian glass at beta = 0.7, 4 chains of 2000 microstates")
    data = hl.simulate(glass, beta=0.7, draws=2000, chains=4, seed=seed, sampler="heat_bath", thin=12)
    keep(work, lambda path: storage.write_dataset(data, path), states)
    say("2 learn     72 couplings and no fields from the microstates alone")
    post = hl.learn(data, hl.models.Couplings(glass.lattice, fields=None), seed=seed)
    keep(work, lambda path: hl.save(post, path), posterior)
    say(f"\n{hl.verdict(post)}\n\n{_against_the_truth(post, glass)}")
    say("3 predict   thermodynamics from beta = 0.1 to 1.5")
    curve = hl.predict(post, np.linspace(0.1, 1.5, 15), observables=THERMODYNAMICS, seed=seed)
    keep(work, lambda path: storage.write_dataset(curve, path), prediction)
    exact = hl.systems.exact.thermodynamics(glass, curve["beta"].values)["heat_capacity"]
    band = curve["heat_capacity"]
    within = ((band.sel(quantity="lower") <= exact) & (exact <= band.sel(quantity="upper"))).sum().item()
    say(f"  heat capacity: the exact curve lies inside the 90 % band at {within} of {curve.sizes['beta']} temperatures")
    say("4 report")
    keep(work, lambda path: hl.report(post, path, prediction=curve, title="A glass nobody knew"), page, quick=False)
    say(f"  {page} ({time.perf_counter() - started:.0f} s in all)")


def _targets(folder: Path) -> list[Path]:
    """The four files, each tried; what is there already is named."""
    try:
        folder.mkdir(exist_ok=True)  # and none above it: a slip of the pen would make several
    except OSError as error:
        advice = "It is a file: name another folder." if folder.is_file() else "Make the folders above it first."
        raise HamlearnError(f"cannot make the folder {folder}: {error.strerror}. {advice}") from error
    files = [folder / name for name in FILES]
    for file in files:
        require_target(file, (*RESULTS, *PAGES))
    there = [file.name for file in files if file.exists()]
    if there:
        say(f"replacing {', '.join(there)} in {folder}; other files there are left alone")
    return files


def _against_the_truth(post: Any, glass: Any) -> str:
    import numpy as np

    draws = post["posterior"]["J"].stack(sample=("chain", "draw"))
    inside = ((draws.quantile(0.05, "sample") < glass.J) & (glass.J < draws.quantile(0.95, "sample"))).sum().item()
    deviation = float(np.sqrt(((draws.mean("sample") - glass.J) ** 2).mean()))
    return f"  against the truth: rms error {deviation:.3f}; {inside} of {glass.lattice.n_bonds} true couplings inside their 90 % intervals"
