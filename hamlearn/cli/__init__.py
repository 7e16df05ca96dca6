"""The verbs from a shell, on files.

``hamlearn simulate | learn | verdict | summary | predict | plan | critical | audit | calibrate | extrapolate | report | demo``

A user's mistake is one line on standard error and exit code 2, never a traceback. An interrupted command (Ctrl-C, a polite kill, a
closed terminal) says in one sentence what is kept and where, and exits with 128 and the signal's number. Everything heavy is imported
inside the verbs, so that ``--help`` answers at once, and signals are listened to before anything is imported.

* `compiling`: compiled code that is kept from one command to the next;
* `signals`: what is heard, and how a command ends because of it;
* `keeping`: targets that are tried before the work, results that are kept wherever they can be;
* `streams`: ``-``, standard input and output in the place of files;
* `options`, `rates`: the text of options, read; what they say of readout errors;
* `documents`: answers as JSON and CSV;
* `verbs`, `learning`, `answers`, `reporting`, `transition`, `auditing`, `calibrating`, `demo`: the commands.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
import threading
from typing import Any

from hamlearn.cli import compiling
from hamlearn.cli.signals import Listening, tell, to_nowhere

_OF_STREAMS = (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF)
_LISTS = {
    "--beta": ",",
    "--sizes": ",",
    "--powers": ",",
    "--scores": ",",
    "--shape": "x",
}  # options that take several numbers, and what joins these
COMPLETES = "_HAMLEARN_COMPLETE"  # set by the script of --install-completion
FAULT = 70  # EX_SOFTWARE of sysexits.h: a fault of the program, not of its user


def main() -> None:
    """Entry point of the ``hamlearn`` command."""
    _standard_streams()
    if fault := compiling.keep():
        tell(fault)
    code = run()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left that an interrupt could end sooner
    sys.exit(code)


def run() -> int:
    """Carry out the command line; its exit code."""
    _standard_streams()
    with Listening() as listening:
        code = 0
        try:
            code = _flushed(_said(listening))
        except KeyboardInterrupt:
            listening.leave()
        if listening.first is not None:  # a library made something else of the interrupt
            listening.leave()
    return code


def _said(listening: Listening) -> int:
    """Exit code of the command line, with everything that goes wrong said in one line."""
    from hamlearn.errors import HamlearnError

    try:
        return _command(listening)
    except Exception as mistake:
        if listening.first is not None:  # what a library made of the interrupt
            return 1
        if isinstance(mistake, HamlearnError):
            return stop(str(mistake))
        if isinstance(mistake, MemoryError):
            return stop("out of memory; use fewer microstates, members or a smaller lattice.")
        message = getattr(mistake, "format_message", None)  # the command line's own usage errors
        if message is not None:
            return stop(_usage(mistake, message()))
        if isinstance(mistake, OSError) and mistake.filename is None and mistake.errno in _OF_STREAMS:
            return _unwritten(mistake)
        if isinstance(mistake, OSError) and "--install-completion" in sys.argv:
            return stop(f"{mistake.filename} cannot be written ({mistake.strerror}); hamlearn --show-completion prints what belongs there.")
        return _fault(mistake)


def _command(listening: Listening) -> int:
    import logging

    import typer

    from hamlearn.cli.verbs import app
    from hamlearn.interrupts import watched

    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("hamlearn").setLevel(logging.INFO)
    _refuse_slips(sys.argv[1:])
    command = typer.main.get_command(app)
    with watched() as checkpoints:
        listening.work.checkpoints = checkpoints
        try:
            if COMPLETES in os.environ:  # a shell asks what may come next
                command.main([], "hamlearn")
            # Not command.main(), which makes an exit of every interrupt before anyone can say what is kept.
            with command.make_context("hamlearn", sys.argv[1:], obj=listening.work) as context:
                command.invoke(context)
        except SystemExit as end:  # of completion
            return int(end.code or 0)
        except typer.Exit as end:
            return int(end.exit_code)
        except typer.Abort:
            return 1
    return 0


def _refuse_slips(arguments: list[str]) -> None:
    """What cannot be seen any more when it is read.

    An empty argument (a variable of the shell that is not set), a folder for a file, several numbers as several arguments.
    """
    from hamlearn.errors import HamlearnError

    for before, one in zip(["hamlearn", *arguments], arguments, strict=False):
        if before in ("-o", "--output") and one.endswith(os.sep) and one.rstrip(os.sep).endswith((".nc", ".html", ".htm")):
            raise HamlearnError(f"{one} names a folder; leave the {os.sep} out to name a file.")
        if not one.strip() or (one.startswith("--") and one.endswith("=")):
            raise HamlearnError(f"an argument is empty, after {before!r}: a variable of the shell that is not set?")
    for index, option in enumerate(arguments):
        if option in _LISTS:
            numbers = list(itertools.takewhile(_is_number, arguments[index + 1 :]))
            if len(numbers) > 1:
                raise HamlearnError(f"several numbers are one argument here: {option} {_LISTS[option].join(numbers)}, without blanks.")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _usage(mistake: Any, message: str) -> str:
    from hamlearn.errors import closest

    name = getattr(mistake, "option_name", None)
    if name is not None and hasattr(mistake, "possibilities"):
        near = closest(name, mistake.possibilities or ())
        return f"there is no option {name}." + (f" Did you mean {near}?" if near else " See --help.")
    return message


def _fault(error: BaseException) -> int:
    """One line for what should not have happened, and the traceback in a file."""
    import tempfile
    import traceback

    name, told = type(error).__name__, " ".join(str(error).split())
    text = "".join(traceback.format_exception(error))
    try:
        handle, place = tempfile.mkstemp(prefix="hamlearn-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        kept = f"Please report it with the command and {place}"
    except OSError:
        kept = "Please report it with the command"
    return stop(f"internal error: {name}: {told}. {kept}", FAULT)


def stop(message: str, code: int = 2) -> int:
    """Say why a command ends, on one line, and return its exit code."""
    tell(f"hamlearn: {' '.join(message.split())}")
    return code


def _standard_streams() -> None:
    """Standard streams that are closed are opened to nowhere: the next file opened would take their place, and their text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a beta on an ASCII terminal, a file name that is no UTF-8


def _flushed(code: int) -> int:
    """The exit code once standard output is out; one that nobody reads any more is no fault, one that cannot be written is."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return _unwritten(error) or code
    except ValueError:  # closed
        pass
    return code


def _unwritten(error: OSError) -> int:
    """Exit code where standard output takes no more: its reader may leave, but a full disk is said."""
    to_nowhere(1)
    if error.errno == errno.EPIPE:
        return 0
    return stop(f"standard output cannot be written ({error.strerror}); files are complete.")
