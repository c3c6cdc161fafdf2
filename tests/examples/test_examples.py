"""The examples run, train and are short."""

import pathlib
import runpy

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "examples"
NEEDS = {"with_equinox.py": "equinox"}


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.py")))
def test_example(name, capsys):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    assert len((FOLDER / name).read_text().splitlines()) < 40
    variables = runpy.run_path(str(FOLDER / name))
    assert float(variables["loss"]) < 0.2
    assert capsys.readouterr().out.startswith("loss ")
