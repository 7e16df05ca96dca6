"""A posterior as a file and as Hamiltonians: members, their energies, and the round trip that loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import storage
from hamlearn.data import microstates
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, learn, posteriors
from hamlearn.infer.draw_systems import draw_systems, energy
from hamlearn.infer.settings import NUTS, Gibbs, LaplaceApproximation
from hamlearn.models import Couplings
from hamlearn.systems import Pairwise, QState, lattice

TORUS = lattice.hypercubic((3, 3))
SPINS = microstates(np.random.default_rng(0).choice([-1, 1], (2, 150, 3, 3)), beta=0.5, dims=("chain", "draw", "x", "y"))
STATES = microstates(np.random.default_rng(0).integers(0, 3, (300, 3, 3)), "states", 0.5)
FLAT = microstates(np.random.default_rng(0).choice([-1, 1], (200, 5)))
FEW = LaplaceApproximation(draws=25, chains=2)

# A new family or engine adds one line; every promise about a posterior below runs over it.
POSTERIORS = {
    "bonds": lambda: learn(SPINS, Couplings(TORUS), "pseudo", FEW),
    "tied": lambda: learn(SPINS, Couplings(TORUS, "uniform", "uniform"), "exact", FEW),
    "tied, no field": lambda: learn(
        [SPINS, SPINS.isel(draw=slice(None, None, -1)).assign_coords(beta=0.7)], Couplings(TORUS, "uniform", None), "pseudo", FEW
    ),
    "by distance": lambda: learn(SPINS, Couplings(TORUS.pairs_within(1.5), "distance", None), "pseudo", FEW),
    "all pairs, sparse": lambda: learn(FLAT, Couplings(None, prior="spike_slab"), "exact", Gibbs(draws=25, chains=2, warmup=20)),
    "bond list": lambda: learn(FLAT, Couplings([[0, 2], [2, 1]]), "pseudo", FEW),
    "nuts": lambda: learn(FLAT, Couplings(None, "uniform", None), "exact", NUTS(draws=25, chains=2, warmup=20)),
    "clock": lambda: learn(STATES, Couplings(TORUS, interaction="clock"), "pseudo", FEW),
    "potts, tied": lambda: learn(STATES, Couplings(TORUS, "uniform", "uniform", interaction="potts"), "pseudo", FEW),
    "general": lambda: learn(STATES, Couplings(TORUS), "pseudo", FEW),
}
_made = {}


def posterior(name):
    if name not in _made:
        _made[name] = POSTERIORS[name]()
    return _made[name].copy(deep=True)


every_posterior = pytest.mark.parametrize("name", POSTERIORS)


def random_states(bound, *lead):
    return bound.space.from_index(np.random.default_rng(1).integers(0, bound.space.q, (*lead, *bound.lattice.shape)))


def plain_energy(bound, J, h, state):
    """From the numbers in the posterior, one bond at a time."""
    state = np.ravel(state)
    total = 0.0
    for b, (i, j) in enumerate(bound.lattice.bonds):
        a, c = int(state[i]), int(state[j])
        if bound.interaction == "general":
            total -= J[b, a, c]
        else:
            total -= (
                J[b] * {"ising": a * c, "clock": np.cos(2 * np.pi * (a - c) / bound.space.q), "potts": float(a == c)}[bound.interaction]
            )
    if h is not None:
        for i, a in enumerate(state):
            total -= h[i] * a if bound.interaction == "ising" else h[i, int(a)]
    return total


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_microstates_saved_and_read_are_the_same(tmp_path, ending):
    assert hl.microstates(hl.save(SPINS, tmp_path / f"data{ending}")).identical(SPINS)


@every_posterior
@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_saved_and_loaded_it_is_the_same(tmp_path, name, ending):
    post = posterior(name)
    back = posteriors.load(posteriors.save(post, tmp_path / f"post{ending}"))
    assert back.identical(post) or (back.equals(post) and dict(back.attrs) == dict(post.attrs))
    for path in ("posterior", "point", "observed_data"):
        assert back[path].dims == post[path].dims and set(back[path].coords) == set(post[path].coords)
    np.testing.assert_array_equal(posteriors.theta_draws(back), posteriors.theta_draws(post))
    assert posteriors.provenance_of(back) == posteriors.provenance_of(post)
    ours, theirs = draw_systems(post, 3, seed=2), draw_systems(back, 3, seed=2)
    states = random_states(posteriors.bound_of(post), 4)
    for left, right in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(left.energy(states), right.energy(states))
    np.testing.assert_array_equal(energy(back, states, draws=5), energy(post, states, draws=5))
    again = posteriors.load(posteriors.save(back, tmp_path / f"again{ending}"))
    assert again.equals(post)


@every_posterior
def test_members_are_draws_of_the_posterior(name):
    post = posterior(name)
    bound, group = posteriors.bound_of(post), post["posterior"]
    systems = draw_systems(post, 12, seed=1)
    assert len(systems) == 12
    assert all(isinstance(system, Pairwise if bound.space.name == "spins" else QState) for system in systems)
    assert all(np.array_equal(system.lattice.bonds, bound.lattice.bonds) for system in systems)
    both = lambda J, h: np.concatenate([np.ravel(J), np.ravel(h) if "h" in group else []])
    flat = [group[key].values.reshape(50, -1) for key in ("J", "h") if key in group]
    drawn = {tuple(np.round(row, 9)) for row in np.concatenate(flat, 1)}
    found = [tuple(np.round(both(system.J, system.h), 9)) for system in systems]
    assert set(found) <= drawn
    if len(drawn) == 50:
        assert len(set(found)) == 12, "without replacement where there are enough"
    again, other = ([tuple(np.round(both(system.J, system.h), 9)) for system in draw_systems(post, 12, seed=seed)] for seed in (1, 2))
    assert again == found != other
    assert len(draw_systems(post, 60)) == 60


@every_posterior
def test_energies_of_members_are_the_double_loop(name):
    post = posterior(name)
    bound, group = posteriors.bound_of(post), post["posterior"]
    states = random_states(bound, 2, 3)
    found = energy(post, states, draws=50)
    assert found.dims[0] == "member" and found.shape == (50, 2, 3)
    J = group["J"].values.reshape(50, *group["J"].shape[2:])
    h = group["h"].values.reshape(50, *group["h"].shape[2:]) if "h" in group else [None] * 50
    expected = np.array([[[plain_energy(bound, J[m], h[m], states[a, b]) for b in range(3)] for a in range(2)] for m in range(50)])
    # All 50 draws, each once, in some order.
    np.testing.assert_allclose(np.sort(found.values[:, 0, 0]), np.sort(expected[:, 0, 0]), atol=1e-10)
    np.testing.assert_allclose(found.mean("member"), expected.mean(0), atol=1e-10)
    np.testing.assert_array_equal(energy(post, states.reshape(2, 3, -1), draws=50), found)


def test_dims_of_energies():
    post = posterior("bonds")
    one = energy(post, SPINS["state"].values[0, 0], draws=7)
    assert one.dims == ("member",) and one.shape == (7,)
    whole = energy(post, SPINS, draws=7)
    assert whole.dims == ("member", "chain", "draw") and whole.shape == (7, 2, 150)
    np.testing.assert_allclose(whole[:, 0, 0], one)
    hot = microstates(np.random.default_rng(1).choice([-1, 1], (2, 4, 3, 3)), beta=[0.5, 1.0], dims=("beta", "draw", "x", "y"))
    assert energy(post, hot, draws=2).dims == ("member", "beta", "chain", "draw")
    assert energy(post, SPINS["state"].values[0, :5].tolist(), draws=2).shape == (2, 5)
    assert energy(post, SPINS["state"].values[0, :5]).shape == (64, 5)


MISTAKES = {
    "no member": (lambda post: draw_systems(post, 0), "number of draws must be a positive whole number; got 0"),
    "half a member": (lambda post: draw_systems(post, 1.5), "positive whole number; got 1.5"),
    "bits": (lambda post: energy(post, np.zeros((3, 3))), r"space=.spins. allows the values -1 and 1; found 0"),
    "another shape": (lambda post: energy(post, np.ones((4, 4))), r"expected states with site axes \(3, 3\) last"),
    "not a posterior": (lambda post: draw_systems(SPINS, 3), "expected a posterior as hl.learn returns it .* got a Dataset"),
    "another tree": (lambda post: draw_systems(xr.DataTree(), 3), "expected a posterior"),
    "saving something else": (lambda post: posteriors.save(xr.Dataset(), "x.nc"), "expected a posterior"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake(posterior("bonds"))


def test_files_that_are_no_posterior(tmp_path):
    storage.write_dataset(SPINS, tmp_path / "data.nc")
    with pytest.raises(HamlearnError, match=r"data\.nc holds no hamlearn posterior; make one .* hl\.save\. Read it with hl\.microstates"):
        posteriors.load(tmp_path / "data.nc")
    with pytest.raises(HamlearnError, match="no such file"):
        posteriors.load(tmp_path / "nowhere.nc")
    post = posterior("bonds")
    post.attrs["schema_version"] = posteriors.SCHEMA + 1
    storage.write_dataset(post, tmp_path / "newer.nc")
    with pytest.raises(HamlearnError, match="written by a newer hamlearn"):
        posteriors.load(tmp_path / "newer.nc")
    with pytest.raises(HamlearnError, match="written by a newer hamlearn"):
        draw_systems(post, 2)


def test_a_posterior_survives_a_place_that_cannot_be_written(tmp_path):
    post = posterior("bonds")
    with pytest.raises(HamlearnError, match="does not exist"):
        posteriors.save(post, tmp_path / "nowhere" / "post.nc")
    assert families.spread(posteriors.theta_draws(post), 2, 0).shape == (2, 27)
    posteriors.save(post, tmp_path / "post.nc")


def test_the_record_can_be_added_to():
    post = posteriors.with_provenance(posterior("bonds"), more={"verdict": {"believe": True}})
    assert posteriors.provenance_of(post).more["verdict"] == {"believe": True} and posteriors.provenance_of(post).likelihood == "pseudo"


def test_the_fingerprint_is_of_the_data():
    first, second = (learn(data, Couplings(TORUS), "pseudo", FEW) for data in (SPINS, SPINS.isel(draw=slice(0, 100))))
    assert first.attrs["fingerprint"] == posterior("bonds").attrs["fingerprint"] != second.attrs["fingerprint"]
