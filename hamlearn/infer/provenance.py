"""How a posterior was made and how it was judged: typed, as codes and numbers.

`learn` writes down what it did, the judges what they found; the verdict weighs codes and numbers, and sentences are made of them in
``hamlearn.diagnostics.wording`` alone. On disk it is one JSON attribute, ``provenance``; what 0.1 and 0.2.0.dev0 wrote under
``record`` (free dictionaries with sentences) is read by :func:`hamlearn.infer.upgrades.upgraded`, and nowhere else is a sentence ever read.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from hamlearn.arguments import shown
from hamlearn.data import multiplicity, names_of, site_shape, word
from hamlearn.errors import HamlearnError
from hamlearn.infer.typed import AGAIN, typed

BASES = {
    "sandwich": "the sandwich from `batches` of a `kind`, of a `composite` likelihood or not, at `tau`; pooled over `temperatures`",
    "surrogate": "a sandwich with J shrunk by `shrinkage`, from `batches` of a `kind`, around which a sparse posterior was sampled",
    "factor": "one `factor` on the whole curvature, from `batches` of a `kind` and `count` of `n_params` terms",
    "independent": "the curvature of an exact likelihood: draws are independent, as declared or (`tested`) as found",
    "closed form": "the posterior of a Gaussian, of rows that are worth `worth`",
    "off": "nothing: calibrate=False",
    "separable": "nothing: the data are (nearly) separable or leave directions unidentified",
    "diagonal": "the diagonal curvature only, of `n_params` parameters",
    "perturbed": "members trained on scores perturbed by their covariance over `batches` of draws",
    "repeated": "members that scatter as fields and pairs of repeated experiments would",
    "shared": "nothing: members share the errors of one density",
    "density": "a normalised density; with `weights` drawn from a posterior over them, or one training",
    "labels": "nothing: a regression of labels",
    "action": "nothing: trained on a known action, not on data",
    "told": "only in words, by an earlier version or by a family of the user's own",
}
SEVERITIES = ("note", "caution", "serious")


@dataclass(frozen=True)
class Basis:
    """What error bars rest on.

    Attributes
    ----------
    code : str
        One of `BASES`, whose values say what it means and which numbers go with it.
    numbers : mapping
    words : str
        Of "told" only.
    """

    code: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""

    def __post_init__(self) -> None:
        if self.code not in BASES:
            raise HamlearnError(f"what error bars rest on is one of {', '.join(BASES)}; got {shown(self.code)}.")


@dataclass(frozen=True)
class EngineUsed:
    """The engine that made the draws, its settings, and whether its draws form Markov chains, which may not have converged."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    markov: bool = False

    @classmethod
    def of(cls, engine: Any) -> EngineUsed:
        """From an engine of :mod:`hamlearn.infer.settings` (its fields are its settings), or from a dictionary with ``name``."""
        found = dict(engine) if isinstance(engine, Mapping) else {"name": engine.name, "markov": engine.markov, **engine.described()}
        return cls(str(found.pop("name")), markov=bool(found.pop("markov", False)), settings=found)


@dataclass(frozen=True)
class OptimumFound:
    """How the maximum was found: whether it `converged`, in how many `steps`, whether it is `finite`, and its `value`."""

    converged: bool = True
    steps: int = 0
    finite: bool = True
    value: float = float("nan")


@dataclass(frozen=True)
class ErrorBars:
    """Whether error bars cover, and what the data are worth.

    Attributes
    ----------
    adjusted : bool
        Whether they were calibrated.
    basis : Basis
        On what, or why not.
    kind : str or None
        Of contributions: "rows", "batches", "random batches", "chains", "too few batches".
    batches : int or None
        How many of them are independent.
    tau, ess : float
        Autocorrelation time in draws, and how many independent microstates the data are worth.
    chains_disagree : bool
    width_ratio : float or None
        Calibrated over naive widths.
    """

    adjusted: bool = False
    basis: Basis = Basis("told")
    kind: str | None = None
    batches: int | None = None
    tau: float = 1.0
    ess: float = 0.0
    chains_disagree: bool = False
    width_ratio: float | None = None


