"""Tables as people have them: separators are guessed, what is no site is set aside, and both are told."""

from __future__ import annotations

import gzip
import logging
import types

import numpy as np
import pandas as pd
import pytest

import hamlearn as hl
from hamlearn import memory, storage
from hamlearn.errors import HamlearnError
from hamlearn.storage import text as tables
from hamlearn.storage.frames import of_frame

STATES = np.random.default_rng(0).choice([-1, 1], (12, 4)).astype(np.int8)
WIDE = np.hstack([STATES] * 2)[:, :6]
NAMES = ["ada", "bob", "cy", "dee"]


def lines(separator, rows=STATES, header=None, leading=None):
    rows = [[str(value) for value in row] for row in rows.tolist()]
    rows = rows if leading is None else [[str(start), *row] for start, row in zip(leading, rows, strict=True)]
    return "\n".join(separator.join(row) for row in ([header] if header else []) + rows) + "\n"


# name of the file: its text, the names of its columns, what is told of it
READ = {
    "semicolons.csv": (lines(";", header=NAMES), NAMES, "columns separated by semicolons"),
    "tabs.tsv": (lines("\t", header=NAMES), NAMES, "columns separated by tabs"),
    "blanks.txt": (lines("  ", header=NAMES), NAMES, "columns separated by blanks"),
    "bars.txt": (lines("|", header=NAMES), NAMES, "columns separated by bars"),
    "spaced_bars.txt": (lines(" | ", header=NAMES), NAMES, "columns separated by bars"),
    "aligned.txt": ("\n".join("  " + "  ".join(f"{value:3d}" for value in row) + " " for row in STATES), None, "separated by blanks"),
    "after_commas.csv": (lines(", ", header=NAMES), NAMES, ""),
    "quoted.csv": (lines(";", header=[f'"{name};x"' for name in NAMES]), [f"{name};x" for name in NAMES], "semicolons"),
    "ends_in_commas.csv": (lines(",").replace("\n", ",\n"), None, ""),
    "remarks.csv": ("# made, by; a program\n" + lines(",", header=NAMES).replace("\n", " # odd\n"), NAMES, ""),
    "windows.csv": ("\ufeff" + lines(",", header=NAMES).replace("\n", "\r\n"), NAMES, ""),
    "excel.csv": ("\ufeffsep=;\r\n" + lines(";", header=NAMES).replace("\n", "\r\n"), NAMES, "columns separated by semicolons"),
    "pandas.csv": (lines(",", header=["", *NAMES], leading=range(12)), NAMES, "the first column numbers the rows and is left out"),
    "pandas_numbered.csv": (lines(",", header=["", "0", "1", "2", "3"], leading=range(12)), ["0", "1", "2", "3"], "names of its columns"),
    "numbered.csv": (
        lines(",", header=list("012345"), rows=WIDE),
        list("012345"),
        "names of its columns",
    ),
    "row.csv": (lines(",", header=["Row", *NAMES], leading=range(1, 13)), NAMES, "the first column, 'Row', numbers the rows"),
    "unnamed.csv": (lines(",", header=["Unnamed: 0", *NAMES], leading=range(12)), NAMES, "'Unnamed: 0', numbers the rows"),
    "no_header.csv": (lines(",", leading=range(1, 13)), None, "the first column numbers the rows"),
    "r.txt": (lines(" ", header=[f'"{name}"' for name in NAMES], leading=[f'"{n}"' for n in range(1, 13)]), NAMES, "names the rows"),
    "time.csv": (lines(",", header=["t", *NAMES], leading=np.arange(12) * 0.25), NAMES, "column 't' rises from row to row"),
}


@pytest.mark.parametrize("name", READ)
def test_tables_are_read_as_they_are(tmp_path, name, caplog):
    caplog.set_level(logging.INFO, "hamlearn")
    text, names, told = READ[name]
    (tmp_path / name).write_bytes(text.encode())
    found = storage.read_states(str(tmp_path / name))
    expected = WIDE if name == "numbered.csv" else STATES
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.dtype == np.int8 and found.names == (None if names is None else tuple(names))
    assert found.missing is None and found.labels is None and found.counts is None
    assert told in caplog.text and bool(told) == bool(caplog.records), caplog.text
    np.testing.assert_array_equal(hl.microstates(tmp_path / name)["state"].values[0], expected)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    assert np.array_equal(storage.read_states(str(tmp_path / f"{name}.gz")).values, expected)


def test_time_is_kept_and_is_no_site(tmp_path):
    (tmp_path / "time.csv").write_text(READ["time.csv"][0])
    data = hl.microstates(tmp_path / "time.csv", beta=0.5)
    np.testing.assert_array_equal(data["time"].values, np.arange(12) * 0.25)
    assert data["time"].dims == ("draw",)
    assert hl.microstates(storage.write_dataset(data, tmp_path / "time.nc")).equals(data)
    (tmp_path / "site.csv").write_text(lines(",", header=["t", "u", "v", "w"]))  # does not rise: a site that is called so
    assert hl.microstates(tmp_path / "site.csv")["state"].sizes["site"] == 4


def test_the_first_row_of_a_table_without_header_is_a_microstate(tmp_path):
    for name, text in {
        "words": "no,yes\nyes,no\nyes,yes\n",
        "counting": "0,1,2\n2,1,0\n1,1,2\n",
        "bits": "0,1\n1,1\n0,0\n",
        "mixed": "1,up\n1,down\n0,up\n",
    }.items():
        (tmp_path / f"{name}.csv").write_text(text)
        found = storage.read_states(str(tmp_path / f"{name}.csv"))
        assert len(found.values) == 3 and found.names is None, name


