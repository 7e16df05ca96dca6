"""The command ``report``: the page of a posterior, with what microstates in files say beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hamlearn.cli.answers import Group, Output, Posterior, Strict, end, load
from hamlearn.cli.keeping import PAGES, keep, require_target, say
from hamlearn.cli.options import read_column, read_labels, read_missing, read_names, require_different
from hamlearn.cli.streams import read_from, read_sets
from hamlearn.cli.work import Work
from hamlearn.errors import HamlearnError

Data = Annotated[
    list[Path] | None,
    typer.Option(help="Microstates that the posterior was learned from, or others of the same sites: questions about all spins need them."),
]
Questions = Annotated[
    str | None,
    typer.Option(
        help="Of couplings between all pairs of spins, whatever it takes: pairs, entropy, information, triplets, basins, comma-separated."
    ),
]


def report(
    context: typer.Context,
    posterior: Posterior,
    output: Output,
    prediction: Annotated[Path | None, typer.Option(help="A prediction that `hamlearn predict` wrote, to show.")] = None,
    data: Data = None,
    questions: Questions = None,
    space: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    counts: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    variable: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    dims: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    labels: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    missing: Annotated[str | None, typer.Option(help="Of --data, as of learn.")] = None,
    group: Group = None,
    strict: Strict = False,
) -> None:
    """One self-contained HTML page: verdict, couplings, predictions, checks, provenance."""
    import hamlearn as hl
    from hamlearn import storage

    work = context.ensure_object(Work)
    files = list(data or ())
    for name in ("space", "counts", "variable", "dims", "labels", "missing"):
        if context.params[name] is not None and not files:
            raise HamlearnError(f"--{name} says how the microstates of --data are read; give these too, or leave it out.")
    require_different(files)
    require_target(output, PAGES, inputs=[posterior, *files, *([] if prediction is None else [prediction])])
    asked = read_names(questions, "--questions", "entropy,triplets")
    curve = None if prediction is None else read_from(prediction, storage.read_dataset)
    if curve is not None and not {"beta", "quantity"} <= set(curve.dims):
        raise HamlearnError(f"{prediction} holds no prediction; make one with `hamlearn predict`.")
    post = load(posterior, group)
    rules: dict[str, Any] = {"space": space, "counts": read_column(counts), "variable": variable}
    rules |= {"dims": read_names(dims, "--dims", "site,draw"), "labels": read_labels(labels), "missing": read_missing(missing)}
    sets = read_sets(files, [None] * len(files), "csv", **rules)
    page: dict[str, Any] = {"prediction": curve, "data": sets or None, "questions": asked}
    keep(work, lambda path: hl.report(post, path, **page), output, quick=False, ending=PAGES[0])
    say(output=output)
    end(hl.verdict(post).level, strict=strict)
