"""Score tests: whether the fitted model lacks something that has a name.

All data are used, nothing is refitted and nothing is simulated; see :mod:`hamlearn.diagnostics.scores.sums` for how.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hamlearn.diagnostics import predictive_test
from hamlearn.diagnostics.predictive_test import MORE_DATA, LeftOut
from hamlearn.diagnostics.scores import blocks, listed, named, sums, triples
from hamlearn.diagnostics.scores.conditionals import EnergyConditionals, PairConditionals
from hamlearn.diagnostics.scores.terms import Terms
from hamlearn.errors import HamlearnError
from hamlearn.infer.likelihoods import ExactLikelihood, OneHotLikelihood, composite
from hamlearn.infer.observations import Observations
from hamlearn.infer.optimum import maximise
from hamlearn.models import BoundCouplings
from hamlearn.systems.base import System

MOST_WORK = 1e8  # values of test functions that are computed: about two seconds
MOST_PARAMETERS = 2500  # of a family that score tests are made of
MOST_CROWDED = 1.5  # beyond which sound data fail them: a shift of some 0.8 standard deviations is within their false-alarm level
_CONSERVED = "score tests need conditionals of single sites, which say nothing where the sum of all spins is fixed"
_SEEN_ELSE = "The comparison with held-out data sees what it can."
_ISOLATED = 0.3  # of the usual strength of a site's couplings that a site without any must be below, three errors included


@dataclass(eq=False)
class Tests:
    """What the score tests found.

    Attributes
    ----------
    rows : list of Row
        One a test.
    blocks : int
        Independent blocks at the temperature that has the fewest.
    every : int
        One row in so many was used.
    isolated : list of int
        Sites that the graph connects and the data do not.
    slow : list of str
        Tests that were left out: what they look at changes too seldom in these chains.
    nothing : LeftOut or None
        Why nothing was tested.
    """

    rows: list[predictive_test.Row] = field(default_factory=list)
    blocks: int = 0
    every: int = 1
    isolated: list[int] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    nothing: LeftOut | None = None

    @property
    def left_out(self) -> list[LeftOut]:
        """What was not tested and why."""
        slow = f"what changes too seldom in these chains ({', '.join(self.slow)})"
        return ([self.nothing] if self.nothing else []) + ([LeftOut(slow, "Longer chains allow it.")] if self.slow else [])


def pairs(
    bound: BoundCouplings, parts: Sequence[Observations], taus: Sequence[float], seed: int = 0, start: np.ndarray | None = None
) -> Tests:
    """Score tests of a family of discrete pair couplings.

    Parameters
    ----------
    bound : BoundCouplings
        The family on the sites of the data.
    parts : sequence of Observations
        The data, one entry a temperature.
    taus : sequence of float
        Autocorrelation time of each in draws.
    seed : int
        Of the assignment of independent rows to blocks, and of the resampling.
    start : array (n_params,), optional
        Where the climb to the optimum begins.

    Returns
    -------
    Tests
        The rows carry what was found in units of the model: a coupling of plaquettes, a share of misread values.
    """
    if bound.space.constraint:
        return Tests(nothing=LeftOut(_CONSERVED, _SEEN_ELSE))
    if bound.n_params > MOST_PARAMETERS:
        what = f"score tests with {bound.n_params} parameters take too long (more than {MOST_PARAMETERS})"
        return Tests(nothing=LeftOut(what, "Tie parameters, or take fewer bonds."))
    worth = sum(float(part.weight.sum()) / max(tau, 1.0) for part, tau in zip(parts, taus, strict=True))
    if crowding(bound.n_params, worth, bound.lattice.n_sites) > MOST_CROWDED:
        what = f"{bound.n_params} fitted parameters move score tests by more than their noise where rows are so few"
        return Tests(nothing=LeftOut(what, "Give more rows, tie parameters, or take fewer bonds."))
    rng = np.random.default_rng(seed)
    found, totals, tests = named.directions(bound)
    q = bound.space.q
    work = q * (sum(one.sites.size for one in found) + 3 * triples.CANDIDATES + bound.lattice.n_sites * 8)
    most = int(max(MOST_WORK / work / len(parts), 500))
    taken = [blocks.gathered(part, tau, most, len(parts), rng) for part, tau in zip(parts, taus, strict=True)]
    data = [rows for rows, _ in taken]
    result = _begun(taken)
    if result.nothing:
        return result
    used = [_part(rows, part) for rows, part in zip(data, parts, strict=True)]
    try:
        likelihood = composite(bound, used, "pseudo")
    except HamlearnError as error:
        sparser = "Use a sparser graph, tie the couplings to fewer kinds, or thin the data."
        result.nothing = LeftOut(f"score tests need single-site conditionals ({str(error).split(';')[0]})", sparser)
        return result
    if isinstance(likelihood, OneHotLikelihood):
        result.nothing = LeftOut("score tests are not made of so many tables of q states", "Tie parameters, or take fewer bonds.")
        return result
    best = maximise(likelihood, start=start)
    if not best.converged:
        what = "score tests need a finite maximum of the likelihood; here only the prior holds some parameters"
        result.nothing = LeftOut(what, MORE_DATA)
        return result
    model = PairConditionals(bound, best.theta)
    found, totals, tests = _with_triples(found, totals, tests, triples.candidates(model, data, bound.lattice, q), bound)
    collected = [sums.collect(model, rows, found, totals, q) for rows in data]
    result.isolated = isolated(bound, best.theta, collected)
    exactly = listed.Listed(bound) if listed.applies(bound) else None
    if exactly is not None:
        likelihood_exact = ExactLikelihood(bound, used)
        point = maximise(likelihood_exact, start=best.theta)
        if not point.converged:
            exactly = None
    still = all(tau <= 1 and not part.weighted for tau, part in zip(taus, parts, strict=True))
    apart = collected
    theta = best.theta
    if exactly is not None:
        theta = point.theta
        apart = [exactly.collect(theta, rows) for rows in data]
        one = next(test for test in tests if test.name == "energy dispersion")
        tests.remove(one)
        _judged([replace(one, columns=np.array([0]))], sums.residuals(apart), parts, rng, result, known=still)
    contributions = sums.expected_contributions(model, data, found, totals, q, collected)
    _judged(tests, sums.residuals(collected, contributions), parts, rng, result)
    if len(parts) > 1:
        known = still and exactly is not None
        _judged(_temperatures(parts, bound.n_params), sums.apart(apart, theta), parts, rng, result, known=known)
    if exactly is not None and all(part.independent for part in parts):
        result.rows += _whole(exactly, theta, data)
    return result


def _with_triples(
    found: list[Terms], totals: np.ndarray, tests: list[named.Named], chosen: triples.Candidates | None, bound: BoundCouplings
) -> tuple[list[Terms], np.ndarray, list[named.Named]]:
    """Terms, totals and tests with those of three sites that were chosen from the data: their columns come after all other terms'."""
    if chosen is None:
        return found, totals, tests
    before, more = totals.shape[1], len(chosen.terms)
    moved = [replace(one, columns=np.where(one.columns < before, one.columns, one.columns + more)) for one in tests]
    places = tuple(f"sites {', '.join(map(bound.lattice.word, one))}" for one in chosen.terms.sites.tolist())
    test = named.Named(
        f"{chosen.terms.name}, the strongest", np.arange(before, before + more), "chosen", "K" if bound.space.q == 2 else "", places,
        among=chosen.among, degrees=chosen.degrees,
    )  # fmt: skip
    return [*found, chosen.terms], np.pad(totals, ((0, 0), (0, more))), [*moved, test]


