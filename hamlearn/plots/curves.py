"""What a prediction must be before it is drawn: its door, and the numbers in its attributes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.diagnostics.foreign import readable
from hamlearn.errors import HamlearnError

QUANTITIES = ("mean", "lower", "upper", "mc_error")
MOST = 60  # observables: each is a picture
_NAME = 80  # characters of a name in a message
_WANTED = "give the Dataset that hl.predict returned, with observables over (beta, quantity)"


def require(given: Any) -> xr.Dataset:
    """`given` if it is a prediction that can be drawn, else an error that says what it is instead.

    Raises
    ------
    HamlearnError
        If it is no Dataset, has no observable over ``(beta, quantity)``, lacks a quantity, holds no finite or an infinite
        mean or bound, or an attribute that is read as a number is none.

    Examples
    --------
    >>> import hamlearn as hl
    >>> try:
    ...     require(hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=5, seed=0))
    ... except hl.HamlearnError as error:
    ...     print(error)
    no prediction: got microstates; give the Dataset that hl.predict returned, with observables over (beta, quantity).
    """
    if not isinstance(given, xr.Dataset) or "state" in given:
        raise HamlearnError(f"no prediction: got {_kind(given)}; {_WANTED}.")
    names = drawn(given)
    if not names:
        raise HamlearnError(f"no prediction: the Dataset has no observable over (beta, quantity) with a name; {_WANTED}.")
    if len(names) > MOST:
        raise HamlearnError(f"the prediction holds {len(names)} observables; at most {MOST} are drawn: select some, prediction[names].")
    _axes(given)
    for name in names:
        _values(name, given[name])
    told = given["predicted_ess"] if "predicted_ess" in given else None
    if told is not None and told.dtype.kind not in "fiu":
        raise HamlearnError("the prediction's predicted_ess are no numbers; make it again with hl.predict.")
    for key in ("level", "draws", "hypothetical"):
        number(given, key, 0)
    if not 0 < number(given, "level", 0.9) < 1:
        raise HamlearnError(f"the prediction's attribute level is a probability; got {number(given, 'level', 0.9):g}.")
    for name in names:
        number(given[name], "draws_used", 0)
    observed(given)
    return given


def _kind(given: Any) -> str:
    if isinstance(given, xr.DataTree):
        return "a posterior" if "posterior" in given else "a DataTree"
    return "microstates" if isinstance(given, xr.Dataset) else f"an object of type {type(given).__name__}"


def _axes(given: xr.Dataset) -> None:
    if "beta" not in given.coords or "quantity" not in given.coords:
        raise HamlearnError(f"no prediction: its dimensions beta and quantity have no coordinates; {_WANTED}.")
    quantities = [str(one) for one in given["quantity"].values]
    if len(set(quantities)) != len(quantities) or not set(QUANTITIES) <= set(quantities):
        raise HamlearnError(f"a prediction has each of {', '.join(QUANTITIES)} once along quantity; got {readable(quantities, 200)}.")
    beta = given["beta"]
    if beta.dtype.kind not in "fiu" or not beta.size or not np.all(np.isfinite(beta.values)) or np.any(beta.values <= 0):
        raise HamlearnError(f"the prediction's beta must be finite and above zero; got {readable(beta.values, 200)}.")


def _values(name: str, values: xr.DataArray) -> None:
    if values.dtype.kind not in "fiu":
        raise HamlearnError(f"the prediction's {readable(name, _NAME)!r} holds no real numbers; make it again with hl.predict.")
    told = values.sel(quantity=list(QUANTITIES)).values
    if np.any(np.isinf(told)) or not np.any(np.isfinite(told[:, 0])):
        raise HamlearnError(
            f"the prediction's {readable(name, _NAME)!r} is nowhere finite or somewhere infinite: there is nothing to draw. "
            "Leave it out, or predict it where it exists."
        )


def drawn(curves: xr.Dataset) -> list[str]:
    """The observables that have a panel each."""
    return [name for name, values in curves.data_vars.items() if isinstance(name, str) and tuple(values.dims) == ("beta", "quantity")]


def number(values: xr.Dataset | xr.DataArray, key: str, default: float) -> float:
    """The attribute `key` as a finite number."""
    given = values.attrs.get(key, default)
    try:
        found = float(given)
    except (TypeError, ValueError):
        found = float("nan")
    if not np.isfinite(found):
        raise HamlearnError(
            f"the prediction's attribute {key} must be a number; got {readable(repr(given), 200)}. Make it again with hl.predict."
        )
    return found


def observed(curves: xr.Dataset) -> list[float]:
    """Inverse temperatures of the data behind the prediction, as it says; none where it does not."""
    given = curves.attrs.get("observed_beta", "[]")
    try:
        found = np.array(json.loads(given), float)
    except (TypeError, ValueError, RecursionError):
        found = np.array(np.nan)
    if found.ndim != 1 or not np.all(np.isfinite(found)):
        raise HamlearnError(
            f"the prediction's attribute observed_beta must be a list of numbers; got {readable(repr(given), 200)}. "
            "Make it again with hl.predict."
        )
    return [float(beta) for beta in found]


def correlations(given: xr.Dataset) -> tuple[np.ndarray, list[tuple[float, dict[str, np.ndarray]]]]:
    """Distances, and at every temperature the quantities of a predicted correlation.

    Raises
    ------
    HamlearnError
        If the prediction holds none.
    """
    if "correlation" not in given or set(given["correlation"].dims) != {"beta", "quantity", "r"}:
        raise HamlearnError("this Dataset holds no correlation: predict it with hl.predict(post, beta, observables=['correlation']).")
    values = given["correlation"].transpose("beta", "quantity", "r")
    found = []
    for beta in values["beta"].values:
        at = values.sel(beta=beta)
        found.append((float(beta), {name: at.sel(quantity=name).values for name in QUANTITIES}))
    return values["r"].values, found


def points(given: Any, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Temperatures, means and errors of what data say of an observable; none where they are silent on it.

    Raises
    ------
    HamlearnError
        If `given` is not what :func:`hamlearn.infer.measured` returns.
    """
    if not isinstance(given, xr.Dataset) or not {"beta", "quantity"} <= set(given.coords):
        raise HamlearnError(f"measured= takes what hl.infer.measured(post, data) returned; got {_kind(given)}.")
    if name not in given:
        return (np.zeros(0),) * 3
    values = given[name]
    told = [str(one) for one in given["quantity"].values]
    if set(values.dims) != {"beta", "quantity"} or values.dtype.kind not in "fiu" or sorted(told) != ["error", "mean"]:
        raise HamlearnError("measured= takes what hl.infer.measured(post, data) returned: mean and error over (beta, quantity).")
    mean, error = (values.sel(quantity=which).values.astype(float) for which in ("mean", "error"))
    there = np.isfinite(mean)
    return given["beta"].values[there].astype(float), mean[there], np.nan_to_num(error[there])
