"""Settings of the engines, as small frozen records; `learn(engine=...)` takes a name or one of these."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

from hamlearn import memory
from hamlearn.arguments import require_number, require_whole, shown
from hamlearn.errors import HamlearnError, choice


@dataclass(frozen=True)
class _Draws:
    draws: int = 1000
    chains: int = 4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in ("draws", "chains", "warmup", "thin"):
                object.__setattr__(self, name, require_whole(value, f"{type(self).__name__}: {name}"))
        require_memory(self, 1)
        for name, value in asdict(self).items():
            if name in ("warmup", "thin"):
                require_whole(value, f"{type(self).__name__}: {name}", most=2**31 - 1)  # compiled loops count in 32 bits
        if isinstance(self, NUTS):
            require_number(self.target_accept, "NUTS: target_accept, a probability,", above=0, below=1)


@dataclass(frozen=True)
class MLE(_Draws):
    """Maximum likelihood; draws come from its (sandwich) normal."""

    name: ClassVar[str] = "mle"


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


def require_memory(engine: Any, n_params: int) -> None:
    """Raise unless the draws of an engine fit into memory, before any is made."""
    size = 16 * engine.draws * engine.chains * int(n_params)
    what = f"{engine.draws} draws of {engine.chains} chains of {n_params} parameters"
    memory.require(size, what, "Ask for fewer draws.")


Engine = MLE | MAP | LaplaceApproximation | NUTS | Gibbs
ENGINES: dict[str, type[Engine]] = {"mle": MLE, "map": MAP, "laplace": LaplaceApproximation, "nuts": NUTS, "gibbs": Gibbs}


def as_engine(engine: Any) -> Engine | None:
    """Settings of an engine from a name or settings; None for "auto"."""
    if isinstance(engine, str):
        name = choice(engine, ("auto", *ENGINES), "engine")
        return None if name == "auto" else ENGINES[name]()
    if not isinstance(engine, tuple(ENGINES.values())):
        raise HamlearnError(
            f"engine must be 'auto', one of {', '.join(map(repr, ENGINES))}, or settings such as hl.infer.NUTS(draws=500); "
            f"got {shown(engine)}."
        )
    return cast("Engine", engine)
