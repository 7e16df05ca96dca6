"""The kind of :class:`hamlearn.models.LocalInteraction`: neural local energies trained on single-site conditionals.

The likelihood is a function of the table E(code) alone, and a window has few codes: it is replaced by its second-order
expansion in the table, the network is trained on that (a matrix of a few hundred rows, whatever the number of
microstates), and the expansion is renewed at the new table. Members are trained on expansions whose slope is
perturbed by the sampling covariance of the score, so their scatter is that of repeated experiments (the sandwich).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import calibrate as calibration_room
from hamlearn.infer import families, posteriors
from hamlearn.infer.engines import jax_training
from hamlearn.infer.engines.jax_training import Quadratic
from hamlearn.infer.likelihoods.table_conditionals import Rows, TileConditionals
from hamlearn.infer.newton import newton
from hamlearn.infer.observations import Observations
from hamlearn.infer.provenance import Basis, new_provenance
from hamlearn.infer.thinning import thinned
from hamlearn.models import dense
from hamlearn.models.local_interaction import BoundLocalInteraction, LocalInteraction
from hamlearn.progress import track
from hamlearn.systems.base import System

logger = logging.getLogger("hamlearn")

DECAYS = (100.0, 30.0, 10.0, 3.0, 1.0)
"""Penalties that "auto" tries after none: a weight's prior has the width 1/√(2 decay), 0.07 to 0.7."""
FEWEST = 50  # microstates that are split into a part trained on and a part held out
_BLOCKS = 40  # contiguous blocks of the data, every fifth held out
_ROUNDS = 4  # expansions of the likelihood per network
_STEPS = 120  # of L-BFGS per expansion
_NEWTON_STEPS, _LEFT = 30, 1e-3  # for pair strengths: the most, and the nats (times two) left to gain where they end
_RIDGE = 1e-2  # β² times this: the prior precision of strengths, a width of 10 temperatures, against separable data

Watch = Callable[[np.ndarray], None]  # is shown the table of every step


@dataclass(frozen=True, eq=False)
class Fit:
    """A network and pair strengths, their table and its log pseudo-likelihood less the penalty."""

    weights: dense.Weights
    strengths: np.ndarray
    table: np.ndarray
    value: float


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: LocalInteraction,
    likelihood: str = "auto",
    engine: Any = "auto",
    calibrate: bool = True,
    seed: int = 0,
) -> xr.DataTree:
    """The ensemble of local energies given microstates; a bare tree, without a verdict."""
    choice(likelihood, ("auto", "pseudo"), "likelihood of a local energy")
    if engine != "auto":
        raise HamlearnError(f"a local energy is trained by L-BFGS on the curvature of its likelihood: leave engine='auto'; got {engine!r}.")
    started = time.perf_counter()
    bound, parts, sets = bind(data, model)
    parts, stride = thinned(parts)
    tiles = bound.system(np.zeros(len(bound.states)))
    rows = [TileConditionals.encode(tiles, part) for part in parts]
    whole = TileConditionals(tiles, rows)
    estimate = 1 + 4e-6 * whole.size + 0.4 * model.members
    logger.info("learning a local energy on %d states of a window, about %.0f s", len(bound.states), estimate)
    decay, curve, selection, reasons = _select(bound, whole, model, seed)
    pairs = _pairs(bound, whole, selection["strengths"])
    best = pairs if decay is None else _network(bound, whole, pairs, decay, seed)
    target, root, facts = _expansion(bound, whole, parts, best, calibrate=calibrate)
    fits = _ensemble(bound, best, target, root, decay, seed)
    if decay is None:
        best = _relevant_pairs(bound, best, best.strengths, _covariance(bound, target, root))
    if stride > 1:
        reasons.append(f"one draw in {stride} used: those between hardly differ from them")
        facts["tau"] = facts.get("tau", 1.0) * stride
    for reason in reasons:
        logger.info("  %s", reason)
    n_params = bound.terms.shape[1] + (0 if decay is None else sum(np.size(array) for layer in best.weights for array in layer))
    provenance = new_provenance(
        likelihood="pseudo",
        composite=True,
        engine={"name": "lbfgs", "decay": decay, "members": model.members},
        n_params=int(n_params),
        sets=sets,
        seed=seed,
        seconds=time.perf_counter() - started,
        estimated_seconds=estimate,
        reasons=reasons,
        optimum={"value": best.value},
        **facts,
    )
    groups = _groups(bound, fits, best, parts) | {"training": curve, "selection": selection["table"]}
    return posteriors.assemble(groups, model=model, space=bound.space, provenance=provenance, sets=sets)


