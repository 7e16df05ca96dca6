"""The kind of :class:`hamlearn.models.NetworkAction`: local networks of paths, learned at all temperatures together.

Score matching comes first: its loss is quadratic, so that every form and penalty costs a small solve. Losses of different temperatures have
no common scale: each is multiplied by the number that makes its curvature, on average over the coefficients of the polynomials, the inverse
of their covariance, so that it counts for what it knows and none dominates. (One number, not the whole inverse covariance, whose estimate
is at its worst for units that few rows touch.) From there Newton steps climb the exact likelihood of the forms that are left, and
penalties are chosen by the evidence (:mod:`.network_refinement`); rows count as many as independent ones they are worth.

With H the curvature, J the covariance of the summed score and Λ the penalty, the posterior is normal about θ̂ with covariance
(H + Λ)⁻¹ (J + rΛ) (H + Λ)⁻¹: the scatter of repeated experiments and, under the prior that the penalty is, the mean square of what the
penalty holds back. By the exact likelihood J is H but for noise, and this is the posterior's own covariance (H + Λ)⁻¹.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer import families, groups, observations, posteriors
from hamlearn.infer.calibrate import require_batches
from hamlearn.infer.costs import Cost
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families import network_doubts, network_evidence, network_selection
from hamlearn.infer.families.actions import RUNAWAY_SHARE
from hamlearn.infer.families.network_evidence import UNLIKELY, Evidence
from hamlearn.infer.families.network_selection import Choice
from hamlearn.infer.likelihoods.network_ring import MOST_POINTS
from hamlearn.infer.likelihoods.network_score import NetworkScores, Sums, TermScores, sums, term_sums
from hamlearn.infer.observations import Observations, flat
from hamlearn.infer.provenance import Basis, Noted
from hamlearn.infer.scatter import ScoreCovariance, contributions, score_covariance
from hamlearn.models.actions import percent
from hamlearn.models.network_action import BoundNetworkAction, Form, NetworkAction
from hamlearn.progress import logger
from hamlearn.statistics import standard_error
from hamlearn.systems.base import System

CHAINS, DRAWS = 4, 250
FEWEST = 200  # paths of every temperature
SEEN = 1e-4  # share of steps (of values, at either end) that may lie beyond the outermost units
_FIXED, _PER_VALUE = 3.0, 1.5e-5  # seconds, and those of one slice of one path: sums and scores of some forty terms
_ABSURD = 1e-6  # p-value of a serious finding
_FAR_OFF = 0.25  # square of what paths were moved by over their variance
_MOST = 0.75  # of draws that do not confine, beyond which they are kept: the data say so
_FAULT = "has a polynomial that does not confine paths"


def learn(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: NetworkAction,
    likelihood: str = "auto",
    engine: Any = "auto",
    calibrate: bool = True,
    seed: int = 0,
) -> xr.DataTree:
    """The posterior of k and v given paths at one or more temperatures; a bare tree, without a verdict."""
    choice(likelihood, ("auto", "exact", "score"), "likelihood of a network action")
    if engine != "auto":
        raise HamlearnError(f"the weights of a network action are solved for: leave engine='auto'; got {engine!r}.")
    if not calibrate:
        raise HamlearnError("score matching has no natural scale: its error bars come from calibration alone; leave calibrate=True.")
    bound, parts, sets = bind(data, model)
    asked = Enquiry(model, bound.space, sets, seed)
    cost = Cost(_FIXED + _PER_VALUE * sum(part.states.size for part in parts))
    logger.info("learning a network action of %d slices, %s", bound.shape[0], cost)
    whole = network_selection.largest(model, bound, extent(parts))
    quadratic = [sums(whole, part) for part in parts]
    factors = [_factor(whole, part, one) for part, one in zip(parts, quadratic, strict=True)]
    worth = [_worth(whole, part) for part in parts]
    evidence = Evidence(whole, [part.beta for part in parts], quadratic, [term_sums(whole, part) for part in parts], factors, worth)
    found, table = network_evidence.select(evidence, exact=likelihood != "score")
    asked.say(found.told)
    if likelihood == "exact" and not found.exact:
        raise HamlearnError(
            f"likelihood='exact': the transfer operator does not resolve this action on {MOST_POINTS} grid points. Use likelihood='score', "
            "fewer time slices, or leave likelihood='auto'."
        )
    asked.say(_how(found, likelihood))
    if len(parts) == 1:
        asked.say("one temperature: K and V are told apart by what they read, steps and values, alone")
    matched = found.matched or found
    scores = [_scores(matched, part, factor) for part, factor in zip(parts, factors, strict=True)]
    agreement, balance = _agreement(evidence, matched, scores), 1.0
    if found.exact:
        terms = [TermScores(found.bound, [part], {part.beta: one}) for part, one in zip(parts, worth, strict=True)]
        scores = [score_covariance(one, found.theta) for one in terms]
        balance = network_doubts.balance(evidence, found)
        if agreement is not None:  # two ways to ask, both at every temperature
            agreement = min(1.0, 2 * min(agreement, network_doubts.agreement(evidence, found, [one.J for one in scores])))
    theta, runaway = _draws(found, np.sum([one.J for one in scores], axis=0), seed)
    weakest = min(scores, key=lambda one: one.ess)
    return asked.posterior(
        _groups(found, theta, parts, table),
        likelihood="exact" if found.exact else "score",
        composite=not found.exact,
        engine={"name": "solve", "decays": list(found.decays), "form": network_selection.described(found)},
        n_params=found.bound.n_params,
        estimated_seconds=cost.seconds,
        adjusted=True,
        basis=Basis("sandwich", {"batches": weakest.batches, "kind": weakest.kind, "composite": not found.exact, "tau": weakest.tau}),
        ess=sum(one.ess for one in scores),
        tau=max(one.tau for one in scores),
        calibration=weakest.told,
        optimum={"steps": 1, "value": -float(found.held_out.sum())},
        nonconfining=runaway,
        findings=(
            *_misplaced(evidence, found),
            *_findings(parts, agreement, runaway, table.attrs["symmetry"] if found.bound.form.even else 1.0, balance),
        ),
        agreement=agreement,
    )


def bind(data: xr.Dataset | Iterable[xr.Dataset], model: NetworkAction) -> tuple[BoundNetworkAction, list[Observations], list[xr.Dataset]]:
    """The family on the slices of the data, and the data."""
    sets = microstate_data.split_by_beta(data)
    shapes = sorted({microstate_data.site_shape(part) for part in sets})
    if len(shapes) > 1:
        raise HamlearnError(f"mixed numbers of time slices {shapes}: K and V are those of one number. Learn each by itself.")
    bound, parts, sets = observations.bind(sets, model)
    for part, given in zip(parts, sets, strict=True):
        if not int(given.attrs.get("beta_declared", 0)):
            raise HamlearnError(
                "the temperature of these paths was not declared: S = K/beta + beta V needs it, hl.microstates(..., beta=...)."
            )
        if microstate_data.periodic(given) is False:
            raise HamlearnError("these paths are declared open, and a NetworkAction is one of rings: use PolynomialAction(periodic=False).")
        if microstate_data.spacing(given) is not None:
            raise HamlearnError(
                "these paths have a given width of their time slices, which no temperature changes; a NetworkAction has a = beta/N_tau. "
                "Declare beta = a N_tau and leave out the spacing."
            )
        if len(flat(part)[0]) < FEWEST:
            raise HamlearnError(
                f"{len(flat(part)[0])} paths at beta = {part.beta:g} are too few to choose a form by those held out; a NetworkAction needs "
                f"{FEWEST} at least, and thousands to be worth it. PolynomialAction needs fewer."
            )
    return bound, parts, sets


def extent(parts: list[Observations]) -> tuple[float, float, float]:
    """The longest step, and the lowest and highest value, that all but a share SEEN of some temperature's data stay within."""
    longest, low, high = [], [], []
    for part in parts:
        rows = flat(part)[0]
        longest.append(np.quantile(np.abs(np.roll(rows, -1, 1) - rows), 1 - SEEN))
        low.append(np.quantile(rows, SEEN))
        high.append(np.quantile(rows, 1 - SEEN))
    found = float(max(longest)), float(min(low)), float(max(high))
    if not (found[0] > 0 and found[2] > found[1]):
        raise HamlearnError("these paths never move: every value is the same, and there is no action to learn.")
    return found


