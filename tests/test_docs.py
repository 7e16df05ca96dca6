"""Code of the documentation runs as it stands: that of pages with ``{code-cell}`` in the build, all other here.

A comment before a block says what is smaller here, ``<!-- run with draws=100 for draws=100_000 -->``, or why it is not run at all,
``<!-- not run: it needs two machines -->``.
"""

import doctest
import re
import runpy
from pathlib import Path
from types import ModuleType

import pytest

import hamlearn as hl

DOCS = Path(__file__).parents[1] / "docs"


BLOCK = re.compile(r"^(?:<!-- (not run:|run with) ([^\n]+) -->\n)?```(python|pycon|\{literalinclude\} \S+\.py)\n(.*?)^```$", re.M | re.S)
PAGES = [DOCS.parent / "README.md", DOCS.parent / "SECURITY.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
BLOCKS = {page: found for page in PAGES if (found := BLOCK.findall(page.read_text(encoding="utf-8")))}


def smaller(code: str, changes: str) -> str:
    """Code with changes such as ``draws=9 for draws=900; (3, 3) for (8, 8)``, each of which must find its place."""
    for change in changes.split("; ") if changes else []:
        new, old = change.split(" for ")
        assert old in code, f"nothing to make smaller: {old!r}"
        code = code.replace(old, new)
    return code


@pytest.mark.parametrize("page", BLOCKS, ids=lambda page: page.relative_to(DOCS.parent).as_posix())
def test_a_page_runs(page, tmp_path, monkeypatch):
    """Block after block, in one namespace; what it says that they give is what they give."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "votes.csv").write_text("1,-1,1\n-1,-1,1\n", encoding="utf-8")  # a reader's own
    names = {"__name__": "page"}
    for mark, said, kind, text in BLOCKS[page]:
        if mark == "not run:":
            continue
        code = (page.parent / kind.split()[1]).read_text(encoding="utf-8") if kind.startswith("{") else text
        if kind == "pycon":
            test = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), 0)
            assert (
                not doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(test, clear_globs=False).failed
            )
            names = test.globs
        else:
            exec(compile(smaller(code, said), page.name, "exec"), names)


def test_blocks_that_are_not_run_are_few_and_no_other_is_missed():
    text = {page: page.read_text(encoding="utf-8") for page in PAGES}
    assert {page: len(re.findall(r"^ *```(?:python|py|pycon|\{literalinclude\} \S+\.py)$", text[page], re.M)) for page in BLOCKS} == {
        page: len(found) for page, found in BLOCKS.items()
    }
    assert not [page.name for page in set(PAGES) - set(BLOCKS) if re.search(r"```(?:py|\{literalinclude\})", text[page])]
    assert sum(len(re.findall("<!-- (?:not run|run with)", one)) for one in text.values()) == sum(
        bool(mark) for found in BLOCKS.values() for mark, *_ in found
    )
    not_run = [(page.name, why) for page, found in BLOCKS.items() for mark, why, *_ in found if mark == "not run:"]
    assert not_run == [("robustness.md", "the workers of a spawned pool import a file")]


def test_every_room_has_its_page_of_the_reference():
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")}
    rooms = [name for name in hl.__all__ if isinstance(getattr(hl, name), ModuleType)]
    assert len(rooms) > 5 and not [name for name in rooms if f"automodule:: hamlearn.{name}\n" not in pages.get(name, "")]
    verbs = [name for name in hl.__all__ if callable(getattr(hl, name)) and not isinstance(getattr(hl, name), type)]
    assert not [name for name in verbs if f"autofunction:: {name}\n" not in pages["verbs"]]


def readme() -> tuple[str, str]:
    """The example of README.md, and what it is said to print."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    return BLOCK.search(text)[4], text.partition("written by .ci/readme -->\n\n```text\n")[2].partition("```")[0]


def test_the_costs_that_the_documentation_gives_are_those_of_the_record():
    page = (DOCS / "how_to_choose.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(DOCS.parent / ".ci" / "costs"))["written"](page) == page, "run .ci/costs"


def test_the_example_of_the_readme_is_the_script():
    script = (DOCS.parent / "examples" / "glass.py").read_text(encoding="utf-8")
    assert readme()[0].strip() == script[script.index("import numpy") :].strip()


def test_the_readme_prints_what_it_gives(capsys):
    """Same words, and numbers within what another processor or another stream of random numbers changes: else run .ci/readme."""
    code, printed = readme()
    names = {}
    exec(compile(code.partition("curves =")[0], "README.md", "exec"), names)  # up to predictions, whose truth is known exactly
    number = r"\d[\d ]*\.?\d*"
    said, given = printed.partition("quantity\n")[0], capsys.readouterr().out
    assert re.sub(number, "#", said) == re.sub(number, "#", given)
    for one, other in zip(*([float(one.replace(" ", "")) for one in re.findall(number, text)] for text in (said, given)), strict=True):
        assert one == pytest.approx(other, rel=0.15, abs=0.15)
    (share,), (found,) = (re.findall(r"interval: (\d+)%", text) for text in (said, given))
    assert abs(int(share) - int(found)) <= 2  # of 128 couplings, two or three at the ends of their intervals
    curve = dict(line.split() for line in printed.partition("quantity\n")[2].splitlines())
    exact = hl.systems.exact.thermodynamics(names["glass"], 0.9)["heat_capacity"].item()
    assert float(curve["lower"]) - 0.005 < exact < float(curve["upper"]) + 0.005
    assert float(curve["mean"]) == pytest.approx(exact, abs=3 * float(curve["sd"]) + 0.005)
