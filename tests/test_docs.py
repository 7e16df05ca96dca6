"""Pages of the documentation that run as they stand."""

import doctest
import re
from pathlib import Path
from types import ModuleType

import pytest

import hamlearn as hl

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["extending.md", "sklearn.md"])
def test_a_page_runs(page):
    """Its examples give what it says."""
    failed, tried = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert tried > 4 and not failed


def test_every_room_has_its_page_of_the_reference():
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")}
    rooms = [name for name in hl.__all__ if isinstance(getattr(hl, name), ModuleType)]
    assert len(rooms) > 5 and not [name for name in rooms if f"automodule:: hamlearn.{name}\n" not in pages.get(name, "")]
    verbs = [name for name in hl.__all__ if callable(getattr(hl, name)) and not isinstance(getattr(hl, name), type)]
    assert not [name for name in verbs if f"autofunction:: {name}\n" not in pages["verbs"]]


def readme() -> tuple[str, str]:
    """The example of README.md, and what it is said to print."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    code = text.partition("## Example\n\n```python\n")[2].partition("```")[0]
    return code, text.partition("written by .ci/readme -->\n\n```text\n")[2].partition("```")[0]


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
