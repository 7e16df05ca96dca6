"""One thing that was found: a code and numbers, with the sentence that is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hamlearn.diagnostics import sentences
from hamlearn.infer.provenance import Noted, Provenance

PASSED = ("audit agrees", "calibrated here")  # codes of what was noted that say that a test was passed


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    severity : {"note", "caution", "serious"}
        A note changes nothing; one serious finding is enough not to believe the result.
    topic : str
        One word or two: "convergence", "calibration", "autocorrelation", "prior", "identifiability", "temperature",
        "fit", "likelihood".
    what : str
        What was found, in a sentence.
    advice : str
        What to do about it; empty for notes that ask for nothing.
    passed : bool
        Whether this says that a test was passed. Only these carry a tick: other notes are facts and caveats.
    code : str
        What was found, in a word that does not change with the wording.
    """

    severity: str
    topic: str
    what: str
    advice: str = ""
    passed: bool = False
    code: str = ""

    @property
    def sentence(self) -> str:
        """What was found, with its capital letter and full stop."""
        return f"{self.what[0].upper()}{self.what[1:]}."


def found(code: str, severity: str, topic: str, made: Provenance, *, passed: bool = False, **numbers: Any) -> Finding:
    """A finding on a posterior, in words."""
    what, advice = sentences.of(code, numbers, made)
    return Finding(severity, topic, what, advice, passed, code)


def told(noted: Noted, made: Provenance) -> Finding:
    """What `learn` or a search for signals noted, in words."""
    what, advice = (noted.what, noted.advice) if noted.code == "told" else sentences.of(noted.code, noted.numbers, made)
    return Finding(noted.severity, noted.topic, what, advice, noted.code in PASSED, noted.code)
