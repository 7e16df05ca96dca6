"""What cannot be learned where something is fixed for every microstate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hamlearn.errors import HamlearnError
from hamlearn.spaces import Space


def require_kept(found: Iterable[Space], model: Any) -> None:
    """An error if spaces have a constraint, or sites of different states, that a model does not have.

    At a fixed magnetization all other spins say what a spin is: conditionals of single sites carry nothing, and a likelihood that
    sums over all states is of another distribution. A density with the same conserved sum is one of these states.
    """
    for space in found:
        if not space.uniform and not model.traits.mixed:
            raise HamlearnError(
                f"{model.traits.title} are of sites that all have the same states; these have numbers of their own ({space}): pair "
                "couplings are learned from them, hl.models.Couplings; or declare one number for all, hl.microstates(..., q=...)."
            )
        for name, value in space.constraint.items():
            if model.charge != value:
                raise HamlearnError(
                    f"the {name} of these microstates is fixed ({value}): a spin follows from all others, so that single-site conditionals "
                    "(pseudo-likelihood) say nothing of couplings, and likelihoods that sum over all states are of another distribution. "
                    f"A density with that sum can be learned: hl.models.Autoregressive(charge={value}). Data whose {name} is free: "
                    "leave the constraint out of their space."
                )
