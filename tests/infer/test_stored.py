"""What is tied lies in a file once, by parameter, and comes back over bonds and sites as it was."""

from __future__ import annotations

from functools import cache

import h5py
import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import storage
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors, stored
from hamlearn.systems import lattice

SQUARE = lattice.hypercubic((6, 6))
DISTANCE = hl.models.Couplings(SQUARE.pairs_within(2.3), tie="distance", fields=None)
TIED = {
    "distance": DISTANCE,
    "uniform": hl.models.Couplings(SQUARE, tie="uniform", fields="uniform"),
    "fields of groups": hl.models.Couplings(SQUARE, tie="uniform", fields=tuple(np.arange(36) % 3)),
    "untied fields": hl.models.Couplings(SQUARE, tie="uniform", fields="site"),
    "untied": hl.models.Couplings(SQUARE),
}


@cache
def learned(model, states="spins") -> xr.DataTree:
    """Made once; a test that changes it takes a copy."""
    rng = np.random.default_rng(0)
    data = hl.microstates(rng.choice([-1, 1], (300, 6, 6)) if states == "spins" else rng.integers(0, 3, (300, 6, 6)), states, beta=0.5)
    return hl.infer.learn(data, model, likelihood="pseudo", engine="laplace", seed=0)


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("name", TIED)
def test_a_posterior_comes_back_as_it_was(name, ending, tmp_path):
    post = learned(TIED[name])
    kept = post.copy(deep=True)
    again = hl.load(hl.save(post, tmp_path / f"post{ending}"))
    assert post.identical(kept) and again.identical(kept)


def test_tables_of_states_too(tmp_path):
    post = learned(hl.models.Couplings(SQUARE, tie="uniform", fields="uniform"), "states")
    again = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert again.identical(post)
    with h5py.File(tmp_path / "post.nc") as file:
        assert file["posterior/J"].shape == (4, 1000, 1, 3, 3) and file["posterior/h"].shape == (4, 1000, 1, 3)


def test_bytes_of_a_file_go_with_parameters_and_not_with_bonds(tmp_path):
    """Four parameters of 360 bonds: 4 × 4000 numbers of 8 bytes, and not 360 × 4000 (11.5 MB)."""
    post = learned(DISTANCE)
    size = hl.save(post, tmp_path / "post.nc").stat().st_size
    numbers = 8 * post["posterior"].sizes["chain"] * post["posterior"].sizes["draw"] * 4
    assert numbers < size < numbers + 120_000


def test_one_parameter_is_held_once_in_memory(tmp_path):
    post = learned(TIED["uniform"])
    for one in (post, hl.load(hl.save(post, tmp_path / "post.nc"))):
        for name in ("J", "h"):
            assert one["posterior"][name].values.strides[-1] == 0


def test_what_a_user_added_is_kept(tmp_path):
    post = learned(DISTANCE).copy(deep=True)
    post["posterior"]["mine"] = xr.DataArray(np.zeros((4, 1000, 1)) + np.arange(360.0), dims=("chain", "draw", "bond"))
    assert hl.load(hl.save(post, tmp_path / "post.nc"))["posterior"]["mine"].equals(post["posterior"]["mine"])


@pytest.mark.parametrize("index", [[0, 1, 4], [0, -1, 1], [0.0, 1.0, 0.0]])
def test_an_index_to_nowhere_is_refused(index):
    group = xr.Dataset({"J": ("coupling", np.zeros(4))}, coords={"bond": [0, 1, 2], "bond_coupling": ("bond", index)})
    with pytest.raises(HamlearnError, match="which of 4 parameters"):
        stored.unfolded(group, {"bond": np.array([0, 1, 2])})


@pytest.mark.parametrize("group", ["posterior", "point"])
def test_an_index_that_is_not_of_the_model_is_refused(group, tmp_path):
    at = hl.save(learned(DISTANCE), tmp_path / "post.nc")
    changed = storage.read_tree(at)
    owner = changed[group]["bond_coupling"].values
    changed[group] = changed[group].to_dataset().assign_coords(bond_coupling=("bond", owner.max() - owner))
    storage.write_dataset(changed, tmp_path / "changed.nc")
    with pytest.raises(HamlearnError, match="share a parameter than its model does"):
        hl.load(tmp_path / "changed.nc")


def test_files_say_that_older_versions_cannot_read_them():
    assert posteriors.SCHEMA == 4
