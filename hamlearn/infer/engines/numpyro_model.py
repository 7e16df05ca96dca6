"""The posterior as a NumPyro model: prior sample sites and one factor, the (calibrated) log-likelihood.

What compiled code depends on is structure: a function of the likelihood, sites and their sizes, kinds of priors. All numbers (data,
calibration, widths of priors) are arrays beside it, so that two data sets of one structure share what was compiled.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

from hamlearn.errors import HamlearnError
from hamlearn.infer.groups import require_own
from hamlearn.infer.likelihoods import Likelihood
from hamlearn.models.priors import NOT_DIRECT, Distribution
from hamlearn.processes import alone


@dataclass(frozen=True)
class Site:
    """A sample site: its name, how many parameters it has, and the kind of its prior."""

    name: str
    size: int
    prior: Form


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    """The calibrated log-likelihood of the data as a function of θ, for programs of a user's own.

    It is a pytree: as an argument of a function that you compile it is an array or two, and other data of the same structure compile
    nothing. It needs double precision.

    Attributes
    ----------
    function : callable
        ``f(theta, data)``, one object for all likelihoods of one structure.
    data : pytree of arrays
        What the microstates were compressed to.
    calibration : (array, array) or None
        θ̂ and C of ℓ(θ̂ + C(θ − θ̂)); None where the likelihood is right as it is.
    """

    function: Callable[[Any, Any], Any]
    data: Any
    calibration: Any

    def __call__(self, theta: Any) -> Any:
        """The value at θ ``(..., n_params)``, shape ``(...)``; it may be batched by plates."""
        require_double("this program's likelihood")
        theta, (data, calibration) = jnp.asarray(theta), as_jax((self.data, self.calibration))
        if calibration is not None:
            centre, transform = calibration
            theta = centre + (theta - centre) @ transform.T
        if theta.ndim == 1:
            return self.function(theta, data)
        return jnp.vectorize(lambda one: self.function(one, data), signature="(n)->()")(theta)


jax.tree_util.register_dataclass(LogLikelihood, data_fields=["data", "calibration"], meta_fields=["function"])


@jax.jit
def of_groups(likelihoods: tuple[LogLikelihood, ...], theta: Any) -> Any:
    """Values of several likelihoods, each at its own θ ``(batch, likelihood, n_params)``, shape ``(batch, likelihood)``."""
    return jnp.stack([one(theta[:, k]) for k, one in enumerate(likelihoods)], -1)


@dataclass(frozen=True)
class Structure:
    """What a posterior is besides numbers: its sample sites, of which θ is the concatenation."""

    sites: tuple[Site, ...]

    @property
    def reusable(self) -> bool:
        """Whether what was compiled may serve again: not where a prior is a user's function, which may read what has changed since."""
        return all(site.prior.reusable for site in self.sites)

    def parameters(self, numbers: Any) -> Any:
        """θ ``(..., n_params)`` from the sample sites of its parts."""
        parts = [site.prior.joined(own).sample(site.name, site.size) for site, own in zip(self.sites, numbers, strict=True)]
        return jnp.concatenate(parts, -1)

    def model(self, arrays: Mapping[str, Any]) -> None:
        """The NumPyro model."""
        theta = numpyro.deterministic("theta", self.parameters(arrays["priors"]))
        numpyro.factor("likelihood", arrays["likelihood"](theta))

    def log_density(self, theta: Any, arrays: Mapping[str, Any]) -> Any:
        """The calibrated log-likelihood plus the log prior of θ ``(n_params,)``, where parameters have a density of their own."""
        ends = np.cumsum([0, *(site.size for site in self.sites)])
        values = {site.name: theta[start:end] for site, start, end in zip(self.sites, ends[:-1], ends[1:], strict=True)}
        with numpyro.handlers.block():
            value, _ = numpyro.infer.util.log_density(self.parameters, (arrays["priors"],), {}, values)
        return value + arrays["likelihood"](theta)


