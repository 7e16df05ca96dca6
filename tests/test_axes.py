"""Axes in another order, and sizes that nothing holds: said before the work, with the call that would be right."""

from __future__ import annotations

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import memory
from hamlearn.errors import HamlearnError
from hamlearn.systems import lattice

SQUARE = lattice.hypercubic((4, 4))


def spins(*shape):
    return np.random.default_rng(0).choice([-1, 1], shape)


TRANSPOSED = {
    "flat": (spins(16, 50), r"sites of shape \(16,\), .* 16 microstates of shape \(50,\): .*hl\.microstates\(states\.T, \.\.\.\)"),
    "lattice": (spins(4, 4, 5), r"sites of shape \(4, 4\), .*hl\.microstates\(np\.moveaxis\(states, -1, 0\), \.\.\.\)"),
    "chains": (spins(5, 3, 4, 4), r"5 microstates of shape \(3, 4, 4\): .*hl\.microstates\(states, dims=\('chain', 'draw', \.\.\.\)"),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_a_shape_that_fits_in_another_order_names_the_call(name):
    states, message = TRANSPOSED[name]
    with pytest.raises(HamlearnError, match=message):
        hl.learn(hl.microstates(states), hl.models.Couplings(SQUARE))


def test_a_shape_that_fits_in_no_order_is_what_it_was():
    with pytest.raises(HamlearnError, match=r"the model's graph has 16 sites \(4, 4\), the data 7 \(7,\)"):
        hl.learn(hl.microstates(spins(50, 7)), hl.models.Couplings(SQUARE))


@pytest.mark.parametrize("shape", [(4, 300, 8, 8), (4, 10, 8, 8), (3, 1000, 20), (2, 9, 4, 4, 4)])
def test_axes_that_may_be_chains_are_asked_about(shape):
    with pytest.raises(HamlearnError, match=rf"the axes .* are {shape[0]} chains of {shape[1]} microstates .* or {shape[0]} microstates"):
        hl.microstates(spins(*shape))
    named = hl.microstates(spins(*shape), dims=("chain", "draw", *"xyz"[: len(shape) - 2]))
    assert named["state"].sizes["draw"] == shape[1]
    assert hl.microstates(spins(*shape), dims=("draw", "t", *"xyz"[: len(shape) - 2]))["state"].sizes["draw"] == shape[0]


@pytest.mark.parametrize("shape", [(5, 8, 8, 8), (300, 4, 8, 8), (5, 2, 3), (3, 8, 8), (10, 20)])
def test_axes_that_are_clear_are_not(shape):
    assert hl.microstates(spins(*shape))["state"].sizes["draw"] == shape[0]


def test_vectors_have_their_components_last():
    states = np.random.default_rng(1).normal(size=(3, 40, 3))
    data = hl.microstates(states / np.linalg.norm(states, axis=-1, keepdims=True), "vectors")
    assert data["state"].dims == ("chain", "draw", "site", "component")


@pytest.mark.parametrize("name", ["row.csv", "row.npy"])
def test_a_file_of_one_row_is_refused_at_once(tmp_path, name):
    if name.endswith(".npy"):
        np.save(tmp_path / name, spins(1, 20))
    else:
        (tmp_path / name).write_text(",".join(map(str, spins(20).tolist())) + "\n")
    with pytest.raises(HamlearnError, match="holds one row of 20 columns"):
        hl.microstates(tmp_path / name)


def test_one_microstate_bears_only_what_all_bonds_share():
    with pytest.raises(
        HamlearnError, match=r"one sample, a microstate of 16 sites, says nothing about 136 parameters\. If rows are sites, transpose"
    ):
        hl.learn(hl.microstates(spins(1, 16)), hl.models.Couplings(None))
    one = hl.microstates(spins(1, 16, 16))
    shared = hl.models.Couplings(lattice.hypercubic((16, 16)), tie="uniform", fields=None)
    assert "J" in hl.infer.learn(one, shared, engine="laplace", calibrate=False)["point"]


def test_what_no_memory_holds_is_refused_before_it_is_there(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 64 << 30)  # on a large machine too
    states = np.broadcast_to(spins(1, 40_000), (3, 40_000))
    with pytest.raises(HamlearnError, match=r"couplings between all pairs of 40000 sites need .* choose sites"):
        hl.learn(hl.microstates(states), hl.models.Couplings(None))
    for make in (lattice.hypercubic, lattice.triangular, hl.systems.Ising):
        with pytest.raises(HamlearnError, match=r"extents \(100000, 100000\) need .* Ask for a smaller one"):
            make((100_000, 100_000))
