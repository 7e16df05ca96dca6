"""What is said while work goes on: what was chosen and what it will cost, and how far it is.

Lines are records of the logger ``hamlearn`` at level INFO. Where nobody has configured logging, as in a script, a console or a notebook,
they go to stderr: a fit that takes a minute should not begin with a minute of silence. Whoever has configured logging gets what was asked
for, and ``logging.getLogger("hamlearn").setLevel("WARNING")`` is the one setting that quiets lines and bars alike. Nothing
process-wide is touched: no handler is added and no level set.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

_PATIENCE_S = 2.0  # shorter work needs no bar
_BAR = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
_LOGGER = logging.getLogger("hamlearn")
_ASIDE: ContextVar[bool] = ContextVar("aside", default=False)
_NEXT: ContextVar[tuple[str, ...]] = ContextVar("next", default=())


@contextmanager
def aside() -> Iterator[None]:
    """Inside, lines at level INFO are DEBUG: they tell of steps of a task that has been told already.

    Examples
    --------
    >>> with aside():
    ...     logger.info("a refit")
    """
    token = _ASIDE.set(True)
    try:
        yield
    finally:
        _ASIDE.reset(token)


@contextmanager
def followed_by(line: str) -> Iterator[None]:
    """Inside, `line` is told after the first one: what follows the work that this one announces. Of what is refused nothing is told.

    Examples
    --------
    >>> with followed_by("  then a comparison"):
    ...     logger.info("learning")
    """
    token = _NEXT.set((line,) if line else ())
    try:
        yield
    finally:
        _NEXT.reset(token)


def in_notebook() -> bool:
    """Whether stderr is a notebook's, which shows what is written and knows carriage returns, but is no terminal."""
    return type(sys.stderr).__module__.startswith("ipykernel.")


def _watched() -> bool:
    """Whether somebody sees what moves on stderr; not where it is closed, or whatever stands in for it cannot say."""
    try:
        return in_notebook() or bool(sys.stderr.isatty())
    except (AttributeError, ValueError):
        return False


def quiet() -> bool:
    """Whether the one setting says so: a level above INFO at the logger ``hamlearn`` itself."""
    return _LOGGER.level > logging.INFO


def _unheard() -> bool:
    """Whether a line at level INFO would reach nobody, though nobody has said that it should not."""
    if quiet() or _LOGGER.handlers:
        return False
    # Some notebooks come with a handler for warnings; nobody who works there has put it there.
    return not logging.getLogger().handlers or (in_notebook() and not _LOGGER.isEnabledFor(logging.INFO))


class _Voice(logging.LoggerAdapter[logging.Logger]):
    """The logger ``hamlearn``, whose lines at level INFO are printed to stderr where nobody has configured logging.

    Warnings need no help: Python prints them itself where there is no handler.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if level == logging.INFO and _ASIDE.get():
            level = logging.DEBUG
        super().log(level, msg, *args, **kwargs)
        if logging.INFO <= level < logging.WARNING and sys.stderr is not None and _unheard():
            with suppress(Exception):  # a line that cannot be written (closed, a broken pipe, a full disk) stops no work
                print(str(msg) % args if args else str(msg), file=sys.stderr, flush=True)
        if level == logging.INFO:
            following = _NEXT.get()
            _NEXT.set(())
            for line in following:
                self.info(line)

    def isEnabledFor(self, level: int) -> bool:
        return super().isEnabledFor(level) or (level >= logging.INFO and _unheard())


logger = _Voice(_LOGGER, {})


class track:
    """Context manager that shows how far a loop is.

    The bar goes to stderr, if that is a terminal or a notebook's and the work has lasted over two seconds: logs and quick calls stay
    clean.

    Parameters
    ----------
    total : int or float
        Amount of work.
    label : str
        What is being done.
    enabled : bool, optional
        True shows the bar at once, wherever stderr goes; False never shows it. None: as above, unless the logger ``hamlearn`` was
        quieted.

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
        self._allowed = sys.stderr is not None and (bool(enabled) if enabled is not None else _watched() and not quiet())
        self._patience = 0.0 if enabled else _PATIENCE_S
        self._start = time.monotonic()
        self._bar: Any = None

    def advance(self, n: float = 1) -> None:
        """Record `n` more units of work."""
        self.done += n
        with self._harmless():
            if self._bar is None and self._allowed and time.monotonic() - self._start >= self._patience:
                self._open()
            if self._bar is not None:
                self._bar.total = self.total
                self._bar.update(self.done - self._bar.n)

    def describe(self, label: str) -> None:
        """Say something else from now on: how well it goes, beside how far."""
        self.label = label
        with self._harmless():
            if self._bar is not None:
                self._bar.set_description_str(label)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """Inside, a bar that can no longer be written is given up: it stops no work."""
        try:
            yield
        except Exception:  # whatever stands in for stderr raises what it likes
            self._allowed = False
            if self._bar is not None:
                self._bar.disable = True  # it would try once more when it is forgotten
                self._bar = None

    def _open(self) -> None:
        # Imported only when a bar is wanted: most calls never need it. Not its notebook's form, which wants widgets.
        from tqdm.std import tqdm

        class Bar(tqdm):
            monitor_interval = 0  # no thread that outlives the work

        self._bar = Bar(total=self.total, desc=self.label, bar_format=_BAR, file=sys.stderr, leave=False, dynamic_ncols=True)
        self._bar.start_t -= time.monotonic() - self._start  # the work began before the bar
        self._bar.n = self.done
        self._bar.refresh()

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._harmless():
            if self._bar is not None:
                self._bar.close()
                self._bar = None
