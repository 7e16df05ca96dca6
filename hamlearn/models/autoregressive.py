"""What an autoregressive density is, without its network: a JSON-ready description that loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hamlearn.arguments import require_whole, require_words, sequence_of
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.traits import LOSSES, Model, Traits
from hamlearn.systems.base import Space

NETWORKS = ("made", "pixelcnn", "gru", "transformer")  # of any lattice
CHAINS = ("local",)  # of one site axis only
ORDERS = ("raster", "snake", "spiral")
SYMMETRIES = ("internal", "z2", "translation", "point", "o2")
CONDITIONALS = {
    "spins": ("bernoulli",),
    "states": ("categorical",),
    "angles": ("vonmises-mixture", "circular-spline", "beta", "beta-mixture"),
    "reals": ("gaussian-mixture", "logistic-mixture"),
}
# (width, layers) of each network where hidden= says neither or only the width. "made" takes about 10 ms a step of 500
# microstates of 8×8 on one core; the others do several times the work.
DEFAULTS = {"made": (512, 2), "pixelcnn": (32, 4), "gru": (128, 1), "transformer": (64, 3), "local": (64, 2)}


@dataclass(frozen=True, eq=False, init=False)
class Autoregressive(Model):
    """A neural density over microstates, p(σ) = Π_i p(σ_i | σ_<i), normalised by construction.

    It needs no Hamiltonian: learned at one temperature β_o, −ln p/β_o is one, up to a constant.

    Parameters
    ----------
    network : {"made", "pixelcnn", "gru", "transformer", "local"}
        Masked dense layers (any sites, the fastest on small lattices); gated causal convolutions (two site axes);
        a recurrent cell scanned along the order; causal self-attention. "local" is one small network for all sites of
        a chain (one site axis), p(x_t | x_{t−1}, x_0, t): exact for nearest-neighbour actions such as those of imaginary-time
        paths, periodic or open, and far better than the others there. It cannot represent longer-ranged couplings, and
        data that have them get no warning from it: compare held-out likelihoods with another network.
    order : {"raster", "snake", "spiral"}
        In which order sites are unwrapped: row by row, row by row turning around at each end, or from the rim inwards
        (two site axes). "pixelcnn" and "local" know only "raster".
    symmetry : sequence of {"z2", "internal", "o2", "translation", "point"}
        What the density is exactly invariant under. "z2" (global flip) of spins and "internal" (global flip, shift
        of all q states, rotation of all angles) cost nothing: states are turned so that the first site has a fixed
        value, and the density of the turned ones is learned. "o2" of angles is their rotation, as in "internal", and
        their reflection φ → −φ as well, averaged over both. Translations of the torus, its point group, and "z2" of
        reals are averages of p over the group: training uses one random element per microstate (the average can only
        be closer to the data), evaluation all of them, and costs accordingly (8×8: 64 and 8 elements).
    hidden : int or sequence of int, optional
        Width, or widths of all layers (they must be equal: layers add to each other). Default: ``(512, 512)`` for
        "made", four layers of 32 channels for "pixelcnn", one of 128 for "gru", three of 64 for "transformer",
        two of 64 for "local".
    members : int
        Networks trained from different starts (a deep ensemble); their scatter is a part of the uncertainty, what they share
        is estimated from the microstates (:mod:`hamlearn.infer.densities.recalibration`). One network has no intervals.
    conditional : str
        p(σ_i | σ_<i): "auto" is "bernoulli" for spins, "categorical" for states, "vonmises-mixture" for angles and
        "gaussian-mixture" for reals. Reals also allow "logistic-mixture" (exponential tails). Angles also allow
        "circular-spline" (periodic, of any shape) and "beta" and "beta-mixture" in φ/2π (not periodic: they have a seam
        at 0).
    components : int
        Components of mixtures, pieces of splines.
    condition : {None, "beta"}
        "beta": one network for all temperatures of the data, p(σ | β).
    charge : int, optional
        Conserved Σσ of spins: states with another sum have probability zero, and the rest is normalised exactly.

    Raises
    ------
    HamlearnError
        If a word is not known, a number out of range, or two choices do not go together.

    Notes
    -----
    Sources: Germain et al. 2015 (MADE), van den Oord et al. 2016 (gated PixelCNN), Wu, Wang and Zhang, Phys. Rev. Lett.
    122, 080602 (2019) for the use in statistical mechanics; Rezende et al. 2020 (circular splines).

    Examples
    --------
    >>> import hamlearn as hl
    >>> hl.models.Autoregressive(hidden=32, symmetry=["z2"])
    Autoregressive('made', hidden=(32, 32), symmetry=('z2',))
    """

    network: str
    order: str
    symmetry: tuple[str, ...]
    hidden: tuple[int, ...]
    members: int
    conditional: str
    components: int
    condition: str | None
    charge: int | None
    kind: ClassVar[str] = "autoregressive"
    traits: ClassVar[Traits] = Traits(
        "autoregressive",
        "an autoregressive density",
        density=True,
        streams=True,
        compared="held out",
        draw="network",
        groups=("weights",),
        quantities=LOSSES,
    )

    def __init__(
        self,
        network: str = "made",
        order: str = "raster",
        symmetry: str | Sequence[str] = (),
        hidden: int | Sequence[int] | None = None,
        members: int = 1,
        conditional: str = "auto",
        *,
        components: int = 8,
        condition: str | None = None,
        charge: int | None = None,
    ) -> None:
        names = require_words(symmetry, "symmetry")
        width, layers = DEFAULTS[choice(network, (*NETWORKS, *CHAINS), "network")]
        widths = (width,) * layers if hidden is None else (hidden,) * layers if isinstance(hidden, int) else sequence_of(hidden, "hidden")
        values: dict[str, Any] = {
            "network": network,
            "order": choice(order, ORDERS, "order"),
            "symmetry": tuple(choice(name, SYMMETRIES, "symmetry") for name in names),
            "hidden": tuple(_positive(one, "every width in hidden") for one in widths),
            "members": _positive(members, "members"),
            "conditional": choice(conditional, ("auto", *(name for names in CONDITIONALS.values() for name in names)), "conditional"),
            "components": _positive(components, "components"),
            "condition": condition if condition is None else choice(condition, ("beta",), "condition (or None)"),
            "charge": charge if charge is None else require_whole(charge, "charge", -(10**9), 10**9, " (or None)"),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if not self.hidden or len(set(self.hidden)) > 1:
            raise HamlearnError(f"hidden needs one or more equal widths, such as (256, 256): layers add to each other; got {self.hidden}.")
        if network == "pixelcnn" and order != "raster":
            raise HamlearnError(f"'pixelcnn' convolves causally in raster order; order={order!r} needs 'made', 'gru' or 'transformer'.")
        if network == "local" and order != "raster":
            raise HamlearnError(f"'local' walks along a chain from site to neighbouring site, order='raster'; got order={order!r}.")
        if conditional == "circular-spline" and not 2 <= components <= 500:
            raise HamlearnError(f"a circular spline has 2 to 500 pieces; got components={components}.")
        if network == "transformer" and self.hidden[0] % 4:
            raise HamlearnError(f"'transformer' has four heads: its width must be a multiple of 4; got {self.hidden[0]}.")
        if charge and {"z2", "internal"} & set(self.symmetry):
            raise HamlearnError(f"a flip of all spins turns charge {charge} into {-charge}: only charge=0 goes with that symmetry.")

    def __repr__(self) -> str:
        fresh = Autoregressive(self.network)
        names = ("order", "symmetry", "members", "conditional", "components", "condition", "charge")
        said = [f"{name}={getattr(self, name)!r}" for name in names if getattr(self, name) != getattr(fresh, name)]
        return f"Autoregressive({', '.join([repr(self.network), f'hidden={self.hidden}', *said])})"

    def conditional_for(self, space: Space) -> str:
        """The conditional in a space; an error if this one is of another."""
        allowed = CONDITIONALS[space.name]
        if self.conditional == "auto":
            return allowed[0]
        if self.conditional not in allowed:
            raise HamlearnError(
                f"conditional={self.conditional!r} does not go with {space.name}: use 'auto' or {', '.join(map(repr, allowed))}."
            )
        return self.conditional


def _positive(value: Any, what: str) -> int:
    return require_whole(value, what)
