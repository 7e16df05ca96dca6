"""The command ``learn``: microstates in files, a model that options describe, and the posterior."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hamlearn.cli.answers import Output, Seed, Strict, end
from hamlearn.cli.keeping import checkpoint_of, keep, require_target, say
from hamlearn.cli.options import (
    betas_of,
    group_names,
    one_of,
    read_column,
    read_graph,
    read_labels,
    read_missing,
    read_names,
    read_powers,
    read_scores,
    require_different,
    require_format,
    require_groups,
    require_lattice_options,
    require_own_options,
)
from hamlearn.cli.rates import is_file, read_flip, read_flip_prior
from hamlearn.cli.streams import read_sets
from hamlearn.cli.work import Work
from hamlearn.errors import HamlearnError, choice

MODELS = ("couplings", "cluster-expansion", "local-interaction", "autoregressive", "rbm", "gaussian-rbm", "dcl", "polynomial-action")
OF_MODELS = {
    **dict.fromkeys(("graph", "shape", "tie", "fields", "prior", "interaction", "scores", "flip_prior"), ("couplings",)),
    "open_boundaries": ("couplings", "polynomial-action"),
    "hidden": ("rbm", "gaussian-rbm"),
    "epochs": ("rbm",),
    "window": ("cluster-expansion", "local-interaction"),
    **dict.fromkeys(("powers", "neighbour"), ("polynomial-action",)),
    "calibrate": (
        "couplings",
        "cluster-expansion",
        "local-interaction",
        "gaussian-rbm",
        "polynomial-action",
    ),  # densities have nothing to correct
}

Files = Annotated[
    list[Path],
    typer.Argument(
        help="Microstates: .nc .zarr .npz .npy .csv .tsv .txt .h5 .mat .fasta .sto, - for standard input; several enter jointly."
    ),
]
Beta = Annotated[str | None, typer.Option(help="Inverse temperature of each file; undeclared, couplings come out as beta times J.")]
Graph = Annotated[
    str, typer.Option(help="all (every pair), square, triangular, honeycomb, or a file of bonds (.csv, .npy), numbers or names.")
]
Stream = Annotated[
    str, typer.Option("--format", help="What standard input holds: csv (any text), npy, npz, nc, h5, mat, fasta, sto, csv.gz or zip.")
]
Dims = Annotated[
    str | None, typer.Option(help="Names of the axes in their order, one of them draw: site,draw where rows are sites, chain,draw,x,y.")
]
Flip = Annotated[
    str | None,
    typer.Option(
        help="How often sites are misread: a rate, two (-1 read as 1, 1 as -1), one a site, name=rate,name=rate, or a file (.json .csv "
        ".npy) of rates or of matrices P(read | true)."
    ),
]
FlipPrior = Annotated[
    str | None,
    typer.Option(help="Prior of a rate that is not known, a distribution of NumPyro: 'Beta(1,20)', 'Beta(1,20) per site', or one a site."),
]
Labels = Annotated[
    str | None, typer.Option(help="All states of columns in their order: no,yes of all, or smoker=no,yes;calm=1,2,3 by name.")
]
Missing = Annotated[str | None, typer.Option(help="Codes that stand for no answer: 99,-9 in all columns, or calm=99;age=-9 by name.")]
Scores = Annotated[
    str | None,
    typer.Option(help="Of ordinal couplings: what states count, 0,1,3 of all or calm=0,1,3;tired=0,2,3; equal steps by default."),
]
By = Annotated[
    str | None,
    typer.Option(help="Files are groups with parameters of their own that share a mean and a spread; what groups are: --by subject."),
]


def learn(
    context: typer.Context,
    files: Files,
    output: Output,
    space: Annotated[str | None, typer.Option(help="spins (±1), bits (0/1), states (0 … q−1), angles or reals.")] = None,
    beta: Beta = None,
    graph: Graph = "all",
    shape: Annotated[str | None, typer.Option(help="Lattice extents where the data are flat and --graph names a lattice: 8x8.")] = None,
    open_boundaries: Annotated[bool, typer.Option("--open", help="No periodic boundaries.")] = False,
    tie: Annotated[str, typer.Option(**one_of("bond", "uniform", "distance"))] = "bond",
    fields: Annotated[str, typer.Option(**one_of("site", "uniform", "none"))] = "site",
    prior: Annotated[str | None, typer.Option(**one_of("normal", "laplace", "horseshoe", "spike_slab"))] = None,
    interaction: Annotated[str, typer.Option(**one_of("auto", "ising", "clock", "potts", "ordinal", "general", "xy", "vectors"))] = "auto",
    scores: Scores = None,
    likelihood: Annotated[
        str, typer.Option(**one_of("auto", "exact", "pseudo", "exchange", "screening", "rise", "logrise", "score"))
    ] = "auto",
    engine: Annotated[str, typer.Option(**one_of("auto", "mle", "map", "laplace", "importance", "nuts", "gibbs"))] = "auto",
    calibrate: Annotated[bool, typer.Option(help="Correct error bars so that they cover.")] = True,
    check: Annotated[bool, typer.Option(help="Compare with held-out data for the verdict.")] = True,
    stdin: Stream = "csv",
    counts: Annotated[str | None, typer.Option(help="Column of a table that holds counts: its name, or its number from 0.")] = None,
    variable: Annotated[str | None, typer.Option(help="Which array of a file of several (.npz .h5 .mat .nc) the states are.")] = None,
    dims: Dims = None,
    weights: Annotated[str | None, typer.Option(help="identity: near copies among sequences share a weight.")] = None,
    gaps: Annotated[str | None, typer.Option(help="Of an alignment: state (the default) or missing.")] = None,
    max_gaps: Annotated[float | None, typer.Option(help="Columns of an alignment with a larger share of gaps are left out.")] = None,
    independent: Annotated[bool, typer.Option("--independent", help="Rows are no chain: their order means nothing.")] = False,
    flip: Flip = None,
    flip_prior: FlipPrior = None,
    labels: Labels = None,
    missing: Missing = None,
    by: By = None,
    model: Annotated[str, typer.Option(**one_of(*MODELS))] = "couplings",
    window: Annotated[int, typer.Option(help="Extent of the window of a cluster expansion or local interaction.", min=1)] = 3,
    hidden: Annotated[
        int | None, typer.Option(help="Hidden units of a machine; of rbm 64 by default, of gaussian-rbm (real fields) one a site.", min=1)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data in the training of an rbm; 60 by default.", min=1)] = None,
    powers: Annotated[str, typer.Option(help="Powers of the field in a polynomial action, comma-separated.")] = "2,4",
    neighbour: Annotated[str, typer.Option(help="Neighbour term of a polynomial action: difference or product.")] = "difference",
    strict: Strict = False,
    seed: Seed = 0,
) -> None:
    """Learn interactions from observed microstates; by default couplings between all pairs, with fields.

    Cells of tables that are empty, NA, N/A, ?, . or nan are missing: couplings are learned from what was observed.
    """
    import hamlearn as hl
    from hamlearn.infer.families import saves

    work = context.ensure_object(Work)
    choice(model, MODELS, "--model")
    require_own_options(context, model, OF_MODELS, f"--model {model}")
    if model == "couplings":
        require_lattice_options(graph, shape, open_boundaries=open_boundaries)
    betas, column = betas_of(beta, files), read_column(counts)
    require_different(files)
    require_groups(files, by)
    require_format(context, files)
    require_target(output, inputs=[*files, *map(Path, [graph, *([flip] if flip and is_file(flip) else [])])])
    rules = {name: context.params[name] for name in ("space", "weights", "gaps", "max_gaps", "variable", "independent")}
    rules |= {
        "flip": read_flip(flip),
        "labels": read_labels(labels),
        "missing": read_missing(missing),
        "dims": read_names(dims, "--dims", "site,draw"),
    }
    data = read_sets(files, betas, stdin, counts=column, **rules)
    said = {**context.params, "fields": None if fields == "none" else fields}  # words, which the verbs know or refuse
    made, given = _model(said, data[0]), data if by is None else dict(zip(group_names(files), data, strict=True))
    chosen: dict[str, Any] = {name: said[name] for name in ("likelihood", "engine", "calibrate", "check", "seed")}
    if epochs is not None:
        chosen["engine"] = _longer(epochs, engine)
    post = hl.learn(given, made, checkpoint=checkpoint_of(output) if saves(made) else None, **chosen)
    keep(work, lambda path: hl.save(post, path), output)
    found = hl.verdict(post)
    say(found, output=output)
    end(found.level, strict=strict)


def _longer(epochs: int, engine: str) -> Any:
    """The default training of a machine, with other passes over the data."""
    from hamlearn.infer.families import rbm

    if engine != "auto":
        raise HamlearnError(f"--epochs is of training, and --engine {engine} asks for something else: leave one of them out.")
    return replace(rbm.DEFAULT, epochs=epochs)


def _model(said: dict[str, Any], data: Any) -> Any:
    """The model that the options of ``learn`` describe; a graph may be one of the sites of the data."""
    from hamlearn import models

    wrapped = not said["open_boundaries"]
    makers: dict[str, Any] = {
        "couplings": lambda: models.Couplings(
            read_graph(said["graph"], data, said["shape"], wrapped),
            scores=read_scores(said["scores"], data),
            flip=read_flip_prior(said["flip_prior"], data),
            **{name: said[name] for name in ("prior", "tie", "fields", "interaction")},
        ),
        "cluster-expansion": lambda: models.ClusterExpansion(window=said["window"]),
        "local-interaction": lambda: models.LocalInteraction(window=said["window"]),
        "autoregressive": models.Autoregressive,
        "rbm": lambda: models.RBM(**({} if said["hidden"] is None else {"hidden": said["hidden"]})),
        "gaussian-rbm": lambda: models.GaussianRBM(hidden=said["hidden"]),
        "dcl": models.DCL,
        "polynomial-action": lambda: models.PolynomialAction(
            powers=read_powers(said["powers"]), periodic=wrapped, neighbour=said["neighbour"]
        ),
    }
    made = makers[said["model"]]()
    return made if said["by"] is None else models.Hierarchical(made, by=said["by"])
