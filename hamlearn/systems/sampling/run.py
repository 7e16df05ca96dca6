"""`simulate`: a system and a temperature to microstates."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from hamlearn import data, statistics
from hamlearn.arguments import require_path
from hamlearn.checkpoint import Checkpoint
from hamlearn.errors import HamlearnError
from hamlearn.processes import verb
from hamlearn.progress import logger
from hamlearn.systems.base import System
from hamlearn.systems.sampling import loop
from hamlearn.systems.sampling.checkpoint import request as identity
from hamlearn.systems.sampling.energies import series
from hamlearn.systems.sampling.independent import IndependentEngine
from hamlearn.systems.sampling.request import Request
from hamlearn.systems.sampling.sampler import SamplesSystems, declared, settings
from hamlearn.systems.sampling.samplers import SamplerName
from hamlearn.systems.sampling.stored import stored


@verb
def simulate(
    system: System,
    beta: Any,
    draws: int = 1000,
    chains: int = 4,
    seed: int = 0,
    sampler: SamplerName | SamplesSystems = "auto",
    burn_in: int | None = None,
    thin: int | Literal["auto"] = 1,
    *,
    start: Any = "hot",
    ladder: Any = None,
    checkpoint: Any = None,
    out: Any = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Draw microstates of a system at one or several temperatures.

    Parameters
    ----------
    system : System
        What to sample: anything with ``lattice``, ``space``, ``energy`` and ``action``.
    beta : float or array (n_beta,)
        Inverse temperature 1/T in units of 1/J; an array gives a leading ``beta`` dimension.
    draws : int
        Microstates kept per chain.
    chains : int
        Independent chains per temperature; more than one lets disagreement be seen.
    seed : int
        Same call and seed, same microstates.
    sampler : str or sampler
        A name; the settings of one, such as ``hl.systems.HMC(length=2)``; or an object of your own with ``name``, ``refusal(system)``
        and ``engine(system, betas, chains, adapt)`` (:class:`hamlearn.systems.sampling.SamplesSystems`). The names:
        "own" (independent draws that a learned density makes of itself), "exact" (independent draws of small or narrow systems),
        "swendsen_wang" and "wolff" (clusters: near the transition of a ferromagnet), "heat_bath" and "metropolis" (single sites, any
        system), "tempering" (a ladder of temperatures: glasses). For angles and real values: "exact" (paths, free fields), "wolff",
        "overrelaxation" and "heat_bath" (XY), "hmc" (any action that JAX can differentiate), "kinks" (paths in deep double wells: "hmc"
        with the signs of the path redrawn), "tempering" ("hmc" on a ladder) and "metropolis". For a fixed magnetization: "kawasaki"
        (exchanges of unlike spins) and "tempering" (exchanges on a ladder: stripes of cold spins turn in no other way). "auto" takes "own"
        at a temperature that a density knows, "exact" where an oracle is cheap, "kawasaki" where the magnetization is fixed,
        "swendsen_wang" (XY: "wolff") for ferromagnets without field, "heat_bath" ("overrelaxation", "hmc") otherwise, "metropolis" for
        black boxes, and says so in the attributes.
    burn_in : int, optional
        Steps discarded at the start, in sweeps (Swendsen–Wang updates; Wolff: clusters that together flip about as
        many spins as there are). Default: 200 steps, then a pilot of 400 measures the largest τ of energy and
        absolute order parameter, and burn-in goes on to 20 τ (at most 50 000). A given number is taken as it is.
    thin : int or "auto"
        Steps between draws; "auto" measures τ in the pilot and leaves 2 % of correlation between neighbouring draws.
    start : {"hot", "cold"} or array
        Every chain starts from its own random state (real values: one random level per chain), from all sites up
        (spins), in state 0 or at zero, or from given states:
        shape ``lattice.shape``, ``(chains, *lattice.shape)`` or ``(n_beta, chains, *lattice.shape)``.
    ladder : array, optional
        Temperatures (β) of "tempering"; those of `beta` are added to them, and they alone are in the result. Default: a geometric ladder
        up to `beta`, or an array `beta` alone. Settings that a sampler has no use for (this one of others; burn_in, thin and start of
        "exact") are refused; where "auto" takes independent draws, ``sampler_choice`` says that they are not needed.
    checkpoint : path, optional
        File that a run of Markov chains saves itself to after its first second, every few seconds, when it is interrupted
        (Ctrl-C) and at its end. The same call continues from it and gives, bit for bit, what an uninterrupted run would have
        given, at once if that one was finished. It is not removed: do that when the result is saved. A file that belongs to
        another call, or is damaged, is left alone with a warning, and this run saves itself beside it.
    out : path, optional
        A folder ``.zarr`` that the draws are written to as they are made, so that memory holds a few megabytes of them (beside a
        number or two for each, which autocorrelation times need) and not all. A run that ends before its time leaves a folder
        ``.partial`` beside it, from which the same call goes on, and gives the same bits; at the end it becomes `out` in one move, and
        replaces what hamlearn wrote there before. The call that wrote what is there is answered from it.
    progress : bool, optional
        Show a progress bar (default: on a terminal or in a notebook, after two seconds). False says nothing at all, not even what
        was chosen.

    Returns
    -------
    xarray.Dataset
        ``state`` with dims ``(chain, draw, *sites)``, int8 (float64 for angles and real values); with `out` left on disk, as
        :func:`hamlearn.data.open_microstates` opens it. Attributes:
        ``sampler``, ``sampler_choice`` (why),
        ``seed``, ``burn_in``, ``sweeps_per_draw``, ``acceptance``, ``tau_int`` (of the energy) and ``tau_int_m`` (of the
        signed magnetization, the fraction of sites in each state, or the mean value), both in draws with 1 for independent ones,
        ``ess`` (of the mean energy), ``independent`` (1 if exact), ``system`` (JSON). With several temperatures they are the
        worst, and ``tau_int_by_beta`` lists all (JSON). nan means that nothing moved.

    Raises
    ------
    HamlearnError
        If an argument is out of range, the sampler does not apply to the system or would ignore a setting, or `out` cannot be written.

    Examples
    --------
    >>> from hamlearn.systems import Ising
    >>> data = simulate(Ising((4, 4)), beta=0.3, draws=50, chains=2, seed=1, sampler="heat_bath")
    >>> data.state.shape, data.attrs["sampler"]
    ((2, 50, 4, 4), 'heat_bath')
    """
    request = Request(system, sampler, beta, draws, chains, seed, burn_in, thin, start, ladder, in_pieces=out is not None)
    chosen, why = request.choose()
    if progress is not False:
        logger.info("simulating %r: %s%s", system, request.told(chosen), f" ({why})" if why else "")
    if out is not None:
        if checkpoint is not None:
            raise HamlearnError("out= saves the run as it goes, and the same call goes on from there; leave checkpoint= out.")
        target = require_path(out, "out")
        return data.open_microstates(
            stored(target, request, chosen, lambda saver, sink: _drawn(request, chosen, why, saver, progress, sink))
        )
    saver = None
    if checkpoint is not None:
        saver = Checkpoint(require_path(checkpoint, "checkpoint"), identity(request.identity(chosen)), of="simulation")
    done, attrs = _drawn(request, chosen, why, saver, progress)
    return request.dataset(np.ascontiguousarray(np.moveaxis(done.result()["states"], 0, 2)), attrs)


