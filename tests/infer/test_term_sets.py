"""Sets of terms of nearly frozen data, compared one by one: against sums over all sets, flips tried out, and simulated truths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize

import hamlearn as hl
from hamlearn.infer.families import cluster_expansion, term_sets, terms
from hamlearn.infer.likelihoods.terms import TermLikelihood
from hamlearn.infer.observations import Observations
from hamlearn.infer.settings import Gibbs
from hamlearn.models import ClusterExpansion
from hamlearn.systems import SPINS
from statistics_budget import assert_within


def frozen(rows, flips, shape=(4, 4), seed=0):
    """Rows all up or all down, of which some have one spin turned, and some two neighbours."""
    generator, n = np.random.default_rng(seed), int(np.prod(shape))
    states = np.repeat(generator.integers(2, size=(rows, 1)), n, axis=1).astype(np.int8)
    for row, displacement in enumerate([None] * flips[0] + [1] * flips[1] + [shape[1] + 1] * flips[2]):
        site = int(generator.integers(n - shape[1] - 1))
        for one in (site,) if displacement is None else (site, site + displacement):
            states[row, one] = 1 - states[row, one]
    return Observations(states[None], np.ones((1, rows)), False, 1.0, True)


def evidence(bound, part, chosen, members, slab, factor):
    """Laplace evidence of a set of terms: its own energies, optimiser and differences."""
    spins = 2 * part.states[0].astype(int) - 1
    theta = np.zeros(bound.n_params)

    def loss(strengths):
        theta[chosen[members]] = strengths
        system, total = bound.system(theta), 0.0
        before = system.energy(spins.reshape(-1, *bound.shape))
        for site in range(bound.n_sites):
            turned = spins.copy()
            turned[:, site] *= -1
            total += np.logaddexp(0.0, before - system.energy(turned.reshape(-1, *bound.shape))).sum()
        return total / factor + 0.5 * (strengths**2).sum() / slab**2

    odds = bound.log_odds[chosen[members]].sum()
    if not len(members):
        return -loss(np.zeros(0))
    found = scipy.optimize.minimize(loss, np.full(len(members), 0.3), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
    step, size = 1e-3, len(members)
    hessian = np.empty((size, size))
    for i, j in itertools.product(range(size), repeat=2):
        corners = [(a, b, a * b * loss(found.x + step * (a * np.eye(size)[i] + b * np.eye(size)[j]))) for a in (1, -1) for b in (1, -1)]
        hessian[i, j] = sum(value for *_, value in corners) / (4 * step**2)
    return -found.fun + odds - 0.5 * np.linalg.slogdet(hessian)[1] - size * np.log(slab)


def test_sets_are_drawn_as_often_as_their_evidence_says(monkeypatch):
    """All sets of up to three of four terms by brute force, without what rows say against free flips."""
    monkeypatch.setattr(term_sets._Sets, "against", lambda self, flip: 0.0)
    monkeypatch.setattr(term_sets, "_WINDOW", 40.0)
    part = frozen(60, (14, 2, 2))
    bound = ClusterExpansion(window=2).bind(SPINS, (4, 4))
    chosen = np.array([0, 1, 2, 3])
    likelihood = TermLikelihood(bound, [part], chosen, np.arange(16), compress=True)
    refined = terms.TermDraws(
        np.zeros((1, 1, 4)), np.zeros((1, 1, 4)), None, terms.surrogate(likelihood, np.zeros(4), calibrated=False)[0].basis, 0
    )
    draws, count = term_sets.sample(likelihood, bound.log_odds[chosen], 1.0, Gibbs(draws=4000, chains=2), np.array([1]), refined, seed=0)
    assert count == 16
    sets = [np.array(members, int) for size in range(4) for members in itertools.combinations(range(4), size)]
    log = np.array([evidence(bound, part, chosen, members, 1.0, 1.0) for members in sets])
    weight = np.exp(log - log.max())
    codes = (draws.included.reshape(-1, 4) @ (1 << np.arange(4))).astype(int)
    triples = codes != 15
    expected = weight / weight.sum()
    found = np.array([(codes[triples] == (1 << members).sum()).mean() for members in sets])
    assert np.sum(expected > 0.01) >= 4
    error = np.sqrt(np.maximum(expected * (1 - expected), 1e-4) / triples.sum()) + 0.01  # of Nelder-Mead and second differences
    assert_within(found, expected, error, "probabilities of sets")


@pytest.mark.parametrize("names", [["σ(0)σ(1)"], ["σ(0)σ(2)"], ["σ(0)σ(1)σ(2)"], ["σ(0)σ(1)σ(2)", "σ(0)σ(2)"], ["σ(0)", "σ(0)σ(2)"]])
def test_free_flips_are_all_that_change_no_energy(names):
    """Of all flips of a ring of nine sites, or of eight, tried out."""
    n = 8 if names == ["σ(0)σ(2)"] else 9
    bound = ClusterExpansion(window=3).bind(SPINS, (n,))
    members = np.array([bound.parameter_names.index(name) for name in names])
    likelihood = TermLikelihood(bound, [frozen(10, (0, 0, 0), (n, 1))], members, np.arange(n), compress=False)
    flips = term_sets.free_flips(likelihood, np.arange(len(members)))
    theta = np.zeros(bound.n_params)
    theta[members] = np.linspace(0.5, 0.9, len(members))
    system, rows = bound.system(theta), np.random.default_rng(0).choice([-1, 1], size=(40, n))
    every = np.array(list(itertools.product((False, True), repeat=n)))
    free = [flip for flip in every if np.allclose(system.energy(rows * np.where(flip, -1, 1)), system.energy(rows))]
    basis = np.array([*flips, np.full(n, any(flip.all() for flip in free))]).astype(int)
    span = {(np.array(pick) @ basis % 2).astype(bool).tobytes() for pick in itertools.product((0, 1), repeat=len(basis))}
    assert span == {flip.tobytes() for flip in free}


def test_rows_speak_against_a_set_that_lets_half_the_lattice_turn():
    """Without a bond between even and odd rows they are parallel in half of all microstates: log 2 of every row that they are in all."""
    bound = ClusterExpansion(window=3).bind(SPINS, (6, 6))
    likelihood = TermLikelihood(bound, [frozen(200, (20, 0, 0), (6, 6))], np.array([1]), np.arange(36), compress=True)
    sets = term_sets._Sets(likelihood, bound.log_odds[[1]], 1.0, 150.0)
    even = np.repeat(np.arange(6) % 2 == 0, 6)
    assert sets.against(even) == pytest.approx(150 * np.log(2))
    mixed = frozen(200, (0, 0, 0), (6, 6))
    mixed.states[0, ::2, even] = 1 - mixed.states[0, ::2, even]
    likelihood = TermLikelihood(bound, [mixed], np.array([1]), np.arange(36), compress=True)
    assert term_sets._Sets(likelihood, bound.log_odds[[1]], 1.0, 150.0).against(even) == pytest.approx(0.0, abs=1e-9)


def test_a_direction_that_no_row_informs_has_no_narrow_interval():
    """A scatter of zero by chance made a precision without bound (0.01 for a standard error of 0.06)."""
    part = frozen(4000, (40, 3, 0))
    bound = ClusterExpansion(window=2).bind(SPINS, (4, 4))
    likelihood = TermLikelihood(bound, [part], np.arange(5), np.arange(16), compress=True)
    theta, precision = terms.newton(likelihood, np.array([1, 2]), 1.0, np.zeros(5))
    normal, informed = terms.surrogate(likelihood, theta, calibrated=True)
    assert informed < cluster_expansion._FEW_ROWS
    narrow = np.sqrt(np.diag(np.linalg.inv(precision)))
    assert np.all(np.sqrt(np.diag(np.linalg.inv(normal.precision[1:3, 1:3] + np.eye(2)))) > 0.8 * narrow)


def test_frozen_data_leave_open_which_neighbours_are_coupled():
    """Four turned neighbours of 10 000 rows: a surrogate around one set was sure of a wrong one; chains of it did not mix."""
    data = hl.simulate(hl.systems.Ising((8, 8)), beta=1.0, draws=200, chains=50, sampler="swendsen_wang", thin=5, seed=104, progress=False)
    post = hl.learn(data, ClusterExpansion(window=3), check=False, seed=0)
    probability = post["posterior"]["included"].mean(("chain", "draw"))
    bonds = probability.sel(term=["σ(0,0)σ(0,1)", "σ(0,0)σ(1,0)"]).values
    wrong = probability.sel(term="σ(0,0)σ(2,1)").item()
    assert bonds[1] > 0.99
    assert wrong < 0.3 < bonds[0] < 0.7
    assert "compared one by one" in post.attrs["provenance"]
