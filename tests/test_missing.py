"""Missing cells of microstates: how they come in, that they stay what they are, and who refuses them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import diagnostics
from hamlearn.data import admit, complete_rows, missing
from hamlearn.errors import HamlearnError
from hamlearn.spaces import MISSING

RNG = np.random.default_rng(0)
SPINS = RNG.choice([-1.0, 1.0], (40, 4))
GONE = RNG.random(SPINS.shape) < 0.1
GONE[:, 3] = False
HOLED = np.where(GONE, np.nan, SPINS)
DATA = hl.microstates(HOLED)
ANGLES = hl.microstates(np.where(GONE, np.nan, SPINS + 1), "angles")
MODEL = hl.models.Couplings(fields=None)


def _table(kind):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(HOLED).astype(kind)


def _words(word):
    return np.where(GONE, word, SPINS.astype(int).astype(str))


# A new way to say that a cell is missing is one line.
SAID = {
    "NaN": lambda: HOLED,
    "None": lambda: np.where(GONE, None, SPINS.astype(object)),
    "lists with None": lambda: np.where(GONE, None, SPINS.astype(object)).tolist(),
    **{f"text {word!r}": lambda word=word: _words(word) for word in ("?", "NA", "", ".", "n/a", " nan ")},
    "masked": lambda: np.ma.array(SPINS.astype(int), mask=GONE),
    "masked rows": lambda: list(np.ma.array(SPINS.astype(int), mask=GONE)),
    "masked rows in chains": lambda: [[row for row in np.ma.array(SPINS.astype(int), mask=GONE)]],
    "a table": lambda: _table(float),
    "a table of nullable integers": lambda: _table("Int8"),
    "single precision": lambda: HOLED.astype(np.float32),
}


@pytest.mark.parametrize("source", SAID.values(), ids=SAID)
def test_every_way_to_say_that_a_cell_is_missing_is_the_same(source):
    made = source()
    found = hl.microstates(made, dims=("chain", "draw", "site") if np.ndim(made) == 3 else None)
    assert found.identical(DATA)
    assert found["state"].dtype == np.int8
    np.testing.assert_array_equal(missing(found)[0], GONE)
    np.testing.assert_array_equal(found["state"].values[0], np.where(GONE, MISSING, SPINS))


def test_a_mask_says_so_whatever_stands_there():
    assert hl.microstates(np.where(GONE, 7, SPINS), mask=GONE).identical(DATA)
    assert hl.microstates(SPINS, mask=np.zeros_like(GONE)).identical(hl.microstates(SPINS))


WORDS = pd.DataFrame({"calm": ["1", "refused", "10", "2"], "busy": ["7", "1", "2", "10"], "age": ["young", "?", "old", "refused"]})
ASKED = pd.DataFrame({"calm": [1, 99, 3, 2], "busy": [2, 1, 99, 98], "age": [7, 5, 7, 9]})

# Codes that stand for no answer, what they are said of, and which cells they leave out.
NO_ANSWER = {
    "a number": (99, ASKED, lambda: ASKED == 99),
    "numbers": ([99, 98.0], ASKED, lambda: ASKED.isin([99, 98])),
    "a number as text, as of the shell": (["99"], ASKED, lambda: ASKED == 99),
    "by column": ({"busy": 99, "age": [9]}, ASKED, lambda: ((ASKED == 99) & [False, True, False]) | ((ASKED == 9) & [False, False, True])),
    "a word among numbers": ("refused", WORDS, lambda: WORDS.isin(["refused", "?"])),
    "a word and a number": (["refused", 7], WORDS, lambda: WORDS.isin(["refused", "?", "7"])),
    "an array": (-9, np.where(GONE, -9, SPINS), lambda: pd.DataFrame(GONE)),
}


@pytest.mark.parametrize("name", NO_ANSWER)
@pytest.mark.parametrize("way", ["at once", "from a file"])
def test_codes_for_no_answer_leave_their_cells_out_and_are_no_states(name, way, tmp_path):
    codes, table, where = NO_ANSWER[name]
    gone = where().to_numpy()
    if way == "from a file":
        pd.DataFrame(table).to_csv(tmp_path / "asked.csv", index=False, header=isinstance(table, pd.DataFrame))
    source = tmp_path / "asked.csv" if way == "from a file" else table
    rules = {"space": "states"} if isinstance(table, pd.DataFrame) else {}
    found = hl.microstates(source, independent=True, missing=codes, **rules)
    emptied = hl.microstates(pd.DataFrame(table).mask(gone), independent=True, **rules)
    np.testing.assert_array_equal(missing(found)[0], gone)
    np.testing.assert_array_equal(found["state"].values, emptied["state"].values)
    assert hl.data.codes_of(found) == hl.data.codes_of(emptied)


SITES = pd.DataFrame(np.resize([[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 1, 2]], (20, 3)), columns=["calm", "busy", "age"]).astype(object)
GAPS = {"one column": [(3, "busy")], "several": [(3, "busy"), (3, "age"), (7, "age")], "many": [(k, "busy") for k in range(0, 20, 3)]}


@pytest.mark.parametrize("gaps", GAPS.values(), ids=GAPS)
@pytest.mark.parametrize("said", ["all", "by name"])
def test_words_among_numbers_are_found_in_a_table_on_its_side(gaps, said, tmp_path):
    table, empty = SITES.copy(), SITES.copy()
    for row, name in gaps:
        table.loc[row, name], empty.loc[row, name] = "refused", None
    codes = "refused" if said == "all" else {name: "refused" for _, name in gaps}
    table.T.to_csv(tmp_path / "t.csv")
    found = hl.microstates(tmp_path / "t.csv", "states", dims=("site", "draw"), missing=codes)
    assert found.identical(hl.microstates(empty, "states"))
    wrong = rf"t\.csv holds text in column '{gaps[0][1]}', 'refused', among numbers.*missing='refused'"
    with pytest.raises(HamlearnError, match=wrong):
        hl.microstates(tmp_path / "t.csv", "states", dims=("site", "draw"))


def test_sites_of_words_and_of_numbers_are_read_on_their_side(tmp_path):
    table = SITES.assign(smoker=np.resize(["no", "yes", "no"], 20))
    table.T.to_csv(tmp_path / "t.csv")
    assert hl.microstates(tmp_path / "t.csv", "states", dims=("site", "draw")).identical(hl.microstates(table, "states"))


@pytest.mark.parametrize("code", [99, 99.0, "99", "99.0"])
def test_a_number_is_a_code_however_it_is_written(code):
    table = SITES.copy()
    table["busy"] = table["busy"].map(str)
    table.loc[[2, 5, 9], "busy"] = ["refused", "99", "99.0"]
    found = hl.microstates(table, "states", missing=["refused", code])
    assert np.argwhere(missing(found)[0]).tolist() == [[2, 1], [5, 1], [9, 1]]


@pytest.mark.parametrize("dims", [None, ("site", "draw")])
def test_a_column_of_words_without_any_answer_is_refused(dims, tmp_path):
    words = pd.DataFrame(np.where(SPINS > 0, "yes", "no"), columns=list("abcd")).assign(c="unasked")
    (words if dims is None else words.T).to_csv(tmp_path / "w.csv", index=dims is not None)
    with pytest.raises(HamlearnError, match=r"column 'c' .* holds one value only"):
        hl.microstates(tmp_path / "w.csv", dims=dims, missing="unasked")
    words.to_csv(tmp_path / "n.csv", index=False, header=False)
    with pytest.raises(HamlearnError, match=r"site 2 .* more missing cells than observed ones \(100%"):
        hl.microstates(tmp_path / "n.csv", missing="unasked")


def test_bytes_are_no_codes():
    with pytest.raises(HamlearnError, match=r"takes the numbers or words that stand for no answer.*got b'9'"):
        hl.microstates(SPINS, missing=b"9")


MEASURED = pd.DataFrame(np.random.default_rng(1).normal(size=(30, 3)), columns=["u", "v", "w"]).astype(object)


def test_a_first_column_of_measurements_with_a_word_is_a_site(tmp_path):
    """Every row has another value, but these are no names of rows."""
    table = MEASURED.copy()
    table.loc[4, "u"] = "broken"
    table.to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(HamlearnError, match="holds text in column 'u', 'broken', among numbers"):
        hl.microstates(tmp_path / "m.csv", "reals")
    found = hl.microstates(tmp_path / "m.csv", "reals", missing="broken")
    assert found["site"].values.tolist() == ["u", "v", "w"] and np.argwhere(missing(found)[0]).tolist() == [[4, 0]]


@pytest.mark.parametrize("cell", [None, "lost"])
def test_a_time_that_was_not_written_makes_no_site_of_times(cell, tmp_path):
    table = MEASURED.assign(time=np.arange(30) * 0.5)
    table.to_csv(tmp_path / "t.csv", index=False)
    assert hl.microstates(tmp_path / "t.csv", "reals")["time"].values.tolist() == (np.arange(30) * 0.5).tolist()
    table["time"] = table["time"].astype(object)
    table.loc[5, "time"] = cell
    table.to_csv(tmp_path / "t.csv", index=False)
    for codes in (None, "lost"):
        with pytest.raises(HamlearnError, match="column 'time' that rises from row to row as time does, and 1 of its cells hold"):
            hl.microstates(tmp_path / "t.csv", "reals", missing=codes)


def test_a_column_that_tells_all_rows_apart_is_no_site(tmp_path):
    """Also where one is lost: a site of as many states as rows teaches nothing."""
    for number, who in enumerate(([*range(7, 27)], [None, *range(1, 20)], [f"p{k}" for k in range(20)])):
        table = SITES.assign(who=who)
        table.to_csv(tmp_path / f"{number}.csv", index=False)
        with pytest.raises(HamlearnError, match=r"column 'who' .* another value in each of its (20|19) rows.*drop\(columns=\['who'\]\)"):
            hl.microstates(tmp_path / f"{number}.csv", "states")
    assert hl.microstates(table, "states", labels={"who": sorted(who)})["state"].sizes["site"] == 4


def test_a_code_that_stands_nowhere_is_told(caplog):
    with caplog.at_level("WARNING", "hamlearn"):
        hl.microstates(ASKED, "states", independent=True, missing={"busy": [99, 97]})
        hl.microstates(ASKED, "states", independent=True, missing=[*range(20, 40)])
    assert [record.getMessage() for record in caplog.records if "nowhere" in record.getMessage()] == [
        "missing=97 stands nowhere in the table: is it written so there?",
        "of missing= 20, 21, 22, 23, 24, 25, 26, 27 and 12 more stand nowhere in the table: are they written so there?",
    ]


def test_a_first_row_with_a_code_is_no_header(tmp_path):
    """Its word beside numbers looks like names, and the row was lost."""
    SITES.loc[[0, *range(20)]].assign(busy=["refused", *SITES["busy"]]).to_csv(tmp_path / "t.csv", index=False, header=False)
    with pytest.raises(HamlearnError, match=r"first line of .*t\.csv \(1, refused, 3, \.\.\.\) was read as .*'refused' among the codes"):
        hl.microstates(tmp_path / "t.csv", "states", missing="refused")


TABLE = pd.DataFrame(SPINS, columns=list("abcd"))
REFUSALS = {
    "a code in every column": (TABLE.mask(GONE, -9), "spins", r"missing=-9 of hl.microstates \(--missing=-9"),
    "a code of an array of bits": (np.where(GONE, -1, SPINS > 0), "bits", "missing=-1 of hl.microstates"),
    "codes below the states": (np.where(GONE, -9, SPINS + 3), "states", "missing=-9 of hl.microstates"),
    "a column of groups": (TABLE.assign(subject=np.arange(len(TABLE)) % 5), "spins", "Only column subject holds such values"),
    "a column of words": (
        TABLE.assign(subject=[f"s{k % 5}" for k in range(len(TABLE))]),
        "spins",
        "to whom a row belongs .*assign_coords",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_values_outside_the_space_are_refused_with_a_way_out(name):
    given, space, told = REFUSALS[name]
    with pytest.raises(HamlearnError, match=told):
        hl.microstates(given, space, independent=True)


def test_codes_bits_and_continuous_spaces_keep_their_gaps():
    codes = np.where(GONE, np.nan, np.where(SPINS > 0, 5, 2))
    states = hl.microstates(codes, "states")
    assert states.attrs["codes"] == "[2, 5]" and set(np.unique(states["state"])) == {MISSING, 0, 1}
    np.testing.assert_array_equal(hl.microstates((HOLED + 1) / 2, "bits")["state"], DATA["state"])
    assert np.isnan(ANGLES["state"].values[0]).sum() == GONE.sum() == missing(ANGLES).sum()
    several = hl.microstates(np.stack([HOLED, HOLED[::-1]]), beta=[0.5, 1.0], dims=("beta", "draw", "site"))
    np.testing.assert_array_equal(missing(several)[1, 0], GONE[::-1])


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("data", [DATA, ANGLES], ids=["spins", "angles"])
def test_files_keep_them(tmp_path, ending, data):
    path = hl.save(data, tmp_path / f"data{ending}")
    found = hl.microstates(path)
    assert found["state"].dtype == data["state"].dtype
    np.testing.assert_array_equal(found["state"], data["state"])


def test_their_share_is_told_in_one_line(caplog):
    with caplog.at_level("INFO", logger="hamlearn"):
        hl.microstates(HOLED)
    assert [record.getMessage() for record in caplog.records] == [
        f"{GONE.sum()} of {GONE.size} cells ({100 * GONE.mean():.2g} %) are missing; they are kept as missing"
    ]


def test_floats_of_a_changed_dataset_are_stored_as_they_were():
    changed = DATA.assign(state=DATA["state"].where(DATA["state"] != MISSING))
    assert changed["state"].dtype.kind == "f"
    assert admit(changed, missing=True)[0].identical(DATA)


def test_complete_rows_are_those_without():
    np.testing.assert_array_equal(complete_rows(DATA)["state"].values[0], SPINS[~GONE.any(1)])
    chains = hl.microstates(np.stack([HOLED, HOLED[::-1]]), dims=("chain", "draw", "site"))
    found = complete_rows(chains)
    assert found["state"].shape == (1, 2 * (~GONE.any(1)).sum(), 4) and not missing(found).any()
    counted = hl.microstates(HOLED, counts=np.arange(1, 41))
    np.testing.assert_array_equal(complete_rows(counted)["count"].values[0], np.arange(1, 41)[~GONE.any(1)])
    assert admit(found)[0] is found


EMPTY_ROW, EMPTY_SITE, POOR = HOLED.copy(), HOLED.copy(), HOLED.copy()
EMPTY_ROW[5] = EMPTY_SITE[:, 2] = POOR[:21, 1] = np.nan
REFUSED = {
    "an empty row": (lambda: hl.microstates(EMPTY_ROW), r"nothing is observed in row 5 \(counted from 0\)"),
    "an empty site": (lambda: hl.microstates(EMPTY_SITE), r"site 2 .* more missing cells than observed ones \(100% are"),
    "more missing than observed": (lambda: hl.microstates(POOR), r"site 1 .* more missing cells than observed"),
    "nothing at all": (lambda: hl.microstates(np.full((3, 2), np.nan)), "nothing was observed"),
    "a mask of another shape": (lambda: hl.microstates(SPINS, mask=GONE[:3]), r"mask= has the shape \(3, 4\), and the states \(40, 4\)"),
    "a mask of numbers": (lambda: hl.microstates(SPINS, mask=GONE.astype(int)), "mask= holds True where"),
    "a mask of a dataset": (lambda: hl.microstates(DATA, mask=GONE), "mask=.* would be ignored"),
    "a code of a dataset": (lambda: hl.microstates(DATA, missing=-1), "missing=-1 would be ignored"),
    "a code of another kind": (lambda: hl.microstates(SPINS, missing=[None]), "missing= takes the numbers or words"),
    "a code of a column that is not there": (lambda: hl.microstates(ASKED, "states", missing={"bsy": 9}), "names the column 'bsy'"),
    "a code of a column of an array": (lambda: hl.microstates(SPINS, missing={"busy": 9}), "of a table with a header"),
    "a word among numbers that is not said": (lambda: hl.microstates(WORDS, "states"), "'refused', among numbers.*missing='refused'"),
    "words beside": (lambda: hl.microstates([["1", "?"], ["a", "1"]]), "must be numbers .*found 'a'"),
    "infinite beside": (lambda: hl.microstates(np.where(GONE, np.nan, np.inf)), "found inf"),
    "vectors": (lambda: hl.microstates(np.where(GONE[:, None], np.nan, np.ones((40, 1, 4)) / 2), "vectors"), "NaN"),
    "a fixed sum": (lambda: hl.microstates(HOLED, hl.spaces.Spins(magnetization=0)), "magnetization is fixed"),
    "the mark itself": (lambda: hl.microstates(np.where(GONE, MISSING, SPINS).astype(np.int8)), "found -128"),
    "a hand-made empty row": (lambda: hl.microstates(DATA.assign(state=DATA.state.where(DATA.draw != 3, MISSING))), "row 3"),
}


@pytest.mark.parametrize(("mistake", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


WHOLE = hl.microstates(SPINS)
POST = hl.learn(WHOLE, MODEL, engine="laplace", check=False)

# Who does not know of missing cells refuses them in one line.
DOORS = {
    "an action": lambda: hl.learn(ANGLES, hl.models.PolynomialAction(), check=False),
    "a density": lambda: hl.learn(DATA, hl.models.Autoregressive(hidden=2), check=False),
    "energy": lambda: hl.energy(POST, DATA),
    "action": lambda: hl.action(POST, DATA),
    "overlap": lambda: hl.infer.overlap(DATA, DATA),
    "symmetry": lambda: diagnostics.symmetry(POST, DATA),
    "posterior predictive": lambda: diagnostics.posterior_predictive(POST, DATA),
    "snapshots": lambda: hl.plots.snapshots(DATA),
    "log likelihood": lambda: hl.infer.log_likelihood(POST, DATA),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_whoever_needs_complete_microstates_says_so(door):
    with pytest.raises(HamlearnError, match=r"\d+ of 160 cells \(.* %\) are missing") as caught:
        door()
    assert "\n" not in str(caught.value) and "complete_rows" in str(caught.value)


def test_a_data_array_and_a_list_of_sets_keep_them():
    named = xr.DataArray(HOLED, dims=("draw", "site"))
    assert hl.microstates(named).identical(DATA)
    assert [one.identical(DATA) for one in admit([DATA, ANGLES], missing=True)] == [True, False]


HIDDEN = {
    "codes of an array": (lambda table: table.to_numpy(), {}, list(range(1, 6)), 5),
    "codes of columns": (lambda table: table, {}, list(range(1, 6)), 5),
    "words of columns": (lambda table: table.map(lambda one: "none" if one == 9 else "abcde"[one - 1]), {}, list("abcde"), 5),
    "a number of states": (lambda table: table.to_numpy(), {"q": 10}, list(range(10)), 10),
    "columns that differ": (lambda table: table.assign(d=table["a"] % 2), {}, [*3 * [list(range(1, 6))], [0, 1]], 5),
}


@pytest.mark.parametrize(("made", "options", "codes", "q"), HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("interaction", ["general", "ordinal"])
def test_a_state_that_a_mask_hides_everywhere_is_none(made, options, codes, q, interaction):
    """Of columns with codes or words of their own the hidden one stayed a state, which ordered states then had a step for."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.integers(1, 6, (300, 3)), columns=list("abc"))
    table[rng.random(table.shape) < 0.1] = 9
    table.iloc[0] = 1
    given = made(table)
    mask = np.zeros(given.shape, bool)
    mask[:, :3] = table.to_numpy() == 9
    data = hl.microstates(given, space="states", mask=mask, independent=True, **options)
    assert hl.data.codes_of(data) == codes and hl.data.space_of(data).q == q
    np.testing.assert_array_equal(hl.data.missing(data)[0], mask)
    post = hl.learn(data, hl.models.Couplings(interaction=interaction), engine="laplace", check=False)
    assert hl.data.codes_of(post) == codes
    rows, names = data["state"].values[0], hl.data.codes.state_names(data, data.sizes["site"])
    told = [[None if state < 0 else names[site][state] for site, state in enumerate(row)] for row in rows]
    expected = given.to_numpy() if hasattr(given, "to_numpy") else given
    assert told == [[None if gone else str(one) for one, gone in zip(*both, strict=True)] for both in zip(expected, mask, strict=True)]


def test_words_of_spins_may_stand_beside_a_third_that_a_mask_hides():
    table = pd.DataFrame({"a": ["yes", "no", "refused", "no"], "b": ["no", "yes", "yes", "refused"]})
    data = hl.microstates(table, mask=(table == "refused").to_numpy())
    assert data["state"].values.tolist() == [[[1, -1], [-1, 1], [hl.spaces.MISSING, 1], [-1, hl.spaces.MISSING]]]
