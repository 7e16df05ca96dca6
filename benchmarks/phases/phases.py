"""Transitions without an order parameter: what every way says of the square Ising model, and of systems that have none.

    python benchmarks/phases/phases.py --profile cpu [--keep FOLDER] [--kind ordinary conserved between field chain]

``ordinary``: Swendsen–Wang updates; ``conserved``: magnetization 0, exchanges of any two sites (Kawasaki), thinned so that draws are about
a fifth of the slowest autocorrelation time apart; 16 chains of 300 draws at T = 1.6 to 3.0 in steps of 0.1, L = 12, 16, 24 and 32.
``between``: the conserved model again, four times the draws at nine temperatures between those that ``pca`` found it to lie between,
for ``pca`` only. ``field``: independent spins of the same sizes in the field β − 0.45, which turns at T = 2.22; ``chain``: the Ising
chain at the same temperatures, L = 16 to 128: both have no transition. The GPU profile has the published sizes (20 to 50, T = 1.0 to
3.2, 10⁵ microstates each).

Ways: ``pca`` (the verdict; T_c and ν by finite-size scaling), ``fisher``, ``confusion``, ``svm`` and ``classifier`` with labels below 1.8
and above 2.8, and the classifier with labels cut at 2.0, 2.25 and 2.5. No way is told T_c; 2.25 is the published cut, between 2.2 and 2.3.
``sharpening`` is the exponent of L with which the slope of the mean output grows where it crosses: 1/ν = 1 of a collapse. The record is
written after every answer, and a run continues one of the same profile and versions; microstates are kept in FOLDER, if one is given.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import hamlearn as hl
from hamlearn.diagnostics import phases

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from common import cache_compilation, table, versions, write

PROFILES: dict[str, dict[str, Any]] = {
    "cpu": {"sizes": (12, 16, 24, 32), "temperatures": np.linspace(1.6, 3.0, 15), "draws": 300, "thin": (6, 10, 24, 40)},
    "gpu": {"sizes": (20, 30, 40, 50), "temperatures": np.linspace(1.0, 3.2, 23), "draws": 6250, "thin": (16, 36, 64, 100)},
}
CHAINS, TURN, COLD, HOT = 16, 0.45, 1.8, 2.8
KINDS = ("ordinary", "conserved", "between", "field", "chain")
COLUMNS = ["of", "way", "verdict", "T_c", "ν", "temperature of every size", "sharpening", "CPU s"]


def drawn(kind: str, k: int, profile: dict[str, Any]) -> Any:
    """Microstates of one size at all temperatures."""
    if kind == "between":
        near = {"temperatures": np.linspace(*profile["between"], 9), "draws": 4 * profile["draws"]}
        return drawn("conserved", k, profile | near)
    size, betas = profile["sizes"][k], 1 / profile["temperatures"][::-1]
    options: dict[str, Any] = {"draws": profile["draws"], "chains": CHAINS, "progress": False, "seed": 1000 + size}
    if kind == "ordinary":
        return hl.simulate(hl.systems.Ising((size, size)), betas, sampler="swendsen_wang", thin=2, **options)
    if kind == "conserved":
        thin = profile["thin"][k]
        burn_in = 200 * thin  # from random starts; forty of the slowest autocorrelation times
        return hl.simulate(
            hl.systems.Ising((size, size), magnetization=0), betas, sampler="kawasaki", thin=thin, burn_in=burn_in, **options
        )
    if kind == "chain":
        return hl.simulate(hl.systems.Ising((profile["chain"][k],)), betas, sampler="swendsen_wang", thin=2, **options)
    rng, up = np.random.default_rng(options["seed"]), 1 / (1 + np.exp(-2 * (betas - TURN)))
    rows = np.where(rng.random((len(betas), CHAINS, profile["draws"], size, size)) < up[:, None, None, None, None], 1, -1)
    dims = ("chain", "draw", "x0", "x1")
    return [hl.microstates(one, space="spins", beta=beta, dims=dims) for one, beta in zip(rows, betas, strict=True)]


def sharpening(found: phases.Phases) -> float | None:
    """Exponent of L of the slope of the mean output against T, where it crosses."""
    steep = []
    for row in found.estimates.itertuples(index=False):
        own = found.curves[found.curves["size"] == row.size]
        if np.isfinite(row.temperature):
            slope = np.abs(np.diff(own["mean"])) / np.diff(own["temperature"])
            steep.append((np.log(row.size), np.log(slope[np.searchsorted(own["temperature"], row.temperature) - 1])))
    return float(np.polyfit(*np.transpose(steep), 1)[0]) if len(steep) > 1 else None


def ways() -> dict[str, Callable[[Any], phases.Phases]]:
    """Every way by its name."""
    found: dict[str, Callable[[Any], phases.Phases]] = {
        "pca": phases.pca,
        "fisher": phases.fisher,
        "confusion": phases.confusion,
        "svm, gap": lambda data: phases.svm(data, cold=COLD, hot=HOT),
        "classifier, gap": lambda data: phases.classifier(data, cold=COLD, hot=HOT),
    }
    return found | {
        f"classifier, cut at {cut}": lambda data, cut=cut: phases.classifier(data, cold=cut, hot=cut) for cut in (2.0, 2.25, 2.5)
    }


def asked(way: Callable[[Any], phases.Phases], data: Any, labelled: bool) -> dict[str, Any]:
    """One answer, as it is kept."""
    begun = time.process_time()
    try:
        found = way(data)
    except hl.HamlearnError as error:
        return {"refused": str(error), "cpu_seconds": round(time.process_time() - begun, 1)}
    answer: dict[str, Any] = {
        "verdict": found.verdict,
        "why": found.why,
        "bracket": list(map(float, found.bracket)),
        "notes": list(found.notes),
    }
    answer["estimates"] = [list(map(float, row)) for row in found.estimates.itertuples(index=False)]
    if found.critical is not None:
        answer |= {"temperature": list(found.temperature), "nu": list(found.nu)}
    if labelled:
        answer["sharpening"] = sharpening(found)
    return answer | {"cpu_seconds": round(time.process_time() - begun, 1)}


def row(kind: str, way: str, one: dict[str, Any]) -> list[str]:
    """Of one answer."""
    if "refused" in one:
        return [kind, way, "refused", "", "", one["refused"], "", str(one["cpu_seconds"])]
    scaled = [f"{one[name][0]:.4f} ± {one[name][1]:.4f}" if name in one else "" for name in ("temperature", "nu")]
    places = ", ".join(
        f"{int(size)}: {at:.3f} ± {sd:.3f}" if np.isfinite(at) else f"{int(size)}: none" for size, at, sd, *_ in one["estimates"]
    )
    sharp = "" if one.get("sharpening") is None else f"{one['sharpening']:.2f}"
    return [kind, way, one["verdict"], *scaled, places, sharp, str(one["cpu_seconds"])]


def main() -> None:
    """Ask what the record lacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=list(PROFILES), default="cpu")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--way", nargs="+", choices=list(ways()), default=list(ways()))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    cache_compilation()
    profile = PROFILES[given.profile] | {"chain": (16, 32, 64, 128)}
    kept = Path(__file__).parent / "results" / "phases.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    same = before.get("settings", {}).get("profile") == given.profile and before.get("versions") == versions()
    record: dict[str, dict[str, Any]] = before["results"] if same else {}
    for kind in given.kind:
        answers, data = record.setdefault(kind, {}), None
        if kind == "between":
            if "bracket" not in record.get("conserved", {}).get("pca", {}):
                raise SystemExit("between needs the bracket that pca finds of conserved: run that first.")
            profile["between"] = record["conserved"]["pca"]["bracket"]
        for name in ("pca",) if kind == "between" else given.way:
            if name in answers:
                continue
            data = data or [microstates(kind, k, profile, given.keep) for k in range(len(profile["sizes"]))]
            answers[name] = asked(ways()[name], flat(data), name.startswith(("svm", "classifier")))
            print(*row(kind, name, answers[name]), sep=" | ", flush=True)
            rows = [row(each, way, one) for each, found in record.items() for way, one in found.items()]
            write(
                Path(__file__),
                __doc__,
                table(COLUMNS, rows),
                {"settings": {"profile": given.profile}, "versions": versions(), "results": record},
            )


def microstates(kind: str, k: int, profile: dict[str, Any], keep: Path | None) -> Any:
    """Drawn, or as they were kept."""
    path = keep and keep / f"{kind}{profile['sizes'][k]}.nc"
    if path and path.exists():
        return xr.load_dataset(path)
    found = drawn(kind, k, profile)
    if path and isinstance(found, xr.Dataset):
        found.to_netcdf(path)
    return found


def flat(data: list[Any]) -> list[xr.Dataset]:
    """One list of Datasets."""
    return [one for each in data for one in ([each] if isinstance(each, xr.Dataset) else each)]


if __name__ == "__main__":
    main()
