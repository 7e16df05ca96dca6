"""Which likelihood data with missing cells take: marginal where all states are listed, conditionals of what was seen, or augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer import absences, augmented
from hamlearn.infer.likelihoods import Likelihood, PatternLikelihood
from hamlearn.infer.likelihoods.conditionals import neighbour_lists
from hamlearn.infer.likelihoods.marginal import MOST_COMPLETIONS, MarginalLikelihood, n_completions
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings
from hamlearn.statistics import power
from hamlearn.systems import exact

ENOUGH = 0.5  # of the rows that every site must keep for its conditional: with fewer, augmentation gives narrower intervals
MOST_PATTERNS = 4096  # of a site and its neighbours: beyond it hardly a row has seen them all
MOST_CELLS = 3e7  # missing ones that are drawn again and again: some minutes


def marginal(bound: BoundCouplings, parts: Sequence[Observations]) -> MarginalLikelihood | None:
    """The exact likelihood; None where states or completions are too many to be listed."""
    if exact.method(bound.system(np.zeros(bound.n_params))) != "enumeration" or n_completions(bound, parts) > MOST_COMPLETIONS:
        return None
    found = MarginalLikelihood(bound, parts)
    return found if found.tabulated else None


def stand_in(bound: BoundCouplings, parts: Sequence[Observations], name: str, seed: int, reasons: list[str]) -> Likelihood:
    """A composite likelihood of data with missing cells, and why it is this one.

    Raises
    ------
    HamlearnError
        If neither conditionals of what was seen nor augmentation can treat them.
    """
    if bound.space.continuous:
        raise HamlearnError(
            f"missing cells of {bound.space.name} are not learned from: leave those rows out, hl.data.complete_rows(data), or those sites."
        )
    cells = sum(int((part.states < 0).sum()) for part in parts)
    local = power(bound.space.q, int(bound.lattice.degree.max(initial=0)) + 1) <= MOST_PATTERNS
    seen = kept(bound, parts) if local else 0.0
    random = all(one.code != "missing depends" for one in absences.noted(parts, bound.space.q, 1.0))
    if (seen >= ENOUGH and random) or (seen > 0 and (cells > MOST_CELLS or name != "pseudo")):
        reasons.append(
            f"missing cells: conditionals of sites that were observed with all their neighbours, in {seen:.0%} of the rows or more"
        )
        return PatternLikelihood(bound, parts, name)
    if name != "pseudo":
        raise HamlearnError(
            f"likelihood={name!r} needs rows in which a site and all its neighbours were observed: use likelihood='pseudo', which fills in "
            "missing cells by data augmentation, or 'auto'."
        )
    if cells > MOST_CELLS:
        raise HamlearnError(
            f"{cells} missing cells on a graph this dense would take minutes of data augmentation: take fewer rows or bonds, or keep the "
            "rows without gaps (hl.data.complete_rows)."
        )
    reasons.append(
        f"missing cells: filled in by data augmentation, {cells} of them; the likelihood enters as a normal one, error bars for what is "
        "missing"
    )
    return augmented.likelihood(bound, parts, seed)


def kept(bound: BoundCouplings, parts: Sequence[Observations]) -> float:
    """The share of rows in which a site was observed with all its neighbours, of the site with the fewest."""
    total = sum(part.size for part in parts)
    shares = np.zeros(bound.lattice.n_sites)
    for part in parts:
        observed, weight = part.states.reshape(-1, part.states.shape[-1]) >= 0, part.weight.reshape(-1)
        for site, (neighbours, _, _) in enumerate(neighbour_lists(bound)):
            shares[site] += weight @ observed[:, np.append(neighbours, site)].all(1)
    return float(shares.min() / total)
