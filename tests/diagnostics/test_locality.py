"""Locality probe: ranges that are known, of systems and of a posterior, and bad input."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.diagnostics import locality

QUICK = hl.infer.Training(epochs=2, batch=128)


def chain(reach, size=12):
    """A ring whose spins see the one `reach` sites away, with strength ½, besides their neighbours."""
    steps = {1: 1.0, reach: 0.5}
    bonds = np.array([[i, (i + step) % size] for step in steps for i in range(size)])
    lattice = hl.systems.lattice.hypercubic((size,))
    graph = type(lattice)(lattice.shape, bonds, lattice.kind, True, lattice.positions, lattice.periods)
    return hl.systems.Pairwise(graph, np.repeat(list(steps.values()), size))


@pytest.mark.parametrize("reach", [2, 3])
def test_the_error_falls_at_the_range_and_is_what_is_cut_off(reach):
    """A tile of 2c + 1 sites holds pairs up to 2c apart; what is farther has the known variance Σ K² over random states."""
    system = chain(reach)
    found = locality(system, contexts=(0, 1, 2), engine=QUICK)
    cut = [np.sqrt(12 * 1.25), 0.0 if reach == 2 else np.sqrt(12 * 0.25), 0.0]
    np.testing.assert_allclose(found["error"].values, cut, rtol=0.15, atol=1e-3)
    np.testing.assert_allclose(found["relative_error"].values * found.attrs["energy_spread"], found["error"].values)


def test_states_of_three_values():
    found = locality(hl.systems.Clock((5,), q=3), contexts=(0, 1), engine=QUICK)
    assert found["relative_error"].sel(context=0).item() > 0.5
    assert found["relative_error"].sel(context=1).item() < 1e-3


def test_a_posterior_is_probed_by_the_mean_of_its_members():
    data = hl.simulate(hl.systems.Ising((4, 4)), beta=0.3, draws=500, chains=4, seed=0)
    model = hl.models.Couplings(hl.systems.lattice.hypercubic((4, 4)), tie="uniform", fields=None)
    post = hl.infer.learn(data, model, engine="laplace", seed=0)
    found = locality(post, data, contexts=(0, 1), engine=QUICK)
    assert found["relative_error"].sel(context=0).item() > 0.3
    assert found["relative_error"].sel(context=1).item() < 1e-3
    assert 0 < found.attrs["scatter"] < found.attrs["energy_spread"]


def test_bad_input():
    with pytest.raises(hl.HamlearnError, match="continuous"):
        locality(hl.systems.XY((4, 4)))
    with pytest.raises(hl.HamlearnError, match="at least 7"):
        locality(hl.systems.Ising((6,)), contexts=(3,))
