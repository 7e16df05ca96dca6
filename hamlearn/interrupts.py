"""Interruptions: while a file is written they wait until it is whole, and whoever hears one can tell what is kept.

Imports nothing heavy: the shell listens before anything else is loaded.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hamlearn.checkpoint import Checkpoint

_WAITING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PATIENCE = 3  # the signal that is not put off any more: something hangs

_watched: ContextVar[list[Checkpoint] | None] = ContextVar("watched", default=None)


@contextlib.contextmanager
def watched() -> Iterator[list[Checkpoint]]:
    """The checkpoints that are opened inside: whoever keeps the result removes them then, and says where an interrupted run is."""
    found: list[Checkpoint] = []
    token = _watched.set(found)
    try:
        yield found
    finally:
        _watched.reset(token)


def opened(checkpoint: Checkpoint) -> None:
    """Tell whoever watches."""
    found = _watched.get()
    if found is not None:
        found.append(checkpoint)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C (and a polite kill) that arrives inside is heard at the end; the third one at once.

    Only the main thread hears signals; in another one this does nothing.

    Examples
    --------
    >>> try:
    ...     with uninterrupted():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("finished")
    ... except KeyboardInterrupt:
    ...     print("interrupted")
    finished
    interrupted
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) >= _PATIENCE:
            _restore(before)
            signal.raise_signal(number)

    try:
        for number in _WAITING:
            if callable(signal.getsignal(number)):  # one that is ignored, or ends the process, is none of ours
                before[number] = signal.signal(number, note)
        yield
    finally:
        _restore(before)
        if heard and len(heard) < _PATIENCE:
            signal.raise_signal(heard[0])


def _restore(before: dict[int, Any]) -> None:
    """Every handler, though one that is back may be called at once and raise."""
    while before:
        number, handler = before.popitem()
        try:
            signal.signal(number, handler)
        finally:
            _restore(before)