@dataclass(frozen=True)
class Identifiability:
    """How much data there are for what is unknown.

    Attributes
    ----------
    condition : float
        Of the scaled information; nan where it was not computed.
    unidentified : tuple of str
        Leading parameters of directions without information.
    redundant : tuple of tuple of str
        The parameters that such directions move, those together that no direction moves apart.
    data_per_parameter : float
        Site observations.
    data_at_worst_site : float or None
        Independent microstates for every parameter that one site bears.
    n_effective : float or None
        Of a sparse posterior: parameters that exist.
    """

    condition: float = float("nan")
    unidentified: tuple[str, ...] = ()
    redundant: tuple[tuple[str, ...], ...] = ()
    data_per_parameter: float = 0.0
    data_at_worst_site: float | None = None
    n_effective: float | None = None


@dataclass(frozen=True)
class Convergence:
    """What :func:`hamlearn.diagnostics.convergence` measured; None where it does not apply."""

    sampled: bool
    chains: int = 1
    draws: int = 0
    judged: int = 0
    constant: int = 0
    divergences: int | None = None
    saturated: int | None = None
    max_rhat: float | None = None
    max_rhat_where: str = ""
    min_ess_bulk: float | None = None
    min_ess_bulk_where: str = ""
    min_ess_tail: float | None = None
    min_ess_tail_where: str = ""
    max_mcse_over_sd: float | None = None
    max_mcse_over_sd_where: str = ""


@dataclass(frozen=True)
class Comparison:
    """The outcome of the comparison with data.

    Attributes
    ----------
    decision : {"agrees", "differs", "undecided", "not run"}
    reason : str
        Why it was not run or undecided, for readers.
    overall_p : float or None
    statistics, held_out : int
        How many there were, and how many of them were compared on held-out data (the others are score tests on all rows).
    failed : tuple of str
        Names of statistics that differ.
    largest_z : float
        The largest deviation of statistics that are one number, in standard deviations.
    named : tuple of mapping
        Score tests that failed: ``name``, ``z``, ``p_adjusted``, and where estimated ``effect``, ``effect_sd``, ``unit``, ``where``.
    skipped : str
        What was left out, for readers.
    advice : str
        What would allow what was left out or is undecided, for readers.
    isolated : tuple of int
        Sites without any coupling although the graph has bonds there.
    width_ratio : float or None
    """

    DECISIONS: ClassVar[tuple[str, ...]] = ("agrees", "differs", "undecided", "not run")

    decision: str
    reason: str = ""
    overall_p: float | None = None
    statistics: int = 0
    held_out: int = 1
    failed: tuple[str, ...] = ()
    largest_z: float = 0.0
    named: tuple[Mapping[str, Any], ...] = ()
    skipped: str = ""
    advice: str = ""
    isolated: tuple[int, ...] = ()
    width_ratio: float | None = None

    def __post_init__(self) -> None:
        if self.decision not in self.DECISIONS:
            raise HamlearnError(f"the decision of a comparison is one of {', '.join(self.DECISIONS)}; got {shown(self.decision)}.")
        if self.decision in ("agrees", "differs") and self.overall_p is None:
            raise HamlearnError(f"a comparison that {self.decision} has an overall p-value; got None.")


@dataclass(frozen=True)
class Noted:
    """One thing found while learning or extrapolating, or in the data.

    Attributes
    ----------
    code : str
        What was found: ``hamlearn.diagnostics.wording`` makes the sentence. "told" where `what` is the sentence.
    severity : {"note", "caution", "serious"}
    topic : str
    numbers : mapping
        What the sentence needs.
    what, advice : str
        In words; only of "told".
    """

    code: str
    severity: str
    topic: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    what: str = ""
    advice: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise HamlearnError(f"the severity of a finding is one of {', '.join(SEVERITIES)}; got {shown(self.severity)}.")


