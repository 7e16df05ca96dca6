"""What the verbs may be asked for by name, as types: a misspelt name is found before anything runs."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from hamlearn.infer.settings import Engine
from hamlearn.infer.training import Bayesian, Training, Variational

LikelihoodName = Literal["auto", "exact", "pseudo", "exchange", "screening", "rise", "logrise", "score"]
EngineName = Literal["auto", "mle", "map", "laplace", "importance", "nuts", "gibbs", "training", "bayesian", "variational"]
Fixed = Literal["sites", "spacing"]


class OwnEngine(Protocol):
    """An engine of a user's own."""

    def draw(self, fit: Any, *, seed: int) -> Any:
        """Draws of θ ``(chain, draw, parameter)`` of a fit."""
        ...


EngineAsked = EngineName | Engine | Training | Bayesian | Variational | OwnEngine

__all__ = ["EngineAsked", "EngineName", "Fixed", "LikelihoodName", "OwnEngine"]
