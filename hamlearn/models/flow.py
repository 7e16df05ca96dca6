"""What a normalising flow is, without its networks: a JSON-ready description that loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hamlearn.arguments import require_number, require_whole, require_words, sequence_of
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.traits import LOSSES, Model, Traits

TRANSFORMS = ("spline", "affine", "continuous")
LAYERS = ("coupling", "autoregressive")
NETWORKS = ("dense", "convolution")
HIDDEN = {"continuous": (16, 4)}  # where hidden= says nothing; (64, 64) of the others
SYMMETRIES = ("z2", "translation", "point")


@dataclass(frozen=True, eq=False, init=False)
class Flow(Model):
    """A normalising flow for real fields and paths: x = f(z) with z a correlated Gaussian, ln p(x) = ln N(z) − ln|det ∂f/∂z|.

    It starts as a Gaussian (learned from data: as the one with their covariance), so free fields are exact members of it.

    Parameters
    ----------
    transform : {"spline", "affine", "continuous"}
        What is done to a site given others: a monotonic rational spline, or a shift and a factor. "continuous": all sites of
        a periodic lattice move together, dφ_x/dt = Σ_y Σ_f W_f(y − x, t) sin(ω_f φ_y), from a Gaussian with a learned power
        spectrum. It has few weights and is exactly invariant under the sign of the field, translations and the point group: by
        far the best of lattice fields that have these symmetries; it cannot represent others.
    structure : {"coupling", "autoregressive"}
        Of splines and affine maps. "coupling": each layer transforms the sites of one checkerboard colour given the other;
        drawing and evaluating cost the same, which training on a known action needs. "autoregressive": each site given all earlier ones,
        the order turned around from layer to layer; evaluation takes one pass, drawing as many as there are sites.
    network : {"dense", "convolution"}
        Of couplings: dense layers, or circular convolutions, which share weights between sites (one to three site axes).
    layers : int
        Layers; an even number treats both colours alike; default 6. Of "continuous": Runge–Kutta steps of fourth order in
        training, default 8; the trained flow is followed with three times as many.
    hidden : int or sequence of int, optional
        Widths of each layer's network (channels of convolutions), which must be equal for "autoregressive"; default
        ``(64, 64)``. Of "continuous": the number of sines, and of polynomials in t; default ``(16, 4)``.
    symmetry : sequence of {"z2", "translation", "point"}
        What the density is exactly invariant under, by averaging p over the group: "z2" is the sign of the field and
        doubles the cost of an evaluation, the others multiply it by the elements of their group. "continuous" has all
        of them without being asked, at no cost.
    members : int
        Networks trained from different starts.
    bins : int
        Pieces of a spline.
    bound : float
        Splines act between ∓bound and leave the rest as it is: in standard deviations of the data, or, trained on
        an action, in units of the field.
    condition : {None, "beta"}
        "beta": one flow for all temperatures of the data, p(φ | β).

    Raises
    ------
    HamlearnError
        If a word is not known or a number out of range.

    Notes
    -----
    The transforms are Pyro's. Sources: Dinh, Sohl-Dickstein and Bengio 2017 (affine couplings), Durkan et al. 2019
    and Dolatabadi, Erfani and Leckie 2020 (splines), Papamakarios, Pavlakou and Murray 2017 (autoregressive flows);
    Albergo, Kanwar and Shanahan, Phys. Rev. D 100, 034515 (2019) for lattice fields; Gerdes et al., SciPost Phys. 15,
    238 (2023) (continuous).

    Examples
    --------
    >>> import hamlearn as hl
    >>> hl.models.Flow("affine", layers=4, hidden=32, symmetry="z2")
    Flow('affine', 'coupling', layers=4, hidden=(32,), symmetry=('z2',))
    """

    transform: str
    structure: str
    network: str
    layers: int
    hidden: tuple[int, ...]
    symmetry: tuple[str, ...]
    members: int
    bins: int
    bound: float
    condition: str | None
    kind: ClassVar[str] = "flow"
    traits: ClassVar[Traits] = Traits(
        "autoregressive",
        "a normalising flow",
        density=True,
        streams=True,
        compared="held out",
        draw="network",
        groups=("weights",),
        quantities=LOSSES,
    )

    def __init__(
        self,
        transform: str = "spline",
        structure: str = "coupling",
        network: str = "dense",
        *,
        layers: int | None = None,
        hidden: int | Sequence[int] | None = None,
        symmetry: str | Sequence[str] = (),
        members: int = 1,
        bins: int = 8,
        bound: float = 5.0,
        condition: str | None = None,
    ) -> None:
        plain = HIDDEN.get(choice(transform, TRANSFORMS, "transform"), (64, 64))
        widths = plain if hidden is None else (hidden,) if isinstance(hidden, int) else sequence_of(hidden, "hidden")
        if transform == "continuous" and isinstance(hidden, int):
            widths = (hidden, plain[1])
        names = require_words(symmetry, "symmetry")
        values: dict[str, Any] = {
            "transform": choice(transform, TRANSFORMS, "transform"),
            "structure": choice(structure, LAYERS, "structure"),
            "network": choice(network, NETWORKS, "network"),
            "layers": _positive((8 if transform == "continuous" else 6) if layers is None else layers, "layers"),
            "hidden": tuple(_positive(one, "every width in hidden") for one in widths),
            "symmetry": tuple(choice(name, SYMMETRIES, "symmetry") for name in names),
            "members": _positive(members, "members"),
            "bins": _positive(bins, "bins"),
            "bound": require_number(bound, "bound", above=0),
            "condition": condition if condition is None else choice(condition, ("beta",), "condition (or None)"),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if not self.hidden:
            raise HamlearnError("hidden needs one or more widths, such as (64, 64).")
        if not 2 <= self.bins <= 500:
            raise HamlearnError(f"a spline needs 2 to 500 bins; got {self.bins}.")
        if transform == "continuous" and (structure, network) != ("coupling", "dense"):
            raise HamlearnError(
                "'continuous' moves all sites by one kernel: structure= and network= are of 'spline' and 'affine'; leave them out."
            )
        if structure == "autoregressive" and len(set(self.hidden)) > 1:
            raise HamlearnError(f"structure='autoregressive' needs equal widths in hidden: layers add to each other; got {self.hidden}.")
        if structure == "autoregressive" and network != "dense":
            raise HamlearnError("network='convolution' is for couplings; structure='autoregressive' masks dense layers.")
        if transform == "continuous" and len(self.hidden) != 2:
            raise HamlearnError(f"'continuous' needs hidden=(sines, polynomials in t), such as (16, 4); got {self.hidden}.")

    def __repr__(self) -> str:
        shown = {"network": "dense", "symmetry": (), "members": 1, "bins": 8, "bound": 5.0, "condition": None}
        said = [f"{name}={getattr(self, name)!r}" for name, plain in shown.items() if getattr(self, name) != plain]
        structure = [] if self.transform == "continuous" else [repr(self.structure)]
        start = [repr(self.transform), *structure, f"layers={self.layers}", f"hidden={self.hidden}"]
        return f"Flow({', '.join([*start, *said])})"


def _positive(value: Any, what: str) -> int:
    return require_whole(value, what)
