"""What the audits share: calls in processes of their own, digests of content, faults, and the table they end in.

An audit script is started before anything of hamlearn was used, imports all of it once, and forks a child for every trial: a crash, a
hang or a kill then costs one trial, and a trial starts in milliseconds.
"""

from __future__ import annotations

import argparse
import atexit
import hashlib
import importlib
import json
import os
import pickle
import pkgutil
import re
import resource
import select
import shlex
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # with JAX_COMPILATION_CACHE_DIR: nothing is compiled twice

QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def import_everything() -> None:
    """Load hamlearn and what it stands on, and use nothing: children are forked from here."""
    import hamlearn

    for module in pkgutil.walk_packages(hamlearn.__path__, "hamlearn."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("arviz_plots", "h5netcdf", "h5py", "matplotlib.pyplot", "numpyro", "pandas", "pyro", "zarr"):
        importlib.import_module(name)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes
    ----------
    kind : {"value", "refused", "raised", "hung", "died"}
        Refused is a HamlearnError, raised is any other exception, died is a signal.
    value, message : Any, str
        What was returned, or what was said.
    warned : tuple of str
        Warnings that reached the caller.
    memory : int
        Bytes that the trial's process grew by.
    """

    kind: str
    value: Any = None
    message: str = ""
    warned: tuple[str, ...] = ()
    memory: int = 0


def isolated(call: Callable[[], Any], seconds: float = 120.0) -> Outcome:
    """Run `call` in a child; what it returns must be picklable."""
    reader, writer = os.pipe()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(lambda: _answer(call, writer, before))
    os.close(writer)
    raw, finished = _drain(reader, seconds)
    if not finished:
        _kill(child)
        return Outcome("hung", message=f"no answer in {seconds:g} s")
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return Outcome("died", message=f"signal {signal.Signals(os.WTERMSIG(status)).name}")
    return pickle.loads(raw)  # written by our own child


def _answer(call: Callable[[], Any], writer: int, before: int) -> int:
    from hamlearn.errors import HamlearnError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind in QUIET:
            warnings.simplefilter("ignore", kind)
        try:
            outcome = Outcome("value", call())
        except HamlearnError as error:
            outcome = Outcome("refused", message=str(error))
        except BaseException as error:
            own = [frame for frame in traceback.extract_tb(error.__traceback__) if "hamlearn/" in frame.filename]
            where = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
            outcome = Outcome("raised", message=f"{type(error).__name__}: {str(error)[:160]}{where}")
    grown = max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    told = tuple(f"{one.category.__name__}: {str(one.message)[:120]}" for one in caught)
    raw = pickle.dumps(Outcome(outcome.kind, outcome.value, outcome.message, told, grown))
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(raw)
    return 0


def _drain(reader: int, seconds: float) -> tuple[bytes, bool]:
    pieces, end = [], time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0 and select.select([reader], [], [], left)[0]:
            piece = os.read(reader, 1 << 16)
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
        return b"", False
    finally:
        os.close(reader)


def _child(work: Callable[[], int], said: int | None = None) -> None:
    """The rest of a forked child's life: its own session, silent unless `said` is a file, and no return to the parent's code."""
    code = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sink = os.open(os.devnull, os.O_RDWR)
        os.dup2(sink, 0)
        for stream in (1, 2):
            os.dup2(sink if said is None else said, stream)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _kill(child: int) -> int:
    os.killpg(child, signal.SIGKILL) if os.getpgid(child) == child else os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


@dataclass
class Run:
    """A shell command of hamlearn that runs in a forked child."""

    child: int
    said: int
    started: float

    def wait(self, seconds: float) -> int | None:
        """Its exit code, minus the signal that ended it, or None after `seconds` (it goes on)."""
        end, pause = time.monotonic() + seconds, 0.002
        while True:
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            if time.monotonic() >= end:
                return None
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            pause = min(0.05, pause * 1.5)

    def kill(self) -> None:
        """End it as a power cut would."""
        _kill(self.child)

    def text(self) -> str:
        """What it wrote to both streams so far."""
        size = os.fstat(self.said).st_size
        return os.pread(self.said, size, 0).decode(errors="replace")

    def close(self) -> None:
        """Forget what it said."""
        os.close(self.said)


def shell(arguments: Iterable[Any], folder: Path, before: Callable[[], None] | None = None) -> Run:
    """Start ``hamlearn ARGUMENTS`` in `folder`, after `before()` in the child."""
    said = os.memfd_create("said")
    words = [str(word) for word in arguments]
    child = os.fork()
    if child == 0:
        _child(lambda: _main(words, folder, before), said)
    return Run(child, said, time.monotonic())


def _main(words: list[str], folder: Path, before: Callable[[], None] | None) -> int:
    os.chdir(folder)
    sys.argv = ["hamlearn", *words]
    try:
        if before is not None:
            before()
        from hamlearn import cli

        cli.main()
        code = 0
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    return code


def command(arguments: Iterable[Any]) -> str:
    """The words of a shell command, quoted, so that it can be pasted."""
    return "hamlearn " + " ".join(shlex.quote(str(word)) for word in arguments)


def digest(path: Path) -> str:
    """Of the content of a result as hamlearn reads it: groups, variables, dtypes, values, coordinates and attributes.

    What a clock measured (``seconds`` of records, and where a page tells them) is left out.
    """
    if path.suffix in (".html", ".htm"):
        page = path.read_bytes()
        if not page.rstrip().endswith(b"</html>"):
            raise ValueError("the page does not end")
        return hashlib.sha256(re.sub(rb"[0-9.e+-]+ (s|min|h|ms)\b", b"", page)).hexdigest()
    from hamlearn import storage

    return tree_digest(storage.read_tree(path))


def tree_digest(tree: Any) -> str:
    """Of a DataTree or Dataset in memory."""
    import numpy as np
    import xarray as xr

    total = hashlib.sha256()
    nodes = [("/", tree)] if isinstance(tree, xr.Dataset) else [(node.path, node.to_dataset(inherit=False)) for node in tree.subtree]
    for name, data in sorted(nodes, key=lambda pair: pair[0]):
        total.update(name.encode())
        _attributes(total, data.attrs)
        for key in sorted(data.variables, key=str):
            variable = data.variables[key]
            total.update(f"{key} {variable.dims} {variable.shape} {variable.dtype.kind}{variable.dtype.itemsize}".encode())
            values = np.asarray(variable.values)
            total.update(repr(values.tolist()).encode() if values.dtype.kind in "OUST" else np.ascontiguousarray(values).tobytes())
            _attributes(total, variable.attrs)
    return total.hexdigest()


def _attributes(total: Any, attrs: Any) -> None:
    for key in sorted(attrs, key=str):
        value = _timeless(attrs[key])
        if key == "seconds":
            continue
        total.update(f"{key}={value.tolist() if hasattr(value, 'tolist') else value!r}".encode())


def _timeless(value: Any) -> Any:
    """JSON without its seconds; anything else as it is."""
    if isinstance(value, str) and value[:1] == "{" and '"seconds"' in value:
        try:
            return json.dumps(json.loads(value, object_hook=lambda one: {k: v for k, v in one.items() if k != "seconds"}))
        except ValueError:
            return value
    return value


@dataclass(frozen=True)
class Fault:
    """Something that must not happen, and how to see it again."""

    kind: str
    what: str
    reproduce: str


@dataclass
class Part:
    """One audit: counts by row and column, and the faults among them."""

    name: str
    title: str
    command: str
    counts: dict[str, dict[str, int | float | str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    note: str = ""
    quiet: bool = False

    def add(self, row: str, column: str, more: float = 1) -> None:
        """Count one more."""
        cells = self.counts.setdefault(row, {})
        cells[column] = cells.get(column, 0) + more  # type: ignore[operator]

    def put(self, row: str, column: str, value: float | str) -> None:
        """Set a cell."""
        self.counts.setdefault(row, {})[column] = value

    def largest(self, row: str, column: str, value: float) -> None:
        """Keep the largest."""
        cells = self.counts.setdefault(row, {})
        cells[column] = max(cells.get(column, value), value)  # type: ignore[type-var]

    def fault(self, row: str, kind: str, what: str, reproduce: str) -> None:
        """Count and remember what must not happen."""
        self.add(row, kind)
        self.faults.append(Fault(kind, f"{row}: {what}", reproduce))
        self.say(f"FAULT {kind}: {row}: {what}\n      {reproduce}")

    def say(self, text: str) -> None:
        """Progress on standard error."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def total(self, column: str) -> int:
        """Of a column."""
        return int(sum(float(cells.get(column, 0)) for cells in self.counts.values()))

    def text(self) -> str:
        """The part as Markdown."""
        columns = list(dict.fromkeys(name for cells in self.counts.values() for name in cells))
        lines = [f"## {self.title}", "", f"`{self.command}`{'. ' + self.note if self.note else ''}", ""]
        lines += ["| | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
        shown = lambda cell: cell if isinstance(cell, str) else f"{cell:g}"
        for row, cells in self.counts.items():
            lines.append(f"| {row} | " + " | ".join(shown(cells.get(name, 0)) for name in columns) + " |")
        lines += ["", f"Faults: {len(self.faults)}.", ""]
        for kind in dict.fromkeys(one.kind for one in self.faults):
            same = [one for one in self.faults if one.kind == kind]
            lines += [f"- {kind} ({len(same)}), for example {same[0].what}: `{same[0].reproduce}`".replace("\n", " ")]
        return "\n".join(lines).rstrip() + "\n"


def progress(part: Part, done: int, total: int, every: int = 20) -> None:
    """A line now and then."""
    if done % every == 0 or done == total:
        part.say(f"{part.name}: {done} of {total}, {len(part.faults)} faults")


def arguments(text: str | None, sample: int) -> argparse.Namespace:
    """Options that every audit has."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=sample, help="how many trials")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--only", default="", help="only rows whose name holds this")
    parser.add_argument("--faults", type=Path, help="write every fault there, as JSON lines")
    return parser.parse_args()


def finish(part: Part, faults: Path | None = None) -> int:
    """Print the table and every fault; the exit code."""
    print(part.text())
    for one in part.faults:
        print(f"{one.kind}: {one.what}\n    {one.reproduce}")
    if faults is not None:
        faults.write_text("".join(json.dumps(asdict(one)) + "\n" for one in part.faults), encoding="utf-8")
    return int(bool(part.faults))
