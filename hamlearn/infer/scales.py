"""How wide a prior in units of kT has to be: widened from the data where they show strengths beyond it, never narrowed."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from hamlearn.infer.calibrate import inverse_root
from hamlearn.infer.likelihoods.base import Likelihood
from hamlearn.infer.optimum import maximise
from hamlearn.models import Couplings, Normal
from hamlearn.models.priors import Prior

_ROUNDS = 12
_STRENGTH = 4.0  # strengths that the scale asked for counts as: a frozen bond or two must not widen it without end
_SETTLED = 0.02


def widened(likelihood: Likelihood) -> tuple[Likelihood, np.ndarray | None]:
    """The likelihood with priors that widen as wide as its data demand, and the maximum with them where it was sought.

    The scales found are then fixed; that of the likelihood alone is close to this maximum.

    A fixed N(0, s²) on each of p strengths is weak for every one of them and strong for all together, Σ θ² = p s² (1 ± √(2/p)): at low
    temperature, where βJ is 2, it would pull a whole lattice towards a higher one. So s, of couplings and of fields apart, goes to
    its most probable value (EM; s² inverse-gamma about the scale given) where that is larger than the scale given. Downwards it would
    shrink a few strong bonds among many weak ones, so it stays.
    """
    given, n, p = likelihood.bound.model, likelihood.bound.n_coupling_params, likelihood.bound.n_params
    if not isinstance(given.prior, Normal):
        return _with(likelihood, given.prior, given.field_prior.scale), None
    groups = [(given.prior, slice(0, n)), (given.field_prior, slice(n, p))]
    if not any(prior.widens and where.stop > where.start for prior, where in groups):
        return _with(likelihood, given.prior, given.field_prior.scale), None
    asked = np.array([given.prior.scale, given.field_prior.scale])
    scales, start = asked.copy(), None
    for _ in range(_ROUNDS):
        likelihood = _with(likelihood, Normal(scales[0]), scales[1])
        best = maximise(likelihood, Normal(scales[0]), start=start)
        second = best.theta**2 + (inverse_root(best.information + np.diag(best.penalty)) ** 2).sum(1)
        new = scales.copy()
        for k, (prior, where) in enumerate(groups):
            if prior.widens and where.stop > where.start:
                size = where.stop - where.start
                new[k] = max(asked[k], np.sqrt((second[where].sum() + _STRENGTH * asked[k] ** 2) / (size + _STRENGTH)))
        if np.allclose(new, scales, rtol=_SETTLED):
            break
        start, scales = best.theta, new
    return _with(likelihood, Normal(scales[0]), scales[1]), best.theta


def _with(likelihood: Likelihood, prior: Prior, field_scale: float) -> Likelihood:
    """The same data with other priors."""
    model, other = likelihood.bound.model, copy.copy(likelihood)
    field_prior = Normal(float(field_scale))
    prior = Normal(float(prior.scale)) if isinstance(prior, Normal) else prior
    changed = Couplings(model.graph, model.tie, model.fields, prior, field_prior=field_prior, interaction=model.interaction)
    other.bound = replace(likelihood.bound, model=changed, _cache={})
    return other
