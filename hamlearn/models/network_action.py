"""Actions of imaginary-time paths whose form is not known and whose temperature dependence is: S = K/β + βV of local networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hamlearn.arguments import require_number, require_whole, shown
from hamlearn.errors import HamlearnError, choice
from hamlearn.models.traits import Model, Traits
from hamlearn.systems.base import Space
from hamlearn.systems.layers import UnitLayer, columns
from hamlearn.systems.network_path import NetworkPath
from hamlearn.systems.path import Path


@dataclass(frozen=True, eq=False, init=False)
class NetworkAction(Model):
    """S_β = K/β + βV of periodic paths, K = N_τ Σ k(x_{t+1} − x_t), V = (1/N_τ) Σ v(x_t), with k and v networks that are learned.

    The form of k and v is free, the dependence on β is exact: paths at several temperatures are learned together, and the action at
    any other follows. Each of k and v is a polynomial (κΔ²/2; powers of x up to `degree`) and, beside it, a hidden layer of units
    tanh((x − m)/s) placed evenly over what the data show. A unit is constant where its data end, so that beyond them k and v follow their
    polynomials. What is unknown are the readout weights alone, in which S is linear: the score-matching loss is quadratic in them and
    minus the log likelihood convex, ln Z being the transfer operator's. A few Newton steps lead from the minimum of the one to that of the
    other, and weights have error bars as any parameters have. With one number to read, training the places of the units too would add no
    function that the layer lacks. k is even: paths have no arrow of time, and data that have one are told so.

    What the data decide, by the likelihood of paths held out and in favour of what is simpler where it may explain them as well: whether
    either function needs its network, and with which penalty; the degree; and whether v is even.

    Parameters
    ----------
    hidden : (int, int)
        Units of k (each with its mirror image) and of v, an even number.
    degree : "auto", 2, 4 or 6
        Highest power of v's polynomial; "auto" tries 2 and 4.
    even : "auto" or bool
        Whether v(−x) = v(x); "auto" leaves it to the data.
    decay : "auto", float or None
        Weight of Σ (w_j − w_{j+1})² of units side by side, and a hundredth of it of Σ w², in units of twice the log-likelihood: the
        functions are smooth before data say otherwise, and "auto" takes the weights with the largest evidence. None leaves both
        networks out, a number puts both in.

    Raises
    ------
    HamlearnError
        If an argument is out of range.

    Notes
    -----
    Transfer operator: Creutz and Freedman, Ann. Phys. 132, 427 (1981). Evidence: MacKay, Neural Comput. 4, 415 (1992).
    Score matching: Hyvärinen, J. Mach. Learn. Res. 6, 695 (2005). Hidden layers that are placed and not trained: Rahimi and Recht,
    "Weighted sums of random kitchen sinks", NeurIPS 2008.

    Examples
    --------
    >>> import hamlearn as hl
    >>> hl.models.NetworkAction(hidden=(8, 16))
    NetworkAction(hidden=(8, 16), degree='auto', even='auto')
    """

    hidden: tuple[int, int]
    degree: str | int
    even: str | bool
    decay: str | float | None
    kind: ClassVar[str] = "network_action"
    traits: ClassVar[Traits] = Traits(
        "network_actions",
        "an action of local networks",
        thermal=True,
        groups=("point", "observed_data", "constant_data"),
        closed="is solved for, and with it the form and the penalties of its networks",
        zero="k and v vanish at zero.",
    )

    def __init__(
        self,
        hidden: Sequence[int] = (12, 24),
        degree: str | int = "auto",
        even: str | bool = "auto",
        decay: str | float | None = "auto",
    ) -> None:
        if not isinstance(hidden, Sequence | np.ndarray) or isinstance(hidden, str) or len(hidden) != 2:
            raise HamlearnError(f"hidden is two whole numbers, units of the kinetic term and of the potential; got {shown(hidden)}.")
        units = tuple(require_whole(one, "hidden (units of the kinetic term, and of the potential)") for one in hidden)
        if units[1] % 2:
            raise HamlearnError(f"hidden: the potential has as many units on either side of zero, an even number; got {units[1]}.")
        if not isinstance(degree, str) and (isinstance(degree, bool) or degree not in (2, 4, 6)):
            raise HamlearnError(f"degree, the highest power of the potential's polynomial, is 'auto', 2, 4 or 6; got {degree!r}.")
        for value, name in ((degree, "degree (or 2, 4, 6)"), (even, "even (or True, False)"), (decay, "decay (or a number, or None)")):
            if isinstance(value, str):
                choice(value, ("auto",), name)
        if not isinstance(even, bool | str):
            raise HamlearnError(f"even says whether the potential is the same at x and -x: 'auto', True or False; got {even!r}.")
        if decay is not None and not isinstance(decay, str):
            require_number(decay, "decay, which weighs the squares of the weights,", above=0, also=" (None: no network)")
        for field, found in zip(fields(self), (units, degree, even, decay), strict=True):
            object.__setattr__(self, field.name, found)

    def __repr__(self) -> str:
        more = "" if self.decay == "auto" else f", decay={self.decay!r}"
        return f"NetworkAction(hidden={self.hidden}, degree={self.degree!r}, even={self.even!r}{more})"

    def bind(self, space: Space, shape: Sequence[int]) -> BoundNetworkAction:
        """The family on paths of so many slices, before its units have a place.

        Raises
        ------
        HamlearnError
            If the data are no real numbers, or have several site axes.
        """
        if not space.unbounded:
            raise HamlearnError(
                f"a NetworkAction describes paths of real numbers, the data are {space.name}: declare them with space='reals'; discrete "
                "sites of unknown interactions are learned by hl.models.LocalInteraction."
            )
        if len(shape) != 1 or shape[0] < 4:
            raise HamlearnError(
                f"a NetworkAction describes paths of one site axis, imaginary time, of at least 4 slices; the data have {tuple(shape)}. "
                "Fields are learned by hl.models.PolynomialAction."
            )
        return BoundNetworkAction(self, space, (int(shape[0]),))


@dataclass(frozen=True, eq=False)
class Form:
    """Which terms an action has: what the data decide.

    Attributes
    ----------
    powers : tuple of int
        Of v's polynomial.
    steps, values : bool
        Whether k and v have their networks.
    """

    powers: tuple[int, ...]
    steps: bool
    values: bool

    @property
    def even(self) -> bool:
        """Whether v is even."""
        return all(power % 2 == 0 for power in self.powers)


@dataclass(frozen=True, eq=False)
class BoundNetworkAction:
    """The family on the slices of the data.

    Attributes
    ----------
    model : NetworkAction
    space : Space
    shape : tuple of int
        N_τ.
    form : Form
    extent : (float, float, float)
        Longest step, lowest and highest value that the units stand among.
    """

    model: NetworkAction
    space: Space
    shape: tuple[int, ...]
    form: Form = Form((2, 4), False, False)
    extent: tuple[float, float, float] = (1.0, -1.0, 1.0)

    @property
    def lattice(self) -> Any:
        """The ring of slices."""
        return Path(self.shape[0], UnitLayer([0, 1.0])).lattice

    @cached_property
    def places(self) -> tuple[tuple[np.ndarray, float], tuple[np.ndarray, float]]:
        """Places and width of the units of k and of v: evenly over what was seen, each as wide as they are apart."""
        longest, low, high = self.extent
        spread = longest / self.model.hidden[0]
        kinetic = (np.arange(self.model.hidden[0]) + 0.5) * spread
        if self.form.even:  # with mirror images: half as many stand for both sides
            count = max(self.model.hidden[1] // 2, 1)
            apart = max(abs(low), abs(high)) / count
            local = (np.arange(count) + 0.5) * apart
        else:
            apart = (high - low) / self.model.hidden[1]
            local = low + (np.arange(self.model.hidden[1]) + 0.5) * apart
        return (
            (kinetic if self.form.steps else np.zeros(0), spread),
            (local if self.form.values else np.zeros(0), apart),
        )

    @property
    def n_params(self) -> int:
        """Length of θ: κ, weights of k, coefficients, weights of v."""
        return 1 + len(self.places[0][0]) + len(self.form.powers) + len(self.places[1][0])

    @property
    def parts(self) -> tuple[slice, slice, slice]:
        """Where θ holds the weights of k, the coefficients of v and the weights of v; κ comes first."""
        steps = 1 + len(self.places[0][0])
        powers = steps + len(self.form.powers)
        return slice(1, steps), slice(steps, powers), slice(powers, self.n_params)

    @property
    def linear(self) -> np.ndarray:
        """Which of θ belong to the polynomials."""
        _, powers, _ = self.parts
        return np.r_[0, np.arange(powers.start, powers.stop)]

    @property
    def parameter_names(self) -> list[str]:
        """A name for every element of θ."""
        steps, values = (range(len(places)) for places, _ in self.places)
        names = ["kinetic", *(f"step_weight[{k}]" for k in steps)]
        return [*names, *(f"c[{p}]" for p in self.form.powers), *(f"weight[{k}]" for k in values)]

    def width(self, beta: float) -> float:
        """The width a = β/N_τ of a time slice."""
        return beta / self.shape[0]

    def of_steps(self, steps: np.ndarray, order: int) -> np.ndarray:
        """What κ and the weights of k multiply in a derivative of k, ``(..., 1 + units)``."""
        found = columns(steps, (2,), *self.places[0], order, even=True)
        found[..., 0] *= 0.5
        return found

    def of_values(self, x: np.ndarray, order: int) -> np.ndarray:
        """What the coefficients and the weights of v multiply in a derivative of v, ``(..., powers + units)``."""
        return columns(x, self.form.powers, *self.places[1], order, even=self.form.even)

    def terms(self, states: np.ndarray, beta: float) -> np.ndarray:
        """T_k of paths ``(..., n_tau)``, S = Σ θ_k T_k, shape ``(..., n_params)``."""
        x, a = np.asarray(states, float), self.width(beta)
        kinetic = self.of_steps(np.roll(x, -1, -1) - x, 0).sum(-2) / a
        return np.concatenate([kinetic, a * self.of_values(x, 0).sum(-2)], -1)

    def gradients(self, states: np.ndarray, beta: float) -> np.ndarray:
        """∂T_k/∂x of paths ``(row, n_tau)``, shape ``(row, n_tau, n_params)``."""
        x, a = np.asarray(states, float), self.width(beta)
        pull = self.of_steps(np.roll(x, -1, -1) - x, 1) / a
        return np.concatenate([np.roll(pull, 1, -2) - pull, a * self.of_values(x, 1)], -1)

    def laplacians(self, states: np.ndarray, beta: float) -> np.ndarray:
        """Σ_t ∂²T_k/∂x_t² of paths ``(row, n_tau)``, shape ``(row, n_params)``."""
        x, a = np.asarray(states, float), self.width(beta)
        curved = 2 * self.of_steps(np.roll(x, -1, -1) - x, 2).sum(-2) / a
        return np.concatenate([curved, a * self.of_values(x, 2).sum(-2)], -1)

    def confining(self, theta: np.ndarray) -> np.ndarray:
        """Whether the polynomials of θ ``(..., n_params)`` hold paths together: κ and the highest coefficient are positive."""
        _, powers, _ = self.parts
        found: np.ndarray = (theta[..., 0] > 0) & (theta[..., powers.stop - 1] > 0)
        return found

    def step_function(self, theta: np.ndarray) -> UnitLayer:
        """The function k of one θ, zero at zero."""
        steps, _, _ = self.parts
        return UnitLayer([0.0, 0.5 * theta[0]], theta[steps], *self.places[0], even=True)

    def potential(self, theta: np.ndarray) -> UnitLayer:
        """The function v of one θ, zero at zero."""
        _, powers, values = self.parts
        c = np.zeros(self.form.powers[-1])
        c[np.array(self.form.powers) - 1] = theta[powers]
        return UnitLayer(c, theta[values], *self.places[1], even=self.form.even)

    def system(self, theta: np.ndarray, shape: Sequence[int] | None = None) -> Path:
        """The paths of one θ; of another number of slices where K is quadratic, so that it scales with them.

        Raises
        ------
        HamlearnError
            If θ does not confine paths, or its K is that of another number of slices.
        """
        if not self.confining(theta):
            told = dict(zip(self.parameter_names, np.round(theta, 4).tolist(), strict=True))
            raise HamlearnError(
                f"these polynomials do not confine paths ({told}): there is no equilibrium to simulate. Use more data, or a lower degree."
            )
        slices = self.shape[0] if shape is None else int(next(iter(shape)))
        if not self.form.steps:
            return Path(slices, self.potential(theta), float(theta[0]))
        if slices != self.shape[0]:
            raise HamlearnError(
                f"the kinetic term was learned for {self.shape[0]} slices and is not quadratic: paths of {slices} slices have another."
            )
        return NetworkPath(slices, self.potential(theta), float(theta[0]), steps=self.step_function(theta))
