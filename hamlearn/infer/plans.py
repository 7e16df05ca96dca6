"""The answer of :func:`hamlearn.plan`: numbers, and what they say in sentences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from hamlearn import facts

WHICH = ("worst", "median")  # strength: the one with the widest interval, and one in the middle


@dataclass(frozen=True, eq=False)
class Plan:
    """What :func:`hamlearn.plan` found; it prints as sentences.

    Attributes
    ----------
    beta : float
        The inverse temperature, of those asked about, at which the fewest microstates are needed (or intervals are narrowest).
    good : tuple of float
        All that take at most a tenth more.
    table : Dataset
        As of :meth:`to_dataset`.
    rests_on : tuple of str
        What the numbers rest on, in sentences.
    """

    beta: float
    good: tuple[float, ...]
    table: xr.Dataset
    rests_on: tuple[str, ...]

    def to_dataset(self) -> xr.Dataset:
        """The numbers.

        ``width`` over (beta, rows, parameter), of intervals at the level in the attributes; ``power`` over the same, the probability that
        such an interval of a parameter of size ``effect`` leaves out zero; ``rows_needed`` and ``rows_detected`` over (beta, which), where
        a width or an effect was asked about. What ends in ``_error`` is the standard error of the simulations behind a number, or the
        scatter over draws of the posterior that was taken for the truth.
        """
        return self.table.copy()

    def noted(self, notes: tuple[str, ...]) -> Plan:
        """The same, resting on these sentences first."""
        return replace(self, rests_on=(*notes, *self.rests_on))

    def __repr__(self) -> str:
        return f"Plan(beta={self.beta:.4g}, {self.table.sizes['parameter']} parameters)"

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        return facts.table("Plan", {str(number + 1): line for number, line in enumerate(self.sentences)})

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, and what it rests on."""
        table, found = self.table, []
        count = int(table["strength"].sum())
        worst, median = (f" for the worst of {count} strengths, ", " for the median one") if count > 1 else ("", "")
        here, level = table.sel(beta=self.beta), f"{100 * table.attrs['level']:.3g} %"
        if "rows_needed" in table:
            found.append(
                f"{level} intervals {table.attrs['width']:.3g} wide take {_told(here, 'rows_needed', 0)} at beta = "
                f"{self.beta:.4g}{worst}{_told(here, 'rows_needed', 1, of='') if median else ''}{median}."
            )
        if "rows_detected" in table:
            found.append(
                f"A strength of {table.attrs['effect']:.3g} is told from zero with probability {table.attrs['asked_power']:.3g} by "
                f"{_told(here, 'rows_detected', 0)} at beta = {self.beta:.4g}{worst}"
                f"{_told(here, 'rows_detected', 1, of='') if median else ''}{median}."
            )
        if not found:
            rows, at = int(table["rows"][-1]), here["width"].isel(rows=-1).values[table["strength"].values]
            found.append(
                f"With {rows} microstates {level} intervals are narrowest at beta = {self.beta:.4g}: {at.max():.3g} wide{worst}"
                f"{f'{np.median(at):.3g}' if median else ''}{median}."
            )
        if len(self.good) > 1:
            found.append(f"From beta = {min(self.good):.4g} to {max(self.good):.4g} at most a tenth more are needed.")
        known = table["beta"].values[np.isfinite(table["width"].values[:, 0, 0])]
        if len(known) > 1 and self.beta in (known[0], known[-1]):
            found.append("This is the last temperature on its side that was compared: a better one may lie beyond.")
        return (*found, *self.rests_on)


def _told(here: xr.Dataset, name: str, which: int, of: str = " microstates") -> str:
    """A number of rows with its error, and what they are."""
    value, error = float(here[name][which]), float(here[f"{name}_error"][which])
    if not np.isfinite(value):
        return f"no number of{of or ' them'}"
    digits = lambda number: f"{float(f'{number:.3g}'):,.0f}".replace(",", "\u202f")
    return digits(np.ceil(value)) + (f" ± {digits(error)}" if error >= 0.5 else "") + of
