"""The verbs from a shell: ``hamlearn simulate | learn | predict | extrapolate | report | demo`` on files.

A user's mistake is one line on standard error and exit code 2, never a traceback. Everything heavy is imported inside
the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hamlearn.errors import HamlearnError, closest

MODELS = ("couplings", "clusters", "local-energy", "autoregressive", "dcl", "polynomial-action")
HIGHEST_POWER = 32

app = typer.Typer(
    name="hamlearn",
    help="The interactions behind observed states, with error bars that cover.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Output = Annotated[Path, typer.Option("-o", "--output", help="Where the result goes.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0, max=2**31 - 1)]
Betas = Annotated[str, typer.Option(help="Inverse temperatures: 0.5, a list 0.2,0.4, or start:stop:count.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        import hamlearn

        typer.echo(hamlearn.__version__)
        raise typer.Exit


@app.command()
def simulate(
    system: Annotated[str, typer.Argument(help="ising, edwards-anderson, clock, potts, xy, double-well or scalar-field.")],
    output: Output,
    shape: Annotated[str, typer.Option(help="Lattice extents, for example 8x8.")] = "8x8",
    beta: Betas = "0.4",
    draws: Annotated[int, typer.Option(help="Microstates per chain.")] = 1000,
    chains: Annotated[int, typer.Option(help="Independent chains.")] = 4,
    q: Annotated[int, typer.Option(help="States of a clock or Potts site.")] = 3,
    coupling: Annotated[float, typer.Option("--J", help="Coupling of ising, clock, potts and xy.")] = 1.0,
    field: Annotated[float, typer.Option("--h", help="Field on every Ising or glass spin.")] = 0.0,
    disorder: Annotated[int, typer.Option(help="Seed of a glass's couplings.")] = 0,
    lam: Annotated[float, typer.Option(help="Quartic strength of double-well (V = lam/4 (x² − mu²/lam)²) and scalar-field.")] = 4.0,
    mu: Annotated[float, typer.Option(help="Of double-well: its minima are at ±mu/sqrt(lam).")] = 2.8,
    m2: Annotated[float, typer.Option(help="Squared mass of scalar-field.")] = -4.0,
    sampler: Annotated[
        str, typer.Option(help="auto, exact, heat_bath, metropolis, wolff, swendsen_wang, tempering, hmc, kinks …")
    ] = "auto",
    seed: Seed = 0,
) -> None:
    """Draw microstates of a known system into a file; an interrupted run resumes when called again."""
    import hamlearn as hl
    from hamlearn import storage
    from hamlearn.checkpoint import watched
    from hamlearn.errors import choice

    storage.require_writable(output, (".nc", ".zarr"))
    extents = _shape(shape)
    makers: dict[str, Any] = {
        "ising": lambda: hl.systems.Ising(extents, J=coupling, h=field),
        "edwards-anderson": lambda: hl.systems.EdwardsAnderson(extents, seed=disorder, h=field),
        "clock": lambda: hl.systems.Clock(extents, q, J=coupling),
        "potts": lambda: hl.systems.Potts(extents, q, J=coupling),
        "xy": lambda: hl.systems.XY(extents, J=coupling),
        "double-well": lambda: hl.systems.Path(extents[0], hl.systems.DoubleWell(lam, mu)),
        "scalar-field": lambda: hl.systems.ScalarField(extents, m2=m2, lam=lam),
    }
    made = makers[choice(system, makers, "system")]()
    betas = _betas(beta)
    with watched() as checkpoints:
        data = hl.simulate(
            made,
            beta=betas if len(betas) > 1 else betas[0],
            draws=draws,
            chains=chains,
            seed=seed,
            sampler=sampler,
            checkpoint=output.with_name(output.name + ".checkpoint.npz"),
        )
    storage.write_dataset(data, output)
    for one in checkpoints:
        one.remove()
    facts = ", ".join(f"{key} {data.attrs[key]}" for key in ("sampler", "acceptance", "tau_int", "ess") if key in data.attrs)
    typer.echo(f"{chains} chains of {draws} microstates: {facts}\n{output}")


@app.command()
def learn(
    files: Annotated[list[Path], typer.Argument(help="Microstates: .nc .zarr .npz .npy .csv .h5; several files enter jointly.")],
    output: Output,
    space: Annotated[str | None, typer.Option(help="spins (±1), bits (0/1), states (0 … q−1), angles or reals.")] = None,
    beta: Annotated[
        str | None, typer.Option(help="Inverse temperature of each file; undeclared, couplings come out as beta times J.")
    ] = None,
    graph: Annotated[str, typer.Option(help="all (every pair), square, triangular, honeycomb, or a file of bonds (.csv, .npy).")] = "all",
    shape: Annotated[str | None, typer.Option(help="Lattice extents where the data are flat and --graph names a lattice: 8x8.")] = None,
    open_boundaries: Annotated[bool, typer.Option("--open", help="No periodic boundaries.")] = False,
    tie: Annotated[str, typer.Option(help="bond, uniform or distance.")] = "bond",
    fields: Annotated[str, typer.Option(help="site, uniform or none.")] = "site",
    prior: Annotated[str | None, typer.Option(help="normal, laplace, horseshoe or spike_slab.")] = None,
    likelihood: Annotated[str, typer.Option(help="auto, exact, pseudo, screening, rise, logrise.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, mle, map, laplace, nuts, gibbs.")] = "auto",
    calibrate: Annotated[bool, typer.Option(help="Correct error bars so that they cover.")] = True,
    check: Annotated[bool, typer.Option(help="Compare with held-out data for the verdict.")] = True,
    counts: Annotated[str | None, typer.Option(help="Column of a table that holds counts: its name, or its number from 0.")] = None,
    model: Annotated[str, typer.Option(help="couplings, clusters, local-energy, autoregressive, dcl or polynomial-action.")] = "couplings",
    window: Annotated[int, typer.Option(help="Extent of the window of clusters and of a local energy.")] = 3,
    powers: Annotated[str, typer.Option(help="Powers of the field in a polynomial action, comma-separated.")] = "2,4",
    neighbour: Annotated[str, typer.Option(help="Neighbour term of a polynomial action: difference or product.")] = "difference",
    seed: Seed = 0,
) -> None:
    """Learn interactions from observed microstates; by default couplings between all pairs, with fields."""
    import hamlearn as hl
    from hamlearn import storage
    from hamlearn.errors import choice

    choice(model, MODELS, "--model")
    _own_options(model, (graph, shape, tie, fields, prior), open_boundaries=open_boundaries, neighbour=neighbour)
    storage.require_writable(output, (".nc", ".zarr"))
    betas: list[float | None] = [None] * len(files) if beta is None else list(_betas(beta))
    if len(betas) != len(files):
        plural, several = "s" if len(files) > 1 else "", " each, in their order (repeat one that they share)" if len(files) > 1 else ""
        raise HamlearnError(f"{len(files)} file{plural} need one beta{several}, such as --beta {_example(files)}; got {len(betas)}.")
    column: Any = None if counts is None else int(counts) if counts.lstrip("-").isdigit() else counts
    data = [hl.microstates(file, space=space, beta=value, counts=column) for file, value in zip(files, betas, strict=True)]
    makers: dict[str, Any] = {
        "couplings": lambda: hl.models.Couplings(
            _graph(graph, data[0], shape, not open_boundaries), tie=tie, fields=None if fields == "none" else fields, prior=prior
        ),
        "clusters": lambda: hl.models.Clusters(window=window),
        "local-energy": lambda: hl.models.LocalEnergy(window=window),
        "autoregressive": lambda: hl.models.Autoregressive(),
        "dcl": lambda: hl.models.DCL(),
        "polynomial-action": lambda: hl.models.PolynomialAction(powers=_powers(powers), periodic=not open_boundaries, neighbour=neighbour),
    }
    _warn_of_axes(data)
    made = makers[model]()
    post = hl.learn(data, made, likelihood=likelihood, engine=engine, calibrate=calibrate, seed=seed, check=check)
    typer.echo(hl.verdict(post))
    typer.echo(str(_keep(post, output)))


@app.command()
def predict(
    posterior: Annotated[Path, typer.Argument(help="A posterior that `hamlearn learn` wrote.")],
    output: Output,
    beta: Betas = "0.1:1.0:10",
    shape: Annotated[str | None, typer.Option(help="Another lattice size, for tied parameters.")] = None,
    observables: Annotated[str | None, typer.Option(help="Comma-separated; all but correlation by default.")] = None,
    members: Annotated[int, typer.Option(help="Hamiltonians drawn from the posterior.")] = 64,
    level: Annotated[float, typer.Option(help="Probability of the bands.")] = 0.9,
    seed: Seed = 0,
) -> None:
    """Thermodynamics per site at other temperatures, with bands."""
    import hamlearn as hl
    from hamlearn import storage

    storage.require_writable(output, (".nc", ".zarr"))
    post = hl.load(posterior)
    names = None if observables is None else [name.strip() for name in observables.split(",")]
    result = hl.predict(
        post, _betas(beta), shape=None if shape is None else _shape(shape), observables=names, members=members, level=level, seed=seed
    )
    storage.write_dataset(result, output)
    shown = [name for name in result.data_vars if result[name].ndim == 2]
    typer.echo("beta     " + "".join(f"{name!s:>34}" for name in shown))
    for index, value in enumerate(result["beta"].values):
        cells = [result[name].isel(beta=index).sel(quantity=["mean", "lower", "upper"]).values for name in shown]
        typer.echo(f"{value:<9.4g}" + "".join(f"{f'{mean:.4f} [{low:.4f}, {high:.4f}]':>34}" for mean, low, high in cells))
    if "warning" in result.attrs:
        typer.echo(f"warning: {result.attrs['warning']}", err=True)
    typer.echo(str(output))


@app.command()
def extrapolate(
    posteriors: Annotated[list[Path], typer.Argument(help="Posteriors that `hamlearn learn` wrote, one a temperature.")],
    output: Output,
    beta: Annotated[float, typer.Option(help="The wanted inverse temperature.")],
    fixed: Annotated[str, typer.Option(help="Of a path: sites (a = beta/N_tau) or spacing (N_tau = beta/a).")] = "sites",
    seed: Seed = 0,
) -> None:
    """A posterior over actions at a temperature that was not observed, with a verdict on how far to trust it."""
    import hamlearn as hl
    from hamlearn import storage

    storage.require_writable(output, (".nc", ".zarr"))
    post = hl.extrapolate([hl.load(file) for file in posteriors], beta, fixed=fixed, seed=seed)
    typer.echo(hl.verdict(post))
    typer.echo(str(_keep(post, output)))


@app.command()
def report(
    posterior: Annotated[Path, typer.Argument(help="A posterior that `hamlearn learn` wrote.")],
    output: Output,
    prediction: Annotated[Path | None, typer.Option(help="A prediction that `hamlearn predict` wrote, to show.")] = None,
) -> None:
    """One self-contained HTML page: verdict, couplings, predictions, checks, provenance."""
    import hamlearn as hl
    from hamlearn import storage

    storage.require_writable(output, (".html", ".htm"))
    curve = None if prediction is None else storage.read_dataset(prediction)
    if curve is not None and not {"beta", "quantity"} <= set(curve.dims):
        raise HamlearnError(f"{prediction} holds no prediction; make one with `hamlearn predict`.")
    typer.echo(str(hl.report(hl.load(posterior), output, prediction=curve)))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("hamlearn-demo"),
    seed: Seed = 0,
) -> None:
    """A glass nobody knows: simulate, learn, judge, predict, report; under a minute."""
    import time

    import numpy as np

    import hamlearn as hl
    from hamlearn import storage

    started = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HamlearnError(f"cannot make the folder {folder}: {error.strerror}.") from error
    storage.require_writable(folder / "report.html", (".html",))
    glass = hl.systems.EdwardsAnderson((6, 6), seed=20261120 + seed)
    typer.echo("1 simulate  a 6x6 Gaussian glass at beta = 0.7, 4 chains of 2000 microstates")
    data = hl.simulate(glass, beta=0.7, draws=2000, chains=4, seed=seed, sampler="heat_bath", thin=12)
    storage.write_dataset(data, folder / "microstates.nc")
    typer.echo("2 learn     72 couplings and no fields from the microstates alone")
    post = hl.learn(data, hl.models.Couplings(glass.lattice, fields=None), seed=seed)
    hl.save(post, folder / "posterior.nc")
    typer.echo(f"\n{hl.verdict(post)}\n")
    draws = post["posterior"]["J"].stack(sample=("chain", "draw"))
    inside = ((draws.quantile(0.05, "sample") < glass.J) & (glass.J < draws.quantile(0.95, "sample"))).sum().item()
    deviation = float(np.sqrt(((draws.mean("sample") - glass.J) ** 2).mean()))
    typer.echo(
        f"  against the truth: rms error {deviation:.3f}; {inside} of {glass.lattice.n_bonds} true couplings inside their 90 % intervals"
    )
    typer.echo("3 predict   thermodynamics from beta = 0.1 to 1.5")
    curve = hl.predict(post, np.linspace(0.1, 1.5, 15), seed=seed)
    storage.write_dataset(curve, folder / "prediction.nc")
    exact = hl.systems.exact.thermodynamics(glass, curve["beta"].values)
    within = (
        (
            (curve["heat_capacity"].sel(quantity="lower") <= exact["heat_capacity"])
            & (exact["heat_capacity"] <= curve["heat_capacity"].sel(quantity="upper"))
        )
        .sum()
        .item()
    )
    typer.echo(f"  heat capacity: the exact curve lies inside the 90 % band at {within} of {curve.sizes['beta']} temperatures")
    typer.echo("4 report")
    page = hl.report(post, folder / "report.html", prediction=curve, title="A glass nobody knew")
    typer.echo(f"  {page} ({time.perf_counter() - started:.0f} s in all)")


def _own_options(model: str, of_couplings: tuple[Any, ...], *, open_boundaries: bool, neighbour: str) -> None:
    """Refuse options that describe another model: they would be ignored."""
    if model != "couplings" and of_couplings != ("all", None, "bond", "site", None):
        raise HamlearnError(f"--graph, --shape, --tie, --fields and --prior describe couplings; leave them out with --model {model}.")
    if open_boundaries and model not in ("couplings", "polynomial-action"):
        raise HamlearnError(f"--open describes the lattice of couplings and of a polynomial action; leave it out with --model {model}.")
    if neighbour != "difference" and model != "polynomial-action":
        raise HamlearnError(f"--neighbour describes a polynomial action; leave it out with --model {model}.")


def _example(files: list[Path]) -> str:
    return ",".join(f"{0.2 + 0.1 * k:g}" for k in range(min(len(files), 4))) + (",…" if len(files) > 4 else "")


def _warn_of_axes(sets: list[Any]) -> None:
    """Say so where a table looks as if it had one site a row: what is learned from it then means nothing."""
    for data in sets:
        state = data["state"]
        rows, sites = state.shape[0] * state.shape[1], state[0, 0].size if "beta" not in state.dims else 0
        if state.ndim == 3 and "count" not in data and 5 * rows < sites:
            logging.getLogger("hamlearn").warning(
                "%d microstates of %d sites: every row is read as one microstate; if rows are sites, transpose the table", rows, sites
            )


def _keep(post: Any, output: Path) -> Path:
    """Save a posterior; where that fails (a full disk), keep it in the temporary folder rather than lose it."""
    import tempfile

    import hamlearn as hl

    try:
        return hl.save(post, output)
    except HamlearnError as error:
        try:
            kept = hl.save(post, Path(tempfile.mkdtemp(prefix="hamlearn-")) / output.name)
        except (HamlearnError, OSError):
            raise error from None
        raise HamlearnError(f"{error} It was kept in {kept}.") from error


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.lower().replace(",", "x").split("x"))
    except ValueError as error:
        raise HamlearnError(f"a shape is written like 8x8 or 16; got {text!r}.") from error


def _betas(text: str) -> list[float]:
    import numpy as np

    try:
        if ":" in text:
            start, stop, count = text.split(":")
            return np.linspace(float(start), float(stop), int(count)).tolist()
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise HamlearnError(f"beta is a number, a list 0.2,0.4, or start:stop:count such as 0.1:1.0:10; got {text!r}.") from error


def _powers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(power) for power in text.split(","))
    except ValueError as error:
        raise HamlearnError(f"powers are written like 2,4; got {text!r}.") from error
    if max(found) > HIGHEST_POWER:
        raise HamlearnError(f"powers go up to {HIGHEST_POWER}: higher ones of ordinary fields are beyond any float; got {text!r}.")
    return found


def _graph(name: str, data: Any, shape: str | None, periodic: bool) -> Any:
    from hamlearn import storage
    from hamlearn.systems import lattice

    if name == "all":
        return None
    makers = {"square": lattice.hypercubic, "triangular": lattice.triangular, "honeycomb": lattice.honeycomb}
    if name in makers:
        extents = tuple(size for axis, size in data["state"].sizes.items() if axis not in ("beta", "chain", "draw"))
        if not shape and len(extents) < 2:
            raise HamlearnError(_no_extents(name, extents[0]))
        return makers[name](_shape(shape) if shape else extents, periodic=periodic)
    if not Path(name).exists():
        raise HamlearnError(f"--graph is all, {', '.join(makers)}, or a file of bonds; there is no file {name!r}.")
    loaded = storage.read_states(name)
    return loaded["state"] if isinstance(loaded, dict) else loaded["state"].values


def _no_extents(graph: str, sites: int) -> str:
    """What to say where a lattice is asked for and rows are flat: one extent would make a chain of it."""
    cells, rest = divmod(sites, 2) if graph == "honeycomb" else (sites, 0)  # a honeycomb's unit cell holds two sites
    rows = max((k for k in range(2, int(cells**0.5) + 1) if cells % k == 0), default=None)
    example = f"--shape {rows}x{cells // rows}" if rows and not rest else "--shape with rows x columns, such as --shape 8x8"
    chain = f", or --shape {sites} if the sites are a chain" if graph == "square" else ""
    return f"--graph {graph} needs the lattice's extents, but the rows are flat ({sites} columns): add {example}{chain}."


def main() -> None:
    """Entry point of the ``hamlearn`` command."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("hamlearn").setLevel(logging.INFO)
    command = typer.main.get_command(app)
    try:
        code = command.main(prog_name="hamlearn", standalone_mode=False)
    except HamlearnError as error:
        _stop(str(error))
    except KeyboardInterrupt:
        _stop("interrupted; a simulation resumes when the same command is run again.", 130)
    except MemoryError:
        _stop("out of memory; use fewer microstates, members or a smaller lattice.")
    except Exception as mistake:
        message = getattr(mistake, "format_message", None)  # the command line's own usage errors
        if message is None:
            raise
        if (name := getattr(mistake, "option_name", None)) is not None and hasattr(mistake, "possibilities"):
            near = closest(name, mistake.possibilities or ())
            _stop(f"there is no option {name}." + (f" Did you mean {near}?" if near else " See --help."))
        _stop(message())
    sys.exit(code if isinstance(code, int) else 0)


def _stop(message: str, code: int = 2) -> None:
    typer.echo(f"hamlearn: {' '.join(message.split())}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
