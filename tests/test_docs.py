"""Pages of the documentation that run as they stand."""

import doctest
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
