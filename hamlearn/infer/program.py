"""The posterior in the open: a NumPyro program to run with any kernel, guide or handler, and the way back from its draws.

::

    program = hl.infer.program(data, hl.models.Couplings(lattice))
    with jax.enable_x64(True):
        mcmc = numpyro.infer.MCMC(numpyro.infer.NUTS(program.model), num_warmup=500, num_samples=1000, num_chains=4)
        mcmc.run(jax.random.key(0))
    post = hl.from_samples(mcmc, program)

What :func:`hamlearn.learn` does before and after NUTS is done here too: the likelihood is chosen and calibrated, priors are
widened by the data, and the posterior that comes back has the same record, so that verdict, prediction and report are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jax
import numpy as np
import xarray as xr

from hamlearn.arguments import require_flag, require_seed, shown
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, stein
from hamlearn.infer.asked import LikelihoodName
from hamlearn.infer.densities import program as density_program
from hamlearn.infer.densities.program import DensityProgram
from hamlearn.infer.families import Open
from hamlearn.infer.fit import Fit
from hamlearn.infer.pipeline import Opened
from hamlearn.infer.settings import Drawn, External
from hamlearn.models import Model
from hamlearn.processes import verb


@dataclass(frozen=True, eq=False)
class Program:
    """A posterior as a program.

    Attributes
    ----------
    model : callable
        A NumPyro model without arguments, to run, to scale, to scope, or to put under a plate: a sample site for every block of
        parameters, sites of the prior's own parameters if it has any, the deterministic site ``theta`` (all blocks) and one factor,
        the calibrated log-likelihood. Sites have the names that the posterior gives them, and one axis: ``J`` (one per free coupling
        strength) and ``h`` (per free field) of couplings, ``c`` (and ``kinetic``, ``gradient`` where unknown) of actions, the names of
        its parameters of a family of your own. It needs double precision.
    log_likelihood : callable
        θ ``(..., n_params)`` → the same log-likelihood alone, shape ``(...)``, as a factor of programs of your own, with any prior
        over θ, joined data sets, or groups under a plate. It is a pytree: where your compiled function takes it as an argument,
        another program of the same structure compiles nothing.
    log_density : callable
        θ ``(n_params,)`` → calibrated log-likelihood plus log prior, up to a constant, for samplers that take a density (JAX; only
        where these have a density of their own, not for priors with parameters of theirs).
    data : list of Dataset
        The microstates.
    opened : Opened
        All that is known before draws are made, and the way from draws to a posterior.
    """

    model: Callable[[], None]
    log_likelihood: Callable[[Any], Any]
    log_density: Callable[[Any], Any]
    data: list[xr.Dataset]
    opened: Opened

    @property
    def fit(self) -> Fit:
        """What is known before draws are made."""
        return self.opened.fit

    @property
    def parameter_names(self) -> list[str]:
        """Of the elements of θ."""
        return list(self.fit.likelihood.bound.parameter_names)

    @property
    def optimum(self) -> np.ndarray:
        """The maximum of the likelihood ``(n_params,)``: a place to start."""
        return self.fit.centre

    @property
    def covariance(self) -> np.ndarray:
        """Of the normal approximation of the posterior ``(n_params, n_params)``: an inverse mass matrix, the scale of a guide."""
        return self.fit.covariance

    @property
    def likelihood(self) -> str:
        """Which one was chosen."""
        return self.fit.likelihood.name

    def posterior(self, samples: Any, *, independent: bool = False) -> xr.DataTree:
        """The posterior of draws that were made elsewhere; see :func:`hamlearn.from_samples`."""
        from hamlearn.infer.engines import numpyro_model

        sites, stats, sampler = _sites(samples)
        theta = _theta(sites, self)
        chains, draws, _ = theta.shape
        sampled = hasattr(samples, "get_samples")
        if require_flag(independent, "independent") and sampled:
            raise HamlearnError(f"draws of {sampler} are chains, and judged as such; independent=True is for those of a guide.")
        found = stein.compared(self.log_density, self.fit.likelihood.bound.blocks, theta, self.covariance, sampled=sampled)
        own = {
            name: _per_draw(sites[name], name, (chains, draws))
            for name in numpyro_model.own_names(self.fit.likelihood.bound)
            if name in sites
        }
        return self.opened.closed(Drawn(theta, stats, own=own), External(draws, chains, sampler, independent), found)

    def __repr__(self) -> str:
        return f"Program({len(self.parameter_names)} parameters, {self.likelihood} likelihood)"


@verb
def program(
    data: xr.Dataset | Iterable[xr.Dataset], model: Model, likelihood: LikelihoodName = "auto", calibrate: bool = True, seed: int = 0
) -> Program | DensityProgram:
    """The posterior of a model as a program: of NumPyro, or of Pyro where the model is a neural density.

    Parameters
    ----------
    data : Dataset or list of Datasets
        Microstates, as for :func:`hamlearn.learn`.
    model : Couplings, PolynomialAction or Family
        What is unknown: anything whose unknowns are parameters with priors, also a family of your own. Priors may be any distribution
        of NumPyro (:class:`hamlearn.models.Distribution`), but not spike-and-slab, whose indicators have no density.
    likelihood, calibrate
        As for :func:`hamlearn.learn`.
    seed : int
        Recorded with what comes back.

    Returns
    -------
    Program or DensityProgram
        The second of :class:`hamlearn.models.Autoregressive` and :class:`hamlearn.models.Flow`, whose unknowns are weights.

    Raises
    ------
    HamlearnError
        If the unknowns of the model are no parameters with priors, there is a loss without a scale to sample (score matching with
        ``calibrate=False``), or as :func:`hamlearn.learn` does.

    Examples
    --------
    >>> import jax, numpyro
    >>> import hamlearn as hl
    >>> glass = hl.systems.EdwardsAnderson((2, 2), seed=1)
    >>> data = hl.simulate(glass, beta=0.5, draws=500, chains=2, seed=0)
    >>> program = hl.infer.program(data, hl.models.Couplings(glass.lattice, fields=None))
    >>> with jax.enable_x64(True):
    ...     mcmc = numpyro.infer.MCMC(numpyro.infer.NUTS(program.model), num_warmup=50, num_samples=50, progress_bar=False)
    ...     mcmc.run(jax.random.key(0))
    >>> hl.infer.from_samples(mcmc, program)["posterior"]["J"].dims
    ('chain', 'draw', 'bond')
    """
    from hamlearn.infer.engines import numpyro_model

    seed = require_seed(seed)
    sets, family = families.admitted(data, model, calibrate)
    if model.traits.density and not model.traits.closed:
        return density_program.program(sets, model, likelihood, seed)
    if lacking := model.traits.closed:
        raise HamlearnError(
            f"{type(model).__name__} {lacking}: there is no program whose sample sites are its parameters. Use hl.learn(data, model)."
        )
    opened = cast("Open", family).opened(sets, model, likelihood=likelihood, calibrate=calibrate, seed=seed)
    opened.fit.require_batches("sampling")
    with jax.enable_x64(True):
        structure, arrays = numpyro_model.model(opened.fit.likelihood, opened.fit.centre, opened.fit.transform)
        held = jax.tree.map(np.asarray, arrays)

    def run() -> None:
        numpyro_model.require_double("this program's model")
        structure.model(numpyro_model.as_jax(held))

    return Program(run, held["likelihood"], numpyro_model.log_density(structure, held), sets, opened)


@verb
def from_samples(samples: Any, program: Program | DensityProgram, *, independent: bool = False) -> xr.DataTree:
    """The posterior of a program from draws that were made elsewhere; a bare tree, without a verdict.

    See :func:`hamlearn.from_samples`, which adds the verdict.

    Parameters
    ----------
    samples : numpyro.infer.MCMC, mapping or DataTree
        A sampler that has run; or arrays by site, ``theta`` or all the others, with axes (chain, draw, parameter) or (draw, parameter);
        or a tree whose group ``posterior`` has them (ArviZ). A parameter that is one number, or an array, may come in its own shape
        after (chain, draw). Of densities a pyro.infer.MCMC that has run, or weights by name with an axis of draws before their own.
    program : Program
        What was sampled.
    independent : bool
        Whether draws were made independently, by a guide or a fit: they are then no chains, and R̂ says nothing of them. Weights of
        densities are members of an ensemble either way.

    Returns
    -------
    DataTree
        As of :func:`hamlearn.learn`; the record names the engine ``external`` and what made the draws.

    Raises
    ------
    HamlearnError
        If `program` is none, a site is missing, shapes do not fit, or draws are not finite.
    """
    if not isinstance(program, Program | DensityProgram):
        raise HamlearnError(f"program is what hl.infer.program(data, model) returned, as a whole; got {shown(program)}.")
    return program.posterior(samples, independent=independent) if isinstance(program, Program) else program.posterior(samples)


def _sites(samples: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], str]:
    """Arrays by site, statistics of every draw by their names here, and what made them."""
    from hamlearn.infer.engines.numpyro import STATISTICS

    if isinstance(samples, xr.DataTree):
        if "posterior" not in samples.children:
            raise HamlearnError(f"the tree has no group 'posterior'; it has {sorted(samples.children)}.")
        group = samples["posterior"].to_dataset()
        beside = samples["sample_stats"].to_dataset() if "sample_stats" in samples.children else xr.Dataset()
        known = {name: np.asarray(beside[name]) for name in STATISTICS if name in beside}
        return {str(name): np.asarray(group[name]) for name in group.data_vars}, known, "a tree of draws"
    if isinstance(samples, Mapping):
        return {str(name): np.asarray(value) for name, value in samples.items()}, {}, "arrays"
    if not hasattr(samples, "get_samples"):
        raise HamlearnError(f"samples are a numpyro.infer.MCMC that has run, arrays by site, or a tree; got {type(samples).__name__}.")
    try:
        sites = {name: np.asarray(value) for name, value in samples.get_samples(group_by_chain=True).items()}
    except (AssertionError, AttributeError, TypeError) as error:
        raise HamlearnError("this sampler has not run yet: call mcmc.run(...) first.") from error
    extra = samples.get_extra_fields(group_by_chain=True)
    stats = {name: np.asarray(extra[field]) for name, field in STATISTICS.items() if field in extra}
    kernel = getattr(samples, "sampler", None)
    return sites, stats, f"NumPyro {type(kernel).__name__}"


def _theta(sites: Mapping[str, np.ndarray], program: Program) -> np.ndarray:
    """Draws of θ ``(chain, draw, n_params)``."""
    bound = program.fit.likelihood.bound
    wanted = [(block.name, block.size) for block in bound.blocks]
    if "theta" in sites:
        parts, wanted = [sites["theta"]], [("theta", bound.n_params)]
    else:
        missing = [name for name, _ in wanted if name not in sites]
        if missing:
            raise HamlearnError(
                f"the draws have no site {' or '.join(map(repr, missing))}; they have {', '.join(sorted(sites)) or 'none'}."
            )
        parts = [_flat(sites[name], size) for name, size in wanted]
    for (name, size), part in zip(wanted, parts, strict=True):
        if part.ndim not in (2, 3) or part.shape[-1] != size or 0 in part.shape:
            raise HamlearnError(f"site {name!r} needs the shape (chain, draw, {size}) or (draw, {size}); got {part.shape}.")
        if part.dtype.kind not in "biuf":
            raise HamlearnError(f"draws of site {name!r} must be real numbers; got {part.dtype.name}.")
        if not np.all(np.isfinite(part)):
            raise HamlearnError(f"{np.sum(~np.isfinite(part))} of {part.size} values of site {name!r} are not finite.")
    if len({part.shape[:-1] for part in parts}) > 1:
        raise HamlearnError(f"the sites have different numbers of draws: {[part.shape for part in parts]}.")
    theta = np.concatenate([np.asarray(part, np.float64) for part in parts], -1)
    return theta if theta.ndim == 3 else theta[None]


def _flat(part: np.ndarray, size: int) -> np.ndarray:
    """Draws of a parameter with one axis for it: numbers have none in a posterior, matrices two."""
    if part.ndim == 2 and size == 1 and part.shape[1] != 1:
        return part[..., None]
    return part.reshape(*part.shape[:2], -1) if part.ndim > 3 else part


def _per_draw(values: np.ndarray, name: str, lead: tuple[int, int]) -> np.ndarray:
    """Draws of a prior's own parameter ``(chain, draw, ...)``."""
    found = values[None] if lead[0] == 1 and values.shape[:1] == lead[1:] and values.shape[:2] != lead else values
    if found.shape[:2] != lead:
        raise HamlearnError(f"site {name!r} needs a value of each of {lead[0]} × {lead[1]} draws; got {values.shape}.")
    return found
