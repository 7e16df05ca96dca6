"""Beliefs: families of Hamiltonians with unknowns and priors."""

from __future__ import annotations

from typing import Any

from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.actions import BoundAction, Flat, PolynomialAction
from hamlearn.models.autoregressive import Autoregressive
from hamlearn.models.base import Block, BoundFamily, Family
from hamlearn.models.bound_couplings import BoundCouplings
from hamlearn.models.cluster_expansion import BoundClusterExpansion, ClusterExpansion
from hamlearn.models.couplings import Couplings
from hamlearn.models.dcl import DCL
from hamlearn.models.extensive import BoundExtensive, Extensive
from hamlearn.models.extrapolated import ExtrapolatedAction
from hamlearn.models.flow import Flow
from hamlearn.models.gaussian_rbm import GaussianRBM
from hamlearn.models.hierarchical import Hierarchical
from hamlearn.models.local_interaction import BoundLocalInteraction, LocalInteraction
from hamlearn.models.network_action import BoundNetworkAction, NetworkAction
from hamlearn.models.priors import Distribution, Horseshoe, Laplace, Normal, Prior, SpikeSlab
from hamlearn.models.rbm import RBM
from hamlearn.models.scale import Scale
from hamlearn.models.traits import Model, Traits

_SINCE_0_1 = {"clusters": "cluster_expansion", "local_energy": "local_interaction"}  # what 0.1 called them


def kind_of(description: dict[str, Any]) -> str:
    """The kind of the model that a description is of, by its present name."""
    kind = description.get("kind", "")
    return _SINCE_0_1.get(kind, kind) if isinstance(kind, str) else kind


def class_of(description: dict[str, Any]) -> type[Model]:
    """The class of the model that a description is of, whose traits say what may be asked of it."""
    return Model.kinds[choice(kind_of(description), Model.kinds, "kind of model")]


def from_dict(description: dict[str, Any]) -> Any:
    """The model that its ``to_dict`` described."""
    if not isinstance(description, dict):
        raise HamlearnError(f"a model is described by a dictionary, as its to_dict() gives it; got {shown(description)}.")
    kind = kind_of(description)
    if "class" in description and kind not in Model.kinds:
        raise HamlearnError(
            f"this is of a family of models of somebody's own, {kind!r}, and no such class is known here: define or import "
            f"{shown(description['class'])} first, a class Name(hl.models.Family, kind={kind!r}). Files never name code to be run."
        )
    found = class_of(description)
    try:
        return found.from_dict(description)
    except HamlearnError:
        raise
    except Exception as error:  # a description that was changed or damaged fails in as many ways as it has entries
        raise HamlearnError(f"this description of a model cannot be read ({type(error).__name__}: {error}).") from error


__all__ = [
    "DCL",
    "RBM",
    "Autoregressive",
    "Block",
    "BoundAction",
    "BoundClusterExpansion",
    "BoundCouplings",
    "BoundExtensive",
    "BoundFamily",
    "BoundLocalInteraction",
    "BoundNetworkAction",
    "ClusterExpansion",
    "Couplings",
    "Distribution",
    "Extensive",
    "ExtrapolatedAction",
    "Family",
    "Flat",
    "Flow",
    "GaussianRBM",
    "Hierarchical",
    "Horseshoe",
    "Laplace",
    "LocalInteraction",
    "Model",
    "NetworkAction",
    "Normal",
    "PolynomialAction",
    "Prior",
    "Scale",
    "SpikeSlab",
    "Traits",
    "class_of",
    "from_dict",
]


def __dir__() -> list[str]:
    return sorted(__all__)
