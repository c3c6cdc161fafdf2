"""Sphinx config: `sphinx-build docs docs/_build` builds the site."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from config_reference import reference  # noqa: E402

import gnp  # noqa: E402

project = "gnp"
release = version = gnp.__version__
html_theme = "furo"
html_title = "gnp"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"


def setup(app):
    """Regenerates the page of all config fields from config/base.py."""
    page = ROOT / "docs" / "config.md"
    page.write_text(reference((ROOT / "config" / "base.py").read_text()))
