"""Targets are tried before the work, and a result is kept wherever it can be: beside its target's place if not there."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hamlearn.cli.signals import tell, to_nowhere
from hamlearn.cli.streams import is_stream, require_no_terminal, write_through
from hamlearn.cli.work import Work
from hamlearn.errors import HamlearnError
from hamlearn.interrupts import uninterrupted

RESULTS = (".nc", ".zarr")
PAGES = (".html", ".htm")
_LONGEST = 200  # bytes of an output's name that the names beside it keep


def require_target(output: Path, endings: tuple[str, ...] = RESULTS, inputs: Sequence[Path] = ()) -> None:
    """Raise before long work starts if its result could not be written to `output`, or would replace what it is made from."""
    if is_stream(output):
        return require_no_terminal()
    for given in inputs:
        if _inside(output, given):
            raise HamlearnError(f"{output} is both read and written; name another output, for it would replace what it is made from.")
    from hamlearn import storage  # xarray: too heavy for --help

    storage.require_writable(output, endings)
    if output.exists() and not (output.is_file() or output.is_dir()):
        raise HamlearnError(f"{output} is a pipe or a device, which a result would replace; name a file.")


def checkpoint_of(output: Path) -> Path | None:
    """Where a run saves itself until its result is in `output`; nowhere if that is standard output, which names no run."""
    if is_stream(output):
        return None
    name = os.fsencode(output.name)[:_LONGEST]
    return output.with_name(os.fsdecode(name) + ".checkpoint.npz")


def keep(work: Work, write: Callable[[Path], Any], output: Path, *, quick: bool = True, ending: str = RESULTS[0]) -> None:
    """Write a result; where that fails (a full disk) keep it in another folder and say where.

    Checkpoints are removed only once the result is whole and where it should be.

    Parameters
    ----------
    work : Work
        Told of the result, for whoever interrupts what follows.
    write : callable
        Writes the result to a path, whole or not at all.
    output : Path
        Where it belongs.
    quick : bool
        It only writes: an interrupt waits for it.
    ending : str
        Of the file that goes to standard output where `output` is ``-``.

    Raises
    ------
    HamlearnError
        If it could not be written there, with the place where it is kept.
    """
    with uninterrupted() if quick else contextlib.nullcontext():
        try:
            write_through(write, ending) if is_stream(output) else write(output)
        except Exception as error:
            told = str(error).split(" The result in memory is intact")[0] or type(error).__name__
            kept = _elsewhere(write, Path(f"result{ending}") if is_stream(output) else output)
            if kept is None:
                raise
            raise HamlearnError(f"{told} It was kept in {kept}.") from error
        work.written.append(Path("standard output") if is_stream(output) else output)
        for one in work.checkpoints:
            one.remove()


def write_found(found: Any, path: Path) -> None:
    """What was found of a posterior: its page, or the posterior with it, as the ending says."""
    import hamlearn as hl

    if path.suffix in RESULTS and found.posterior is not None:
        hl.save(found.posterior, path)
    else:
        hl.report(found, path)


def _elsewhere(write: Callable[[Path], Any], output: Path) -> Path | None:
    """Where a result that cannot be where it belongs was written, if anywhere."""
    name = output.name if len(os.fsencode(output.name)) <= _LONGEST else f"result{output.suffix}"
    for place in _places():
        folder: str | None = None
        try:
            folder = tempfile.mkdtemp(prefix="hamlearn-", dir=place)
            write(Path(folder) / name)
            return Path(folder) / name
        except Exception:  # this place does not take it either, whatever it says
            if folder is not None:
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
    return None


def _places() -> Iterator[Path]:
    """The temporary folder, the current one, home."""
    for place in (lambda: Path(tempfile.gettempdir()), Path.cwd, Path.home):
        with contextlib.suppress(OSError, RuntimeError):
            yield place()


def _inside(output: Path, given: Path) -> bool:
    """Whether writing `output` would touch `given`: the same file, or a file in a folder that is read."""
    for place in (output, *output.absolute().parents):
        with contextlib.suppress(OSError):
            if place.samefile(given) and (place == output or given.suffix == ".zarr"):
                return True
    return False


def say(*lines: Any, output: Path | None = None) -> None:
    """Print lines, and where the result is; on standard error where the result itself went to standard output.

    The result is safe by then: nothing that happens to the output may end the command.
    """
    if is_stream(output):
        for line in lines:
            tell(str(line))
        return
    try:
        print(*lines, *([] if output is None else [output]), sep="\n", flush=True)
    except OSError as error:
        to_nowhere(1)
        if error.errno != errno.EPIPE:
            tell(f"standard output cannot be written ({error.strerror}); files are complete")
    except ValueError:  # closed
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
