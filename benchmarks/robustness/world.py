"""The outside world, in new processes like a user's: a full disk, no home and no place to write, Ctrl-C at any moment.

    python benchmarks/robustness/world.py --sample 20

A full disk is a tmpfs of 40 kB (root may mount it); a user without a home is 65534 by setpriv, with a package that he cannot write; an
interrupt is a real SIGINT at a random moment, while another process keeps the machine busy. Where the machine does not allow it, the
row says so.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np

SHELL = [sys.executable, "-m", "hamlearn"]
SECONDS = 300.0
SIMULATE = "simulate ising --shape 3x3 --beta 0.4 --draws 100 --chains 2 --sampler exact"
PREPARED = (
    f"{SIMULATE} -o d.nc",
    "learn d.nc --graph square --engine laplace --no-check -o p.nc",
    "predict p.nc --beta 0.2,0.4 --draws 8 -o c.nc",
    "simulate double-well --shape 16 --beta 4 --draws 300 -o x4.nc",
    "learn x4.nc --model polynomial-action --no-check -o a4.nc",
    "simulate double-well --shape 16 --beta 8 --draws 300 -o x8.nc",
    "learn x8.nc --model polynomial-action --no-check -o a8.nc",
)
FULL = (
    "simulate ising --shape 16x16 --beta 0.3 --draws 4000 --chains 2 --sampler heat_bath -o {}/o.nc",
    "simulate ising --shape 16x16 --beta 0.3 --draws 4000 --chains 2 --sampler heat_bath -o {}/o.zarr",
    "learn d.nc --graph square --engine laplace --no-check -o {}/o.nc",
    "learn d.nc --graph square --engine laplace --no-check -o {}/o.zarr",
    "report p.nc --prediction c.nc -o {}/o.html",
    "predict p.nc --beta 0.01:2:200 --draws 4 -o {}/o.nc",
    "extrapolate a4.nc a8.nc --beta 6 -o {}/o.nc",
    "learn d.nc --graph square --engine nuts --no-check -o {}/o.nc",
)
HOMELESS = (
    f"{SIMULATE} -o h.nc",
    "simulate ising --shape 3x3 --beta 0.4 --draws 50 --sampler heat_bath -o h.zarr",
    "learn d.nc --graph square --engine laplace --no-check -o h.nc",
    "learn d.nc --graph square --prior spike_slab --engine gibbs --no-check -o h.nc",
    "predict p.nc --beta 0.2,0.4 --draws 8 -o h.nc",
    "report p.nc --prediction c.nc -o h.html",
    "extrapolate a4.nc a8.nc --beta 6 -o h.nc",
)
LONG = (
    "simulate ising --shape 64x64 --beta 0.4 --draws 20000 --sampler heat_bath -o i.nc",
    "learn d.nc --graph square --engine nuts -o i.nc",
    "learn d.nc --graph square --prior spike_slab --engine gibbs -o i.nc",
    "predict p.nc --beta 0.1:2:40 --draws 64 -o i.nc",
    "report p.nc -o i.html",
    "demo -o i",
)


def run(words: str, folder: Path, prefix: tuple[str, ...] = (), **environment: str) -> tuple[int | None, str]:
    """Exit code (minus the signal) and what was said; None where it hangs."""
    command = [*prefix, *SHELL, *words.split()]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=SECONDS, env={**os.environ, **environment}
        )
    except subprocess.TimeoutExpired:
        return None, "no answer"
    return done.returncode, done.stdout + done.stderr


def check(part: common.Part, row: str, code: int | None, said: str, right: tuple[int, ...], repeat: str) -> bool:
    """Count how a process ended; whether it was right."""
    part.add(row, "runs")
    last = (said.strip().splitlines() or [""])[-1][:200]
    if code is None:
        part.fault(row, "hang", last, repeat)
    elif code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, 134, 135, 139):
        part.fault(row, "segmentation faults", f"exit {code}", repeat)
    elif "Traceback" in said:
        part.fault(row, "raw", last, repeat)
    elif code not in right:
        part.fault(row, "another exit", f"exit {code}, expected {right}: {last}", repeat)
    else:
        part.add(row, "as promised")
        return True
    return False


def full_disk(part: common.Part, shelf: Path, sample: int) -> None:
    """Results that do not fit: refused in words, rescued elsewhere, nothing partial."""
    row, place = "full disk", Path(tempfile.mkdtemp(prefix="full-"))
    for index in range(sample):
        words = FULL[index % len(FULL)]
        size = ("40k", "16k", "64k")[index // len(FULL) % 3]
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True).returncode:
            part.put(row, "skipped", "no tmpfs can be mounted here")
            break
        rescue = Path(tempfile.mkdtemp(prefix="rescue-"))
        code, said = run(words.format(place), shelf, TMPDIR=str(rescue))
        left = [one for one in place.iterdir() if one.suffix in (".nc", ".zarr", ".html")]
        repeat = f"{size} tmpfs: hamlearn {words.format('FULL')}"
        if code == 0:
            part.add(row, "runs")
            whole = all(common.isolated(lambda one=one: common.digest(one)).kind == "value" for one in left)
            part.add(row, "as promised" if left and whole else "nothing written") if left and whole else part.fault(
                row, "said to be written", "exit 0 without a whole result", repeat
            )
        elif check(part, row, code, said, (2,), repeat):
            if left:
                part.fault(row, "partial file", str(left), repeat)
            if not any(rescue.rglob("o.*")) and "-o" in words:
                part.fault(row, "not rescued", said.strip()[-160:], repeat)
        subprocess.run(["umount", str(place)], check=False)
        shutil.rmtree(rescue, ignore_errors=True)
    place.rmdir()


def no_home(part: common.Part, shelf: Path, sample: int) -> None:
    """A user who owns nothing but the folder of his results."""
    row, room = "no home, nothing writable but the result's folder", Path(tempfile.mkdtemp(prefix="homeless-"))
    shutil.copytree(shelf, room, dirs_exist_ok=True)
    for one in (room, *room.rglob("*")):
        os.chmod(one, 0o777 if one.is_dir() else 0o644)
    prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    if subprocess.run([*prefix, sys.executable, "-c", "import hamlearn"], capture_output=True).returncode:
        part.put(row, "skipped", "setpriv or the environment does not allow it here")
        return
    unset = {"HOME": "/nonexistent", "NUMBA_CACHE_DIR": "", "JAX_COMPILATION_CACHE_DIR": "", "MPLCONFIGDIR": "", "XDG_CACHE_HOME": ""}
    for index in range(sample):
        words = HOMELESS[index % len(HOMELESS)]
        code, said = run(words, room, prefix, **{name: value for name, value in unset.items() if value or name != "HOME"})
        check(part, row, code, said, (0,), f"HOME=/nonexistent {' '.join(prefix)} hamlearn {words}")
        for one in room.glob("h.*"):
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    shutil.rmtree(room, ignore_errors=True)


def interrupts(part: common.Part, shelf: Path, sample: int, seed: int) -> None:
    """Ctrl-C while the machine is busy."""
    row, rng = "Ctrl-C on a busy machine", np.random.default_rng(seed)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for index in range(sample):
            words, folder = LONG[index % len(LONG)], Path(tempfile.mkdtemp(prefix="interrupt-"))
            shutil.copytree(shelf, folder, dirs_exist_ok=True)
            wait = float(rng.uniform(0.3, 12))
            job = subprocess.Popen(
                [*SHELL, *words.split()],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            time.sleep(wait)
            early = job.poll() is not None
            if not early:
                job.send_signal(signal.SIGINT)
            try:
                said, code = job.communicate(timeout=60)[0], job.returncode
            except subprocess.TimeoutExpired:
                job.kill()
                said, code = job.communicate()[0], None
            repeat = f"hamlearn {words}   # SIGINT after {wait:.2f} s"
            if early:
                part.add(row, "finished before")
            elif check(part, row, code, said, (130, 0), repeat) and code == 130 and "interrupted" not in said:
                part.fault(row, "no sentence", said.strip()[-120:], repeat)
            shutil.rmtree(folder, ignore_errors=True)
            common.progress(part, index + 1, sample, 5)
    finally:
        busy.kill()
        busy.wait()


def audit(sample: int, seed: int, only: str = "", quiet: bool = False) -> common.Part:
    """`sample` runs of each kind."""
    command = f"python benchmarks/robustness/world.py --sample {sample} --seed {seed}"
    part = common.Part("world", "Full disks, no home, Ctrl-C", command, quiet=quiet)
    common.import_everything()
    shelf = Path(tempfile.mkdtemp(prefix="world-"))
    for words in PREPARED:
        code, said = run(words, shelf)
        if code != 0:
            raise SystemExit(f"cannot prepare: {words}: {said}")
    kinds = {"full disk": full_disk, "no home": no_home}
    for name, kind in kinds.items():
        if only in name:
            kind(part, shelf, sample)
    if only in "Ctrl-C":
        interrupts(part, shelf, sample, seed)
    shutil.rmtree(shelf, ignore_errors=True)
    return part


if __name__ == "__main__":
    options = common.arguments(__doc__, 20)
    raise SystemExit(common.finish(audit(options.sample, options.seed, options.only), options.faults))
