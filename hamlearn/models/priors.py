"""Proper priors over couplings and fields, as small frozen records that both Newton steps and NumPyro can use.

A prior declares what engines ask: ``sparse`` (most couplings are none), ``existing`` (the probability that one is not exactly zero),
``direct`` (couplings are sample sites themselves, on all real numbers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from hamlearn.arguments import require_number
from hamlearn.errors import HamlearnError, choice, closest
from hamlearn.processes import alone


def _positive(prior: Any) -> None:
    for name, value in asdict(prior).items():
        if name not in ("unit", "widens"):
            require_number(value, f"{type(prior).__name__} prior: {name}", above=0)


@dataclass(frozen=True)
class Normal:
    """J ~ N(0, scale²), independently.

    Parameters
    ----------
    scale : float
        Standard deviation. The default 10 is almost flat wherever couplings are of order one.
    unit : {"energy", "kT"}
        What `scale` is counted in. ``"kT"``: the prior is on βJ, which is what a microstate can tell and what makes a spin
        freeze, β being that of the data it is used with (their geometric mean for several, 1 where it is undeclared). The
        default prior of :class:`~hamlearn.models.Couplings` is ``Normal(1, "kT", widens=True)``: weakly informative,
        βJ ~ N(0, 1). Where data are separable (a pair that never disagreed) it keeps strengths of tens of kT away, of which
        no data can speak.
    widens : bool
        Whether the scale gives way, upwards only, to data whose strengths are altogether larger (those of low temperatures):
        each of them is then still within its prior, but their common size would not be; and to strengths of one sign that would together
        move what the data determine (:mod:`hamlearn.infer.scales`).

    Raises
    ------
    HamlearnError
        If `scale` is not finite and positive, or the unit is not known.

    Examples
    --------
    >>> Normal(1, "kT").at(0.5)
    Normal(scale=2.0, unit='energy', widens=False)
    """

    scale: float = 10.0
    unit: str = "energy"
    widens: bool = False
    name: ClassVar[str] = "normal"
    sparse: ClassVar[bool] = False
    existing: ClassVar[float] = 1.0
    direct: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive(self)
        choice(self.unit, ("energy", "kT"), "unit of a Normal prior")

    @property
    def words(self) -> str:
        """What it says, for readers."""
        return f"normal with standard deviation {self.scale:.4g}{' kT' if self.unit == 'kT' else ''}"

    def at(self, beta: float) -> Normal:
        """The same prior in units of energy at inverse temperature `beta`."""
        return Normal(self.scale / beta, widens=self.widens) if self.unit == "kT" else self

    def derivatives(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Log density up to a constant, its gradient, and minus the diagonal of its Hessian."""
        precision = self.scale**-2.0
        return -0.5 * precision * float(theta @ theta), -precision * theta, np.full(theta.shape, precision)

    def sample(self, name: str, size: int) -> Any:
        """A NumPyro sample site of `size` couplings."""
        import numpyro
        import numpyro.distributions as dist

        return numpyro.sample(name, dist.Normal(0.0, self.scale).expand([size]).to_event(1))

    def sites(self, name: str, values: np.ndarray) -> dict[str, Any]:
        """Values of the sample sites at which the couplings are `values`."""
        return {name: values}

    def draw(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """`size` couplings drawn from the prior."""
        return generator.normal(scale=self.scale, size=size)


@dataclass(frozen=True)
class Laplace:
    """J ~ Laplace(0, scale): shrinks small couplings, leaves large ones.

    Its mode sits on kinks, where a normal approximation means nothing: MAP and Laplace engines refuse it, NUTS takes
    it as it is.
    """

    scale: float = 1.0
    name: ClassVar[str] = "laplace"
    sparse: ClassVar[bool] = False
    existing: ClassVar[float] = 1.0
    direct: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive(self)

    @property
    def words(self) -> str:
        """What it says, for readers."""
        return f"Laplace with scale {self.scale:.4g}"

    def sample(self, name: str, size: int) -> Any:
        """A NumPyro sample site of `size` couplings."""
        import numpyro
        import numpyro.distributions as dist

        return numpyro.sample(name, dist.Laplace(0.0, self.scale).expand([size]).to_event(1))

    def sites(self, name: str, values: np.ndarray) -> dict[str, Any]:
        """Values of the sample sites at which the couplings are `values`."""
        return {name: values}

    def draw(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """`size` couplings drawn from the prior."""
        return generator.laplace(scale=self.scale, size=size)


@dataclass(frozen=True)
class Horseshoe:
    """Regularised horseshoe (Piironen & Vehtari 2017): most couplings near zero, the others up to `slab`.

    J_k = z_k τ λ̃_k with z ~ N(0, 1), λ ~ C⁺(0, 1), τ ~ C⁺(0, global_scale), λ̃² = slab² λ² / (slab² + τ² λ²).
    It has no mode that means anything (the mode depends on the parametrisation), so only NUTS takes it.

    Parameters
    ----------
    global_scale : float
        Scale of τ; the default 0.1 expects a few couplings of order one among many.
    slab : float
        Scale of the couplings that are really there.
    """

    global_scale: float = 0.1
    slab: float = 2.0
    name: ClassVar[str] = "horseshoe"
    sparse: ClassVar[bool] = True
    existing: ClassVar[float] = 1.0
    direct: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _positive(self)

    @property
    def words(self) -> str:
        """What it says, for readers."""
        return f"horseshoe (most near zero, global scale {self.global_scale:.4g}, slab {self.slab:.4g})"

    def sample(self, name: str, size: int) -> Any:
        """A NumPyro deterministic site of `size` couplings and its auxiliary sample sites."""
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        overall = numpyro.sample(f"{name}_tau", dist.HalfCauchy(self.global_scale))
        local = numpyro.sample(f"{name}_lambda", dist.HalfCauchy(1.0).expand([size]).to_event(1))
        unit = numpyro.sample(f"{name}_z", dist.Normal(0.0, 1.0).expand([size]).to_event(1))
        overall = jnp.expand_dims(overall, -1)  # under a plate there is one for every group
        scale = overall * local * self.slab / jnp.sqrt(self.slab**2 + (overall * local) ** 2)
        return numpyro.deterministic(name, unit * scale)

    def sites(self, name: str, values: np.ndarray) -> dict[str, Any]:
        """A point of the non-centred parametrisation near `values`: z moderate, local scales as large as needed."""
        wanted = np.clip(np.abs(values), 1e-3, 0.9 * self.slab)
        plain = wanted * self.slab / np.sqrt(self.slab**2 - wanted**2)
        return {f"{name}_tau": self.global_scale, f"{name}_lambda": plain / self.global_scale, f"{name}_z": np.sign(values) * 1.0}

    def draw(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """`size` couplings drawn from the prior."""
        scale = np.abs(generator.standard_cauchy()) * self.global_scale * np.abs(generator.standard_cauchy(size))
        return generator.normal(size=size) * scale * self.slab / np.sqrt(self.slab**2 + scale**2)


@dataclass(frozen=True)
class SpikeSlab:
    """Each coupling is exactly zero, or there: J_k = γ_k w_k, γ ~ Bernoulli(π), w ~ N(±μ, s²) with either sign.

    π ~ Uniform(0, 1), the slab's magnitude μ and its width s are learned with the couplings, so nothing has to be
    tuned: the posterior says which bonds exist (`inclusion`) and how strong they are. Where couplings share a
    magnitude, s shrinks, they borrow strength from each other, and a much smaller spurious coupling is recognised as
    none; where they do not, s grows and μ means nothing.

    Parameters
    ----------
    slab : float
        Scale of the priors s ~ C⁺(0, slab) and μ ~ the absolute value of N(0, (10 slab)²).
    inclusion : float, optional
        Fixed prior probability π that a bond exists; by default it is learned.
    common : float
        Prior probability that couplings share a magnitude, μ > 0. With 1, the default, there always is one, and a wide slab
        where they do not; with 0 (or False) μ = 0, an ordinary zero-centred slab; between, it is learned which. At a few
        hundred microstates the default underrates weak edges of unequal strengths a little, and 0.5 overrates edges of
        equal strengths more (``benchmarks/couplings/results/inclusion.md``).
    """

    slab: float = 1.0
    inclusion: float | None = None
    common: float = 1.0
    name: ClassVar[str] = "spike_slab"
    sparse: ClassVar[bool] = True
    direct: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_number(self.slab, "SpikeSlab prior: slab", above=0)
        if self.inclusion is not None:
            require_number(self.inclusion, "SpikeSlab prior: inclusion, a probability,", above=0, below=1)
        common = require_number(float(self.common) if isinstance(self.common, bool) else self.common, "SpikeSlab prior: common", least=0)
        if common > 1:
            raise HamlearnError(f"SpikeSlab prior: common is a probability from 0 to 1; got {self.common!r}.")

    @property
    def existing(self) -> float:
        """Probability that a coupling exists, is not exactly zero; where that is learned, its mean."""
        return 0.5 if self.inclusion is None else float(self.inclusion)

    @property
    def words(self) -> str:
        """What it says, for readers."""
        return f"spike and slab (exactly zero, or there with strengths of about {self.slab:.4g})"

    def draw(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """`size` couplings drawn from the prior."""
        probability = generator.uniform() if self.inclusion is None else self.inclusion
        width = np.abs(generator.standard_cauchy()) * self.slab
        centre = np.abs(generator.normal(scale=10 * self.slab)) * (generator.uniform() < self.common)
        sign = generator.choice([-1.0, 1.0], size)
        return (sign * centre + generator.normal(scale=width, size=size)) * (generator.uniform(size=size) < probability)


@dataclass(frozen=True, eq=False)
class Distribution:
    """Any distribution of NumPyro over every coupling independently, or a function that makes one inside the program.

    ``prior=numpyro.distributions.StudentT(3, 0, 1)`` is this. A function may sample parameters of its own, which are then learned with
    the couplings and stand beside them in the posterior:
    ``Distribution(lambda: dist.Normal(0, numpyro.sample("width", dist.HalfNormal(1))))``.

    Parameters
    ----------
    distribution : numpyro.distributions.Distribution or callable
        Of one coupling (no batch or event axes), in units of energy; or a function without arguments that returns one.
    text : str, optional
        What it is called where it cannot be written down. A posterior read from a file has this and the draws; it predicts,
        and cannot be sampled anew.

    Raises
    ------
    HamlearnError
        If it is neither, has axes of its own, or is one of whole numbers.

    Examples
    --------
    >>> import numpyro.distributions as dist
    >>> Distribution(dist.StudentT(3.0, 0.0, 1.0))
    Distribution(StudentT(df=3, loc=0, scale=1))
    """

    distribution: Any
    text: str = ""
    name: ClassVar[str] = "distribution"
    sparse: ClassVar[bool] = False
    existing: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        found = self.distribution
        if found is None:
            return
        if _is_distribution(found):
            if found.batch_shape or found.event_shape:
                axes = found.batch_shape + found.event_shape
                raise HamlearnError(f"a prior is the distribution of one coupling; this {type(found).__name__} has axes {axes}.")
            if found.support.is_discrete:
                raise HamlearnError(f"a prior is of a real number; {type(found).__name__} is a distribution of whole numbers.")
            if (low := getattr(found.support, "lower_bound", None)) is not None and hasattr(found.support, "upper_bound"):
                if not float(low) < float(high := found.support.upper_bound):
                    raise HamlearnError(
                        f"{type(found).__name__} from {float(low):g} to {float(high):g} allows no number: give the lower end first."
                    )
        elif not callable(found):
            raise HamlearnError(f"a prior is a distribution of NumPyro or a function that returns one; got {found!r}.")
        if not self.text:
            object.__setattr__(self, "text", _written(found))

    @property
    def words(self) -> str:
        """What it is called."""
        return self.text

    @property
    def direct(self) -> bool:
        """Whether every coupling is a sample site of its own on all real numbers, so that the normal approximation preconditions NUTS."""
        import numpyro.distributions as dist

        return _is_distribution(self.distribution) and self.distribution.support is dist.constraints.real

    def sample(self, name: str, size: int) -> Any:
        """A NumPyro sample site of `size` couplings, and the sites of the prior's own parameters."""
        import numpyro

        if self.distribution is None:
            raise HamlearnError(f"the prior {self.text} was not kept in the file: give the model again to sample from it.")
        found = self.distribution if _is_distribution(self.distribution) else self.distribution()
        if not _is_distribution(found):
            raise HamlearnError(
                f"the function of a prior must return a distribution of NumPyro; {self.text} returned {type(found).__name__}."
            )
        if found.batch_shape:
            raise HamlearnError(
                f"the prior {self.text} has parameters of its own, one for every group of the plate it is under: draw these outside of the "
                "plate, or write the prior in your program and use the factor program.log_likelihood(J)."
            )
        return numpyro.sample(name, found.expand([size]).to_event(1))

    def sites(self, name: str, values: np.ndarray) -> dict[str, Any]:
        """Values of the sample sites at which the couplings are `values`, where these are sites themselves; else none is known."""
        return {name: values} if self.direct else {}

    def draw(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """`size` couplings drawn from the prior."""
        import jax
        import numpyro

        with alone(), numpyro.handlers.seed(rng_seed=jax.random.key(int(generator.integers(2**31)))):
            return np.asarray(self.sample("J", size), float)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description: the class and its numbers, or what it is called."""
        found = self.distribution
        if _is_distribution(found):
            arguments = _arguments(found)
            if arguments is not None:
                return {"name": self.name, "family": type(found).__name__, "arguments": arguments}
        return {"name": self.name, "text": self.text}

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Distribution:
        """The prior that :meth:`to_dict` described; a class is looked up among NumPyro's distributions and nowhere else."""
        if "family" not in description:
            return cls(None, str(description.get("text", "")))
        return cls(_family(str(description["family"]))(**{str(name): float(value) for name, value in description["arguments"].items()}))

    @classmethod
    def called(cls, name: str, *numbers: float, **parameters: float) -> Distribution:
        """A distribution by what NumPyro calls it, with its numbers: of text that somebody wrote, which is never run.

        Raises
        ------
        HamlearnError
            If NumPyro has none of that name, or it is none with these numbers.

        Examples
        --------
        >>> Distribution.called("Beta", 1.0, concentration0=20.0)
        Distribution(Beta(concentration1=1, concentration0=20))
        """
        family = _family(name)
        try:
            return cls(family(*numbers, **parameters, validate_args=True))
        except (AssertionError, AttributeError, NotImplementedError, TypeError, ValueError) as error:
            given = ", ".join([*(f"{one:g}" for one in numbers), *(f"{word}={one:g}" for word, one in parameters.items())])
            raise HamlearnError(f"{name}({given}) is no distribution: {error}") from error

    def __repr__(self) -> str:
        return f"Distribution({self.text})"


def _family(name: str) -> Any:
    """A class of NumPyro's distributions; it is looked up there and nowhere else."""
    import numpyro.distributions as dist

    known = [word for word in dist.__all__ if isinstance(one := getattr(dist, word), type) and issubclass(one, dist.Distribution)]
    if name not in known:
        near = closest(name, known)
        raise HamlearnError(f"NumPyro has no distribution {name!r}." + (f" Did you mean {near}?" if near else ""))
    return getattr(dist, name)


def _is_distribution(value: Any) -> bool:
    import numpyro.distributions as dist

    return isinstance(value, dist.Distribution)


def _arguments(found: Any) -> dict[str, float] | None:
    """The numbers that a distribution is made of, if these are all."""
    from numpyro.distributions import biject_to

    names = [name for name in getattr(type(found), "arg_constraints", {}) if hasattr(found, name)]
    try:
        values = {name: float(getattr(found, name)) for name in names}
        again = type(found)(**values)
    except (TypeError, ValueError, AssertionError):
        return None
    points = biject_to(found.support)(np.array([-1.3, 0.4, 2.1]))
    return values if np.allclose(np.asarray(again.log_prob(points)), np.asarray(found.log_prob(points)), equal_nan=True) else None


def _written(found: Any) -> str:
    if not _is_distribution(found):
        return str(getattr(found, "__qualname__", type(found).__name__))
    arguments = _arguments(found)
    inside = "…" if arguments is None else ", ".join(f"{name}={value:g}" for name, value in arguments.items())
    return f"{type(found).__name__}({inside})"


NOT_DIRECT = "has bounds or parameters of its own"  # what every prior is that is not ``direct``, in errors

DEFAULT = Normal(1.0, "kT", widens=True)
"""Of couplings and fields where none is given: 2βJ is a log-odds of a spin; scales about 2 are customary there (Gelman et al. 2008)."""

PriorName = Literal["normal", "laplace", "horseshoe", "spike_slab"]
Prior = Normal | Laplace | Horseshoe | SpikeSlab | Distribution
_PRIORS: dict[str, Callable[..., Prior]] = {"normal": Normal, "laplace": Laplace, "horseshoe": Horseshoe, "spike_slab": SpikeSlab}


def as_prior(prior: str | Prior | None) -> Prior:
    """`prior` itself, the default one of that name, or the weakly informative one (βJ ~ N(0, 1), wider where data say so) for None."""
    if prior is None:
        return DEFAULT
    if isinstance(prior, str) and choice(prior.replace("-", "_"), _PRIORS, "prior") == "normal":
        return DEFAULT
    if isinstance(prior, str):
        return _PRIORS[choice(prior.replace("-", "_"), _PRIORS, "prior")]()
    if isinstance(prior, Distribution | Normal | Laplace | Horseshoe | SpikeSlab):
        return prior
    if _is_distribution(prior):
        return Distribution(prior)
    raise HamlearnError(
        f"prior must be None, one of {', '.join(map(repr, _PRIORS))}, a prior of hamlearn.models, or a distribution of NumPyro; "
        f"got {prior!r}."
    )


def prior_to_dict(prior: Prior) -> dict[str, Any]:
    """JSON-ready description of a prior."""
    return prior.to_dict() if isinstance(prior, Distribution) else {"name": prior.name, **asdict(prior)}


def prior_from_dict(description: dict[str, Any]) -> Prior:
    """The prior that :func:`prior_to_dict` described."""
    if description["name"] == Distribution.name:
        return Distribution.from_dict(description)
    settings = dict(description)
    return _PRIORS[choice(settings.pop("name"), _PRIORS, "prior")](**settings)
