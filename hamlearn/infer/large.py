"""Models with too many parameters for a Hessian: the MAP point by limited-memory BFGS, with diagonal error bars.

The error bars neglect all correlations between parameters and are not calibrated; the record says so, and so does
the verdict.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import scipy.optimize

from hamlearn.errors import HamlearnError
from hamlearn.infer.optimum import prior_terms
from hamlearn.infer.provenance import Basis
from hamlearn.infer.settings import MAP, Drawn
from hamlearn.models import BoundCouplings, Normal
from hamlearn.progress import track

LIMIT = 5000  # parameters
MOST_DRAWS = 4e7  # numbers kept of a posterior (320 MB)
_STEPS = 1000
_GAIN = 1e-6  # nats a parameter that the last step gained
_GRADIENT = 0.05  # of the log posterior along any parameter, in its standard deviations


class Diagonal(Protocol):
    """What a likelihood must offer here."""

    @property
    def bound(self) -> BoundCouplings:
        """The family."""
        ...

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient."""
        ...

    def diagonal(self, theta: np.ndarray) -> np.ndarray:
        """Diagonal of minus the Hessian."""
        ...


def infer(likelihood: Diagonal, engine: MAP, seed: int, size: float) -> tuple[MAP, Drawn, np.ndarray, dict[str, Any]]:
    """The engine with as few draws as memory allows, draws of a large model, its MAP point, and how it was found, for the record."""
    bound, prior = likelihood.bound, likelihood.bound.model.prior
    if not isinstance(prior, Normal):
        raise HamlearnError(f"{bound.n_params} parameters are learned by MAP with a normal prior only; got prior {prior.name!r}.")

    start = np.zeros(bound.n_params)
    # In units of what the data and the prior know of every parameter: rare states would need many more steps otherwise.
    unit = 1 / np.sqrt(likelihood.diagonal(start) + prior_terms(bound, start, prior)[2])

    def objective(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        theta = unit * scaled
        value, slope = likelihood.value_and_gradient(theta)
        extra, extra_slope, _ = prior_terms(bound, theta, prior)
        return -(value + extra), -unit * (slope + extra_slope)

    tolerance = _GAIN * bound.n_params / max(abs(objective(start)[0]), 1.0)
    with track(_STEPS, "maximising") as bar:
        found = scipy.optimize.minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            callback=lambda _: bar.advance(1),
            options={"maxiter": _STEPS, "ftol": tolerance, "gtol": _GRADIENT},
        )
    point = unit * found.x
    penalty = prior_terms(bound, point, prior)[2]
    spread = 1 / np.sqrt(likelihood.diagonal(point) + penalty)
    used = replace(
        engine, chains=min(engine.chains, 4), draws=int(np.clip(MOST_DRAWS / bound.n_params / min(engine.chains, 4), 2, engine.draws))
    )
    noise = np.random.default_rng(seed).normal(size=(used.chains, used.draws, bound.n_params))
    record = {
        "optimum": {"converged": bool(found.success), "steps": int(found.nit), "finite": True, "value": -float(found.fun)},
        "calibration": {"basis": Basis("diagonal", {"n_params": bound.n_params}), "ess": size},
        "identifiability": {"data_per_parameter": size * bound.lattice.n_sites / bound.n_params},
        "prior_share": (float(np.mean(penalty * spread**2)),),
    }
    return used, Drawn(point + noise * spread), point, record
