"""Beliefs: families of Hamiltonians with unknowns and priors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hamlearn.errors import choice
from hamlearn.models.couplings import BoundCouplings, Couplings, couplings_from_dict
from hamlearn.models.priors import Horseshoe, Laplace, Normal, Prior, SpikeSlab

_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {"couplings": couplings_from_dict}


def from_dict(description: dict[str, Any]) -> Any:
    """The model that its ``to_dict`` described."""
    return _READERS[choice(description.get("kind", ""), _READERS, "kind of model")](description)


__all__ = ["BoundCouplings", "Couplings", "Horseshoe", "Laplace", "Normal", "Prior", "SpikeSlab", "from_dict"]
