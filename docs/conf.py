"""The book: MyST pages, the library's docstrings, and pages generated from the options and commands of the package."""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import generate  # noqa: E402

project = "keras_cnn"
author = "the authors of keras_cnn"
version = release = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_generated/*.md"]  # pages that other pages include
default_role = "code"  # what the docstrings have in backticks
html_theme = "furo"
html_title = "keras_cnn"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_show_sphinx = False
html_show_copyright = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # `make notebooks` executes them and keeps their output
nb_merge_streams = True
autodoc_typehints = "none"  # the signature has the types
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

generate.write_pages(HERE / "_generated", HERE.parent)