@dataclass(frozen=True)
class Provenance:
    """How a posterior was made and judged: what the verdict and the report read.

    Attributes
    ----------
    likelihood, composite : str, bool
        What was maximised or sampled, and whether it is a stand-in for the likelihood of whole microstates.
    engine : EngineUsed
    n_params : int
        Free parameters.
    microstates : float
    missing : float
        Share of their cells that were not observed.
    flip : float
        Share of readings that are wrong, as the data declare: the mean of their rates.
    seed, seconds, estimated_seconds
    optimum, calibration, identifiability
        See their classes.
    reasons : tuple of str
        What was chosen automatically and why, for readers; nothing is decided by them.
    source : tuple of mapping
        Where the data came from, as far as they say; for readers too, but for ``tau_int``.
    frozen_sites : tuple of int
        Sites that never change in the data.
    frozen_fields : tuple of int
        Those of them with a field that acts on no other site: the data push it to infinity, the prior alone holds it.
    prior_share : tuple of float
        Of every parameter's precision, the part that is the prior's.
    parameter_names : tuple of str
    findings, signals : tuple of Noted
        Of learning (and extrapolating), and in the data.
    convergence, check : Convergence, Comparison or None
        None where it was not judged.
    training : mapping or None
        Of a neural density: how its networks were trained.
    extrapolation : mapping or None
        How it came to a temperature that was not observed.
    candidates : int or None
        Terms that were searched.
    nonconfining : float or None
        Share of an action's posterior that is not bounded below.
    pareto_k : float or None
        Shape of the largest importance weights, where the draws are corrected ones of a normal approximation.
    independent : bool
        Whether the data were declared to be independent rows: nothing is then said of chains, temperatures and autocorrelation.
    more : mapping
        Entries of one family, which nothing outside it reads.
    sites : tuple of str
        What the sites are called; empty where they are numbered. Kept beside the record, in the attribute ``site_names`` of the posterior.
    words : tuple of str
        What the states are called, in their order; empty where they are numbers. Kept in the attribute ``codes``.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=500, chains=2, seed=0)
    >>> model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)))
    >>> made = hl.infer.provenance(hl.learn(data, model, engine="laplace", seed=0))
    >>> made.likelihood, made.engine.name, made.calibration.basis.code, made.check.decision
    ('exact', 'laplace', 'independent', 'agrees')
    """

    likelihood: str
    composite: bool
    engine: EngineUsed
    n_params: int
    microstates: float
    optimum: OptimumFound
    calibration: ErrorBars
    identifiability: Identifiability
    source: tuple[Mapping[str, Any], ...]
    reasons: tuple[str, ...]
    missing: float = 0.0
    flip: float = 0.0
    seed: int = 0
    seconds: float = float("nan")
    estimated_seconds: float = float("nan")
    frozen_sites: tuple[int, ...] = ()
    frozen_fields: tuple[int, ...] = ()
    prior_share: tuple[float, ...] = ()
    parameter_names: tuple[str, ...] = ()
    findings: tuple[Noted, ...] = ()
    signals: tuple[Noted, ...] = ()
    convergence: Convergence | None = None
    check: Comparison | None = None
    training: Mapping[str, Any] | None = None
    extrapolation: Mapping[str, Any] | None = None
    candidates: int | None = None
    nonconfining: float | None = None
    pareto_k: float | None = None
    independent: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    sites: tuple[str, ...] = ()
    words: tuple[Any, ...] = ()

    def to_json(self) -> str:
        """One line of JSON, for the attribute of a posterior."""
        return json.dumps({name: value for name, value in asdict(self).items() if name not in ("sites", "words")})

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """What :meth:`to_json` wrote, each entry of its type.

        Raises
        ------
        HamlearnError
            Naming the entry that is missing, not known, or of another type.
        """
        try:
            found = json.loads(text)
        except (TypeError, ValueError, RecursionError):
            raise HamlearnError(f"the posterior's attribute 'provenance' cannot be read as JSON: {shown(text)}. {AGAIN}") from None
        return cls.from_dict(found)

    @classmethod
    def from_dict(cls, found: Any) -> Provenance:
        """The same from a dictionary."""
        made: Provenance = typed(cls, found)
        return made

    def site(self, number: int) -> str:
        """Such as "site 3", or "site anna" where sites have names."""
        return f"site {word(self.sites, number)}"

    def state(self, number: int, site: int) -> str:
        """Such as "state 2", or "'yes'" where the states of a site have words."""
        own = self.words[site] if self.words and isinstance(self.words[0], tuple) else self.words or range(number + 1)
        return repr(own[number]) if isinstance(own[number], str) else f"state {own[number]}"

    @property
    def worth(self) -> float:
        """Independent microstates that the data are worth."""
        return self.calibration.ess

    @property
    def unknowns(self) -> str:
        """What is counted by `n_params`: "terms" selected among candidates, "weights" of networks, or "parameters"."""
        if self.candidates is not None:
            return "terms"
        return "weights" if self.training is not None or self.likelihood == "regression" or "density" in self.more else "parameters"


