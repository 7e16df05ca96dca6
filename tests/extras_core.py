"""Run by test_extras.py in a process of its own, where torch, Pyro, Zarr and scikit-learn are not found: the core, then every door to them.

Prints one JSON object: what each door said, which modules refused to be imported, and what the core gave.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import io
import json
import pkgutil
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np

import hamlearn as hl
import hamlearn.cli

ABSENT = ("torch", "pyro", "zarr", "sklearn")


class Without(PathFinder):
    """Finds what is installed, but for what the extras bring."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in ABSENT else super().find_spec(name, path, target)


def core(folder: Path) -> dict[str, Any]:
    """Couplings, clusters, an action and an oracle, as far as their files and pages."""
    glass = hl.systems.EdwardsAnderson((3, 3), seed=1)
    data = hl.simulate(glass, beta=0.5, draws=200, chains=4, seed=0)
    post = hl.load(hl.save(hl.learn(data, hl.models.Couplings(glass.lattice, fields=None), engine="mle", seed=0), folder / "pairs.nc"))
    hl.report(post, folder / "page.html")
    gibbs = hl.infer.Gibbs(warmup=30, draws=30, chains=2)
    clusters = hl.learn(data, hl.models.ClusterExpansion(window=2), engine=gibbs, seed=0, check=False)
    fields = hl.microstates(np.random.default_rng(0).normal(size=(400, 2, 2)), space="reals", beta=1.0)
    action = hl.learn(fields, hl.models.PolynomialAction((2,)), engine="laplace", seed=0, check=False)
    return {
        "verdicts": [hl.verdict(one).summary for one in (post, clusters, action)],
        "energy": float(hl.predict(post, 0.4)["energy"].sel(quantity="mean").item()),
        "page": (folder / "page.html").stat().st_size,
    }


def networks(folder: Path) -> dict[str, str]:
    """What each way to a network says."""
    glass = hl.systems.EdwardsAnderson((3, 3), seed=1)
    data = hl.simulate(glass, beta=0.5, draws=100, chains=2, seed=0)
    states = hl.save(data, folder / "states.nc")
    network = hl.models.Autoregressive(hidden=8, members=2)
    learned = lambda: hl.load(folder / "autoregressive.nc")
    hl.report(learned(), folder / "network.html")  # holds a verdict, and instead of predictions the line
    page = html.unescape((folder / "network.html").read_text(encoding="utf-8"))
    reals = hl.microstates(np.random.default_rng(0).normal(size=(99, 4)), space="reals")
    asked = {
        "learn": lambda: hl.learn(data, network, seed=0),
        "a flow": lambda: hl.learn(reals, hl.models.Flow(), seed=0),
        "DCL": lambda: hl.learn(data, hl.models.DCL(), seed=0),
        "weights drawn": lambda: hl.learn(data, network, engine=hl.infer.Bayesian(), seed=0),
        "approximate": lambda: hl.approximate(glass, 0.5, network, seed=0),
        "program": lambda: hl.infer.program(data, hl.models.Autoregressive(), seed=0),
        "a file predicts": lambda: hl.predict(learned(), 0.5, seed=0),
        "a file's systems": lambda: hl.draw_systems(learned(), 1),
    }
    return {name: said(ask) for name, ask in asked.items()} | {
        "a page": page.partition("Nothing is predicted: ")[2].partition("<")[0],
        "the shell": shell("learn", states, "--model", "autoregressive", "-o", folder / "out.nc"),
    }


def folders(folder: Path) -> dict[str, str]:
    """What each way to a Zarr folder says."""
    ising = hl.systems.Ising((3, 3))
    data = hl.simulate(ising, beta=0.3, draws=10, chains=2, seed=0)
    there, new = folder / "microstates-spins.zarr", folder / "new.zarr"
    asked = {
        "save": lambda: hl.save(data, new),
        "a run in pieces": lambda: hl.simulate(ising, beta=0.3, draws=10, chains=2, seed=0, out=new),
        "microstates": lambda: hl.microstates(there),
        "a posterior": lambda: hl.load(there),
        "learn": lambda: hl.learn(there, hl.models.Couplings()),
        "in pieces": lambda: hl.learn(there, hl.models.Autoregressive()),
    }
    return {name: said(ask) for name, ask in asked.items()} | {
        "the shell": shell("simulate", "ising", "--shape", "3x3", "--beta", "0.3", "-o", new)
    }


def estimators() -> dict[str, str]:
    """What the way to the estimator says."""
    return {"import": said(lambda: importlib.import_module("hamlearn.estimator"))}


def said(ask: Callable[[], Any]) -> str:
    try:
        ask()
    except hl.HamlearnError as error:
        return str(error)
    return "no error"


def shell(*words: Any) -> str:
    """Exit code and what was written on stderr."""
    sys.argv = ["hamlearn", *map(str, words)]
    with contextlib.redirect_stderr(io.StringIO()) as heard:
        code = hamlearn.cli.run()
    return f"{code} {heard.getvalue()}"


def refusals() -> dict[str, str]:
    """The modules of the package that cannot be imported, and why."""
    found = {}
    for module in pkgutil.walk_packages(hl.__path__, "hamlearn.", onerror=lambda name: None):
        if module.name == "hamlearn.__main__":
            continue
        try:
            importlib.import_module(module.name)
        except Exception as error:
            found[module.name] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    sys.meta_path = [Without if one is PathFinder else one for one in sys.meta_path]  # importing hamlearn has loaded none of them
    here = Path(sys.argv[1])
    print(
        json.dumps({"refusals": refusals(), "core": core(here), "neural": networks(here), "zarr": folders(here), "sklearn": estimators()})
    )
