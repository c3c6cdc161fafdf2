"""A run as Python code uses it."""

import os
import pathlib
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
from PIL import Image

import gnp
from gnp.ds_pipeline.datasets.digits import load
from gnp.main.main import run as run_command
from gnp.runs.metrics import by_step
from gnp.training.interrupt import Interrupted
from tests.test_quickstart import ROOT

TEST = load(None).test
SMALL_MODELS = pathlib.Path(__file__).with_name("small_models.py")
FIELDS = [
    "dataset.num_train_images=128",
    "total_epochs=1",
    "ema_decay=0.5",
    "model.model_name=NetToLookInto",
    f"model.model_module={SMALL_MODELS}",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return gnp.train(gnp.load_config("digits", FIELDS), tmp_path_factory.mktemp("runs"))


def working_dir(run):
    return next(folder for folder in run.folder.parents if folder.name.startswith("runs"))


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, gnp\n"
        "assert gnp.__version__ and 'train' in dir(gnp)\n"
        "sys.exit(', '.join({'jax', 'flax', 'optax', 'orbax', 'tensorflow', 'absl', 'numpy'}"
        " & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_gradient_has_a_short_name_and_needs_no_command():
    code = (
        "import sys, gnp\n"
        "gnp.value_and_grad\n"
        "heavy = {'orbax', 'tensorflow', 'absl.flags', 'gnp.main'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_program_may_have_flags_of_its_own():
    code = (
        "import gnp\n"
        "from absl import flags\n"
        "gnp.train, gnp.load_run, gnp.load_config\n"
        "for name in ('config', 'working_dir', 'num_processes', 'run', 'out'):\n"
        "    flags.DEFINE_string(name, None, '')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_every_short_name_is_there():
    for name in gnp.__all__:
        assert getattr(gnp, name) is not None
    assert set(gnp.__all__) == set(gnp._PLACES)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        gnp.trian  # noqa: B018


def test_types_are_told():
    assert (ROOT / "gnp" / "py.typed").exists()
    assert '"gnp": ["py.typed"' in (ROOT / "setup.py").read_text()


def test_training_is_that_of_the_command(trained, tmp_path):
    folder = run_command(gnp.load_config("digits", FIELDS), tmp_path)
    theirs, ours = (gnp.load_run(path, "last").variables for path in (folder, trained.folder))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert trained.summary["steps"] == trained.step == 2


def test_a_finished_run_is_returned_again(trained, capsys):
    again = gnp.train(trained.config, working_dir(trained))
    assert again.folder == trained.folder
    assert again.step == trained.step
    assert "Test error" in capsys.readouterr().out


def test_the_model_and_its_variables_belong_together(trained):
    images = np.zeros((2, 8, 8, 1), np.float32)
    logits = trained.model.apply(trained.variables, images, train=False)
    assert logits.shape == (2, 10)
    assert trained.config.total_epochs == 1
    assert trained.class_names == [str(n) for n in range(10)]


def test_metrics_are_columns_of_equal_length(trained):
    metrics = trained.metrics
    assert next(iter(metrics)) == "step"
    np.testing.assert_array_equal(metrics["step"], [1, 2])
    assert {len(column) for column in metrics.values()} == {2}
    np.testing.assert_array_equal(np.isnan(metrics["eval/error_rate"]), [True, False])
    assert np.isfinite(metrics["train/loss"]).all()


def test_lines_of_one_step_are_one_row():
    columns = by_step([{"step": 1, "a": 1}, {"step": 3, "a": 2}, {"step": 3, "b": 0.5}])
    np.testing.assert_array_equal(columns["step"], [1, 3])
    np.testing.assert_array_equal(columns["a"], [1, 2])
    np.testing.assert_array_equal(columns["b"], [np.nan, 0.5])
    assert by_step([])["step"].shape == (0,)


def test_moving_averages_are_taken_where_they_are_asked_for(trained):
    raw, average = (gnp.load_run(trained.folder, weights=name) for name in ("raw", "ema"))
    difference = jax.tree.map(lambda a, b: np.abs(a - b).max(), raw.variables, average.variables)
    assert max(jax.tree.leaves(difference)) > 0
    jax.tree.map(np.testing.assert_array_equal, trained.variables, raw.variables)
    assert gnp.load_run(trained.folder, "average:1").step == 2
    with pytest.raises(gnp.UserError, match="Unknown weights 'emma'; known: ema, raw"):
        gnp.load_run(trained.folder, weights="emma")


def test_without_weights_those_that_the_best_metric_measures_are_taken(tmp_path):
    config = gnp.load_config("digits", [*FIELDS, "best_metric=eval_ema/loss"])
    run = gnp.train(config, tmp_path)
    average = gnp.load_run(run.folder, weights="ema").variables
    jax.tree.map(np.testing.assert_array_equal, run.variables, average)


def test_a_run_that_writes_no_config_is_returned_all_the_same(tmp_path):
    run = gnp.train(gnp.load_config("digits", [*FIELDS, "write_config_to_json=False"]), tmp_path)
    assert not (run.folder / "config.json").exists()
    assert len(run.predict(TEST.images[:2]).classes) == 2


@pytest.mark.parametrize("count", [1, 4, 7, 65])
def test_images_are_predicted_in_any_number(trained, count):
    found = trained.predict(TEST.images[:count])
    assert found.probabilities.shape == (count, 10)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    for image, row in zip(TEST.images[: min(count, 4)], found.probabilities, strict=False):
        np.testing.assert_allclose(trained.predict([image]).probabilities[0], row, rtol=1e-5)


def test_all_kinds_of_images_are_the_same(trained, tmp_path):
    image = TEST.images[0]
    Image.fromarray(image[..., 0]).save(tmp_path / "image.png")
    kinds = [
        [image],
        [image[..., 0]],
        [np.repeat(image, 3, axis=-1)],
        [Image.fromarray(image[..., 0])],
        Image.fromarray(image[..., 0]).convert("RGB"),
        tmp_path / "image.png",
        [str(tmp_path / "image.png")],
    ]
    expected = trained.predict(image[None]).top(10)
    for images in kinds:
        assert trained.predict(images).top(10) == expected


def test_no_image_has_no_predictions(trained):
    found = trained.predict([])
    assert found.probabilities.shape == (0, 10)
    assert found.classes == []


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((8, 8, 1), np.uint8), r"have the shape \(8, 8, 1\); give images x height x"),
        (np.zeros((1, 8, 8, 1)), r"Image 0 is float64 of shape \(8, 8, 1\); give a path"),
        ([np.zeros((8, 8, 5), np.uint8)], "Image 0 has 5 channels; give 1"),
        ([np.zeros((0, 8, 1), np.uint8)], r"Image 0 is uint8 of shape \(0, 8, 1\)"),
        ([None], "Image 0 is object of shape"),
        (3, "The images are 3; give a list"),
        (["nowhere.png"], "nowhere.png cannot be read: No such file"),
        ([Image.new("F", (8, 8))], "Image 0 cannot be used: its numbers have 32 bits"),
    ],
)
def test_what_is_no_image_is_one_sentence(trained, images, sentence):
    with pytest.raises(gnp.UserError, match=sentence):
        trained.predict(images)


