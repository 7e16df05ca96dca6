"""Which model predicts rows that it has not seen best: held-out scores of several models in one table, with errors of differences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from hamlearn import data as microstate_data
from hamlearn import infer
from hamlearn.arguments import require_seed, require_whole, shown
from hamlearn.data import admit
from hamlearn.diagnostics import holdout, preferences
from hamlearn.diagnostics.rankings import Ranking
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import posteriors
from hamlearn.infer.asked import EngineAsked, LikelihoodName
from hamlearn.infer.seen import only_seen
from hamlearn.models.traits import Model
from hamlearn.processes import verb
from hamlearn.progress import aside, track
from hamlearn.statistics import integrated_autocorrelation_time, standard_error
from hamlearn.systems import exact
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND, operations

MOST_ROWS = 200_000  # of a histogram, which is taken apart into rows
_PIECES = 4  # of a chain that go to every fold
_BYTES = 2e8  # of pointwise likelihoods at once
_AFFORDABLE = 30.0  # seconds of counted work of normalisers, beyond which the score is that of conditionals


@verb
def rank(
    models: Mapping[str, Model | xr.DataTree],
    data: xr.Dataset | list[xr.Dataset],
    *,
    score: Literal["auto", "exact", "pseudo"] = "auto",
    folds: int = 5,
    likelihood: LikelihoodName = "auto",
    engine: EngineAsked | Mapping[str, EngineAsked] = "auto",
    draws: int = 100,
    seed: int = 0,
) -> Ranking:
    """Which of several models predicts microstates that it has not seen best.

    Every model is learned as often as there are folds, each time from all but one of them, and scored on that one.

    Parameters
    ----------
    models : mapping of str to Model or DataTree
        Two or more, by the names they have in the table; of a posterior its model is taken.
    data : Dataset or list of Datasets
        The microstates they are for, at one or several temperatures. Rows with statistical weights, missing or misread cells are refused.
    score : {"auto", "exact", "pseudo"}
        ln p of whole microstates, which needs all models to be normalised (densities, and systems with an oracle for ln Z), or of every
        site given the others, which needs energies of discrete sites. "auto" takes the first where it is to be had.
    folds : int
        Parts that are held out in turn: stretches of chains, so that neighbours stay together, or independent rows at random.
    likelihood, engine
        What models are learned by, as for :func:`hamlearn.learn`; engines also by name, where one takes others than the rest ("auto").
    draws : int
        Of every posterior, whose mean p of a row is its prediction.
    seed : int
        Of folds and of fits.

    Returns
    -------
    Ranking
        ``print`` it, or take ``to_dataset()``.

    Raises
    ------
    HamlearnError
        If there are fewer than two models, rows cannot be held out, or a model has no such score, by its name.

    Notes
    -----
    Errors of differences come from the scatter, over rows, of differences of scores of the same row, with their autocorrelation; the error
    from finitely many draws is added. That fits of different folds share rows is not counted (Bengio & Grandvalet, JMLR 5, 1089 (2004)).
    Rows that were copied, and chains worth less than ten independent rows, prefer no model (``Ranking.telling``), in words.
    Where two models predict alike, a difference of less than four nats of all rows together, errors are unreliable (Sivula, Magnusson,
    Matamoros & Vehtari, Bayesian Analysis (2025)). Parameters that are not needed cost about half a nat each, of all rows together.

    Examples
    --------
    >>> import hamlearn as hl
    >>> ring = hl.systems.Ising((6,), J=0.5)
    >>> data = hl.simulate(ring, beta=1.0, draws=300, chains=2, seed=0)
    >>> models = {
    ...     "pairs": hl.models.Couplings(ring.lattice, fields=None),
    ...     "fields": hl.models.Couplings(ring.lattice, tie="uniform", prior=hl.models.Normal(1e-3)),
    ... }
    >>> found = hl.rank(models, data, engine="laplace")
    >>> found.best, found.score
    ('pairs', 'exact')
    """
    choice(score, ("auto", "exact", "pseudo"), "score")
    folds, draws, seed = require_whole(folds, "folds", 2), require_whole(draws, "draws", 2), require_seed(seed)
    named = _named(models)
    sets = [_rows_apart(part) for part in microstate_data.split_by_beta(admit(data))]
    for name, model in named.items():
        _require_scored(name, model, microstate_data.space_of(sets[0]), score)
    own = {name: only_seen(sets, model) for name, model in named.items()}  # a state of one fold alone is a state of all
    shares = [_folds(part, folds, np.random.default_rng(seed)) for part in sets]
    engines = _engines(engine, named)
    scores = {name: [np.full(part["state"].shape[:2], np.nan) for part in sets] for name in named}
    noise, parameters, posts = dict.fromkeys(named, 0.0), dict[str, float](), dict[str, xr.DataTree]()
    kind: str = score
    with track(folds * len(named), "ranking") as bar:
        for fold in range(folds):
            for name, model in named.items():
                fitted = [part.isel({axis: np.flatnonzero(label != fold)}) for part, (axis, label) in zip(own[name], shares, strict=True)]
                with aside():
                    posts[name] = _learned(name, fitted, model, {"likelihood": likelihood, "engine": engines[name], "seed": seed})
                bar.advance()
            if fold == 0:
                kind = _kind(posts, named, score, draws * folds, sets)
                parameters = {name: posteriors.provenance_of(post).n_params or np.nan for name, post in posts.items()}
            for name, post in posts.items():
                for index, (part, (axis, label)) in enumerate(zip(own[name], shares, strict=True)):
                    where = np.flatnonzero(label == fold)
                    values, variance = _scored(name, post, part.isel({axis: where}), kind, draws)
                    noise[name] += variance
                    scores[name][index][(slice(None), where) if axis == "draw" else (where, slice(None))] = values
    found = _ranking(scores, noise, parameters, kind, sets, shares, posts)
    return replace(found, misordered=preferences.misordered(found.best, named, sets[0]))


def _named(models: Any) -> dict[str, Model]:
    """The models by name."""
    if not isinstance(models, Mapping) or len(models) < 2:
        raise HamlearnError(f"models are two or more by name, such as {{'pairs': model, 'triplets': other}}; got {shown(models)}.")
    found = {}
    for name, one in models.items():
        model = posteriors.model_of(one) if isinstance(one, xr.DataTree) else one
        if not isinstance(model, Model):
            raise HamlearnError(f"{name!r} must be a model of hamlearn.models, or a posterior of one; got {shown(one)}.")
        found[str(name)] = model
    return found


def _engines(engine: Any, models: Mapping[str, Model]) -> dict[str, Any]:
    """The engine of every model."""
    given = engine if isinstance(engine, Mapping) else dict.fromkeys(models, engine)
    if unknown := [name for name in given if name not in models]:
        raise HamlearnError(f"engine= names {unknown[0]!r}, which is none of the models: {', '.join(models)}.")
    return {name: given.get(name, "auto") for name in models}


def _require_scored(name: str, model: Model, space: Any, score: str) -> None:
    """An error where a kind of model has no score of rows, before anything is learned."""
    if model.traits.compared in ("not", "by group"):
        raise HamlearnError(f"{name!r} ({model.traits.title}) has no ln p of one row that others could be compared with: leave it out.")
    if model.traits.density:
        if score == "pseudo":
            raise HamlearnError(f"{name!r} is a normalised density, which has no conditionals of sites: score='exact', or leave it out.")
    elif space.continuous:
        raise HamlearnError(
            f"{name!r} has energies of {space.name} without a normaliser, and no score of rows: only densities (hl.models.Flow, "
            "Autoregressive) are ranked there."
        )


def _rows_apart(part: xr.Dataset) -> xr.Dataset:
    """Every row as often as it counts."""
    if "count" not in part:
        return part
    counts = part["count"].values.ravel().astype(np.int64)
    if counts.sum() > MOST_ROWS:
        raise HamlearnError(f"the counts sum to {counts.sum()} rows, which are taken apart here: at most {MOST_ROWS}. Give fewer.")
    values = microstate_data.rows(part).reshape(len(counts), -1)
    return holdout.of_rows(part, np.repeat(values, counts, 0), {}, {**part.attrs, "independent": 1})


def _folds(part: xr.Dataset, folds: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """Along which axis rows are held out, and the fold of every place there."""
    chains, draws = part["state"].shape[:2]
    axis, size = ("chain", chains) if draws < 2 * folds or _short(part) else ("draw", draws)
    if size < 2 * folds:
        raise HamlearnError(f"{chains} chains of {draws} microstates are too few for {folds} folds: give more rows, or fewer folds=.")
    if axis == "chain" or int(part.attrs.get("independent", 0)):
        return axis, rng.permutation(np.arange(size) % folds)
    pieces = min(_PIECES * folds, size // 2)
    return axis, np.arange(size) * pieces // size % folds


def _short(part: xr.Dataset) -> bool:
    """Whether chains are too short for an autocorrelation to be seen: each is then worth one row."""
    return not int(part.attrs.get("independent", 0)) and part.sizes["chain"] > 1 and part.sizes["draw"] < holdout.FEWEST_DRAWS


def _learned(name: str, sets: list[xr.Dataset], model: Model, options: dict[str, Any]) -> xr.DataTree:
    """A posterior without a verdict; whose it is stands in every refusal."""
    try:
        return infer.learn(sets, model, **options)
    except HamlearnError as error:
        raise HamlearnError(f"{name!r}: {error}") from error


def _kind(posts: dict[str, xr.DataTree], models: dict[str, Model], score: str, draws: int, sets: list[xr.Dataset]) -> str:
    """Which score all of the models have."""
    if score != "auto":
        return score
    dense = [name for name, model in models.items() if model.traits.density]
    others = {name: infer.draw_systems(post, 1)[0] for name, post in posts.items() if name not in dense}
    lacking = [name for name, system in others.items() if exact.method(system) not in ("enumeration", "transfer")]
    if dense and lacking:
        raise HamlearnError(
            f"{dense[0]!r} has ln p of whole microstates and no conditionals of sites, {lacking[0]!r} has conditionals and no oracle for "
            "ln Z: no score is common to both. Rank them apart."
        )
    seconds = 0.0 if lacking else sum(operations(one, float(sets[0]["beta"])) for one in others.values()) * draws * len(sets)
    return "pseudo" if lacking or (not dense and seconds > _AFFORDABLE * OPERATIONS_PER_SECOND) else "exact"


def _scored(name: str, post: xr.DataTree, part: xr.Dataset, kind: str, draws: int) -> tuple[np.ndarray, float]:
    """Ln of the mean probability of every row ``(chain, draw)``, and the variance of their sum that draws of the posterior leave.

    That variance is the delta method's: a draw moves the sum by the share, over rows, of its probability in the mean, less one.
    """
    chains, total = (int(post["posterior"].sizes[axis]) for axis in ("chain", "draw"))
    kept = min(-(-draws // chains), total)
    sites = 1 if kind == "exact" else math.prod(part["state"].shape[2:])
    step = max(1, int(_BYTES / (8 * chains * kept * sites * part["state"].shape[0])))
    found, moved = [], np.zeros(chains * kept)
    for start in range(0, part.sizes["draw"], step):
        piece = part.isel(draw=slice(start, start + step))
        try:
            values: Any = infer.log_likelihood(post, piece, kind, kept)["log_likelihood"]["microstates"].values  # type: ignore[arg-type]
        except HamlearnError as error:
            raise HamlearnError(f"{name!r}: {error}") from error
        values = values.reshape(chains * kept, math.prod(piece["state"].shape[:2]), -1)
        mean = logsumexp(values, axis=0) - math.log(len(values))
        moved += (np.exp(values - mean) - 1).sum((1, 2))
        found.append(mean.sum(-1).reshape(piece["state"].shape[:2]))
    return np.concatenate(found, 1), float(moved @ moved) / len(moved) / max(len(moved) - 1, 1)


def _error(series: list[np.ndarray], sets: list[xr.Dataset]) -> tuple[float, float, float]:
    """Standard error of the sum of scores ``(chain, draw)`` of all sets, independent rows they are worth, and the longest τ of a chain."""
    variance, worth, slowest = 0.0, 0.0, 1.0
    for values, part in zip(series, sets, strict=True):
        if _short(part):
            variance, worth = variance + values.sum(1).var(ddof=1) * len(values), worth + len(values)
            continue
        independent = bool(int(part.attrs.get("independent", 0))) or values.shape[1] < holdout.FEWEST_DRAWS or np.ptp(values) == 0
        tau = 1.0 if independent else max(float(integrated_autocorrelation_time(values)), 1.0)
        error = values.std(ddof=1) / math.sqrt(values.size) if independent else float(standard_error(values))
        variance, worth, slowest = variance + (values.size * error) ** 2, worth + values.size / tau, max(slowest, tau)
    return math.sqrt(variance), worth, slowest


def _ranking(
    scores: dict[str, list[np.ndarray]],
    noise: dict[str, float],
    parameters: dict[str, float],
    kind: str,
    sets: list[xr.Dataset],
    shares: list[tuple[str, np.ndarray]],
    posts: dict[str, xr.DataTree],
) -> Ranking:
    """The table, best first."""
    rows = sum(one.size for one in next(iter(scores.values())))
    total = {name: sum(float(one.sum()) for one in series) for name, series in scores.items()}
    order = sorted(total, key=lambda name: -total[name])
    ranked = [posts[name] for name in order]
    taus, (times, copied) = preferences.slowest(ranked, sets), preferences.copies(ranked, sets)
    best, columns, worth, slowest = order[0], [], preferences.worth(sets, taus), max(taus)
    for name in order:
        error = math.hypot(_error(scores[name], sets)[0], math.sqrt(noise[name]))
        apart, seen, tau = _error([a - b for a, b in zip(scores[best], scores[name], strict=True)], sets)
        apart = math.sqrt(apart**2 + noise[best] + noise[name]) if name != best else 0.0
        worth, slowest = min(worth, seen), max(slowest, tau)
        columns.append([total[name], error, total[best] - total[name], apart])
    found = np.array(columns) / rows
    names = ("score", "error", "difference", "difference_error")
    table = xr.Dataset({one: ("model", found[:, k]) for k, one in enumerate(names)}, coords={"model": order})
    table["parameters"] = ("model", [parameters[name] for name in order])
    stretch = min((int(np.diff(np.flatnonzero(np.diff(label)), prepend=-1).min(initial=len(label))) for _, label in shares), default=1)
    leaking = slowest > 1 and stretch < holdout.BLOCK_TIMES * slowest
    return Ranking(table, kind, rows, worth / times, leaking, copied)
