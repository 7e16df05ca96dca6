"""Readout errors: how often a site is read as another value than its own, and how that comes in.

The variable ``flip`` of microstates has the site axes of ``state`` and two of values, ``true`` and ``read``: the probability of every
reading of a site given its true value, a channel whose rows sum to one. A rate is short for the channel that reads each of the other values
alike. Readings are independent given the true microstate. A missing cell is one that says nothing, as one whose rows are all equal would;
both are cells whose value is not known, so what does not know of the one refuses the other too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import require_number, shown
from hamlearn.data.missing import missing
from hamlearn.errors import HamlearnError
from hamlearn.spaces import Space

_AXES = ("true", "read")
_SUM = 1e-6  # by which a row of a matrix may miss one


def with_flip(data: xr.Dataset, given: Any, space: Space, names: tuple[str, ...] = ()) -> xr.Dataset:
    """Microstates that say how often their sites are misread; as they are where none is.

    Parameters
    ----------
    data : Dataset
        Microstates.
    given : float, array, mapping, or tuple of two of these
        See :func:`hamlearn.microstates`.
    space : Space
        Theirs.
    names : tuple of str
        What their sites are called.

    Raises
    ------
    HamlearnError
        If a rate is no number, below 0 or not below 1/2; a matrix holds no probabilities, or a row that does not sum to one, or whose value
        is not read right more often than wrong; either has another shape than the sites, or a name that no site has; the values of sites
        cannot be misread; or the data say other rates already.
    """
    require_flips(space)
    axes = [str(axis) for axis in data["state"].dims if axis not in ("beta", "chain", "draw")]
    shape = tuple(data.sizes[axis] for axis in axes)
    there = space.there(math.prod(shape))
    if space.q == 2 and isinstance(given, tuple) and len(given) == 2:
        _require_directions(given, shape)
        both = np.stack([_channels(one, there, shape, names)[:, row] for row, one in enumerate(given)], 1)
    else:
        both = _channels(given, there, shape, names)
    channels = both.reshape(*shape, space.q, space.q)
    if "flip" in data and not np.array_equal(data["flip"].values, channels):
        raise HamlearnError("these microstates say already how often they are misread (the variable 'flip'), so flip= would be ignored.")
    if np.array_equal(both, np.broadcast_to(np.eye(space.q), both.shape)):
        return data
    return data.assign(flip=((*axes, *_AXES), channels)).assign_coords({axis: space.values for axis in _AXES})


def _require_directions(given: tuple[Any, Any], shape: tuple[int, ...]) -> None:
    """An error where two numbers may be of two sites as well."""
    if math.prod(shape) != 2 or any(np.ndim(one) or isinstance(one, Mapping) for one in given) or given[0] == given[1]:
        return
    a, b = (shown(one) for one in given)
    raise HamlearnError(
        f"flip=({a}, {b}) of two sites may be rates of the sites or of the directions: give flip=[{a}, {b}] (a list), one for every "
        f"site, or flip=([{a}, {a}], [{b}, {b}]) by direction; names say it too, name=rate at the shell."
    )


def _channels(given: Any, there: np.ndarray, shape: tuple[int, ...], names: tuple[str, ...]) -> np.ndarray:
    """Channels ``(n_sites, true, read)`` of what one argument says, of sites that have the values `there` ``(n_sites, q)``."""
    n_sites, q = there.shape
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in names]:
            whose = f"they are {', '.join(map(str, names[:8]))}{', …' if len(names) > 8 else ''}" if names else "they have none"
            raise HamlearnError(f"flip= has a rate for {shown(unknown[0])}, which is no name of these sites: {whose}.")
        found = uniform(np.zeros(n_sites), there)
        for site, name in enumerate(names):
            if name in given:
                own = slice(site, site + 1)
                found[own] = _channels(given[name], there[own], (1,), ())
        return found
    try:
        array = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise HamlearnError(f"{_wanted(q)}; got {shown(given)}.") from None
    if array.ndim == 0:
        return uniform(np.full(n_sites, _rate(given)), there)
    if array.shape in (shape, (n_sites,)) and (array.shape != (q, q) or np.all(array < 0.5)):  # no matrix has a diagonal below 1/2
        return uniform(np.array([_rate(rate) for rate in array.ravel().tolist()]), there)
    if array.ndim < 2 or array.shape[:-2] not in ((), shape, (n_sites,)) or len(set(array.shape[-2:])) > 1:
        raise HamlearnError(f"{_wanted(q)}; the sites have the shape {shape}, and what was given {array.shape}.")
    found, sizes = uniform(np.zeros(n_sites), there), there.sum(1)
    if np.any(sizes != array.shape[-1]):
        told = ", ".join(map(str, np.unique(sizes).tolist()))
        raise HamlearnError(
            f"flip= has matrices of {array.shape[-1]} values for sites that have {told}: give each one of its own, {{name: matrix}}, "
            "or a rate."
        )
    size = array.shape[-1]
    found[:, :size, :size] = [_matrix(one) for one in np.broadcast_to(array.reshape(-1, size, size), (n_sites, size, size))]
    return found


def _wanted(q: int) -> str:
    told = f"flip=: a rate >= 0 and < 0.5, an array of one for every site, {{name: rate}}, or a ({q}, {q}) matrix of P(read | true)"
    return told + (", or a tuple of two rates (of -1 read as 1, of 1 as -1)" if q == 2 else "")


def _rate(value: Any) -> float:
    return require_number(value, "flip (the rate at which a site is misread)", least=0, below=0.5)


def _matrix(given: np.ndarray) -> np.ndarray:
    """A channel, as it was given."""
    for row, chances in enumerate(given):
        if not np.all(chances >= 0) or not abs(chances.sum() - 1) <= _SUM:  # NaN is neither
            raise HamlearnError(
                f"a matrix of flip= has in row {row} the probabilities of all readings of a value, which sum to one; got "
                f"{shown(chances.tolist())}, with the sum {chances.sum():.6g}. Columns are readings."
            )
        if chances[row] <= 0.5:
            raise HamlearnError(
                f"a matrix of flip= says that a value is read right more often than wrong, on its diagonal; in row {row} it is "
                f"{chances[row]:.6g}."
            )
    return np.asarray(given / given.sum(1, keepdims=True))


def uniform(rates: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Channels ``(n_sites, true, read)`` of sites that are misread at a rate each, as any other value of theirs alike.

    Examples
    --------
    >>> uniform(np.array([0.2, 0.1]), np.array([[True, True, True], [True, True, False]])).tolist()
    [[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]]]
    """
    own = there[:, :, None] & there[:, None]
    share = (rates / (there.sum(1) - 1))[:, None, None]
    same = np.where(there, 1 - rates[:, None], 1.0)
    return np.where(np.eye(there.shape[1], dtype=bool), same[:, :, None], own * share)


