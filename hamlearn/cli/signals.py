"""What a command does when it is told to stop: leave with a true sentence, at once where the libraries below do not answer.

The signals are SIGINT (Ctrl-C), SIGTERM and SIGHUP; one that the caller has set to be ignored stays ignored (``nohup``). The first one
raises :class:`Stopped`, a KeyboardInterrupt, in the main thread, so that loops save themselves on its way. The process then ends without
the interpreter's teardown, in which threads of compiled libraries that are still at work have crashed it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from hamlearn.cli.work import Work

WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal was closed"}
_AGAIN_S = 2.0  # signals within this time after the first belong to it: two Ctrl-C in a row are one
_DEAF_S = 10.0  # so long the main thread may stay in compiled code that hears nothing
_ELSEWHERE_S = 0.02  # after which a callback that swallowed the interrupt has ended
_ONCE_MORE = 255  # no signal has this number


class Stopped(KeyboardInterrupt):
    """The command was told to stop."""


class Listening:
    """Context in which signals are heard.

    Attributes
    ----------
    first : int or None
        The first signal that was heard.
    work : Work
        What the command has kept.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.work = Work()
        self._raised = -_AGAIN_S
        self._calls = 0  # of the handler
        self._before: dict[int, Any] = {}
        self._wakeup, self._pipe = -1, (-1, -1)
        self._hook: Any = None
        self._handler = self._heard  # one object: a bound method is a new one every time

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        for name in WORDS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                self._before[number] = signal.signal(number, self._handler)
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._swallowed
        threading.Thread(target=self._watch, args=(self._pipe[0],), daemon=True, name="hamlearn-signals").start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pipe[1] < 0:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        sys.unraisablehook = self._hook
        os.close(self._pipe[1])  # ends the watch

    def leave(self) -> NoReturn:
        """Say what is kept and end the process."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)  # nothing interrupts the sentence
        self._end(self.first or signal.SIGINT)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        """The handler, in the main thread."""
        self._calls += 1
        if self.first is None:
            self.first = number
        now = time.monotonic()
        if now - self._raised >= _AGAIN_S:
            self._raised = now
            raise Stopped

    def _swallowed(self, told: Any) -> None:
        """What Python does with an exception that it must ignore, in a callback of the garbage collector: raise it again outside."""
        if not issubclass(told.exc_type, Stopped):
            self._hook(told)
            return
        self._raised = -_AGAIN_S
        os.write(self._pipe[1], bytes([_ONCE_MORE]))

    def _watch(self, pipe: int) -> None:
        """In a thread: repeat what was swallowed, and leave for the main thread where it is in compiled code and hears nothing."""
        deadline: float | None = None
        number, calls = int(signal.SIGINT), 0
        with contextlib.suppress(OSError):
            while True:
                wait = None if deadline is None else max(0.0, deadline - time.monotonic())
                if select.select([pipe], [], [], wait)[0]:
                    received = os.read(pipe, 64)
                    if not received:
                        break
                    if _ONCE_MORE in received:
                        time.sleep(_ELSEWHERE_S)
                        os.kill(os.getpid(), number)
                    elif deadline is None and (ours := [one for one in received if one in self._before]):
                        number, deadline = ours[0], time.monotonic() + _DEAF_S
                    continue
                deadline = time.monotonic() + _DEAF_S
                if all(signal.getsignal(number) is not self._handler for number in self._before):
                    continue  # a file is being written: the signal waits for that
                if self._calls == calls:
                    self._end(number)
                calls = self._calls  # heard, but somebody made nothing of it
                os.kill(os.getpid(), number)
            os.close(pipe)

    def _end(self, number: int) -> NoReturn:
        tell(f"hamlearn: {WORDS[signal.Signals(number).name]}; {self.work.sentence()}")
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(128 + number)


def tell(line: str) -> None:
    """A line on standard error; one that cannot be written (a full disk, a closed terminal) is lost, and nothing else."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        to_nowhere(2)


def to_nowhere(stream: int) -> None:
    """Send a standard stream to nowhere: what is left in its buffer would fail again at the end of the process, noisily."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)
