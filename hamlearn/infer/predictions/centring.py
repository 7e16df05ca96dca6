"""Bands in the right place: what an optimum's optimism and the average over a posterior shift, found by refits and taken out.

Of p parameters and M effective rows the energy of the optimum is too low by about p/(Mβ) in total, since θ̂ follows the noise of the
data, and the mean over posterior draws by as much again, since the energy is concave in θ. Other observables and other
temperatures have other shifts, so no formula is subtracted. An estimate f(θ̂) is a function of the data's means, so its bias is
half the trace of its second derivative in these, with their covariance: the model is fitted again to means that are a little off
its own in opposite directions, and every observable is computed from these fits at every temperature. The pseudo-likelihood is fitted to
rows drawn from the fit instead (:mod:`.redrawn`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.likelihoods import ExactLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import maximise
from hamlearn.infer.predictions import kept, redrawn
from hamlearn.infer.predictions.estimator import Estimates
from hamlearn.infer.predictions.work import HESSIAN, Work
from hamlearn.infer.provenance import Provenance
from hamlearn.models import BoundCouplings, Normal, Prior
from hamlearn.systems.base import System
from hamlearn.systems.observables import Observable

PAIRS = 8  # of refits, whose second differences scatter by about 1/sqrt(PAIRS p) of the shift
_STEP = 0.3  # of the data's noise: at all of it, refits of 50 rows to 27 parameters run far off and overcorrect threefold
NEGLIGIBLE = 0.05  # of the posterior's standard deviation


@dataclass(frozen=True)
class Refits:
    """What predictions are centred by.

    Attributes
    ----------
    systems : list of System
        The optimum, that refitted to its own means (the prior pulls once more), then pairs of refits.
    words : str
        What was done, or why nothing was.
    optimism : float
        Estimate of the energy per site's shift at β = 1 where it is not removed; 0 where it is negligible or removed.
    beta : float
        The highest temperature of the data.
    """

    systems: list[System]
    words: str
    optimism: float = 0.0
    beta: float = np.inf


def refits(post: xr.DataTree, seed: int, shape: tuple[int, ...] | None = None, work: Work | None = None) -> Refits:
    """Systems of the optimum and of refits to slightly shifted data, in pairs of opposite noise.

    Parameters
    ----------
    post : DataTree
        A posterior.
    seed : int
        Of the noise.
    shape : tuple of int, optional
        Extents of the predicted lattice.
    work : Work, optional
        Adds up what it costs.

    Returns
    -------
    Refits
        Without systems where the shift is negligible, or where it cannot be found; ``words`` says which.
    """
    if not families.traits(post).bonds or posteriors.space_of(post).continuous:
        return Refits([], "not centred: the shift of bands by refits is known for couplings of spins and q-state sites")
    bound, made = posteriors.bound_of(post), posteriors.provenance_of(post)
    rows, p, n = made.worth * _known(made, bound.space.q), bound.n_params, bound.lattice.n_sites
    # Shift 2p/(Mβ) against the posterior's spread of the energy sqrt(N c/M)/β, with c ~ 1/2 the heat capacity per site.
    if 3 * p < NEGLIGIBLE * np.sqrt(rows * n):
        return Refits([], f"not needed: {p} parameters from {rows:.4g} effective rows shift by less than {NEGLIGIBLE:g} sd")
    flat = made.engine.name == "mle"
    prior = None if flat else bound.model.prior
    optimism, observed = 2 * p / (rows * n), float(posteriors.trained_betas(post).min())
    reason = ""
    by_rows = made.likelihood == "pseudo"
    if by_rows and (kind := redrawn.refusal(bound, posteriors.observed_betas(post).tolist(), PAIRS)):
        reason = f"refits of rows that are drawn from the fit are not affordable, or not known: {kind}"
    elif made.likelihood not in ("exact", "pseudo"):
        reason = f"refits are affordable with the exact likelihood and the pseudo-likelihood, not with {made.likelihood}"
    elif made.missing or made.flip:
        reason = "of microstates with missing or misread values the optimum is not that of their means"
    elif not (flat or isinstance(prior, Normal)):
        reason = "the shift under a sparse or heavy-tailed prior is not known"
    elif made.engine.name == "external":
        reason = "the draws were made elsewhere, and their mean is theirs"
    elif made.engine.name == "pooled":
        reason = "its group learns from others, whose shift is not known"
    if reason:
        return Refits([], f"not centred: {reason}; intervals of energies and entropies hold 2p/(M beta) instead", optimism, observed)
    centres, pairs = _found(bound, post, prior, seed, work or Work())
    if len(pairs) < PAIRS // 2:
        reason = "refits run off to infinity" + ", or too few rows can be drawn from the fit" * by_rows
        words = f"not centred: {reason}; intervals of energies and entropies hold 2p/(M beta) instead"
        return Refits([], words, optimism, observed)
    lattice = None if shape is None else bound.lattice.resized(shape)
    systems = [bound.system(theta, lattice) for theta in [*centres, *(one for pair in pairs for one in pair)]]
    words = f"by {len(pairs)} pairs of refits to slightly shifted data ({p} parameters, {rows:.4g} effective rows)"
    return Refits(systems, words, optimism, observed)


def _known(made: Provenance, q: int) -> float:
    """Share of the rows that couplings learn from, as if the others were not there.

    A coupling learns from the rows in which both of its sites were observed. A site that is misread at the rate f keeps 1 − f q/(q−1) of
    how it goes with others, a pair the square of that, and so much less is every row worth, squared once more as information is.
    """
    kept = 1 - made.flip * q / (q - 1)
    return max((1 - made.missing) ** 2 * kept**4, 1e-6)


_Optima = tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]


def _found(bound: BoundCouplings, post: xr.DataTree, prior: Prior | None, seed: int, work: Work) -> _Optima:
    """The refits, made once: no temperature enters, so they are kept by the content of the posterior."""

    def make() -> tuple[_Optima, Work]:
        made, cost = posteriors.provenance_of(post), Work()
        if made.likelihood == "pseudo":
            observed = post["observed_data"].to_dataset()
            betas, sizes = observed["beta"].values.tolist(), observed["size"].values.astype(float)
            cost.announce(f"{2 * PAIRS} refits to rows drawn from the fit, that centre the bands", redrawn.operations(bound, betas, PAIRS))
            rows = sizes * float(made.worth) / sizes.sum()
            return redrawn.refitted(bound, posteriors.theta_point(post), prior, betas, rows.tolist(), _STEP, PAIRS, seed), cost
        likelihood = _likelihood(bound, post, float(made.worth))
        compiling = 0.0 if likelihood.tabulated else HESSIAN
        cost.announce(f"{2 * PAIRS} refits that centre the bands", _operations(likelihood), compiling=compiling)
        return _pairs(likelihood, post, prior, seed), cost

    found, cost = kept.recall(("refits", kept.content(post), seed), make)
    work.compiling += cost.compiling
    work.operations += cost.operations  # what a prediction says of itself is the same, whatever was asked before
    return found


def _operations(likelihood: ExactLikelihood) -> float:
    """Of the refits, about: each a few gradients and a Hessian, which is worth two gradients a parameter."""
    return 2 * PAIRS * (6 + 4 * likelihood.bound.n_params) * likelihood.operations


def _pairs(likelihood: ExactLikelihood, post: xr.DataTree, prior: Prior | None, seed: int) -> _Optima:
    """The optimum, that of its own means, and optima of data whose means are its own plus and minus a part of the data's noise."""
    centre = maximise(likelihood, prior, start=posteriors.theta_point(post)).theta
    generator = np.random.default_rng(seed)
    means, roots = [], []
    for beta in likelihood.betas:
        mean, covariance = likelihood.moments(float(beta), centre)
        values, vectors = np.linalg.eigh(covariance)
        means.append(mean)
        roots.append(vectors * np.sqrt(np.maximum(values, 0.0)))
    # What a proper prior pulls is of the first order: it must not be taken for a second difference.
    likelihood.totals = likelihood.sizes[:, None] * np.stack(means)
    pulled = maximise(likelihood, prior, start=centre).theta
    found = []
    for _ in range(PAIRS):
        # Signs along the principal axes: the sum over axes of second differences then comes without its diagonal's noise.
        noise = np.stack([root @ generator.choice([-1.0, 1.0], root.shape[1]) for root in roots])
        noise *= _STEP * np.sqrt(likelihood.sizes)[:, None]
        pair = []
        for sign in (1.0, -1.0):
            likelihood.totals = likelihood.sizes[:, None] * np.stack(means) + sign * noise
            try:
                best = maximise(likelihood, prior, start=pulled)
            except (HamlearnError, np.linalg.LinAlgError):
                break
            if not best.converged:
                break
            pair.append(best.theta)
        if len(pair) == 2:
            found.append((pair[0], pair[1]))
    return [centre, pulled], found


