"""How many microstates, at which temperature: expected widths of intervals and power of detection, before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from hamlearn.arguments import require_beta, require_number, require_seed, require_whole, shown
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.asked import LikelihoodName
from hamlearn.infer.draw_systems import draw_systems
from hamlearn.infer.plans import WHICH, Plan
from hamlearn.infer.row_information import RowInformation, of_one_row
from hamlearn.models import Couplings
from hamlearn.models.traits import Model
from hamlearn.processes import verb
from hamlearn.progress import track
from hamlearn.systems.base import System

MOST = 2000  # parameters, whose information is one matrix at every temperature
_AROUND = np.geomspace(1 / 3, 3, 9)  # of the temperature of a posterior's data
_ROWS = np.unique(np.geomspace(100, 1e6, 13).round()).astype(int)
_END = 40.0  # ln of the number of rows beyond which nothing is sought
_CLOSE = 1.1  # temperatures that take at most so many times as many rows as the best one serve as well


@verb
def plan(
    source: System | xr.DataTree,
    model: Model | None = None,
    *,
    width: float | None = None,
    effect: float | None = None,
    power: float = 0.8,
    beta: Any = None,
    rows: Any = None,
    level: float = 0.9,
    tau: float = 1.0,
    likelihood: LikelihoodName = "auto",
    simulated: int = 4000,
    repeats: int = 4,
    seed: int = 0,
) -> Plan:
    """How many microstates it takes to know parameters so well, and at which temperature.

    Parameters
    ----------
    source : System or DataTree
        What is taken for the truth: a system, or a posterior (of a pilot measurement), some draws of which are.
    model : model of :mod:`hamlearn.models`, optional
        What will be learned, with its priors. By default that of the posterior; of a system a coupling for every bond and a field for every
        site.
    width : float, optional
        Of the interval of a strength, from end to end, in the unit of couplings: how many microstates make all (and half) so narrow?
    effect : float, optional
        How many tell a strength of this size from zero?
    power : float
        With which probability.
    beta : float or array (n_beta,), optional
        Inverse temperatures to compare. By default nine from a third to three times that of the posterior's data.
    rows : int or array of int, optional
        Numbers of microstates that widths and power are given for; 100 to a million by default.
    level : float
        Probability of intervals.
    tau : float
        Autocorrelation time of the rows to come, in rows (1: independent): so many times as many are needed. That of a simulation says
        nothing about a measurement, and is not used.
    likelihood : str
        As for :func:`hamlearn.learn`.
    simulated, repeats : int
        Microstates of a simulation, and how many simulations (of one system), or draws of the posterior, there are. Systems of at most
        2^16 states are not simulated: their information is exact.
    seed : int
        Of simulations, and of which draws are taken.

    Returns
    -------
    Plan

    Raises
    ------
    HamlearnError
        If nothing is asked, the model has no parameters with priors or its data no temperature outside of them, or made-up data determine
        the parameters at no temperature.

    Notes
    -----
    A row adds the Fisher information of the exact likelihood, β² Cov(T) where couplings multiply statistics T, or the Godambe information
    H J⁻¹ H of a composite one; the prior's precision comes once. Information vanishes at high temperature (β² does) and where all rows
    are alike, so there is a best temperature in between. These are widths for many rows: where intervals are as wide as the couplings
    are large, posteriors are not normal, and a fit's own scatter. ``benchmarks/calibration/plans.py`` compares with fits.

    Examples
    --------
    >>> import hamlearn as hl
    >>> glass = hl.systems.EdwardsAnderson((3, 3), seed=1)
    >>> found = hl.plan(glass, width=0.2, beta=[0.3, 0.6, 1.2])
    >>> found.beta
    0.6
    >>> found.to_dataset()["rows_needed"].dims
    ('beta', 'which')
    """
    if width is None and effect is None and rows is None:
        raise HamlearnError("nothing is asked: give width=, of intervals, effect=, of a strength to be found, or rows=, of microstates.")
    asked = {
        name: None if value is None else require_number(value, name, above=0) for name, value in (("width", width), ("effect", effect))
    }
    power = require_number(power, "power", above=0, below=1)
    level, tau = require_number(level, "level", above=0, below=1), require_number(tau, "tau", least=1)
    counts = _ROWS if rows is None else np.unique([require_whole(one, "rows") for one in np.atleast_1d(np.asarray(rows, object))])
    if not len(counts):
        raise HamlearnError("rows= is one number of microstates or several; got none.")
    simulated, repeats = require_whole(simulated, "simulated", 100), require_whole(repeats, "repeats", 2)
    seed = require_seed(seed)
    model, worlds, betas = _worlds(source, model, beta, repeats, seed)
    every = _information(worlds, model, betas, simulated, likelihood, seed)
    known = [row[0] for row in every if row]
    if not known:
        raise HamlearnError(
            f"at none of the temperatures do {simulated} microstates determine the parameters: too ordered, or no data tell some of them "
            "apart. Ask about smaller beta=, tie parameters, or leave some out (fields=None)."
        )
    scatter = 1.0 if isinstance(source, xr.DataTree) else repeats**-0.5
    settings = _Settings(scipy.stats.norm.isf((1 - level) / 2), tau, counts, asked["width"], asked["effect"], power)
    table = _table(every, betas, known[0], settings, scatter)
    told = {name: value for name, value in asked.items() if value is not None}
    rests = _rests_on(source, known, [at for at, row in zip(betas, every, strict=True) if not row], simulated, repeats, tau)
    table.attrs = {"level": level, **told, "asked_power": power, "tau": tau, "likelihood": known[0].likelihood}
    return _best(table, rests)


def _worlds(
    source: System | xr.DataTree, model: Model | None, beta: Any, repeats: int, seed: int
) -> tuple[Model, list[System], np.ndarray]:
    """The model, what is taken for the truth in turn, and the temperatures."""
    if isinstance(source, xr.DataTree):
        own: Model = posteriors.model_of(source)
        found = own if model is None else model
        _require_planned(own)
        _require_planned(found)
        systems = draw_systems(source, repeats, seed=seed)
        given = np.exp(np.log(posteriors.trained_betas(source)).mean()) * _AROUND if beta is None else beta
    elif isinstance(source, System):
        found = Couplings(source.lattice) if model is None else model
        _require_planned(found)
        if beta is None:
            raise HamlearnError("a system has no temperature of its own: give those to compare, beta=[0.2, 0.5, 1.0].")
        systems, given = [source] * repeats, beta
    else:
        raise HamlearnError(f"source is a system, or a posterior of hl.learn, that is taken for the truth; got {shown(source)}.")
    shape = systems[0].lattice.shape
    if (size := found.bind(systems[0].space, tuple(shape)).n_params) > MOST:  # type: ignore[attr-defined]
        raise HamlearnError(
            f"{size} parameters: plans are made of at most {MOST}, whose information is one matrix. Plan a smaller lattice."
        )
    return found, systems, np.unique(require_beta(given))


def _require_planned(model: Any) -> None:
    """An error where the unknowns are no parameters with priors, or another temperature means other parameters."""
    if not isinstance(model, Model):
        raise HamlearnError(f"model must be one of hamlearn.models, such as hl.models.Couplings(...); got {shown(model)}.")
    name = type(model).__name__
    if model.traits.density:
        raise HamlearnError(f"{name} learns the weights of a density: there are no strengths whose intervals could be planned.")
    if model.traits.closed:
        raise HamlearnError(f"{name} {model.traits.closed}: there are no intervals of parameters to plan.")
    if model.traits.spacing:
        raise HamlearnError(
            f"{name}: the temperature of its data is inside the action (the width of a time slice), so that other temperatures are other "
            "actions, and none is best. Simulate at the temperature in question and learn: hl.learn(hl.simulate(system, beta, ...), model)."
        )


def _information(
    worlds: list[System], model: Model, betas: np.ndarray, rows: int, likelihood: str, seed: int
) -> list[list[RowInformation]]:
    """What a row tells at every temperature, in every world; an empty list where that is not determined."""
    every: list[list[RowInformation]] = []
    with track(len(betas) * len(worlds), "planning") as bar:
        for number, beta in enumerate(betas):
            here: list[RowInformation] = []
            for index, world in enumerate(worlds):
                own = int(np.random.SeedSequence([seed, number, index]).generate_state(1)[0])  # any seed has followers
                found = of_one_row(world, model, float(beta), rows=rows, likelihood=likelihood, seed=own)
                bar.advance()
                if found is None:
                    here = []
                    break
                here.append(found)
                if found.listed and all(one is world for one in worlds):
                    break  # nothing is random
            every.append(here)
    return every


@dataclass(frozen=True, eq=False)
class _Settings:
    """What was asked, in the terms of a standard deviation."""

    z: float
    tau: float
    rows: np.ndarray
    width: float | None
    effect: float | None
    power: float

    def deviation(self, one: RowInformation, rows: np.ndarray) -> np.ndarray:
        """Standard deviations ``(rows, parameter)``."""
        return np.sqrt(one.variance(np.asarray(rows) / self.tau))

    def detected(self, one: RowInformation, rows: np.ndarray) -> np.ndarray:
        """The probability that intervals leave out zero ``(rows, parameter)``.

        Posterior means of a parameter scatter about what its prior leaves of it, a share 1 − s²/prior², by s √share.
        """
        assert self.effect is not None
        s = self.deviation(one, rows)
        share = np.maximum(1 - s**2 * one.prior, 1e-12)
        centre, scatter = self.effect * share, s * np.sqrt(share)
        return np.asarray(scipy.stats.norm.cdf((centre - self.z * s) / scatter) + scipy.stats.norm.cdf((-centre - self.z * s) / scatter))


def _table(every: list[list[RowInformation]], betas: np.ndarray, known: RowInformation, settings: _Settings, scatter: float) -> xr.Dataset:
    """All numbers with their errors."""
    strength = known.strengths if known.strengths.any() else np.ones_like(known.strengths)
    made: dict[str, tuple[tuple[str, ...], Callable[[RowInformation], np.ndarray], tuple[int, ...]]] = {}
    sizes = len(settings.rows), len(strength)
    made["width"] = ("rows", "parameter"), lambda one: 2 * settings.z * settings.deviation(one, settings.rows), sizes
    if settings.width is not None:
        wanted = settings.width
        narrow = lambda one, rows: wanted - 2 * settings.z * settings.deviation(one, rows)[0, strength]
        made["rows_needed"] = ("which",), lambda one: _sought(lambda rows: narrow(one, rows)), (len(WHICH),)
    if settings.effect is not None:
        made["power"] = ("rows", "parameter"), lambda one: settings.detected(one, settings.rows), sizes
        sure = lambda one, rows: settings.detected(one, rows)[0, strength] - settings.power
        made["rows_detected"] = ("which",), lambda one: _sought(lambda rows: sure(one, rows)), (len(WHICH),)
    variables: dict[str, Any] = {}
    for name, (axes, function, shape) in made.items():
        found, error = np.full((len(betas), *shape), np.nan), np.full((len(betas), *shape), np.nan)
        for index, here in enumerate(every):
            if here:
                values = np.array([function(one) for one in here])
                found[index] = values.mean(0)
                with np.errstate(invalid="ignore"):  # where no number of rows is enough there is no error either
                    error[index] = scatter * values.std(0, ddof=1) if len(here) > 1 else 0.0
        variables |= {name: (("beta", *axes), found), f"{name}_error": (("beta", *axes), error)}
    coordinates = {"beta": betas, "rows": settings.rows, "parameter": known.names, "which": list(WHICH)}
    return xr.Dataset(variables, coords=coordinates).assign_coords(strength=("parameter", strength))


def _sought(missing: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The numbers of rows from which `missing` is above zero for all, and for half, of the strengths; infinite where it never is."""
    found = []
    for of in (np.min, np.median):
        low, high = 0.0, _END
        if of(missing(np.exp([high]))) < 0:
            found.append(np.inf)
            continue
        while high - low > 1e-4:
            middle = (low + high) / 2
            low, high = (low, middle) if of(missing(np.exp([middle]))) >= 0 else (middle, high)
        found.append(float(np.exp(high)))
    return np.array(found)


