"""One call of `learn`: which data are asked about which model, what is said on the way, and how the answer becomes a posterior."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from hamlearn.infer import posteriors
from hamlearn.infer.provenance import Provenance, new_provenance
from hamlearn.models.traits import Model
from hamlearn.progress import logger
from hamlearn.systems.base import Space


@dataclass(frozen=True, eq=False)
class Enquiry:
    """A question to data, from which the clock runs; families that make draws of their own way finish here.

    Attributes
    ----------
    model : Model
    space : Space
    sets : list of Dataset
        Microstates of every temperature.
    seed : int
    reasons : list of str
        What was chosen and why, in the order in which it was said.
    started : float
    """

    model: Model
    space: Space
    sets: list[xr.Dataset]
    seed: int
    reasons: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def say(self, *reasons: str) -> None:
        """Write down, and log, what was chosen and why."""
        for reason in reasons:
            logger.info("  %s", reason)
        self.reasons.extend(reasons)

    def provenance(self, **facts: Any) -> Provenance:
        """How it was answered; `facts` as :func:`hamlearn.infer.provenance.new_provenance` takes them."""
        return new_provenance(sets=self.sets, seed=self.seed, seconds=time.perf_counter() - self.started, reasons=self.reasons, **facts)

    def posterior(self, groups: dict[str, xr.Dataset], **facts: Any) -> xr.DataTree:
        """The posterior of its groups, with how it was made."""
        provenance = self.provenance(**facts)
        return posteriors.assemble(groups, model=self.model, space=self.space, provenance=provenance, sets=self.sets)
