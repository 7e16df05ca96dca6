"""Microstates, the one data type that crosses rooms.

An :class:`xarray.Dataset` whose variable ``state`` has dims ``(chain, draw, *site dims)`` (a leading ``beta`` where
several temperatures were observed), the inverse temperature as coordinate ``beta``, and what is known of its origin
in attributes. Histograms carry ``count`` (how often a row was seen) or ``weight`` over ``(chain, draw)``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import storage
from hamlearn.errors import HamlearnError, choice

logger = logging.getLogger("hamlearn")

SPACES = ("spins", "bits", "states", "angles", "reals")
CONTINUOUS = ("angles", "reals")
TURN = 2 * np.pi


def microstates(
    source: Any,
    space: str | None = None,
    beta: float | Sequence[float] | None = None,
    dims: Sequence[str] | None = None,
    counts: Any = None,
    weights: Any = None,
    *,
    q: int | None = None,
    wrap: bool = False,
) -> xr.Dataset:
    """Observed microstates from an array or a file, validated.

    Parameters
    ----------
    source : array-like, path, or Dataset
        The states. Axis 0 is the draw, all other axes are sites, one chain, unless `dims` says otherwise. A path may
        end in .nc, .zarr, .npz, .npy, .csv (also .csv.gz or zipped), .h5.
    space : {"spins", "bits", "states", "angles", "reals"}
        What the numbers mean: ±1 spins (the default), 0/1 bits (stored as spins, 1 is up), states 0 … q−1, angles in
        radians in [0, 2π), or real numbers (paths, fields). A file written by hamlearn knows its own.
    beta : float or sequence of float, optional
        Inverse temperature(s) of the observation. Undeclared, couplings come out as βJ (β is recorded as 1) and
        predictions elsewhere are marked hypothetical.
    dims : sequence of str, optional
        Names of the axes, with "beta", "chain" and "draw" for the leading ones and any name for site axes.
    counts : array, int or str, optional
        How often every row was observed; for a table file the number or name of the column that holds it.
    weights : array, optional
        Statistical weight of every row (sequence reweighting); the sum of weights is the effective sample size.
    q : int, optional
        Number of states for ``space="states"``. By default the states are the codes that occur: a code that is never observed is
        no state, so 1 … 5 or 0, 2, 5 become 0 … 4 or 0 … 2, in their order, and the attribute ``codes`` keeps what they were.
        Declare `q` where codes mean themselves (a clock's angles) or unobserved states exist.
    wrap : bool
        For ``space="angles"``: angles outside [0, 2π) are meant, and are reduced to it. Without it they are an error,
        for they are more often degrees or another convention than angles that wound around.

    Returns
    -------
    Dataset
        Variable ``state`` ``(chain, draw, *sites)``: int8 for discrete spaces; float32 stays float32 and everything
        else becomes float64 for angles and reals.

    Raises
    ------
    HamlearnError
        If values lie outside the space, are NaN or infinite, the array is empty or ragged, shapes disagree, β ≤ 0,
        chains are copies of each other, or a periodic path repeats its first slice at its end.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.microstates([[1, -1, 1], [1, 1, 1]], space="spins", beta=0.5)
    >>> dict(data["state"].sizes)
    {'chain': 1, 'draw': 2, 'site': 3}
    """
    given = {"space": space, "beta": beta, "dims": dims, "counts": counts, "weights": weights, "q": q}
    given["wrap"] = True if wrap else None
    if isinstance(source, xr.Dataset):
        return _already_said(validate(source), given)
    if isinstance(source, xr.DataTree):
        raise HamlearnError("this is a posterior or another tree of results, not microstates: give the data that it was learned from.")
    if isinstance(source, str | PathLike):
        source_path = source
        loaded = storage.read_states(fspath(source), count_column=counts if isinstance(counts, int | str) else None)
        if isinstance(loaded, xr.Dataset):
            return _already_said(validate(loaded), given)
        source = loaded.pop("state")
        if "space" in loaded:
            space = space or str(loaded["space"])
        if "q" in loaded:
            q = q or int(loaded["q"])
        beta = loaded.get("beta") if beta is None else beta
        if isinstance(counts, int | str) and "counts" not in loaded:
            raise HamlearnError(f"counts={counts!r} names a column of a table (.csv); {fspath(source_path)} has no such column.")
        counts = loaded.get("counts") if counts is None or isinstance(counts, int | str) else counts
        weights = loaded.get("weights") if weights is None else weights
    if isinstance(counts, str):
        raise HamlearnError(
            f"counts={counts!r} names a column of a table file; for an array give the counts themselves, one per microstate."
        )
    array = _as_array(source)
    array, names = _name_axes(array, dims)
    space = choice(space or "spins", SPACES, "space")
    if wrap and space != "angles":
        raise HamlearnError(f"wrap=True reduces angles to [0, 2π); it means nothing for space={space!r}, so leave it out.")
    q_given = q
    values, name, q = _to_reals(array, space, q, wrap) if space in CONTINUOUS else _to_space(array, space, q)
    if space in CONTINUOUS:
        _refuse_repeated_end(values, [axis for axis, label in enumerate(names) if label not in ("beta", "chain", "draw")])
    site_dims = [axis for axis in names if axis not in ("beta", "chain", "draw")]
    if dims is None:
        site_dims = ["site"] if len(site_dims) == 1 else [f"x{index}" for index in range(len(site_dims))]
    attrs: dict[str, Any] = {"source_space": space, "beta_declared": int(beta is not None)}
    if name == "states" and q_given is None:
        values, codes = _without_gaps(values)
        attrs |= {} if codes is None else {"codes": json.dumps(codes)}
    return _assemble(
        values, beta=1.0 if beta is None else beta, name=name, q=q, site_dims=site_dims, attrs=attrs, counts=counts, weights=weights
    )


def build(
    state: np.ndarray,
    *,
    beta: float | np.ndarray,
    space: Any,
    lattice: Any = None,
    attrs: dict[str, Any] | None = None,
    counts: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> xr.Dataset:
    """Microstates from an array that a sampler made: ``(chain, draw, *sites)`` or ``(beta, chain, draw, *sites)``.

    `space` and `lattice` are a system's; the values are trusted, shapes are not.
    """
    lead = 2 + np.ndim(beta)
    state = state.reshape((*state.shape[:lead], *lattice.shape)) if lattice is not None else state
    site_dims = (
        list(lattice.site_dims)
        if lattice is not None
        else (["site"] if state.ndim == lead + 1 else [f"x{i}" for i in range(state.ndim - lead)])
    )
    given = {"source_space": space.name, "beta_declared": 1, **(attrs or {})}
    return _assemble(
        state, beta=beta, name=space.name, q=space.q, site_dims=site_dims, attrs=given, counts=counts, weights=weights, trusted=True
    )


def validate(data: xr.Dataset) -> xr.Dataset:
    """`data` unchanged if it is a well-formed set of microstates, else an error that says what is wrong."""
    if "state" not in data:
        raise HamlearnError(f"microstates need a variable 'state'; this Dataset holds {sorted(map(str, data.data_vars))}.")
    state = data["state"]
    lead = [str(name) for name in state.dims if name in ("beta", "chain", "draw")]
    if lead not in (["chain", "draw"], ["beta", "chain", "draw"]) or list(map(str, state.dims[: len(lead)])) != lead:
        raise HamlearnError(f"'state' needs dims (chain, draw, *sites) or (beta, chain, draw, *sites); got {state.dims}.")
    missing = [key for key in ("space", "q") if key not in data.attrs]
    if missing or "beta" not in data.coords:
        raise HamlearnError(
            "microstates need attributes 'space', 'q' and a coordinate 'beta'; make them with hl.microstates(array, space=..., beta=...)."
        )
    if int(data.attrs.get("schema_version", SCHEMA)) > SCHEMA:
        raise HamlearnError(
            f"written by a newer hamlearn (schema {data.attrs['schema_version']}, this reads {SCHEMA}); upgrade hamlearn to read it."
        )
    return data


SCHEMA = 1


def _already_said(data: xr.Dataset, given: dict[str, Any]) -> xr.Dataset:
    """`data`, unless an argument contradicts what it says of itself: it would be ignored otherwise."""
    known = {"space": (data.attrs["space"], data.attrs.get("source_space")), "q": (data.attrs["q"],)}
    for name, value in given.items():
        agrees = np.array_equal(value, data["beta"]) if name == "beta" else value in known.get(name, ())
        if value is not None and not agrees:
            said = f"space={data.attrs['space']!r}, q={data.attrs['q']}, beta={data['beta'].values.tolist()}"
            raise HamlearnError(
                f"these microstates already say what they are ({said}), so {name}={value!r} would be ignored; leave it out."
            )
    return data


def open_microstates(path: str | PathLike[str]) -> xr.Dataset:
    """Microstates of a file that hamlearn wrote, left on disk: what is asked of them is read when it is asked for.

    For training on more data than memory holds (:class:`hamlearn.infer.Training`). Everything else reads the states
    anew whenever it looks at them: use :func:`microstates` for it, which loads them.

    Parameters
    ----------
    path : str or path
        A .zarr or .nc file, best in chunks of 1 to 100 MB along ``draw``.

    Returns
    -------
    Dataset
        As :func:`microstates` returns it, without numbers of draws; its file stays open until it is closed or forgotten.

    Raises
    ------
    HamlearnError
        If there is no such file, it has another ending, or holds no microstates.

    Examples
    --------
    >>> import tempfile
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((2, 2)), beta=0.3, draws=10, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     opened = open_microstates(storage.write_dataset(data, folder + "/states.zarr"))
    ...     opened["state"][0, 3:5].shape
    (2, 2, 2)
    """
    return validate(storage.open_dataset(path, without=("draw",)))  # numbers of draws alone would grow with the data


def on_disk(data: xr.Dataset) -> bool:
    """Whether the states were opened and not loaded."""
    return not data["state"].variable._in_memory


def excerpt(data: xr.Dataset | Iterable[xr.Dataset], memory: int) -> list[xr.Dataset]:
    """The microstates of every temperature in memory: all, or the end of every chain if those on disk exceed `memory` bytes.

    What is kept of them is then a thirty-second part of that: who looks at it makes copies, in double precision.
    """
    sets = split_by_beta(data)
    size = sum(part["state"].nbytes for part in sets)
    share = 1.0 if size <= memory else memory / (32 * size)
    cut = lambda draws: slice(draws - max(1, int(share * draws)), draws)
    return [part.isel(draw=cut(part.sizes["draw"])).load() if on_disk(part) else part for part in sets]


def split_by_beta(data: xr.Dataset | Iterable[xr.Dataset]) -> list[xr.Dataset]:
    """A list of microstates at one temperature each, from one Dataset or many."""
    if isinstance(data, xr.Dataset):
        validate(data)
        return [data.isel(beta=index) for index in range(data.sizes["beta"])] if "beta" in data["state"].dims else [data]
    parts = [part for item in data for part in split_by_beta(item)]
    if not parts:
        raise HamlearnError("no microstates given: the list is empty.")
    if any("codes" in part.attrs for part in parts):
        # Files that lack different codes number their states differently: all of them get the codes that occur in any.
        codes = sorted({code for part in parts if part.attrs["space"] == "states" for code in codes_of(part)})
        parts = [recoded(part, codes) for part in parts]
    return parts


def rows(data: xr.Dataset) -> np.ndarray:
    """The states of one temperature as ``(chain, draw, n_sites)``."""
    state = data["state"].values
    return state.reshape((*state.shape[:2], -1))


def multiplicity(data: xr.Dataset) -> tuple[np.ndarray, bool]:
    """How much every row counts ``(chain, draw)``, and whether these are weights (True) or repeat counts."""
    if "weight" in data:
        return data["weight"].values.astype(float), True
    if "count" in data:
        return data["count"].values.astype(float), False
    return np.broadcast_to(1.0, data["state"].shape[:2]), False  # one number, not one per row


def fingerprint(parts: Sequence[xr.Dataset]) -> str:
    """SHA3-256 of the states, counts and temperatures, as a hexadecimal string; what lies on disk is read in pieces."""
    digest = hashlib.sha3_256()
    for part in parts:
        for array in (part["state"], xr.DataArray(multiplicity(part)[0])):
            chains, draws = array.shape[:2]
            rows = max(1, _PIECE * chains * draws // max(array.nbytes, 1))
            for chain in range(chains):
                for start in range(0, draws, rows):
                    digest.update(np.ascontiguousarray(array[chain, start : start + rows].values).tobytes())
        digest.update(np.float64(part["beta"].item()).tobytes())
    return digest.hexdigest()


_PIECE = 1 << 24  # bytes read at once


def _as_array(source: Any) -> np.ndarray:
    try:
        array = np.asarray(source)
    except ValueError as error:
        raise HamlearnError("the states are ragged: every microstate must have the same number of sites.") from error
    if array.dtype == object:
        raise HamlearnError("the states are ragged or not numbers: every microstate must be numbers, the same count in each.")
    if array.ndim < 2 or array.size == 0:
        raise HamlearnError(f"states need at least two axes, (draw, site), and may not be empty; got shape {array.shape}.")
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating) or array.dtype == bool):
        raise HamlearnError(f"states must be numbers; got dtype {array.dtype}.")
    return array


def _name_axes(array: np.ndarray, dims: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Move the leading axes to (beta,) chain, draw and return the array with the names of all its axes."""
    names = ["draw", *(f"x{axis}" for axis in range(array.ndim - 1))] if dims is None else list(dims)
    if len(names) != array.ndim or len(set(names)) != len(names):
        raise HamlearnError(f"dims must name each of the {array.ndim} axes once; got {tuple(names)} for shape {array.shape}.")
    if "draw" not in names:
        raise HamlearnError(f"dims must contain 'draw'; got {tuple(names)}.")
    if all(name in ("beta", "chain", "draw") for name in names):
        raise HamlearnError(f"dims must name at least one site axis; got {tuple(names)}.")
    if "chain" not in names:
        array, names = array[None], ["chain", *names]
    lead = [name for name in ("beta", "chain", "draw") if name in names]
    order = [names.index(name) for name in lead] + [axis for axis, name in enumerate(names) if name not in lead]
    return array.transpose(order), [names[axis] for axis in order]


def _to_space(array: np.ndarray, space: str, q: int | None) -> tuple[np.ndarray, str, int]:
    """Validated int8 values with the name and size of the space they are stored in."""
    if np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
        raise HamlearnError(f"the states contain {int(np.isnan(array).sum())} NaN; remove those microstates first.")
    if q is not None and not 2 <= q <= 127:
        raise HamlearnError(f"states need 2 <= q <= 127; got q={q}.")
    found = np.unique(array)
    if space == "states":
        if found[0] < 0 or found[-1] > 126 or not np.all(found == np.floor(found)) or (q is not None and found[-1] >= q):
            top = "q−1" if q is None else str(q - 1)
            raise HamlearnError(
                f"space='states' holds the integers 0 … {top}; found values from {found[0]} to {found[-1]}.{_hint_of_codes(found, q)}"
            )
        return array.astype(np.int8), "states", max(2, len(found)) if q is None else int(q)
    allowed = (-1, 1) if space == "spins" else (0, 1)
    if not np.isin(found, allowed).all():
        shown = ", ".join(str(value) for value in found[:5].tolist()) + (", …" if found.size > 5 else "")
        hint = ""
        if space == "spins" and np.isin(found, (0, 1)).all():
            hint = " These look like 0/1 data: declare them with space='bits'."
        elif space == "bits" and np.isin(found, (-1, 1)).all():
            hint = " These look like ±1 data: declare them with space='spins'."
        elif np.all(found == np.floor(found)) and found[0] >= 0:
            hint = " For states 0 … q−1 use space='states'."
        elif found.size > 5:
            hint = " For continuous values use space='angles' (radians) or space='reals'."
        raise HamlearnError(f"space={space!r} allows the values {allowed[0]} and {allowed[1]}; found {shown}.{hint}")
    values = array.astype(np.int8)
    return (values if space == "spins" else 2 * values - 1), "spins", 2


def _hint_of_codes(found: np.ndarray, q: int | None) -> str:
    """What to do about whole codes that are in 0 … q−1 only once they are renumbered; nothing for others."""
    if q is None or not 0 <= found[0] <= found[-1] <= 126 or len(found) > q or not np.all(found == np.floor(found)):
        return ""
    shift = ", or subtract 1 from them" if found[0] >= 1 and found[-1] == q else ""
    return f" Leave q={q} out (the codes that occur are then numbered from 0, in their order){shift}."


def _without_gaps(values: np.ndarray) -> tuple[np.ndarray, list[int] | None]:
    """States numbered without gaps, and the codes they had; None where nothing was to do."""
    found = np.unique(values)
    if found[-1] == len(found) - 1:
        return values, None
    logger.info(
        "codes %s were read as states 0 … %d: a code that never occurs is no state (declare q= if it is one)",
        ", ".join(map(str, found[:12].tolist())) + (", …" if len(found) > 12 else ""),
        len(found) - 1,
    )
    return np.searchsorted(found, values).astype(np.int8), [int(code) for code in found]


def codes_of(data: xr.Dataset) -> list[int]:
    """The code that every state of q-state microstates had where they came from, in the order of the states."""
    return list(json.loads(data.attrs["codes"])) if "codes" in data.attrs else list(range(int(data.attrs["q"])))


def recoded(data: xr.Dataset, codes: Sequence[int]) -> xr.Dataset:
    """The same microstates with their states numbered by `codes`, which must hold every code of theirs."""
    own = codes_of(data)
    if data.attrs["space"] != "states" or own == list(codes):
        return data
    missing = sorted(set(own) - set(codes))
    if missing:
        raise HamlearnError(f"the microstates hold the codes {missing}, which are none of the states {list(codes)}.")
    place = np.searchsorted(codes, own).astype(np.int8)
    result = data.assign(state=(data["state"].dims, place[data["state"].values], data["state"].attrs))
    result.attrs = {**data.attrs, "q": max(2, len(codes)), "codes": json.dumps(list(codes))}
    return result


def _to_reals(array: np.ndarray, space: str, q: int | None, wrap: bool) -> tuple[np.ndarray, str, int]:
    """Validated float values with the name of their space; continuous spaces have q = 0."""
    if q is not None:
        raise HamlearnError(f"q={q!r} counts the states of a discrete space; space={space!r} is continuous, so leave it out.")
    values = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if not np.all(np.isfinite(values)):
        nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        raise HamlearnError(f"the states contain {nan} NaN and {infinite} infinite values; remove those microstates first.")
    if space == "reals":
        return values, space, 0
    if np.any(values == values.dtype.type(TURN)) and values.dtype == np.float32:
        values = np.where(values == np.float32(TURN), np.float32(0), values)  # what an angle just below 2π rounds to
    low, high = float(values.min()), float(values.max())
    if not wrap and (low < 0 or high >= TURN):
        found = f"space='angles' holds radians in [0, 2π); found values from {low:.6g} to {high:.6g}."
        if high - low > 1.5 * TURN and low >= -180 and high <= 360:
            raise HamlearnError(f"{found} These look like degrees: convert them with np.deg2rad(angles) % (2 * np.pi).")
        centred = " They look like angles in (−π, π]." if low >= -np.pi * 1.000001 and high <= np.pi * 1.000001 else ""
        raise HamlearnError(f"{found}{centred} If these are radians, declare wrap=True to reduce them.")
    if wrap:
        values = np.mod(values, values.dtype.type(TURN))
        values[values >= TURN] = 0  # the remainder of a tiny negative angle rounds up to the full turn
    return values, space, 0


def _refuse_repeated_end(values: np.ndarray, axes: list[int]) -> None:
    """An error if the last slice repeats the first in every microstate: a closed path written out with its end.

    Values that never change (ends held fixed) are no sign of it.
    """
    for axis in axes:
        first, last = values.take(0, axis), values.take(-1, axis)
        if values.shape[axis] >= 3 and len(np.unique(first)) > 1 and np.array_equal(first, last):
            raise HamlearnError(
                f"the first and the last slice along site axis {axis - axes[0]} are identical in all microstates: the end point of a "
                "periodic path is repeated. Periodic boundaries already join the last slice to the first: drop the last, "
                f"states[..., :{values.shape[axis] - 1}]."
            )


def _per_row(values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.size != np.prod(shape):
        raise HamlearnError(f"{what} must have one value per microstate, shape {shape}; got shape {array.shape}.")
    if not np.all(np.isfinite(array)) or np.any(array < 0) or array.sum() <= 0:
        raise HamlearnError(f"{what} must be finite, not negative, and not all zero.")
    if what == "counts" and not np.all(array == np.floor(array)):
        raise HamlearnError("counts must be whole numbers; fractional multiplicities are weights=.")
    return array.reshape(shape)


def _assemble(
    values: np.ndarray,
    *,
    beta: Any,
    name: str,
    q: int,
    site_dims: list[str],
    attrs: dict[str, Any],
    counts: Any,
    weights: Any,
    trusted: bool = False,
) -> xr.Dataset:
    try:
        temperatures = np.asarray(beta, dtype=float)
    except (TypeError, ValueError) as error:
        raise HamlearnError(f"beta (inverse temperature 1/T) must be a number or a list of numbers; got {beta!r}.") from error
    if not np.all(np.isfinite(temperatures)) or np.any(temperatures <= 0):
        raise HamlearnError(f"beta (inverse temperature 1/T) must be finite and > 0; got {beta!r}.")
    lead = ["beta", "chain", "draw"] if temperatures.ndim else ["chain", "draw"]
    if values.ndim != len(lead) + len(site_dims) or (temperatures.ndim and len(temperatures) != values.shape[0]):
        if temperatures.ndim:
            raise HamlearnError(
                f"several beta need a leading 'beta' axis of that length: dims=('beta', 'chain', 'draw', ...); got shape {values.shape}."
            )
        raise HamlearnError("a 'beta' axis needs the list of its temperatures: beta=[...].")
    if not trusted:
        _refuse_copied_chains(values.reshape((-1, values.shape[len(lead) - 1], int(np.prod(values.shape[len(lead) :])))))
    if counts is not None and weights is not None:
        raise HamlearnError("give counts= (how often a row was seen) or weights=, not both.")
    shape = values.shape[: len(lead)]
    coords: dict[str, Any] = {"beta": ("beta", temperatures) if temperatures.ndim else float(temperatures)}
    coords |= {axis: np.arange(size) for axis, size in zip(lead[-2:], shape[-2:], strict=True)}
    dataset = xr.Dataset({"state": ((*lead, *site_dims), values)}, coords=coords)
    for label, per_row in (("count", counts), ("weight", weights)):
        if per_row is not None:
            dataset[label] = (lead, _per_row(per_row, shape, label + "s"))
    if counts is not None:
        attrs = {**attrs, "independent": 1}  # a histogram has lost the order of its draws
    dataset.attrs = {"space": name, "q": q, "schema_version": SCHEMA, **attrs}
    return dataset


def _refuse_copied_chains(values: np.ndarray) -> None:
    """`values` is (chains of all temperatures, draw, site); a frozen chain may repeat another, a varied one not."""
    seen: dict[bytes, int] = {}
    for chain, draws in enumerate(values):
        key = np.ascontiguousarray(draws).tobytes()
        if key in seen and len(draws) >= 10 and len(np.unique(draws, axis=0)) >= 5:
            raise HamlearnError(
                f"chains {seen[key]} and {chain} are identical copies; counting them twice would make every error bar too small. Keep one."
            )
        seen.setdefault(key, chain)
