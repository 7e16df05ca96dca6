"""Progress bars for long loops: shown on a terminal after two seconds, silent everywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

_PATIENCE_S = 2.0  # shorter work needs no bar


class track:
    """Context manager that shows how far a loop is.

    The bar goes to stderr, and only if that is a terminal and the work has lasted over two seconds: logs, notebooks'
    outputs and quick calls stay clean.

    Parameters
    ----------
    total : int or float
        Amount of work.
    label : str
        What is being done.
    enabled : bool, optional
        True shows the bar at once, wherever stderr goes; False never shows it.

    Examples
    --------
    >>> with track(3, "sampling", enabled=False) as bar:
    ...     for _ in range(3):
    ...         bar.advance(1)
    >>> bar.done
    3
    """

    def __init__(self, total: float, label: str, enabled: bool | None = None) -> None:
        self.total = total
        self.label = label
        self.done: float = 0
        stream = sys.stderr
        self._allowed = bool(enabled) if enabled is not None else stream is not None and stream.isatty()
        self._patience = 0.0 if enabled else _PATIENCE_S
        self._start = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def advance(self, n: float = 1) -> None:
        """Record `n` more units of work."""
        self.done += n
        if self._bar is None and self._allowed and time.monotonic() - self._start >= self._patience:
            self._open()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)

    def describe(self, label: str) -> None:
        """Say something else from now on: how well it goes, beside how far."""
        self.label = label
        if self._bar is not None:
            self._bar.update(self._task, description=label)

    def _open(self) -> None:
        # rich is imported only when a bar is wanted: most calls never need it.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(self.label, total=self.total, completed=self.done)

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
