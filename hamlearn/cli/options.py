"""The text of options, read: every mistake in it is one sentence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hamlearn import memory
from hamlearn.cli.streams import is_stream
from hamlearn.errors import HamlearnError

LATTICES = ("square", "triangular", "honeycomb")
_MOST_BETAS = 10_000
_BINARY = (".npy", ".npz", ".mat", ".h5", ".hdf5")  # files of numbers, which are places of sites and no names
_SITE = 64  # bytes that a site of a lattice takes at least, with its bonds


def one_of(*words: str) -> dict[str, Any]:
    """Settings of an option that is one of several words: its help names them, and a shell completes them.

    Examples
    --------
    >>> one_of("site", "uniform", "none")["help"]
    'site, uniform or none.'
    """

    def begun(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return {"help": f"{', '.join(words[:-1])} or {words[-1]}.", "autocompletion": begun}


def read_shape(text: str) -> tuple[int, ...]:
    """Lattice extents from text such as ``8x8``."""
    try:
        extents = tuple(int(part) for part in text.lower().replace(",", "x").split("x"))
    except ValueError as error:
        raise HamlearnError(f"a shape is written like 8x8 or 16; got {text!r}.") from error
    if min(extents) < 1:
        raise HamlearnError(f"a shape is written like 8x8 or 16, every extent at least 1; got {text!r}.")
    memory.require(_SITE * math.prod(extents), f"a lattice of {text} sites", "Give a smaller shape.")
    return extents


def read_betas(text: str) -> list[float]:
    """Inverse temperatures from a number, a list, or ``start:stop:count``."""
    import numpy as np

    from hamlearn.arguments import require_number

    try:
        if ":" in text:
            start, stop, count = text.split(":")
            ends, steps = [float(start), float(stop)], int(count)
        else:
            ends, steps = [float(part) for part in text.split(",")], 0
    except ValueError as error:
        raise HamlearnError(f"beta is a number, a list 0.2,0.4, or start:stop:count such as 0.1:1.0:10; got {text!r}.") from error
    if ":" in text and not 1 <= steps <= _MOST_BETAS:
        raise HamlearnError(f"beta as start:stop:count takes a count from 1 to {_MOST_BETAS}; got {text!r}.")
    for value in ends:
        require_number(value, "beta (inverse temperature 1/T)", above=0)
    return [float(value) for value in np.linspace(ends[0], ends[1], steps)] if steps else ends


def read_sizes(text: str | None) -> list[int] | None:
    """Extents from text such as ``8,16,32``, or None."""
    try:
        return None if text is None else [int(size) for size in text.split(",")]
    except ValueError as error:
        raise HamlearnError(f"sizes are written like 8,16,32; got {text!r}.") from error


def read_powers(text: str) -> tuple[int, ...]:
    """Powers of a field from text such as ``2,4``."""
    try:
        return tuple(int(power) for power in text.split(","))
    except ValueError as error:
        raise HamlearnError(f"powers are written like 2,4; got {text!r}.") from error


def read_names(text: str | None, option: str, example: str) -> list[str] | None:
    """Comma-separated names, or None."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise HamlearnError(f"{option} takes names separated by commas, such as {example}; got {text!r}.")
    return names


