"""The kind of :class:`hamlearn.models.ClusterExpansion`: sparse cluster expansions.

Three stages, each on what the one before leaves over. A *screen* of all candidate terms on the conditionals of a few
distant sites of every microstate; a *refinement* of the terms that keep a posterior probability above 1e-3 on all sites of
all the data, compressed to a table, with error bars calibrated on these terms alone; and, where the terms that exist are
pairs and fields whose partition function is cheap, the *exact* likelihood for their strengths.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import costs, families, groups, observations, posteriors
from hamlearn.infer.constrained import require_able
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families import exact_pairs, term_sets, terms
from hamlearn.infer.likelihoods.exchanges import MANY_PAIRS, partners
from hamlearn.infer.likelihoods.terms import ExchangeTerms, TermLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.provenance import Noted
from hamlearn.infer.settings import Gibbs, as_engine, require_memory
from hamlearn.infer.thinning import thinned
from hamlearn.models import BoundClusterExpansion, ClusterExpansion
from hamlearn.progress import logger
from hamlearn.statistics import descending, first_largest
from hamlearn.systems.base import System

__all__ = ["draw_systems", "learn", "parameters"]

_SCREENED = 200_000  # observations (site of a microstate) of the screen: 80 MB for 400 terms
_EXCHANGED = 2_000_000  # exchanges (of two sites of a microstate) of a refinement
_PATTERN_BITS = 12  # a neighbourhood of so few sites is tabulated whole, so that a screen sees all the data
_CANDIDATE, _MOST_CANDIDATES = 1e-3, 32  # what the refinement takes over
_FEW_ROWS = 50.0  # that tell terms apart, below which sets of them are compared one by one
_LEAST_OBSERVATIONS = 10  # per candidate term, below which nothing can be screened
_FIXED, _PER_OBSERVATION = 0.5, 1e-8  # seconds, and of a term of an observation: "cluster expansion 8x8" of estimates.py
_DRAWS = Gibbs(draws=500, chains=4, warmup=300, thin=2)


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: ClusterExpansion,
    *,
    likelihood: str = "auto",
    engine: Any = "auto",
    calibrate: bool = True,
    seed: int = 0,
) -> xr.DataTree:
    """Posterior over which terms exist (``included``) and their strengths (``K``), over dim ``term``.

    `likelihood` "pseudo" leaves out the exact stage, "exact" demands it, "auto" takes it where it applies.
    """
    choice(likelihood, ("auto", "exact", "pseudo", "exchange"), "likelihood of ClusterExpansion")
    settings = as_engine(engine) or _DRAWS
    if not settings.sparse:
        raise HamlearnError(f"Clusters are learned by engine='gibbs' (or 'auto'): the prior is spike-and-slab; got {settings.name!r}.")
    bound, parts, sets = _bind(data, model)
    require_memory(settings, bound.n_params)
    require_able(likelihood, bound.stand_in, bound.space)
    asked = Enquiry(model, bound.space, sets, seed)
    parts, stride = thinned(parts)
    if stride > 1:
        asked.say(f"one draw in {stride} used: those between hardly differ from them")
    seconds = _seconds(bound, parts, cast(Gibbs, settings))
    told = "learning which of %d terms exist: %s likelihood, engine %s, about %.2g s"
    logger.info(told, bound.n_params, bound.stand_in, settings.name, seconds)
    found = _screen_and_refine(bound, parts, cast(Gibbs, settings), asked, calibrate=calibrate)
    theta, included = (np.zeros((settings.chains, settings.draws, bound.n_params)) for _ in range(2))
    theta[..., found.candidates], included[..., found.candidates] = found.draws.theta, found.draws.included
    selected = found.candidates[found.draws.selected]
    sharp = exact_pairs.sharpened(bound, parts, selected, likelihood, asked.say, calibrate=calibrate)
    if sharp is not None:
        _sharpen(theta, included.astype(bool), selected, sharp, seed)
    point = np.zeros(bound.n_params)
    point[selected] = sharp.theta if sharp is not None else _mean_where(theta, included, selected)
    score = found.draws.score
    tree = {"posterior": _variables(bound, theta, included), "point": _variables(bound, point, point != 0)}
    screened = {"probability": ("term", found.probability), "detectable": ("term", found.detectable)}
    tree["screen"] = xr.Dataset(screened, coords=_coordinates(bound))
    tree["observed_data"] = groups.by_temperature(parts, {"magnetization": groups.site_means(parts, bound.space)})
    return asked.posterior(
        tree,
        likelihood=bound.stand_in if sharp is None else "exact",
        composite=sharp is None,
        engine=settings,
        n_params=max(len(selected), 1),
        estimated_seconds=seconds + (0.0 if sharp is None else sharp.seconds),
        adjusted=calibrate,
        basis=found.draws.basis if sharp is None else sharp.basis,
        ess=None if score is None else score.ess,
        tau=1.0 if score is None else score.tau * (stride if score.tau > 1 else 1),
        candidates=bound.n_params,
        calibration={} if score is None else score.told,
        frozen_sites=(frozen := tuple(observations.frozen_sites(parts).tolist())),
        frozen_fields=frozen if bound.model.tie != "translation" else (),
        findings=(*_undetermined(bound, found.detectable, selected), *_unseen(bound)),
    )


def _seconds(bound: BoundClusterExpansion, parts: list[Observations], settings: Gibbs) -> float:
    """Of the screen and the refinement, about."""
    rows, refined = costs.rows_of(parts), min(bound.n_params, _MOST_CANDIDATES)
    every = min(rows * MANY_PAIRS, _EXCHANGED) if bound.space.constraint else rows * bound.n_sites
    looked_at = min(every, _SCREENED) * bound.n_params + every * refined
    return _FIXED + _PER_OBSERVATION * looked_at + costs.sweeps(bound.n_params + refined, settings)


def _sharpen(theta: np.ndarray, included: np.ndarray, selected: np.ndarray, sharp: exact_pairs.Sharpened, seed: int) -> None:
    """Draws in which exactly the selected terms exist take their strengths from the exact likelihood; in place."""
    same = (included == np.isin(np.arange(theta.shape[-1]), selected)).all(-1)
    noise = np.random.default_rng(seed).normal(size=(int(same.sum()), len(selected))) @ sharp.root.T
    rows = np.zeros((len(noise), theta.shape[-1]))
    rows[:, selected] = sharp.theta + noise
    theta[same] = rows


def _undetermined(bound: BoundClusterExpansion, detectable: np.ndarray, selected: np.ndarray) -> tuple[Noted, ...]:
    """Below which strength terms could exist without having been found, by order, as a note of the verdict."""
    absent = np.setdiff1d(np.arange(bound.n_params), selected)
    orders, weak = bound.orders[bound.term_of], []
    for order in (1, 2, 3, 4):
        there = absent[orders[absent] == order]
        there = there[np.isfinite(detectable[there])]
        if len(there):
            weak.append({"order": order, "low": float(detectable[there].min()), "high": float(detectable[there].max())})
    return (Noted("weak terms", "note", "identifiability", {"orders": weak}),) if weak else ()


def _unseen(bound: BoundClusterExpansion) -> tuple[Noted, ...]:
    """What a fixed sum of all spins leaves undetermined, as a note of the verdict."""
    if not bound.space.constraint or not np.any(bound.orders == 1):
        return ()
    return (Noted("conserved field", "note", "identifiability", {"tied": bound.copies == 1, **bound.space.constraint}),)


def _bind(data: Any, model: ClusterExpansion) -> tuple[BoundClusterExpansion, list[Observations], list[xr.Dataset]]:
    bound, parts, sets = observations.bind(data, model)
    assert isinstance(bound, BoundClusterExpansion)
    for one in sets:
        _refuse_open(one)
    size = sum(part.size for part in parts)
    if size * bound.n_sites < _LEAST_OBSERVATIONS * bound.n_params / bound.copies or size < 50:
        raise HamlearnError(
            f"{size:g} microstates of {bound.n_sites} sites cannot tell {bound.n_params} candidate terms apart; "
            "use more data, a smaller window or a smaller order."
        )
    return bound, parts, sets


def _refuse_open(data: xr.Dataset) -> None:
    """Raise if the data say that they come from an open lattice."""
    if microstate_data.periodic(data) is False:
        raise HamlearnError(
            "a cluster expansion needs a periodic lattice (every site sees the same terms); these data declare an open one. "
            "Use Couplings(graph)."
        )


@dataclass(frozen=True, eq=False)
class _Found:
    """Draws over candidates; of every term its screened probability, and the strength at which its absence would be noticed."""

    draws: terms.TermDraws
    candidates: np.ndarray
    probability: np.ndarray
    detectable: np.ndarray


def _screen_and_refine(
    bound: BoundClusterExpansion, parts: list[Observations], settings: Gibbs, asked: Enquiry, *, calibrate: bool
) -> _Found:
    """Draws over the candidates that survive a screen."""
    slab, everything, all_sites = bound.model.slab, np.arange(bound.n_params), np.arange(bound.n_sites)
    reach = int(np.prod([2 * extent - 1 for extent in bound.window]))
    tabulated = reach <= _PATTERN_BITS or bound.copies > 1
    sites = all_sites if tabulated else _distant_sites(bound, parts)
    if bound.space.constraint:
        all_sites = _pairs(bound, parts, _EXCHANGED)
        sites = all_sites if tabulated else _pairs(bound, parts, _SCREENED)
    of = ExchangeTerms if bound.space.constraint else TermLikelihood
    screen = of(bound, parts, everything, sites, compress=tabulated)
    whole = len(sites) == len(all_sites)
    # A J of hundreds of terms, inverted, shifts the strongest by its own noise: error bars are those of the terms that are left.
    refine = bound.copies == 1 and bound.n_params > _MOST_CANDIDATES
    found = terms.sample(screen, bound.log_odds, slab, settings, calibrated=calibrate, seed=asked.seed, rough=refine or not whole)
    probability = found.included.mean((0, 1))
    what = "pairs" if bound.space.constraint else "sites"
    asked.say(f"screen of {bound.n_params} terms on {len(sites)} of {len(all_sites)} {what}: {len(found.selected)} selected")
    if whole and not refine:
        return _Found(found, everything, probability, terms.detectable(screen, found, everything, bound.log_odds, slab))
    order = descending(probability)[:_MOST_CANDIDATES]
    found_in = np.sort(order[probability[order] >= _CANDIDATE])
    if not len(found_in):
        found_in = order[:1]
    final = of(bound, parts, found_in, all_sites, compress=True)
    start = np.flatnonzero(np.isin(found_in, found.selected))
    refined = terms.sample(final, bound.log_odds[found_in], slab, settings, calibrated=calibrate, seed=asked.seed + 1, start=start)
    asked.say(f"refinement of {len(found_in)} candidates on all {what}: {len(refined.selected)} selected")
    share = len(sites) / len(all_sites)
    detectable = terms.detectable(screen, refined, found_in, bound.log_odds, slab, share)
    if bound.copies > 1 or refined.informed >= _FEW_ROWS:
        return _Found(refined, found_in, probability, detectable)
    candidates = np.union1d(found_in, np.flatnonzero(bound.orders[bound.term_of] <= 2))
    final, start = of(bound, parts, candidates, all_sites, compress=True), np.searchsorted(candidates, found_in[refined.selected])
    compared, count = term_sets.sample(final, bound.log_odds[candidates], slab, settings, start, refined, seed=asked.seed + 2)
    asked.say(f"only {refined.informed:.2g} rows tell some terms apart: {count} sets of terms compared one by one")
    return _Found(compared, candidates, probability, terms.detectable(screen, compared, candidates, bound.log_odds, slab, share))


def _pairs(bound: BoundClusterExpansion, parts: list[Observations], most: int) -> np.ndarray:
    """Pairs of sites whose exchanges are looked at, so that these are `most` observations at most."""
    found, rows = partners(bound.n_sites, MANY_PAIRS), costs.rows_of(parts)
    order = np.random.default_rng(0).permutation(len(found))[: max(1, most // rows)]  # any fixed choice will do
    return found[np.sort(order)]


def _distant_sites(bound: BoundClusterExpansion, parts: list[Observations]) -> np.ndarray:
    """Sites whose conditionals are screened: first those so far apart that no term holds two of them, then any others."""
    rows = sum(part.states.shape[0] * part.states.shape[1] for part in parts)
    count = int(np.clip(_SCREENED // rows, 1, bound.n_sites))
    steps = [np.arange(0, extent - w + 1, w) for extent, w in zip(bound.shape, bound.window, strict=True)]
    grid = np.ravel_multi_index(tuple(axis.ravel() for axis in np.meshgrid(*steps, indexing="ij")), bound.shape)
    generator = np.random.default_rng(0)  # any fixed choice will do: the terms are the same everywhere
    rest = np.setdiff1d(np.arange(bound.n_sites), grid)
    return np.sort(np.concatenate([generator.permutation(grid), generator.permutation(rest)])[:count])


def _mean_where(theta: np.ndarray, included: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Mean of the selected strengths over the draws in which they exist."""
    count = included[..., selected].sum((0, 1))
    return theta[..., selected].sum((0, 1)) / np.maximum(count, 1)