def test_nan_is_no_prediction(trained):
    variables = jax.tree.map(lambda x: x * np.nan, trained.variables)
    broken = gnp.load_run(trained.folder)
    broken.variables = variables
    found = broken.predict(TEST.images[:3])
    assert np.isnan(found.probabilities).all()
    assert found.classes == [None] * 3
    assert found.top() == [[], [], []]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("digit", "Unknown config 'digit'; known: digits, "),
        (3, "The config is 3; give a name such as digits, a file, or a dictionary"),
        ({"lr": 1}, "the config sets lr, but there is no such field; nearest: base_lr,"),
        ({"base_lr": "high"}, "the config sets base_lr to 'high', but it takes a number"),
        ({"gnp": 1}, "the config sets gnp to 1, but it is a block of fields"),
    ],
)
def test_a_config_that_makes_no_sense_is_one_sentence(tmp_path, config, sentence):
    with pytest.raises(gnp.UserError, match=sentence):
        gnp.train(config, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path):
    with pytest.raises(gnp.UserError, match=r"holds no config\.json; name the folder of a run"):
        gnp.load_run(tmp_path)


def test_an_interrupted_training_ends_no_notebook(tmp_path, monkeypatch):
    def interrupted(*_):
        raise Interrupted(2, "Interrupted at step 1 of 2.")

    monkeypatch.setattr("gnp.main.main.run", interrupted)
    with pytest.raises(KeyboardInterrupt, match="Interrupted at step 1 of 2"):
        gnp.train("digits", tmp_path)


def test_training_works_in_another_thread(trained):
    found = []

    def work():
        found.append(gnp.train(trained.config, working_dir(trained)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0].folder == trained.folder


CELLS = [
    "import gnp",
    'config = gnp.load_config("digits", {fields!r})',
    'run = gnp.train(config, "runs")',
    'run = gnp.train(config, "runs")  # the cell again',
    "again = gnp.load_run(run.folder)",
    "found = again.predict(images)",
    "assert len(again.metrics['step']) == 2",
    "try:\n    gnp.train('digit', 'runs')\nexcept gnp.UserError as error:\n    said = str(error)",
]
NOTEBOOK = """
import asyncio, sys
import numpy as np

async def notebook():
    names = {"images": np.zeros((3, 8, 8, 1), np.uint8)}
    for cell in CELLS:
        exec(cell, names)
        await asyncio.sleep(0)
    print(len(names["found"].classes), names["said"][:14])

# A kernel has arguments of its own, and runs cells in a loop of events.
sys.argv = ["ipykernel_launcher.py", "-f", "kernel.json"]
asyncio.run(notebook())
"""


def test_a_notebook_trains_twice_and_predicts(tmp_path):
    cells = [cell.replace("{fields!r}", repr(FIELDS)) for cell in CELLS]
    done = subprocess.run(
        [sys.executable, "-c", f"CELLS = {cells!r}\n{NOTEBOOK}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3 Unknown config"
    assert "Traceback" not in done.stderr