def crowding(parameters: int, rows: float, sites: int) -> float:
    """How far the errors of fitted parameters move the sums of score tests, in their standard deviations, about twice.

    Projecting fitted directions out is right to first order. To second order every conditional follows its own data: the sum over
    rows moves by about one number for every fitted parameter of every site, and scatters by the root of rows times sites. (All pairs
    of 6×6 spins, 400 rows: 10.8, and energies of sound data scatter 6 standard deviations too little.)

    Examples
    --------
    >>> round(crowding(parameters=648, rows=400, sites=36), 1)
    10.8
    """
    return 2 * parameters / float(np.sqrt(max(rows, 1.0) * sites))


def _whole(exactly: listed.Listed, theta: np.ndarray, data: Sequence[sums.Rows]) -> Iterator[predictive_test.Row]:
    """How often whole microstates occur, where enough of them do."""
    for rows in data:
        found = exactly.whole(theta, rows)
        if found is not None:
            value, degrees, p = found
            label = f" at beta = {rows.beta:.4g}" if len(data) > 1 else ""
            spread = float(np.sqrt(2 * degrees))
            yield predictive_test.Row(f"whole microstates{label}", value, degrees, spread, (value - degrees) / spread, p, True)


def _begun(taken: list[tuple[blocks.Rows, int]]) -> Tests:
    """No test yet: how many blocks there are, and a reason where these are too few."""
    result = Tests(blocks=min(rows.blocks for rows, _ in taken), every=max(every for _, every in taken))
    if result.blocks < blocks.MIN_BLOCKS:
        single = all(rows.blocks == len(rows.index) for rows, _ in taken)
        of = "microstates" if single else f"blocks of {blocks.BLOCK_TIMES:g} autocorrelation times"
        what = f"the data hold {result.blocks} {of}; {blocks.MIN_BLOCKS} are needed"
        result.nothing = LeftOut(what, "Give more microstates." if single else "Give longer chains, or more of them.")
    return result


