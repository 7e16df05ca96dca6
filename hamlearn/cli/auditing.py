"""The command ``audit``: microstates of a model, or those that a posterior makes, beside microstates that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hamlearn.cli import documents
from hamlearn.cli.answers import DISBELIEVED, Json, Seed, load
from hamlearn.cli.keeping import PAGES, RESULTS, keep, require_target, say, write_found
from hamlearn.cli.options import betas_of, read_betas, read_labels, read_missing, read_names, require_different, require_own_options
from hamlearn.cli.streams import is_stream, read_from, read_sets
from hamlearn.cli.work import Work
from hamlearn.errors import HamlearnError

_POSTERIOR, _MICROSTATES = "a posterior", "microstates"
_OF: dict[str, tuple[str, ...]] = {"draws": (_POSTERIOR,)}

Model = Annotated[list[Path], typer.Argument(help="What is judged: one posterior, or files of microstates that a model made.")]
Reference = Annotated[
    list[Path], typer.Option(help="Microstates that are right: data that the model was not trained on, or a trusted simulation.")
]
Training = Annotated[
    list[Path] | None,
    typer.Option(help="Microstates that the model was trained on, to ask whether it repeats them: other than --reference."),
]
Read = "Of microstates, as of learn."


def audit(
    context: typer.Context,
    model: Model,
    reference: Reference,
    training: Training = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A page (.html), or of a posterior itself with the audit in it (.nc, .zarr).")
    ] = None,
    beta: Annotated[str | None, typer.Option(help="Inverse temperature of all microstates that do not know it.")] = None,
    used_at: Annotated[
        str | None, typer.Option("--used-at", help="Inverse temperatures the model is going to be used at: which do the data support?")
    ] = None,
    draws: Annotated[int | None, typer.Option(help="Of a posterior: microstates that are drawn from it.", min=2)] = None,
    level: Annotated[float, typer.Option(help="Share of false discoveries that is allowed.")] = 0.01,
    space: Annotated[str | None, typer.Option(help=Read)] = None,
    variable: Annotated[str | None, typer.Option(help=Read)] = None,
    dims: Annotated[str | None, typer.Option(help=Read)] = None,
    labels: Annotated[str | None, typer.Option(help=Read)] = None,
    missing: Annotated[str | None, typer.Option(help=Read)] = None,
    independent: Annotated[bool, typer.Option("--independent", help="Rows are no chain: their order means nothing.")] = False,
    as_json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 where the model differs.")] = False,
    seed: Seed = 0,
) -> None:
    """May this model be trusted? What it conserves, its distributions, correlations, modes and memory beside those of a reference."""
    import hamlearn as hl

    work, others = context.ensure_object(Work), [*reference, *(training or ())]
    require_different([*model, *others])
    form = documents.form(as_json=as_json, streamed=is_stream(output))
    given = _POSTERIOR if len(model) == 1 and _is_posterior(model[0]) else _MICROSTATES
    require_own_options(context, given, _OF, given)
    endings = PAGES if given == _MICROSTATES or is_stream(output) else (*PAGES, *RESULTS)
    if output is not None:
        require_target(output, endings, inputs=[*model, *others])
    rules: dict[str, Any] = {"space": space, "variable": variable, "independent": independent}
    rules |= {"dims": read_names(dims, "--dims", "site,draw"), "labels": read_labels(labels), "missing": read_missing(missing)}
    read = lambda files: read_sets(files, betas_of(beta, files), "csv", **rules)
    judged = load(model[0]) if given == _POSTERIOR else read(model)
    trained = None if not training else read(training)
    where = None if used_at is None else read_betas(used_at)
    found = hl.audit(read(reference), judged, draws, seed, training=trained, beta=where, level=level)
    if output is not None:
        keep(work, lambda path: write_found(found, path), output, quick=output.suffix in RESULTS, ending=PAGES[0])
    say(documents.audit_json(found) if form == "json" else found, output=output if form == "text" else None)
    if strict and found.decision == "differs":
        raise typer.Exit(DISBELIEVED)


def _is_posterior(file: Path) -> bool:
    """Whether a file of ours holds no microstates; what else there is, reading says."""
    from hamlearn import storage

    if file.suffix not in RESULTS:
        return False
    try:
        return "state" not in read_from(file, storage.read_tree).dataset
    except HamlearnError:
        return file.suffix == RESULTS[0] and not file.exists()
