"""What data themselves say of the observables that are predicted: points with error bars beside the curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.arguments import require_seed, require_whole
from hamlearn.data.readout import refuse_misread
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.draw_systems import distinct
from hamlearn.infer.predictions.estimator import Sums, columns_of_all, distances, error_of
from hamlearn.processes import verb
from hamlearn.systems.base import as_site_axes, axes_of
from hamlearn.systems.observables import Observable, known, looked_up

BLOCKS = 16  # of the draws, each left out once; chains are blocks where there are as many
MOST = 20_000  # microstates of one temperature: more would not be seen in a picture
QUANTITIES = ("mean", "error")


@verb
def measured(
    post: xr.DataTree,
    data: xr.Dataset | Iterable[xr.Dataset],
    observables: Sequence[str | Observable] | None = None,
    draws: int = 8,
    seed: int = 0,
) -> xr.Dataset:
    """Observables as the data have them, at the temperatures of the data, with standard errors.

    Averages over microstates, made of the same columns as predictions. What depends on the energy is averaged over Hamiltonians drawn
    from the posterior: data do not know their energy. Errors are the data's alone; they come from leaving out blocks of draws, so they
    hold autocorrelation within a sixteenth of a chain (of counted rows: from counts divided at random). Of more than 20 000
    microstates at a temperature as many are taken, evenly spaced.

    Parameters
    ----------
    post : DataTree
        A posterior of :func:`hamlearn.learn`.
    data : Dataset or list of Datasets
        Microstates: those it was learned from, or others on the same sites.
    observables : sequence of str or Observable, optional
        As of :func:`hamlearn.predict`; those that are predicted unasked by default. Averages have no entropy and no free energy.
    draws : int
        Hamiltonians behind what depends on the energy.
    seed : int
        Which, and how counts are divided.

    Returns
    -------
    Dataset
        Each observable over ``(beta, quantity)``, quantity = mean, error; nan where there is one microstate only. Functions (the
        correlation, "count_distribution") have one more axis.

    Raises
    ------
    HamlearnError
        If the microstates are of other sites, have missing cells or may be misread, or an observable is none of microstates.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)), tie="uniform", fields=None)
    >>> post = hl.learn(data, model, engine="laplace", check=False)
    >>> list(hl.infer.measured(post, data).data_vars)
    ['energy', 'heat_capacity', 'abs_magnetization', 'susceptibility']
    """
    post, rng = admit_posterior(post), np.random.default_rng(require_seed(seed))
    systems = families.of(post).draw_systems(post, distinct(post, require_whole(draws, "the number of draws")), seed, None)
    records = _records(observables, systems[0])
    posteriors.require_readings(post, "averages over microstates")
    sums: dict[float, Sums] = {}
    for part in microstates.split_by_beta(_whole(data)):
        part = posteriors.numbered(post, part)
        beta = float(part["beta"])
        _add(sums.setdefault(beta, Sums(beta, systems[0].lattice.n_sites)), part, systems, records, rng)
    betas, found = sorted(sums), {}
    coords: dict[str, Any] = {"beta": betas, "quantity": list(QUANTITIES)}
    for record in records:
        pairs = [sums[beta].finish(record) for beta in betas]
        means = np.array([whole.mean(0) for whole, _ in pairs])
        errors = np.array([error_of(left.mean(1)) if len(left) > 1 else np.full(whole.shape[1:], np.nan) for whole, left in pairs])
        at = distances(record, systems[0])
        axes = ("beta", "quantity") if at is None else ("beta", "quantity", record.axis)
        found[record.name] = xr.DataArray(np.stack([means, errors], 1), dims=axes, attrs={"long_name": record.long_name})
        coords |= {} if at is None else {record.axis: at}
    return xr.Dataset(found, coords=coords)


def _whole(data: xr.Dataset | Iterable[xr.Dataset]) -> list[xr.Dataset]:
    """The microstates, every cell of which has to be known.

    Sums over the sites that were seen are no way out: where some sites are seen, |m|, fluctuations and counts have other means.
    """
    sets = microstates.admit(data, missing=True)
    lacking = total = 0
    for one in sets:
        refuse_misread(one)
        sites = tuple(axis for axis, name in enumerate(one["state"].dims) if name not in ("beta", "chain", "draw"))
        gone = microstates.missing(one).any(sites)
        lacking, total = lacking + int(gone.sum()), total + gone.size
    if lacking:
        others = (
            "hl.infer.measured(post, hl.data.complete_rows(data)) averages the others, a fair choice where absence has nothing to do with "
            "the values; "
        )
        raise HamlearnError(
            f"averages over microstates are of whole ones, and {lacking} of {total} have missing cells. {others if lacking < total else ''}"
            "hl.predict(post, beta) says what the posterior knows of all sites, learned with the gaps."
        )
    return sets


def _records(observables: Sequence[str | Observable] | None, system: Any) -> list[Observable]:
    """The observables that averages over microstates have, as far as nobody named others."""
    has = lambda one: one.columns is not None and not one.needs_log_z
    if observables is None:
        return [one for one in known(system) if one.default and has(one) and one.separations is None]
    asked = looked_up(observables, system)
    if none := [one.name for one in asked if not has(one)]:
        raise HamlearnError(f"microstates have no {none[0]!r} that could be averaged; hl.predict knows it where something does.")
    return asked


def _add(sums: Sums, part: xr.Dataset, systems: Sequence[Any], records: Sequence[Observable], rng: np.random.Generator) -> None:
    """The microstates of one temperature, block by block."""
    weight, weighted = microstates.multiplicity(part)
    counted = not weighted and "count" in part
    chains, draws = weight.shape
    step = 1 if counted else max(1, -(-chains * draws // MOST))
    weight = weight[:, ::step]
    states = part["state"][:, ::step].values
    flat = as_site_axes(states.reshape(-1, *states.shape[2:]), axes_of(systems[0])).reshape(-1, *axes_of(systems[0]))
    columns = columns_of_all(records, flat, systems, sums.beta)
    if counted:  # rows of a histogram come in no order of time
        for share in rng.multinomial(weight.ravel().astype(int), np.full(BLOCKS, 1 / BLOCKS)).T:
            sums.add(columns, share[:, None].astype(float))
        return
    pieces, flat_weight = np.array_split(np.arange(weight.shape[1]), min(max(1, BLOCKS // chains), weight.shape[1])), weight.ravel()
    order = np.arange(len(flat_weight))
    if int(part.attrs.get("independent", 0)):  # sorted, perhaps: their order means nothing
        order = rng.permutation(order)
    for chain in range(chains):
        for piece in pieces:
            at = order[chain * weight.shape[1] + piece]
            sums.add({name: values[at] for name, values in columns.items()}, flat_weight[at][:, None])
