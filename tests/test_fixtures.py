"""Files of every released version are read, and hold what they held when they were written.

``tests/fixtures/make.py`` wrote them, and says in each version's manifest what is in them: digests that h5py, zarr or NumPy
alone took of the files' arrays, energies that NumPy computed from the couplings, and what that version's own verbs said.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from fixtures import make
from hamlearn import storage
from hamlearn.errors import HamlearnError

MANIFESTS = {path.parent.name: json.loads(path.read_text()) for path in sorted(make.HERE.glob("*/manifest.json"))}


SEAL = b"\nhamlearn sha256 "  # before the digest at the end of a file, since 0.2.0


def entries(*kinds: str) -> Any:
    """Parameters (version, name, entry) of the tests of some kinds of file."""
    found = [
        pytest.param(version, name, entry, id=f"{version}-{name}")
        for version, manifest in MANIFESTS.items()
        for name, entry in manifest["entries"].items()
        if entry["what"] in kinds
    ]
    return pytest.mark.parametrize(("version", "name", "entry"), found)


def unpacked(version: str, entry: dict[str, Any], folder: Path) -> Path:
    """The file (or Zarr folder) as that version wrote it."""
    with zipfile.ZipFile(make.HERE / version / entry["file"]) as archive:
        archive.extractall(folder)
    return folder / entry["file"].removesuffix(".zip")


def require_arrays(entry: dict[str, Any], lookup: Any) -> None:
    """Every array of the manifest is there, number by number."""
    assert entry["arrays"]
    for name, wanted in entry["arrays"].items():
        assert make.described(lookup(name)) == wanted, name


def of_earlier(post: xr.DataTree, key: str) -> np.ndarray:
    """What an earlier version called `key`: it numbered bonds, and had their ends as coordinates beside them."""
    group, _, name = key.partition("/")
    if group in ("posterior", "point") and name in ("site_i", "site_j"):
        return post["constant_data"][name].values
    if group in ("posterior", "point") and name == "bond":
        ends = post["constant_data"]
        assert post[key].values.tolist() == [f"{i}, {j}" for i, j in zip(ends["site_i"].values, ends["site_j"].values, strict=True)]
        return np.arange(post[group].sizes["bond"])
    return post[key].values


def require_attrs(entry: dict[str, Any], attrs: dict[Any, Any], *names: str) -> None:
    for name in names or entry["attrs"]:
        assert attrs[name] == entry["attrs"][name], name


@entries("posterior")
def test_a_posterior_of_an_earlier_version_is_what_it_was(tmp_path, version, name, entry):
    path = unpacked(version, entry, tmp_path)
    post = hl.load(path)
    require_arrays(entry, lambda key: of_earlier(post, key))
    require_attrs(entry, post.attrs, "model", "space", "q", "site_shape", "beta", "beta_declared", "fingerprint")
    assert hl.verdict(post).level == entry["verdict"]
    asked = entry["actions"]
    found = hl.action(post, np.array(asked["states"]), asked["beta"], draws=2, seed=0).values
    # Single precision on both sides; constants, of which actions are free, are taken away.
    np.testing.assert_allclose((found - found[:, :1])[:, 1:], asked["differences"], rtol=1e-4, atol=1e-4)
    if "energies" in entry:
        state = np.array(entry["energies"]["state"])
        wanted = entry["energies"]["energies"]
        energies = hl.energy(post, state.reshape(1, *json.loads(post.attrs["site_shape"])), draws=len(wanted))
        np.testing.assert_allclose(np.sort(energies.values.ravel()), wanted, rtol=1e-5)
    if "predicted" in entry:
        energy = hl.predict(post, beta=entry["predicted"]["beta"], observables=["energy"], seed=0)["energy"]
        then = energy.copy(data=np.reshape(entry["predicted"]["energy"], energy.shape))
        now, before = (one.sel(quantity=["mean", "sd", "mc_error"]).values for one in (energy, then))
        np.testing.assert_allclose(now, before, rtol=1e-4, atol=1e-6)
        # What is not known of a shift is in the interval, and versions know better: it may have grown by a little, and never shrinks.
        grown = np.stack([(then - energy).sel(quantity="lower"), (energy - then).sel(quantity="upper")]) / then.sel(quantity="sd").values
        assert np.all(grown > -1e-3) and np.all(grown < 0.2)
    hl.save(post, tmp_path / "again.nc")
    assert hl.load(tmp_path / "again.nc").identical(post)  # what this version makes of it is kept by this version too


@entries("microstates")
def test_microstates_of_an_earlier_version_are_what_they_were(tmp_path, version, name, entry):
    data = hl.microstates(unpacked(version, entry, tmp_path))
    require_arrays(entry, lambda key: data[key].values)
    require_attrs(entry, data.attrs)


@entries("prediction")
def test_a_prediction_of_an_earlier_version_is_what_it_was(tmp_path, version, name, entry):
    found = storage.read_dataset(unpacked(version, entry, tmp_path))
    require_arrays(entry, lambda key: found[key].values)
    require_attrs(entry, found.attrs)


@entries("checkpoint")
def test_a_checkpoint_of_an_earlier_version_is_set_aside_by_name(tmp_path, caplog, version, name, entry):
    path = unpacked(version, entry, tmp_path)
    before = path.read_bytes()
    with caplog.at_level(logging.WARNING, logger="hamlearn"):
        found = make.RUNS[name](path)
    fresh = make.RUNS[name](tmp_path / "run.npz")
    for key in ("weights", "training") if isinstance(found, xr.DataTree) else ("",):
        one, other = (item[key].to_dataset() if key else item for item in (found, fresh))
        assert one.identical(other)
    (told,) = [text for text in (record.getMessage() for record in caplog.records) if "left alone" in text]
    assert "hamlearn" in told and version in told
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", MANIFESTS)
@pytest.mark.parametrize("name", ["couplings", "microstates-counts.nc"])
def test_a_file_of_a_newer_version_is_refused_by_name(tmp_path, version, name):
    path = unpacked(version, MANIFESTS[version]["entries"][name], tmp_path)
    sealed = SEAL in path.read_bytes()[-82:]
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99
    if sealed:  # as that version would have
        content = path.read_bytes()
        content = content if SEAL not in content[-82:] else content[:-82]
        path.write_bytes(content + SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n")
    with pytest.raises(HamlearnError, match=r"newer hamlearn \(schema 99"):
        hl.load(path) if name == "couplings" else hl.microstates(path)
