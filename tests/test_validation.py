"""One door for microstates: a Dataset that was changed by hand or by a file is refused for what an array is refused for."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import diagnostics, storage
from hamlearn.data import admit, microstates, open_microstates
from hamlearn.errors import HamlearnError

RNG = np.random.default_rng(0)
SPINS = RNG.choice([-1, 1], (2, 30, 2, 2)).astype(np.int8)
AXES = ("chain", "draw", "row", "col")
GOOD = microstates(SPINS, beta=0.5, dims=AXES)
STATES = microstates(RNG.integers(0, 3, (2, 30, 4)), "states", 0.5, ("chain", "draw", "site"), q=3)
ANGLES = microstates(RNG.uniform(0, 6, (30, 4)), "angles", 0.5)
REALS = microstates(RNG.normal(size=(30, 4)), "reals", 0.5)
COUNTED = microstates(SPINS[0], beta=0.5, counts=np.arange(30))
SEVERAL = microstates(SPINS, beta=[0.5, 1.0], dims=("beta", "draw", "row", "col"))


def values(data, change):
    return data.assign(state=(data["state"].dims, change(data["state"].values.copy())))


def put(value, kind=float):
    def change(array):
        array = array.astype(kind)
        array[(0, 3, *(0,) * (array.ndim - 2))] = value
        return array

    return change


# A new way to spoil microstates is one line: the Dataset, and words of the refusal.
SPOILED = {
    "zeros": (values(GOOD, put(0)), "allows the values -1 and 1; found -1.0, 0.0"),
    "fractions": (values(GOOD, lambda x: x * 0.3), r"found -0\.3, 0\.3"),
    "infinite": (values(GOOD, put(np.inf)), "found -1.0, 1.0, inf"),
    "wide": (values(GOOD, put(257, int)), "found -1, 1, 257"),
    "complex": (values(GOOD, put(1j, complex)), "must be numbers; got dtype complex128"),
    "objects": (values(GOOD, put(None, object)), "not numbers"),
    "words": (values(GOOD, lambda x: x.astype(str)), "must be numbers; got dtype <U"),
    "dates": (values(GOOD, lambda x: x.astype("datetime64[s]").astype("datetime64[ns]")), "must be numbers"),
    "bytes": (values(GOOD, lambda x: x.astype("S2")), "must be numbers"),
    "state of q": (values(STATES, put(3, int)), r"integers 0 … 2; found values from 0 to 3"),
    "negative state": (values(STATES, put(-1, int)), "found values from -1 to 2"),
    "turned angle": (values(ANGLES, put(7)), r"radians in \[0, 2π\)"),
    "infinite real": (values(REALS, put(np.inf)), "0 NaN and 1 infinite"),
    "closed path": (REALS.assign(state=(("chain", "draw", "t"), np.concatenate([REALS.state, REALS.state[..., :1]], -1))), "is repeated"),
    "beta negative": (GOOD.assign_coords(beta=-0.5), "must be finite and > 0; got -0.5"),
    "beta zero": (GOOD.assign_coords(beta=0.0), "must be finite and > 0"),
    "beta NaN": (GOOD.assign_coords(beta=np.nan), "must be finite and > 0"),
    "beta in words": (GOOD.assign_coords(beta="warm"), "must be a number"),
    "beta complex": (GOOD.assign_coords(beta=1j), "must be a number"),
    "beta of other dims": (GOOD.assign_coords(beta=("draw", np.ones(30))), r"needs dims \(\)"),
    "one of many beta": (SEVERAL.assign_coords(beta=("beta", [0.5, np.nan])), "must be finite and > 0"),
    "no beta": (SEVERAL.drop_vars("beta"), "coordinate 'beta'"),
    "q zero": (STATES.assign_attrs(q=0), "'q' of states is 2 to 127; got 0"),
    "q of spins": (GOOD.assign_attrs(q=3), "'q' of spins is 2; got 3"),
    "q in words": (GOOD.assign_attrs(q="two"), "'q' must be a whole number"),
    "q of reals": (REALS.assign_attrs(q=2), "'q' of reals is 0"),
    "unknown space": (GOOD.assign_attrs(space="spin"), "'space' must be one of .* Did you mean 'spins'"),
    "another space": (GOOD.assign_attrs(space="states"), "found values from -1"),
    "space of an array": (GOOD.assign_attrs(space=np.arange(3)), "'space' must be one of"),
    "unknown source": (GOOD.assign_attrs(source_space="bytes"), "source_space"),
    "no space": (xr.Dataset(dict(GOOD.data_vars), GOOD.coords, {"q": 2}), "need attributes 'space'"),
    "declared twice": (GOOD.assign_attrs(beta_declared=2), "beta_declared.* is 0 or 1; got 2"),
    "independence in words": (GOOD.assign_attrs(independent="yes"), "independent.* is 0 or 1"),
    "tau in words": (GOOD.assign_attrs(tau_int="long"), "'tau_int' is a number > 0"),
    "tau negative": (GOOD.assign_attrs(tau_int=-1.0), "'tau_int' is a number > 0"),
    "system no JSON": (GOOD.assign_attrs(system="Ising"), "'system' is not JSON"),
    "system a list": (GOOD.assign_attrs(system="[1]"), "'system' is the JSON of a description"),
    "codes no JSON": (STATES.assign_attrs(codes="0, 1, 2"), "'codes' is not JSON"),
    "codes of others": (STATES.assign_attrs(codes="[0, 1]"), "'codes' is the JSON of q = 3"),
    "codes twice": (STATES.assign_attrs(codes="[0, 1, 1]"), "'codes' is the JSON"),
    "codes of words": (STATES.assign_attrs(codes='["a", "b", "b"]'), "'codes' is the JSON"),
    "newer": (GOOD.assign_attrs(schema_version=99), "newer hamlearn"),
    "schema in words": (GOOD.assign_attrs(schema_version="new"), "schema_version"),
    "count negative": (COUNTED.assign(count=COUNTED["count"] - 5), "counts must be finite, not negative"),
    "count fractional": (COUNTED.assign(count=COUNTED["count"] / 2), "counts must be whole"),
    "count NaN": (COUNTED.assign(count=COUNTED["count"] * np.nan), "counts must be finite"),
    "count in words": (COUNTED.assign(count=COUNTED["count"].astype(str)), "counts must be numbers"),
    "count of other dims": (COUNTED.assign(count=("draw", np.ones(30))), "'count' needs one value per microstate"),
    "count and weight": (COUNTED.assign(weight=COUNTED["count"]), "not both"),
    "no draws": (GOOD.isel(draw=slice(0)), "no sites or no draws"),
    "no sites": (GOOD.isel(row=slice(0)), "no sites or no draws"),
    "no site axis": (GOOD.isel(row=0, col=0), "no sites or no draws"),
    "no chain": (GOOD.isel(chain=0), "needs dims"),
    "axes in another order": (GOOD.transpose("draw", "chain", "row", "col"), "needs dims"),
    "copied chain": (xr.concat([GOOD.isel(chain=[0]), GOOD.isel(chain=[0])], "chain"), "are identical copies"),
}
MODEL = hl.models.Couplings(hl.systems.lattice.hypercubic((2, 2)), fields=None)


@pytest.mark.parametrize(("data", "message"), SPOILED.values(), ids=SPOILED)
def test_a_spoiled_dataset_is_refused_at_every_door(data, message):
    doors = {
        "microstates": lambda: microstates(data),
        "learn": lambda: hl.learn(data, MODEL, engine="laplace", check=False),
        "learn a list": lambda: hl.learn([GOOD, data], MODEL, engine="laplace", check=False),
        "infer.learn": lambda: hl.infer.learn(data, MODEL),
        "check": lambda: diagnostics.check(data, MODEL),
        "overlap": lambda: hl.infer.overlap(GOOD, data),
    }
    for door in doors.values():
        with pytest.raises(HamlearnError, match=message):
            door()


def _write(data, path):
    """As a stranger writes it, without a look at what it is."""
    if path.suffix == ".nc":
        data.to_netcdf(path, engine="h5netcdf")
    else:
        data.to_zarr(path, zarr_format=2, consolidated=False)


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize(
    "name", ["zeros", "fractions", "infinite", "beta negative", "q zero", "unknown space", "count negative", "copied chain"]
)
def test_a_file_is_no_better_than_what_it_holds(tmp_path, ending, name):
    data, message = SPOILED[name]
    path = tmp_path / f"data{ending}"
    _write(data, path)
    with pytest.raises(HamlearnError, match=message):
        hl.learn(path, MODEL, check=False)
    if name in ("zeros", "fractions", "infinite"):  # left on disk, they are looked at when they are read
        opened = open_microstates(path)
        with pytest.raises(HamlearnError, match=message if name != "zeros" else "allows the values -1 and 1"):
            hl.learn(opened, MODEL, check=False)


POST = hl.learn(GOOD, MODEL, engine="laplace", check=False)


@pytest.mark.parametrize("name", ["zeros", "infinite", "beta negative", "unknown space", "codes no JSON"])
def test_states_that_a_posterior_is_asked_about_are_looked_at(name):
    data, message = SPOILED[name]
    for door in (hl.energy, hl.action, diagnostics.judge):
        with pytest.raises(HamlearnError, match=message):
            door(POST, data)
    with pytest.raises(HamlearnError, match=message):
        diagnostics.symmetry(POST, data)


def test_states_of_another_space_are_not_asked_about():
    with pytest.raises(HamlearnError, match="these microstates are states, but spins are asked for"):
        hl.energy(POST, STATES)


def test_what_is_good_comes_through_as_it_is():
    for data in (GOOD, STATES, ANGLES, REALS, COUNTED, SEVERAL):
        assert admit(data)[0] is data
        assert microstates(data) is data


def test_whole_numbers_of_any_type_become_int8():
    for kind in (np.int64, np.float64, np.float16, np.int8):
        found = microstates(values(GOOD, lambda x, kind=kind: x.astype(kind)))
        assert found["state"].dtype == np.int8
        np.testing.assert_array_equal(found["state"].values, SPINS)
        assert found.attrs == GOOD.attrs and found["beta"].item() == 0.5
    assert microstates(values(REALS, lambda x: x.astype(np.float16)))["state"].dtype == np.float64


def test_the_same_set_twice_is_refused_and_the_same_states_seen_differently_often_are_not():
    with pytest.raises(HamlearnError, match="chains 0 of set 0 and 0 of set 1 are identical copies"):
        hl.learn([GOOD, GOOD], MODEL)
    other = COUNTED.assign(count=COUNTED["count"][:, ::-1].variable).assign_coords(beta=1.0)
    assert len(admit([COUNTED, other])) == 2


# ------------------------------------------------------------------------------------------ what arrays say of themselves

FLAT = SPINS.reshape(60, 4)
NAMED = xr.DataArray(FLAT.T, dims=("site", "draw"))

TAKEN = {
    "mask of nothing": lambda: np.ma.array(FLAT, mask=np.zeros(FLAT.shape, bool)),
    "named axes": lambda: NAMED,
    "unnamed axes": lambda: xr.DataArray(FLAT),
    "lists": lambda: FLAT.tolist(),
    "tuples": lambda: tuple(map(tuple, FLAT.tolist())),
    "half precision": lambda: FLAT.astype(np.float16),
    "big-endian": lambda: FLAT.astype(">i4"),
    "Fortran": lambda: np.asfortranarray(FLAT),
    "read-only": lambda: np.broadcast_to(FLAT, FLAT.shape),
}


@pytest.mark.parametrize("make", TAKEN.values(), ids=TAKEN)
def test_what_holds_the_same_numbers_is_the_same_microstates(make):
    found = microstates(make())
    np.testing.assert_array_equal(found["state"].values, FLAT[None])
    assert found["state"].dtype == np.int8


def test_tensors_tables_and_device_arrays_are_taken():
    torch, pandas, jnp = (pytest.importorskip(name) for name in ("torch", "pandas", "jax.numpy"))
    for source in (
        torch.tensor(FLAT, dtype=torch.float32, requires_grad=True),
        torch.tensor(FLAT, dtype=torch.bfloat16),
        pandas.DataFrame(FLAT, columns=list("abcd"), index=range(100, 160)),
        pandas.DataFrame(FLAT).astype("Int8"),
        jnp.asarray(FLAT),
    ):
        np.testing.assert_array_equal(microstates(source)["state"].values, FLAT[None])
    for source, message in (
        (
            pandas.DataFrame(FLAT).assign(name="a"),
            "the table holds text in column 'name', 'a', and numbers in column '0': .*space='states'",
        ),
        (pandas.DataFrame(FLAT)[0], "at least two axes"),
        (torch.ones(3, 3, device="meta"), "cannot be read as an array of states"),
    ):
        with pytest.raises(HamlearnError, match=message):
            microstates(source)


def test_a_data_array_brings_its_temperature_and_its_axes():
    several = xr.DataArray(SPINS, dims=("beta", "draw", "x", "y"), coords={"beta": [0.5, 1.0]})
    assert microstates(several)["beta"].values.tolist() == [0.5, 1.0]
    assert microstates(NAMED.assign_coords(beta=0.7))["beta"].item() == 0.7
    assert microstates(xr.DataArray(FLAT), dims=("draw", "spin"))["state"].dims == ("chain", "draw", "spin")
    assert microstates(NAMED, dims=("draw_site", "draw"))["state"].sizes["draw"] == 60
    np.testing.assert_array_equal(microstates(xr.Dataset({"spins": NAMED, "energy": ("draw", FLAT.sum(1))}))["state"].values, FLAT[None])
    with pytest.raises(HamlearnError, match=r"variable 'state'; this Dataset holds \['a', 'b'\]"):
        microstates(xr.Dataset({"a": NAMED, "b": NAMED}))


def _sparse():
    return pytest.importorskip("scipy.sparse").csr_array(FLAT)


REFUSED = {
    "masked counts": (lambda: microstates(FLAT, counts=np.ma.array(np.ones(60), mask=np.arange(60) == 2)), "counts have masked"),
    "masked beta": (lambda: microstates(FLAT, beta=np.ma.masked), "beta"),
    "axes without draw": (lambda: microstates(xr.DataArray(FLAT, dims=("time", "site"))), "does not say which axis counts microstates"),
    "axes contradicted": (lambda: microstates(NAMED, dims=("draw", "site")), "orders them otherwise"),
    "beta contradicted": (lambda: microstates(NAMED.assign_coords(beta=0.7), beta=0.5), "coordinate beta is 0.7"),
    "sparse": (lambda: microstates(_sparse()), r"sparse matrix .*toarray"),
    "unsigned": (lambda: microstates(FLAT.astype(np.uint8)), r"255 is −1 in unsigned integers: .*np\.int8"),
    "Decimal": (lambda: microstates([[Decimal(1), Decimal(1)]]), "Decimal"),
    "Fraction": (lambda: microstates([[Fraction(1), Fraction(1)]]), "Fraction"),
    "Booleans": (lambda: microstates(FLAT > 0), "space='bits'"),
    "dates": (lambda: microstates(FLAT.astype("datetime64[s]")), "must be numbers; got dtype datetime64"),
    "durations": (lambda: microstates(FLAT.astype("timedelta64[s]")), "must be numbers"),
    "bytes": (lambda: microstates(FLAT.astype("S2")), "must be numbers"),
    "text": (lambda: microstates([["1", "-1"]]), "must be numbers"),
    "complex": (lambda: microstates(FLAT + 0j), "must be numbers"),
    "records": (lambda: microstates(np.zeros(3, "i4,i4")), "must be numbers"),
    "number": (lambda: microstates(3), "at least two axes"),
    "nothing": (lambda: microstates(None), "an array or a file; got None"),
    "a function": (lambda: microstates(np.ones), "an array or a file"),
    "a generator": (lambda: microstates(row for row in FLAT), "got a generator"),
    "a set": (lambda: microstates({1, -1}), "got a set"),
    "a dictionary": (lambda: microstates({"state": FLAT}), "got a dict"),
    "a list of microstates": (lambda: microstates([GOOD, SEVERAL]), "give it to hl.learn"),
    "a posterior": (lambda: microstates(POST), "a posterior"),
    "dims one word": (lambda: microstates(FLAT, dims="draw"), "dims must be a sequence of names"),
    "dims numbers": (lambda: microstates(FLAT, dims=(0, 1)), "dims must be a sequence of names"),
    "dims of a variable": (lambda: microstates(FLAT, dims=("draw", "count")), "may not be called 'count'"),
    "empty space": (lambda: microstates(FLAT, space=""), "space must be one of"),
    "space a number": (lambda: microstates(FLAT, space=3), "space must be one of"),
    "q in words": (lambda: microstates(FLAT > 0, "states", q="2"), "q must be a positive whole number"),
    "q a float": (lambda: microstates(FLAT > 0, "states", q=2.0), "q must be a positive whole number"),
    "q of spins": (lambda: microstates(FLAT, q=3), "has two values"),
    "wrap in words": (lambda: microstates(FLAT, "reals", wrap="no"), "wrap must be True or False"),
    "beta text of a number": (lambda: microstates(FLAT, beta="0.5"), "beta .* must be a number"),
    "beta true": (lambda: microstates(FLAT, beta=True), "beta .* must be a number"),
    "beta empty": (lambda: microstates(FLAT, beta=[]), "beta .* must be"),
    "counts of axes in another order": (
        lambda: microstates(SPINS, dims=AXES, counts=np.ones((30, 2))),
        r"one value per microstate, shape \(2, 30\)",
    ),
    "counts words": (lambda: microstates(FLAT, counts=["a"] * 60), "counts must be numbers"),
    "counts a number": (lambda: microstates(FLAT, counts=3), "one per microstate"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_lose_its_meaning_is_refused(make, message):
    with pytest.raises(HamlearnError, match=message):
        make()


def test_a_column_of_counts_is_not_ignored_where_there_are_no_columns(tmp_path):
    np.save(tmp_path / "a.npy", FLAT)
    for column in (1, "n"):
        with pytest.raises(HamlearnError, match=r"names a column of a table"):
            microstates(tmp_path / "a.npy", counts=column)
    np.savez(tmp_path / "b.npz", state=FLAT, counts=np.ones(60))
    with pytest.raises(HamlearnError, match="names a column of a table"):
        microstates(tmp_path / "b.npz", counts="n")


def test_attributes_as_files_bring_them_are_taken(tmp_path):
    whole = STATES.assign_attrs(codes=json.dumps([1, 4, 9]), tau_int=np.nan, system="{}", independent=1)
    for ending in (".nc", ".zarr"):
        back = microstates(storage.write_dataset(whole, tmp_path / f"data{ending}"))
        assert back.attrs["codes"] == "[1, 4, 9]"


# ------------------------------------------------------------------------------------------ posteriors


def changed(**attrs):
    post = POST.copy()
    post.attrs = {name: value for name, value in {**POST.attrs, **attrs}.items() if value is not None}
    return post


def with_entries(**entries):
    found = {name: value for name, value in {**json.loads(POST.attrs["provenance"]), **entries}.items() if value is not None}
    return changed(provenance=json.dumps(found))


def with_group(name, data):
    post = POST.copy(deep=True)
    if data is None:
        del post[name]
    else:
        post[name] = xr.DataTree(data)
    return post


DRAWS = POST["posterior"].to_dataset()
POSTERIORS = {
    "nothing": (None, "expected a posterior .* got a NoneType"),
    "an array": (FLAT, "expected a posterior .* got a ndarray"),
    "microstates": (GOOD, "expected a posterior .* got a Dataset"),
    "a path": ("post.nc", "expected a posterior .* got a str"),
    "another tree": (xr.DataTree(), "expected a posterior .* got a DataTree without them"),
    "no draws": (with_group("posterior", DRAWS.isel(draw=slice(0))), "needs dims chain and draw"),
    "no group of draws": (with_group("posterior", None), "expected a posterior"),
    "no point": (with_group("point", None), "couplings lacks its group 'point'"),
    "no observed data": (with_group("observed_data", None), "lacks its group 'observed_data'"),
    "NaN draws": (with_group("posterior", DRAWS.where(DRAWS.draw > 3)), "'J' in the posterior's group 'posterior' holds .* not finite"),
    "infinite point": (with_group("point", POST["point"].to_dataset() * np.inf), "'J' in the posterior's group 'point' holds"),
    "NaN prior": (with_group("prior", DRAWS.where(DRAWS.draw > 3)), "'J' in the posterior's group 'prior' holds .* not finite"),
    "words": (with_group("posterior", DRAWS.astype(str)), "'J' .* holds no real numbers"),
    "complex draws": (with_group("posterior", DRAWS.astype(complex)), "'J' .* holds no real numbers"),
    "axes turned": (with_group("posterior", DRAWS.transpose("bond", ...)), r"'J' .* needs dims \(chain, draw, ...\)"),
    "bonds lost": (
        with_group("posterior", DRAWS.isel(bond=slice(1))),
        r"'J' of the posterior has a shape a draw of \(1,\), but at",
    ),
    "no couplings": (with_group("posterior", DRAWS.rename(J="K")), "'J' of the posterior .* it is missing"),
    "no model": (changed(model=None), "attribute 'model'"),
    "model no JSON": (changed(model="{"), "'model' cannot be read as JSON"),
    "model a list": (changed(model="[]"), "'model' is JSON of a dict"),
    "unknown model": (changed(model='{"kind": "magic"}'), "kind of model must be one of"),
    "half a model": (changed(model='{"kind": "couplings"}'), "description of a model cannot be read"),
    "no provenance": (changed(provenance=None), "lacks the attribute 'provenance'"),
    "provenance no JSON": (changed(provenance="x"), "'provenance' cannot be read as JSON"),
    "provenance without engine": (with_entries(engine=None), "provenance lacks 'engine'"),
    "engine a word": (with_entries(engine="laplace"), "no entries under 'engine'"),
    "an entry nobody knows": (with_entries(magic=1), "holds 'magic'"),
    "parameters in words": (with_entries(n_params="ten"), "needs a whole number under 'n_params'"),
    "a basis nobody knows": (with_entries(calibration={"basis": {"code": "hope"}}), "what error bars rest on is one of"),
    "a comparison without its number": (with_entries(check={"decision": "agrees"}), "has an overall p-value"),
    "no space": (changed(space=None), "lacks the attribute 'space'"),
    "unknown space": (changed(space="spin"), "space must be one of"),
    "q in words": (changed(q="two"), "'q' must be a whole number"),
    "no extents": (changed(site_shape="null"), "'site_shape' is JSON of a list"),
    "extents negative": (changed(site_shape="[-2, 2]"), "'site_shape' must be a positive whole number"),
    "beta negative": (changed(beta="[-1.0]"), "'beta' .* must be finite and > 0"),
    "beta in words": (changed(beta='["a"]'), "'beta' .* must be a number"),
    "declared maybe": (changed(beta_declared="maybe"), "'beta_declared' is 0 or 1"),
    "newer": (changed(schema_version=99), "newer hamlearn"),
}


@pytest.mark.parametrize(("post", "message"), POSTERIORS.values(), ids=POSTERIORS)
def test_a_spoiled_posterior_is_refused_by_every_verb(post, message, tmp_path):
    verbs = {
        "members": lambda: hl.draw_systems(post, 2),
        "energy": lambda: hl.energy(post, GOOD),
        "action": lambda: hl.action(post, GOOD),
        "predict": lambda: hl.predict(post, 0.5, observables=["energy"]),
        "extrapolate": lambda: hl.extrapolate(post, 0.7),
        "log_prob": lambda: hl.log_prob(post, GOOD),
        "sample": lambda: hl.sample(post, 2),
        "estimate": lambda: hl.estimate(post),
        "report": lambda: hl.report(post, tmp_path / "report.html"),
    }
    for name, verb in verbs.items():
        # Densities are asked for by some: they may say first that this is none, or that the model is none.
        density = name in ("log_prob", "sample", "estimate")
        with pytest.raises(HamlearnError, match=f"{message}|has a normalised density" if density else message):
            verb()


def test_an_untouched_posterior_comes_through():
    assert hl.verdict(POST).level and hl.draw_systems(POST, 2)
    assert hl.predict(POST, 0.5, observables=["energy"])["energy"].shape == (1, 5)


def test_the_posteriors_inside_of_a_posterior_are_looked_at():
    from hamlearn.infer.accepted import admit_posterior

    post = POST.copy(deep=True)
    post["source_0"] = POST.copy(deep=True)
    assert admit_posterior(post) is post
    post["source_0"] = with_group("posterior", DRAWS.where(DRAWS.draw > 3))
    with pytest.raises(HamlearnError, match="not finite"):
        admit_posterior(post)
