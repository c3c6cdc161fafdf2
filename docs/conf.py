"""Sphinx config: `sphinx-build docs docs/_build` builds the site."""

import ast
import dataclasses
import inspect
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from config_reference import reference  # noqa: E402

import gnp  # noqa: E402

project = "gnp"
copyright = "2026, the gnp authors; Apache License 2.0"
release = version = gnp.__version__
smartquotes = False  # values in quotes are code
html_theme = "furo"
html_title = "gnp"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
html_math_renderer = "mathml"
extensions = [
    "mathml",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # as the source writes them, not what they are
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"  # else fields are listed as parameters too


def skip_fields_of_tuples(app, what, name, member, skip, options):
    """Fields of a NamedTuple are listed once, by the docstring of their class."""
    return True if type(member).__name__ == "_tuplegetter" else None


def defaults_as_written(app, what, name, member, options, signature, returned):
    """The fields of a dataclass with the defaults of its source."""
    if what != "class" or not dataclasses.is_dataclass(member):
        return None
    (definition,) = ast.parse(inspect.getsource(member)).body
    text = ", ".join(
        ast.unparse(line.target) + (f"={ast.unparse(line.value)}" if line.value else "")
        for line in definition.body
        if isinstance(line, ast.AnnAssign)
    )
    text = re.sub(r"dataclasses\.field\(default_factory=(\w+)\)", r"\1()", text)
    text = re.sub(r"=struct\.field\([^)]*\)", "", text)
    return f"({text})", returned


def setup(app):
    """Regenerates the page of all config fields from config/base.py."""
    page = ROOT / "docs" / "config.md"
    page.write_text(reference((ROOT / "config" / "base.py").read_text()))
    app.connect("autodoc-skip-member", skip_fields_of_tuples)
    app.connect("autodoc-process-signature", defaults_as_written)
