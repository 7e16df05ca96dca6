"""Which polynomial order, and how close a learned action is to a known one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import statistics
from hamlearn.data import admit, admit_states
from hamlearn.errors import HamlearnError
from hamlearn.infer.draw_systems import action
from hamlearn.infer.families import actions
from hamlearn.infer.likelihoods.score import ScoreMatching
from hamlearn.infer.observations import Observations
from hamlearn.models.actions import PolynomialAction
from hamlearn.processes import verb

_FOLDS = 5
_SURE = 2.0  # standard errors by which a simpler model may lie behind the best and still be chosen


@verb
def compare_powers(
    data: xr.Dataset | Iterable[xr.Dataset],
    candidates: Sequence[Sequence[int]],
    model: PolynomialAction | None = None,
    folds: int = _FOLDS,
) -> xr.Dataset:
    """Predictive comparison of polynomial orders: the score-matching loss of held-out paths or fields.

    Every candidate is fitted to all but one of several contiguous folds of the draws and judged on the one left out, at
    every temperature.

    Parameters
    ----------
    data : Dataset or list of Datasets
        Paths or fields, as for :func:`hamlearn.learn`.
    candidates : sequence of sequences of int
        Sets of powers, such as ``[(2,), (2, 4), (2, 4, 6)]``.
    model : PolynomialAction, optional
        Whose other settings (kinetic, range, a, family, periodic) all candidates share.
    folds : int
        Number of folds; each should be much longer than the autocorrelation time.

    Returns
    -------
    Dataset
        Over ``candidate`` and ``temperature``: ``loss`` (mean over held-out rows; smaller is better, without a natural
        scale), ``difference`` to the best candidate there and its ``standard_error`` (paired, autocorrelation
        included); over ``candidate``: ``z``, the difference of all temperatures in standard errors, and ``n_params``.
        The attribute ``chosen`` is the candidate with fewest coefficients that is within two standard errors
        of the best.

    Raises
    ------
    HamlearnError
        If there are fewer than two candidates or too few draws for the folds.

    Examples
    --------
    >>> import numpy as np
    >>> import hamlearn as hl
    >>> x = np.random.default_rng(0).normal(size=(500, 8))
    >>> white = hl.microstates(x, space="reals", beta=8.0)
    >>> found = hl.infer.compare_powers(white, [(2,), (2, 4)], hl.models.PolynomialAction(kinetic=False))
    >>> found.attrs["chosen"]
    '(2,)'
    """
    base = model or PolynomialAction()
    orders = [tuple(int(power) for power in one) for one in candidates]
    if len(set(orders)) < 2:
        raise HamlearnError(f"give at least two different sets of powers to compare; got {candidates!r}.")
    models = [_with_powers(base, one) for one in orders]
    bound, parts, scales, sets, _ = actions.bind(admit(data), models[0])
    losses: list[list[np.ndarray]] = []
    for one in models:
        family = one.bind(bound.space, bound.shape)
        losses.append([_held_out(family, part, scale, folds) for part, scale in zip(parts, scales, strict=True)])
    mean = np.array([[rows.mean() for rows in row] for row in losses])
    precision = np.array([1 / max(float(statistics.standard_error(rows)) ** 2, 1e-300) for rows in losses[0]])
    best = int(np.argmin(mean @ precision))
    difference, error = np.zeros_like(mean), np.zeros_like(mean)
    for k, row in enumerate(losses):
        for t, rows in enumerate(row):
            paired = rows - losses[best][t]
            difference[k, t] = paired.mean()
            error[k, t] = float(statistics.standard_error(paired)) if k != best else 0.0
    weight = np.divide(1.0, error**2, out=np.zeros_like(error), where=error > 0)
    total = weight.sum(1)
    z = np.divide((difference * weight).sum(1), np.sqrt(total), out=np.zeros(len(total)), where=total > 0)
    sizes = np.array([one.bind(bound.space, bound.shape).n_params for one in models])
    able = np.flatnonzero(z <= _SURE)
    chosen = able[np.lexsort((mean[able] @ precision, sizes[able]))[0]]
    found = xr.Dataset(
        {
            "loss": (("candidate", "temperature"), mean),
            "difference": (("candidate", "temperature"), difference),
            "standard_error": (("candidate", "temperature"), error),
            "z": ("candidate", z),
            "n_params": ("candidate", sizes),
        },
        coords={"candidate": [str(one) for one in orders], "beta": ("temperature", [float(part["beta"]) for part in sets])},
    )
    found.attrs = {"best": str(orders[best]), "chosen": str(orders[int(chosen)]), "folds": folds}
    return found


def _with_powers(base: PolynomialAction, powers: tuple[int, ...]) -> PolynomialAction:
    return PolynomialAction(
        powers, base.kinetic, range=base.range, a=base.a, family=base.family, periodic=base.periodic, neighbour=base.neighbour
    )


def _held_out(bound: Any, part: Observations, scale: Any, folds: int) -> np.ndarray:
    """Held-out loss of every row, ``(chain, draw)``."""
    chains, draws, _ = part.states.shape
    along = draws >= 2 * folds
    if not along and chains < folds:
        raise HamlearnError(f"{draws} draws in {chains} chains are too few for {folds} folds.")
    label = np.broadcast_to((np.arange(draws) * folds // draws) if along else (np.arange(chains) % folds)[:, None], (chains, draws))
    losses = np.zeros((chains, draws))
    for fold in range(folds):
        keep = label != fold
        fitted = Observations(part.states[keep][None], part.weight[keep][None], part.weighted, part.beta, part.independent)
        theta = ScoreMatching(bound, [fitted], scale).solve()
        losses[~keep] = row_losses(bound, theta, part.states[~keep], scale)
    return losses


def row_losses(bound: Any, theta: np.ndarray, states: np.ndarray, scale: Any) -> np.ndarray:
    """½ |∇S|² − ∇²S of every row ``(row, n_sites)``."""
    x, full = states.reshape(-1, *bound.shape), bound.full(theta)
    pull = np.tensordot(full, bound.gradients(x, scale), 1).reshape(len(x), -1)
    return 0.5 * (pull**2).sum(1) - bound.laplacians(x, scale) @ full


@verb
def compare_actions(post: xr.DataTree, states: Any, system: Any, beta: float, draws: int = 64, seed: int = 0) -> xr.Dataset:
    """How close a learned (or extrapolated) action comes to a known one, on states drawn from the known one.

    Parameters
    ----------
    post : DataTree
        A posterior.
    states : array or Dataset
        Microstates of `system` at `beta`, for example simulated.
    system : System
        The known action.
    beta : float
        Inverse temperature of both.
    draws : int
        Posterior draws compared.
    seed : int
        Which.

    Returns
    -------
    Dataset
        Over ``member``: ``r2`` (squared correlation of the two actions), ``error_variance`` (variance of their
        difference) and ``ess`` (effective sample size, as a share, of reweighting the states from the known to the learned
        action). Attributes of the same names hold the values for the posterior mean action.

    Examples
    --------
    >>> import hamlearn as hl
    >>> path = hl.systems.Path(16, hl.systems.Polynomial([0, 0.5]))
    >>> states = hl.systems.exact.sample(path, 4.0, 500, seed=0)
    >>> post = hl.infer.learn(hl.microstates(states, space="reals", beta=4.0), hl.models.PolynomialAction((2,)))
    >>> bool(hl.infer.compare_actions(post, states, path, 4.0).attrs["r2"] > 0.99)
    True
    """
    found = admit_states(states, system.space)
    values = found["state"].values if isinstance(found, xr.Dataset) else found
    flat = values.reshape(-1, *system.lattice.shape)
    learned = action(post, flat, beta, draws, seed).values
    known = np.asarray(system.action(flat, beta))
    result = {"r2": _r2(learned, known), "error_variance": (learned - known).var(1), "ess": _ess(learned - known)}
    found = xr.Dataset({name: ("member", column) for name, column in result.items()})
    mean = learned.mean(0, keepdims=True)
    found.attrs = {"r2": float(_r2(mean, known)[0]), "error_variance": float((mean - known).var()), "ess": float(_ess(mean - known)[0])}
    return found


def _r2(learned: np.ndarray, known: np.ndarray) -> np.ndarray:
    a, b = learned - learned.mean(1, keepdims=True), known - known.mean()
    return (a @ b) ** 2 / np.maximum((a**2).sum(1) * (b**2).sum(), 1e-300)


def _ess(error: np.ndarray) -> np.ndarray:
    weight = np.exp(-(error - error.min(1, keepdims=True)))
    return weight.sum(1) ** 2 / (weight**2).sum(1) / error.shape[1]
