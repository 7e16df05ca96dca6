"""The page at the shell: questions and microstates as in Python."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import cli, storage

NAMES = ["anna", "ben", "eve", "dan"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Votes as words and as bits, posteriors of them, and one of a ring."""
    place = tmp_path_factory.mktemp("votes")
    world = hl.systems.EdwardsAnderson((2, 2), seed=1)
    rows = hl.simulate(world, beta=0.6, draws=600, chains=1, seed=0, sampler="exact")["state"].values.reshape(-1, 4)
    lines = [",".join("yes" if one > 0 else "no" for one in row) for row in rows]
    (place / "votes.csv").write_text("\n".join([",".join(NAMES), *lines]))
    (place / "turned.csv").write_text("\n".join(",".join([name, *cells]) for name, cells in zip(NAMES, _cells(lines), strict=True)))
    np.savetxt(place / "bits.csv", (rows + 1) // 2, fmt="%d", delimiter=",")
    for name, half in ("first", rows[:300]), ("second", rows[300:]):
        np.savetxt(place / f"{name}.csv", (half + 1) // 2, fmt="%d", delimiter=",")
    np.savetxt(place / "angles.csv", np.random.default_rng(0).uniform(0, 6, (50, 4)), delimiter=",")
    np.savetxt(place / "five.csv", np.c_[rows, rows[:, 0]], fmt="%d", delimiter=",")
    learned = lambda data, graph=None: hl.learn(data, hl.models.Couplings(graph), engine="laplace", check=False)
    hl.save(learned(hl.microstates(place / "votes.csv", independent=True)), place / "votes.nc")
    hl.save(learned(hl.microstates(place / "votes.csv", labels=["yes", "no"], independent=True)), place / "turned.nc")
    hl.save(learned(hl.microstates(place / "bits.csv", space="bits", independent=True)), place / "bits.nc")
    hl.save(learned(hl.microstates(place / "bits.csv", space="bits"), hl.systems.lattice.hypercubic((4,))), place / "ring.nc")
    return place


def _cells(lines):
    """Cells of lines, a column after the other."""
    return zip(*(line.split(",") for line in lines), strict=True)


@pytest.fixture
def shell(folder, tmp_path, monkeypatch, capsys):
    """``report`` in that folder: exit code, standard error and the page, if there is one."""
    monkeypatch.chdir(folder)

    def run(post, *options):
        page = tmp_path / "page.html"
        monkeypatch.setattr(sys, "argv", ["hamlearn", "report", post, *map(str, options), "-o", str(page)])
        code = cli.run()
        return code, capsys.readouterr().err, page.read_text(encoding="utf-8") if page.exists() else None

    return run


def headings(page: str) -> list[str]:
    """The questions that a page answers, or leaves to be asked."""
    part = re.search(r'id="population".*?</section>', page, re.S)[0]
    return re.findall(r"<h3[^>]*>\s*(.*?)\s*</h3>", part, re.S)


READ = {
    "words": ("votes.nc", ("--data", "votes.csv")),
    "words the other way round": ("turned.nc", ("--data", "votes.csv", "--labels", "yes,no")),
    "bits": ("bits.nc", ("--data", "bits.csv", "--space", "bits")),
    "two files": ("bits.nc", ("--data", "first.csv", "--data", "second.csv", "--space", "bits")),
}


@pytest.mark.parametrize("what", READ)
def test_questions_that_need_the_microstates_are_answered(what, shell, folder, tmp_path):
    post, options = READ[what]
    alone, err, without = shell(post)
    code, err, page = shell(post, *options)
    assert alone == code == 0, err
    assert len(headings(page)) > len(headings(without)) and "Not answered" not in page
    labels = ["yes", "no"] if what == "words the other way round" else None
    data = [hl.microstates(name, space="bits" if "bits" in options else None, labels=labels) for name in options[1:4:2] if ".csv" in name]
    expected = hl.report(hl.load(post), tmp_path / "expected.html", data=data).read_text(encoding="utf-8")
    assert page == expected


def test_a_table_on_its_side_is_read_as_it_was_learned_from(shell):
    code, err, expected = shell("votes.nc", "--data", "votes.csv")
    assert code == 0, err
    code, err, page = shell("votes.nc", "--data", "turned.csv", "--dims", "site,draw")
    assert (code, page) == (0, expected), err


def test_what_is_asked_is_answered_whatever_it_takes(shell, monkeypatch):
    from hamlearn.page import population

    monkeypatch.setattr(population, "QUESTIONS", {name: _slow(one) for name, one in population.QUESTIONS.items()})
    code, err, page = shell("bits.nc")
    assert code == 0, err
    waits = "more than two seconds here, and waits to be asked for"
    assert page.count(waits) == len(headings(page)) and "--questions entropy at the shell" in page
    code, err, asked = shell("bits.nc", "--questions", "pairs, entropy")
    assert code == 0, err
    assert asked.count(waits) == page.count(waits) - 2


def _slow(question):
    from dataclasses import replace

    return replace(question, quick=lambda size: False)


MISTAKES = {
    "a question that is none": (("bits.nc", "--questions", "entropi"), "Did you mean 'entropy'"),
    "a question without a name": (("bits.nc", "--questions", "entropy,"), "--questions takes names separated by commas"),
    "what microstates are asked for": (("bits.nc", "--questions", "triplets"), "triplets cannot be answered from a posterior alone"),
    "a ring": (("ring.nc", "--data", "bits.csv", "--space", "bits"), "posteriors of couplings and fields between all pairs of spins"),
    "bits taken for spins": (("bits.nc", "--data", "bits.csv", "--space", "spins"), "space='bits'"),
    "words the other way round": (
        ("turned.nc", "--data", "votes.csv"),
        "their values in the order no, yes, and the posterior in the order yes, no: read them with labels=['yes', 'no'] (at the shell --l",
    ),
    "other sites": (("bits.nc", "--data", "five.csv"), "microstates of 5 sites, and the posterior is of 4"),
    "angles": (("bits.nc", "--data", "angles.csv", "--space", "angles"), "microstates of angles, and the posterior is of spins"),
    "no such file": (("bits.nc", "--data", "nothing.csv"), "no such file"),
    "a file twice": (("bits.nc", "--data", "bits.csv", "--data", "bits.csv"), "given twice"),
    "a space of nothing": (("bits.nc", "--space", "bits"), "--space says how the microstates of --data are read"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_one_line_and_exit_2(what, shell):
    options, message = MISTAKES[what]
    code, err, page = shell(*options)
    (line,) = [line for line in err.splitlines() if line.startswith("hamlearn:")]
    assert code == 2 and message in line and "Traceback" not in err and page is None, line


def test_a_page_does_not_replace_the_microstates(folder, shell, tmp_path):
    (tmp_path / "page.html").symlink_to(folder / "bits.csv")
    code, err, _ = shell("bits.nc", "--data", "bits.csv", "--space", "bits")
    assert code == 2 and "both read and written" in err
    assert storage.read_states(str(folder / "bits.csv"), plain=True).values.shape == (600, 4)
