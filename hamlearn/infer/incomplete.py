"""Which likelihood missing or misread cells take: marginal where all states are listed, conditionals of what was seen, or augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.infer import absences, augmented, rates_augmented
from hamlearn.infer.likelihoods import Likelihood, PatternLikelihood
from hamlearn.infer.likelihoods.conditionals import neighbour_lists
from hamlearn.infer.likelihoods.marginal import MarginalLikelihood, listable
from hamlearn.infer.observations import Observations
from hamlearn.models import BoundCouplings
from hamlearn.progress import logger
from hamlearn.systems import exact

ENOUGH = 0.5  # of the rows that every site must keep for its conditional
MOST_PATTERNS = 4096  # of a site and its neighbours: beyond it hardly a row has seen them all
LONGEST = 1800.0  # seconds of augmentation, counted


def marginal(bound: BoundCouplings, parts: Sequence[Observations]) -> MarginalLikelihood | None:
    """The exact likelihood; None where states or completions are too many to be listed."""
    if exact.method(bound.system(np.zeros(bound.n_params))) != "enumeration" or not listable(bound, parts):
        return None
    found = MarginalLikelihood(bound, parts)
    return found if found.tabulated else None


def stand_in(
    bound: BoundCouplings,
    parts: Sequence[Observations],
    name: str,
    seed: int,
    reasons: list[str],
    affordable: float = 10.0,
    *,
    flat: bool = False,
) -> Likelihood:
    """A composite likelihood of data with missing or misread cells, and why it is this one.

    Augmentation uses every cell that was observed, so its intervals are narrower (6×6 spins, a tenth missing: 1.19 times those of complete
    data, where conditionals of what was seen give 1.35). Where it takes more than `affordable` seconds of counted work, no cell may be
    misread, and at least half of the rows are left to every site, conditionals of these will do. `flat` as of
    :func:`hamlearn.infer.augmented.likelihood`.

    Raises
    ------
    HamlearnError
        If neither conditionals of what was seen nor augmentation can treat them.
    """
    if bound.space.continuous:
        raise HamlearnError(
            f"missing cells of {bound.space.name} are not learned from: leave those rows out, hl.data.complete_rows(data), or those sites."
        )
    if bound.model.flip:
        return _with_rates(bound, parts, seed, reasons)
    known = all(part.flip is None for part in parts)
    local = known and bound.n_patterns <= MOST_PATTERNS
    seen, seconds = kept(bound, parts) if local else 0.0, augmented.work(bound, parts)
    random = all(one.code != "missing depends" for one in absences.noted(parts, bound.space.q, 1.0))
    if seen > 0 and (name != "pseudo" or seconds > LONGEST or (seen >= ENOUGH and random and seconds > affordable)):
        reasons.append(f"missing cells: conditionals of sites seen with all their neighbours, in {seen:.0%} of the rows or more")
        return PatternLikelihood(bound, parts, name)
    if name != "pseudo" and not known:
        raise HamlearnError(
            f"likelihood={name!r} takes readings for true values, and these are misread (flip): use likelihood='exact' where all states "
            "can be listed, or 'pseudo', which draws the true ones by data augmentation; 'auto' chooses."
        )
    if name != "pseudo":
        raise HamlearnError(
            f"likelihood={name!r} needs rows in which a site and all its neighbours were observed: use likelihood='pseudo', which fills "
            "in missing cells by data augmentation, or 'auto'."
        )
    augmented.require_hessian(bound, parts)
    cells = f"{sum(int((part.states < 0).sum()) for part in parts)} missing cells" if known else "readouts with errors"
    if seconds > LONGEST:
        raise HamlearnError(
            f"{cells} on a graph this dense would take {seconds / 60:.0f} minutes of data augmentation: take fewer rows or bonds"
            f"{', or keep the rows without gaps (hl.data.complete_rows)' if known else ''}."
        )
    logger.info("%s: data augmentation takes about %.2g s", cells, seconds)
    reasons.append(f"{cells}: data augmentation; the likelihood enters as a normal one, error bars for what is not known")
    return augmented.likelihood(bound, parts, seed, flat=flat)


def _with_rates(bound: BoundCouplings, parts: Sequence[Observations], seed: int, reasons: list[str]) -> Likelihood:
    augmented.require_hessian(bound, parts)
    seconds = rates_augmented.work(bound, parts)
    if seconds > LONGEST:
        raise HamlearnError(
            f"readout errors at an unknown rate would take {seconds / 60:.0f} minutes of data augmentation: take fewer rows or bonds, or "
            "declare the rate, hl.microstates(..., flip=rate)."
        )
    logger.info("readout errors at an unknown rate: data augmentation takes about %.2g s", seconds)
    told = "data augmentation, the exact likelihood's equations averaged over drawn true values; it enters as a normal one"
    reasons.append(f"readout errors at an unknown rate: {told}")
    return rates_augmented.likelihood(bound, parts, seed)


def kept(bound: BoundCouplings, parts: Sequence[Observations]) -> float:
    """The share of rows in which a site was observed with all its neighbours, of the site with the fewest."""
    total = sum(part.size for part in parts)
    shares = np.zeros(bound.lattice.n_sites)
    for part in parts:
        observed, weight = part.states.reshape(-1, part.states.shape[-1]) >= 0, part.weight.reshape(-1)
        for site, (neighbours, _, _) in enumerate(neighbour_lists(bound)):
            shares[site] += weight @ observed[:, np.append(neighbours, site)].all(1)
    return float(shares.min() / total)
