"""The command ``calibrate``: whether the intervals of a posterior cover, at its own strengths and with as many data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from hamlearn.cli import documents
from hamlearn.cli.answers import DISBELIEVED, Json, Posterior, Seed, load
from hamlearn.cli.keeping import PAGES, RESULTS, checkpoint_of, keep, require_target, say, write_found
from hamlearn.cli.options import require_different
from hamlearn.cli.streams import is_stream
from hamlearn.cli.work import Work


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
    seed: Seed = 0,
) -> None:
    """Do the intervals cover, here? Data simulated from the posterior are learned as it was, and truths counted."""
    import hamlearn as hl

    work, read = context.ensure_object(Work), list(data or ())
    require_different([posterior, *read])
    form = documents.form(as_json=as_json, streamed=is_stream(output))
    if output is not None:
        require_target(output, (*PAGES, *RESULTS), inputs=[posterior, *read])
    post, given = load(posterior), [hl.microstates(one) for one in read] or None
    saved = None if output is None else checkpoint_of(output)
    with ThreadPoolExecutor(threads) as pool:
        shared = pool if threads > 1 else None
        found = hl.diagnostics.calibration.local(post, given, sets=sets, seed=seed, executor=shared, checkpoint=saved)
    if output is not None:
        keep(work, lambda path: write_found(found, path), output, quick=output.suffix in RESULTS)
    say(documents.calibration_json(found) if form == "json" else found, output=output if form == "text" else None)
    if strict and found.decision == "not calibrated":
        raise typer.Exit(DISBELIEVED)