def read_column(text: str | None) -> int | str | None:
    """A column's number or its name."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return text


def read_labels(text: str | None) -> list[str] | dict[str, list[str]] | None:
    """All states in their order, of all columns (``no,yes``) or by column (``smoker=no,yes;calm=1,2,3``).

    Examples
    --------
    >>> read_labels("no, yes"), read_labels("smoker=no,yes;calm=1,2,3")
    (['no', 'yes'], {'smoker': ['no', 'yes'], 'calm': ['1', '2', '3']})
    """
    return (
        None
        if text is None
        else _by_column(text, "--labels lists states in their order, such as no,yes, or by column, smoker=no,yes;calm=1,2,3")
    )


def read_missing(text: str | None) -> list[str] | dict[str, list[str]] | None:
    """Codes that stand for no answer, in all columns (``99,-9``) or by column (``calm=99;age=-9,-8``).

    Examples
    --------
    >>> read_missing("99, -9"), read_missing("calm=99;age=-9,-8")
    (['99', '-9'], {'calm': ['99'], 'age': ['-9', '-8']})
    """
    return None if text is None else _by_column(text, "--missing lists codes for no answer, such as 99,-9, or by column, calm=99;age=-9,-8")


def _by_column(text: str, what: str) -> list[str] | dict[str, list[str]]:
    """Words of all columns, or by column; an error that begins with `what` where it is neither."""
    parts, named = [part.rpartition("=") for part in text.split(";")], "=" in text
    found = {name.strip(): [word.strip() for word in words.split(",")] for name, _, words in parts}
    if not all(map(all, found.values())) or ("" in found) == named or len(found) < len(parts):
        raise HamlearnError(f"{what}; got {text!r}.")
    return found if named else found[""]


def read_scores(text: str | None, data: Any) -> list[Any]:
    """What ordered states count: alike for all sites (``0,1,3``), a row for every site (``0,1,3;0,1``), or by name (``calm=0,1,3``).

    A site that is not named keeps equal steps, which an empty row stands for.

    Examples
    --------
    >>> import hamlearn as hl
    >>> answers = hl.microstates([[0, 2], [1, 0]], "states", names=["calm", "tired"])
    >>> read_scores("0, 1, 3", answers), read_scores("tired=0,1,3", answers)
    ([0.0, 1.0, 3.0], [[], [0.0, 1.0, 3.0]])
    """
    from hamlearn.data import names_of

    if text is None:
        return []
    parts = [part.rpartition("=") for part in text.split(";")]
    try:
        rows = [[float(number) for number in numbers.split(",")] for _, _, numbers in parts]
    except ValueError:
        rows = []
    given = [name.strip() for name, _, _ in parts]
    if not rows or len({not name for name in given}) > 1 or (given[0] and len(set(given)) < len(given)):
        raise HamlearnError(f"--scores lists what states count, such as 0,1,3, or by column, calm=0,1,3;tired=0,2,3; got {text!r}.")
    if not given[0]:
        return rows[0] if len(rows) == 1 else rows
    names = names_of(data)
    if unknown := [name for name in given if name not in names]:
        raise HamlearnError(
            f"--scores names {unknown[0]!r}, which is no column of these data: {', '.join(names[:8]) or 'they have no names'}."
        )
    by_name = dict(zip(given, rows, strict=True))
    return [by_name.get(name, []) for name in names]


def betas_of(text: str | None, files: list[Path]) -> list[float | None]:
    """One inverse temperature for every file."""
    betas: list[float | None] = [None] * len(files) if text is None else list(read_betas(text))
    if len(betas) != len(files):
        plural, several = "s" if len(files) > 1 else "", " each, in their order (repeat one that they share)" if len(files) > 1 else ""
        raise HamlearnError(f"{len(files)} file{plural} need one beta{several}, such as --beta {_example(files)}; got {len(betas)}.")
    return betas


def require_different(files: list[Path]) -> None:
    """Refuse a file that is given twice: its microstates would count twice."""
    for index, file in enumerate(files):
        if any(file.absolute() == other.absolute() for other in files[:index]):
            raise HamlearnError(f"{file} is given twice, and its microstates would count twice; give every file once.")


def group_names(files: list[Path]) -> list[str]:
    """What groups are called of which each has a file: by the names of files without their endings, or whole where those repeat.

    Examples
    --------
    >>> group_names([Path("day1/anna.csv"), Path("day1/ben.csv")])
    ['anna', 'ben']
    """
    stems = [file.name.split(".")[0] for file in files]
    return stems if len(set(stems)) == len(files) else list(map(str, files))


def require_groups(files: list[Path], by: str | None) -> None:
    """Refuse groups where there is one file: its own column, if it has one that names them, is no file."""
    from hamlearn import models

    if by is None or len(files) > 1:
        return
    models.Hierarchical(models.Couplings(None), by=by)  # refuses a word that cannot name groups
    raise HamlearnError(
        f"there is one {by} only, {group_names(files)[0]!r}: every file is a group. A table with a column {by!r} is cut into one file for "
        f"each, or learned in Python: hl.microstates(table.drop(columns={by!r}), ...).assign_coords({by}=('draw', table[{by!r}]))."
    )


def require_format(context: Any, files: list[Path]) -> None:
    """Refuse to be told what standard input holds where nothing is read from it: a file's ending says what that holds."""
    if context.get_parameter_source("stdin").name == "COMMANDLINE" and not any(map(is_stream, files)):
        raise HamlearnError("--format says what standard input holds; give - for a file, or leave it out: a file's ending says what it is.")


