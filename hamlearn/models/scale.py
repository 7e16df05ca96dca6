"""Scale: a Hamiltonian that is known up to its temperature, as that of an annealer or a simulator that was programmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, get_args

import jax
import numpy as np

from hamlearn import systems
from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.base import Family
from hamlearn.models.traits import Traits
from hamlearn.systems.base import System
from hamlearn.systems.lattice import Lattice
from hamlearn.systems.pairs import pairs_of
from hamlearn.systems.pairwise import Pairwise


@dataclass(frozen=True, eq=False, repr=False)
class Scale(Family, kind="scale"):
    """Spins with couplings and fields that are known up to a common factor, the effective inverse temperature.

    What was programmed into an annealer or a simulator is known, the temperature at which it samples is not: microstates are learned
    to be those of ``scale`` times the programmed energy. Where the data declare no β, ``scale`` is β_eff in units of one over the
    programmed energy; where they do, it multiplies that β. :func:`hamlearn.diagnostics.residuals` says which couplings are not what
    was programmed.

    Parameters
    ----------
    programmed : System
        Spins with pair couplings and fields, such as :class:`hamlearn.systems.Pairwise`.
    fields : {"same", "own"}
        Whether fields have the factor of the couplings, or one of their own, ``field_scale``.
    prior : None, prior or mapping, by keyword
        As of every :class:`Family`; by default almost flat.

    Raises
    ------
    HamlearnError
        If the system has no pair couplings of spins, or nothing that a factor would multiply.

    Examples
    --------
    >>> import hamlearn as hl
    >>> chip = hl.systems.EdwardsAnderson((3, 3), seed=1)
    >>> readouts = hl.simulate(chip, beta=0.7, draws=2000, seed=0)
    >>> data = hl.microstates(readouts["state"].values[0], space="spins")  # whose temperature nobody knows
    >>> post = hl.learn(data, hl.models.Scale(chip), seed=0)
    >>> low, high = post["posterior"]["scale"].quantile([0.05, 0.95]).values
    >>> bool(low < 0.7 < high), bool(high - low < 0.1)
    (True, True)
    """

    programmed: System
    fields: Literal["same", "own"] = "same"
    traits: ClassVar[Traits] = Traits("own", "the scale of a known Hamiltonian", zero="they are those of its systems.")

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.fields, get_args(Literal["same", "own"]), "fields")
        if not isinstance(self.programmed, System) or not self.programmed.space.binary or pairs_of(self.programmed) is None:
            raise HamlearnError(
                f"the programmed system must be spins with pair couplings, such as hl.systems.Pairwise; got {shown(self.programmed)}. "
                "Another one is scaled by a family of your own: hl.models.Family with system(lattice, scale)."
            )
        template = self._template
        for name, used in (("scale", template.J), ("field_scale", template.h)):
            if name in self.names() and not np.any(used) and (self.fields == "own" or not np.any(template.h)):
                raise HamlearnError(f"nothing could tell {name}: all that it multiplies is zero in the programmed system.")

    @cached_property
    def _template(self) -> Pairwise:
        pairs: Any = pairs_of(self.programmed)
        return Pairwise(self.programmed.lattice, *pairs.of_spins(), name="Scaled")

    def names(self) -> tuple[str, ...]:
        """``scale``, and ``field_scale`` where fields have their own."""
        return ("scale", "field_scale") if self.fields == "own" else ("scale",)

    def system(self, lattice: Lattice, scale: Any, field_scale: Any = None) -> Pairwise:
        """The programmed couplings and fields, each times its factor."""
        if lattice != self._template.lattice:
            raise HamlearnError("a programmed system belongs to its own sites: leave out shape.")
        template, fields = self._template, scale if field_scale is None else field_scale
        made: Pairwise = jax.tree.unflatten(jax.tree.structure(template), [scale * template.J, fields * template.h])  # JAX may trace them
        return made

    def lattice(self, shape: tuple[int, ...]) -> Lattice:
        """That of the programmed system, whose sites the data must have."""
        own = self.programmed.lattice
        if int(np.prod(shape)) != own.n_sites:
            raise HamlearnError(f"the programmed system has {own.n_sites} sites, the data {shown(shape)}: give the readouts of its sites.")
        return own

    def start(self, lattice: Lattice) -> Mapping[str, Any]:
        """Where the programmed energy is that of the largest term of one."""
        largest = max(np.abs(self._template.J).max(initial=0.0), np.abs(self._template.h).max(initial=0.0))
        return dict.fromkeys(self.names(), 0.3 / largest)

    def remarks(self, drawn: Mapping[str, np.ndarray]) -> tuple[tuple[str, str], ...]:
        """A factor below zero: what was programmed to be likely is unlikely."""
        turned = [f"{name} = {drawn[name].mean():.3g}" for name in self.names() if drawn[name].mean() < 0]
        if not turned:
            return ()
        what = f"{' and '.join(turned)}, a negative temperature: states of high programmed energy are the likely ones"
        return ((what, "Compare the signs of programme and readouts: the energy here is −Σ J s s − Σ h s, and s = 1 is up."),)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` described."""
        return super().from_dict({**description, "programmed": systems.from_dict(description["programmed"])})


__all__ = ["Scale"]
