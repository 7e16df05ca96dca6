"""What is known of a posterior before draws of it are made, and what engines make draws of: the calibrated likelihood and a normal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer import calibrate as calibration_room
from hamlearn.infer.calibrate import Calibration
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.optimum import Optimum, maximise
from hamlearn.infer.settings import NUTS, Drawn, ImportanceSampling
from hamlearn.models.base import Block


@dataclass(frozen=True, eq=False)
class Fit:
    """What is known of a posterior before draws of it are made: what engines are given.

    Attributes
    ----------
    likelihood : Likelihood
        With ``bound``, the family on its sites, whose ``blocks`` are parameters with their priors.
    centre : array (n_params,)
        The maximum of the likelihood, around which it is calibrated.
    calibration : Calibration
    mean, root : array (n_params,), array (n_params, n_params)
        Of the normal approximation N(mean, root rootᵀ) of the posterior.
    """

    likelihood: Likelihood
    centre: np.ndarray
    calibration: Calibration
    mean: np.ndarray
    root: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """Of the normal approximation."""
        return self.root @ self.root.T

    @property
    def transform(self) -> np.ndarray | None:
        """C of the calibrated likelihood ℓ(θ̂ + C(θ − θ̂)); None where it is right as it is."""
        return self.calibration.linear_map() if self.calibration.adjusted else None

    @property
    def enough_batches(self) -> bool:
        """Whether a calibrated likelihood may be multiplied by a prior: J, if it was used, is inverted."""
        return enough_batches(self.calibration, len(self.mean))

    def require_batches(self, what: str) -> None:
        """An error unless there are enough of them."""
        score, p = self.calibration.score, len(self.mean)
        if score is not None and not self.enough_batches:
            raise too_few(what, p, score.batches, score.tau)

    def normal(self, chains: int, draws: int, seed: int) -> Drawn:
        """Draws of the normal approximation, with the t tails of a covariance that is known from few batches."""
        return Drawn(_normal_draws(self.mean, self.root, self.calibration.degrees, chains, draws, seed))

    def nuts(self, settings: NUTS, seed: int, checkpoint: str | PathLike[str] | None) -> Drawn:
        """Draws by NumPyro's NUTS."""
        from hamlearn.infer.engines import numpyro

        self.require_batches("NUTS")
        return numpyro.run(self.likelihood, self.centre, self.transform, settings, seed, self.covariance, checkpoint)

    def importance(self, settings: ImportanceSampling, seed: int) -> Drawn:
        """Draws by independent proposals from the normal approximation."""
        from hamlearn.infer.engines import importance

        self.require_batches("importance sampling")
        return importance.run(self.likelihood, self.centre, self.transform, settings, seed, self.mean, self.covariance)

    def log_density(self) -> Callable[[Any], Any]:
        """θ ``(n_params,)`` → calibrated log-likelihood plus log prior, up to a constant: JAX, in double precision."""
        from hamlearn.infer.engines import numpyro_model

        self.require_batches("sampling")
        return numpyro_model.log_density(*numpyro_model.model(self.likelihood, self.centre, self.transform))


def normal_approximation(
    likelihood: Likelihood, centre: Optimum, calibration: Calibration, prior: Sequence[Block] | None, usable: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance root of the normal approximation: of the (calibrated) likelihood, times the prior if there is one."""
    if prior is None:
        return centre.theta, calibration.root
    penalty = precisions(prior)
    if not usable:  # the centre already holds the prior
        return centre.theta, calibration_room.inverse_root(centre.information + np.diag(penalty))
    target: Any = likelihood
    known = centre.information
    if calibration.adjusted:
        if not enough_batches(calibration, len(penalty)):
            return _times_prior(centre.theta, calibration.covariance, penalty)
        target = calibration_room.Adjusted(likelihood, centre.theta, calibration.linear_map())
        known = calibration.precision_root.T @ calibration.precision_root
    mode = maximise(target, prior, start=centre.theta, information=known)
    return mode.theta, calibration_room.inverse_root(mode.information + np.diag(penalty))


def _times_prior(theta: np.ndarray, covariance: np.ndarray, penalty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and a covariance root of N(θ̂, Σ) times a centred normal prior, without inverting Σ."""
    gain = np.linalg.solve((covariance + np.diag(1 / penalty)).T, covariance.T).T  # Σ (Σ + P⁻¹)⁻¹
    posterior = covariance - gain @ covariance
    values, vectors = np.linalg.eigh((posterior + posterior.T) / 2)
    return theta - gain @ theta, vectors * np.sqrt(np.maximum(values, 0.0))


def _normal_draws(mean: np.ndarray, root: np.ndarray, degrees: float, chains: int, draws: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shape = (chains, draws)
    deviation = generator.normal(size=(*shape, root.shape[1])) @ root.T
    if np.isfinite(degrees):
        deviation *= np.sqrt(degrees / generator.chisquare(degrees, size=shape))[..., None]
    return mean + deviation


def precisions(blocks: Sequence[Block]) -> np.ndarray:
    """Prior precision of every parameter."""
    return np.concatenate([np.full(block.size, block.scale**-2.0) for block in blocks])


def too_few(what: str, n_params: int, count: int, tau: float) -> HamlearnError:
    """That there are fewer independent contributions than multiplying a calibrated likelihood by a prior takes, and what works."""
    slow = f" (autocorrelation time {tau:.3g} draws)" if tau > 1 else ""
    return HamlearnError(
        f"calibrated {what} needs at least {2 * n_params} independent {'batches' if tau > 1 else 'microstates'} for {n_params} parameters; "
        f"the data give {count}{slow}. Use engine='laplace', tie parameters, or more data."
    )


def enough_batches(calibration: Calibration, n_params: int) -> bool:
    """Whether J, if it was used, may be inverted."""
    return not calibration.adjusted or calibration.score is None or calibration.score.batches >= 2 * n_params
