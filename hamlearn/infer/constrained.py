"""What can be learned where something is fixed for every microstate, and by which likelihood."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hamlearn.errors import HamlearnError
from hamlearn.spaces import Space


def require_kept(found: Iterable[Space], model: Any) -> None:
    """An error if spaces have a constraint, or sites of different states, that a model does not have.

    At a fixed magnetization all other spins say what a spin is: conditionals of single sites carry nothing, and a likelihood that
    sums over all states is of another distribution. Energies of pairs and clusters are learned from exchanges of two unlike spins; a
    density with the same conserved sum is one of these states.
    """
    for space in found:
        if not space.uniform and not model.traits.mixed:
            raise HamlearnError(
                f"{model.traits.title} are of sites that all have the same states; these have numbers of their own ({space}): pair "
                "couplings are learned from them, hl.models.Couplings; or declare one number for all, hl.microstates(..., q=...)."
            )
        for name, value in space.constraint.items():
            if model.charge != value and not model.traits.conserved:
                raise HamlearnError(
                    f"the {name} of these microstates is fixed ({value}): a spin follows from all others, so that single-site conditionals "
                    "(pseudo-likelihood) say nothing, and likelihoods that sum over all states are of another distribution. What can be "
                    "learned is couplings, hl.models.Couplings(bonds), and clusters, hl.models.ClusterExpansion(), from exchanges of two "
                    f"spins, and a density with that sum, hl.models.Autoregressive(charge={value}). Data whose {name} is free: "
                    "leave the constraint out of their space."
                )


def require_able(likelihood: str, stand_in: str, space: Space) -> None:
    """An error if a likelihood that was asked for by name is of other data: free ones, or such of which something is fixed."""
    if stand_in == "exchange" and likelihood not in ("auto", "exact", "exchange"):
        fixed = ", ".join(f"{name} is fixed ({value})" for name, value in space.constraint.items())
        raise HamlearnError(
            f"likelihood={likelihood!r} asks what a spin is, given all others; the {fixed}, so that it follows from them and nothing is "
            "learned. Use likelihood='exchange' (or 'auto'): what two unlike spins are, given the others and their sum."
        )
    if stand_in != "exchange" and likelihood == "exchange":
        raise HamlearnError(
            "likelihood='exchange' is for spins whose sum is fixed, hl.microstates(..., space=hl.spaces.Spins(magnetization=0)); these are "
            f"free: use 'auto' or {stand_in!r}."
        )