def new_provenance(
    *,
    likelihood: str,
    composite: bool,
    engine: Any,
    n_params: int,
    sets: list[xr.Dataset],
    seed: int,
    seconds: float,
    reasons: Iterable[str] = (),
    adjusted: bool = False,
    basis: Basis = Basis("told"),
    ess: float | None = None,
    tau: float = 1.0,
    optimum: Mapping[str, Any] = types.MappingProxyType({}),
    calibration: Mapping[str, Any] = types.MappingProxyType({}),
    identifiability: Mapping[str, Any] = types.MappingProxyType({}),
    **more: Any,
) -> Provenance:
    """How a posterior was made, with what every family has counted from the data.

    Parameters
    ----------
    likelihood, composite, n_params, seed, seconds, reasons
        As :class:`Provenance` has them.
    engine : engine or dict
        An engine with its settings, or ``name`` and settings.
    sets : list of Dataset
        The microstates.
    adjusted, basis : bool, Basis
        Whether error bars were calibrated, and on what (or why not).
    ess, tau : float
        How many independent microstates the data are worth, and their autocorrelation time in draws.
    optimum, calibration, identifiability : mapping
        Entries of :class:`OptimumFound`, :class:`ErrorBars` and :class:`Identifiability` other than the usual ones.
    more
        Further fields of :class:`Provenance`; what is none of them is kept in ``more``.
    """
    size = float(sum(multiplicity(part)[0].sum() for part in sets))
    worth = size / max(tau, 1.0) if ess is None else float(ess)
    sites = float(np.prod(site_shape(sets[0])))
    known = {one.name for one in fields(Provenance)} - {"more"}
    own = {key: more.pop(key) for key in list(more) if key not in known}
    return Provenance(
        likelihood=likelihood,
        composite=composite,
        engine=EngineUsed.of(engine),
        n_params=int(n_params),
        microstates=size,
        optimum=OptimumFound(**optimum),
        calibration=ErrorBars(**{"adjusted": adjusted, "basis": basis, "tau": float(tau), "ess": worth, **calibration}),
        identifiability=Identifiability(**{"data_per_parameter": worth * sites / max(n_params, 1), **identifiability}),
        source=tuple(origin(item) for item in sets),
        sites=names_of(sets[0]),
        independent=all(int(part.attrs.get("independent", 0)) for part in sets),
        reasons=tuple(reasons),
        seed=seed,
        seconds=float(seconds),
        more=own,
        **more,
    )


def origin(data: xr.Dataset) -> dict[str, Any]:
    """Where microstates came from, as far as they say."""
    keys = ("source_space", "sampler", "seed", "sweeps_per_draw", "acceptance", "tau_int", "source")
    # Attributes read back from a file are NumPy scalars.
    return {
        key: data.attrs[key].item() if isinstance(data.attrs[key], np.generic) else data.attrs[key] for key in keys if key in data.attrs
    }


__all__ = [
    "BASES",
    "Basis",
    "Comparison",
    "Convergence",
    "EngineUsed",
    "ErrorBars",
    "Identifiability",
    "Noted",
    "OptimumFound",
    "Provenance",
    "new_provenance",
    "origin",
]
