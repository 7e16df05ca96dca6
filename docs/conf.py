"""Sphinx configuration."""

from importlib.metadata import version as installed_version

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

html_theme = "furo"
html_title = "hamlearn"
html_show_copyright = False
