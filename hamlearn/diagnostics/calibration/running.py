"""Many data sets, one after the other or in parallel, none of which is lost: to an interruption, or without a word."""

from __future__ import annotations

import concurrent.futures
import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hamlearn.arguments import require_path
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.progress import track

OF = "calibration"  # what a checkpoint says that it belongs to
_HOPELESS = 5  # data sets that fail one after the other from the start, after which no other is tried

Job = Callable[[int], np.ndarray]
Outcome = tuple[np.ndarray | None, str]  # numbers of a data set, or why there are none


@dataclass(frozen=True)
class Run:
    """What came of the data sets.

    Attributes
    ----------
    rows : array (data set, ...)
        Numbers of those that were learned, in the order of their own numbers.
    failures : tuple of str
        Why the others were not, each with its number.
    """

    rows: np.ndarray
    failures: tuple[str, ...]


def run(job: Job, sets: int, *, executor: Executor | None, checkpoint: Any, request: Mapping[str, str], label: str) -> Run:
    """What `job` makes of the numbers 0 … `sets` − 1.

    Parameters
    ----------
    job : callable
        Given the number of a data set, an array that depends on nothing else; always of one shape.
    sets : int
        How many.
    executor : concurrent.futures.Executor, optional
        Runs them in parallel.
    checkpoint : path, optional
        Every data set that is done is in this file before the next one is waited for.
    request : mapping of str to str
        Everything that determines what `job` returns.
    label : str
        For the progress bar.

    Raises
    ------
    HamlearnError
        If fewer than two data sets are left, or the executor cannot run the job.
    """
    saver = None if checkpoint is None else Checkpoint(require_path(checkpoint, "checkpoint"), request, of=OF)
    rows, failures = (saver.restore(_read) if saver else None) or ({}, {})
    pieces = [_piece(number, row) for number, row in rows.items()]
    todo = [number for number in range(sets) if number not in rows and number not in failures]
    with track(sets, f"{label}, {sets} data sets") as bar:
        bar.advance(sets - len(todo))
        for number, (row, why) in _outcomes(partial(_attempt, job), todo, executor):
            if row is None:
                failures[number] = why
            else:
                rows[number] = row
                pieces.append(_piece(number, row))
            if saver is not None:
                saver.save({"failures": np.array(json.dumps(failures))}, {"rows": pieces})
            if not rows and len(failures) >= min(_HOPELESS, sets):
                break
            bar.advance(1)
    kept, lost = sorted(number for number in rows if number < sets), sorted(number for number in failures if number < sets)
    if len(kept) < 2:
        raise HamlearnError(f"{len(lost)} of {len(lost) + len(kept)} data sets failed; the first, {lost[0]}: {failures[lost[0]]}")
    return Run(np.stack([rows[number] for number in kept]), tuple(f"{number}: {failures[number]}" for number in lost))


def _attempt(job: Job, number: int) -> Outcome:
    """What a job makes of a number; what is raised is told, with its place unless it is one of our own errors."""
    try:
        return np.asarray(job(number), float), ""
    except HamlearnError as error:
        return None, str(error)
    except MemoryError:  # the machine's fault, not the data set's: another run may have more
        raise
    except Exception as error:  # a user's function may raise anything, and so may numbers far out
        place = traceback.extract_tb(error.__traceback__)[-1]
        return None, f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"


def _outcomes(attempt: Callable[[int], Outcome], todo: list[int], executor: Executor | None) -> Iterator[tuple[int, Outcome]]:
    """Outcomes with their numbers, as they are done."""
    if executor is None:
        for number in todo:
            yield number, attempt(number)
        return
    futures: dict[Future[Outcome], int] = {}
    try:
        futures.update((executor.submit(attempt, number), number) for number in todo)
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], _result(future)
    except concurrent.futures.BrokenExecutor as error:
        raise _broken(error) from error
    finally:
        for future in futures:
            future.cancel()


def _result(future: Future[Outcome]) -> Outcome:
    """Of a future; whatever it raises is the executor's, not the job's."""
    try:
        return future.result()
    except (concurrent.futures.BrokenExecutor, concurrent.futures.CancelledError):
        raise
    except Exception as error:
        raise HamlearnError(
            f"the executor could not run a data set ({type(error).__name__}: {error}). Processes are sent functions by name: a lambda, a "
            "closure, or what was defined in a notebook or console cannot be sent. Define it in a file of its own and import it, or use "
            "threads, concurrent.futures.ThreadPoolExecutor."
        ) from error


def _broken(error: Exception) -> HamlearnError:
    return HamlearnError(
        f"a worker ended before its data set was done ({error}): killed, or out of memory; or the script that starts workers lacks "
        "`if __name__ == '__main__':`. With checkpoint= the same call continues from what was done; fewer workers take less memory."
    )


def _piece(number: int, row: np.ndarray) -> np.ndarray:
    """A data set as the checkpoint holds it: its number and its numbers, ``(1, 1 + size)``, and of which shape they are."""
    return np.concatenate([[number, row.ndim, *row.shape], row.ravel()])[None]


def _read(found: dict[str, Any]) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """Rows and failures of a checkpoint, by number."""
    rows = {}
    for line in np.concatenate(found["rows"]) if len(found.get("rows", ())) else ():
        axes = int(line[1])
        rows[int(line[0])] = line[2 + axes :].reshape(line[2 : 2 + axes].astype(int))
    return rows, {int(number): str(why) for number, why in json.loads(str(found["failures"])).items()}


__all__ = ["OF", "Run", "run"]
