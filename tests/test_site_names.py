"""Sites have the names of the user's columns: kept, shown, and never mistaken for each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn.data import names_of, split_by_beta
from hamlearn.errors import HamlearnError

HOSTILE = "<script>alert(1)</script>"
NAMES = ["anna", "ben", HOSTILE, "=1+1", "Ева, J. ]("]
STATES = np.random.default_rng(0).choice([-1, 1], (40, 5)).astype(np.int8)


def _csv(path):
    pd.DataFrame(STATES, columns=NAMES).to_csv(path / "votes.csv", index=False)
    return path / "votes.csv"


# Whoever brings names is one line here.
SOURCES = {
    "said": lambda path: hl.microstates(STATES, names=NAMES),
    "pandas": lambda path: hl.microstates(pd.DataFrame(STATES, columns=NAMES)),
    "csv": lambda path: hl.microstates(_csv(path)),
    "DataArray": lambda path: hl.microstates(xr.DataArray(STATES, dims=("draw", "site"), coords={"site": NAMES})),
    "nc": lambda path: hl.microstates(hl.save(hl.microstates(STATES, names=NAMES), path / "votes.nc")),
    "zarr": lambda path: hl.microstates(hl.save(hl.microstates(STATES, names=NAMES), path / "votes.zarr")),
    "open": lambda path: hl.data.open_microstates(hl.save(hl.microstates(STATES, names=NAMES), path / "votes.zarr")).load(),
}


@pytest.mark.parametrize("source", SOURCES)
def test_names_come_with_the_data(tmp_path, source):
    data = SOURCES[source](tmp_path)
    assert names_of(data) == tuple(NAMES)
    np.testing.assert_array_equal(data["state"].sel(site="ben").values[0], STATES[:, 1])
    assert names_of(data.isel(site=[3, 0])) == ("=1+1", "anna")  # a selection keeps whose columns it has
    assert names_of(xr.concat([data.isel(draw=slice(0, 9)), data.isel(draw=slice(9, 40))], "draw")) == tuple(NAMES)


@pytest.mark.parametrize(
    "source",
    [
        pd.DataFrame(STATES),
        pd.DataFrame(STATES, columns=["Unnamed: 0", *NAMES[1:]]),
        xr.DataArray(STATES, dims=("draw", "site")),
        xr.DataArray(STATES, dims=("draw", "site"), coords={"site": range(5)}),
        STATES.reshape(10, 4, 5),
    ],
)
def test_what_is_only_counted_is_no_name(source):
    assert names_of(hl.microstates(source)) == ()


@pytest.mark.parametrize(
    "names, message",
    [
        (["a", "b"], "5 sites and 2 names"),
        ("abcde", "got 'abcde'"),
        (list("abcda"), "'a' is the name of two"),
        (["a", " ", "c", "d", "e"], "site 1, ' ', is empty"),
        (["a", "b\0", "c", "d", "e"], "site 1, .* not printable"),
        ([1.5, 2, 3, 4, 5], "text or whole numbers; got 1.5"),
    ],
)
def test_names_that_are_none_are_refused(names, message):
    with pytest.raises(HamlearnError, match=message):
        hl.microstates(STATES, names=names)


def test_a_header_that_repeats_a_name_is_refused():
    with pytest.raises(HamlearnError, match=r"the header: .*'a' is the name of two"):
        hl.microstates(pd.DataFrame(STATES, columns=list("abcda")))


def test_lattices_of_several_axes_have_no_names():
    with pytest.raises(HamlearnError, match="names= calls the sites of one axis"):
        hl.microstates(STATES.reshape(10, 4, 5), names=list("abcd"))


def test_names_that_a_file_has_are_not_replaced():
    data = hl.microstates(STATES, names=NAMES)
    assert names_of(hl.microstates(data, names=NAMES)) == tuple(NAMES)
    with pytest.raises(HamlearnError, match="name their sites already"):
        hl.microstates(data, names=list("abcde"))
    assert names_of(hl.microstates(hl.microstates(STATES), names=NAMES)) == tuple(NAMES)


def test_sets_of_other_names_are_refused_with_the_way_out():
    first, second = (hl.microstates(part, names=NAMES) for part in (STATES[:20], STATES[20:]))
    assert [names_of(part) for part in split_by_beta([first, hl.microstates(STATES[20:])])] == 2 * [tuple(NAMES)]
    turned = second.isel(site=[1, 0, 2, 3, 4])
    with pytest.raises(HamlearnError, match=r"same sites in another order: .*data.sel\(site="):
        split_by_beta([first, turned])
    split_by_beta([first, turned.sel(site=first["site"].values)])
    other = second.assign_coords(site=["anna", "ben", "c", "d", "e"])
    with pytest.raises(HamlearnError, match=r"different sites: only data set 0 has .* and only data set 1 has 'c'"):
        split_by_beta([first, other])
