"""What kill −9 leaves behind, at random moments of every verb and every long run.

    python benchmarks/robustness/kills.py --sample 300

Every trial runs a command of the shell (or the Python call that has no command), ends it with SIGKILL, looks at the target, and runs
the same command again. Moments are of two kinds: before the k-th operation on the file system (the dangerous ones: a file that was
made, moved or removed), and after a random time. The target must be absent, or hold its old content, or the new one, whole; the second
run must give, bit for bit, what an uninterrupted run gives; beside its target it leaves nothing of the first. In children hours
pass in a second, so that runs which save themselves every few seconds do so after every chunk: chunks that were done twice are
counted (saves of both runs less those of an uninterrupted one), and may be one.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
import numpy as np

CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.symlink"}
FASTER = 1e4  # every chunk is due to be saved
PATIENCE = 600.0


@dataclass(frozen=True)
class Case:
    """A command, what it needs, where its result goes, and whether one was there before."""

    words: tuple[str, ...]
    targets: tuple[str, ...]
    needs: tuple[str, ...] = ()
    over: str = ""
    weight: float = 1.0
    long: bool = False
    call: Callable[[], None] | None = field(default=None, compare=False)

    @property
    def shown(self) -> str:
        """How to run it by hand."""
        return f"python: {self.call.__name__}" if self.call else common.command(self.words)


def _learn_python() -> None:
    """A training that saves itself, from Python."""
    import hamlearn as hl

    data = hl.microstates("d.nc")
    engine = hl.infer.Training(epochs=6, checkpoint="training.checkpoint")
    hl.save(hl.learn(data, hl.models.Autoregressive(hidden=8), engine=engine, check=False, seed=0), "t.nc")


def _simulate_python() -> None:
    """A simulation that saves itself, from Python."""
    import hamlearn as hl

    data = hl.simulate(hl.systems.Ising((24, 24)), beta=0.3, draws=600, chains=4, seed=3, sampler="metropolis", checkpoint="s.npz")
    from hamlearn import storage

    storage.write_dataset(data, "s.nc")
    Path("s.npz").unlink(missing_ok=True)  # whoever saved the result removes the checkpoint


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SIMULATE = "simulate ising --shape 3x3 --beta 0.4 --draws 200 --chains 2"
LEARN = "learn d.nc --graph square --no-check"
CASES = {
    "simulate to .nc (exact)": Case(_words(f"{SIMULATE} --sampler exact -o s.nc"), ("s.nc",), weight=2),
    "simulate to .zarr (heat bath)": Case(_words(f"{SIMULATE} --sampler heat_bath -o s.zarr"), ("s.zarr",), weight=2),
    "simulate over an older .nc": Case(_words(f"{SIMULATE} --seed 1 --sampler heat_bath -o s.nc"), ("s.nc",), over="d.nc", weight=2),
    "simulate over an older .zarr": Case(
        _words(f"{SIMULATE} --seed 1 --sampler heat_bath -o s.zarr"), ("s.zarr",), over="d.zarr", weight=3
    ),
    "simulate (metropolis, long)": Case(
        _words("simulate ising --shape 64x64 --beta 0.4 --draws 400 --chains 4 --sampler metropolis -o s.nc"),
        ("s.nc",),
        weight=2,
        long=True,
    ),
    "simulate (tempering)": Case(
        _words("simulate edwards-anderson --shape 4x4 --beta 0.2,0.4 --draws 200 --chains 2 --sampler tempering -o s.nc"), ("s.nc",)
    ),
    "simulate (hmc)": Case(_words("simulate scalar-field --shape 4x4 --beta 1 --draws 100 --sampler hmc -o s.nc"), ("s.nc",)),
    "simulate (wolff, XY)": Case(_words("simulate xy --shape 3x3 --beta 0.5 --draws 100 --sampler wolff -o s.nc"), ("s.nc",)),
    "simulate (Python, checkpoint)": Case((), ("s.nc",), long=True, call=_simulate_python),
    "learn (laplace)": Case(_words(f"{LEARN} --engine laplace -o p2.nc"), ("p2.nc",), ("d.nc",), weight=2),
    "learn to .zarr": Case(_words(f"{LEARN} --engine laplace -o p2.zarr"), ("p2.zarr",), ("d.nc",), weight=2),
    "learn over an older .zarr": Case(
        _words(f"{LEARN} --engine laplace --seed 1 -o p2.zarr"), ("p2.zarr",), ("d.nc",), over="p.zarr", weight=2
    ),
    "learn (NUTS)": Case(_words(f"{LEARN} --engine nuts --fields none -o n.nc"), ("n.nc",), ("d.nc",), weight=2, long=True),
    "learn (Gibbs)": Case(_words(f"{LEARN} --prior spike_slab --engine gibbs -o g.nc"), ("g.nc",), ("d.nc",), weight=2, long=True),
    "learn (training, shell)": Case(_words("learn d.nc --model autoregressive --no-check -o a.nc"), ("a.nc",), ("d.nc",), long=True),
    "learn (training, Python)": Case((), ("t.nc",), ("d.nc",), long=True, call=_learn_python),
    "predict": Case(_words("predict p.nc --beta 0.2,0.4 --draws 8 -o c2.nc"), ("c2.nc",), ("p.nc",), weight=2),
    "predict to .zarr": Case(_words("predict p.nc --beta 0.2,0.4 --draws 8 -o c2.zarr"), ("c2.zarr",), ("p.nc",)),
    "predict over an older .nc": Case(_words("predict p.nc --beta 0.3 --draws 8 -o c2.nc"), ("c2.nc",), ("p.nc",), over="c.nc", weight=2),
    "extrapolate": Case(_words("extrapolate a4.nc a8.nc --beta 6 -o e.nc"), ("e.nc",), ("a4.nc", "a8.nc"), weight=1.5),
    "report": Case(_words("report p.nc --prediction c.nc -o r.html"), ("r.html",), ("p.nc", "c.nc"), weight=1.5),
    "report over an older page": Case(
        _words("report p.nc --prediction c.nc -o r.html"), ("r.html",), ("p.nc", "c.nc"), over="r0.html", weight=1.5
    ),
    "audit": Case(_words("audit x.nc --reference d.nc -o audit.html"), ("audit.html",), ("d.nc", "x.nc"), weight=1.5),
    "audit over an older page": Case(
        _words("audit x.nc --reference d.nc -o audit.html"), ("audit.html",), ("d.nc", "x.nc"), over="r0.html", weight=1.5
    ),
    "demo": Case(
        _words("demo -o demo"),
        ("demo/microstates.nc", "demo/posterior.nc", "demo/prediction.nc", "demo/report.html"),
        weight=0.4,
        long=True,
    ),
}
PREPARED = (
    f"{SIMULATE} --sampler exact -o d.nc",
    f"{SIMULATE} --sampler exact -o d.zarr",
    f"{SIMULATE} --sampler exact --seed 1 -o x.nc",
    f"{LEARN} --engine laplace -o p.nc",
    f"{LEARN} --engine laplace -o p.zarr",
    "predict p.nc --beta 0.1,0.5 --draws 8 -o c.nc",
    "report p.nc -o r0.html",
    "simulate double-well --shape 16 --beta 4 --draws 300 -o x4.nc",
    "simulate double-well --shape 16 --beta 8 --draws 300 -o x8.nc",
    "learn x4.nc --model polynomial-action --no-check -o a4.nc",
    "learn x8.nc --model polynomial-action --no-check -o a8.nc",
)


class Watch:
    """Counts what a child does to files, in memory shared with it, and can end the child before one of these operations."""

    def __init__(self, folder: Path, last: int = 0) -> None:
        self.shared = mmap.mmap(-1, 16)
        self.folder, self.last = str(folder), last

    @property
    def changes(self) -> int:
        """Operations that changed files."""
        return struct.unpack_from("q", self.shared, 0)[0]

    @property
    def saves(self) -> int:
        """Checkpoints that were moved into place."""
        return struct.unpack_from("q", self.shared, 8)[0]

    def start(self) -> None:
        """In the child: watch from here on, and let its clock run fast."""
        real, perf = time.monotonic, time.perf_counter
        time.monotonic = lambda: FASTER * real()
        time.perf_counter = lambda: FASTER * perf()
        sys.addaudithook(self._heard)

    def _heard(self, event: str, details: tuple[Any, ...]) -> None:
        if event not in CHANGES or not self._ours(event, details):
            return
        struct.pack_into("q", self.shared, 0, self.changes + 1)
        if self.changes == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "os.rename" and _is_checkpoint(os.path.basename(os.fsdecode(details[1]))):
            struct.pack_into("q", self.shared, 8, self.saves + 1)

    def _ours(self, event: str, details: tuple[Any, ...]) -> bool:
        if isinstance(details[0], int) or (event == "open" and not details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return False
        path = os.fsdecode(details[0])
        inside = os.path.abspath(path).startswith(self.folder)
        return inside or (event in ("os.remove", "os.rmdir", "os.mkdir") and details[-1] not in (-1, None) and not os.path.isabs(path))


def _is_checkpoint(name: str) -> bool:
    return "checkpoint" in name or name == "s.npz"


def start(case: Case, folder: Path, watch: Watch | None) -> common.Run:
    """The case's run, in a child."""
    before = watch.start if watch is not None else None
    if case.call is None:
        return common.shell(case.words, folder, before)

    def called() -> None:
        if before is not None:
            before()
        case.call()
        os._exit(0)

    return common.shell((), folder, called)


