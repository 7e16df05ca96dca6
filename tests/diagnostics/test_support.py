"""Support of local operators: shares of windows beside plain loops over sets, and what lies inside and outside."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.errors import HamlearnError

ISING = hl.systems.Ising((6, 6))


def drawn(system, beta, seed, draws=40, chains=8):
    return hl.simulate(system, beta, draws=draws, chains=chains, seed=seed, thin=3, progress=False)


@pytest.mark.parametrize("periodic", [True, False])
def test_shares_are_those_of_sets_of_windows(periodic):
    rng, sizes = np.random.default_rng(0), ((4, 5), (6, 4))
    sets = [rng.choice([-1, 1], size=(3, 6, *size), p=(0.8, 0.2)) for size in sizes]
    dims = ("chain", "draw", "x0", "x1")
    training, other = (hl.microstates(one, space="spins", beta=0.5, periodic=periodic, dims=dims) for one in sets)

    def windows(states):
        for state in states.reshape(-1, *states.shape[2:]):
            first, second = state.shape
            for x, y in itertools.product(range(first), range(second)):
                if periodic or (x + 1 < first and y + 2 < second):
                    yield tuple(int(state[(x + a) % first, (y + b) % second]) for a in range(2) for b in range(3))

    seen = set(windows(sets[0][:, :3]))
    share = lambda states: np.mean([one not in seen for one in windows(states)])
    found = hl.diagnostics.support(training, other, window=(2, 3))
    assert found["held_out"].item() == pytest.approx(share(sets[0][:, 3:])) and share(sets[1]) > 0
    assert found["unseen"].item() == pytest.approx(share(sets[1])) and found.attrs["window"] == "2×3"


def test_what_is_like_the_training_data_or_more_ordered_is_inside_at_any_size_and_what_is_hotter_is_not():
    large, training = hl.systems.Ising((12, 12)), drawn(ISING, 0.4, 0)
    found = hl.diagnostics.support(training, drawn(large, [0.15, 0.4, 0.7], 1, draws=20), window=4)
    assert found["outside"].values.tolist() == [1, 0, 0] and found["unseen"][0] > 3 * found["held_out"][0]
    assert "β = 0.15 a local operator is extrapolated" in found.attrs["summary"]


def test_a_posterior_is_looked_at_where_it_will_be_used():
    model = hl.models.Couplings(ISING.lattice, tie="uniform", fields=None)
    training = drawn(ISING, 0.4, 0)
    post = hl.learn(training, model, engine="laplace", check=False, seed=0)
    found = hl.diagnostics.support(training, post, window=4, beta=[0.15, 0.4], shape=(10, 10))
    assert found["outside"].values.tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["angles", "reals", "vectors"])
def test_continuous_values_are_judged_by_nearest_neighbours(kind):
    system, here, there = {
        "angles": (hl.systems.XY((6, 6)), 0.5, 2.5),
        "reals": (hl.systems.ScalarField((6, 6), m2=1.0, lam=0.0), 1.0, 0.2),  # hotter: larger fields
        "vectors": (hl.systems.Heisenberg((6, 6)), 3.0, 0.3),
    }[kind]
    found = hl.diagnostics.support(drawn(system, here, 0), drawn(system, [here, there], 1), window=2)
    order = np.argsort(np.abs(found["beta"].values - here))
    assert found["held_out"][0] == pytest.approx(0.01, abs=0.003)
    inside, outside = found["unseen"].values[order]
    assert inside < 0.03 and (kind == "angles" or outside > 5 * inside), found  # hot angles hold all that cold ones do


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda data: hl.diagnostics.support(data, data, window=7), "does not fit"),
        (lambda data: hl.diagnostics.support(data, data, window=(2, 2, 2)), "does not fit"),
        (lambda data: hl.diagnostics.support(data, data, beta=0.3), "are for a posterior"),
        (lambda data: hl.diagnostics.support(data, drawn(hl.systems.Ising((6,)), 0.3, 0)), "as many axes"),
        (lambda data: hl.diagnostics.support(data, drawn(hl.systems.Potts((6, 6), 3), 0.3, 0)), "one space"),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(HamlearnError, match=told):
        call(drawn(ISING, 0.3, 0, draws=6, chains=2))
