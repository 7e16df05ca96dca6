"""Tables of the page by themselves: what is cut, what a spreadsheet must not run, and where bars stand."""

from __future__ import annotations

import csv
import io
import re
from urllib.parse import unquote

import numpy as np
import pytest
from markup import HOSTILE, INSIDE

from hamlearn.page.numbers import FILED, SHOWN, Table, bars, beside, number, numbers, texts


def table(names, values):
    return Table("one", "one.csv", (texts("name", "name", names), numbers("value", "value", values)), len(names))


def read(made: Table) -> list[list[str]]:
    address = str(made.data())
    assert INSIDE.fullmatch(address)
    return list(csv.reader(io.StringIO(unquote(address.split(",", 1)[1]))))


def test_texts_of_strangers_stay_in_their_cell_and_are_no_formula():
    names = [*HOSTILE, "=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", 'a "quoted", text', "two\nlines"]
    rows = read(table(names, np.arange(len(names))))
    assert len(rows) == len(names) + 1 and all(len(row) == 2 for row in rows)
    assert [row[1] for row in rows[1:]] == [str(k) for k in range(len(names))]
    assert not [row[0] for row in rows if row[0][:1] in ("=", "+", "-", "@")]
    assert rows[-6][0] == "'=1+1" and rows[-2][0] == 'a "quoted", text' and rows[-1][0] == "two lines"


def test_files_hold_eight_digits_and_nothing_where_there_is_no_number():
    assert read(table(["a", "b", "c"], [1 / 3, -1.5e-12, np.nan]))[1:] == [["a", "0.33333333"], ["b", "-1.5e-12"], ["c", ""]]


@pytest.mark.parametrize("size", [10, SHOWN, SHOWN + 1, FILED + 1])
def test_what_is_left_out_is_said(size):
    made = table(["x"] * size, np.zeros(size))
    assert len(list(made.rows())) == min(size, SHOWN) and len(read(made)) == min(size, FILED) + 1
    assert made.cut == {10: "", SHOWN: ""}.get(
        size, f"Here are the first 2 000 of {size:,} rows; the file has {'all' if size <= FILED else '20 000'}.".replace(",", " ")
    )
    assert made.long == (300 if size > 300 else 0)


def test_numbers_are_rounded_to_their_errors():
    assert [beside(1.23456, 0.012), beside(-0.5, 1.0), beside(3.0, np.nan)] == ["1.235", "−0.5", "3"]
    assert [number(1234567.0), number(-0.012345), number(np.nan)] == ["1 234 567", "−0.0123", "–"]


def test_bars_stand_where_their_numbers_are():
    drawn = bars("interval", [-1.0, 1.0, -1.0], [-0.5, 3.0, 1.0], [-0.8, 2.0, 0.0])
    assert drawn.heading == "interval (−1 to 3)"
    found = [[float(one) for one in re.findall(r'(?:x|width)="([\d.]+)%"', str(cell))] for cell in drawn.shown]
    at = lambda value: 1 + 98 * (value + 1) / 4
    wanted = [[at(0), at(low), at(high) - at(low), at(mean)] for low, high, mean in ((-1, -0.5, -0.8), (1, 3, 2), (-1, 1, 0))]
    np.testing.assert_allclose(found, wanted, atol=0.051)
    assert [re.search(r'class="(over|under|both)"', str(cell))[1] for cell in drawn.shown] == ["under", "over", "both"]
    assert bars("none", [np.nan], [np.nan], [np.nan]).shown == [""]