def look(path: Path) -> str:
    """A digest of what is there, "absent", or what is wrong with it."""
    if not path.exists():
        return "absent"
    outcome = common.isolated(lambda: common.digest(path))
    return outcome.value if outcome.kind == "value" else f"{outcome.kind}: {outcome.message}"


def room(case: Case, shelf: Path, place: Path) -> Path:
    """A new folder with what the case needs, and an older result where it wants one."""
    folder = Path(tempfile.mkdtemp(dir=place))
    for name in case.needs:
        _copy(shelf / name, folder / name)
    if case.over:
        _copy(shelf / case.over, folder / case.targets[0])
    return folder


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


@dataclass
class Reference:
    """What an uninterrupted run of a case gives."""

    digests: list[str]
    listing: set[str]
    changes: int
    saves: int
    seconds: float


def listing(folder: Path) -> set[str]:
    """Everything beside the target and in it that has no random name: top level, and the demo's folder."""
    return {str(path.relative_to(folder)) for path in folder.iterdir()} | {
        str(path.relative_to(folder)) for path in (folder / "demo").glob("*")
    }


def refer(case: Case, shelf: Path, place: Path) -> Reference | str:
    """Run it whole, twice where it may be that caches were cold."""
    runs = []
    for _ in range(2):
        folder = room(case, shelf, place)
        watch = Watch(folder)
        run = start(case, folder, watch)
        code = run.wait(PATIENCE)
        seconds = time.monotonic() - run.started
        if code != 0:
            return f"exit {code}: {run.text()[-300:]}"
        runs.append(Reference([look(folder / name) for name in case.targets], listing(folder), watch.changes, watch.saves, seconds))
        shutil.rmtree(folder)
    if runs[0].digests != runs[1].digests:
        return f"two uninterrupted runs differ: {runs[0].digests} {runs[1].digests}"
    return runs[1]


