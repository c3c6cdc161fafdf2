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
from tests.test_quickstart import ROOT

NAMES = re.findall(r"\.\. auto(?:function|class):: (\S+)", (ROOT / "docs/api.md").read_text())
IMPORTS = {"gnp": gnp, "jax": jax, "jnp": jnp, "nn": nn, "np": np, "optax": optax}


def find(name):
    """Returns the object of a dotted name."""
    place, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(place), attribute)


def examples(name):
    """Returns the examples of an object and of its methods."""
    found = find(name)
    names = vars(inspect.getmodule(found)) | IMPORTS
    tests = doctest.DocTestFinder(exclude_empty=True).find(found, name, globs=names)
    return [test for test in tests if test.examples]


def test_the_page_has_no_other_objects():
    assert len(NAMES) == len(set(NAMES)) > 50
    assert "automodule" not in (ROOT / "docs" / "api.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_it_has_an_example(name):
    found = find(name)
    is_decorator = "For example::" in (found.__doc__ or "")
    is_message = inspect.isclass(found) and issubclass(found, Exception)
    assert is_decorator or is_message or examples(name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns a run of one step."""
    fields = {"total_epochs": 1, "dataset.num_train_images": 64}
    return gnp.train(gnp.load_config("digits", fields), tmp_path_factory.mktemp("runs"))


@pytest.mark.usefixtures("_compile_fast")
@pytest.mark.parametrize("name", NAMES)
def test_its_examples_are_right(name, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # one trains
    for test in examples(name):
        if re.search(r"(?<!= )\brun\.", test.docstring) and "train(" not in test.docstring:
            test.globs["run"] = request.getfixturevalue("run")
        report = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=report.append)
        assert not runner.failures, "".join(report)
