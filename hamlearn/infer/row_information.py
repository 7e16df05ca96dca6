"""What one independent microstate tells of a model's parameters, at a temperature where none has been measured yet.

The data are made up: all states with their exact probabilities where these can be listed, a simulation otherwise. They are asked as
measured ones would be (the likelihood that :func:`hamlearn.learn` would choose, its curvature H, the covariance J of its scores, its
priors), and what they say is divided by their number. A likelihood of whole microstates gives H of every row (the Fisher information, β²
times the covariance of the statistics where couplings enter linearly), a composite one H J⁻¹ H, the inverse of the sandwich.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstate_data
from hamlearn.infer import families
from hamlearn.infer.calibrate import MOST_LEVERAGE
from hamlearn.infer.families import Open
from hamlearn.infer.optimum import normal_blocks
from hamlearn.models import Normal
from hamlearn.models.traits import Model
from hamlearn.progress import aside
from hamlearn.systems import exact
from hamlearn.systems.base import System
from hamlearn.systems.sampling import simulate

LISTED = 2**16  # states whose probabilities stand for data: as many as the exact likelihood keeps a table of in a second
_MANY = 1e9  # observations that exact probabilities are counted as; a rarer state is none
_CHAINS = 50


@dataclass(frozen=True, eq=False)
class RowInformation:
    """What one row tells.

    Attributes
    ----------
    names : list of str (n_params,)
    strengths : array of bool (n_params,)
        Which parameters are strengths of interactions, and not fields.
    precision : array (n_params, n_params)
        Inverse covariance that a row adds.
    prior : array (n_params,)
        Precisions of the priors, which come once.
    leverage : float
        Parameters of a composite likelihood per site: divided by the number of rows, the share of its own noise that a fit takes out of
        the scores, which calibration adds again (:func:`hamlearn.infer.calibrate.steady_sandwich`).
    likelihood : str
    listed : bool
        Whether it is exact: all states with their probabilities.
    replaced : tuple of str
        Priors that are not normal, in whose place an almost flat one stands.
    """

    names: list[str]
    strengths: np.ndarray
    precision: np.ndarray
    prior: np.ndarray
    leverage: float
    likelihood: str
    listed: bool
    replaced: tuple[str, ...]

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of a row's precision in units of the prior's, and squared elements of the eigenvectors."""
        root = np.sqrt(self.prior)
        values, vectors = np.linalg.eigh(self.precision / np.outer(root, root))
        return np.maximum(values, 0.0), vectors**2

    def variance(self, rows: np.ndarray) -> np.ndarray:
        """Of every parameter given `rows` independent microstates and the prior, shape ``(len(rows), n_params)``."""
        values, shares = self._spectrum
        count = np.asarray(rows, float)
        worth = count * (1 - np.minimum(self.leverage / count, MOST_LEVERAGE)) ** 2
        return (1 / (1 + worth[:, None] * values)) @ shares.T / self.prior


def of_one_row(system: System, model: Model, beta: float, *, rows: int, likelihood: str, seed: int) -> RowInformation | None:
    """What a row of `system` at `beta` tells of the parameters of `model`; None where made-up rows do not determine them.

    Parameters
    ----------
    system : System
        Taken for the truth.
    model : Model
        One whose parameters are blocks with priors (its traits name nothing that it lacks).
    beta : float
    rows : int
        Microstates to simulate where states cannot be listed.
    likelihood : str
        As of :func:`hamlearn.learn`.
    seed : int
    """
    listed = system.space.count(system.lattice.n_sites) <= LISTED
    data = _all_states(system, beta) if listed else _simulated(system, beta, rows, seed)
    if not np.ptp(microstate_data.rows(data), axis=(0, 1)).any():
        return None  # one state and no other, so cold it is
    with aside():
        sets, family = families.admitted(data, model, True)
        fit = cast("Open", family).opened(sets, model, likelihood=likelihood, calibrate=True, seed=seed, engine="auto").fit
    found, bound = fit.calibration, fit.likelihood.bound
    if found.basis.code == "separable":
        return None
    size = sum(part.size for part in fit.likelihood.parts)
    root: Any = found.precision_root
    precision = (root.T @ root if found.adjusted else found.information) / size
    if not np.isfinite(precision).all():
        return None
    blocks = normal_blocks(bound)
    return RowInformation(
        list(bound.parameter_names),
        np.concatenate([np.full(block.size, block.strengths) for block in blocks]),
        precision,
        np.concatenate([np.full(block.size, block.scale**-2.0) for block in blocks]),
        bound.n_params / bound.lattice.n_sites if fit.likelihood.composite else 0.0,
        fit.likelihood.name,
        listed,
        tuple(sorted({block.prior.name for block in bound.blocks if not isinstance(block.prior, Normal)})),
    )


def _all_states(system: System, beta: float) -> xr.Dataset:
    """All states, each as often as it is expected among very many."""
    states, probability = exact.distribution(system, beta)
    counts = np.rint(_MANY * probability)
    seen = counts > 0
    return microstate_data.build(states[seen][None], beta=beta, space=system.space, lattice=system.lattice, counts=counts[None, seen])


def _simulated(system: System, beta: float, rows: int, seed: int) -> xr.Dataset:
    """Many short chains. Their autocorrelation makes H and J less certain, not larger: each is the mean of something over rows."""
    chains = min(_CHAINS, rows)
    data = simulate(system, beta, draws=-(-rows // chains), chains=chains, seed=seed, progress=False)
    return data.assign_attrs(independent=1)
