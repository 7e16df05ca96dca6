"""Actions joined from learned densities at other temperatures, as a model a posterior can name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from hamlearn.errors import HamlearnError
from hamlearn.models.traits import Model, Traits


@dataclass(frozen=True, eq=False, init=False)
class ExtrapolatedAction(Model):
    """What :func:`hamlearn.extrapolate` makes of learned densities: S_β = K/β + βV, or βH from one temperature.

    Nothing is left to learn in it; it comes with a posterior whose groups ``source_0``, … hold the densities.

    Parameters
    ----------
    sources : sequence of dict
        Descriptions of the models that were learned at the single temperatures.
    betas : sequence of float
        Their inverse temperatures.

    Examples
    --------
    >>> ExtrapolatedAction([{"kind": "polynomial_action"}] * 2, [20.0, 40.0])
    ExtrapolatedAction(polynomial_action at beta = 20, 40)
    """

    sources: tuple[dict[str, Any], ...]
    betas: tuple[float, ...]
    kind: ClassVar[str] = "extrapolated"
    traits: ClassVar[Traits] = Traits(
        "extrapolated",
        "densities joined at another temperature",
        compared="not",
        draw="joined network",
        groups=("source_0",),
        closed="joins posteriors, which were learned before",
        quantities=("Weights of the joined actions", "weight, known"),
    )

    def __init__(self, sources: Sequence[dict[str, Any]], betas: Sequence[float]) -> None:
        if not sources or len(sources) != len(betas):
            raise HamlearnError(f"every source needs its temperature; got {len(sources)} sources and {len(betas)} values of beta.")
        object.__setattr__(self, "sources", tuple(dict(source) for source in sources))
        object.__setattr__(self, "betas", tuple(float(beta) for beta in betas))

    def __repr__(self) -> str:
        return f"ExtrapolatedAction({self.sources[0]['kind']} at beta = {', '.join(f'{beta:g}' for beta in self.betas)})"

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that :meth:`ExtrapolatedAction.to_dict` described."""
        return cls(description["sources"], description["betas"])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"kind": self.kind, "sources": list(self.sources), "betas": list(self.betas)}
