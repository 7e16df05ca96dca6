"""Readout errors at the shell: rates and matrices in an option or a file, and priors of rates that are not known."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hamlearn.errors import HamlearnError

if TYPE_CHECKING:
    import xarray as xr


FILES = (".json", ".csv", ".tsv", ".txt", ".npy")
_MOST = 1 << 26  # bytes of a file of rates: more is none
_PRIOR = re.compile(r"\s*([A-Za-z]\w*)\s*\(([^()]*)\)\s*")
_OF_EVERY_SITE = "per site"
_IN_FILES = (
    "a file of rates holds one for every site, a name and a rate on every line (or two, of the lower value read as the upper and the other "
    "way round), or a square matrix of P(read | true)"
)


def is_file(text: str) -> bool:
    """Whether what was given for ``--flip`` names a file.

    Examples
    --------
    >>> is_file("rates.json"), is_file("anna=0.1,ben=0.2")
    (True, False)
    """
    return Path(text).suffix.lower() in FILES


def read_flip(text: str | None) -> Any:
    """Rates of readout errors: one number, a pair of them by direction, one for every site, rates by name, or what a file holds."""
    if text is None:
        return None
    if is_file(text):
        return _in_json(Path(text)) if text.lower().endswith(".json") else _in_table(text)
    told = (
        f"--flip is a rate, such as 0.02, two of them, one for every site, name=rate,name=rate, or a file of them ({', '.join(FILES)}); "
        f"got {text!r}."
    )
    try:
        named = [(name.strip(), float(rate)) for name, _, rate in (word.rpartition("=") for word in text.split(","))]
    except ValueError:
        raise HamlearnError(told) from None
    if "=" in text:
        return _by_name(named, "--flip")
    rates = [rate for _, rate in named]
    return rates[0] if len(rates) == 1 else tuple(rates) if len(rates) == 2 else rates


def _by_name(named: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    if twice := [name for k, (name, _) in enumerate(named) if name in dict(named[:k])]:
        raise HamlearnError(f"{where} gives {twice[0]!r} more than one rate; give every name once.")
    return dict(named)


def _in_json(path: Path) -> Any:
    """What :func:`hamlearn.microstates` takes: a number, lists of lists of numbers, or these by name."""
    from hamlearn import storage

    target = storage.existing(path)
    with storage.readable(target):
        if target.stat().st_size > _MOST:
            raise HamlearnError(f"{path} is no file of rates: it has {target.stat().st_size} bytes.")
        try:
            found = json.loads(target.read_text(encoding="utf-8-sig"), object_pairs_hook=lambda pairs: _by_name(pairs, str(path)))
        except json.JSONDecodeError as error:
            raise HamlearnError(f"{path} is no JSON: {error}.") from error
    if found is None or not all(isinstance(one, int | float | list) for one in (found.values() if isinstance(found, dict) else [found])):
        raise HamlearnError(f'{path}: rates are numbers, lists of numbers (a matrix is a list of rows), or {{"name": rate or matrix}}.')
    return found


def _in_table(path: str) -> Any:
    """An array, or rates and channels by name."""
    from hamlearn import storage

    found = storage.read_states(path, plain=True)
    assert isinstance(found, storage.Table)  # what files of these endings hold
    if found.missing is not None:
        raise HamlearnError(f"{path}: {_IN_FILES}; cells of this one are empty.")
    if found.labels is None:
        if found.names is not None:
            raise HamlearnError(f"{path}: {_IN_FILES}; this one has a header ({', '.join(found.names[:4])}) over numbers alone.")
        return found.values.ravel() if found.values.ndim == 2 and 1 in found.values.shape else found.values
    words, *others = found.labels
    if words is None or any(other is not None for other in others) or len(others) not in (1, 2):
        raise HamlearnError(f"{path}: {_IN_FILES}; the lines of this one are none of these.")
    rows = [(words[int(number)], rates) for number, *rates in found.values.tolist()]
    return _by_name([(name, rates[0] if len(rates) == 1 else _directions(*rates)) for name, rates in rows], path)


def _directions(low: float, high: float) -> list[list[float]]:
    """The channel of a site of two values: how often the lower and the upper one is misread."""
    return [[1 - low, low], [high, 1 - high]]


def read_flip_prior(text: str | None, data: xr.Dataset) -> Any:
    """The prior of an unknown rate, ``Beta(1,20)``; of one of every site, ``Beta(1,20) per site``, a list, or by name.

    Examples
    --------
    >>> import hamlearn as hl
    >>> votes = hl.microstates([[1, -1], [1, 1]], names=["anna", "ben"])
    >>> found = read_flip_prior("ben = Beta(2, 60); anna = Beta(1, 20)", votes)
    >>> [float(one.distribution.concentration0) for one in found]
    [20.0, 60.0]
    """
    from hamlearn.data import names_of, site_shape

    if text is None:
        return None
    if text.strip().endswith(_OF_EVERY_SITE):
        return [_prior(text.strip().removesuffix(_OF_EVERY_SITE), text)] * math.prod(site_shape(data))
    pairs = [part.partition("=") if "(" not in part.partition("=")[0] else ("", "", part) for part in text.split(";")]
    given = [(name.strip(), _prior(prior, text)) for name, _, prior in pairs]
    if len(given) == 1 and not given[0][0]:
        return given[0][1]
    if not any(name for name, _ in given):
        return [prior for _, prior in given]
    by_name, names = _by_name(given, "--flip-prior"), names_of(data)
    if set(by_name) != set(names):
        wrong = [name for name in by_name if name not in names] or [name for name in names if name not in by_name]
        raise HamlearnError(
            f"--flip-prior by name has one for every column ({', '.join(map(str, names[:8])) or 'which have no names here'}); "
            f"{wrong[0]!r} is in one of them alone."
        )
    return [by_name[name] for name in names]


def _prior(text: str, whole: str) -> Any:
    """A distribution of NumPyro from its name and numbers."""
    from hamlearn.models import Distribution

    told = f"--flip-prior is a distribution of NumPyro with its numbers, such as 'Beta(1,20)', or 'Beta(1,20) per site'; got {whole!r}."
    found = _PRIOR.fullmatch(text)
    if found is None:
        raise HamlearnError(told)
    words = [word.strip().rpartition("=") for word in found[2].split(",")] if found[2].strip() else []
    try:
        numbers = [float(value) for name, _, value in words if not name]
        named = {name.strip(): float(value) for name, _, value in words if name}
    except ValueError:
        raise HamlearnError(told) from None
    return Distribution.called(found[1], *numbers, **named)
