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
    with pytest.raises(HamlearnError, match="two columns called 'a'"):
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


@pytest.fixture(scope="module")
def votes():
    """Five voters, all pairs; the last one always votes yes."""
    system = hl.systems.EdwardsAnderson(5, seed=1)
    drawn = hl.simulate(system, beta=0.6, draws=400, chains=2, seed=0)["state"].values
    drawn[..., 4] = 1
    return hl.microstates(drawn, dims=("chain", "draw", "site"), beta=0.6, names=NAMES)


@pytest.fixture(scope="module")
def post(votes):
    return hl.learn(votes, hl.models.Couplings(), engine="laplace", seed=0)


def test_posteriors_call_sites_and_bonds_by_name(votes, post, tmp_path):
    J = post["posterior"]["J"]
    assert J["bond"].values.tolist()[:2] == ["anna, ben", f"anna, {HOSTILE}"]
    assert post["posterior"]["h"]["site"].values.tolist() == NAMES
    assert post["constant_data"]["site"].values.tolist() == NAMES
    assert hl.diagnostics.summary(post).index[0] == "J[anna, ben]"
    back = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert back["posterior"].equals(post["posterior"])
    drawn = hl.draw_systems(back, 1)[0]
    assert names_of(hl.simulate(drawn, beta=0.6, draws=2, seed=0)) == tuple(NAMES)  # and so through every further arrow
    assert hl.infer.interaction_strength(post)["bond"].values[0] == "anna, ben"


def test_verdicts_name_sites(post):
    told = str(hl.verdict(post))
    assert "prior-dominated: site Ева, J. ](" in told  # whose column never changes
    assert "site 4" not in told
    assert "bond anna – Ева, J. ](" in told


def test_pages_and_pictures_name_sites_and_run_nothing(post, tmp_path):
    page = hl.report(post, tmp_path / "page.html").read_text()
    assert "anna – ben" in page
    assert HOSTILE not in page and "&lt;script&gt;alert(1)" in page  # text stays text
    labels, _ = hl.plots.layout.rows(post, "J")
    assert labels[0] == "anna – ben"
    assert "ben" in [one.get_text() for one in hl.plots.matrix(post).axes[0].get_xticklabels()]
    assert "ben" in [one.get_text() for one in hl.plots.couplings(post).axes[0].texts]
    assert "eve" in [one.get_text() for one in hl.plots.couplings(post, names=["a", "b", "eve", "d", "e"]).axes[0].texts]


def test_graphs_may_name_their_sites(votes):
    by_name = hl.models.Couplings([("ben", "anna"), ("anna", "=1+1")])
    by_number = hl.models.Couplings([(1, 0), (0, 3)])
    named, numbered = (hl.learn(votes, model, engine="map", check=False)["posterior"] for model in (by_name, by_number))
    assert named.equals(numbered)
    assert named["bond"].values.tolist() == ["ben, anna", "anna, =1+1"]
    with pytest.raises(HamlearnError, match="the site 'bea', which the data do not have"):
        hl.learn(votes, hl.models.Couplings([("anna", "bea")]))
    with pytest.raises(HamlearnError, match="the data number theirs: name them"):
        hl.learn(votes.drop_vars("site"), by_name)


def test_a_posterior_refuses_microstates_of_other_names(votes, post):
    turned = votes.isel(site=[1, 0, 2, 3, 4])
    for verb in hl.energy, hl.diagnostics.diagnose, hl.infer.log_likelihood:
        with pytest.raises(HamlearnError, match="the posterior and the microstates have the same sites in another order"):
            verb(post.copy(), turned)
    assert hl.energy(post, votes.isel(draw=[0]).drop_vars("site")).sizes["draw"] == 1


def test_files_of_bonds_may_name_sites_and_lose_none(votes, tmp_path):
    from hamlearn.cli.options import read_graph

    bonds = tmp_path / "bonds.csv"
    for lines in ("ben,anna\nanna,=1+1\n", "from,to\nben,anna\nanna,=1+1\n"):
        bonds.write_text(lines)
        assert hl.models.Couplings(read_graph(str(bonds), votes, None, True)).on(NAMES).graph.bonds.tolist() == [[1, 0], [0, 3]]
    bonds.write_text("ben,bea\nanna,=1+1\n")  # a first line that is no header, with a slip
    with pytest.raises(HamlearnError, match="the site 'bea', which the data do not have"):
        hl.models.Couplings(read_graph(str(bonds), votes, None, True)).on(NAMES)


NUMBERED = hl.microstates(np.random.default_rng(0).choice([-1, 1], (40, 4)), names=["1", "2", "x", "4"])
BONDS = {
    "names that are numbers": ("1,2\n2,4\n", [[0, 1], [1, 3]]),
    "beside words": ("1,2\n2,x\n", [[0, 1], [1, 2]]),
    "words in the first line alone": ("x,1\n4,2\n", [[2, 0], [3, 1]]),
    "below a header": ("from,to\n1,2\n2,4\n", [[0, 1], [1, 3]]),
    "places, where one is no name": ("0,1\n1,2\n", [[0, 1], [1, 2]]),
}


@pytest.mark.parametrize("name", BONDS)
def test_files_of_bonds_call_sites_by_numbers_as_the_data_do(name, tmp_path):
    """Sites that are called 1 to 4 were counted from 0: a bond of 1 and 2 became one of 2 and 3."""
    from hamlearn.cli.options import read_graph

    text, bonds = BONDS[name]
    (tmp_path / "b.csv").write_text(text)
    found = read_graph(str(tmp_path / "b.csv"), NUMBERED, None, True)
    assert hl.models.Couplings(found).on(("1", "2", "x", "4")).graph.bonds.tolist() == bonds
    np.save(tmp_path / "b.npy", [[1, 2], [2, 3]])  # numbers that nobody wrote are places, as in Python
    assert read_graph(str(tmp_path / "b.npy"), NUMBERED, None, True).tolist() == [[1, 2], [2, 3]]


@pytest.mark.parametrize("text", ["1,2\n2,\n", "x,1\n2,\n", "x,1\nNA,2\n"])
def test_a_bond_without_an_end_is_refused(text, tmp_path):
    """It became a bond of the first site."""
    from hamlearn.cli.options import read_graph

    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(HamlearnError, match="a bond with an end that is empty"):
        read_graph(str(tmp_path / "b.csv"), NUMBERED, None, True)
