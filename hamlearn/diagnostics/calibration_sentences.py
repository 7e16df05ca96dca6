"""The sentences of codes about calibration on simulated data; see ``sentences``."""

from __future__ import annotations

from hamlearn.diagnostics.sentences import Numbers, Words, sentence
from hamlearn.infer.provenance import Provenance

BARS_ADVICE = "Learn again what was changed or comes from elsewhere; if nothing was, the data scatter otherwise than the model says."


def bars_words(what: str, ratio: float, between: tuple[float, float]) -> str:
    """That a posterior's own bars are not those of the data sets, in words."""
    whose = "its own standard deviations" if what == "all" else f"its own standard deviations of {what}"
    low, high = between
    expected = f", where {low:.2f} to {high:.2f} is as it should be" if high > low else ""
    return f"{whose} are {ratio:.2f} times those of the data sets{expected}"


def _told(n: Numbers) -> str:
    most, half = (f"{100 * share:.1f} ± {100 * error:.1f} %" for share, error in (n["covered_90"], n["covered_50"]))
    lost = f" ({n['failed']} more failed)" if n["failed"] else ""
    what = f"{n['sets']} data sets simulated at its own strengths and learned as it was{lost}"
    return f"of {what}, {most} of 90 % intervals and {half} of 50 % ones hold the truth"


@sentence("calibrated here")
def _calibrated(n: Numbers, made: Provenance) -> Words:
    return _told(n), ""


@sentence("calibration here undecided")
def _undecided(n: Numbers, made: Provenance) -> Words:
    return f"{_told(n)}, too few to decide whether intervals cover here", "More data sets: sets= of hl.diagnostics.calibration.local."


@sentence("not calibrated here")
def _not_calibrated(n: Numbers, made: Provenance) -> Words:
    what = f"{_told(n)} (p = {n['p']:.2g}): errors are {n['width']:.2f} times their bars"
    if n["pulled"]:
        what += f", and means are off by {n['bias']:+.2f} of them on average"
        return what, "Where the prior holds part of a parameter it pulls it, which is no fault; the check with data= is exact then."
    return what, "Do not take intervals at their level: another likelihood or engine, or more data."


@sentence("bars differ here")
def _bars(n: Numbers, made: Provenance) -> Words:
    return f"{_told(n)}, but {bars_words(n['what'], n['ratio'], n['between'])}", BARS_ADVICE
