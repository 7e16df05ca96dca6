"""The commands that ask a posterior and write nothing: ``verdict`` and ``summary``; and the exit code that a verdict may be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hamlearn.cli import documents
from hamlearn.cli.keeping import say
from hamlearn.cli.streams import read_from

DISBELIEVED = 3
Strict = Annotated[bool, typer.Option("--strict", help="Exit with code 3 where the verdict is: do not believe.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print a table with commas and nothing else.")]
Group = Annotated[str | None, typer.Option(help="Of groups that `learn --by` learned: which.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0, max=2**31 - 1)]
Output = Annotated[Path, typer.Option("-o", "--output", help="Where the result goes; - is standard output.")]
Posterior = Annotated[Path, typer.Argument(help="A posterior that `hamlearn learn` wrote; - is standard input.")]


def load(path: Path, group: str | None = None) -> Any:
    """The posterior in a file or on standard input, or that of one of its groups."""
    import hamlearn as hl

    post = read_from(path, hl.load)
    return post if group is None else hl.infer.group(post, group)


def end(level: str, *, strict: bool) -> None:
    """End a command whose results are safe: with `DISBELIEVED` where that was asked for and the verdict is "do not believe"."""
    if strict and level == "do not believe":
        raise typer.Exit(DISBELIEVED)


def verdict(posterior: Posterior, as_json: Json = False, strict: Strict = False) -> None:
    """Whether to believe a posterior, and why."""
    import hamlearn as hl

    found = hl.verdict(load(posterior))
    say(documents.verdict_json(found) if as_json else found)
    end(found.level, strict=strict)


def summary(posterior: Posterior, group: Group = None, as_csv: Csv = False, as_json: Json = False) -> None:
    """Mean, standard deviation and 90 % interval of every parameter."""
    from hamlearn.diagnostics import summary as table_of

    form = documents.form(as_json=as_json, as_csv=as_csv)
    table = table_of(load(posterior, group), round_to=None if form != "text" else 4)
    say({"json": documents.summary_json, "csv": documents.summary_csv, "text": lambda table: table.to_string()}[form](table))