def bind(
    data: xr.Dataset | Iterable[xr.Dataset], model: LocalInteraction
) -> tuple[BoundLocalInteraction, list[Observations], list[xr.Dataset]]:
    """The family on the sites of the data, and the data as value indices."""
    sets = microstate_data.split_by_beta(data)
    kinds_of_sets = sorted({(str(part.attrs["space"]), int(part.attrs["q"]), tuple(part["state"].shape[2:])) for part in sets})
    if len(kinds_of_sets) > 1:
        raise HamlearnError(f"the data sets have different spaces or site axes: {kinds_of_sets}. Learn each by itself.")
    bound = model.bind(microstate_data.space_of(sets), kinds_of_sets[0][2])
    parts = []
    for one in sets:
        weight, weighted = microstate_data.multiplicity(one)
        states = bound.space.index(microstate_data.rows(one)).astype(np.int8)
        parts.append(Observations(states, weight, weighted, float(one["beta"]), bool(int(one.attrs.get("independent", 0)))))
        if states.shape[0] * states.shape[1] < FEWEST:
            raise HamlearnError(
                f"{states.shape[0] * states.shape[1]} microstates at beta = {parts[-1].beta:g} are too few to hold some out; "
                f"a local energy needs {FEWEST} at least, and thousands to be worth it. Couplings need fewer."
            )
    return bound, parts, sets


def _blocks(n: int) -> np.ndarray:
    """Contiguous blocks of rows, which keep autocorrelated draws together."""
    return np.arange(n) * _BLOCKS // n


