"""The kind of :class:`hamlearn.models.Hierarchical`: groups that share a mean and a spread of every parameter.

Every group is opened as its own kind opens a program: likelihood, optimum, calibration. What the groups share is drawn with them by
:mod:`hamlearn.infer.engines.pooled`. A posterior keeps what each group's would (its data in short, its record) as ``group_0``, …, without
draws, which are in ``posterior`` with an axis for groups; :mod:`hamlearn.infer.one_group` puts the two together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import xarray as xr

from hamlearn import data as microstates
from hamlearn.arguments import shown
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.accepted import require_posterior
from hamlearn.infer.choose import AFFORDABLE
from hamlearn.infer.engines import pooled
from hamlearn.infer.enquiry import Enquiry
from hamlearn.infer.families import Open
from hamlearn.infer.fit import Fit
from hamlearn.infer.groups import sample_stats
from hamlearn.infer.lone_groups import FEWEST, lone
from hamlearn.infer.observations import mean_beta
from hamlearn.infer.one_group import group, names
from hamlearn.infer.pipeline import Opened
from hamlearn.infer.provenance import Identifiability, Noted, OptimumFound, Provenance
from hamlearn.infer.seen import only_seen
from hamlearn.infer.settings import Drawn, External, Pooled, require_memory
from hamlearn.models import Hierarchical, Normal
from hamlearn.progress import aside
from hamlearn.systems.base import System
from hamlearn.systems.exact.work import OPERATIONS_PER_SECOND

_BASES = ("separable", "off", "sandwich", "independent")  # what error bars may rest on, the weakest first
_PRIORS = 0.3  # of the variance of a spread's prior that is left, beyond which it says what the prior says
_APART = 0.01  # p-value of a group that lies apart, of all groups and parameters together
_SWEEP = 2e-9, 2e-3  # seconds of a sweep of one chain: of the cube of the parameters of a group, and of everything else


def learn(data: list[xr.Dataset], model: Hierarchical, likelihood: str, engine: Any, calibrate: bool, seed: int) -> xr.DataTree:
    """The posterior of all groups with their means and spreads; a bare tree, without a verdict."""
    settings = _settings(engine)
    sets = microstates.split_by_beta(data)
    _require_alike(model, sets)
    sets = only_seen(sets, model)  # groups share parameters, and so the states that one of them was seen in
    here = model.on(microstates.names_of(sets[0])).at(mean_beta([float(one["beta"]) for one in sets]))
    _require_normal(here, sets)
    grouped = model.grouped(sets)
    enquiry = Enquiry(here, microstates.space_of(sets), sets, seed)
    kind = cast(Open, families.named(model.model.traits))
    opened = dict[str, Opened]()
    with aside():
        for name, own in grouped.items():
            with _named(model.by, name):
                families.admitted(own, here.model, calibrate)  # what this kind of model cannot learn from is refused as it does
                opened[name] = kind.opened(own, here.model, likelihood=likelihood, calibrate=calibrate, seed=seed)
                opened[name].fit.require_batches("pooling")
    fits = [one.fit for one in opened.values()]
    require_memory(settings, (len(fits) + 2) * len(fits[0].mean))
    settings = _corrected(settings, fits, enquiry)
    drawn = pooled.run(fits, here.spread, settings, seed)
    return _assembled(enquiry, kind, opened, drawn, settings)


def _settings(engine: Any) -> Pooled:
    if isinstance(engine, Pooled):
        return engine
    if isinstance(engine, str) and engine in ("auto", "pooled"):
        return Pooled()
    raise HamlearnError(f"groups are drawn together: engine is 'auto', or settings, hl.infer.Pooled(draws=500); got {shown(engine)}.")


def _require_alike(model: Hierarchical, sets: list[xr.Dataset]) -> None:
    """An error unless all groups have the same sites and states; names are compared where sets are joined."""
    kinds = {(microstates.space_of([one]).name, int(one.attrs["q"]), microstates.site_shape(one)) for one in sets}
    if len(kinds) > 1:
        told = " and ".join(f"{name} (q = {q}) on sites {shape}" for name, q, shape in sorted(kinds)[:2])
        raise HamlearnError(f"groups share parameters, so their data must have the same states and sites; these have {told}.")


def _require_normal(model: Hierarchical, sets: list[xr.Dataset]) -> None:
    """An error, before any work, unless all priors are normal."""
    bound = model.bind(microstates.space_of(sets), microstates.site_shape(sets[0]))
    if other := [block for block in bound.blocks if not isinstance(block.prior, Normal)]:
        raise HamlearnError(
            f"means of groups need normal priors; that of {other[0].name} is {other[0].prior!r}. Give hl.models.Normal(...), or write the "
            "hierarchy around hl.infer.program(...).log_likelihood yourself."
        )


@contextmanager
def _named(by: str, name: str) -> Iterator[None]:
    """What is refused of one group is told with its name: of sixty nobody knows which to leave out."""
    try:
        yield
    except HamlearnError as error:
        told = str(error).replace("Use engine='laplace', tie", "Tie")  # groups have one engine
        raise HamlearnError(f"{by} {name!r}: {told}") from None


def _corrected(settings: Pooled, fits: Sequence[Fit], enquiry: Enquiry) -> Pooled:
    """The settings with it decided whether draws are corrected to the likelihoods, and said."""
    p, values = len(fits[0].mean), 2 * settings.chains * settings.sweeps
    counted = values * sum(fit.likelihood.operations for fit in fits) / OPERATIONS_PER_SECOND
    exact = counted <= AFFORDABLE if settings.exact is None else settings.exact
    sweeps = settings.sweeps * (_SWEEP[1] + _SWEEP[0] * settings.chains * (len(fits) + 8) * p**3)
    how = "to the likelihoods themselves" if exact else f"no further than to parabolas: the likelihoods would take {counted:.2g} s"
    enquiry.say(
        f"{len(fits)} groups of {p} parameter{'s' if p > 1 else ''}, with means and spreads, by Gibbs sampling corrected {how}; about "
        f"{sweeps + exact * counted:.2g} s"
    )
    return replace(settings, exact=exact)


def _assembled(enquiry: Enquiry, kind: Open, opened: dict[str, Opened], drawn: pooled.Draws, settings: Pooled) -> xr.DataTree:
    """The tree: draws of all groups, means and spreads, and what every group's own posterior has besides draws."""
    model, names = cast(Hierarchical, enquiry.model), list(opened)
    engine = cast(External, settings)  # the record asks for name, settings and whether these are chains
    members = [one.closed(Drawn(drawn.theta[:, :, k], drawn.stats), engine, ()) for k, one in enumerate(opened.values())]
    by_group = xr.concat([one["posterior"].to_dataset() for one in members], model.by, coords="minimal", compat="override")
    by_group = by_group.transpose("chain", "draw", model.by, ...).assign_coords({model.by: np.array(names, dtype=str)})
    bound = model.bind(enquiry.space, microstates.site_shape(enquiry.sets[0]))
    mean, spread = kind.variables(bound, drawn.mean), _spreads(kind, bound, drawn.spread)
    own = {f"{name}_{what}": found[name] for what, found in (("mean", mean), ("spread", spread)) for name in found.data_vars}
    parameter = {"parameter": np.array(bound.parameter_names, dtype=str), "chain": by_group["chain"], "draw": by_group["draw"]}
    theta = {name: (("chain", "draw", "parameter"), one) for name, one in (("mean", drawn.mean), ("spread", drawn.spread))}
    groups = {"posterior": by_group.assign(own), "theta": xr.Dataset(theta, coords=parameter), **sample_stats(drawn.stats)}
    provenance = _merged(enquiry, [posteriors.provenance_of(one) for one in members], drawn, settings, bound.parameter_names)
    provenance = replace(provenance, findings=(*provenance.findings, *_apart(model.by, opened, members)))
    tree = posteriors.assemble(groups, model=model, space=enquiry.space, provenance=provenance, sets=enquiry.sets)
    tree.attrs["beta"] = json.dumps(list(dict.fromkeys(json.loads(tree.attrs["beta"]))))  # each temperature once, of however many groups
    for number, (member, one) in enumerate(zip(members, opened.values(), strict=True)):
        kept = {name: found.to_dataset() for name, found in member.children.items() if name != "posterior"}
        tree[place := f"group_{number}"] = xr.DataTree.from_dict({**kept, "alone": _alone(one.fit)})
        tree[place].attrs = {**member.attrs, "group_of": f"{tree.attrs['fingerprint']} {enquiry.seed}"}
    return tree


