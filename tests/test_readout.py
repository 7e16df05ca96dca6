"""Readout errors at the door: how rates come in, what is refused, and who needs true values."""

from __future__ import annotations

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import diagnostics, storage
from hamlearn.cli.rates import read_flip
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
    "a matrix": ([[0.9, 0.1], [0.3, 0.7]], [[0.1, 0.3]] * 3),
    "a matrix of every site": ([[[1, 0], [0.3, 0.7]], np.eye(2), [[0.9, 0.1], [0, 1]]], [[0, 0.3], [0, 0], [0.1, 0]]),
    "a matrix by name": ({"ben": [[0.9, 0.1], [0.3, 0.7]], "eve": 0.2}, [[0, 0], [0.1, 0.3], [0.2, 0.2]]),
    "none": (0, None),
}


def wrong(data):
    """How often the lower and the upper value of every spin is misread."""
    found = flips(data)
    np.testing.assert_allclose(found.sum(-1), 1)
    return found[:, [0, 1], [1, 0]]


@pytest.mark.parametrize("given", GIVEN)
def test_rates_come_in_as_they_are_known(given):
    data, expected = hl.microstates(VALUES, names=NAMES, flip=GIVEN[given][0]), GIVEN[given][1]
    assert known(data) if expected is None else wrong(data).tolist() == expected


def test_two_sites_have_lists_for_sites_and_tuples_of_lists_for_directions():
    read = lambda flip: wrong(hl.microstates(VALUES[:, :2], flip=flip)).tolist()
    assert read([0.1, 0.2]) == [[0.1, 0.1], [0.2, 0.2]] and read(([0.1, 0.1], [0.2, 0.2])) == [[0.1, 0.2], [0.1, 0.2]]
    assert read((0.1, 0.1)) == read(0.1)  # either way the same
    assert wrong(hl.microstates(np.tile(VALUES, 2)[:, :4], flip=(0.1, 0.2, 0.3, 0.4)))[:, 0].tolist() == [0.1, 0.2, 0.3, 0.4]


def test_bits_of_a_grid_have_rates_by_place():
    rates = np.arange(6).reshape(2, 3) / 100
    data = hl.microstates((VALUES.reshape(20, 2, 3) + 1) // 2, "bits", flip=rates)
    np.testing.assert_array_equal(wrong(data)[:, 0], rates.ravel())
    assert data["flip"].dims == ("x0", "x1", "true", "read")


THREE = [[0.9, 0.1, 0], [0.05, 0.9, 0.05], [0, 0.2, 0.8]]
COLOURS = np.random.default_rng(1).integers(0, 3, (40, 3, 3))  # as many states as sites along each axis


def test_states_are_read_as_any_other_alike_or_by_a_matrix():
    (rate,), (matrix,) = (np.unique(flips(hl.microstates(COLOURS, "states", flip=one), 3), axis=0) for one in (0.1, THREE))
    np.testing.assert_allclose(rate, [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    np.testing.assert_allclose(matrix, THREE)
    rates = np.arange(9).reshape(3, 3) / 50  # as many sites as values: no matrix has a diagonal below one half
    found = flips(hl.microstates(COLOURS, "states", flip=rates), 3)
    np.testing.assert_allclose(1 - found[:, [0, 1, 2], [0, 1, 2]], np.repeat(rates.reshape(-1, 1), 3, 1), atol=1e-15)


def test_sites_with_their_own_states_are_misread_among_these():
    table = np.random.default_rng(2).integers(0, (2, 4, 3), (40, 3))
    data = hl.microstates(table, "states", q=(2, 4, 3), names=NAMES, flip={"anna": 0.1, "eve": THREE})
    np.testing.assert_allclose(flips(data, 4)[0], [[0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(flips(data, 4)[2, :3, :3], THREE)
    assert flips(data, 4)[1].tolist() == np.eye(4).tolist()


ANGLES = np.random.default_rng(0).uniform(0, 6, (10, 3))
FIXED = hl.spaces.Spins(magnetization=1)
REFUSED = {
    "a half": (lambda: hl.microstates(VALUES, flip=0.5), r"finite number >= 0 and < 0.5; got 0.5"),
    "negative": (lambda: hl.microstates(VALUES, flip=-0.1), "got -0.1"),
    "nan": (lambda: hl.microstates(VALUES, flip=np.nan), "got nan"),
    "nan at a site": (lambda: hl.microstates(VALUES, flip=[0.1, np.nan, 0]), "got nan"),
    "a truth value": (lambda: hl.microstates(VALUES, flip=True), "got True"),
    "words": (lambda: hl.microstates(VALUES, flip="often"), "got 'often'"),
    "wrong shape": (lambda: hl.microstates(VALUES, flip=[0.1, 0.2]), r"the sites have the shape \(3,\), and what was given \(2,\)"),
    "unknown name": (
        lambda: hl.microstates(VALUES, names=NAMES, flip={"bob": 0.1}),
        "'bob', which is no name of these sites: they are anna",
    ),
    "no names": (lambda: hl.microstates(VALUES, flip={"anna": 0.1}), "they have none"),
    "angles": (lambda: hl.microstates(ANGLES, "angles", flip=0.1), "only spins, bits and states are"),
    "reals": (lambda: hl.microstates(ANGLES, "reals", flip=0.1), "only spins, bits and states are"),
    "no sums to one": (
        lambda: hl.microstates(VALUES, flip=[[0.9, 0.2], [0.1, 0.9]]),
        r"row 0 .* sum to one; got \[0.9, 0.2\], with the sum 1.1",
    ),
    "less than nothing": (lambda: hl.microstates(VALUES, flip=[[0.9, 0.1], [-0.1, 1.1]]), r"row 1 .*got \[-0.1, 1.1\]"),
    "nan in a matrix": (lambda: hl.microstates(VALUES, flip=[[np.nan, 0.1], [0.1, 0.9]]), "row 0 .* nan"),
    "wrong more often": (lambda: hl.microstates(VALUES, flip=[[0.4, 0.6], [0.1, 0.9]]), "more often than wrong.* in row 0 it is 0.4"),
    "a matrix of others": (lambda: hl.microstates(VALUES, flip=THREE), "matrices of 3 values for sites that have 2"),
    "one matrix for many": (
        lambda: hl.microstates(np.arange(2) * np.ones((9, 1), int), "states", q=(2, 3), flip=THREE),
        r"matrices of 3 values for sites that have 2, 3: give each one of its own",
    ),
    "directions of three": (lambda: hl.microstates(COLOURS, "states", flip=(0.1, 0.2)), r"a \(3, 3\) matrix of P\(read \| true\)"),
    "states that are missing": (
        lambda: hl.learn(
            [hl.microstates(COLOURS, "states", flip=0.1), hl.microstates(COLOURS[:20] % 2 * 3, "states", beta=2.0, flip=0.1)],
            hl.models.Couplings(),
        ),
        "misread .* among fewer states",
    ),
    "a fixed sum": (lambda: hl.microstates([[1, 1, -1], [1, -1, 1]], FIXED, flip=0.1), "magnetization is fixed"),
    "other rates": (lambda: hl.microstates(DATA, flip=0.1), "say already how often they are misread"),
    "by hand, beyond": (lambda: admit(DATA.assign(flip=DATA["flip"] + 0.5), missing=True), "'flip' holds the prob"),
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
    assert wrong(part)[:, 0].tolist() == [0.2, 0.1] and not known(part) and known(part.drop_vars("flip"))


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
    with pytest.raises(HamlearnError, match=r"read with errors \(flip\), and this needs true ones"):
        door()
