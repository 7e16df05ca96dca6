"""Microstates: every file type comes back as it was, and every bad input is named with its way out."""

from __future__ import annotations

import gzip
import zipfile

import h5py
import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import data as rooms
from hamlearn import storage
from hamlearn.data import codes_of, microstates, recoded, split_by_beta
from hamlearn.errors import HamlearnError
from hamlearn.systems import SPINS, lattice, states

STATES = np.random.default_rng(0).choice([-1, 1], (12, 6)).astype(np.int8)
COUNTS = np.arange(1, 13)


def text(rows, header=None):
    lines = [",".join(map(str, row)) for row in rows.tolist()]
    return "\n".join(([header] if header else []) + lines) + "\n"


NAMES = ",".join(f"s{k}" for k in range(6))
WITH_COUNTS = np.column_stack([STATES, COUNTS])


def _npz(path):
    np.savez(path, state=STATES)


def _npz_all(path):
    np.savez(path, spins=STATES, beta=0.5, counts=COUNTS, space="spins")


def _h5(path):
    with h5py.File(path, "w") as file:
        file["state"] = STATES
        file["beta"] = 0.5
        file.create_group("ignored")


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("states.csv", text(STATES))


def _gz(path):
    with gzip.open(path, "wt") as file:
        file.write(text(STATES, NAMES))


