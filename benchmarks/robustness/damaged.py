"""Damaged and hostile files: read with identical content, or refused in words.

    python benchmarks/robustness/damaged.py --sample 400

Every kind of file that hamlearn reads is made once and then damaged: cut, bits flipped, ranges zeroed or overwritten with random bytes,
blocks swapped, attributes and variables edited or removed, chunks of Zarr taken away or exchanged. What is read must equal the original
to the last bit and attribute; anything else must end in a HamlearnError, without another exception, a warning of a library, a hang or
a crash. A damaged checkpoint must not end the run that finds it, nor change its result. Files of other formats (.npy, .csv, .h5) carry
nothing by which a valid value in the place of another could be noticed: such cases are counted apart.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import hostile
import numpy as np

SECONDS, WAIT = 90.0, 20.0  # for a file, and for one that may block: no answer then is a hang
MEMORY = 2 << 30  # no file here is worth more


def _states() -> Any:
    import hamlearn as hl

    return hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=1), beta=0.5, draws=150, chains=2, seed=0, sampler="exact")


def make(shelf: Path) -> None:
    """One sound file of every kind."""
    import h5py

    import hamlearn as hl
    from hamlearn import storage

    data = _states()
    post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), fields=None), engine="laplace", check=False, seed=0)
    curve = hl.predict(post, beta=[0.2, 0.4], draws=8, seed=0)
    for ending in ("nc", "zarr"):
        storage.write_dataset(data, shelf / f"states.{ending}")
        hl.save(post, shelf / f"posterior.{ending}")
        storage.write_dataset(curve, shelf / f"prediction.{ending}")
    rows = data["state"].values.reshape(300, 9)
    np.save(shelf / "rows.npy", rows)
    np.savez(shelf / "rows.npz", state=rows, beta=0.5)
    np.savetxt(shelf / "rows.csv", rows, fmt="%d", delimiter=",")
    with h5py.File(shelf / "rows.h5", "w") as file:
        file["state"] = rows


def make_checkpoint(path: Path) -> None:
    """What a simulation leaves that is killed when it has just saved itself."""
    import time

    moved = []

    def heard(event: str, details: tuple[Any, ...]) -> None:
        if moved and event in ("os.rename", "os.remove", "open") and str(details[-1] if event == "os.rename" else details[0]) == str(path):
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "os.rename" and str(details[1]) == str(path):
            moved.append(event)

    real = time.monotonic
    time.monotonic = lambda: 100 * real()
    sys.addaudithook(heard)
    simulate(path)


def simulate(checkpoint: Path) -> str:
    """The run that the checkpoint belongs to."""
    import hamlearn as hl

    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=300, chains=2, seed=5, sampler="metropolis", checkpoint=checkpoint)
    return common.tree_digest(data)


def read_states(path: Path) -> str:
    """Microstates."""
    import hamlearn as hl

    return common.tree_digest(hl.microstates(path, space=None if path.suffix in (".nc", ".zarr") else "spins"))


def read_posterior(path: Path) -> str:
    """A posterior, and what is decided from it."""
    import hamlearn as hl

    post = hl.load(path)
    return common.tree_digest(post) + str(hl.verdict(post))


def read_prediction(path: Path) -> str:
    """A prediction."""
    from hamlearn import storage

    return common.tree_digest(storage.read_dataset(path))


READERS: dict[str, Callable[[Path], str]] = {
    "states.nc": read_states,
    "states.zarr": read_states,
    "posterior.nc": read_posterior,
    "posterior.zarr": read_posterior,
    "prediction.nc": read_prediction,
    "prediction.zarr": read_prediction,
    "rows.npz": read_states,
    "rows.npy": read_states,
    "rows.csv": read_states,
    "rows.h5": read_states,
    "run.checkpoint.npz": simulate,
}
NO_DIGEST = ("rows.npy", "rows.csv", "rows.h5")
Rng = np.random.Generator


def _span(size: int, rng: Rng) -> tuple[int, int]:
    length = int(min(size, rng.choice([1, 16, 256, 4096])))
    start = int(rng.integers(0, size - length + 1))
    return start, start + length


def cut(raw: bytes, rng: Rng) -> bytes:
    """The head only."""
    return raw[: int(len(raw) * rng.random())]


def cut_a_little(raw: bytes, rng: Rng) -> bytes:
    """All but the last bytes."""
    return raw[: -int(rng.integers(1, 64))]


def flip(raw: bytes, rng: Rng) -> bytes:
    """One bit."""
    out, where = bytearray(raw), int(rng.integers(0, len(raw)))
    out[where] ^= 1 << int(rng.integers(0, 8))
    return bytes(out)


def flips(raw: bytes, rng: Rng) -> bytes:
    """Sixteen bits."""
    for _ in range(16):
        raw = flip(raw, rng)
    return raw


def flip_early(raw: bytes, rng: Rng) -> bytes:
    """Four bits among the first two thousand bytes, where formats keep what matters."""
    head = raw[:2048]
    for _ in range(4):
        head = flip(head, rng)
    return head + raw[2048:]


def zero(raw: bytes, rng: Rng) -> bytes:
    """A range."""
    start, end = _span(len(raw), rng)
    return raw[:start] + bytes(end - start) + raw[end:]


def noise(raw: bytes, rng: Rng) -> bytes:
    """A range of random bytes."""
    start, end = _span(len(raw), rng)
    return raw[:start] + rng.bytes(end - start) + raw[end:]


def swap(raw: bytes, rng: Rng) -> bytes:
    """Two blocks change places."""
    length = max(1, min(512, len(raw) // 4))
    first, second = sorted(int(one) for one in rng.integers(0, len(raw) - length + 1, 2))
    second = max(second, min(first + length, len(raw) - length))
    return raw[:first] + raw[second : second + length] + raw[first + length : second] + raw[first : first + length] + raw[second + length :]


def insert(raw: bytes, rng: Rng) -> bytes:
    """A few bytes too many in the middle."""
    where = int(rng.integers(0, len(raw)))
    return raw[:where] + rng.bytes(int(rng.integers(1, 16))) + raw[where:]


def append(raw: bytes, rng: Rng) -> bytes:
    """A few bytes too many at the end."""
    return raw + rng.bytes(int(rng.integers(1, 64)))


BYTES = (cut, cut_a_little, flip, flip, flips, flip_early, zero, noise, swap, insert, append)


def edit_hdf5(path: Path, rng: Rng) -> str:
    """Something that another program could do with h5py."""
    import h5py

    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, one: names.append(name) if isinstance(one, h5py.Dataset) else None)
        holders = [file, *(file[name] for name in names)]
        attributes = [(one, key) for one in holders for key in one.attrs if not key.startswith("_") and key.isascii() and key.islower()]
        holder, key = attributes[int(rng.integers(len(attributes)))]
        name = names[int(rng.integers(len(names)))]
        what = int(rng.integers(6))
        if what == 0:
            del holder.attrs[key]
        elif what == 1:
            holder.attrs[key] = "{broken"
        elif what == 2:
            holder.attrs[key] = float("nan")
        elif what == 3:
            del file[name]
        elif what == 4:
            file.move(name, name + "_other")
        elif file[name].dtype.kind in "if" and file[name].size:
            file[name][...] = file[name][...] * 2
        else:
            del file[name]
        return f"edit {what} of {holder.name} {key} or {name}"


def damage_folder(path: Path, rng: Rng) -> str:
    """One file of a Zarr folder is damaged, taken away, exchanged with another, or edited."""
    files = sorted(one for one in path.rglob("*") if one.is_file())
    chosen = files[int(rng.integers(len(files)))]
    shown = chosen.relative_to(path)
    what = int(rng.integers(5))
    if what == 0:
        chosen.unlink()
        return f"without {shown}"
    if what == 1:
        other = files[int(rng.integers(len(files)))]
        raw, theirs = chosen.read_bytes(), other.read_bytes()
        chosen.write_bytes(theirs)
        other.write_bytes(raw)
        return f"{shown} and {other.relative_to(path)} exchanged"
    if what == 2 and chosen.parent != path:
        shutil.rmtree(chosen.parent)
        return f"without the folder {shown.parent}"
    kind = BYTES[int(rng.integers(len(BYTES)))]
    chosen.write_bytes(kind(chosen.read_bytes() or b"\0", rng))
    return f"{kind.__name__} in {shown}"


def damage(path: Path, rng: Rng) -> str:
    """Damage it in a way that depends on `rng` only; returns what was done."""
    if path.is_dir():
        return damage_folder(path, rng)
    if path.suffix in (".nc", ".h5") and path.name != "rows.h5" and rng.random() < 0.25:
        return edit_hdf5(path, rng)
    kind = BYTES[int(rng.integers(len(BYTES)))]
    path.write_bytes(kind(path.read_bytes(), rng))
    return kind.__name__


def judge(part: common.Part, row: str, outcome: common.Outcome, sound: str | None, what: str, repeat: str, reached: bool = False) -> None:
    """Count one trial; `reached` is for checkpoints, which must not stop a run."""
    part.add(row, "files")
    if outcome.kind == "value" and sound is not None and outcome.value == sound:
        part.add(row, "read, identical")
    elif outcome.kind == "value" and row in NO_DIGEST:
        part.add(row, "other valid values (no digest in this format)")
    elif outcome.kind == "value":
        part.fault(row, "accepted with other content", what, repeat)
    elif outcome.kind == "refused" and not reached:
        part.add(row, "refused")
        if not outcome.message.strip() or "\n" in outcome.message.strip():
            part.fault(row, "message", f"{what}: {outcome.message[:100]!r}", repeat)
    else:
        names = {"raised": "other exception", "hung": "hang", "died": "crash", "refused": "run ended"}
        part.fault(row, names[outcome.kind], f"{what}: {outcome.message[:200]}", repeat)
    if outcome.warned:
        part.fault(row, "warning", f"{what}: {outcome.warned[0]}", repeat)
    if outcome.memory > MEMORY:
        part.fault(row, "memory", f"{what}: {outcome.memory >> 20} MB", repeat)


def audit(sample: int, seed: int, only: str = "", quiet: bool = False) -> common.Part:
    """All damaged files, then all hostile ones."""
    part = common.Part(
        "damaged", "Damaged and hostile files", f"python benchmarks/robustness/damaged.py --sample {sample} --seed {seed}", quiet=quiet
    )
    common.import_everything()
    place = Path(tempfile.mkdtemp(prefix="damaged-"))
    (shelf := place / "shelf").mkdir()
    if (made := common.isolated(lambda: make(shelf), 600)).kind != "value":
        raise SystemExit(f"cannot make sound files: {made}")
    common.isolated(lambda: make_checkpoint(shelf / "run.checkpoint.npz"), 600)
    rows = [row for row in READERS if only in row and (shelf / row).exists()]
    each = -(-sample // max(1, len(rows)))
    for number, row in enumerate(rows):
        fresh = place / ("fresh.npz" if row.startswith("run") else row)
        if not row.startswith("run"):
            _copy(shelf / row, fresh)
        sound = common.isolated(lambda row=row, fresh=fresh: READERS[row](fresh), 600)
        if sound.kind != "value":
            part.fault(row, "sound file", f"{sound.kind}: {sound.message}", row)
            continue
        _remove(fresh)
        for index in range(each):
            _copy(shelf / row, path := place / row)
            what = damage(path, np.random.default_rng((seed, number, index)))
            outcome = common.isolated(lambda row=row, path=path: READERS[row](path), SECONDS)
            repeat = f"python benchmarks/robustness/damaged.py --sample {sample} --seed {seed} --only {row}   # number {index}: {what}"
            judge(part, row, outcome, sound.value, what, repeat, reached=row.startswith("run"))
            for left in place.iterdir():
                if left != shelf:
                    _remove(left)
            common.progress(part, number * each + index + 1, each * len(rows), 50)
    if not only or only in hostile.ROW:
        for name, path, read in hostile.files(place / "hostile"):
            outcome = common.isolated(lambda read=read, path=path: read(path), WAIT)
            judge(part, hostile.ROW, outcome, None, f"{name}, {read.__name__}", f"hostile.py: {name} ({read.__name__})")
    shutil.rmtree(place, ignore_errors=True)
    return part


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


if __name__ == "__main__":
    options = common.arguments(__doc__, 400)
    raise SystemExit(common.finish(audit(options.sample, options.seed, options.only), options.faults))
