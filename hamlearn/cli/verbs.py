"""The commands: what each takes, and what it does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hamlearn.cli import answers, auditing, calibrating, documents, learning, reporting, transition
from hamlearn.cli.answers import Csv, Group, Json, Output, Posterior, Seed, Strict, end, load
from hamlearn.cli.keeping import checkpoint_of, keep, require_target, say
from hamlearn.cli.options import one_of, read_betas, read_names, read_shape, require_own_options
from hamlearn.cli.signals import tell
from hamlearn.cli.streams import is_stream
from hamlearn.cli.work import Work
from hamlearn.errors import HamlearnError, choice

SYSTEMS = ("ising", "edwards-anderson", "clock", "potts", "xy", "heisenberg", "double-well", "scalar-field")
OF_SYSTEMS = {
    "q": ("clock", "potts"),
    "coupling": ("ising", "clock", "potts", "xy", "heisenberg"),
    "field": ("ising", "edwards-anderson"),
    "disorder": ("edwards-anderson",),
    "lam": ("double-well", "scalar-field"),
    "mu": ("double-well",),
    "m2": ("scalar-field",),
}
# The registry's names, in its order, without importing it: --help answers at once. A test compares them.
SAMPLERS = (
    "own",
    "exact",
    "kawasaki",
    "swendsen_wang",
    "wolff",
    "overrelaxation",
    "block_gibbs",
    "heat_bath",
    "kinks",
    "hmc",
    "tempering",
    "metropolis",
)
DEFAULT_SHAPE = "8x8"

app = typer.Typer(
    name="hamlearn",
    help="The interactions behind observed states, with error bars that cover.\n\n"
    "Compiled code is kept in hamlearn/jax of the user's folder for caches (at most 256 MB), or where JAX_COMPILATION_CACHE_DIR says.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Betas = Annotated[str, typer.Option(help="Inverse temperatures: 0.5, a list 0.2,0.4, or start:stop:count.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        import hamlearn

        typer.echo(hamlearn.__version__)
        raise typer.Exit


@app.command()
def simulate(
    context: typer.Context,
    system: Annotated[str, typer.Argument(**one_of(*SYSTEMS))],
    output: Output,
    shape: Annotated[str, typer.Option(help="Lattice extents, for example 8x8.")] = DEFAULT_SHAPE,
    beta: Betas = "0.4",
    draws: Annotated[int, typer.Option(help="Microstates per chain.", min=1)] = 1000,
    chains: Annotated[int, typer.Option(help="Independent chains.", min=1)] = 4,
    q: Annotated[int, typer.Option(help="States of a clock or Potts site.")] = 3,
    coupling: Annotated[float, typer.Option("--J", help="Coupling of ising, clock, potts, xy and heisenberg.")] = 1.0,
    field: Annotated[float, typer.Option("--h", help="Field on every Ising or glass spin.")] = 0.0,
    disorder: Annotated[int, typer.Option(help="Seed of a glass's couplings.", min=0, max=2**31 - 1)] = 0,
    lam: Annotated[float, typer.Option(help="Quartic strength of double-well (V = lam/4 (x² − mu²/lam)²) and scalar-field.")] = 4.0,
    mu: Annotated[float, typer.Option(help="Of double-well: its minima are at ±mu/sqrt(lam).")] = 2.8,
    m2: Annotated[float, typer.Option(help="Squared mass of scalar-field.")] = -4.0,
    sampler: Annotated[str, typer.Option(**one_of("auto", *SAMPLERS))] = "auto",
    seed: Seed = 0,
) -> None:
    """Draw microstates of a known system into a file, or a .zarr folder larger than memory; an interrupted run resumes when called."""
    import hamlearn as hl
    from hamlearn import storage

    work = context.ensure_object(Work)
    require_own_options(context, choice(system, SYSTEMS, "system"), OF_SYSTEMS, f"a system {system}")
    extents, betas = read_shape(shape), read_betas(beta)
    if system == "double-well" and len(extents) > 1 and shape != DEFAULT_SHAPE:
        raise HamlearnError(f"a path has one extent, its time slices: --shape {extents[0]}, not {shape}.")
    require_target(output)
    makers: dict[str, Any] = {
        "ising": lambda: hl.systems.Ising(extents, J=coupling, h=field),
        "edwards-anderson": lambda: hl.systems.EdwardsAnderson(extents, seed=disorder, h=field),
        "clock": lambda: hl.systems.Clock(extents, q, J=coupling),
        "potts": lambda: hl.systems.Potts(extents, q, J=coupling),
        "xy": lambda: hl.systems.XY(extents, J=coupling),
        "heisenberg": lambda: hl.systems.Heisenberg(extents, J=coupling),
        "double-well": lambda: hl.systems.Path(extents[0], hl.systems.DoubleWell(lam, mu)),
        "scalar-field": lambda: hl.systems.ScalarField(extents, m2=m2, lam=lam),
    }
    streams = output.suffix == ".zarr"
    data = hl.simulate(
        makers[system](),
        beta=betas if len(betas) > 1 else betas[0],
        draws=draws,
        chains=chains,
        seed=seed,
        sampler=context.params["sampler"],
        out=output if streams else None,
        checkpoint=None if streams else checkpoint_of(output),
    )
    if streams:
        work.written.append(output)
    else:
        keep(work, lambda path: storage.write_dataset(data, path), output)
    shown = lambda value: round(value, 3) if isinstance(value, float) else value
    facts = ", ".join(f"{key} {shown(data.attrs[key])}" for key in ("sampler", "acceptance", "tau_int", "ess") if key in data.attrs)
    say(f"{chains} chains of {draws} microstates: {facts}", output=output)


app.command()(learning.learn)
app.command()(answers.verdict)
app.command()(answers.summary)


@app.command()
def predict(
    context: typer.Context,
    posterior: Posterior,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the result is kept, if anywhere; - is standard output.")
    ] = None,
    beta: Betas = "0.1:1.0:10",
    group: Group = None,
    shape: Annotated[str | None, typer.Option(help="Another lattice size, for tied parameters.")] = None,
    observables: Annotated[str | None, typer.Option(help="Comma-separated; all but correlation by default.")] = None,
    draws: Annotated[int, typer.Option(help="Hamiltonians drawn from the posterior.", min=1, max=100_000)] = 64,
    level: Annotated[float, typer.Option(help="Probability of the bands.")] = 0.9,
    as_json: Json = False,
    as_csv: Csv = False,
    strict: Strict = False,
    seed: Seed = 0,
) -> None:
    """Thermodynamics per site at other temperatures, with bands."""
    import hamlearn as hl
    from hamlearn import storage
    from hamlearn.arguments import require_number

    work = context.ensure_object(Work)
    betas, extents = read_betas(beta), None if shape is None else read_shape(shape)
    names = read_names(observables, "--observables", "energy,heat_capacity")
    require_number(level, "--level", above=0, below=1)
    form = documents.form(as_json=as_json, as_csv=as_csv, streamed=is_stream(output))
    if output is not None:
        require_target(output, inputs=[posterior])
    result = hl.predict(load(posterior), betas, shape=extents, observables=names, draws=draws, level=level, seed=seed, group=group)
    if output is not None:
        keep(work, lambda path: storage.write_dataset(result, path), output)
    if form == "text":
        say(documents.prediction_text(result), output=output)
    else:
        say({"json": documents.prediction_json, "csv": documents.prediction_csv}[form](result))
    if group is None and "group" in result.attrs:
        tell("note: predicted is a group that was not observed; --group names one that was")
    if "warning" in result.attrs:
        tell(f"warning: {result.attrs['warning']}")
    end(result.attrs["verdict"], strict=strict)


@app.command()
def plan(
    posterior: Posterior,
    width: Annotated[float | None, typer.Option(help="Wanted width of the intervals of strengths, from end to end.")] = None,
    effect: Annotated[float | None, typer.Option(help="Size of a strength that is to be told from zero.")] = None,
    power: Annotated[float, typer.Option(help="With which probability.")] = 0.8,
    beta: Annotated[
        str | None, typer.Option(help="Inverse temperatures to compare, as of predict; around that of the data by default.")
    ] = None,
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    tau: Annotated[float, typer.Option(help="Autocorrelation time of the rows to come, in rows.")] = 1.0,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """How many microstates it takes, and at which temperature, if a pilot's posterior is about right."""
    import hamlearn as hl

    betas = None if beta is None else read_betas(beta)
    found = hl.plan(load(posterior), width=width, effect=effect, power=power, beta=betas, level=level, tau=tau, seed=seed)
    say(documents.plan_json(found) if as_json else found)


