"""What a command does when it is told to stop: leave with a true sentence, at once where the libraries below do not answer.

The signals are SIGINT (Ctrl-C), SIGTERM and SIGHUP; one that the caller has set to be ignored stays ignored (``nohup``). Where a run
that saves itself is under way, the first one raises :class:`Stopped`, a KeyboardInterrupt, in the main thread, and the run saves itself on
its way. Anywhere else nothing would be gained by it, and much is lost where it falls into a callback of compiled code: measured, the
start of a C++ module aborts, and the collector's callbacks swallow it. The command then ends in the handler. In every case the process
ends without the interpreter's teardown, in which threads of compiled libraries that are still at work have crashed it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from importlib.machinery import ExtensionFileLoader
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
        self._ending = threading.Lock()
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
        self._end(self.first or signal.SIGINT)
        while True:  # the watch has begun to say it
            time.sleep(1.0)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        """The handler, in the main thread."""
        self._calls += 1
        if self.first is None:
            self.first = number
        if not self.work.saves_itself() or _is_loading(frame):
            self._end(self.first)
            return
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

    def _end(self, number: int) -> None:
        """Say what is kept and end the process, once; past Python's buffers, which the interrupted code may be holding."""
        if not self._ending.acquire(blocking=False):
            return
        cursor = "\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides it
        line = f"{cursor}hamlearn: {WORDS[signal.Signals(number).name]}; {self.work.sentence()}\n"
        with contextlib.suppress(OSError):
            os.write(2, line.encode(errors="backslashreplace"))
        os._exit(128 + number)


def _is_loading(frame: FrameType | None) -> bool:
    """Whether compiled code is being imported further up."""
    while frame is not None:
        if frame.f_code.co_name in ("create_module", "exec_module") and isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False


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