def energies(systems: Sequence[System], parts: Sequence[Observations], tau: float, seed: int = 0) -> Tests:
    """Score tests of any discrete system, from energies alone.

    Parameters
    ----------
    systems : sequence of System
        Members of the posterior; their mean energy is tested.
    parts : sequence of Observations
        The data, one entry a temperature.
    tau : float
        Autocorrelation time in draws.
    seed : int
        Of the assignment of independent rows to blocks, and of the resampling.

    Returns
    -------
    Tests
        Only the scale of the energies is projected out: where more was fitted the tests are conservative.
    """
    if systems[0].space.constraint:
        return Tests(nothing=LeftOut(_CONSERVED, _SEEN_ELSE))
    rng = np.random.default_rng(seed)
    model = EnergyConditionals(systems)
    n_sites, q = parts[0].states.shape[2], systems[0].space.q
    most = int(max(MOST_WORK / (n_sites**2 * q * len(systems)) / len(parts), 1000))
    taken = [blocks.gathered(part, tau, most, len(parts), rng) for part in parts]
    data = [rows for rows, _ in taken]
    result = _begun(taken)
    if result.nothing:
        return result
    found, totals, tests = named.generic(tuple(systems[0].lattice.shape), q)
    collected = [sums.collect(model, rows, found, totals, q) for rows in data]
    contributions = sums.expected_contributions(model, data, found, totals, q, collected)
    _judged(tests, sums.residuals(collected, contributions), parts, rng, result)
    if len(parts) > 1:
        _judged(_temperatures(parts, 1)[:1], sums.apart(collected, model.theta), parts, rng, result)
    return result


def _judged(
    tests: Sequence[named.Named],
    found: sums.Sums,
    parts: Sequence[Observations],
    rng: np.random.Generator,
    result: Tests,
    *,
    known: bool = False,
) -> None:
    """Add the rows of some tests; of one Markov chain data set every test has blocks that are long enough for itself."""
    chain = len(parts) == 1 and not parts[0].independent and not parts[0].weighted and np.all(parts[0].weight == 1)
    if not chain:
        result.rows += named.judge(tests, found, rng, known=known)
        return
    for test in tests:
        own = found.only(test.columns)
        joined = blocks.merged(own.blocks, parts[0].states.shape[0])
        if joined is None:
            result.slow.append(test.name)
            continue
        same = len(joined) == len(own.blocks)
        here = replace(test, columns=np.arange(len(test.columns)))
        result.rows += named.judge([here], replace(own, blocks=joined), rng, known=known and same)


def _temperatures(parts: Sequence[Observations], n_params: int) -> list[named.Named]:
    count = len(parts)
    labels = tuple(f"{part.beta:.4g}" for part in parts)
    tests = [named.Named("temperature labels, the strongest", np.arange(count), "strongest", "beta factor", labels)]
    columns = count + np.arange((count - 1) * n_params)
    if len(columns) <= 512:
        tests.append(named.Named("couplings of each temperature by themselves", columns, "all"))
    return tests


def _part(rows: sums.Rows, part: Observations) -> Observations:
    """The rows that are used, as a likelihood reads them."""
    return replace(part, states=rows.index[None], weight=rows.weight[None])


def isolated(bound: BoundCouplings, theta: np.ndarray, collected: Sequence[sums.Collected]) -> list[int]:
    """Sites whose couplings are all compatible with zero, and small compared with those of the others.

    Only where every bond has its own strength and the graph was given: it then says that these sites interact.
    """
    if bound.model.tie != "bond" or bound.model.graph is None or bound.n_tables != 1:
        return []
    H, scores = sum(one.H for one in collected), np.concatenate([one.scores for one in collected])
    moved = sums.solve(np.asarray(H), scores.T).T
    variance = (moved**2).sum(0)[: bound.lattice.n_bonds]
    strength = np.zeros(bound.lattice.n_sites)
    error, chance = np.zeros_like(strength), np.zeros_like(strength)
    for end in bound.lattice.bonds.T:
        np.add.at(strength, end, theta[: len(variance)] ** 2)
        np.add.at(error, end, variance)
        np.add.at(chance, end, theta[: len(variance)] ** 2 / np.maximum(variance, 1e-300))
    degree = np.maximum(bound.lattice.degree, 1)
    usual = np.median(np.sqrt(strength / degree))
    weak = np.sqrt(strength / degree) + 3 * np.sqrt(error / degree) < _ISOLATED * usual
    alone = (bound.lattice.degree > 1) & weak & (chance < degree + 4 * np.sqrt(2 * degree))
    return np.flatnonzero(alone).tolist() if 0 < alone.sum() <= 0.2 * len(alone) else []
