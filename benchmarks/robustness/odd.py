"""Odd inputs over the Python interface and the shell: refused in words, or the same as their normal form; never raw, never silent.

    python benchmarks/robustness/odd.py --sample 10000

runs all of ``odd_table.py``; a smaller sample is drawn from it. In Python, refused means a HamlearnError with a message (or Python's own
TypeError for a missing or unknown argument); at the shell, exit code 2 with one line on standard error and nothing written.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
import odd_table

SECONDS = 60.0
BATCH = 12


def setting(room: Path) -> dict[str, Any]:
    """The names that entries of the table use."""
    import jax.numpy as jnp
    import pandas as pd
    import scipy.sparse
    import torch
    import xarray as xr

    import hamlearn as hl

    names: dict[str, Any] = {"hl": hl, "np": np, "xr": xr, "pd": pd, "torch": torch, "jnp": jnp, "scipy": scipy, "room": room, "Path": Path}
    grid = hl.systems.lattice.hypercubic((3, 3))
    names |= {"grid": grid, "ising": hl.systems.Ising((3, 3)), "glass": hl.systems.EdwardsAnderson((3, 3), seed=1)}
    names |= {"model": hl.models.Couplings(grid, fields=None), "well": hl.systems.DoubleWell(1.0, 1.0)}
    names |= {"rows": np.load(room / "rows.npy"), "quick": hl.infer.Variational(steps=2, batch=4)}
    names["data"] = hl.microstates(room / "data.nc")
    for name in ("post", "action", "action8", "density"):
        names[name] = hl.load(room / f"{name}.nc")
    names["curve"] = xr.open_dataset(room / "curve.nc", engine="h5netcdf").load()
    return names


def furnish(room: Path) -> None:
    """The files that the table names."""
    import hamlearn as hl
    from hamlearn import storage

    data = hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=1), beta=0.5, draws=60, chains=2, seed=0, sampler="exact")
    storage.write_dataset(data, room / "data.nc")
    post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), fields=None), engine="laplace", check=False, seed=0)
    hl.save(post, room / "post.nc")
    storage.write_dataset(hl.predict(post, beta=[0.2, 0.4], draws=8, seed=0), room / "curve.nc")
    paths = hl.systems.Path(8, hl.systems.Polynomial([0, 0.5]))
    for name, beta in (("action", 4.0), ("action8", 8.0)):
        drawn = hl.simulate(paths, beta=beta, draws=200, seed=0)
        hl.save(hl.learn(drawn, hl.models.PolynomialAction(powers=(2,)), check=False), room / f"{name}.nc")
    density = hl.approximate(hl.systems.Ising((3, 3)), 0.4, hl.models.Autoregressive(), hl.infer.Variational(steps=3, batch=8))
    hl.save(density, room / "density.nc")
    rows = data["state"].values.reshape(120, 9)
    np.save(room / "rows.npy", rows)
    np.savetxt(room / "rows.csv", rows, fmt="%d", delimiter=",")
    (room / "bonds_far.csv").write_text("0,1\n1,99\n")
    (room / "bonds_self.csv").write_text("0,1\n1,1\n")
    (room / "words.csv").write_text("a,b\nred,blue\n")
    (room / "empty.csv").write_text("")
    (room / "x.txt").write_text("text")
    (room / "broken.nc").write_bytes((room / "data.nc").read_bytes()[:3000])
    (room / "file.zarr").write_text("a file")
    for name in ("folder.nc", "folder.html", "mine.zarr"):
        (room / name).mkdir()
        (room / name / "holiday.jpg").write_bytes(b"precious")


def run(expression: str, names: dict[str, Any]) -> tuple[str, str]:
    """What one expression does: ("value", digest), ("refused", message) or ("raw", error)."""
    import warnings

    from hamlearn.errors import HamlearnError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = eval(expression, names)  # the table is ours
        return "value", _digest(value)
    except HamlearnError as error:
        return "refused", str(error)
    except TypeError as error:
        if "argument" in str(error) and any(word in str(error) for word in ("missing", "unexpected keyword", "positional")):
            return "refused", str(error)
        return "raw", f"TypeError: {error}"
    except BaseException as error:
        return "raw", f"{type(error).__name__}: {error}"


def _digest(value: Any) -> str:
    import xarray as xr

    return common.tree_digest(value) if isinstance(value, xr.Dataset | xr.DataTree) else repr(value)[:300]


def batch(entries: Sequence[odd_table.Entry], room: Path) -> list[tuple[tuple[str, str], str]]:
    """In a child: what every entry does, and the digest of its normal form."""
    import os

    os.chdir(room)
    names, normal, found = setting(room), {}, []
    for expression, right in entries:
        wanted = ""
        if right != odd_table.REFUSED:
            form = right.partition(": ")[2]
            normal[form] = normal.get(form) or run(form, names)[1]
            wanted = normal[form]
        found.append((run(expression, names), wanted))
    return found


def judge(part: common.Part, entry: odd_table.Entry, outcome: tuple[str, str], wanted: str) -> None:
    """Count one entry."""
    expression, right = entry
    row = "Python: " + expression.partition("(")[0].replace("hl.", "")
    row = row if row.count(".") == 0 else row.partition(".")[0]
    kind, said = outcome
    part.add(row, "inputs")
    if kind == "raw":
        part.fault(row, "raw", said[:160], expression)
    elif kind == "refused":
        part.add(row, "refused")
        if right.startswith("same"):
            part.fault(row, "refused what is right", said[:160], expression)
        elif not said.strip():
            part.fault(row, "no message", expression, expression)
    elif right == odd_table.REFUSED:
        part.fault(row, "silent", f"gives {said[:80]}", expression)
    elif said != wanted:
        part.fault(row, "other result", f"not that of {right}", expression)
    else:
        part.add(row, "same as the normal form")


def python_part(part: common.Part, entries: list[odd_table.Entry], room: Path) -> None:
    """All Python entries, some at a time in a child; where one crashes or hangs, one by one."""
    todo = [entries[start : start + BATCH] for start in range(0, len(entries), BATCH)]
    while todo:
        some = todo.pop(0)
        outcome = common.isolated(lambda some=some: batch(some, room), SECONDS * (1 if len(some) == 1 else 5))
        if outcome.kind == "value":
            for entry, (found, wanted) in zip(some, outcome.value, strict=True):
                judge(part, entry, found, wanted)
            progress = part.total("inputs")
            part.say(f"odd: {progress}, {len(part.faults)} faults") if progress % 60 < len(some) else None
        elif len(some) > 1:
            todo[:0] = [[entry] for entry in some]
        else:
            names = {"hung": "hang", "died": "crash"}
            part.add("Python", "inputs")
            part.fault("Python", names.get(outcome.kind, "raw"), outcome.message, some[0][0])


def shell_part(part: common.Part, commands: list[str], room: Path) -> None:
    """All shell entries, each in a folder of its own."""
    for index, text in enumerate(commands):
        folder = Path(tempfile.mkdtemp(dir=room.parent))
        shutil.copytree(room, folder, dirs_exist_ok=True)
        before = _listing(folder)
        row = f"shell: {text.split()[0] if text.split()[0].isalpha() else 'other'}"
        part.add(row, "inputs")
        started = common.shell(shlex.split(text), folder)
        code = started.wait(SECONDS)
        if code is None:
            started.kill()
        said = started.text()
        started.close()
        lines = [line for line in said.splitlines() if line.strip()]
        after = _listing(folder)
        if code is None or (code < 0):
            part.fault(row, "hang" if code is None else "crash", f"exit {code}", f"hamlearn {text}")
        elif "Traceback" in said or code in (1, 70):
            part.fault(row, "raw", f"exit {code}: {lines[-1][:160] if lines else ''}", f"hamlearn {text}")
        elif code == 0:
            part.fault(row, "silent", f"exit 0: {lines[-1][:80] if lines else ''}", f"hamlearn {text}")
        elif not any(line.startswith("hamlearn: ") for line in lines):
            part.fault(row, "no message", f"exit {code}: {lines[-1:]}", f"hamlearn {text}")
        elif before != after:
            part.fault(row, "files changed", f"{sorted(set(before.items()) ^ set(after.items()))[:3]}", f"hamlearn {text}")
        else:
            part.add(row, "refused")
        shutil.rmtree(folder)
        common.progress(part, index + 1, len(commands), 50)


def _listing(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size if path.is_file() else -1 for path in folder.rglob("*")}


def audit(sample: int, seed: int, only: str = "", quiet: bool = False) -> common.Part:
    """All odd inputs, or some."""
    part = common.Part("odd", "Odd inputs", f"python benchmarks/robustness/odd.py --sample {sample} --seed {seed}", quiet=quiet)
    common.import_everything()
    place = Path(tempfile.mkdtemp(prefix="odd-"))
    (room := place / "room").mkdir()
    if (made := common.isolated(lambda: furnish(room), 600)).kind != "value":
        raise SystemExit(f"cannot make the files: {made}")
    rng = np.random.default_rng(seed)
    entries = [entry for entry in odd_table.python_entries() if only in entry[0]]
    commands = [text for text in odd_table.shell_entries() if only in f"hamlearn {text}"]
    whole = len(entries) + len(commands)
    if sample < whole:
        chosen = set(rng.choice(whole, sample, replace=False).tolist())
        commands = [text for index, text in enumerate(commands) if index + len(entries) in chosen]
        entries = [entry for index, entry in enumerate(entries) if index in chosen]
    shutil.copytree(room, place / "untouched")
    python_part(part, entries, room)
    shell_part(part, commands, place / "untouched")
    shutil.rmtree(place, ignore_errors=True)
    return part


if __name__ == "__main__":
    options = common.arguments(__doc__, 10_000)
    raise SystemExit(common.finish(audit(options.sample, options.seed, options.only), options.faults))