def _spacing(system: System) -> dict[str, float]:
    """The width of a time slice, where the system names one; learning may know it, and nothing else of the system."""
    width = system.slice_width
    return {} if width is None else {"spacing": float(width)}


def refuse_stuck(system: System, energies: np.ndarray, acceptance: float) -> None:
    """An error where angles or fields never moved, or went where no float holds their energy (:func:`of_finite`): such draws are none."""
    finite = bool(np.all(np.isfinite(energies)))
    if acceptance > 0 and finite:
        return
    found = "no proposal was accepted" if finite else "energies beyond any float were met"
    raise HamlearnError(
        f"sampling {system!r} failed: {found}, so these would be no draws. Its parameters are too large for floating-point numbers, or "
        "of very different sizes; choose units in which they are of order one, or another start= or sampler=."
    )


def _description(system: System) -> dict[str, Any]:
    """What the data say of their system; one that cannot be written down (a potential without a name) simulates too."""
    try:
        return system.to_dict()
    except HamlearnError as error:
        return {"kind": "not saved", "system": repr(system), "why": str(error)}


def _drawn(
    request: Request, sampler: Any, why: str, checkpoint: Checkpoint | None, progress: bool | None, sink: loop.Sink | None = None
) -> tuple[loop.Progress, dict[str, Any]]:
    """The finished run, with "states" ``(draw, beta, chain, n)`` of the temperatures asked for unless a sink has them, and attributes."""
    system, independent = request.system, declared(sampler).independent
    starting, stepping = np.random.SeedSequence(int(request.seed)).spawn(2)
    if independent:
        rungs, values, stepping = (
            request.betas,
            np.zeros((len(request.betas), request.chains, 0)),
            np.random.SeedSequence(int(request.seed)),
        )
        engine: loop.Engine = IndependentEngine(sampler, system, rungs, request.chains)
    else:
        rungs, values = _ladder(request, sampler, starting)
        engine = sampler.engine(system, rungs, request.chains, 3 * (loop.FIRST_STEPS if request.burn_in is None else request.burn_in) // 4)
    lead, kept = (len(rungs), request.chains), np.array([int(np.flatnonzero(rungs == beta)[0]) for beta in request.betas])
    if int(np.prod(engine.lead)) != int(np.prod(lead)):
        raise HamlearnError(f"the engine of sampler {sampler.name!r} steps chains {engine.lead}; asked for were {lead} (beta, chain).")

    def observe(states: np.ndarray) -> dict[str, np.ndarray]:
        rows = np.ascontiguousarray(states.reshape(len(states), *lead, -1)[:, kept])
        told = not independent or system.space.continuous
        return {"states": rows} | ({"series": series(system, rows)} if told else {})

    def measure(states: np.ndarray) -> np.ndarray:
        found = observe(states)["series"]
        return np.concatenate([found[..., :1], np.abs(found[..., 1:])], -1)

    plan = loop.Plan(request.draws, 1, 0) if independent else loop.Plan(request.draws, request.thin, request.burn_in, measure)
    plan = replace(plan, observe=observe, sink=sink)
    start = values.reshape(*engine.lead, -1)
    done = loop.run(engine, start, stepping, plan, label=f"sampling {system!r}", progress=progress, checkpoint=checkpoint)
    if system.space.continuous:
        refuse_stuck(system, np.concatenate(done.kept["series"])[..., 0], float(done.means().get("acceptance", np.nan)))
    attrs = {"sampler": sampler.name, "sampler_choice": "; ".join(filter(None, [why, declared(sampler).remark(system)]))}
    return done, attrs | {"seed": int(request.seed)} | _report(request, sampler, done, rungs) | _quality(request, done, independent)


def _report(request: Request, sampler: Any, done: loop.Progress, rungs: np.ndarray) -> dict[str, Any]:
    """What the loop, the sampler and the system say of a run."""
    means, told = done.means(), settings(sampler)
    report: dict[str, Any] = {"burn_in": done.burn_in, "sweeps_per_draw": 0 if declared(sampler).independent else done.thin}
    report["acceptance"] = float(means.get("acceptance", np.nan))
    if "exchanged" in means:
        swaps = means["exchanged"] / np.maximum(means["offered"], 1e-12)
        report["ladder"] = json.dumps(rungs.tolist())
        report["swap_acceptance"] = json.dumps(swaps.round(4).tolist())
        report["round_trips"] = round(float(done.info["round_trips"]) * request.chains)
    report |= {"sampler_settings": json.dumps(told, default=repr)} if told else {}
    return report | {"system": json.dumps(_description(request.system)), **_spacing(request.system)}


def _ladder(request: Request, sampler: Any, seed: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """The temperatures that are simulated, and values ``(beta, chain, n)`` that the chains at each start from."""
    betas = request.betas
    rungs = declared(sampler).temperatures(request.system, betas)
    same = len(betas) == len(rungs)
    values = request.starts(len(rungs) if same or isinstance(request.start, str) else 1, seed)
    if same and not np.array_equal(betas, rungs):
        values = values[np.argsort(betas, kind="stable")]  # starts come in the order of beta, rungs go from hot to cold
    return rungs, np.broadcast_to(values, (len(rungs), *values.shape[1:]))


def _quality(request: Request, done: loop.Progress, independent: bool) -> dict[str, Any]:
    """τ and effective sample size of a run, from the series of its energies and order parameters."""
    count = float(request.chains * request.draws)
    if independent:
        return {"tau_int": 1.0, "tau_int_m": 1.0, "ess": count, "independent": 1}
    found = np.moveaxis(np.concatenate(done.kept["series"]), 0, 2)  # (beta, chain, draw, 1 + k)
    of_energy = [float(statistics.integrated_autocorrelation_time(one)) for one in found[..., 0]]
    of_order = [np.max(statistics.integrated_autocorrelation_time(one)) for one in found[..., 1:]]
    attrs: dict[str, Any] = {"tau_int": float(np.max(of_energy)), "tau_int_m": float(np.max(of_order)), "independent": 0}
    attrs["ess"] = count / attrs["tau_int"]
    if request.several:
        attrs["tau_int_by_beta"] = json.dumps(np.round(of_energy, 4).tolist())
    return attrs
