"""The command ``calibrate``: whether the intervals of a posterior cover, at its own strengths and with as many data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from hamlearn.cli import documents
from hamlearn.cli.answers import DISBELIEVED, Json, Posterior, Seed, load
from hamlearn.cli.keeping import PAGES, RESULTS, checkpoint_of, keep, require_target, say, write_found
from hamlearn.cli.options import read_column, read_labels, read_missing, read_names, require_different
from hamlearn.cli.streams import is_stream, read_sets
from hamlearn.cli.work import Work
from hamlearn.errors import HamlearnError


def calibrate(
    context: typer.Context,
    posterior: Posterior,
    data: Annotated[
        list[Path] | None, typer.Option(help="The microstates it was learned from: the check is then exact, whatever the prior.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A page (.html), or the posterior with what was found in it (.nc, .zarr).")
    ] = None,
    sets: Annotated[int, typer.Option(help="Data sets that are simulated and learned.", min=10)] = 50,
    threads: Annotated[int, typer.Option(help="How many at the same time.", min=1)] = 1,
    as_json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 where intervals do not cover.")] = False,
    space: Annotated[str | None, typer.Option(help="Of --data, as of learn; by default that of the posterior.")] = None,
    counts: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    variable: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    dims: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    labels: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    missing: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    seed: Seed = 0,
) -> None:
    """Do the intervals cover, here? Data simulated from the posterior are learned as it was, and truths counted."""
    import hamlearn as hl

    work, read = context.ensure_object(Work), list(data or ())
    require_different([posterior, *read])
    form = documents.form(as_json=as_json, streamed=is_stream(output))
    if output is not None:
        require_target(output, (*PAGES, *RESULTS), inputs=[posterior, *read])
    for name in ("space", "counts", "variable", "dims", "labels", "missing"):
        if context.params[name] is not None and not read:
            raise HamlearnError(f"--{name} says how the microstates of --data are read; give these too, or leave it out.")
    post = load(posterior)
    rules: dict[str, Any] = {"space": space or str(post.attrs["space"]), "counts": read_column(counts), "variable": variable}
    rules |= {"dims": read_names(dims, "--dims", "site,draw"), "labels": read_labels(labels), "missing": read_missing(missing)}
    given = read_sets(read, _betas(post, read), "csv", **rules) or None
    saved = None if output is None else checkpoint_of(output)
    with ThreadPoolExecutor(threads) as pool:
        shared = pool if threads > 1 else None
        found = hl.diagnostics.calibration.local(post, given, sets=sets, seed=seed, executor=shared, checkpoint=saved)
    if output is not None:
        keep(work, lambda path: write_found(found, path), output, quick=output.suffix in RESULTS)
    say(documents.calibration_json(found) if form == "json" else found, output=output if form == "text" else None)
    if strict and found.decision == "not calibrated":
        raise typer.Exit(DISBELIEVED)


def _betas(post: Any, files: list[Path]) -> list[float | None]:
    """The posterior's own inverse temperatures, one for every file that cannot say its own."""
    from hamlearn.infer import posteriors

    known = [float(one) for one in posteriors.observed_betas(post)] if int(post.attrs["beta_declared"]) else []
    said = [file.suffix in RESULTS for file in files]
    return [None if own or len(known) != len(files) else known[k] for k, own in enumerate(said)]
