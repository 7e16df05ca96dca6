"""Axes in another order, and sizes that nothing holds: said before the work, with the call that would be right."""

from __future__ import annotations

import numpy as np
import pandas as pd
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


PEOPLE = ["anna", "ben", "cy", "dee"]


def people(kind):
    """Forty rows of four named columns."""
    rng = np.random.default_rng(3)
    table = {
        "spins": rng.choice([-1, 1], (40, 4)),
        "words": rng.choice(["no", "yes"], (40, 4)),
        "states": rng.integers(0, [2, 3, 3, 5], (40, 4)),
    }
    return pd.DataFrame(table[kind], columns=PEOPLE)


ON_ITS_SIDE = {
    "index": lambda table, path: table.T,
    "first column": lambda table, path: table.T.reset_index(),
    "file with header": lambda table, path: table.T.to_csv(path),
    "file without": lambda table, path: table.T.to_csv(path, header=False),
    "file with names of rows": lambda table, path: table.T.set_axis([f"t{k}" for k in range(40)], axis=1).to_csv(path),
}


@pytest.mark.parametrize("kind", ["spins", "words", "states"])
@pytest.mark.parametrize("name", ON_ITS_SIDE)
def test_a_table_whose_rows_are_called_as_sites_is_asked_about_and_read(name, kind, tmp_path):
    table = people(kind)
    source = ON_ITS_SIDE[name](table, tmp_path / "t.csv")
    source = tmp_path / "t.csv" if source is None else source
    space = "states" if kind == "states" else "spins"
    assert hl.microstates(source, space, dims=("site", "draw")).identical(hl.microstates(table, space))
    if name != "file with names of rows":
        with pytest.raises(HamlearnError, match=r"every row .* has a name \('anna', 'ben', 'cy', \.\.\.\).*dims=\('site', 'draw'\)"):
            hl.microstates(source, space)


def test_a_wide_table_without_names_is_told_and_read(tmp_path, caplog):
    states = spins(40, 6)
    np.savetxt(tmp_path / "t.csv", states.T, "%d", ",")
    with caplog.at_level("WARNING", logger="hamlearn"):
        assert hl.microstates(tmp_path / "t.csv")["state"].sizes["site"] == 40
        hl.microstates(states)  # no word of a long one
    assert [record.getMessage() for record in caplog.records] == [
        "Every row was read as one of 6 microstates of 40 sites: if rows are sites, hl.microstates('t.csv', dims=('site', 'draw'), ...), "
        "at the shell --dims site,draw."
    ]
    found = hl.microstates(tmp_path / "t.csv", dims=("site", "draw"))
    assert np.array_equal(found["state"].values[0], states)
    pd.DataFrame(states.T, columns=[f"t{k}" for k in range(40)]).assign(t0=1).to_csv(tmp_path / "h.csv", index=False)
    with pytest.raises(HamlearnError, match=r"one value only.* Every row was read as one of 6 .*dims=\('site', 'draw'\)"):
        hl.microstates(tmp_path / "h.csv")


def test_a_mask_lies_as_its_source():
    states = spins(4, 40)
    mask = np.arange(160).reshape(4, 40) == 61
    for source in (states, pd.DataFrame(states, index=PEOPLE)):
        found = hl.data.missing(hl.microstates(source, dims=("site", "draw"), mask=mask))
        assert np.argwhere(found[0]).tolist() == [[21, 1]]


def test_names_of_rows_in_a_long_table_are_no_site(tmp_path, caplog):
    people("spins").set_axis([f"row {k}" for k in range(40)]).to_csv(tmp_path / "t.csv", index_label="who")
    with caplog.at_level("INFO", logger="hamlearn"):
        assert hl.microstates(tmp_path / "t.csv")["site"].values.tolist() == PEOPLE
    assert "t.csv: the first column, 'row 0', 'row 1', 'row 2', ..., names the rows and is no site" in caplog.text


def test_independent_draws_have_converged_before_their_parameters_are_read(monkeypatch):
    post = hl.infer.learn(hl.microstates(spins(50, 3)), hl.models.Couplings(None), engine="laplace")
    monkeypatch.setattr(hl.infer.posteriors, "theta_draws", None)
    assert hl.diagnostics.convergence(post) == {"sampled": False, "chains": 4, "draws": 1000}


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
