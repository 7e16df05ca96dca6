"""Sphinx configuration. Pages with ``file_format: mystnb`` are run by the build, which an error in one of them ends.

A page that reads public data names them, ``needs: [neurons]``; where they are not at hand (see ``hl.datasets``; nothing is fetched
here) it is shown without outputs, and says so.
"""

import os
import tempfile
from importlib.metadata import version as installed_version
from pathlib import Path

import yaml

from hamlearn import datasets

project = "hamlearn"
author = "The hamlearn developers"
copyright = "the hamlearn developers"
release = installed_version("hamlearn")
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # the NumPy docstrings say it in words
autosummary_generate = False
maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_use_ivar = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 1200  # of a cell; a loaded machine is slow
nb_execution_in_temp = True  # what pages write goes with them
nb_output_stderr = "remove"  # what is chosen and how far it is, which Getting started shows
nb_merge_streams = True
nb_render_image_options = {"align": "center"}

HERE = Path(__file__).parent
_lacking = {}  # page → the data sets that it needs and that are not at hand
for _page in sorted(HERE.rglob("*.md")):
    if (_text := _page.read_text(encoding="utf-8")).startswith("---\n"):
        _needs = yaml.safe_load(_text.split("---\n")[1]).get("needs", [])
        if _missing := [name for name in _needs if not datasets.available(name)]:
            _lacking[_page.relative_to(HERE).with_suffix("").as_posix()] = _missing
nb_execution_excludepatterns = [f"{page}.md" for page in _lacking]


def say_what_lacks(app, page, source):
    """On top of a page that was not run: why."""
    if page in _lacking:
        head, title, rest = source[0].partition("\n# ")
        heading, _, body = rest.partition("\n")
        names = " and ".join(f"`hl.datasets.{name}`" for name in _lacking[page])
        told = f"Not run in this build, which had no data of {names} and fetches none: code without outputs."
        told += " With a network a call fetches them; without one it says where they come from and where to put them."
        note = f"\n:::{{warning}}\n{told}\n:::\n"
        source[0] = head + title + heading + "\n" + note + body


def setup(app):
    app.connect("source-read", say_what_lacks)
    # Pages share what they compile; backends of matplotlib and threads are those of a notebook.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "hamlearn-docs-jax"))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


html_theme = "furo"
html_title = "hamlearn"
html_show_copyright = False
