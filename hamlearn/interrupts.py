"""Signals that arrive at a bad moment: while a file is written they wait until it is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_WAITING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PATIENCE = 3  # the signal that is not put off any more: something hangs


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
    for number, handler in before.items():
        signal.signal(number, handler)
