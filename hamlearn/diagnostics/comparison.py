"""Does the model fit? Score tests on all data, and a posterior predictive comparison with held-out data.

For the second the model is refitted to one half of the data. The other half is compared with what that fit predicts: the deviation
of every statistic is weighed against the scatter of held-out blocks, the uncertainty of the refitted parameters, and
the error of the simulation.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.arguments import require_seed, require_whole
from hamlearn.diagnostics import holdout, invariants, predictive_test, scores
from hamlearn.diagnostics.features import Features
from hamlearn.diagnostics.predictions import Prediction, predicted, refit
from hamlearn.diagnostics.predictive_test import MORE_DATA, LeftOut
from hamlearn.errors import HamlearnError, Undetermined
from hamlearn.infer import observations, posteriors
from hamlearn.infer.asked import LikelihoodName
from hamlearn.infer.seen import only_seen
from hamlearn.models import Couplings
from hamlearn.processes import verb
from hamlearn.systems.base import Space

MAX_PARAMETERS = 3000


@verb
def check(
    data: xr.Dataset | Iterable[xr.Dataset],
    model: Couplings,
    *,
    likelihood: LikelihoodName = "auto",
    draws: int = 400,
    tau: float | None = None,
    seed: int = 0,
    start: np.ndarray | None = None,
) -> xr.Dataset:
    """Test a model for what it may lack, and compare held-out data with the predictions of a fit to the other half.

    Parameters
    ----------
    data : Dataset or list of Datasets
        Microstates at one or several temperatures.
    model : Couplings
        The family; it is refitted by maximum likelihood (Gibbs sampling for sparse priors), so that the check costs
        seconds; where half of the data has no finite maximum the check is undecided.
    likelihood : {"auto", "exact", "pseudo", ...}
        Of the refit; "auto" is exact where all states can be listed quickly, else pseudo.
    draws : int
        Parameter draws that carry the refit's uncertainty into the predictions.
    tau : float, optional
        Autocorrelation time of the data in draws if known; it is measured too.
    seed : int
        Of the split, the simulation and the resampling.
    start : array (n_params,), optional
        Parameters close to the optimum of all rows, if known: score tests then find it sooner.

    Returns
    -------
    Dataset
        Over ``statistic``: ``observed``, ``predicted``, ``sd`` (of their difference if the model is right), ``z``,
        ``p_value`` and ``p_adjusted`` (Holm), and ``scatter``. For a statistic of many components (``scatter`` = 1)
        observed and predicted are the sum of squared standardised deviations. Score tests of one direction also
        estimate it: ``effect`` ± ``effect_sd`` in ``unit`` (a coupling K or J, a share of misread values, a relative
        spread or factor of beta), and ``where``. Attributes: ``decision`` ("agrees", "differs", "undecided"), ``reason``,
        ``overall_p`` (the smallest adjusted p-value), ``blocks``, ``named`` (number of score tests, which come first),
        ``skipped`` (what was not compared and why), ``isolated`` (sites that the data do not connect, if any), ``every`` (one
        row in so many entered the score tests) and ``width_ratio`` (calibrated over naive error bars of the refit).

    Raises
    ------
    HamlearnError
        If data and model do not go together.

    Notes
    -----
    Score tests (:mod:`hamlearn.diagnostics.scores`) use all rows and refit nothing: a likelihood's slope in the
    direction of a term that the model lacks, with what the fit took up of it projected out. Four fifths of the false
    alarms are theirs, the rest the comparison's.

    The held-out half is cut into blocks of at least five autocorrelation times; fewer than 20 leave the check
    undecided. p-values come from resampling whole blocks, with the parameters' and the simulation's errors added and
    t tails for the number of blocks. A sum of squares is compared with its own resampled distribution, so its
    components may depend on each other.

    Examples
    --------
    >>> import hamlearn as hl
    >>> from hamlearn.diagnostics import check
    >>> glass = hl.systems.EdwardsAnderson((3, 3), seed=1)
    >>> data = hl.simulate(glass, beta=0.5, draws=2000, chains=2, seed=0)
    >>> table = check(data, hl.models.Couplings(glass.lattice), seed=0)
    >>> table.attrs["decision"]
    'agrees'
    """
    draws, seed = require_whole(draws, "draws", 2), require_seed(seed)
    sets = only_seen(microstates.split_by_beta(microstates.admit(data)), model)
    found = _scores(sets, model, tau, seed, start)
    compared = _held_out(sets, model, likelihood, draws, tau, seed)
    if isinstance(compared, LeftOut):
        table = predictive_test.without_held_out(compared, found.rows, found.blocks, found.left_out)
    else:
        rows, blocks, ratio = compared
        table = predictive_test.table(rows, blocks, ratio, named=found.rows, skipped=found.left_out)
    table.attrs |= {"every": found.every} | ({"isolated": found.isolated} if found.isolated else {})
    return table


def _scores(sets: list[xr.Dataset], model: Couplings, tau: float | None, seed: int, start: np.ndarray | None) -> scores.Tests:
    """Score tests on all rows."""
    rng = np.random.default_rng(seed)
    symmetric = invariants.model_is_symmetric(model, *_space_of(sets[0]), microstates.rows(sets[0]))
    used, taus = [], []
    for data in sets:
        if {"count", "weight"} & set(data) or int(data.attrs.get("independent", 0)):
            used.append(data)
            taus.append(1.0)
            continue
        visible, seen = holdout.visible(data, rng, symmetric=symmetric)
        used.append(visible)
        taus.append(seen if tau is None else tau)  # what is slower than the fitted parameters' scores is seen test by test
    bound, parts, _ = observations.bind(used, model)
    return scores.pairs(bound, parts, taus, seed, start)


def _held_out(
    sets: list[xr.Dataset], model: Couplings, likelihood: LikelihoodName, draws: int, tau: float | None, seed: int
) -> tuple[list[predictive_test.Row], int, float | None] | LeftOut:
    """Rows of the comparison with held-out data, the blocks behind them and the refit's width ratio; or why there are none."""
    rng = np.random.default_rng(seed)
    symmetric = invariants.model_is_symmetric(model, *_space_of(sets[0]), microstates.rows(sets[0]))
    pieces = holdout.halves(sets, rng, tau, symmetric=symmetric)
    if isinstance(pieces, LeftOut):
        return pieces
    fits, held = pieces
    size = model.bind(*_space_of(sets[0])).n_params
    if size > MAX_PARAMETERS:
        return LeftOut(
            f"refitting {size} parameters would take too long (more than {MAX_PARAMETERS})", "Tie parameters, or take fewer bonds."
        )
    try:
        post = refit(fits, model, likelihood=likelihood, draws=draws, seed=seed)
    except Undetermined as error:
        return predictive_test.refused("half of the data does not determine the model", error)
    except HamlearnError as error:
        return predictive_test.refused("the model cannot be fitted to half of the data", error)
    rows = []
    for part, half in zip(fits, held, strict=True):
        label = f" at beta = {float(part['beta']):.4g}" if len(sets) > 1 else ""
        found = _compare(post, part, half, label, several=len(sets) > 1, rng=rng)
        if found is None:
            return LeftOut(
                "half of the data leaves parameters so uncertain that predictions need an exact oracle, and this lattice has none",
                MORE_DATA,
            )
        rows += found
    return rows, min(half.blocks for half in held), posteriors.provenance_of(post).calibration.width_ratio