def _coordinates(bound: BoundClusterExpansion) -> dict[str, Any]:
    term = bound.term_of
    return {
        "term": np.array(bound.parameter_names),
        "order": ("term", bound.orders[term]),
        "range": ("term", bound.diameters[term]),
    }


def _variables(bound: BoundClusterExpansion, theta: np.ndarray, included: np.ndarray) -> xr.Dataset:
    lead, coordinates = groups.drawn(theta)
    values = {"K": ((*lead, "term"), theta), "included": ((*lead, "term"), included.astype(np.int8))}
    return xr.Dataset(values, coords={**coordinates, **_coordinates(bound)})


def _bound_of(post: xr.DataTree) -> BoundClusterExpansion:
    return posteriors.model_of(post).bind(posteriors.space_of(post), posteriors.site_shape(post))


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Hamiltonians drawn from the posterior.

    A pair system where a member holds no term of more than two spins, so that oracles and cluster samplers apply; tiles
    otherwise. Terms tied by translation go to any lattice size.
    """
    bound = _bound_of(post)
    drawn = families.spread(np.asarray(post["posterior"]["K"].values), n, seed)
    return [bound.system(theta, shape) for theta in drawn]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """Strengths of the terms that exist with probability above one half (of the most probable one where none does)."""
    group = post["posterior"].to_dataset()
    probability = np.asarray(group["included"].values).mean((0, 1))
    kept = np.flatnonzero(probability > 0.5)
    kept = kept if len(kept) else np.array([first_largest(probability)])
    names = [str(group["term"].values[k]) for k in kept]
    return names, np.asarray(group["K"].values)[..., kept]
