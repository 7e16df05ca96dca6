"""NUTS by NumPyro: the one file that runs it.

The model is an ordinary NumPyro model: prior sample sites and one factor. Everything is double precision inside a
context: in single precision the likelihood of 10⁶ microstates loses all its digits and NUTS never moves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.infer import MCMC, init_to_value
from numpyro.infer import NUTS as Kernel

from hamlearn.infer.calibrate import Calibration
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.infer.settings import NUTS
from hamlearn.models import Horseshoe


@dataclass(frozen=True)
class Samples:
    """Draws of θ (chain, draw, n_params) and NumPyro's own record of every draw."""

    theta: np.ndarray
    stats: dict[str, np.ndarray]


def model(likelihood: Likelihood, centre: np.ndarray, transform: np.ndarray | None) -> tuple[Callable[..., None], Any]:
    """The NumPyro model of a family under a (calibrated) likelihood, and the arrays it is called with.

    `transform` is C of ℓ(θ̂ + C(θ − θ̂)); None leaves the likelihood as it is.
    """
    bound = likelihood.bound
    log_density, arrays = likelihood.jax_log_density()

    def numpyro_model(data: Any) -> None:
        parts = []
        if bound.n_coupling_params:
            parts.append(bound.model.prior.sample("J", bound.n_coupling_params))  # type: ignore[union-attr]
        if bound.n_field_params:
            parts.append(bound.model.field_prior.sample("h", bound.n_field_params))
        theta = numpyro.deterministic("theta", jnp.concatenate(parts))
        moved = theta if transform is None else centre + transform @ (theta - centre)
        numpyro.factor("likelihood", log_density(moved, data))

    return numpyro_model, arrays


def _initial(likelihood: Likelihood, theta: np.ndarray) -> dict[str, Any]:
    bound, n = likelihood.bound, likelihood.bound.n_coupling_params
    prior = bound.model.prior
    values: dict[str, Any] = {"h": theta[n:]} if bound.n_field_params else {}
    if isinstance(prior, Horseshoe):
        # A point of the non-centred parametrisation that reproduces θ: z moderate, local scales as large as needed.
        wanted = np.clip(np.abs(theta[:n]), 1e-3, 0.9 * prior.slab)
        plain = wanted * prior.slab / np.sqrt(prior.slab**2 - wanted**2)
        values |= {"J_tau": prior.global_scale, "J_lambda": plain / prior.global_scale, "J_z": np.sign(theta[:n]) * 1.0}
    elif n:
        values["J"] = theta[:n]
    return values


def run(likelihood: Likelihood, centre: np.ndarray, calibration: Calibration, settings: NUTS, seed: int, covariance: np.ndarray) -> Samples:
    """NUTS draws from the calibrated likelihood times the priors.

    Parameters
    ----------
    likelihood : Likelihood
    centre : array (n_params,)
        The maximum of the likelihood, around which it is adjusted.
    calibration : Calibration
    settings : NUTS
    seed : int
    covariance : array (n_params, n_params)
        Covariance of the normal approximation: the inverse mass matrix.
    """
    transform = calibration.linear_map() if calibration.adjusted else None
    plain = not isinstance(likelihood.bound.model.prior, Horseshoe)
    with jax.enable_x64(True):
        function, arrays = model(likelihood, centre, transform)
        data = jax.tree.map(jnp.asarray, arrays)
        sites = tuple(name for name, size in (("J", likelihood.bound.n_coupling_params), ("h", likelihood.bound.n_field_params)) if size)
        kernel = Kernel(
            function,
            init_strategy=init_to_value(values=jax.tree.map(jnp.asarray, _initial(likelihood, centre))),
            target_accept_prob=settings.target_accept,
            dense_mass=[sites] if plain else False,
            inverse_mass_matrix={sites: jnp.asarray(covariance)} if plain else None,
            adapt_mass_matrix=not plain,
        )
        sampler = MCMC(
            kernel,
            num_warmup=settings.warmup,
            num_samples=settings.draws,
            num_chains=settings.chains,
            chain_method="vectorized",
            progress_bar=sys.stderr.isatty(),
        )
        fields = ("diverging", "num_steps", "accept_prob", "energy", "adapt_state.step_size")
        initial = _scattered(likelihood, centre, covariance, settings.chains, seed) if plain else None
        sampler.run(jax.random.key(seed), data, init_params=initial, extra_fields=fields)
        theta = np.asarray(sampler.get_samples(group_by_chain=True)["theta"])
        extra = {key: np.asarray(value) for key, value in sampler.get_extra_fields(group_by_chain=True).items()}
    names = {"num_steps": "n_steps", "accept_prob": "acceptance_rate", "adapt_state.step_size": "step_size"}
    return Samples(theta, {names.get(key, key): value for key, value in extra.items()})


def _scattered(likelihood: Likelihood, centre: np.ndarray, covariance: np.ndarray, chains: int, seed: int) -> dict[str, Any]:
    """Starting points over-dispersed about the normal approximation, so that R̂ can notice chains that disagree."""
    n = likelihood.bound.n_coupling_params
    root = np.linalg.cholesky((covariance + covariance.T) / 2 + 1e-12 * np.trace(covariance) / len(centre) * np.eye(len(centre)))
    points = centre + 1.5 * np.random.default_rng(seed).normal(size=(chains, len(centre))) @ root.T
    points = points if chains > 1 else points[0]
    parts = {"J": points[..., :n], "h": points[..., n:]}
    return {key: jnp.asarray(value) for key, value in parts.items() if value.shape[-1]}


__all__ = ["Samples", "model", "run"]