def require_flips(space: Space) -> None:
    """An error where no value can be misread as another one."""
    if not space.misread:
        fixed = ", ".join(space.constraint)
        why = f"{fixed} is fixed, so that no single site flips" if fixed else "only spins, bits and states are"
        raise HamlearnError(f"flip= says how often a value is read as another one; these are {space}: {why}. Leave it out.")


def require_rates(data: xr.Dataset, space: Space) -> None:
    """An error if the variable ``flip`` of microstates is none that :func:`with_flip` makes."""
    if "flip" not in data:
        return
    require_flips(space)
    axes = tuple(axis for axis in data["state"].dims if axis not in ("beta", "chain", "draw"))
    found = data["flip"]
    if found.dims != (*axes, *_AXES) or min(found.shape[-2:]) < space.q:
        raise HamlearnError(
            f"'flip' needs dims {(*axes, *_AXES)}, with the {space.q} values of a site along the last two; got {found.dims} of shape "
            f"{found.shape}. Make the microstates anew with hl.microstates(array, q=..., flip=...)."
        )
    rates = found.values
    if rates.dtype.kind != "f" or not (np.all(rates >= 0) and np.allclose(rates.sum(-1), 1, rtol=0, atol=_SUM)):
        raise HamlearnError("'flip' holds the probabilities of readings of every true value, which sum to one; these are none.")


def refuse_misread(data: xr.Dataset) -> None:
    """An error if cells may be misread where true values are needed."""
    if "flip" in data:
        raise HamlearnError(
            "these microstates are read with errors (flip), and this needs true ones. Only couplings are learned through readout errors "
            "(hl.models.Couplings); data.drop_vars('flip') takes what was read for true."
        )


def refuse_renumbered(data: xr.Dataset) -> None:
    """An error where states are to be numbered anew, and readout errors are of those that there were."""
    if "flip" in data:
        raise HamlearnError(
            "these microstates are misread (flip) among fewer states than they are to be compared or learned with: declare all there are "
            "when they are made, hl.microstates(..., q=...) or labels=."
        )


def known(data: xr.Dataset) -> bool:
    """Whether the value of every cell of microstates is known: none is missing, and none may be misread.

    Examples
    --------
    >>> import hamlearn as hl
    >>> known(hl.microstates([[1, -1], [1, 1]])), known(hl.microstates([[1, -1], [1, 1]], flip=0.02))
    (True, False)
    """
    return "flip" not in data and not missing(data).any()


def flips(data: xr.Dataset, q: int = 2) -> np.ndarray | None:
    """The channels of microstates of up to `q` values, ``(n_sites, true, read)``; None where they are read without error."""
    if "flip" not in data:
        return None
    found = data["flip"].values
    if found.shape[-1] < q:
        refuse_renumbered(data)
    return np.asarray(found.reshape(-1, *found.shape[-2:])[:, :q, :q])
