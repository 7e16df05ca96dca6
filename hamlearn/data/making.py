"""Microstates made: of what a user has, and of what a sampler drew."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from hamlearn.arguments import require_beta, require_flag, shown
from hamlearn.data.arrays import LEADING, name_axes, plain
from hamlearn.data.cells import Cells, Numbers, in_numbers, in_space
from hamlearn.data.columns import Labels, own_space, with_codes, with_space
from hamlearn.data.geometry import declared
from hamlearn.data.missing import Codes, checked, hidden, require_observed, say, unanswered
from hamlearn.data.names import names_of, site_axis, with_names
from hamlearn.data.opening import across, open_table, refuse_unclear_axes, with_said
from hamlearn.data.readout import with_flip
from hamlearn.data.sequences import sequence_weights
from hamlearn.data.strays import DECLARED, strays, told, way_out
from hamlearn.data.validation import SCHEMA, admit_one, refuse_copied_chains
from hamlearn.data.values import per_row, refuse_repeated_end, require_varied
from hamlearn.errors import HamlearnError, choice
from hamlearn.progress import logger
from hamlearn.spaces import MISSING, Space, SpaceName
from hamlearn.storage import Table
from hamlearn.storage.table import settled


def microstates(
    source: Any,
    space: SpaceName | Space | None = None,
    beta: float | Sequence[float] | None = None,
    dims: Sequence[str] | None = None,
    counts: Any = None,
    weights: Any = None,
    *,
    q: int | Sequence[int] | None = None,
    wrap: bool = False,
    periodic: bool | None = None,
    spacing: float | None = None,
    names: Sequence[str] | None = None,
    mask: Any = None,
    gaps: Literal["state", "missing"] | None = None,
    max_gaps: float | None = None,
    variable: str | None = None,
    independent: bool = False,
    labels: Labels | None = None,
    flip: Any = None,
    missing: Codes | Mapping[str, Codes] | None = None,
) -> xr.Dataset:
    """Observed microstates from an array or a file, validated.

    Parameters
    ----------
    source : array-like, table, path, or Dataset
        The states (of a Dataset of xarray that is none of hamlearn's, its one array of two axes or more). Axis 0 is the draw, all
        other axes are sites, one chain, unless `dims` says otherwise. A path may
        end in .nc, .zarr, .npz, .npy, .h5, .mat, or in .csv, .tsv and .txt (also .gz or zipped): separators are guessed and told. Of tables
        (these, and DataFrames of pandas and polars) a first column that numbers the rows is left out, and one called ``time``, ``t``,
        ``frame`` or ``timestamp`` that rises is kept as the coordinate ``time`` of the draws; both are told. Cells that
        were not observed are NaN, None, "?", "NA" or empty, or masked (NumPy's masked arrays): they are kept as missing,
        ``hl.spaces.MISSING`` (−128) in ``state`` of discrete spaces and NaN in continuous ones; :func:`hamlearn.data.missing` says where.
    space : {"spins", "bits", "states", "angles", "reals", "vectors"} or Space
        What the numbers mean: ±1 spins (the default), 0/1 bits (stored as spins, 1 is up), states 0 … q−1, angles in
        radians in [0, 2π), real numbers (paths, fields), or unit vectors (components on the last axis); or a space of
        :mod:`hamlearn.spaces`, such as ``Spins(magnetization=0)``. A file written by hamlearn knows its own.
    beta : float or sequence of float, optional
        Inverse temperature(s) of the observation. Undeclared, couplings come out as βJ (β is recorded as 1) and
        predictions elsewhere are marked hypothetical.
    dims : sequence of str, optional
        Names of the axes, with "beta", "chain" and "draw" for the leading ones and any name for site axes.
    counts : array, int or str, optional
        How often every row was observed; for a table file the number or name of the column that holds it (one called ``count`` or
        ``counts`` is taken unasked).
    weights : array or "identity", optional
        Statistical weight of every row, which is one draw: of importance sampling, or of sequence reweighting, where k near copies have
        1/k each. The sum of weights says how many independent microstates the rows are worth, at most Kish's (Σw)²/Σw²: importance
        weights may have any scale above that. Error bars are those of independent rows with these weights (the sandwich Σw²gg', g the
        score of a row), and wider by what the sum says less. A histogram is no set of weights but `counts`: as weights, a pattern that
        was seen a thousand times is one draw. A column of a table called ``weight`` or ``weights`` is taken unasked.
        "identity" computes those of aligned sequences, which share a weight with all that agree in 80 % of their positions
        (:func:`hamlearn.data.sequence_weights`); sequences of an alignment count alike without it.
    q : int or sequence of int, optional
        Number of states for ``space="states"``, or that of every site. By default the states are the codes that occur: a code that is
        never observed is no state, so 1 … 5 or 0, 2, 5 become 0 … 4 or 0 … 2, in their order, and the attribute ``codes`` keeps what
        they were. A code far from the others, as 99 among 1 … 5, is told, for it often says that there was no answer.
        Declare `q` where codes mean themselves (a clock's angles) or unobserved states exist.
    wrap : bool
        For ``space="angles"``: angles outside [0, 2π) are meant, and are reduced to it. Without it they are an error,
        for they are more often degrees or another convention than angles that wound around.
    periodic : bool, optional
        Whether the sites close periodically: the last is a neighbour of the first. Undeclared, models take their own word for it.
    spacing : float, optional
        Width of a time slice of paths. Undeclared, it is β/N_τ (or the model's `a`).
    names : sequence of str, optional
        What the sites are called, one name for each, of one site axis. The header of a table, the columns of a DataFrame and the
        string coordinate of a DataArray's site axis are taken unasked. Names are the coordinate of the site axis, so
        ``data.sel(site=["anna", "ben"])`` selects; posteriors, verdicts, pages and pictures call sites and bonds by them.
    mask : array of bool, optional
        In the shape of `source`, True where a cell was not observed, whatever stands there: what is hidden everywhere is no state.
    gaps : {"state", "missing"}, optional
        Of an alignment (.fasta, .fa, .a2m, .sto, ...): whether a gap is the state 0 of 21 (``-ACDEFGHIKLMNPQRSTVWY``) or 5 (``-ACGU``,
        ``-ACGT``), which is the default, or a cell that was not observed, with the letters from 0.
    max_gaps : float, optional
        Columns of an alignment with a larger share of gaps are left out; columns keep their numbers (from 1) as names.
    variable : str, optional
        Which array of a file of several (.npz, .h5, .mat, .nc) the states are; unasked one called ``state``, or the only one of two
        axes or more. Arrays of groups of .h5 files have paths, ``"group/name"``.
    independent : bool
        Whether rows were observed independently of each other and their order means nothing: people who were asked, sequences of a family,
        repetitions of an experiment. Without it rows are draws of a chain, whose autocorrelation is measured and counted. A verdict looks
        whether rows so declared follow from the row before, or repeat others.
    labels : sequence, or mapping of column to sequence, optional
        All states of all columns of a table with a header (or of those that are named) in their order, whether they were seen or not:
        ``{"age": ["young", "old"]}``, ``[1, 2, 3, 4, 5]``. Of a table of words (yes/no, up/down, letters): the words in the order of the
        states, of spins the one for −1 first. Unasked, words that mean down and up are known, others are taken in alphabetical order, and
        a line says how they were read. The attribute ``codes`` keeps them, or the coordinate of that name where columns have states of
        their own: columns of a table with a header, declared as ``space="states"``, have those that were seen in each.
    flip : float, array, mapping or tuple of two of these, optional
        How often a site is read as another value than its own: one rate, one for every site (of two sites a list, ``[0.1, 0.2]``), or
        ``{name: rate}``; where there are more than two values, as each of the others alike. Of spins and bits also by direction, of −1 read
        as 1 and of 1 as −1, ``(0.01, 0.03)`` (of two sites ``([a, a], [b, b])``). Or a matrix ``(q, q)`` of P(read | true), whose rows, one
        for every true value, sum to one: of all sites, or of every site.
    missing : number, word, sequence of these, or mapping of column to these, optional
        Codes that stand for no answer, ``[99, -9]`` or ``{"age": 99}``: their cells were not observed, and they are no states.

    Returns
    -------
    Dataset
        Variable ``state`` ``(chain, draw, *sites)``: int8 for discrete spaces; float32 stays float32 and everything
        else becomes float64 for angles and reals.

    Raises
    ------
    HamlearnError
        If values lie outside the space or are infinite, the array is empty or ragged, shapes disagree, β ≤ 0, nothing is observed in a
        microstate, more is missing than observed at a site, chains are copies of each other, a periodic path repeats its first
        slice at its end, names are not one text for every site, empty, or repeated, or a rate of `flip` is not in [0, 0.5),
        or a matrix of it none of probabilities with a diagonal above 0.5.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.microstates([[1, -1, 1], [1, 1, 1]], space="spins", beta=0.5, names=["anna", "ben", "eve"])
    >>> dict(data["state"].sizes)
    {'chain': 1, 'draw': 2, 'site': 3}
    >>> data["state"].sel(site="ben").values
    array([[-1,  1]], dtype=int8)
    """
    require_flag(independent, "independent")
    require_flag(wrap, "wrap")
    if isinstance(source, xr.DataTree):
        raise HamlearnError("this is a posterior or another tree of results, not microstates: give the data that it was learned from.")
    geometry = declared(periodic, spacing) | ({"independent": 1} if independent else {})
    rules = {"gaps": gaps, "max_gaps": max_gaps, "variable": variable}
    opened = open_table(source, dims, beta, counts if isinstance(counts, int | str) else None, rules)
    if isinstance(opened, xr.Dataset):
        given = {"space": space, "beta": beta, "dims": dims, "counts": counts, "weights": weights, "q": q, "mask": mask}
        given |= {"labels": labels, "missing": missing, "wrap": True if wrap else None}
        made = _already_said(admit_one(opened, missing=True), given, geometry)
        made = made if names is None else with_names(made, names)
    else:
        table = with_said(opened, space, beta, counts, weights, q)
        if mask is not None and dims is not None and list(dims) != list(table.dims or ()):  # its rows were sites
            mask = np.transpose(mask)
        if missing is not None:
            none = unanswered(table, missing)
            mask = none if mask is None else none | checked(mask, none.shape)
        made = _of_table(table, labels, mask, names, wrap=wrap, geometry=geometry)
    return made if flip is None else with_flip(made, flip, own_space(made), names_of(made))


def _of_table(table: Table, labels: Labels | None, mask: Any, names: Any, *, wrap: bool, geometry: dict[str, Any]) -> xr.Dataset:
    """Microstates of a table that says all that is known of it: its cells as states, then what comes with them."""
    turned = across(table)
    read = in_numbers(settled(table if mask is None else hidden(table, mask)), labels)
    array, axes = name_axes(plain(read.table), table.dims)
    cells = in_space(read, array, wrap=wrap, site_axes=sum(axis not in LEADING for axis in axes))
    site_dims = _site_dims(cells, axes, named=table.dims is not None)
    weights = table.weights
    if isinstance(weights, str):
        weights = _weights(weights, np.where(cells.gone, MISSING, cells.values), len(axes) - len(site_dims))
    _require_told(read, cells, axes, turned)
    attrs = {"source_space": read.name, "beta_declared": int(table.beta is not None), **geometry}
    attrs |= {"independent": 1} if table.independent else {}
    if labels is not None and read.called is not None:
        attrs[DECLARED] = json.dumps(list(labels) if isinstance(labels, Mapping) else read.called)
    attrs |= {} if cells.codes is None else {"codes": json.dumps(cells.codes)}
    cells.values[cells.gone] = cells.space.missing
    beta = 1.0 if table.beta is None else table.beta
    made = _assemble(cells.values, beta=beta, space=cells.space, site_dims=site_dims, attrs=attrs, counts=table.counts, weights=weights)
    if read.table.time is not None:
        made = made.assign_coords(time=("draw", read.table.time))
    refuse_copied_chains([made])
    made = made if read.columns is None else with_codes(made, read.columns)
    if names is not None:
        made = with_names(made, names)
    elif read.called is not None and site_axis(made) is not None:
        made = with_names(made, read.called, "the header")
    if far := strays([made]):
        logger.warning("%s. %s.", told(far, names_of(made)), way_out([one.code for one in far]))
    return made


def _site_dims(cells: Cells, axes: list[str], *, named: bool) -> list[str]:
    """What the axes of sites are called, which were `named` or are numbered here; an error where they cannot be those of sites."""
    site_dims = [axis for axis in axes if axis not in LEADING]
    site_dims = site_dims[: len(site_dims) - len(cells.space.event_shape)]
    if cells.space.continuous:
        refuse_repeated_end(cells.values, [axis for axis, label in enumerate(axes) if label in site_dims])
    if named:
        return site_dims
    refuse_unclear_axes(cells.values.shape[1:2] + cells.values.shape[2 : 2 + len(site_dims)])
    return ["site"] if len(site_dims) == 1 else [f"x{index}" for index in range(len(site_dims))]


def _require_told(read: Numbers, cells: Cells, axes: list[str], turned: str) -> None:
    """An error where too little was observed to tell anything; a word on a table that looks turned, and on cells that are missing."""
    if read.called is not None and not cells.space.continuous and not read.table.independent:  # sequences are often all of one letter
        require_varied(cells.values, cells.gone, read.called, read.table.where, turned)
    if turned:
        logger.warning("%s.", turned)
    if cells.gone.any():
        require_observed(cells.gone, axes, read.called or ())
        say(cells.gone)


def _weights(rule: str, values: np.ndarray, lead: int) -> np.ndarray:
    """Weights that are asked for by a word, of states with `lead` axes before those of sites."""
    choice(rule, ("identity",), "weights, where it is a word,")
    weights = sequence_weights(values.reshape(-1, math.prod(values.shape[lead:])))
    logger.info("%d sequences are worth %.1f that are not near copies (80 %% identity)", weights.size, weights.sum())
    return weights


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
    state = state.reshape((*state.shape[:lead], *lattice.shape, *space.event_shape)) if lattice is not None else state
    axes = state.ndim - lead - len(space.event_shape)
    site_dims = list(lattice.site_dims) if lattice is not None else (["site"] if axes == 1 else [f"x{i}" for i in range(axes)])
    closed = {} if lattice is None else declared(lattice.periodic)
    given = {"source_space": space.name, "beta_declared": 1, **closed, **(attrs or {})}
    made = _assemble(state, beta=beta, space=space, site_dims=site_dims, attrs=given, counts=counts, weights=weights)
    return with_names(made, lattice.names) if lattice is not None and lattice.names and axes == 1 else made


def _already_said(data: xr.Dataset, given: dict[str, Any], geometry: dict[str, Any]) -> xr.Dataset:
    """`data`, unless an argument contradicts what it says of itself: it would be ignored otherwise. What it does not say may be added."""
    for name, value in geometry.items():
        if data.attrs.get(name, value) != value:
            raise HamlearnError(f"these microstates declare {name}={data.attrs[name]}; {name}={value} would be ignored, so leave it out.")
    known = {"space": (data.attrs["space"], data.attrs.get("source_space")), "q": (data.attrs["q"],)}
    for name, value in given.items():
        agrees = np.array_equal(value, data["beta"]) if name == "beta" else any(np.array_equal(value, one) for one in known.get(name, ()))
        if value is not None and not agrees:
            said = f"space={data.attrs['space']!r}, q={data.attrs['q']}, beta={data['beta'].values.tolist()}"
            raise HamlearnError(
                f"these microstates already say what they are ({said}), so {name}={shown(value)} would be ignored; leave it out."
            )
    return data.assign_attrs(geometry) if geometry else data


def _assemble(
    values: np.ndarray,
    *,
    beta: Any,
    space: Space,
    site_dims: list[str],
    attrs: dict[str, Any],
    counts: Any,
    weights: Any,
) -> xr.Dataset:
    temperatures = require_beta(beta)
    if space.event_shape:
        if not site_dims:
            raise HamlearnError(f"{space.name} have axes (draw, sites, components); got shape {values.shape}.")
        site_dims = [*site_dims, "component"]
    lead = ["beta", "chain", "draw"] if temperatures.ndim else ["chain", "draw"]
    if values.ndim != len(lead) + len(site_dims) or (temperatures.ndim and len(temperatures) != values.shape[0]):
        if temperatures.ndim:
            raise HamlearnError(
                f"several beta need a leading 'beta' axis of that length: dims=('beta', 'chain', 'draw', ...); got shape {values.shape}."
            )
        raise HamlearnError("a 'beta' axis needs the list of its temperatures: beta=[...].")
    if counts is not None and weights is not None:
        raise HamlearnError("give counts= (how often a row was seen) or weights=, not both.")
    shape = values.shape[: len(lead)]
    coords: dict[str, Any] = {"beta": ("beta", temperatures) if temperatures.ndim else float(temperatures)}
    coords |= {axis: np.arange(size) for axis, size in zip(lead[-2:], shape[-2:], strict=True)}
    dataset = xr.Dataset({"state": ((*lead, *site_dims), values)}, coords=coords)
    for label, given in (("count", counts), ("weight", weights)):
        if given is not None:
            dataset[label] = (lead, per_row(given, shape, label + "s"))
    if counts is not None:
        attrs = {**attrs, "independent": 1}  # a histogram has lost the order of its draws
    dataset.attrs = {"schema_version": SCHEMA, **attrs}
    return with_space(dataset, space)