def _space_of(data: xr.Dataset) -> tuple[Space, tuple[int, ...]]:
    return microstates.space_of(data), microstates.site_shape(data)


def _compare(
    post: xr.DataTree, fit: xr.Dataset, half: holdout.Half, label: str, *, several: bool, rng: np.random.Generator
) -> list[predictive_test.Row] | None:
    """Every statistic at one temperature; None if the refitted model cannot be evaluated."""
    bound = posteriors.bound_of(post)
    theta = posteriors.theta_draws(post).reshape(-1, bound.n_params)
    index = bound.space.index(half.values).astype(np.int8)
    fitted = bound.space.index(microstates.rows(fit)).reshape(-1, bound.lattice.n_sites).astype(np.int8)
    features = Features(bound, bound.system(theta.mean(0)), fitted, several)
    model = predicted(features, theta, float(fit["beta"]), len(index), fitted, rng)
    if model is None:
        return None
    total = half.weight.sum()
    energy = sum(float(half.weight[rows] @ features.energy(index[rows])) for rows in _chunks(len(index))) / total
    sums = np.zeros((half.blocks, len(model.mean)))
    for rows in _chunks(len(index)):
        columns = features(index[rows], energy, model.optimism) * half.weight[rows, None]
        np.add.at(sums, half.label[rows], columns)
    weight = np.bincount(half.label, weights=half.weight, minlength=half.blocks)
    observed = sums.sum(0) / total
    deviation = (sums - weight[:, None] * observed) / total  # of every block's contribution to the mean
    noise = _replicates(deviation, half, model, rng)
    some = slice(0, 1 << 15)
    shift = features.optimistic_shift(index[some], half.weight[some], model.optimism, len(observed))
    noise -= rng.uniform(size=(predictive_test.REPLICATES, 1)) * shift
    return predictive_test.judge(features.statistics, observed, model.mean, noise, half.blocks, label)


def _replicates(deviation: np.ndarray, half: holdout.Half, model: Prediction, rng: np.random.Generator) -> np.ndarray:
    """What observed minus predicted would be if the model were right, ``(replicate, column)``."""
    noise = predictive_test.resampled(deviation, rng) + predictive_test.resampled(model.batches, rng)
    noise += model.deviations[rng.integers(len(model.deviations), size=predictive_test.REPLICATES)]
    # Rare events: held-out blocks that all lack one show no scatter; the model then says how much there is.
    rows = half.weight.sum() ** 2 / (half.weight**2).sum()
    seen = (deviation**2).sum(0)
    missing = np.where(seen < 0.3 * model.variance / rows, model.variance / rows - seen, 0.0)
    return noise + rng.normal(size=noise.shape) * np.sqrt(np.maximum(missing, 0.0))


def _chunks(rows: int, size: int = 1 << 14) -> list[slice]:
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
