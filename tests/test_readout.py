"""Readout errors at the door: how rates come in, what is refused, and who needs true values."""

from __future__ import annotations

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import diagnostics, storage
from hamlearn.cli.options import read_flip
from hamlearn.data import admit, fingerprint, flips, known
from hamlearn.errors import HamlearnError

VALUES = np.random.default_rng(0).choice([-1, 1], (40, 3))
NAMES = ["anna", "ben", "eve"]
DATA = hl.microstates(VALUES, flip=0.02, names=NAMES)

GIVEN = {
    "a rate": (0.1, [[0.1, 0.1]] * 3),
    "of every site": ([0.1, 0, 0.2], [[0.1, 0.1], [0, 0], [0.2, 0.2]]),
    "by direction": ((0.1, 0.3), [[0.1, 0.3]] * 3),
    "by direction and site": (([0.1, 0, 0.2], 0.3), [[0.1, 0.3], [0, 0.3], [0.2, 0.3]]),
    "by name": ({"eve": 0.2}, [[0, 0], [0, 0], [0.2, 0.2]]),
    "none": (0, None),
}


@pytest.mark.parametrize("given", GIVEN)
def test_rates_come_in_as_they_are_known(given):
    found = flips(hl.microstates(VALUES, names=NAMES, flip=GIVEN[given][0]))
    assert found is None if GIVEN[given][1] is None else found.tolist() == GIVEN[given][1]


def test_two_sites_have_lists_for_sites_and_tuples_of_lists_for_directions():
    read = lambda flip: flips(hl.microstates(VALUES[:, :2], flip=flip)).tolist()
    assert read([0.1, 0.2]) == [[0.1, 0.1], [0.2, 0.2]] and read(([0.1, 0.1], [0.2, 0.2])) == [[0.1, 0.2], [0.1, 0.2]]
    assert read((0.1, 0.1)) == read(0.1)  # either way the same
    assert flips(hl.microstates(np.tile(VALUES, 2)[:, :4], flip=(0.1, 0.2, 0.3, 0.4)))[:, 0].tolist() == [0.1, 0.2, 0.3, 0.4]


def test_bits_of_a_grid_have_rates_by_place():
    rates = np.arange(6).reshape(2, 3) / 100
    data = hl.microstates((VALUES.reshape(20, 2, 3) + 1) // 2, "bits", flip=rates)
    np.testing.assert_array_equal(flips(data)[:, 0], rates.ravel())
    assert data["flip"].dims == ("x0", "x1", "true")


ANGLES = np.random.default_rng(0).uniform(0, 6, (10, 3))
FIXED = hl.spaces.Spins(magnetization=1)
REFUSED = {
    "a half": (lambda: hl.microstates(VALUES, flip=0.5), r"finite number >= 0 and < 0.5; got 0.5"),
    "negative": (lambda: hl.microstates(VALUES, flip=-0.1), "got -0.1"),
    "nan": (lambda: hl.microstates(VALUES, flip=np.nan), "got nan"),
    "nan at a site": (lambda: hl.microstates(VALUES, flip=[0.1, np.nan, 0]), "got nan"),
    "a truth value": (lambda: hl.microstates(VALUES, flip=True), "got True"),
    "words": (lambda: hl.microstates(VALUES, flip="often"), "got 'often'"),
    "wrong shape": (lambda: hl.microstates(VALUES, flip=[0.1, 0.2]), r"the sites have the shape \(3,\), and the rates \(2,\)"),
    "unknown name": (
        lambda: hl.microstates(VALUES, names=NAMES, flip={"bob": 0.1}),
        "'bob', which is no name of these sites: they are anna",
    ),
    "no names": (lambda: hl.microstates(VALUES, flip={"anna": 0.1}), "they have none"),
    "angles": (lambda: hl.microstates(ANGLES, "angles", flip=0.1), "only spins and bits flip"),
    "reals": (lambda: hl.microstates(ANGLES, "reals", flip=0.1), "only spins and bits flip"),
    "states": (lambda: hl.microstates(VALUES + 1, "states", flip=0.1), "only spins and bits flip"),
    "a fixed sum": (lambda: hl.microstates([[1, 1, -1], [1, -1, 1]], FIXED, flip=0.1), "magnetization is fixed"),
    "other rates": (lambda: hl.microstates(DATA, flip=0.1), "say already how often they are misread"),
    "by hand, beyond": (lambda: admit(DATA.assign(flip=DATA["flip"] + 0.5), missing=True), "'flip' holds the rates"),
    "by hand, of one": (lambda: admit(DATA.assign(flip=0.1), missing=True), "'flip' needs dims"),
    "the shell": (lambda: read_flip("0.1,x"), "--flip is a rate"),
    "a name twice": (lambda: read_flip("a=0.1,b=0.1, a=0.2"), "gives 'a' more than one rate"),
    "sites or directions": (lambda: hl.microstates(VALUES[:, :2], flip=(0.1, 0.2)), r"flip=\[0.1, 0.2\] \(a list\), one for every site"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_rates_that_are_none_are_refused_in_one_line(what):
    make, message = REFUSED[what]
    with pytest.raises(HamlearnError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_shell_reads_what_the_verb_takes():
    assert [read_flip(text) for text in (None, "0.1", "0.1,0.2", "0.1,0,0.2", "anna=0.1, ben=0.2")] == [
        None,
        0.1,
        (0.1, 0.2),
        [0.1, 0.0, 0.2],
        {"anna": 0.1, "ben": 0.2},
    ]


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_files_keep_rates(ending, tmp_path):
    again = hl.microstates(storage.write_dataset(DATA, tmp_path / f"data.{ending}"))
    np.testing.assert_array_equal(flips(again), flips(DATA))
    assert fingerprint([again]) == fingerprint([DATA]) != fingerprint([DATA.drop_vars("flip")])


def test_rates_follow_their_sites_and_rows():
    part = hl.microstates(VALUES, names=NAMES, flip=[0.1, 0, 0.2]).sel(site=["eve", "anna"]).isel(draw=slice(5))
    assert flips(part)[:, 0].tolist() == [0.2, 0.1] and not known(part) and known(part.drop_vars("flip"))


POST = hl.learn(DATA.drop_vars("flip"), hl.models.Couplings(), engine="laplace", check=False)
DOORS = {
    "a density": lambda: hl.learn(DATA, hl.models.Autoregressive(hidden=2), check=False),
    "a family of terms": lambda: hl.learn(DATA, hl.models.ClusterExpansion(window=2), check=False),
    "energy": lambda: hl.energy(POST, DATA),
    "measured": lambda: hl.infer.measured(POST, DATA),
    "symmetry": lambda: diagnostics.symmetry(POST, DATA),
    "posterior predictive": lambda: diagnostics.posterior_predictive(POST, DATA),
    "log likelihood": lambda: hl.infer.log_likelihood(POST, DATA),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_whoever_needs_true_values_says_so(door):
    with pytest.raises(HamlearnError, match=r"read with errors \(flip, 0.02 of the readings\)"):
        door()