def _factor(whole: BoundNetworkAction, part: Observations, found: Sums) -> float:
    """What makes the curvature of a temperature, on average over the coefficients of polynomials, an inverse covariance."""
    plain = replace(whole, form=Form(whole.form.powers, False, False))
    M = network_selection.embedding(whole, plain.form)
    A, b = M.T @ found.A.sum(0) @ M, found.b.sum(0) @ M
    theta = network_selection.solved(A, b, np.zeros_like(A))
    score = score_covariance(NetworkScores(plain, [part], {part.beta: 1.0}), theta)
    require_batches(score)
    scale = np.sqrt(np.diag(A))
    A, J = A / np.outer(scale, scale), score.J / np.outer(scale, scale)
    return float(len(A) / np.trace(np.linalg.pinv(A, hermitian=True) @ J))


def _worth(whole: BoundNetworkAction, part: Observations) -> float:
    """How many independent rows a row is worth, by the slowest term of the polynomials."""
    plain = replace(whole, form=Form(whole.form.powers, False, False))
    _, tau = contributions(TermScores(plain, [part], {part.beta: 1.0}), np.zeros(plain.n_params), minimum=0)
    return part.worth / tau / part.size


def _how(found: Choice, likelihood: str) -> str:
    if found.exact:
        return "by the exact likelihood of rings (transfer operator), from where score matching ends"
    if likelihood == "score":
        return "by score matching, as asked"
    return "by score matching: the transfer operator does not resolve this action"


