"""The sizes that `gnp models` prints without measuring them.

python -m tests.model.test_kept_sizes writes them anew.
"""

import dataclasses
import json

import pytest

from gnp.errors import UserError
from gnp.main import models
from gnp.model import create_model, model_names
from gnp.model.size import KEPT_CLASSES, KEPT_IMAGE_SHAPE, KEPT_SIZES_FILE, kept_sizes, measure
from tests.model.test_table import PARAMETERS

QUICK = ("ViT_Micro", "WideResNet_10_1", "PyramidNetBase")


def measured(name):
    """The size of a model, or None if it has none for such images."""
    try:
        return measure(create_model(name, KEPT_CLASSES), KEPT_IMAGE_SHAPE)
    except UserError:
        return None


@pytest.mark.parametrize("name", QUICK)
def test_a_kept_size_is_the_measured_one(name):
    assert kept_sizes().get(name) == measured(name)


@pytest.mark.slow
def test_all_kept_sizes_are_the_measured_ones():
    assert kept_sizes() == {name: size for name in PARAMETERS if (size := measured(name))}


def test_the_table_measures_only_what_is_not_kept(monkeypatch, capsys):
    asked = []

    def small(model, image_shape):
        asked.append(type(model).__name__)
        raise UserError("Not measured.")

    monkeypatch.setattr(models, "measure", small)
    models.print_table(KEPT_IMAGE_SHAPE, KEPT_CLASSES, {})
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert rows.keys() == set(model_names())
    assert f"{kept_sizes()['WideResNet_28_10'].multiply_adds:,}" in rows["WideResNet_28_10"]
    assert len(asked) < 5
    models.print_table(KEPT_IMAGE_SHAPE, 7, {})
    assert len(asked) > 30


def write():
    """Measures all models and writes their sizes."""
    sizes = {name: measured(name) for name in model_names()}
    found = {name: dataclasses.asdict(size) for name, size in sizes.items() if size}
    KEPT_SIZES_FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    write()
