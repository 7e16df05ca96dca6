"""How wide a prior in units of kT has to be: widened from the data where they show strengths beyond it, never narrowed."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from hamlearn.infer.calibrate import inverse_root
from hamlearn.infer.likelihoods.base import Likelihood
from hamlearn.infer.optimum import Optimum, maximise
from hamlearn.models import Normal
from hamlearn.models.priors import Prior

_ROUNDS = 12
_STRENGTH = 4.0  # strengths that the scale asked for counts as: a frozen bond or two must not widen it without end
_SETTLED = 0.02
_PULL = 0.4  # standard deviations that the prior of a group may move what the data say: 90 % intervals then cover 0.88
_SAID = 1 / 8  # of a prior's width: data that leave less than that to a parameter say it themselves


def widened(likelihood: Likelihood) -> tuple[Likelihood, np.ndarray | None]:
    """The likelihood with priors that widen as wide as its data demand, and the maximum with them where it was sought.

    The scales found are then fixed; that of the likelihood alone is close to this maximum.

    A fixed N(0, s²) on each of p strengths is weak for every one of them and strong for all together, Σ θ² = p s² (1 ± √(2/p)): at low
    temperature, where βJ is 2, it would pull a whole lattice towards a higher one. So s, of couplings and of fields apart, goes to
    its most probable value (EM; s² inverse-gamma about the scale given) where that is larger than the scale given. Downwards it would
    shrink a few strong bonds among many weak ones, so it stays.

    Strengths with a common sign pull together, however well s fits each of them: 144 fields of −1.2 moved the one coupling of a lattice
    by three of its standard deviations. So s also grows until no group moves what the data say themselves by more than 0.4 of them.
    """
    given, n, p = likelihood.bound.model, likelihood.bound.n_coupling_params, likelihood.bound.n_params
    if not isinstance(given.prior, Normal):
        return _with(likelihood, given.prior, given.field_prior.scale), None
    groups = [(given.prior, slice(0, n)), (given.field_prior, slice(n, p))]
    if not any(prior.widens and where.stop > where.start for prior, where in groups):
        return _with(likelihood, given.prior, given.field_prior.scale), None
    asked = np.array([given.prior.scale, given.field_prior.scale])
    scales, least, start = asked.copy(), asked.copy(), None
    for _ in range(_ROUNDS):
        likelihood = _with(likelihood, Normal(scales[0]), scales[1])
        best = maximise(likelihood, Normal(scales[0]), start=start)
        root = inverse_root(best.information + np.diag(best.penalty))
        second = best.theta**2 + (root**2).sum(1)
        new = scales.copy()
        for k, (prior, where) in enumerate(groups):
            if prior.widens and where.stop > where.start:
                size = where.stop - where.start
                least[k] = max(least[k], scales[k] * np.sqrt(_pull(best, root, where) / _PULL))
                new[k] = max(least[k], np.sqrt((second[where].sum() + _STRENGTH * asked[k] ** 2) / (size + _STRENGTH)))
        if np.allclose(new, scales, rtol=_SETTLED):
            break
        start, scales = best.theta, new
    return _with(likelihood, Normal(scales[0]), scales[1]), best.theta


def _pull(best: Optimum, root: np.ndarray, where: slice) -> float:
    """Standard deviations by which the prior of a group moves what the data say themselves, at most.

    Of independent draws of the prior it is less than an eighth of a normal number: a group of them rarely widens by it.
    """
    moved = root @ (root[where].T @ (best.penalty[where] * best.theta[where]))
    spread = np.sqrt((root**2).sum(1))
    said = spread * np.sqrt(best.penalty) < _SAID
    return float(np.max(np.abs(moved[said]) / spread[said], initial=0.0))


def _with(likelihood: Likelihood, prior: Prior, field_scale: float) -> Likelihood:
    """The same data with other priors."""
    model, other = likelihood.bound.model, copy.copy(likelihood)
    field_prior = Normal(float(field_scale))
    prior = Normal(float(prior.scale)) if isinstance(prior, Normal) else prior
    changed = model.changed(prior=prior, field_prior=field_prior)
    other.bound = replace(likelihood.bound, model=changed, _cache={})
    return other
