"""Data declare their geometry, and learning never looks at the truth: what they were simulated from is their origin and nothing else."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import data as microstates
from hamlearn.errors import HamlearnError

SPINS = hl.systems.Ising((3, 3))
WELL = hl.systems.Path(6, hl.systems.DoubleWell(4.0, 2.8), a=0.3)
FIELD = hl.systems.ScalarField((3, 3), m2=1.0, lam=0.5)
QUICK = hl.infer.Training(epochs=1)

FAMILIES = {  # system, β, model, settings of learn
    "couplings": (SPINS, 0.3, hl.models.Couplings(SPINS.lattice), {"engine": "laplace"}),
    "sparse couplings": (SPINS, 0.3, hl.models.Couplings(None, prior="spike_slab"), {"engine": hl.infer.Gibbs(50, 2, 20)}),
    "cluster expansion": (SPINS, 0.3, hl.models.ClusterExpansion(window=2, order=2), {}),
    "local interaction": (SPINS, 0.3, hl.models.LocalInteraction(window=2, hidden=(2,), members=2), {}),
    "density": (SPINS, 0.3, hl.models.Autoregressive(hidden=(4,)), {"engine": QUICK}),
    "machine": (SPINS, 0.3, hl.models.RBM(hidden=2), {"engine": QUICK}),
    "machine of reals": (FIELD, 1.0, hl.models.GaussianRBM(), {}),
    "flow": (FIELD, 1.0, hl.models.Flow("affine", layers=1, hidden=2), {"engine": QUICK}),
    "action of paths": (WELL, 2.0, hl.models.PolynomialAction((2, 4)), {"likelihood": "score"}),
    "networks of paths": (hl.systems.Path(6, hl.systems.DoubleWell(4.0, 2.8)), 2.0, hl.models.NetworkAction((2, 4)), {}),
    "action of fields": (FIELD, 1.0, hl.models.PolynomialAction((2, 4)), {"likelihood": "score"}),
    "dcl": (
        SPINS,
        0.3,
        hl.models.DCL(hl.models.Autoregressive(hidden=(4,)), hl.models.Extensive(1, 1, (2,)), members=2, labels=200, draws=300),
        {"engine": QUICK},
    ),
}
OTHERS = {  # what is put in place of the description: nothing, or a system that shares nothing with the true one
    "none": None,
    "open": hl.systems.Ising((3, 3), J=-2.0, h=1.0, periodic=False),
    "path": hl.systems.Path(6, hl.systems.DoubleWell(1.0, 1.0), a=7.0),
}


def simulated(name: str) -> xr.Dataset:
    system, beta, _, _ = FAMILIES[name]
    return hl.simulate(system, beta=beta, draws=300, chains=2, seed=0, progress=False)


def with_other_truth(data: xr.Dataset, other: str) -> xr.Dataset:
    attrs = {key: value for key, value in data.attrs.items() if key != "system"}
    if OTHERS[other] is not None:
        attrs["system"] = json.dumps(OTHERS[other].to_dict())
    changed = data.copy()
    changed.attrs = attrs
    return changed


@pytest.mark.parametrize("name", FAMILIES)
def test_learning_never_looks_at_the_truth(name):
    _, _, model, settings = FAMILIES[name]
    data = simulated(name)
    posts = [hl.infer.learn(one, model, seed=0, **settings) for one in (data, with_other_truth(data, "open" if "path" in name else "path"))]
    for group in ("posterior", *(("weights",) if "weights" in posts[0].children else ())):
        assert posts[0][group].to_dataset().identical(posts[1][group].to_dataset()), group
    made = [hl.infer.provenance(post) for post in posts]
    assert made[0].reasons == made[1].reasons and made[0].calibration == made[1].calibration


def test_no_file_of_learning_reads_the_description_of_a_system():
    package = Path(hl.__file__).parent
    reads = re.compile(r"""attrs(\.get\(|\[)\s*["']system["']""")
    rooms = ("models", "infer", "diagnostics")
    found = [str(path) for room in rooms for path in (package / room).rglob("*.py") if reads.search(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("other", OTHERS)
def test_the_width_of_a_slice_is_the_declared_one(other):
    data = with_other_truth(simulated("action of paths"), other)
    model = hl.models.PolynomialAction((2, 4))
    post = hl.infer.learn(data, model, likelihood="score", seed=0)
    assert any("a = 0.3 (as given)" in reason for reason in hl.infer.provenance(post).reasons)
    bare = hl.microstates(data["state"].values, space="reals", beta=2.0, dims=("chain", "draw", "tau"))
    free = hl.infer.learn(bare, model, likelihood="score", seed=0)
    assert any("beta/N_tau" in reason for reason in hl.infer.provenance(free).reasons)
    said = hl.microstates(data["state"].values, space="reals", beta=2.0, dims=("chain", "draw", "tau"), spacing=0.3)
    again = hl.infer.learn(said, model, likelihood="score", seed=0)
    np.testing.assert_array_equal(again["posterior"]["c"].values, post["posterior"]["c"].values)


def test_what_is_declared_open_is_no_ring():
    rows = np.random.default_rng(0).choice([-1, 1], size=(800, 3, 3))
    with pytest.raises(HamlearnError, match="needs a periodic lattice"):
        hl.infer.learn(hl.microstates(rows, beta=0.3, periodic=False), hl.models.ClusterExpansion(window=2, order=2))
    with pytest.raises(HamlearnError, match="needs a periodic lattice"):
        hl.infer.learn(
            hl.simulate(hl.systems.Ising((3, 3), periodic=False), beta=0.3, draws=400, seed=0), hl.models.ClusterExpansion(window=2)
        )
    paths = np.random.default_rng(0).normal(size=(400, 6))
    with pytest.raises(HamlearnError, match="declared open"):
        hl.infer.learn(hl.microstates(paths, space="reals", beta=1.0, periodic=False), hl.models.PolynomialAction((2,)))


def test_geometry_is_kept_by_files_cuts_and_joins(tmp_path):
    data = hl.simulate(WELL, beta=[1.0, 2.0], draws=40, chains=2, seed=0, progress=False)
    assert (microstates.periodic(data), microstates.spacing(data)) == (True, 0.3)
    for suffix in (".nc", ".zarr"):
        hl.save(data, tmp_path / f"data{suffix}")
    kept = [
        hl.microstates(tmp_path / "data.nc"),
        hl.microstates(tmp_path / "data.zarr"),
        data.isel(draw=slice(20)),
        xr.concat([data.isel(chain=[0]), data.isel(chain=[1])], "chain"),
        *microstates.split_by_beta(data),
        *microstates.excerpt(data, 10**9),
    ]
    for one in kept:
        assert (microstates.periodic(one), microstates.spacing(one)) == (True, 0.3)
    assert microstates.periodic(hl.simulate(hl.systems.Ising(4, periodic=False), beta=0.3, draws=5)) is False
    bare = hl.microstates([[1, -1], [1, 1]], beta=1.0)
    assert microstates.periodic(bare) is None and microstates.spacing(bare) is None
    assert microstates.periodic(hl.microstates(bare, periodic=True)) is True  # added to what says nothing


WRONG = {
    "periodic in words": ({"periodic": "yes"}, "periodic"),
    "no width": ({"spacing": 0.0}, "spacing is the width"),
    "width in words": ({"spacing": "wide"}, "spacing is the width"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_geometry_that_is_none_is_refused(name):
    given, words = WRONG[name]
    with pytest.raises(HamlearnError, match=words):
        hl.microstates([[0.1, 0.2], [0.3, 0.5]], space="reals", beta=1.0, **given)
    data = hl.microstates([[0.1, 0.2], [0.3, 0.5]], space="reals", beta=1.0)
    with pytest.raises(HamlearnError, match=r"the attribute '(periodic|spacing)'"):
        microstates.admit(data.assign_attrs(given))
    with pytest.raises(HamlearnError, match="would be ignored"):
        hl.microstates(hl.simulate(WELL, beta=1.0, draws=5), spacing=0.4)


def test_files_written_before_are_read_as_before_and_it_is_said(caplog):
    data = simulated("action of paths")
    old = data.assign_attrs()
    old.attrs = {key: value for key, value in data.attrs.items() if key not in ("periodic", "spacing")}
    with caplog.at_level(logging.INFO, logger="hamlearn"):
        (read,) = microstates.admit(old)
    assert (microstates.periodic(read), microstates.spacing(read)) == (True, 0.3)
    assert any("written before data declared their geometry" in message for message in caplog.messages)
