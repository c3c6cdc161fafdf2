"""A contender in a process of its own answers, or says why it cannot."""

import sys

import pytest

from benchmark.child import ask, cause, rates_in_turns
from benchmark.torch.process import TorchProcess

TRACEBACK = """WARNING: something else
Traceback (most recent call last):
  File "contender.py", line 1, in <module>
jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory
--------------------
For simplicity, JAX has removed its internal frames.
"""


def test_the_cause_is_the_exception():
    assert cause(TRACEBACK) == "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory"
    assert cause("python: No module named benchmark\n") == "python: No module named benchmark"
    assert cause("") == ""


def test_a_module_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"^KeyError: 'way'$"):
        ask(sys.executable, "benchmark.end_to_end_jax", model="ViT_Micro")


@pytest.mark.parametrize("start", [TorchProcess, lambda python: ask(python, "benchmark.machine")])
def test_a_python_that_is_missing_is_told(start):
    with pytest.raises(RuntimeError, match="No such file or directory: '/no/python'"):
        start("/no/python")


def test_a_python_without_torch_is_told(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"^ModuleNotFoundError: no torch here$"):
        TorchProcess(sys.executable)


def test_one_that_cannot_run_is_left_out_and_told_once(capsys):
    order = []

    def contender(name, rate):
        def run():
            order.append(name)
            return {"images_per_second": rate, "torch": "2.0"}

        return run

    def broken():
        order.append("broken")
        raise RuntimeError("no torch")

    rates, versions = rates_in_turns(
        {"one": contender("one", 3.0), "broken": broken, "two": contender("two", 4.0)}, rounds=2
    )
    assert rates == {"one": [3.0, 3.0], "two": [4.0, 4.0]}
    assert versions == {"torch": "2.0"}
    assert order == ["one", "broken", "two", "two", "one"]
    assert capsys.readouterr().err == "No figure of broken: no torch\n"
