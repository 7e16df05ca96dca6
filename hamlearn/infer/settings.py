"""Settings of the engines, as small frozen records; `learn(engine=...)` takes a name or one of these."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hamlearn import memory
from hamlearn.arguments import require_number, require_whole, shown
from hamlearn.errors import HamlearnError, choice

if TYPE_CHECKING:
    from hamlearn.infer.fit import Fit


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of θ ``(chain, draw, n_params)``, what is known of each, ``(chain, draw)`` by name, and the Pareto k̂ of their weights.

    `own` are parameters that a prior has of its own, ``(chain, draw, ...)`` by name.
    """

    theta: np.ndarray
    stats: dict[str, np.ndarray] = field(default_factory=dict)
    pareto_k: float | None = None
    own: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Draws:
    draws: int = 1000
    chains: int = 4
    flat: ClassVar[bool] = False  # takes no prior
    bell: ClassVar[bool] = True  # draws from the normal approximation, so that priors must be normal
    sparse: ClassVar[bool] = False  # is for spike-and-slab priors
    markov: ClassVar[bool] = False  # its draws form Markov chains, which may not have converged

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in ("draws", "chains", "warmup", "thin"):
                object.__setattr__(self, name, require_whole(value, f"{type(self).__name__}: {name}"))
        require_memory(self, 1)
        for name, value in vars(self).items():
            if name in ("warmup", "thin"):
                require_whole(value, f"{type(self).__name__}: {name}", most=2**31 - 1)  # compiled loops count in 32 bits

    def described(self) -> dict[str, Any]:
        """For the record: its settings."""
        return asdict(self)

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Draws of a fit (:class:`hamlearn.infer.fit.Fit`)."""
        return fit.normal(self.chains, self.draws, seed)


@dataclass(frozen=True)
class MLE(_Draws):
    """Maximum likelihood; draws come from its (sandwich) normal."""

    name: ClassVar[str] = "mle"
    flat: ClassVar[bool] = True


@dataclass(frozen=True)
class MAP(_Draws):
    """Maximum of likelihood times prior; draws come from the normal of the adjusted curvature there."""

    name: ClassVar[str] = "map"


@dataclass(frozen=True)
class LaplaceApproximation(_Draws):
    """Normal approximation of the posterior (calibrated likelihood times prior) at its mode."""

    name: ClassVar[str] = "laplace"


@dataclass(frozen=True)
class NUTS(_Draws):
    """No-U-Turn sampling by NumPyro, preconditioned with the normal approximation.

    Parameters
    ----------
    draws, chains : int
        Kept draws per chain, chains (run together, vectorised).
    warmup : int
        Discarded draws; few are needed because the mass matrix is known before sampling starts.
    target_accept : float
        Aimed acceptance probability of the step-size adaptation.
    """

    warmup: int = 300
    target_accept: float = 0.8
    name: ClassVar[str] = "nuts"
    bell: ClassVar[bool] = False
    markov: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number(self.target_accept, "NUTS: target_accept, a probability,", above=0, below=1)

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Draws of a fit, with NumPyro's record of each."""
        return fit.nuts(self, seed, checkpoint)


@dataclass(frozen=True)
class ImportanceSampling(_Draws):
    """Independent proposals from the normal approximation, corrected to the posterior by Metropolis's rule.

    Fast where the data are many, since the posterior is almost normal there: no gradients, and all proposals in one vectorised call.
    The shape k̂ of the importance weights judges the approximation, and "auto" samples by NUTS where it fails.

    Parameters
    ----------
    draws, chains : int
        Kept draws per chain, chains.
    thin : int
        Proposals per kept draw; two of three that are accepted leave draws that are nearly independent.
    """

    thin: int = 2
    name: ClassVar[str] = "importance"
    bell: ClassVar[bool] = False
    markov: ClassVar[bool] = True

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Draws of a fit."""
        return fit.importance(self, seed)


@dataclass(frozen=True)
class Gibbs(_Draws):
    """Gibbs sampling of a spike-and-slab posterior on the adjusted normal surrogate.

    Parameters
    ----------
    draws, chains : int
        Kept draws per chain, chains.
    warmup : int
        Discarded sweeps.
    thin : int
        Sweeps per kept draw; a sweep is cheap and a bond that is hesitantly in or out changes slowly.
    """

    warmup: int = 1000
    thin: int = 5
    name: ClassVar[str] = "gibbs"
    bell: ClassVar[bool] = False
    sparse: ClassVar[bool] = True
    markov: ClassVar[bool] = True


@dataclass(frozen=True)
class Pooled(_Draws):
    """Gibbs sampling of groups that share a mean and a spread (:class:`hamlearn.models.Hierarchical`).

    Parameters
    ----------
    draws, chains : int
        Kept draws per chain, chains (run together).
    warmup : int
        Discarded sweeps; after half of them the parabolas of likelihoods are laid anew, where the groups are then.
    thin : int
        Sweeps per kept draw.
    exact : bool, optional
        Whether draws are corrected by Metropolis's rule from these parabolas to the likelihoods themselves; None where that takes less
        than ten seconds of counted work.
    """

    warmup: int = 400
    thin: int = 2
    exact: bool | None = None
    name: ClassVar[str] = "pooled"
    bell: ClassVar[bool] = False
    markov: ClassVar[bool] = True

    @property
    def sweeps(self) -> int:
        """Of a chain."""
        return self.warmup + self.draws * self.thin

    def described(self) -> dict[str, Any]:
        """For the record: its settings, and what makes more of such draws."""
        return {**asdict(self), "sampler": "engine=hl.infer.Pooled(draws=...)"}

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Refused: it takes several groups."""
        raise HamlearnError("hl.infer.Pooled draws the groups of hl.models.Hierarchical, and nothing else; use engine='auto'.")