app.command()(transition.critical)
app.command()(auditing.audit)
app.command()(calibrating.calibrate)


@app.command()
def extrapolate(
    context: typer.Context,
    posteriors: Annotated[list[Path], typer.Argument(help="Posteriors that `hamlearn learn` wrote, one a temperature.")],
    output: Output,
    beta: Annotated[float, typer.Option(help="The wanted inverse temperature.")],
    fixed: Annotated[str, typer.Option(help="Of a path: sites (a = beta/N_tau) or spacing (N_tau = beta/a).")] = "sites",
    strict: Strict = False,
    seed: Seed = 0,
) -> None:
    """A posterior over actions at a temperature that was not observed, with a verdict on how far to trust it."""
    import hamlearn as hl
    from hamlearn.arguments import require_number

    work = context.ensure_object(Work)
    require_number(beta, "--beta", above=0)
    require_target(output, inputs=posteriors)
    post = hl.extrapolate([load(file) for file in posteriors], beta, fixed=choice(fixed, ("sites", "spacing"), "--fixed"), seed=seed)
    keep(work, lambda path: hl.save(post, path), output)
    found = hl.verdict(post)
    say(found, output=output)
    end(found.level, strict=strict)


app.command()(reporting.report)


@app.command()
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("hamlearn-demo"),
    seed: Seed = 0,
) -> None:
    """A glass nobody knows: simulate, learn, judge, predict, report; under a minute."""
    from hamlearn.cli import demo as steps

    steps.run(context.ensure_object(Work), folder, seed)
