"""A case in a subprocess returns its figure, or says why it failed."""

import sys

import pytest

from benchmark.subprocess_case import error_line, rates_in_rounds, run_case
from benchmark.torch.process import TorchProcess

TRACEBACK = """WARNING: something else
Traceback (most recent call last):
  File "contender.py", line 1, in <module>
jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory
--------------------
For simplicity, JAX has removed its internal frames.
"""


def test_the_error_line_is_the_exception():
    assert error_line(TRACEBACK) == "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory"
    assert error_line("python: No module named benchmark\n") == "python: No module named benchmark"
    assert error_line("") == ""


def test_a_module_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"^TypeError: measure\(\) missing"):
        run_case(sys.executable, "benchmark.jax.end_to_end", model="ViT_Micro")


@pytest.mark.parametrize(
    "start", [TorchProcess, lambda python: run_case(python, "benchmark.machine")]
)
def test_a_missing_interpreter_is_reported(start):
    with pytest.raises(RuntimeError, match="No such file or directory: '/no/python'"):
        start("/no/python")


def test_an_interpreter_without_torch_is_reported(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"^ModuleNotFoundError: no torch here$"):
        TorchProcess(sys.executable)


def test_a_contender_that_fails_is_dropped_and_reported_once(capsys):
    order = []

    def contender(name, rate):
        def run():
            order.append(name)
            return {"images_per_second": rate, "torch": "2.0"}

        return run

    def broken():
        order.append("broken")
        raise RuntimeError("no torch")

    rates, versions = rates_in_rounds(
        {"one": contender("one", 3.0), "broken": broken, "two": contender("two", 4.0)}, rounds=2
    )
    assert rates == {"one": [3.0, 3.0], "two": [4.0, 4.0]}
    assert versions == {"torch": "2.0"}
    assert order == ["one", "broken", "two", "two", "one"]
    assert capsys.readouterr().err == "No figure of broken: no torch\n"