def _likelihood(bound: BoundCouplings, post: xr.DataTree, rows: float) -> ExactLikelihood:
    """The exact likelihood of the observed means, as of so many independent rows."""
    observed = post["observed_data"].to_dataset()
    betas, sizes = observed["beta"].values, observed["size"].values.astype(float)
    blank = np.zeros((1, 1, bound.lattice.n_sites), np.int8)
    parts = [Observations(blank, np.ones((1, 1)), False, float(beta), True) for beta in betas]
    result = ExactLikelihood(bound, parts)
    result.sizes = sizes * rows / sizes.sum()
    pair, single = observed["bond_frequency"].values, observed["site_frequency"].values
    result.totals = result.sizes[:, None] * bound.mean_statistics(pair, single)
    return result


def centred(
    estimates: dict[str, Estimates], found: Refits, betas: np.ndarray, records: Sequence[Observable], systems: Sequence[System]
) -> dict[str, Estimates]:
    """Estimates of members alone, with the shift that centres them; `estimates` are of members and then of ``found.systems``.

    `records` are what was estimated, of the members `systems`.

    Observables that were sampled for every system by itself are left where they are: second differences would multiply their noise by a
    hundred. Systems that share their microstates have differences of little noise, which is in the error of the shift.
    """
    moved = [one for one in records if one.optimism and found.optimism]
    told = {one.name: _held(one, estimates[one.name], found, betas, systems) for one in moved}
    if not found.systems:
        return {name: replace(one, shift_error=told[name]) if name in told else one for name, one in estimates.items()}
    count, result = len(found.systems), {}
    for name, one in estimates.items():
        values, own = one.values[:-count], one.values[-count:]
        result[name] = replace(one, values=values, errors=one.errors[:-count])
        if one.errors.any() and one.shared is None:
            if name in told:
                result[name] = replace(result[name], shift_error=told[name])
            continue
        bias = ((own[2::2] + own[3::2]) / 2 - own[1]) / _STEP**2 + own[1] - own[0]
        shift = own[0] - bias.mean(0) - values.mean(0)
        error = np.hypot(bias.std(0, ddof=1) / np.sqrt(len(bias)), one.errors[-count])
        result[name] = replace(result[name], shift=shift, shift_error=error)
    return result


def _held(record: Observable, one: Estimates, found: Refits, betas: np.ndarray, systems: Sequence[System]) -> np.ndarray:
    """How far members may be off where they are not centred, at every temperature: ``(beta,)``.

    It is 2p/(Mβ) at the temperature of the data. Where it is colder it does not shrink, since parameters that are too strong stay so.
    As β → 0 it would grow without end, where every state is as probable whatever was learned. What bounds it there: a fit is off since
    it takes noise for order, so the truth lies between what the draws say and what they would say if all states were as
    probable (energies, free energies and entropies of any system lie below that, its multi-information above it). How far the draws
    are from there is the most that they can be off.
    """
    assert record.optimism is not None
    by, n = record.optimism, systems[0].lattice.n_sites
    shift = found.optimism * np.array([by(min(beta, found.beta), n) for beta in betas.tolist()])
    if record.disordered is None:
        return shift
    there = np.array([np.broadcast_to(record.disordered(system, betas), betas.shape) for system in systems])
    return np.fmin(shift, np.abs((one.values[: len(systems)] - there).mean(0)))  # nan where it is not known
