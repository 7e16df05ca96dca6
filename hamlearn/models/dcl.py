"""Distribution-consistent learning: microstates at one temperature → a normalised density → an extensive Hamiltonian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError
from hamlearn.models.autoregressive import Autoregressive
from hamlearn.models.extensive import Extensive
from hamlearn.models.traits import ENERGIES, TRAINED, Model, Traits


@dataclass(frozen=True, eq=False, init=False)
class DCL(Model):
    """A Hamiltonian of unknown form from microstates at one temperature, for all temperatures and sizes.

    1. A neural density q is trained on the microstates. 2. States drawn from it, some of them partly scrambled, are
    labelled with −ln q/β. 3. An extensive network is fitted to the labels: an energy of the same form at any size.
    4. Its fields and pairs (those of every place, where the network is site-aware) are made consistent with the data: a
    density that learned from finitely many microstates is smoother than they are, and its energies inherit that as a
    common factor of a few per cent. Weighting draws from q by exp(−βE)/q gives the partition function of the extensive
    energy, hence its exact likelihood, which is maximised; the same likelihood decides whether the network stays or
    whether pairs are enough.

    Parameters
    ----------
    autoregressive : Autoregressive, optional
        The density. Default: "made" with ``symmetry=("translation",)``, or none for a site-aware network: translations
        are shown at random in training, and averaged over by the fit to labels.
    extensive : Extensive, optional
        The energy. Default ``Extensive(focus=1, context=1, hidden=(32, 32), activation="silu")``, tiles of 3 sites along each
        axis, whose pairs all translations share. The published (2, 1) network costs more and does not know that.
    members : int
        Hamiltonians in the posterior: scatter of the sampling errors of data and weights, and of the densities if
        ``autoregressive.members`` is larger than one.
    labels : int
        Labelled states per density.
    draws : int
        Draws per density for the weights.
    consistent : bool
        Whether to make the fourth step; without it (False) this is the published procedure with thermal labels.

    Raises
    ------
    HamlearnError
        If a number is out of range.

    Notes
    -----
    Procedure of distribution-consistent learning (autoregressive density, then extensive network; see the benchmarks for
    its published figures), with two changes: labels are of thermal rather than of uniformly random states, where a
    density learned in the ordered phase knows nothing; and the last step. Importance weights of neural samplers: Nicoli et
    al., Phys. Rev. E 101, 023304 (2020).

    Examples
    --------
    >>> import hamlearn as hl
    >>> hl.models.DCL(members=8).extensive
    Extensive(focus=1, context=1, hidden=(32, 32), activation='silu')
    """

    autoregressive: Autoregressive
    extensive: Extensive
    members: int
    labels: int
    draws: int
    consistent: bool
    kind: ClassVar[str] = "dcl"
    traits: ClassVar[Traits] = Traits(
        "dcl",
        "an extensive energy, distilled from densities",
        counted=True,
        draw="energy",
        groups=("weights",),
        quantities=ENERGIES,
        closed=TRAINED,
    )

    def __init__(
        self,
        autoregressive: Autoregressive | None = None,
        extensive: Extensive | None = None,
        members: int = 32,
        labels: int = 40_000,
        draws: int = 60_000,
        *,
        consistent: bool = True,
    ) -> None:
        energy = Extensive(1, 1, (32, 32), activation="silu") if extensive is None else extensive
        if not isinstance(energy, Extensive):
            raise HamlearnError(f"extensive must be hl.models.Extensive(...) or None; got {shown(energy)}.")
        plain = () if energy.site_aware else ("translation",)
        density = Autoregressive("made", symmetry=plain) if autoregressive is None else autoregressive
        if not isinstance(density, Autoregressive):
            raise HamlearnError(f"autoregressive must be hl.models.Autoregressive(...) or None; got {shown(density)}.")
        counts: dict[str, tuple[Any, int]] = {"members": (members, 1), "labels": (labels, 100), "draws": (draws, 100)}
        for name, (count, least) in counts.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise HamlearnError(f"{name} must be a whole number of at least {least}; got {count!r}.")
        if density.condition is not None or density.charge is not None:
            raise HamlearnError("DCL learns one Hamiltonian from one temperature: use Autoregressive without condition= and charge=.")
        if energy.outputs != 1 or (consistent and not energy.pairs):
            raise HamlearnError("DCL needs Extensive(outputs=1), and pairs=True unless consistent=False.")
        found = (density, energy, members, labels, draws, bool(consistent))
        for field, value in zip(fields(self), found, strict=True):
            object.__setattr__(self, field.name, value)

    def __repr__(self) -> str:
        return f"DCL({self.autoregressive!r}, {self.extensive!r}, members={self.members})"

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that :meth:`DCL.to_dict` described."""
        given = {name: value for name, value in description.items() if name != "kind"}
        given["autoregressive"] = Autoregressive.from_dict(given["autoregressive"])
        given["extensive"] = Extensive.from_dict(given["extensive"])
        return cls(**given)