def _apart(by: str, opened: dict[str, Opened], members: Sequence[xr.DataTree]) -> tuple[Noted, ...]:
    """What the verdict has to say of a group that no normal spread holds."""
    known = np.array([[posteriors.provenance_of(one).optimum.finite] for one in members])
    estimates = np.where(known, [one.fit.centre for one in opened.values()], 0.0)
    variances = np.where(known, [np.diag(one.fit.calibration.covariance) for one in opened.values()], np.inf)
    p = lone(estimates, variances) if known.sum() >= FEWEST else np.ones_like(estimates)
    group, where = np.unravel_index(int(p.argmin()), p.shape)
    if p.min() > _APART:
        return ()
    name = next(iter(opened.values())).fit.likelihood.bound.parameter_names[where]
    numbers = {"by": by, "group": list(opened)[group], "name": name, "p_value": float(p.min())}
    return (Noted("a group apart", "caution", "spread", numbers),)


def _alone(fit: Fit) -> xr.Dataset:
    """What the data of one group say without a prior and without the others: for tests of differences."""
    names = np.array(fit.likelihood.bound.parameter_names, dtype=str)
    found = {"estimate": ("parameter", fit.centre), "covariance": (("parameter", "other"), fit.calibration.covariance)}
    return xr.Dataset(found, coords={"parameter": names, "other": names})


