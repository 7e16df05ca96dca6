"""`critical_point`: where a transition is, from what was learned at one temperature or from microstates of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from hamlearn import facts
from hamlearn.arguments import require_number, require_seed, require_whole
from hamlearn.errors import HamlearnError, choice
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.critical import crossings, doubts, scaling, sources, stiffness
from hamlearn.infer.critical.columns import COLUMNS
from hamlearn.infer.critical.crossings import NAMES, Curves, Estimate
from hamlearn.infer.critical.histograms import Histograms
from hamlearn.processes import verb
from hamlearn.systems.base import System

Transition = Literal["auto", "second_order", "kosterlitz_thouless"]
_DRAWS = 1200  # of a transition without a program of its own: as many as NUTS gives others


@dataclass(frozen=True, eq=False, repr=False)
class CriticalPoint:
    """Where a transition is, and what says so.

    Attributes
    ----------
    transition : str
        "second_order" or "kosterlitz_thouless".
    draws : dict of arrays (n,)
        Of ``beta_c``, and of a second-order transition ``nu`` and ``gamma_over_nu``.
    curves : Dataset
        Each ratio, ``heat_capacity`` and ``susceptibility`` over ``(size, beta, quantity)``, quantity = mean, sd, lower, upper, and
        ``effective`` over ``(size, beta)``: independent microstates behind each.
    crossings : DataFrame
        A row per ratio and pair of sizes: ``beta``, ``sd``, ``lower``, ``upper``.
    peaks : DataFrame
        A row per quantity and size that has its largest value inside the range, likewise.
    level : float
        Of all intervals.
    notes : tuple of str
        What to be careful with.
    """

    transition: str
    draws: dict[str, np.ndarray]
    curves: xr.Dataset
    crossings: pd.DataFrame
    peaks: pd.DataFrame
    level: float
    notes: tuple[str, ...]

    @property
    def beta_c(self) -> Estimate:
        """Inverse critical temperature."""
        return Estimate.of(self.draws["beta_c"], self.level)

    @property
    def temperature(self) -> Estimate:
        """Critical temperature, 1/βc."""
        return Estimate.of(1 / self.draws["beta_c"], self.level)

    @property
    def nu(self) -> Estimate:
        """Exponent of the correlation length."""
        return self._exponent("nu")

    @property
    def gamma_over_nu(self) -> Estimate:
        """Exponent of ⟨m²⟩ N with the size."""
        return self._exponent("gamma_over_nu")

    def _exponent(self, name: str) -> Estimate:
        if name not in self.draws:
            raise HamlearnError(f"a Kosterlitz–Thouless transition has no exponent {name}: its correlation length grows exponentially.")
        return Estimate.of(self.draws[name], self.level)

    def noted(self, notes: tuple[str, ...]) -> CriticalPoint:
        """The same, with these notes first."""
        return replace(self, notes=(*notes, *self.notes))

    def to_dataset(self) -> xr.Dataset:
        """Draws, curves, crossings and peaks as one Dataset, which files keep."""
        parts = [self.curves, xr.Dataset({f"{name}_draws": ("sample", one) for name, one in self.draws.items()})]
        for prefix, table in (("crossing", self.crossings), ("peak", self.peaks)):
            if table.empty:  # without rows its columns have no type that a file could keep
                continue
            parts.append(xr.Dataset({f"{prefix}_{name}": (prefix, table[name].to_numpy()) for name in table.columns}))
        return xr.merge(parts).assign_attrs(transition=self.transition, level=self.level, notes="\n".join(self.notes))

    def facts(self) -> dict[str, str]:
        """What was found, in words."""
        names = {"beta_c": "βc", "temperature": "Tc", "nu": "ν", "gamma_over_nu": "γ/ν"}
        found = {words: str(getattr(self, name)) for name, words in names.items() if name == "temperature" or name in self.draws}
        sizes = ", ".join(str(size) for size in self.curves["size"].values)
        found |= {"transition": self.transition.replace("_", " "), "sizes": sizes, "intervals": f"{100 * self.level:.3g} %"}
        return found | {f"note {k}": one for k, one in enumerate(self.notes, 1)}

    def __repr__(self) -> str:
        return "\n".join(["critical point", *(f"  {name}: {value}" for name, value in self.facts().items())])

    def _repr_html_(self) -> str:
        return facts.table("critical point", self.facts())


@verb
def critical_point(
    source: xr.DataTree | xr.Dataset | Iterable[xr.Dataset],
    *,
    system: Callable[[tuple[int, ...]], System] | None = None,
    sizes: Sequence[int] | None = None,
    beta: Any = None,
    draws: int = 2000,
    chains: int = 4,
    omega: float | tuple[float, float] | None = None,
    transition: Transition = "auto",
    level: float = 0.9,
    seed: int = 0,
) -> CriticalPoint:
    """Where a transition is: critical temperature and exponents, with intervals.

    From a posterior whose couplings are tied (they know no size) sizes are simulated where its transition is; microstates of several sizes
    and temperatures are taken as they are. Temperatures of one size are joined by multi-histogram reweighting. Of a second-order
    transition, Binder cumulants U4 and ratios ξ/L of all sizes, with their slopes, are fitted by finite-size scaling with corrections;
    of planar rotors in two dimensions, the stiffness by the line of Nelson and Kosterlitz with its logarithmic correction. Errors come
    from resampling blocks of all temperatures of a size together, so that those of points of one run, and of rungs that exchange, are
    not taken as independent.

    Parameters
    ----------
    source : DataTree, or Datasets
        A posterior of one coupling for all bonds without fields, or microstates of two sizes or more (better three, each about twice the
        one before), each at several temperatures on both sides of the transition.
    system : callable, for microstates
        ``(shape)`` → system, whose energy the microstates have: ``hl.systems.Ising``. Its strength is the unit of temperature.
    sizes : sequence of int, for a posterior
        Extents L of the lattices that are simulated; 8, 12, 16, 24 and 32 by default.
    beta : array, for a posterior
        Temperatures of all sizes, around the transition; by default five of each size, found by a short search.
    draws, chains : int, for a posterior
        Of every size and temperature.
    omega : float or (float, float), optional
        Exponent of corrections L^−ω: fixed, or a range of 95 %. By default 0.45 to 3.2, wide enough for the usual classes; corrections
        themselves are N(0, 1.2²) L^−ω of values and slopes, which is 0.1 at L = 8.
    transition : {"auto", "second_order", "kosterlitz_thouless"}
        "auto" takes the last for planar rotors on two axes.
    level : float
        Of the intervals.
    seed : int
        Of everything random.

    Returns
    -------
    CriticalPoint
        ``.beta_c``, ``.temperature``, ``.nu``, ``.gamma_over_nu`` (each mean, sd, lower, upper), ``.crossings``, ``.peaks`` and
        ``.curves``; ``.to_dataset()`` is all of it. :func:`hamlearn.plots.critical_point` draws it.

    Raises
    ------
    HamlearnError
        If there is one size only, curves do not cross within the range, temperatures of a size share no energies (the gap is named),
        autocorrelation leaves too few independent blocks, or the posterior knows a size.

    Notes
    -----
    Sources: Binder, Z. Phys. B 43, 119 (1981); Ferrenberg and Swendsen, PRL 63, 1195 (1989); Pelissetto and Vicari, Phys. Rep. 368, 549
    (2002), for corrections; Weber and Minnhagen, PRB 37, 5986 (1988).

    Examples
    --------
    >>> import hamlearn as hl
    >>> betas = [0.36, 0.40, 0.44, 0.48]
    >>> data = [hl.simulate(hl.systems.Ising((size, size)), betas, draws=400, seed=size) for size in (4, 8)]
    >>> found = hl.critical_point(data, system=hl.systems.Ising)
    >>> bool(abs(found.temperature.mean - 2.269) < 4 * found.temperature.sd)
    True
    """
    asked, level, seed = _omega(omega), require_number(level, "level", above=0, below=1), require_seed(seed)
    choice(transition, get_args(Transition), "transition")
    if isinstance(source, xr.DataTree):
        if system is not None:
            raise HamlearnError("a posterior has its own systems; system= is for microstates.")
        post = admit_posterior(source)
        numbers = require_whole(draws, "draws"), require_whole(chains, "chains")
        found, strength = sources.of_posterior(post, sizes, beta, *numbers, seed)
        notes = [] if int(post.attrs["beta_declared"]) else ["the β of the data was not declared: βc is in units of it"]
    else:
        if sizes is not None or beta is not None:
            raise HamlearnError("microstates have sizes and temperatures of their own; sizes= and beta= are for a posterior.")
        found, strength, notes = sources.of_data([source] if isinstance(source, xr.Dataset) else source, system), np.ones(1), []
    planar = bool(found[0].sums[..., 1 + COLUMNS.index("stiff")].any())
    if transition == "kosterlitz_thouless" and not planar:
        raise HamlearnError(
            "a Kosterlitz–Thouless transition is found by the stiffness of planar rotors on two axes; these sites are none."
        )
    thouless = planar and transition != "second_order"
    notes = doubts.of_temperatures(found) + notes
    return of_histograms(found, "kosterlitz_thouless" if thouless else "second_order", strength, asked, level, seed, notes)


def of_histograms(
    histograms: list[Histograms], kind: str, strength: np.ndarray, omega: tuple[float, float], level: float, seed: int, notes: list[str]
) -> CriticalPoint:
    """The critical point of histograms of all sizes; `strength` multiplies it, `notes` come first."""
    found, sizes = crossings.curves(histograms, seed), [one.size for one in histograms]
    ratios = ["stiffness"] if kind == "kosterlitz_thouless" else ["binder", "length"]
    rows = []
    if kind == "kosterlitz_thouless":
        beta_c, p_value = stiffness.transition(found, seed, _DRAWS)
        draws, notes = {"beta_c": beta_c}, notes + doubts.of_stiffness(p_value, sizes)
    else:
        couples = crossings.pairs(sizes)
        places = {(name, pair): crossings.crossing(found, name, pair) for name in ratios for pair in couples}
        start = float(np.mean([places[name, couples[-1]][0] for name in ratios]))
        fitted = scaling.fit(found.at, start, (found.betas[0], found.betas[-1]), omega, seed)
        draws = {"beta_c": fitted.beta_c, "nu": fitted.nu, "gamma_over_nu": fitted.gamma_over_nu}
        notes = notes + doubts.of_scaling(fitted, sizes, found)
        names = {name: NAMES[name] for name in ratios}
        rows = [_row(one, level, strength, ratio=names[name], small=sizes[i], large=sizes[j]) for (name, (i, j)), one in places.items()]
    peaks = {
        (name, k): crossings.peak(found.betas, one) for name in ("heat_capacity", "susceptibility") for k, one in enumerate(found.of(name))
    }
    inside = {where: one for where, one in peaks.items() if np.isfinite(one).mean() > 0.95 and np.isfinite(one[0])}
    tops = [_row(one, level, strength, of=NAMES[name], size=sizes[k]) for (name, k), one in inside.items()]
    notes = notes + doubts.of_coverage(found)
    # Draws of the fit and of the posterior's strength are independent, so that any pairing of them will do.
    draws["beta_c"] = draws["beta_c"] * np.resize(strength, len(draws["beta_c"]))
    numbers = ["beta", "sd", "lower", "upper"]
    crossed, peaked = (
        pd.DataFrame(rows, columns=["ratio", "small", "large", *numbers]),
        pd.DataFrame(tops, columns=["of", "size", *numbers]),
    )
    return CriticalPoint(kind, draws, _dataset(found, ratios, sizes, level), crossed, peaked, level, tuple(notes))


def _dataset(found: Curves, ratios: list[str], sizes: list[int], level: float) -> xr.Dataset:
    result = xr.Dataset(coords={"size": sizes, "beta": found.betas, "quantity": ["mean", "sd", "lower", "upper"]})
    for name in [*ratios, "heat_capacity", "susceptibility"]:
        values = []
        for one in found.of(name):
            ends = np.quantile(one[1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
            values.append(np.stack([one[0], one[1:].std(0, ddof=1), *ends], -1))
        result[name] = (("size", "beta", "quantity"), np.stack(values), {"long_name": NAMES[name]})
    result["effective"] = (("size", "beta"), np.stack([one.of.effective(found.betas) for one in found.averages]))
    return result


def _row(draws: np.ndarray, level: float, strength: np.ndarray, **what: Any) -> dict[str, Any]:
    """A row of a table: the value of the data as they are, and the spread of the resampled, in units of the posterior's strength."""
    spread = draws[1:] * np.resize(strength, len(draws) - 1)
    one = Estimate.of(spread, level)
    return {**what, "beta": float(draws[0] * strength.mean()), "sd": one.sd, "lower": one.lower, "upper": one.upper}


def _omega(omega: Any) -> tuple[float, float]:
    """Median and logarithmic width."""
    if omega is None:
        return scaling.OMEGA
    if isinstance(omega, tuple | list):
        if len(omega) != 2:
            raise HamlearnError(f"omega is a number, or the two ends of a range; got {omega!r}.")
        low, high = (require_number(one, "omega", above=0) for one in omega)
        if low < high:
            return float(np.sqrt(low * high)), float(np.log(high / low) / 4)
        raise HamlearnError(f"the range of omega rises; got {omega!r}.")
    return require_number(omega, "omega", above=0), 1e-3


__all__ = ["CriticalPoint", "critical_point", "of_histograms"]


def __dir__() -> list[str]:
    return sorted(__all__)
