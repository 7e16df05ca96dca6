"""A bar on a terminal after two seconds, nothing anywhere else."""

from __future__ import annotations

import io
import sys

import pytest

from hamlearn import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work():
    with progress.track(3, "counting") as bar:
        for _ in range(3):
            bar.advance(1)
    assert bar.done == 3


@pytest.mark.parametrize(("stream", "patience", "shown"), [(Terminal, 0.0, True), (Terminal, 2.0, False), (io.StringIO, 0.0, False)])
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
