"""The answer of :func:`hamlearn.rank`: a table of models, and what it says."""

from __future__ import annotations

import html
from dataclasses import dataclass

import xarray as xr

FEW = 40  # independent rows below which errors of differences mean little
FEWEST = 10  # below which no model is preferred
SMALL = 4.0  # nats of all rows together: a difference below it is small, and its error unreliable (Sivula et al. 2020)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Models, the one that predicts best first; printing it shows the table and what it says.

    Attributes
    ----------
    table : Dataset
        Over ``model``: ``score``, mean ln p of a held-out microstate (nats), and its ``error``; ``difference``, by how much that is below
        the best one's, and ``difference_error``, from the same rows of both; ``parameters``, where a model has such.
    score : {"exact", "pseudo"}
        Whether ln p is that of whole microstates, or the sum over sites of ln p of each given all others.
    rows : int
        Microstates, each of which was held out once.
    worth : float
        Independent ones that the differences are worth, at least.
    leaking : bool
        Whether held-out stretches are shorter than five autocorrelation times of the differences, so that their ends know of what was
        fitted.
    copied : str
        That rows seem to be copied, in a sentence; empty where a model explains all equal rows.
    misordered : str
        That a model of ordered states came off worse where words stand in alphabetical order, in a sentence; empty elsewhere.
    """

    table: xr.Dataset
    score: str
    rows: int
    worth: float
    leaking: bool
    copied: str = ""
    misordered: str = ""

    @property
    def best(self) -> str:
        """The first."""
        return str(self.table["model"].values[0])

    @property
    def telling(self) -> bool:
        """Whether the rows can tell models apart: they were not copied, and are worth ten independent ones or more."""
        return not self.copied and self.worth >= FEWEST

    @property
    def alike(self) -> list[str]:
        """Models that are not told from the best: closer than two standard errors, or than four nats of all rows together.

        All of them, where rows were copied or are worth less than ten independent ones.
        """
        table = self.table
        if not self.telling:
            return [str(name) for name in table["model"].values[1:]]
        close = (table["difference"] <= 2 * table["difference_error"]) | (table["difference"] * self.rows < SMALL)
        return [str(name) for name in table["model"].values[1:][close.values[1:]]]

    @property
    def summary(self) -> str:
        """What the table says."""
        what = "ln p of a microstate" if self.score == "exact" else "the conditionals of its sites (pseudo-likelihood)"
        first = [self.copied] if self.copied else []
        found = [*first, f"{self.best!r} {'predicts' if self.telling else 'would predict'} held-out microstates best, by {what}."]
        if self.alike:
            found.append(f"Not told from it: {', '.join(map(repr, self.alike))}.")
        if self.worth < FEW:
            told = f"none is preferred below {FEWEST}" if self.worth < FEWEST else f"errors of differences mean little below {FEW}"
            found.append(f"The rows are worth {self.worth:.0f} independent ones: {told}.")
        if self.leaking:
            found.append(
                "Held-out stretches are shorter than five autocorrelation times: scores favour models that remember. Longer chains."
            )
        return " ".join([*found, self.misordered] if self.misordered else found)

    def to_dataset(self) -> xr.Dataset:
        """The table, with what it rests on in its attributes."""
        told = {"score": self.score, "rows": self.rows, "worth": self.worth, "leaking": int(self.leaking), "copied": self.copied}
        return self.table.assign_attrs(**told, summary=self.summary)

    def __str__(self) -> str:
        return f"{self.summary}\n{self.table.to_dataframe().to_string(float_format=lambda value: f'{value:.4g}')}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = self.table.to_dataframe().to_html(float_format=lambda value: f"{value:.4g}", border=0)  # escapes names
        return f"<div><b>{html.escape(self.summary)}</b>{rows}</div>"
