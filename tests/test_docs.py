"""Pages of the documentation that run as they stand."""

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["your_own.md", "extending.md", "sklearn.md"])
def test_a_page_runs(page):
    """Its examples give what it says."""
    failed, tried = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert tried > 4 and not failed


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # ArviZ's, to pandas
@pytest.mark.parametrize("page", ["programs.md"])
def test_blocks_run_as_printed(page):
    """One after the other, as a reader who pastes them would; a warning is an error here."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 3
    names: dict[str, Any] = {}
    for index, block in enumerate(blocks):
        exec(compile(block, f"{page}, block {index + 1}", "exec"), names)
