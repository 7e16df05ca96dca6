"""A scikit-learn estimator: fit, score and sample a Hamiltonian among pipelines, cross-validation and grid searches.

It needs scikit-learn, which the extra ``sklearn`` brings: ``pip install "hamlearn[sklearn]"``. It is imported by its own name and is no
part of ``import hamlearn``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from hamlearn import data, extras, models, verbs
from hamlearn.errors import HamlearnError, choice, closest
from hamlearn.infer import draw_systems, log_likelihood, posteriors
from hamlearn.infer.asked import EngineAsked, LikelihoodName
from hamlearn.spaces import BITS, SpaceName
from hamlearn.systems.sampling import simulate

extras.require("sklearn")
from sklearn.base import BaseEstimator, DensityMixin  # noqa: E402
from sklearn.utils.validation import check_is_fitted, validate_data  # noqa: E402

_MEMBERS = 32  # Hamiltonians of the posterior that a score averages over
_SAMPLED = 16  # and that samples are drawn from
_AT_ONCE = 1 << 24  # log-probabilities held while a score is worked out
_PIECE = "model__"


class HamiltonianEstimator(DensityMixin, BaseEstimator):
    """The interactions behind rows of states, as a density estimator of scikit-learn.

    Parameters
    ----------
    model : model of :mod:`hamlearn.models`, optional
        What is unknown, and its prior; None is ``Couplings()``, all pairs with fields. Its fields are parameters too: ``model__prior``,
        ``model__graph``, ``model__fields`` can be set and searched over.
    space, beta, q
        What the numbers mean, the inverse temperature and the number of states, as for :func:`hamlearn.microstates`. For
        ``space="states"`` give `q`: a fold may lack a state.
    likelihood, engine, calibrate, check
        As for :func:`hamlearn.learn`. A search over kinds of priors needs the engine "auto", since no other takes all of them. `check`
        compares the model with held-out rows for the verdict, which takes longer than fitting.
    score_by : {"auto", "exact", "pseudo"}
        What a row's score is: "exact" ln p(row), "pseudo" Σ_i ln p(x_i | all other sites). "auto" is "exact" for normalised densities and
        "pseudo" for all other models, whatever they were fitted by, so that the candidates of a search are compared by one measure; a
        search over both kinds needs "exact".
    random_state : int
        Seed of everything random.

    Attributes
    ----------
    posterior_ : DataTree
        What :func:`hamlearn.learn` returned: for :func:`hamlearn.verdict`, :func:`hamlearn.predict`, :func:`hamlearn.report` and all else.
    n_features_in_ : int
        Sites.
    feature_names_in_ : array of str
        Their names, where rows came with names.

    Notes
    -----
    Rows are flat, ``(row, site)``; a model on a lattice takes its sites in C order. Rows in the order of time are found to be
    autocorrelated and counted for what they are worth; split such rows in blocks (``KFold`` without shuffling), or what is held out has
    near copies in what is fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from hamlearn.estimator import HamiltonianEstimator
    >>> rows = np.random.default_rng(0).choice([-1, 1], size=(200, 4))
    >>> found = HamiltonianEstimator(engine="laplace").fit(rows)
    >>> found.posterior_["posterior"].sizes["bond"], found.sample(5).shape
    (6, (5, 4))
    >>> bool(abs(found.score(rows) + 4 * np.log(2)) < 0.1)  # four coins
    True
    """

    def __init__(
        self,
        model: models.Model | None = None,
        *,
        space: SpaceName = "spins",
        beta: float | None = None,
        q: int | None = None,
        likelihood: LikelihoodName = "auto",
        engine: EngineAsked = "auto",
        calibrate: bool = True,
        check: bool = False,
        score_by: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.model = model
        self.space = space
        self.beta = beta
        self.q = q
        self.likelihood = likelihood
        self.engine = engine
        self.calibrate = calibrate
        self.check = check
        self.score_by = score_by
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows ``(row, site)``; `y` is not looked at.

        Raises
        ------
        ValueError
            If the rows are none of the space, or what :func:`hamlearn.learn` refuses (:class:`hamlearn.HamlearnError` is one).
        """
        rows = self._microstates(X, reset=True)
        options: dict[str, Any] = {"likelihood": self.likelihood, "engine": self.engine, "calibrate": self.calibrate, "check": self.check}
        self.posterior_ = verbs.learn(rows, self._model(), seed=self.random_state, **options)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Log score of every row, in nats: ln of its probability averaged over 32 draws of the posterior (of each site's, for "pseudo").

        Raises
        ------
        HamlearnError
            If the sites are continuous and the model is no normalised density, or "exact" is asked of a system that no oracle treats.
        """
        return np.concatenate([_averaged(part).sum(-1) for part in self._log_probabilities(X)])

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log score of rows, which should not be those of `fit`; the larger the better. Same fit and `random_state`, same score."""
        return float(self.score_samples(X).mean())

    def score_error(self, X: Any) -> float:
        """What another seed moves :meth:`score` by, one standard deviation: the error of an average over 32 draws of the posterior.

        Scores of different seeds or engines that differ by less than a few of these are equal; which rows were scored moves a score
        besides. nan of a posterior with one draw.
        """
        parts, rows = [], 0
        for part in self._log_probabilities(X):  # to first order, ln of a mean moves by how far a draw is from it
            parts.append((np.exp(part - _averaged(part)) - 1).sum((1, 2)))
            rows += part.shape[1]
        found = np.sum(parts, axis=0) / rows
        return float(np.std(found, ddof=1) / math.sqrt(len(found))) if len(found) > 1 else math.nan

    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Rows ``(n_samples, site)`` drawn from Hamiltonians of the posterior at the temperature of the data, written as the data were."""
        check_is_fitted(self)
        systems = draw_systems(self.posterior_, min(n_samples, _SAMPLED), self.random_state)
        shares = [len(part) for part in np.array_split(np.arange(n_samples), len(systems))]
        beta = float(posteriors.observed_betas(self.posterior_)[0])
        drawn = [
            simulate(system, beta, draws=share, chains=1, seed=self.random_state + index, thin="auto", progress=False)["state"].values
            for index, (system, share) in enumerate(zip(systems, shares, strict=True))
        ]
        return self._as_given(np.concatenate(drawn, 1).reshape(n_samples, -1))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; those of the model too where `deep`."""
        found: dict[str, Any] = super().get_params(deep=False)
        return found | {f"{_PIECE}{name}": value for name, value in self._pieces().items()} if deep else found

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name: those of the model as ``model__prior=...``, which makes another model.

        Raises
        ------
        HamlearnError
            If the model has no such field.
        """
        pieces = {name.removeprefix(_PIECE): params.pop(name) for name in list(params) if name.startswith(_PIECE)}
        super().set_params(**params)
        known = self._pieces()
        for name in pieces:
            if name not in known:
                near = closest(name, known)
                hint = f"did you mean {_PIECE}{near}?" if near else f"it has {', '.join(known) or 'none'}."
                raise HamlearnError(f"the model {self._model()!r} has no parameter {name!r}; {hint}")
        if pieces:
            self.model = dataclasses.replace(self._model(), **pieces)
        return self

    def _log_probabilities(self, X: Any) -> Iterator[np.ndarray]:
        """Ln p under draws of the posterior ``(draw, row, site)`` of some rows after others; one "site" where p is that of whole rows."""
        check_is_fitted(self)
        rows = self._microstates(X)
        kind: Literal["auto", "exact", "pseudo"] = choice(self.score_by, ("auto", "exact", "pseudo"), "score_by")
        if kind == "auto":
            kind = "exact" if self._model().traits.density else "pseudo"
        chains, draws = (int(self.posterior_["posterior"].sizes[name]) for name in ("chain", "draw"))
        kept = min(draws, max(1, _MEMBERS // chains))
        step = max(1, _AT_ONCE // (kept * chains * self.n_features_in_))
        for start in range(0, rows.sizes["draw"], step):
            part = rows.isel(draw=slice(start, start + step))
            values = np.asarray(log_likelihood(self.posterior_, part, kind, kept)["log_likelihood"]["microstates"])
            yield values.reshape(kept * chains, part.sizes["draw"], -1)

    def _model(self) -> Any:
        return models.Couplings() if self.model is None else self.model

    def _pieces(self) -> dict[str, Any]:
        """Fields of the model."""
        model = self._model()
        return (
            {one.name: getattr(model, one.name) for one in dataclasses.fields(model) if one.init} if dataclasses.is_dataclass(model) else {}
        )

    def _microstates(self, X: Any, *, reset: bool = False) -> xr.Dataset:
        rows = validate_data(self, X, reset=reset)
        return data.microstates(rows, space=self.space, beta=self.beta, q=self.q)

    def _as_given(self, rows: np.ndarray) -> np.ndarray:
        """Rows of states in the values that `X` had."""
        if self.space == BITS:
            return (rows + 1) // 2
        if posteriors.space_of(self.posterior_).labelled:
            return np.array(data.codes_of(self.posterior_))[rows]
        return rows


def _averaged(values: np.ndarray) -> np.ndarray:
    """Ln of the mean over draws of what `values` ``(draw, ...)`` are the logarithms of."""
    return np.asarray(logsumexp(values, axis=0) - math.log(len(values)))
