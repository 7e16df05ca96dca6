"""`audit`: the model's microstates beside those of the reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.arguments import require_number, require_seed, require_whole
from hamlearn.diagnostics import wording
from hamlearn.diagnostics.audits import comparisons, drawing, held, kept, words
from hamlearn.diagnostics.audits.case import Case
from hamlearn.diagnostics.audits.result import Audit, AuditFinding
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.accepted import admit_posterior
from hamlearn.infer.wald import discovery_rates
from hamlearn.processes import verb
from hamlearn.spaces import Space
from hamlearn.systems.base import System

LEARNED = "the model's energy"
_MOST_DRAWN = 16_384  # of a model, by default
_LEAST_DRAWN = 2048


@verb
def audit(
    reference: xr.Dataset | Iterable[xr.Dataset],
    model: xr.Dataset | Iterable[xr.Dataset] | System | xr.DataTree,
    draws: int | None = None,
    seed: int = 0,
    *,
    energy: System | Mapping[str, System] | None = None,
    training: xr.Dataset | Iterable[xr.Dataset] | None = None,
    beta: Any = None,
    level: float = 0.01,
) -> Audit:
    """May this model be trusted? Compare its microstates with those of a reference in everything that can be looked at.

    Mean energies that agree say little: this looks at what is conserved and what never occurs, at distributions, correlations and
    moments beyond those that were fitted, at modes that are dropped or invented, at memory of the training data, and at the whole law.

    Parameters
    ----------
    reference : Dataset or list of Datasets
        Microstates that are right: data that the model was not trained on, or a trusted simulation. Flat rows are those of the model's
        lattice, in C order.
    model : microstates, System or posterior
        What is judged: microstates that it made; a system, which is simulated at the temperature of the reference; or a posterior of
        :func:`hamlearn.learn`, whose networks draw for themselves and whose Hamiltonians are simulated, 32 of them, so that uncertain
        parameters are no misfit.
    draws : int, optional
        Microstates of a model that is drawn from; by default as many as the reference has, between 2048 and 16 384.
    seed : int
        Of the draws and of the classifier.
    energy : System or mapping of names to systems, optional
        Whose energies are compared; by default the model's own, where it has one.
    training : Dataset or list of Datasets, optional
        What the model was trained on, to ask whether it repeats it: the reference must be other data then. Rows of the reference that are
        rows of the training set are left out of this question, and ``cautions`` says so.
    beta : array, optional
        Inverse temperatures that the model is going to be used at: which of them do the reference data support?
    level : float
        Share of false discoveries that is allowed: where model and reference have one law, nothing is flagged with probability 1 − `level`.

    Returns
    -------
    Audit
        ``findings``, ``decision`` ("agrees", "differs" or "undecided"), ``to_dataset()``; :func:`hamlearn.report` makes a page of it. Of a
        posterior also ``posterior``, a copy whose verdict begins with what was found.

    Raises
    ------
    HamlearnError
        If the two are of different spaces, sites or declared temperatures, rows have statistical weights, an energy is not finite, or the
        reference is what the model was trained on.

    Notes
    -----
    Every test compares means over blocks of at least five autocorrelation times of what it looks at, and p-values come from exchanging
    whole blocks, 9999 times: rows of a chain that follow each other are no independent data (of AR(1) rows with ρ = 0.7 a test that
    permutes rows raises seven times as many false alarms as it says). Everything that a test chooses (bins, regions, means) it chooses
    from both samples together. What is conserved or forbidden is found on one half of a sample and tested on the other half. The
    p-values of all tests are corrected together (Benjamini and Hochberg). Fewer than 20 blocks decide nothing, and no pass is claimed.

    Of a posterior of Hamiltonians, the variance that its parameters' uncertainty makes is added to that of the blocks.

    Examples
    --------
    >>> import hamlearn as hl
    >>> reference = hl.simulate(hl.systems.Ising((4, 4)), beta=0.4, draws=500, chains=4, seed=0)
    >>> hl.audit(reference, hl.systems.Ising((4, 4)), seed=1).decision
    'agrees'
    >>> hl.audit(reference, hl.systems.Ising((4, 4), J=0.8), seed=1).decision
    'differs'
    """
    seed, level = require_seed(seed), require_number(level, "level", above=0.0, below=0.5)
    sets, model = _numbered_alike(reference, model)
    rows = max(one.sizes["chain"] * one.sizes["draw"] for one in sets)
    count = min(max(rows, _LEAST_DRAWN), _MOST_DRAWN) if draws is None else require_whole(draws, "draws", 2)
    drawn = drawing.of(model, sets, count, seed)
    pairs = _paired(sets, drawn.data)
    energies = _energies(energy, drawn.system, pairs[0][0])
    trained = None if training is None else _trained(training, sets[0])
    found: list[AuditFinding] = []
    how, frozen = {"model": drawn.how}, False
    cautions = [_undeclared(*pair) for pair in pairs] + [_undeclared(pairs[0][0], one, "the training set") for one in trained or ()]
    for one, other in pairs:
        label = f" at β = {float(one['beta']):.4g}" if len(pairs) > 1 else ""
        case = Case.of(one, other, drawn, energies)
        how |= {f"{name}{label}": told for name, told in case.told().items()}
        cautions += [told + label for told in case.cautions]
        frozen |= any(side.frozen for side in case.sides)
        memory = None if trained is None else held.out_of(_same_temperature(trained, one), one)
        cautions += [memory.left_out + label] if memory is not None and memory.left_out else []
        found += [replace(item, name=item.name + label) for item in _compared(case, one, memory, beta, seed)]
    p = discovery_rates(np.array([item.p_value for item in found]))
    judged = tuple(_judged(item, float(q), level) for item, q in zip(found, p, strict=True))
    audited = Audit(judged, level, how, cautions=tuple(dict.fromkeys(filter(None, cautions))), frozen=frozen)
    return replace(audited, posterior=kept.recorded(model, audited)) if isinstance(model, xr.DataTree) else audited


def _compared(case: Case, reference: xr.Dataset, trained: held.HeldOut | None, beta: Any, seed: int) -> list[AuditFinding]:
    """Everything at one temperature."""
    return [
        *comparisons.laws(case),
        *comparisons.measured(case),
        *comparisons.memory(case, trained),
        *comparisons.whole(case, seed),
        *comparisons.reach(case, reference, beta),
    ]


def _judged(finding: AuditFinding, p_adjusted: float, level: float) -> AuditFinding:
    """A finding with its corrected p-value, flagged or not, and in the words of what it is."""
    flagged = finding.flagged or bool(p_adjusted <= level)
    if not flagged and finding.decided and finding.code != "range":
        size = wording.number(finding.effect, finding.effect_sd, finding.unit) if finding.effect else ""
        finding = replace(finding, consequence=words.nothing(finding.where, size))
    return replace(finding, p_adjusted=p_adjusted, flagged=flagged)


def _energies(energy: Any, own: System | None, data: xr.Dataset) -> dict[str, System]:
    """Whose energies are compared, by name, of the space and the sites of the data."""
    if energy is None:
        return {} if own is None else {LEARNED: own}
    named = {"the energy": energy} if isinstance(energy, System) else energy
    if not (isinstance(named, Mapping) and named and all(isinstance(one, System) for one in named.values())):
        raise HamlearnError(f"energy= takes a system, or a mapping of names to systems; got {energy!r:.80}.")
    for name, one in named.items():
        _require_alike(f"energy= ({name})", one.space, one.lattice.n_sites, data)
    return {str(name): one for name, one in named.items()}


def _trained(training: Any, reference: xr.Dataset) -> list[xr.Dataset]:
    """What the model was trained on by temperature, of the space and the sites of the reference."""
    shape = microstates.site_shape(reference)
    found = [microstates.folded(one, shape) for one in microstates.split_by_beta(microstates.admit(training))]
    for one in found:
        _require_alike("training=", microstates.space_of(one), math.prod(microstates.site_shape(one)), reference)
    return found


def _require_alike(what: str, space: Space, sites: int, reference: xr.Dataset) -> None:
    own, many = microstates.space_of(reference), math.prod(microstates.site_shape(reference))
    if space.free != own.free:
        raise HamlearnError(f"{what} is of {space.free}, the microstates are of {own.free}: only one space can be looked at.")
    if sites != many:
        raise HamlearnError(f"{what} has {sites} sites, the microstates have {many}: give one of their sites.")


def _numbered_alike(reference: Any, model: Any) -> tuple[list[xr.Dataset], Any]:
    """The reference by temperature, and the model, with their states numbered alike where words or codes stand for them."""
    sets = microstates.admit(reference)
    if isinstance(model, System):
        return [microstates.folded(one, model.lattice.shape) for one in microstates.split_by_beta(sets)], model
    if isinstance(model, xr.DataTree):
        shape = posteriors.site_shape(admit_posterior(model))
        return [posteriors.numbered(model, microstates.folded(one, shape)) for one in microstates.split_by_beta(sets)], model
    others = microstates.admit(model)
    sets = [microstates.folded(one, microstates.site_shape(others[0])) for one in sets]
    count, others = len(microstates.split_by_beta(sets)), [microstates.folded(one, microstates.site_shape(sets[0])) for one in others]
    both = microstates.split_by_beta([*sets, *others])
    ascending = lambda parts: sorted(parts, key=lambda one: float(one["beta"]))
    return ascending(both[:count]), ascending(both[count:])


def _paired(reference: list[xr.Dataset], model: list[xr.Dataset]) -> list[tuple[xr.Dataset, xr.Dataset]]:
    """Microstates of one temperature beside each other; an error where they are of different things."""
    if len(reference) != len(model):
        raise HamlearnError(f"the reference has {len(reference)} temperatures and the model {len(model)}: give the same ones of both.")
    for one, other in zip(reference, model, strict=True):
        first, second = microstates.space_of(one).free, microstates.space_of(other).free
        if first != second:
            raise HamlearnError(f"the reference is of {first}, the model of {second}: only microstates of one space can be compared.")
        if microstates.site_shape(one) != microstates.site_shape(other):
            raise HamlearnError(
                f"the reference has sites {microstates.site_shape(one)}, the model {microstates.site_shape(other)}: compare one size."
            )
        if _declared(one) and _declared(other) and not math.isclose(float(one["beta"]), float(other["beta"]), rel_tol=1e-9):
            raise HamlearnError(
                f"the reference was observed at β = {float(one['beta']):.6g}, the model at β = {float(other['beta']):.6g}: compare "
                "one temperature."
            )
        microstates.require_same(microstates.names_of(one), microstates.names_of(other), "the reference", "the model")
        if held.same_rows(one, other):
            raise HamlearnError(words.ITSELF)
    return list(zip(reference, model, strict=True))


def _declared(data: xr.Dataset) -> bool:
    return bool(int(data.attrs.get("beta_declared", 0)))


def _undeclared(reference: xr.Dataset, model: xr.Dataset, whose: str = "the model") -> str:
    """What is to be said where one of the two declares no temperature; empty where both do, or neither."""
    if _declared(reference) == _declared(model):
        return ""
    if _declared(reference):
        return words.no_temperature(whose, "the reference", float(reference["beta"]))
    return words.no_temperature("the reference", whose, float(model["beta"]))


def _same_temperature(training: list[xr.Dataset], reference: xr.Dataset) -> list[xr.Dataset]:
    """Those of the training sets that are of the temperature of the reference."""
    if not (_declared(reference) and all(map(_declared, training))) and len({float(one["beta"]) for one in training}) == 1:
        return training
    found = [one for one in training if math.isclose(float(one["beta"]), float(reference["beta"]), rel_tol=1e-9)]
    if not found:
        raise HamlearnError(f"training= holds no microstates at β = {float(reference['beta']):.6g}, which the reference has.")
    return found