def _spreads(kind: Open, bound: Any, spread: np.ndarray) -> xr.Dataset:
    """Spreads of what a posterior reports, sums of parameters with coefficients: those of tables add in squares."""
    p, zero = bound.n_params, kind.variables(bound, np.zeros((1, 1, bound.n_params)))
    columns = kind.variables(bound, np.eye(p)[None])  # one "draw" a parameter
    found = {}
    for name, values in columns.data_vars.items():
        weights = (values.values[0] - zero[name].values[0]) ** 2
        squares = np.tensordot(spread**2, weights, 1)
        found[name] = (values.dims, np.sqrt(squares))
    return xr.Dataset(found, coords={name: one for name, one in columns.coords.items() if name not in ("chain", "draw")})


def _merged(
    enquiry: Enquiry, made: Sequence[Provenance], drawn: pooled.Draws, settings: Pooled, parameters_of: Sequence[str]
) -> Provenance:
    """The record of all groups: sums of what they are worth, and the weakest of what their error bars rest on."""
    bars = [one.calibration for one in made]
    weakest = min(bars, key=lambda one: _BASES.index(one.basis.code) if one.basis.code in _BASES else -1)
    known = [one.identifiability for one in made]
    shares = (drawn.mean.std((0, 1)) / drawn.prior) ** 2
    spreads = drawn.spread.var((0, 1)) / (cast(Hierarchical, enquiry.model).spread ** 2 * (1 - 2 / np.pi))  # of the half-normal prior
    found = enquiry.provenance(
        likelihood=" and ".join(dict.fromkeys(one.likelihood for one in made)),
        composite=any(one.composite for one in made),
        engine=settings,
        n_params=(len(made) + 2) * len(parameters_of),
        prior_share=tuple(shares.tolist()),
    )
    worth = sum(one.worth for one in made)
    return replace(
        found,
        findings=(*found.findings, *_of_the_prior(spreads, parameters_of, len(made))),
        optimum=OptimumFound(all(one.optimum.converged for one in made), finite=all(one.optimum.finite for one in made)),
        calibration=replace(weakest, tau=max(one.tau for one in bars), ess=worth),
        identifiability=Identifiability(
            max(one.condition for one in known),
            data_per_parameter=float(np.mean([one.data_per_parameter for one in known])),
            data_at_worst_site=sum(one.data_at_worst_site or 0.0 for one in known),
        ),
        missing=float(np.mean([one.missing for one in made])),
        flip=float(np.mean([one.flip for one in made])),
    )


def _of_the_prior(shares: np.ndarray, names: Sequence[str], groups: int) -> tuple[Noted, ...]:
    """What the verdict has to say of spreads that few groups leave to their prior."""
    left = [name for name, share in zip(names, shares, strict=True) if share > _PRIORS]
    numbers = {"names": left, "parameters": len(names), "groups": groups}
    return (Noted("spreads of the prior", "caution", "prior", numbers),) if left else ()


def draw_systems(post: xr.DataTree, n: int, seed: int, shape: tuple[int, ...] | None = None) -> list[System]:
    """Systems of groups that were not observed."""
    new = group(post)
    return families.of(new).draw_systems(new, n, seed, shape)


def parameters(post: xr.DataTree) -> tuple[list[str], np.ndarray]:
    """Means and spreads, then θ of every group."""
    theta, known = require_posterior(post)["theta"].to_dataset(), names(post)
    labels = [str(one) for one in theta["parameter"].values]
    own = [families.of(one).parameters(one)[1] for one in (group(post, name) for name in known)]
    told = [f"{what} of {one}" for what in ("mean", "spread") for one in labels] + [f"{one} of {name}" for name in known for one in labels]
    return told, np.concatenate([theta["mean"].values, theta["spread"].values, *own], -1)
