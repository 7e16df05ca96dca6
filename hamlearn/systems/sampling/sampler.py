"""What a sampler is to :func:`.simulate`: an object with settings, which says what it cannot do and makes the engine that does the rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from hamlearn.errors import HamlearnError, choice
from hamlearn.systems.base import System
from hamlearn.systems.sampling.loop import Engine


@runtime_checkable
class SamplesSystems(Protocol):
    """What an object needs to be a sampler; :class:`Sampler`, to derive from, declares more."""

    @property
    def name(self) -> str:
        """What data say that they were drawn by."""
        ...

    def refusal(self, system: System) -> str | None:
        """Why it cannot sample a system, as the rest of a sentence; None where it can."""
        ...

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """What steps `chains` chains at each of `betas`: its axes ``lead`` are (beta, chain), or one of both in this order.

        Whatever adapts does so in the first `adapt` steps.
        """
        ...


@dataclass(frozen=True)
class Sampler:
    """A sampler of this library: its fields are its settings.

    Attributes
    ----------
    name : str
        What data, files and the shell call it.
    independent : bool
        Whether draws are independent: made by ``sample(system, beta, count, seed)``, without chains.
    keeps : tuple of str
        The constraints of a space (:attr:`hamlearn.spaces.Space.constraint`) that its moves keep.
    uses : frozenset of str
        Which of "burn_in", "thin", "start" and "ladder" (then a field of its own) change what it does: the others are refused, never
        ignored.
    """

    name: ClassVar[str] = ""
    independent: ClassVar[bool] = False
    keeps: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[frozenset[str]] = frozenset({"burn_in", "thin", "start"})

    def refusal(self, system: System) -> str | None:
        """Why it cannot sample a system, as the rest of a sentence; None where it can."""
        raise NotImplementedError

    def suits(self, system: System, betas: np.ndarray) -> str | None:
        """Why sampler="auto" takes it for a system that it does not refuse; None where another is better."""
        return None

    def remark(self, system: System) -> str:
        """What data should say of how it went about this system; nothing, as a rule."""
        return ""

    def temperatures(self, system: System, betas: np.ndarray) -> np.ndarray:
        """The temperatures to simulate, `betas` among them."""
        return betas

    def engine(self, system: System, betas: np.ndarray, chains: int, adapt: int) -> Engine:
        """What steps `chains` chains at each of `betas`; its axes, flattened, are (beta, chain)."""
        raise NotImplementedError


def settings(sampler: Any) -> dict[str, Any]:
    """What a sampler was told, by name; {} where nothing can be."""
    found = asdict(sampler) if is_dataclass(sampler) and not isinstance(sampler, type) else dict(getattr(sampler, "__dict__", {}))
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}


def declared(sampler: Any) -> Sampler:
    """What a sampler says of itself beside its name: a user's own that derives from nothing is what :class:`Sampler` is by default."""
    return sampler if isinstance(sampler, Sampler) else _PLAIN


_PLAIN = Sampler()


def why_not(sampler: Any, system: System) -> str | None:
    """Why a sampler cannot sample a system, its constraint included."""
    broken = [name for name in system.space.constraint if name not in declared(sampler).keeps]
    if broken:
        return f"its moves change the {broken[0]}, which is fixed"
    found: str | None = sampler.refusal(system)
    return found


def resolved(sampler: Any, known: dict[str, Sampler]) -> Any:
    """The sampler that is meant: "auto", an object, or the one of a name."""
    if isinstance(sampler, str):
        return sampler if choice(sampler, ("auto", *known), "sampler") == "auto" else known[sampler]
    if isinstance(sampler, type) or not isinstance(sampler, SamplesSystems):
        raise HamlearnError(
            f"sampler must be a name ({', '.join(map(repr, ('auto', *known)))}), settings such as hl.systems.HMC(length=2), or an object "
            f"with name, refusal(system) and engine(system, betas, chains, adapt); got {sampler!r}."
        )
    return sampler


def chosen(sampler: Any, system: System, betas: np.ndarray, auto: tuple[Sampler, ...]) -> tuple[Any, str]:
    """The sampler that is taken, and why."""
    if not isinstance(sampler, str):
        reason = why_not(sampler, system)
        if reason is None:
            return sampler, "asked for"
        others = [one.name for one in auto if why_not(one, system) is None]
        raise HamlearnError(
            f"sampler={sampler.name!r} does not apply to {system!r}: {reason}. It can be sampled by {', '.join(map(repr, others))}."
        )
    reasons = []
    for one in auto:
        refused = why_not(one, system)
        why = one.suits(system, betas) if refused is None else None
        if why is not None:
            return one, f"auto: {why}"
        reasons.append(f"{one.name}: {refused or 'only where asked for'}")
    raise HamlearnError(f"no sampler applies to {system!r}. {'; '.join(reasons)}.")
