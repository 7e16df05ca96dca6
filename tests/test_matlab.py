"""MATLAB's files, of both kinds, and which of several arrays is read."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
from scipy import sparse
from scipy.io import savemat

import hamlearn as hl
from hamlearn import storage
from hamlearn.errors import HamlearnError

BITS = np.random.default_rng(0).integers(0, 2, (40, 6))


def _old(path, arrays):
    savemat(path, arrays, do_compression=True)


def _new(path, arrays):
    """As MATLAB writes -v7.3: axes from the other end, classes in an attribute, a header before everything."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in arrays.items():
            array = np.atleast_2d(value)
            text = array.dtype.kind == "U"
            kept = np.array([[ord(letter)] for letter in str(value)], np.uint16) if text else array.T
            dataset = file.create_dataset(name, data=kept.astype(np.uint8) if kept.dtype == bool else kept)
            named = {"bool": "logical", "float64": "double"}.get(array.dtype.name, array.dtype.name)
            dataset.attrs["MATLAB_class"] = np.bytes_("char" if text else named)
        file.create_group("#refs#")
    with open(path, "rb+") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(128))


@pytest.mark.parametrize("write", [_old, _new])
def test_both_kinds_are_read_as_matlab_counts(tmp_path, write, caplog):
    caplog.set_level(logging.INFO, "hamlearn")
    write(tmp_path / "a.mat", {"spikes": BITS.astype(bool), "beta": 0.5, "remark": "of a friend"})
    data = hl.microstates(tmp_path / "a.mat", space="bits")
    np.testing.assert_array_equal(data["state"].values[0], 2 * BITS - 1)
    assert data["beta"].item() == 0.5 and not caplog.records
    write(tmp_path / "b.mat", {"recording": BITS.T.astype(np.uint8)})
    turned = hl.microstates(tmp_path / "b.mat", space="bits")
    np.testing.assert_array_equal(turned["state"].values, data["state"].values)
    assert turned["state"].dims == ("chain", "draw", "site") and "of shape (6, 40), the longer axis counts microstates" in caplog.text
    assert hl.microstates(tmp_path / "b.mat", space="bits", dims=("draw", "site"))["state"].sizes["draw"] == 6


@pytest.mark.parametrize("write", [_old, _new])
def test_one_of_several_is_chosen_by_name(tmp_path, write):
    write(tmp_path / "a.mat", {"first": BITS, "second": 1 - BITS})
    with pytest.raises(HamlearnError, match=r"found first \(40, 6\), second \(40, 6\)\. Choose one: variable='first' \(--variable"):
        hl.microstates(tmp_path / "a.mat", space="bits")
    found = hl.microstates(tmp_path / "a.mat", space="bits", variable="second")
    np.testing.assert_array_equal(found["state"].values[0], 1 - 2 * BITS)
    with pytest.raises(HamlearnError, match=r"no array 'third'; found first"):
        hl.microstates(tmp_path / "a.mat", variable="third")


def test_sparse_spikes_are_read(tmp_path):
    savemat(tmp_path / "a.mat", {"spikes": sparse.csc_array(BITS.astype(float))})
    np.testing.assert_array_equal(storage.read_states(str(tmp_path / "a.mat")).values, BITS)


def test_arrays_of_other_files_are_chosen_too(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["run/spins"] = 2 * BITS - 1
    with pytest.raises(HamlearnError, match=r"variable='group/name'"):
        hl.microstates(tmp_path / "a.h5")
    np.testing.assert_array_equal(hl.microstates(tmp_path / "a.h5", variable="run/spins")["state"].values[0], 2 * BITS - 1)
    np.savez(tmp_path / "a.npz", x=BITS, y=1 - BITS)
    assert np.array_equal(storage.read_states(str(tmp_path / "a.npz"), variable="y").values, 1 - BITS)
    (tmp_path / "a.csv").write_text("1,-1\n1,1\n")
    for source in (tmp_path / "a.csv", BITS):
        with pytest.raises(HamlearnError, match="variable="):
            hl.microstates(source, variable="y")


MISTAKES = {
    "no file of MATLAB": (lambda path: path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200)), "cannot read|needs one array"),
    "torn": (lambda path: (_old(path, {"x": BITS}), path.write_bytes(path.read_bytes()[:160])), "cannot read|needs one array"),
    "torn 7.3": (lambda path: (_new(path, {"x": BITS}), path.write_bytes(path.read_bytes()[:900])), "cannot read"),
    "only text": (lambda path: _new(path, {"x": "words"}), "no arrays of numbers at its top"),
    "a vector": (lambda path: _old(path, {"x": np.arange(5)}), r"needs one array called 'state'; found x \(5,\)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_read_is_a_sentence(tmp_path, name):
    write, message = MISTAKES[name]
    write(tmp_path / "a.mat")
    with pytest.raises(HamlearnError, match=message):
        hl.microstates(tmp_path / "a.mat")


def test_the_shell_chooses_too(tmp_path, monkeypatch, capsys):
    from hamlearn.cli import run

    _old(tmp_path / "a.mat", {"first": BITS, "second": 1 - BITS})
    monkeypatch.setattr("sys.argv", ["hamlearn", "learn", str(tmp_path / "a.mat"), "--variable", "third", "-o", str(tmp_path / "o.nc")])
    assert run() == 2 and "has no array 'third'" in capsys.readouterr().err