def trial(part: common.Part, name: str, case: Case, reference: Reference, shelf: Path, place: Path, rng: np.random.Generator) -> None:
    """One kill, one look, one run to the end."""
    folder = room(case, shelf, place)
    old = [look(folder / target) for target in case.targets]
    by_event = bool(rng.random() < (0.4 if case.long else 0.65))
    last = int(rng.integers(1, reference.changes + 1)) if by_event and reference.changes else 0
    moment = float(rng.uniform(0.02, 1.0)) * reference.seconds
    watch = Watch(folder, last)
    run = start(case, folder, watch)
    code = run.wait(PATIENCE if last else moment)
    if code is None:
        run.kill()
    killed = code in (None, -signal.SIGKILL)
    repeat = f"{case.shown}   # killed {f'before file operation {last}' if last else f'after {moment:.2f} s'}"
    part.add(name, "kills" if killed else "ended before")
    if code not in (None, -signal.SIGKILL, 0):
        part.fault(name, "crashed", f"exit {code}: {run.text()[-200:]}", repeat)
    run.close()
    for target, was, new in zip(case.targets, old, reference.digests, strict=True):
        seen = look(folder / target)
        if seen not in {was, new} or (seen == "absent" and was != "absent"):
            kind = "lost target" if seen == "absent" else "partial as whole" if ":" not in seen else "unreadable target"
            part.fault(name, kind, f"{target} is {seen[:160]}, was {was[:12]}, becomes {new[:12]}", repeat)
    again = Watch(folder)
    rerun = start(case, folder, again)
    code = rerun.wait(PATIENCE)
    if code is None:
        rerun.kill()
    said = rerun.text()
    rerun.close()
    found = [look(folder / target) for target in case.targets]
    if code != 0:
        part.fault(name, "no resume", f"exit {code}: {said[-300:]}", repeat)
    elif found != reference.digests:
        part.fault(name, "resume differs", f"{[one[:60] for one in found]}, not {[one[:12] for one in reference.digests]}", repeat)
    if killed and reference.saves and watch.saves < reference.saves:
        twice = watch.saves + again.saves - reference.saves
        part.largest(name, "chunks done twice", max(0, twice))
        part.add(name, "of them resumed", int(watch.saves > 0))
        if twice > 1:
            part.fault(name, "lost chunks", f"{watch.saves} saves, then {again.saves} of {reference.saves}", repeat)
    if code == 0 and (left := listing(folder) - reference.listing):
        part.fault(name, "leftovers", f"{sorted(left)}", repeat)
    shutil.rmtree(folder, ignore_errors=True)