def test_words_and_gaps_are_handed_on(tmp_path):
    (tmp_path / "survey.csv").write_text("a;b;c\nyes;1;\nno;?;0,5\nNA;3;1,5\nyes;2;-2,5\n")
    found = storage.read_states(str(tmp_path / "survey.csv"))
    assert found.labels == (("no", "yes"), None, None)
    np.testing.assert_array_equal(found.missing, [[False, False, True], [False, True, False], [True, False, False], [False] * 3])
    np.testing.assert_array_equal(found.values[~found.missing], [1, 1, 0, 0.5, 3, 1.5, 1, 2, -2.5])


TABLES = {
    "numbers": pd.DataFrame(STATES, columns=NAMES),
    "nullable": pd.DataFrame(STATES, columns=NAMES).astype("Int8"),
    "categories": pd.DataFrame(STATES, columns=NAMES).astype(str).astype("category"),
    "text": pd.DataFrame(STATES, columns=NAMES).astype(str),
    "objects": pd.DataFrame(STATES, columns=NAMES).astype(object),
    "index": pd.DataFrame(STATES, columns=NAMES).reset_index(),
}


@pytest.mark.parametrize("name", TABLES)
def test_dataframes_of_any_types_are_read(name):
    found = of_frame(TABLES[name], "it", named=True)
    np.testing.assert_array_equal(found.values, STATES)
    assert found.names == tuple(NAMES) and found.missing is None and found.labels is None
    assert np.array_equal(hl.microstates(TABLES[name])["state"].values[0], STATES)


def test_categories_keep_their_order_and_truth_is_two_words():
    level = pd.Categorical(["low", "high", None], categories=["low", "middle", "high"], ordered=True)
    table = pd.DataFrame({"level": level, "truth": pd.array([True, None, False], "boolean")})
    found = of_frame(table, "it", named=True)
    assert found.labels == (("low", "high"), ("False", "True"))
    np.testing.assert_array_equal(found.missing, [[False, False], [False, True], [True, False]])
    assert found.values[0].tolist() == [0, 1] and found.values[1, 0] == 1 and found.values[2, 1] == 0
    assert of_frame(table[["truth"]].fillna(True), "it", named=True).values.dtype == bool
    with pytest.raises(HamlearnError, match="holds dates in column 'day'"):
        of_frame(pd.DataFrame({"day": pd.to_datetime(["2020-01-01"])}), "it", named=True)


def test_tables_that_only_resemble_those_of_pandas_are_read():
    columns = {name: types.SimpleNamespace(to_numpy=lambda k=k: STATES[:, k]) for k, name in enumerate(NAMES)}
    polars = types.new_class("DataFrame")  # what is used of polars: its columns by name, each as an array
    polars.columns, polars.to_numpy, polars.__getitem__ = NAMES, lambda self: STATES, lambda self, name: columns[name]
    np.testing.assert_array_equal(hl.microstates(polars())["state"].values[0], STATES)


def test_a_million_cells_are_read_in_a_moment_and_never_as_large_numbers(tmp_path, monkeypatch):
    rows = np.random.default_rng(1).choice([-1, 1], (20_000, 50))
    (tmp_path / "large.csv").write_text(lines(",", rows=rows, header=[f"n{k}" for k in range(50)]))
    kinds = []
    read = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *given, **named: kinds.append(named.get("dtype")) or read(*given, **named))
    np.testing.assert_array_equal(storage.read_states(str(tmp_path / "large.csv")).values, rows)
    assert kinds == [np.int8]


MISTAKES = {
    "comma.csv": ("a,b\n1;5,2\n2,3\n", "ragged|among numbers|text"),
    "decimal.txt": ("0,5 1,5\n1,5 0,5\n", "blanks between its columns and decimal commas"),
    "quoted.csv": ('a,b\n"0,5",1\n"1,5",2\n', "decimal commas in column 'a', '0,5'"),
    "mixed.csv": ("a,b\n1,yes\n1,2\n", "text in column 'b', 'yes', among numbers"),
    "row_names.txt": ("a b\nx 1 1\nx 1 -1\n", "more columns than its header has names"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_read_is_a_sentence(tmp_path, name):
    text, message = MISTAKES[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(HamlearnError, match=message):
        hl.microstates(tmp_path / name, "reals")


def test_lines_of_very_many_columns_are_refused_or_told_before_they_are_cut(tmp_path, monkeypatch, caplog):
    """Twenty million columns in one line took a minute to be called one microstate."""
    monkeypatch.setattr(pd, "read_csv", None)
    monkeypatch.setattr(tables, "_cut", None)
    for name, separator in {"commas.csv": ",", "blanks.txt": "  "}.items():
        (tmp_path / name).write_text(separator.join("1" * 200_000) + "\n")
        with pytest.raises(HamlearnError, match=rf"{name} holds one line of 200000 columns, which is one microstate"):
            hl.microstates(tmp_path / name)
    (tmp_path / "two.csv").write_text((",".join("1" * 200_000) + "\n") * 2)
    with caplog.at_level(logging.INFO, "hamlearn"), pytest.raises(HamlearnError):  # where lines would be cut
        hl.microstates(tmp_path / "two.csv")
    assert "200000 columns as text, about 8 s to read" in caplog.text
    monkeypatch.setattr(memory, "available", lambda: 1 << 30)
    with pytest.raises(HamlearnError, match=r"200000 columns of .*two.csv, as text, would need 572 MiB .* Write them as .npy"):
        hl.microstates(tmp_path / "two.csv")
