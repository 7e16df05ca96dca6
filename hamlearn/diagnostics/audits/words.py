"""Sentences of an audit: what a difference means for whoever uses the model."""

from __future__ import annotations

CONSEQUENCES = {
    "sums": "{share} of the microstates of {breaker} break what {keeper} keeps: {what}.",
    "parity": "{share} of the microstates of {breaker} break what {keeper} keeps: {what}.",
    "bounds": "{share} of the microstates of {breaker} lie outside what {keeper} shows: {what}.",
    "forbidden": "{share} of the microstates of {breaker} sit on levels that {keeper} never shows: {what}.",
    "joint": "{share} of the microstates of {breaker} have pairs of values that {keeper} never shows: {what}.",
    "patterns": "{share} of the local patterns of {breaker} never occur in {keeper}: {what}.",
    "mean": "the model's mean is off by {effect}; what depends on it is off as well.",
    "levels": "levels are visited with other weights, most of all {where}, {effect}: averages other than the mean are off too.",
    "distribution": "the distribution differs, most of all at {where}, {effect}: averages other than the mean are off too.",
    "correlation": "{where} is off by {effect}: structure beyond what the model was fitted to is not to be trusted.",
    "structure": "{where} is off by {effect}: fluctuations at this wavelength are not those of the reference.",
    "third": "the product of {where} is off by {effect}: interactions of three sites, or none where there should be some.",
    "fourth": "the product of {where} is off by {effect}: interactions of four sites, or none where there should be some.",
    "site": "{where} is off by {effect}: a local field is missing or wrong.",
    "bond": "{where} correlate differently, by {effect}: a coupling is missing or wrong.",
    "region": "{where} is visited with a weight that is off by {effect}: a mode is dropped, invented, or weighed wrongly.",
    "memory": "the model's microstates lie nearer to training rows than to rows it never saw: it repeats what it was trained on.",
    "energy distance": "the two laws differ as a whole, whichever quantity is looked at.",
    "maximum mean discrepancy": "the two laws differ as a whole, whichever quantity is looked at.",
    "classifier": "a classifier tells the model's microstates from the reference's, with an area under the curve of {area}.",
    "range": "data support β from {low} to {high}; outside of it, down to {worst} independent rows' worth, predictions are extrapolation.",
}
ALL_SUPPORTED = "data support all of it, β from {low} to {high}."
NOTHING_HELD_OUT = (
    "training= is the reference itself: whether a model repeats its training data can be told from other data only. Hold some out."
)
SHUFFLED = (
    "training= and the reference hold the same rows in another order: their states are counted alike, as those of independent samples "
    "never are. Whether a model repeats its training data can be told from other data only: hold some out."
)
OPEN = "taken for an open one, for neither side says whether it closes: hl.microstates(..., periodic=True)"
ITSELF = (
    "the model's microstates are the reference itself, row by row or in another order: nothing could speak against them. Give those of "
    "the model, or a reference that was observed apart."
)
NO_CLASSIFIER = 'undecided: a classifier needs scikit-learn, which is not installed here: pip install "hamlearn[sklearn]".'


def nothing(where: str, effect: str) -> str:
    """What is said of a difference that chance explains.

    Examples
    --------
    >>> nothing("C at distance 2 along axis 0", "+0.01 ± 0.02")
    'no difference beyond chance; the largest: C at distance 2 along axis 0, +0.01 ± 0.02.'
    """
    found = ", ".join(filter(None, (where, effect)))
    return "no difference beyond chance" + (f"; the largest: {found}." if found else ".")


def left_out(rows: int, of: int) -> str:
    """What is said of a reference that holds rows of the training set.

    Examples
    --------
    >>> left_out(2999, 3000)
    '2999 of the 3000 rows of the reference are rows of the training set, and were left out of the question whether the model repeats it'
    """
    return (
        f"{rows} of the {of} rows of the reference {'is a row' if rows == 1 else 'are rows'} of the training set, and "
        f"{'was' if rows == 1 else 'were'} left out of the question whether the model repeats it"
    )


def constant(name: str, rows: int) -> str:
    """What is said of a sample that holds one microstate only.

    Examples
    --------
    >>> constant("the reference", 400)
    'all 400 rows of the reference are the same microstate: a frozen chain says nothing of a law'
    """
    return f"all {rows} rows of {name} are the same microstate: a frozen chain says nothing of a law"


def no_temperature(whose: str, other: str, beta: float) -> str:
    """What is said where one of two samples declares no temperature.

    Examples
    --------
    >>> no_temperature("the model", "the reference", 0.4)
    'the model declares no temperature, the reference was observed at β = 0.4: they were taken to be at the same one'
    """
    return f"{whose} declares no temperature, {other} was observed at β = {beta:.6g}: they were taken to be at the same one"


def undecided(name: str, has: int, wanted: int, more: int) -> str:
    """Why nothing was decided, and what would be enough."""
    return (
        f"undecided: {name} has {has} independent blocks, {wanted} are needed; needs about {more} more microstates "
        "(longer chains, more of them, or draws that lie further apart)."
    )


def share(value: float) -> str:
    """A share in per cent.

    Examples
    --------
    >>> share(0.234), share(0.00021), share(0.0)
    ('23.4 %', '0.021 %', '0 %')
    """
    return f"{100 * value:.{3 if value > 0.1 else 2}g} %"