def _best(table: xr.Dataset, rests: tuple[str, ...]) -> Plan:
    """The plan whose temperature asks for the fewest rows, or makes the worst interval of most rows the narrowest."""
    asked = next((name for name in ("rows_needed", "rows_detected") if name in table), None)
    cost = table[asked].sel(which="worst").values if asked else _worst(table) ** 2
    cost = np.where(np.isfinite(cost), cost, np.inf)
    good = tuple(float(one) for one in table["beta"].values[cost <= _CLOSE * cost.min()])
    return Plan(float(table["beta"].values[np.argmin(cost)]), good, table, rests)


def _worst(table: xr.Dataset) -> np.ndarray:
    return np.asarray(table["width"].isel(rows=-1).values[:, table["strength"].values].max(-1))


def _rests_on(
    source: System | xr.DataTree, known: list[RowInformation], lost: list[float], simulated: int, repeats: int, tau: float
) -> tuple[str, ...]:
    """What the numbers rest on, in sentences."""
    one = known[0]
    names = " or ".join(sorted({found.likelihood for found in known}))
    made = "all states with their probabilities" if one.listed else f"simulations of {simulated} microstates"
    truth = f"{repeats} draws of the posterior" if isinstance(source, xr.DataTree) else "the system"
    found = [f"Taken for the truth: {truth}. The information of the {names} likelihood is that of {made}."]
    if one.replaced:
        found.append(
            f"The {' and '.join(one.replaced)} prior is not normal: an almost flat one stands for it, so that intervals will be narrower "
            "where it shrinks what is small."
        )
    told = f"autocorrelation time of {tau:.3g} rows" if tau > 1 else "independent rows: a chain takes tau times as many (tau=)"
    found.append(f"Counted for {told}.")
    if isinstance(source, xr.DataTree):
        learned = posteriors.provenance_of(source)
        lacking = [what for what, share in (("missing cells", learned.missing), ("readout errors", learned.flip)) if share]
        if lacking:
            found.append(
                f"Rows to come are taken to have no {' and no '.join(lacking)}, as those of the posterior had: with these it takes more."
            )
    if lost:
        found.append(f"Left out, since made-up data do not determine all parameters there: beta = {', '.join(f'{at:.4g}' for at in lost)}.")
    return tuple(found)
