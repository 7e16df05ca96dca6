"""Beliefs: families of Hamiltonians with unknowns and priors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.actions import BoundAction, Flat, PolynomialAction, polynomial_action_from_dict
from hamlearn.models.autoregressive import Autoregressive, autoregressive_from_dict
from hamlearn.models.base import Block, BoundFamily, Family
from hamlearn.models.cluster_expansion import BoundClusterExpansion, ClusterExpansion, clusters_from_dict
from hamlearn.models.couplings import BoundCouplings, Couplings, couplings_from_dict
from hamlearn.models.dcl import DCL, dcl_from_dict
from hamlearn.models.extensive import BoundExtensive, Extensive, extensive_from_dict
from hamlearn.models.extrapolated import ExtrapolatedAction, extrapolated_from_dict
from hamlearn.models.flow import Flow, flow_from_dict
from hamlearn.models.local_interaction import BoundLocalInteraction, LocalInteraction, local_energy_from_dict
from hamlearn.models.priors import Distribution, Horseshoe, Laplace, Normal, Prior, SpikeSlab

_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dcl": dcl_from_dict,
    "extensive": extensive_from_dict,
    "local_interaction": local_energy_from_dict,
    "cluster_expansion": clusters_from_dict,
    "autoregressive": autoregressive_from_dict,
    "flow": flow_from_dict,
    "couplings": couplings_from_dict,
    "polynomial_action": polynomial_action_from_dict,
    "extrapolated": extrapolated_from_dict,
}


_SINCE_0_1 = {"clusters": "cluster_expansion", "local_energy": "local_interaction"}  # what 0.1 called them


def kind_of(description: dict[str, Any]) -> str:
    """The kind of the model that a description is of, by its present name."""
    kind = description.get("kind", "")
    return _SINCE_0_1.get(kind, kind) if isinstance(kind, str) else kind


def from_dict(description: dict[str, Any]) -> Any:
    """The model that its ``to_dict`` described."""
    if not isinstance(description, dict):
        raise HamlearnError(f"a model is described by a dictionary, as its to_dict() gives it; got {shown(description)}.")
    kind = kind_of(description)
    if "class" in description and kind not in Family.kinds:
        raise HamlearnError(
            f"this is of a family of models of somebody's own, {kind!r}, and no such class is known here: define or import "
            f"{shown(description['class'])} first, a class Name(hl.models.Family, kind={kind!r}). Files never name code to be run."
        )
    readers = {**_READERS, **{name: one.from_dict for name, one in Family.kinds.items()}}
    read = readers[choice(kind, readers, "kind of model")]
    try:
        return read(description)
    except HamlearnError:
        raise
    except Exception as error:  # a description that was changed or damaged fails in as many ways as it has entries
        raise HamlearnError(f"this description of a model cannot be read ({type(error).__name__}: {error}).") from error


__all__ = [
    "DCL",
    "Autoregressive",
    "Block",
    "BoundAction",
    "BoundClusterExpansion",
    "BoundCouplings",
    "BoundExtensive",
    "BoundFamily",
    "BoundLocalInteraction",
    "ClusterExpansion",
    "Couplings",
    "Distribution",
    "Extensive",
    "ExtrapolatedAction",
    "Family",
    "Flat",
    "Flow",
    "Horseshoe",
    "Laplace",
    "LocalInteraction",
    "Normal",
    "PolynomialAction",
    "Prior",
    "SpikeSlab",
    "from_dict",
]
