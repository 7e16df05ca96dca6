"""What an installed wheel must do, run by the interpreter that it is installed for: ``python -I smoke.py``, in an empty folder.

Nothing of a checkout may be within reach, and no extra installed: the core from data to page, and the line for what is missing.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata, resources, util
from pathlib import Path

import hamlearn as hl

place = Path(hl.__file__).parent
assert place.is_relative_to(sys.prefix), f"hamlearn was imported from {place}, not from the environment {sys.prefix}"
assert metadata.version("hamlearn") == hl.__version__
for name in ("py.typed", "page/templates/report.html", "page/templates/report.css", "page/templates/report.js"):
    assert resources.files("hamlearn").joinpath(name).is_file(), f"the wheel lacks {name}"
here = [name for name in ("torch", "pyro", "zarr", "sklearn", "pytest", "sphinx") if util.find_spec(name)]
assert not here, f"the core pulls in {', '.join(here)}"

glass = hl.systems.EdwardsAnderson((3, 3), seed=1)
data = hl.simulate(glass, beta=0.5, draws=200, chains=4, seed=0)
post = hl.load(hl.save(hl.learn(data, hl.models.Couplings(glass.lattice), engine="laplace", seed=0), "posterior.nc"))
verdict, curve = hl.verdict(post), hl.predict(post, [0.4, 0.6], seed=0)
assert verdict.summary and bool((curve["energy"].sel(quantity="lower") < curve["energy"].sel(quantity="upper")).all())
assert hl.report(post, "report.html", prediction=curve).stat().st_size > 20_000

shell = Path(sys.executable).with_name("hamlearn")
assert "simulate" in subprocess.run([shell, "--help"], check=True, capture_output=True, text=True).stdout
refused = subprocess.run(
    [shell, "learn", hl.save(data, "states.nc"), "--model", "autoregressive", "-o", "network.nc"], capture_output=True, text=True
)
assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1) and 'pip install "hamlearn[neural]"' in refused.stderr, refused
print(f"hamlearn {hl.__version__} works from its wheel on Python {sys.version.split()[0]}: {verdict}")