@dataclass(frozen=True)
class ClosedForm(_Draws):
    """Independent draws of a posterior that is known in closed form: of :class:`hamlearn.models.GaussianRBM`, and nothing else."""

    draws: int = 250
    name: ClassVar[str] = "closed form"

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Refused: other posteriors have no closed form."""
        raise HamlearnError("hl.infer.ClosedForm draws posteriors of hl.models.GaussianRBM, and nothing else; use engine='auto'.")


@dataclass(frozen=True)
class OwnEngine(_Draws):
    """An engine of a user's own: an object with a method ``draw(fit, seed)`` that gives draws of θ ``(chain, draw, n_params)``.

    `fit` is a :class:`hamlearn.infer.fit.Fit`: ``fit.log_density()`` is the calibrated log posterior for JAX, ``fit.mean`` and
    ``fit.root`` a normal approximation of it. The object may have attributes ``name``, ``draws`` and ``chains``, which are recorded.
    """

    name: str = "own"
    engine: Any = field(default=None, repr=False)
    bell: ClassVar[bool] = False
    markov: ClassVar[bool] = True

    def draw(self, fit: Fit, *, seed: int, checkpoint: str | PathLike[str] | None = None) -> Drawn:
        """Its draws, checked."""
        fit.require_batches(f"sampling by {self.name}")
        found = self.engine.draw(fit, seed=seed)
        theta, p = np.asarray(getattr(found, "theta", found), float), len(fit.mean)
        if theta.ndim != 3 or theta.shape[2] != p or 0 in theta.shape or not np.all(np.isfinite(theta)):
            raise HamlearnError(f"the engine {self.name} must give finite draws of shape (chain, draw, {p}); got shape {theta.shape}.")
        return Drawn(theta, dict(getattr(found, "stats", {})))

    def described(self) -> dict[str, Any]:
        """For the record: what can be written down of it."""
        return {"name": self.name, "markov": self.markov}


@dataclass(frozen=True)
class External(_Draws):
    """How draws were made that were not made here, for the record."""

    sampler: str = ""
    independent: bool = False
    name: ClassVar[str] = "external"
    bell: ClassVar[bool] = False

    def described(self) -> dict[str, Any]:
        """For the record: its settings, and whether its draws are judged as chains."""
        return {"draws": self.draws, "chains": self.chains, "sampler": self.sampler, "markov": not self.independent}


def require_memory(engine: Any, n_params: int) -> None:
    """Raise unless the draws of an engine fit into memory, before any is made."""
    size = 16 * engine.draws * engine.chains * int(n_params)
    what = f"{engine.draws} draws of {engine.chains} chains of {n_params} parameters"
    memory.require(size, what, "Ask for fewer draws.")


Engine = MLE | MAP | LaplaceApproximation | ImportanceSampling | NUTS | Gibbs | OwnEngine
SAMPLED = NUTS(draws=2, warmup=1, chains=1)
"""What a posterior is asked for whose draws are made elsewhere: all that NUTS needs, and next to nothing of its work."""
ENGINES: dict[str, type[Engine]] = {
    "mle": MLE,
    "map": MAP,
    "laplace": LaplaceApproximation,
    "importance": ImportanceSampling,
    "nuts": NUTS,
    "gibbs": Gibbs,
}


def as_engine(engine: Any) -> Engine | None:
    """Settings of an engine from a name or settings; None for "auto"."""
    if isinstance(engine, str):
        name = choice(engine, ("auto", *ENGINES), "engine")
        return None if name == "auto" else ENGINES[name]()
    if callable(getattr(engine, "draw", None)) and not isinstance(engine, _Draws | type):
        numbers = {name: getattr(engine, name) for name in ("draws", "chains") if hasattr(engine, name)}
        return OwnEngine(**numbers, name=str(getattr(engine, "name", type(engine).__name__)), engine=engine)
    if not isinstance(engine, tuple(ENGINES.values())):
        raise HamlearnError(
            f"engine must be 'auto', one of {', '.join(map(repr, ENGINES))}, or settings such as hl.infer.NUTS(draws=500); "
            f"got {shown(engine)}."
        )
    return cast("Engine", engine)
