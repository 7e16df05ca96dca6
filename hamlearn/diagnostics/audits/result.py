"""What an audit found: findings, and the decision that they make."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
import xarray as xr

from hamlearn import facts

SECTIONS = {
    "conserved": "Conserved and forbidden",
    "distributions": "Distributions",
    "space": "In space",
    "support": "Support and memory",
    "whole": "The whole distribution",
    "range": "Temperatures",
}


@dataclass(frozen=True)
class AuditFinding:
    """One comparison of the model with the reference.

    Attributes
    ----------
    name : str
        What was compared, "correlations along the axes".
    section : str
        A key of ``SECTIONS``: "conserved", "distributions", "space", "support", "whole" or "range".
    statistic : float
        The largest t, up to its sign, of several differences, a sum of t², an area under a curve, or a distance; nan where nothing was
        decided.
    p_value, p_adjusted : float
        That of equal laws, autocorrelation taken into account; and corrected for the number of comparisons (false discovery rate). nan
        where nothing is tested.
    effect, effect_sd : float
        How large what was found is, model minus reference, in `unit`, and its standard error (of a distance: what equal laws scatter by).
    unit : str
        "J" is the unit of the energies that were audited.
    where : str
        Which component, level, site or pair the effect is of.
    consequence : str
        What it means, in a sentence.
    flagged : bool
        Whether it speaks against the model at the level of the audit.
    decided : bool
        False: the samples were too small for it, and it is no pass.
    code : str
        What was compared, in a word that does not change with the wording.
    """

    name: str
    section: str
    statistic: float
    p_value: float
    effect: float
    effect_sd: float
    unit: str = ""
    where: str = ""
    consequence: str = ""
    p_adjusted: float = np.nan
    flagged: bool = False
    decided: bool = True
    code: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What :func:`hamlearn.audit` found.

    Attributes
    ----------
    findings : tuple of AuditFinding
        Every comparison, section by section.
    level : float
        Share of false discoveries among what is flagged; also the probability that anything is flagged where the laws are equal.
    how : dict of str
        Where the rows came from, how many there are, and how many of them are independent.
    posterior : DataTree or None
        The posterior that was audited, a copy that knows of it: its verdict, and all that begins with this (reports, predictions, what it
        says of itself), then begin with what the audit found, and files keep it. None where something else was audited.
    cautions : tuple of str
        What was taken for granted or left out; the sentence of the decision says it too.
    frozen : bool
        Whether a side holds one microstate only, again and again, so that nothing speaks for a law either.
    """

    findings: tuple[AuditFinding, ...]
    level: float
    how: dict[str, str] = field(default_factory=dict)
    posterior: xr.DataTree | None = None
    cautions: tuple[str, ...] = ()
    frozen: bool = False

    @property
    def flagged(self) -> tuple[AuditFinding, ...]:
        """Findings that speak against the model, the surest first."""
        found = [one for one in self.findings if one.flagged]
        return tuple(sorted(found, key=lambda one: one.p_adjusted if np.isfinite(one.p_adjusted) else 1.0))

    @property
    def undecided(self) -> tuple[AuditFinding, ...]:
        """Findings for which the samples were too small."""
        return tuple(one for one in self.findings if not one.decided)

    @property
    def decision(self) -> str:
        """What all findings come to: "differs", "undecided" (nothing speaks against it, but not all was tested), or "agrees"."""
        if any(one.flagged and one.section != "range" for one in self.findings):
            return "differs"
        return "undecided" if self.undecided or self.frozen else "agrees"

    def __getitem__(self, name: str) -> AuditFinding:
        for one in self.findings:
            if one.name == name:
                return one
        raise KeyError(f"no finding {name!r}; there are {', '.join(repr(one.name) for one in self.findings)}")

    def to_dataset(self) -> xr.Dataset:
        """All findings as one Dataset over ``finding``, which files keep."""
        numbers = ("statistic", "p_value", "p_adjusted", "effect", "effect_sd")
        found = xr.Dataset(coords={"finding": np.array([one.name for one in self.findings], dtype="U")})
        for one in fields(AuditFinding):
            if one.name == "name":
                continue
            kind: Any = float if one.name in numbers else np.int8 if one.name in ("flagged", "decided") else "U"
            found[one.name] = ("finding", np.array([getattr(finding, one.name) for finding in self.findings], kind))
        found.attrs = {"decision": self.decision, "level": self.level, **{f"how_{name}": told for name, told in self.how.items()}}
        if self.frozen:
            found.attrs["frozen"] = 1
        if self.cautions:
            found.attrs["cautions"] = "\n".join(self.cautions)
        return found

    @classmethod
    def from_dataset(cls, found: xr.Dataset) -> Self:
        """What :meth:`to_dataset` made, as it was."""
        columns = {one.name: found["finding" if one.name == "name" else one.name].values.tolist() for one in fields(AuditFinding)}
        for name in ("flagged", "decided"):
            columns[name] = list(map(bool, columns[name]))
        told = tuple(AuditFinding(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
        how = {name.removeprefix("how_"): str(value) for name, value in found.attrs.items() if name.startswith("how_")}
        cautions = tuple(str(found.attrs.get("cautions", "")).splitlines())
        return cls(told, float(found.attrs["level"]), how, cautions=cautions, frozen=bool(found.attrs.get("frozen", 0)))

    def facts(self) -> dict[str, str]:
        """What was found, in words."""
        found = {"decision": f"{self.decision}: {self.summary}", **self.how}
        return found | {f"finding {k}": f"{one.name}: {one.consequence}" for k, one in enumerate(self.flagged, 1)}

    @property
    def summary(self) -> str:
        """The decision in a sentence, and what it takes for granted."""
        return "; but ".join([self._decided, *self.cautions])

    @property
    def _decided(self) -> str:
        tested = sum(one.decided and np.isfinite(one.p_value) for one in self.findings)
        if self.decision == "differs":
            return f"{len(self.flagged)} of {tested} comparisons speak against the model"
        if self.undecided and not tested:
            most = Counter(one.consequence for one in self.undecided).most_common(1)[0][0]  # the reason of most of them
            return f"none of {len(self.undecided)} comparisons could be decided: {most.removeprefix('undecided: ').rstrip('.')}"
        left = f", and {len(self.undecided)} could not be decided" if self.undecided else ""
        return f"none of {tested} comparisons speaks against the model{left}"

    def __repr__(self) -> str:
        return "\n".join(["audit", *(f"  {name}: {value}" for name, value in self.facts().items())])

    def _repr_html_(self) -> str:
        return facts.table("audit", self.facts())
