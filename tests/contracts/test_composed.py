"""What may come with data, two by two: missing cells, readout errors, groups, independent rows and counts. Each pair covers the truth.

A new thing that data may have is one line of `FEATURES`: how rows of true values become what is handed over.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chi2

import hamlearn as hl
from hamlearn.infer.posteriors import provenance_of
from hamlearn.systems import lattice
from statistics_budget import spend

CHAIN = lattice.hypercubic((4,), periodic=False)
ROWS, SETS, GROUPS = 400, 24, 4
POOLED = hl.infer.Pooled(draws=100, chains=2, exact=False)


def drawn(J, h, rng):
    """Rows of the chain, by their probabilities."""
    states = np.array(list(np.ndindex(2, 2, 2, 2))) * 2 - 1
    weight = np.exp(J * (states[:, 1:] * states[:, :-1]).sum(1) + h * states.sum(1))
    return states[rng.choice(16, ROWS, p=weight / weight.sum())]


def holed(rows, given, rng):
    gone = rng.random(rows.shape) < 0.15
    gone[gone.all(1)] = False
    return np.where(gone, np.nan, rows), given


def misread(rows, given, rng):
    return np.where(rng.random(rows.shape) < np.where(rows < 0, 0.03, 0.08), -rows, rows), given | {"flip": (0.03, 0.08)}


def counted(rows, given, rng):
    found, counts = np.unique(rows, axis=0, return_counts=True)
    return found, given | {"counts": counts}


FEATURES = {  # in the order in which they happen
    "groups": lambda rows, given, rng: (rows, given),
    "flip": misread,
    "missing": holed,
    "independent": lambda rows, given, rng: (rows, given | {"independent": True}),
    "counts": counted,
}


def made(pair, truth, rng):
    """Microstates of a truth with what the pair brings."""
    rows, given = drawn(*truth, rng), {}
    for name in FEATURES:
        if name in pair:
            rows, given = FEATURES[name](rows, given, rng)
    return hl.microstates(rows, beta=1.0, **given)


def distance(post, truth):
    """Squared, of the posterior's mean from the truth in its own metric: chi-square with two degrees of freedom."""
    draws = np.stack([post["posterior"][name].values[..., 0].ravel() for name in "Jh"])
    away = draws.mean(1) - truth
    return float(away @ np.linalg.solve(np.cov(draws), away))


@pytest.mark.parametrize("pair", list(itertools.combinations(FEATURES, 2)), ids=" and ".join)
def test_every_pair_covers(pair):
    model = hl.models.Couplings(CHAIN, tie="uniform", fields="uniform")
    rng, found = np.random.default_rng([7, *map(list(FEATURES).index, pair)]), []
    for seed in range(SETS if "groups" not in pair else 2):
        truth = rng.normal((0.4, 0.1), (0.1, 0.1), (GROUPS, 2))
        if "groups" in pair:
            sets = {str(number): made(pair, one, rng) for number, one in enumerate(truth)}
            post = hl.learn(sets, hl.models.Hierarchical(model), engine=POOLED, check=False, seed=seed)
            found += [distance(hl.infer.group(post, name), one) for name, one in zip(sets, truth, strict=True)]
        else:
            post = hl.learn(made(pair, truth[0], rng), model, engine="laplace", check=False, seed=seed)
            found.append(distance(post, truth[0]))
    record = provenance_of(post)
    assert ("missing" in pair, "flip" in pair) == (record.missing > 0, record.flip > 0)
    assert record.independent == bool({"independent", "counts"} & set(pair))
    assert 2 * min(chi2.cdf(sum(found), 2 * len(found)), chi2.sf(sum(found), 2 * len(found))) > spend()
