"""A bar on a terminal or in a notebook after two seconds, and lines on stderr where nobody has configured logging."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest

from hamlearn import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Notebook(io.StringIO):
    """Known by its module, as the stream of a kernel is."""


Notebook.__module__ = "ipykernel.iostream"


def work():
    with progress.track(3, "counting") as bar:
        for _ in range(3):
            bar.advance(1)
    assert bar.done == 3


@pytest.mark.parametrize(
    ("stream", "patience", "shown"), [(Terminal, 0.0, True), (Notebook, 0.0, True), (Terminal, 2.0, False), (io.StringIO, 0.0, False)]
)
def test_a_bar_needs_a_terminal_and_patience(monkeypatch, stream, patience, shown):
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(progress, "_PATIENCE_S", patience)
    monkeypatch.setenv("TERM", "xterm")
    work()
    assert ("counting" in sys.stderr.getvalue()) == shown


def test_it_can_be_forced_and_forbidden(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    for enabled in (True, False):
        monkeypatch.setattr(sys, "stderr", Terminal())
        with progress.track(2, "counting", enabled) as bar:
            bar.advance(2)
        assert ("counting" in sys.stderr.getvalue()) == enabled


def test_an_interruption_closes_the_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(KeyboardInterrupt), progress.track(2, "counting", True) as bar:
        bar.advance(1)
        raise KeyboardInterrupt
    assert bar._bar is None


def test_one_setting_quiets_the_bar(monkeypatch, quieted):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    work()
    assert not sys.stderr.getvalue()


@pytest.fixture
def quieted():
    logger = logging.getLogger("hamlearn")
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(logging.NOTSET)


SCRIPT = """
import logging, sys
import hamlearn as hl
data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=100, chains=2)
post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None), engine="laplace")
hl.predict(post, beta=0.4)
root, own = logging.getLogger(), logging.getLogger("hamlearn")
print(len(root.handlers), len(own.handlers), own.level, root.level)
"""


def test_verbs_say_what_they_chose_where_nobody_has_configured_logging():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    begun = ("simulating ", "learning ", "comparing ", "predicting: ")
    counts = [sum(line.startswith(words) for line in done.stderr.splitlines()) for words in begun]
    assert counts[:3] == [1, 1, 1] and counts[3] >= 1, done.stderr  # one line for learning: the refit of the comparison is a step of it
    assert done.stdout == "0 0 0 30\n"  # no handler was added, and no level set


@pytest.mark.parametrize("stream", [io.StringIO, Notebook])
@pytest.mark.parametrize("handlers", [[], [logging.NullHandler()]])
@pytest.mark.parametrize("level", [logging.NOTSET, logging.INFO, logging.WARNING])
def test_lines_reach_a_screen_that_nobody_has_taken_care_of(monkeypatch, stream, handlers, level):
    """An application that has configured logging gets what it asks for; a notebook's own handler of warnings is no application."""
    own = logging.getLogger("hamlearn")
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(logging.getLogger(), "handlers", handlers)
    own.setLevel(level)
    try:
        progress.logger.info("learning %d parameters", 3)
    finally:
        own.setLevel(logging.NOTSET)
    # Who asks for INFO and has put no handler anywhere is shown it; with a handler at the root, the record went there.
    printed = level != logging.WARNING and (not handlers or (stream is Notebook and level == logging.NOTSET))
    assert sys.stderr.getvalue() == ("learning 3 parameters\n" if printed else "")


def test_what_is_told_aside_is_told_to_those_who_ask_for_all(caplog):
    with caplog.at_level("DEBUG", logger="hamlearn"), progress.aside():
        progress.logger.info("a step")
        progress.logger.warning("a fault")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("DEBUG", "a step"), ("WARNING", "a fault")]


class Bare:
    """Stands in for stderr and can do nothing but write."""

    def write(self, text):
        pass


class Broken(Terminal):
    def write(self, text):
        raise BrokenPipeError("nobody reads")


def unwritable(kind, tmp_path):
    if kind == "closed":
        stream = (tmp_path / "log").open("w")
        stream.close()
        return stream
    return {"nothing": None, "ascii": io.TextIOWrapper(io.BytesIO(), encoding="ascii"), "bare": Bare(), "broken pipe": Broken()}[kind]


@pytest.mark.parametrize("kind", ["closed", "broken pipe", "nothing", "ascii", "bare"])
def test_a_stream_that_cannot_be_written_stops_no_work(monkeypatch, tmp_path, kind):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys, "stderr", unwritable(kind, tmp_path))
    progress.logger.info("learning %s at β", 3)
    for enabled in (None, True):
        with progress.track(3, "counting β", enabled) as bar:
            bar.advance(1)
            bar.describe("still counting")
            bar.advance(2)
        assert bar.done == 3 and bar._bar is None