def _select(
    bound: BoundLocalInteraction, whole: TileConditionals, model: LocalInteraction, seed: int
) -> tuple[float | None, xr.Dataset, dict[str, Any], list[str]]:
    """The penalty with the best held-out likelihood, or the strongest that is not worse by more than a standard error or a nat."""
    blocks = [_blocks(len(rows.values)) for rows in whole.sets]
    train = TileConditionals(whole.tiles, [rows.take(block % 5 != 4) for rows, block in zip(whole.sets, blocks, strict=True)])
    held = TileConditionals(whole.tiles, [rows.take(block % 5 == 4) for rows, block in zip(whole.sets, blocks, strict=True)])
    labels = [block[block % 5 == 4] // 5 for block in blocks]
    curves: dict[float | None, list[tuple[float, float]]] = {None: []}

    def watch(key: float | None) -> Watch:
        curves[key] = []
        return lambda table: curves[key].append((-train.value(table) / train.size, -held.value(table) / held.size))

    pairs = _pairs(bound, train, np.zeros(bound.terms.shape[1]), watch(None))
    tried: dict[float | None, np.ndarray] = {None: held.scores(pairs.table, labels)[0]}
    candidates = [] if model.decay is None else list(DECAYS) if model.decay == "auto" else [float(cast(float, model.decay))]
    first = _slope_and_curvature(train, pairs.table) if candidates else None
    for decay in candidates:
        fit = _network(bound, train, pairs, decay, seed, watch(decay), first)
        tried[decay] = held.scores(fit.table, labels)[0]
        best = max(tried, key=lambda key: tried[key].sum())
        if len(tried) > 3 and list(tried).index(best) < len(tried) - 2:
            break  # two weaker penalties in a row were worse
    best = max(tried, key=lambda key: tried[key].sum())
    chosen = next(key for key in tried if (tried[best] - tried[key]).sum() <= max(1.0, _error(tried[best] - tried[key])))
    if model.decay is not None and model.decay != "auto":
        chosen = float(cast(float, model.decay))
    gain = (tried[best] - tried[None]).sum()
    told = "pairs alone explain the data as well as any network" if chosen is None else f"network with decay {chosen:g}"
    if model.decay == "auto":
        reasons = [f"{told}: at best {gain:.3g} ± {_error(tried[best] - tried[None]):.2g} nats of held-out pseudo-likelihood are gained"]
    else:
        reasons = [f"{told}, as asked"]
    history = np.array(curves[None] + (curves[chosen] if chosen is not None else []))[None]
    curve = xr.Dataset(
        {name: (("member", "epoch"), history[..., index]) for index, name in enumerate(("train", "held_out"))}
        | {"best_epoch": ("member", history[..., 1].argmin(1))},
        coords={"member": [0], "epoch": np.arange(history.shape[1])},
    )
    curve["held_out"].attrs["long_name"] = "minus log pseudo-likelihood per site"
    values = np.stack(list(tried.values())) / held.size
    table = xr.Dataset(
        {"held_out": ("decay", values.sum(1)), "loss": ("decay", (values[list(tried).index(best)] - values).sum(1))},
        coords={"decay": [np.inf if key is None else key for key in tried]},
    )
    return chosen, curve, {"table": table, "strengths": pairs.strengths}, reasons


def _error(differences: np.ndarray) -> float:
    """Standard error of the sum of independent blocks."""
    return float(np.sqrt(len(differences)) * differences.std(ddof=1))


def _pairs(bound: BoundLocalInteraction, likelihood: TileConditionals, start: np.ndarray, watch: Watch = lambda table: None) -> Fit:
    """Pair strengths and field by Newton's method, on a tenth of the rows first; the network is zero."""
    terms = bound.terms
    few = TileConditionals(likelihood.tiles, [_thinned(rows) for rows in likelihood.sets])
    ridge = _RIDGE * max(rows.beta for rows in likelihood.sets) ** 2 * (terms**2).mean(0).min()
    near = newton(_PairStrengths(few, terms, ridge), start, tolerance=_LEFT, most=_NEWTON_STEPS, flat=1e-12).theta
    best = newton(
        _PairStrengths(likelihood, terms, ridge),
        near,
        tolerance=_LEFT,
        most=_NEWTON_STEPS,
        flat=1e-12,
        watch=lambda strengths: watch(terms @ strengths),
    )
    zero = [(np.zeros_like(matrix), np.zeros_like(offset)) for matrix, offset in bound.start(0)]
    return Fit(zero, best.theta, terms @ best.theta, best.value)


@dataclass(frozen=True, eq=False)
class _PairStrengths:
    """The likelihood of tables that are sums of pair terms, less a ridge, as Newton's method asks for it."""

    likelihood: TileConditionals
    terms: np.ndarray
    ridge: float

    def value_and_gradient(self, strengths: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = self.likelihood.scores(self.terms @ strengths)
        return float(total[0] - self.ridge * strengths @ strengths), slope[0] @ self.terms - 2 * self.ridge * strengths

    def curvature(self, strengths: np.ndarray, *, rough: bool) -> np.ndarray:
        inner = self.terms.T @ self.likelihood.curvature(self.terms @ strengths) @ self.terms
        return np.asarray(inner + 2 * self.ridge * np.eye(len(strengths)))


def _thinned(rows: Rows) -> Rows:
    step = max(1, min(10, len(rows.values) // 500))
    return rows.take(np.arange(0, len(rows.values), step))


def _network(
    bound: BoundLocalInteraction,
    likelihood: TileConditionals,
    pairs: Fit,
    decay: float,
    seed: int,
    watch: Watch = lambda table: None,
    first: tuple[np.ndarray, np.ndarray] | None = None,
) -> Fit:
    """Network and pairs together: expand the likelihood at the table, train on the expansion, expand again."""
    table, strengths, weights, damping = pairs.table, pairs.strengths, bound.start(seed), 0.0
    fit, value = pairs, pairs.value
    for _ in range(_ROUNDS):
        slope, curvature = _slope_and_curvature(likelihood, table) if first is None else first
        first = None
        while damping < 100:
            stiff = Quadratic(table, slope, curvature * (1 + damping))
            new, changed = jax_training.fit_quadratic(
                bound.inputs, bound.terms, weights, strengths, stiff, decay, bound.model.activation, steps=_STEPS
            )
            trial = _table(bound, new, changed)
            reached = likelihood.value(trial) - decay * sum(float((matrix**2).sum()) for matrix, _ in new)
            if reached >= value - 0.5:  # a network that is penalised away ends where it began
                break
            damping = 4 * damping + 1
        else:
            break
        gain, fit, value = reached - value, Fit(new, changed, trial, reached), reached
        table, strengths, weights = trial, changed, new
        watch(table)
        if gain < 1.0:
            break
    return fit


def _slope_and_curvature(likelihood: TileConditionals, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return likelihood.scores(table)[1][0], likelihood.curvature(table)


def _table(bound: BoundLocalInteraction, weights: dense.Weights, strengths: np.ndarray) -> np.ndarray:
    import jax

    with jax.enable_x64(True):
        return np.asarray(bound.table([(np.asarray(a, float), np.asarray(b, float)) for a, b in weights], np.asarray(strengths)))


@dataclass(frozen=True, eq=False)
class _PairScores:
    """What the calibration asks of a likelihood, with the pair strengths as its parameters."""

    parts: list[Observations]
    tiles: Any
    table: np.ndarray
    terms: np.ndarray

    @property
    def bound(self) -> _PairScores:
        return self

    @property
    def n_params(self) -> int:
        return self.terms.shape[1]

    def row_scores(self, theta: np.ndarray) -> Any:
        def scores(part: Observations, states: np.ndarray) -> np.ndarray:
            found = np.empty((len(states), self.n_params))
            for start in range(0, len(states), 2048):
                chunk = states[start : start + 2048]
                piece = Observations(chunk[None], np.ones((1, len(chunk))), False, part.beta, True)
                one = TileConditionals(self.tiles, [TileConditionals.encode(self.tiles, piece)])
                found[start : start + 2048] = one.scores(self.table, [np.arange(len(chunk))])[1] @ self.terms
            return found

        return scores


def _expansion(
    bound: BoundLocalInteraction, whole: TileConditionals, parts: list[Observations], best: Fit, *, calibrate: bool
) -> tuple[Quadratic, np.ndarray, dict[str, Any]]:
    """The likelihood near the best table, and a root of its score's covariance, ``(n, S)``: noise = normal @ root."""
    curvature = whole.curvature(best.table)
    if not calibrate:
        values, vectors = np.linalg.eigh(curvature)
        root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
        facts = {"adjusted": False, "basis": Basis("off", {"composite": True})}
        return Quadratic(best.table, whole.scores(best.table)[1][0], curvature), root, facts
    adapter = _PairScores(parts, whole.tiles, best.table, bound.terms)
    score = calibration_room.score_covariance(cast(Any, adapter), best.strengths)
    labels, offset = [], 0
    for part in parts:
        n = part.states.shape[0] * part.states.shape[1]
        count = int(np.clip(n / (10 * score.tau), min(20, n), 256))
        labels.append(np.arange(n) * count // n + offset)
        offset += count
    scores = whole.scores(best.table, labels)[1]
    # Deviations of every temperature from its own mean.
    rows = []
    for label in labels:
        own = scores[label[0] : label[-1] + 1]
        rows.append((own - own.mean(0)) * np.sqrt(len(own) / max(len(own) - 1, 1)))
    root = np.concatenate(rows)
    calibration = {"kind": score.kind, "batches": len(root), "chains_disagree": score.chains_disagree}
    basis = Basis("perturbed", {"batches": len(root)})
    facts = {"adjusted": True, "basis": basis, "ess": score.ess, "tau": score.tau, "calibration": calibration}
    return Quadratic(best.table, scores.sum(0), curvature), root, facts


def _ensemble(bound: BoundLocalInteraction, best: Fit, target: Quadratic, root: np.ndarray, decay: float | None, seed: int) -> list[Fit]:
    """Fits to scores as repeated experiments would have given them, from different starts."""
    generator = np.random.default_rng(seed)
    fits = []
    inverse, covariance = _inverse(bound, target), _covariance(bound, target, root)
    with track(bound.model.members, "ensemble") as bar:
        for member in range(bound.model.members):
            noise = generator.normal(size=len(root)) @ root
            if decay is None:
                fits.append(_relevant_pairs(bound, best, best.strengths + inverse @ (noise @ bound.terms), covariance))
            else:
                shaken = Quadratic(target.table, target.slope + noise, target.curvature)
                start = bound.start(seed + 1 + member)
                weights, strengths = jax_training.fit_quadratic(
                    bound.inputs, bound.terms, start, best.strengths, shaken, decay, bound.model.activation
                )
                fits.append(Fit(weights, strengths, _table(bound, weights, strengths), float("nan")))
            bar.advance()
    return fits


def _inverse(bound: BoundLocalInteraction, target: Quadratic) -> np.ndarray:
    return np.linalg.pinv(bound.terms.T @ target.curvature @ bound.terms, rcond=1e-12, hermitian=True)


def _covariance(bound: BoundLocalInteraction, target: Quadratic, root: np.ndarray) -> np.ndarray:
    """Sandwich covariance of the pair strengths."""
    half = root @ bound.terms @ _inverse(bound, target)
    return half.T @ half


def _relevant_pairs(bound: BoundLocalInteraction, best: Fit, strengths: np.ndarray, covariance: np.ndarray) -> Fit:
    shrunk = relevant(strengths, covariance)
    return Fit(best.weights, shrunk, bound.terms @ shrunk, best.value)


def relevant(estimate: np.ndarray, covariance: np.ndarray, start: np.ndarray | None = None, sweeps: int = 200) -> np.ndarray:
    """Posterior mean of strengths whose prior widths maximise the evidence: what is within its error of zero goes to zero.

    Automatic relevance determination (MacKay 1992) on the normal summary N(estimate, covariance). One strength with error
    σ becomes 0 where |estimate| < σ, and estimate − σ²/estimate otherwise: a strong one hardly changes.

    Examples
    --------
    >>> relevant(np.array([1.0, 0.02]), 0.05**2 * np.eye(2)).round(4)
    array([0.9975, 0.    ])
    """
    variance = relevance(estimate, covariance, start, sweeps)
    if not np.all(np.isfinite(variance)):
        return estimate  # too few batches of draws, or strengths that no data can tell apart
    return np.asarray(variance * np.linalg.solve(covariance + np.diag(variance), estimate))


def relevance(estimate: np.ndarray, covariance: np.ndarray, start: np.ndarray | None = None, sweeps: int = 200) -> np.ndarray:
    """Prior variance of every strength that maximises the evidence of N(estimate, covariance); inf where that is singular.

    `start` holds the variances of a similar estimate, from which few `sweeps` suffice.

    Examples
    --------
    >>> relevance(np.array([1.0, 0.02]), 0.05**2 * np.eye(2)).round(4)
    array([0.9975, 0.    ])
    """
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    if np.linalg.matrix_rank(covariance / np.outer(scale, scale), hermitian=True) < len(scale):
        return np.full(len(estimate), np.inf)
    variance = np.maximum(estimate**2 - scale**2, 0.0) if start is None else start.copy()
    inverse = np.linalg.inv(covariance + np.diag(variance))  # precision of the estimate, given those widths
    for _ in range(sweeps):
        before = variance.copy()
        for k in range(len(estimate)):  # the best width of one strength given the others (Tipping and Faul 2003)
            rest = 1 - variance[k] * inverse[k, k]
            sparsity, quality = inverse[k, k] / rest, (inverse[k] @ estimate) / rest
            best = max(0.0, (quality**2 - sparsity) / sparsity**2)
            change, column = best - variance[k], inverse[:, k].copy()
            if change:
                inverse -= change / (1 + change * column[k]) * np.outer(column, column)
            variance[k] = best
        if np.all(np.abs(variance - before) <= 1e-6 * (variance + scale**2)):
            break
    return variance


def _groups(bound: BoundLocalInteraction, fits: list[Fit], best: Fit, parts: list[Observations]) -> dict[str, xr.Dataset]:
    tables = np.stack([fit.table for fit in fits])
    posterior = xr.Dataset(
        {"table": (("chain", "draw", "code"), tables[None]), "strength": (("chain", "draw", "term"), bound.strengths(tables)[None])},
        coords={"chain": [0], "draw": np.arange(len(fits)), "code": np.arange(tables.shape[1]), "term": bound.term_names},
    )
    point = xr.Dataset(
        {"table": ("code", best.table), "strength": ("term", bound.strengths(best.table))}, coords={"term": bound.term_names}
    )
    named = [dense.as_arrays(fit.weights) for fit in fits]
    weights = {
        name: (("member", *(f"{name}_{axis}" for axis in range(array.ndim))), np.stack([one[name] for one in named]))
        for name, array in named[0].items()
    }
    weights["strengths"] = (("member", "term"), np.stack([fit.strengths for fit in fits]))
    frequencies = np.stack([np.bincount(part.states.ravel(), minlength=bound.space.q) / part.states.size for part in parts])
    observed = xr.Dataset(
        {"site_frequency": (("temperature", "state"), frequencies), "size": ("temperature", [part.size for part in parts])},
        coords={"temperature": np.arange(len(parts)), "beta": ("temperature", [part.beta for part in parts])},
    )
    return {"posterior": posterior, "point": point, "observed_data": observed, "weights": xr.Dataset(weights)}


def bound_of(post: xr.DataTree) -> BoundLocalInteraction:
    """The family a posterior belongs to, on its sites."""
    return cast(BoundLocalInteraction, posteriors.model_of(post).bind(posteriors.space_of(post), posteriors.site_shape(post)))


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Tile energies of the ensemble, on a periodic lattice of any extents that hold the window."""
    bound = bound_of(post)
    tables = families.spread(np.asarray(post["posterior"]["table"]), n, seed)
    return [bound.system(table, shape) for table in tables]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """Fields and pair strengths of every member, and how much of its energy is of another form."""
    group, bound = post["posterior"].to_dataset(), bound_of(post)
    strengths = group["strength"].values
    rest = group["table"].values - strengths @ bound.terms.T
    return [*bound.term_names, "rms beyond pairs"], np.concatenate([strengths, rest.std(-1, keepdims=True)], -1)


def point(post: xr.DataTree, shape: tuple[int, ...] | None = None) -> System:
    """The energy of the network trained on the data as they are."""
    return bound_of(post).system(np.asarray(post["point"]["table"]), shape)