@dataclass(frozen=True)
class Form:
    """A prior without its numbers.

    Attributes
    ----------
    kind : type
        Of the prior.
    names : tuple of str
        Its numbers; of a distribution of NumPyro none.
    rest : tuple
        All else, to compare by.
    like : object
        A prior of this form.
    """

    kind: type
    names: tuple[str, ...]
    rest: Any
    like: _Unseen
    reusable: bool = True

    def joined(self, numbers: Any) -> Any:
        """The prior with these numbers, which may be tracers."""
        if self.names:
            found = copy.copy(self.like.held)
            for name in self.names:
                object.__setattr__(found, name, numbers[name])  # frozen, and its checks are for numbers
            return found
        if numbers is None:
            return self.like.held
        found = copy.copy(self.like.held)
        object.__setattr__(found, "distribution", jax.tree.unflatten(self.rest, numbers))
        return found


class _Unseen:
    """Something that comparisons do not look at."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unseen)

    def __hash__(self) -> int:
        return 0


def parted(prior: Any) -> tuple[Form, Any]:
    """A prior as its form and its numbers, which are arguments of compiled code."""
    kind = type(prior)
    if isinstance(prior, Distribution):
        if not isinstance(prior.distribution, numpyro.distributions.Distribution):
            return Form(kind, (), id(prior), _Unseen(prior), reusable=False), None
        leaves, form = jax.tree.flatten(prior.distribution)
        return Form(kind, (), form, _Unseen(prior)), leaves
    values = {one.name: getattr(prior, one.name) for one in fields(prior)} if is_dataclass(prior) else {}
    numbers = {name: np.float64(value) for name, value in values.items() if isinstance(value, float) or type(value) is int}
    if not numbers:  # a user's own: nothing is known of it
        return Form(kind, (), id(prior), _Unseen(prior), reusable=False), None
    rest = tuple((name, value) for name, value in values.items() if name not in numbers)
    return Form(kind, tuple(numbers), rest, _Unseen(prior)), numbers


def model(likelihood: Likelihood, centre: np.ndarray, transform: np.ndarray | None) -> tuple[Structure, dict[str, Any]]:
    """The posterior of a family under a (calibrated) likelihood: its structure, and its numbers.

    `transform` is C of ℓ(θ̂ + C(θ − θ̂)); None leaves the likelihood as it is.
    """
    bound, (function, data) = likelihood.bound, likelihood.jax_log_density()
    sites, numbers = [], []
    for block in bound.blocks:
        form, own = parted(block.prior)
        sites.append(Site(block.name, block.size, form))
        numbers.append(own)
    calibration = None if transform is None else (centre, transform)
    return Structure(tuple(sites)), {"likelihood": LogLikelihood(function, data, calibration), "priors": numbers}


def own_names(bound: Any) -> list[str]:
    """Sites of a family's priors that are parameters of theirs: neither couplings nor what these are made of."""
    found = list[str]()
    for block in bound.blocks:
        if not block.prior.direct:
            theirs = {block.name, *block.prior.sites(block.name, np.zeros(block.size))}
            with alone(), numpyro.handlers.seed(rng_seed=0):
                traced = numpyro.handlers.trace(block.prior.sample).get_trace(block.name, block.size)
            found += [name for name in traced if name not in theirs]
    require_own(found)
    return found


def log_density(structure: Structure, arrays: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The calibrated log-likelihood plus the log prior as a function of θ ``(n_params,)``."""

    def evaluate(theta: Any) -> Any:
        require_double("this program's log density")
        if indirect := [site.prior.like.held for site in structure.sites if not site.prior.like.held.direct]:
            raise HamlearnError(
                f"the prior {indirect[0]!r} {NOT_DIRECT}, so couplings alone have no density on all real numbers: use .model."
            )
        return structure.log_density(jnp.asarray(theta), as_jax(arrays))

    return evaluate


def require_double(what: str) -> None:
    """Raise outside of double precision."""
    if jnp.zeros(()).dtype != np.float64:
        raise HamlearnError(
            f"{what} needs double precision: in float32 the likelihood of many microstates loses all its digits and samplers stand "
            "still. Run it inside `with jax.enable_x64(True):`, or call numpyro.enable_x64() first."
        )


def as_jax(arrays: Any) -> Any:
    """All numbers as JAX arrays, which are arguments and no constants."""
    return cast(Any, jax.tree.map(jnp.asarray, arrays))


__all__ = ["LogLikelihood", "Structure", "as_jax", "log_density", "model", "of_groups", "own_names", "parted", "require_double"]
