"""What a way to a transition found: a curve and a temperature of every size, whether there is a transition, and what all that rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from hamlearn import facts
from hamlearn.errors import HamlearnError
from hamlearn.infer.critical.critical_point import CriticalPoint
from hamlearn.infer.critical.crossings import Estimate

_LOST = 0.05  # of the replicates may have no peak or crossing


@dataclass(frozen=True, eq=False, repr=False)
class Phases:
    """Where a transition shows itself, size by size, and whether it is one.

    Attributes
    ----------
    method : str
        "pca", "fisher", "confusion", "support-vector machine" or "classifier".
    signal : str
        What the curves are.
    curves : DataFrame
        A row per size and temperature: ``temperature``, ``mean``, ``sd``, ``lower``, ``upper``.
    estimates : DataFrame
        A row per size: ``temperature`` where its curve has its peak or crossing, ``sd``, ``lower``, ``upper``; nan where it has none inside
        the range. These are temperatures of finite lattices, and of a system without a transition too.
    verdict : {"transition", "none", "undecided"}
        Whether order grows with the size on one side of a temperature and dies out on the other, whatever the method.
    why : str
        What says so.
    bracket : (float, float)
        Temperatures that the transition lies between; nan where there is none.
    critical : CriticalPoint or None
        Finite-size scaling of all sizes, where the method has it and there is a transition.
    level : float
        Of all intervals.
    notes : tuple of str
        What to be careful with.
    """

    method: str
    signal: str
    curves: pd.DataFrame
    estimates: pd.DataFrame
    verdict: Literal["transition", "none", "undecided"]
    why: str
    bracket: tuple[float, float]
    critical: CriticalPoint | None
    level: float
    notes: tuple[str, ...]

    @property
    def temperature(self) -> Estimate:
        """Critical temperature of the infinite lattice.

        Raises
        ------
        HamlearnError
            If none was found: there is no transition, it is undecided, or the method has temperatures of sizes only.
        """
        return self._scaled().temperature

    @property
    def nu(self) -> Estimate:
        """Exponent of the correlation length.

        Raises
        ------
        HamlearnError
            As :attr:`temperature` does.
        """
        return self._scaled().nu

    def _scaled(self) -> CriticalPoint:
        if self.verdict != "transition":
            raise HamlearnError(f"no critical temperature: the verdict is {self.verdict!r}, for {self.why}.")
        if self.critical is None and self.method == "pca":
            low, high = self.bracket
            raise HamlearnError(f"no critical temperature, though order sets in between T = {low:.4g} and {high:.4g}: {self.notes[0]}.")
        if self.critical is None:
            raise HamlearnError(
                f"{self.method} has a temperature of every size (.estimates) and none of the infinite lattice: finite-size scaling is that "
                "of hl.diagnostics.phases.pca."
            )
        return self.critical

    def to_dataset(self) -> xr.Dataset:
        """Curves, temperatures of sizes and, where there is one, the critical point, as one Dataset, which files keep."""
        parts = [
            xr.Dataset({f"{prefix}_{name}": (prefix, table[name].to_numpy()) for name in table.columns})
            for prefix, table in (("curve", self.curves), ("estimate", self.estimates))
        ]
        parts += [] if self.critical is None else [self.critical.to_dataset()]
        told = {name: getattr(self, name) for name in ("method", "signal", "verdict", "why", "level")}
        return xr.merge(parts, combine_attrs="drop").assign_attrs(**told, bracket=list(self.bracket), notes="\n".join(self.notes))

    def facts(self) -> dict[str, str]:
        """What was found, in words."""
        found = {"verdict": f"{self.verdict}: {self.why}"}
        if self.critical is not None:
            found |= {"Tc": str(self.temperature), "ν": str(self.nu)}
        for row in self.estimates.itertuples(index=False):
            told = f"{row.temperature:.5g} ± {row.sd:.2g}" if np.isfinite(row.temperature) else "not inside the range"
            found[f"{self.signal}, L = {row.size}"] = told
        return found | {"intervals": f"{100 * self.level:.3g} %"} | {f"note {k}": one for k, one in enumerate(self.notes, 1)}

    def __repr__(self) -> str:
        return "\n".join([f"phases by {self.method}", *(f"  {name}: {value}" for name, value in self.facts().items())])

    def _repr_html_(self) -> str:
        return facts.table(f"phases by {self.method}", self.facts())


def estimate(size: int, places: np.ndarray, level: float) -> dict[str, float]:
    """A row of the estimates: the temperature of the data as they are, ``places[0]``, and the spread of the replicates."""
    if not np.isfinite(places[0]) or np.isnan(places[1:]).mean() > _LOST:
        return {"size": size, "temperature": np.nan, "sd": np.nan, "lower": np.nan, "upper": np.nan}
    one = Estimate.of(places[1:], level)
    return {"size": size, "temperature": float(places[0]), "sd": one.sd, "lower": one.lower, "upper": one.upper}


def curve(size: int, temperatures: np.ndarray, values: np.ndarray, level: float) -> pd.DataFrame:
    """Rows of the curves: values ``(replicate, temperature)``, the first of the data as they are."""
    lower, upper = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
    columns = {"temperature": temperatures, "mean": values[0], "sd": values[1:].std(0, ddof=1), "lower": lower, "upper": upper}
    return pd.DataFrame({"size": size} | columns).sort_values("temperature", ignore_index=True)
