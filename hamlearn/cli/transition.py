"""The command ``critical``: where a transition is, of microstates in files or of a posterior."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hamlearn.cli import documents
from hamlearn.cli.answers import Json, Seed, load
from hamlearn.cli.keeping import PAGES, keep, require_target, say
from hamlearn.cli.options import betas_of, one_of, read_betas, read_sizes, require_different, require_format, require_own_options
from hamlearn.cli.streams import is_stream, read_sets
from hamlearn.cli.work import Work
from hamlearn.errors import HamlearnError, choice

if TYPE_CHECKING:
    import xarray as xr

SYSTEMS = ("ising", "clock", "potts", "xy", "heisenberg")
_MICROSTATES, _POSTERIOR = "microstates", "a posterior"
_OF: dict[str, tuple[str, ...]] = dict.fromkeys(("q", "dimension", "space", "variable", "independent", "stdin"), (_MICROSTATES,))
_OF |= dict.fromkeys(("sizes", "draws", "chains"), (_POSTERIOR,))
_OF_SYSTEMS: dict[str, tuple[str, ...]] = {"q": ("clock", "potts")}
_NAMED = one_of(*SYSTEMS) | {"help": f"What microstates are of, its strength the unit of temperature: {', '.join(SYSTEMS)}."}


def critical(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(help="Microstates of several sizes and temperatures (with --system), or one posterior; - is standard input."),
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A page (.html); - is standard output.")] = None,
    system: Annotated[str | None, typer.Option(**_NAMED)] = None,
    q: Annotated[int, typer.Option(help="States of a clock or Potts site.")] = 3,
    beta: Annotated[
        str | None, typer.Option(help="Inverse temperature of each file that does not know it; of a posterior, those to simulate.")
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(help="Of the lattice whose sites are the columns of flat rows: 2 makes 64 columns 8x8.", min=1)
    ] = None,
    space: Annotated[str | None, typer.Option(help="spins (±1), bits (0/1), states (0 … q−1), angles or vectors.")] = None,
    variable: Annotated[str | None, typer.Option(help="Which array of a file of several the states are.")] = None,
    independent: Annotated[bool, typer.Option("--independent", help="Rows are no chain: their order means nothing.")] = False,
    stdin: Annotated[str, typer.Option("--format", help="What standard input holds, as of learn.")] = "csv",
    sizes: Annotated[str | None, typer.Option(help="Of a posterior: extents to simulate, 8,12,16,24,32 by default.")] = None,
    draws: Annotated[int, typer.Option(help="Of a posterior: microstates of every chain.", min=1)] = 2000,
    chains: Annotated[int, typer.Option(help="Of a posterior: chains of every size and temperature.", min=1)] = 4,
    transition: Annotated[str, typer.Option(**one_of("auto", "second_order", "kosterlitz_thouless"))] = "auto",
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Where is T_c? Crossings over sizes and finite-size scaling, with intervals."""
    import hamlearn as hl

    work, given = context.ensure_object(Work), _MICROSTATES if system else _POSTERIOR
    require_own_options(context, given, _OF, f"{given}{'' if system else ' (--system says what microstates are of)'}")
    if system is None and len(files) > 1:
        raise HamlearnError(f"{len(files)} files are microstates, which do not know their energy: say --system {', '.join(SYSTEMS)}.")
    require_different(files)
    require_format(context, files)
    form = documents.form(as_json=as_json, streamed=is_stream(output))
    if output is not None:
        require_target(output, PAGES, inputs=files)
    chosen: dict[str, Any] = {"transition": transition, "level": level, "seed": seed}
    if system is None:
        wanted: dict[str, Any] = {"sizes": read_sizes(sizes), "beta": None if beta is None else read_betas(beta)}
        found = hl.critical_point(_posterior(files[0]), **wanted, draws=draws, chains=chains, **chosen)
    else:
        rules: dict[str, Any] = {"space": space, "variable": variable, "independent": independent}
        make = _maker(system, q)
        require_own_options(context, system, _OF_SYSTEMS, f"--system {system}")
        sets = read_sets(files, betas_of(beta, files), stdin, **rules)
        found = hl.critical_point([_folded(one, dimension) for one in sets], system=make, **chosen)
    if output is not None:
        keep(work, lambda path: hl.report(found, path), output, quick=False, ending=PAGES[0])
    say(documents.critical_json(found) if form == "json" else found, output=output if form == "text" else None)


def _posterior(file: Path) -> Any:
    try:
        return load(file)
    except HamlearnError as error:
        asks = f" Of microstates say what they are of: --system {', '.join(SYSTEMS)}." if is_stream(file) or file.exists() else ""
        raise HamlearnError(f"{error}{asks}") from error


def _maker(name: str, q: int) -> Any:
    """``(shape)`` → system of unit strength."""
    from hamlearn import systems

    makers: dict[str, Any] = {
        "ising": systems.Ising,
        "clock": lambda shape: systems.Clock(shape, q),
        "potts": lambda shape: systems.Potts(shape, q),
        "xy": systems.XY,
        "heisenberg": systems.Heisenberg,
    }
    return makers[choice(name, SYSTEMS, "--system")]


def _folded(data: xr.Dataset, dimension: int | None) -> xr.Dataset:
    """Flat rows as the sites of a lattice of equal extents, in C order."""
    from hamlearn.data import folded, site_shape

    shape = site_shape(data)
    if dimension is None and len(shape) == 1:
        raise HamlearnError(f"rows of {shape[0]} sites are flat: of a square lattice say --dimension 2, of a cubic one 3, of a chain 1.")
    if dimension is None or len(shape) == dimension:
        return data
    size = round(shape[0] ** (1 / dimension))
    if len(shape) > 1 or size**dimension != shape[0]:
        raise HamlearnError(f"--dimension {dimension} takes rows of L^{dimension} sites; got sites {shape}.")
    return folded(data, dimension * (size,))
