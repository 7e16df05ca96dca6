"""NUTS, by NumPyro, of the one small program of finite-size scaling (:mod:`hamlearn.infer.critical.scaling`).

Its unknowns are no parameters of a Hamiltonian and its data no microstates, so that it has no likelihood of the house and no calibration: a
NumPyro model of its own, compiled once for a number of sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.distributions import ImproperUniform, constraints
from numpyro.infer import MCMC, NUTS

from hamlearn.processes import alone

_CHAINS, _WARMUP, _DRAWS = 2, 300, 600


def residuals(z: Any, arrays: Mapping[str, Any], xp: Any) -> Any:
    """Whitened differences ``(sizes · 8,)`` of values and three derivatives from those of standard normal `z`, for any namespace."""
    theta = arrays["location"] + arrays["scale"] * z
    shift, exponent = theta[0], xp.exp(-theta[1])
    level, a, q, c, b, d, b2, d2, log_omega = theta[2:].reshape(2, 9).T
    log_size = xp.log(arrays["sizes"])
    stretch = xp.exp(exponent * (log_size - xp.mean(log_size)))[:, None]
    decay = xp.exp(-xp.exp(log_omega) * (log_size - log_size[0])[:, None])
    x = -shift / (1 + shift) * stretch  # at β of the data, βc = β(1 + shift)
    steeper = 1 + d * decay + d2 * decay**2
    values = level + (a * x + q * x**2 + c * x**3) * steeper + b * decay + b2 * decay**2
    slopes = (a + 2 * q * x + 3 * c * x**2) * stretch * steeper / (1 + shift)
    bends = (2 * q + 6 * c * x) * (stretch / (1 + shift)) ** 2 * steeper
    thirds = 6 * c * (stretch / (1 + shift)) ** 3 * steeper
    difference = xp.concatenate([values, slopes, bends, thirds], -1) - arrays["data"]
    return xp.einsum("si,sij->sj", difference, arrays["whiten"]).reshape(-1)


def sample(arrays: Mapping[str, np.ndarray], centre: np.ndarray, root: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Draws ``(1200, p)`` of z, and the largest R̂; `centre` and `root` are the optimum and a root of the normal approximation there."""
    with jax.enable_x64(True), alone():
        runner = _runner(len(arrays["sizes"]), len(centre))
        given = {name: jnp.asarray(one) for name, one in arrays.items()} | {"centre": jnp.asarray(centre), "root": jnp.asarray(root)}
        # A kernel maps its step over chains again at every start, which a trace after jax.clear_caches() meets: start as unpickled.
        runner.sampler.__dict__.update(runner.sampler.__getstate__())
        runner.run(jax.random.key(seed), given)
        u = np.asarray(runner.get_samples(group_by_chain=True)["u"])
    within, between = u.var(1, ddof=1).mean(0), u.mean(1).var(0, ddof=1)
    rhat = float(np.sqrt((u.shape[1] - 1) / u.shape[1] + between / within).max())
    return centre + u.reshape(-1, u.shape[-1]) @ root.T, rhat


@lru_cache(maxsize=8)
def _runner(sizes: int, p: int) -> MCMC:
    """One compiled run of a structure; it holds no data. The number of sizes is in its key, for shapes are compiled in."""

    def model(arrays: Mapping[str, Any]) -> None:
        u = numpyro.sample("u", ImproperUniform(constraints.real_vector, (), (p,)))
        z = arrays["centre"] + arrays["root"] @ u
        numpyro.factor("density", -(jnp.sum(z**2) + jnp.sum(residuals(z, arrays, jnp) ** 2)) / 2)

    # Whitened coordinates start at the optimum, whose scales are already one.
    kernel = NUTS(model, init_strategy=numpyro.infer.init_to_value(values={"u": jnp.zeros(p)}))
    lengths = {"num_warmup": _WARMUP, "num_samples": _DRAWS, "num_chains": _CHAINS}
    return MCMC(kernel, **lengths, chain_method="vectorized", progress_bar=False, jit_model_args=True)


__all__ = ["residuals", "sample"]


def __dir__() -> list[str]:
    return sorted(__all__)
