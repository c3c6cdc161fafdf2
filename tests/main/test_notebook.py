"""A notebook goes from a folder of photographs to a model that onnxruntime runs."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.test_quickstart import ROOT

# Each a cell of its own, as docs/using.md and the README write them.
CELLS = (
    """import sys, gnp
fields = {"dataset.data_dir": "photos", "dataset.image_size": 16, "total_epochs": 2,
          "batch_size": 4, "gnp.r": 0.1, "gnp.alpha": 0.8}
run = gnp.train(gnp.load_config("image_folder", fields), "runs")""",
    """found = run.predict(["photos/test/sky/0.png"])
print(run.class_names, found.classes)""",
    """!{sys.executable} -m gnp evaluate --run="{run.folder}" --out=evaluation""",
    """!{sys.executable} -m gnp export --run="{run.folder}" --format=onnx --out=model.onnx""",
    """import numpy as np, onnxruntime
from PIL import Image
pixels = np.asarray(Image.open("photos/test/sky/0.png").resize((16, 16)), np.float32)[None]
session = onnxruntime.InferenceSession("model.onnx")
(logits,) = session.run(None, {session.get_inputs()[0].name: pixels})
powers = np.exp(logits - logits.max())
print(np.abs(powers / powers.sum() - found.probabilities).max())""",
    """run = gnp.train(gnp.load_config("image_folder", fields | {"total_epochs": 0}), "runs")""",
)


@pytest.mark.slow
def test_from_photographs_to_onnx(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 3)):
        for name, level in (("sky", 200), ("wood", 60)):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(level - 40, level + 40, (16, 16, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
    client = nbclient.NotebookClient(
        notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    paths = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    client.execute(env=os.environ | {"PYTHONPATH": paths, "JAX_NUM_CPU_DEVICES": "1"})
    *good, bad = notebook.cells
    for cell in good:
        assert not [o for o in cell.outputs if o.output_type == "error"], cell.outputs
    printed = ["".join(o.get("text", "") for o in cell.outputs) for cell in good]
    assert printed[1] == "['sky', 'wood'] ['sky']\n"
    assert json.loads((tmp_path / "evaluation/evaluation.json").read_text())["num_images"] == 6
    assert float(printed[-1]) < 1e-4
    # A refusal is an exception with a sentence, and the kernel lives.
    (error,) = [o for o in bad.outputs if o.output_type == "error"]
    assert error.ename == "UserError"
    assert error.evalue.startswith("total_epochs is 0; it must be")