# A new file type adds one line: (how it is written, further arguments, beta it brings, counts it brings).
FILES = {
    "plain.npy": (lambda path: np.save(path, STATES), {}, None, None),
    "plain.npz": (_npz, {}, None, None),
    "everything.npz": (_npz_all, {}, 0.5, COUNTS),
    "file.h5": (_h5, {}, 0.5, None),
    "file.hdf5": (_h5, {}, 0.5, None),
    "plain.csv": (lambda path: path.write_text(text(STATES)), {}, None, None),
    "header.csv": (lambda path: path.write_text(text(STATES, NAMES)), {}, None, None),
    "comment.csv": (lambda path: path.write_text("# a remark\n" + text(STATES, NAMES)), {}, None, None),
    "count.csv": (lambda path: path.write_text(text(WITH_COUNTS, NAMES + ",count")), {}, None, COUNTS),
    "counts.csv": (lambda path: path.write_text(text(WITH_COUNTS, NAMES + ", Counts")), {}, None, COUNTS),
    "named_count.csv": (lambda path: path.write_text(text(WITH_COUNTS, NAMES + ",times")), {"counts": "times"}, None, COUNTS),
    "numbered_count.csv": (lambda path: path.write_text(text(WITH_COUNTS)), {"counts": 6}, None, COUNTS),
    "last_count.csv": (lambda path: path.write_text(text(WITH_COUNTS)), {"counts": -1}, None, COUNTS),
    "packed.csv.gz": (_gz, {}, None, None),
    "packed.zip": (_zip, {}, None, None),
    "foreign.nc": (lambda path: xr.Dataset({"state": (("row", "col"), STATES)}).to_netcdf(path, engine="h5netcdf"), {}, None, None),
    "ours.nc": (lambda path: storage.write_dataset(microstates(STATES, beta=0.5, counts=COUNTS), path), {}, 0.5, COUNTS),
    "ours.zarr": (lambda path: storage.write_dataset(microstates(STATES, beta=0.5, counts=COUNTS), path), {}, 0.5, COUNTS),
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_type_comes_back_as_it_was(tmp_path, name):
    write, options, beta, counts = FILES[name]
    write(tmp_path / name)
    found = microstates(tmp_path / name, **options)
    np.testing.assert_array_equal(found["state"].values, STATES[None])
    assert found["state"].dims == ("chain", "draw", "site")
    assert found["beta"].item() == (1.0 if beta is None else beta)
    assert bool(found.attrs["beta_declared"]) == (beta is not None)
    assert ("count" in found) == (counts is not None)
    if counts is not None:
        np.testing.assert_array_equal(found["count"].values, counts[None])
    assert microstates(str(tmp_path / name), **options).equals(found)


def test_what_is_said_by_hand_counts_for_more_than_the_file(tmp_path):
    _npz_all(tmp_path / "data.npz")
    found = microstates(tmp_path / "data.npz", beta=0.9, counts=np.ones(12))
    assert found["beta"].item() == 0.9 and found["count"].values.sum() == 12


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_our_files_keep_everything(tmp_path, ending):
    chains = np.random.default_rng(1).integers(0, 3, (2, 3, 5, 2, 2))
    whole = microstates(
        chains, "states", beta=[0.5, 1.5], dims=("beta", "chain", "draw", "row", "col"), q=4, weights=np.random.default_rng(2).random(30)
    )
    storage.write_dataset(whole, tmp_path / f"data{ending}")
    back = microstates(tmp_path / f"data{ending}")
    assert back.identical(whole) or (back.equals(whole) and back.attrs == whole.attrs)
    assert back["state"].dtype == np.int8


def test_reading_a_dataset_again_may_not_contradict_it(tmp_path):
    ours = microstates(STATES, beta=0.5)
    assert microstates(ours, space="spins", beta=0.5) is ours
    for contradiction in ({"beta": 0.7}, {"space": "bits"}, {"counts": COUNTS}, {"dims": ("draw", "site")}):
        with pytest.raises(HamlearnError, match=f"already say what they are .*, so {next(iter(contradiction))}="):
            microstates(ours, **contradiction)
    storage.write_dataset(ours, tmp_path / "ours.nc")
    with pytest.raises(HamlearnError, match=r"beta=0\.5\), so beta=0\.7 would be ignored"):
        microstates(tmp_path / "ours.nc", beta=0.7)


# --------------------------------------------------------------------------------------------- spaces and shapes


def test_bits_become_spins_and_say_so():
    bits = (STATES + 1) // 2
    found = microstates(bits, space="bits", beta=2.0)
    np.testing.assert_array_equal(found["state"].values[0], STATES)
    assert (found.attrs["space"], found.attrs["source_space"], found.attrs["q"]) == ("spins", "bits", 2)
    booleans = microstates(bits.astype(bool), space="bits")
    np.testing.assert_array_equal(booleans["state"].values[0], STATES)
    np.testing.assert_array_equal(microstates(STATES.astype(float))["state"].values[0], STATES)


def test_the_number_of_states_is_given_or_seen():
    values = np.array([[0, 2], [1, 1]])
    assert microstates(values, "states").attrs["q"] == 3
    assert microstates(values, "states", q=5).attrs["q"] == 5
    assert microstates(np.zeros((2, 2), int), "states").attrs["q"] == 2
    assert microstates(values, "states").attrs["space"] == "states"


DIMS = {
    "flat": ((5, 4), None, ("chain", "draw", "site"), (1, 5, 4)),
    "lattice": ((5, 2, 3), None, ("chain", "draw", "x0", "x1"), (1, 5, 2, 3)),
    "chains": ((3, 5, 4), ("chain", "draw", "spin"), ("chain", "draw", "spin"), (3, 5, 4)),
    "sites first": ((4, 5), ("site", "draw"), ("chain", "draw", "site"), (1, 5, 4)),
    "draw before chain": ((5, 3, 4), ("draw", "chain", "site"), ("chain", "draw", "site"), (3, 5, 4)),
    "temperatures": ((2, 5, 4), ("beta", "draw", "site"), ("beta", "chain", "draw", "site"), (2, 1, 5, 4)),
    "temperatures last": ((3, 5, 4, 2), ("chain", "draw", "site", "beta"), ("beta", "chain", "draw", "site"), (2, 3, 5, 4)),
}


@pytest.mark.parametrize(("shape", "dims", "expected", "sizes"), DIMS.values(), ids=DIMS)
def test_axes_are_named_and_ordered(shape, dims, expected, sizes):
    raw = np.random.default_rng(3).choice([-1, 1], shape)
    found = microstates(raw, beta=[0.5, 1.0] if dims and "beta" in dims else 0.5, dims=dims)
    assert found["state"].dims == expected and found["state"].shape == sizes
    labelled = xr.DataArray(raw, dims=dims or ("draw", *expected[2:]))
    if "chain" not in labelled.dims:
        labelled = labelled.expand_dims("chain")
    np.testing.assert_array_equal(found["state"].values, labelled.transpose(*expected).values)


def test_split_by_temperature():
    raw = np.random.default_rng(3).choice([-1, 1], (2, 7, 4))
    whole = microstates(raw, beta=[0.5, 1.5], dims=("beta", "draw", "site"), counts=np.arange(14))
    other = microstates(raw[0], beta=3.0)
    parts = rooms.split_by_beta([whole, other])
    assert [part["beta"].item() for part in parts] == [0.5, 1.5, 3.0]
    np.testing.assert_array_equal(rooms.rows(parts[1]), raw[1][None])
    np.testing.assert_array_equal(rooms.multiplicity(parts[1])[0], np.arange(7, 14)[None])
    assert [rooms.multiplicity(part)[1] for part in parts] == [False] * 3
    with pytest.raises(HamlearnError, match="the list is empty"):
        rooms.split_by_beta([])


def test_counts_and_weights_are_told_apart():
    counted, weighted = microstates(STATES, counts=COUNTS), microstates(STATES, weights=COUNTS / 7)
    assert rooms.multiplicity(counted)[1] is False and rooms.multiplicity(weighted)[1] is True
    np.testing.assert_allclose(rooms.multiplicity(weighted)[0], COUNTS[None] / 7)
    assert rooms.multiplicity(microstates(STATES))[0].tolist() == [[1.0] * 12]
    assert counted.attrs["independent"] == 1, "a histogram has lost the order of its draws"
    assert "independent" not in weighted.attrs


def test_what_a_sampler_builds():
    graph = lattice.hypercubic((2, 3))
    built = rooms.build(STATES.reshape(3, 4, 6), beta=0.5, space=SPINS, lattice=graph, attrs={"sampler": "none", "seed": 3})
    assert built["state"].dims == ("chain", "draw", "x0", "x1") and built["state"].shape == (3, 4, 2, 3)
    assert built.attrs["sampler"] == "none" and built.attrs["beta_declared"] == 1
    assert rooms.validate(built) is built
    several = rooms.build(np.zeros((2, 3, 4, 6), np.int8), beta=np.array([0.5, 1.0]), space=states(3))
    assert several["state"].dims == ("beta", "chain", "draw", "site") and several.attrs["q"] == 3


def test_fingerprints_tell_data_apart():
    def mark(*sets):
        return rooms.fingerprint(list(sets))

    base = microstates(STATES, beta=0.5)
    assert mark(base) == mark(microstates(STATES.copy(), beta=0.5))
    others = [microstates(-STATES, beta=0.5), microstates(STATES, beta=0.6), microstates(STATES, beta=0.5, counts=COUNTS)]
    assert len({mark(item) for item in [base, *others]} | {mark(base, others[0])}) == 5


# --------------------------------------------------------------------------------------------- angles and reals

ANGLE = np.random.default_rng(5).uniform(0, 2 * np.pi, (7, 4, 4))
FIELD = np.random.default_rng(6).normal(size=(7, 5))


def test_continuous_values_are_kept(tmp_path):
    angles = microstates(ANGLE, "angles", beta=0.9)
    np.testing.assert_array_equal(angles["state"].values[0], ANGLE)
    assert (angles.attrs["space"], angles.attrs["q"], angles["state"].dtype) == ("angles", 0, np.float64)
    single = microstates(FIELD.astype(np.float32), "reals", beta=2.0)
    assert single["state"].dtype == np.float32 and single.attrs["space"] == "reals"
    assert microstates(np.arange(6).reshape(3, 2), "reals")["state"].dtype == np.float64
    for name, data in (("a.nc", angles), ("r.zarr", single)):
        storage.write_dataset(data, tmp_path / name)
        back = microstates(tmp_path / name)
        assert back.equals(data) and back["state"].dtype == data["state"].dtype
    np.savetxt(tmp_path / "field.csv", FIELD, delimiter=",")
    np.testing.assert_allclose(microstates(tmp_path / "field.csv", "reals")["state"].values[0], FIELD)


def test_continuous_data_are_split_counted_and_fingerprinted():
    chains = np.random.default_rng(7).normal(size=(2, 3, 5, 4))
    whole = microstates(chains, "reals", beta=[1.0, 2.0], dims=("beta", "chain", "draw", "tau"), weights=np.ones(30))
    parts = rooms.split_by_beta(whole)
    np.testing.assert_array_equal(rooms.rows(parts[1]), chains[1])
    one, other = microstates(FIELD, "reals"), microstates(np.nextafter(FIELD, 9), "reals")
    assert rooms.fingerprint([one]) == rooms.fingerprint([microstates(FIELD.copy(), "reals")]) != rooms.fingerprint([other])
    assert microstates(FIELD, "reals", counts=np.arange(7))["count"].values.sum() == 21


def test_angles_are_wrapped_only_when_declared():
    wound = ANGLE + 2 * np.pi * np.random.default_rng(8).integers(-3, 3, ANGLE.shape)
    np.testing.assert_allclose(microstates(wound, "angles", wrap=True)["state"].values[0], ANGLE, atol=1e-12)
    tiny = microstates(np.array([[-1e-20, 1.0], [2.0, 3.0]]), "angles", wrap=True)["state"].values
    assert tiny.min() >= 0 and tiny.max() < 2 * np.pi
    almost = np.array([[np.nextafter(2 * np.pi, 0), 1.0], [2.0, 3.0]]).astype(np.float32)
    assert microstates(almost, "angles")["state"].values.max() < 2 * np.pi


CLOSED = np.concatenate([FIELD, FIELD[:, :1]], 1)
CONTINUOUS_MISTAKES = {
    "degrees": (lambda: microstates(np.rad2deg(ANGLE), "angles"), r"found values from .* look like degrees: .*np\.deg2rad"),
    "signed degrees": (lambda: microstates(np.rad2deg(ANGLE) - 180, "angles"), "look like degrees"),
    "centred": (lambda: microstates(ANGLE - np.pi, "angles"), r"\(−π, π\].*wrap=True"),
    "wound": (lambda: microstates(ANGLE + 1.0, "angles"), "declare wrap=True"),
    "full turn": (lambda: microstates([[0.0, 2 * np.pi], [1.0, 2.0]], "angles"), "wrap=True"),
    "wrapped spins": (lambda: microstates(STATES, "spins", wrap=True), "wrap=True .* nothing for space='spins'"),
    "wrapped dataset": (lambda: microstates(microstates(ANGLE, "angles"), wrap=True), "would be ignored"),
    "infinite field": (lambda: microstates(np.where(FIELD > 1, np.inf, FIELD), "reals"), "0 NaN and"),
    "q of angles": (lambda: microstates(ANGLE, "angles", q=4), "q=4 counts the states of a discrete space"),
    "repeated end": (lambda: microstates(CLOSED, "reals"), r"end point of a periodic path is repeated.*states\[\.\.\., :5\]"),
    "undeclared": (lambda: microstates(FIELD), "space='reals'"),
}


@pytest.mark.parametrize(("mistake", "message"), CONTINUOUS_MISTAKES.values(), ids=CONTINUOUS_MISTAKES)
def test_mistakes_with_continuous_values_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


def test_ends_held_fixed_are_no_repeated_end():
    pinned = CLOSED.copy()
    pinned[:, [0, -1]] = 0.5
    assert microstates(pinned, "reals")["state"].shape == (1, 7, 6)


# ------------------------------------------------------------------------------------------------------ bad input

GOOD = STATES[:3]
VARIED = np.random.default_rng(9).choice([-1, 1], (20, 6))

MISTAKES = {
    "0/1 as spins": (lambda: microstates([[0, 1], [1, 1]]), r"space='spins' allows the values -1 and 1; found 0, 1\. .*space='bits'"),
    "±1 as bits": (lambda: microstates([[-1, 1], [1, 1]], "bits"), r"allows the values 0 and 1; .* space='spins'"),
    "0/1/2 as spins": (lambda: microstates([[0, 1], [2, 1]]), r"found 0, 1, 2\. .*space='states'"),
    "fractions": (lambda: microstates([[0.5, 1], [1, 1]]), r"space='spins' allows the values -1 and 1; found 0\.5, 1\.0"),
    "infinite": (lambda: microstates([[np.inf, 1], [1, 1]]), "found 1.0, inf"),
    "fractional states": (lambda: microstates([[0.5, 1], [1, 1]], "states"), r"holds the integers 0 … q−1; found values from 0\.5"),
    "negative states": (lambda: microstates([[-1, 1], [1, 1]], "states"), "holds the integers 0 … q−1; found values from -1"),
    "more states than q": (lambda: microstates([[0, 3], [1, 1]], "states", q=3), "holds the integers 0 … 2; found values from 0 to 3"),
    "codes from one with q": (
        lambda: microstates([[1, 5], [3, 2]], "states", q=5),
        r"0 … 4; found values from 1 to 5\. Leave q=5 out .*numbered from 0.*, or subtract 1 from them\.$",
    ),
    "codes with gaps and q": (
        lambda: microstates([[0, 7], [3, 0]], "states", q=3),
        r"from 0 to 7\. Leave q=3 out [^,]*, in their order\)\.$",
    ),
    "more codes than q": (lambda: microstates([[0, 3], [1, 2]], "states", q=3), r"found values from 0 to 3\.$"),
    "too many states": (lambda: microstates([[0, 300], [1, 1]], "states"), "found values from 0 to 300"),
    "q of one": (lambda: microstates([[0, 0], [0, 0]], "states", q=1), "2 <= q <= 127"),
    "q of 1000": (lambda: microstates([[0, 1], [0, 0]], "states", q=1000), "2 <= q <= 127"),
    "ragged": (lambda: microstates([[1, -1], [1]]), "ragged"),
    "objects": (lambda: microstates(np.array([[1, [2]], [1, 1]], object)), "ragged or not numbers"),
    "words": (lambda: microstates([["up", "down"], ["up", "up"]]), "states must be numbers"),
    "complex": (lambda: microstates(GOOD.astype(complex)), "states must be numbers"),
    "empty": (lambda: microstates(np.zeros((0, 5))), r"may not be empty; got shape \(0, 5\)"),
    "no sites": (lambda: microstates([1, -1, 1]), r"at least two axes, \(draw, site\)"),
    "beta zero": (lambda: microstates(GOOD, beta=0.0), "must be finite and > 0; got 0.0"),
    "beta negative": (lambda: microstates(GOOD, beta=-1), "must be finite and > 0; got -1"),
    "beta infinite": (lambda: microstates(GOOD, beta=np.inf), "must be finite and > 0"),
    "beta NaN": (lambda: microstates(GOOD, beta=np.nan), "must be finite and > 0"),
    "beta in words": (lambda: microstates(GOOD, beta="warm"), "beta"),
    "many beta, no axis": (lambda: microstates(GOOD, beta=[0.5, 1.0]), "several beta need a leading 'beta' axis"),
    "beta axis of another length": (
        lambda: microstates(GOOD[None], beta=[0.5, 1.0], dims=("beta", "draw", "site")),
        "several beta need a leading 'beta' axis",
    ),
    "beta axis, one beta": (
        lambda: microstates(GOOD[None], beta=0.5, dims=("beta", "draw", "site")),
        r"needs the list of its temperatures: beta=\[...\]",
    ),
    "beta axis, no beta": (lambda: microstates(GOOD[None], dims=("beta", "draw", "site")), "needs the list of its temperatures"),
    "unknown space": (
        lambda: microstates(GOOD, "spin"),
        "space must be one of 'spins', 'bits', 'states', 'angles', 'reals', 'vectors'; got 'spin'. Did you mean 'spins'",
    ),
    "too few dims": (lambda: microstates(GOOD, dims=("draw",)), "dims must name each of the 2 axes once"),
    "dims twice": (lambda: microstates(GOOD, dims=("draw", "draw")), "dims must name each of the 2 axes once"),
    "no draw": (lambda: microstates(GOOD, dims=("chain", "site")), "dims must contain 'draw'"),
    "no site axis": (lambda: microstates(GOOD, dims=("chain", "draw")), "dims must name at least one site axis"),
    "counts of another length": (
        lambda: microstates(GOOD, counts=[1, 2]),
        r"counts must have one value per microstate, shape \(1, 3\); got shape \(2,\)",
    ),
    "negative counts": (lambda: microstates(GOOD, counts=[1, -2, 1]), "counts must be finite, not negative"),
    "zero counts": (lambda: microstates(GOOD, counts=[0, 0, 0]), "not all zero"),
    "fractional counts": (lambda: microstates(GOOD, counts=[1, 0.5, 1]), "counts must be whole numbers; .*weights="),
    "NaN weights": (lambda: microstates(GOOD, weights=[1, np.nan, 1]), "weights must be finite"),
    "counts and weights": (lambda: microstates(GOOD, counts=[1, 1, 1], weights=[1, 1, 1]), "not both"),
    "a column of an array": (lambda: microstates(GOOD, counts="count"), "count"),
    "duplicate chains": (
        lambda: microstates(np.stack([VARIED, -VARIED, VARIED]), dims=("chain", "draw", "site")),
        "chains 0 and 2 are identical copies",
    ),
    "duplicate temperatures": (
        lambda: microstates(np.stack([VARIED, VARIED]), beta=[0.5, 0.6], dims=("beta", "draw", "site")),
        "identical copies",
    ),
    "a Dataset of something else": (
        lambda: microstates(xr.Dataset({"x": 1})),
        r"microstates need a variable 'state'; this Dataset holds \['x'\]",
    ),
    "a Dataset without space": (
        lambda: microstates(xr.Dataset({"state": (("chain", "draw", "site"), GOOD[None])})),
        "make them with hl.microstates",
    ),
    "a Dataset with other dims": (
        lambda: microstates(xr.Dataset({"state": (("draw", "site"), GOOD)})),
        r"'state' needs dims \(chain, draw, \*sites\).*hl.microstates\(dataset\['state'\]",
    ),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


def test_frozen_chains_may_repeat_one_another():
    still = np.ones((2, 50, 6), int)
    assert microstates(still, dims=("chain", "draw", "site"))["state"].sizes["chain"] == 2


def test_a_column_of_weights_is_no_site(tmp_path):
    (tmp_path / "w.csv").write_text("a,b,weight\n0.5,2,0.25\n1,3,4\n")
    data = microstates(tmp_path / "w.csv", "reals")
    assert data["state"].values.tolist() == [[[0.5, 2.0], [1.0, 3.0]]] and data["weight"].values.tolist() == [[0.25, 4.0]]


def test_duplicate_rows_are_data():
    twice = np.concatenate([STATES, STATES])
    assert microstates(twice)["state"].sizes["draw"] == 24


def _write(content):
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _in_a_group(path):
    with h5py.File(path, "w") as file:
        file["run/spins"] = STATES


BROKEN = {
    "missing.csv": (None, {}, "no such file"),
    "data.xlsx": (_write("1"), {}, r"cannot read 'data.xlsx': known endings are .*hl.microstates\(array"),
    "empty.csv": (_write(""), {}, "is empty"),
    "blank.csv": (_write("\n\n"), {}, "is empty"),
    "only_header.csv": (_write("a,b,c\n"), {}, "empty"),
    "long.csv": (_write("1,1\n1,1\n1,1,-1\n"), {}, "is ragged"),
    "short.csv": (_write("1,1,-1\n1,1\n1,1,-1\n"), {}, "ragged|missing"),
    "short at the end.csv": (_write("1,1,-1\n1,1\n"), {}, "ragged"),
    "words.csv": (_write("1,up\n1,down\n"), {}, "text in column"),
    "late_word.csv": (_write("1,1\n1,up\n"), {}, r"text in column 1, 'up', among numbers; .*missing='up'"),
    "no_count.csv": (_write("1,1\n1,-1\n"), {"counts": 5}, "has no column 5 to take counts from; it has 2 columns"),
    "no_count_name.csv": (_write("a,b\n1,1\n1,-1\n"), {"counts": "n"}, "has no column 'n'"),
    "bits.csv": (_write("0,1\n1,1\n"), {}, "space='bits'"),
    "binary.csv": (_write(bytes(range(128, 256))), {}, "cannot read"),
    "not.zip": (_write("no archive"), {}, "cannot read"),
    "not.csv.gz": (_write("no archive"), {}, "cannot read"),
    "not.npz": (_write("no archive"), {}, "cannot read"),
    "not.npy": (_write("no array"), {}, "cannot read"),
    "not.nc": (_write("no netcdf"), {}, "cannot read"),
    "not.h5": (_write("no hdf5"), {}, "cannot read"),
    "not.zarr": (lambda path: path.mkdir(), {}, "cannot read"),
    "empty.npy": (_write(""), {}, "is empty"),
    "pickle.npy": (lambda path: np.save(path, np.array([[{}]], object), allow_pickle=True), {}, "cannot read"),
    "two.npz": (
        lambda path: np.savez(path, a=STATES, b=STATES),
        {},
        r"needs one array called 'state'; found a \(12, 6\), b \(12, 6\)\. Choose one: variable='a' ",
    ),
    "groups.h5": (_in_a_group, {}, r"no arrays at its top, only groups \('run'\)"),
    "a_folder": (lambda path: path.mkdir(), {}, "it is a folder; name a file in it"),
    "none.npz": (lambda path: np.savez(path, a=np.arange(3)), {}, "needs one array called 'state'"),
    "zero.npz": (lambda path: np.savez(path), {}, "found nothing"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(tmp_path, name):
    write, options, message = BROKEN[name]
    if write is not None:
        write(tmp_path / name)
    with pytest.raises(HamlearnError, match=message) as caught:
        microstates(tmp_path / name, **options)
    assert "\n" not in str(caught.value), "one line at the shell"


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_results_are_no_microstates(tmp_path, ending):
    post = hl.learn(microstates(STATES, beta=1.0), hl.models.Couplings(None), engine="laplace", check=False)
    with pytest.raises(HamlearnError, match=rf"post{ending} holds a posterior, not microstates: .*hl\.load"):
        microstates(hl.save(post, tmp_path / f"post{ending}"))
    with pytest.raises(HamlearnError, match="this is a posterior"):
        microstates(post)
    curve = hl.predict(post, [0.5], draws=4, observables=["energy"])
    xr.testing.assert_equal(storage.read_dataset(hl.save(curve, tmp_path / f"saved{ending}")), curve)
    with pytest.raises(HamlearnError, match=r"no hamlearn posterior.*hamlearn\.storage\.read_dataset"):
        hl.load(tmp_path / f"saved{ending}")
    with pytest.raises(HamlearnError, match="holds a prediction, not microstates"):
        microstates(storage.write_dataset(curve, tmp_path / f"curve{ending}"))


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_files_of_a_newer_version_say_so(tmp_path, ending):
    newer = microstates(STATES)
    newer.attrs["schema_version"] = rooms.SCHEMA + 1
    storage.write_dataset(newer, tmp_path / f"newer{ending}")
    with pytest.raises(HamlearnError, match=r"written by a newer hamlearn .*upgrade"):
        microstates(tmp_path / f"newer{ending}")


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_file_cut_off_in_the_middle_is_refused(tmp_path, cut):
    path = storage.write_dataset(microstates(np.repeat(STATES, 2000, 0)), tmp_path / "data.nc")
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    with pytest.raises(HamlearnError, match="cannot read"):
        microstates(path)


CODES = {"from one": [1, 2, 3, 4, 5], "with gaps": [0, 2, 5], "one code": [4]}


@pytest.mark.parametrize("codes", CODES.values(), ids=CODES)
def test_a_code_that_never_occurs_is_no_state(codes, caplog):
    drawn = np.random.default_rng(0).integers(0, len(codes), (60, 4))
    with caplog.at_level("INFO", logger="hamlearn"):
        data = microstates(np.array(codes)[drawn], space="states")
    assert "never occurs is no state" in caplog.text
    assert data.attrs["q"] == max(2, len(codes))
    np.testing.assert_array_equal(data["state"].values[0], drawn)
    np.testing.assert_array_equal(np.array(codes_of(data))[data["state"].values[0]], np.array(codes)[drawn])


def test_declared_states_keep_their_numbers():
    data = microstates([[0, 2], [5, 2]], space="states", q=6)
    assert "codes" not in data.attrs and data.attrs["q"] == 6
    np.testing.assert_array_equal(data["state"].values[0], [[0, 2], [5, 2]])


def test_files_that_lack_different_codes_number_their_states_alike():
    first, second = [[1, 3], [3, 1]], [[3, 4], [7, 4]]
    parts = split_by_beta([microstates(first, "states", beta=0.5), microstates(second, "states", beta=1.0)])
    assert [codes_of(part) for part in parts] == [[1, 3, 4, 7]] * 2
    for part, values in zip(parts, (first, second), strict=True):
        np.testing.assert_array_equal(np.array(codes_of(part))[part["state"].values[0]], values)
        assert part.attrs["q"] == 4


def test_codes_survive_a_file_and_name_what_is_unknown(tmp_path):
    data = microstates([[1, 5], [5, 1], [2, 2]], "states")
    again = microstates(storage.write_dataset(data, tmp_path / "codes.nc"))
    assert codes_of(again) == [1, 2, 5]
    with pytest.raises(HamlearnError, match=r"the codes \[5\], which are none of the states"):
        recoded(again, [1, 2, 3])


def test_a_table_that_has_not_been_computed_is_refused_with_the_call():
    class LazyFrame:  # of polars: columns, and no numbers yet
        columns = ("a", "b")

        def collect(self):
            """Never called."""

    with pytest.raises(HamlearnError, match=r"a LazyFrame has not been computed: give source\.collect\(\)"):
        hl.microstates(LazyFrame())
