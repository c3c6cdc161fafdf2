"""Every object on the page of the Python interface has an example, and the examples are right."""

import doctest
import importlib
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import gnp
from tests import registries
from tests.test_quickstart import ROOT

PAGE = (ROOT / "docs/api.md").read_text()
OBJECTS = re.findall(r"\.\. auto(?:function|class):: (\S+)(?:\n   :members: (.+))?", PAGE)
NAMES = [name for name, _ in OBJECTS]
MEMBERS = [
    f"{name}.{member}" for name, members in OBJECTS for member in members.split(", ") if member
]
# Where something is computed, and what of it computes nothing by itself.
FORMULAS = ("The gradient", "Ascents", "The other penalties", "Diagnostics")
WITHOUT_FORMULA = (
    "StatefulValueAndGrad PenalizedGradient penalized_gradient ascent Ascent StepGradients "
    "WeightPenalty WeightGroups Threshold zeros_for added activation_statistics WholeSet"
)
IMPORTS = {"gnp": gnp, "jax": jax, "jnp": jnp, "nn": nn, "np": np, "optax": optax}


def find(name):
    """Returns the object of a dotted name."""
    place, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(place), attribute)


def examples(name):
    """Returns the examples of an object and then those of its methods."""
    found = find(name)
    names = vars(inspect.getmodule(found)) | IMPORTS
    tests = doctest.DocTestFinder(exclude_empty=True).find(found, name, globs=names)
    return [test for test in tests if test.examples]


def test_the_page_has_no_other_objects():
    assert len(NAMES) == len(set(NAMES)) > 50
    assert "automodule" not in PAGE
    assert not re.search(":members:$", PAGE, re.MULTILINE)  # each is named


@pytest.mark.parametrize("name", NAMES + MEMBERS)
def test_it_has_an_example(name):
    of = name if name in NAMES else name.rpartition(".")[0]
    assert name in [test.name for test in examples(of)]


def names_under(heading):
    """Returns the last parts of the names below a heading of the page."""
    (part,) = [part for part in PAGE.split("\n## ") if part.startswith(heading + "\n")]
    return [name for name in NAMES if re.search(rf":: {name}$", part, re.MULTILINE)]


@pytest.mark.parametrize("name", [name for part in FORMULAS for name in names_under(part)])
def test_what_it_computes_is_a_formula(name):
    has_none = name.rpartition(".")[2] in WITHOUT_FORMULA.split()
    assert has_none != (":math:`" in find(name).__doc__)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns a run of one step."""
    fields = {"total_epochs": 1, "dataset.num_train_images": 64}
    return gnp.train(gnp.load_config("digits", fields), tmp_path_factory.mktemp("runs"))


@pytest.mark.usefixtures("_compile_fast")
@pytest.mark.parametrize("name", NAMES)
def test_its_examples_are_right(name, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # one trains
    registries.forget_after(monkeypatch)
    of_class = {}
    for test in examples(name):
        if re.search(r"(?<!= )\brun\.", test.docstring) and "train(" not in test.docstring:
            test.globs["run"] = request.getfixturevalue("run")
        test.globs |= of_class  # a method continues the example of its class
        report = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=report.append, clear_globs=False)
        assert not runner.failures, "".join(report)
        of_class = of_class or test.globs