def cold(part: common.Part, name: str, case: Case, reference: Reference, shelf: Path, place: Path, rng: np.random.Generator) -> None:
    """The same in a process that was started like a user's, for a few."""
    import subprocess

    folder = room(case, shelf, place)
    old = [look(folder / target) for target in case.targets]
    command = [sys.executable, "-m", "hamlearn", *case.words]
    moment = float(rng.uniform(0.5, 1.2)) * (reference.seconds + 3)
    started = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(moment)
    early = started.poll() is not None
    started.kill()
    started.wait()
    part.add(name, "ended before" if early else "kills")
    part.add(name, "in a new process")
    repeat = f"{case.shown}   # a new process, killed after {moment:.2f} s"
    for target, was, new in zip(case.targets, old, reference.digests, strict=True):
        seen = look(folder / target)
        if seen not in {was, new} or (seen == "absent" and was != "absent"):
            part.fault(name, "partial as whole", f"{target} is {seen[:160]}", repeat)
    code = (rerun := start(case, folder, None)).wait(PATIENCE)
    rerun.close()
    if code != 0 or [look(folder / target) for target in case.targets] != reference.digests:
        part.fault(name, "resume differs", f"exit {code}", repeat)
    if left := listing(folder) - reference.listing:
        part.fault(name, "leftovers", f"{sorted(left)}", repeat)
    shutil.rmtree(folder, ignore_errors=True)


def prepare(shelf: Path) -> None:
    """The files that cases read."""
    for text in PREPARED:
        run = common.shell(text.split(), shelf)
        if (code := run.wait(PATIENCE)) != 0:
            raise SystemExit(f"cannot prepare ({code}): {text}\n{run.text()}")
        run.close()


def audit(sample: int, seed: int, only: str = "", quiet: bool = False, share: tuple[int, int] = (0, 1)) -> common.Part:
    """All kills, or every k-th case from the i-th on for a share (i, k)."""
    part = common.Part("kills", "Kill −9", f"python benchmarks/robustness/kills.py --sample {sample} --seed {seed}", quiet=quiet)
    common.import_everything()
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    (shelf := place / "shelf").mkdir()
    prepare(shelf)
    chosen = {name: case for name, case in CASES.items() if only in name}
    weights = np.array([case.weight for case in chosen.values()])
    counts = dict(zip(chosen, np.maximum(1, np.round(sample * weights / weights.sum())).astype(int), strict=True))
    done = 0
    for number, (name, case) in enumerate(chosen.items()):
        if number % share[1] != share[0]:
            continue
        reference = refer(case, shelf, place)
        if isinstance(reference, str):
            part.fault(name, "no reference", reference, case.shown)
            continue
        part.say(f"{name}: {reference.seconds:.1f} s, {reference.changes} file operations, {reference.saves} saves")
        rng = np.random.default_rng((seed, number))
        for index in range(counts[name]):
            new_process = not case.long and case.call is None and index % 10 == 9
            (cold if new_process else trial)(part, name, case, reference, shelf, place, rng)
            done += 1
            common.progress(part, done, sum(list(counts.values())[share[0] :: share[1]]))
    shutil.rmtree(place, ignore_errors=True)
    return part


if __name__ == "__main__":
    options = common.arguments(__doc__, 300)
    raise SystemExit(common.finish(audit(options.sample, options.seed, options.only), options.faults))