def _example(files: list[Path]) -> str:
    return ",".join(f"{0.2 + 0.1 * k:g}" for k in range(min(len(files), 4))) + (",…" if len(files) > 4 else "")


def require_own_options(context: Any, chosen: str, owners: dict[str, tuple[str, ...]], where: str) -> None:
    """Refuse options that describe something else than what was chosen: they would be ignored.

    Parameters
    ----------
    context : typer.Context
        The command line.
    chosen : str
        A system or a model.
    owners : dict
        What each option (by its parameter's name) describes.
    where : str
        How the choice reads at the shell.
    """
    spelled = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name, described in owners.items():
        source = context.get_parameter_source(name)
        if chosen not in described and source is not None and source.name == "COMMANDLINE":
            raise HamlearnError(f"{spelled[name]} describes {' and '.join(described)}; leave it out with {where}.")


def require_lattice_options(graph: str, shape: str | None, *, open_boundaries: bool) -> None:
    """Refuse what describes a lattice where none is named."""
    if graph in LATTICES:
        return
    for option, given in (("--shape", shape is not None), ("--open", open_boundaries)):
        if given:
            raise HamlearnError(f"{option} describes the lattice of --graph {', '.join(LATTICES)}; leave it out with --graph {graph}.")


def read_graph(name: str, data: Any, shape: str | None, periodic: bool) -> Any:
    """What ``--graph`` names: None for all pairs, a lattice, or the bonds in a file."""
    from hamlearn import storage
    from hamlearn.systems import lattice

    if name == "all":
        return None
    makers = dict(zip(LATTICES, (lattice.hypercubic, lattice.triangular, lattice.honeycomb), strict=True))
    if name in makers:
        extents = tuple(size for axis, size in data["state"].sizes.items() if axis not in ("beta", "chain", "draw"))
        if not shape and len(extents) < 2:
            raise HamlearnError(_no_extents(name, extents[0]))
        return makers[name](read_shape(shape) if shape else extents, periodic=periodic)
    if not Path(name).exists():
        raise HamlearnError(f"--graph is all, {', '.join(makers)}, or a file of bonds; there is no file {name!r}.")
    loaded = storage.read_states(name, plain=True)
    if not isinstance(loaded, storage.Table):
        return loaded["state"].values
    if loaded.missing is not None:
        row = int(loaded.missing.reshape(len(loaded.missing), -1).any(1).argmax())
        raise HamlearnError(f"{name} has a bond with an end that is empty, in row {row} (counted from 0): every bond has two sites.")
    named = loaded.values.ndim == 2 and not name.lower().endswith(_BINARY)
    return _bonds(loaded, data) if named else loaded.values


def _bonds(table: Any, data: Any) -> Any:
    """Bonds of a text: pairs of names where sites are called so, by numbers too; a first line with the name of a site is no header."""
    from hamlearn.data import names_of
    from hamlearn.storage.table import tell

    known, first, labels = set(names_of(data)), tuple(table.names or ()), table.labels or (None,) * table.values.shape[1]
    rows = [tuple(words[int(one)] if words else f"{one:.16g}" for words, one in zip(labels, row, strict=True)) for row in table.values]
    bond = bool(set(first) & known)
    if first and not bond:
        tell(table.where, "the first line, %s, is a header: no site is called so", ", ".join(first))
    pairs = [first, *rows] if bond else rows
    if bond or table.labels is not None:
        return pairs
    if not {one for pair in pairs for one in pair} <= known:
        return table.values
    tell(table.where, "its numbers are names of sites: the data have sites that are called so")
    return pairs


def _no_extents(graph: str, sites: int) -> str:
    """What to say where a lattice is asked for and rows are flat: one extent would make a chain of it."""
    cells, rest = divmod(sites, 2) if graph == "honeycomb" else (sites, 0)  # a honeycomb's unit cell holds two sites
    rows = max((k for k in range(2, int(cells**0.5) + 1) if cells % k == 0), default=None)
    example = f"--shape {rows}x{cells // rows}" if rows and not rest else "--shape with rows x columns, such as --shape 8x8"
    chain = f", or --shape {sites} if the sites are a chain" if graph == "square" else ""
    return f"--graph {graph} needs the lattice's extents, but the rows are flat ({sites} columns): add {example}{chain}."