def _scores(found: Choice, part: Observations, factor: float) -> ScoreCovariance:
    return score_covariance(NetworkScores(found.bound, [part], {part.beta: factor}), found.theta)


def _draws(found: Choice, J: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Normal draws ``(chain, draw, n_params)`` about the optimum, those that confine paths, and the share of those that do not.

    Paths that were observed are held together, which is known before any of them is looked at. Where most draws say otherwise all are kept.
    """
    inverse = np.linalg.inv(found.H + found.penalty)
    covariance = inverse @ (J + found.held_back(J)) @ inverse
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    count = CHAINS * DRAWS
    drawn = found.theta + np.random.default_rng(seed).normal(size=(4 * count, len(root))) @ root.T
    held = found.bound.confining(drawn)
    kept = drawn[held] if held.sum() >= count else drawn
    return kept[:count].reshape(CHAINS, DRAWS, -1), float(1 - held.mean())


def _agreement(data: Evidence, found: Choice, scores: list[ScoreCovariance]) -> float | None:
    """P-value of all temperatures having the same coefficients of polynomials: K/β + βV with one K and one V; None for one."""
    if len(scores) < 2:
        return None
    statistic, count = network_evidence.disagreement(found, *data.by_temperature(found), [score.J for score in scores])
    return float(scipy.stats.chi2.sf(statistic, count))


def _misplaced(data: Evidence, found: Choice) -> Iterable[Noted]:
    for one in network_evidence.misplaced(data, found):
        numbers = {"beta": one.beta, "power": one.power, "learned": one.learned, "observed": one.observed, "error": one.error}
        yield Noted("paths elsewhere", "serious" if one.moved > _FAR_OFF else "caution", "fit", numbers)


def _findings(parts: list[Observations], agreement: float | None, runaway: float, symmetry: float, balance: float) -> Iterable[Noted]:
    if runaway > 0:
        severity = "note" if runaway <= RUNAWAY_SHARE else "caution" if runaway <= _MOST else "serious"
        yield Noted("unbounded tails", severity, "stability", {"share": runaway, "kept": runaway > _MOST})
    if agreement is not None and agreement < UNLIKELY:
        severity = "serious" if agreement < _ABSURD else "caution"
        yield Noted("temperatures disagree", severity, "fit", {"p": agreement, "pooled": False})
    if symmetry < UNLIKELY:
        yield Noted("not mirror images", "serious" if symmetry < _ABSURD else "caution", "fit", {"p": symmetry})
    if balance < UNLIKELY:
        yield Noted("slopes unbalanced", "serious" if balance < _ABSURD else "caution", "fit", {"p": balance})
    for part in parts:
        cubes = ((np.roll(part.states, -1, -1) - part.states) ** 3).sum(-1)  # changes its sign when time is reversed
        error = float(standard_error(cubes))
        p = float(2 * scipy.stats.norm.sf(abs(cubes.mean()) / error)) if error > 0 else 1.0
        if not part.weighted and p < UNLIKELY / len(parts):
            yield Noted("arrow of time", "serious" if p < _ABSURD else "caution", "fit", {"beta": part.beta, "p": p})


def variables(bound: BoundNetworkAction, theta: np.ndarray) -> xr.Dataset:
    """What a posterior reports of θ ``(n_params,)`` or ``(chain, draw, n_params)``."""
    (lead, axes), (steps, powers, values) = groups.drawn(theta), bound.parts
    found = xr.Dataset(
        {"kinetic": (lead, theta[..., 0]), "c": ((*lead, "power"), theta[..., powers])}, axes | {"power": list(bound.form.powers)}
    )
    if bound.form.steps:
        found = found.assign(step_weight=((*lead, "step_unit"), theta[..., steps]))
    return found.assign(weight=((*lead, "unit"), theta[..., values])) if bound.form.values else found


def _groups(found: Choice, theta: np.ndarray, parts: list[Observations], table: xr.Dataset) -> dict[str, xr.Dataset]:
    bound, longest = found.bound, [np.abs(np.roll(part.states, -1, -1) - part.states).max() for part in parts]
    observed = {"longest_step": ("temperature", longest)}
    placed = xr.Dataset({"extent": ("end", list(bound.extent))}, coords={"end": ["longest_step", "lowest", "highest"]})
    return {
        "posterior": variables(bound, theta),
        "point": variables(bound, found.theta),
        "observed_data": groups.by_temperature(parts, observed),
        "constant_data": placed,
        "selection": table,
    }


def bound_of(post: xr.DataTree) -> BoundNetworkAction:
    """The family a posterior belongs to, with its form and the places of its units."""
    bare = cast(BoundNetworkAction, posteriors.model_of(post).bind(posteriors.space_of(post), posteriors.site_shape(post)))
    group, placed = post["posterior"].to_dataset(), post["constant_data"].to_dataset()["extent"].values
    form = Form(tuple(int(power) for power in group["power"].values), "step_weight" in group, "weight" in group)
    longest, low, high = (float(one) for one in placed)
    return replace(bare, form=form, extent=(longest, low, high))


def theta_of(group: xr.Dataset) -> np.ndarray:
    """θ ``(..., n_params)`` from the variables of a posterior, or of its point."""
    pieces = [group["kinetic"].values[..., None], *(group[name].values for name in ("step_weight", "c", "weight") if name in group)]
    return np.concatenate(pieces, -1)


def confining_draws(post: xr.DataTree, n: int, seed: int) -> np.ndarray:
    """`n` draws of θ whose polynomials confine paths ``(n, n_params)``; an error where more than a few do not."""
    bound, draws = bound_of(post), theta_of(post["posterior"].to_dataset())
    stable = bound.confining(draws)
    if stable.mean() < 1 - RUNAWAY_SHARE:
        raise HamlearnError(
            f"{percent(float(1 - stable.mean()))} of this posterior {_FAULT}: there is no equilibrium to simulate. Collect more data, or "
            "learn with degree=2; hl.action still evaluates it."
        )
    return families.spread(draws[stable][None], n, seed)


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Paths drawn from the posterior."""
    bound = bound_of(post)
    return [bound.system(theta, shape) for theta in confining_draws(post, n, seed)]


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """θ: κ, coefficients and readout weights."""
    return bound_of(post).parameter_names, theta_of(post["posterior"].to_dataset())


def point(post: xr.DataTree, shape: tuple[int, ...] | None = None) -> System:
    """The paths of the optimum."""
    return bound_of(post).system(theta_of(post["point"].to_dataset()), shape)


def action(post: xr.DataTree, states: np.ndarray, beta: float, members: int, seed: int) -> np.ndarray:
    """S of paths ``(..., n_tau)`` under drawn weights, ``(member, ...)``; draws that do not confine included."""
    theta = families.spread(theta_of(post["posterior"].to_dataset()), members, seed)
    return np.moveaxis(bound_of(post).terms(states, beta) @ theta.T, -1, 0)
