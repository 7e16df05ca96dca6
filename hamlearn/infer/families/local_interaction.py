"""The kind of :class:`hamlearn.models.LocalInteraction`: neural local energies trained on single-site conditionals.

Members are trained on expansions of the likelihood (:mod:`.local_training`) whose slope is perturbed by the sampling covariance of the
score, so their scatter is that of repeated experiments (the sandwich).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, groups, observations, posteriors
from hamlearn.infer.costs import Cost
from hamlearn.infer.engines import jax_training
from hamlearn.infer.engines.jax_training import Quadratic
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families import local_training
from hamlearn.infer.families.local_training import Fit
from hamlearn.infer.likelihoods.table_conditionals import TileConditionals
from hamlearn.infer.observations import Observations
from hamlearn.infer.provenance import Basis
from hamlearn.infer.relevance import relevant
from hamlearn.infer.scatter import RowScores, score_covariance
from hamlearn.infer.thinning import thinned
from hamlearn.models import dense
from hamlearn.models.local_interaction import BoundLocalInteraction, LocalInteraction
from hamlearn.progress import logger, track
from hamlearn.systems.base import System
from hamlearn.systems.interaction_tables import InteractionTables

# Seconds: "local interaction 6x6" and "4x4" of benchmarks/couplings/estimates.py, whose networks are not worth training.
_COMPILING = 1.5
_PAIRS, _NETWORK = 0.08, 0.4  # of a member: fitted as pair strengths, trained as a network
FEWEST = 50  # microstates that are split into a part trained on and a part held out


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
    bound, parts, sets = bind(data, model)
    asked = Enquiry(model, bound.space, sets, seed)
    parts, stride = thinned(parts)
    tiles = bound.system(np.zeros(len(bound.states)))
    whole = TileConditionals(tiles, [TileConditionals.encode(tiles, part) for part in parts])
    cost = Cost(_COMPILING + 0.5 + 4e-6 * whole.size + _PAIRS * model.members, _COMPILING)
    logger.info("learning a local energy on %d states of a window, %s", len(bound.states), cost)
    found = local_training.select(bound, whole, model, seed)
    asked.say(found.told)
    trained = 0.0 if found.decay is None else _NETWORK * model.members
    if trained:
        logger.info("  training %d networks, about %.2g s", model.members, trained)
    pairs = local_training.pairs_alone(bound, whole, found.strengths)
    best = pairs if found.decay is None else local_training.network(bound, whole, pairs, found.decay, seed)
    target, root, facts = _expansion(bound, whole, parts, best, calibrate=calibrate)
    fits = _ensemble(bound, best, target, root, found.decay, seed)
    if found.decay is None:
        best = _relevant_pairs(bound, best, best.strengths, _covariance(bound, target, root))
    if stride > 1:
        asked.say(f"one draw in {stride} used: those between hardly differ from them")
        facts["tau"] = facts.get("tau", 1.0) * stride
    weights = 0 if found.decay is None else sum(np.size(array) for layer in best.weights for array in layer)
    return asked.posterior(
        _groups(bound, fits, best, parts) | {"training": found.curve, "selection": found.tried},
        likelihood="pseudo",
        composite=True,
        engine={"name": "lbfgs", "decay": found.decay, "members": model.members},
        n_params=bound.terms.shape[1] + weights,
        estimated_seconds=cost.seconds + trained,
        optimum={"value": best.value},
        **facts,
    )


def bind(
    data: xr.Dataset | Iterable[xr.Dataset], model: LocalInteraction
) -> tuple[BoundLocalInteraction, list[Observations], list[xr.Dataset]]:
    """The family on the sites of the data, and the data as value indices."""
    sets = microstate_data.split_by_beta(data)
    kinds_of_sets = sorted({(str(part.attrs["space"]), int(part.attrs["q"]), tuple(part["state"].shape[2:])) for part in sets})
    if len(kinds_of_sets) > 1:
        raise HamlearnError(f"the data sets have different spaces or site axes: {kinds_of_sets}. Learn each by itself.")
    bound, parts, sets = observations.bind(sets, model)
    for part in parts:
        if part.weight.size < FEWEST:
            raise HamlearnError(
                f"{part.weight.size} microstates at beta = {part.beta:g} are too few to hold some out; "
                f"a local energy needs {FEWEST} at least, and thousands to be worth it. Couplings need fewer."
            )
    return bound, parts, sets


@dataclass(frozen=True, eq=False)
class _PairScores:
    """What the calibration asks of a likelihood, with the pair strengths as its parameters."""

    parts: list[Observations]
    tiles: InteractionTables
    table: np.ndarray
    terms: np.ndarray

    @property
    def bound(self) -> _PairScores:
        return self

    @property
    def n_params(self) -> int:
        return self.terms.shape[1]

    def row_scores(self, theta: np.ndarray) -> RowScores:
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
    score = score_covariance(_PairScores(parts, whole.tiles, best.table, bound.terms), best.strengths)
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
    basis = Basis("perturbed", {"batches": len(root)})
    facts = {"adjusted": True, "basis": basis, "ess": score.ess, "tau": score.tau, "calibration": {**score.told, "batches": len(root)}}
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
                fits.append(Fit(weights, strengths, local_training.table_of(bound, weights, strengths), float("nan")))
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


def _groups(bound: BoundLocalInteraction, fits: list[Fit], best: Fit, parts: list[Observations]) -> dict[str, xr.Dataset]:
    tables = np.stack([fit.table for fit in fits])
    posterior = xr.Dataset(
        {"table": (("chain", "draw", "code"), tables[None]), "strength": (("chain", "draw", "term"), bound.strengths(tables)[None])},
        coords={"chain": [0], "draw": np.arange(len(fits)), "code": np.arange(tables.shape[1]), "term": bound.term_names},
    )
    point = xr.Dataset(
        {"table": ("code", best.table), "strength": ("term", bound.strengths(best.table))}, coords={"term": bound.term_names}
    )
    weights = groups.members([dense.as_arrays(fit.weights) for fit in fits])
    weights["strengths"] = (("member", "term"), np.stack([fit.strengths for fit in fits]))
    frequencies = np.stack([np.bincount(part.states.ravel(), minlength=bound.space.q) / part.states.size for part in parts])
    observed = groups.by_temperature(parts, {"site_frequency": (("temperature", "state"), frequencies)})
    return {"posterior": posterior, "point": point, "observed_data": observed, "weights": weights}


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
